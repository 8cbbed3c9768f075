// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>

#include <cstddef>
#include <span>
#include <string_view>

namespace weakly::inline v0::detail {

/// Throws option_error for a NaN among the thresholds, of which every class has `per_class`. Only averages that take in
/// a NaN probability give one: a class without rows has the threshold +infinity, or 2 in cleanlab's way.
inline void require_thresholds(std::string_view function, std::span<const double> threshold,
                               std::size_t per_class = 1) {
  for (std::size_t i = 0; i < threshold.size(); ++i) {
    if (threshold[i] == threshold[i]) continue;
    const std::size_t c = i / per_class;
    fail<option_error>(function, ": the threshold of class ", c, " is NaN: a row labelled ", i % per_class + c * (per_class == 1),
                       " has a NaN probability");
  }
}

}  // namespace weakly::inline v0::detail
