// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/executor.hpp>
#include <weakly/core/half.hpp>
#include <weakly/core/view.hpp>
#include <weakly/noise/confident_guess.hpp>
#include <weakly/noise/detail/keep.hpp>
#include <weakly/noise/detail/numpy_arithmetic.hpp>

#include <cstdint>

namespace weakly::inline v0::detail {

/// Where a row belongs in a table of k + 1 columns: its guess, or column k when it is not counted.
struct counted_row {
  index_t column;
  bool issue;  ///< counted off the diagonal, and the label is not the most probable class either
};

/// The plain form: one row, any layout.
template <class T, class Row>
counted_row count_row(const Row& row, index_t label, const arithmetic_t<T>* bound, index_t k, compatibility compat) {
  const index_t guess = confident_class(row, bound, k, compat);
  if (guess < 0 || !plausible_probability(row[label])) return {k, false};
  if (guess == label) return {guess, false};
  const bool issue = compat == compatibility::cleanlab ? disagrees<numpy_arithmetic_t<T>>(row, label, k)
                                                       : disagrees<double>(row, label, k);
  return {guess, issue};
}

/// Adds rows [first, last) to `state`: k tables rows of k + 1 columns, then the number of issues. Threads may share it.
template <class Label, class T>
void confident_count(const vector_view<const Label>& labels, const matrix_view<const T>& prob,
                     const confidence_bounds& bounds, compatibility compat, index_t first, index_t last,
                     std::int64_t* state) {
  const index_t k = bounds.classes();
  const auto* bound = bounds.of<T>();
  std::int64_t issues = 0;
  for (index_t i = first; i < last; ++i) {
    const auto label = static_cast<index_t>(labels(i));
    const counted_row at = count_row<T>(row_of(prob, i), label, bound, k, compat);
    atomic_add(state[label * (k + 1) + at.column], std::int64_t(1));
    issues += at.issue;
  }
  if (issues != 0) atomic_add(state[k * (k + 1)], issues);
}

}  // namespace weakly::inline v0::detail
