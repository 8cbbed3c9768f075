// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/executor.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>
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
  using T = arithmetic_t<typename detail::input_view_t<Logits>::value_type>;
  const auto rows = as_rows(view(logits));
  const index_t n = rows.extent(0), k = rows.extent(1);
  if (k > 0 && !(options.top >= 1 && options.top < k))
    detail::fail<option_error>("top_k_svm: top is ", options.top, "; it must be at least 1 and below the ", k,
                               " classes");
  options.margin.require("top_k_svm", n, k);
  detail::softmax_scores<T> scores;
  scores.logits = detail::row_source<T>(rows);
  options.margin.give_to(scores);
  detail::run_row_loss("top_k_svm", ex, scores.logits, n, labels, detail::value_sink<T>("top_k_svm", "loss", loss, n),
                       detail::gradient_sink<T>("top_k_svm", grad, n, k),
                       [&](const detail::row_blocks<T>& row, index_t label) {
                         const detail::delta_row<T> delta(scores, row, label);
                         return detail::top_k_svm_row(delta, options);
                       });
}
template <score_tensor Logits, loss_output Loss, loss_output Grad>
void top_k_svm(const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad,
               const top_k_svm_options& options = {}) {
  top_k_svm(seq, logits, labels, loss, grad, options);
}

}  // namespace weakly::inline v0
