// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/simd/lanes.hpp>

#include <cstdint>
#include <type_traits>
#include <utility>

namespace weakly::inline v0::simd {

/// Whether batches are vector registers: xsimd was found, knows the target, and WEAKLY_NO_XSIMD is not defined.
/// Otherwise they are arrays of 32 bytes with the same functions and, for everything that is rounded exactly, the same
/// results.
inline constexpr bool vectorized = backend::has_vectors;

/// Whether fma(x, y, z) on batches of T rounds once. It does where the target has the instruction.
template <class T>
inline constexpr bool fma_rounds_once = backend::fused<T>;

/// One truth value per lane of a batch<T>. The operators &, |, ^ and ~ work lane by lane.
template <class T>
struct mask {
  using flags = backend::flags_of<T>;
  static constexpr index_t size = backend::lane_count<T>;

  flags value;

  WEAKLY_INLINE friend mask operator&(mask a, mask b) { return {a.value & b.value}; }
  WEAKLY_INLINE friend mask operator|(mask a, mask b) { return {a.value | b.value}; }
  WEAKLY_INLINE friend mask operator^(mask a, mask b) { return {backend::exclusive_or<T>(a.value, b.value)}; }
  WEAKLY_INLINE friend mask operator~(mask a) { return {~a.value}; }
};

/// `size` numbers of type float or double that are worked on at once; `size` depends on the build, never less than 2.
///
/// The operators + - * / round each lane as the scalar ones do; a scalar operand stands in every lane. Comparisons are
/// those of IEEE 754: a NaN is unequal to everything, itself included, and neither below nor above anything. The
/// compiler may contract a * b + c into one rounding, as it may for scalars.
template <class T>
struct batch {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>, "batches hold float or double");
  using value_type = T;
  using lanes = backend::lanes_of<T>;
  static constexpr index_t size = backend::lane_count<T>;

  lanes value;

  batch() = default;  // indeterminate, as a scalar is
  WEAKLY_INLINE batch(T x) : value(backend::broadcast(x)) {}
  WEAKLY_INLINE static batch of(const lanes& v) {
    batch b;
    b.value = v;
    return b;
  }

  /// Lane i, 0 <= i < size. Goes through memory: for tails and tests.
  WEAKLY_INLINE T operator[](index_t i) const {
    T lane[sizeof(lanes) / sizeof(T)];
    backend::store(lane, value);
    return lane[i];
  }

  WEAKLY_INLINE friend batch operator+(batch a, batch b) { return of(a.value + b.value); }
  WEAKLY_INLINE friend batch operator-(batch a, batch b) { return of(a.value - b.value); }
  WEAKLY_INLINE friend batch operator*(batch a, batch b) { return of(a.value * b.value); }
  WEAKLY_INLINE friend batch operator/(batch a, batch b) { return of(a.value / b.value); }
  WEAKLY_INLINE friend batch operator-(batch a) { return of(backend::negated<T>(a.value)); }
  WEAKLY_INLINE batch& operator+=(batch b) { return *this = *this + b; }
  WEAKLY_INLINE batch& operator-=(batch b) { return *this = *this - b; }
  WEAKLY_INLINE batch& operator*=(batch b) { return *this = *this * b; }
  WEAKLY_INLINE batch& operator/=(batch b) { return *this = *this / b; }

  WEAKLY_INLINE friend mask<T> operator==(batch a, batch b) { return {backend::equal<T>(a.value, b.value)}; }
  WEAKLY_INLINE friend mask<T> operator!=(batch a, batch b) { return {backend::not_equal<T>(a.value, b.value)}; }
  WEAKLY_INLINE friend mask<T> operator<(batch a, batch b) { return {backend::less<T>(a.value, b.value)}; }
  WEAKLY_INLINE friend mask<T> operator<=(batch a, batch b) { return {backend::less_equal<T>(a.value, b.value)}; }
  WEAKLY_INLINE friend mask<T> operator>(batch a, batch b) { return b < a; }
  WEAKLY_INLINE friend mask<T> operator>=(batch a, batch b) { return b <= a; }
};

namespace detail {
template <class F, int... I>
WEAKLY_INLINE void unroll(F& f, std::integer_sequence<int, I...>) {
  (f(std::integral_constant<index_t, I>{}), ...);
}
}  // namespace detail

/// f(0), f(1), ..., f(N - 1), unrolled; the arguments are integral constants, so that arrays indexed by them stay in
/// registers.
template <int N, class F>
WEAKLY_INLINE void unroll(F&& f) {
  detail::unroll(f, std::make_integer_sequence<int, N>{});
}

/// batch<T> where T must not be deduced, so that a scalar may stand for a batch.
template <class T>
using batch_or_scalar = std::type_identity_t<batch<T>>;

/// x y + z, with one rounding where fma_rounds_once<T>, otherwise with two.
template <class T>
WEAKLY_INLINE batch<T> fma(batch<T> x, batch_or_scalar<T> y, batch_or_scalar<T> z) {
  return batch<T>::of(backend::fma<T>(x.value, y.value, z.value));
}

/// a < b ? a : b in each lane: b where either is NaN or both are zero. So min(x, limit) drops a NaN of x, min(limit, x)
/// keeps it.
template <class T>
WEAKLY_INLINE batch<T> min(batch<T> a, batch_or_scalar<T> b) {
  return batch<T>::of(backend::min(a.value, b.value));
}

/// a > b ? a : b in each lane: b where either is NaN or both are zero. So max(x, limit) drops a NaN of x, max(limit, x)
/// keeps it.
template <class T>
WEAKLY_INLINE batch<T> max(batch<T> a, batch_or_scalar<T> b) {
  return batch<T>::of(backend::max(a.value, b.value));
}

/// x without its sign bit.
template <class T>
WEAKLY_INLINE batch<T> abs(batch<T> x) {
  return batch<T>::of(backend::magnitude<T>(x.value));
}

/// The square root, rounded as the scalar one is; NaN below zero.
template <class T>
WEAKLY_INLINE batch<T> sqrt(batch<T> x) {
  return batch<T>::of(backend::square_root<T>(x.value));
}

/// `yes` in the lanes where `condition` holds, `no` in the others.
template <class T>
WEAKLY_INLINE batch<T> select(mask<T> condition, batch_or_scalar<T> yes, batch_or_scalar<T> no) {
  return batch<T>::of(backend::select<T>(condition.value, yes.value, no.value));
}

/// The mask as an integer: bit i is lane i.
template <class T>
WEAKLY_INLINE std::uint32_t bits(mask<T> m) {
  return backend::flag_bits<T>(m.value);
}

/// Whether a lane is set.
template <class T>
WEAKLY_INLINE bool any(mask<T> m) {
  return bits(m) != 0;
}

/// Whether every lane is set.
template <class T>
WEAKLY_INLINE bool all(mask<T> m) {
  return bits(m) == (1u << batch<T>::size) - 1u;
}

/// The first `count` lanes set, the rest not; 0 <= count <= size.
template <class T>
WEAKLY_INLINE mask<T> first_lanes(index_t count) {
  return {backend::first_flags<T>(int(count))};
}

/// A fixed rearrangement of lanes for permute, made once outside the loop. One instruction on AVX2 and AVX-512, slow
/// elsewhere.
template <class T>
struct lane_order {
  backend::order_of<T> value;

  /// source  size indices, each in [0, size): where lane i comes from. An index may repeat.
  WEAKLY_INLINE explicit lane_order(const std::int32_t* source) : value(backend::lane_order<T>(source)) {}
};

/// Lane i of the result is lane source[i] of x.
template <class T>
WEAKLY_INLINE batch<T> permute(batch<T> x, const lane_order<T>& order) {
  return batch<T>::of(backend::permuted<T>(x.value, order.value));
}

}  // namespace weakly::inline v0::simd
