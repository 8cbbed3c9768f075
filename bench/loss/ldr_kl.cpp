// SPDX-License-Identifier: MIT
// LDR-KL beside cross-entropy on the same logits: the price of a margin, of a lambda, and of the exact kernel.
#include "loss_arrays.hpp"

#include <weakly/loss/cross_entropy.hpp>
#include <weakly/loss/ldr_kl.hpp>

#include <cstddef>
#include <string>
#include <vector>

namespace {

using weakly::index_t;

void add_all(index_t n, index_t k) {
  const auto add = [&](const std::string& name, auto run) {
    bench::add("loss/ldr_kl/" + name + "/" + bench::size_name(n, k), [=](benchmark::State& state) {
      const bench::logit_arrays& a = bench::logits(n, k);
      for (auto _ : state) run(a);
      state.SetItemsProcessed(state.iterations() * n * k);
    });
  };
  add("cross_entropy", [](const bench::logit_arrays& a) {
    weakly::cross_entropy(a.logits_view(), a.label, a.loss_view(), a.grad_view());
  });
  for (const double lambda : {0.1, 1.0, 10.0})
    add("lambda_" + std::to_string(lambda).substr(0, 4), [lambda](const bench::logit_arrays& a) {
      weakly::ldr_kl(a.logits_view(), a.label, a.loss_view(), a.grad_view(), {.lambda = lambda, .margin = 0.1});
    });
  add("margin_table", [](const bench::logit_arrays& a) {
    static std::vector<float> table;
    const auto size = static_cast<std::size_t>(a.k * a.k);
    if (table.size() != size) {
      table.assign(size, 0.1f);
      for (std::size_t y = 0; y < size; y += static_cast<std::size_t>(a.k) + 1) table[y] = 0;
    }
    weakly::ldr_kl(a.logits_view(), a.label, a.loss_view(), a.grad_view(),
                   {.lambda = 1, .margin = weakly::margin_table(weakly::view(table.data(), a.k, a.k))});
  });
  add("exact", [](const bench::logit_arrays& a) {
    weakly::ldr_kl(a.logits_view(), a.label, a.loss_view(), a.grad_view(), a.extra_view(),
                   {.lambda = 1, .margin = 0.1});
  });
}

const bool registered = (add_all(1000000, 10), add_all(65536, 100), add_all(65536, 1000), true);

}  // namespace
