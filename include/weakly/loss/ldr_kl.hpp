// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/view.hpp>
#include <weakly/loss/detail/kl_row.hpp>
#include <weakly/loss/detail/row_extra.hpp>
#include <weakly/loss/loss_margins.hpp>
#include <weakly/loss/row_loss.hpp>

#include <cmath>
#include <type_traits>

namespace weakly::inline v0 {

struct ldr_kl_options {
  double lambda = 1;        ///< in [0, inf]; 0 is the greatest delta, inf the mean of all
  loss_margins margin = 0;  ///< usually one number, or class_margins and its like (loss_margins.hpp)
};

namespace detail {

template <class T>
struct ldr_kl_formula {
  T lambda, log_classes;

  template <class V>
  WEAKLY_HD softmax_gradient<V> of_scores(const label_softmax<V>& row, V top, V log_sum) const {
    return loss_of_probability(row, top + V(lambda) * (log_sum - V(log_classes)), V(-1));
  }
};

/// Whether the softmax kernel serves: its rounding, some units in the last place of log k, is multiplied by lambda, and
/// it takes a label's margin for zero and exp(margin / lambda) for a factor that no digit is lost in.
template <class T>
bool ldr_kl_by_softmax(const softmax_scores<T>& scores, double lambda) {
  constexpr double least = 1e-6, greatest = sizeof(T) == 4 ? 10 : 100, greatest_exponent = 20;
  if (!(lambda >= least && lambda <= greatest)) return false;
  const auto fits = [&](T margin) { return std::abs(double(margin)) <= greatest_exponent * lambda; };
  bool serves = scores.kind != margin_of::row && (scores.kind != margin_of::all || fits(scores.margin));
  for (index_t y = 0; serves && y < scores.classes(); ++y) {
    if (scores.kind == margin_of::label) serves = fits(scores.margins.at(0, y));
    if (scores.kind == margin_of::label_column) serves = scores.margins.at(y, y) == T(0);
  }
  return serves;
}

}  // namespace detail

/// Label-distributionally robust loss with the Kullback-Leibler divergence, LDR-KL: a multi-class hinge at one end of
/// lambda, a symmetric loss at the other, cross-entropy between.
///
///     delta(j)       = (f(j) - f(y)) + c(j)
///     loss(i)        = max over distributions p of sum p(j) delta(j) - lambda KL(p || uniform)
///                    = lambda log( 1/k sum exp(delta(j) / lambda) )
///     grad(i, j)     = p(j) - 1[j = y],  p = softmax(delta / lambda)
///     lambda_grad(i) = d loss / d lambda = -KL(p || uniform), in [-log k, 0]
///
/// logits       [..., k]  finite scores f; -inf excludes a class, which still counts in k
/// labels       [...]     as in softmax_loss
/// loss         [...]     or discard
/// grad         [..., k]  or discard; may be the storage of `logits`
/// lambda_grad  [...]     or left out
///
/// lambda = 1 without margins is cross-entropy less log k; lambda = 0 is the greatest delta, p uniform over those that
/// attain it; lambda = inf is the mean of delta, which an excluded class makes -inf while its p stays 1/k like all
/// others. The gradient by a margin c(j) is p(j): that by the logits, but at the label one more. A row with a NaN or
/// +inf, or whose label is excluded, comes out as NaN, and no other row does. Throws option_error for a lambda that is
/// negative or NaN, else as softmax_loss.
///
/// Between 1e-6 and 10 (double: 100) the loss is computed by the softmax kernel, with an error below 1e-5 (1e-12)
/// max(1, greatest |f|); outside, with row_margins, and with lambda_grad by one that centres nearly uniform rows, where
/// the loss and its KL keep their digits for every lambda. O(n k), allocates nothing. Same bits for every executor,
/// layout and batch. Zhu, Ying, Yang, "Label distributionally robust losses for multi-class classification", ICML 2023.
template <executor Exec, score_tensor Logits, loss_output Loss, loss_output Grad, loss_output LambdaGrad>
void ldr_kl(Exec&& ex, const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad,
            LambdaGrad&& lambda_grad, const ldr_kl_options& options = {}) {
  using T = arithmetic_t<typename detail::input_view_t<Logits>::value_type>;
  const auto rows = as_rows(view(logits));
  const index_t n = rows.extent(0), k = rows.extent(1);
  if (!(options.lambda >= 0))
    detail::fail<option_error>("ldr_kl: lambda is ", options.lambda, "; it must lie in [0, inf]");
  options.margin.require<T>("ldr_kl", n, k);
  detail::softmax_scores<T> scores;
  scores.logits = detail::row_source<T>(rows);
  options.margin.give_to(scores);
  const auto values = detail::value_sink<T>("ldr_kl", "loss", loss, n);
  const auto gradients = detail::gradient_sink<T>("ldr_kl", grad, n, k);
  const detail::row_extra<T> slopes(detail::value_sink<T>("ldr_kl", "lambda_grad", lambda_grad, n), labels, k);
  if (slopes.empty() && detail::ldr_kl_by_softmax(scores, options.lambda)) {
    scores.temperature = static_cast<T>(options.lambda);
    const detail::ldr_kl_formula<T> formula{scores.temperature, static_cast<T>(std::log(double(k)))};
    detail::run_softmax_loss("ldr_kl", ex, scores, n, labels, values, gradients, formula);
    return;
  }
  const T lambda = detail::rounded_lambda<T>(options.lambda);
  slopes.clear(ex, n);
  detail::run_row_loss("ldr_kl", ex, scores.logits, n, labels, values, gradients,
                       [&](const detail::row_blocks<T>& row, index_t label) {
                         const detail::delta_row<T> delta(scores, row, label);
                         const detail::kl_row<T> result(delta, lambda);
                         result.write_gradient(delta);
                         slopes.put(row.row(), -result.kl);
                         return result.value;
                       });
}
template <executor Exec, score_tensor Logits, loss_output Loss, loss_output Grad>
void ldr_kl(Exec&& ex, const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad,
            const ldr_kl_options& options = {}) {
  ldr_kl(ex, logits, labels, loss, grad, discard, options);
}
template <score_tensor Logits, loss_output Loss, loss_output Grad, loss_output LambdaGrad>
void ldr_kl(const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad, LambdaGrad&& lambda_grad,
            const ldr_kl_options& options = {}) {
  ldr_kl(seq, logits, labels, loss, grad, lambda_grad, options);
}
template <score_tensor Logits, loss_output Loss, loss_output Grad>
void ldr_kl(const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad,
            const ldr_kl_options& options = {}) {
  ldr_kl(seq, logits, labels, loss, grad, discard, options);
}

}  // namespace weakly::inline v0
