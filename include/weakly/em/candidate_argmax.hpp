// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>
#include <weakly/em/candidate_sets.hpp>
#include <weakly/em/detail/wide_rows.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>

namespace weakly::inline v0 {

namespace detail {

/// The candidate of the greatest score, the lower of equal ones; -1 where the set has none above -inf, or a candidate's
/// score is NaN. The set of the row must be valid.
inline index_t greatest_candidate(const wide_rows& rows, const candidate_sets& sets, index_t i) {
  double s[std::size_t(wide_block)], buffer[std::size_t(wide_block)];
  double top = -std::numeric_limits<double>::infinity();
  index_t at = -1;
  bool number = true;
  for (index_t j = 0; j < rows.k; j += wide_block) {
    const index_t count = std::min(wide_block, rows.k - j);
    sets.marks(i, j, count, s);
    const double* const x = rows.x.part(i, j, count, buffer);
    for (index_t c = 0; c < count; ++c) {
      if (s[c] == 0) continue;
      number &= !std::isnan(x[c]);
      if (x[c] > top) {
        top = x[c];
        at = j + c;
      }
    }
  }
  return number ? at : -1;
}

}  // namespace detail

/// The most probable candidate of each row.
///
///     label(i) = argmax over c in S(i) of scores(i, c), the lower of equal ones
///
/// scores  [..., k]  scores or probabilities      sets  n  of k classes
/// label   n         integers of any width that holds -1 and k - 1
///
/// -1 for a set without a candidate above -inf, and where a candidate's score is NaN; scores outside the set are not
/// used. Throws shape_error, also for a type too narrow for k - 1, and label_error for malformed sets, which get -1,
/// after all other rows are done. O(n k), allocates nothing. Same results for every executor, layout and kind of set.
/// Source: Wang et al., "PiCO", ICLR 2022, arXiv 2201.08984.
template <executor Exec, score_tensor Scores, writable_vector Label>
void candidate_argmax(Exec&& ex, const Scores& scores, const candidate_sets& sets, Label&& label) {
  constexpr const char* name = "candidate_argmax";
  using L = typename view_t<Label>::value_type;
  static_assert(on_host<Label> && std::is_integral_v<L> && std::is_signed_v<L>,
                "labels are signed integers on the host, because -1 stands for none");
  const detail::wide_rows rows = detail::wide_rows_of(name, scores);
  detail::require_sets(name, sets, rows.n, rows.k);
  const auto to = view(label);
  detail::require_extent("candidate_argmax: label", to, 0, rows.n);
  if (rows.k - 1 > static_cast<index_t>(std::numeric_limits<L>::max()))
    detail::fail<shape_error>(name, ": label holds integers from ", static_cast<index_t>(std::numeric_limits<L>::min()),
                              " to ", static_cast<index_t>(std::numeric_limits<L>::max()), ", scores have ", rows.k,
                              " classes; give a wider type");
  detail::shared_status malformed;
  for_row_chunks(ex, rows.n, rows.k, [&](index_t first, index_t last) {
    for (index_t i = first; i < last; ++i) {
      const bool valid = sets.valid(i);
      if (!valid) malformed.merge({i, 1});
      to(i) = valid ? static_cast<L>(detail::greatest_candidate(rows, sets, i)) : L(-1);
    }
  });
  detail::require_well_formed(name, malformed.load());
}
template <score_tensor Scores, writable_vector Label>
void candidate_argmax(const Scores& scores, const candidate_sets& sets, Label&& label) {
  candidate_argmax(seq, scores, sets, label);
}

}  // namespace weakly::inline v0
