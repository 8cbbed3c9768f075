// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>
#include <weakly/core/workspace.hpp>
#include <weakly/em/detail/wide_rows.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <type_traits>

namespace weakly::inline v0 {

namespace detail {

struct predicted_row {
  double confidence;
  index_t row;
  index_t label;  // -1 for a row with a NaN

  /// By class, then by confidence, the greatest first, then by row.
  bool operator<(const predicted_row& other) const {
    if (label != other.label) return label < other.label;
    if (confidence != other.confidence) return confidence > other.confidence;
    return row < other.row;
  }
};

}  // namespace detail

/// Bytes of workspace for n rows.
constexpr std::size_t class_top_rows_scratch(index_t n) { return scratch_bytes<detail::predicted_row>(n); }

/// Pseudo-labels of the most confident rows of each class.
///
///     prediction(i) = argmax over c of posterior(i, c), the lower of equal classes; confidence(i) = that posterior
///     label(i) = prediction(i) where row i is among the `keep` most confident of its prediction, else -1
///
/// posterior  [..., k]
/// keep              rows of a class at most, not negative
/// scratch           class_top_rows_scratch(n) bytes
/// label      n      signed integers
///
/// Of equally confident rows the lower stays. A row with a NaN gets -1. Throws shape_error, also for a type of labels
/// too narrow for k - 1, option_error, workspace_error. O(n k + n log n), the sorting on the calling thread; allocates
/// nothing. Same results for every executor and layout. Source: Zou et al., "class-balanced self-training", ECCV 2018,
/// with a number in place of a share of each class.
template <executor Exec, score_tensor Posterior, writable_vector Label>
void class_top_rows(Exec&& ex, const Posterior& posterior, index_t keep, workspace& scratch, Label&& label) {
  constexpr const char* name = "class_top_rows";
  using L = typename view_t<Label>::value_type;
  static_assert(on_host<Label> && std::is_integral_v<L> && std::is_signed_v<L>,
                "labels are signed integers on the host, because -1 stands for none");
  const detail::wide_rows rows = detail::wide_rows_of(name, posterior);
  const auto to = view(label);
  detail::require_extent("class_top_rows: label", to, 0, rows.n);
  if (rows.k - 1 > static_cast<index_t>(std::numeric_limits<L>::max()))
    detail::fail<shape_error>(name, ": label holds integers from ", static_cast<index_t>(std::numeric_limits<L>::min()),
                              " to ", static_cast<index_t>(std::numeric_limits<L>::max()), ", posterior has ", rows.k,
                              " classes; give a wider type");
  if (keep < 0) detail::fail<option_error>(name, ": keep is ", keep, "; it must be zero or more");
  const std::span<detail::predicted_row> all = scratch.take<detail::predicted_row>("class_top_rows: rows", rows.n);
  for_row_chunks(ex, rows.n, rows.k, [&](index_t first, index_t last) {
    double buffer[std::size_t(detail::wide_block)];
    for (index_t i = first; i < last; ++i) {
      detail::predicted_row r{0, i, -1};
      bool number = true;
      for (index_t j = 0; j < rows.k; j += detail::wide_block) {
        const index_t count = std::min(detail::wide_block, rows.k - j);
        const double* const x = rows.x.part(i, j, count, buffer);
        for (index_t c = 0; c < count; ++c) {
          number &= !std::isnan(x[c]);
          if (r.label < 0 || x[c] > r.confidence) r = {x[c], i, j + c};
        }
      }
      if (!number) r = {0, i, -1};
      all[static_cast<std::size_t>(i)] = r;
    }
  });
  std::sort(all.begin(), all.end());
  index_t current = -1, kept = 0;
  for (const detail::predicted_row& r : all) {
    if (r.label != current) {
      current = r.label;
      kept = 0;
    }
    to(r.row) = r.label >= 0 && kept++ < keep ? static_cast<L>(r.label) : L(-1);
  }
}
template <score_tensor Posterior, writable_vector Label>
void class_top_rows(const Posterior& posterior, index_t keep, workspace& scratch, Label&& label) {
  class_top_rows(seq, posterior, keep, scratch, label);
}

}  // namespace weakly::inline v0
