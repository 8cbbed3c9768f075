// SPDX-License-Identifier: MIT
// Losses of the softmax of logits at a label, loss and gradient, beside a copy of the logits in the same run.
#include "loss_arrays.hpp"

#include <weakly/loss/active_passive.hpp>
#include <weakly/loss/asymmetric_generalized_cross_entropy.hpp>
#include <weakly/loss/asymmetric_unhinged.hpp>
#include <weakly/loss/brier.hpp>
#include <weakly/loss/cross_entropy.hpp>
#include <weakly/loss/early_learning.hpp>
#include <weakly/loss/focal.hpp>
#include <weakly/loss/generalized_cross_entropy.hpp>
#include <weakly/loss/jensen_shannon.hpp>
#include <weakly/loss/ldam.hpp>
#include <weakly/loss/logit_adjustment.hpp>
#include <weakly/loss/mean_absolute_error.hpp>
#include <weakly/loss/normalized_cross_entropy.hpp>
#include <weakly/loss/reduction.hpp>
#include <weakly/loss/reverse_cross_entropy.hpp>
#include <weakly/loss/robust_log_loss.hpp>
#include <weakly/loss/row_loss.hpp>
#include <weakly/loss/soft_cross_entropy.hpp>
#include <weakly/loss/symmetric_cross_entropy.hpp>
#include <weakly/loss/truncated_generalized_cross_entropy.hpp>

#include <string>
#include <utility>

namespace {

using weakly::index_t;
using batch = bench::loss_batch;

/// 1 - p, as a user would write it.
struct one_less_probability {
  template <class V>
  weakly::softmax_gradient<V> operator()(const weakly::label_softmax<V>& row) const {
    return weakly::loss_of_probability(row, row.q, -row.p);
  }
};

const bool registered = [] {
  using namespace weakly;
  for (const auto& [n, k] : {std::pair<index_t, index_t>{1000000, 10}, std::pair<index_t, index_t>{65536, 1000}}) {
    const auto add = [n = n, k = k](const std::string& name, auto run) { bench::add_loss(name, n, k, run); };
    add("floor_copy", bench::copy_logits);
    add("cross_entropy", [](const batch& b) { cross_entropy(b.x(), b.label, b.l(), b.g()); });
    add("cross_entropy_smoothed",
        [](const batch& b) { cross_entropy(b.x(), b.label, b.l(), b.g(), {.smoothing = 0.1}); });
    add("soft_cross_entropy", [](const batch& b) { soft_cross_entropy(b.x(), b.t(), b.l(), b.g()); });
    add("generalized_cross_entropy", [](const batch& b) { generalized_cross_entropy(b.x(), b.label, b.l(), b.g()); });
    add("truncated_generalized_cross_entropy",
        [](const batch& b) { truncated_generalized_cross_entropy(b.x(), b.label, b.l(), b.g()); });
    add("mean_absolute_error", [](const batch& b) { mean_absolute_error(b.x(), b.label, b.l(), b.g()); });
    add("reverse_cross_entropy", [](const batch& b) { reverse_cross_entropy(b.x(), b.label, b.l(), b.g()); });
    add("symmetric_cross_entropy", [](const batch& b) { symmetric_cross_entropy(b.x(), b.label, b.l(), b.g()); });
    add("jensen_shannon", [](const batch& b) { jensen_shannon(b.x(), b.label, b.l(), b.g()); });
    add("asymmetric_generalized_cross_entropy",
        [](const batch& b) { asymmetric_generalized_cross_entropy(b.x(), b.label, b.l(), b.g()); });
    add("asymmetric_unhinged", [](const batch& b) { asymmetric_unhinged(b.x(), b.label, b.l(), b.g()); });
    add("focal", [](const batch& b) { focal(b.x(), b.label, b.l(), b.g()); });
    add("normalized_cross_entropy", [](const batch& b) { normalized_cross_entropy(b.x(), b.label, b.l(), b.g()); });
    add("active_passive",
        [](const batch& b) { active_passive(b.x(), b.label, b.l(), b.g(), reverse_cross_entropy_options{}); });
    add("softmax_loss", [](const batch& b) { softmax_loss(b.x(), b.label, b.l(), b.g(), one_less_probability{}); });
    add("brier", [](const batch& b) { brier(b.x(), b.label, b.l(), b.g()); });
    add("robust_log_loss", [](const batch& b) { robust_log_loss(b.x(), b.label, b.l(), b.g()); });
    add("early_learning", [](const batch& b) { early_learning(b.x(), b.label, b.t(), b.l(), b.g()); });
    add("logit_adjustment", [](const batch& b) { logit_adjustment(b.x(), b.label, b.by_class, b.l(), b.g()); });
    add("ldam", [](const batch& b) { ldam(b.x(), b.label, b.by_class, b.l(), b.g(), {.scale = 3}); });
    add("loss_sum", [](const batch& b) { benchmark::DoNotOptimize(loss_sum(b.l())); });
    add("scale_rows", [](const batch& b) { scale_rows(b.g(), b.l()); });
  }
  return true;
}();

}  // namespace
