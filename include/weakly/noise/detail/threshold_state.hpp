// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/executor.hpp>
#include <weakly/noise/class_thresholds.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

namespace weakly::inline v0::detail {

/// Adds to group g of a class_threshold_estimator's state, which is laid out as its contract says. Threads may share
/// it.
inline void add_to_threshold_state(std::span<std::int64_t> state, index_t g, class_sum s) {
  const auto groups = static_cast<index_t>(state.size()) / 5;
  std::int64_t* const at = state.data() + g;
  s.probability.normalise();
  atomic_add(at[0], s.rows);
  atomic_add(at[groups], s.probability.whole);
  atomic_add(at[2 * groups], s.probability.high);
  atomic_add(at[3 * groups], s.probability.middle);
  atomic_add(at[4 * groups], s.probability.low);
}

/// Calls f(first, last) for slices of n rows and normalises the sums after each, because a group may be added to 2^18
/// times between two calls of normalise. f adds to a group once for every `rows_per_add` rows.
template <class F>
void in_normalised_slices(class_threshold_estimator& sums, index_t n, index_t rows_per_add, F&& f) {
  const index_t slice = (index_t(1) << 17) * std::max<index_t>(rows_per_add, 1);
  for (index_t first = 0; first < n; first += slice) {
    f(first, n - first < slice ? n : first + slice);
    sums.normalise();
  }
}

}  // namespace weakly::inline v0::detail
