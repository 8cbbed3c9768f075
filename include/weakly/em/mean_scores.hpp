// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>
#include <weakly/em/detail/wide_rows.hpp>

#include <algorithm>
#include <cstddef>

namespace weakly::inline v0 {

/// Mean of the scores of several views of the same examples: the logarithm, up to a constant of the row, of the
/// geometric mean of their probabilities.
///
///     out(i, c) = (scores_1(i, c) + ... + scores_V(i, c)) / V
///     label_posterior of out: q(c) proportional to t(c) times the V-th root of p_1(c) ... p_V(c)
///
/// out    [..., k]  may be the storage of a view
/// views  [..., k]  each: logits or log-probabilities, of whatever type
///
/// A class that one view excludes by -inf stays excluded; NaN stays where it is. Throws shape_error. O(n k V), in
/// double; allocates nothing. Same bits for every executor and layout. Source: the target of
/// Wu, Wang, Zhang (RCR), ICML 2022.
template <executor Exec, real_output Out, score_tensor First, score_tensor... Others>
void mean_scores(Exec&& ex, Out&& out, const First& first_view, const Others&... other_views) {
  constexpr const char* name = "mean_scores";
  constexpr index_t views = 1 + static_cast<index_t>(sizeof...(Others));
  const detail::wide_rows all[] = {detail::wide_rows_of(name, first_view), detail::wide_rows_of(name, other_views)...};
  const index_t n = all[0].n, k = all[0].k;
  for (const detail::wide_rows& v : all)
    if (v.n != n || v.k != k)
      detail::fail<shape_error>(name, ": a view has ", v.n, " rows of ", v.k, ", the first ", n, " of ", k);
  const auto to = detail::wide_sink(name, "out", out, n, k);
  for_row_chunks(ex, n, k, [&](index_t first, index_t last) {
    double buffer[std::size_t(detail::wide_block)], mean[std::size_t(detail::wide_block)];
    for (index_t i = first; i < last; ++i)
      for (index_t j = 0; j < k; j += detail::wide_block) {
        const index_t count = std::min(detail::wide_block, k - j);
        std::fill_n(mean, count, 0.0);
        for (const detail::wide_rows& v : all) {
          const double* const x = v.x.part(i, j, count, buffer);
          for (index_t c = 0; c < count; ++c) mean[c] += x[c];
        }
        for (index_t c = 0; c < count; ++c) mean[c] /= static_cast<double>(views);
        to.put_part(i, j, count, mean);
      }
  });
}
template <real_output Out, score_tensor First, score_tensor... Others>
void mean_scores(Out&& out, const First& first_view, const Others&... other_views) {
  mean_scores(seq, out, first_view, other_views...);
}

}  // namespace weakly::inline v0
