// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/matrix.hpp>
#include <weakly/core/view.hpp>
#include <weakly/noise/calibrate_joint.hpp>
#include <weakly/noise/detail/apportion.hpp>
#include <weakly/noise/detail/numpy_arithmetic.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace weakly::inline v0 {

/// How many of the estimated label errors are to be pruned.
struct prune_counts_options {
  double frac_noise = 1;               ///< share of the estimated errors, in [0, 1]
  index_t min_examples_per_class = 1;  ///< rows that stay in each given class
  compatibility compat = compatibility::none;
};

namespace detail {

// cleanlab works on the transpose: m(j, c) with j the true and c the given class, and keeps rows by its own rules.
template <class T>
matrix<std::int64_t> cleanlab_prune_counts(const matrix_view<const T>& joint,
                                           std::span<const std::int64_t> label_counts,
                                           std::span<const std::int64_t> to_remove,
                                           const prune_counts_options& options) {
  const index_t k = joint.extent(0);
  const double f = options.frac_noise;
  matrix<std::int64_t> kept(k, k);
  for (index_t c = 0; c < k; ++c) {
    const auto diagonal = static_cast<double>(joint(c, c));
    const double wanted = std::max(diagonal, static_cast<double>(options.min_examples_per_class));
    index_t nonzero = 0;
    for (index_t j = 0; j < k; ++j) nonzero += joint(c, j) != 0;
    const double lowered = (wanted - diagonal) / static_cast<double>(std::max<index_t>(nonzero - 1, 1));
    const auto off_diagonal = [&](index_t j) { return std::max(static_cast<double>(joint(c, j)) - lowered, 0.0); };
    const auto given_back = [&](std::size_t j) {
      const double w = static_cast<index_t>(j) == c ? 0.0 : off_diagonal(static_cast<index_t>(j));
      return w - rounded_product(f, w);
    };
    for (index_t j = 0; j < k; ++j) kept(j, c) = count_within(f * off_diagonal(j));
    // The sum is often just below or at an integer before it is cut, so its last bit decides: add as numpy does.
    kept(c, c) = count_within(wanted + numpy_sum<double>(given_back, 0, static_cast<std::size_t>(k)));
  }
  if (!to_remove.empty()) {
    std::vector<double> total(static_cast<std::size_t>(k));
    for (index_t j = 0; j < k; ++j)
      for (index_t c = 0; c < k; ++c) total[static_cast<std::size_t>(j)] += static_cast<double>(kept(j, c));
    matrix<double> share(k, k);
    for (index_t j = 0; j < k; ++j) {
      const auto row = static_cast<std::size_t>(j);
      for (index_t c = 0; c < k; ++c)
        share(j, c) = static_cast<double>(kept(j, c)) / total[static_cast<std::size_t>(c)];
      const double off = numpy_sum(std::span<const double>(share.row(j))) - share(j, j);
      for (index_t c = 0; c < k; ++c) share(j, c) = share(j, c) * static_cast<double>(to_remove[row]) / off;
      share(j, j) = static_cast<double>(label_counts[row] - to_remove[row]);
    }
    for (index_t j = 0; j < k; ++j) cleanlab_round(share.row(j), kept.row(j));
  }
  matrix<std::int64_t> prune(k, k);
  for (index_t c = 0; c < k; ++c)
    for (index_t j = 0; j < k; ++j) prune(c, j) = kept(j, c);
  return prune;
}

/// The nearest number to a share in [0, 1] of a count; halves away from zero.
inline std::int64_t share_of(std::int64_t count, double share) {
  if (share == 1) return count;  // which a double may not hold
  const double wanted = std::round(share * static_cast<double>(count));
  return wanted >= 0x1p63 ? count : std::min(static_cast<std::int64_t>(wanted), count);
}

/// Calls f(a, row a of prune_counts) for every class a in order; f may use the row until it returns. Checks and errors
/// are those of prune_counts.
template <class T, class F>
void for_each_prune_row(const matrix_view<const T>& c, std::span<const std::int64_t> label_counts,
                        std::span<const std::int64_t> to_remove, const prune_counts_options& options, F f) {
  const index_t k = c.extent(0);
  const std::vector<std::int64_t> row_sum = joint_row_sums("prune_counts", c);
  require_label_counts("prune_counts", label_counts, k);
  if (!(options.frac_noise >= 0 && options.frac_noise <= 1))
    fail<option_error>("prune_counts: frac_noise = ", options.frac_noise, "; it is a share in [0, 1]");
  if (options.min_examples_per_class < 0)
    fail<option_error>("prune_counts: min_examples_per_class = ", options.min_examples_per_class,
                       "; it is a number of rows");
  if (!to_remove.empty() && static_cast<index_t>(to_remove.size()) != k)
    fail<shape_error>("prune_counts: to_remove has ", to_remove.size(), " entries for ", k, " classes");
  for (std::size_t a = 0; a < to_remove.size(); ++a)
    if (to_remove[a] < 0)
      fail<option_error>("prune_counts: to_remove of class ", a, " is ", to_remove[a], "; it is a number of rows");
  if (options.compat == compatibility::cleanlab) {
    const matrix<std::int64_t> prune = cleanlab_prune_counts(c, label_counts, to_remove, options);
    for (index_t a = 0; a < k; ++a) f(a, prune.row(a));
    return;
  }
  std::vector<std::int64_t> weight(static_cast<std::size_t>(k)), pruned_to(static_cast<std::size_t>(k));
  for (index_t a = 0; a < k; ++a) {
    const auto row = static_cast<std::size_t>(a);
    for (index_t b = 0; b < k; ++b) weight[static_cast<std::size_t>(b)] = static_cast<std::int64_t>(c(a, b));
    const std::int64_t errors = row_sum[row] - weight[row];
    weight[row] = 0;
    const std::int64_t wanted = to_remove.empty() ? share_of(errors, options.frac_noise) : to_remove[row];
    const std::int64_t room = std::max<std::int64_t>(label_counts[row] - options.min_examples_per_class, 0);
    const std::int64_t pruned = errors == 0 ? 0 : std::min(wanted, room);
    apportion(weight, pruned, pruned_to);
    pruned_to[row] = label_counts[row] - pruned;
    f(a, std::span<const std::int64_t>(pruned_to));
  }
}

}  // namespace detail

/// How many rows of each given class are to be pruned as belonging to each other class.
///
///     E(a)    = sum over b != a of C(a, b)
///     R(a, b) = largest remainders of C(a, b), b != a, shared out of
///               min( round(frac_noise E(a)), max(n(a) - min_examples_per_class, 0) )
///     R(a, a) = n(a) - sum over b != a of R(a, b)
///
/// joint         k x k   counts, row the given label, calibrated (calibrate_joint.hpp)
/// label_counts  k       n(a), rows of each given label
/// to_remove     k       instead of E(a), how many rows of given class a to prune; empty: as many as estimated.
///                       Where the joint has no error of a class, nothing says which class its rows belong to, and
///                       none is pruned.
///
/// round is to nearest, halves away from zero. Every number is about a given class: with compatibility::cleanlab each
/// cell is scaled and cut on its own, and to_remove counts by true class. Throws shape_error; value_error for negative
/// counts; option_error for frac_noise outside [0, 1] or a negative number of rows. O(k^2 log k), allocates O(k^2).
template <detail::count_matrix Joint>
matrix<std::int64_t> prune_counts(const Joint& joint, std::span<const std::int64_t> label_counts,
                                  std::span<const std::int64_t> to_remove = {}, prune_counts_options options = {}) {
  using T = typename view_t<const Joint&>::value_type;
  const matrix_view<const T> c = view(joint);
  matrix<std::int64_t> prune(c.extent(0), c.extent(0));
  detail::for_each_prune_row(c, label_counts, to_remove, options, [&](index_t a, std::span<const std::int64_t> row) {
    std::copy(row.begin(), row.end(), prune.row(a).begin());
  });
  return prune;
}

}  // namespace weakly::inline v0
