// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/half.hpp>

#include <cstddef>
#include <type_traits>

namespace weakly::inline v0 {

/// Sixteen bytes of elements, aligned to sixteen: a plain assignment is one 16-byte load or store on a device.
template <class T>
struct alignas(16) pack {
  static_assert(sizeof(T) <= 16 && 16 % sizeof(T) == 0, "pack<T> holds a whole number of elements in 16 bytes");
  static constexpr int size = int(16 / sizeof(T));

  T element[16 / sizeof(T)];

  WEAKLY_HD constexpr T& operator[](int i) { return element[i]; }
  WEAKLY_HD constexpr const T& operator[](int i) const { return element[i]; }
};

static_assert(sizeof(pack<float>) == 16 && alignof(pack<float>) == 16 && std::is_trivially_copyable_v<pack<float>>);
static_assert(pack<half>::size == 8 && pack<double>::size == 2);

}  // namespace weakly::inline v0
