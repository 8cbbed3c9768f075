// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/detail/logistic.hpp>
#include <weakly/core/detail/map_batches.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>
#include <weakly/loss/row_loss.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string_view>

namespace weakly::inline v0 {

struct normalized_logits_options {
  bool softplus = false;  ///< a = log(1 + exp(f)) instead of a = f
};

namespace detail {

/// One row of a(j) with its scale taken out, so that neither sums nor quotients leave the range of T.
template <class T>
class normalized_row {
 public:
  static constexpr index_t block = row_blocks<T>::block;

  normalized_row(const row_source<T>& logits, index_t row, bool softplus)
      : logits_(logits), row_(row), softplus_(softplus) {
    constexpr T nothing = -std::numeric_limits<T>::infinity();
    batch greatest = nothing, farthest = T(0);
    each([&](index_t, index_t count, const T* f) {
      for_batches<T>(count, [&](auto at) {
        greatest = simd::max(at.load(f, nothing), greatest);  // a NaN on the left is dropped
        farthest = simd::max(simd::abs(at.load(f)), farthest);
      });
    });
    const T top = simd::reduce_max(greatest), magnitude = simd::reduce_max(farthest);
    // log(1 + exp(f)) is exp(f) to the last digit where every f is far below zero, and exp(f - top) does not vanish.
    below_ = softplus && top < (sizeof(T) == 4 ? T(-20) : T(-40));
    unit_ = below_ ? top : softplus ? std::max(top, T(1)) : magnitude > T(0) ? magnitude : T(1);
    each([&](index_t column, index_t count, const T* f) {
      const T* const a = values(column, count, f);
      sum_ += wide_sum(count, [a](index_t j) { return std::abs(double(a[j])); });
    });
  }

  /// f(column, count, logits) for consecutive blocks.
  template <class F>
  void each(F f) const {
    T buffer[std::size_t(block)];
    for (index_t j = 0; j < logits_.columns(); j += block) {
      const index_t count = std::min(block, logits_.columns() - j);
      f(j, count, logits_.part(row_, j, count, buffer));
    }
  }

  /// Sum of term(j) for j < count <= block.
  template <class Term>
  static double wide_sum(index_t count, Term term) {
    double wide[std::size_t(block)];
    for (index_t j = 0; j < count; ++j) wide[j] = term(j);
    return simd::sum(static_cast<const double*>(wide), count);
  }

  /// a of the block of logits f that begins at `column`, in units that value and slope share.
  const T* values(index_t column, index_t count, const T* f) {
    if (column == kept_) return value_;
    kept_ = column;
    if (!softplus_)
      map_batches(f, count, static_cast<T*>(value_), [u = unit_](batch x) { return x / u; });
    else if (below_)
      map_batches(f, count, static_cast<T*>(value_), [u = unit_](batch x) { return simd::exp(x - batch(u)); });
    else
      map_batches(f, count, static_cast<T*>(value_),
                  [u = unit_](batch x) { return softplus_of(x, simd::exp(-simd::abs(x))) / u; });
    return value_;
  }
  /// d a / d f in the units of a.
  void slopes(index_t count, const T* f, T* slope) const {
    if (!softplus_)
      std::fill_n(slope, count, T(1) / unit_);
    else if (below_)
      map_batches(f, count, slope, [u = unit_](batch x) { return simd::exp(x - batch(u)); });
    else
      map_batches(f, count, slope, [u = unit_](batch x) { return sigmoids_of(x, simd::exp(-simd::abs(x))).up / u; });
  }
  /// d |a| / d f.
  void signs(index_t count, const T* f, T* sign) const {
    if (softplus_)
      std::fill_n(sign, count, T(1));
    else
      map_batches(f, count, sign,
                  [](batch x) { return simd::select(x > T(0), T(1), simd::select(x < T(0), T(-1), T(0))); });
  }
  double sum() const { return sum_; }

 private:
  using batch = simd::batch<T>;

  const row_source<T>& logits_;
  index_t row_;
  bool softplus_, below_ = false;
  T unit_ = 1;
  double sum_ = 0;
  index_t kept_ = -1;  // the last block stays, so that a row of one block is computed once
  T value_[std::size_t(block)];
};

template <class T, class X>
row_source<T> same_rows(std::string_view function, const X& x, index_t n, index_t k) {
  const auto rows = as_rows(view(x));
  if (rows.extent(0) != n || rows.extent(1) != k)
    fail<shape_error>(function, " has ", rows.extent(0), " rows of ", rows.extent(1), ", logits have ", n, " rows of ",
                      k);
  return row_source<T>(rows);
}

}  // namespace detail

/// Logits divided by their mean magnitude, which makes a loss of them free of scale.
///
///     out(i, j) = k a(j) / sum |a(m)|,   a = f or log(1 + exp(f))
///
/// logits  [..., k]  finite
/// out     [..., k]  may be the storage of `logits`
///
/// A row of zeros gives zeros. With softplus, rows far below zero keep their proportions however small exp(f) is. A NaN
/// or infinity in a row makes NaN in it, and in no other. Throws shape_error. O(n k), allocates nothing. Same bits for
/// every executor and layout. Zhu, Ying, Yang, ICML 2023, public code: LDR takes softplus, ALDR does not.
template <executor Exec, score_tensor Logits, loss_output Out>
  requires(detail::writable<Out>)
void normalized_logits(Exec&& ex, const Logits& logits, Out&& out, const normalized_logits_options& options = {}) {
  using T = arithmetic_t<typename detail::input_view_t<Logits>::value_type>;
  const auto rows = as_rows(view(logits));
  const index_t n = rows.extent(0), k = rows.extent(1);
  const detail::row_source<T> from(rows);
  const detail::row_sink<T> to = detail::gradient_sink<T>("normalized_logits", out, n, k);
  for_row_chunks(ex, n, k, [&](index_t first, index_t last) {
    for (index_t i = first; i < last; ++i) {
      detail::normalized_row<T> row(from, i, options.softplus);
      const double scale = row.sum() == 0 ? 0 : double(k) / row.sum();
      row.each([&](index_t column, index_t count, const T* f) {
        T part[std::size_t(detail::normalized_row<T>::block)];
        const T* const a = row.values(column, count, f);
        for (index_t j = 0; j < count; ++j) part[j] = static_cast<T>(scale * double(a[j]));
        to.put_part(i, column, count, part);
      });
    }
  });
}
template <score_tensor Logits, loss_output Out>
  requires(detail::writable<Out>)
void normalized_logits(const Logits& logits, Out&& out, const normalized_logits_options& options = {}) {
  normalized_logits(seq, logits, out, options);
}

/// The gradient of a loss by the logits from its gradient by normalized_logits.
///
///     grad(i, j) = a'(j) (k / S) (g(j) - sign(a(j)) <g, a> / S),   S = sum |a(m)|
///
/// logits    [..., k]  what normalized_logits was given
/// upstream  [..., k]  g, the gradient by its output
/// grad      [..., k]  may be the storage of `upstream` or of `logits`
///
/// Zero for a row of zeros, whose derivative does not exist. Without softplus <f, grad> = 0. Otherwise as above.
template <executor Exec, score_tensor Logits, score_tensor Upstream, loss_output Grad>
  requires(detail::writable<Grad>)
void normalized_logits_gradient(Exec&& ex, const Logits& logits, const Upstream& upstream, Grad&& grad,
                                const normalized_logits_options& options = {}) {
  using T = arithmetic_t<typename detail::input_view_t<Logits>::value_type>;
  const auto rows = as_rows(view(logits));
  const index_t n = rows.extent(0), k = rows.extent(1);
  const detail::row_source<T> from(rows);
  const detail::row_source<T> outer = detail::same_rows<T>("normalized_logits_gradient: upstream", upstream, n, k);
  const detail::row_sink<T> to = detail::gradient_sink<T>("normalized_logits_gradient", grad, n, k);
  for_row_chunks(ex, n, k, [&](index_t first, index_t last) {
    constexpr index_t block = detail::normalized_row<T>::block;
    T buffer[std::size_t(block)], part[std::size_t(block)], slope[std::size_t(block)], sign[std::size_t(block)];
    for (index_t i = first; i < last; ++i) {
      detail::normalized_row<T> row(from, i, options.softplus);
      double product = 0;
      row.each([&](index_t column, index_t count, const T* f) {
        const T* const g = outer.part(i, column, count, buffer);
        const T* const a = row.values(column, count, f);
        product += row.wide_sum(count, [g, a](index_t j) { return double(g[j]) * double(a[j]); });
      });
      const double sum = row.sum(), mean = product / sum, scale = double(k) / sum;
      row.each([&](index_t column, index_t count, const T* f) {
        const T* const g = outer.part(i, column, count, buffer);
        row.slopes(count, f, slope);
        row.signs(count, f, sign);
        for (index_t j = 0; j < count; ++j)
          part[j] = static_cast<T>(double(slope[j]) * scale * (double(g[j]) - double(sign[j]) * mean));
        if (sum == 0) std::fill_n(part, count, T(0));
        to.put_part(i, column, count, part);
      });
    }
  });
}
template <score_tensor Logits, score_tensor Upstream, loss_output Grad>
  requires(detail::writable<Grad>)
void normalized_logits_gradient(const Logits& logits, const Upstream& upstream, Grad&& grad,
                                const normalized_logits_options& options = {}) {
  normalized_logits_gradient(seq, logits, upstream, grad, options);
}

}  // namespace weakly::inline v0
