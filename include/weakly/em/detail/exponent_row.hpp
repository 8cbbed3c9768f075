// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/detail/map_batches.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>

#include <bit>
#include <cmath>
#include <limits>

namespace weakly::inline v0::detail {

/// A row of exponents: the greatest, where it is, and the sum of exp(x(j) - top) over all others.
struct exponent_row {
  double top = -std::numeric_limits<double>::infinity();
  index_t at = -1;
  double others = 0;
  bool bad = false;  // a NaN or +inf

  bool empty() const { return at < 0; }  // nothing but -inf
  bool defined() const { return !bad && !empty(); }
  double total() const { return 1 + others; }
  double log_total() const { return std::log1p(others); }

  /// Takes in elements from `column` on; of equal ones the first is the greatest.
  void look_at(index_t column, const double* x, index_t count) {
    using batch = simd::batch<double>;
    constexpr double inf = std::numeric_limits<double>::infinity();
    batch greatest = -inf;
    auto numbers = simd::first_lanes<double>(batch::size);
    for_batches<double>(count, [&](auto position) {
      const batch v = position.load(x, -inf);
      greatest = simd::max(v, greatest);  // a NaN on the left is dropped
      numbers = numbers & (v < batch(inf));
    });
    bad |= !simd::all(numbers);
    const double found = simd::reduce_max(greatest);
    if (!(found > top)) return;
    index_t j = 0;
    for (; j + batch::size <= count; j += batch::size)
      if (const auto hits = simd::bits(simd::load(x + j) == batch(found)); hits != 0) {
        j += std::countr_zero(hits);
        break;
      }
    while (x[j] != found) ++j;
    top = x[j];
    at = column + j;
  }
};

}  // namespace weakly::inline v0::detail
