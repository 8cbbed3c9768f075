// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/view.hpp>
#include <weakly/loss/detail/aldr_root.hpp>
#include <weakly/loss/detail/kl_row.hpp>
#include <weakly/loss/loss_margins.hpp>
#include <weakly/loss/row_loss.hpp>

#include <cmath>
#include <cstdint>
#include <type_traits>

namespace weakly::inline v0 {

struct aldr_kl_step_options {
  double lambda0 = 1;        ///< positive; what the state starts from
  double alpha = 2;          ///< greater than one; the penalty is alpha log k / lambda0
  loss_margins margin = 0;   ///< usually one number (loss_margins.hpp)
  double smoothing = 0;      ///< added to every p before its KL; the authors' code has 1e-5
  bool state_margin = true;  ///< whether the KL sees the margin; in the authors' code it does not
};

namespace detail {

/// KL(p || uniform), where p is what the row's gradient is made of, plus `smoothing` and normalised again.
template <class T>
double smoothed_kl(const delta_row<T>& row, const kl_row<T>& of, double smoothing) {
  if (smoothing == 0) return double(of.kl);
  const double k = double(row.classes());
  double sum = 0;
  row.read([&](index_t, index_t count, T* d) {
    of.probabilities(count, d);
    for (index_t j = 0; j < count; ++j) {
      const double p = (double(d[j]) + smoothing) / (1 + k * smoothing);
      sum += p * std::log(p * k);
    }
  });
  return sum;
}

/// The rows of a batch in the caller's state: which entry is whose, none of them twice.
template <class State, class Index>
struct indexed_state {
  vector_view<State> state;
  vector_view<const Index> index;

  index_t size() const { return index.extent(0); }
  State& operator[](index_t i) const { return state(static_cast<index_t>(index(i))); }

  /// Throws value_error for an index out of range or given twice, and for an entry that is not positive and finite.
  void require(std::string_view function) const {
    const index_t n = size();
    index_t seen = 0;
    for (; seen < n; ++seen) {  // entries are positive: a sign marks what was seen, so that no memory is needed
      const index_t at = static_cast<index_t>(index(seen));
      if (!(at >= 0 && at < state.extent(0)) || !usable(state(at))) break;
      state(at) = negated(state(at));
    }
    for (index_t i = 0; i < seen; ++i) (*this)[i] = negated((*this)[i]);
    if (seen == n) return;
    const index_t at = static_cast<index_t>(index(seen));
    if (!(at >= 0 && at < state.extent(0)))
      fail<value_error>(function, ": index ", at, " of row ", seen, " is outside [0, ", state.extent(0), ")");
    if (!usable(state(at)))
      fail<value_error>(function, ": the lambda of example ", at, " is ",
                        double(static_cast<arithmetic_t<State>>(state(at))),
                        "; it must be positive and finite, start from lambda0");
    fail<value_error>(function, ": example ", at, " of row ", seen, " occurs twice in the batch");
  }

 private:
  static bool usable(State x) {
    const double v = double(static_cast<arithmetic_t<State>>(x));
    return v > 0 && std::isfinite(v);
  }
  static State negated(State x) { return static_cast<State>(-static_cast<arithmetic_t<State>>(x)); }
};

}  // namespace detail

/// ALDR-KL with one step of lambda a visit: each example keeps its lambda in memory of the caller.
///
///     lambda_new(i) = lambda0 (1 - KL(p || uniform) / (alpha log k)),   p = softmax(delta / state(index(i)))
///     loss(i)       = psi(lambda_new) - (a / 2) (lambda_new - lambda0)^2,   a = alpha log k / lambda0
///     grad(i, j)    = softmax(delta / lambda_new)(j) - 1[j = y],   lambda_new held
///     state(index(i)) becomes lambda_new(i)
///
/// logits, labels, loss, grad  as in aldr_kl
/// index   n integers in [0, size of the state), which example each row is; none twice
/// state   one positive number for each example, lambda0 at first; any real type
///
/// The gradient is that of no function of the logits until lambda stands still; with the logits held, the state moves
/// monotonically to a root of aldr_kl: to the greatest from lambda0. The state of a row that is left out or comes out
/// as NaN stays as it is.
///
/// Throws value_error for an index out of range or given twice and for a state that is not positive and finite, all
/// before anything is written; else as aldr_kl. O(n k), allocates nothing. Same bits for every executor, layout and
/// batch. Zhu, Ying, Yang, ICML 2023, algorithm 1.
template <executor Exec, score_tensor Logits, label_vector Index, class State, loss_output Loss, loss_output Grad>
  requires(writable_vector<State>&& loss_output<State>)
void aldr_kl_step(Exec&& ex, const Logits& logits, const loss_labels& labels, const Index& index, State&& state,
                  Loss&& loss, Grad&& grad, const aldr_kl_step_options& options = {}) {
  using T = arithmetic_t<typename detail::input_view_t<Logits>::value_type>;
  using Stored = typename view_t<State>::value_type;
  using Number = typename detail::input_view_t<Index>::value_type;
  const auto rows = as_rows(view(logits));
  const index_t n = rows.extent(0), k = rows.extent(1);
  const detail::aldr_problem problem =
      detail::require_aldr<T>("aldr_kl_step", options.lambda0, options.alpha, options.margin, n, k);
  detail::softmax_scores<T> scores;
  scores.logits = detail::row_source<T>(rows);
  detail::softmax_scores<T> bare = scores;
  options.margin.give_to(scores);
  if (options.state_margin) bare = scores;
  if (!(options.smoothing >= 0 && std::isfinite(options.smoothing)))
    detail::fail<option_error>("aldr_kl_step: smoothing is ", options.smoothing,
                               "; it must be finite and not negative");
  const detail::indexed_state<Stored, Number> lambdas{view(state), view(index)};
  detail::require_extent("aldr_kl_step: index", lambdas.index, 0, n);
  labels.require("aldr_kl_step", n, k);
  lambdas.require("aldr_kl_step");
  detail::run_row_loss(
      "aldr_kl_step", ex, scores.logits, n, labels, detail::value_sink<T>("aldr_kl_step", "loss", loss, n),
      detail::gradient_sink<T>("aldr_kl_step", grad, n, k), [&](const detail::row_blocks<T>& row, index_t label) {
        const detail::delta_row<T> delta(scores, row, label);
        Stored& stored = lambdas[row.row()];
        const double before = double(static_cast<arithmetic_t<Stored>>(stored));
        const detail::delta_row<T> seen(bare, row, label);
        const detail::kl_row<T> old(seen, detail::rounded_lambda<T>(before));
        const double kl = detail::smoothed_kl(seen, old, options.smoothing);
        const double away = -kl / problem.weight();  // lambda_new / lambda0 - 1
        const double lambda = problem.lambda0 * (1 + away);
        const detail::kl_row<T> result(delta, detail::rounded_lambda<T>(lambda));
        result.write_gradient(delta);
        if (!std::isnan(lambda)) stored = static_cast<Stored>(static_cast<arithmetic_t<Stored>>(lambda));
        return static_cast<T>(double(result.value) - problem.weight() / 2 * problem.lambda0 * away * away);
      });
}
template <score_tensor Logits, label_vector Index, class State, loss_output Loss, loss_output Grad>
  requires(writable_vector<State>&& loss_output<State>)
void aldr_kl_step(const Logits& logits, const loss_labels& labels, const Index& index, State&& state, Loss&& loss,
                  Grad&& grad, const aldr_kl_step_options& options = {}) {
  aldr_kl_step(seq, logits, labels, index, state, loss, grad, options);
}

}  // namespace weakly::inline v0
