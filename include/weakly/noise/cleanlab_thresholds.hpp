// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/half.hpp>
#include <weakly/core/labels.hpp>
#include <weakly/core/view.hpp>
#include <weakly/noise/detail/numpy_arithmetic.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

namespace weakly::inline v0 {

/// The class thresholds as cleanlab 2.9 computes them: numpy's mean, rounded in the type T of the probabilities.
///
///     t(c) = max( mean over { i : label(i) = c } of prob(i, c), 2e-6 ),    2 for a class without rows
///
/// numpy adds pairwise over the rows of a class in order, so the result depends on that order and all values must be
/// kept: batches are added in row order, there is no merge, and `add` allocates. Memory: one float (double for T =
/// double) a row. For exact thresholds that merge, use class_threshold_estimator; the two differ by rounding only.
template <class T>
class cleanlab_threshold_estimator {
 public:
  /// For k classes. Throws option_error when k < 1.
  explicit cleanlab_threshold_estimator(index_t k) {
    if (k < 1) detail::fail<option_error>("cleanlab_threshold_estimator: k = ", k, " classes; give at least one");
    own_probability_.resize(static_cast<std::size_t>(k));
  }

  /// Makes room for as many rows of each class as `label_counts` says, so that `add` does not allocate.
  void reserve(std::span<const std::int64_t> label_counts) {
    for (std::size_t c = 0; c < own_probability_.size() && c < label_counts.size(); ++c)
      own_probability_[c].reserve(static_cast<std::size_t>(label_counts[c]));
  }

  /// Adds the next batch: labels n, integers in [0, k); prob n x k, of element type T. NaN is added as numpy adds it.
  /// Throws shape_error, or label_error for a label outside [0, k), before anything is added.
  template <label_vector Labels, real_matrix Prob>
  void add(const Labels& labels, const Prob& prob) {
    using Label = typename view_t<const Labels&>::value_type;
    const vector_view<const Label> y = view(labels);
    const matrix_view<const T> p = view(prob);
    const auto k = static_cast<index_t>(own_probability_.size());
    detail::require_extent("cleanlab_threshold_estimator::add: prob", p, 0, y.extent(0));
    detail::require_extent("cleanlab_threshold_estimator::add: prob", p, 1, k);
    detail::require_labels("cleanlab_threshold_estimator::add", y, k);
    for (index_t i = 0; i < y.extent(0); ++i) {
      const auto c = static_cast<std::size_t>(y(i));
      own_probability_[c].push_back(static_cast<arithmetic_t<T>>(p(i, static_cast<index_t>(c))));
    }
  }

  /// The thresholds, one a class. O(n).
  std::vector<double> finish() const {
    using A = arithmetic_t<T>;
    bool any_absent = false;
    for (const auto& values : own_probability_) any_absent |= values.empty();
    // numpy keeps the type of the probabilities unless the integer 2 of an absent class widens the whole vector.
    const double least = any_absent ? 2e-6 : rounded(A(2e-6));
    std::vector<double> threshold;
    for (const auto& values : own_probability_)
      threshold.push_back(values.empty() ? 2.0 : std::max(rounded(sum(values) / A(values.size())), least));
    return threshold;
  }

 private:
  static double rounded(arithmetic_t<T> x) {
    if constexpr (std::is_same_v<T, half>)
      return double(float(half(x)));
    else
      return double(x);
  }

  static arithmetic_t<T> sum(const std::vector<arithmetic_t<T>>& values) {
    using A = arithmetic_t<T>;
    const std::span<const A> all(values);
    if constexpr (!std::is_same_v<T, half>) {
      return detail::numpy_sum(all);
    } else {
      // numpy widens float16 through a buffer of 8192 values and adds the buffers' sums in order.
      A total = 0;
      for (std::size_t first = 0; first < all.size(); first += 8192)
        total += detail::numpy_sum(all.subspan(first, std::min<std::size_t>(8192, all.size() - first)));
      return total;
    }
  }

  std::vector<std::vector<arithmetic_t<T>>> own_probability_;
};

/// The thresholds of one batch: see cleanlab_threshold_estimator.
template <label_vector Labels, real_matrix Prob>
std::vector<double> cleanlab_thresholds(const Labels& labels, const Prob& prob) {
  cleanlab_threshold_estimator<typename view_t<const Prob&>::value_type> estimator(view(prob).extent(1));
  estimator.add(labels, prob);
  return estimator.finish();
}

}  // namespace weakly::inline v0
