// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/detail/map_batches.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>
#include <weakly/em/detail/wide_rows.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace weakly::inline v0 {

namespace detail {

/// For each row f(blocks): its passes over it, of which the last writes.
template <executor Exec, class Posterior, class Out, class F>
void map_posteriors(const char* name, Exec& ex, const Posterior& posterior, Out& out, F f) {
  const wide_rows rows = wide_rows_of(name, posterior);
  const row_sink<double> to = wide_sink(name, "out", out, rows.n, rows.k);
  for_row_chunks(ex, rows.n, rows.k, [&](index_t first, index_t last) {
    for (index_t i = first; i < last; ++i) f(row_blocks<double>(rows.x, to, i, 1));
  });
}

/// NaN where a row has one, else its greatest entry.
inline double greatest_of(const row_blocks<double>& row) {
  using batch = simd::batch<double>;
  constexpr double nothing = -std::numeric_limits<double>::infinity();
  batch top = nothing;
  auto numbers = simd::first_lanes<double>(batch::size);
  row.read([&](index_t, const double* x, index_t count) {
    for_batches<double>(count, [&](auto at) {
      const batch v = at.load(x, nothing);
      top = simd::max(v, top);
      numbers = numbers & (v == v);
    });
  });
  return simd::all(numbers) ? simd::reduce_max(top) : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace detail

/// Posteriors to the power 1 / temperature, made to sum to one again.
///
/// posterior    [..., k]  not negative
/// temperature            positive: below 1 sharper, above 1 flatter
/// out          [..., k]  may be the storage of `posterior`
///
/// Relative to the greatest of a row, so that nothing under- or overflows; zeros stay. Powers are exp(log(q / greatest)
/// / temperature), whose relative error is about a rounding times 1 + |that exponent|. A row with a NaN, or of zeros,
/// is NaN. Throws shape_error, option_error. O(n k), in double; allocates nothing. Same bits for every executor and
/// layout. Source: Berthelot et al. (MixMatch), NeurIPS 2019.
template <executor Exec, score_tensor Posterior, real_output Out>
void sharpen(Exec&& ex, const Posterior& posterior, double temperature, Out&& out) {
  if (!(temperature > 0 && std::isfinite(temperature)))
    detail::fail<option_error>("sharpen: temperature is ", temperature, "; it must be positive and finite");
  detail::map_posteriors("sharpen", ex, posterior, out, [=](const detail::row_blocks<double>& row) {
    using batch = simd::batch<double>;
    const double top = detail::greatest_of(row);
    const double power = std::min(1 / temperature, std::numeric_limits<double>::max());  // times log(1) it is zero
    double sum = 0, raised[std::size_t(detail::wide_block)];
    const auto raise = [&](const double* x, index_t count) {
      detail::map_batches(x, count, static_cast<double*>(raised), [&](batch v) {
        return simd::exp(simd::log(v / top) * power);  // log(0) is -inf, and exp of that 0
      });
    };
    row.read([&](index_t, const double* x, index_t count) {
      raise(x, count);
      sum += simd::sum(static_cast<const double*>(raised), count);
    });
    row.write([&](index_t, const double* x, index_t count, double* q) {
      if (row.classes() > count) raise(x, count);
      detail::map_batches(static_cast<const double*>(raised), count, q, [&](batch v) { return v / sum; });
    });
  });
}
template <score_tensor Posterior, real_output Out>
void sharpen(const Posterior& posterior, double temperature, Out&& out) {
  sharpen(seq, posterior, temperature, out);
}

/// Posteriors of the `keep` most probable classes of each row, made to sum to one again; all others are zero.
///
/// posterior  [..., k]  not negative
/// keep                 at least 1; k and more keep all
/// out        [..., k]  may be the storage of `posterior`
///
/// Of equal classes the lower stays. A row with a NaN is NaN, a row of zeros stays. Throws shape_error, option_error.
/// O(n k keep), in double; allocates nothing. Same bits for every executor and layout. Source: as in Chen et al., arXiv
/// 2305.12715.
template <executor Exec, score_tensor Posterior, real_output Out>
void keep_top_classes(Exec&& ex, const Posterior& posterior, index_t keep, Out&& out) {
  if (keep < 1) detail::fail<option_error>("keep_top_classes: keep is ", keep, "; it must be 1 or more");
  detail::map_posteriors("keep_top_classes", ex, posterior, out, [=](const detail::row_blocks<double>& row) {
    const double top = detail::greatest_of(row);
    // The last that stays: one pass finds the next after it, in the order of values and then of classes.
    double value = std::numeric_limits<double>::infinity(), sum = 0;
    index_t at = -1;
    for (index_t kept = 0; kept < std::min(keep, row.classes()); ++kept) {
      double best = -1;
      index_t best_at = -1;
      row.read([&](index_t column, const double* x, index_t count) {
        for (index_t c = 0; c < count; ++c)
          if ((x[c] < value || (x[c] == value && column + c > at)) && x[c] > best) {
            best = x[c];
            best_at = column + c;
          }
      });
      if (best_at < 0) break;
      value = best;
      at = best_at;
      sum += best;
    }
    row.write([&](index_t column, const double* x, index_t count, double* q) {
      for (index_t c = 0; c < count; ++c) {
        const bool stays = x[c] > value || (x[c] == value && column + c <= at);
        q[c] = std::isnan(top) ? top : stays && sum > 0 ? x[c] / sum : 0;
      }
    });
  });
}
template <score_tensor Posterior, real_output Out>
void keep_top_classes(const Posterior& posterior, index_t keep, Out&& out) {
  keep_top_classes(seq, posterior, keep, out);
}

/// Weights of rows: 1 where the greatest posterior reaches `threshold`, else 0, as it is for a row with a NaN. The mean
/// of weighted losses is over all rows, not over those kept.
///
/// posterior  [..., k]
/// weight     [...]
///
/// Throws shape_error; option_error for NaN. O(n k), allocates nothing. Same bits for every executor and layout.
/// Source: Sohn et al. (FixMatch), NeurIPS 2020.
template <executor Exec, score_tensor Posterior, real_output Weight>
void confident_rows(Exec&& ex, const Posterior& posterior, double threshold, Weight&& weight) {
  if (std::isnan(threshold)) detail::fail<option_error>("confident_rows: threshold is NaN");
  const detail::wide_rows rows = detail::wide_rows_of("confident_rows", posterior);
  const detail::row_sink<double> nothing;
  const auto to = detail::value_sink<double>("confident_rows", "weight", weight, rows.n);
  for_row_chunks(ex, rows.n, rows.k, [&](index_t first, index_t last) {
    for (index_t i = first; i < last; ++i)
      detail::put_value(to, i,
                        detail::greatest_of(detail::row_blocks<double>(rows.x, nothing, i, 1)) >= threshold ? 1 : 0);
  });
}
template <score_tensor Posterior, real_output Weight>
void confident_rows(const Posterior& posterior, double threshold, Weight&& weight) {
  confident_rows(seq, posterior, threshold, weight);
}

}  // namespace weakly::inline v0
