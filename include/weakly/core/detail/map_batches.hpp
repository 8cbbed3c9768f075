// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>

namespace weakly::inline v0::detail {

/// Where a batch lies in arrays of T: all of it, or its first `count` lanes at their end.
template <class T>
struct whole_batch {
  index_t first;
  WEAKLY_INLINE simd::batch<T> load(const T* p, T = T(0)) const { return simd::load(p + first); }
  WEAKLY_INLINE void store(T* p, simd::batch<T> b) const { simd::store(p + first, b); }
};
template <class T>
struct part_batch {
  index_t first, count;
  WEAKLY_INLINE simd::batch<T> load(const T* p, T fill = T(0)) const {
    return simd::load_partial(p + first, count, fill);
  }
  WEAKLY_INLINE void store(T* p, simd::batch<T> b) const { simd::store_partial(p + first, count, b); }
};

/// f(at) for the batches of `count` elements: at.load(x) and at.store(out, b) are those of any arrays.
template <class T, class F>
WEAKLY_INLINE void for_batches(index_t count, F f) {
  constexpr index_t size = simd::batch<T>::size;
  index_t j = 0;
  for (; j + size <= count; j += size) f(whole_batch<T>{j});
  if (j < count) f(part_batch<T>{j, count - j});
}

/// out[j] = f(x[j]) for j < count, a batch at a time. `out` may be `x`.
template <class T, class F>
WEAKLY_INLINE void map_batches(const T* x, index_t count, T* out, F f) {
  for_batches<T>(count, [&](auto at) { at.store(out, f(at.load(x))); });
}
/// out[j] = f(x[j], y[j])
template <class T, class F>
WEAKLY_INLINE void map_batches(const T* x, const T* y, index_t count, T* out, F f) {
  for_batches<T>(count, [&](auto at) { at.store(out, f(at.load(x), at.load(y))); });
}

}  // namespace weakly::inline v0::detail
