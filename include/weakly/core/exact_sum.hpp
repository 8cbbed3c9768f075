// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>

#include <bit>
#include <cmath>
#include <cstdint>

namespace weakly::inline v0::detail {

/// A sum of values in [-2, 2] that does not depend on their order: fixed point with the unit 2^-128, in four integers.
///
///     value = whole * 2^-8 + high * 2^-40 + middle * 2^-84 + low * 2^-128
///
/// A value is cut, on its own, to a multiple of 2^-128 (every float from 2^-105 and every double from 2^-76 upwards is
/// one already); the rest is integer addition. Two sums merge by adding their parts, in any order and number up to 2^18
/// between two calls of normalise, which makes the parts unique: 0 <= high < 2^32, 0 <= middle, low < 2^44.
struct exact_sum {
  std::int64_t whole = 0;
  std::int64_t high = 0;
  std::int64_t middle = 0;
  std::int64_t low = 0;

  WEAKLY_HD constexpr void add(double x) {
    const double scaled = x * 0x1p40;
    const auto units = static_cast<std::int64_t>(scaled);
    high += units;
    if (static_cast<double>(units) == scaled) return;  // every float from 2^-17 upwards
    const double rest = (scaled - static_cast<double>(units)) * 0x1p44;
    const auto rest_units = static_cast<std::int64_t>(rest);
    middle += rest_units;
    low += static_cast<std::int64_t>((rest - static_cast<double>(rest_units)) * 0x1p44);
  }

  WEAKLY_HD constexpr void merge(const exact_sum& other) {
    whole += other.whole;
    high += other.high;
    middle += other.middle;
    low += other.low;
  }

  WEAKLY_HD constexpr void normalise() {
    middle += low >> 44;
    low &= (std::int64_t(1) << 44) - 1;
    high += middle >> 44;
    middle &= (std::int64_t(1) << 44) - 1;
    whole += high >> 32;
    high &= (std::int64_t(1) << 32) - 1;
  }

  /// The sum divided by a positive count, correctly rounded to double (ties to even).
  double mean(std::int64_t count) const {
    exact_sum s = *this;
    s.normalise();
    // 192 bits, most significant first: ((whole * 2^32 + high) * 2^44 + middle) * 2^44 + low.
    const auto whole_bits = static_cast<std::uint64_t>(s.whole);
    const auto high_bits = static_cast<std::uint64_t>(s.high);
    const auto middle_bits = static_cast<std::uint64_t>(s.middle);
    std::uint64_t limb[3] = {(static_cast<std::uint64_t>(s.whole >> 8)),
                             (whole_bits << 56) | (high_bits << 24) | (middle_bits >> 20),
                             (middle_bits << 44) | static_cast<std::uint64_t>(s.low)};
    const bool negative = s.whole < 0;
    if (negative) {
      bool carry = true;
      for (int l = 2; l >= 0; --l) {
        limb[l] = ~limb[l] + (carry ? 1 : 0);
        carry = carry && limb[l] == 0;
      }
    }
    // Long division, bit by bit: the quotient's first 54 significant bits, and whether anything is left below them.
    const auto divisor = static_cast<std::uint64_t>(count);
    std::uint64_t quotient = 0;
    std::uint64_t remainder = 0;
    int bit = 191;
    for (; bit >= -128 && quotient < (std::uint64_t(1) << 53); --bit) {
      const std::uint64_t next = bit >= 0 ? (limb[2 - bit / 64] >> (bit % 64)) & 1 : 0;
      const bool overflow = (remainder >> 63) != 0;
      remainder = (remainder << 1) | next;
      const bool take = overflow || remainder >= divisor;
      if (take) remainder -= divisor;
      quotient = (quotient << 1) | (take ? 1 : 0);
    }
    if (quotient == 0) return 0;
    bool sticky = remainder != 0;
    for (int b = bit; b >= 0 && !sticky; --b) sticky = ((limb[2 - b / 64] >> (b % 64)) & 1) != 0;
    // bit + 1 is the position of the quotient's last bit; round 54 bits to 53.
    const bool half = (quotient & 1) != 0 && quotient >= (std::uint64_t(1) << 53);
    const bool long_enough = quotient >= (std::uint64_t(1) << 53);
    std::uint64_t mantissa = long_enough ? quotient >> 1 : quotient;
    if (half && (sticky || (mantissa & 1) != 0)) ++mantissa;
    const double magnitude = std::ldexp(static_cast<double>(mantissa), bit + (long_enough ? 2 : 1) - 128);
    return negative ? -magnitude : magnitude;
  }
};

}  // namespace weakly::inline v0::detail
