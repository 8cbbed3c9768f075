// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>

#include <cstdint>
#include <type_traits>

namespace weakly::inline v0 {

/// 128 random bits, as four words.
struct philox_block {
  std::uint32_t word[4];

  friend constexpr bool operator==(const philox_block&, const philox_block&) = default;
};

/// Philox4x32 with ten rounds: the block that belongs to a counter and a key. Integer arithmetic only, so it is the
/// same on every platform and device; every (counter, key) gives a block that is independent of all others. Source:
/// Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
WEAKLY_HD constexpr philox_block philox4x32(philox_block counter, std::uint32_t key_low, std::uint32_t key_high) {
  philox_block c = counter;
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t first = std::uint64_t(0xD2511F53u) * c.word[0];
    const std::uint64_t second = std::uint64_t(0xCD9E8D57u) * c.word[2];
    c = {{static_cast<std::uint32_t>(second >> 32) ^ c.word[1] ^ key_low, static_cast<std::uint32_t>(second),
          static_cast<std::uint32_t>(first >> 32) ^ c.word[3] ^ key_high, static_cast<std::uint32_t>(first)}};
    key_low += 0x9E3779B9u;
    key_high += 0xBB67AE85u;
  }
  return c;
}

/// Random numbers that are a function of (seed, stream, how many were drawn before): the same on every platform, and
/// whoever gives each row a stream of its own draws the same numbers in any order and on any number of threads.
///
/// 2^64 streams a seed, 2^65 words of 64 bits a stream. Owns no memory. Also a standard uniform random bit generator;
/// but the distributions and std::shuffle of one standard library draw differently from those of another.
class random_stream {
 public:
  using result_type = std::uint64_t;

  WEAKLY_HD constexpr explicit random_stream(std::uint64_t seed, std::uint64_t stream = 0)
      : seed_(seed), stream_(stream) {}

  WEAKLY_HD static constexpr std::uint64_t min() { return 0; }
  WEAKLY_HD static constexpr std::uint64_t max() { return ~std::uint64_t(0); }

  /// The next 64 bits.
  WEAKLY_HD constexpr std::uint64_t operator()() {
    if (half_) {
      half_ = false;
      return second_;
    }
    const philox_block b =
        philox4x32({{low(position_), high(position_), low(stream_), high(stream_)}}, low(seed_), high(seed_));
    ++position_;
    second_ = b.word[2] | std::uint64_t(b.word[3]) << 32;
    half_ = true;
    return b.word[0] | std::uint64_t(b.word[1]) << 32;
  }

  /// A multiple of 2^-53 in [0, 1), each as likely as any other.
  WEAKLY_HD constexpr double uniform() { return static_cast<double>((*this)() >> 11) * 0x1p-53; }

  /// An integer in [0, bound), each exactly as likely as any other: words outside are drawn again, fewer than two draws
  /// on average. bound = 0 counts as 1.
  WEAKLY_HD constexpr std::uint64_t below(std::uint64_t bound) {
    if (bound <= 1) return 0;
    std::uint64_t mask = bound - 1;
    for (int shift = 1; shift < 64; shift *= 2) mask |= mask >> shift;
    std::uint64_t drawn = (*this)() & mask;
    while (drawn >= bound) drawn = (*this)() & mask;
    return drawn;
  }

 private:
  WEAKLY_HD static constexpr std::uint32_t low(std::uint64_t x) { return static_cast<std::uint32_t>(x); }
  WEAKLY_HD static constexpr std::uint32_t high(std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32); }

  std::uint64_t seed_;
  std::uint64_t stream_;
  std::uint64_t position_ = 0;
  std::uint64_t second_ = 0;
  bool half_ = false;
};
static_assert(std::is_trivially_copyable_v<random_stream>);

}  // namespace weakly::inline v0
