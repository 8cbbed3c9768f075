// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/labels.hpp>
#include <weakly/core/matrix.hpp>
#include <weakly/core/view.hpp>
#include <weakly/noise/calibrate_joint.hpp>
#include <weakly/noise/confident_joint.hpp>
#include <weakly/noise/detail/bounded_selection.hpp>
#include <weakly/noise/detail/keep.hpp>
#include <weakly/noise/label_quality.hpp>
#include <weakly/noise/prune_counts.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace weakly::inline v0 {

/// Which rows are called label issues. a is the given label of a row; R comes from prune_counts.hpp.
enum class issue_filter : std::uint8_t {
  prune_by_noise_rate,   ///< for every b != a the R(a, b) rows with the largest prob(b) - prob(a)
  prune_by_class,        ///< for every a the n(a) - R(a, a) rows with the smallest prob(a)
  both,                  ///< rows that the two above agree on
  confident_learning,    ///< rows counted off the diagonal of the confident joint
  predicted_neq_given,   ///< rows whose most probable class is not the label
  low_self_confidence,   ///< as many rows as confident_learning finds, those with the lowest self-confidence
  low_normalized_margin  ///< the same, those with the lowest normalised margin
};

struct label_issue_options {
  issue_filter filter_by = issue_filter::prune_by_noise_rate;
  double frac_noise = 1;               ///< prune_* and both: share of the estimated errors, in [0, 1]
  index_t min_examples_per_class = 1;  ///< prune_* and both: rows that stay in each given class
  compatibility compat = compatibility::none;
};

/// The label issues of data that pass by in batches, after their confident joint is known.
///
/// Every filter but the low_* ones leaves out rows that the model agrees with: argmax over c of
/// ( prob(i, c) + 1e-6 [c = label(i)] ) = label(i). Ties at a cut go to the lower row number. The issues are the same
/// whatever the batches, their order, the tree of merges, the executor and the layout: selections are bounded heaps
/// over the total order (key, row). Memory: 16 bytes for each row that may be selected, at most the number of estimated
/// errors; 8 k^2 bytes; for predicted_neq_given and confident_learning up to 8 bytes a row. Allocated at construction.
/// Source: Northcutt, Jiang, Chuang, "Confident Learning", JAIR 70 (2021), section 3.2.
class label_issue_estimator {
 public:
  /// joint       of all the rows that will be added (confident_joint.hpp)
  /// calibrated  k x k   counts to prune by, normally calibrate_joint of joint.counts; the whole-set filters ignore it
  /// to_remove   k       how many rows of each given class to prune instead of as many as estimated; empty: as
  /// estimated.
  ///                     Only for prune_by_noise_rate, prune_by_class and both.
  /// Throws shape_error, option_error, value_error (see prune_counts.hpp).
  template <detail::count_matrix Joint>
  label_issue_estimator(const confident_joint_result& joint, const Joint& calibrated, label_issue_options options = {},
                        std::span<const std::int64_t> to_remove = {})
      : options_(options),
        classes_(static_cast<index_t>(joint.label_counts.size())),
        bounds_("label_issue_estimator", joint.thresholds, options.compat) {
    detail::require_extent("label_issue_estimator: calibrated", view(calibrated), 0, classes_);
    detail::require_extent("label_issue_estimator: calibrated", view(calibrated), 1, classes_);
    if (!to_remove.empty() && options.filter_by != issue_filter::prune_by_noise_rate &&
        options.filter_by != issue_filter::prune_by_class && options.filter_by != issue_filter::both)
      detail::fail<option_error>(
          "label_issue_estimator: to_remove is for prune_by_noise_rate, prune_by_class and both; the filter chosen "
          "decides by itself how many rows it takes");
    std::int64_t n = 0;
    for (const std::int64_t rows : joint.label_counts) n += rows;
    switch (options.filter_by) {
      case issue_filter::prune_by_noise_rate:
      case issue_filter::prune_by_class:
      case issue_filter::both:
        plan_pruning(joint.label_counts, calibrated, to_remove);
        break;
      case issue_filter::confident_learning:
        listed_.resize(static_cast<std::size_t>(joint.off_diagonal_issues));
        break;
      case issue_filter::predicted_neq_given:
        listed_.resize(static_cast<std::size_t>(n));
        break;
      case issue_filter::low_self_confidence:
      case issue_filter::low_normalized_margin: {
        const std::int64_t capacity[] = {joint.off_diagonal_issues};
        by_score_ = detail::bounded_selection(capacity);
        break;
      }
    }
  }

  index_t classes() const { return classes_; }

  /// Adds a batch whose first row is row `first_row` of the whole data.
  ///
  /// labels  n       integers in [0, k)          prob  n x k   probabilities
  ///
  /// Together the batches must be the data that the joint was made of: filters that list rows throw value_error when
  /// more rows qualify than the joint has counted. NaN keys are never selected. Throws shape_error, label_error before
  /// anything is added. O(n k). The low_* filters select on the calling thread.
  template <executor Exec, label_vector Labels, real_matrix Prob>
  void add(Exec&& ex, index_t first_row, const Labels& labels, const Prob& prob) {
    using Label = typename view_t<const Labels&>::value_type;
    using T = typename view_t<const Prob&>::value_type;
    const vector_view<const Label> y = view(labels);
    const matrix_view<const T> p = view(prob);
    detail::require_extent("label_issue_estimator::add: prob", p, 0, y.extent(0));
    detail::require_extent("label_issue_estimator::add: prob", p, 1, classes_);
    detail::require_labels("label_issue_estimator::add", y, classes_);
    switch (options_.filter_by) {
      case issue_filter::prune_by_noise_rate:
      case issue_filter::prune_by_class:
      case issue_filter::both:
        select_by_label<Label, T>(ex, first_row, y, p);
        break;
      case issue_filter::confident_learning:
      case issue_filter::predicted_neq_given:
        list_rows<Label, T>(ex, first_row, y, p);
        break;
      case issue_filter::low_self_confidence:
      case issue_filter::low_normalized_margin:
        select_by_score<Label, T>(first_row, y, p);
        break;
    }
  }
  template <label_vector Labels, real_matrix Prob>
  void add(index_t first_row, const Labels& labels, const Prob& prob) {
    add(seq, first_row, labels, prob);
  }

  /// Adds what `other`, made with the same arguments, has selected. Throws shape_error when the plans differ.
  void merge(const label_issue_estimator& other) {
    if (other.classes_ != classes_ || other.options_.filter_by != options_.filter_by ||
        other.by_pair_.groups() != by_pair_.groups() || other.by_class_.groups() != by_class_.groups())
      detail::fail<shape_error>("label_issue_estimator::merge: the two were made with different arguments");
    by_pair_.merge(other.by_pair_);
    by_class_.merge(other.by_class_);
    by_score_.merge(other.by_score_);
    require_room(listed_count_ + other.listed_count_);
    std::copy_n(other.listed_.begin(), other.listed_count_, listed_.begin() + listed_count_);
    listed_count_ += other.listed_count_;
  }

  /// The issues: row numbers of the whole data, ascending. O(m log m) for m rows selected.
  std::vector<index_t> finish() const {
    std::vector<index_t> rows = rows_of(by_score_, false);
    rows.insert(rows.end(), listed_.begin(), listed_.begin() + listed_count_);
    std::sort(rows.begin(), rows.end());
    if (by_pair_.groups() == 0 && by_class_.groups() == 0) return rows;
    const std::vector<index_t> pairs = rows_of(by_pair_, true);
    const std::vector<index_t> classes = rows_of(by_class_, true);
    if (options_.filter_by != issue_filter::both) return by_pair_.groups() != 0 ? pairs : classes;
    std::set_intersection(pairs.begin(), pairs.end(), classes.begin(), classes.end(), std::back_inserter(rows));
    return rows;
  }

 private:
  // Groups of rows are dealt to tasks by label. More tasks than any executor's share keeps threads busy; each task
  // reads all labels of the batch, which is cheap beside the rows.
  static constexpr index_t stripes = 16;

  template <class Joint>
  void plan_pruning(std::span<const std::int64_t> label_counts, const Joint& calibrated,
                    std::span<const std::int64_t> to_remove) {
    const index_t k = classes_;
    const bool cleanlab = options_.compat == compatibility::cleanlab;
    const matrix<std::int64_t> prune = prune_counts(calibrated, label_counts, to_remove,
                                                    {.frac_noise = options_.frac_noise,
                                                     .min_examples_per_class = options_.min_examples_per_class,
                                                     .compat = options_.compat});
    std::vector<std::int64_t> pair_capacity(static_cast<std::size_t>(k * k));
    std::vector<std::int64_t> class_capacity(static_cast<std::size_t>(k));
    for (index_t a = 0; a < k; ++a) {
      const std::int64_t rows = label_counts[static_cast<std::size_t>(a)];
      const std::int64_t room = std::max<std::int64_t>(rows - options_.min_examples_per_class, 0);
      if (room == 0 || (cleanlab && rows == 1)) continue;
      std::int64_t& of_class = class_capacity[static_cast<std::size_t>(a)];
      of_class = std::clamp<std::int64_t>(rows - prune(a, a), 0, rows);
      if (!cleanlab && !to_remove.empty()) of_class = std::min(to_remove[static_cast<std::size_t>(a)], room);
      for (index_t b = 0; b < k; ++b)
        if (b != a) pair_capacity[static_cast<std::size_t>(a * k + b)] = std::clamp<std::int64_t>(prune(a, b), 0, rows);
    }
    if (options_.filter_by != issue_filter::prune_by_class) by_pair_ = detail::bounded_selection(pair_capacity);
    if (options_.filter_by != issue_filter::prune_by_noise_rate) by_class_ = detail::bounded_selection(class_capacity);
  }

  template <class T, class Row>
  bool keeps(const Row& row, index_t label) const {
    return options_.compat == compatibility::cleanlab
               ? detail::disagrees<detail::numpy_arithmetic_t<T>>(row, label, classes_)
               : detail::disagrees<double>(row, label, classes_);
  }

  template <class Label, class T, class Exec>
  void select_by_label(Exec&& ex, index_t first_row, const vector_view<const Label>& y, const matrix_view<const T>& p) {
    ex(std::min(stripes, classes_), [&](index_t stripe) {
      const index_t step = std::min(stripes, classes_);
      for (index_t i = 0; i < y.extent(0); ++i) {
        const auto label = static_cast<index_t>(y(i));
        if (label % step != stripe) continue;
        if (options_.compat == compatibility::cleanlab)
          select_row<T, detail::numpy_arithmetic_t<T>>(detail::row_of(p, i), label, first_row + i);
        else
          select_row<T, double>(detail::row_of(p, i), label, first_row + i);
      }
    });
  }

  template <class T, class Number, class Row>
  void select_row(const Row& row, index_t label, index_t row_number) {
    const Number own(row[label]);
    if (by_class_.groups() != 0) {
      const auto group = static_cast<std::size_t>(label);
      const auto key = static_cast<double>(own);
      if (by_class_.wants(group, key, row_number)) by_class_.offer(group, {key, row_number, keeps<T>(row, label)});
    }
    if (by_pair_.groups() == 0) return;
    const auto first_group = static_cast<std::size_t>(label * classes_);
    const double* const worst = by_pair_.worst() + first_group;
    for (index_t j = 0; j < classes_; ++j) {
      const auto key = static_cast<double>(own - Number(row[j]));
      if (!(key <= worst[j])) continue;
      const std::size_t group = first_group + static_cast<std::size_t>(j);
      if (by_pair_.wants(group, key, row_number)) by_pair_.offer(group, {key, row_number, keeps<T>(row, label)});
    }
  }

  template <class Label, class T>
  void select_by_score(index_t first_row, const vector_view<const Label>& y, const matrix_view<const T>& p) {
    const label_quality_options options{.score = options_.filter_by == issue_filter::low_self_confidence
                                                     ? quality_score::self_confidence
                                                     : quality_score::normalized_margin,
                                        .compat = options_.compat};
    for (index_t i = 0; i < y.extent(0); ++i) {
      const double key = detail::quality_of<T>(p, i, static_cast<index_t>(y(i)), {}, {}, options);
      by_score_.offer(0, {key, first_row + i, true});
    }
  }

  template <class Label, class T, class Exec>
  void list_rows(Exec&& ex, index_t first_row, const vector_view<const Label>& y, const matrix_view<const T>& p) {
    const auto* bound = bounds_.of<T>();
    const auto is_issue = [&](index_t i) {
      const auto label = static_cast<index_t>(y(i));
      const auto row = detail::row_of(p, i);
      return options_.filter_by == issue_filter::predicted_neq_given
                 ? keeps<T>(row, label)
                 : detail::count_row<T>(row, label, bound, classes_, options_.compat).issue;
    };
    std::int64_t count = listed_count_;
    for_row_chunks(ex, y.extent(0), classes_, [&](index_t first, index_t last) {
      for (index_t i = first; i < last; ++i) {
        if (!is_issue(i)) continue;
        const std::int64_t slot = detail::atomic_add(count, std::int64_t(1));
        if (slot < static_cast<std::int64_t>(listed_.size())) listed_[static_cast<std::size_t>(slot)] = first_row + i;
      }
    });
    require_room(count);
    listed_count_ = count;
  }

  void require_room(std::int64_t count) const {
    if (count > static_cast<std::int64_t>(listed_.size()))
      detail::fail<value_error>("label_issue_estimator: ", count, " issues where the joint has room for ",
                                listed_.size(), "; add each row once, and only rows that the joint was made of");
  }

  static std::vector<index_t> rows_of(const detail::bounded_selection& selection, bool only_marked) {
    std::vector<index_t> rows;
    for (std::size_t g = 0; g < selection.groups(); ++g)
      for (const detail::candidate& c : selection.group(g))
        if (c.mark() || !only_marked) rows.push_back(c.row());
    std::sort(rows.begin(), rows.end());
    rows.erase(std::unique(rows.begin(), rows.end()), rows.end());
    return rows;
  }

  label_issue_options options_;
  index_t classes_;
  detail::confidence_bounds bounds_;
  detail::bounded_selection by_pair_;   // group a * k + b
  detail::bounded_selection by_class_;  // group a
  detail::bounded_selection by_score_;  // one group
  std::vector<index_t> listed_;
  std::int64_t listed_count_ = 0;
};

/// What find_label_issues saw on its way.
struct label_issue_result {
  std::vector<index_t> rows;                   ///< the issues, ascending row numbers
  std::vector<std::int64_t> issues_per_class;  ///< k, issues of each given label; fewer than to_remove asked for where
                                               ///< the class or its estimated errors had no more
  confident_joint_result joint;                ///< thresholds and counts
  matrix<std::int64_t> calibrated;             ///< the joint calibrated to the labels
};

/// The label issues of a batch in memory: thresholds, confident joint, calibration and selection in one call.
///
/// labels     n       integers in [0, k)
/// prob       n x k   probabilities predicted without having seen the row's label (out of sample)
/// to_remove  k       see label_issue_estimator; empty: as many as estimated
///
/// n = 0 has no issues. Errors, memory and determinism as confident_joint and label_issue_estimator. O(n k).
template <executor Exec, label_vector Labels, real_matrix Prob>
label_issue_result find_label_issues(Exec&& ex, const Labels& labels, const Prob& prob,
                                     label_issue_options options = {}, std::span<const std::int64_t> to_remove = {}) {
  label_issue_result result;
  result.joint = confident_joint(ex, labels, prob, {.compat = options.compat});
  result.calibrated = calibrate_joint(result.joint.counts, result.joint.label_counts, {.compat = options.compat});
  label_issue_estimator issues(result.joint, result.calibrated, options, to_remove);
  issues.add(ex, 0, labels, prob);
  result.rows = issues.finish();
  result.issues_per_class.resize(result.joint.label_counts.size());
  const auto y = view(labels);
  for (const index_t row : result.rows) ++result.issues_per_class[static_cast<std::size_t>(y(row))];
  return result;
}

/// As above, on the calling thread.
template <label_vector Labels, real_matrix Prob>
label_issue_result find_label_issues(const Labels& labels, const Prob& prob, label_issue_options options = {},
                                     std::span<const std::int64_t> to_remove = {}) {
  return find_label_issues(seq, labels, prob, options, to_remove);
}

}  // namespace weakly::inline v0
