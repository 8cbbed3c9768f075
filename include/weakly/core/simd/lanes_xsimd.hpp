// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/half.hpp>

#if __has_include(<xsimd/xsimd.hpp>) && !defined(__CUDACC__)

// xsimd's headers do not compile without warnings under -Wconversion, and not every user includes them as system
// headers.
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wconversion"
#pragma GCC diagnostic ignored "-Wsign-conversion"
#pragma GCC diagnostic ignored "-Wshadow"
#pragma GCC diagnostic ignored "-Wpedantic"
#pragma GCC diagnostic ignored "-Wunused-parameter"
#endif
#include <xsimd/xsimd.hpp>
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <type_traits>

// What core/simd/batch.hpp stands on where xsimd is found: xsimd's registers and arithmetic, and intrinsics for what
// xsimd 8.1 lacks (bits of a mask, partial and streaming access, half) or gets wrong: != is false for NaN from AVX on,
// and on AVX-512 fma rounds twice, ^ of masks is |, and -(+0) is +0. Full-mask forms of AVX-512 intrinsics give the
// same instruction as the plain ones, but g++ 12 warns of an uninitialised register inside the plain ones.
namespace weakly::inline v0::simd::on_xsimd {

inline constexpr bool has_vectors = true;

template <class T>
using word_of = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;

template <class T>
using lanes_of = xsimd::batch<T>;

template <class T>
using flags_of = xsimd::batch_bool<T>;

template <class T>
inline constexpr int lane_count = int(xsimd::batch<T>::size);

template <class T>
inline constexpr bool fused =
#if defined(__FMA__) || defined(__AVX512F__) || defined(__ARM_FEATURE_FMA)
    true;
#else
    false;
#endif

template <class T>
WEAKLY_INLINE lanes_of<T> broadcast(T x) {
  return lanes_of<T>(x);
}

template <class T>
WEAKLY_INLINE lanes_of<T> load(const T* p) {
  return lanes_of<T>::load_unaligned(p);
}

template <class T>
WEAKLY_INLINE void store(T* p, const lanes_of<T>& v) {
  v.store_unaligned(p);
}

template <class T>
WEAKLY_INLINE lanes_of<word_of<T>> as_words(const lanes_of<T>& v) {
  return std::bit_cast<lanes_of<word_of<T>>>(v);
}

template <class T>
WEAKLY_INLINE lanes_of<T> as_lanes(const lanes_of<word_of<T>>& w) {
  return std::bit_cast<lanes_of<T>>(w);
}

template <class T, int Count>
WEAKLY_INLINE lanes_of<word_of<T>> shifted_left(const lanes_of<word_of<T>>& w) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    return lanes_of<word_of<T>>(_mm512_maskz_slli_epi32(0xffff, w, Count));
  else
    return lanes_of<word_of<T>>(_mm512_maskz_slli_epi64(0xff, w, Count));
#else
  return w << Count;
#endif
}

template <class T, int Count>
WEAKLY_INLINE lanes_of<word_of<T>> shifted_right(const lanes_of<word_of<T>>& w) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    return lanes_of<word_of<T>>(_mm512_maskz_srli_epi32(0xffff, w, Count));
  else
    return lanes_of<word_of<T>>(_mm512_maskz_srli_epi64(0xff, w, Count));
#else
  return w >> Count;
#endif
}

template <class T>
WEAKLY_INLINE lanes_of<T> fma(const lanes_of<T>& x, const lanes_of<T>& y, const lanes_of<T>& z) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    return lanes_of<T>(_mm512_fmadd_ps(x, y, z));
  else
    return lanes_of<T>(_mm512_fmadd_pd(x, y, z));
#else
  return xsimd::fma(x, y, z);
#endif
}

template <class T>
WEAKLY_INLINE lanes_of<T> square_root(const lanes_of<T>& v) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    return lanes_of<T>(_mm512_maskz_sqrt_ps(0xffff, v));
  else
    return lanes_of<T>(_mm512_maskz_sqrt_pd(0xff, v));
#else
  return xsimd::sqrt(v);
#endif
}

template <class V>
WEAKLY_INLINE V min(const V& a, const V& b) {
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<V, xsimd::batch<float>>)
    return V(_mm512_maskz_min_ps(0xffff, a, b));
  else if constexpr (std::is_same_v<V, xsimd::batch<double>>)
    return V(_mm512_maskz_min_pd(0xff, a, b));
  else
    return xsimd::min(a, b);
#elif defined(__SSE2__)
  return xsimd::min(a, b);
#else
  return xsimd::select(a < b, a, b);
#endif
}

template <class V>
WEAKLY_INLINE V max(const V& a, const V& b) {
#if defined(__AVX512F__)
  if constexpr (std::is_same_v<V, xsimd::batch<float>>)
    return V(_mm512_maskz_max_ps(0xffff, a, b));
  else if constexpr (std::is_same_v<V, xsimd::batch<double>>)
    return V(_mm512_maskz_max_pd(0xff, a, b));
  else
    return xsimd::max(a, b);
#elif defined(__SSE2__)
  return xsimd::max(a, b);
#else
  return xsimd::select(a > b, a, b);
#endif
}

template <class T>
WEAKLY_INLINE flags_of<T> equal(const lanes_of<T>& a, const lanes_of<T>& b) {
  return a == b;
}

template <class T>
WEAKLY_INLINE flags_of<T> not_equal(const lanes_of<T>& a, const lanes_of<T>& b) {
  return ~(a == b);
}

template <class T>
WEAKLY_INLINE flags_of<T> less(const lanes_of<T>& a, const lanes_of<T>& b) {
  return a < b;
}

template <class T>
WEAKLY_INLINE flags_of<T> less_equal(const lanes_of<T>& a, const lanes_of<T>& b) {
  return a <= b;
}

template <class T>
WEAKLY_INLINE lanes_of<T> select(const flags_of<T>& condition, const lanes_of<T>& yes, const lanes_of<T>& no) {
  return xsimd::select(condition, yes, no);
}

template <class T>
WEAKLY_INLINE flags_of<T> exclusive_or(const flags_of<T>& a, const flags_of<T>& b) {
#if defined(__AVX512F__)
  return flags_of<T>(static_cast<typename flags_of<T>::register_type>(a.data ^ b.data));
#else
  return a ^ b;
#endif
}

template <class T>
inline constexpr word_of<T> sign_bit = word_of<T>(1) << (8 * sizeof(T) - 1);

template <class T>
WEAKLY_INLINE lanes_of<T> magnitude(const lanes_of<T>& v) {
  return as_lanes<T>(as_words<T>(v) & lanes_of<word_of<T>>(word_of<T>(~sign_bit<T>)));
}

template <class T>
WEAKLY_INLINE lanes_of<T> negated(const lanes_of<T>& v) {
  return as_lanes<T>(as_words<T>(v) ^ lanes_of<word_of<T>>(sign_bit<T>));
}

template <class T>
WEAKLY_INLINE std::uint32_t flag_bits(const flags_of<T>& f) {
#if defined(__AVX512F__)
  return std::uint32_t(f.data);
#elif defined(__AVX__)
  if constexpr (sizeof(T) == 4)
    return std::uint32_t(_mm256_movemask_ps(f));
  else
    return std::uint32_t(_mm256_movemask_pd(f));
#elif defined(__SSE2__)
  if constexpr (sizeof(T) == 4)
    return std::uint32_t(_mm_movemask_ps(f));
  else
    return std::uint32_t(_mm_movemask_pd(f));
#else
  bool lane[lane_count<T>];
  f.store_unaligned(lane);
  std::uint32_t bits = 0;
  for (int i = 0; i < lane_count<T>; ++i) bits |= std::uint32_t(lane[i]) << i;
  return bits;
#endif
}

// Any `lane_count` consecutive words starting `count` before the middle are all ones in the first `count` and zero
// after.
template <class T>
struct flag_window {
  word_of<T> word[2 * lane_count<T>] = {};
  constexpr flag_window() {
    for (int i = 0; i < lane_count<T>; ++i) word[i] = word_of<T>(~word_of<T>(0));
  }
};
template <class T>
inline constexpr flag_window<T> flag_windows{};

template <class T>
WEAKLY_INLINE flags_of<T> first_flags(int count) {
#if defined(__AVX512F__)
  return flags_of<T>(static_cast<typename flags_of<T>::register_type>((1u << count) - 1u));
#else
  const lanes_of<T> flags = as_lanes<T>(load(flag_windows<T>.word + lane_count<T> - count));
  return std::bit_cast<flags_of<T>>(flags);
#endif
}

template <class T>
WEAKLY_INLINE lanes_of<T> load_first(const T* p, int count) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    return lanes_of<T>(_mm512_maskz_loadu_ps(first_flags<T>(count).data, p));
  else
    return lanes_of<T>(_mm512_maskz_loadu_pd(first_flags<T>(count).data, p));
#elif defined(__AVX__)
  const __m256i flags = std::bit_cast<__m256i>(first_flags<T>(count));
  if constexpr (sizeof(T) == 4)
    return lanes_of<T>(_mm256_maskload_ps(p, flags));
  else
    return lanes_of<T>(_mm256_maskload_pd(p, flags));
#else
  T lane[lane_count<T>] = {};
  std::memcpy(lane, p, std::size_t(count) * sizeof(T));
  return load(lane);
#endif
}

template <class T>
WEAKLY_INLINE void store_first(T* p, int count, const lanes_of<T>& v) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    _mm512_mask_storeu_ps(p, first_flags<T>(count).data, v);
  else
    _mm512_mask_storeu_pd(p, first_flags<T>(count).data, v);
#elif defined(__AVX__)
  const __m256i flags = std::bit_cast<__m256i>(first_flags<T>(count));
  if constexpr (sizeof(T) == 4)
    _mm256_maskstore_ps(p, flags, v);
  else
    _mm256_maskstore_pd(p, flags, v);
#else
  T lane[lane_count<T>];
  store(lane, v);
  std::memcpy(p, lane, std::size_t(count) * sizeof(T));
#endif
}

template <class T>
WEAKLY_INLINE void store_streaming(T* p, const lanes_of<T>& v) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    _mm512_stream_ps(p, v);
  else
    _mm512_stream_pd(p, v);
#elif defined(__AVX__)
  if constexpr (sizeof(T) == 4)
    _mm256_stream_ps(p, v);
  else
    _mm256_stream_pd(p, v);
#elif defined(__SSE2__)
  if constexpr (sizeof(T) == 4)
    _mm_stream_ps(p, v);
  else
    _mm_stream_pd(p, v);
#else
  store(p, v);
#endif
}

WEAKLY_INLINE void streaming_fence() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

WEAKLY_INLINE lanes_of<float> load_storage(const half* p) {
#if defined(__AVX512F__)
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  return lanes_of<float>(_mm512_maskz_cvtph_ps(0xffff, bits));
#elif defined(__AVX__) && defined(__F16C__)
  return lanes_of<float>(_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
#else
  float lane[lane_count<float>];
  for (int i = 0; i < lane_count<float>; ++i) lane[i] = float(p[i]);
  return load(lane);
#endif
}

WEAKLY_INLINE lanes_of<float> load_storage(const bfloat16* p) {
#if defined(__AVX512F__)
  const __m256i bits = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
  const __m512i wide = _mm512_maskz_slli_epi32(0xffff, _mm512_maskz_cvtepu16_epi32(0xffff, bits), 16);
  return std::bit_cast<lanes_of<float>>(wide);
#elif defined(__AVX2__)
  const __m128i bits = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return std::bit_cast<lanes_of<float>>(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
#elif defined(__SSE2__) && !defined(__AVX__)
  const __m128i bits = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p));
  return std::bit_cast<lanes_of<float>>(_mm_unpacklo_epi16(_mm_setzero_si128(), bits));
#else
  float lane[lane_count<float>];
  for (int i = 0; i < lane_count<float>; ++i) lane[i] = float(p[i]);
  return load(lane);
#endif
}

#if defined(__AVX2__)
// The upper half of each word, rounded to nearest, ties to even.
WEAKLY_INLINE __m128i rounded_to_bfloat16(__m256 x) {
  const __m256i bits = _mm256_castps_si256(x), upper = _mm256_srli_epi32(bits, 16);
  const __m256i half_unit = _mm256_add_epi32(_mm256_and_si256(upper, _mm256_set1_epi32(1)), _mm256_set1_epi32(0x7fff));
  const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(bits, half_unit), 16);
  const __m256i quiet = _mm256_or_si256(upper, _mm256_set1_epi32(0x40));
  const __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
  const __m256i words = _mm256_blendv_epi8(rounded, quiet, is_nan);
  return _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
}
#endif

#if defined(__AVX__)
// `rounded` takes eight lanes.
template <class Storage, class Rounded>
WEAKLY_INLINE void store_rounded(Storage* p, const lanes_of<float>& v, Rounded rounded) {
#if defined(__AVX512F__)
  const __m512d pairs = std::bit_cast<__m512d>(v);
  const __m256d lower = _mm512_maskz_extractf64x4_pd(0xf, pairs, 0);
  const __m256d upper = _mm512_maskz_extractf64x4_pd(0xf, pairs, 1);
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), rounded(_mm256_castpd_ps(lower)));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 8), rounded(_mm256_castpd_ps(upper)));
#else
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), rounded(v));
#endif
}
#endif

template <class Storage>
WEAKLY_INLINE void store_each(Storage* p, const lanes_of<float>& v) {
  float lane[lane_count<float>];
  store(lane, v);
  for (int i = 0; i < lane_count<float>; ++i) p[i] = Storage(lane[i]);
}

WEAKLY_INLINE void store_storage(half* p, const lanes_of<float>& v) {
#if defined(__AVX__) && defined(__F16C__)
  store_rounded(p, v, [](__m256 x) { return _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT); });
#else
  store_each(p, v);
#endif
}

WEAKLY_INLINE void store_storage(bfloat16* p, const lanes_of<float>& v) {
#if defined(__AVX2__)
  store_rounded(p, v, [](__m256 x) { return rounded_to_bfloat16(x); });
#else
  store_each(p, v);
#endif
}

#if defined(__AVX512F__)
template <class T>
using order_of = __m512i;
#elif defined(__AVX2__)
template <class T>
using order_of = __m256i;
#else
template <class T>
struct order_of {
  std::int32_t source[std::size_t(lane_count<T>)];
};
#endif

// The sources as the permutation instruction wants them; on AVX2 it moves doubles as pairs of words.
template <class T>
WEAKLY_INLINE order_of<T> lane_order(const std::int32_t* source) {
#if defined(__AVX512F__) || defined(__AVX2__)
#if defined(__AVX512F__)
  using index = word_of<T>;
#else
  using index = std::uint32_t;
#endif
  constexpr int parts = int(sizeof(T) / sizeof(index));
  index entry[sizeof(order_of<T>) / sizeof(index)];
  for (int i = 0; i < lane_count<T>; ++i)
    for (int part = 0; part < parts; ++part) entry[parts * i + part] = static_cast<index>(parts * source[i] + part);
  return std::bit_cast<order_of<T>>(entry);
#else
  order_of<T> order;
  std::memcpy(order.source, source, sizeof(order.source));
  return order;
#endif
}

template <class T>
WEAKLY_INLINE lanes_of<T> permuted(const lanes_of<T>& v, const order_of<T>& order) {
#if defined(__AVX512F__)
  if constexpr (sizeof(T) == 4)
    return lanes_of<T>(_mm512_maskz_permutexvar_ps(0xffff, order, v));
  else
    return lanes_of<T>(_mm512_maskz_permutexvar_pd(0xff, order, v));
#elif defined(__AVX2__)
  return std::bit_cast<lanes_of<T>>(_mm256_permutevar8x32_ps(std::bit_cast<__m256>(v), order));
#else
  T from[std::size_t(lane_count<T>)], to[std::size_t(lane_count<T>)];
  store(from, v);
  for (int i = 0; i < lane_count<T>; ++i) to[i] = from[order.source[i]];
  return load(static_cast<const T*>(to));
#endif
}

// Lane i of the result is the sum of the lanes of row i.
template <class T>
WEAKLY_INLINE lanes_of<T> add_rows(const lanes_of<T>* row) {
#if defined(__AVX512F__)
  using half = xsimd::batch<T, xsimd::avx>;
  constexpr int n = lane_count<T>;
  half sum[std::size_t(n)];
  for (int i = 0; i < n; ++i) {
    const __m512d pairs = std::bit_cast<__m512d>(row[i]);
    const __m256d lower = _mm512_maskz_extractf64x4_pd(0xf, pairs, 0);
    const __m256d upper = _mm512_maskz_extractf64x4_pd(0xf, pairs, 1);
    sum[i] = std::bit_cast<half>(lower) + std::bit_cast<half>(upper);
  }
  T lane[std::size_t(n)];
  xsimd::haddp(sum).store_unaligned(lane);
  xsimd::haddp(sum + n / 2).store_unaligned(lane + n / 2);
  return load(static_cast<const T*>(lane));
#else
  return xsimd::haddp(row);
#endif
}

// Adds, or whatever `op` does, the upper half of the lanes to the lower half until one lane remains.
template <class T, class Op>
WEAKLY_INLINE T fold_halves(const lanes_of<T>& v, Op op) {
#if defined(__SSE2__)
  using narrow = xsimd::batch<T, xsimd::sse2>;
  const auto fold_narrow = [&](narrow x) -> T {
    if constexpr (sizeof(T) == 4) {
      x = op(x, narrow(_mm_movehl_ps(x, x)));
      return _mm_cvtss_f32(op(x, narrow(_mm_shuffle_ps(x, x, 1))));
    } else {
      return _mm_cvtsd_f64(op(x, narrow(_mm_unpackhi_pd(x, x))));
    }
  };
#if defined(__AVX__)
  using wide = xsimd::batch<T, xsimd::avx>;
  const auto fold_wide = [&](wide x) -> T {
    if constexpr (sizeof(T) == 4)
      return fold_narrow(op(narrow(_mm256_castps256_ps128(x)), narrow(_mm256_extractf128_ps(x, 1))));
    else
      return fold_narrow(op(narrow(_mm256_castpd256_pd128(x)), narrow(_mm256_extractf128_pd(x, 1))));
  };
#if defined(__AVX512F__)
  const __m512d pairs = std::bit_cast<__m512d>(v);
  const __m256d lower = _mm512_maskz_extractf64x4_pd(0xf, pairs, 0);
  const __m256d upper = _mm512_maskz_extractf64x4_pd(0xf, pairs, 1);
  return fold_wide(op(std::bit_cast<wide>(lower), std::bit_cast<wide>(upper)));
#else
  if constexpr (sizeof(T) == 4)
    return fold_wide(wide(__m256(v)));
  else
    return fold_wide(wide(__m256d(v)));
#endif
#else
  return fold_narrow(narrow(v.data));
#endif
#else
  T lane[lane_count<T>];
  store(lane, v);
  for (int half = lane_count<T> / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) lane[i] = op(lane[i], lane[i + half]);
  return lane[0];
#endif
}

}  // namespace weakly::inline v0::simd::on_xsimd

#endif
