// SPDX-License-Identifier: MIT
#pragma once

namespace weakly::inline v0::detail {

/// Entries above this are no probabilities, +infinity among them: nobody is confident in them.
inline constexpr double greatest_plausible = 2;

/// Whether an entry may count as a probability: finite and near [0, 1]; the checks in check/ are stricter.
template <class T>
constexpr bool plausible_probability(T p) {
  return p >= T(-1) && p <= T(greatest_plausible);
}

}  // namespace weakly::inline v0::detail
