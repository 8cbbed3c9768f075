// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/noise/detail/numpy_arithmetic.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

namespace weakly::inline v0::detail {

__extension__ using wide_unsigned = unsigned __int128;

/// Shares `total` among cells in proportion to their weights, exactly: the method of largest remainders.
///
///     share(j) = floor(total weight(j) / sum of weights), plus one in the cells with the largest remainders until the
///     shares sum to total; among equal remainders the lowest j comes first
///
/// Weights and total are not negative. With no weight at all nothing is shared. O(k log k), allocates 16 bytes for each
/// cell with a weight.
inline void apportion(std::span<const std::int64_t> weight, std::int64_t total, std::span<std::int64_t> share) {
  std::fill(share.begin(), share.end(), 0);
  const std::int64_t sum = std::accumulate(weight.begin(), weight.end(), std::int64_t(0));
  if (sum == 0 || total <= 0) return;
  struct cell {
    std::uint64_t remainder;
    std::size_t index;
    bool operator<(const cell& other) const {
      return remainder != other.remainder ? remainder > other.remainder : index < other.index;
    }
  };
  std::vector<cell> cells;  // joints are sparse: only cells with a weight take part
  std::int64_t left = total;
  for (std::size_t j = 0; j < weight.size(); ++j) {
    if (weight[j] == 0) continue;
    const wide_unsigned product = static_cast<wide_unsigned>(weight[j]) * static_cast<wide_unsigned>(total);
    std::uint64_t remainder;
    if (product >> 64 == 0) {  // nearly always, and a 64-bit division gives both at once
      const auto small = static_cast<std::uint64_t>(product);
      share[j] = static_cast<std::int64_t>(small / static_cast<std::uint64_t>(sum));
      remainder = small % static_cast<std::uint64_t>(sum);
    } else {
      share[j] = static_cast<std::int64_t>(product / static_cast<wide_unsigned>(sum));
      remainder = static_cast<std::uint64_t>(product % static_cast<wide_unsigned>(sum));
    }
    cells.push_back({remainder, j});
    left -= share[j];
  }
  std::partial_sort(cells.begin(), cells.begin() + left, cells.end());
  for (std::int64_t l = 0; l < left; ++l) ++share[cells[static_cast<std::size_t>(l)].index];
}

/// A number cut to an integer, the nearest there is.
inline std::int64_t count_within(double x) {
  return x >= 0x1p63    ? std::numeric_limits<std::int64_t>::max()
         : x <= -0x1p63 ? std::numeric_limits<std::int64_t>::min()
                        : static_cast<std::int64_t>(x);
}

/// cleanlab's rounding of a row of numbers that keeps the row's rounded sum: every cell to the nearest integer (halves
/// to even), then the cells furthest off are moved by one until the sum is right. Among equal residuals the highest
/// index is raised first and the lowest index lowered first. A row with a NaN, or whose sum may pass 2^62, is rounded
/// cell by cell, NaN to zero.
inline void cleanlab_round(std::span<const double> x, std::span<std::int64_t> rounded) {
  double sum = 0;
  std::int64_t rounded_sum = 0;
  bool countable = true;
  const double most = 0x1p62 / static_cast<double>(x.size() + 1);
  for (std::size_t j = 0; j < x.size(); ++j) {
    countable = countable && std::abs(x[j]) < most;
    rounded[j] = std::isfinite(x[j]) ? count_within(std::nearbyint(x[j])) : 0;
    if (countable) rounded_sum += rounded[j];
  }
  if (!countable) return;
  sum = numpy_sum(x);
  auto missing = static_cast<std::int64_t>(std::nearbyint(sum)) - rounded_sum;
  std::vector<std::size_t> order(x.size());
  while (missing != 0) {
    std::iota(order.begin(), order.end(), std::size_t(0));
    std::stable_sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
      return x[a] - static_cast<double>(rounded[a]) < x[b] - static_cast<double>(rounded[b]);
    });
    const auto moved =
        static_cast<std::int64_t>(std::min<std::uint64_t>(static_cast<std::uint64_t>(std::abs(missing)), x.size()));
    for (std::int64_t m = 0; m < moved; ++m) {
      if (missing > 0)
        ++rounded[order[x.size() - 1 - static_cast<std::size_t>(m)]];
      else
        --rounded[order[static_cast<std::size_t>(m)]];
    }
    missing -= missing > 0 ? moved : -moved;
  }
}

}  // namespace weakly::inline v0::detail
