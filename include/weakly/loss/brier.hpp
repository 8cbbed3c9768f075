// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/executor.hpp>
#include <weakly/loss/detail/row_softmax.hpp>
#include <weakly/loss/row_loss.hpp>

namespace weakly::inline v0 {

namespace detail {

struct brier_rule {
  template <class T>
  T operator()(const row_softmax<T>& row) const {
    using batch = simd::batch<T>;
    const batch inverse = row.inverse();
    T squares = 0;
    row.read([&](index_t, const T* e, index_t count) {
      squares += sum_batches(e, count, [&](batch v) { return (v * inverse) * (v * inverse); });
    });
    const T p = row.p(), q = row.q();
    const T mean = 2 * (squares - p * q);  // of the gradient with respect to p
    row.write([&](index_t column, const T* e, index_t count, T* g) {
      map_batches(e, count, g, [&, m = batch(mean)](batch v) {
        const batch prob = v * inverse;
        return prob * (prob + prob - m);
      });
      if (const index_t at = row.label_in(column, count); at >= 0) g[at] = p * (-2 * q - mean);
    });
    return q * q + squares;
  }
};

}  // namespace detail

/// Brier score of the softmax, the squared distance from the one-hot label.
///
///     loss(i) = sum over j of ([j = label(i)] - p(j))^2,   p = softmax(logits(i))
///
/// Between 0 and 2; not divided by k. Arguments, special values and errors as softmax_loss.
/// Brier, Monthly Weather Review 78 (1950).
template <executor Exec, score_tensor Logits, loss_output Loss, loss_output Grad>
void brier(Exec&& ex, const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad) {
  detail::whole_row_loss("brier", ex, logits, &labels, loss, grad, detail::brier_rule{});
}
template <score_tensor Logits, loss_output Loss, loss_output Grad>
void brier(const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad) {
  brier(seq, logits, labels, loss, grad);
}

}  // namespace weakly::inline v0
