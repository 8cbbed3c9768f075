// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>
#include <weakly/rate/coding_rate.hpp>
#include <weakly/rate/detail/feature_rows.hpp>
#include <weakly/rate/detail/rate_engine.hpp>
#include <weakly/rate/membership_view.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace weakly::inline v0 {

struct rate_reduction_options {
  double eps_squared = 0.5;  ///< squared distortion; what public code calls eps
  rate_unit unit = rate_unit::nats;
  bool eps_squared_grad = false;  ///< wanted where no gradient is written
};

struct rate_reduction_result {
  double rate = 0;                    ///< R, of the whole batch
  double class_rate = 0;              ///< R_c, the mean of the classes' rates
  double reduction = 0;               ///< R - R_c, without the cancellation of that difference
  double eps_squared_grad = 0;        ///< d(R - R_c) / d(eps^2); 0 where neither it nor a gradient was asked for
  std::vector<double> class_rates;    ///< 1/2 log det M_j of each class, 0 for an empty one
  std::vector<double> class_weights;  ///< w_j, the sum of the memberships of each class
};

/// Whose loss: they differ by what gam1 multiplies, and agree for gam1 = 1.
enum class rate_reduction_scaling : std::uint8_t {
  mcr2,  ///< R_c as it is (github.com/ryanchankh/mcr2)
  erase  ///< gam1 R_c (Chen et al., "ERASE", CIKM 2024)
};

struct rate_reduction_loss_options {
  double eps_squared = 0.5;
  double gam1 = 1;  ///< multiplies the matrix inside R; positive
  double gam2 = 1;  ///< multiplies R; zero or more. ERASE takes 2 or 3
  rate_reduction_scaling scaling = rate_reduction_scaling::mcr2;
  rate_unit unit = rate_unit::nats;
  bool eps_squared_grad = false;
};

struct rate_reduction_loss_result {
  double loss = 0;
  double eps_squared_grad = 0;  ///< d loss / d(eps^2); 0 where neither it nor a gradient was asked for
  double rate = 0;              ///< 1/2 log det(I + gam1 d / (n eps^2) Z'Z)
  double class_rate = 0;        ///< R_c
};

namespace detail {

struct rate_values {
  engine_terms terms;
  std::vector<double> mass;
  double class_rate = 0, reduction = 0, rate_slope = 0, class_slope = 0;  // in nats
};

template <class Exec, class Features, class FeatureGrad, class MembershipGrad>
rate_values rate_values_of(Exec& ex, const Features& features, const membership_view& memberships,
                           FeatureGrad& feature_grad, MembershipGrad& membership_grad, rate_request ask) {
  using T = arithmetic_t<typename input_view_t<Features>::value_type>;
  constexpr bool differentiates = !std::is_same_v<std::remove_cvref_t<MembershipGrad>, discard_output>;
  const index_t n = view(features).extent(0), d = view(features).extent(1);
  require_eps_squared(ask.function, ask.eps_squared, d);
  if (memberships.rows() != n)
    fail<shape_error>(ask.function, ": memberships of ", memberships.rows(), " rows for features of ", n,
                      " rows; give one for each");
  row_sink<double> dense, entries;
  if constexpr (differentiates) {
    if (memberships.is_sparse())
      entries = value_sink<double>(ask.function, "membership_grad", membership_grad, memberships.entries(), "entries",
                                   "entry");
    else
      dense = rate_sink<double>(ask.function, "membership_grad", membership_grad, n, memberships.classes());
  }
  class_rows classes = memberships.by_class(ask.function, differentiates && memberships.is_sparse());
  ask.slope = ask.slope || differentiates || !std::is_same_v<std::remove_cvref_t<FeatureGrad>, discard_output>;

  rate_values out;
  out.terms = engine_terms_of<T>(ex, ask, features, &classes, feature_grad, dense, entries);
  out.mass = std::move(classes.mass);
  const double rows = static_cast<double>(n), half = 1 / (2 * ask.eps_squared);
  out.rate_slope = -out.terms.trace * half;
  double rest = 1;
  for (std::size_t j = 0; n > 0 && j < out.mass.size(); ++j) {
    const double share = out.mass[j] / rows;
    rest -= share;
    if (!(share > 0)) continue;
    out.class_rate += share * out.terms.class_rate[j];
    out.reduction += share * (out.terms.rate - out.terms.class_rate[j]);
    out.class_slope -= share * out.terms.class_trace[j] * half;
  }
  if (!classes.hard) out.reduction += rest * out.terms.rate;  // memberships add up to one within their tolerance
  return out;
}

}  // namespace detail

/// Coding rate reduction: by how much the batch takes more nats than its classes do one by one.
///
///     M = I + d / (n eps^2) Z'Z        M_j = I + d / (w_j eps^2) sum_i Pi(i, j) z_i z_i'        w_j = sum_i Pi(i, j)
///     R - R_c = sum_j w_j / n (1/2 log det M - 1/2 log det M_j)
///     d/dz_i      = d / (n eps^2) (M^-1 - sum_j Pi(i, j) M_j^-1) z_i
///     d/dPi(i, j) = -(log det M_j + d / eps^2 z_i' M_j^-1 z_i - (d - tr M_j^-1)) / (2 n)
///
/// features         n x d  finite; rows of length about one are meant
/// memberships      n x k  membership_view: hard, soft or sparse
/// feature_grad     n x d  or discard; must not overlap `features`
/// membership_grad  n x k  or discard; for sparse memberships a number for each entry
///
/// An empty class (w_j = 0) adds nothing to value and gradient; towards a row i that would join it the derivative is
/// -log(1 + d / eps^2 |z_i|^2) / (2 n), which no softmax ever meets. For a softmax Pi of logits the gradient goes on as
/// Pi (g - sum_j Pi g). R - R_c is at least 0 up to rounding, which is not clamped, and exactly 0 for one hard class.
///
/// Each class is factored on the side that is smaller, d x d or the Gram matrix of its rows: exact either way. Float
/// features are added and factored in float while d / eps^2 times the mean squared length of the batch and of every
/// class is at most 1e4, and in double beyond; logarithms and weights are double. n = 0 and d = 0 give zeros. What is
/// not asked for is not computed: no inverse for the value alone.
///
/// Throws value_error naming row and feature of a NaN or infinity, the row whose memberships are negative, not finite
/// or do not add up to one, and the class and pivot where a factor is not positive definite; label_error; shape_error;
/// option_error. Nothing is written then, but rows of gradients where a pivot failed.
///
/// Hard: O(n d^2 + k d^3) with the lesser side of each class, one product n x d x d for the gradient. Soft: O(k n d^2),
/// or the entries' share of it when sparse. Allocates one matrix of d x d, or m x m, for each class of m rows and up to
/// 16 more, the rows of the classes (8 bytes a row, 16 or 24 an entry) and tiles of 64 rows a task; soft classes of
/// few rows also keep these. Same bits for every executor and layout. Source: Yu et al., NeurIPS 2020,
/// arXiv 2006.08558, eq. 6 to 8.
template <executor Exec, real_matrix Features, real_output FeatureGrad, real_output MembershipGrad>
rate_reduction_result rate_reduction(Exec&& ex, const Features& features, const membership_view& memberships,
                                     FeatureGrad&& feature_grad, MembershipGrad&& membership_grad,
                                     const rate_reduction_options& options = {}) {
  const double unit = detail::per_nat(options.unit);
  const detail::rate_request ask{"rate_reduction", options.eps_squared, 1, unit, unit, options.eps_squared_grad};
  detail::rate_values v = detail::rate_values_of(ex, features, memberships, feature_grad, membership_grad, ask);
  for (double& r : v.terms.class_rate) r *= unit;
  return {unit * v.terms.rate,           unit * v.class_rate, unit * v.reduction, unit * (v.rate_slope - v.class_slope),
          std::move(v.terms.class_rate), std::move(v.mass)};
}
/// As above, on the calling thread.
template <real_matrix Features, real_output FeatureGrad, real_output MembershipGrad>
rate_reduction_result rate_reduction(const Features& features, const membership_view& memberships,
                                     FeatureGrad&& feature_grad, MembershipGrad&& membership_grad,
                                     const rate_reduction_options& options = {}) {
  return rate_reduction(seq, features, memberships, feature_grad, membership_grad, options);
}
/// As above, the values alone.
template <real_matrix Features>
rate_reduction_result rate_reduction(const Features& features, const membership_view& memberships,
                                     const rate_reduction_options& options = {}) {
  return rate_reduction(seq, features, memberships, discard, discard, options);
}

/// The published training loss with its two factors; gam1 = gam2 = 1 gives the negative rate reduction.
///
///     loss = -gam2 1/2 log det(I + gam1 d / (n eps^2) Z'Z) + c R_c        c = 1 (mcr2) or gam1 (erase)
///
/// Arguments, gradients (here of the loss, to descend), errors and cost as of rate_reduction. Throws option_error too
/// unless gam1 is positive, gam2 zero or more, and both and gam1 gam2 d / eps^2 finite. Source:
/// github.com/ryanchankh/mcr2 (loss.py); Chen et al., CIKM 2024, arXiv 2312.08852.
template <executor Exec, real_matrix Features, real_output FeatureGrad, real_output MembershipGrad>
rate_reduction_loss_result rate_reduction_loss(Exec&& ex, const Features& features, const membership_view& memberships,
                                               FeatureGrad&& feature_grad, MembershipGrad&& membership_grad,
                                               const rate_reduction_loss_options& options = {}) {
  constexpr const char* name = "rate_reduction_loss";
  if (!(options.gam1 > 0 && std::isfinite(options.gam1) && options.gam2 >= 0 && std::isfinite(options.gam2)))
    detail::fail<option_error>(name, ": gam1 is ", options.gam1, " and gam2 ", options.gam2,
                               "; gam1 must be positive, gam2 zero or more, both finite");
  const double beta = static_cast<double>(view(features).extent(1)) / options.eps_squared;
  if (std::isfinite(beta) && !std::isfinite(options.gam1 * std::max(1.0, options.gam2) * std::max(1.0, beta)))
    detail::fail<option_error>(name, ": gam1 is ", options.gam1, ", gam2 ", options.gam2, " and eps_squared ",
                               options.eps_squared, "; the product of gam1, gam2 and d / eps_squared overflows");
  const double unit = detail::per_nat(options.unit), of_rate = -unit * options.gam2,
               of_classes = unit * (options.scaling == rate_reduction_scaling::erase ? options.gam1 : 1.0);
  const detail::rate_request ask{name,    options.eps_squared, options.gam1,
                                 of_rate, -of_classes,         options.eps_squared_grad};
  const detail::rate_values v = detail::rate_values_of(ex, features, memberships, feature_grad, membership_grad, ask);
  return {of_rate * v.terms.rate + of_classes * v.class_rate, of_rate * v.rate_slope + of_classes * v.class_slope,
          unit * v.terms.rate, unit * v.class_rate};
}
/// As above, on the calling thread.
template <real_matrix Features, real_output FeatureGrad, real_output MembershipGrad>
rate_reduction_loss_result rate_reduction_loss(const Features& features, const membership_view& memberships,
                                               FeatureGrad&& feature_grad, MembershipGrad&& membership_grad,
                                               const rate_reduction_loss_options& options = {}) {
  return rate_reduction_loss(seq, features, memberships, feature_grad, membership_grad, options);
}

}  // namespace weakly::inline v0
