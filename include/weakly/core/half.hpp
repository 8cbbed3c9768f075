// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>

#include <cstdint>
#include <type_traits>

namespace weakly::inline v0 {

namespace detail {

// The builtin, because nvcc takes std::bit_cast for a host function.
WEAKLY_HD constexpr std::uint32_t float_bits(float x) { return __builtin_bit_cast(std::uint32_t, x); }
WEAKLY_HD constexpr float bits_float(std::uint32_t b) { return __builtin_bit_cast(float, b); }

WEAKLY_HD constexpr float half_to_float(std::uint16_t h) {
  const std::uint32_t sign = std::uint32_t(h & 0x8000u) << 16;
  const std::uint32_t magnitude = h & 0x7fffu;
  if (magnitude >= 0x7c00u) return bits_float(sign | 0x7f800000u | ((magnitude & 0x3ffu) << 13));
  if (magnitude >= 0x0400u) return bits_float(sign | ((magnitude << 13) + (112u << 23)));
  const float denormal = float(magnitude) * 0x1p-24f;  // exact
  return bits_float(sign | float_bits(denormal));
}

WEAKLY_HD constexpr std::uint16_t float_to_half(float x) {
  const std::uint32_t bits = float_bits(x);
  const std::uint16_t sign = static_cast<std::uint16_t>((bits >> 16) & 0x8000u);
  const std::uint32_t magnitude = bits & 0x7fffffffu;
  const auto with_sign = [sign](std::uint32_t m) { return static_cast<std::uint16_t>(sign | m); };
  if (magnitude > 0x7f800000u) return with_sign(0x7e00u | ((magnitude >> 13) & 0x3ffu));
  if (magnitude >= 0x477ff000u) return with_sign(0x7c00u);  // 65520 and above round to infinity
  if (magnitude < 0x38800000u) {
    // Below the least normal: adding 1/2 leaves the rounded multiple of 2^-24 in the low bits.
    const float shifted = bits_float(magnitude) + 0.5f;
    return with_sign(float_bits(shifted) - float_bits(0.5f));
  }
  const std::uint32_t rounded = magnitude + 0xfffu + ((magnitude >> 13) & 1u);
  return with_sign((rounded - (112u << 23)) >> 13);
}

WEAKLY_HD constexpr std::uint16_t float_to_bfloat16(float x) {
  const std::uint32_t bits = float_bits(x);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return static_cast<std::uint16_t>((bits >> 16) | 0x40u);
  return static_cast<std::uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}

}  // namespace detail

/// IEEE binary16 as storage: two bytes, the layout of Eigen::half, CUDA's __half and torch's kHalf. Arithmetic is
/// float's. Every half converts to float exactly; float converts to the nearest half, ties to even, NaN to a quiet NaN.
/// May alias, because the same memory is written through Eigen's or torch's type and read through this one.
struct [[gnu::may_alias]] half {
  std::uint16_t bits;

  half() = default;
  WEAKLY_HD constexpr explicit half(float x) : bits(detail::float_to_half(x)) {}
  WEAKLY_HD constexpr operator float() const { return detail::half_to_float(bits); }
  WEAKLY_HD static constexpr half from_bits(std::uint16_t b) {
    half h(0.0f);
    h.bits = b;
    return h;
  }
};

/// The upper two bytes of a float as storage: the layout of Eigen::bfloat16, CUDA's __nv_bfloat16 and torch's
/// kBFloat16. Conversions and aliasing as for half.
struct [[gnu::may_alias]] bfloat16 {
  std::uint16_t bits;

  bfloat16() = default;
  WEAKLY_HD constexpr explicit bfloat16(float x) : bits(detail::float_to_bfloat16(x)) {}
  WEAKLY_HD constexpr operator float() const { return detail::bits_float(std::uint32_t(bits) << 16); }
  WEAKLY_HD static constexpr bfloat16 from_bits(std::uint16_t b) {
    bfloat16 h(0.0f);
    h.bits = b;
    return h;
  }
};

static_assert(sizeof(half) == 2 && alignof(half) == 2 && std::is_trivially_copyable_v<half>);
static_assert(sizeof(bfloat16) == 2 && alignof(bfloat16) == 2 && std::is_trivially_copyable_v<bfloat16>);

/// Element types that row algorithms read: float, double, half, bfloat16.
template <class T>
inline constexpr bool is_real_v =
    std::is_same_v<T, float> || std::is_same_v<T, double> || std::is_same_v<T, half> || std::is_same_v<T, bfloat16>;

/// The type in which an element is compared and added: double for double, float for the rest (their values are floats).
template <class T>
using arithmetic_t = std::conditional_t<std::is_same_v<T, double>, double, float>;

}  // namespace weakly::inline v0
