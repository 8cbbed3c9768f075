// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/half.hpp>
#include <weakly/core/math.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>
#include <weakly/noise/detail/numpy_arithmetic.hpp>
#include <weakly/noise/detail/row_reader.hpp>

#include <cmath>
#include <limits>
#include <type_traits>

namespace weakly::inline v0::detail {

/// Whether the most probable class differs from the label by more than the slack:
///
///     argmax over j of ( p(j) + 1e-6 [j = label] ) != label,    computed in Number
///
/// Rows that fail are never issues: the model agrees with their label. NaN entries are left out; a row whose own entry
/// is NaN disagrees wherever another entry is a number.
template <class Number, class Row>
bool disagrees(const Row& row, index_t label, index_t k) {
  const Number own = Number(row[label]) + Number(math::confidence_slack);
  for (index_t j = 0; j < k; ++j) {
    if (j == label) continue;
    const Number p(row[j]);
    if (p > own || (j < label && p == own) || (own != own && p == p)) return true;
  }
  return false;
}

/// Whether any of n contiguous entries compares with the limit; NaN does not.
template <class A, class Compare>
bool any_of_row(const A* p, index_t n, A limit, Compare compare) {
  using batch = simd::batch<A>;
  constexpr index_t unrolled = 4;
  index_t j = 0;
  for (; j + unrolled * batch::size <= n; j += unrolled * batch::size) {
    simd::mask<A> hit = compare(simd::load(p + j), batch(limit));
    for (index_t b = 1; b < unrolled; ++b) hit = hit | compare(simd::load(p + j + b * batch::size), batch(limit));
    if (simd::any(hit)) return true;
  }
  for (; j < n; ++j)
    if (compare(p[j], limit)) return true;
  return false;
}

/// As `disagrees` with Number = A or double, for a contiguous row of A.
template <class Number, class A>
bool disagrees_in_place(const A* row, index_t label, index_t k) {
  const Number own = Number(row[label]) + Number(math::confidence_slack);
  if (own != own) return disagrees<Number>(row, label, k);
  // Comparing with `own` is comparing with the neighbouring A on either side of it.
  A above = static_cast<A>(own), below = above;
  if (Number(above) < own) above = std::nextafter(above, std::numeric_limits<A>::infinity());
  if (Number(below) > own) below = std::nextafter(below, -std::numeric_limits<A>::infinity());
  return any_of_row(row, label, above, [](const auto& p, const auto& limit) { return p >= limit; }) ||
         any_of_row(row + label + 1, k - label - 1, below, [](const auto& p, const auto& limit) { return p > limit; });
}

/// Whether row i disagrees with its label: `disagrees` in the arithmetic that `compat` asks for, by the fastest way.
template <class T>
bool row_disagrees(const matrix_view<const T>& p, index_t i, index_t label, compatibility compat) {
  const index_t k = p.extent(1);
  const row_reader<T> row = row_of(p, i);
  if constexpr (std::is_same_v<T, arithmetic_t<T>>) {
    if (rows_are_contiguous(p))
      return compat == compatibility::cleanlab ? disagrees_in_place<T>(row.first, label, k)
                                               : disagrees_in_place<double>(row.first, label, k);
  }
  return compat == compatibility::cleanlab ? disagrees<numpy_arithmetic_t<T>>(row, label, k)
                                           : disagrees<double>(row, label, k);
}

}  // namespace weakly::inline v0::detail
