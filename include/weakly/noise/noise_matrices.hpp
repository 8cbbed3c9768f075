// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/matrix.hpp>
#include <weakly/core/view.hpp>
#include <weakly/noise/calibrate_joint.hpp>
#include <weakly/noise/latent_algebra.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace weakly::inline v0 {

/// How the distribution of the true label is estimated; s is the given label, y the true one, k a class.
enum class prior_method : std::uint8_t {
  counts,             ///< P(y=k|s=k) / P(s=k|y=k) P(s=k)          (cleanlab: cnt)
  equation,           ///< the solution of P(s|y) P(y) = P(s)       (cleanlab: eqn)
  marginal,           ///< the column sums of the joint             (cleanlab: marginal)
  marginal_of_labels  ///< P(y|s) P(s)                              (cleanlab: marginal_ps)
};

struct noise_matrices_options {
  prior_method method = prior_method::counts;
  /// Iterate the three estimates until they agree with one another: three rounds of five steps, as the literature does.
  bool converge = false;
  /// none: a class without true rows keeps a unit column, and no rate or prior is clipped from below.
  /// cleanlab: such columns are zero, priors at least 1e-6, off-diagonal rates at most 0.9999.
  compatibility compat = compatibility::none;
};

/// What the noise looks like.
struct noise_estimate {
  std::vector<double> prior;            ///< P(y = k); sums to one, zero throughout when there are no rows
  matrix<double> noise_matrix;          ///< P(s = a | y = b): row the given label, columns sum to one
  matrix<double> inverse_noise_matrix;  ///< P(y = b | s = a): row the true label, column the given, columns sum to one
};

namespace detail {

inline std::vector<double> label_distribution(std::span<const std::int64_t> label_counts) {
  double n = 0;
  for (const std::int64_t rows : label_counts) n += static_cast<double>(rows);
  std::vector<double> ps;
  for (const std::int64_t rows : label_counts) ps.push_back(n > 0 ? static_cast<double>(rows) / n : 0.0);
  return ps;
}

/// The estimates straight from the counts, neither clipped nor normalised.
struct raw_rates {
  matrix<double> noise;    // C(a, b) / column sum
  matrix<double> inverse;  // C(a, b) / row sum, transposed
  std::vector<double> marginal;
};

template <class T>
raw_rates rates_of(const matrix_view<const T>& joint, compatibility compat) {
  const index_t k = joint.extent(0);
  std::vector<double> row(static_cast<std::size_t>(k)), column(static_cast<std::size_t>(k));
  double total = 0;
  for (index_t a = 0; a < k; ++a)
    for (index_t b = 0; b < k; ++b) {
      const auto c = static_cast<double>(joint(a, b));
      row[static_cast<std::size_t>(a)] += c;
      column[static_cast<std::size_t>(b)] += c;
      total += c;
    }
  raw_rates r{matrix<double>(k, k), matrix<double>(k, k), std::vector<double>(static_cast<std::size_t>(k))};
  for (index_t a = 0; a < k; ++a)
    for (index_t b = 0; b < k; ++b) {
      const auto c = static_cast<double>(joint(a, b));
      r.noise(a, b) = c / std::max(column[static_cast<std::size_t>(b)], 1e-100);
      r.inverse(b, a) = c / std::max(row[static_cast<std::size_t>(a)], 1e-100);
    }
  for (index_t b = 0; b < k; ++b) {
    const auto c = static_cast<std::size_t>(b);
    r.marginal[c] = total > 0 ? column[c] / total : 0.0;
    if (compat == compatibility::cleanlab) continue;
    if (column[c] == 0) r.noise(b, b) = 1;
    if (row[c] == 0) r.inverse(b, b) = 1;
  }
  return r;
}

inline std::vector<double> prior_of(const raw_rates& r, std::span<const double> ps, prior_method method,
                                    compatibility compat) {
  const auto k = static_cast<index_t>(ps.size());
  std::vector<double> py(ps.size());
  switch (method) {
    case prior_method::counts:
      for (index_t c = 0; c < k; ++c)
        py[static_cast<std::size_t>(c)] = diagonal_prior(r.noise, r.inverse, ps, c, compat);
      break;
    case prior_method::equation:
      py = solve("noise_matrices", r.noise, ps);
      break;
    case prior_method::marginal:
      py = r.marginal;
      break;
    case prior_method::marginal_of_labels:
      for (index_t b = 0; b < k; ++b)
        for (index_t a = 0; a < k; ++a)
          py[static_cast<std::size_t>(b)] += r.inverse(b, a) * ps[static_cast<std::size_t>(a)];
      break;
  }
  normalise_prior(py, compat, 1e-6);
  return py;
}

inline void make_consistent(noise_estimate& e, std::span<const double> ps, compatibility compat) {
  const auto k = static_cast<index_t>(ps.size());
  for (int round = 0; round < 3; ++round) {
    for (int step = 0; step < 5; ++step) {
      e.inverse_noise_matrix = inverse_noise_matrix(e.noise_matrix, e.prior, ps, compat);
      for (index_t c = 0; c < k; ++c)
        e.prior[static_cast<std::size_t>(c)] = diagonal_prior(e.noise_matrix, e.inverse_noise_matrix, ps, c, compat);
      normalise_prior(e.prior, compat, 1e-6);
    }
    e.noise_matrix = noise_matrix_from_inverse(e.inverse_noise_matrix, ps, e.prior, compat);
  }
  normalise_prior(e.prior, compat, 1e-5);
  clip_rates(e.noise_matrix, compat);
  clip_rates(e.inverse_noise_matrix, compat);
}

}  // namespace detail

/// Class prior, noise matrix and inverse noise matrix from the joint counts of given and true label.
///
///     P(s=a|y=b) = C(a, b) / sum over a of C(a, b)        P(y=b|s=a) = C(a, b) / sum over b of C(a, b)
///
/// joint         k x k   counts, row the given label; normally calibrated (calibrate_joint.hpp)
/// label_counts  k       rows of each given label
///
/// Throws shape_error; value_error for negative counts, or with prior_method::equation for a singular noise matrix.
/// O(k^2), with prior_method::equation O(k^3). Allocates O(k^2).
/// Source: Northcutt, Jiang, Chuang, "Confident Learning", JAIR 70 (2021), section 3; the methods are cleanlab's.
template <detail::count_matrix Joint>
noise_estimate noise_matrices(const Joint& joint, std::span<const std::int64_t> label_counts,
                              noise_matrices_options options = {}) {
  using T = typename view_t<const Joint&>::value_type;
  const matrix_view<const T> c = view(joint);
  detail::joint_row_sums("noise_matrices", c);
  detail::require_label_counts("noise_matrices", label_counts, c.extent(0));
  const std::vector<double> ps = detail::label_distribution(label_counts);
  detail::raw_rates rates = detail::rates_of(c, options.compat);
  noise_estimate e;
  e.prior = detail::prior_of(rates, ps, options.method, options.compat);
  e.noise_matrix = std::move(rates.noise);
  e.inverse_noise_matrix = std::move(rates.inverse);
  detail::clip_rates(e.noise_matrix, options.compat);
  detail::clip_rates(e.inverse_noise_matrix, options.compat);
  if (options.converge) detail::make_consistent(e, ps, options.compat);
  return e;
}

}  // namespace weakly::inline v0
