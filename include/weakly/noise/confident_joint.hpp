// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/labels.hpp>
#include <weakly/core/matrix.hpp>
#include <weakly/core/view.hpp>
#include <weakly/noise/class_thresholds.hpp>
#include <weakly/noise/cleanlab_thresholds.hpp>
#include <weakly/noise/confident_guess.hpp>
#include <weakly/noise/detail/confident_count.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

namespace weakly::inline v0 {

/// How the joint is counted.
struct confident_joint_options {
  /// none: the paper's guess among the confident classes; a class without rows has an empty row and column.
  /// cleanlab: its guess (confident_guess.hpp) in its arithmetic, and a 1 on the diagonal of every empty class.
  compatibility compat = compatibility::none;
};

struct confident_joint_result;
template <executor Exec, label_vector Labels, real_matrix Prob>
confident_joint_result confident_joint(Exec&& ex, const Labels& labels, const Prob& prob,
                                       confident_joint_options options = {});

/// Counts of (given label, confident guess): the unnormalised joint of noisy and true labels.
///
///     C(a, b) = #{ i : label(i) = a, guess(i) = b },  then C(a, a) = max(C(a, a), 1) for every class a that has rows
///
/// with the guess of confident_guess.hpp; rows in no class confidently are not counted, nor are rows whose own entry
/// prob(i, label(i)) is NaN or outside [-1, 2]. Integers throughout: the same for every order, batch size, merge tree,
/// executor and layout. State: k (k + 1) + 1 integers in one flat buffer that merges by addition. Allocates at
/// construction only. Source: Northcutt, Jiang, Chuang, "Confident Learning", JAIR 70 (2021), eq. 1.
class confident_joint_estimator {
 public:
  /// For the classes that `thresholds` (k of them, see class_thresholds.hpp) counts.
  /// Throws option_error for no thresholds, or for NaN among them.
  explicit confident_joint_estimator(std::span<const double> thresholds, confident_joint_options options = {})
      : bounds_("confident_joint_estimator", thresholds, options.compat), options_(options) {
    const index_t k = classes();
    state_.resize(static_cast<std::size_t>(k * (k + 1) + 1));
  }

  index_t classes() const { return bounds_.classes(); }

  /// Adds a batch.
  ///
  /// labels  n       integers in [0, k)
  /// prob    n x k   probabilities; float, double, half or bfloat16
  ///
  /// Throws shape_error, or label_error for a label outside [0, k), before anything is added. O(n k).
  template <executor Exec, label_vector Labels, real_matrix Prob>
  void add(Exec&& ex, const Labels& labels, const Prob& prob) {
    using Label = typename view_t<const Labels&>::value_type;
    using T = typename view_t<const Prob&>::value_type;
    const vector_view<const Label> y = view(labels);
    const matrix_view<const T> p = view(prob);
    detail::require_extent("confident_joint_estimator::add: prob", p, 0, y.extent(0));
    detail::require_extent("confident_joint_estimator::add: prob", p, 1, classes());
    detail::require_labels(ex, "confident_joint_estimator::add", y, classes());
    count<Label, T>(ex, y, p);
  }
  template <label_vector Labels, real_matrix Prob>
  void add(const Labels& labels, const Prob& prob) {
    add(seq, labels, prob);
  }

  /// Adds what `other`, made with the same thresholds and options, has counted. Throws shape_error when k, option_error
  /// when thresholds or options differ. O(k^2).
  void merge(const confident_joint_estimator& other) {
    if (other.classes() != classes())
      detail::fail<shape_error>("confident_joint_estimator::merge: ", classes(), " and ", other.classes(), " classes");
    if (other.bounds_.of_double != bounds_.of_double || other.options_.compat != options_.compat)
      detail::fail<option_error>(
          "confident_joint_estimator::merge: the two count by different thresholds or rules, so their counts do not "
          "add; make both with the same thresholds and options");
    for (std::size_t i = 0; i < state_.size(); ++i) state_[i] += other.state_[i];
  }

  /// The joint counts C, k x k: row the given label, column the guess. O(k^2).
  matrix<std::int64_t> finish() const& { return confident_joint_estimator(*this).take_counts(); }

  /// As above, handing over the memory of an estimator that is no longer needed.
  matrix<std::int64_t> finish() && { return take_counts(); }

  /// Rows of each given label, counted in the joint or not.
  std::vector<std::int64_t> label_counts() const {
    const index_t k = classes();
    std::vector<std::int64_t> rows(state_.begin() + k * k, state_.end() - 1);
    for (index_t a = 0; a < k; ++a)
      rows[static_cast<std::size_t>(a)] =
          std::accumulate(state_.begin() + a * k, state_.begin() + (a + 1) * k, rows[static_cast<std::size_t>(a)]);
    return rows;
  }

  /// Rows counted off the diagonal in which the label is not the most probable class either (by more than 1e-6): the
  /// number of label issues by the count of confident disagreements.
  std::int64_t off_diagonal_issues() const { return state_.back(); }

  /// The numbers that merging adds: the k x k counts row by row, the number of rows of each label that are not counted,
  /// and the number of off-diagonal issues.
  std::span<std::int64_t> state() { return state_; }
  std::span<const std::int64_t> state() const { return state_; }

 private:
  template <executor Exec, label_vector Labels, real_matrix Prob>
  friend confident_joint_result confident_joint(Exec&& ex, const Labels& labels, const Prob& prob,
                                                confident_joint_options options);

  // Labels have been checked.
  template <class Label, class T, class Exec>
  void count(Exec&& ex, const vector_view<const Label>& y, const matrix_view<const T>& p) {
    // Integers may be added in any grouping, so chunks are made large enough to make the merging of tables cheap.
    for_row_chunks(ex, y.extent(0), classes() / 8, [&](index_t first, index_t last) {
      detail::confident_count<Label, T>(y, p, bounds_, options_.compat, first, last, state_.data());
    });
  }

  matrix<std::int64_t> take_counts() {
    const index_t k = classes();
    const std::vector<std::int64_t> rows = label_counts();
    state_.resize(static_cast<std::size_t>(k * k));
    matrix<std::int64_t> joint(k, k, std::move(state_));
    for (index_t a = 0; a < k; ++a)
      if (rows[static_cast<std::size_t>(a)] > 0 || options_.compat == compatibility::cleanlab)
        joint(a, a) = std::max<std::int64_t>(joint(a, a), 1);
    return joint;
  }

  detail::confidence_bounds bounds_;
  confident_joint_options options_;
  std::vector<std::int64_t> state_;
};

/// Everything that one look at the whole data gives.
struct confident_joint_result {
  std::vector<double> thresholds;          ///< k
  std::vector<std::int64_t> label_counts;  ///< k, rows of each given label
  matrix<std::int64_t> counts;             ///< k x k, row the given label, column the guess
  std::int64_t off_diagonal_issues = 0;    ///< confident disagreements, see confident_joint_estimator
  status rejected = no_bad_rows();         ///< rows whose own entry is NaN or outside [-1, 2]; none of them is counted
};

/// Thresholds and confident joint of one batch in memory: class_threshold_estimator, then confident_joint_estimator.
///
/// labels  n       integers in [0, k)
/// prob    n x k   probabilities
///
/// n = 0 gives infinite thresholds and zero counts. Throws shape_error, label_error; option_error for k = 0, and with
/// compatibility::cleanlab where a row's own entry is NaN, for its class then has no threshold. Reads prob once for the
/// label's entries and once for the comparison. Allocates O(k^2), and with compatibility::cleanlab one number a row.
/// O(n k).
template <executor Exec, label_vector Labels, real_matrix Prob>
confident_joint_result confident_joint(Exec&& ex, const Labels& labels, const Prob& prob,
                                       confident_joint_options options) {
  using Label = typename view_t<const Labels&>::value_type;
  using T = typename view_t<const Prob&>::value_type;
  const vector_view<const Label> y = view(labels);
  const matrix_view<const T> p = view(prob);
  detail::require_extent("confident_joint: prob", p, 0, y.extent(0));
  class_threshold_estimator exact(p.extent(1));
  exact.add(ex, labels, prob);
  std::vector<double> thresholds =
      options.compat == compatibility::cleanlab ? cleanlab_thresholds(labels, prob) : exact.finish();
  confident_joint_estimator joint(thresholds, options);
  joint.count<Label, T>(ex, y, p);
  confident_joint_result result;
  result.thresholds = std::move(thresholds);
  result.label_counts = joint.label_counts();
  result.off_diagonal_issues = joint.off_diagonal_issues();
  result.rejected = exact.rejected();
  result.counts = std::move(joint).finish();
  return result;
}

/// As above, on the calling thread.
template <label_vector Labels, real_matrix Prob>
confident_joint_result confident_joint(const Labels& labels, const Prob& prob, confident_joint_options options = {}) {
  return confident_joint(seq, labels, prob, options);
}

}  // namespace weakly::inline v0
