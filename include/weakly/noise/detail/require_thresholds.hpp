// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>

#include <cstddef>
#include <span>
#include <string_view>

namespace weakly::inline v0::detail {

/// Throws option_error for a NaN among the thresholds, of which every class has `per_class`. No class is NaN for want
/// of rows: its threshold is +infinity, or 2 in cleanlab's way.
inline void require_thresholds(std::string_view function, std::span<const double> threshold,
                               std::size_t per_class = 1) {
  for (std::size_t i = 0; i < threshold.size(); ++i)
    if (threshold[i] != threshold[i])
      fail<option_error>(function, ": the threshold of class ", i / per_class,
                         " is NaN, as cleanlab's mean is where a row labelled so has a NaN probability; find the row "
                         "with check_distribution, or average in the default mode (compatibility::none), which leaves "
                         "such rows out");
}

}  // namespace weakly::inline v0::detail
