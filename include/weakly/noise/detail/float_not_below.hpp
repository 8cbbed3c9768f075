// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <limits>

namespace weakly::inline v0::detail {

/// The least float that is not below x, so that comparing floats with it is comparing them with x in double.
inline float float_not_below(double x) {
  const auto nearest = static_cast<float>(x);
  return double(nearest) < x ? std::nextafter(nearest, std::numeric_limits<float>::infinity()) : nearest;
}

}  // namespace weakly::inline v0::detail
