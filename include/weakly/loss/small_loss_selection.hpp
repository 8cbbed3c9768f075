// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/half.hpp>
#include <weakly/core/view.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <numeric>
#include <span>
#include <vector>

namespace weakly::inline v0 {

namespace detail {

/// Ascending by (loss, row), NaN last: a total order.
template <class T>
struct by_loss_then_row {
  vector_view<const T> loss;

  bool operator()(index_t a, index_t b) const {
    const auto x = static_cast<arithmetic_t<T>>(loss(a)), y = static_cast<arithmetic_t<T>>(loss(b));
    const bool x_nan = x != x, y_nan = y != y;
    if (x_nan != y_nan) return y_nan;
    return x_nan || x == y ? a < b : x < y;
  }
};

}  // namespace detail

/// How many of n losses are kept at a forget rate: floor((1 - rate) n), at least one of any.
///
/// rate  in [0, 1]. Throws option_error. Rounded down from 1e-9 above, because (1 - 0.8) 10 is less than two in
/// floating point.
inline index_t small_loss_count(index_t n, double rate) {
  if (!(rate >= 0 && rate <= 1))
    detail::fail<option_error>("small_loss_selection: forget rate ", rate, " is outside [0, 1]");
  if (n == 0) return 0;
  return std::max<index_t>(static_cast<index_t>(std::floor((1 - rate) * double(n) + 1e-9)), 1);
}

/// Forget rate of an epoch: from zero at epoch 0 linearly to `final_rate` at epoch ramp_epochs - 1, and that from then
/// on. Throws option_error for a negative epoch or ramp, or a rate outside [0, 1]. A ramp of 0 or 1 is none.
inline double forget_rate(index_t epoch, double final_rate, index_t ramp_epochs) {
  if (!(final_rate >= 0 && final_rate <= 1))
    detail::fail<option_error>("forget_rate: final rate ", final_rate, " is outside [0, 1]");
  if (epoch < 0) detail::fail<option_error>("forget_rate: epoch ", epoch, " is negative; epochs count from 0");
  if (ramp_epochs < 0) detail::fail<option_error>("forget_rate: ramp_epochs is ", ramp_epochs, "; give 0 for no ramp");
  return epoch >= ramp_epochs - 1 ? final_rate : final_rate * (double(epoch) / double(ramp_epochs - 1));
}

/// Rows of the smallest losses, ascending; equal losses by row number, NaN last.
///
/// losses  n   of the peer network in co-teaching
/// rows    n   memory to work in
///
/// Returns the first small_loss_count(n, rate) elements of `rows`. Throws shape_error and option_error.
/// O(n + m log m) for m kept rows, allocates nothing.
/// Source: Han et al., Co-teaching, arXiv 1804.06872.
template <real_vector Losses>
std::span<index_t> small_loss_selection(const Losses& losses, double rate, std::span<index_t> rows) {
  using T = typename detail::input_view_t<Losses>::value_type;
  const vector_view<const T> loss = view(losses);
  const index_t n = loss.extent(0);
  if (static_cast<index_t>(rows.size()) != n)
    detail::fail<shape_error>("small_loss_selection: memory for ", rows.size(), " rows of ", n);
  const index_t kept = small_loss_count(n, rate);
  const detail::by_loss_then_row<T> before{loss};
  std::iota(rows.begin(), rows.end(), index_t(0));
  const auto end = rows.begin() + kept;
  if (kept < n) std::nth_element(rows.begin(), end, rows.end(), before);
  std::sort(rows.begin(), end, before);
  return rows.first(static_cast<std::size_t>(kept));
}

/// As above, by value: allocates n row numbers.
template <real_vector Losses>
std::vector<index_t> small_loss_selection(const Losses& losses, double rate) {
  std::vector<index_t> rows(static_cast<std::size_t>(view(losses).extent(0)));
  rows.resize(small_loss_selection(losses, rate, std::span<index_t>(rows)).size());
  return rows;
}

}  // namespace weakly::inline v0
