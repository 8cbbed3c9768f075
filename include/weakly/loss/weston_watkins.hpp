// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/executor.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>
#include <weakly/loss/detail/delta_loss.hpp>
#include <weakly/loss/loss_margins.hpp>
#include <weakly/loss/row_loss.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace weakly::inline v0 {

struct weston_watkins_options {
  loss_margins margin = 1;  ///< usually one number (loss_margins.hpp); the label's own entry is not used
  bool mean = false;        ///< divide by k, as several toolkits do
};

namespace detail {

template <class T>
T weston_watkins_row(const delta_row<T>& row, const weston_watkins_options& options) {
  using batch = simd::batch<T>;
  const T nan = std::numeric_limits<T>::quiet_NaN();
  const double scale = options.mean ? 1 / double(row.classes()) : 1;
  double check = 0, total = 0, violations = 0;
  row.read([&](index_t column, index_t count, T* d) {
    check += double(simd::sum(static_cast<const T*>(d), count));
    if (const index_t at = row.label_in(column, count); at >= 0) d[at] = 0;
    map_batches(static_cast<const T*>(d), count, d, [](batch x) { return simd::max(x, T(0)); });
    total += double(simd::sum(static_cast<const T*>(d), count));
    map_batches(static_cast<const T*>(d), count, d, [](batch x) { return simd::select(x > T(0), batch(T(1)), T(0)); });
    violations += double(simd::sum(static_cast<const T*>(d), count));
  });
  const bool bad = std::isnan(check) || total == std::numeric_limits<double>::infinity();
  const batch one = bad ? nan : static_cast<T>(scale), none = bad ? nan : T(0);
  row.write([&](index_t column, index_t count, T* g) {
    map_batches(static_cast<const T*>(g), count, g, [&](batch x) { return simd::select(x > T(0), one, none); });
    if (const index_t at = row.label_in(column, count); at >= 0)
      g[at] = bad ? nan : static_cast<T>(-scale * violations);
  });
  return bad ? nan : static_cast<T>(scale * total);
}

}  // namespace detail

/// The multi-class hinge of Weston and Watkins: every class that violates its margin counts.
///
///     loss(i)    = sum over j != y of max(0, delta(j)),   delta(j) = (f(j) - f(y)) + c(j)
///     grad(i, j) = 1[delta(j) > 0] for j != y, minus their number for y
///
/// Both divided by k with `mean`. Arguments, special values and errors as in ldr_kl. Zero for k = 1, gradient zero at a
/// kink. O(n k), allocates nothing. Same bits for every executor, layout and batch. Weston, Watkins, ESANN 1999.
template <executor Exec, score_tensor Logits, loss_output Loss, loss_output Grad>
void weston_watkins(Exec&& ex, const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad,
                    const weston_watkins_options& options = {}) {
  detail::delta_loss(
      "weston_watkins", ex, logits, labels, options.margin, loss, grad,
      [&]<class T>(const detail::delta_row<T>& row, index_t) { return detail::weston_watkins_row(row, options); });
}
template <score_tensor Logits, loss_output Loss, loss_output Grad>
void weston_watkins(const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad,
                    const weston_watkins_options& options = {}) {
  weston_watkins(seq, logits, labels, loss, grad, options);
}

}  // namespace weakly::inline v0
