// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/softmax_rows.hpp>
#include <weakly/core/view.hpp>
#include <weakly/loss/cross_entropy.hpp>
#include <weakly/loss/detail/count_vector.hpp>
#include <weakly/loss/detail/formula_loss.hpp>
#include <weakly/loss/detail/row_softmax.hpp>
#include <weakly/loss/row_loss.hpp>

#include <cmath>
#include <vector>

namespace weakly::inline v0 {

/// What logit_adjustment adds to the scores: strength log(prior(j)), where prior is scaled to sum to one.
///
/// prior  k   positive numbers, such as class counts; else value_error
///
/// Throws option_error for a strength that is not finite. The same numbers subtracted from the scores of a model
/// trained without them are the post-hoc correction.
template <count_vector Prior>
std::vector<double> prior_adjustment(const Prior& prior, double strength = 1) {
  detail::require_option("prior_adjustment", "strength", strength, std::isfinite(strength), "a finite number");
  std::vector<double> adjustment = detail::positive_counts("prior_adjustment", prior);
  double sum = 0;
  for (const double x : adjustment) sum += x;
  for (double& x : adjustment) x = strength * std::log(x / sum);
  return adjustment;
}

/// Cross-entropy of scores to which the logarithm of the class prior has been added, for rare classes.
///
///     loss(i) = -log softmax(logits(i) + adjustment)(label(i))
///
/// adjustment  k   numbers, as from prior_adjustment; -inf excludes a class
///
/// Otherwise arguments, special values and errors as softmax_loss, and shape_error unless there are k adjustments.
/// Menon et al., ICLR 2021 (arXiv 2007.07314), eq. 10.
template <executor Exec, score_tensor Logits, real_vector Adjustment, loss_output Loss, loss_output Grad>
void logit_adjustment(Exec&& ex, const Logits& logits, const loss_labels& labels, const Adjustment& adjustment,
                      Loss&& loss, Grad&& grad) {
  using T = detail::loss_number<Logits>;
  constexpr auto name = "logit_adjustment";
  const auto rows = as_rows(view(logits));
  const index_t n = rows.extent(0), k = rows.extent(1);
  detail::require_extent("logit_adjustment: adjustment", view(adjustment), 0, k);
  detail::softmax_scores<T> scores;
  scores.logits = detail::row_source<T>(rows);
  scores.kind = detail::margin_of::column_and_label;
  scores.margins = detail::row_source<T>(as_rows(view(adjustment)));
  detail::run_softmax_loss(name, ex, scores, n, labels, detail::value_sink<T>(name, "loss", loss, n),
                           detail::gradient_sink<T>(name, grad, n, k), detail::cross_entropy_formula{});
}
template <score_tensor Logits, real_vector Adjustment, loss_output Loss, loss_output Grad>
void logit_adjustment(const Logits& logits, const loss_labels& labels, const Adjustment& adjustment, Loss&& loss,
                      Grad&& grad) {
  logit_adjustment(seq, logits, labels, adjustment, loss, grad);
}

/// Derivative of each row's logit_adjustment loss with respect to the strength t of adjustment = t log_prior.
///
///     slope(i) = sum over j of grad(i, j) log_prior(j)
///
/// grad       [..., k]  as logit_adjustment has written it, weights included
/// log_prior  k         finite, as from prior_adjustment(prior, 1)
/// slope      [...]
///
/// Throws shape_error. O(n k), allocates nothing. Same bits for every executor and layout.
template <executor Exec, score_tensor Grad, real_vector LogPrior, loss_output Slope>
void logit_adjustment_slope(Exec&& ex, const Grad& grad, const LogPrior& log_prior, Slope&& slope) {
  using T = detail::loss_number<Grad>;
  constexpr auto name = "logit_adjustment_slope";
  const auto rows = as_rows(view(grad));
  const index_t n = rows.extent(0), k = rows.extent(1);
  detail::require_extent("logit_adjustment_slope: log_prior", view(log_prior), 0, k);
  const detail::row_source<T> gradient(rows), prior(as_rows(view(log_prior)));
  const detail::row_sink<T> out = detail::value_sink<T>(name, "slope", slope, n);
  if (out.empty()) return;
  constexpr index_t block = detail::row_blocks<T>::block;
  for_row_chunks(ex, n, k, [&](index_t first, index_t last) {
    T left[std::size_t(block)], right[std::size_t(block)];
    for (index_t i = first; i < last; ++i) {
      T sum = 0;
      for (index_t j = 0; j < k; j += block) {
        const index_t count = k - j < block ? k - j : block;
        sum += detail::sum_batches(gradient.part(i, j, count, left), prior.part(0, j, count, right), count,
                                   [](auto g, auto c) { return g * c; });
      }
      out.put_rows(i, 1, &sum);
    }
  });
}
template <score_tensor Grad, real_vector LogPrior, loss_output Slope>
void logit_adjustment_slope(const Grad& grad, const LogPrior& log_prior, Slope&& slope) {
  logit_adjustment_slope(seq, grad, log_prior, slope);
}

}  // namespace weakly::inline v0
