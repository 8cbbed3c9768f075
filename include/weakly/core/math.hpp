// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>

#include <cmath>
#include <limits>

namespace weakly::inline v0::math {

/// Bound on the relative error of exp_nonpositive, host and device.
inline constexpr double exp_nonpositive_error = 0x1p-22;

/// exp(x) for x <= 0, as accurate as gradients need: relative error below exp_nonpositive_error where the result is a
/// normal number. exp(-inf) = 0, exp(NaN) = NaN.
template <class T>
WEAKLY_HD T exp_nonpositive(T x) {
#if defined(__CUDA_ARCH__)
  if constexpr (sizeof(T) == 4) return exp2f(x * 1.44269504f);
#endif
  return std::exp(x);
}

/// log(exp(a) + exp(b)) without overflow. -inf is the neutral element; +inf and NaN win, NaN over all.
template <class T>
WEAKLY_HD T log_add_exp(T a, T b) {
  const T top = a > b ? a : b;
  const T low = a > b ? b : a;
  if (top != top || low != low) return a + b;
  if (top == low && (top - top != T(0))) return top;  // both +inf or both -inf: their difference is NaN
  return top + std::log1p(std::exp(low - top));
}

/// log(1 + exp(x)): x for large x, exp(x) for very negative x, no overflow between.
template <class T>
WEAKLY_HD T softplus(T x) {
  return x > T(0) ? x + std::log1p(std::exp(-x)) : std::log1p(std::exp(x));
}

/// 1 / (1 + exp(-x)) without overflow.
template <class T>
WEAKLY_HD T sigmoid(T x) {
  if (x >= T(0)) return T(1) / (T(1) + std::exp(-x));
  const T e = std::exp(x);
  return e / (T(1) + e);
}

/// x log x with 0 log 0 = 0.
template <class T>
WEAKLY_HD T x_log_x(T x) {
  return x == T(0) ? T(0) : x * std::log(x);
}

/// log(1 + x) / x with its limit 1 at 0, for x > -1; 0 at +inf.
template <class T>
WEAKLY_HD T log1p_over_x(T x) {
  if (x == T(0)) return T(1);
  if (x == std::numeric_limits<T>::infinity()) return T(0);
  return std::log1p(x) / x;
}

/// exp(x) - 1 for x <= 0.
template <class T>
WEAKLY_HD T expm1_nonpositive(T x) {
  return std::expm1(x);
}

/// condition ? yes : no, the scalar twin of simd::select.
template <class T>
WEAKLY_HD T select(bool condition, T yes, T no) {
  return condition ? yes : no;
}

namespace detail {

template <class V>
struct number_of {
  using type = V;
};
template <class V>
  requires requires { typename V::value_type; }
struct number_of<V> {
  using type = typename V::value_type;
};

}  // namespace detail

/// x as a V: float, double or a batch of them, so that a formula is written once for rows and batches of rows.
template <class V>
WEAKLY_HD V constant(double x) {
  return V(static_cast<typename detail::number_of<V>::type>(x));
}

/// x^exponent for x >= 0 and exponent >= 0, 0^0 = 1. The relative error is |exponent log x| times that of a rounding.
template <class V>
WEAKLY_HD V power(V x, double exponent) {
  using std::exp;
  using std::log;
  return exponent == 0 ? V(1) : exponent == 1 ? x : exp(constant<V>(exponent) * log(x));
}

/// The slack of every comparison of a probability with a class threshold (cleanlab's constant, kept by all).
inline constexpr double confidence_slack = 1e-6;

/// Whether probability p reaches class threshold t: p >= t - 1e-6, compared in double. A NaN reaches nothing.
WEAKLY_HD constexpr bool reaches_threshold(double p, double t) { return p >= t - confidence_slack; }

}  // namespace weakly::inline v0::math
