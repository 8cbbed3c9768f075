// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/executor.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>
#include <weakly/loss/detail/delta_loss.hpp>
#include <weakly/loss/ldr_topk.hpp>
#include <weakly/loss/loss_margins.hpp>
#include <weakly/loss/row_loss.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace weakly::inline v0 {

struct top_k_svm_options {
  index_t top = 5;          ///< in [1, k)
  loss_margins margin = 1;  ///< usually one number (loss_margins.hpp)
  bool hinge_each = false;  ///< mean of the hinges, max(0, .) of each of the greatest, instead of the hinge of the mean
};

namespace detail {

template <class T>
T top_k_svm_row(const delta_row<T>& row, const top_k_svm_options& options) {
  using batch = simd::batch<T>;
  const double top = double(options.top);
  double total = 0, violations = 0;
  if (options.hinge_each)
    row.read([&](index_t, index_t count, T* d) {
      map_batches(static_cast<const T*>(d), count, d, [](batch x) { return simd::max(x, T(0)); });
      total += double(simd::sum(static_cast<const T*>(d), count));
      map_batches(static_cast<const T*>(d), count, d,
                  [](batch x) { return simd::select(x > T(0), batch(T(1)), T(0)); });
      violations += double(simd::sum(static_cast<const T*>(d), count));
    });
  const capped_kl_row<T> greatest(row, T(0), options.top);
  if (options.hinge_each && violations < top && !std::isnan(greatest.value)) {
    const batch share = static_cast<T>(1 / top);
    row.write([&](index_t column, index_t count, T* g) {
      const index_t at = row.label_in(column, count);
      const T own = at >= 0 && g[at] > T(0) ? T(1) : T(0);
      map_batches(static_cast<const T*>(g), count, g, [&](batch x) { return simd::select(x > T(0), share, T(0)); });
      if (at >= 0) g[at] = static_cast<T>((double(own) - violations) / top);
    });
    return static_cast<T>(total / top);
  }
  if (greatest.value <= T(0)) {
    row.write([](index_t, index_t count, T* g) { std::fill_n(g, count, T(0)); });
    return 0;
  }
  greatest.write_gradient(row);
  return greatest.value;
}

}  // namespace detail

/// The top-k hinge: nothing is lost while the label is among the `top` greatest by a margin.
///
///     loss(i)    = max(0, mean of the `top` greatest delta(j)),   delta(j) = (f(j) - f(y)) + c(j), usually 0 for the
///                  label
///     grad(i, j) = p(j) - 1[j = y] where the loss is positive, else 0; p = 1/top for those that count
///
/// With hinge_each, loss(i) = 1/top sum of max(0, delta(j)) over the `top` greatest, and only positive ones count.
/// Those that tie for the last place share it. top = 1 is crammer_singer but for ties.
///
/// Arguments, special values, errors and cost as in ldr_topk of lambda zero. Lapin, Hein, Schiele, NIPS 2015: top-k
/// hinge alpha and, with hinge_each, beta.
template <executor Exec, score_tensor Logits, loss_output Loss, loss_output Grad>
void top_k_svm(Exec&& ex, const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad,
               const top_k_svm_options& options = {}) {
  detail::require_top("top_k_svm", options.top, as_rows(view(logits)).extent(1));
  detail::delta_loss(
      "top_k_svm", ex, logits, labels, options.margin, loss, grad,
      [&]<class T>(const detail::delta_row<T>& row, index_t) { return detail::top_k_svm_row(row, options); });
}
template <score_tensor Logits, loss_output Loss, loss_output Grad>
void top_k_svm(const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad,
               const top_k_svm_options& options = {}) {
  top_k_svm(seq, logits, labels, loss, grad, options);
}

}  // namespace weakly::inline v0
