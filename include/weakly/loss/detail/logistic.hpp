// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/simd.hpp>

namespace weakly::inline v0::detail {

/// sigmoid(x), sigmoid(-x), log(1 + exp(x)) and log(1 + exp(-x)), none by subtraction from one. NaN stays.
template <class T>
struct logistic_parts {
  simd::batch<T> up, down, softplus_up, softplus_down;
};

template <class T>
WEAKLY_INLINE logistic_parts<T> logistic_of(simd::batch<T> x) {
  using batch = simd::batch<T>;
  const batch e = simd::exp_nonpositive(-simd::abs(x));
  const batch near = batch(T(1)) / (batch(T(1)) + e), far = e * near;
  const batch rest = simd::log1p(e);
  const auto positive = x >= batch(T(0));
  return {simd::select(positive, near, far), simd::select(positive, far, near), simd::max(x, T(0)) + rest,
          simd::max(-x, T(0)) + rest};
}

}  // namespace weakly::inline v0::detail
