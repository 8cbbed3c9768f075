// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <string_view>

namespace weakly::inline v0::detail {

/// Whether no element is NaN or infinite.
template <class T>
bool all_finite(const T* x, index_t count) {
  using batch = simd::batch<T>;
  batch sum(T(0));  // 0 times a finite number is 0, and NaN otherwise
  index_t j = 0;
  for (; j + batch::size <= count; j += batch::size) sum = simd::fma(simd::load(x + j), T(0), sum);
  T rest = 0;
  for (; j < count; ++j) rest += x[j] * T(0);
  return simd::reduce_add(sum) + rest == T(0);
}

/// Throws value_error with the first row that holds a NaN or an infinity, its column and the value. O(n d).
template <executor Exec, class T>
void require_finite_features(std::string_view function, Exec&& ex, const row_source<T>& features, index_t n) {
  const index_t d = features.columns();
  constexpr index_t block = row_blocks<T>::block;
  const auto first_bad = [&](index_t i) {
    T buffer[std::size_t(block)];
    for (index_t j = 0; j < d; j += block) {
      const index_t count = std::min(block, d - j);
      const T* const x = features.part(i, j, count, buffer);
      if (all_finite(x, count)) continue;
      for (index_t c = 0; c < count; ++c)
        if (!std::isfinite(x[c])) return j + c;
    }
    return index_t(-1);
  };
  shared_status bad;
  for_row_chunks(ex, n, d, [&](index_t first, index_t last) {
    for (index_t i = first; i < last; ++i)
      if (first_bad(i) >= 0) bad.merge({i, 1});
  });
  const status found = bad.load();
  if (found.ok()) return;
  const index_t i = found.first_bad_row, j = first_bad(i);
  fail<value_error>(function, ": feature ", j, " of row ", i, " is ", static_cast<double>(features.at(i, j)), " (",
                    found.count, found.count == 1 ? " such row" : " such rows",
                    "); features must be finite: leave the row out or mend what produced it");
}

}  // namespace weakly::inline v0::detail
