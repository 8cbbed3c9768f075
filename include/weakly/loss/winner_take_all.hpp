// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>
#include <weakly/loss/row_loss.hpp>

#include <algorithm>
#include <cstddef>
#include <type_traits>

namespace weakly::inline v0 {

struct winner_take_all_options {
  double epsilon = 0;  ///< share of the losers, in [0, 1); at zero a head that never wins never learns
};

/// Where row numbers or classes are written, or `discard`.
template <class X>
concept index_output = std::is_same_v<std::remove_cvref_t<X>, discard_output> ||
    (writable_vector<X>&& std::is_integral_v<typename view_t<X>::value_type>);

/// Relaxed winner-take-all loss of several hypotheses, and what each head's loss weighs in the gradient.
///
///     winner = the head of least loss, the first of equals
///     weight = 1 - epsilon for the winner, epsilon / (m - 1) for the others; one where m = 1
///     loss(i) = sum of weight(i, h) head_loss(i, h)
///
/// head_loss  n x m  loss of each head
/// loss       n      or discard
/// weight     n x m  or discard: d loss / d head_loss, the winner held; may be the storage of `head_loss`
/// winner     n      integers, or discard
///
/// A NaN never wins against a number and makes the row's loss NaN, unless it weighs zero. Throws shape_error and
/// option_error. O(n m), allocates nothing. Same bits for every executor and layout.
/// Source: Rupprecht et al., arXiv 1612.00197.
template <executor Exec, score_tensor Losses, loss_output Loss, loss_output Weight, index_output Winner>
  requires readable_matrix<Losses>
void winner_take_all(Exec&& ex, const Losses& head_loss, Loss&& loss, Weight&& weight, Winner&& winner,
                     const winner_take_all_options& options = {}) {
  using T = arithmetic_t<typename detail::input_view_t<Losses>::value_type>;
  const auto x = view(head_loss);
  const index_t n = x.extent(0), m = x.extent(1);
  if (!(options.epsilon >= 0 && options.epsilon < 1))
    detail::fail<option_error>("winner_take_all: epsilon ", options.epsilon, " is outside [0, 1)");
  if (n != 0 && m == 0) detail::fail<shape_error>("winner_take_all: ", n, " rows of 0 heads; there must be one");
  constexpr bool writes_winner = !std::is_same_v<std::remove_cvref_t<Winner>, discard_output>;
  if constexpr (writes_winner) detail::require_extent("winner_take_all: winner", view(winner), 0, n);
  const detail::row_source<T> losses(x);
  const auto value_to = detail::value_sink<T>("winner_take_all", "loss", loss, n);
  const auto weight_to = detail::gradient_sink<T>("winner_take_all", weight, n, m);
  const T best = static_cast<T>(m == 1 ? 1 : 1 - options.epsilon);
  const T other = static_cast<T>(m == 1 ? 0 : options.epsilon / double(m - 1));
  for_row_chunks(ex, n, m, [&](index_t first, index_t last) {
    for (index_t i = first; i < last; ++i) {
      const detail::row_blocks<T> row(losses, weight_to, i, T(1));
      index_t won = 0;
      T least = row.at(0);
      row.read([&](index_t j, const T* l, index_t count) {
        for (index_t e = 0; e < count; ++e)
          if (l[e] < least || (least != least && l[e] == l[e])) {
            least = l[e];
            won = j + e;
          }
      });
      T value = best * least;
      row.read([&](index_t j, const T* l, index_t count) {
        for (index_t e = 0; e < count && other != T(0); ++e)
          if (j + e != won) value += other * l[e];
      });
      if (!value_to.empty()) value_to.put_rows(i, 1, &value);
      if constexpr (writes_winner) {
        const auto to = view(winner);
        to(i) = static_cast<typename decltype(to)::value_type>(won);
      }
      row.write([&](index_t j, const T*, index_t count, T* w) {
        std::fill_n(w, count, other);
        if (won >= j && won < j + count) w[won - j] = best;
      });
    }
  });
}
template <score_tensor Losses, loss_output Loss, loss_output Weight, index_output Winner>
  requires readable_matrix<Losses>
void winner_take_all(const Losses& head_loss, Loss&& loss, Weight&& weight, Winner&& winner,
                     const winner_take_all_options& options = {}) {
  winner_take_all(seq, head_loss, loss, weight, winner, options);
}

}  // namespace weakly::inline v0
