// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/executor.hpp>
#include <weakly/core/math.hpp>
#include <weakly/loss/detail/formula_loss.hpp>
#include <weakly/loss/row_loss.hpp>

#include <cmath>

namespace weakly::inline v0 {

struct jensen_shannon_options {
  double label_weight = 0.5;  ///< pi in (0, 1): towards 0 it is cross-entropy, towards 1 mean absolute error
};

namespace detail {

struct jensen_shannon_formula {
  double pi;

  template <class V>
  WEAKLY_HD softmax_gradient<V> operator()(const label_softmax<V>& row) const {
    using math::select;
    using std::log;
    using std::log1p;
    const double w = 1 - pi, log_w = std::log1p(-pi), z = -w * log_w;
    const V weight = math::constant<V>(w), least = math::constant<V>(pi);
    // log of the mixture at the label, pi + w p = 1 - w q, from the one that does not cancel.
    const V log_mixture = select(row.p > math::constant<V>(0.5), log1p(-weight * row.q), log(least + weight * row.p));
    // log of p over the mixture; the plain difference would lose the digits of a small pi where p is larger.
    const V log_ratio = select(row.p > least, -log1p(least * row.q / row.p), -row.cross_entropy - log_mixture);
    const V p_log_ratio = select(row.p == V(0), V(0), row.p * log_ratio);  // also where the logarithm is infinite
    const V value = weight * (p_log_ratio - math::constant<V>(log_w) * row.q) - least * log_mixture;
    const V slope = weight * (p_log_ratio + math::constant<V>(log_w) * row.p);
    const V scale = math::constant<V>(1 / z);
    return loss_of_probability(row, value * scale, slope * scale);
  }
};

}  // namespace detail

/// Jensen-Shannon divergence between the one-hot label and the softmax, scaled to lie between cross-entropy and mean
/// absolute error.
///
///     m = pi e(label) + (1 - pi) p
///     loss(i) = (pi KL(e(label) || m) + (1 - pi) KL(p || m)) / Z,   Z = -(1 - pi) log(1 - pi)
///
/// Computed from p(label) alone, which is exact: the other classes enter only through their sum.
/// Arguments, special values and errors as softmax_loss, and option_error unless pi is in (0, 1).
/// Englesson, Azizpour, NeurIPS 2021 (arXiv 2105.04522), with two distributions.
template <executor Exec, score_tensor Logits, loss_output Loss, loss_output Grad>
void jensen_shannon(Exec&& ex, const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad,
                    const jensen_shannon_options& options = {}) {
  detail::require_option("jensen_shannon", "label_weight", options.label_weight,
                         options.label_weight > 0 && options.label_weight < 1, "a number in (0, 1)");
  detail::formula_loss("jensen_shannon", ex, logits, labels, loss, grad,
                       detail::jensen_shannon_formula{options.label_weight});
}
template <score_tensor Logits, loss_output Loss, loss_output Grad>
void jensen_shannon(const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad,
                    const jensen_shannon_options& options = {}) {
  jensen_shannon(seq, logits, labels, loss, grad, options);
}

}  // namespace weakly::inline v0
