// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/half.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>

#include <cstddef>
#include <functional>
#include <type_traits>

// Matrices as rows of T, whatever they are stored as: kernels that would otherwise be compiled for every pair of
// storage types and strides are compiled for float and double alone. The price is one indirect call a tile.
namespace weakly::inline v0::detail {

template <class To, class From>
WEAKLY_INLINE To convert_real(From x) {
  if constexpr (std::is_same_v<To, From>)
    return x;
  else
    return static_cast<To>(static_cast<arithmetic_t<From>>(x));
}

/// Whether batches convert between T and what is stored.
template <class T, class Storage>
inline constexpr bool is_half_of = std::is_same_v<T, float> &&
                                   (std::is_same_v<Storage, half> || std::is_same_v<Storage, bfloat16>);

/// to[j] = from[j] for j < count, one of them float and the other half or bfloat16.
template <class From, class To>
void copy_batches(const From* from, index_t count, To* to) {
  constexpr index_t size = simd::batch<float>::size;
  index_t j = 0;
  for (; j + size <= count; j += size) simd::store(to + j, simd::load(from + j));
  if (j < count) simd::store_partial(to + j, count - j, simd::load_partial(from + j, count - j));
}

/// The rows of a matrix to read as T.
template <class T>
class row_source {
 public:
  row_source() = default;

  template <class S>
  explicit row_source(const matrix_view<S>& m)
      : data_(m.data()),
        row_stride_(m.stride(0)),
        column_stride_(m.stride(1)),
        columns_(m.extent(1)),
        direct_(std::is_same_v<std::remove_const_t<S>, T> && rows_are_contiguous(m)),
        dense_(direct_ && (m.extent(0) <= 1 || m.stride(0) == m.extent(1))),
        copy_(&copy_in<std::remove_const_t<S>>) {}

  bool empty() const { return copy_ == nullptr; }
  index_t columns() const { return columns_; }

  /// `count` whole rows from `first` on, one after the other: the matrix itself where it lies like that, else `buffer`.
  const T* rows(index_t first, index_t count, T* buffer) const {
    if (dense_) return static_cast<const T*>(data_) + first * columns_;
    copy_(*this, first, count, 0, columns_, buffer);
    return buffer;
  }

  /// Columns [column, column + count) of a row.
  const T* part(index_t row, index_t column, index_t count, T* buffer) const {
    if (direct_) return static_cast<const T*>(data_) + row * row_stride_ + column;
    copy_(*this, row, 1, column, count, buffer);
    return buffer;
  }

  /// A row that need not be copied, or nullptr.
  const T* direct(index_t row) const { return direct_ ? static_cast<const T*>(data_) + row * row_stride_ : nullptr; }
  index_t row_stride() const { return row_stride_; }

  T at(index_t row, index_t column) const {
    if (direct_) return direct(row)[column];
    T x;
    copy_(*this, row, 1, column, 1, &x);
    return x;
  }

 private:
  template <class S>
  static void copy_in(const row_source& from, index_t first, index_t rows, index_t column, index_t columns, T* to) {
    const S* const data = static_cast<const S*>(from.data_);
    if (from.column_stride_ == 1 && from.row_stride_ == columns) {
      columns *= rows;
      rows = 1;
    }
    for (index_t i = 0; i < rows; ++i) {
      const S* const row = data + (first + i) * from.row_stride_ + column * from.column_stride_;
      if constexpr (is_half_of<T, S>) {
        if (from.column_stride_ == 1) {
          copy_batches(row, columns, to);
          to += columns;
          continue;
        }
      }
      for (index_t j = 0; j < columns; ++j) *to++ = convert_real<T>(row[j * from.column_stride_]);
    }
  }

  const void* data_ = nullptr;
  index_t row_stride_ = 0;
  index_t column_stride_ = 0;
  index_t columns_ = 0;
  bool direct_ = false;
  bool dense_ = false;
  void (*copy_)(const row_source&, index_t, index_t, index_t, index_t, T*) = nullptr;
};

/// The rows of a matrix to write as T; the matrix rounds to what it stores.
template <class T>
class row_sink {
 public:
  row_sink() = default;

  template <class S>
  explicit row_sink(const matrix_view<S>& m)
      : data_(m.data()),
        row_stride_(m.stride(0)),
        column_stride_(m.stride(1)),
        columns_(m.extent(1)),
        direct_(std::is_same_v<S, T> && rows_are_contiguous(m)),
        dense_(direct_ && (m.extent(0) <= 1 || m.stride(0) == m.extent(1))),
        copy_(&copy_out<S>) {}

  bool empty() const { return copy_ == nullptr; }

  /// Whether the memory of n rows might be shared with that of n rows to read; true where it is hard to tell.
  bool overlaps(const row_source<T>& from, index_t n) const {
    if (empty()) return false;
    const T* const mine = part(0, 0);
    const T* const theirs = from.direct(0);
    if (mine == nullptr || theirs == nullptr || row_stride_ < 0 || from.row_stride() < 0) return true;
    const std::less<const T*> before;
    return before(mine, theirs + n * from.row_stride() + from.columns()) &&
           before(theirs, mine + n * row_stride_ + columns_);
  }

  /// Where whole rows from `first` on lie one after the other, or nullptr where they do not.
  T* rows(index_t first) const { return dense_ ? static_cast<T*>(data_) + first * columns_ : nullptr; }
  /// Where a row lies from `column` on, or nullptr where it is strided or stored as something else.
  T* part(index_t row, index_t column) const {
    return direct_ ? static_cast<T*>(data_) + row * row_stride_ + column : nullptr;
  }

  void put_rows(index_t first, index_t count, const T* from) const { copy_(*this, first, count, 0, columns_, from); }
  void put_part(index_t row, index_t column, index_t count, const T* from) const {
    copy_(*this, row, 1, column, count, from);
  }

 private:
  template <class S>
  static void copy_out(const row_sink& to, index_t first, index_t rows, index_t column, index_t columns,
                       const T* from) {
    S* const data = static_cast<S*>(to.data_);
    if (to.column_stride_ == 1 && to.row_stride_ == columns) {
      columns *= rows;
      rows = 1;
    }
    for (index_t i = 0; i < rows; ++i) {
      S* const row = data + (first + i) * to.row_stride_ + column * to.column_stride_;
      if constexpr (is_half_of<T, S>) {
        if (to.column_stride_ == 1) {
          copy_batches(from, columns, row);
          from += columns;
          continue;
        }
      }
      for (index_t j = 0; j < columns; ++j) row[j * to.column_stride_] = store_as<S>(*from++);
    }
  }
  template <class S>
  static S store_as(T x) {
    if constexpr (std::is_same_v<S, T>)
      return x;
    else
      return static_cast<S>(static_cast<arithmetic_t<S>>(x));
  }

  void* data_ = nullptr;
  index_t row_stride_ = 0;
  index_t column_stride_ = 0;
  index_t columns_ = 0;
  bool direct_ = false;
  bool dense_ = false;
  void (*copy_)(const row_sink&, index_t, index_t, index_t, index_t, const T*) = nullptr;
};

/// One row to read and, in the last pass, to write, block by block: a row of any length, layout and storage type
/// without memory of its own. The row written may be the row read.
template <class T>
class row_blocks {
 public:
  static constexpr index_t block = 512;

  row_blocks(const row_source<T>& from, const row_sink<T>& to, index_t row, T weight)
      : from_(from), to_(to), row_(row), weight_(weight) {}

  index_t row() const { return row_; }
  index_t classes() const { return from_.columns(); }
  T at(index_t column) const { return from_.at(row_, column); }
  /// Whether `write` does anything.
  bool writes() const { return !to_.empty(); }

  /// f(column, x, count) for consecutive blocks: x holds the elements from `column` on.
  template <class F>
  void read(F f) const {
    T buffer[std::size_t(block)];
    for (index_t j = 0; j < classes(); j += block) {
      const index_t count = classes() - j < block ? classes() - j : block;
      f(j, from_.part(row_, j, count, buffer), count);
    }
  }

  /// f(column, x, count, g) for consecutive blocks, where f fills g, which is x's memory nowhere; what it wrote is
  /// multiplied by the weight of the row and stored.
  template <class F>
  void write(F f) const {
    if (to_.empty()) return;
    T buffer[std::size_t(block)];
    alignas(64) T out[std::size_t(block)];
    for (index_t j = 0; j < classes(); j += block) {
      const index_t count = classes() - j < block ? classes() - j : block;
      f(j, from_.part(row_, j, count, buffer), count, static_cast<T*>(out));
      if (weight_ != T(1))
        for (index_t i = 0; i < count; ++i) out[i] *= weight_;
      to_.put_part(row_, j, count, out);
    }
  }

 private:
  const row_source<T>& from_;
  const row_sink<T>& to_;
  index_t row_;
  T weight_;
};

}  // namespace weakly::inline v0::detail
