// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/math.hpp>

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

}  // namespace weakly::inline v0::detail
