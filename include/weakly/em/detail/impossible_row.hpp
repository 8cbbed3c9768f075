// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>

#include <cstdint>
#include <string_view>

namespace weakly::inline v0 {

/// What becomes of a row, bag or pair whose observation is impossible: an empty set, or one that the scores exclude.
enum class impossible_row : std::uint8_t {
  refuse,  ///< value_error names the first such row, after all others are done; the row is NaN, its loss infinite
  keep     ///< the same without the error: the caller looks at the losses
};

namespace detail {

/// Throws value_error for the first of the rows, bags or pairs (`unit`) that came out impossible, unless they are kept.
/// `more` ends the message.
inline void require_possible(std::string_view function, std::string_view unit, const status& bad, impossible_row policy,
                             std::string_view more = {}) {
  if (bad.ok() || policy == impossible_row::keep) return;
  fail<value_error>(function, ": the observation of ", unit, " ", bad.first_bad_row, " is impossible (", bad.count,
                    " such ", unit, bad.count == 1 ? "" : "s",
                    "): nothing that it allows has any probability; leave such a ", unit,
                    " out, or pass {.impossible = impossible_row::keep} and look for infinite losses", more);
}

}  // namespace detail

}  // namespace weakly::inline v0
