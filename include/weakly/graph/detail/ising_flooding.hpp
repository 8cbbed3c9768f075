// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/detail/map_batches.hpp>
#include <weakly/core/simd.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace weakly::inline v0::detail {

/// How far two messages of a binary variable are apart, over many of them, where only the greatest matters: the dear
/// part is computed for those alone that a cheap bound does not rule out.
template <class T>
class greatest_log_odds_distance {
 public:
  explicit greatest_log_odds_distance(bool in_logarithms) : in_logarithms_(in_logarithms) {}
  WEAKLY_INLINE void look(simd::batch<T> fresh, simd::batch<T> old) {
    using batch = simd::batch<T>;
    const batch d = simd::abs(fresh - old);
    if (in_logarithms_) {
      top_ = simd::max(d, top_);
      return;
    }
    // The logistic function is nowhere steeper than 1/4.
    if (!simd::any(d > batch(bound_))) return;
    const auto p = [](batch x) {
      const batch e = simd::exp_nonpositive(-simd::abs(x));
      return simd::select(x < batch(T(0)), e, batch(T(1))) / (e + T(1));
    };
    top_ = simd::max(simd::abs(p(fresh) - p(old)), top_);
    bound_ = 4 * simd::reduce_max(top_);
  }
  double value() const { return static_cast<double>(simd::reduce_max(top_)); }

 private:
  bool in_logarithms_;
  T bound_ = 0;
  simd::batch<T> top_ = T(0);
};

/// The same for ratios exp(log odds), positive and finite.
template <class T>
class greatest_ratio_distance {
 public:
  explicit greatest_ratio_distance(bool in_logarithms) : in_logarithms_(in_logarithms) {}
  WEAKLY_INLINE void look(simd::batch<T> fresh, simd::batch<T> old) {
    using batch = simd::batch<T>;
    if (in_logarithms_) {
      if (!simd::any((fresh > old * factor_) | (old > fresh * factor_))) return;
      top_ = simd::max(simd::max(fresh / old, old / fresh), top_);
      factor_ = std::max(factor_, simd::reduce_max(top_));
      return;
    }
    const batch d = simd::abs(fresh - old), scale = (fresh + T(1)) * (old + T(1));
    if (!simd::any(d > scale * top_)) return;
    top_ = batch(simd::reduce_max(simd::max(d / scale, top_)));
  }
  double value() const {
    const double top = static_cast<double>(simd::reduce_max(top_));
    return in_logarithms_ && top > 0 ? std::log(top) : top;
  }

 private:
  bool in_logarithms_;
  T factor_ = 1;
  simd::batch<T> top_ = T(0);
};

/// Consecutive factors over two binary variables: messages 2 k and 2 k + 1 of factor k go to variable(2 k) and
/// variable(2 k + 1).
template <class T>
struct pair_block {
  const std::uint32_t* variable;
  T* message;
  const T* total;       // of variable v at v, or at node[v]
  const index_t* node;  // may be null
  const T* coupling;

  /// Replaces the messages of the factors in [first, last) by f(total, message, coupling, before): what is sent to the
  /// other variable of the factor by one with this total, to which this message went; `before` is the message that is
  /// replaced. `neutral` fills what is behind the end.
  template <class F>
  void each(index_t first, index_t last, T neutral, F& f) const {
    using batch = simd::batch<T>;
    constexpr index_t size = batch::size, most = 32 * size;
    std::int32_t swapped[std::size_t(size)], doubled[2][std::size_t(size)];
    for (int i = 0; i < int(size); ++i) {
      swapped[i] = i ^ 1;
      doubled[0][i] = i / 2;
      doubled[1][i] = (i + int(size)) / 2;
    }
    const simd::lane_order<T> swap(swapped), low(doubled[0]), high(doubled[1]);
    const auto factors = [&](const T* u, const T* j, T* m) {
      const batch strength = simd::load(j);
      const batch old[2] = {simd::load(static_cast<const T*>(m)), simd::load(static_cast<const T*>(m + size))};
      const batch sent[2] = {f(simd::load(u), old[0], simd::permute(strength, low)),
                             f(simd::load(u + size), old[1], simd::permute(strength, high))};
      for (int h = 0; h < 2; ++h) simd::store(m + h * size, f.settle(simd::permute(sent[h], swap), old[h]));
    };
    T from[2 * std::size_t(most)];
    for (index_t start = first; start < last; start += most) {
      const index_t count = std::min(most, last - start), whole = count - count % size;
      const std::uint32_t* const v = variable + 2 * start;
      T* const m = message + 2 * start;
      if (node == nullptr)
        for (index_t e = 0; e < 2 * count; ++e) from[e] = total[v[e]];
      else
        for (index_t e = 0; e < 2 * count; ++e) from[e] = total[node[v[e]]];
      for (index_t k = 0; k < whole; k += size) factors(from + 2 * k, coupling + start + k, m + 2 * k);
      if (whole == count) continue;
      T last_m[2 * std::size_t(size)], last_j[std::size_t(size)];
      std::fill_n(last_m, 2 * size, neutral);
      std::fill_n(last_j, size, neutral);
      std::fill(from + 2 * count, from + 2 * (whole + size), neutral);
      std::copy(m + 2 * whole, m + 2 * count, last_m);
      std::copy(coupling + start + whole, coupling + start + count, last_j);
      factors(from + 2 * whole, last_j, last_m);
      std::copy_n(last_m, 2 * (count - whole), m + 2 * whole);
    }
  }
};

/// A pass over Ising factors in log odds.
template <class T>
struct ising_by_log_odds {
  using batch = simd::batch<T>;
  T per_temperature, temperature, damping;  // per_temperature 0: the greatest instead of the sum
  bool store;
  greatest_log_odds_distance<T> change;

  WEAKLY_INLINE batch operator()(batch total, batch message, batch j) const {
    const batch theta = total - message, limit = simd::abs(j) * T(2), size = simd::abs(theta);
    batch r = simd::min(size, limit);
    if (per_temperature != 0) {
      // min(a, b) + log(1 + e^-(a + b)) - log(1 + e^-|a - b|), scaled by the temperature
      const batch both = simd::exp_nonpositive((size + limit) * -per_temperature);
      const batch apart =
          simd::exp_nonpositive(simd::select(size == limit, T(0), simd::abs(size - limit)) * -per_temperature);
      r = simd::max(simd::fma(simd::log((both + T(1)) / (apart + T(1))), batch(temperature), r), batch(T(0)));
    }
    return simd::select((theta < batch(T(0))) ^ (j < batch(T(0))), -r, r);
  }
  WEAKLY_INLINE batch settle(batch fresh, batch old) {
    change.look(fresh, old);
    if (!store) return old;
    return damping == 0 ? fresh : simd::fma(old, batch(damping), fresh * (1 - damping));
  }
};

/// The same at temperature 1 on exponentials: message exp(r), total the product of all, coupling exp(2 J).
template <class T>
struct ising_by_ratios {
  using batch = simd::batch<T>;
  bool halved;  // a damping of 1/2
  greatest_ratio_distance<T> change;

  WEAKLY_INLINE batch operator()(batch total, batch message, batch a) const {
    return simd::fma(a, total, message) / simd::fma(a, message, total);
  }
  WEAKLY_INLINE batch settle(batch fresh, batch old) {
    change.look(fresh, old);
    return halved ? simd::sqrt(fresh * old) : fresh;
  }
};

}  // namespace weakly::inline v0::detail
