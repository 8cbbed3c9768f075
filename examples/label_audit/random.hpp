// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace label_audit {

/// SplitMix64 (Steele, Lea, Flood 2014): the same numbers from a seed on every platform, which the distributions of
/// the standard library do not promise.
class random {
 public:
  explicit random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }

  /// Uniform in [0, 1) on 53 bits.
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }

  /// Uniform in [0, bound), without the bias of a remainder; bound > 0.
  std::uint64_t below(std::uint64_t bound) {
    const std::uint64_t excess = (0 - bound) % bound;
    for (;;) {
      const std::uint64_t draw = next();
      if (draw >= excess) return draw % bound;
    }
  }

 private:
  std::uint64_t state_;
};

}  // namespace label_audit
