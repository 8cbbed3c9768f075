// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/softmax_rows.hpp>
#include <weakly/loss/detail/aldr_root.hpp>
#include <weakly/loss/detail/delta_row.hpp>
#include <weakly/loss/loss_labels.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace weakly::inline v0::detail {

/// Exponents are kept in units of lambda0 with the greatest taken out, and no lower than this: exp of it is zero.
inline constexpr double aldr_lowest = -1000;

template <class T>
struct exponent_moments {
  simd::batch<T> sum = T(0), first = T(0), second = T(0), third = T(0);

  WEAKLY_INLINE void add(simd::batch<T> e, simd::batch<T> z) {
    sum += e;
    const simd::batch<T> ez = e * z, ezz = ez * z;
    first += ez;
    second += ezz;
    third = simd::fma(ezz, z, third);
  }
};

/// One row of ALDR-KL: p and what depends on it at any u.
template <class T>
class aldr_row {
  using batch = simd::batch<T>;

 public:
  static constexpr index_t block = delta_row<T>::block;

  /// keep  room for the row, or null for computing its exponents again in every pass
  aldr_row(const delta_row<T>& row, double lambda0, T* keep)
      : row_(row), keep_(keep), unit_(static_cast<T>(std::min(1 / lambda0, double(std::numeric_limits<T>::max())))) {
    double sum = 0;
    row.read_into(keep_, [&](index_t, index_t count, T* d) {
      top_ = std::max(top_, simd::max(static_cast<const T*>(d), count));
      sum += double(simd::sum(static_cast<const T*>(d), count));
    });
    bad_ = std::isnan(sum) || top_ == std::numeric_limits<T>::infinity();
    if (keep_ != nullptr)
      for (index_t j = 0; j < row.classes(); j += block) exponents(std::min(block, row.classes() - j), keep_ + j);
  }

  bool bad() const { return bad_; }
  T top() const { return top_; }

  aldr_point at(double u) const {
    const simd::scaled_exp<T> exp(static_cast<T>(1 / u));
    double sum = 0, first = 0, second = 0, third = 0;
    each([&](index_t, index_t count, const T* y) {
      exponent_moments<T> m;
      index_t j = 0;
      for (; j + 4 * batch::size <= count; j += 4 * batch::size) {
        batch e[4];
        simd::unroll<4>([&](auto i) { e[i] = simd::load(y + j + i * batch::size); });
        exp.template each<4>(e);
        simd::unroll<4>([&](auto i) { m.add(e[i], simd::load(y + j + i * batch::size)); });
      }
      for (; j < count; j += batch::size) {
        const batch z = simd::load_partial(y + j, std::min(batch::size, count - j), T(aldr_lowest));
        m.add(exp(z), z);
      }
      sum += double(simd::reduce_add(m.sum));
      first += double(simd::reduce_add(m.first));
      second += double(simd::reduce_add(m.second));
      third += double(simd::reduce_add(m.third));
    });
    return point(sum, first, second, third, 1 / u);
  }

  /// The aldr_grid points at 1/u = 1, ..., 1/least in equal steps, in two exponentials an element.
  void at_grid(double least, aldr_point* points) const {
    const double step = (1 / least - 1) / (aldr_grid - 1);
    const simd::scaled_exp<T> start(T(1)), ratio(static_cast<T>(step));
    double sums[aldr_grid][3] = {};
    each([&](index_t, index_t count, const T* y) {
      alignas(64) T e[std::size_t(block)], r[std::size_t(block)], z[std::size_t(block)];
      constexpr index_t four = 4 * batch::size;
      const index_t whole = (count + four - 1) / four * four;
      std::copy_n(y, count, z);
      std::fill(z + count, z + whole, T(aldr_lowest));
      for (index_t j = 0; j < whole; j += four) {
        batch a[4], b[4];
        simd::unroll<4>([&](auto i) { a[i] = b[i] = simd::load(z + j + i * batch::size); });
        start.template each<4>(a);
        ratio.template each<4>(b);
        simd::unroll<4>([&](auto i) {
          simd::store(e + j + i * batch::size, a[i]);
          simd::store(r + j + i * batch::size, b[i]);
        });
      }
      for (int g = 0; g < aldr_grid; g += 2) {
        batch sum[2], first[2], second[2];
        simd::unroll<2>([&](auto i) { sum[i] = first[i] = second[i] = T(0); });
        for (index_t j = 0; j < whole; j += batch::size) {
          const batch x = simd::load(z + j), by = simd::load(r + j);
          batch w = simd::load(e + j);
          simd::unroll<2>([&](auto i) {
            const batch wx = w * x;
            sum[i] += w;
            first[i] += wx;
            second[i] = simd::fma(wx, x, second[i]);
            w *= by;
          });
          simd::store(e + j, w);
        }
        for (int i = 0; i < 2 && g + i < aldr_grid; ++i) {
          sums[g + i][0] += double(simd::reduce_add(sum[i]));
          sums[g + i][1] += double(simd::reduce_add(first[i]));
          sums[g + i][2] += double(simd::reduce_add(second[i]));
        }
      }
    });
    for (int g = 0; g < aldr_grid; ++g) points[g] = point(sums[g][0], sums[g][1], sums[g][2], 0, 1 + step * g);
  }

  /// log mean exp of the exponents at u, and with it everything that write_gradient needs.
  double finish(double u) {
    const T scale = static_cast<T>(1 / u);
    const simd::scaled_exp<T> exp(scale);
    double others = 0, label = 0;
    each([&](index_t column, index_t count, T* y) {
      exps(exp, count, y);
      if (const index_t at = row_.label_in(column, count); at >= 0) {
        label = double(y[at]);
        y[at] = 0;
      }
      others += double(simd::sum(static_cast<const T*>(y), count));
    });
    last_ = scale;
    scale_ = static_cast<T>(1 / (others + label));
    at_label_ = static_cast<T>(-others / (others + label));
    return std::log((others + label) / double(row_.classes()));
  }

  void write_gradient(const row_blocks<T>& to) const {
    const batch scale = scale_;
    const auto scaled = [&](index_t column, index_t count, const T* e, T* g) {
      map_batches(e, count, g, [&](batch x) { return x * scale; });
      if (const index_t at = row_.label_in(column, count); at >= 0) g[at] = at_label_;
    };
    if (keep_ != nullptr) {
      to.write([&](index_t column, const T*, index_t count, T* g) { scaled(column, count, keep_ + column, g); });
      return;
    }
    const simd::scaled_exp<T> exp(last_);
    row_.write([&](index_t column, index_t count, T* g) {
      exponents(count, g);
      exps(exp, count, g);
      scaled(column, count, g, g);
    });
  }

 private:
  // From delta to exponents in units of lambda0, in place.
  void exponents(index_t count, T* d) const {
    const batch top = top_, unit = unit_, lowest = T(aldr_lowest);
    map_batches(static_cast<const T*>(d), count, d, [&](batch x) { return simd::max((x - top) * unit, lowest); });
  }
  static void exps(const simd::scaled_exp<T>& exp, index_t count, T* y) {
    const batch floor = exp.floor();  // which excluded classes must not keep
    index_t j = 0;
    for (; j + 4 * batch::size <= count; j += 4 * batch::size) {
      batch e[4];
      simd::unroll<4>([&](auto i) { e[i] = simd::load(y + j + i * batch::size); });
      exp.template each<4>(e);
      simd::unroll<4>([&](auto i) { simd::store(y + j + i * batch::size, e[i] - floor); });
    }
    for (; j < count; j += batch::size) {
      const index_t left = std::min(batch::size, count - j);
      simd::store_partial(y + j, left, exp(simd::load_partial(y + j, left)) - floor);
    }
  }

  template <class F>
  void each(F f) const {
    if (keep_ == nullptr)
      row_.read([&](index_t column, index_t count, T* d) {
        exponents(count, d);
        f(column, count, d);
      });
    else
      for (index_t j = 0; j < row_.classes(); j += block) f(j, std::min(block, row_.classes() - j), keep_ + j);
  }

  // From sums over exponents in units of lambda0 to moments of log p at 1/u = beta.
  aldr_point point(double sum, double first, double second, double third, double beta) const {
    const double mean = first / sum, square = second / sum;
    const double variance = std::max(square - mean * mean, 0.0);
    const double cubic = third / sum - 3 * mean * square + 2 * mean * mean * mean;
    const double excess = std::log(sum / double(row_.classes()));
    return {excess, std::max(beta * mean - excess, 0.0), beta * beta * variance, beta * beta * beta * cubic};
  }

  const delta_row<T>& row_;
  T* keep_;
  T unit_;  // 1 / lambda0
  T top_ = -std::numeric_limits<T>::infinity();
  bool bad_ = false;
  T last_ = 1, scale_ = 0, at_label_ = 0;
};

}  // namespace weakly::inline v0::detail
