// SPDX-License-Identifier: MIT
#include <weakly/core/exact_sum.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <tuple>
#include <vector>

namespace {

using weakly::detail::exact_sum;

// A natural number of 640 bits, slow and plain: the reference. Sums are kept in units of 2^-128.
struct natural {
  static constexpr int limbs = 20;
  std::uint32_t limb[limbs] = {};

  static natural of(std::uint64_t x) {
    natural n;
    n.limb[0] = static_cast<std::uint32_t>(x);
    n.limb[1] = static_cast<std::uint32_t>(x >> 32);
    return n;
  }
  natural operator<<(int bits) const {
    natural n;
    for (int b = 0; b + bits < 32 * limbs; ++b)
      if (limb[b / 32] >> (b % 32) & 1) n.limb[(b + bits) / 32] |= 1u << ((b + bits) % 32);
    return n;
  }
  natural operator+(const natural& other) const {
    natural n;
    std::uint64_t carry = 0;
    for (int l = 0; l < limbs; ++l) {
      carry += std::uint64_t(limb[l]) + other.limb[l];
      n.limb[l] = static_cast<std::uint32_t>(carry);
      carry >>= 32;
    }
    return n;
  }
  natural operator-(const natural& other) const {  // other is not larger
    natural n;
    std::int64_t borrow = 0;
    for (int l = 0; l < limbs; ++l) {
      borrow += std::int64_t(limb[l]) - other.limb[l];
      n.limb[l] = static_cast<std::uint32_t>(borrow);
      borrow >>= 32;
    }
    return n;
  }
  natural operator*(std::uint64_t factor) const {
    natural n;
    for (int b = 0; b < 64; ++b)
      if (factor >> b & 1) n = n + (*this << b);
    return n;
  }
  bool operator<=(const natural& other) const {
    for (int l = limbs; l-- > 0;)
      if (limb[l] != other.limb[l]) return limb[l] < other.limb[l];
    return true;
  }
  bool operator==(const natural& other) const { return std::equal(limb, limb + limbs, other.limb); }
};

struct signed_natural {
  bool negative = false;
  natural magnitude;

  void add(const signed_natural& x) {
    if (negative == x.negative) {
      magnitude = magnitude + x.magnitude;
    } else if (x.magnitude <= magnitude) {
      magnitude = magnitude - x.magnitude;
    } else {
      magnitude = x.magnitude - magnitude;
      negative = x.negative;
    }
  }
};

/// x * 2^128, cut to an integer.
signed_natural units(double x) {
  int exponent = 0;
  const auto mantissa = static_cast<std::uint64_t>(std::ldexp(std::frexp(std::fabs(x), &exponent), 53));
  const int shift = exponent - 53 + 128;
  if (shift >= 0) return {x < 0, natural::of(mantissa) << shift};
  return {x < 0, natural::of(shift > -64 ? mantissa >> -shift : 0)};
}

/// Whether m is the double nearest to sum / count, ties to even.
bool is_rounded_mean(double m, const signed_natural& sum, std::int64_t count) {
  if (sum.magnitude == natural()) return m == 0;
  if (m == 0 || (m < 0) != sum.negative) return false;
  int exponent = 0;
  const auto mantissa = static_cast<std::uint64_t>(std::ldexp(std::frexp(std::fabs(m), &exponent), 53));
  exponent += 128 - 53;  // m = mantissa * 2^exponent units
  // Everything doubled, and scaled so that both sides are integers.
  const natural s = (sum.magnitude << 1) << std::max(0, -exponent);
  const natural unit = (natural::of(1) * static_cast<std::uint64_t>(count)) << std::max(0, exponent);
  const natural product = (unit * mantissa) << 1;
  const bool above = product <= s;
  const natural distance = above ? s - product : product - s;
  // Below a power of two the doubles lie twice as close.
  const bool narrow = !above && mantissa == std::uint64_t(1) << 52;
  const natural twice = narrow ? distance << 1 : distance;
  return twice == unit ? mantissa % 2 == 0 : twice <= unit;
}

bool same(exact_sum a, exact_sum b) {
  a.normalise();
  b.normalise();
  return std::tie(a.whole, a.high, a.middle, a.low) == std::tie(b.whole, b.high, b.middle, b.low);
}

signed_natural reference_sum(const std::vector<double>& values) {
  signed_natural sum;
  for (const double x : values) sum.add(units(x));
  return sum;
}

exact_sum sum_of(const std::vector<double>& values) {
  exact_sum sum;
  for (std::size_t i = 0; i < values.size(); ++i) {
    sum.add(values[i]);
    if (i % 1024 == 0) sum.normalise();
  }
  return sum;
}

double any_magnitude(std::mt19937_64& random) {
  const auto mantissa = double(random() >> 11) * 0x1p-53;
  return std::ldexp(mantissa, -int(random() % 140)) * (random() % 2 ? 2 : -2);
}

}  // namespace

TEST_CASE("exact_sum of one value is that value, to its unit of 2^-128") {
  for (const double x : {0.0, 1.0, -1.0, 2.0, -2.0, 0.1, -0.3, 0x1p-128, -0x1p-128, 0x1.fffffffffffffp-76, 1e-6, 0x1p-1,
                         0x1.fffffffffffffp0}) {
    exact_sum s;
    s.add(x);
    CHECK(s.mean(1) == x);
  }
  for (const double x : {0x1p-129, -0x1p-129, 1e-300, std::numeric_limits<double>::denorm_min(), -0.0}) {
    exact_sum s;
    s.add(x);
    CHECK(s.mean(1) == 0);
    CHECK(same(s, exact_sum()));
  }
}

TEST_CASE("exact_sum loses nothing where addition of doubles does") {
  exact_sum s;
  s.add(1.0);
  s.add(0x1p-100);
  s.add(-1.0);
  CHECK(s.mean(1) == 0x1p-100);
  exact_sum tenths;
  for (int i = 0; i < 10; ++i) tenths.add(0.1);
  CHECK(tenths.mean(10) == 0.1);
}

TEST_CASE("exact_sum does not depend on the order, nor on the tree of merges") {
  std::mt19937_64 random(3);
  std::vector<double> values(5000);
  for (double& x : values) x = any_magnitude(random);
  const exact_sum expected = sum_of(values);
  for (int repeat = 0; repeat < 10; ++repeat) {
    std::shuffle(values.begin(), values.end(), random);
    CHECK(same(sum_of(values), expected));
    std::vector<exact_sum> parts(1 + random() % 100);
    for (const double x : values) parts[random() % parts.size()].add(x);
    while (parts.size() > 1) {
      std::swap(parts.back(), parts[random() % parts.size()]);
      const exact_sum last = parts.back();
      parts.pop_back();
      parts[random() % parts.size()].merge(last);
    }
    CHECK(same(parts[0], expected));
  }
}

TEST_CASE("exact_sum allows 2^18 additions between two calls of normalise") {
  for (const double x : {2.0, -2.0, 0x1.fffffffffffffp0, -0x1.fffffffffffffp-41}) {
    exact_sum all, often;
    for (int i = 0; i < (1 << 18); ++i) {
      all.add(x);
      often.add(x);
      often.normalise();
    }
    CHECK(same(all, often));
    CHECK(all.mean(1 << 18) == x);
  }
}

TEST_CASE("exact_sum makes its parts unique and non-negative below the first") {
  std::mt19937_64 random(4);
  for (int i = 0; i < 1000; ++i) {
    exact_sum s;
    s.add(any_magnitude(random));
    s.add(any_magnitude(random));
    s.normalise();
    CHECK(s.high >= 0);
    CHECK(s.high < std::int64_t(1) << 32);
    CHECK(s.middle >= 0);
    CHECK(s.middle < std::int64_t(1) << 44);
    CHECK(s.low >= 0);
    CHECK(s.low < std::int64_t(1) << 44);
  }
}

TEST_CASE("exact_sum mean is the correctly rounded mean of a million doubles") {
  std::mt19937_64 random(5);
  std::uniform_real_distribution<double> uniform(0, 1);
  std::vector<double> values(1000000);
  for (double& x : values) x = uniform(random);
  // The reference in 128-bit integers: these values are multiples of 2^-53, so units of 2^-64 are exact.
  std::uint64_t high = 0, low = 0;
  for (const double x : values) {
    const auto unit = static_cast<std::uint64_t>(std::ldexp(x, 63)) << 1;
    low += unit;
    high += low < unit;
  }
  const signed_natural sum{false, (natural::of(high) << 128) + (natural::of(low) << 64)};
  const exact_sum got = sum_of(values);
  CHECK(is_rounded_mean(got.mean(1000000), sum, 1000000));
  CHECK_FALSE(is_rounded_mean(std::nextafter(got.mean(1000000), 1.0), sum, 1000000));
}

TEST_CASE("exact_sum mean is correctly rounded for values of every magnitude, sign and count") {
  std::mt19937_64 random(6);
  int wrong = 0;
  for (int repeat = 0; repeat < 2000; ++repeat) {
    std::vector<double> values(1 + random() % 8);
    for (double& x : values) x = any_magnitude(random);
    const auto count = static_cast<std::int64_t>(1 + (random() >> (1 + random() % 63)));
    wrong += !is_rounded_mean(sum_of(values).mean(count), reference_sum(values), count);
  }
  CHECK(wrong == 0);
}

TEST_CASE("exact_sum mean rounds ties to even") {
  // (1 + u) where u is half, or three halves, of the unit of the last place of 1.
  const auto mean_of = [](double a, double b, std::int64_t count) {
    exact_sum s;
    s.add(a);
    s.add(b);
    return s.mean(count);
  };
  CHECK(mean_of(1, 0x1p-53, 1) == 1);
  CHECK(mean_of(1, 0x3p-53, 1) == 1 + 0x1p-51);
  CHECK(mean_of(-1, -0x3p-53, 1) == -1 - 0x1p-51);
  CHECK(mean_of(1, 0x1p-53 + 0x1p-104, 1) == 1 + 0x1p-52);
  CHECK(mean_of(1, 0x1p-52, 2) == 0.5 + 0x1p-53);
  CHECK(mean_of(1, 1 + 0x1p-52, 2) == 1);  // the mean lies between two neighbours
  CHECK(mean_of(1 + 0x1p-52, 1 + 0x2p-52, 2) == 1 + 0x2p-52);
}

TEST_CASE("exact_sum mean of tiny sums over huge counts is still rounded, not cut") {
  for (const std::int64_t count : {std::int64_t(3), std::int64_t(1) << 40, (std::int64_t(1) << 62) + 1,
                                   std::numeric_limits<std::int64_t>::max()}) {
    for (const double x : {0x1p-128, 0x5p-128, -0x7p-120}) {
      exact_sum s;
      s.add(x);
      CHECK(is_rounded_mean(s.mean(count), units(x), count));
    }
  }
}
