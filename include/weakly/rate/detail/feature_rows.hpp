// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string_view>
#include <type_traits>

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

/// Whether the squares add up to `most` or less; false where an element is NaN or infinite.
template <class T>
bool squares_within(const T* x, index_t count, double most, double& sum) {
  using batch = simd::batch<T>;
  batch squares(T(0));
  index_t j = 0;
  for (; j + batch::size <= count; j += batch::size) {
    const batch v = simd::load(x + j);
    squares = simd::fma(v, v, squares);
  }
  T rest = 0;
  for (; j < count; ++j) rest += x[j] * x[j];
  sum += static_cast<double>(simd::reduce_add(squares) + rest);
  return sum <= most;
}

/// Throws value_error with the first row that holds a NaN or an infinity, its column and the value, or whose squares
/// add up to more than `most` where that is finite. O(n d).
template <executor Exec, class T>
void require_finite_features(std::string_view function, Exec&& ex, const row_source<T>& features, index_t n,
                             double most = std::numeric_limits<double>::infinity()) {
  const index_t d = features.columns();
  constexpr index_t block = row_blocks<T>::block;
  const auto first_bad = [&](index_t i) {
    T buffer[std::size_t(block)];
    double squares = 0;
    for (index_t j = 0; j < d; j += block) {
      const index_t count = std::min(block, d - j);
      const T* const x = features.part(i, j, count, buffer);
      if (std::isfinite(most) ? squares_within(x, count, most, squares) : all_finite(x, count)) continue;
      for (index_t c = 0; c < count; ++c)
        if (!std::isfinite(x[c])) return j + c;
      if (!(squares <= most))
        return j + static_cast<index_t>(
                       std::max_element(x, x + count, [](T a, T b) { return std::abs(a) < std::abs(b); }) - x);
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
  if (const T x = features.at(i, j); std::isfinite(x))
    fail<value_error>(function, ": feature ", j, " of row ", i, " is ", static_cast<double>(x), " (", found.count,
                      found.count == 1 ? " such row" : " such rows",
                      "); its square overflows: scale the features down, or take a greater eps_squared");
  fail<value_error>(function, ": feature ", j, " of row ", i, " is ", static_cast<double>(features.at(i, j)), " (",
                    found.count, found.count == 1 ? " such row" : " such rows",
                    "); features must be finite: leave the row out or mend what produced it");
}

/// An output of n rows of d elements, or nothing for `discard`.
template <class T, class Out>
row_sink<T> rate_sink(std::string_view function, std::string_view name, Out& out, index_t n, index_t d) {
  if constexpr (std::is_same_v<std::remove_cvref_t<Out>, discard_output>) {
    return {};
  } else {
    const auto rows = as_rows(view(out));
    if (rows.extent(0) != n || rows.extent(1) != d)
      fail<shape_error>(function, ": ", name, " has ", rows.extent(0), " rows of ", rows.extent(1), "; it must have ",
                        n, " rows of ", d);
    return row_sink<T>(rows);
  }
}

/// Throws option_error unless eps^2 is positive and d / eps^2 a number.
inline void require_eps_squared(std::string_view function, double eps_squared, index_t d) {
  if (!(eps_squared > 0 && std::isfinite(eps_squared) && std::isfinite(static_cast<double>(d) / eps_squared)))
    fail<option_error>(function, ": eps_squared is ", eps_squared, "; it must be positive and finite (0.5 is usual)");
}

}  // namespace weakly::inline v0::detail
