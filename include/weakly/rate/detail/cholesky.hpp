// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/rate/detail/aligned_array.hpp>
#include <weakly/rate/detail/symmetric_products.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace weakly::inline v0::detail {

/// The Cholesky factor of a symmetric positive definite matrix and what follows from it, on the calling thread, with
/// memory of its own for matrices up to d x d.
///
///     cholesky<double> factor(d);
///     for i, j <= i: factor.row(i)[j] = ...
///     if (const index_t pivot = factor.run(d); pivot >= 0) it is not positive definite, or a NaN or inf was in it
///     factor.half_log_det(); factor.invert();
///
/// By blocks of factor_block rows: a block on the diagonal is factored and inverted in registers, all else are
/// products of tiles.
template <class T>
class cholesky {
 public:
  /// For matrices up to d x d; `invertible` adds the memory of invert().
  explicit cholesky(index_t d, bool invertible = true)
      : lower_(padded_pitch(d) * padded_pitch(d)),
        blocks_(padded_pitch(d) * block),
        packed_(padded_pitch(d) * (invertible ? padded_pitch(d) : block)),
        panel_(padded_pitch(d) * block),
        inverse_(invertible ? padded_pitch(d) * padded_pitch(d) : 0) {}

  /// Row i of the matrix to factor; elements j <= i are read. Rows lie `pitch(d)` apart.
  T* row(index_t i, index_t pitch) const { return lower_.data() + i * pitch; }

  /// Factors the d x d matrix in place: -1, or the first pivot that is not a positive finite number.
  index_t run(index_t d) {
    d_ = d;
    pitch_ = padded_pitch(d);
    for (index_t i = d; i < pitch_; ++i) {
      std::fill_n(row(i, pitch_), pitch_, T(0));
      row(i, pitch_)[i] = T(1);
    }
    for (index_t at = 0; at < d; at += block) {
      if (const index_t pivot = factor_diagonal(at); pivot >= 0) return pivot;
      eliminate(at);
    }
    return -1;
  }

  /// log det / 2, summed in double.
  double half_log_det() const {
    double sum = 0;
    for (index_t i = 0; i < d_; ++i) sum += std::log(static_cast<double>(row(i, pitch_)[i]));
    return sum;
  }

  /// The inverse of the matrix at and below the diagonal, padded_pitch(d) elements from row to row.
  const T* invert() {
    invert_factor();
    std::fill_n(inverse_.data(), pitch_ * pitch_, T(0));
    for (index_t at = 0; at < pitch_; at += block)
      add_outer_products(packed_.data() + at * pitch_, block, at + block, T(1), inverse_.data(), pitch_);
    return inverse_.data();
  }

  /// The trace of the inverse without forming it: the squares of the inverse factor. In place of invert().
  double trace_of_inverse() {
    invert_factor();
    double sum = 0;
    for (index_t at = 0; at < d_; at += block)
      for (index_t r = 0; r < std::min(block, d_ - at); ++r)
        for (index_t j = 0; j <= at + r; ++j) {
          const double x = inverse_factor(at + r, j);
          sum += x * x;
        }
    return sum;
  }

 private:
  using batch = simd::batch<T>;
  static constexpr index_t block = factor_block;
  static constexpr index_t columns = product_tile<T>::columns;
  static constexpr int batches = int(block / batch::size);

  // target -= factor source, rows of a block
  WEAKLY_INLINE static void subtract(T factor, const T* source, T* target) {
    simd::unroll<batches>([&](auto b) {
      T* const to = target + b * batch::size;
      simd::store(to, simd::fma(simd::load(source + b * batch::size), -factor, simd::load(to)));
    });
  }

  // The block as the transposed factor, so that rows are added to rows; then its inverse, kept in blocks_.
  index_t factor_diagonal(index_t at) {
    alignas(64) T u[std::size_t(block * block)];
    for (index_t i = 0; i < block; ++i)
      for (index_t j = 0; j <= i; ++j) u[j * block + i] = row(at + i, pitch_)[at + j];
    for (index_t i = 0; i < block; ++i)
      for (index_t j = 0; j < i; ++j) u[i * block + j] = 0;
    for (index_t k = 0; k < block; ++k) {
      const T pivot = u[k * block + k];
      if (!(pivot > 0 && pivot <= std::numeric_limits<T>::max())) return at + k;
      const T root = std::sqrt(pivot);
      for (index_t j = k; j < block; ++j) u[k * block + j] /= root;
      u[k * block + k] = root;
      for (index_t i = k + 1; i < block; ++i) subtract(u[k * block + i], u + k * block, u + i * block);
    }
    T* const x = blocks_.data() + at * block;
    for (index_t i = 0; i < block; ++i) {
      T* const mine = x + i * block;
      std::fill_n(mine, block, T(0));
      mine[i] = 1;
      for (index_t k = 0; k < i; ++k) subtract(u[k * block + i], x + k * block, mine);
      const T scale = 1 / u[i * block + i];
      for (index_t j = 0; j <= i; ++j) mine[j] *= scale;
      for (index_t j = 0; j <= i; ++j) row(at + i, pitch_)[at + j] = u[j * block + i];
    }
    return -1;
  }

  // The columns of a block below it, and what they take from the rest of the matrix.
  void eliminate(index_t at) {
    const index_t first = at + block, rest = pitch_ - first;
    if (rest <= 0) return;
    const T* left[std::size_t(block)];
    T* out[std::size_t(block)];
    alignas(64) T transposed[std::size_t(block * block)];
    const T* const x = blocks_.data() + at * block;
    for (index_t s = 0; s < block / columns; ++s)
      for (index_t k = 0; k < block; ++k)
        for (index_t w = 0; w < columns; ++w)
          transposed[(s * block + k) * columns + w] = x[(s * columns + w) * block + k];
    const packed_rows<T> right{transposed, block, block, block, false};
    for (index_t i = first; i < pitch_; i += block) {
      for (index_t r = 0; r < block; ++r) {
        left[r] = row(i + r, pitch_) + at;
        out[r] = panel_.data() + r * block;
      }
      multiply_rows(static_cast<const T* const*>(left), block, right, block, T(1), false, out);
      for (index_t r = 0; r < block; ++r) {
        const T* const solved = panel_.data() + r * block;
        std::copy_n(solved, block, row(i + r, pitch_) + at);
        const index_t j = i + r - first;
        T* const strip = packed_.data() + j / columns * columns * block + j % columns;
        for (index_t k = 0; k < block; ++k) strip[k * columns] = solved[k];
      }
    }
    add_outer_products(packed_.data(), block, rest, T(-1), row(first, pitch_) + first, pitch_);
  }

  // packed_ = the inverse of the factor, block after block of packed rows.
  void invert_factor() {
    const T* left[std::size_t(block)];
    T* out[std::size_t(block)];
    alignas(64) T strips[std::size_t(block * block)];
    for (index_t at = 0; at < pitch_; at += block) {
      const T* const x = blocks_.data() + at * block;
      T* const to = packed_.data() + at * pitch_;
      std::fill_n(to, block * pitch_, T(0));
      if (at > 0) {
        for (index_t r = 0; r < block; ++r) {
          left[r] = row(at + r, pitch_);
          out[r] = panel_.data() + r * pitch_;
        }
        multiply_rows(static_cast<const T* const*>(left), block,
                      packed_rows<T>{packed_.data(), at, pitch_, block, true}, at, T(1), false, out);
        for (index_t r = 0; r < block; ++r) left[r] = x + r * block;
        for (index_t column = 0; column < at; column += columns) {
          for (index_t k = 0; k < block; ++k)
            std::copy_n(panel_.data() + k * pitch_ + column, columns, strips + k * columns);
          for (index_t r = 0; r < block; ++r) out[r] = to + column * block + r * columns;
          multiply_rows(static_cast<const T* const*>(left), block, packed_rows<T>{strips, block, columns, block, false},
                        columns, T(-1), false, out);
        }
      }
      for (index_t j = 0; j < block; ++j)
        for (index_t r = 0; r < block; ++r)
          to[(at + j) / columns * columns * block + r * columns + j % columns] = x[r * block + j];
    }
  }

  T inverse_factor(index_t i, index_t j) const {
    return packed_.data()[i / block * block * pitch_ + (j / columns * block + i % block) * columns + j % columns];
  }

  index_t d_ = 0;
  index_t pitch_ = 0;
  aligned_array<T> lower_, blocks_, packed_, panel_, inverse_;
};

}  // namespace weakly::inline v0::detail
