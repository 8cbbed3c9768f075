// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/simd/batch.hpp>
#include <weakly/core/simd/memory.hpp>

#include <cstddef>
#include <cstdint>
#include <utility>

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

 private:
  template <int Step>
  struct lanes_apart {
    std::int32_t source[std::size_t(size)] = {};
    T lower[std::size_t(size)] = {};
    constexpr lanes_apart() {
      for (int i = 0; i < size; ++i) {
        source[i] = i ^ Step;
        lower[i] = (i & Step) == 0 ? T(1) : T(0);
      }
    }
  };

  template <int Step, int... Pair>
  WEAKLY_INLINE static void exchange_pairs(batch<T> (&x)[std::size_t(size)], mask<T> lower, const lane_order<T>& other,
                                           std::integer_sequence<int, Pair...>) {
    (exchange_pair(x[first_of<Step>(Pair)], x[first_of<Step>(Pair) + Step], lower, other), ...);
  }
  WEAKLY_INLINE static void exchange_pair(batch<T>& a, batch<T>& b, mask<T> lower, const lane_order<T>& other) {
    const batch<T> upper = select(lower, permute(a, other), b);
    a = select(lower, a, permute(b, other));
    b = upper;
  }
  // The pair-th number whose bit Step is not set.
  template <int Step>
  static constexpr int first_of(int pair) {
    return pair / Step * 2 * Step + pair % Step;
  }

  // Lanes that differ in one bit of their number change places with the batches that differ in it.
  template <int Step>
  WEAKLY_INLINE static void exchange(batch<T> (&x)[std::size_t(size)]) {
    static constexpr lanes_apart<Step> apart{};
    const lane_order<T> other(apart.source);
    const mask<T> lower = load(static_cast<const T*>(apart.lower)) != batch<T>(T(0));
    exchange_pairs<Step>(x, lower, other, std::make_integer_sequence<int, size / 2>{});
  }
};

}  // namespace weakly::inline v0::simd
