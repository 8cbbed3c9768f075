// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/labels.hpp>
#include <weakly/core/matrix.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>
#include <vector>

namespace weakly::inline v0 {

struct anchor_points_options {
  double quantile = 1;  ///< in (0, 1]: 1 takes the most probable row, 0.97 the first after the top 3 %
};

namespace detail {

/// ceil(quantile n), but the nearest integer where only rounding keeps the product from it: 0.28 of 25 rows are 7.
inline index_t quantile_count(double quantile, index_t n) {
  const double product = quantile * static_cast<double>(n), nearest = std::round(product);
  const bool rounding = std::abs(product - nearest) <= 2 * std::numeric_limits<double>::epsilon() * product;
  return static_cast<index_t>(rounding ? nearest : std::ceil(product));
}

}  // namespace detail

/// For each class the row that is taken to belong to it without doubt.
///
///     anchor(c) = the row of rank n - ceil(quantile n) in prob(., c), greatest first, ties by the lower row
///
/// prob  n x k  probabilities of the observed, noisy labels
///
/// Rows with a NaN are no anchors, and n does not count them; value_error where no other row is left. A product within
/// two roundings of an integer counts as it. Throws option_error. O(n k) on the calling thread, so the result is one
/// whatever the layout; with a quantile below 1 it allocates 3 n numbers, else k. Source: Patrini et al., CVPR 2017.
template <real_matrix Prob>
std::vector<index_t> anchor_points(const Prob& prob, const anchor_points_options& options = {}) {
  if (!(options.quantile > 0 && options.quantile <= 1))
    detail::fail<option_error>("anchor_points: quantile is ", options.quantile, "; it must lie in (0, 1]");
  const auto p = view(prob);
  const index_t n = p.extent(0), k = p.extent(1);
  const auto value = [&](index_t i, index_t c) { return detail::convert_real<double>(p(i, c)); };
  const auto numbers = [&](index_t i) {
    for (index_t c = 0; c < k; ++c)
      if (std::isnan(value(i, c))) return false;
    return true;
  };
  std::vector<index_t> anchor(static_cast<std::size_t>(k), -1);
  bool any = false;
  if (options.quantile == 1) {
    std::vector<double> top(static_cast<std::size_t>(k));
    for (index_t i = 0; i < n; ++i) {
      if (!numbers(i)) continue;
      any = true;
      for (index_t c = 0; c < k; ++c) {
        const auto at = static_cast<std::size_t>(c);
        const double x = value(i, c);
        if (anchor[at] >= 0 && x <= top[at]) continue;
        top[at] = x;
        anchor[at] = i;
      }
    }
  } else {
    std::vector<index_t> good;
    good.reserve(static_cast<std::size_t>(n));
    for (index_t i = 0; i < n; ++i)
      if (numbers(i)) good.push_back(i);
    any = !good.empty();
    const auto rows = static_cast<index_t>(good.size());
    const index_t rank = rows - detail::quantile_count(options.quantile, rows);
    std::vector<std::pair<double, index_t>> column(good.size());
    for (index_t c = 0; any && c < k; ++c) {
      for (std::size_t r = 0; r < good.size(); ++r) column[r] = {-value(good[r], c), good[r]};
      std::nth_element(column.begin(), column.begin() + rank, column.end());
      anchor[static_cast<std::size_t>(c)] = column[static_cast<std::size_t>(rank)].second;
    }
  }
  if (!any) detail::fail<value_error>("anchor_points: no row of ", n, " is without NaN; give one at least that is");
  return anchor;
}

/// Transition matrix whose row c is the noisy posterior at the anchor of class c: T(c, l) = prob(anchor(c), l).
///
/// As anchor_points; right where the anchors belong to their classes for certain. Returns k x k.
template <real_matrix Prob>
matrix<double> anchor_transition(const Prob& prob, const anchor_points_options& options = {}) {
  const std::vector<index_t> anchor = anchor_points(prob, options);
  const auto p = view(prob);
  const index_t k = p.extent(1);
  matrix<double> t(k, k);
  for (index_t c = 0; c < k; ++c)
    for (index_t l = 0; l < k; ++l) t(c, l) = detail::convert_real<double>(p(anchor[static_cast<std::size_t>(c)], l));
  return t;
}

/// Transition matrix in two steps, of which the second is counted: from the true class to the most probable noisy label
/// m, and from there to the label seen.
///
///     T = T1 T2,   T1 = anchor_transition,   T2(m, l) = share of label l among the rows whose most probable label is m
///
/// prob    n x k  probabilities of the noisy labels; rows with a NaN are not counted
/// labels  n      in [0, k); -1 where nothing was observed
///
/// Ties by the lower class. A class that is never predicted has the unit row in T2. Throws shape_error, label_error,
/// and what anchor_points throws. O(n k + k^3). Source: Yao et al., "Dual T", NeurIPS 2020, arXiv 2006.07805.
template <real_matrix Prob, label_vector Labels>
matrix<double> dual_transition(const Prob& prob, const Labels& labels, const anchor_points_options& options = {}) {
  const auto p = view(prob);
  const auto y = view(labels);
  const index_t n = p.extent(0), k = p.extent(1);
  detail::require_extent("dual_transition: labels", y, 0, n);
  matrix<double> second(k, k);
  for (index_t i = 0; i < n; ++i) {
    const auto label = static_cast<index_t>(y(i));
    if (label != -1 && !detail::is_label(label, k))
      detail::fail<label_error>("dual_transition: label ", label, " of row ", i, " is outside [0, ", k, ")");
    index_t top = 0;
    bool number = true;
    for (index_t c = 0; c < k; ++c) {
      const double x = detail::convert_real<double>(p(i, c));
      number &= !std::isnan(x);
      if (x > detail::convert_real<double>(p(i, top))) top = c;
    }
    if (number && label >= 0) second(top, label) += 1;
  }
  for (index_t m = 0; m < k; ++m) {
    double rows = 0;
    for (const double count : second.row(m)) rows += count;
    if (rows == 0) second(m, m) = 1;
    for (double& count : second.row(m)) count /= std::max(rows, 1.0);
  }
  const matrix<double> first = anchor_transition(prob, options);
  matrix<double> t(k, k);
  for (index_t c = 0; c < k; ++c)
    for (index_t m = 0; m < k; ++m)
      for (index_t l = 0; l < k; ++l) t(c, l) += first(c, m) * second(m, l);
  return t;
}

}  // namespace weakly::inline v0
