// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/half.hpp>

#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>

// What core/simd/batch.hpp stands on where there is no xsimd: 32 bytes of lanes, plain loops. The compiler may turn
// them into vector code; results do not depend on it.
namespace weakly::inline v0::simd::on_arrays {

inline constexpr bool has_vectors = false;

template <class T>
using word_of = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;

template <class T>
struct array_lanes {
  T lane[32 / sizeof(T)];
};

template <class T>
using lanes_of = array_lanes<T>;

// A lane is all ones where the condition holds, else zero.
template <class T>
using flags_of = array_lanes<word_of<T>>;

template <class T>
inline constexpr int lane_count = 32 / int(sizeof(T));

template <class T>
inline constexpr bool fused =
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
    true;
#else
    false;
#endif

template <class T, class F>
WEAKLY_INLINE array_lanes<T> each_lane(F f) {
  array_lanes<T> result;
  for (int i = 0; i < lane_count<T>; ++i) result.lane[i] = f(i);
  return result;
}

template <class T>
WEAKLY_INLINE lanes_of<T> broadcast(T x) {
  return each_lane<T>([=](int) { return x; });
}

template <class T>
WEAKLY_INLINE lanes_of<T> load(const T* p) {
  return each_lane<T>([=](int i) { return p[i]; });
}

template <class T>
WEAKLY_INLINE void store(T* p, const lanes_of<T>& v) {
  for (int i = 0; i < lane_count<T>; ++i) p[i] = v.lane[i];
}

template <class T>
WEAKLY_INLINE lanes_of<T> load_first(const T* p, int count) {
  return each_lane<T>([=](int i) { return i < count ? p[i] : T(0); });
}

template <class T>
WEAKLY_INLINE void store_first(T* p, int count, const lanes_of<T>& v) {
  for (int i = 0; i < count; ++i) p[i] = v.lane[i];
}

template <class T>
WEAKLY_INLINE void store_streaming(T* p, const lanes_of<T>& v) {
  store(p, v);
}

WEAKLY_INLINE void streaming_fence() {}

WEAKLY_INLINE lanes_of<float> load_storage(const half* p) {
  return each_lane<float>([=](int i) { return float(p[i]); });
}

WEAKLY_INLINE lanes_of<float> load_storage(const bfloat16* p) {
  return each_lane<float>([=](int i) { return float(p[i]); });
}

template <class Storage>
WEAKLY_INLINE void store_storage(Storage* p, const lanes_of<float>& v) {
  for (int i = 0; i < lane_count<float>; ++i) p[i] = Storage(v.lane[i]);
}

template <class T>
WEAKLY_INLINE array_lanes<T> operator+(const array_lanes<T>& a, const array_lanes<T>& b) {
  return each_lane<T>([&](int i) { return a.lane[i] + b.lane[i]; });
}

template <class T>
WEAKLY_INLINE array_lanes<T> operator-(const array_lanes<T>& a, const array_lanes<T>& b) {
  return each_lane<T>([&](int i) { return a.lane[i] - b.lane[i]; });
}

template <class T>
WEAKLY_INLINE array_lanes<T> operator*(const array_lanes<T>& a, const array_lanes<T>& b) {
  return each_lane<T>([&](int i) { return a.lane[i] * b.lane[i]; });
}

template <class T>
WEAKLY_INLINE array_lanes<T> operator/(const array_lanes<T>& a, const array_lanes<T>& b) {
  return each_lane<T>([&](int i) { return a.lane[i] / b.lane[i]; });
}

template <class T>
WEAKLY_INLINE array_lanes<T> operator&(const array_lanes<T>& a, const array_lanes<T>& b) {
  return each_lane<T>([&](int i) { return a.lane[i] & b.lane[i]; });
}

template <class T>
WEAKLY_INLINE array_lanes<T> operator|(const array_lanes<T>& a, const array_lanes<T>& b) {
  return each_lane<T>([&](int i) { return a.lane[i] | b.lane[i]; });
}

template <class T>
WEAKLY_INLINE array_lanes<T> operator^(const array_lanes<T>& a, const array_lanes<T>& b) {
  return each_lane<T>([&](int i) { return a.lane[i] ^ b.lane[i]; });
}

template <class T>
WEAKLY_INLINE array_lanes<T> operator~(const array_lanes<T>& a) {
  return each_lane<T>([&](int i) { return ~a.lane[i]; });
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
  return each_lane<word_of<T>>([&](int i) { return w.lane[i] << Count; });
}

template <class T, int Count>
WEAKLY_INLINE lanes_of<word_of<T>> shifted_right(const lanes_of<word_of<T>>& w) {
  return each_lane<word_of<T>>([&](int i) { return w.lane[i] >> Count; });
}

template <class T>
WEAKLY_INLINE lanes_of<T> fma(const lanes_of<T>& x, const lanes_of<T>& y, const lanes_of<T>& z) {
  if constexpr (fused<T>)
    return each_lane<T>([&](int i) { return std::fma(x.lane[i], y.lane[i], z.lane[i]); });
  else
    return x * y + z;
}

template <class T>
WEAKLY_INLINE lanes_of<T> min(const lanes_of<T>& a, const lanes_of<T>& b) {
  return each_lane<T>([&](int i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
}

template <class T>
WEAKLY_INLINE lanes_of<T> max(const lanes_of<T>& a, const lanes_of<T>& b) {
  return each_lane<T>([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
}

template <class T>
WEAKLY_INLINE flags_of<T> equal(const lanes_of<T>& a, const lanes_of<T>& b) {
  return each_lane<word_of<T>>([&](int i) { return a.lane[i] == b.lane[i] ? ~word_of<T>(0) : word_of<T>(0); });
}

template <class T>
WEAKLY_INLINE flags_of<T> not_equal(const lanes_of<T>& a, const lanes_of<T>& b) {
  return each_lane<word_of<T>>([&](int i) { return a.lane[i] != b.lane[i] ? ~word_of<T>(0) : word_of<T>(0); });
}

template <class T>
WEAKLY_INLINE flags_of<T> less(const lanes_of<T>& a, const lanes_of<T>& b) {
  return each_lane<word_of<T>>([&](int i) { return a.lane[i] < b.lane[i] ? ~word_of<T>(0) : word_of<T>(0); });
}

template <class T>
WEAKLY_INLINE flags_of<T> less_equal(const lanes_of<T>& a, const lanes_of<T>& b) {
  return each_lane<word_of<T>>([&](int i) { return a.lane[i] <= b.lane[i] ? ~word_of<T>(0) : word_of<T>(0); });
}

template <class T>
WEAKLY_INLINE lanes_of<T> select(const flags_of<T>& condition, const lanes_of<T>& yes, const lanes_of<T>& no) {
  return each_lane<T>([&](int i) { return condition.lane[i] ? yes.lane[i] : no.lane[i]; });
}

template <class T>
WEAKLY_INLINE flags_of<T> exclusive_or(const flags_of<T>& a, const flags_of<T>& b) {
  return a ^ b;
}

template <class T>
WEAKLY_INLINE flags_of<T> first_flags(int count) {
  return each_lane<word_of<T>>([=](int i) { return i < count ? ~word_of<T>(0) : word_of<T>(0); });
}

template <class T>
WEAKLY_INLINE std::uint32_t flag_bits(const flags_of<T>& f) {
  std::uint32_t bits = 0;
  for (int i = 0; i < lane_count<T>; ++i) bits |= (f.lane[i] ? 1u : 0u) << i;
  return bits;
}

template <class T>
WEAKLY_INLINE lanes_of<T> magnitude(const lanes_of<T>& v) {
  return each_lane<T>([&](int i) { return std::abs(v.lane[i]); });
}

template <class T>
WEAKLY_INLINE lanes_of<T> square_root(const lanes_of<T>& v) {
  return each_lane<T>([&](int i) { return std::sqrt(v.lane[i]); });
}

template <class T>
WEAKLY_INLINE lanes_of<T> negated(const lanes_of<T>& v) {
  return each_lane<T>([&](int i) { return -v.lane[i]; });
}

template <class T>
using order_of = array_lanes<std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>>;

template <class T>
WEAKLY_INLINE order_of<T> lane_order(const std::int32_t* source) {
  order_of<T> order;
  for (int i = 0; i < lane_count<T>; ++i) order.lane[i] = source[i];
  return order;
}

template <class T>
WEAKLY_INLINE lanes_of<T> permuted(const lanes_of<T>& v, const order_of<T>& order) {
  return each_lane<T>([&](int i) { return v.lane[order.lane[i]]; });
}

// Adds, or whatever `op` does, the upper half of the lanes to the lower half until one lane remains.
template <class T, class Op>
WEAKLY_INLINE T fold_halves(lanes_of<T> v, Op op) {
  for (int half = lane_count<T> / 2; half > 0; half /= 2)
    for (int i = 0; i < half; ++i) v.lane[i] = op(v.lane[i], v.lane[i + half]);
  return v.lane[0];
}

template <class T>
WEAKLY_INLINE lanes_of<T> add_rows(const lanes_of<T>* row) {
  return each_lane<T>([=](int i) {
    T sum = 0;
    for (int j = 0; j < lane_count<T>; ++j) sum += row[i].lane[j];
    return sum;
  });
}

}  // namespace weakly::inline v0::simd::on_arrays
