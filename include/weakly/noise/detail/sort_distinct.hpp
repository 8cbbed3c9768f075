// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace weakly::inline v0::detail {

/// Sorts row numbers, which are not negative, and drops repetitions. Rows that lie dense go through a bit for each row,
/// which is many times faster than comparing them.
inline void sort_distinct(std::vector<index_t>& rows) {
  if (rows.empty()) return;
  const index_t words = *std::max_element(rows.begin(), rows.end()) / 64 + 1;
  if (words > static_cast<index_t>(rows.size())) {
    std::sort(rows.begin(), rows.end());
    rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
    return;
  }
  std::vector<std::uint64_t> present(static_cast<std::size_t>(words));
  for (const index_t row : rows) present[static_cast<std::size_t>(row / 64)] |= std::uint64_t(1) << (row % 64);
  rows.clear();
  for (index_t w = 0; w < words; ++w)
    for (std::uint64_t bits = present[static_cast<std::size_t>(w)]; bits != 0; bits &= bits - 1)
      rows.push_back(64 * w + std::countr_zero(bits));
}

}  // namespace weakly::inline v0::detail
