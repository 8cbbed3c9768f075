// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/executor.hpp>
#include <weakly/loss/row_loss.hpp>

namespace weakly::inline v0 {

namespace detail {

struct cross_entropy_formula {
  template <class V>
  WEAKLY_HD softmax_gradient<V> operator()(const label_softmax<V>& row) const {
    return loss_of_probability(row, row.cross_entropy, V(-1));
  }
};

}  // namespace detail

/// Cross-entropy -log softmax(logits)(label). Arguments as softmax_loss.
template <executor Exec, score_tensor Logits, loss_output Loss, loss_output Grad>
void cross_entropy(Exec&& ex, const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad) {
  softmax_loss(ex, logits, labels, loss, grad, detail::cross_entropy_formula{});
}
template <score_tensor Logits, loss_output Loss, loss_output Grad>
void cross_entropy(const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad) {
  cross_entropy(seq, logits, labels, loss, grad);
}

}  // namespace weakly::inline v0
