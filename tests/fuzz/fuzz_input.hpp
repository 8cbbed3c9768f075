// SPDX-License-Identifier: MIT
// What the fuzz targets make of the fuzzer's bytes.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <limits>
#include <span>

namespace fuzz {

inline void require(bool holds) {
  if (!holds) std::abort();
}

/// Numbers from the fuzzer's bytes; zeros after their end.
class numbers {
 public:
  explicit numbers(std::span<const std::uint8_t> bytes) : bytes_(bytes) {}

  std::uint8_t byte() {
    if (bytes_.empty()) return 0;
    const std::uint8_t b = bytes_.front();
    bytes_ = bytes_.subspan(1);
    return b;
  }
  /// In [0, below), or one of the values that hurt.
  std::int64_t integer(std::int64_t below) {
    constexpr std::int64_t top = std::numeric_limits<std::int64_t>::max();
    const std::uint8_t b = byte();
    const std::int64_t odd[] = {-1, top, -top - 1, -300};
    return b >= 252 ? odd[b - 252] : b % below;
  }
  /// In [-15.5, 15.5), or one of eight values that hurt.
  template <class T>
  T logit(const T (&odd)[8]) {
    const std::uint8_t b = byte();
    return b >= 248 ? odd[b - 248] : static_cast<T>(b - 124) / 8;
  }

 private:
  std::span<const std::uint8_t> bytes_;
};

}  // namespace fuzz
