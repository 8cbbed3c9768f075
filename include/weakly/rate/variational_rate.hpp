// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>
#include <weakly/rate/covariance_accumulator.hpp>
#include <weakly/rate/detail/aligned_array.hpp>
#include <weakly/rate/detail/class_products.hpp>
#include <weakly/rate/detail/feature_rows.hpp>
#include <weakly/rate/detail/symmetric_eigen.hpp>
#include <weakly/rate/detail/symmetric_products.hpp>
#include <weakly/rate/membership_view.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <vector>

namespace weakly::inline v0 {

/// What a dictionary is fitted to: T_j = s_j C_j.
enum class covariance_scale : std::uint8_t {
  class_size,  ///< s_j = 1 / w_j, of trace 1 for features of unit length: classes of any size weigh the same
  none         ///< s_j = 1, as the definition has it
};

struct variational_rate_options {
  double eps_squared = 0.5;                               ///< positive: the squared distortion
  double penalty = 1;                                     ///< mu, not negative
  covariance_scale scale = covariance_scale::class_size;  ///< of which the coefficients are too
};

/// The surrogate is their sum.
struct variational_rate_terms {
  double rate = 0;     ///< in nats
  double penalty = 0;  ///< mu / 2 times the squared residuals
};

namespace detail {

/// What the functions below share: dictionary and coefficients read and checked, and the residuals of the fit.
class variational_fit {
 public:
  template <class Dictionary, class Coefficients>
  variational_fit(const char* name, const covariance_accumulator& covariance, const Dictionary& dictionary,
                  const Coefficients& coefficients, const variational_rate_options& options)
      : covariance_(covariance), options_(options), d_(covariance.features()), k_(covariance.classes()) {
    require_eps_squared(name, options.eps_squared, d_);
    if (!(options.penalty >= 0 && std::isfinite(options.penalty)))
      fail<option_error>(name, ": penalty is ", options.penalty, "; it must be finite and not negative");
    const auto g = view(dictionary);
    const auto a = view(coefficients);
    if (g.extent(0) != d_) fail<shape_error>(name, ": dictionary has ", g.extent(0), " rows for ", d_, " features");
    q_ = g.extent(1);
    if (a.extent(0) != k_ || a.extent(1) != q_)
      fail<shape_error>(name, ": coefficients have ", a.extent(0), " rows of ", a.extent(1), " for ", k_,
                        " classes and a dictionary of ", q_, " columns");
    atom_.resize(static_cast<std::size_t>(q_ * d_));
    for (index_t l = 0; l < q_; ++l)
      for (index_t f = 0; f < d_; ++f) {
        const double x = convert_real<double>(g(f, l));
        if (!std::isfinite(x)) fail<value_error>(name, ": dictionary(", f, ", ", l, ") is ", x);
        atom_[static_cast<std::size_t>(l * d_ + f)] = x;
      }
    coefficient_.resize(static_cast<std::size_t>(k_ * q_));
    for (index_t c = 0; c < k_; ++c)
      for (index_t l = 0; l < q_; ++l) {
        const double x = convert_real<double>(a(c, l));
        if (!(x >= 0 && std::isfinite(x)))
          fail<value_error>(name, ": coefficient ", l, " of class ", c, " is ", x,
                            "; coefficients are finite and not negative");
        coefficient_[static_cast<std::size_t>(c * q_ + l)] = x;
      }
  }

  index_t size() const { return q_; }
  const double* atom(index_t l) const { return atom_.data() + l * d_; }
  double coefficient(index_t c, index_t l) const { return coefficient_[static_cast<std::size_t>(c * q_ + l)]; }
  double weight(index_t c) const { return covariance_.weights()[static_cast<std::size_t>(c)]; }
  double scale(index_t c) const { return options_.scale == covariance_scale::none ? 1 : 1 / weight(c); }
  /// What coefficients of class c are multiplied by inside the logarithm.
  double inside(index_t c) const { return static_cast<double>(d_) / options_.eps_squared / (weight(c) * scale(c)); }
  double share(index_t c) const { return weight(c) / (2 * static_cast<double>(covariance_.count())); }
  double mu() const { return options_.penalty; }

  double rate() const {
    double sum = 0;
    for (index_t c = 0; c < k_; ++c) {
      if (weight(c) == 0) continue;
      double logs = 0;
      for (index_t l = 0; l < q_; ++l) logs += std::log1p(inside(c) * coefficient(c, l));
      sum += share(c) * logs;
    }
    return sum;
  }

  /// E_c = T_c - Gamma diag(A_c) Gamma', packed into keep[c] unless there is none. Returns half its squared norm.
  double residual(const char* name, index_t c, std::vector<right_factor>* keep) const {
    const index_t pitch = padded_pitch(d_), depth = product_tile<double>::depth;
    const aligned_array<double> square(pitch * pitch), strips(depth * pitch), rows(depth * d_);
    double* const e = square.data();
    std::fill_n(e, pitch * pitch, 0.0);
    const double* from = covariance_.packed_covariance(c).data();
    for (index_t i = 0; i < d_; ++i)
      for (index_t j = 0; j <= i; ++j) e[i * pitch + j] = scale(c) * *from++;
    const double* row[std::size_t(product_tile<double>::depth)] = {};
    for (index_t l = 0; l < q_;) {
      index_t count = 0;
      for (; l < q_ && count < depth; ++l) {
        if (coefficient(c, l) == 0) continue;
        double* const to = rows.data() + count * d_;
        const double root = std::sqrt(coefficient(c, l));
        for (index_t f = 0; f < d_; ++f) to[f] = root * atom(l)[f];
        row[count++] = to;
      }
      pack_strips(static_cast<const double* const*>(row), count, d_, pitch, strips.data());
      add_outer_products(static_cast<const double*>(strips.data()), count, d_, -1.0, e, pitch);
    }
    double on = 0, off = 0;
    for (index_t i = 0; i < d_; ++i) {
      for (index_t j = 0; j < i; ++j) off += e[i * pitch + j] * e[i * pitch + j];
      on += e[i * pitch + i] * e[i * pitch + i];
    }
    if (!std::isfinite(on + off))
      fail<value_error>(name, ": the residual of class ", c, " overflows or its covariance holds a NaN");
    if (keep != nullptr) {
      for (index_t i = 0; i < d_; ++i)
        for (index_t j = 0; j < i; ++j) e[j * pitch + i] = e[i * pitch + j];
      right_factor& to = (*keep)[static_cast<std::size_t>(c)];
      to = right_factor(d_, d_);
      to.pack([&](index_t i) { return e + i * pitch; });
    }
    return on / 2 + off;
  }
  /// The penalty, with the residuals of all classes that have weight left in `keep` unless there is none.
  template <class Exec>
  double penalty(const char* name, Exec& ex, std::vector<right_factor>* keep) const {
    std::vector<double> part(static_cast<std::size_t>(k_));
    ex(k_, [&](index_t c) {
      if (weight(c) != 0) part[static_cast<std::size_t>(c)] = residual(name, c, keep);
    });
    double sum = 0;
    for (const double p : part) sum += p;
    return mu() * sum;
  }

 private:
  const covariance_accumulator& covariance_;
  variational_rate_options options_;
  index_t d_;
  index_t k_;
  index_t q_ = 0;
  std::vector<double> atom_;  // columns of the dictionary, one after the other
  std::vector<double> coefficient_;
};

}  // namespace detail

/// A surrogate for the coding rate of the classes, R_c, without factorisations: covariances as sums of directions that
/// all classes share.
///
///     rate = sum over j of w_j / (2n) sum over l of log(1 + d / (eps_squared w_j s_j) A(j, l))
///     penalty = mu / 2 sum over j of || s_j C_j - Gamma diag(A_j) Gamma' ||_F^2
///     dictionary_grad = d penalty / d Gamma = -2 mu sum over j of E_j Gamma diag(A_j),  E_j what is inside the norm
///     coefficient_grad(j, l) = d (rate + penalty) / d A(j, l)
///         = w_j / (2n) / (eps_squared w_j s_j / d + A(j, l)) - mu gamma_l' E_j gamma_l
///
/// with w, C and n of the accumulator and s_j of options.scale; the definition has s_j = 1, and the fit is reported to
/// work only with classes scaled by their size, which is the default.
///
/// covariance         of k classes and d features
/// dictionary         d x q  Gamma. Columns of unit length are what makes the rate one, and the caller's to keep
/// coefficients       k x q  A, not negative, in units of s_j C_j; latch_dictionary begins both
/// dictionary_grad    d x q  or discard; may be the storage of `dictionary`
/// coefficient_grad  k x q  or discard; may be the storage of `coefficients`
///
/// Where the fit is exact and columns have unit length, the rate is an upper bound of R_c (Hadamard's inequality), and
/// equals it where the columns of each class are orthogonal. Where it is not exact the rate bounds nothing.
///
/// A class without weight adds nothing, its gradient is 0; q = 0 leaves the squares of the covariances. Throws
/// shape_error; option_error; value_error for a coefficient that is negative or not finite, a dictionary that is not
/// finite, or an overflow. O(k d^2 q); allocates k d^2 for gradients, and d q, k q and d^2 a task. Same bits for every
/// executor; tasks are classes, then 64 columns. Source: Baek, Wu, Chan, Ding, Dai, Ma, Haeffele, "Efficient Maximal
/// Coding Rate Reduction by Variational Forms", CVPR 2022, arXiv 2204.00077.
template <executor Exec, real_matrix Dictionary, real_matrix Coefficients, real_output DictionaryGrad,
          real_output CoefficientGrad>
variational_rate_terms variational_rate(Exec&& ex, const covariance_accumulator& covariance,
                                        const Dictionary& dictionary, const Coefficients& coefficients,
                                        DictionaryGrad&& dictionary_grad, CoefficientGrad&& coefficient_grad,
                                        const variational_rate_options& options = {}) {
  constexpr const char* name = "variational_rate";
  constexpr index_t most = detail::gathered_rows::most;
  const detail::variational_fit fit(name, covariance, dictionary, coefficients, options);
  const index_t d = covariance.features(), k = covariance.classes(), q = fit.size();
  const auto to_coefficients = detail::rate_sink<double>(name, "coefficient_grad", coefficient_grad, k, q);
  detail::row_sink<double> to_columns;
  if constexpr (!std::is_same_v<std::remove_cvref_t<DictionaryGrad>, discard_output>) {
    detail::rate_sink<double>(name, "dictionary_grad", dictionary_grad, d, q);
    const auto v = as_rows(view(dictionary_grad));
    to_columns = detail::row_sink<double>(matrix_view<typename decltype(v)::element_type>(
        v.data(), {v.extent(1), v.extent(0)}, {v.stride(1), v.stride(0)}));
  }
  const bool with_gradients = !to_coefficients.empty() || !to_columns.empty();
  std::vector<detail::right_factor> residual(with_gradients ? static_cast<std::size_t>(k) : 0);
  const variational_rate_terms result{fit.rate(), fit.penalty(name, ex, with_gradients ? &residual : nullptr)};
  if (!std::isfinite(result.rate + result.penalty))
    detail::fail<value_error>(name, ": rate ", result.rate, " and penalty ", result.penalty,
                              " overflow; eps_squared is ", options.eps_squared, " and penalty's factor ",
                              options.penalty);
  if (!with_gradients) return result;
  std::vector<double> slope(static_cast<std::size_t>(k * q));
  ex((q + most - 1) / most, [&](index_t task) {
    const index_t first = task * most, count = std::min(most, q - first);
    const detail::product_rows along(d), sum(d);
    for (index_t r = 0; r < count; ++r) std::fill_n(sum.row(r), d, 0.0);
    for (index_t c = 0; c < k; ++c) {
      if (fit.weight(c) == 0) continue;
      const double* row[std::size_t(most)] = {};
      index_t column[std::size_t(most)];
      index_t found = 0;
      for (index_t r = 0; r < count; ++r)
        if (!to_coefficients.empty() || fit.coefficient(c, first + r) != 0) {
          row[found] = fit.atom(first + r);
          column[found++] = r;
        }
      detail::multiply_rows(static_cast<const double* const*>(row), found,
                            residual[static_cast<std::size_t>(c)].packed(), d, 1.0, false, along.rows());
      for (index_t e = 0; e < found; ++e) {
        const index_t l = first + column[e];
        const double a = fit.coefficient(c, l), inside = fit.inside(c);
        slope[static_cast<std::size_t>(c * q + l)] =
            fit.share(c) * inside / (1 + inside * a) - fit.mu() * detail::dot_product(row[e], along.row(e), d);
        double* const to = sum.row(column[e]);
        for (index_t f = 0; a != 0 && f < d; ++f) to[f] -= 2 * fit.mu() * a * along.row(e)[f];
      }
    }
    if (to_columns.empty()) return;
    for (index_t r = 0; r < count; ++r) to_columns.put_part(first + r, 0, d, sum.row(r));
  });
  for (index_t c = 0; !to_coefficients.empty() && c < k; ++c) to_coefficients.put_part(c, 0, q, slope.data() + c * q);
  return result;
}
template <real_matrix Dictionary, real_matrix Coefficients, real_output DictionaryGrad, real_output CoefficientGrad>
variational_rate_terms variational_rate(const covariance_accumulator& covariance, const Dictionary& dictionary,
                                        const Coefficients& coefficients, DictionaryGrad&& dictionary_grad,
                                        CoefficientGrad&& coefficient_grad,
                                        const variational_rate_options& options = {}) {
  return variational_rate(seq, covariance, dictionary, coefficients, dictionary_grad, coefficient_grad, options);
}

/// The gradient of the penalty of variational_rate with respect to features that are part of the covariance; its rate
/// does not depend on them.
///
///     feature_grad(i) = 2 mu sum over j of Pi(i, j) s_j E_j z_i
///
/// features     n x d  a batch that was added to `covariance`, or part of one
/// memberships  n      as they were then
/// feature_grad n x d  may be the storage of `features`
///
/// Throws as variational_rate; value_error for a NaN, an infinity or squares that overflow, and for a class that has no
/// weight in `covariance`; for memberships what membership_view throws; nothing is written then. O(k d^2 q + m d^2) for
/// m memberships that are not zero; allocates k d^2, 16 bytes a membership, and d^2 a task. Same bits for every
/// executor and layout.
template <executor Exec, real_matrix Dictionary, real_matrix Coefficients, real_matrix Features,
          writable_matrix FeatureGrad>
void variational_rate_features(Exec&& ex, const covariance_accumulator& covariance, const Dictionary& dictionary,
                               const Coefficients& coefficients, const Features& features,
                               const membership_view& memberships, FeatureGrad&& feature_grad,
                               const variational_rate_options& options = {}) {
  constexpr const char* name = "variational_rate_features";
  const detail::variational_fit fit(name, covariance, dictionary, coefficients, options);
  const auto z = view(features);
  const index_t n = z.extent(0), d = covariance.features(), k = covariance.classes();
  detail::require_extent("variational_rate_features: features", z, 1, d);
  if (memberships.rows() != n || memberships.classes() != k)
    detail::fail<shape_error>(name, ": memberships of ", memberships.rows(), " rows and ", memberships.classes(),
                              " classes for ", n, " rows of features and ", k, " classes");
  const detail::row_source<double> x(z);
  const auto to = detail::rate_sink<double>(name, "feature_grad", feature_grad, n, d);
  const detail::class_rows members = memberships.by_class(name);
  detail::require_finite_features(name, ex, x, n, std::numeric_limits<double>::max() / 4);
  for (index_t c = 0; c < k; ++c)
    if (members.size(c) > 0 && fit.weight(c) == 0)
      detail::fail<value_error>(name, ": row ", members.row[static_cast<std::size_t>(members.begin[std::size_t(c)])],
                                " belongs to class ", c,
                                ", which has no weight in the covariance; add the batch to it first");
  std::vector<detail::right_factor> residual(static_cast<std::size_t>(k));
  fit.penalty(name, ex, &residual);
  for (index_t c = 0; c < k; ++c)
    if (fit.weight(c) != 0) residual[static_cast<std::size_t>(c)].scale(2 * fit.mu() * fit.scale(c));
  detail::multiply_by_class(ex, residual, x, members, false, 1.0, to, [](index_t, index_t, index_t, double) {});
}

/// Dictionary and coefficients that fit covariances with p directions a class: their first eigenvectors.
///
///     column j p + r of the dictionary: the eigenvector of the r-th greatest eigenvalue of C_j
///     coefficients(j, j p + r): that eigenvalue of s_j C_j; 0 for the columns of other classes
///
/// dictionary    d x k p  written, orthonormal columns a class; the element of greatest size of each is positive
/// coefficients  k x k p  written
///
/// With p = d the fit is exact and variational_rate equals R_c; with fewer its rate is below R_c by the logarithms that
/// are left out. Where eigenvalues coincide, and for a class without weight, any vectors of theirs are right, and these
/// are the same for every executor. An implementation takes p = 20 for ten classes and 10 for a hundred, and latches
/// anew every 50 epochs. Throws shape_error where columns are no multiple of k or p exceeds d; value_error for a
/// covariance that overflowed. O(k d^3); allocates 2 d^2 a task. One task a class. Source: as variational_rate.
template <executor Exec, writable_matrix Dictionary, writable_matrix Coefficients>
void latch_dictionary(Exec&& ex, const covariance_accumulator& covariance, Dictionary&& dictionary,
                      Coefficients&& coefficients, covariance_scale scale = covariance_scale::class_size) {
  constexpr const char* name = "latch_dictionary";
  const auto g = view(dictionary);
  const index_t d = covariance.features(), k = covariance.classes(), q = g.extent(1), p = q / k;
  const auto to_coefficients = detail::rate_sink<double>(name, "coefficients", coefficients, k, q);
  detail::require_extent("latch_dictionary: dictionary", g, 0, d);
  if (p * k != q || p > d)
    detail::fail<shape_error>(name, ": dictionary has ", q, " columns for ", k, " classes of ", d,
                              " features; give the same number for each class, as many as features at most");
  const detail::row_sink<double> columns(
      matrix_view<typename decltype(g)::element_type>(g.data(), {q, d}, {g.stride(1), g.stride(0)}));
  for (index_t c = 0; c < k; ++c)
    if (!detail::all_finite(covariance.packed_covariance(c).data(), detail::packed_size(d)))
      detail::fail<value_error>(name, ": the covariance of class ", c, " overflows or holds a NaN");
  ex(k, [&](index_t c) {
    const matrix<double> square = covariance.covariance(c);
    detail::symmetric_eigen eigen(square.data(), d, true);
    const double weight = covariance.weights()[static_cast<std::size_t>(c)];
    std::vector<double> row(static_cast<std::size_t>(q));
    for (index_t r = 0; r < p; ++r) {
      columns.put_part(c * p + r, 0, d, eigen.vector(r));
      const double value = std::max(eigen.value(r), 0.0);
      if (weight != 0)
        row[static_cast<std::size_t>(c * p + r)] = scale == covariance_scale::none ? value : value / weight;
    }
    to_coefficients.put_part(c, 0, q, row.data());
  });
}
template <writable_matrix Dictionary, writable_matrix Coefficients>
void latch_dictionary(const covariance_accumulator& covariance, Dictionary&& dictionary, Coefficients&& coefficients,
                      covariance_scale scale = covariance_scale::class_size) {
  latch_dictionary(seq, covariance, dictionary, coefficients, scale);
}

}  // namespace weakly::inline v0
