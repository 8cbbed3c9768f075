// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/simd/batch.hpp>
#include <weakly/core/simd/memory.hpp>

#include <cstddef>
#include <limits>
#include <type_traits>

namespace weakly::inline v0::simd {

namespace detail {

struct add_lanes {
  template <class V>
  WEAKLY_INLINE V operator()(const V& a, const V& b) const {
    return a + b;
  }
};

struct max_lanes {
  template <class V>
  WEAKLY_INLINE V operator()(const V& a, const V& b) const {
    if constexpr (std::is_arithmetic_v<V>)
      return a > b ? a : b;
    else
      return backend::max(a, b);
  }
};

struct min_lanes {
  template <class V>
  WEAKLY_INLINE V operator()(const V& a, const V& b) const {
    if constexpr (std::is_arithmetic_v<V>)
      return a < b ? a : b;
    else
      return backend::min(a, b);
  }
};

}  // namespace detail

/// Sum of the lanes in a fixed order: lane i takes lane i + size / 2, then the lower half does the same, until one is
/// left. Four lanes give (x0 + x2) + (x1 + x3). The value depends on `size`, hence on the build; sum(p, n) does not.
template <class T>
WEAKLY_INLINE T reduce_add(batch<T> x) {
  return backend::fold_halves<T>(x.value, detail::add_lanes{});
}

/// Lane i is the sum of the lanes of x[i], for `size` batches. Every lane adds in the same order, which depends on the
/// build and is not that of reduce_add.
template <class T>
WEAKLY_INLINE batch<T> reduce_add_each(const batch<T>* x) {
  typename batch<T>::lanes lanes[std::size_t(batch<T>::size)];
  unroll<int(batch<T>::size)>([&](auto i) { lanes[i] = x[i].value; });
  return batch<T>::of(backend::add_rows<T>(lanes));
}

/// Greatest lane that is not NaN; -inf where all are. Of +0 and -0 either may be given.
template <class T>
WEAKLY_INLINE T reduce_max(batch<T> x) {
  const batch<T> numbers = max(x, -std::numeric_limits<T>::infinity());  // later maxima would keep a NaN on the right
  return backend::fold_halves<T>(numbers.value, detail::max_lanes{});
}

/// Least lane that is not NaN; +inf where all are. Of +0 and -0 either may be given.
template <class T>
WEAKLY_INLINE T reduce_min(batch<T> x) {
  const batch<T> numbers = min(x, std::numeric_limits<T>::infinity());
  return backend::fold_halves<T>(numbers.value, detail::min_lanes{});
}

/// Sum of p[0], ..., p[n - 1] in an order that does not depend on the build.
///
/// With L = 128 / sizeof(T), running sum l adds p[l], p[l + L], p[l + 2 L], ... in this order, starting from zero; the
/// L sums are then added as in reduce_add, sum l taking sum l + L / 2 and so on. Every instruction set and the plain
/// fallback give the same bits. Zero for n = 0; NaN and infinities as in scalar sums. O(n), reads nothing beyond p[n -
/// 1].
template <class T>
T sum(const T* p, index_t n) {
  constexpr index_t size = batch<T>::size;
  constexpr int count = int(128 / sizeof(T) / size);
  batch<T> running[128 / sizeof(batch<T>)];
  unroll<count>([&](auto c) { running[c] = batch<T>(T(0)); });

  index_t i = 0;
  for (; i + count * size <= n; i += count * size) unroll<count>([&](auto c) { running[c] += load(p + i + c * size); });
  unroll<count>([&](auto c) {
    const index_t left = n - i - c * size;
    if (left > 0) running[c] += load_partial(p + i + c * size, left < size ? left : size);
  });

  if constexpr (count >= 8) unroll<4>([&](auto c) { running[c] += running[c + 4]; });
  if constexpr (count >= 4) unroll<2>([&](auto c) { running[c] += running[c + 2]; });
  if constexpr (count >= 2) running[0] += running[1];
  return reduce_add(running[0]);
}

/// Greatest of p[0], ..., p[n - 1] that is not NaN; -inf where there is none. Of +0 and -0 either may be given.
/// O(n), reads nothing beyond p[n - 1].
template <class T>
T max(const T* p, index_t n) {
  constexpr index_t size = batch<T>::size;
  constexpr T nothing = -std::numeric_limits<T>::infinity();
  batch<T> top0 = nothing, top1 = nothing;

  index_t i = 0;
  for (; i + 2 * size <= n; i += 2 * size) {
    top0 = max(load(p + i), top0);  // a NaN on the left is dropped
    top1 = max(load(p + i + size), top1);
  }
  for (; i < n; i += size) top0 = max(load_partial(p + i, n - i < size ? n - i : size, nothing), top0);
  return reduce_max(max(top0, top1));
}

}  // namespace weakly::inline v0::simd
