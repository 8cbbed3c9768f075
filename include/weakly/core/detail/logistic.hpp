// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/simd.hpp>

namespace weakly::inline v0::detail {

/// sigmoid(x) and sigmoid(-x), neither by subtraction from one. NaN stays.
template <class T>
struct sigmoid_parts {
  simd::batch<T> up, down;
};

/// The same, with log(1 + exp(x)) and log(1 + exp(-x)).
template <class T>
struct logistic_parts {
  simd::batch<T> up, down, softplus_up, softplus_down;
};

template <class T>
WEAKLY_INLINE sigmoid_parts<T> sigmoids_of(simd::batch<T> x, simd::batch<T> exp_of_minus_magnitude) {
  using batch = simd::batch<T>;
  const batch near = batch(T(1)) / (batch(T(1)) + exp_of_minus_magnitude), far = exp_of_minus_magnitude * near;
  const auto positive = x >= batch(T(0));
  return {simd::select(positive, near, far), simd::select(positive, far, near)};
}
template <class T>
WEAKLY_INLINE sigmoid_parts<T> sigmoids_of(simd::batch<T> x) {
  return sigmoids_of(x, simd::exp_nonpositive(-simd::abs(x)));
}

/// log(1 + exp(x)), from exp(-|x|) too.
template <class T>
WEAKLY_INLINE simd::batch<T> softplus_of(simd::batch<T> x, simd::batch<T> exp_of_minus_magnitude) {
  return simd::max(x, T(0)) + simd::log1p(exp_of_minus_magnitude);
}

template <class T>
WEAKLY_INLINE logistic_parts<T> logistic_of(simd::batch<T> x) {
  const simd::batch<T> e = simd::exp_nonpositive(-simd::abs(x)), rest = simd::log1p(e);
  const sigmoid_parts<T> s = sigmoids_of(x, e);
  return {s.up, s.down, simd::max(x, T(0)) + rest, simd::max(-x, T(0)) + rest};
}

}  // namespace weakly::inline v0::detail
