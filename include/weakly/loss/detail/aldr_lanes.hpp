// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/softmax_rows.hpp>
#include <weakly/loss/detail/aldr_root.hpp>
#include <weakly/loss/detail/aldr_rows.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>

namespace weakly::inline v0::detail {

/// A batch of short rows of ALDR-KL at once, one a lane, for problems whose root is unique.
template <class T>
class aldr_lanes {
  using batch = simd::batch<T>;

 public:
  static constexpr index_t lanes = batch::size;
  static constexpr index_t longest_row = 256;

  aldr_lanes(const softmax_scores<T>& scores, const aldr_problem& problem)
      : scores_(scores), problem_(problem), exp_(T(1)) {}

  // Of each row, after solve.
  alignas(64) T value[std::size_t(lanes)];
  alignas(64) T lambda[std::size_t(lanes)];

  /// Rows [first, first + rows), rows <= lanes, each label in [0, k).
  void solve(index_t first, index_t rows, const index_t* label) {
    const index_t k = scores_.classes();
    std::copy_n(label, rows, label_);
    std::fill(label_ + rows, label_ + lanes, 0);
    load(first, rows);

    const T weight = static_cast<T>(problem_.weight()), least = static_cast<T>(problem_.least());
    const T tolerance = std::numeric_limits<T>::epsilon();
    batch u = T(1) - (T(1) - least) / T(2), low = least, high = T(1);
    auto running = u == u;
    for (int round = 0; round < 200 && simd::any(running); ++round) {
      const batch beta = batch(T(1)) / u;
      exponent_moments<T> m;
      index_t j = 0;
      for (; j + 4 <= k; j += 4) add<4>(j, beta, m);
      for (; j + 2 <= k; j += 2) add<2>(j, beta, m);
      if (j < k) add<1>(j, beta, m);

      const batch inverse = batch(T(1)) / m.sum;
      const batch mean = m.first * inverse, square = m.second * inverse;
      const batch variance = simd::max(square - mean * mean, T(0));
      const batch cubic = m.third * inverse - T(3) * mean * square + T(2) * mean * mean * mean;
      const batch kl = simd::max(mean - simd::log(m.sum / T(k)), T(0));
      const batch phi = batch(T(1)) - u - kl / weight;
      const auto positive = phi > batch(T(0));
      low = simd::select(running & positive, u, low);
      high = simd::select(running & ~positive, u, high);
      const batch slope = variance * beta / weight - T(1);
      const batch bend = -(T(3) * variance + cubic) * beta * beta / weight;
      const batch newton = -phi / slope;
      const batch factor = simd::min(simd::max(T(1) + newton * bend / (T(2) * slope), T(0.5)), T(2));
      const batch step = newton / factor;
      const batch ratio = step / slope;
      batch next = u + step;
      const auto inside = (slope < batch(T(0))) & (next >= low) & (next <= high);
      const batch middle = low + (high - low) * T(0.5);
      next = simd::select(inside, next, middle);
      const auto done = (simd::abs(phi) <= tolerance) | (inside & (simd::abs(step) * ratio * ratio <= tolerance)) |
                        (~inside & (high - low <= batch(T(4) * tolerance)));
      u = simd::select(running, next, u);
      running = running & ~done & (phi == phi);
    }
    finish(u, k);
  }

  /// The gradient of the rows solved, row after row, each times its weight.
  void gradient(index_t rows, const T* weight, T* out) const {
    const index_t k = scores_.classes();
    for (index_t r = 0; r < rows; ++r) {
      const T scale = scale_[r] * weight[r];
      T* const to = out + r * k;
      if (weight[r] == T(0)) {
        std::fill_n(to, k, T(0));
        continue;
      }
      for (index_t j = 0; j < k; ++j) to[j] = y_[j * lanes + r] * scale;
      to[label_[r]] = at_label_[r] * weight[r];
    }
  }

 private:
  template <int N>
  WEAKLY_INLINE void add(index_t j, batch beta, exponent_moments<T>& m) const {
    batch z[std::size_t(N)], e[std::size_t(N)];
    simd::unroll<N>([&](auto i) { z[i] = simd::load(y_ + (j + i) * lanes) * beta; });
    simd::unroll<N>([&](auto i) { e[i] = z[i]; });
    exp_.template each<N>(e);
    simd::unroll<N>([&](auto i) { m.add(e[i], z[i]); });
  }

  // Exponents in units of lambda0, column by column.
  void load(index_t first, index_t rows) {
    const index_t k = scores_.classes();
    alignas(64) T shared[std::size_t(lanes)] = {}, origin[std::size_t(lanes)] = {};
    const T* const x = scores_.logits.rows(first, rows, input_);
    for (index_t r = 0; r < lanes; ++r) {
      if (r >= rows) {
        for (index_t j = 0; j < k; ++j) y_[j * lanes + r] = 0;
        continue;
      }
      const T* const from = x + r * k;
      origin[r] = from[label_[r]];
      if (!scores_.margin_by_column()) shared[r] = scores_.shared_margin(label_[r]);
      for (index_t j = 0; j < k; ++j) y_[j * lanes + r] = from[j];
    }
    const batch o = simd::load(static_cast<const T*>(origin)), s = simd::load(static_cast<const T*>(shared));
    for (index_t j = 0; j < k; ++j) simd::store(y_ + j * lanes, (simd::load(y_ + j * lanes) - o) + s);
    for (index_t r = 0; r < rows; ++r) {
      if (scores_.margin_by_column()) {
        T margins[std::size_t(longest_row)];
        const T* const c = scores_.column_margins(first + r, label_[r], 0, k, margins);
        for (index_t j = 0; j < k; ++j) y_[j * lanes + r] += c[j];
      }
      y_[label_[r] * lanes + r] = (origin[r] - origin[r]) + scores_.label_margin(first + r, label_[r]);
    }
    batch top = -std::numeric_limits<T>::infinity(), sum = T(0);
    for (index_t j = 0; j < k; ++j) {
      top = simd::max(simd::load(y_ + j * lanes), top);
      sum += simd::load(y_ + j * lanes);
    }
    const auto bad = (sum != sum) | (top == batch(std::numeric_limits<T>::infinity()));
    top_ = simd::select(bad, std::numeric_limits<T>::quiet_NaN(), top);
    const batch scale = static_cast<T>(1 / problem_.lambda0), lowest = T(aldr_lowest);
    for (index_t j = 0; j < k; ++j)
      simd::store(y_ + j * lanes, simd::max(lowest, (simd::load(y_ + j * lanes) - top_) * scale));
  }

  void finish(batch u, index_t k) {
    const batch beta = batch(T(1)) / u;
    index_t j = 0;
    const auto keep = [&](auto n) {
      batch e[std::size_t(n)];
      simd::unroll<int(n)>([&](auto i) { e[i] = simd::load(y_ + (j + i) * lanes) * beta; });
      exp_.template each<int(n)>(e);
      simd::unroll<int(n)>([&](auto i) { simd::store(y_ + (j + i) * lanes, e[i]); });
    };
    for (; j + 4 <= k; j += 4) keep(std::integral_constant<index_t, 4>{});
    for (; j < k; ++j) keep(std::integral_constant<index_t, 1>{});

    alignas(64) T own[std::size_t(lanes)];
    for (index_t r = 0; r < lanes; ++r) {
      T& e = y_[label_[r] * lanes + r];
      own[r] = e;
      e = 0;
    }
    batch others = T(0);
    for (j = 0; j < k; ++j) others += simd::load(y_ + j * lanes);
    const batch sum = others + simd::load(static_cast<const T*>(own)), inverse = batch(T(1)) / sum;
    const batch excess = simd::log(sum / T(k)), away = u - T(1);
    const batch half_weight = static_cast<T>(problem_.weight() / 2);
    const T lambda0 = static_cast<T>(problem_.lambda0);
    const auto bad = top_ != top_;
    const batch nan = std::numeric_limits<T>::quiet_NaN();
    simd::store(value, top_ + lambda0 * (u * excess - half_weight * away * away));
    simd::store(lambda, simd::select(bad, nan, u * lambda0));
    simd::store(scale_, simd::select(bad, nan, inverse));
    simd::store(at_label_, simd::select(bad, nan, -(others * inverse)));
  }

  const softmax_scores<T>& scores_;
  aldr_problem problem_;
  simd::scaled_exp<T> exp_;
  batch top_;
  alignas(64) T y_[std::size_t(longest_row * lanes)];
  alignas(64) T scale_[std::size_t(lanes)];
  alignas(64) T at_label_[std::size_t(lanes)];
  index_t label_[std::size_t(lanes)];
  T input_[std::size_t(longest_row * lanes)];
};

}  // namespace weakly::inline v0::detail
