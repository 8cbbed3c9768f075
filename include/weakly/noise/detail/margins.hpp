// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/simd.hpp>

#include <limits>

namespace weakly::inline v0::detail {

/// Whether p(label) - p(j) <= limit for some class j of a contiguous row. The difference is taken in float: rounding is
/// monotone, so where `limit` is a float not below the exact one, no row that meets the exact one is missed.
WEAKLY_INLINE bool has_margin_within(const float* row, index_t label, float limit, index_t k) {
  using batch = simd::batch<float>;
  constexpr float nothing = -std::numeric_limits<float>::infinity();
  batch top;
  if (k < batch::size) {
    top = simd::max(simd::load_partial(row, k, nothing), nothing);
  } else {
    top = simd::max(simd::load(row + k - batch::size), nothing);  // a NaN on the left is dropped
    for (index_t j = 0; j + batch::size <= k; j += batch::size) top = simd::max(simd::load(row + j), top);
  }
  return simd::any(batch(row[label]) - top <= batch(limit));
}

}  // namespace weakly::inline v0::detail
