// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>
#include <weakly/core/workspace.hpp>
#include <weakly/loss/detail/contrastive_sweep.hpp>
#include <weakly/loss/row_loss.hpp>

#include <cstddef>
#include <limits>
#include <string_view>
#include <type_traits>

namespace weakly::inline v0 {

struct robust_contrastive_options {
  double rho;  ///< radius of the divergence; above the log of the number of negatives, every temperature wants to fall
  contrastive_pairs pairs = contrastive_pairs::diagonal;
};

/// Bytes of workspace for n anchors in each direction.
template <class T>
constexpr std::size_t robust_contrastive_scratch(index_t n) {
  return detail::contrastive_scratch<T>(n);
}

namespace detail {

template <class T, class X>
row_source<T> temperature_source(std::string_view function, const X& tau, index_t n) {
  if constexpr (std::is_same_v<X, discard_output>) {
    return {};
  } else {
    const auto v = view(tau);
    require_extent(function, v, 0, n);
    for (index_t i = 0; i < n; ++i) {
      const T t = static_cast<T>(static_cast<double>(v(i)));  // as it is computed with
      if (!(t > 0 && t <= std::numeric_limits<T>::max()))
        fail<value_error>(function, ": temperature ", static_cast<double>(v(i)), " of anchor ", i,
                          "; temperatures are positive and finite in the arithmetic of the similarities");
    }
    return row_source<T>(as_column(v));
  }
}

template <class T>
struct exact_anchors {
  row_source<T> tau;
  row_sink<T> grad_tau;
  double rho, share;

  T temperature(index_t i) const { return tau.at(i, 0); }
  contrastive_anchor operator()(index_t i, double t, double value, double kl) const {
    const auto slope = static_cast<T>((rho - kl) * share);
    if (!grad_tau.empty()) grad_tau.put_rows(i, 1, &slope);
    return {value + t * rho, 1};
  }
};

}  // namespace detail

/// Temperatures of the anchors of one direction, or `discard` where the direction has no anchors.
template <class X>
concept contrastive_temperatures = std::is_same_v<X, discard_output> || real_vector<X>;

/// Robust global contrastive loss: contrastive learning in which each anchor has a temperature of its own, found by the
/// same minimisation as the model.
///
///     h(i, j) = sim(i, j) - sim(i, positive of i)
///     F(i; tau) = tau log( mean over negatives j of exp(h(i, j) / tau) ) + tau rho
///     loss = 1/n (sum over rows i of F(i; tau_rows(i)) + sum over columns i of F(i; tau_columns(i)))
///
/// sim          n x n  finite similarities; pairs::diagonal: row i and column i belong together, all others are
///                     negatives; pairs::two_views: both views of n/2 inputs stacked, i and i + n/2 belong together and
///                     (i, i) is nobody's
/// tau_rows     n      positive temperatures; `discard`: rows are no anchors
/// tau_columns  n      the same of the columns, whose h is taken along the column
/// scratch             robust_contrastive_scratch<float or double>(n) bytes
/// grad         n x n  or discard: d loss / d sim; may be the storage of `sim`
/// grad_tau_*   n      or discard: d loss / d tau = (rho - KL of the weights of the negatives from uniform) / n
///
/// Returns the loss. A NaN or +inf similarity, or -inf of a positive, makes its anchors NaN; a negative of -inf weighs
/// nothing. n = 0 gives zero. Throws shape_error,
/// option_error, workspace_error, and value_error for a temperature. One sweep over the matrix for the columns, one for
/// the rows and the gradient; O(n^2), allocates nothing. Same bits for every executor and layout.
/// Source: Qiu et al., arXiv 2305.11965, eq. 6. It is LDR-KL (ldr_kl.hpp) of the negatives plus tau rho.
template <executor Exec, score_tensor Similarity, contrastive_temperatures RowTau, contrastive_temperatures ColumnTau,
          loss_output Grad, loss_output RowGrad, loss_output ColumnGrad>
double robust_contrastive(Exec&& ex, const Similarity& sim, const RowTau& tau_rows, const ColumnTau& tau_columns,
                          workspace& scratch, Grad&& grad, RowGrad&& grad_tau_rows, ColumnGrad&& grad_tau_columns,
                          const robust_contrastive_options& options) {
  using T = arithmetic_t<typename detail::input_view_t<Similarity>::value_type>;
  const auto s = as_rows(view(sim));
  const index_t n = s.extent(0);
  detail::require_pairs("robust_contrastive", n, s.extent(1), options.pairs);
  if (!(options.rho >= 0))
    detail::fail<option_error>("robust_contrastive: rho is ", options.rho, "; it must be zero or more");

  const double share = 1 / double(n);
  const detail::exact_anchors<T> rows{detail::temperature_source<T>("robust_contrastive: tau_rows", tau_rows, n),
                                      detail::value_sink<T>("robust_contrastive", "grad_tau_rows", grad_tau_rows, n),
                                      options.rho, share};
  const detail::exact_anchors<T> columns{
      detail::temperature_source<T>("robust_contrastive: tau_columns", tau_columns, n),
      detail::value_sink<T>("robust_contrastive", "grad_tau_columns", grad_tau_columns, n), options.rho, share};
  detail::contrastive_sweep<T> sweep(detail::row_source<T>(s),
                                     detail::gradient_sink<T>("robust_contrastive", grad, n, n), n, options.pairs);
  return sweep.run("robust_contrastive: scratch", ex, scratch, rows.tau.empty() ? nullptr : &rows,
                   columns.tau.empty() ? nullptr : &columns);
}
template <score_tensor Similarity, contrastive_temperatures RowTau, contrastive_temperatures ColumnTau,
          loss_output Grad, loss_output RowGrad, loss_output ColumnGrad>
double robust_contrastive(const Similarity& sim, const RowTau& tau_rows, const ColumnTau& tau_columns,
                          workspace& scratch, Grad&& grad, RowGrad&& grad_tau_rows, ColumnGrad&& grad_tau_columns,
                          const robust_contrastive_options& options) {
  return robust_contrastive(seq, sim, tau_rows, tau_columns, scratch, grad, grad_tau_rows, grad_tau_columns, options);
}

}  // namespace weakly::inline v0
