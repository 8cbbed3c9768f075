// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/matrix.hpp>
#include <weakly/core/view.hpp>
#include <weakly/noise/calibrate_joint.hpp>
#include <weakly/noise/confident_joint.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace weakly::inline v0 {

/// What the joint says about one class.
struct class_quality {
  index_t class_index = 0;
  std::int64_t label_issues = 0;          ///< rows given this class that belong elsewhere
  std::int64_t inverse_label_issues = 0;  ///< rows that belong to this class and are given another
  double label_noise = 0;                 ///< share of the rows given this class that belong elsewhere; NaN: no rows
  double inverse_label_noise = 0;         ///< share of the rows of this class that are given another; NaN: no rows
  double quality = 0;                     ///< 1 - label_noise; NaN: unknown, the class has no rows
};

/// How often two classes are taken for one another.
struct class_overlap {
  index_t class_a = 0;
  index_t class_b = 0;
  std::int64_t examples = 0;
  double joint_probability = 0;
};

/// Which pairs overlapping_classes lists.
enum class overlap_direction : std::uint8_t {
  either,        ///< pairs a < b, with C(a, b) + C(b, a)
  given_to_true  ///< all a != b, with C(a, b): given a, in truth b
};

namespace detail {

inline double share(double part, double whole, double least, compatibility compat) {
  if (compat == compatibility::cleanlab) return part / std::max(whole, least);
  return whole > 0 ? part / whole : std::numeric_limits<double>::quiet_NaN();
}

}  // namespace detail

/// Every class with its noise, worst quality first; equal quality by class, unknown last.
///
/// calibrated  k x k   counts, row the given label (calibrate_joint.hpp)
///
/// With compatibility::cleanlab a class without rows has quality 1. Throws shape_error, value_error. O(k^2).
template <detail::count_matrix Joint>
std::vector<class_quality> rank_classes(const Joint& calibrated, compatibility compat = compatibility::none) {
  using T = typename view_t<const Joint&>::value_type;
  const matrix_view<const T> c = view(calibrated);
  const index_t k = c.extent(0);
  const std::vector<std::int64_t> row = detail::joint_row_sums("rank_classes", c);
  double n = 0;
  for (const std::int64_t rows : row) n += static_cast<double>(rows);
  std::vector<class_quality> classes;
  for (index_t a = 0; a < k; ++a) {
    std::int64_t column = 0;
    for (index_t b = 0; b < k; ++b) column += static_cast<std::int64_t>(c(b, a));
    class_quality q;
    q.class_index = a;
    q.label_issues = row[static_cast<std::size_t>(a)] - static_cast<std::int64_t>(c(a, a));
    q.inverse_label_issues = column - static_cast<std::int64_t>(c(a, a));
    const double least = 1e-6 * n;  // cleanlab divides by a joint probability of at least 1e-6
    q.label_noise =
        detail::share(static_cast<double>(q.label_issues), static_cast<double>(row[static_cast<std::size_t>(a)]),
                      std::max(least, 1e-300), compat);
    q.inverse_label_noise = detail::share(static_cast<double>(q.inverse_label_issues), static_cast<double>(column),
                                          std::max(least, 1e-300), compat);
    q.quality = 1 - q.label_noise;
    classes.push_back(q);
  }
  std::sort(classes.begin(), classes.end(), [](const class_quality& x, const class_quality& y) {
    const bool x_nan = std::isnan(x.quality), y_nan = std::isnan(y.quality);
    if (x_nan != y_nan) return y_nan;
    return x_nan || x.quality == y.quality ? x.class_index < y.class_index : x.quality < y.quality;
  });
  return classes;
}

/// Pairs of classes by how many examples they share, most first; equal counts by (a, b).
///
/// calibrated  k x k   counts, row the given label (calibrate_joint.hpp)
///
/// At most `limit` pairs are returned. Throws shape_error, value_error. O(k^2 log k), allocates O(k^2).
template <detail::count_matrix Joint>
std::vector<class_overlap> overlapping_classes(const Joint& calibrated,
                                               overlap_direction direction = overlap_direction::either,
                                               index_t limit = std::numeric_limits<index_t>::max()) {
  using T = typename view_t<const Joint&>::value_type;
  const matrix_view<const T> c = view(calibrated);
  const index_t k = c.extent(0);
  double n = 0;
  for (const std::int64_t rows : detail::joint_row_sums("overlapping_classes", c)) n += static_cast<double>(rows);
  std::vector<class_overlap> pairs;
  for (index_t a = 0; a < k; ++a)
    for (index_t b = direction == overlap_direction::either ? a + 1 : 0; b < k; ++b) {
      if (a == b) continue;
      std::int64_t examples = static_cast<std::int64_t>(c(a, b));
      if (direction == overlap_direction::either) examples += static_cast<std::int64_t>(c(b, a));
      pairs.push_back({a, b, examples, n > 0 ? static_cast<double>(examples) / n : 0.0});
    }
  const auto more = [](const class_overlap& x, const class_overlap& y) {
    if (x.examples != y.examples) return x.examples > y.examples;
    return x.class_a != y.class_a ? x.class_a < y.class_a : x.class_b < y.class_b;
  };
  const auto kept = static_cast<std::ptrdiff_t>(std::clamp<index_t>(limit, 0, static_cast<index_t>(pairs.size())));
  std::partial_sort(pairs.begin(), pairs.begin() + kept, pairs.end(), more);
  pairs.erase(pairs.begin() + kept, pairs.end());
  return pairs;
}

/// The labels of a whole data set in a few numbers.
struct dataset_health_result {
  std::int64_t off_diagonal_issues = 0;  ///< rows that disagree confidently
  std::int64_t calibrated_issues = 0;    ///< what the calibrated joint has off its diagonal
  double confident_health = 0;           ///< 1 - off_diagonal_issues / n
  double joint_health = 0;               ///< trace of the joint
  std::vector<class_quality> classes;    ///< rank_classes
  std::vector<class_overlap> overlaps;   ///< overlapping_classes, either direction
};

/// Two estimates of the share of right labels, the classes by quality, and the pairs that overlap. The two estimates
/// answer different questions and are named apart: the first counts rows, the second also those nobody is confident of.
/// n = 0: both are 1. Throws shape_error, value_error. O(k^2 log k).
template <detail::count_matrix Joint>
dataset_health_result dataset_health(const confident_joint_result& joint, const Joint& calibrated,
                                     compatibility compat = compatibility::none) {
  using T = typename view_t<const Joint&>::value_type;
  const matrix_view<const T> c = view(calibrated);
  dataset_health_result health;
  health.off_diagonal_issues = joint.off_diagonal_issues;
  health.calibrated_issues = calibrated_issues(calibrated, joint.label_counts, compat);
  double n = 0;
  for (const std::int64_t rows : joint.label_counts) n += static_cast<double>(rows);
  const matrix<double> distribution = joint_distribution(calibrated);
  double trace = 0;
  for (index_t a = 0; a < c.extent(0); ++a) trace += distribution(a, a);
  health.confident_health = n > 0 ? 1 - static_cast<double>(health.off_diagonal_issues) / n : 1;
  health.joint_health = n > 0 ? trace : 1;
  health.classes = rank_classes(calibrated, compat);
  health.overlaps = overlapping_classes(calibrated);
  return health;
}

}  // namespace weakly::inline v0
