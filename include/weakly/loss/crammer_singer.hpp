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

struct crammer_singer_options {
  loss_margins margin = 1;  ///< usually one number (loss_margins.hpp); the label's own entry is not used
};

namespace detail {

template <class T>
T crammer_singer_row(const delta_row<T>& row) {
  constexpr T nothing = -std::numeric_limits<T>::infinity();
  T top = nothing;
  index_t first = -1;
  double sum = 0;
  row.read([&](index_t column, index_t count, T* d) {
    sum += double(simd::sum(static_cast<const T*>(d), count));
    if (const index_t at = row.label_in(column, count); at >= 0) d[at] = nothing;
    const T here = simd::max(static_cast<const T*>(d), count);
    if (!(here > top)) return;
    top = here;
    first = column + (std::find(d, d + count, here) - d);
  });
  const T nan = std::numeric_limits<T>::quiet_NaN();
  const bool bad = std::isnan(sum) || top == -nothing;
  const T one = bad ? nan : top > T(0) ? T(1) : T(0);
  row.write([&](index_t column, index_t count, T* g) {
    std::fill_n(g, count, bad ? nan : T(0));
    if (first >= column && first < column + count) g[first - column] = one;
    if (const index_t at = row.label_in(column, count); at >= 0) g[at] = T(0) - one;
  });
  return bad ? nan : std::max(top, T(0));
}

}  // namespace detail

/// The multi-class hinge of Crammer and Singer.
///
///     loss(i)    = max(0, max over j != y of (f(j) - f(y)) + c(j))
///     grad(i, j) = 1[j = j*] - 1[j = y] where the loss is positive, else 0; j* the first j that attains the maximum
///
/// Arguments, special values and errors as in ldr_kl, which shares the gradient among ties where lambda is zero. Zero
/// for k = 1 and at the kink. O(n k), allocates nothing. Same bits for every executor, layout and batch. Crammer,
/// Singer, JMLR 2001.
template <executor Exec, score_tensor Logits, loss_output Loss, loss_output Grad>
void crammer_singer(Exec&& ex, const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad,
                    const crammer_singer_options& options = {}) {
  detail::delta_loss(
      "crammer_singer", ex, logits, labels, options.margin, loss, grad,
      [&]<class T>(const detail::delta_row<T>& row, index_t) { return detail::crammer_singer_row(row); });
}
template <score_tensor Logits, loss_output Loss, loss_output Grad>
void crammer_singer(const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad,
                    const crammer_singer_options& options = {}) {
  crammer_singer(seq, logits, labels, loss, grad, options);
}

}  // namespace weakly::inline v0
