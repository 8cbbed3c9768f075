// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/simd.hpp>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <type_traits>

namespace weakly::inline v0::detail {

/// Sums of products along diagonals, of numbers or of their logarithms:
///
///     out[j] = sum over k of weight[k step] x[shift + j + k],   0 <= j < outputs, 0 <= k < weights
///
/// where x is zero outside [0, size). Of non-negative numbers nothing cancels. What lies around x has `margin` zeros
/// (of logarithms: -inf) on either side, and `out` is x's memory nowhere.
class correlation {
  using batch = simd::batch<double>;
  static constexpr index_t lanes = batch::size;
  static constexpr int together = 4;  // weights per loaded batch: a tile of J batches loads J + 3 for 4 J products

 public:
  static constexpr index_t margin = 8 * lanes;

  const double* weight;
  index_t step, weights;
  const double* x;
  index_t size, shift;

  void run(double* out, index_t outputs) const {
    tiles(out, outputs, [this](auto width, index_t j, double* to, index_t count) { sums<width>(j, to, count); });
  }
  /// The logarithm of the sum of exp(weight + x).
  void run_logarithms(double* out, index_t outputs) const {
    tiles(out, outputs, [this](auto width, index_t j, double* to, index_t count) { log_sums<width>(j, to, count); });
  }

 private:
  template <class F>
  static void tiles(double* out, index_t outputs, F f) {
    index_t j = 0;
    const auto take = [&](auto width) {
      const index_t count = std::min(index_t(width) * lanes, outputs - j);
      f(width, j, out + j, count);
      j += count;
    };
    while (j < outputs) {
      const index_t left = (outputs - j + lanes - 1) / lanes;
      if (left >= 8)
        take(std::integral_constant<int, 8>{});
      else if (left >= 4)
        take(std::integral_constant<int, 4>{});
      else if (left >= 2)
        take(std::integral_constant<int, 2>{});
      else
        take(std::integral_constant<int, 1>{});
    }
  }

  struct span {
    index_t begin, end;
  };
  // The weights that a tile of `width` batches from output j on meets something of x with.
  span met(index_t j, index_t width) const {
    return {std::max(index_t(0), -(j + width * lanes - 1 + shift)), std::min(weights, size - j - shift)};
  }

  template <int Width>
  void sums(index_t j, double* out, index_t count) const {
    const span s = met(j, Width);
    batch sum[std::size_t(Width)];
    simd::unroll<Width>([&](auto i) { sum[i] = 0.0; });
    index_t k = s.begin;
    for (; k + together * lanes <= s.end; k += together * lanes)
      for (index_t r = k; r < k + lanes; ++r) {
        const double* const from = x + (shift + j + r);
        batch w[together];
        simd::unroll<together>([&](auto t) { w[t] = weight[(r + t * lanes) * step]; });
        simd::unroll<Width + together - 1>([&](auto u) {
          const batch v = simd::load(from + u * lanes);
          simd::unroll<together>([&](auto t) {
            if constexpr (u - t >= 0 && u - t < Width) sum[u - t] = simd::fma(v, w[t], sum[u - t]);
          });
        });
      }
    for (; k < s.end; ++k) {
      const double* const from = x + (shift + j + k);
      const batch w = weight[k * step];
      simd::unroll<Width>([&](auto i) { sum[i] = simd::fma(simd::load(from + i * lanes), w, sum[i]); });
    }
    put<Width>(sum, out, count);
  }

  template <int Width>
  void log_sums(index_t j, double* out, index_t count) const {
    constexpr double inf = std::numeric_limits<double>::infinity();
    const span s = met(j, Width);
    const auto term = [&](index_t k, index_t i) {
      return simd::load(x + (shift + j + k + i * lanes)) + batch(weight[k * step]);
    };
    batch top[std::size_t(Width)], sum[std::size_t(Width)];
    simd::unroll<Width>([&](auto i) {
      top[i] = -inf;
      sum[i] = 0.0;
    });
    for (index_t k = s.begin; k < s.end; ++k)
      simd::unroll<Width>([&](auto i) { top[i] = simd::max(term(k, i), top[i]); });
    simd::unroll<Width>([&](auto i) { top[i] = simd::select(top[i] > batch(-inf), top[i], 0.0); });
    for (index_t k = s.begin; k < s.end; ++k)
      simd::unroll<Width>([&](auto i) { sum[i] += simd::exp(term(k, i) - top[i]); });
    simd::unroll<Width>([&](auto i) { sum[i] = top[i] + simd::log(sum[i]); });
    put<Width>(sum, out, count);
  }

  template <int Width>
  static void put(const batch* sum, double* out, index_t count) {
    simd::unroll<Width>([&](auto i) {
      const index_t left = count - i * lanes;
      if (left >= lanes)
        simd::store(out + i * lanes, sum[i]);
      else if (left > 0)
        simd::store_partial(out + i * lanes, left, sum[i]);
    });
  }
};

}  // namespace weakly::inline v0::detail
