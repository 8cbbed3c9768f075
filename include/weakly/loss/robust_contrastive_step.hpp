// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/math.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>
#include <weakly/core/workspace.hpp>
#include <weakly/loss/detail/contrastive_sweep.hpp>
#include <weakly/loss/row_loss.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace weakly::inline v0 {

/// What is remembered of the anchors of one direction of a batch: n elements each, in the order of the batch.
template <class T>
struct contrastive_state {
  vector_view<T> log_average;  ///< log of the moving average of mean exp(h / tau); -inf before the first visit
  vector_view<T> momentum;     ///< of the temperature; zero before the first visit
  vector_view<T> temperature;  ///< positive
};

struct robust_contrastive_step_options {
  double gamma = 0.9;  ///< weight of the new term in the moving average, in (0, 1]
  double beta = 0.9;   ///< weight of the new slope in the momentum, in [0, 1]
  double eta = 0.01;   ///< step of the temperature
  double rho = 0.3;
  double min_temperature = 0.05;
  double max_temperature = 0.7;
  double clip = std::numeric_limits<double>::infinity();  ///< bound on the slope that enters the momentum
  contrastive_pairs pairs = contrastive_pairs::diagonal;
};

/// Bytes of workspace for n anchors in each direction.
template <class T>
constexpr std::size_t robust_contrastive_step_scratch(index_t n) {
  return detail::contrastive_scratch<T>(n);
}

namespace detail {

template <class T, class State>
struct stateful_anchors {
  contrastive_state<State> state;
  const robust_contrastive_step_options* options;

  T temperature(index_t i) const { return static_cast<T>(state.temperature(i)); }

  contrastive_anchor operator()(index_t i, double tau, double value, double kl) const {
    const robust_contrastive_step_options& o = *options;
    const double log_g = value / tau, old = static_cast<double>(state.log_average(i));
    const double log_u = old == -std::numeric_limits<double>::infinity()
                             ? log_g
                             : math::log_add_exp(std::log1p(-o.gamma) + old, std::log(o.gamma) + log_g);
    const double ratio = std::exp(log_g - log_u);
    const double mean = kl + log_g;  // of h / tau under the weights
    const double slope = log_u + o.rho - ratio * mean;
    const double v =
        (1 - o.beta) * static_cast<double>(state.momentum(i)) + o.beta * std::clamp(slope, -o.clip, o.clip);
    if (v - v == 0) {  // a similarity that is no number must not end up in the state
      state.log_average(i) = static_cast<State>(log_u);
      state.momentum(i) = static_cast<State>(v);
      state.temperature(i) = static_cast<State>(std::clamp(tau - o.eta * v, o.min_temperature, o.max_temperature));
    }
    return {ratio * tau * mean, ratio};
  }
};

inline void require_options(const robust_contrastive_step_options& o) {
  constexpr const char* name = "robust_contrastive_step: ";
  if (!(o.gamma > 0 && o.gamma <= 1)) fail<option_error>(name, "gamma is ", o.gamma, "; it must lie in (0, 1]");
  if (!(o.beta >= 0 && o.beta <= 1)) fail<option_error>(name, "beta is ", o.beta, "; it must lie in [0, 1]");
  if (!(o.eta >= 0)) fail<option_error>(name, "eta is ", o.eta, "; it must be zero or more");
  if (!(o.rho >= 0)) fail<option_error>(name, "rho is ", o.rho, "; it must be zero or more");
  if (!(o.clip >= 0)) fail<option_error>(name, "clip is ", o.clip, "; it must be zero or more");
  if (!(o.min_temperature > 0 && o.min_temperature <= o.max_temperature &&
        o.max_temperature <= std::numeric_limits<double>::max()))
    fail<option_error>(name, "temperatures from ", o.min_temperature, " to ", o.max_temperature,
                       "; the least must be positive and not above the greatest");
}

template <class State>
void require_state(const char* what, const contrastive_state<State>& s, index_t n) {
  require_extent(what, s.log_average, 0, n);
  require_extent(what, s.momentum, 0, n);
  require_extent(what, s.temperature, 0, n);
  for (index_t i = 0; i < n; ++i) {
    const auto t = static_cast<double>(s.temperature(i));
    if (!(t > 0 && t <= std::numeric_limits<double>::max()))
      fail<value_error>(what, ": temperature ", t, " of anchor ", i, "; temperatures are positive and finite");
  }
}

template <executor Exec, score_tensor Similarity, class State, loss_output Grad>
double contrastive_step(Exec& ex, const Similarity& sim, const contrastive_state<State>& rows,
                        const contrastive_state<State>* columns, workspace& scratch, Grad& grad,
                        const robust_contrastive_step_options& options) {
  using T = arithmetic_t<typename input_view_t<Similarity>::value_type>;
  const auto s = as_rows(view(sim));
  const index_t n = s.extent(0);
  require_pairs("robust_contrastive_step", n, s.extent(1), options.pairs);
  require_options(options);
  require_state("robust_contrastive_step: rows", rows, n);
  if (columns != nullptr) require_state("robust_contrastive_step: columns", *columns, n);
  const stateful_anchors<T, State> of_rows{rows, &options};
  const stateful_anchors<T, State> of_columns{columns == nullptr ? contrastive_state<State>{} : *columns, &options};
  contrastive_sweep<T> sweep(row_source<T>(s), gradient_sink<T>("robust_contrastive_step", grad, n, n), n,
                             options.pairs);
  return sweep.run("robust_contrastive_step: scratch", ex, scratch, &of_rows,
                   columns == nullptr ? nullptr : &of_columns);
}
}  // namespace detail

/// One stochastic step of robust_contrastive: mean exp is a moving average over visits, so that small batches do, and
/// temperatures move by momentum. For each anchor, with m negatives and h as there:
///
///     log g = log mean exp(h / tau);   u <- g at the first visit, else (1 - gamma) u + gamma g
///     w(j) = exp(h(j) / tau) / u;      its share of the loss is mean of w h, with w constant, divided by n
///     slope = log u + rho - mean of w h / tau
///     v <- (1 - beta) v + beta clip(slope);   tau <- tau - eta v, kept in [min_temperature, max_temperature]
///
/// sim      n x n  as in robust_contrastive
/// rows, columns   states of the anchors of each direction, updated; without `columns`, rows alone are anchors
/// scratch         robust_contrastive_step_scratch<float or double>(n) bytes
/// grad     n x n  or discard; w(j) / (m n) at negatives and minus their sum at the positive; may be the
///                 storage of `sim`
///
/// Returns the loss, whose derivative by the temperature is not the slope: temperatures move here. An anchor
/// whose loss would be NaN keeps its state. Throws shape_error, option_error, workspace_error, and value_error
/// for a temperature. O(n^2), allocates nothing. Same bits for every executor and layout. Source: Qiu et al., arXiv
/// 2305.11965, algorithm 1.
template <executor Exec, score_tensor Similarity, class State, loss_output Grad>
double robust_contrastive_step(Exec&& ex, const Similarity& sim, const contrastive_state<State>& rows,
                               const contrastive_state<State>& columns, workspace& scratch, Grad&& grad,
                               const robust_contrastive_step_options& options = {}) {
  return detail::contrastive_step(ex, sim, rows, &columns, scratch, grad, options);
}
template <executor Exec, score_tensor Similarity, class State, loss_output Grad>
double robust_contrastive_step(Exec&& ex, const Similarity& sim, const contrastive_state<State>& rows,
                               workspace& scratch, Grad&& grad, const robust_contrastive_step_options& options = {}) {
  const contrastive_state<State>* const no_columns = nullptr;
  return detail::contrastive_step(ex, sim, rows, no_columns, scratch, grad, options);
}
template <score_tensor Similarity, class State, loss_output Grad>
double robust_contrastive_step(const Similarity& sim, const contrastive_state<State>& rows,
                               const contrastive_state<State>& columns, workspace& scratch, Grad&& grad,
                               const robust_contrastive_step_options& options = {}) {
  return robust_contrastive_step(seq, sim, rows, columns, scratch, grad, options);
}
template <score_tensor Similarity, class State, loss_output Grad>
double robust_contrastive_step(const Similarity& sim, const contrastive_state<State>& rows, workspace& scratch,
                               Grad&& grad, const robust_contrastive_step_options& options = {}) {
  return robust_contrastive_step(seq, sim, rows, scratch, grad, options);
}

}  // namespace weakly::inline v0
