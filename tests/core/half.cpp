// SPDX-License-Identifier: MIT
#include <weakly/core/half.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace {

// A binary floating point format by its definition: sign, exponent of `exponent_bits`, fraction of `fraction_bits`.
struct format {
  int exponent_bits;
  int fraction_bits;

  int bias() const { return (1 << (exponent_bits - 1)) - 1; }

  double value(std::uint16_t bits) const {
    const int fraction = bits & ((1 << fraction_bits) - 1);
    const int exponent = (bits >> fraction_bits) & ((1 << exponent_bits) - 1);
    const double sign = bits >> 15 ? -1 : 1;
    if (exponent == (1 << exponent_bits) - 1)
      return fraction ? std::numeric_limits<double>::quiet_NaN() : sign * std::numeric_limits<double>::infinity();
    if (exponent == 0) return sign * std::ldexp(fraction, 1 - bias() - fraction_bits);
    return sign * std::ldexp((1 << fraction_bits) + fraction, exponent - bias() - fraction_bits);
  }

  // To the nearest multiple of the unit of x's binade, ties to even (what nearbyint does); too large is infinite.
  double nearest(float x) const {
    if (x == 0 || !std::isfinite(x)) return x;
    const int unit = std::max(std::ilogb(x), 1 - bias()) - fraction_bits;
    const double rounded = std::ldexp(std::nearbyint(std::ldexp(double(x), -unit)), unit);
    const double limit = std::ldexp(1.0, bias() + 1);
    return std::fabs(rounded) >= limit ? std::copysign(std::numeric_limits<double>::infinity(), x) : rounded;
  }
};

template <class H>
constexpr format format_of = std::is_same_v<H, weakly::half> ? format{5, 10} : format{8, 7};

template <class H>
bool rounds_right(float x) {
  const H h(x);
  if (x != x) return float(h) != float(h);
  return double(float(h)) == format_of<H>.nearest(x) && std::signbit(float(h)) == std::signbit(x);
}

}  // namespace

TEST_CASE_TEMPLATE("every one of the 65536 values converts to the float it denotes, and back", H, weakly::half,
                   weakly::bfloat16) {
  int wrong = 0, lost = 0;
  for (int b = 0; b < 65536; ++b) {
    const H h = H::from_bits(static_cast<std::uint16_t>(b));
    const double expected = format_of<H>.value(static_cast<std::uint16_t>(b));
    const float x = h;
    if (expected != expected) {
      wrong += x == x;
      lost += !(float(H(x)) != float(H(x))) || std::signbit(float(H(x))) != (b >> 15 != 0);
    } else {
      wrong += double(x) != expected || std::signbit(x) != (b >> 15 != 0);
      lost += H(x).bits != b;
    }
  }
  CHECK(wrong == 0);
  CHECK(lost == 0);
}

TEST_CASE_TEMPLATE("float converts to the nearest value over the whole range of floats", H, weakly::half,
                   weakly::bfloat16) {
  int wrong = 0;
  for (std::uint64_t b = 0; b < (std::uint64_t(1) << 32); b += 4099)
    wrong += !rounds_right<H>(std::bit_cast<float>(static_cast<std::uint32_t>(b)));
  CHECK(wrong == 0);
}

TEST_CASE_TEMPLATE("ties go to the even neighbour, and what is next to a tie to the nearer one", H, weakly::half,
                   weakly::bfloat16) {
  int wrong = 0, ties = 0;
  for (int b = 0; b < 0x8000; ++b) {
    const double low = format_of<H>.value(static_cast<std::uint16_t>(b));
    const double high = format_of<H>.value(static_cast<std::uint16_t>(b + 1));
    if (!std::isfinite(low) || !std::isfinite(high)) continue;
    const auto middle = static_cast<float>((low + high) / 2);
    if (double(middle) != (low + high) / 2) continue;  // finer than float: the denormals of bfloat16's own
    ++ties;
    for (const float sign : {1.0f, -1.0f}) {
      const int sign_bit = sign < 0 ? 0x8000 : 0;
      wrong += H(sign * middle).bits != ((b % 2 == 0 ? b : b + 1) | sign_bit);
      wrong += H(sign * std::nextafter(middle, 0.0f)).bits != (b | sign_bit);
      wrong += H(sign * std::nextafter(middle, std::numeric_limits<float>::infinity())).bits != ((b + 1) | sign_bit);
    }
  }
  CHECK(wrong == 0);
  CHECK(ties > 30000);
}

TEST_CASE("half overflows to infinity from 65520 and underflows to a signed zero") {
  CHECK(float(weakly::half(65504.0f)) == 65504.0f);
  CHECK(float(weakly::half(65519.996f)) == 65504.0f);
  CHECK(float(weakly::half(65520.0f)) == std::numeric_limits<float>::infinity());
  CHECK(float(weakly::half(-1e30f)) == -std::numeric_limits<float>::infinity());
  CHECK(weakly::half(0x1p-25f).bits == 0);
  CHECK(weakly::half(std::nextafter(0x1p-25f, 1.0f)).bits == 1);
  CHECK(weakly::half(-0x1p-26f).bits == 0x8000);
  CHECK(weakly::half(-0.0f).bits == 0x8000);
}

TEST_CASE("bfloat16 keeps the range of float and overflows only by rounding") {
  CHECK(weakly::bfloat16(std::numeric_limits<float>::max()).bits == 0x7f80);
  CHECK(weakly::bfloat16(0x1.fep127f).bits == 0x7f7f);
  CHECK(weakly::bfloat16(0x1.fefffep127f).bits == 0x7f7f);
  CHECK(weakly::bfloat16(std::numeric_limits<float>::denorm_min()).bits == 0);
}

TEST_CASE_TEMPLATE("NaN becomes a quiet NaN even when its payload lies in the bits that are lost", H, weakly::half,
                   weakly::bfloat16) {
  for (const std::uint32_t bits : {0x7f800001u, 0xff800001u, 0x7fc00000u, 0x7fffffffu, 0x7f801000u}) {
    const H h(std::bit_cast<float>(bits));
    CHECK(float(h) != float(h));
    CHECK((h.bits & (std::is_same_v<H, weakly::half> ? 0x0200 : 0x0040)) != 0);
    CHECK((h.bits >> 15) == (bits >> 31));
  }
}

TEST_CASE_TEMPLATE("a storage type is two trivial bytes, and converts to float by itself but not from it", H,
                   weakly::half, weakly::bfloat16) {
  CHECK(sizeof(H) == 2);
  CHECK(alignof(H) == 2);
  CHECK(std::is_trivial_v<H>);
  CHECK(std::is_standard_layout_v<H>);
  CHECK(std::is_convertible_v<H, float>);
  CHECK_FALSE(std::is_convertible_v<float, H>);
  CHECK(std::is_same_v<weakly::arithmetic_t<H>, float>);
  static_assert(float(H(0.25f)) == 0.25f);
}
