// SPDX-License-Identifier: MIT
// ALDR-KL beside LDR-KL on the same logits: the price of the best lambda of every row.
#include "loss_arrays.hpp"

#include <weakly/loss/aldr_kl.hpp>
#include <weakly/loss/ldr_kl.hpp>

#include <string>

namespace {

using weakly::index_t;

void add_all(index_t n, index_t k) {
  const auto add = [&](const std::string& name, auto run) {
    bench::add("loss/aldr_kl/" + name + "/" + bench::size_name(n, k), [=](benchmark::State& state) {
      const bench::logit_arrays& a = bench::logits(n, k);
      for (auto _ : state) run(a);
      state.SetItemsProcessed(state.iterations() * n * k);
    });
  };
  add("ldr_kl", [](const bench::logit_arrays& a) {
    weakly::ldr_kl(a.logits_view(), a.label, a.loss_view(), a.grad_view(), {.margin = 0.1});
  });
  for (const double alpha : {2.0, 3.0})
    add("alpha_" + std::to_string(int(alpha)), [alpha](const bench::logit_arrays& a) {
      weakly::aldr_kl(a.logits_view(), a.label, a.loss_view(), a.grad_view(), {.alpha = alpha, .margin = 0.1});
    });
}

const bool registered = (add_all(1000000, 10), add_all(65536, 100), add_all(65536, 1000), true);

}  // namespace
