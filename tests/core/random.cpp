// SPDX-License-Identifier: MIT
#include <weakly/core/random.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

using weakly::philox4x32;
using weakly::philox_block;
using weakly::random_stream;

TEST_CASE("philox4x32 gives the blocks that its authors published") {
  // Random123, kat_vectors, philox4x32 10.
  CHECK(philox4x32({{0, 0, 0, 0}}, 0, 0) == philox_block{{0x6627e8d5u, 0xe169c58du, 0xbc57ac4cu, 0x9b00dbd8u}});
  const std::uint32_t ones = 0xffffffffu;
  CHECK(philox4x32({{ones, ones, ones, ones}}, ones, ones) ==
        philox_block{{0x408f276du, 0x41c83b0eu, 0xa20bc7c6u, 0x6d5451fdu}});
  CHECK(philox4x32({{0x243f6a88u, 0x85a308d3u, 0x13198a2eu, 0x03707344u}}, 0xa4093822u, 0x299f31d0u) ==
        philox_block{{0xd16cfe09u, 0x94fdccebu, 0x5001e420u, 0x24126ea1u}});
  static_assert(philox4x32({{0, 0, 0, 0}}, 0, 0).word[0] == 0x6627e8d5u);
}

TEST_CASE("random_stream cuts the blocks of its seed and stream into words, low half first") {
  random_stream zero(0);
  CHECK(zero() == 0xe169c58d6627e8d5u);
  CHECK(zero() == 0x9b00dbd8bc57ac4cu);
  const philox_block next = philox4x32({{1, 0, 0, 0}}, 0, 0);
  CHECK(zero() == (next.word[0] | std::uint64_t(next.word[1]) << 32));

  random_stream other(0x299f31d0a4093822u, 0x0370734413198a2eu);
  const philox_block first = philox4x32({{0, 0, 0x13198a2eu, 0x03707344u}}, 0xa4093822u, 0x299f31d0u);
  CHECK(other() == (first.word[0] | std::uint64_t(first.word[1]) << 32));
}

TEST_CASE("streams of one seed, and one stream of several seeds, do not repeat one another") {
  std::vector<std::uint64_t> drawn;
  for (std::uint64_t seed = 0; seed < 20; ++seed)
    for (std::uint64_t stream = 0; stream < 20; ++stream) {
      random_stream s(seed, stream);
      for (int i = 0; i < 5; ++i) drawn.push_back(s());
    }
  std::sort(drawn.begin(), drawn.end());
  CHECK(std::adjacent_find(drawn.begin(), drawn.end()) == drawn.end());
}

TEST_CASE("random_stream is a standard generator and a copy goes on where its original was") {
  static_assert(std::uniform_random_bit_generator<random_stream>);
  random_stream s(3, 4);
  s();
  random_stream copy = s;
  for (int i = 0; i < 9; ++i) CHECK(s() == copy());
}

TEST_CASE("uniform numbers lie in [0, 1) on the grid of 2^-53 and have the moments of the uniform distribution") {
  random_stream s(11);
  constexpr int n = 200000;
  double sum = 0, squares = 0;
  for (int i = 0; i < n; ++i) {
    const double u = s.uniform();
    REQUIRE(u >= 0);
    REQUIRE(u < 1);
    REQUIRE(std::ldexp(u, 53) == std::floor(std::ldexp(u, 53)));
    sum += u;
    squares += u * u;
  }
  // Five standard deviations: sqrt(1/12 n) of the mean, sqrt(4/45 n) of the mean square.
  CHECK(std::abs(sum / n - 1.0 / 2) < 5 * std::sqrt(1.0 / 12 / n));
  CHECK(std::abs(squares / n - 1.0 / 3) < 5 * std::sqrt(4.0 / 45 / n));
}

TEST_CASE("bounded integers stay below their bound and are equally likely where a remainder would not be") {
  random_stream s(12);
  CHECK(s.below(0) == 0);
  CHECK(s.below(1) == 0);
  for (const std::uint64_t bound : {2u, 3u, 7u, 64u, 65u, 1000u})
    for (int i = 0; i < 200; ++i) REQUIRE(s.below(bound) < bound);

  // Bound 3 * 2^62: the remainder of a word would hit the lowest third twice as often as the others.
  const std::uint64_t bound = std::uint64_t(3) << 62;
  constexpr int n = 30000;
  std::array<int, 3> third{};
  for (int i = 0; i < n; ++i) {
    const std::uint64_t x = s.below(bound);
    REQUIRE(x < bound);
    ++third[static_cast<std::size_t>(x >> 62)];
  }
  for (const int count : third) CHECK(std::abs(count - n / 3) < 5 * std::sqrt(n * 2.0 / 9));
  CHECK(s.below(std::numeric_limits<std::uint64_t>::max()) < std::numeric_limits<std::uint64_t>::max());
}
