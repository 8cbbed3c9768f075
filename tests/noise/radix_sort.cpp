// SPDX-License-Identifier: MIT
#include <weakly/noise/detail/radix_sort.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>
#include <vector>

#include "cases.hpp"

using weakly::index_t;
using weakly::detail::keyed_row;
using weakly::detail::radix_sort;
using weakly::detail::sort_key;

TEST_CASE_TEMPLATE("sort_key orders as numbers do, zeros equal, every NaN equal and last", T, float, double) {
  using limits = std::numeric_limits<T>;
  const std::vector<T> ascending = {-limits::infinity(),
                                    limits::lowest(),
                                    -1,
                                    -limits::min(),
                                    -limits::denorm_min(),
                                    0,
                                    limits::denorm_min(),
                                    1,
                                    limits::max(),
                                    limits::infinity(),
                                    limits::quiet_NaN()};
  for (std::size_t i = 1; i < ascending.size(); ++i) {
    CAPTURE(i);
    CHECK(sort_key(ascending[i - 1]) < sort_key(ascending[i]));
  }
  CHECK(sort_key(T(-0.0)) == sort_key(T(0)));
  CHECK(sort_key(-limits::quiet_NaN()) == sort_key(limits::quiet_NaN()));
  CHECK(sort_key(limits::signaling_NaN()) == sort_key(limits::quiet_NaN()));
}

TEST_CASE_TEMPLATE("radix_sort is a stable sort by key", Key, std::uint32_t, std::uint64_t) {
  cases::generator g(132);
  for (int round = 0; round < 300; ++round) {
    CAPTURE(round);
    // Keys that differ in one digit, in some, or in all.
    const auto mask = static_cast<Key>(g.bits() & (round % 2 == 0 ? g.bits() : std::uint64_t(255) << (8 * g.below(8))));
    std::vector<keyed_row<Key>> items(static_cast<std::size_t>(g.below(600)));
    for (std::size_t i = 0; i < items.size(); ++i)
      items[i] = {static_cast<Key>(g.bits() & mask), static_cast<index_t>(i)};
    auto expected = items;
    std::stable_sort(expected.begin(), expected.end(), [](const auto& a, const auto& b) { return a.key < b.key; });
    std::vector<keyed_row<Key>> spare(items.size());
    const auto sorted = radix_sort(std::span(items), std::span(spare));
    CHECK(std::equal(sorted.begin(), sorted.end(), expected.begin(), expected.end(),
                     [](const auto& a, const auto& b) { return a.key == b.key && a.row == b.row; }));
  }
}
