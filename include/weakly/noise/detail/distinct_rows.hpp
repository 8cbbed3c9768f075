// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace weakly::inline v0::detail {

/// The row numbers of the items, ascending, each once. Rows are not negative; those that lie dense go through a bit for
/// each row, which is many times faster than comparing them. The items are gone before the rows take memory.
template <class Item, class RowOf>
std::vector<index_t> distinct_rows(std::vector<Item> items, RowOf row_of) {
  std::vector<index_t> rows;
  index_t words = 0;
  for (const Item& item : items) words = std::max(words, row_of(item) / 64 + 1);
  if (words > static_cast<index_t>(items.size())) {
    rows.reserve(items.size());
    for (const Item& item : items) rows.push_back(row_of(item));
    std::sort(rows.begin(), rows.end());
    rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
    return rows;
  }
  std::vector<std::uint64_t> present(static_cast<std::size_t>(words));
  for (const Item& item : items)
    present[static_cast<std::size_t>(row_of(item) / 64)] |= std::uint64_t(1) << (row_of(item) % 64);
  items = std::vector<Item>();
  std::size_t count = 0;
  for (const std::uint64_t word : present) count += static_cast<std::size_t>(std::popcount(word));
  rows.reserve(count);
  for (index_t w = 0; w < words; ++w)
    for (std::uint64_t bits = present[static_cast<std::size_t>(w)]; bits != 0; bits &= bits - 1)
      rows.push_back(64 * w + std::countr_zero(bits));
  return rows;
}

}  // namespace weakly::inline v0::detail
