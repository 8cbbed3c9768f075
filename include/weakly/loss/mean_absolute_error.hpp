// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/executor.hpp>
#include <weakly/core/math.hpp>
#include <weakly/loss/detail/formula_loss.hpp>
#include <weakly/loss/row_loss.hpp>

namespace weakly::inline v0 {

namespace detail {

struct mean_absolute_error_formula {
  template <class V>
  WEAKLY_HD softmax_gradient<V> operator()(const label_softmax<V>& row) const {
    return loss_of_probability(row, V(2) * row.q, V(-2) * row.p);
  }
};

}  // namespace detail

/// Distance |e(label) - p| summed over the classes, which is 2 (1 - p(label)).
///
///     loss(i) = 2 (1 - p),   p = softmax(logits(i))(label(i))
///
/// Summed over all labels it is 2 (k - 1) whatever the scores are. Some codes leave out the factor 2.
/// Arguments, special values and errors as softmax_loss.
/// Ghosh, Kumar, Sastry, AAAI 2017 (arXiv 1712.09482).
template <executor Exec, score_tensor Logits, loss_output Loss, loss_output Grad>
void mean_absolute_error(Exec&& ex, const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad) {
  detail::formula_loss("mean_absolute_error", ex, logits, labels, loss, grad, detail::mean_absolute_error_formula{});
}
template <score_tensor Logits, loss_output Loss, loss_output Grad>
void mean_absolute_error(const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad) {
  mean_absolute_error(seq, logits, labels, loss, grad);
}

}  // namespace weakly::inline v0
