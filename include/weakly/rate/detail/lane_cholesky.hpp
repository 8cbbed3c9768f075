// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/rate/detail/aligned_array.hpp>

#include <cmath>
#include <cstddef>
#include <limits>

namespace weakly::inline v0::detail {

/// As many small matrices as a register has lanes, each factored and inverted in its own lane: what a blocked factor
/// spends on loops and padding is shared by all. Element (i, j), j <= i, of the matrix in a lane is at(i, j)[lane].
template <class T>
class lane_cholesky {
 public:
  using batch = simd::batch<T>;
  static constexpr index_t lanes = batch::size;

  explicit lane_cholesky(index_t d)
      : d_(d), lower_(d * (d + 1) / 2 * lanes), inverse_factor_(d * (d + 1) / 2 * lanes) {}

  T* at(index_t i, index_t j) const { return lower_.data() + place(i, j); }

  /// Factors in place. False where a pivot is not a positive finite number: bad_lane and bad_pivot say which.
  bool run() {
    for (index_t i = 0; i < d_; ++i) {
      for (index_t j = 0; j < i; ++j)
        simd::store(at(i, j), (simd::load(at(i, j)) - dot(at(i, 0), at(j, 0), j)) / simd::load(at(j, j)));
      const batch pivot = simd::load(at(i, i)) - dot(at(i, 0), at(i, 0), i);
      if (!simd::all((pivot > batch(T(0))) & (pivot <= batch(std::numeric_limits<T>::max())))) {
        bad_pivot = i;
        for (bad_lane = 0; pivot[bad_lane] > 0 && pivot[bad_lane] <= std::numeric_limits<T>::max();) ++bad_lane;
        return false;
      }
      for (index_t l = 0; l < lanes; ++l) at(i, i)[l] = std::sqrt(pivot[l]);
    }
    return true;
  }
  index_t bad_lane = 0;
  index_t bad_pivot = 0;

  /// log det / 2 of a lane, summed in double.
  double half_log_det(index_t lane) const {
    double sum = 0;
    for (index_t i = 0; i < d_; ++i) sum += std::log(static_cast<double>(at(i, i)[lane]));
    return sum;
  }

  /// The traces of the inverses, without forming them where `keep` is false; else at(i, j) are the inverses.
  void invert(bool keep, double* trace) {
    for (index_t l = 0; l < lanes; ++l) trace[l] = 0;
    for (index_t i = 0; i < d_; ++i) {
      const batch scale = batch(T(1)) / simd::load(at(i, i));
      for (index_t j = 0; j < i; ++j) {
        batch sum(T(0));
        for (index_t k = j; k < i; ++k) sum = simd::fma(simd::load(at(i, k)), simd::load(x(k, j)), sum);
        simd::store(x(i, j), -sum * scale);
      }
      simd::store(x(i, i), scale);
    }
    for (index_t i = 0; i < d_; ++i)
      for (index_t j = keep ? 0 : i; j <= i; ++j) {
        batch sum(T(0));
        for (index_t k = i; k < d_; ++k) sum = simd::fma(simd::load(x(k, i)), simd::load(x(k, j)), sum);
        if (keep) simd::store(at(i, j), sum);
        if (i == j)
          for (index_t l = 0; l < lanes; ++l) trace[l] += static_cast<double>(sum[l]);
      }
  }

 private:
  static index_t place(index_t i, index_t j) { return (i * (i + 1) / 2 + j) * lanes; }
  T* x(index_t i, index_t j) const { return inverse_factor_.data() + place(i, j); }

  // Two chains: one would wait for each addition.
  static batch dot(const T* a, const T* b, index_t count) {
    batch even(T(0)), odd(T(0));
    index_t k = 0;
    for (; k + 2 <= count; k += 2) {
      even = simd::fma(simd::load(a + k * lanes), simd::load(b + k * lanes), even);
      odd = simd::fma(simd::load(a + (k + 1) * lanes), simd::load(b + (k + 1) * lanes), odd);
    }
    if (k < count) even = simd::fma(simd::load(a + k * lanes), simd::load(b + k * lanes), even);
    return even + odd;
  }

  index_t d_;
  aligned_array<T> lower_, inverse_factor_;
};

}  // namespace weakly::inline v0::detail
