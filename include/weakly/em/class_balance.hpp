// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>
#include <weakly/core/workspace.hpp>
#include <weakly/em/detail/exact_columns.hpp>
#include <weakly/em/detail/wide_rows.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace weakly::inline v0 {

struct class_balance_options {
  double floor = 1e-6;  ///< in (0, 1): mean probabilities below it count as it, and have no gradient
};

/// Bytes of workspace for k classes.
constexpr std::size_t class_balance_scratch(index_t k) {
  return scratch_bytes<std::int64_t>(detail::exact_columns::parts * k) + scratch_bytes<double>(k);
}

/// Cross-entropy from the uniform distribution to the mean prediction of a batch: least, log k, where no class is
/// favoured.
///
///     m(c) = max(mean over rows of prob(i, c), floor),   value = -(1 / k) sum over c of log m(c)
///     a(c) = -1 / (k m(c)), 0 below the floor
///     grad(i, c) = d value / d logits(i, c) = prob(i, c) (a(c) - sum over j of a(j) prob(i, j)) / n
///
/// prob     [..., k]  softmax of the logits: label_posterior with nothing_observed
/// scratch            class_balance_scratch(k) bytes
/// grad     [..., k]  or discard; may be the storage of `prob`
///
/// Returns the value, 0 for n = 0; the authors weigh it 0.1. Throws shape_error, option_error, workspace_error, and,
/// before anything is written, value_error naming the first row with a NaN or an entry outside [0, 1 + 1e-6]. O(n k),
/// means exact before rounding; allocates nothing. Same bits for every executor and layout. Source: the balance term in
/// the code of Chen et al., arXiv 2305.12715.
template <executor Exec, score_tensor Prob, real_output Grad>
double class_balance(Exec&& ex, const Prob& prob, workspace& scratch, Grad&& grad,
                     const class_balance_options& options = {}) {
  constexpr const char* name = "class_balance";
  if (!(options.floor > 0 && options.floor < 1))
    detail::fail<option_error>(name, ": floor is ", options.floor, "; it must lie in (0, 1)");
  if (const auto p = as_rows(view(prob)); p.extent(0) > 0 && p.extent(1) == 0)
    detail::fail<shape_error>(name, ": prob has ", p.extent(0), " rows of 0 classes; there must be at least one");
  const detail::wide_rows rows = detail::wide_rows_of(name, prob);
  const index_t n = rows.n, k = rows.k;
  const auto to = detail::wide_sink(name, "grad", grad, n, k);
  if (n == 0) return 0;
  detail::exact_columns sums(scratch.take<std::int64_t>("class_balance: sums", detail::exact_columns::parts * k).data(),
                             k);
  double* const a = scratch.take<double>("class_balance: slopes", k).data();
  sums.add_up(name, ex, rows.x, n);
  double value = 0;
  for (index_t c = 0; c < k; ++c) {
    const double mean = sums.mean(c, n), share = 1 / static_cast<double>(k);
    value -= share * std::log(std::max(mean, options.floor));
    a[c] = mean < options.floor ? 0 : -share / mean;
  }
  if (to.empty()) return value;
  for_row_chunks(ex, n, k, [&](index_t first, index_t last) {
    for (index_t i = first; i < last; ++i) {
      const detail::row_blocks<double> row(rows.x, to, i, 1);
      double along = 0;
      row.read([&](index_t column, const double* p, index_t count) {
        for (index_t c = 0; c < count; ++c) along += a[column + c] * p[c];
      });
      row.write([&](index_t column, const double* p, index_t count, double* g) {
        for (index_t c = 0; c < count; ++c) g[c] = p[c] * (a[column + c] - along) / static_cast<double>(n);
      });
    }
  });
  return value;
}
template <score_tensor Prob, real_output Grad>
double class_balance(const Prob& prob, workspace& scratch, Grad&& grad, const class_balance_options& options = {}) {
  return class_balance(seq, prob, scratch, grad, options);
}

}  // namespace weakly::inline v0
