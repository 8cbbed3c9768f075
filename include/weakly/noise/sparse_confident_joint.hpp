// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/half.hpp>
#include <weakly/core/labels.hpp>
#include <weakly/core/math.hpp>
#include <weakly/core/view.hpp>
#include <weakly/noise/class_thresholds.hpp>
#include <weakly/noise/confident_guess.hpp>
#include <weakly/noise/detail/apportion.hpp>
#include <weakly/noise/detail/plausible.hpp>
#include <weakly/noise/detail/sparse_rows.hpp>
#include <weakly/noise/detail/threshold_state.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace weakly::inline v0 {

/// One cell of a joint of which only the cells that are not zero are kept.
struct joint_count {
  index_t given = 0;
  index_t guess = 0;
  std::int64_t count = 0;

  friend constexpr bool operator==(const joint_count&, const joint_count&) = default;
};

/// Mean probability of its own label over the rows of each class, for rows given as lists: class_threshold_estimator of
/// the n x k matrix in which every class that a row does not list has probability 0.
///
/// Same bits for any order, batches, merges and executor. Memory: five integers a class. Allocates at construction
/// only.
class sparse_threshold_estimator {
 public:
  /// For k classes. Throws option_error when k < 1.
  explicit sparse_threshold_estimator(index_t k) : sums_(k) {}

  index_t classes() const { return sums_.classes(); }

  /// Adds a batch.
  ///
  /// labels       n       integers in [0, k)
  /// row_begin    n + 1   integers; row i has the entries row_begin(i), ..., row_begin(i + 1) - 1, maybe none
  /// class_index  m       classes in [0, k), in any order within a row, each at most once
  /// prob         m       their probabilities; a class not listed has probability 0
  ///
  /// A batch may be a part of longer lists: row_begin need not begin with 0 nor end with m. A row whose label's entry
  /// is NaN or outside [-1, 2] is left out and reported by `rejected`. Throws shape_error, label_error for a label or
  /// class outside [0, k), value_error for a class listed twice, before anything is added. O(n + entries).
  template <executor Exec, label_vector Labels, label_vector Begin, label_vector Classes, real_vector Prob>
  void add(Exec&& ex, const Labels& labels, const Begin& row_begin, const Classes& class_index, const Prob& prob) {
    using T = typename view_t<const Prob&>::value_type;
    const auto y = detail::const_view(labels);
    const detail::sparse_rows lists{detail::const_view(row_begin), detail::const_view(class_index),
                                    detail::const_view(prob)};
    detail::require_sparse_rows(ex, "sparse_threshold_estimator::add", y, lists, classes());
    detail::shared_status rejected;
    detail::in_normalised_slices(sums_, y.extent(0), 1, [&](index_t begin, index_t end) {
      for_row_chunks(ex, end - begin, [&](index_t first, index_t last) {
        status bad = no_bad_rows();
        for (index_t i = begin + first; i < begin + last; ++i) {
          const auto label = static_cast<index_t>(y(i));
          const arithmetic_t<T> own = lists.at(i, label);
          if (!detail::plausible_probability(own)) {
            bad.report(i);
            continue;
          }
          detail::class_sum one{1, {}};
          one.probability.add(double(own));
          detail::add_to_threshold_state(sums_.state(), label, one);
        }
        rejected.merge(bad);
      });
    });
    status bad = rejected.load();
    if (!bad.ok()) bad.first_bad_row += rows_;
    rejected_.merge(bad);
    rows_ += y.extent(0);
  }
  template <label_vector Labels, label_vector Begin, label_vector Classes, real_vector Prob>
  void add(const Labels& labels, const Begin& row_begin, const Classes& class_index, const Prob& prob) {
    add(seq, labels, row_begin, class_index, prob);
  }

  /// Adds what `other` has seen. Throws shape_error when k differs. O(k).
  void merge(const sparse_threshold_estimator& other) {
    sums_.merge(other.sums_);
    status bad = other.rejected_;
    if (!bad.ok()) bad.first_bad_row += rows_;
    rejected_.merge(bad);
    rows_ += other.rows_;
  }

  /// The thresholds, one a class. O(k).
  std::vector<double> finish() const { return sums_.finish(); }

  /// Rows left out, and the first of them, counted from the first row ever added or merged.
  status rejected() const { return rejected_; }

  /// As class_threshold_estimator::state and normalise.
  std::span<std::int64_t> state() { return sums_.state(); }
  std::span<const std::int64_t> state() const { return sums_.state(); }
  void normalise() { sums_.normalise(); }

 private:
  class_threshold_estimator sums_;
  index_t rows_ = 0;
  status rejected_ = no_bad_rows();
};

/// Counts of (given label, confident guess) for many classes and rows given as lists: the joint that
/// confident_joint_estimator counts in the matrix in which every class that a row does not list has probability 0, kept
/// as its non-zero cells.
///
/// The same for any order, batches, merges and executor. Memory: 16 bytes for each cell off the diagonal that is not
/// zero and about five times that while new cells are merged with old ones; 32 bytes a class; 512 KB. `add` allocates
/// where new cells appear, the constructor the rest.
/// Source: Northcutt, Jiang, Chuang, "Confident Learning", JAIR 70 (2021), eq. 1.
class sparse_joint_estimator {
 public:
  /// thresholds  k   as sparse_threshold_estimator gives them. Throws option_error for none, for NaN, and for one of at
  ///                 most 1e-6: every class that a row does not list would reach it.
  explicit sparse_joint_estimator(std::span<const double> thresholds)
      : bounds_("sparse_joint_estimator", thresholds, compatibility::none),
        diagonal_(thresholds.size()),
        not_counted_(thresholds.size()),
        guess_(static_cast<std::size_t>(block)) {
    for (std::size_t c = 0; c < thresholds.size(); ++c)
      if (!(bounds_.of_double[c] > 0))
        detail::fail<option_error>("sparse_joint_estimator: the threshold of class ", c, " is ", thresholds[c],
                                   "; above 1e-6, or every class that a row does not list would reach it");
  }

  index_t classes() const { return bounds_.classes(); }

  /// Adds a batch; arguments and errors as sparse_threshold_estimator::add. Rows whose label's entry is NaN or outside
  /// [-1, 2] are not counted. Guesses are made on all threads; those off the diagonal are collected on the calling one.
  /// O(n + entries), and O(cells log cells) for new cells.
  template <executor Exec, label_vector Labels, label_vector Begin, label_vector Classes, real_vector Prob>
  void add(Exec&& ex, const Labels& labels, const Begin& row_begin, const Classes& class_index, const Prob& prob) {
    using T = typename view_t<const Prob&>::value_type;
    const auto y = detail::const_view(labels);
    const detail::sparse_rows lists{detail::const_view(row_begin), detail::const_view(class_index),
                                    detail::const_view(prob)};
    detail::require_sparse_rows(ex, "sparse_joint_estimator::add", y, lists, classes());
    const auto* const bound = bounds_.of<T>();
    for (index_t start = 0; start < y.extent(0); start += block) {
      const index_t rows = std::min(block, y.extent(0) - start);
      for_row_chunks(ex, rows, [&](index_t first, index_t last) {
        std::int64_t issues = 0;
        for (index_t r = first; r < last; ++r) {
          const index_t i = start + r;
          const auto label = static_cast<index_t>(y(i));
          const counted at = count_row(lists, i, label, bound);
          guess_[static_cast<std::size_t>(r)] = at.guess == label ? nobody : at.guess;
          issues += at.issue;
          if (at.guess == nobody) detail::atomic_add(not_counted_[static_cast<std::size_t>(label)], std::int64_t(1));
          if (at.guess == label) detail::atomic_add(diagonal_[static_cast<std::size_t>(label)], std::int64_t(1));
        }
        detail::atomic_add(issues_, issues);
      });
      for (index_t r = 0; r < rows; ++r)
        if (const index_t guess = guess_[static_cast<std::size_t>(r)]; guess != nobody)
          collect({static_cast<index_t>(y(start + r)), guess, 1});
    }
  }
  template <label_vector Labels, label_vector Begin, label_vector Classes, real_vector Prob>
  void add(const Labels& labels, const Begin& row_begin, const Classes& class_index, const Prob& prob) {
    add(seq, labels, row_begin, class_index, prob);
  }

  /// Adds what `other`, made with the same thresholds, has counted. Throws shape_error when k, option_error when
  /// thresholds differ, before anything is added.
  void merge(const sparse_joint_estimator& other) {
    if (other.classes() != classes())
      detail::fail<shape_error>("sparse_joint_estimator::merge: ", classes(), " and ", other.classes(), " classes");
    if (other.bounds_.of_double != bounds_.of_double)
      detail::fail<option_error>(
          "sparse_joint_estimator::merge: the two count by different thresholds, so their counts do not add; make both "
          "with the same thresholds");
    for (std::size_t c = 0; c < diagonal_.size(); ++c) {
      diagonal_[c] += other.diagonal_[c];
      not_counted_[c] += other.not_counted_[c];
    }
    issues_ += other.issues_;
    for (const cell& c : other.merged())
      collect(joint_count{other.given_of(c.place), other.guess_of(c.place), c.count});
  }

  /// The cells of the joint that are not zero, in ascending order of (given, guess): C(a, b) as counted, and
  /// C(a, a) = max(C(a, a), 1) for every class a that has rows.
  std::vector<joint_count> finish() const {
    const std::vector<cell> off_diagonal = merged();
    const std::vector<std::int64_t> rows = label_counts();
    std::vector<joint_count> joint;
    joint.reserve(off_diagonal.size() + rows.size());
    auto next = off_diagonal.begin();
    for (index_t a = 0; a < classes(); ++a) {
      const auto at = static_cast<std::size_t>(a);
      const auto take_before = [&](index_t guess) {
        for (; next != off_diagonal.end() && given_of(next->place) == a && guess_of(next->place) < guess; ++next)
          joint.push_back({a, guess_of(next->place), next->count});
      };
      take_before(a);
      if (rows[at] > 0) joint.push_back({a, a, std::max<std::int64_t>(diagonal_[at], 1)});
      take_before(classes());
    }
    return joint;
  }

  /// Rows of each given label, counted in the joint or not.
  std::vector<std::int64_t> label_counts() const {
    std::vector<std::int64_t> rows(diagonal_.size());
    for (std::size_t c = 0; c < rows.size(); ++c) rows[c] = diagonal_[c] + not_counted_[c];
    for (const cell& c : merged()) rows[static_cast<std::size_t>(given_of(c.place))] += c.count;
    return rows;
  }

  /// As confident_joint_estimator::off_diagonal_issues.
  std::int64_t off_diagonal_issues() const { return issues_; }

 private:
  static constexpr index_t block = 1 << 16;
  static constexpr index_t nobody = -1;

  struct counted {
    index_t guess;
    bool issue;
  };
  struct cell {
    std::uint64_t place;  // given * k + guess, so that ascending places are rows of the joint
    std::int64_t count;
  };

  index_t given_of(std::uint64_t place) const { return static_cast<index_t>(place) / classes(); }
  index_t guess_of(std::uint64_t place) const { return static_cast<index_t>(place) % classes(); }

  template <class Lists, class A>
  static counted count_row(const Lists& lists, index_t i, index_t label, const A* bound) {
    index_t guess = nobody;
    A best = 0, own = 0;
    for (index_t e = lists.begin(i); e < lists.begin(i + 1); ++e) {
      const index_t c = lists.class_of(e);
      const A p = lists.prob_of(e);
      if (c == label) own = p;
      if (!detail::is_confident(p, bound[c])) continue;
      if (guess == nobody || p > best || (p == best && c < guess)) {
        guess = c;
        best = p;
      }
    }
    if (guess == nobody || !detail::plausible_probability(own)) return {nobody, false};
    if (guess == label) return {guess, false};
    // A class that is not listed cannot matter here: its 0 is below the guess, which is above every bound.
    const double limit = double(own) + math::confidence_slack;
    bool issue = false;
    for (index_t e = lists.begin(i); e < lists.begin(i + 1); ++e) {
      const auto p = double(lists.prob_of(e));
      const index_t c = lists.class_of(e);
      issue = issue || (c != label && (p > limit || (c < label && p == limit)));
    }
    return {guess, issue};
  }

  void collect(const joint_count& c) {
    const auto k = static_cast<std::uint64_t>(classes());
    pending_.push_back({static_cast<std::uint64_t>(c.given) * k + static_cast<std::uint64_t>(c.guess), c.count});
    // Merging when as many wait as there are makes the cost of all merges that of one sort.
    if (pending_.size() < std::max<std::size_t>(cells_.size(), std::size_t(block))) return;
    cells_ = merged();
    pending_.clear();
  }

  /// All cells off the diagonal, ascending, each once.
  std::vector<cell> merged() const {
    const auto before = [](const cell& a, const cell& b) { return a.place < b.place; };
    std::vector<cell> waiting = pending_;
    std::sort(waiting.begin(), waiting.end(), before);
    sum_equal(waiting);
    std::vector<cell> all(cells_.size() + waiting.size());
    std::merge(cells_.begin(), cells_.end(), waiting.begin(), waiting.end(), all.begin(), before);
    sum_equal(all);
    return all;
  }

  static void sum_equal(std::vector<cell>& cells) {
    std::size_t kept = 0;
    for (const cell& c : cells) {
      if (kept > 0 && cells[kept - 1].place == c.place)
        cells[kept - 1].count += c.count;
      else
        cells[kept++] = c;
    }
    cells.resize(kept);
  }

  detail::confidence_bounds bounds_;
  std::vector<std::int64_t> diagonal_;     // rows guessed to be what they are labelled
  std::vector<std::int64_t> not_counted_;  // rows in no class confidently
  std::vector<index_t> guess_;             // of a block of rows
  std::vector<cell> cells_;                // off the diagonal, ascending, each once
  std::vector<cell> pending_;              // to be merged into them
  std::int64_t issues_ = 0;
};

/// Everything that one look at the whole data gives.
struct sparse_joint_result {
  std::vector<double> thresholds;          ///< k
  std::vector<std::int64_t> label_counts;  ///< k, rows of each given label
  std::vector<joint_count> counts;         ///< the cells of the joint that are not zero, by (given, guess)
  std::int64_t off_diagonal_issues = 0;    ///< confident disagreements
  status rejected = no_bad_rows();         ///< rows whose label's entry is NaN or outside [-1, 2]
};

/// Thresholds and confident joint of one batch of lists in memory.
///
/// k classes; labels n, row_begin n + 1, class_index and prob m, as sparse_threshold_estimator::add takes them
///
/// n = 0 gives infinite thresholds and no cells. Errors as the two estimators. O(n + m + k + cells log cells).
template <executor Exec, label_vector Labels, label_vector Begin, label_vector Classes, real_vector Prob>
sparse_joint_result sparse_confident_joint(Exec&& ex, index_t k, const Labels& labels, const Begin& row_begin,
                                           const Classes& class_index, const Prob& prob) {
  sparse_threshold_estimator exact(k);
  exact.add(ex, labels, row_begin, class_index, prob);
  std::vector<double> thresholds = exact.finish();
  sparse_joint_estimator joint(thresholds);
  joint.add(ex, labels, row_begin, class_index, prob);
  return {std::move(thresholds), joint.label_counts(), joint.finish(), joint.off_diagonal_issues(), exact.rejected()};
}

/// As above, on the calling thread.
template <label_vector Labels, label_vector Begin, label_vector Classes, real_vector Prob>
sparse_joint_result sparse_confident_joint(index_t k, const Labels& labels, const Begin& row_begin,
                                           const Classes& class_index, const Prob& prob) {
  return sparse_confident_joint(seq, k, labels, row_begin, class_index, prob);
}

/// The cells scaled to the given labels: calibrate_joint, row by row, by the method of largest remainders.
///
/// counts        cells of a k x k joint in strictly ascending order of (given, guess)
/// label_counts  k       n(a), rows of each given label
///
/// Cells that become zero are left out. A class with rows and no count is put on the diagonal, one without rows has no
/// cells. Throws label_error for a class outside [0, k); value_error for cells out of order or a negative count.
/// O(cells log cells + k), allocates O(cells).
inline std::vector<joint_count> calibrate_sparse_joint(std::span<const joint_count> counts,
                                                       std::span<const std::int64_t> label_counts) {
  const auto k = static_cast<index_t>(label_counts.size());
  for (std::size_t e = 0; e < counts.size(); ++e) {
    const joint_count& c = counts[e];
    if (!detail::is_label(c.given, k) || !detail::is_label(c.guess, k))
      detail::fail<label_error>("calibrate_sparse_joint: cell ", e, " is (", c.given, ", ", c.guess, ") of ", k,
                                " classes");
    if (c.count < 0)
      detail::fail<value_error>("calibrate_sparse_joint: cell ", e, " counts ", c.count, "; counts are not negative");
    const joint_count* const before = e > 0 ? &counts[e - 1] : nullptr;
    if (before && (before->given > c.given || (before->given == c.given && before->guess >= c.guess)))
      detail::fail<value_error>("calibrate_sparse_joint: cell ", e,
                                " is not behind the one before it; cells ascend by (given, guess)");
  }
  std::vector<joint_count> calibrated;
  std::vector<std::int64_t> weight, share;
  std::size_t e = 0;
  for (index_t a = 0; a < k; ++a) {
    const std::int64_t rows = label_counts[static_cast<std::size_t>(a)];
    if (rows < 0)
      detail::fail<value_error>("calibrate_sparse_joint: class ", a, " has ", rows, " rows; counts are not negative");
    const std::size_t first = e;
    std::int64_t sum = 0;
    weight.clear();
    for (; e < counts.size() && counts[e].given == a; ++e) {
      weight.push_back(counts[e].count);
      sum += counts[e].count;
    }
    if (sum == 0) {
      if (rows > 0) calibrated.push_back({a, a, rows});
      continue;
    }
    share.assign(weight.size(), 0);
    detail::apportion(weight, rows, share);
    for (std::size_t s = 0; s < share.size(); ++s)
      if (share[s] > 0) calibrated.push_back({a, counts[first + s].guess, share[s]});
  }
  return calibrated;
}

}  // namespace weakly::inline v0
