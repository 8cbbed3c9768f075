// SPDX-License-Identifier: MIT
// Losses of margins between the label's score and the others, and what prepares logits for them, beside the copy of the
// logits of losses.cpp.
#include "loss_arrays.hpp"

#include <weakly/loss/aldr_kl_step.hpp>
#include <weakly/loss/crammer_singer.hpp>
#include <weakly/loss/ldam_multilabel.hpp>
#include <weakly/loss/ldr_topk.hpp>
#include <weakly/loss/normalized_logits.hpp>
#include <weakly/loss/top_k_svm.hpp>
#include <weakly/loss/weston_watkins.hpp>

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

namespace {

using weakly::index_t;
using batch = bench::loss_batch;

const bool registered = [] {
  using namespace weakly;
  for (const auto& [n, k] : {std::pair<index_t, index_t>{1000000, 10}, std::pair<index_t, index_t>{65536, 1000}}) {
    const auto add = [n = n, k = k](const std::string& name, auto run) { bench::add_loss(name, n, k, run); };
    add("ldr_topk", [](const batch& b) { ldr_topk(b.x(), b.label, b.l(), b.g(), {.top = 5, .margin = 0.1}); });
    add("crammer_singer", [](const batch& b) { crammer_singer(b.x(), b.label, b.l(), b.g()); });
    add("weston_watkins", [](const batch& b) { weston_watkins(b.x(), b.label, b.l(), b.g()); });
    add("top_k_svm", [](const batch& b) { top_k_svm(b.x(), b.label, b.l(), b.g()); });
    add("top_k_svm_hinge_each", [](const batch& b) { top_k_svm(b.x(), b.label, b.l(), b.g(), {.hinge_each = true}); });
    add("normalized_logits", [](const batch& b) { normalized_logits(b.x(), b.g()); });
    add("normalized_logits_softplus", [](const batch& b) { normalized_logits(b.x(), b.g(), {.softplus = true}); });
    add("normalized_logits_gradient", [](const batch& b) { normalized_logits_gradient(b.x(), b.t(), b.g()); });
    bench::add_prepared_loss("aldr_kl_step", n, k, [](const batch& b) {
      std::vector<index_t> index(b.label.size());
      std::iota(index.begin(), index.end(), index_t(0));
      return [&b, index, state = std::vector<float>(index.size(), 1.0f)]() mutable {
        aldr_kl_step(b.x(), b.label, index, state, b.l(), b.g(), {.margin = 0.1});
      };
    });
    bench::add_prepared_loss("ldam_multilabel", n, k, [](const batch& b) {
      std::vector<std::uint8_t> positive(static_cast<std::size_t>(b.a.n * b.a.k));
      for (std::size_t e = 0; e < positive.size(); e += 10) positive[e] = 1;
      return [&b, positive] { ldam_multilabel(b.x(), view(positive.data(), b.a.n, b.a.k), b.by_class, b.l(), b.g()); };
    });
  }
  return true;
}();

}  // namespace
