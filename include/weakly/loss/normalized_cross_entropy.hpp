// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/executor.hpp>
#include <weakly/core/math.hpp>
#include <weakly/loss/detail/formula_loss.hpp>
#include <weakly/loss/row_loss.hpp>

namespace weakly::inline v0 {

namespace detail {

/// N / D, N = -log p(label), D = sum over j of -log p(j). Its gradient (dN - (N / D) dD) / D is affine in p.
struct normalized_cross_entropy_formula {
  static constexpr bool uses_total = true;

  template <class V>
  WEAKLY_HD softmax_gradient<V> operator()(const label_softmax<V>& row) const {
    const V inverse = V(1) / row.total_cross_entropy;
    const V value = row.cross_entropy * inverse;
    return {value, (V(1) - value * row.classes) * inverse, value * inverse,
            (-row.q - value * (row.classes * row.p - V(1))) * inverse};
  }
};

}  // namespace detail

/// Cross-entropy as a share of what it is summed over all labels.
///
///     loss(i) = -log p(label(i)) / sum over j of -log p(j),   p = softmax(logits(i))
///
/// Summed over all labels it is 1. Class j with a score of -inf makes the loss 0.
/// Arguments, special values and errors as softmax_loss.
/// k < 2 is 0/0 and throws shape_error. Ma et al., ICML 2020 (arXiv 2006.13554).
template <executor Exec, score_tensor Logits, loss_output Loss, loss_output Grad>
void normalized_cross_entropy(Exec&& ex, const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad) {
  detail::require_two_classes("normalized_cross_entropy", logits);
  detail::formula_loss("normalized_cross_entropy", ex, logits, labels, loss, grad,
                       detail::normalized_cross_entropy_formula{});
}
template <score_tensor Logits, loss_output Loss, loss_output Grad>
void normalized_cross_entropy(const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad) {
  normalized_cross_entropy(seq, logits, labels, loss, grad);
}

}  // namespace weakly::inline v0
