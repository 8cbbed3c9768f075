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
#include <cstdint>
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
      : scores_(scores),
        exp_(T(1)),
        floor_(exp_.floor()),
        lambda0_(static_cast<T>(problem.lambda0)),
        unit_(static_cast<T>(1 / problem.lambda0)),
        least_(static_cast<T>(problem.least())),
        weight_(static_cast<T>(problem.weight())),
        share_(static_cast<T>(1 / problem.weight())),
        each_(static_cast<T>(1 / double(scores.classes()))) {}

  // Of each row, after finish.
  alignas(64) T value[std::size_t(lanes)];
  alignas(64) T lambda[std::size_t(lanes)];

  /// Rows [first, first + rows), 0 < rows <= lanes, each label in [0, k). Then round until it returns false, then
  /// finish.
  void begin(index_t first, index_t rows, const index_t* label) {
    std::copy_n(label, rows, label_);
    std::fill(label_ + rows, label_ + lanes, label[rows - 1]);
    load(first, rows);
    low_ = least_;
    high_ = T(1);
    u_ = (least_ + T(1)) / T(2);
    running_ = top_ == top_;
    rounds_ = 0;
  }

  /// One step of every row that is not done. Two batches of rows that take turns do not wait for each other's last
  /// operation.
  bool round() {
    if (!simd::any(running_) || rounds_++ == 200) return false;
    const index_t k = scores_.classes();
    const T tolerance = 4 * std::numeric_limits<T>::epsilon();
    const batch share = share_;
    const simd::scaled_exp<T> exp = exp_;
    const batch u = u_;
    const batch beta = batch(T(1)) / u;
    exponent_moments<T> m;
    index_t j = 0;
    for (; j + 4 <= k; j += 4) add<4>(exp, j, beta, m);
    for (; j + 2 <= k; j += 2) add<2>(exp, j, beta, m);
    if (j < k) add<1>(exp, j, beta, m);

    const batch inverse = batch(T(1)) / m.sum;
    const batch mean = m.first * inverse, square = m.second * inverse;
    const batch variance = simd::max(square - mean * mean, T(0));
    const batch cubic = m.third * inverse - T(3) * mean * square + T(2) * mean * mean * mean;
    const batch kl = simd::max(mean - simd::log(m.sum * each_), T(0));
    const batch phi = batch(T(1)) - u - kl * share;
    const auto positive = phi > batch(T(0));
    const batch low = simd::select(running_ & positive, u, low_), high = simd::select(running_ & ~positive, u, high_);
    low_ = low;
    high_ = high;
    // Halley's step, held between a half and twice Newton's.
    const batch slope = variance * beta * share - T(1), bend = -(T(3) * variance + cubic) * (beta * beta * share);
    const batch steepness = slope * slope;
    const batch divisor = simd::min(simd::max(steepness - T(0.5) * phi * bend, T(0.5) * steepness), T(2) * steepness);
    const batch step = -(phi * slope) / divisor;
    const batch next = u + step;
    const auto inside = (slope < batch(T(0))) & (next >= low) & (next <= high);
    const auto small = simd::abs(step) * step * step <= tolerance * steepness;
    const auto done = (simd::abs(phi) <= tolerance) | (inside & small) | (~inside & (high - low <= batch(tolerance)));
    u_ = simd::select(running_, simd::select(inside, next, low + (high - low) * T(0.5)), u);
    running_ = running_ & ~done;
    return simd::any(running_);
  }

  void finish() {
    const index_t k = scores_.classes();
    const batch u = u_;
    const batch beta = batch(T(1)) / u;
    const simd::scaled_exp<T> exp = exp_;
    split_sum sums;
    index_t j = 0;
    for (; j + 4 <= k; j += 4) keep<4>(exp, j, beta, sums);
    for (; j + 2 <= k; j += 2) keep<2>(exp, j, beta, sums);
    if (j < k) keep<1>(exp, j, beta, sums);
    const batch others = sums.others, sum = others + sums.own, inverse = batch(T(1)) / sum;
    const batch excess = simd::log(sum * each_), away = u - T(1);
    const batch half_weight = weight_ / T(2), lambda0 = lambda0_;
    const auto bad = top_ != top_;
    const batch nan = std::numeric_limits<T>::quiet_NaN();
    simd::store(value, top_ + lambda0 * (u * excess - half_weight * away * away));
    simd::store(lambda, simd::select(bad, nan, u * lambda0));
    simd::store(scale_, simd::select(bad, nan, inverse));
    simd::store(at_label_, simd::select(bad, nan, -(others * inverse)));
  }

  /// The gradient of the rows solved, row after row, each times its weight.
  void gradient(index_t rows, const T* weight, T* out) const {
    const index_t k = scores_.classes();
    const simd::lane_transpose<T> transpose;
    for (index_t j = 0; j < k; j += lanes) {
      const index_t count = std::min(lanes, k - j);
      batch x[std::size_t(lanes)];
      simd::unroll<int(lanes)>([&](auto i) { x[i] = simd::load(y_ + (j + i) * lanes); });
      transpose(x);
      simd::unroll<int(lanes)>([&](auto r) {
        if (r >= rows) return;
        const batch p = x[r] * (scale_[r] * weight[r]);
        if (count == lanes)
          simd::store(out + r * k + j, p);
        else
          simd::store_partial(out + r * k + j, count, p);
      });
    }
    for (index_t r = 0; r < rows; ++r) {
      if (weight[r] == T(0))
        std::fill_n(out + r * k, k, T(0));  // zero times NaN is not zero
      else
        out[r * k + label_[r]] = at_label_[r] * weight[r];
    }
  }

 private:
  struct split_sum {
    batch others = T(0), own = T(0), column = T(0);
  };

  // Exponentials in the place of exponents, and their sums with the label's apart.
  template <int N>
  WEAKLY_INLINE void keep(const simd::scaled_exp<T>& exp, index_t j, batch beta, split_sum& sums) {
    batch e[std::size_t(N)];
    simd::unroll<N>([&](auto i) { e[i] = simd::load(y_ + (j + i) * lanes) * beta; });
    exp.template each<N>(e);
    const batch floor = floor_;  // which excluded classes must not keep
    simd::unroll<N>([&](auto i) {
      e[i] -= floor;
      const auto is_label = sums.column == at_;
      simd::store(y_ + (j + i) * lanes, e[i]);
      sums.others += simd::select(is_label, T(0), e[i]);
      sums.own = simd::select(is_label, e[i], sums.own);
      sums.column += T(1);
    });
  }

  template <int N>
  WEAKLY_INLINE void add(const simd::scaled_exp<T>& exp, index_t j, batch beta, exponent_moments<T>& m) const {
    batch z[std::size_t(N)], e[std::size_t(N)];
    simd::unroll<N>([&](auto i) { z[i] = simd::load(y_ + (j + i) * lanes) * beta; });
    simd::unroll<N>([&](auto i) { e[i] = z[i]; });
    exp.template each<N>(e);
    simd::unroll<N>([&](auto i) { m.add(e[i], z[i]); });
  }

  // delta of `lanes` columns from j on, all but the label's.
  template <class Load>
  WEAKLY_INLINE void take_columns(index_t j, const T* const* start, const T* origin, const T* shared,
                                  const T* const* margins, Load load_some) {
    batch row[std::size_t(lanes)];
    simd::unroll<int(lanes)>([&](auto r) { row[r] = load_some(start[r] + j) - origin[r]; });
    if (margins[0] == nullptr)
      simd::unroll<int(lanes)>([&](auto r) { row[r] += shared[r]; });
    else
      simd::unroll<int(lanes)>([&](auto r) { row[r] += load_some(margins[r] + j); });
    simd::lane_transpose<T>()(row);
    simd::unroll<int(lanes)>([&](auto i) { simd::store(y_ + (j + i) * lanes, row[i]); });
  }

  // Exponents in units of lambda0, column by column.
  void load(index_t first, index_t rows) {
    const index_t k = scores_.classes();
    const T* const x = scores_.logits.rows(first, rows, input_);
    alignas(64) T origin[std::size_t(lanes)], at[std::size_t(lanes)], own[std::size_t(lanes)] = {};
    T shared[std::size_t(lanes)];
    const T* start[std::size_t(lanes)];
    const T* margins[std::size_t(lanes)] = {};
    for (index_t r = 0; r < lanes; ++r) {
      start[r] = x + std::min(r, rows - 1) * k;  // lanes left over repeat the last row
      origin[r] = start[r][label_[r]];
      at[r] = static_cast<T>(label_[r]);
      shared[r] = scores_.margin;
    }
    if (scores_.kind > margin_of::all) {
      for (index_t r = 0; r < lanes; ++r) {
        const index_t row = first + std::min(r, rows - 1);
        own[r] = scores_.label_margin(row, label_[r]);
        if (scores_.margin_by_column())
          margins[r] = scores_.column_margins(row, label_[r], 0, k, margins_ + r * longest_row);
        else
          shared[r] = scores_.shared_margin(label_[r]);
      }
    }
    index_t j = 0;
    for (; j + lanes <= k; j += lanes)
      take_columns(j, start, origin, shared, margins, [](const T* p) { return simd::load(p); });
    if (j < k)
      take_columns(j, start, origin, shared, margins, [&](const T* p) { return simd::load_partial(p, k - j); });
    if (x != input_)
      for (j = 0; j < rows * k; j += simd::line_size<T>) simd::prefetch(x + rows * k + j);
    const batch f = simd::load(static_cast<const T*>(origin));
    const batch of_label = (f - f) + simd::load(static_cast<const T*>(own));
    at_ = simd::load(static_cast<const T*>(at));
    batch top = -std::numeric_limits<T>::infinity(), sum = T(0), column = T(0);
    for (j = 0; j < k; ++j, column += T(1)) {
      const batch delta = simd::select(column == at_, of_label, simd::load(y_ + j * lanes));
      simd::store(y_ + j * lanes, delta);
      top = simd::max(delta, top);
      sum += delta;
    }
    const auto bad = (sum != sum) | (top == batch(std::numeric_limits<T>::infinity()));
    top_ = simd::select(bad, std::numeric_limits<T>::quiet_NaN(), top);
    const batch scale = unit_, lowest = T(aldr_lowest);
    for (j = 0; j < k; ++j) simd::store(y_ + j * lanes, simd::max(lowest, (simd::load(y_ + j * lanes) - top_) * scale));
  }

  const softmax_scores<T>& scores_;
  simd::scaled_exp<T> exp_;
  T floor_, lambda0_, unit_, least_, weight_, share_, each_;  // unit = 1 / lambda0, share = 1 / weight, each = 1 / k
  batch top_, at_, u_, low_, high_;
  simd::mask<T> running_;
  int rounds_ = 0;
  alignas(64) T y_[std::size_t((longest_row + lanes) * lanes)];
  alignas(64) T scale_[std::size_t(lanes)];
  alignas(64) T at_label_[std::size_t(lanes)];
  index_t label_[std::size_t(lanes)];
  T input_[std::size_t(longest_row * lanes)];
  T margins_[std::size_t(longest_row * lanes)];
};

}  // namespace weakly::inline v0::detail
