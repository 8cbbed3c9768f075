// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/exact_sum.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/half.hpp>
#include <weakly/core/labels.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>
#include <weakly/noise/detail/plausible.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>
#include <vector>

namespace weakly::inline v0 {

namespace detail {

inline constexpr double least_threshold = 2e-6;

// What one chunk found about one class, in a form whose addition does not depend on order.
struct class_sum {
  std::int64_t rows = 0;
  exact_sum probability;
};

}  // namespace detail

/// Mean probability of its own label over the rows of each class: how confident the model is when it is right.
///
///     t(c) = max( mean over { i : label(i) = c } of prob(i, c), 2e-6 ),    +infinity for a class without rows
///
/// The sums are exact (core/exact_sum.hpp) and the mean is rounded once, so the thresholds are the same bits whatever
/// the order of the rows, the sizes of the batches, the tree of merges, the executor and the memory layout. State: five
/// integers a class, in one flat buffer that merges by addition. Allocates at construction only. Source: Northcutt,
/// Jiang, Chuang, "Confident Learning", JAIR 70 (2021), eq. 2.
class class_threshold_estimator {
 public:
  /// For k classes. Throws option_error when k < 1.
  explicit class_threshold_estimator(index_t k) : classes_(k) {
    if (k < 1) detail::fail<option_error>("class_threshold_estimator: k = ", k, " classes; give at least one");
    if (k > std::numeric_limits<index_t>::max() / (parts * index_t(sizeof(std::int64_t))))
      detail::fail<option_error>("class_threshold_estimator: k = ", k, " classes, which no memory holds");
    state_.resize(static_cast<std::size_t>(parts * k));
  }

  index_t classes() const { return classes_; }

  /// Adds a batch.
  ///
  /// labels  n       integers in [0, k)
  /// prob    n x k   probabilities, rows summing to one; only prob(i, labels(i)) is read
  ///
  /// A row whose entry is NaN or outside [-1, 2] is left out of mean and count and reported by `rejected`.
  /// Throws shape_error, or label_error for a label outside [0, k), before anything is added. O(n + k).
  template <executor Exec, label_vector Labels, real_matrix Prob>
  void add(Exec&& ex, const Labels& labels, const Prob& prob) {
    using Label = typename view_t<const Labels&>::value_type;
    using T = typename view_t<const Prob&>::value_type;
    const vector_view<const Label> y = view(labels);
    const matrix_view<const T> p = view(prob);
    detail::require_extent("class_threshold_estimator::add: prob", p, 0, y.extent(0));
    detail::require_extent("class_threshold_estimator::add: prob", p, 1, classes_);
    detail::require_labels(ex, "class_threshold_estimator::add", y, classes_);

    detail::shared_status rejected;
    // A part of a sum may be added to 2^18 times before it is normalised: by chunks of 2^13 rows, or by single rows,
    // which take a table only where they are few.
    const bool by_table = classes_ <= most_in_table && y.extent(0) >= classes_;
    const index_t block = by_table ? index_t(1) << 30 : index_t(1) << 18;
    for (index_t start = 0; start < y.extent(0); start += block) {
      // Only one entry of a row is touched, so a chunk is counted in rows.
      for_row_chunks(ex, std::min(block, y.extent(0) - start), 8, [&](index_t first, index_t last) {
        rejected.merge(by_table ? add_by_table<Label, T>(y, p, start + first, start + last)
                                : add_one_by_one<Label, T>(y, p, start + first, start + last));
      });
      normalise();
    }
    status bad = rejected.load();
    if (!bad.ok()) bad.first_bad_row += rows_;
    rejected_.merge(bad);
    rows_ += y.extent(0);
  }
  template <label_vector Labels, real_matrix Prob>
  void add(const Labels& labels, const Prob& prob) {
    add(seq, labels, prob);
  }

  /// Adds what `other` has seen, as if its batches had been added here. Throws shape_error when k differs. O(k).
  void merge(const class_threshold_estimator& other) {
    if (other.classes_ != classes_)
      detail::fail<shape_error>("class_threshold_estimator::merge: ", classes_, " and ", other.classes_, " classes");
    for (std::size_t i = 0; i < state_.size(); ++i) state_[i] += other.state_[i];
    normalise();
    status bad = other.rejected_;
    if (!bad.ok()) bad.first_bad_row += rows_;
    rejected_.merge(bad);
    rows_ += other.rows_;
  }

  /// The thresholds, one a class. O(k).
  std::vector<double> finish() const {
    std::vector<double> threshold(static_cast<std::size_t>(classes_));
    for (index_t c = 0; c < classes_; ++c) {
      const std::int64_t rows = part(0)[c];
      const detail::exact_sum sum{part(1)[c], part(2)[c], part(3)[c], part(4)[c]};
      threshold[static_cast<std::size_t>(c)] =
          rows == 0 ? std::numeric_limits<double>::infinity() : std::max(sum.mean(rows), detail::least_threshold);
    }
    return threshold;
  }

  /// Rows added to each class, rejected ones left out.
  std::span<const std::int64_t> label_counts() const { return {part(0), static_cast<std::size_t>(classes_)}; }

  /// Rows left out, and the first of them, counted from the first row ever added (or merged, in the order of merging).
  /// Not part of `state`: the first of several is no sum, so a reduction over `state` leaves each process its own.
  status rejected() const { return rejected_; }

  /// The numbers that merging adds: k row counts, then the k whole, high, middle and low parts of the sums.
  /// What `rejected` gives is not among them.
  /// Up to 2^18 such buffers may be added elementwise (an integer all-reduce) before `normalise` is called.
  std::span<std::int64_t> state() { return state_; }
  std::span<const std::int64_t> state() const { return state_; }

  /// Makes the parts of each sum unique again after a reduction wrote to `state`. O(k).
  void normalise() {
    for (index_t c = 0; c < classes_; ++c) {
      detail::exact_sum sum{part(1)[c], part(2)[c], part(3)[c], part(4)[c]};
      sum.normalise();
      put(c, sum);
    }
  }

 private:
  static constexpr index_t parts = 5;
  static constexpr index_t few = 128, most_in_table = 1024;

  std::int64_t* part(index_t p) { return state_.data() + p * classes_; }
  const std::int64_t* part(index_t p) const { return state_.data() + p * classes_; }
  void put(index_t c, const detail::exact_sum& sum) {
    part(1)[c] = sum.whole;
    part(2)[c] = sum.high;
    part(3)[c] = sum.middle;
    part(4)[c] = sum.low;
  }

  void add_shared(index_t c, detail::class_sum s) {
    s.probability.normalise();
    const std::int64_t found[] = {s.rows, s.probability.whole, s.probability.high, s.probability.middle,
                                  s.probability.low};
    for (index_t q = 0; q < parts; ++q)
      if (found[q] != 0) detail::atomic_add(part(q)[c], found[q]);
  }

  // One line of a wide row, far from the last: nothing but a hint brings it near in time.
  template <class Label, class T>
  static void prefetch_row(const vector_view<const Label>& y, const matrix_view<const T>& p, index_t i, index_t last) {
    constexpr index_t ahead = 24;
    if (last - i > ahead) simd::prefetch(&p(i + ahead, static_cast<index_t>(y(i + ahead))));
  }

  // A table on the stack, because threads would otherwise fight for the same lines.
  template <class Label, class T>
  status add_by_table(const vector_view<const Label>& y, const matrix_view<const T>& p, index_t first, index_t last) {
    return classes_ <= few ? add_by_table_of<few, Label, T>(y, p, first, last)
                           : add_by_table_of<most_in_table, Label, T>(y, p, first, last);
  }
  template <index_t Most, class Label, class T>
  status add_by_table_of(const vector_view<const Label>& y, const matrix_view<const T>& p, index_t first,
                         index_t last) {
    detail::class_sum table[std::size_t(Most)];
    status bad = no_bad_rows();
    for (index_t i = first; i < last; ++i) {
      if (Most > few) prefetch_row<Label, T>(y, p, i, last);
      const auto c = static_cast<index_t>(y(i));
      const auto x = static_cast<arithmetic_t<T>>(p(i, c));
      if constexpr (std::is_same_v<arithmetic_t<T>, float>) {
        // Nearly always: a float from 2^-17 upwards is a multiple of 2^-40, whole units of the sum's high part.
        if (x >= 0x1p-17f && x <= 1.0f) {
          ++table[c].rows;
          table[c].probability.high += static_cast<std::int64_t>(x * 0x1p40f);
          continue;
        }
      }
      if (!detail::plausible_probability(x)) {
        bad.report(i);
        continue;
      }
      ++table[c].rows;
      table[c].probability.add(double(x));
    }
    for (index_t c = 0; c < classes_; ++c)
      if (table[c].rows != 0) add_shared(c, table[c]);
    return bad;
  }

  // Many classes or few rows: two rows of a chunk seldom share a class, so straight into the shared state.
  template <class Label, class T>
  status add_one_by_one(const vector_view<const Label>& y, const matrix_view<const T>& p, index_t first, index_t last) {
    status bad = no_bad_rows();
    for (index_t i = first; i < last; ++i) {
      prefetch_row<Label, T>(y, p, i, last);
      const auto c = static_cast<index_t>(y(i));
      const auto x = static_cast<arithmetic_t<T>>(p(i, c));
      if (!detail::plausible_probability(x)) {
        bad.report(i);
        continue;
      }
      detail::class_sum one{1, {}};
      one.probability.add(double(x));
      add_shared(c, one);
    }
    return bad;
  }

  index_t classes_;
  index_t rows_ = 0;
  std::vector<std::int64_t> state_;
  status rejected_ = no_bad_rows();
};

/// The thresholds of one batch: see class_threshold_estimator.
template <executor Exec, label_vector Labels, real_matrix Prob>
std::vector<double> class_thresholds(Exec&& ex, const Labels& labels, const Prob& prob) {
  class_threshold_estimator estimator(view(prob).extent(1));
  estimator.add(ex, labels, prob);
  return estimator.finish();
}

/// As above, on the calling thread.
template <label_vector Labels, real_matrix Prob>
std::vector<double> class_thresholds(const Labels& labels, const Prob& prob) {
  return class_thresholds(seq, labels, prob);
}

}  // namespace weakly::inline v0
