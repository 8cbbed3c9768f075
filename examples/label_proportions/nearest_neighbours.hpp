// SPDX-License-Identifier: MIT
#pragma once

#include "../digits.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <vector>

namespace examples {

/// Compressed rows: those of row i are column[offset[i]], ..., column[offset[i + 1] - 1].
struct neighbour_lists {
  std::vector<std::int32_t> offset, column;
};

/// The k rows with the greatest cosine to each row, itself excluded, of equals the first: exactly, by products of
/// blocks of rows. Rows of zeros are alike to none. O(n^2 d).
inline neighbour_lists nearest_by_cosine(const row_major& x, index_t k) {
  constexpr index_t block = 256;
  const index_t n = x.rows();
  k = std::min(k, n - 1);
  row_major unit = x;
  for (index_t i = 0; i < n; ++i)
    if (const float length = unit.row(i).norm(); length > 0) unit.row(i) /= length;
  neighbour_lists lists;
  lists.offset.push_back(0);
  row_major cosine;
  std::vector<std::int32_t> order(static_cast<std::size_t>(n));
  for (index_t first = 0; first < n; first += block) {
    const index_t count = std::min(block, n - first);
    cosine.noalias() = unit.middleRows(first, count) * unit.transpose();
    for (index_t r = 0; r < count; ++r) {
      cosine(r, first + r) = -2;
      std::iota(order.begin(), order.end(), 0);
      const auto greater = [&](std::int32_t a, std::int32_t b) {
        return cosine(r, a) != cosine(r, b) ? cosine(r, a) > cosine(r, b) : a < b;
      };
      std::nth_element(order.begin(), order.begin() + k, order.end(), greater);
      std::sort(order.begin(), order.begin() + k);
      lists.column.insert(lists.column.end(), order.begin(), order.begin() + k);
      lists.offset.push_back(static_cast<std::int32_t>(lists.column.size()));
    }
  }
  return lists;
}

/// Mean Euclidean distance of a row to its neighbours.
inline double mean_distance(const row_major& x, const neighbour_lists& lists) {
  double sum = 0;
  for (index_t i = 0; i < x.rows(); ++i)
    for (std::int32_t e = lists.offset[std::size_t(i)]; e < lists.offset[std::size_t(i) + 1]; ++e)
      sum += double((x.row(i) - x.row(lists.column[std::size_t(e)])).norm());
  return sum / std::max(1.0, static_cast<double>(lists.column.size()));
}

}  // namespace examples
