// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/simd/batch.hpp>
#include <weakly/core/simd/memory.hpp>

#include <cstddef>
#include <cstdint>

namespace weakly::inline v0::simd {

/// Turns `size` batches that are the rows of a square into its columns, in registers; twice is back. Made once, outside
/// the loop.
template <class T>
class lane_transpose {
  static constexpr int size = int(batch<T>::size);

 public:
  WEAKLY_INLINE void operator()(batch<T> (&x)[std::size_t(size)]) const {
    exchange<1>(x);
    if constexpr (size > 2) exchange<2>(x);
    if constexpr (size > 4) exchange<4>(x);
    if constexpr (size > 8) exchange<8>(x);
  }

  /// Lane i is the greatest lane of x[i]; none may be NaN. x is overwritten.
  WEAKLY_INLINE batch<T> max_of_each(batch<T> (&x)[std::size_t(size)]) const {
    fold_max<1>(x);
    return x[0];
  }

 private:
  // Which lanes change places when those do whose numbers differ by Step, and which of them are the lower ones.
  template <int Step>
  struct lanes_apart {
    struct table {
      std::int32_t source[std::size_t(size)] = {};
      T lower[std::size_t(size)] = {};
      constexpr table() {
        for (int i = 0; i < size; ++i) {
          source[i] = i ^ Step;
          lower[i] = (i & Step) == 0 ? T(1) : T(0);
        }
      }
    };
    static constexpr table lanes{};
    const lane_order<T> other{lanes.source};
    const mask<T> lower = load(static_cast<const T*>(lanes.lower)) != batch<T>(T(0));
  };

  template <int Step>
  WEAKLY_INLINE static void exchange_pair(batch<T>& a, batch<T>& b, const lanes_apart<Step>& apart) {
    const batch<T> upper = select(apart.lower, permute(a, apart.other), b);
    a = select(apart.lower, a, permute(b, apart.other));
    b = upper;
  }

  // Lanes that differ in one bit of their number change places with the batches that differ in it.
  template <int Step>
  WEAKLY_INLINE static void exchange(batch<T> (&x)[std::size_t(size)]) {
    const lanes_apart<Step> apart;
    unroll<size / 2>([&](auto pair) {
      constexpr int first = pair / Step * 2 * Step + pair % Step;
      exchange_pair(x[first], x[first + Step], apart);
    });
  }

  // Each step leaves half as many batches, which hold the lanes of twice as many rows.
  template <int Step>
  WEAKLY_INLINE static void fold_max(batch<T> (&x)[std::size_t(size)]) {
    const lanes_apart<Step> apart;
    unroll<size / Step / 2>([&](auto pair) {
      constexpr int first = pair * 2 * Step;
      exchange_pair(x[first], x[first + Step], apart);
      x[first] = max(x[first], x[first + Step]);
    });
    if constexpr (2 * Step < size) fold_max<2 * Step>(x);
  }
};

}  // namespace weakly::inline v0::simd
