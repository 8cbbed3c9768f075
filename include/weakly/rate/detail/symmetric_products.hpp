// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/simd.hpp>

#include <algorithm>
#include <cstddef>

// Products of rows with rows, on the calling thread, in packed strips of two registers' width. Matrices are row-major
// with padded_pitch(d) elements from row to row and as many rows in memory; what lies beyond the matrix is zero or
// never looked at, so that no tile has an edge.
namespace weakly::inline v0::detail {

/// A tile of the result that stays in registers: `rows` broadcast numbers times `columns` contiguous ones.
template <class T>
struct product_tile {
  static constexpr index_t columns = 2 * simd::batch<T>::size;
  static constexpr index_t rows = sizeof(simd::batch<T>) >= 64 ? 8 : 4;  // what 32 and 16 registers hold
  static constexpr index_t depth = 128;  // rows that are packed together: a strip of them fits the first cache
  static_assert(columns % rows == 0);

  static constexpr index_t whole(index_t width) { return (width + columns - 1) / columns * columns; }
};

/// Side of the diagonal blocks of a factorisation, and what rows in memory are padded to a multiple of.
inline constexpr index_t factor_block = 32;
constexpr index_t padded_pitch(index_t d) { return (d + factor_block - 1) / factor_block * factor_block; }

/// Packs `count` rows of d elements into strips: element (k, s columns + w) at [(s count + k) columns + w]; zero beyond
/// d.
template <class T>
void pack_strips(const T* const* row, index_t count, index_t d, index_t pitch, T* to) {
  constexpr index_t columns = product_tile<T>::columns, half = simd::batch<T>::size;
  const index_t whole = d / columns, all = pitch / columns;
  if (all == 0) return;  // there may be no memory
  for (index_t k = 0; k < count; ++k) {
    const T* const from = row[k];
    T* strip = to + k * columns;
    for (index_t s = 0; s < whole; ++s, strip += count * columns) {
      simd::store(strip, simd::load(from + s * columns));
      simd::store(strip + half, simd::load(from + s * columns + half));
    }
    for (index_t s = whole; s < all; ++s, strip += count * columns)
      for (index_t w = 0; w < columns; ++w) strip[w] = s * columns + w < d ? from[s * columns + w] : T(0);
  }
}

/// Packs columns [first, first + depth) of `count` rows as if they were rows of `count` elements; zero beyond count.
template <class T>
void pack_transposed(const T* const* row, index_t count, index_t first, index_t depth, index_t pitch, T* to) {
  constexpr index_t columns = product_tile<T>::columns;
  for (index_t i = 0; i < pitch; ++i) {
    T* const strip = to + i / columns * columns * depth + i % columns;
    if (i < count)
      for (index_t k = 0; k < depth; ++k) strip[k * columns] = row[i][first + k];
    else
      for (index_t k = 0; k < depth; ++k) strip[k * columns] = T(0);
  }
}

/// One tile: sum over k < depth of b(r, k) a[k columns + w], multiplied by alpha, added to out(r)[w] or written there;
/// of the first half of the columns alone where not `Whole`.
template <bool Whole = true, class T, class At, class Out>
WEAKLY_INLINE void multiply_tile(index_t depth, const T* a, At b, T alpha, bool add, Out out) {
  using batch = simd::batch<T>;
  constexpr int rows = int(product_tile<T>::rows);
  constexpr index_t columns = product_tile<T>::columns, half = batch::size;
  batch left[std::size_t(rows)], right[std::size_t(rows)];
  simd::unroll<rows>([&](auto r) { left[r] = right[r] = batch(T(0)); });
  for (index_t k = 0; k < depth; ++k) {
    const batch a0 = simd::load(a + k * columns), a1 = Whole ? simd::load(a + k * columns + half) : a0;
    simd::unroll<rows>([&](auto r) {
      const batch x(b(r, k));
      left[r] = simd::fma(a0, x, left[r]);
      if constexpr (Whole) right[r] = simd::fma(a1, x, right[r]);
    });
  }
  simd::unroll<rows>([&](auto r) {
    T* const to = out(r);
    simd::store(to, add ? simd::fma(left[r], alpha, simd::load(to)) : left[r] * alpha);
    if constexpr (Whole)
      simd::store(to + half, add ? simd::fma(right[r], alpha, simd::load(to + half)) : right[r] * alpha);
  });
}

// b(r, k) of multiply_tile: of a packed strip, and of rows where they lie.
template <class T>
struct packed_factor {
  const T* strip;
  WEAKLY_INLINE T operator()(index_t r, index_t k) const { return strip[k * product_tile<T>::columns + r]; }
};
template <class T>
struct row_factor {
  const T* const* row;
  index_t first;
  WEAKLY_INLINE T operator()(index_t r, index_t k) const { return row[r][first + k]; }
};

template <class T>
struct tile_at {
  T* first;
  index_t pitch;
  WEAKLY_INLINE T* operator()(index_t r) const { return first + r * pitch; }
};
template <class T>
struct tile_in_rows {
  T* const* row;
  index_t column;
  WEAKLY_INLINE T* operator()(index_t r) const { return row[r] + column; }
};

/// c += alpha times the sum of the outer products of `count` packed rows with themselves, or c = where not `add`, at
/// and below the diagonal of the first `width` columns; what lies above it in tiles that the diagonal crosses may
/// change.
template <class T>
void add_outer_products(const T* packed, index_t count, index_t width, T alpha, T* c, index_t pitch, bool add = true) {
  using tile = product_tile<T>;
  const index_t end = tile::whole(width);
  for (index_t column = 0; column < end; column += tile::columns) {
    const T* const a = packed + column * count;
    for (index_t i = column; i < end; i += tile::rows) {
      const packed_factor<T> b{packed + (i - i % tile::columns) * count + i % tile::columns};
      const tile_at<T> to{c + i * pitch + column, pitch};
      if (i + tile::rows <= column + tile::columns / 2)
        multiply_tile<false>(count, a, b, alpha, add, to);
      else
        multiply_tile(count, a, b, alpha, add, to);
    }
  }
}

/// A right factor: `rows` rows of d elements, packed in blocks of `depth` rows.
template <class T>
struct packed_rows {
  const T* data;
  index_t rows;
  index_t pitch;
  index_t depth;
  bool lower;  // element (k, j) is zero for j > k, and is not looked at where a whole tile is
};

template <class T>
void multiply_few_rows(const T* const* left, index_t count, const packed_rows<T>& right, index_t width, T alpha,
                       bool add, T* const* out) {
  using tile = product_tile<T>;
  for (index_t column = 0; column < width; column += tile::columns) {
    const index_t columns = std::min(tile::columns, width - column);
    bool more = add;
    for (index_t k = 0; k < right.rows; k += right.depth) {
      const index_t depth = std::min(right.depth, right.rows - k);
      if (right.lower && k + depth <= column) continue;
      const T* const strip = right.data + k * right.pitch + column * depth;
      for (index_t i = 0; i < count; i += tile::rows) {
        const index_t rows = std::min(tile::rows, count - i);
        if (rows == tile::rows && columns == tile::columns) {
          multiply_tile(depth, strip, row_factor<T>{left + i, k}, alpha, more, tile_in_rows<T>{out + i, column});
          continue;
        }
        const T* row[std::size_t(tile::rows)];
        alignas(64) T edge[std::size_t(tile::rows * tile::columns)];
        for (index_t r = 0; r < tile::rows; ++r) row[r] = left[i + std::min(r, rows - 1)];
        multiply_tile(depth, strip, row_factor<T>{row, k}, alpha, false, tile_at<T>{edge, tile::columns});
        for (index_t r = 0; r < rows; ++r)
          for (index_t c = 0; c < columns; ++c) {
            T& to = out[i + r][column + c];
            to = more ? to + edge[r * tile::columns + c] : edge[r * tile::columns + c];
          }
      }
      more = true;
    }
  }
}

/// out = alpha left right, or out += where `add`: `count` rows of right.rows elements times the first `width` columns
/// of `right`, row i at out[i]. Nothing beyond `count` and `width` is touched.
template <class T>
void multiply_rows(const T* const* left, index_t count, const packed_rows<T>& right, index_t width, T alpha, bool add,
                   T* const* out) {
  // Few rows stay in the first cache with what is written of them, which scattered rows need most; a great right factor
  // comes from afar and must serve more of them.
  const index_t bytes = right.rows * right.pitch * static_cast<index_t>(sizeof(T));
  const index_t rows_at_once = bytes <= (index_t(1) << 18) ? 16 : bytes <= (index_t(1) << 20) ? 32 : 64;
  for (index_t first = 0; first < count; first += rows_at_once)
    multiply_few_rows(left + first, std::min(rows_at_once, count - first), right, width, alpha, add, out + first);
}

}  // namespace weakly::inline v0::detail
