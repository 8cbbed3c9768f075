// SPDX-License-Identifier: MIT
// AVX-512 on a machine without it: the intrinsics that core/simd and xsimd's AVX-512 kernels use, by their definition,
// one lane after another. Included before everything else, in a build for AVX2, by g++ (which knows __m512 there). An
// intrinsic that is missing here fails to compile; an aligned access that is not aligned aborts.
#pragma once

#include <immintrin.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>

#if defined(__AVX512F__)
#error "the machine that this is compiled for has AVX-512: compile the tests themselves for it"
#endif
#if !defined(__AVX2__) || !defined(__FMA__) || !defined(__F16C__)
#error "the emulation stands on AVX2, FMA and F16C: compile with -march=x86-64-v3 -Wno-psabi"
#endif

#pragma GCC diagnostic ignored "-Wignored-attributes"

namespace emulated {

template <class E, class V>
std::array<E, sizeof(V) / sizeof(E)> lanes(V v) {
  return std::bit_cast<std::array<E, sizeof(V) / sizeof(E)>>(v);
}

// A register of type V whose lane i, of type E, is f(i) where bit i of `mask` is set, else zero.
template <class V, class E, class F>
V make(std::uint32_t mask, F f) {
  std::array<E, sizeof(V) / sizeof(E)> r{};
  for (std::size_t i = 0; i < r.size(); ++i)
    if ((mask >> i) & 1u) r[i] = f(i);
  return std::bit_cast<V>(r);
}

template <class V, class E, class F>
V pairwise(std::uint32_t mask, V a, V b, F f) {
  const auto x = lanes<E>(a), y = lanes<E>(b);
  return make<V, E>(mask, [&](std::size_t i) { return static_cast<E>(f(x[i], y[i])); });
}

template <class E, class V>
std::uint32_t compare(V a, V b, int predicate) {
  const auto x = lanes<E>(a), y = lanes<E>(b);
  std::uint32_t bits = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    bool holds = false;
    switch (predicate) {
      case _CMP_EQ_OQ:
        holds = x[i] == y[i];
        break;
      case _CMP_LT_OQ:
        holds = x[i] < y[i];
        break;
      case _CMP_LE_OQ:
        holds = x[i] <= y[i];
        break;
      case _CMP_GT_OQ:
        holds = x[i] > y[i];
        break;
      case _CMP_GE_OQ:
        holds = x[i] >= y[i];
        break;
      default:
        std::abort();
    }
    bits |= std::uint32_t(holds) << i;
  }
  return bits;
}

inline void require_aligned(const void* p) {
  if (reinterpret_cast<std::uintptr_t>(p) % 64 != 0) std::abort();
}

constexpr std::uint32_t all = 0xffff;

// For float and double: V is the register, E the lane, M the mask.
template <class V, class E, class M>
struct real {
  static V add(V a, V b) {
    return pairwise<V, E>(all, a, b, [](E x, E y) { return x + y; });
  }
  static V sub(V a, V b) {
    return pairwise<V, E>(all, a, b, [](E x, E y) { return x - y; });
  }
  static V mul(V a, V b) {
    return pairwise<V, E>(all, a, b, [](E x, E y) { return x * y; });
  }
  static V div(V a, V b) {
    return pairwise<V, E>(all, a, b, [](E x, E y) { return x / y; });
  }
  static V max(M m, V a, V b) {
    return pairwise<V, E>(m, a, b, [](E x, E y) { return x > y ? x : y; });
  }
  static V min(M m, V a, V b) {
    return pairwise<V, E>(m, a, b, [](E x, E y) { return x < y ? x : y; });
  }
  static V sqrt(M m, V a) {
    const auto x = lanes<E>(a);
    return make<V, E>(m, [&](std::size_t i) { return std::sqrt(x[i]); });
  }
  static V fmadd(V a, V b, V c) {
    const auto x = lanes<E>(a), y = lanes<E>(b), z = lanes<E>(c);
    return make<V, E>(all, [&](std::size_t i) { return std::fma(x[i], y[i], z[i]); });
  }
  static M cmp(V a, V b, int predicate) { return static_cast<M>(compare<E>(a, b, predicate)); }
  static V blend(M m, V a, V b) {
    const auto x = lanes<E>(a), y = lanes<E>(b);
    return make<V, E>(all, [&](std::size_t i) { return (std::uint32_t(m) >> i) & 1u ? y[i] : x[i]; });
  }
  static V set1(E x) {
    return make<V, E>(all, [=](std::size_t) { return x; });
  }
  static V load(M m, const void* p) {  // a lane outside the mask is not read
    return make<V, E>(m, [=](std::size_t i) { return static_cast<const E*>(p)[i]; });
  }
  static V loadu(const void* p) { return load(static_cast<M>(all), p); }
  static void store(void* p, M m, V v) {
    const auto x = lanes<E>(v);
    for (std::size_t i = 0; i < x.size(); ++i)
      if ((std::uint32_t(m) >> i) & 1u) static_cast<E*>(p)[i] = x[i];
  }
  static void storeu(void* p, V v) { store(p, static_cast<M>(all), v); }
  static void stream(void* p, V v) {
    require_aligned(p);
    storeu(p, v);
  }
  template <class Index>
  static V permute(M m, __m512i order, V v) {
    const auto from = lanes<Index>(order);
    const auto x = lanes<E>(v);
    return make<V, E>(m, [&](std::size_t i) { return x[from[i] % x.size()]; });
  }
};

using ps = real<__m512, float, __mmask16>;
using pd = real<__m512d, double, __mmask8>;

template <class E>
struct integer {
  using V = __m512i;
  static V add(V a, V b) {
    return pairwise<V, E>(all, a, b, [](E x, E y) { return x + y; });
  }
  static V sub(V a, V b) {
    return pairwise<V, E>(all, a, b, [](E x, E y) { return x - y; });
  }
  static V and_(V a, V b) {
    return pairwise<V, E>(all, a, b, [](E x, E y) { return x & y; });
  }
  static V or_(V a, V b) {
    return pairwise<V, E>(all, a, b, [](E x, E y) { return x | y; });
  }
  static V xor_(V a, V b) {
    return pairwise<V, E>(all, a, b, [](E x, E y) { return x ^ y; });
  }
  static V slli(std::uint32_t m, V a, unsigned n) {
    return pairwise<V, E>(m, a, a, [=](E x, E) { return x << n; });
  }
  static V srli(std::uint32_t m, V a, unsigned n) {
    return pairwise<V, E>(m, a, a, [=](E x, E) { return x >> n; });
  }
  static V set1(E x) {
    return make<V, E>(all, [=](std::size_t) { return x; });
  }
};

using epi32 = integer<std::uint32_t>;
using epi64 = integer<std::uint64_t>;

inline __m512i load_words(const void* p) {
  std::array<std::byte, 64> bytes;
  std::memcpy(bytes.data(), p, bytes.size());
  return std::bit_cast<__m512i>(bytes);
}

inline __m512i widen(__mmask16 m, __m256i v) {
  const auto x = lanes<std::uint16_t>(v);
  return make<__m512i, std::uint32_t>(m, [&](std::size_t i) { return std::uint32_t(x[i]); });
}

inline __m512 widen_half(__mmask16 m, __m256i v) {
  const auto x = lanes<std::uint16_t>(v);
  return make<__m512, float>(m, [&](std::size_t i) { return _cvtsh_ss(x[i]); });
}

inline __m256d extract(__mmask8 m, __m512d v, int part) {
  const auto x = lanes<double>(v);
  return make<__m256d, double>(m, [&](std::size_t i) { return x[i + 4 * std::size_t(part)]; });
}

}  // namespace emulated

// Without optimisation g++ has these as macros.
#undef _mm512_cmp_ps_mask
#undef _mm512_cmp_pd_mask
#undef _mm512_maskz_extractf64x4_pd
#undef _mm512_maskz_slli_epi32
#undef _mm512_maskz_srli_epi32
#undef _mm512_maskz_slli_epi64
#undef _mm512_maskz_srli_epi64

#define _mm512_add_ps emulated::ps::add
#define _mm512_sub_ps emulated::ps::sub
#define _mm512_mul_ps emulated::ps::mul
#define _mm512_div_ps emulated::ps::div
#define _mm512_fmadd_ps emulated::ps::fmadd
#define _mm512_set1_ps emulated::ps::set1
#define _mm512_loadu_ps emulated::ps::loadu
#define _mm512_storeu_ps emulated::ps::storeu
#define _mm512_stream_ps emulated::ps::stream
#define _mm512_maskz_sqrt_ps emulated::ps::sqrt
#define _mm512_maskz_max_ps emulated::ps::max
#define _mm512_maskz_min_ps emulated::ps::min
#define _mm512_cmp_ps_mask emulated::ps::cmp
#define _mm512_mask_blend_ps emulated::ps::blend
#define _mm512_maskz_loadu_ps emulated::ps::load
#define _mm512_mask_storeu_ps emulated::ps::store
#define _mm512_maskz_permutexvar_ps emulated::ps::permute<std::uint32_t>
#define _mm512_add_pd emulated::pd::add
#define _mm512_sub_pd emulated::pd::sub
#define _mm512_mul_pd emulated::pd::mul
#define _mm512_div_pd emulated::pd::div
#define _mm512_fmadd_pd emulated::pd::fmadd
#define _mm512_set1_pd emulated::pd::set1
#define _mm512_loadu_pd emulated::pd::loadu
#define _mm512_storeu_pd emulated::pd::storeu
#define _mm512_stream_pd emulated::pd::stream
#define _mm512_maskz_sqrt_pd emulated::pd::sqrt
#define _mm512_maskz_max_pd emulated::pd::max
#define _mm512_maskz_min_pd emulated::pd::min
#define _mm512_cmp_pd_mask emulated::pd::cmp
#define _mm512_mask_blend_pd emulated::pd::blend
#define _mm512_maskz_loadu_pd emulated::pd::load
#define _mm512_mask_storeu_pd emulated::pd::store
#define _mm512_maskz_permutexvar_pd emulated::pd::permute<std::uint64_t>
#define _mm512_add_epi32 emulated::epi32::add
#define _mm512_sub_epi32 emulated::epi32::sub
#define _mm512_maskz_slli_epi32 emulated::epi32::slli
#define _mm512_maskz_srli_epi32 emulated::epi32::srli
#define _mm512_set1_epi32 emulated::epi32::set1
#define _mm512_add_epi64 emulated::epi64::add
#define _mm512_sub_epi64 emulated::epi64::sub
#define _mm512_maskz_slli_epi64 emulated::epi64::slli
#define _mm512_maskz_srli_epi64 emulated::epi64::srli
#define _mm512_set1_epi64 emulated::epi64::set1
#define _mm512_and_si512 emulated::epi64::and_
#define _mm512_or_si512 emulated::epi64::or_
#define _mm512_xor_si512 emulated::epi64::xor_
#define _mm512_loadu_si512 emulated::load_words
#define _mm512_maskz_cvtepu16_epi32 emulated::widen
#define _mm512_maskz_cvtph_ps emulated::widen_half
#define _mm512_maskz_extractf64x4_pd emulated::extract

#define __AVX512F__ 1
#define __AVX512CD__ 1
#define __AVX512DQ__ 1
#define __AVX512BW__ 1
