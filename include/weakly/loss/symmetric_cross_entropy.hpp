// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/executor.hpp>
#include <weakly/core/math.hpp>
#include <weakly/loss/detail/formula_loss.hpp>
#include <weakly/loss/row_loss.hpp>

#include <cmath>

namespace weakly::inline v0 {

struct symmetric_cross_entropy_options {
  double cross_entropy = 0.1;  ///< weight of cross-entropy; not negative
  double reverse = 1;          ///< weight of reverse cross-entropy; not negative
  double log_zero = 4;         ///< A = -log 0 of a one-hot target; positive
};

namespace detail {

struct symmetric_cross_entropy_formula {
  double cross_entropy, reverse;

  template <class V>
  WEAKLY_HD softmax_gradient<V> operator()(const label_softmax<V>& row) const {
    const V forward = math::constant<V>(cross_entropy), back = math::constant<V>(reverse);
    return loss_of_probability(row, forward * row.cross_entropy + back * row.q, -forward - back * row.p);
  }
};

}  // namespace detail

/// Symmetric cross-entropy: cross-entropy and reverse cross-entropy, weighted.
///
///     loss(i) = -cross_entropy log p + reverse A (1 - p),   p = softmax(logits(i))(label(i))
///
/// The defaults are those of the paper for CIFAR-10; it takes 6 and 0.1 for CIFAR-100.
/// Arguments, special values and errors as softmax_loss, and option_error for a weight that is negative or not finite,
/// or A not positive. Wang et al., ICCV 2019 (arXiv 1908.06112), eq. 7.
template <executor Exec, score_tensor Logits, loss_output Loss, loss_output Grad>
void symmetric_cross_entropy(Exec&& ex, const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad,
                             const symmetric_cross_entropy_options& options = {}) {
  constexpr auto name = "symmetric_cross_entropy";
  const auto weight = [&](double w) { return w >= 0 && std::isfinite(w); };
  detail::require_option(name, "cross_entropy", options.cross_entropy, weight(options.cross_entropy),
                         "a finite weight that is not negative");
  detail::require_option(name, "reverse", options.reverse, weight(options.reverse),
                         "a finite weight that is not negative");
  detail::require_option(name, "log_zero", options.log_zero, options.log_zero > 0 && std::isfinite(options.log_zero),
                         "a positive finite number");
  detail::formula_loss(
      "symmetric_cross_entropy", ex, logits, labels, loss, grad,
      detail::symmetric_cross_entropy_formula{options.cross_entropy, options.reverse * options.log_zero});
}
template <score_tensor Logits, loss_output Loss, loss_output Grad>
void symmetric_cross_entropy(const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad,
                             const symmetric_cross_entropy_options& options = {}) {
  symmetric_cross_entropy(seq, logits, labels, loss, grad, options);
}

}  // namespace weakly::inline v0
