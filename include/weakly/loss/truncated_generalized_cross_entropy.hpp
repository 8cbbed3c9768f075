// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/executor.hpp>
#include <weakly/core/math.hpp>
#include <weakly/loss/detail/formula_loss.hpp>
#include <weakly/loss/generalized_cross_entropy.hpp>
#include <weakly/loss/row_loss.hpp>

#include <cmath>

namespace weakly::inline v0 {

struct truncated_generalized_cross_entropy_options {
  double q = 0.7;  ///< in [0, 1], as in generalized_cross_entropy
  double k = 0.5;  ///< in (0, 1): rows whose label has at most this probability are left out of the gradient
};

namespace detail {

struct truncated_generalized_cross_entropy_formula {
  generalized_cross_entropy_formula inside;
  double k;

  template <class V>
  WEAKLY_HD softmax_gradient<V> operator()(const label_softmax<V>& row) const {
    using math::select;
    const double outside = inside.q == 0 ? -std::log(k) : -std::expm1(inside.q * std::log(k)) / inside.q;
    softmax_gradient<V> g = inside(row);
    const auto left_out = row.p <= math::constant<V>(k);  // false for a NaN, which stays one
    g.value = select(left_out, math::constant<V>(outside), g.value);
    g.scale = select(left_out, V(0), g.scale);
    g.at_label = select(left_out, V(0), g.at_label);
    return g;
  }
};

}  // namespace detail

/// Truncated generalised cross-entropy: constant where the label is less probable than a bound.
///
///     loss(i) = (1 - p^q) / q where p > k, else (1 - k^q) / q,   p = softmax(logits(i))(label(i))
///
/// A row with p <= k has gradient zero.
/// Arguments, special values and errors as softmax_loss, and option_error unless q is in [0, 1] and k in (0, 1).
/// Zhang, Sabuncu, NeurIPS 2018 (arXiv 1805.07836), eq. 9, without its learnt example weights.
template <executor Exec, score_tensor Logits, loss_output Loss, loss_output Grad>
void truncated_generalized_cross_entropy(Exec&& ex, const Logits& logits, const loss_labels& labels, Loss&& loss,
                                         Grad&& grad, const truncated_generalized_cross_entropy_options& options = {}) {
  constexpr auto name = "truncated_generalized_cross_entropy";
  detail::require_option(name, "q", options.q, options.q >= 0 && options.q <= 1, "a number in [0, 1]");
  detail::require_option(name, "k", options.k, options.k > 0 && options.k < 1, "a number in (0, 1)");
  detail::formula_loss("truncated_generalized_cross_entropy", ex, logits, labels, loss, grad,
                       detail::truncated_generalized_cross_entropy_formula{{options.q}, options.k});
}
template <score_tensor Logits, loss_output Loss, loss_output Grad>
void truncated_generalized_cross_entropy(const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad,
                                         const truncated_generalized_cross_entropy_options& options = {}) {
  truncated_generalized_cross_entropy(seq, logits, labels, loss, grad, options);
}

}  // namespace weakly::inline v0
