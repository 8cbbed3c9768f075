// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/matrix.hpp>
#include <weakly/core/view.hpp>
#include <weakly/noise/detail/apportion.hpp>
#include <weakly/noise/detail/numpy_arithmetic.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

namespace weakly::inline v0 {

/// How counts are scaled and rounded.
struct calibrate_joint_options {
  /// none: exact integers by largest remainders. cleanlab: its floating-point scaling and rounding.
  compatibility compat = compatibility::none;
  /// With cleanlab's numbers only: its total is summed column by column for a joint it counted itself and row by row
  /// for one it was handed, and halves may round differently.
  bool supplied = false;
};

namespace detail {

template <class Joint>
concept count_matrix =
    readable_matrix<Joint> && on_host<Joint> && std::is_integral_v<typename view_t<const Joint&>::value_type>;

/// Row sums, after the checks that every function of a joint makes.
template <class T>
std::vector<std::int64_t> joint_row_sums(std::string_view function, const matrix_view<const T>& joint) {
  const index_t k = joint.extent(0);
  if (joint.extent(1) != k)
    fail<shape_error>(function, ": the joint has shape ", shape_text(joint), "; it must be k x k");
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  std::vector<std::int64_t> sum(static_cast<std::size_t>(k));
  for (index_t a = 0; a < k; ++a) {
    std::int64_t& total = sum[static_cast<std::size_t>(a)];
    // Where no count is above this, the sum cannot overflow and none was negative.
    std::uint64_t bits = 0, fast_total = 0;
    for (index_t b = 0; b < k; ++b) {
      bits |= static_cast<std::uint64_t>(joint(a, b));
      fast_total += static_cast<std::uint64_t>(joint(a, b));
    }
    if (bits <= static_cast<std::uint64_t>(most / k)) {
      total = static_cast<std::int64_t>(fast_total);
      continue;
    }
    for (index_t b = 0; b < k; ++b) {
      if (joint(a, b) < 0)
        fail<value_error>(function, ": the joint counts ", joint(a, b), " rows of given class ", a, " and class ", b,
                          "; counts are not negative");
      if (static_cast<std::uint64_t>(joint(a, b)) > static_cast<std::uint64_t>(most - total))
        fail<value_error>(function, ": the joint counts ", joint(a, b), " rows of given class ", a, " and class ", b,
                          ", which takes the class above 2^63 - 1; was a negative number converted?");
      total += static_cast<std::int64_t>(joint(a, b));
    }
  }
  return sum;
}

/// The rows of all classes together, of counts that are not negative.
inline std::int64_t total_rows(std::string_view function, std::span<const std::int64_t> rows) {
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  std::int64_t total = 0;
  for (const std::int64_t of_class : rows) {
    if (of_class > most - total)
      fail<value_error>(function,
                        ": the classes have more than 2^63 - 1 rows together; was a negative number converted?");
    total += of_class;
  }
  return total;
}

inline void require_label_counts(std::string_view function, std::span<const std::int64_t> label_counts, index_t k) {
  if (static_cast<index_t>(label_counts.size()) != k)
    fail<shape_error>(function, ": ", label_counts.size(), " label counts for a joint of ", k, " classes");
  for (std::size_t a = 0; a < label_counts.size(); ++a)
    if (label_counts[a] < 0)
      fail<value_error>(function, ": class ", a, " has ", label_counts[a], " rows; counts are not negative");
}

/// numpy's sum over the k x k cells in the order that memory has them there.
inline double numpy_total(const matrix<double>& x, bool by_columns) {
  if (!by_columns) return numpy_sum(x.elements());
  std::vector<double> transposed;
  for (index_t b = 0; b < x.cols(); ++b)
    for (index_t a = 0; a < x.rows(); ++a) transposed.push_back(x(a, b));
  return numpy_sum(std::span<const double>(transposed));
}

template <class T>
matrix<std::int64_t> cleanlab_calibrate(const matrix_view<const T>& joint, std::span<const std::int64_t> row_sum,
                                        std::span<const std::int64_t> label_counts, bool supplied) {
  const index_t k = joint.extent(0);
  matrix<double> scaled(k, k);
  double n = 0;
  for (index_t a = 0; a < k; ++a) {
    const auto row = static_cast<std::size_t>(a);
    n += static_cast<double>(label_counts[row]);
    const double divisor = std::max(static_cast<double>(row_sum[row]), 1e-100);
    for (index_t b = 0; b < k; ++b)
      scaled(a, b) = static_cast<double>(joint(a, b)) / divisor * static_cast<double>(label_counts[row]);
  }
  const double total = std::max(numpy_total(scaled, !supplied), 1e-100);
  matrix<std::int64_t> calibrated(k, k);
  for (index_t a = 0; a < k; ++a) {
    for (index_t b = 0; b < k; ++b) scaled(a, b) = scaled(a, b) / total * n;
    cleanlab_round(scaled.row(a), calibrated.row(a));
  }
  return calibrated;
}

}  // namespace detail

/// The joint counts scaled to the given labels: row a sums to the number of rows labelled a, the whole to n.
///
///     X(a, b) = C(a, b) n(a) / (sum over b of C(a, b)),  rounded to integers by the method of largest remainders
///
/// joint         k x k   counts, row the given label (confident_joint.hpp)
/// label_counts  k       n(a), rows of each given label
///
/// Integer arithmetic: no rounding but the last, equal remainders go to the lower class first. A class with rows of
/// which none was counted is put on the diagonal; a class without rows has an empty row. Throws shape_error, or
/// value_error for a negative count or a class of 2^63 rows. O(k^2 log k), allocates O(k^2). Products stay below 2^127.
template <detail::count_matrix Joint>
matrix<std::int64_t> calibrate_joint(const Joint& joint, std::span<const std::int64_t> label_counts,
                                     calibrate_joint_options options = {}) {
  using T = typename view_t<const Joint&>::value_type;
  const matrix_view<const T> c = view(joint);
  const index_t k = c.extent(0);
  const std::vector<std::int64_t> row_sum = detail::joint_row_sums("calibrate_joint", c);
  detail::require_label_counts("calibrate_joint", label_counts, k);
  if (options.compat == compatibility::cleanlab)
    return detail::cleanlab_calibrate(c, row_sum, label_counts, options.supplied);

  matrix<std::int64_t> calibrated(k, k);
  std::vector<std::int64_t> weight(static_cast<std::size_t>(k));
  for (index_t a = 0; a < k; ++a) {
    const std::int64_t rows = label_counts[static_cast<std::size_t>(a)];
    if (row_sum[static_cast<std::size_t>(a)] == 0) {
      calibrated(a, a) = rows;
      continue;
    }
    for (index_t b = 0; b < k; ++b) weight[static_cast<std::size_t>(b)] = static_cast<std::int64_t>(c(a, b));
    detail::apportion(weight, rows, calibrated.row(a));
  }
  return calibrated;
}

/// The joint distribution of given and true label: counts divided by their total. All zero when there are no counts.
template <detail::count_matrix Joint>
matrix<double> joint_distribution(const Joint& joint) {
  using T = typename view_t<const Joint&>::value_type;
  const matrix_view<const T> c = view(joint);
  double total = 0;
  for (const std::int64_t rows : detail::joint_row_sums("joint_distribution", c)) total += static_cast<double>(rows);
  matrix<double> distribution(c.extent(0), c.extent(0));
  for (index_t a = 0; total > 0 && a < c.extent(0); ++a)
    for (index_t b = 0; b < c.extent(0); ++b) distribution(a, b) = static_cast<double>(c(a, b)) / total;
  return distribution;
}

/// The number of label issues by the calibrated joint: what lies off its diagonal. With cleanlab's numbers the joint is
/// calibrated once more and the count is round(n (1 - trace)), its order of operations included. Throws shape_error;
/// value_error for counts that are negative or more than 2^63 - 1 together.
template <detail::count_matrix Joint>
std::int64_t calibrated_issues(const Joint& calibrated, std::span<const std::int64_t> label_counts,
                               compatibility compat = compatibility::none) {
  using T = typename view_t<const Joint&>::value_type;
  const matrix_view<const T> c = view(calibrated);
  const index_t k = c.extent(0);
  const std::vector<std::int64_t> row_sum = detail::joint_row_sums("calibrated_issues", c);
  detail::require_label_counts("calibrated_issues", label_counts, k);
  if (compat == compatibility::none) {
    std::int64_t issues = detail::total_rows("calibrated_issues", row_sum);
    for (index_t a = 0; a < k; ++a) issues -= static_cast<std::int64_t>(c(a, a));
    return issues;
  }
  const matrix<double> joint = joint_distribution(detail::cleanlab_calibrate(c, row_sum, label_counts, true));
  double n = 0;
  std::vector<double> diagonal;
  for (index_t a = 0; a < k; ++a) {
    n += static_cast<double>(label_counts[static_cast<std::size_t>(a)]);
    diagonal.push_back(joint(a, a));
  }
  return detail::count_within(std::nearbyint((1.0 - detail::numpy_sum(std::span<const double>(diagonal))) * n));
}

}  // namespace weakly::inline v0
