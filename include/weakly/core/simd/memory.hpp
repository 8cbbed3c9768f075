// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/half.hpp>
#include <weakly/core/simd/batch.hpp>

#include <cstdint>
#include <type_traits>

namespace weakly::inline v0::simd {

/// Lanes p[0], ..., p[size - 1]. No alignment is asked for.
template <class T>
  requires std::is_floating_point_v<T> WEAKLY_INLINE batch<T> load(const T* p) {
    return batch<T>::of(backend::load(p));
  }

/// As above from storage types, as floats: exact, denormals included; a NaN stays a NaN (a signalling one may become
/// quiet).
WEAKLY_INLINE batch<float> load(const half* p) { return batch<float>::of(backend::load_storage(p)); }
WEAKLY_INLINE batch<float> load(const bfloat16* p) { return batch<float>::of(backend::load_storage(p)); }

/// Lanes p[0], ..., p[count - 1] and then `fill`; 0 <= count <= size. Reads nothing beyond: p may end a page.
template <class Storage>
  requires is_real_v<Storage> WEAKLY_INLINE batch<arithmetic_t<Storage>> load_partial(const Storage* p, index_t count,
                                                                                      arithmetic_t<Storage> fill = 0) {
    using T = arithmetic_t<Storage>;
    batch<T> b;
    if constexpr (std::is_same_v<Storage, T>) {
      b = batch<T>::of(backend::load_first(p, int(count)));
    } else {
      Storage lane[sizeof(batch<T>) / sizeof(T)] = {};
      for (index_t i = 0; i < count; ++i) lane[i] = p[i];
      b = load(static_cast<const Storage*>(lane));
    }
    return select(first_lanes<T>(count), b, fill);
  }

/// p[i] = lane i for all lanes. No alignment is asked for.
template <class T>
WEAKLY_INLINE void store(T* p, batch<T> b) {
  backend::store(p, b.value);
}

/// As above into storage types, rounded as their constructors round.
WEAKLY_INLINE void store(half* p, batch<float> b) { backend::store_storage(p, b.value); }
WEAKLY_INLINE void store(bfloat16* p, batch<float> b) { backend::store_storage(p, b.value); }

/// p[i] = lane i for i < count; 0 <= count <= size. Writes nothing beyond.
template <class Storage>
requires is_real_v<Storage> WEAKLY_INLINE void store_partial(Storage* p, index_t count,
                                                             batch<arithmetic_t<Storage>> b) {
  if constexpr (std::is_same_v<Storage, arithmetic_t<Storage>>)
    backend::store_first(p, int(count), b.value);
  else
    for (index_t i = 0; i < count; ++i) p[i] = Storage(b[i]);
}

/// Elements of type T in one cache line of 64 bytes.
template <class T>
inline constexpr index_t line_size = index_t(64 / sizeof(T));

/// How many elements lie between p and the next address that is a multiple of 64; p must be a multiple of sizeof(T).
template <class T>
WEAKLY_INLINE index_t to_line_start(const T* p) {
  const std::uintptr_t past = reinterpret_cast<std::uintptr_t>(p) % 64;
  return past == 0 ? 0 : index_t((64 - past) / sizeof(T));
}

/// Writes one whole line past the caches: line[i + lane] = part(i)[lane] for i = 0, size, 2 size, ... below
/// line_size<T>.
///
/// line  address that is a multiple of 64
/// part  called as part(i), gives a batch<T>; all parts are computed before the first is written
///
/// Whole lines, because the halves of a line streamed apart cost more than ordinary stores. Other threads see the line
/// only after stream_fence().
template <class T, class Part>
WEAKLY_INLINE void stream_line(T* line, Part part) {
  constexpr int parts = int(line_size<T> / batch<T>::size);
  batch<T> value[64 / sizeof(batch<T>)];
  unroll<parts>([&](auto i) { value[i] = part(i * batch<T>::size); });
  unroll<parts>([&](auto i) { backend::store_streaming(line + i * batch<T>::size, value[i].value); });
}

/// Orders all stream_line before this call, on this thread, before all stores after it. Once at the end of a chunk
/// suffices.
WEAKLY_INLINE void stream_fence() { backend::streaming_fence(); }

/// Asks for the line that holds p to be brought close. A hint; p need not be valid.
WEAKLY_INLINE void prefetch(const void* p) {
#if defined(__GNUC__)
  __builtin_prefetch(p);
#else
  (void)p;
#endif
}

/// The same for the lines of p[0], p[line_size], ... below count.
template <class T>
WEAKLY_INLINE void prefetch_lines(const T* p, index_t count) {
  for (index_t j = 0; j < count; j += line_size<T>) prefetch(p + j);
}

}  // namespace weakly::inline v0::simd
