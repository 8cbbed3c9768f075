// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/executor.hpp>
#include <weakly/core/math.hpp>
#include <weakly/loss/detail/formula_loss.hpp>
#include <weakly/loss/row_loss.hpp>

#include <cmath>

namespace weakly::inline v0 {

struct reverse_cross_entropy_options {
  double log_zero = 9.210340371976182;  ///< A = -log 0 of a one-hot target, here -log 1e-4; positive and finite
};

namespace detail {

struct reverse_cross_entropy_formula {
  double log_zero;

  template <class V>
  WEAKLY_HD softmax_gradient<V> operator()(const label_softmax<V>& row) const {
    const V a = math::constant<V>(log_zero);
    return loss_of_probability(row, a * row.q, -a * row.p);
  }
};

template <class T>
void require_domain(std::string_view function, const reverse_cross_entropy_options& options) {
  require_option(function, "log_zero", options.log_zero, options.log_zero > 0 && std::isfinite(options.log_zero),
                 "a positive finite number");
  require_power<T>(function, "log_zero", options.log_zero, 1);
}
inline reverse_cross_entropy_formula formula_of(const reverse_cross_entropy_options& options) {
  return {options.log_zero};
}

}  // namespace detail

/// Cross-entropy with prediction and target exchanged, where log 0 of the one-hot target is set to -A.
///
///     loss(i) = A (1 - p),   p = softmax(logits(i))(label(i))
///
/// Arguments, special values and errors as softmax_loss, and option_error unless A is positive and at most 2^40
/// (double: 2^400).
/// Wang et al., ICCV 2019 (arXiv 1908.06112), eq. 6.
template <executor Exec, score_tensor Logits, loss_output Loss, loss_output Grad>
void reverse_cross_entropy(Exec&& ex, const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad,
                           const reverse_cross_entropy_options& options = {}) {
  detail::require_domain<detail::loss_number<Logits>>("reverse_cross_entropy", options);
  detail::formula_loss("reverse_cross_entropy", ex, logits, labels, loss, grad, detail::formula_of(options));
}
template <score_tensor Logits, loss_output Loss, loss_output Grad>
void reverse_cross_entropy(const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad,
                           const reverse_cross_entropy_options& options = {}) {
  reverse_cross_entropy(seq, logits, labels, loss, grad, options);
}

}  // namespace weakly::inline v0
