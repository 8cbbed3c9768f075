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
#include <weakly/loss/row_loss.hpp>

#include <algorithm>
#include <cmath>
#include <vector>

namespace weakly::inline v0 {

struct ldam_margins_options {
  double greatest = 0.5;  ///< the margin of the rarest class; not negative
};

/// Margins that grow with the rarity of a class: greatest (counts(j) / least count)^(-1/4).
///
/// counts  k   positive numbers; else value_error
template <count_vector Counts>
std::vector<double> ldam_margins(const Counts& counts, const ldam_margins_options& options = {}) {
  detail::require_option("ldam_margins", "greatest", options.greatest,
                         options.greatest >= 0 && std::isfinite(options.greatest),
                         "a finite number that is not negative");
  std::vector<double> margin = detail::positive_counts("ldam_margins", counts);
  if (margin.empty()) return margin;
  const double least = *std::min_element(margin.begin(), margin.end());
  for (double& m : margin) m = options.greatest * std::pow(m / least, -0.25);
  return margin;
}

struct ldam_options {
  double scale = 30;  ///< s, positive
};

/// Label-distribution-aware margin loss: cross-entropy after the label's score has given up its margin.
///
///     loss(i) = -log softmax(s (f - margins(y) e(y)))(y),   f = logits(i), y = label(i)
///
/// margins  k   numbers, as from ldam_margins
///
/// For scores that are cosines, in [-1, 1]; others are safe too. The derivative with respect to margins(label(i)) is
/// -grad(i, label(i)), weights included. Class weights go into loss_labels, deferred_reweighting makes them, and the
/// authors' mean over a batch is weighted_mean of reduction.hpp. Otherwise arguments, special values and errors as
/// softmax_loss, and option_error unless s lies in [2^-100, 2^100] (in double 2^900), shape_error unless there are k
/// margins. A NaN margin makes the rows of its label NaN. Cao et al., NeurIPS 2019 (arXiv 1906.07413), eq. 12.
template <executor Exec, score_tensor Logits, real_vector Margins, loss_output Loss, loss_output Grad>
void ldam(Exec&& ex, const Logits& logits, const loss_labels& labels, const Margins& margins, Loss&& loss, Grad&& grad,
          const ldam_options& options = {}) {
  using T = detail::loss_number<Logits>;
  detail::require_temperature<T>("ldam", options.scale, "scale");
  const auto rows = as_rows(view(logits));
  const index_t n = rows.extent(0), k = rows.extent(1);
  detail::require_extent("ldam: margins", view(margins), 0, k);
  detail::softmax_scores<T> scores;
  scores.logits = detail::row_source<T>(rows);
  scores.temperature = static_cast<T>(1 / options.scale);
  scores.kind = detail::margin_of::label;
  scores.margins = detail::row_source<T>(as_rows(view(margins)));
  detail::run_softmax_loss("ldam", ex, scores, n, labels, detail::value_sink<T>("ldam", "loss", loss, n),
                           detail::gradient_sink<T>("ldam", grad, n, k), detail::cross_entropy_formula{options.scale});
}
template <score_tensor Logits, real_vector Margins, loss_output Loss, loss_output Grad>
void ldam(const Logits& logits, const loss_labels& labels, const Margins& margins, Loss&& loss, Grad&& grad,
          const ldam_options& options = {}) {
  ldam(seq, logits, labels, margins, loss, grad, options);
}

}  // namespace weakly::inline v0
