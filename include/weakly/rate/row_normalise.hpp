// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>
#include <weakly/rate/detail/feature_rows.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace weakly::inline v0 {

/// To what length rows are brought.
enum class row_norm : std::uint8_t {
  none,
  l1,  ///< sum of absolute values 1: ERASE's last layer, which cuts off what is negative afterwards
  l2   ///< Euclidean length 1: mcr2
};

namespace detail {

/// Rows read as double, block by block, with what their normalisation needs.
class norm_rows {
 public:
  static constexpr index_t block = row_blocks<double>::block;

  norm_rows(const row_source<double>& x, row_norm how) : x_(x), how_(how) {}

  // The greatest magnitude, and the norm in units of it, so that no square overflows or vanishes.
  struct norm_of_row {
    double top = 0, relative = 0;
    bool is_zero() const { return top == 0; }
  };
  norm_of_row norm(index_t i) const {
    norm_of_row r;
    bool undefined = false;
    blocks(i, [&](index_t, const double* x, index_t count) {
      for (index_t c = 0; c < count; ++c) {
        undefined |= !std::isfinite(x[c]);
        r.top = std::max(r.top, std::abs(x[c]));
      }
    });
    if (undefined) return {std::nan(""), std::nan("")};
    if (r.is_zero()) return r;
    blocks(i, [&](index_t, const double* x, index_t count) {
      for (index_t c = 0; c < count; ++c) {
        const double a = std::abs(x[c]) / r.top;
        r.relative += how_ == row_norm::l1 ? a : a * a;
      }
    });
    if (how_ == row_norm::l2) r.relative = std::sqrt(r.relative);
    return r;
  }

  template <class F>
  void blocks(index_t i, F f) const {
    double buffer[std::size_t(block)];
    for (index_t j = 0; j < x_.columns(); j += block) {
      const index_t count = std::min(block, x_.columns() - j);
      f(j, x_.part(i, j, count, buffer), count);
    }
  }

 private:
  const row_source<double>& x_;
  row_norm how_;
};

}  // namespace detail

/// Rows of length one.
///
///     out(i) = x(i) / |x(i)|        |x| = sum of |x_j| (l1), or the root of the sum of x_j^2 (l2); x itself for none
///
/// x    n x d
/// out  n x d  may be the storage of `x`
///
/// A row of zeros stays zero; it has no direction, and its derivative is taken to be zero. A row that holds a NaN or an
/// infinity becomes NaN and no other; for none it stays as it is. No intermediate result overflows or vanishes. Returns
/// the rows of zeros. Throws shape_error. O(n d), in double; allocates nothing. Same bits for every executor and
/// layout.
template <executor Exec, real_matrix X, writable_matrix Out>
  requires real_matrix<Out> status row_normalise(Exec&& ex, const X& x, row_norm how, Out&& out) {
    const index_t n = view(x).extent(0), d = view(x).extent(1);
    const detail::row_source<double> from(view(x));
    const detail::row_sink<double> to = detail::rate_sink<double>("row_normalise", "out", out, n, d);
    const detail::norm_rows rows(from, how);
    detail::shared_status zero;
    for_row_chunks(ex, n, d, [&](index_t first, index_t last) {
      double scaled[std::size_t(detail::norm_rows::block)];
      for (index_t i = first; i < last; ++i) {
        const auto norm = rows.norm(i);
        if (norm.is_zero()) zero.merge({i, 1});
        rows.blocks(i, [&](index_t j, const double* v, index_t count) {
          for (index_t c = 0; c < count; ++c)
            scaled[c] = how == row_norm::none || norm.is_zero() ? v[c] : v[c] / norm.top / norm.relative;
          to.put_part(i, j, count, scaled);
        });
      }
    });
    return zero.load();
  }
/// As above, on the calling thread.
template <real_matrix X, writable_matrix Out>
  requires real_matrix<Out> status row_normalise(const X& x, row_norm how, Out&& out) {
    return row_normalise(seq, x, how, out);
  }

/// The gradient in rows from that in the normalised rows: the transposed Jacobian times a vector.
///
///     l2:  x_grad(i) = (g - (g . z) z) / |x|              z = x / |x|
///     l1:  x_grad(i) = (g - (g . z) sign(x)) / |x|        sign(0) = 0
///
/// x       n x d  what row_normalise was given
/// grad    n x d  gradient in its result
/// x_grad  n x d  may be the storage of `grad`, not that of `x`
///
/// Zero for a row of zeros, NaN for a row with a NaN or an infinity; for none `grad` itself. For l1 a subgradient where
/// an element is zero. Throws shape_error. O(n d), in double; allocates nothing. Same bits for every executor and
/// layout.
template <executor Exec, real_matrix X, real_matrix Grad, writable_matrix XGrad>
  requires real_matrix<XGrad>
void row_normalise_gradient(Exec&& ex, const X& x, row_norm how, const Grad& grad, XGrad&& x_grad) {
  constexpr std::string_view name = "row_normalise_gradient";
  const index_t n = view(x).extent(0), d = view(x).extent(1);
  detail::require_same_shape("row_normalise_gradient: x and grad", view(x), view(grad));
  const detail::row_source<double> from(view(x)), g(view(grad));
  const detail::row_sink<double> to = detail::rate_sink<double>(name, "x_grad", x_grad, n, d);
  const detail::norm_rows rows(from, how);
  for_row_chunks(ex, n, d, [&](index_t first, index_t last) {
    double buffer[std::size_t(detail::norm_rows::block)], result[std::size_t(detail::norm_rows::block)];
    for (index_t i = first; i < last; ++i) {
      const auto norm = rows.norm(i);
      double along = 0;
      if (how != row_norm::none && !norm.is_zero())
        rows.blocks(i, [&](index_t j, const double* v, index_t count) {
          const double* const gradient = g.part(i, j, count, buffer);
          for (index_t c = 0; c < count; ++c) along += gradient[c] * (v[c] / norm.top / norm.relative);
        });
      rows.blocks(i, [&](index_t j, const double* v, index_t count) {
        const double* const gradient = g.part(i, j, count, buffer);
        for (index_t c = 0; c < count; ++c) {
          const double unit = how == row_norm::l1 ? static_cast<double>(v[c] > 0) - static_cast<double>(v[c] < 0)
                                                  : v[c] / norm.top / norm.relative;
          result[c] = how == row_norm::none ? gradient[c]
                      : norm.is_zero()      ? 0.0
                                            : (gradient[c] - along * unit) / norm.top / norm.relative;
        }
        to.put_part(i, j, count, result);
      });
    }
  });
}
/// As above, on the calling thread.
template <real_matrix X, real_matrix Grad, writable_matrix XGrad>
  requires real_matrix<XGrad>
void row_normalise_gradient(const X& x, row_norm how, const Grad& grad, XGrad&& x_grad) {
  row_normalise_gradient(seq, x, how, grad, x_grad);
}

}  // namespace weakly::inline v0
