// SPDX-License-Identifier: MIT
#pragma once

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
struct soft_cross_entropy_rule {
  row_source<T> targets;
  T temperature;

  T operator()(const row_softmax<T>& row) const {
    using batch = simd::batch<T>;
    constexpr std::size_t block = std::size_t(row_softmax<T>::block);
    const T top = row.score(row.label());  // the first of the greatest: log of the sum is log1p of the others
    T to_others = 0, to_top = 0, distance = 0;
    row.read([&](index_t column, const T*, index_t count) {
      T target_block[block], score_block[block];
      const T* const t = targets.part(row.row(), column, count, target_block);
      const T* const x = row.scores(column, count, score_block);
      to_others += sum_batches(t, count, [](batch w) { return w; });
      if (const index_t at = row.label_in(column, count); at >= 0) {
        to_top = t[at];
        to_others -= to_top;
      }
      distance += sum_batches(x, t, count, [&, highest = batch(top)](batch v, batch w) {
        return simd::select(w == batch(T(0)), T(0), w * (highest - v));
      });
    });
    const T total = to_others + to_top;
    const T slope = T(1) / temperature;
    row.write([&](index_t column, const T* e, index_t count, T* g) {
      T target_block[block];
      const T* const t = targets.part(row.row(), column, count, target_block);
      map_batches(e, t, count, g, [s = batch(total * row.inverse() * slope), c = batch(slope)](batch v, batch w) {
        return s * v - w * c;
      });
      if (const index_t at = row.label_in(column, count); at >= 0)
        g[at] = (to_others * row.p() - to_top * row.q()) * slope;
    });
    return total * row.cross_entropy() + distance / temperature;
  }
};

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
  detail::require_same_shape("soft_cross_entropy: logits and targets", rows, wanted);
  const detail::soft_cross_entropy_rule<T> rule{detail::row_source<T>(wanted), static_cast<T>(options.temperature)};
  detail::whole_row_loss(name, ex, logits, nullptr, loss, grad, rule, options.temperature);
}
template <score_tensor Logits, score_tensor Targets, loss_output Loss, loss_output Grad>
void soft_cross_entropy(const Logits& logits, const Targets& targets, Loss&& loss, Grad&& grad,
                        const soft_cross_entropy_options& options = {}) {
  soft_cross_entropy(seq, logits, targets, loss, grad, options);
}

}  // namespace weakly::inline v0
