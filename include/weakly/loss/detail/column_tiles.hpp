// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>

#include <algorithm>
#include <type_traits>

namespace weakly::inline v0 {

/// Marks on the host: integers of any width or bool, true where not zero.
template <class X>
concept mark_tensor = on_host<X> && std::is_integral_v<typename detail::input_view_t<X>::value_type>;

namespace detail {

/// Matrices whose columns are summed over all rows are worked on by groups of columns: a group belongs to one task, so
/// its sums need no memory of anybody's, and their order is that of the rows.
inline constexpr index_t column_group = 64;
/// Elements of a tile: rows of a group.
inline constexpr index_t column_tile = 1024;

/// f(first, count) for every group of columns.
template <executor Exec, class F>
void for_column_groups(Exec& ex, index_t columns, const F& f) {
  ex((columns + column_group - 1) / column_group, [&](index_t g) {
    const index_t first = g * column_group;
    f(first, std::min(column_group, columns - first));
  });
}

/// f(first, count) for consecutive rows that fill a tile of `columns` columns.
template <class F>
void for_tile_rows(index_t rows, index_t columns, const F& f) {
  const index_t step = column_tile / columns;
  for (index_t i = 0; i < rows; i += step) f(i, std::min(step, rows - i));
}

/// Columns [column, column + columns) of some rows, row after row: in place where they lie like that.
template <class T>
const T* tile_of(const row_source<T>& from, index_t first, index_t rows, index_t column, index_t columns, T* buffer) {
  if (columns == from.columns()) return from.rows(first, rows, buffer);
  for (index_t r = 0; r < rows; ++r) {
    T* const to = buffer + r * columns;
    const T* const x = from.part(first + r, column, columns, to);
    if (x != to) std::copy_n(x, columns, to);
  }
  return buffer;
}

/// As simd::load_partial, without a mask where the batch is whole.
template <class T>
WEAKLY_INLINE simd::batch<T> load_some(const T* p, index_t count) {
  return count == simd::batch<T>::size ? simd::load(p) : simd::load_partial(p, count);
}
template <class T>
WEAKLY_INLINE void store_some(T* p, index_t count, simd::batch<T> x) {
  if (count == simd::batch<T>::size)
    simd::store(p, x);
  else
    simd::store_partial(p, count, x);
}

/// sum[c] += elements of column c of a tile: a few are added in T before they go on in double.
template <class T>
void add_tile(const T* x, index_t rows, index_t columns, double* sum) {
  using batch = simd::batch<T>;
  constexpr index_t run = 16;
  if (columns == 1) {
    sum[0] += double(simd::sum(x, rows));
    return;
  }
  for (index_t first = 0; first < rows; first += run) {
    const index_t last = std::min(first + run, rows);
    for (index_t c = 0; c < columns; c += batch::size) {
      const index_t n = std::min(batch::size, columns - c);
      batch part = load_some(x + first * columns + c, n);
      for (index_t r = first + 1; r < last; ++r) part += load_some(x + r * columns + c, n);
      alignas(64) T lane[std::size_t(batch::size)];
      simd::store(lane, part);
      for (index_t j = 0; j < n; ++j) sum[c + j] += double(lane[j]);
    }
  }
}

template <class T>
void put_tile(const row_sink<T>& to, index_t first, index_t rows, index_t column, index_t columns, const T* from) {
  for (index_t r = 0; r < rows; ++r) to.put_part(first + r, column, columns, from + r * columns);
}

}  // namespace detail

}  // namespace weakly::inline v0
