// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>

namespace weakly::inline v0::detail {

/// out[j] = f(x[j]) for j < count, a batch at a time. `out` may be `x`.
template <class T, class F>
WEAKLY_INLINE void map_batches(const T* x, index_t count, T* out, F f) {
  constexpr index_t size = simd::batch<T>::size;
  index_t j = 0;
  for (; j + size <= count; j += size) simd::store(out + j, f(simd::load(x + j)));
  if (j < count) simd::store_partial(out + j, count - j, f(simd::load_partial(x + j, count - j)));
}
/// out[j] = f(x[j], y[j])
template <class T, class F>
WEAKLY_INLINE void map_batches(const T* x, const T* y, index_t count, T* out, F f) {
  constexpr index_t size = simd::batch<T>::size;
  index_t j = 0;
  for (; j + size <= count; j += size) simd::store(out + j, f(simd::load(x + j), simd::load(y + j)));
  if (j < count)
    simd::store_partial(out + j, count - j,
                        f(simd::load_partial(x + j, count - j), simd::load_partial(y + j, count - j)));
}

}  // namespace weakly::inline v0::detail
