// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/labels.hpp>
#include <weakly/core/matrix.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>
#include <weakly/rate/detail/cholesky.hpp>
#include <weakly/rate/detail/class_covariances.hpp>
#include <weakly/rate/detail/feature_rows.hpp>
#include <weakly/rate/detail/packed_triangle.hpp>
#include <weakly/rate/detail/symmetric_eigen.hpp>
#include <weakly/rate/membership_view.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace weakly::inline v0 {

/// The coding rate of each class, in nats.
struct class_rates {
  std::vector<double> rates;  ///< k, logdet(M_j) / 2; 0 for a class without weight
  double class_rate = 0;      ///< R_c, the sum over j of w_j / n times rates(j)
};

/// What rate reduction is the difference of, in nats.
struct rate_terms {
  double rate = 0;        ///< R
  double class_rate = 0;  ///< R_c
  double reduction = 0;   ///< R - R_c, summed up class by class, so that equal rates cancel
};

/// Class covariances of features that pass by in batches, and the coding rates that follow from them.
///
///     w_j = sum over i of Pi(i, j),   C_j = sum over i of Pi(i, j) z_i z_i',   n = number of rows
///     M_j = I + (d / eps_squared) C_j / w_j,   M = I + (d / eps_squared) (sum over j of C_j) / n
///     R = logdet(M) / 2,   R_c = sum over j of w_j / n logdet(M_j) / 2
///
/// with z_i a row of d features and Pi(i, j) how much it belongs to class j: 1 and 0 for labels, rows that add up to
/// one otherwise. Nothing is centred. The state is 1 + k + k d (d + 1) / 2 numbers and does not depend on eps_squared.
///
/// All sums are in double, whatever the features are stored as. Memory beside the state: max(1024, 32 k) rows of d
/// doubles. Taken at construction, none in `add`, `add_block` and `merge`. Sources: Yu, Chan, You, Song, Ma, "Learning
/// Diverse and Discriminative Representations via the Principle of Maximal Coding Rate Reduction", NeurIPS 2020, arXiv
/// 2006.08558.
class covariance_accumulator {
 public:
  /// For k classes and d features. Throws option_error when either is less than one.
  covariance_accumulator(index_t classes, index_t features)
      : classes_(at_least_one("classes", classes)),
        features_(at_least_one("features", features)),
        state_(static_cast<std::size_t>(1 + classes + classes * detail::packed_size(features))),
        row_(static_cast<std::size_t>(features)),
        waiting_(classes, features) {}

  index_t classes() const { return classes_; }
  index_t features() const { return features_; }

  /// n, the rows of all batches.
  index_t count() const { return static_cast<index_t>(state_[0]); }
  /// w, one a class; they add up to n as well as rows of memberships add up to one.
  std::span<const double> weights() const { return state().subspan(1, static_cast<std::size_t>(classes_)); }
  /// C_j as it is kept: its lower triangle row by row, element (a, b), b <= a, at a (a + 1) / 2 + b.
  std::span<const double> packed_covariance(index_t cls) const {
    const auto size = static_cast<std::size_t>(detail::packed_size(features_));
    return state().subspan(static_cast<std::size_t>(
                               1 + classes_ + checked_class("packed_covariance", cls) * detail::packed_size(features_)),
                           size);
  }
  /// C_j, or the sum of all of them: d x d.
  matrix<double> covariance(index_t cls) const {
    matrix<double> c(features_, features_);
    add_to(c, packed_covariance(cls).data());
    return c;
  }
  matrix<double> covariance() const {
    matrix<double> c(features_, features_);
    for (index_t j = 0; j < classes_; ++j) add_to(c, packed_covariance(j).data());
    return c;
  }

  /// Adds one row.
  ///
  /// row      d  features
  /// cls         its class, in [0, k)
  ///
  /// Throws shape_error; label_error; value_error for a NaN or an infinity. Nothing is added then. O(d^2).
  template <real_vector Row, std::integral Class>
  void add(const Row& row, Class cls) {
    constexpr const char* name = "covariance_accumulator::add";
    if (!detail::is_label(cls, classes_))
      detail::fail<label_error>(name, ": class ", cls, " is outside [0, ", classes_, ")");
    read_row(name, view(row));
    add_row(static_cast<index_t>(cls), 1);
    state_[0] += 1;
  }

  /// As above, for a row that belongs to all classes.
  ///
  /// memberships  k  not negative; they add up to one within membership_view::tolerance
  ///
  /// Throws value_error for memberships that do not. O(d^2) for each that is not zero.
  template <real_vector Row, real_vector Memberships>
  void add(const Row& row, const Memberships& memberships) {
    constexpr const char* name = "covariance_accumulator::add";
    const auto pi = view(memberships);
    detail::require_extent("covariance_accumulator::add: memberships", pi, 0, classes_);
    const auto as_row = as_rows(pi);
    const membership_view members = membership_view::soft(as_row);
    members.require(name);
    read_row(name, view(row));
    members.for_members(name, [&](index_t, index_t c, double weight) { add_row(c, weight); });
    state_[0] += 1;
  }

  /// Adds the rows of a batch.
  ///
  /// features     n x d
  /// memberships  n     of k classes: membership_view::hard, soft or sparse
  ///
  /// Throws shape_error; value_error that names the first row with a NaN or an infinity; for memberships what
  /// membership_view throws. Nothing of the batch is added then. Same bits for every executor and layout; another
  /// division into batches rounds otherwise. n = 0 adds nothing. O(n d^2), or m d^2 for m memberships that are not
  /// zero. Squares that overflow (features above 1e150) are found by what reads the state.
  template <executor Exec, real_matrix Features>
  void add_block(Exec&& ex, const Features& features, const membership_view& memberships) {
    constexpr const char* name = "covariance_accumulator::add_block";
    const auto z = view(features);
    detail::require_extent("covariance_accumulator::add_block: features", z, 1, features_);
    if (memberships.rows() != z.extent(0) || memberships.classes() != classes_)
      detail::fail<shape_error>(name, ": memberships of ", memberships.rows(), " rows and ", memberships.classes(),
                                " classes for ", z.extent(0), " rows of features and ", classes_, " classes");
    const detail::row_source<double> x(z);
    memberships.require(name);
    detail::require_finite_features(name, ex, x, z.extent(0));
    double* const to = packed(0);
    waiting_.clear();  // an executor that threw may have left something
    memberships.for_members(name, [&](index_t i, index_t c, double weight) {
      if (waiting_.full()) waiting_.flush(ex, x, to);
      waiting_.push(i, c, weight);
      state_[static_cast<std::size_t>(1 + c)] += weight;
    });
    waiting_.flush(ex, x, to);
    state_[0] += static_cast<double>(z.extent(0));
  }
  template <real_matrix Features>
  void add_block(const Features& features, const membership_view& memberships) {
    add_block(seq, features, memberships);
  }

  /// Adds what `other` has seen: each number of the state is added to its like, which equals one pass over both to
  /// rounding, and exactly where all sums are exact. Throws shape_error when k or d differ. O(k d^2).
  void merge(const covariance_accumulator& other) {
    require_like("merge", other);
    for (std::size_t e = 0; e < state_.size(); ++e) state_[e] += other.state_[e];
  }

  /// Takes back what `other` has seen, for windows that slide.
  ///
  /// Throws shape_error when k or d differ, and value_error, with the class, where what is left cannot be a covariance:
  /// fewer than no rows, a negative weight, or a matrix that has an eigenvalue below -1e-10 times the trace it had;
  /// nothing is taken then. A class that is left without weight has a covariance of zero afterwards; so have all of
  /// them where no row is left. What was added and taken again leaves its rounding behind: a window that slides without
  /// end is better merged anew from its parts now and then. O(d^3) for each class that `other` has weight in; allocates d^2.
  void subtract(const covariance_accumulator& other) {
    constexpr const char* name = "covariance_accumulator::subtract";
    require_like("subtract", other);
    if (!(other.state_[0] <= state_[0]))
      detail::fail<value_error>(name, ": ", other.count(), " rows of ", count(), " cannot be taken");
    detail::cholesky<double> factor(features_, false);
    for (index_t c = 0; c < classes_; ++c)
      if (other.weight(c) != 0 || detail::packed_trace(other.packed_covariance(c).data(), features_) != 0)
        require_remainder(name, other, c, factor);
    for (std::size_t e = 0; e < state_.size(); ++e) state_[e] -= other.state_[e];
    if (state_[0] == 0) std::fill(state_.begin(), state_.end(), 0.0);
    for (index_t c = 0; c < classes_; ++c)
      if (is_rounding(weight(c), other.weight(c))) {
        state_[static_cast<std::size_t>(1 + c)] = 0;
        std::fill_n(packed(c), detail::packed_size(features_), 0.0);
      }
  }

  /// Takes back the rows of a batch, arguments as for add_block. Throws as add_block and subtract do, and then takes
  /// nothing. Allocates another accumulator.
  template <executor Exec, real_matrix Features>
  void subtract_block(Exec&& ex, const Features& features, const membership_view& memberships) {
    covariance_accumulator gone(classes_, features_);
    gone.add_block(ex, features, memberships);
    subtract(gone);
  }
  template <real_matrix Features>
  void subtract_block(const Features& features, const membership_view& memberships) {
    subtract_block(seq, features, memberships);
  }

  /// R, in nats; 0 when there are no rows.
  ///
  /// eps_squared  the squared distortion, positive; what public code calls eps. Features of unit length: 0.5 is usual.
  ///
  /// Throws option_error for an eps_squared that is not positive and finite; value_error when the state holds numbers
  /// of rows that are none, or M is not positive definite or overflows, as it is after a state was filled with what
  /// are no covariances, or to rounding where (d / eps_squared) C / n exceeds 1e15. O(k d^2 + d^3 / 3); allocates d^2.
  double rate(double eps_squared) const {
    const double beta = beta_of("covariance_accumulator::rate", eps_squared);
    detail::cholesky<double> factor(features_, false);
    return whole_rate("covariance_accumulator::rate", beta, factor);
  }

  /// The rates of the classes and R_c. Throws as `rate`, naming the class. O(k d^3 / 3); allocates d^2 a task. One task
  /// a class.
  template <executor Exec>
  class_rates rate_classes(Exec&& ex, double eps_squared) const {
    constexpr const char* name = "covariance_accumulator::rate_classes";
    const double beta = beta_of(name, eps_squared);
    require_counts(name);
    class_rates result;
    result.rates.resize(static_cast<std::size_t>(classes_));
    ex(classes_, [&](index_t c) {
      if (weight(c) == 0) return;
      detail::cholesky<double> factor(features_, false);
      fill(factor, beta / weight(c), packed_covariance(c).data(), 1);
      result.rates[static_cast<std::size_t>(c)] = half_log_det(name, factor, c);
    });
    for (index_t c = 0; c < classes_; ++c)
      if (weight(c) != 0) result.class_rate += weight(c) / state_[0] * result.rates[static_cast<std::size_t>(c)];
    return result;
  }
  class_rates rate_classes(double eps_squared) const { return rate_classes(seq, eps_squared); }

  /// R, R_c and what the classes reduce the rate by: at least 0 but for rounding, and 0 for one class or classes of the
  /// same covariance C_j / w_j. Cost and errors are those of `rate` and `rate_classes`.
  template <executor Exec>
  rate_terms reduction(Exec&& ex, double eps_squared) const {
    const class_rates classes = rate_classes(ex, eps_squared);
    rate_terms result;
    result.rate = rate(eps_squared);
    result.class_rate = classes.class_rate;
    for (index_t c = 0; c < classes_; ++c)
      if (weight(c) != 0)
        result.reduction += weight(c) / state_[0] * (result.rate - classes.rates[static_cast<std::size_t>(c)]);
    return result;
  }
  rate_terms reduction(double eps_squared) const { return reduction(seq, eps_squared); }

  /// Eigenvalues of C_j, or of the sum of all of them, greatest first: a class that has collapsed to a few
  /// directions has as many that are not small. Their errors are a few roundings of the greatest, so those of a
  /// singular covariance may be below zero. Throws value_error for a state that overflowed. O(d^3), about as much as
  /// seven factorisations; allocates d^2. See effective_rank.
  std::vector<double> spectrum(index_t cls) const { return spectrum_of(covariance(cls)); }
  std::vector<double> spectrum() const { return spectrum_of(covariance()); }

  /// The numbers that merging adds: n, the k weights, the k packed covariances. Whoever writes them sees to it that
  /// they are such.
  std::span<double> state() { return state_; }
  std::span<const double> state() const { return state_; }

 private:
  static index_t at_least_one(const char* what, index_t value) {
    if (value < 1) detail::fail<option_error>("covariance_accumulator: ", value, " ", what, "; give at least one");
    return value;
  }
  index_t checked_class(const char* function, index_t cls) const {
    if (!detail::is_label(cls, classes_))
      detail::fail<label_error>("covariance_accumulator::", function, ": class ", cls, " is outside [0, ", classes_,
                                ")");
    return cls;
  }
  void require_like(const char* function, const covariance_accumulator& other) const {
    if (other.classes_ != classes_ || other.features_ != features_)
      detail::fail<shape_error>("covariance_accumulator::", function, ": ", other.classes_, " classes of ",
                                other.features_, " features and ", classes_, " classes of ", features_);
  }
  double beta_of(const char* function, double eps_squared) const {
    detail::require_eps_squared(function, eps_squared, features_);
    return static_cast<double>(features_) / eps_squared;
  }

  // What no data leave, but a state that something else was written to may hold.
  void require_counts(const char* name) const {
    bool sound = state_[0] >= 0 && std::isfinite(state_[0]);
    for (index_t c = 0; c < classes_; ++c) {
      sound = sound && weight(c) >= 0 && std::isfinite(weight(c)) && (weight(c) == 0 || state_[0] > 0);
      if (!sound)
        detail::fail<value_error>(name, ": the state has ", state_[0], " rows, of which weight ", weight(c),
                                  " in class ", c, "; it is not that of data");
    }
  }
  double weight(index_t c) const { return state_[static_cast<std::size_t>(1 + c)]; }
  double* packed(index_t c) { return state_.data() + 1 + classes_ + c * detail::packed_size(features_); }
  void add_to(matrix<double>& square, const double* c) const {
    for (index_t i = 0; i < features_; ++i)
      for (index_t j = 0; j <= i; ++j, ++c) {
        square(i, j) += *c;
        if (j < i) square(j, i) += *c;
      }
  }

  template <class V>
  void read_row(std::string_view name, const V& row) {
    detail::require_extent("covariance_accumulator::add: row", row, 0, features_);
    const matrix_view<const typename V::value_type> one_row(row.data(), {1, features_}, {0, row.stride(0)});
    const detail::row_source<double> source(one_row);
    detail::require_finite_features(name, seq, source, 1);
    const double* const x = source.part(0, 0, features_, row_.data());
    if (x != row_.data()) std::copy_n(x, features_, row_.data());
  }
  void add_row(index_t c, double weight) {
    detail::add_square(row_.data(), features_, weight, packed(c));
    state_[static_cast<std::size_t>(1 + c)] += weight;
  }

  std::vector<double> spectrum_of(matrix<double>&& c) const {
    if (!detail::all_finite(static_cast<const double*>(c.data()), features_ * features_))
      detail::fail<value_error>("covariance_accumulator::spectrum: the covariance overflows or holds a NaN");
    const detail::symmetric_eigen eigen(c.data(), features_, false);
    std::vector<double> values(static_cast<std::size_t>(features_));
    for (index_t i = 0; i < features_; ++i) values[static_cast<std::size_t>(i)] = eigen.value(i);
    return values;
  }

  // The matrix to factor = identity I + scale c.
  void fill(detail::cholesky<double>& factor, double scale, const double* c, double identity) const {
    const index_t pitch = detail::padded_pitch(features_);
    for (index_t i = 0; i < features_; ++i) {
      double* const row = factor.row(i, pitch);
      for (index_t j = 0; j <= i; ++j, ++c) row[j] = scale * *c;
      row[i] += identity;
    }
  }
  double whole_rate(const char* name, double beta, detail::cholesky<double>& factor) const {
    require_counts(name);
    if (state_[0] == 0) return 0;
    const index_t pitch = detail::padded_pitch(features_);
    const double scale = beta / state_[0];
    for (index_t i = 0; i < features_; ++i) {
      double* const row = factor.row(i, pitch);
      std::fill_n(row, i + 1, 0.0);
      for (index_t k = 0; k < classes_; ++k) {
        const double* const c = packed_covariance(k).data() + detail::packed_row(i);
        for (index_t j = 0; j <= i; ++j) row[j] += c[j];
      }
      for (index_t j = 0; j <= i; ++j) row[j] *= scale;
      row[i] += 1;
    }
    return half_log_det(name, factor, -1);
  }
  double half_log_det(const char* name, detail::cholesky<double>& factor, index_t cls) const {
    const index_t pivot = factor.run(features_);
    if (pivot < 0) return factor.half_log_det();
    const std::string of = cls < 0 ? "all classes" : "class " + std::to_string(cls);
    detail::fail<value_error>(name, ": the covariance of ", of, " is not positive semidefinite at feature ", pivot,
                              ", overflows, or is too large for this eps_squared to be told from singular");
  }

  // Whether what is left of a weight is what rounding leaves of zero.
  static bool is_rounding(double left, double taken) { return taken != 0 && std::abs(left) <= 1e-12 * taken; }
  void require_remainder(const char* name, const covariance_accumulator& other, index_t c,
                         detail::cholesky<double>& factor) const {
    const double left = weight(c) - other.weight(c);
    if (state_[0] == other.state_[0] && !(std::abs(left) <= 1e-9 * state_[0]))
      detail::fail<value_error>(name, ": class ", c, " keeps weight ", left, " of ", weight(c),
                                " where no row is left; only what was added can be taken");
    if (state_[0] != other.state_[0] && !(left >= 0) && !is_rounding(left, other.weight(c)))
      detail::fail<value_error>(name, ": class ", c, " has weight ", weight(c), ", of which ", other.weight(c),
                                " cannot be taken");
    const double *const mine = packed_covariance(c).data(), *const theirs = other.packed_covariance(c).data();
    const double slack = 1e-10 * detail::packed_trace(mine, features_);
    const index_t pitch = detail::padded_pitch(features_);
    const double* a = mine;
    const double* b = theirs;
    for (index_t i = 0; i < features_; ++i) {
      double* const row = factor.row(i, pitch);
      for (index_t j = 0; j <= i; ++j) row[j] = *a++ - *b++;
      row[i] += slack;
    }
    // A class without rows left has nothing left either.
    const bool empty = state_[0] == other.state_[0] || is_rounding(left, other.weight(c));
    const double trace = detail::packed_trace(mine, features_) - detail::packed_trace(theirs, features_);
    const bool zero = slack == 0 && trace == 0;
    if (zero || (factor.run(features_) < 0 && (!empty || trace <= slack))) return;
    detail::fail<value_error>(name, ": what is left of class ", c,
                              " cannot be a covariance; only what was added can be taken");
  }

  index_t classes_;
  index_t features_;
  std::vector<double> state_;
  std::vector<double> row_;
  detail::class_covariances waiting_;
};

}  // namespace weakly::inline v0
