// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/half.hpp>
#include <weakly/core/view.hpp>
#include <weakly/noise/detail/radix_sort.hpp>

#include <algorithm>
#include <numeric>
#include <span>
#include <vector>

namespace weakly::inline v0 {

/// Whether row x_row with score x comes before row y_row with score y: ascending score, equal scores by row number, NaN
/// after every number. A total order, so that a ranking never depends on the sort.
template <class T>
bool is_more_suspicious(T x, index_t x_row, T y, index_t y_row) {
  const bool x_nan = x != x, y_nan = y != y;
  if (x_nan != y_nan) return y_nan;
  return x_nan || x == y ? x_row < y_row : x < y;
}

namespace detail {

template <class T>
struct by_score_then_row {
  vector_view<const T> score;

  bool operator()(index_t a, index_t b) const {
    return is_more_suspicious(static_cast<arithmetic_t<T>>(score(a)), a, static_cast<arithmetic_t<T>>(score(b)), b);
  }
};

template <class T>
void require_rows(const char* function, const vector_view<const T>& score, std::span<const index_t> rows) {
  for (const index_t row : rows)
    if (row < 0 || row >= score.extent(0))
      fail<shape_error>(function, ": row ", row, " has no score; there are ", score.extent(0));
}

}  // namespace detail

/// Puts row numbers in order of suspicion: ascending score, equal scores by row number, NaN last.
///
/// scores  n   label_quality.hpp       rows  m   row numbers in [0, n), reordered in place
///
/// Throws shape_error for a row outside [0, n). O(m) for rows that ascend, else O(m log m); allocates 32 bytes a row.
template <real_vector Scores>
void rank_issues(const Scores& scores, std::span<index_t> rows) {
  using T = typename view_t<const Scores&>::value_type;
  const vector_view<const T> s = view(scores);
  detail::require_rows<T>("rank_issues", s, rows);
  if (!std::is_sorted(rows.begin(), rows.end())) std::sort(rows.begin(), rows.end());
  // Scores beside their rows, because a sort that fetches them one by one waits for memory.
  using keyed = detail::keyed_row<decltype(detail::sort_key(arithmetic_t<T>()))>;
  std::vector<keyed> memory(2 * rows.size());
  const std::span<keyed> items = std::span(memory).first(rows.size());
  std::transform(rows.begin(), rows.end(), items.begin(), [&](index_t row) {
    return keyed{detail::sort_key(static_cast<arithmetic_t<T>>(s(row))), row};
  });
  const std::span<keyed> order = detail::radix_sort(items, std::span(memory).last(rows.size()));
  std::transform(order.begin(), order.end(), rows.begin(), [](const keyed& o) { return o.row; });
}

/// The rows with the lowest scores, most suspicious first; equal scores by row number, NaN last.
///
/// scores  n       rows  m   filled with the first m of the n rows in that order; m <= n
///
/// Throws shape_error when m > n. O(n log m), allocates nothing.
template <real_vector Scores>
void top_issues(const Scores& scores, std::span<index_t> rows) {
  using T = typename view_t<const Scores&>::value_type;
  const vector_view<const T> s = view(scores);
  const auto m = static_cast<index_t>(rows.size());
  if (m > s.extent(0)) detail::fail<shape_error>("top_issues: ", m, " rows wanted of ", s.extent(0));
  const detail::by_score_then_row<T> before{s};
  std::iota(rows.begin(), rows.end(), index_t(0));
  std::make_heap(rows.begin(), rows.end(), before);
  for (index_t i = m; m > 0 && i < s.extent(0); ++i) {
    if (!before(i, rows.front())) continue;
    std::pop_heap(rows.begin(), rows.end(), before);
    rows.back() = i;
    std::push_heap(rows.begin(), rows.end(), before);
  }
  std::sort_heap(rows.begin(), rows.end(), before);
}

}  // namespace weakly::inline v0
