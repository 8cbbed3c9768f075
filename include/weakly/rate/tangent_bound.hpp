// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>
#include <weakly/rate/covariance_accumulator.hpp>
#include <weakly/rate/detail/cholesky.hpp>
#include <weakly/rate/detail/class_products.hpp>
#include <weakly/rate/detail/feature_rows.hpp>
#include <weakly/rate/membership_view.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace weakly::inline v0 {

/// An upper bound on the coding rate of the classes, R_c, from factors that need not be those of the features at hand.
///
///     logdet M <= tr(Q M) - logdet Q - d for every positive definite Q, with equality and equal gradients at Q = M^-1
///     bound = sum over j of w_j / (2n) (tr(Q_j M_j) - logdet Q_j - d)
///           = 1 / (2n) sum over i, j of Pi(i, j) (a_j + (d / eps_squared) z_i' Q_j z_i),
///       a_j = tr Q_j - logdet Q_j - d
///
/// with the notation of covariance_accumulator. The bound is linear in the covariances, so that its gradients need no
/// factorisation: `refresh` takes over Q_j = M_j^-1, and what follows costs a product a row. Before the first refresh
/// Q_j is the identity, and the bound holds.
///
/// Lowering the bound from where it was refreshed lowers R_c (majorise and minimise), in two closed forms:
/// - a gradient step of n eps_squared / d in the features (z_i - sum over j of Pi(i, j) Q_j z_i), the inverse of what
/// the
///   curvature of the bound cannot exceed, because Q_j <= I;
/// - all of row i to the class j of the least gradient with respect to Pi(i, j), with w_j and C_j made anew.
///
/// Memory: k d^2 doubles, taken at construction. Source: the tangent of the concave function logdet; R_c as in Yu,
/// Chan, You, Song, Ma, NeurIPS 2020, arXiv 2006.08558.
class tangent_bound {
 public:
  /// For k classes of d features and a squared distortion. Throws option_error for sizes below one and for an
  /// eps_squared that is not positive and finite.
  tangent_bound(index_t classes, index_t features, double eps_squared)
      : features_(features), beta_(static_cast<double>(features) / eps_squared) {
    if (classes < 1 || features < 1)
      detail::fail<option_error>("tangent_bound: ", classes, " classes of ", features, " features; give at least one");
    detail::require_eps_squared("tangent_bound", eps_squared, features);
    offset_.assign(static_cast<std::size_t>(classes), 0.0);
    std::vector<double> rows(static_cast<std::size_t>(2 * features));
    rows[static_cast<std::size_t>(features)] = 1;
    for (index_t c = 0; c < classes; ++c)
      factor_.emplace_back(features, features).pack([&](index_t i) { return rows.data() + features - i; });
  }

  index_t classes() const { return static_cast<index_t>(factor_.size()); }
  index_t features() const { return features_; }

  /// Makes the bound equal R_c at these covariances: Q_j = M_j^-1.
  ///
  /// A class without weight keeps the factor it has. Throws shape_error; value_error, with the class, for a covariance
  /// that covariance_accumulator::rate_classes refuses: each class then has its old factor or its new one, and the
  /// bound holds. O(k d^3); allocates 3 d^2 a task. One task a class.
  template <executor Exec>
  void refresh(Exec&& ex, const covariance_accumulator& covariance) {
    require_like("tangent_bound::refresh", covariance);
    ex(classes(), [&](index_t c) {
      const double weight = covariance.weights()[static_cast<std::size_t>(c)];
      if (weight == 0) return;
      detail::cholesky<double> factor(features_);
      const index_t pitch = detail::padded_pitch(features_);
      const double* from = covariance.packed_covariance(c).data();
      for (index_t i = 0; i < features_; ++i) {
        double* const row = factor.row(i, pitch);
        for (index_t j = 0; j <= i; ++j) row[j] = beta_ / weight * *from++;
        row[i] += 1;
      }
      if (factor.run(features_) >= 0)
        detail::fail<value_error>("tangent_bound::refresh: the covariance of class ", c,
                                  " is not positive semidefinite, overflows, or is too large for this eps_squared");
      const double half_log_det = factor.half_log_det();
      const double* const inverse = factor.invert();
      std::vector<double> square(static_cast<std::size_t>(features_ * features_));
      double trace = 0;
      for (index_t i = 0; i < features_; ++i) {
        for (index_t j = 0; j <= i; ++j)
          square[static_cast<std::size_t>(i * features_ + j)] = square[static_cast<std::size_t>(j * features_ + i)] =
              inverse[i * pitch + j];
        trace += inverse[i * pitch + i];
      }
      factor_[static_cast<std::size_t>(c)].pack([&](index_t i) { return square.data() + i * features_; });
      offset_[static_cast<std::size_t>(c)] = trace + 2 * half_log_det - static_cast<double>(features_);
    });
  }
  void refresh(const covariance_accumulator& covariance) { refresh(seq, covariance); }

  /// The bound at other covariances, in nats: at least their R_c, but for rounding. 0 when there are no rows. Throws
  /// shape_error; value_error, with the class, for a covariance that overflowed. O(k d^2), allocates nothing.
  double value(const covariance_accumulator& covariance) const {
    require_like("tangent_bound::value", covariance);
    if (covariance.count() == 0) return 0;
    double sum = 0;
    for (index_t c = 0; c < classes(); ++c) {
      const detail::right_factor& q = factor_[static_cast<std::size_t>(c)];
      const double* from = covariance.packed_covariance(c).data();
      double inner = 0;
      for (index_t i = 0; i < features_; ++i)
        for (index_t j = 0; j <= i; ++j) inner += (i == j ? 1 : 2) * q(i, j) * *from++;
      sum += covariance.weights()[static_cast<std::size_t>(c)] * offset_[static_cast<std::size_t>(c)] + beta_ * inner;
      if (!std::isfinite(sum))
        detail::fail<value_error>("tangent_bound::value: the covariance of class ", c,
                                  " overflows, holds a NaN, or is too large for this eps_squared");
    }
    return sum / (2 * static_cast<double>(covariance.count()));
  }

  /// The bound of a batch and its gradients.
  ///
  ///     feature_grad(i) = (d / eps_squared) / n sum over j of Pi(i, j) Q_j z_i
  ///     membership_grad(i, j) = (a_j + (d / eps_squared) z_i' Q_j z_i) / (2n)
  ///
  /// features         n x d
  /// memberships      n      of k classes: membership_view::hard, soft or sparse
  /// feature_grad     n x d  or discard; may be the storage of `features`
  /// membership_grad  n x k  or discard; for sparse memberships a number for each entry. May be the storage of soft
  /// ones
  ///
  /// Returns the bound, 0 for n = 0. Throws shape_error; value_error that names the first row with a NaN or an
  /// infinity, or with squares that overflow, as they are or times d / eps_squared; for memberships what
  /// membership_view throws; nothing is written then. O(m d^2) for m memberships that are not zero, with
  /// membership_grad O(n k d^2) unless they are sparse; allocates 24 bytes a membership, 8 of membership_grad, and 192
  /// d doubles a task of up to 64 rows. Same bits for every executor and layout.
  template <executor Exec, real_matrix Features, real_output FeatureGrad, real_output MembershipGrad>
  double value_and_gradient(Exec&& ex, const Features& features, const membership_view& memberships,
                            FeatureGrad&& feature_grad, MembershipGrad&& membership_grad) const {
    constexpr const char* name = "tangent_bound::value_and_gradient";
    const auto z = view(features);
    detail::require_extent("tangent_bound::value_and_gradient: features", z, 1, features_);
    const index_t n = z.extent(0), k = classes();
    if (memberships.rows() != n || memberships.classes() != k)
      detail::fail<shape_error>(name, ": memberships of ", memberships.rows(), " rows and ", memberships.classes(),
                                " classes for ", n, " rows of features and ", k, " classes");
    const detail::row_source<double> x(z);
    const bool sparse = memberships.is_sparse();
    const auto to = detail::rate_sink<double>(name, "feature_grad", feature_grad, n, features_);
    const auto to_memberships =
        sparse ? detail::value_sink<double>(name, "membership_grad", membership_grad, memberships.entries(),
                                            "entries of memberships", "entry")
               : detail::rate_sink<double>(name, "membership_grad", membership_grad, n, k);
    const bool with_slopes = !to_memberships.empty();
    const detail::class_rows members = memberships.by_class(name, sparse && with_slopes);
    detail::require_finite_features(name, ex, x, n, std::numeric_limits<double>::max() / 4 / std::max(1.0, beta_));
    if (n == 0) return 0;
    const double per_row = 1 / (2 * static_cast<double>(n));
    std::vector<double> value(static_cast<std::size_t>(n));
    std::vector<double> slope(static_cast<std::size_t>(!with_slopes ? 0 : sparse ? memberships.entries() : n * k));
    detail::multiply_by_class(
        ex, factor_, x, members, with_slopes && !sparse, 2 * beta_ * per_row, to,
        [&](index_t i, index_t c, index_t e, double form) {
          const double g = (offset_[static_cast<std::size_t>(c)] + beta_ * form) * per_row;
          if (with_slopes)
            slope[static_cast<std::size_t>(sparse ? members.entry[static_cast<std::size_t>(e)] : i * k + c)] = g;
          if (e >= 0)
            value[static_cast<std::size_t>(i)] += (members.hard ? 1 : members.weight[static_cast<std::size_t>(e)]) * g;
        });
    const index_t width = sparse ? 1 : k;
    for (index_t i = 0; with_slopes && i < (sparse ? memberships.entries() : n); ++i)
      to_memberships.put_part(i, 0, width, slope.data() + i * width);
    double sum = 0;
    for (const double v : value) sum += v;
    return sum;
  }

 private:
  void require_like(const char* function, const covariance_accumulator& covariance) const {
    if (covariance.classes() != classes() || covariance.features() != features_)
      detail::fail<shape_error>(function, ": covariances of ", covariance.classes(), " classes and ",
                                covariance.features(), " features for a bound of ", classes(), " and ", features_);
  }

  index_t features_;
  double beta_;
  std::vector<double> offset_;                // a_j
  std::vector<detail::right_factor> factor_;  // Q_j
};

}  // namespace weakly::inline v0
