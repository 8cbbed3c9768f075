// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>
#include <weakly/loss/detail/formula_loss.hpp>
#include <weakly/loss/detail/row_softmax.hpp>
#include <weakly/loss/row_loss.hpp>

#include <cmath>

namespace weakly::inline v0 {

struct soft_cross_entropy_options {
  double temperature = 1;  ///< positive; the softmax is that of logits / temperature
};

namespace detail {

template <class T>
T soft_cross_entropy_row(const row_blocks<T>& row, const row_source<T>& targets, T temperature) {
  using batch = simd::batch<T>;
  row_softmax<T> softmax(row, temperature);
  const index_t apart = softmax.apart();  // the first of the greatest: log of the sum is log1p of the others
  T to_others = 0, to_apart = 0, distance = 0;
  softmax.add_up([&](index_t column, const T* x, const T*, index_t count) {
    T buffer[std::size_t(row_blocks<T>::block)];
    const T* const t = targets.part(row.row(), column, count, buffer);
    to_others += simd::sum(t, count);
    if (apart >= column && apart < column + count) {
      to_apart = t[apart - column];
      to_others -= to_apart;
    }
    distance += sum_batches(x, t, count, [&, top = batch(softmax.top())](batch v, batch w) {
      return simd::select(w == batch(T(0)), T(0), w * (top - v));
    });
  });
  const T total = to_others + to_apart;
  row.write([&](index_t column, const T* x, index_t count, T* g) {
    T buffer[std::size_t(row_blocks<T>::block)];
    const T* const t = targets.part(row.row(), column, count, buffer);
    softmax.probabilities(x, count, g);
    transform_batches<T>(g, t, count, g,
                         [s = batch(total), c = batch(temperature)](batch p, batch w) { return (s * p - w) / c; });
    if (apart >= column && apart < column + count)
      g[apart - column] = (to_others * softmax.p() - to_apart * softmax.q()) / temperature;
  });
  return total * softmax.cross_entropy() + distance / temperature;
}

}  // namespace detail

/// Cross-entropy against targets that are numbers for each class.
///
///     p = softmax(logits(i) / temperature)
///     loss(i) = -sum over j of targets(i, j) log p(j)
///     grad(i, j) = (p(j) sum over m of targets(i, m) - targets(i, j)) / temperature
///
/// logits   [..., k]  as in softmax_loss
/// targets  [..., k]  any finite numbers; rows need not sum to one, so weights of rows and classes may be multiplied
///                    into them. A class of target zero may have a score of -inf.
/// loss     [...]     or discard
/// grad     [..., k]  or discard; may be the storage of `logits` or of `targets`
///
/// A NaN in a row of logits or targets makes that row NaN, and no other. Throws shape_error where shapes disagree and
/// option_error unless temperature is positive and finite. O(n k), allocates nothing. Same bits for every executor and
/// layout.
template <executor Exec, score_tensor Logits, score_tensor Targets, loss_output Loss, loss_output Grad>
void soft_cross_entropy(Exec&& ex, const Logits& logits, const Targets& targets, Loss&& loss, Grad&& grad,
                        const soft_cross_entropy_options& options = {}) {
  using T = detail::loss_number<Logits>;
  constexpr auto name = "soft_cross_entropy";
  detail::require_option(name, "temperature", options.temperature,
                         options.temperature > 0 && std::isfinite(options.temperature), "a positive finite number");
  const auto rows = as_rows(view(logits));
  const auto wanted = as_rows(view(targets));
  const index_t n = rows.extent(0), k = rows.extent(1);
  detail::require_same_shape("soft_cross_entropy: logits and targets", rows, wanted);
  const detail::row_sink<T> values = detail::value_sink<T>(name, "loss", loss, n);
  const detail::row_sink<T> gradients = detail::gradient_sink<T>(name, grad, n, k);
  if (n == 0) return;
  if (k == 0) detail::fail<shape_error>(name, ": logits have ", n, " rows of 0 classes; there must be at least one");
  const detail::row_source<T> from(rows), to(wanted);
  const T temperature = static_cast<T>(options.temperature);
  for_row_chunks(ex, n, k, [&](index_t first, index_t last) {
    for (index_t i = first; i < last; ++i) {
      const T value = detail::soft_cross_entropy_row(detail::row_blocks<T>(from, gradients, i, T(1)), to, temperature);
      if (!values.empty()) values.put_rows(i, 1, &value);
    }
  });
}
template <score_tensor Logits, score_tensor Targets, loss_output Loss, loss_output Grad>
void soft_cross_entropy(const Logits& logits, const Targets& targets, Loss&& loss, Grad&& grad,
                        const soft_cross_entropy_options& options = {}) {
  soft_cross_entropy(seq, logits, targets, loss, grad, options);
}

}  // namespace weakly::inline v0
