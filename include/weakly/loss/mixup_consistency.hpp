// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/detail/logistic.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>
#include <weakly/loss/detail/column_tiles.hpp>
#include <weakly/loss/row_loss.hpp>

#include <algorithm>
#include <cstddef>
#include <span>

namespace weakly::inline v0 {

namespace detail {

template <class T>
struct mixup_consistency_columns {
  using batch = simd::batch<T>;

  row_source<T> logits, target;
  row_sink<T> grad;
  index_t rows;
  double* loss;

  void operator()(index_t first, index_t columns) const {
    alignas(64) T x_buffer[std::size_t(column_tile)], target_buffer[std::size_t(column_tile)];
    alignas(64) T square[std::size_t(column_tile)], slope[std::size_t(column_tile)];
    double sum[std::size_t(column_group)] = {};
    const batch twice = T(2 / double(rows));
    for_tile_rows(rows, columns, [&](index_t start, index_t count) {
      const T* const x = tile_of(logits, start, count, first, columns, x_buffer);
      const T* const t = tile_of(target, start, count, first, columns, target_buffer);
      for (index_t e = 0; e < count * columns; e += batch::size) {
        const index_t n = std::min(batch::size, count * columns - e);
        const logistic_parts<T> l = logistic_of(simd::load_partial(x + e, n));
        const batch gap = simd::log(simd::load_partial(t + e, n, T(1))) + l.softplus_down;
        simd::store_partial(square + e, n, gap * gap);
        simd::store_partial(slope + e, n, -twice * gap * l.down);
      }
      add_tile(static_cast<const T*>(square), count, columns, sum);
      if (!grad.empty()) put_tile(grad, start, count, first, columns, slope);
    });
    for (index_t c = 0; c < columns; ++c) loss[first + c] = sum[c] / double(rows);
  }
};

}  // namespace detail

/// Squared distance in log-probability between what a model says of mixed inputs and the mix of what it says of each.
///
///     loss(c) = mean over rows of (log target - log sigmoid(logits))^2
///     grad(i, c) = -2/n (log target - log sigmoid(logits)) (1 - sigmoid(logits))
///
/// logits  n x c  scores of the mixed inputs
/// target  n x c  in (0, 1], constants: lambda a + (1 - lambda) b, where a and b are 1 for a known positive and the
///                probability of the unmixed input otherwise; zero gives an infinite loss
/// loss    c      grad  n x c or discard; may be the storage of `logits`
///
/// Returns the sum of the losses. NaN stays in its column. n = 0: losses are zero. Throws shape_error. O(n c),
/// allocates nothing. Same bits for every executor and layout.
/// Source: PU-MLC, arXiv 2306.16016.
template <executor Exec, score_tensor Logits, real_matrix Target, loss_output Grad>
  requires readable_matrix<Logits>
double mixup_consistency(Exec&& ex, const Logits& logits, const Target& target, std::span<double> loss, Grad&& grad) {
  using T = arithmetic_t<typename detail::input_view_t<Logits>::value_type>;
  const auto x = view(logits);
  const auto t = view(target);
  const index_t n = x.extent(0), c = x.extent(1);
  detail::require_same_shape("mixup_consistency: logits and target", x, t);
  if (static_cast<index_t>(loss.size()) != c)
    detail::fail<shape_error>("mixup_consistency: loss has ", loss.size(), " elements for ", c, " columns");
  const auto to = detail::gradient_sink<T>("mixup_consistency", grad, n, c);
  std::fill(loss.begin(), loss.end(), 0.0);
  if (n == 0) return 0;
  detail::for_column_groups(
      ex, c,
      detail::mixup_consistency_columns<T>{detail::row_source<T>(x), detail::row_source<T>(t), to, n, loss.data()});
  double total = 0;
  for (const double l : loss) total += l;
  return total;
}
template <score_tensor Logits, real_matrix Target, loss_output Grad>
  requires readable_matrix<Logits>
double mixup_consistency(const Logits& logits, const Target& target, std::span<double> loss, Grad&& grad) {
  return mixup_consistency(seq, logits, target, loss, grad);
}

}  // namespace weakly::inline v0
