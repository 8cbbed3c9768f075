// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/half.hpp>

#include <cmath>
#include <compare>
#include <cstddef>
#include <span>
#include <type_traits>

namespace weakly::inline v0::detail {

/// Arithmetic on half that rounds after every operation, as numpy's float16 does.
class rounded_half {
 public:
  rounded_half() = default;
  constexpr rounded_half(half h) : value_(float(h)) {}
  constexpr explicit rounded_half(double x) : value_(float(half(static_cast<float>(x)))) {}
  constexpr explicit operator double() const { return double(value_); }

  friend constexpr rounded_half operator+(rounded_half a, rounded_half b) { return rounded(a.value_ + b.value_); }
  friend constexpr rounded_half operator-(rounded_half a, rounded_half b) { return rounded(a.value_ - b.value_); }
  friend constexpr rounded_half operator*(rounded_half a, rounded_half b) { return rounded(a.value_ * b.value_); }
  friend constexpr rounded_half operator/(rounded_half a, rounded_half b) { return rounded(a.value_ / b.value_); }
  friend constexpr bool operator==(rounded_half a, rounded_half b) { return a.value_ == b.value_; }
  friend constexpr std::partial_ordering operator<=>(rounded_half a, rounded_half b) { return a.value_ <=> b.value_; }

 private:
  static constexpr rounded_half rounded(float x) { return half(x); }

  float value_ = 0;
};

/// The type in which cleanlab computes with probabilities stored as T: T itself (numpy has no bfloat16: float).
template <class T>
using numpy_arithmetic_t = std::conditional_t<std::is_same_v<T, half>, rounded_half, arithmetic_t<T>>;

/// a b, rounded by itself as numpy does: a compiler may make one operation of a product and the sum it goes into.
template <class T>
T rounded_product(T a, T b) {
  volatile T product = a * b;
  return product;
}

/// numpy's sum of x(first), ..., x(first + n - 1): pairwise by halves above 128 values, eight interleaved partial sums
/// below. The order of the additions is part of the result. O(n), no allocation.
template <class T, class Values>
T numpy_sum(const Values& x, std::size_t first, std::size_t n) {
  if (n < 8) {
    T sum = 0;
    for (std::size_t i = 0; i < n; ++i) sum += x(first + i);
    return sum;
  }
  if (n <= 128) {
    T r[8];
    for (std::size_t j = 0; j < 8; ++j) r[j] = x(first + j);
    std::size_t i = 8;
    for (; i + 8 <= n; i += 8)
      for (std::size_t j = 0; j < 8; ++j) r[j] += x(first + i + j);
    T sum = ((r[0] + r[1]) + (r[2] + r[3])) + ((r[4] + r[5]) + (r[6] + r[7]));
    for (; i < n; ++i) sum += x(first + i);
    return sum;
  }
  const std::size_t left = n / 2 - n / 2 % 8;
  return numpy_sum<T>(x, first, left) + numpy_sum<T>(x, first + left, n - left);
}

template <class T>
T numpy_sum(std::span<const T> x) {
  return numpy_sum<T>([x](std::size_t i) { return x[i]; }, 0, x.size());
}

}  // namespace weakly::inline v0::detail
