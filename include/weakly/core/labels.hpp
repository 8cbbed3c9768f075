// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/view.hpp>

#include <cstdint>
#include <string_view>

namespace weakly::inline v0::detail {

/// Whether a label may index k columns. The conversion sign-extends, so a negative label of any width is out of range.
template <class Label>
WEAKLY_HD constexpr bool is_label(Label label, index_t k) {
  return static_cast<std::uint64_t>(label) < static_cast<std::uint64_t>(k);
}

/// Rows [first, last) whose label is outside [0, k).
template <class Label>
status bad_labels(const vector_view<const Label>& labels, index_t first, index_t last, index_t k) {
  // A label is in range where neither it nor its distance from the last has the top bit: no comparison, so that the
  // compiler can do many at once.
  std::uint64_t outside = 0;
  const auto look = [&](Label label) {
    const auto l = static_cast<std::uint64_t>(label);
    outside |= l | (static_cast<std::uint64_t>(k - 1) - l);
  };
  if (labels.stride(0) == 1) {
    const Label* const label = labels.data();
    for (index_t i = first; i < last; ++i) look(label[i]);
  } else {
    for (index_t i = first; i < last; ++i) look(labels(i));
  }
  status bad = no_bad_rows();
  if (outside >> 63 == 0) return bad;
  for (index_t i = first; i < last; ++i)
    if (!is_label(labels(i), k)) bad.report(i);
  return bad;
}

/// Throws label_error with the first label outside [0, k), before anything was indexed with it. O(n), no allocation.
template <executor Exec, class Label>
void require_labels(Exec&& ex, std::string_view function, const vector_view<const Label>& labels, index_t k) {
  shared_status bad;
  for_row_chunks(ex, labels.extent(0), 8,
                 [&](index_t first, index_t last) { bad.merge(bad_labels<Label>(labels, first, last, k)); });
  const status found = bad.load();
  if (!found.ok())
    fail<label_error>(function, ": label ", labels(found.first_bad_row), " of row ", found.first_bad_row,
                      " is outside [0, ", k, "); labels number the columns of the probabilities from 0");
}
template <class Label>
void require_labels(std::string_view function, const vector_view<const Label>& labels, index_t k) {
  require_labels(seq, function, labels, k);
}

}  // namespace weakly::inline v0::detail
