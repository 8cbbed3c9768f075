// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/matrix.hpp>
#include <weakly/core/view.hpp>
#include <weakly/noise/calibrate_joint.hpp>
#include <weakly/noise/detail/binary_problem.hpp>
#include <weakly/noise/label_issues.hpp>
#include <weakly/noise/multilabel_confident_joint.hpp>
#include <weakly/noise/multilabel_quality.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace weakly::inline v0 {

/// The label issues of a multi-label data set. Row numbers are of the whole data, ascending.
struct multilabel_issues {
  std::vector<std::vector<index_t>> per_class;  ///< k lists: rows whose label of the class is an issue
  std::vector<index_t> rows;                    ///< rows with an issue
};

/// The label issues of multi-label data that pass by in batches, after their joint is known.
///
/// Class by class the issues of label_issue_estimator for the label y(i, c) and the columns 1 - p(i, c), p(i, c); a row
/// is an issue when any of its classes is. With the low_* filters a class takes as many rows as confident_learning
/// finds in it, and independently of that the rows taken are as many as confident_learning finds with an issue in any
/// class: those with the lowest aggregated score (multilabel_quality.hpp: the moving average of the score that the
/// filter is named after; with compatibility::cleanlab always of the self-confidence).
///
/// The same issues whatever the batches, their order, the merges, the executor and the layout; ties at a cut go to the
/// lower row. Memory: 17 bytes (where they are few, up to 32) for each (row, class) that may be selected, 8 for each
/// listed by predicted_neq_given and confident_learning, 9 KB a class; for the low_* filters also as many for each row
/// that may be selected and 512 KB.
/// Allocated at construction, except that a copy of an estimator of the filters that list rows allocates as it grows.
class multilabel_issue_estimator {
 public:
  /// joint       of all the rows that will be added (multilabel_confident_joint.hpp)
  /// calibrated  k matrices 2 x 2 to prune by, normally calibrate_multilabel_joint of joint
  /// to_remove   2 k     how many rows without and with class c to prune, (c, 0), (c, 1) of c = 0, ..., k - 1, instead
  ///                     of as many as estimated; empty: as estimated. Only for the prune_* filters and both.
  /// Throws shape_error, option_error, value_error (see label_issues.hpp).
  multilabel_issue_estimator(const multilabel_joint_result& joint, std::span<const matrix<std::int64_t>> calibrated,
                             label_issue_options options = {}, std::span<const std::int64_t> to_remove = {})
      : options_(options) {
    const index_t k = joint.classes();
    if (static_cast<index_t>(calibrated.size()) != k)
      detail::fail<shape_error>("multilabel_issue_estimator: ", calibrated.size(), " calibrated joints for ", k,
                                " classes");
    if (!to_remove.empty() && static_cast<index_t>(to_remove.size()) != 2 * k)
      detail::fail<shape_error>("multilabel_issue_estimator: to_remove has ", to_remove.size(), " entries for ", k,
                                " classes; give two a class");
    per_class_.reserve(static_cast<std::size_t>(k));
    for (index_t c = 0; c < k; ++c) {
      const auto at = static_cast<std::size_t>(c);
      confident_joint_result problem = joint.of_class(c);
      // This filter lists at most as many rows as the joint has labels, and here it is known how many disagree.
      if (options.filter_by == issue_filter::predicted_neq_given) problem.label_counts = {joint.disagreements[at], 0};
      per_class_.emplace_back(problem, calibrated[at], options,
                              to_remove.empty() ? to_remove : to_remove.subspan(2 * at, 2));
    }
    listed_before_.resize(per_class_.size());
    if (!by_row_score()) return;
    // The rows with the lowest score are those of low self-confidence in a problem of one class whose probability it
    // is.
    const confident_joint_result one_class{{std::numeric_limits<double>::infinity()},
                                           {joint.rows},
                                           matrix<std::int64_t>(1, 1),
                                           joint.rows_with_issues,
                                           no_bad_rows()};
    rows_.emplace_back(one_class, matrix<std::int64_t>(1, 1),
                       label_issue_options{.filter_by = issue_filter::low_self_confidence});
    scores_.resize(static_cast<std::size_t>(scored_rows));
  }

  index_t classes() const { return static_cast<index_t>(per_class_.size()); }

  /// Adds a batch whose first row is row `first_row` of the whole data.
  ///
  /// labels  n x k   0 or 1          prob  n x k   probabilities
  ///
  /// Together the batches must be the data that the joint was made of (label_issue_estimator::add, which see for
  /// value_error and row numbers). Throws shape_error, label_error. A batch that is refused leaves nothing behind. O(n
  /// k), for the low_* filters O(n k log k). Tasks are groups of classes.
  template <executor Exec, binary_matrix Labels, real_matrix Prob>
  void add(Exec&& ex, index_t first_row, const Labels& labels, const Prob& prob) {
    using Label = typename view_t<const Labels&>::value_type;
    using T = typename view_t<const Prob&>::value_type;
    const matrix_view<const Label> y = view(labels);
    const matrix_view<const T> p = view(prob);
    const index_t k = classes();
    detail::require_multilabel(ex, "multilabel_issue_estimator::add", y, p, k);
    detail::require_row_numbers("multilabel_issue_estimator::add", first_row, y.extent(0));
    listed_rows batch(per_class_, listed_before_);
    // Neighbouring classes share the lines of a row-major matrix, but every thread should get a task.
    const index_t together = std::clamp<index_t>(k / 16, 1, 8);
    detail::with_column_type<T>(options_.compat, [&]<class B>(B) {
      ex((k + together - 1) / together, [&](index_t task) {
        const index_t end = std::min(k, (task + 1) * together);
        for (index_t start = 0; start < y.extent(0); start += lines)
          for (index_t c = task * together; c < end; ++c)
            detail::for_binary_tiles<B>(y, p, c, start, std::min(start + lines, y.extent(0)),
                                        [&](index_t i, const auto& label, const auto& pair) {
                                          per_class_[static_cast<std::size_t>(c)].add(seq, first_row + i, label, pair);
                                        });
      });
    });
    if (by_row_score()) add_by_row_score<Label, T>(ex, first_row, y, p);
    batch.keep();
  }
  template <binary_matrix Labels, real_matrix Prob>
  void add(index_t first_row, const Labels& labels, const Prob& prob) {
    add(seq, first_row, labels, prob);
  }

  /// Adds what `other`, made with the same arguments, has selected. Throws, before anything is added, as
  /// label_issue_estimator::merge does.
  void merge(const multilabel_issue_estimator& other) {
    if (other.classes() != classes() || other.options_.filter_by != options_.filter_by)
      detail::fail<shape_error>("multilabel_issue_estimator::merge: the two were made with different arguments");
    for (std::size_t c = 0; c < per_class_.size(); ++c) per_class_[c].require_mergeable(other.per_class_[c]);
    for (std::size_t r = 0; r < rows_.size(); ++r) rows_[r].require_mergeable(other.rows_[r]);
    for (std::size_t c = 0; c < per_class_.size(); ++c) per_class_[c].merge(other.per_class_[c]);
    for (std::size_t r = 0; r < rows_.size(); ++r) rows_[r].merge(other.rows_[r]);
  }

  /// The issues. O(m log m) for m selected (row, class).
  multilabel_issues finish() const {
    multilabel_issues issues;
    for (const label_issue_estimator& one : per_class_) issues.per_class.push_back(one.finish());
    if (by_row_score()) {
      issues.rows = rows_.front().finish();
      return issues;
    }
    for (const std::vector<index_t>& rows : issues.per_class)
      issues.rows.insert(issues.rows.end(), rows.begin(), rows.end());
    std::sort(issues.rows.begin(), issues.rows.end());
    issues.rows.erase(std::unique(issues.rows.begin(), issues.rows.end()), issues.rows.end());
    return issues;
  }

 private:
  // What a batch lists of each class goes again unless all classes took it.
  class listed_rows {
   public:
    listed_rows(std::vector<label_issue_estimator>& classes, std::vector<std::size_t>& before)
        : classes_(classes), before_(before) {
      for (std::size_t c = 0; c < classes_.size(); ++c) before_[c] = classes_[c].listed_.size();
    }
    listed_rows(const listed_rows&) = delete;
    listed_rows& operator=(const listed_rows&) = delete;
    ~listed_rows() {
      if (kept_) return;
      for (std::size_t c = 0; c < classes_.size(); ++c) classes_[c].listed_.resize(before_[c]);
    }
    void keep() { kept_ = true; }

   private:
    std::vector<label_issue_estimator>& classes_;
    std::vector<std::size_t>& before_;
    bool kept_ = false;
  };

  static constexpr index_t lines = 512;
  static constexpr index_t scored_rows = 1 << 16;

  bool by_row_score() const {
    return options_.filter_by == issue_filter::low_self_confidence ||
           options_.filter_by == issue_filter::low_normalized_margin;
  }

  template <class Label, class T, class Exec>
  void add_by_row_score(Exec&& ex, index_t first_row, const matrix_view<const Label>& y,
                        const matrix_view<const T>& p) {
    const bool margin =
        options_.filter_by == issue_filter::low_normalized_margin && options_.compat == compatibility::none;
    const multilabel_quality_options options{
        .score = margin ? quality_score::normalized_margin : quality_score::self_confidence, .compat = options_.compat};
    const std::uint8_t only_class = 0;
    const auto rows_of = [](const auto& m, index_t first, index_t rows) {
      return std::remove_cvref_t<decltype(m)>(m.data() + first * m.stride(0), {rows, m.extent(1)},
                                              {m.stride(0), m.stride(1)});
    };
    for (index_t start = 0; start < y.extent(0); start += scored_rows) {
      const index_t rows = std::min(scored_rows, y.extent(0) - start);
      multilabel_row_quality(ex, rows_of(y, start, rows), rows_of(p, start, rows), {}, view(scores_.data(), rows),
                             options);
      rows_.front().add(ex, first_row + start, vector_view<const std::uint8_t>(&only_class, {rows}, {0}),
                        view(std::as_const(scores_).data(), rows, 1));
    }
  }

  label_issue_options options_;
  std::vector<label_issue_estimator> per_class_;
  std::vector<label_issue_estimator> rows_;  // one for the low_* filters, none for the others
  std::vector<double> scores_;
  std::vector<std::size_t> listed_before_;  // a batch: of each class
};

/// What find_multilabel_issues saw on its way.
struct multilabel_issue_result {
  multilabel_issues issues;
  multilabel_joint_result joint;
  std::vector<matrix<std::int64_t>> calibrated;
};

/// The label issues of a multi-label batch in memory: thresholds, joint, calibration and selection in one call.
///
/// labels     n x k   0 or 1
/// prob       n x k   probabilities predicted without having seen the row's labels (out of sample)
/// to_remove  2 k     see multilabel_issue_estimator; empty: as many as estimated
///
/// n = 0 has no issues. Errors, memory and determinism as multilabel_confident_joint and multilabel_issue_estimator.
/// To rank: multilabel_row_quality gives the scores, rank_issues (rank_issues.hpp) puts `issues.rows` in their order.
template <executor Exec, binary_matrix Labels, real_matrix Prob>
multilabel_issue_result find_multilabel_issues(Exec&& ex, const Labels& labels, const Prob& prob,
                                               label_issue_options options = {},
                                               std::span<const std::int64_t> to_remove = {}) {
  multilabel_issue_result result;
  result.joint = multilabel_confident_joint(ex, labels, prob, {.compat = options.compat});
  result.calibrated = calibrate_multilabel_joint(result.joint, {.compat = options.compat});
  multilabel_issue_estimator issues(result.joint, result.calibrated, options, to_remove);
  issues.add(ex, 0, labels, prob);
  result.issues = issues.finish();
  return result;
}

/// As above, on the calling thread.
template <binary_matrix Labels, real_matrix Prob>
multilabel_issue_result find_multilabel_issues(const Labels& labels, const Prob& prob, label_issue_options options = {},
                                               std::span<const std::int64_t> to_remove = {}) {
  return find_multilabel_issues(seq, labels, prob, options, to_remove);
}

/// The issues as a matrix: mask(i, c) = 1 where per_class[c] lists row i, else 0.
///
/// per_class  k lists of rows in [0, n)          mask  n x k   integers or bool
///
/// Throws shape_error for another number of classes or a row outside the mask. O(n k), allocates nothing.
template <writable_matrix Mask>
  requires std::is_integral_v<typename view_t<Mask>::value_type>
void multilabel_issue_mask(std::span<const std::vector<index_t>> per_class, Mask&& mask) {
  using M = typename view_t<Mask>::value_type;
  const matrix_view<M> m = view(mask);
  detail::require_extent("multilabel_issue_mask: mask", m, 1, static_cast<index_t>(per_class.size()));
  for (const std::vector<index_t>& rows : per_class)
    for (const index_t row : rows)
      if (row < 0 || row >= m.extent(0))
        detail::fail<shape_error>("multilabel_issue_mask: row ", row, " is not one of the mask's ", m.extent(0));
  for (index_t i = 0; i < m.extent(0); ++i)
    for (index_t c = 0; c < m.extent(1); ++c) m(i, c) = M(0);
  for (index_t c = 0; c < m.extent(1); ++c)
    for (const index_t row : per_class[static_cast<std::size_t>(c)]) m(row, c) = M(1);
}

/// How often a class is wrongly given, or wrongly not given.
struct multilabel_class_issues {
  index_t class_index = 0;
  bool given = false;         ///< true: rows given the class that seem not to belong to it; false: the reverse
  std::int64_t examples = 0;  ///< rows
  double share = 0;           ///< of all rows; 0 when there are none
};

/// Both kinds of issues of every class, most frequent first; equal ones by class, wrongly given before wrongly not.
///
/// labels  n x k   0 or 1          per_class  k lists of rows in [0, n) (multilabel_issues)
///
/// Throws shape_error, label_error. O(k log k + number of issues) besides the check of the labels.
template <binary_matrix Labels>
std::vector<multilabel_class_issues> common_multilabel_issues(const Labels& labels,
                                                              std::span<const std::vector<index_t>> per_class) {
  using Label = typename view_t<const Labels&>::value_type;
  const matrix_view<const Label> y = view(labels);
  detail::require_extent("common_multilabel_issues: labels", y, 1, static_cast<index_t>(per_class.size()));
  detail::require_binary(seq, "common_multilabel_issues", y);
  const index_t n = y.extent(0);
  std::vector<multilabel_class_issues> kinds;
  for (index_t c = 0; c < y.extent(1); ++c) {
    std::int64_t examples[2] = {};
    for (const index_t row : per_class[static_cast<std::size_t>(c)]) {
      if (row < 0 || row >= n)
        detail::fail<shape_error>("common_multilabel_issues: row ", row, " is not one of the ", n, " labelled");
      ++examples[y(row, c) ? 1 : 0];
    }
    for (const bool given : {true, false})
      kinds.push_back(
          {c, given, examples[given], n > 0 ? static_cast<double>(examples[given]) / static_cast<double>(n) : 0.0});
  }
  std::stable_sort(kinds.begin(), kinds.end(), [](const multilabel_class_issues& a, const multilabel_class_issues& b) {
    return a.examples > b.examples;
  });
  return kinds;
}

/// The share of rows without an issue: 1 - |rows| / n, 1 when there are no rows.
inline double multilabel_health(const multilabel_issues& issues, index_t n) {
  return n > 0 ? 1 - static_cast<double>(issues.rows.size()) / static_cast<double>(n) : 1.0;
}

}  // namespace weakly::inline v0
