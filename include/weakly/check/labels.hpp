// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/labels.hpp>
#include <weakly/core/view.hpp>

#include <atomic>
#include <cstddef>
#include <string_view>
#include <vector>

namespace weakly::inline v0 {

namespace detail {

inline void require_class_count(std::string_view function, index_t k) {
  if (k < 0) fail<option_error>(function, ": k = ", k, " classes; give their number");
}

}  // namespace detail

/// Labels outside [0, k): how many, and the row of the first.
///
/// labels  n   integers of any width, signed or not
///
/// Algorithms check their labels themselves and throw label_error; this tells without throwing, and counts.
/// Throws option_error for a negative k. Allocates nothing. O(n). Same result for every executor.
template <executor Exec, label_vector Labels>
status check_labels(Exec&& ex, const Labels& labels, index_t k) {
  detail::require_class_count("check_labels", k);
  const vector_view<const typename view_t<const Labels&>::value_type> y = view(labels);
  detail::shared_status bad;
  for_row_chunks(ex, y.extent(0), [&](index_t first, index_t last) {
    status here = no_bad_rows();
    for (index_t i = first; i < last; ++i)
      if (!detail::is_label(y(i), k)) here.report(i);
    bad.merge(here);
  });
  return bad.load();
}

/// As above, on the calling thread.
template <label_vector Labels>
status check_labels(const Labels& labels, index_t k) {
  return check_labels(seq, labels, k);
}

/// The classes in [0, k) that no label names, ascending.
///
/// labels  n   integers in [0, k)
///
/// Throws label_error for a label outside [0, k), option_error for a negative k. Allocates k bytes and the result.
/// O(n + k). Same result for every executor.
template <executor Exec, label_vector Labels>
std::vector<index_t> absent_classes(Exec&& ex, const Labels& labels, index_t k) {
  detail::require_class_count("absent_classes", k);
  using Label = typename view_t<const Labels&>::value_type;
  const vector_view<const Label> y = view(labels);
  detail::require_labels<Label>("absent_classes", y, k);
  std::vector<unsigned char> present(static_cast<std::size_t>(k));
  for_row_chunks(ex, y.extent(0), [&](index_t first, index_t last) {
    for (index_t i = first; i < last; ++i) {
      const std::atomic_ref<unsigned char> mark(present[static_cast<std::size_t>(y(i))]);
      // Looked at first, because threads that write one line wait for each other.
      if (mark.load(std::memory_order_relaxed) == 0) mark.store(1, std::memory_order_relaxed);
    }
  });
  std::vector<index_t> absent;
  for (index_t c = 0; c < k; ++c)
    if (present[static_cast<std::size_t>(c)] == 0) absent.push_back(c);
  return absent;
}

/// As above, on the calling thread.
template <label_vector Labels>
std::vector<index_t> absent_classes(const Labels& labels, index_t k) {
  return absent_classes(seq, labels, k);
}

}  // namespace weakly::inline v0
