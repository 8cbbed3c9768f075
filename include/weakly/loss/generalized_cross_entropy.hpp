// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/executor.hpp>
#include <weakly/core/math.hpp>
#include <weakly/loss/detail/formula_loss.hpp>
#include <weakly/loss/row_loss.hpp>

#include <cmath>

namespace weakly::inline v0 {

struct generalized_cross_entropy_options {
  double q = 0.7;  ///< in [0, 1]: 0 is cross-entropy, 1 is 1 - p
};

namespace detail {

/// (1 - p^q) / q with its limit at q = 0. The slope is -p^q, taken from the cross-entropy so that it survives p = 0.
struct generalized_cross_entropy_formula {
  double q;

  template <class V>
  WEAKLY_HD softmax_gradient<V> operator()(const label_softmax<V>& row) const {
    using math::expm1_nonpositive;
    using std::exp;
    if (q < 1e-30) return loss_of_probability(row, row.cross_entropy, V(-1));
    const V exponent = row.cross_entropy * math::constant<V>(-q);
    const V value = q == 1 ? row.q : expm1_nonpositive(exponent) * math::constant<V>(-1 / q);
    return loss_of_probability(row, value, q == 1 ? -row.p : -exp(exponent));
  }
};

}  // namespace detail

/// Generalised cross-entropy, between cross-entropy and mean absolute error.
///
///     loss(i) = (1 - p^q) / q,   p = softmax(logits(i))(label(i))
///
/// Arguments, special values and errors as softmax_loss, and option_error unless q is in [0, 1].
/// Zhang, Sabuncu, NeurIPS 2018 (arXiv 1805.07836), eq. 6.
template <executor Exec, score_tensor Logits, loss_output Loss, loss_output Grad>
void generalized_cross_entropy(Exec&& ex, const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad,
                               const generalized_cross_entropy_options& options = {}) {
  detail::require_option("generalized_cross_entropy", "q", options.q, options.q >= 0 && options.q <= 1,
                         "a number in [0, 1]");
  detail::formula_loss("generalized_cross_entropy", ex, logits, labels, loss, grad,
                       detail::generalized_cross_entropy_formula{options.q});
}
template <score_tensor Logits, loss_output Loss, loss_output Grad>
void generalized_cross_entropy(const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad,
                               const generalized_cross_entropy_options& options = {}) {
  generalized_cross_entropy(seq, logits, labels, loss, grad, options);
}

}  // namespace weakly::inline v0
