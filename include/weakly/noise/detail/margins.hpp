// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/half.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>
#include <weakly/noise/detail/row_reader.hpp>

#include <bit>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace weakly::inline v0::detail {

// Both functions look at row i for classes j with p(label) - p(j) <= limit(j): for the groups of its label that the row
// may enter. Differences of floats are taken in float: rounding is monotone and the limits are floats not below the
// exact ones, so nothing that belongs to a group is missed; what is found is compared again exactly.

/// The batches of a contiguous row of floats, as bits of the classes within their limits.
template <class Found>
bool margin_bits(const float* row, index_t label, const float* limit, index_t k, Found found) {
  using batch = simd::batch<float>;
  const batch own(row[label]);
  index_t j = 0;
  for (; j + batch::size <= k; j += batch::size)
    if (found(j, simd::bits(own - simd::load(row + j) <= simd::load(limit + j)))) return true;
  if (j == k) return false;
  if (k >= batch::size) {
    // One batch back from the end; the lanes that were looked at already are left out.
    const std::uint32_t seen = (std::uint32_t(1) << (batch::size - (k - j))) - 1;
    j = k - batch::size;
    return found(j, simd::bits(own - simd::load(row + j) <= simd::load(limit + j)) & ~seen);
  }
  constexpr float inf = std::numeric_limits<float>::infinity();
  return found(j, simd::bits(own - simd::load_partial(row, k, -inf) <= simd::load_partial(limit, k, -inf)));
}

/// Whether there is such a class.
template <class Number, class T>
bool any_margin_within(const matrix_view<const T>& p, index_t i, index_t label, const float* limit) {
  const index_t k = p.extent(1);
  const row_reader<T> row = row_of(p, i);
  if constexpr (std::is_same_v<T, float>) {
    if (rows_are_contiguous(p))
      return margin_bits(row.first, label, limit, k, [](index_t, std::uint32_t bits) { return bits != 0; });
  }
  const Number own(row[label]);
  for (index_t j = 0; j < k; ++j)
    if (static_cast<double>(own - Number(row[j])) <= double(limit[j])) return true;
  return false;
}

/// Calls f(j) for every such class.
template <class Number, class T, class F>
void for_each_margin_within(const matrix_view<const T>& p, index_t i, index_t label, const float* limit, F f) {
  const index_t k = p.extent(1);
  const row_reader<T> row = row_of(p, i);
  if constexpr (std::is_same_v<T, float>) {
    if (rows_are_contiguous(p)) {
      margin_bits(row.first, label, limit, k, [&](index_t first, std::uint32_t bits) {
        for (; bits != 0; bits &= bits - 1) f(first + std::countr_zero(bits));
        return false;
      });
      return;
    }
  }
  const Number own(row[label]);
  for (index_t j = 0; j < k; ++j)
    if (static_cast<double>(own - Number(row[j])) <= double(limit[j])) f(j);
}

}  // namespace weakly::inline v0::detail
