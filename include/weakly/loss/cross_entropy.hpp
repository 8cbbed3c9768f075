// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/executor.hpp>
#include <weakly/core/math.hpp>
#include <weakly/loss/detail/formula_loss.hpp>
#include <weakly/loss/row_loss.hpp>

#include <cmath>

namespace weakly::inline v0 {

struct cross_entropy_options {
  double temperature = 1;  ///< positive; the softmax is that of logits / temperature
  double smoothing = 0;    ///< in [0, 1]: this share of the target is spread evenly over all classes
};

namespace detail {

struct cross_entropy_formula {
  double inverse_temperature = 1;

  template <class V>
  WEAKLY_HD softmax_gradient<V> operator()(const label_softmax<V>& row) const {
    return loss_of_probability(row, row.cross_entropy, math::constant<V>(-inverse_temperature));
  }
};

struct smoothed_cross_entropy_formula {
  static constexpr bool uses_total = true;
  double inverse_temperature, smoothing;

  template <class V>
  WEAKLY_HD softmax_gradient<V> operator()(const label_softmax<V>& row) const {
    const V slope = math::constant<V>(inverse_temperature), share = math::constant<V>(smoothing) / row.classes;
    return {math::constant<V>(1 - smoothing) * row.cross_entropy + share * row.total_cross_entropy, slope,
            -share * slope, (math::constant<V>(smoothing) - share - row.q) * slope};
  }
};

}  // namespace detail

/// Cross-entropy of the softmax, with temperature and label smoothing.
///
///     p = softmax(logits(i) / temperature)
///     loss(i) = -(1 - smoothing) log p(label(i)) - smoothing / k sum over j of log p(j)
///     grad(i, j) = (p(j) - (1 - smoothing) [j = label(i)] - smoothing / k) / temperature
///
/// Without smoothing the loss and the label's gradient keep their digits where p(label) rounds to one, and a class with
/// a score of -inf is left out; smoothing asks for a part of every class, so such a class makes the loss infinite.
/// Arguments, special values and errors as softmax_loss, and option_error unless temperature is positive and finite and
/// smoothing in [0, 1]. Class weights (loss_labels.hpp) multiply the whole row by that of its label.
template <executor Exec, score_tensor Logits, loss_output Loss, loss_output Grad>
void cross_entropy(Exec&& ex, const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad,
                   const cross_entropy_options& options = {}) {
  constexpr auto name = "cross_entropy";
  detail::require_option(name, "temperature", options.temperature,
                         options.temperature > 0 && std::isfinite(options.temperature), "a positive finite number");
  detail::require_option(name, "smoothing", options.smoothing, options.smoothing >= 0 && options.smoothing <= 1,
                         "a number in [0, 1]");
  const double inverse = 1 / options.temperature;
  if (options.smoothing == 0)
    detail::formula_loss(name, ex, logits, labels, loss, grad, detail::cross_entropy_formula{inverse},
                         options.temperature);
  else
    detail::formula_loss(name, ex, logits, labels, loss, grad,
                         detail::smoothed_cross_entropy_formula{inverse, options.smoothing}, options.temperature);
}
template <score_tensor Logits, loss_output Loss, loss_output Grad>
void cross_entropy(const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad,
                   const cross_entropy_options& options = {}) {
  cross_entropy(seq, logits, labels, loss, grad, options);
}

}  // namespace weakly::inline v0
