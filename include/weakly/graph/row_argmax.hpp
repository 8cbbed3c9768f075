// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>

namespace weakly::inline v0 {

/// The class of the greatest score of each row, the lowest of equal ones.
///
/// scores  n x k
/// label   n      signed integers that hold -1 and k - 1
///
/// -1 for a row that holds a NaN or nothing above -inf. Returns how many those are. A row of zeros, as propagation
/// leaves it where nothing arrives, is class 0: see `reached` of label_propagation. Throws shape_error, also for a type
/// too narrow. O(n k), allocates nothing. Same results for every executor and layout.
template <executor Exec, real_matrix Scores, writable_vector Label>
  requires(on_host<Label>&& std::is_integral_v<typename view_t<Label>::value_type>&&
               std::is_signed_v<typename view_t<Label>::value_type>)
index_t row_argmax(Exec&& ex, const Scores& scores, Label&& label) {
  using L = typename view_t<Label>::value_type;
  const auto x = view(scores);
  const auto to = view(label);
  const index_t n = x.extent(0), k = x.extent(1);
  detail::require_extent("row_argmax: label", to, 0, n);
  if (k - 1 > static_cast<index_t>(std::numeric_limits<L>::max()))
    detail::fail<shape_error>("row_argmax: label holds integers up to ",
                              static_cast<index_t>(std::numeric_limits<L>::max()), ", scores have ", k,
                              " classes; give a wider type");
  const detail::row_source<double> rows(x);
  std::atomic<index_t> without = 0;
  for_row_chunks(ex, n, k, [&](index_t first, index_t last) {
    constexpr index_t block = 512;
    double buffer[std::size_t(block)];
    index_t here = 0;
    for (index_t i = first; i < last; ++i) {
      double top = -std::numeric_limits<double>::infinity();
      index_t at = -1;
      bool number = true;
      for (index_t j = 0; j < k; j += block) {
        const index_t count = std::min(block, k - j);
        const double* const part = rows.part(i, j, count, buffer);
        for (index_t c = 0; c < count; ++c) {
          number &= !std::isnan(part[c]);
          if (part[c] > top) {
            top = part[c];
            at = j + c;
          }
        }
      }
      if (!number) at = -1;
      here += at < 0;
      to(i) = static_cast<L>(at);
    }
    without.fetch_add(here, std::memory_order_relaxed);
  });
  return without.load();
}
template <real_matrix Scores, writable_vector Label>
  requires(on_host<Label>&& std::is_integral_v<typename view_t<Label>::value_type>&&
               std::is_signed_v<typename view_t<Label>::value_type>)
index_t row_argmax(const Scores& scores, Label&& label) { return row_argmax(seq, scores, label); }

}  // namespace weakly::inline v0
