// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/executor.hpp>
#include <weakly/loss/detail/row_softmax.hpp>
#include <weakly/loss/row_loss.hpp>

namespace weakly::inline v0 {

namespace detail {

template <class T>
T brier_row(const row_blocks<T>& row, index_t label) {
  using batch = simd::batch<T>;
  row_softmax<T> softmax(row, T(1));
  softmax.keep_apart(label);
  T squares = 0;
  softmax.add_up([&](index_t, const T*, const T* e, index_t count) {
    squares += sum_batches(e, count, [](batch v) { return v * v; });
  });
  squares *= softmax.inverse() * softmax.inverse();
  const T p = softmax.p(), q = softmax.q();
  const T mean = 2 * (squares - p * q);  // of the gradient with respect to p
  row.write([&](index_t column, const T* x, index_t count, T* g) {
    softmax.probabilities(x, count, g);
    transform_batches<T>(g, count, g, [m = batch(mean)](batch v) { return v * (v + v - m); });
    if (label >= column && label < column + count) g[label - column] = p * (-2 * q - mean);
  });
  return q * q + squares;
}

}  // namespace detail

/// Brier score of the softmax, the squared distance from the one-hot label.
///
///     loss(i) = sum over j of ([j = label(i)] - p(j))^2,   p = softmax(logits(i))
///
/// Between 0 and 2; not divided by k. Arguments, special values and errors as softmax_loss.
/// Brier, Monthly Weather Review 78 (1950).
template <executor Exec, score_tensor Logits, loss_output Loss, loss_output Grad>
void brier(Exec&& ex, const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad) {
  using T = detail::loss_number<Logits>;
  detail::whole_row_loss("brier", ex, logits, labels, loss, grad,
                         [](const detail::row_blocks<T>& row, index_t label) { return detail::brier_row(row, label); });
}
template <score_tensor Logits, loss_output Loss, loss_output Grad>
void brier(const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad) {
  brier(seq, logits, labels, loss, grad);
}

}  // namespace weakly::inline v0
