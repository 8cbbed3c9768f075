// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>

namespace weakly::inline v0::detail {

/// An unsigned integer that orders as the number does: -0 and +0 are equal, every NaN is equal and above +infinity.
template <class T>
auto sort_key(T x) {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>);
  using Key = std::conditional_t<std::is_same_v<T, float>, std::uint32_t, std::uint64_t>;
  constexpr Key sign = Key(1) << (8 * sizeof(Key) - 1);
  if (x != x) return ~Key(0);
  const Key bits = x == T(0) ? Key(0) : std::bit_cast<Key>(x);
  return static_cast<Key>((bits & sign) != 0 ? ~bits : bits | sign);
}

template <class Key>
struct keyed_row {
  Key key;
  index_t row;
};

/// Sorts by key and keeps the order of equal keys. Gives `items` or `spare`, which is as long: whichever has the
/// result. O(m) for m items, allocates nothing.
template <class Key>
std::span<keyed_row<Key>> radix_sort(std::span<keyed_row<Key>> items, std::span<keyed_row<Key>> spare) {
  constexpr std::size_t bits = 8, digits = sizeof(Key) * 8 / bits, values = std::size_t(1) << bits;
  const auto digit = [](Key key, std::size_t d) { return static_cast<std::size_t>(key >> (bits * d)) % values; };
  std::array<std::array<std::size_t, values>, digits> count{};
  for (const keyed_row<Key>& item : items)
    for (std::size_t d = 0; d < digits; ++d) ++count[d][digit(item.key, d)];
  for (std::size_t d = 0; d < digits; ++d) {
    if (items.empty() || count[d][digit(items[0].key, d)] == items.size()) continue;
    std::size_t before = 0;
    for (std::size_t& at : count[d]) before += std::exchange(at, before);
    for (const keyed_row<Key>& item : items) spare[count[d][digit(item.key, d)]++] = item;
    std::swap(items, spare);
  }
  return items;
}

}  // namespace weakly::inline v0::detail
