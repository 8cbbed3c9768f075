// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/matrix.hpp>
#include <weakly/core/view.hpp>
#include <weakly/noise/calibrate_joint.hpp>
#include <weakly/noise/class_thresholds.hpp>
#include <weakly/noise/cleanlab_thresholds.hpp>
#include <weakly/noise/confident_guess.hpp>
#include <weakly/noise/confident_joint.hpp>
#include <weakly/noise/detail/binary_problem.hpp>
#include <weakly/noise/detail/disagreement.hpp>
#include <weakly/noise/detail/plausible.hpp>
#include <weakly/noise/detail/threshold_state.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

namespace weakly::inline v0 {

/// Mean confidence in the given and in the not given of every class of a multi-label problem.
///
///     t(c, 1) = max( mean of prob(i, c)     over the rows given class c, 2e-6 )
///     t(c, 0) = max( mean of 1 - prob(i, c) over the rows not given it,  2e-6 ),    +infinity over no rows
///
/// As class_threshold_estimator, for 2 k groups: exact sums, so the same bits whatever the order of the rows, the
/// batches, the merges, the executor and the layout. Allocates at construction only.
class multilabel_threshold_estimator {
 public:
  /// For k classes. Throws option_error when k < 1.
  explicit multilabel_threshold_estimator(index_t k) : classes_(k), sums_(checked(k)) {}

  index_t classes() const { return classes_; }

  /// Adds a batch.
  ///
  /// labels  n x k   0 or 1          prob  n x k   probability that row i belongs to class c; rows need not sum to one
  ///
  /// An entry that is NaN or outside [-1, 2] is left out of its class and reported by `rejected`. Throws shape_error,
  /// or label_error for a label that is neither 0 nor 1, before anything is added. O(n k).
  template <executor Exec, binary_matrix Labels, real_matrix Prob>
  void add(Exec&& ex, const Labels& labels, const Prob& prob) {
    using Label = typename view_t<const Labels&>::value_type;
    using T = typename view_t<const Prob&>::value_type;
    const matrix_view<const Label> y = view(labels);
    const matrix_view<const T> p = view(prob);
    detail::require_multilabel(ex, "multilabel_threshold_estimator::add", y, p, classes_);
    detail::shared_status rejected;
    const index_t n = y.extent(0);
    detail::in_normalised_slices(sums_, n, row_chunks(n, classes_).end(0), [&](index_t begin, index_t end) {
      for_row_chunks(ex, end - begin, classes_, [&](index_t first, index_t last) {
        rejected.merge(add_rows<Label, T>(y, p, begin + first, begin + last));
      });
    });
    status bad = rejected.load();
    if (!bad.ok()) bad.first_bad_row += rows_;
    rejected_.merge(bad);
    rows_ += n;
  }
  template <binary_matrix Labels, real_matrix Prob>
  void add(const Labels& labels, const Prob& prob) {
    add(seq, labels, prob);
  }

  /// Adds what `other` has seen. Throws shape_error when k differs. O(k).
  void merge(const multilabel_threshold_estimator& other) {
    if (other.classes_ != classes_)
      detail::fail<shape_error>("multilabel_threshold_estimator::merge: ", classes_, " and ", other.classes_,
                                " classes");
    sums_.merge(other.sums_);
    status bad = other.rejected_;
    if (!bad.ok()) bad.first_bad_row += rows_;
    rejected_.merge(bad);
    rows_ += other.rows_;
  }

  /// The thresholds, k x 2: column 1 for "in the class", column 0 for "not in it". O(k).
  matrix<double> finish() const {
    matrix<double> thresholds(classes_, 2);
    const std::vector<double> flat = sums_.finish();
    std::copy(flat.begin(), flat.end(), thresholds.elements().begin());
    return thresholds;
  }

  /// Entries left out, and the first row with one, counted from the first row ever added or merged.
  status rejected() const { return rejected_; }

  /// As class_threshold_estimator::state and normalise, for the 2 k groups (c, 0), (c, 1) of c = 0, ..., k - 1.
  std::span<std::int64_t> state() { return sums_.state(); }
  std::span<const std::int64_t> state() const { return sums_.state(); }
  void normalise() { sums_.normalise(); }

 private:
  static constexpr index_t block = 64;  // classes whose sums fit a table on the stack

  static index_t checked(index_t k) {
    if (k < 1) detail::fail<option_error>("multilabel_threshold_estimator: k = ", k, " classes; give at least one");
    return 2 * k;
  }

  template <class Label, class T>
  status add_rows(const matrix_view<const Label>& y, const matrix_view<const T>& p, index_t first, index_t last) {
    status bad = no_bad_rows();
    for (index_t start = 0; start < classes_; start += block) {
      const index_t count = std::min(block, classes_ - start);
      detail::class_sum table[block][2];
      for (index_t i = first; i < last; ++i)
        for (index_t c = 0; c < count; ++c) {
          const int side = y(i, start + c) ? 1 : 0;
          const double own = detail::binary_row_of<double>(p(i, start + c))[side];
          if (!detail::plausible_probability(own)) {
            bad.report(i);
            continue;
          }
          ++table[c][side].rows;
          table[c][side].probability.add(own);
        }
      for (index_t c = 0; c < count; ++c)
        for (int side = 0; side < 2; ++side)
          if (table[c][side].rows != 0)
            detail::add_to_threshold_state(sums_.state(), 2 * (start + c) + side, table[c][side]);
    }
    return bad;
  }

  index_t classes_;
  index_t rows_ = 0;
  class_threshold_estimator sums_;
  status rejected_ = no_bad_rows();
};

/// Everything that one look at the whole data gives. In every 2 x 2 matrix and pair, index 1 is "in the class", index 0
/// "not in it"; rows of a matrix are the given label, columns the guess.
struct multilabel_joint_result {
  matrix<double> thresholds;                      ///< k x 2
  matrix<std::int64_t> label_counts;              ///< k x 2, rows without and with each class
  std::vector<matrix<std::int64_t>> counts;       ///< k matrices 2 x 2
  std::vector<std::int64_t> off_diagonal_issues;  ///< k, confident disagreements (confident_joint_estimator)
  std::vector<std::int64_t> disagreements;        ///< k, rows whose more probable side is not the label, by over 1e-6
  std::int64_t rows = 0;                          ///< n
  std::int64_t rows_with_issues = 0;              ///< rows with a confident disagreement in any class
  status rejected = no_bad_rows();                ///< entries that are NaN or outside [-1, 2]; none of them is counted

  index_t classes() const { return thresholds.rows(); }

  /// The binary problem of class c, as every single-label function takes it.
  confident_joint_result of_class(index_t c) const {
    const auto at = static_cast<std::size_t>(c);
    const auto t = thresholds.row(c);
    const auto n = label_counts.row(c);
    return {{t.begin(), t.end()}, {n.begin(), n.end()}, counts[at], off_diagonal_issues[at], no_bad_rows()};
  }
};

/// Counts of (given label, confident guess) for every class of a multi-label problem: class by class the counts of
/// confident_joint_estimator for the label y(i, c) and the columns 1 - p(i, c), p(i, c).
///
/// A class given to every row or to none is legal: its absent side has the threshold +infinity and an empty row. Column
/// 0 is computed in double (compatibility::cleanlab: rounded to the type of the probabilities). Integers throughout:
/// the same for every order, batch size, merge tree, executor and layout. State: 8 k + 1 integers in one flat buffer
/// that merges by addition. Allocates at construction only. Source: Thyagarajan, Snorrason, Northcutt, Mueller,
/// "Identifying incorrect annotations in multi-label classification data", arXiv 2211.13895.
class multilabel_joint_estimator {
 public:
  /// thresholds  k x 2   as multilabel_threshold_estimator gives them. Throws shape_error unless there are two columns;
  /// option_error for no rows, or for NaN among them.
  explicit multilabel_joint_estimator(const matrix<double>& thresholds, confident_joint_options options = {})
      : thresholds_(thresholds), options_(options) {
    if (thresholds.cols() != 2)
      detail::fail<shape_error>("multilabel_joint_estimator: thresholds of shape ",
                                detail::shape_text(view(thresholds)), "; give two for each class");
    if (thresholds.rows() < 1) detail::fail<option_error>("multilabel_joint_estimator: no thresholds, so no classes");
    detail::require_thresholds("multilabel_joint_estimator", thresholds_.elements(), 2);
    for (index_t c = 0; c < classes(); ++c)
      bounds_.emplace_back("multilabel_joint_estimator", thresholds_.row(c), options.compat);
    state_.resize(static_cast<std::size_t>(per_class * classes() + 1));
  }

  index_t classes() const { return thresholds_.rows(); }

  /// Adds a batch: labels n x k, 0 or 1; prob n x k. Throws shape_error, or label_error for a label that is neither 0
  /// nor 1, before anything is added. O(n k).
  template <executor Exec, binary_matrix Labels, real_matrix Prob>
  void add(Exec&& ex, const Labels& labels, const Prob& prob) {
    using Label = typename view_t<const Labels&>::value_type;
    using T = typename view_t<const Prob&>::value_type;
    const matrix_view<const Label> y = view(labels);
    const matrix_view<const T> p = view(prob);
    detail::require_multilabel(ex, "multilabel_joint_estimator::add", y, p, classes());
    detail::shared_status rejected;
    const std::int64_t rows_before = rows();
    detail::with_column_type<T>(options_.compat, [&]<class B>(B) {
      for_row_chunks(ex, y.extent(0), classes(),
                     [&](index_t first, index_t last) { rejected.merge(add_rows<B, Label, T>(y, p, first, last)); });
    });
    status bad = rejected.load();
    if (!bad.ok()) bad.first_bad_row += rows_before;
    rejected_.merge(bad);
  }
  template <binary_matrix Labels, real_matrix Prob>
  void add(const Labels& labels, const Prob& prob) {
    add(seq, labels, prob);
  }

  /// Adds what `other`, made with the same thresholds and options, has counted. Throws shape_error when k, option_error
  /// when thresholds or options differ, before anything is added. O(k).
  void merge(const multilabel_joint_estimator& other) {
    if (other.classes() != classes())
      detail::fail<shape_error>("multilabel_joint_estimator::merge: ", classes(), " and ", other.classes(), " classes");
    if (other.thresholds_ != thresholds_ || other.options_.compat != options_.compat)
      detail::fail<option_error>(
          "multilabel_joint_estimator::merge: the two count by different thresholds or rules, so their counts do not "
          "add; make both with the same thresholds and options");
    status bad = other.rejected_;
    if (!bad.ok()) bad.first_bad_row += rows();
    rejected_.merge(bad);
    for (std::size_t i = 0; i < state_.size(); ++i) state_[i] += other.state_[i];
  }

  /// Thresholds, counts and what else was seen. O(k).
  multilabel_joint_result finish() const {
    const index_t k = classes();
    multilabel_joint_result result;
    result.thresholds = thresholds_;
    result.label_counts = matrix<std::int64_t>(k, 2);
    for (index_t c = 0; c < k; ++c) {
      const std::int64_t* const at = state_.data() + per_class * c;
      matrix<std::int64_t> joint(2, 2);
      for (index_t a = 0; a < 2; ++a) {
        for (index_t b = 0; b < 2; ++b) joint(a, b) = at[3 * a + b];
        result.label_counts(c, a) = at[3 * a] + at[3 * a + 1] + at[3 * a + 2];
        if (result.label_counts(c, a) > 0 || options_.compat == compatibility::cleanlab)
          joint(a, a) = std::max<std::int64_t>(joint(a, a), 1);
      }
      result.counts.push_back(joint);
      result.off_diagonal_issues.push_back(at[issues]);
      result.disagreements.push_back(at[disagreeing]);
    }
    result.rows = rows();
    result.rows_with_issues = state_.back();
    result.rejected = rejected_;
    return result;
  }

  /// The numbers that merging adds: for each class, for either label the rows guessed 0, guessed 1 and not counted,
  /// then the off-diagonal issues and the disagreements; behind them the number of rows with an off-diagonal issue.
  std::span<std::int64_t> state() { return state_; }
  std::span<const std::int64_t> state() const { return state_; }

 private:
  static constexpr index_t per_class = 8, issues = 6, disagreeing = 7;
  static constexpr index_t block = 128;  // classes whose counts fit a table on the stack

  std::int64_t rows() const {
    std::int64_t n = 0;
    for (index_t s = 0; s < issues; ++s) n += state_[static_cast<std::size_t>(s)];
    return n;
  }

  template <class B, class Label, class T>
  status add_rows(const matrix_view<const Label>& y, const matrix_view<const T>& p, index_t first, index_t last) {
    const index_t k = classes();
    status bad = no_bad_rows();
    std::int64_t rows_with_issues = 0;
    std::int64_t table[per_class * block] = {};
    // Tiles of 64 rows, because one word then remembers over all classes which of them have an issue.
    for (index_t tile = first; tile < last; tile += 64) {
      std::uint64_t with_issue = 0;
      for (index_t start = 0; start < k; start += block) {
        const index_t count = std::min(block, k - start);
        for (index_t i = tile; i < std::min(tile + 64, last); ++i)
          for (index_t c = 0; c < count; ++c)
            if (count_entry<B>(p(i, start + c), y(i, start + c) ? 1 : 0, start + c, i, table + per_class * c, bad))
              with_issue |= std::uint64_t(1) << (i - tile);
        if (k > block || tile + 64 >= last) flush(table, start, count);
      }
      rows_with_issues += std::popcount(with_issue);
    }
    detail::atomic_add(state_.back(), rows_with_issues);
    return bad;
  }

  /// Counts one entry and tells whether it is an off-diagonal issue.
  template <class B, class T>
  bool count_entry(T stored, index_t label, index_t c, index_t i, std::int64_t* table, status& bad) const {
    using Number = std::conditional_t<std::is_same_v<B, double>, double, detail::numpy_arithmetic_t<B>>;
    const auto row = detail::binary_row_of<B>(stored);
    if (!detail::plausible_probability(row[label])) {
      bad.report(i);
      ++table[3 * label + 2];
      table[disagreeing] += detail::disagrees<Number>(row, label, 2);
      return false;
    }
    const auto* bound = bounds_[static_cast<std::size_t>(c)].template of<B>();
    const index_t guess = detail::confident_class(row, bound, 2, options_.compat);
    const bool disagrees = detail::disagrees<Number>(row, label, 2);
    const bool issue = guess >= 0 && guess != label && disagrees;
    ++table[3 * label + (guess < 0 ? 2 : guess)];
    table[issues] += issue;
    table[disagreeing] += disagrees;
    return issue;
  }

  void flush(std::int64_t* table, index_t start, index_t count) {
    for (index_t s = 0; s < per_class * count; ++s) {
      if (table[s] == 0) continue;
      detail::atomic_add(state_[static_cast<std::size_t>(per_class * start + s)], table[s]);
      table[s] = 0;
    }
  }

  matrix<double> thresholds_;
  confident_joint_options options_;
  std::vector<detail::confidence_bounds> bounds_;
  std::vector<std::int64_t> state_;
  status rejected_ = no_bad_rows();
};

/// The thresholds of one batch: see multilabel_threshold_estimator. With compatibility::cleanlab numpy's means in the
/// type of the probabilities, 2 for an absent side; these keep two numbers a row for every class at work.
template <executor Exec, binary_matrix Labels, real_matrix Prob>
matrix<double> multilabel_thresholds(Exec&& ex, const Labels& labels, const Prob& prob,
                                     compatibility compat = compatibility::none) {
  using Label = typename view_t<const Labels&>::value_type;
  using T = typename view_t<const Prob&>::value_type;
  const matrix_view<const Label> y = view(labels);
  const matrix_view<const T> p = view(prob);
  if (compat == compatibility::none) {
    multilabel_threshold_estimator exact(p.extent(1));
    exact.add(ex, labels, prob);
    return exact.finish();
  }
  detail::require_multilabel(ex, "multilabel_thresholds", y, p, p.extent(1));
  matrix<double> thresholds(p.extent(1), 2);
  using B = detail::rounded_column_t<T>;
  ex(p.extent(1), [&](index_t c) {
    cleanlab_threshold_estimator<B> numpy(2);
    detail::for_binary_tiles<B>(y, p, c, 0, y.extent(0),
                                [&](index_t, const auto& label, const auto& pair) { numpy.add(label, pair); });
    const std::vector<double> t = numpy.finish();
    std::copy(t.begin(), t.end(), thresholds.row(c).begin());
  });
  return thresholds;
}

/// Thresholds and confident joint of every class of a batch in memory.
///
/// labels  n x k   0 or 1          prob  n x k   probabilities
///
/// n = 0 gives infinite thresholds and zero counts. Throws shape_error, label_error, option_error for k = 0. O(n k).
template <executor Exec, binary_matrix Labels, real_matrix Prob>
multilabel_joint_result multilabel_confident_joint(Exec&& ex, const Labels& labels, const Prob& prob,
                                                   confident_joint_options options = {}) {
  multilabel_joint_estimator joint(multilabel_thresholds(ex, labels, prob, options.compat), options);
  joint.add(ex, labels, prob);
  return joint.finish();
}

/// As above, on the calling thread.
template <binary_matrix Labels, real_matrix Prob>
multilabel_joint_result multilabel_confident_joint(const Labels& labels, const Prob& prob,
                                                   confident_joint_options options = {}) {
  return multilabel_confident_joint(seq, labels, prob, options);
}

/// The counts of every class scaled to its labels: calibrate_joint of each 2 x 2 matrix. Each sums to n. O(k).
inline std::vector<matrix<std::int64_t>> calibrate_multilabel_joint(const multilabel_joint_result& joint,
                                                                    calibrate_joint_options options = {}) {
  std::vector<matrix<std::int64_t>> calibrated;
  for (index_t c = 0; c < joint.classes(); ++c)
    calibrated.push_back(
        calibrate_joint(joint.counts[static_cast<std::size_t>(c)], joint.label_counts.row(c), options));
  return calibrated;
}

}  // namespace weakly::inline v0
