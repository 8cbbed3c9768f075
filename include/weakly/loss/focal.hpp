// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/executor.hpp>
#include <weakly/core/math.hpp>
#include <weakly/loss/detail/formula_loss.hpp>
#include <weakly/loss/row_loss.hpp>

#include <cmath>

namespace weakly::inline v0 {

struct focal_options {
  double gamma = 2;  ///< not negative; 0 is cross-entropy
};

namespace detail {

struct focal_formula {
  double gamma;

  template <class V>
  WEAKLY_HD softmax_gradient<V> operator()(const label_softmax<V>& row) const {
    using math::select;
    const V factor = math::power(row.q, gamma);
    // -p log p / q, which is 1 in the limit q = 0 and 0 in the limit p = 0.
    const V ratio = select(row.q == V(0), V(1), row.p * row.cross_entropy / row.q);
    const V inner = select(row.p == V(0), V(0), ratio);
    return loss_of_probability(row, factor * row.cross_entropy, -factor * (math::constant<V>(gamma) * inner + V(1)));
  }
};

}  // namespace detail

/// Focal loss of the softmax: cross-entropy that sets little store by rows it has right.
///
///     loss(i) = -(1 - p)^gamma log p,   p = softmax(logits(i))(label(i))
///
/// Arguments, special values and errors as softmax_loss, and option_error unless gamma is finite and not negative.
/// Lin et al., ICCV 2017 (arXiv 1708.02002), whose own form is a sigmoid for each class.
template <executor Exec, score_tensor Logits, loss_output Loss, loss_output Grad>
void focal(Exec&& ex, const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad,
           const focal_options& options = {}) {
  detail::require_option("focal", "gamma", options.gamma, options.gamma >= 0 && std::isfinite(options.gamma),
                         "a finite number that is not negative");
  detail::formula_loss("focal", ex, logits, labels, loss, grad, detail::focal_formula{options.gamma});
}
template <score_tensor Logits, loss_output Loss, loss_output Grad>
void focal(const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad,
           const focal_options& options = {}) {
  focal(seq, logits, labels, loss, grad, options);
}

}  // namespace weakly::inline v0
