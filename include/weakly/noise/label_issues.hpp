// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/labels.hpp>
#include <weakly/core/matrix.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>
#include <weakly/noise/calibrate_joint.hpp>
#include <weakly/noise/confident_joint.hpp>
#include <weakly/noise/detail/bounded_selection.hpp>
#include <weakly/noise/detail/confident_count.hpp>
#include <weakly/noise/detail/disagreement.hpp>
#include <weakly/noise/detail/distinct_rows.hpp>
#include <weakly/noise/detail/margins.hpp>
#include <weakly/noise/detail/row_reader.hpp>
#include <weakly/noise/label_quality.hpp>
#include <weakly/noise/prune_counts.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

namespace weakly::inline v0 {

/// Which rows are called label issues. a is the given label of a row; R comes from prune_counts.hpp.
enum class issue_filter : std::uint8_t {
  prune_by_noise_rate,   ///< for every b != a the R(a, b) rows with the largest prob(b) - prob(a)
  prune_by_class,        ///< for every a the rows with the smallest prob(a), n(a) - R(a, a) of them; with to_remove
                         ///< that many, whether the joint has an error of class a or not
  both,                  ///< rows that the two above agree on, so none of a class of which the joint has no error
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

  friend bool operator==(const label_issue_options&, const label_issue_options&) = default;
};

/// The label issues of data that pass by in batches, after their confident joint is known.
///
/// Every filter but the low_* ones leaves out rows that the model agrees with: argmax over c of
/// ( prob(i, c) + 1e-6 [c = label(i)] ) = label(i). Ties at a cut go to the lower row number. The issues are the same
/// whatever the batches, their order, the tree of merges, the executor and the layout: rows are selected by the total
/// order (key, row). Memory: 17 bytes (where a pair of classes has few, up to 32) for each row that may be selected, at
/// most the number of estimated errors, and for both that twice; 60 bytes for each pair of classes that is pruned and
/// for each class; for predicted_neq_given and confident_learning up to 8 bytes a row. Allocated at construction,
/// except that a copy of an estimator of the two last filters allocates as it grows. Source: Northcutt, Jiang, Chuang,
/// "Confident Learning", JAIR 70 (2021), section 3.2.
class label_issue_estimator {
 public:
  /// joint       of all the rows that will be added (confident_joint.hpp)
  /// calibrated  k x k   counts to prune by, normally calibrate_joint of joint.counts; the whole-set filters ignore it
  /// to_remove   k       how many rows of each given class to prune; empty: as many as estimated.
  ///                     Only for prune_by_noise_rate, prune_by_class and both. Of a class of which the joint has no
  ///                     error prune_by_noise_rate prunes none, as it needs the class they belong to;
  ///                     prune_by_class prunes to_remove.
  /// Throws shape_error; value_error for counts that are none and as prune_counts; option_error for an unknown filter,
  /// for frac_noise outside [0, 1] whatever the filter, and as prune_counts.
  template <detail::count_matrix Joint>
  label_issue_estimator(const confident_joint_result& joint, const Joint& calibrated, label_issue_options options = {},
                        std::span<const std::int64_t> to_remove = {})
      : options_(options),
        classes_(static_cast<index_t>(joint.label_counts.size())),
        bounds_("label_issue_estimator", joint.thresholds, options.compat) {
    if (options.filter_by > issue_filter::low_normalized_margin)
      detail::fail<option_error>("label_issue_estimator: filter_by = ", static_cast<int>(options.filter_by),
                                 "; choose one of the enumerators of issue_filter");
    if (!(options.frac_noise >= 0 && options.frac_noise <= 1))
      detail::fail<option_error>("label_issue_estimator: frac_noise = ", options.frac_noise,
                                 "; it is a share in [0, 1]");
    if (joint.thresholds.size() != joint.label_counts.size())
      detail::fail<shape_error>("label_issue_estimator: the joint has ", joint.thresholds.size(), " thresholds and ",
                                joint.label_counts.size(), " label counts; both are one a class");
    detail::require_label_counts("label_issue_estimator", joint.label_counts, classes_);
    rows_ = detail::total_rows("label_issue_estimator", joint.label_counts);
    if (joint.off_diagonal_issues < 0 || joint.off_diagonal_issues > rows_)
      detail::fail<value_error>("label_issue_estimator: the joint has ", joint.off_diagonal_issues,
                                " off-diagonal issues among ", rows_, " rows");
    detail::require_extent("label_issue_estimator: calibrated", view(calibrated), 0, classes_);
    detail::require_extent("label_issue_estimator: calibrated", view(calibrated), 1, classes_);
    if (!to_remove.empty() && options.filter_by != issue_filter::prune_by_noise_rate &&
        options.filter_by != issue_filter::prune_by_class && options.filter_by != issue_filter::both)
      detail::fail<option_error>(
          "label_issue_estimator: to_remove is for prune_by_noise_rate, prune_by_class and both; the filter chosen "
          "decides by itself how many rows it takes");
    switch (options.filter_by) {
      case issue_filter::prune_by_noise_rate:
      case issue_filter::prune_by_class:
      case issue_filter::both:
        plan_pruning(joint.label_counts, calibrated, to_remove);
        break;
      case issue_filter::confident_learning:
        listed_room_ = static_cast<std::size_t>(joint.off_diagonal_issues);
        break;
      case issue_filter::predicted_neq_given:
        listed_room_ = static_cast<std::size_t>(rows_);
        break;
      case issue_filter::low_self_confidence:
      case issue_filter::low_normalized_margin: {
        const std::int64_t capacity[] = {joint.off_diagonal_issues};
        by_score_ = detail::bounded_selection("label_issue_estimator", capacity);
        break;
      }
    }
    listed_.reserve(listed_room_);
  }

  index_t classes() const { return classes_; }

  /// Adds a batch whose first row is row `first_row` of the whole data.
  ///
  /// labels  n       integers in [0, k)          prob  n x k   probabilities
  ///
  /// Together the batches must be the data that the joint was made of: filters that list rows throw value_error when
  /// more rows qualify than the joint has counted. NaN keys are never selected. Throws shape_error, label_error, and
  /// option_error for row numbers below 0 or from 2^62. A batch that is refused leaves nothing behind. O(n k).
  template <executor Exec, label_vector Labels, real_matrix Prob>
  void add(Exec&& ex, index_t first_row, const Labels& labels, const Prob& prob) {
    using Label = typename view_t<const Labels&>::value_type;
    using T = typename view_t<const Prob&>::value_type;
    const vector_view<const Label> y = view(labels);
    const matrix_view<const T> p = view(prob);
    detail::require_extent("label_issue_estimator::add: prob", p, 0, y.extent(0));
    detail::require_extent("label_issue_estimator::add: prob", p, 1, classes_);
    detail::require_labels(ex, "label_issue_estimator::add", y, classes_);
    detail::require_row_numbers("label_issue_estimator::add", first_row, y.extent(0));
    switch (options_.filter_by) {
      case issue_filter::prune_by_noise_rate:
      case issue_filter::prune_by_class:
      case issue_filter::both:
        if (options_.compat == compatibility::cleanlab)
          prune_rows<detail::numpy_arithmetic_t<T>, Label, T>(ex, first_row, y, p);
        else
          prune_rows<double, Label, T>(ex, first_row, y, p);
        break;
      case issue_filter::confident_learning:
      case issue_filter::predicted_neq_given:
        list_rows<Label, T>(ex, first_row, y, p);
        break;
      case issue_filter::low_self_confidence:
      case issue_filter::low_normalized_margin:
        select_by_score<Label, T>(ex, first_row, y, p);
        break;
    }
  }
  template <label_vector Labels, real_matrix Prob>
  void add(index_t first_row, const Labels& labels, const Prob& prob) {
    add(seq, first_row, labels, prob);
  }

  /// Adds what `other`, made with the same arguments, has selected. Throws, before anything is added, shape_error when
  /// their plans differ, option_error for itself, value_error as `add`.
  void merge(const label_issue_estimator& other) {
    require_mergeable(other);
    by_pair_.merge(other.by_pair_);
    by_class_.merge(other.by_class_);
    by_score_.merge(other.by_score_);
    note_limits();
    listed_.insert(listed_.end(), other.listed_.begin(), other.listed_.end());
  }

  /// The issues: row numbers of the whole data, ascending. O(m log m) for m rows selected. The estimator stays as it
  /// is, which takes a copy of it; one that is moved from, `std::move(issues).finish()`, gives its memory instead.
  std::vector<index_t> finish() const& { return label_issue_estimator(*this).finish_here(); }
  std::vector<index_t> finish() && { return finish_here(); }

 private:
  friend class multilabel_issue_estimator;  // which checks all its classes before it merges one

  void require_mergeable(const label_issue_estimator& other) const {
    if (&other == this)
      detail::fail<option_error>("label_issue_estimator::merge: an estimator cannot be merged with itself");
    if (other.classes_ != classes_ || other.options_ != options_ || other.listed_room_ != listed_room_ ||
        other.pair_begin_ != pair_begin_ || other.pair_class_ != pair_class_ || !by_pair_.has_plan_of(other.by_pair_) ||
        !by_class_.has_plan_of(other.by_class_) || !by_score_.has_plan_of(other.by_score_))
      detail::fail<shape_error>(
          "label_issue_estimator::merge: the two were made with different joints, options or numbers of rows to "
          "remove; make both with the same arguments");
    require_room(listed_.size() + other.listed_.size());
  }

  // Rows are flagged in parallel against what is selected so far and then taken one after the other; few are left to
  // take once the groups have filled up. A block is short enough to be taken from the cache where rows are short.
  static constexpr index_t block = 1 << 13;

  template <class Exec, class Wanted, class Take>
  void take_wanted_rows(Exec&& ex, index_t first_row, index_t last_row, Wanted wanted, Take take) {
    constexpr index_t tasks = 16;
    const index_t words_a_task = std::clamp<index_t>(row_chunks(block, classes_).end(0) / 64, 1, block / tasks / 64);
    const index_t rows_a_block = tasks * 64 * words_a_task;
    for (index_t start = first_row; start < last_row; start += rows_a_block) {
      const index_t rows = std::min(rows_a_block, last_row - start);
      const index_t words = (rows + 63) / 64;
      ex((words + words_a_task - 1) / words_a_task, [&](index_t task) {
        const index_t last = std::min(words, (task + 1) * words_a_task);
        for (index_t w = task * words_a_task; w < last; ++w) {
          std::uint64_t flags = 0;
          for (index_t r = 64 * w; r < std::min(rows, 64 * (w + 1)); ++r)
            flags |= std::uint64_t(wanted(start + r)) << (r % 64);
          flags_[static_cast<std::size_t>(w)] = flags;
        }
      });
      for (index_t w = 0; w < words; ++w)
        for (std::uint64_t flags = flags_[static_cast<std::size_t>(w)]; flags != 0; flags &= flags - 1)
          take(start + 64 * w + std::countr_zero(flags));
    }
  }

  template <class Joint>
  void plan_pruning(std::span<const std::int64_t> label_counts, const Joint& calibrated,
                    std::span<const std::int64_t> to_remove) {
    const index_t k = classes_;
    const bool cleanlab = options_.compat == compatibility::cleanlab;
    std::vector<std::int64_t> pair_capacity, class_capacity(static_cast<std::size_t>(k));
    const bool pairs = options_.filter_by != issue_filter::prune_by_class;
    pair_begin_.push_back(0);
    const prune_counts_options counted{.frac_noise = options_.frac_noise,
                                       .min_examples_per_class = options_.min_examples_per_class,
                                       .compat = options_.compat};
    const auto plan_class = [&](index_t a, std::span<const std::int64_t> prune) {
      const std::int64_t rows = label_counts[static_cast<std::size_t>(a)];
      const std::int64_t room = std::max<std::int64_t>(rows - options_.min_examples_per_class, 0);
      if (room != 0 && !(cleanlab && rows == 1)) {
        std::int64_t& of_class = class_capacity[static_cast<std::size_t>(a)];
        of_class = std::clamp<std::int64_t>(
            rows - std::clamp<std::int64_t>(prune[static_cast<std::size_t>(a)], 0, rows), 0, rows);
        if (!cleanlab && !to_remove.empty()) of_class = std::min(to_remove[static_cast<std::size_t>(a)], room);
        for (index_t b = 0; b < k; ++b) {
          const std::int64_t of_pair = std::min(prune[static_cast<std::size_t>(b)], rows);
          if (b == a || of_pair <= 0 || !pairs) continue;
          pair_capacity.push_back(of_pair);
          pair_class_.push_back(b);
        }
      }
      pair_begin_.push_back(static_cast<index_t>(pair_class_.size()));
    };
    detail::for_each_prune_row(view(calibrated), label_counts, to_remove, counted, plan_class);
    by_pair_ = detail::bounded_selection("label_issue_estimator", pair_capacity);
    if (options_.filter_by != issue_filter::prune_by_noise_rate)
      by_class_ = detail::bounded_selection("label_issue_estimator", class_capacity);
    note_limits();
  }

  // Where all the rows are at hand, most of those that would be collected and dropped are not looked at: rows whose
  // label is not clearly below another class are seldom pruned, and samples foretell how far below it must be. What
  // turns out short is selected once more without such guesses.
  template <class Number, class Label, class T, class Exec>
  void prune_rows(Exec&& ex, index_t first_row, const vector_view<const Label>& y, const matrix_view<const T>& p) {
    const index_t n = y.extent(0);
    const auto select = [&](index_t first, index_t last) {
      select_by_label<Number, Label, T>(ex, first_row, first, last, y, p);
    };
    if (n != rows_ || !by_pair_.empty() || !by_class_.empty()) return select(0, n);

    by_pair_.admit_up_to(-1e-5);
    by_class_.admit_up_to(0.5);
    note_limits();
    // The rows are looked at in samples, each from all over the data and four times as large as the last.
    constexpr index_t slices = 16;
    const index_t rows = n / slices;
    index_t done = 0;
    for (const index_t part : {64, 16, 4, 1}) {
      const index_t end = rows / part;
      for (index_t s = 0; s < slices; ++s) select(s * rows + done, part == 1 && s + 1 == slices ? n : s * rows + end);
      done = end;
      if (part == 1 || n == 0) continue;
      const double share = static_cast<double>(slices * done) / static_cast<double>(n);
      by_pair_.admit_as_foretold(share);
      by_class_.admit_as_foretold(share);
      note_limits();
    }

    const bool pairs = by_pair_.retry_short_groups(), classes = by_class_.retry_short_groups();
    note_limits();
    if (pairs || classes) select(0, n);
    by_pair_.admit_all();
    by_class_.admit_all();
    note_limits();
  }

  template <class Number, class Label, class T, class Exec>
  void select_by_label(Exec&& ex, index_t first_row, index_t first, index_t last, const vector_view<const Label>& y,
                       const matrix_view<const T>& p) {
    const auto take = [&](index_t i) { take_row<Number>(p, i, static_cast<index_t>(y(i)), first_row + i); };
    if constexpr (std::is_same_v<T, float>) {
      // One look at the whole row by the loosest limit of its label, unless the groups of a label are few.
      const bool many = static_cast<index_t>(by_pair_.groups()) * simd::batch<T>::size >= classes_ * classes_;
      if (many && detail::rows_are_contiguous(p)) {
        const float* const class_limit = by_class_.groups() != 0 ? by_class_.limits() : nullptr;
        const auto wanted = [y, p, k = classes_, class_limit, limit = label_limit_.data()](index_t i) {
          const auto label = static_cast<index_t>(y(i));
          const float* const row = detail::row_of(p, i).first;
          simd::prefetch(row + 512);  // the hardware stops fetching ahead at the end of a page
          return (class_limit != nullptr && row[label] <= class_limit[label]) ||
                 detail::has_margin_within(row, label, limit[label], k);
        };
        return take_wanted_rows(ex, first, last, wanted, take);
      }
    }
    const auto wanted = [&](index_t i) {
      // A few entries of a row of many are not what the hardware fetches ahead.
      constexpr index_t ahead = 4;
      if (i + ahead < last) prefetch_entries(p, i + ahead, static_cast<index_t>(y(i + ahead)));
      return is_wanted<Number>(p, i, static_cast<index_t>(y(i)));
    };
    take_wanted_rows(ex, first, last, wanted, take);
  }

  template <class T>
  void prefetch_entries(const matrix_view<const T>& p, index_t i, index_t label) const {
    simd::prefetch(&p(i, label));
    for (index_t g = pairs_begin(label); g < pairs_end(label); ++g) simd::prefetch(&p(i, other_class(g)));
  }

  // The groups of a label, and the class that each is about.
  index_t pairs_begin(index_t label) const { return pair_begin_[static_cast<std::size_t>(label)]; }
  index_t pairs_end(index_t label) const { return pair_begin_[static_cast<std::size_t>(label + 1)]; }
  index_t other_class(index_t group) const { return pair_class_[static_cast<std::size_t>(group)]; }

  template <class Number, class T>
  bool is_wanted(const matrix_view<const T>& p, index_t i, index_t label) const {
    const detail::row_reader<T> row = detail::row_of(p, i);
    if (by_class_.groups() != 0 && double(row[label]) <= double(by_class_.limits()[label])) return true;
    if (by_pair_.groups() == 0) return false;
    for (index_t g = pairs_begin(label); g < pairs_end(label); ++g)
      if (margin<Number>(row, label, g) <= double(by_pair_.limits()[g])) return true;
    return false;
  }

  template <class Number, class T>
  double margin(const detail::row_reader<T>& row, index_t label, index_t group) const {
    return static_cast<double>(Number(row[label]) - Number(row[other_class(group)]));
  }

  template <class Number, class T>
  void take_row(const matrix_view<const T>& p, index_t i, index_t label, index_t row_number) {
    const detail::row_reader<T> row = detail::row_of(p, i);
    if (by_class_.groups() != 0) {
      const auto g = static_cast<std::size_t>(label);
      const auto key = static_cast<double>(row[label]);
      if (by_class_.wants(g, key, row_number))
        by_class_.put(g, {key, row_number, detail::row_disagrees(p, i, label, options_.compat)});
    }
    if (by_pair_.groups() == 0) return;
    // Which groups want the row is found for up to 64 at once and without a branch a group.
    const index_t last = pairs_end(label);
    for (index_t first = pairs_begin(label); first < last; first += 64) {
      std::uint64_t near = 0;
      for (index_t g = first; g < std::min(first + 64, last); ++g)
        near |= std::uint64_t(margin<Number>(row, label, g) <= double(by_pair_.limits()[g])) << (g - first);
      for (; near != 0; near &= near - 1) put_pair<Number>(p, i, label, first + std::countr_zero(near), row_number);
    }
  }

  template <class Number, class T>
  void put_pair(const matrix_view<const T>& p, index_t i, index_t label, index_t group, index_t row_number) {
    const auto g = static_cast<std::size_t>(group);
    const double key = margin<Number>(detail::row_of(p, i), label, group);
    if (!by_pair_.wants(g, key, row_number)) return;
    // A class this far above the label settles that the label is not the most probable one, however it is rounded.
    const bool kept = key < -4 * math::confidence_slack || detail::row_disagrees(p, i, label, options_.compat);
    if (by_pair_.put(g, {key, row_number, kept})) note_limit(label);
  }

  void note_limit(index_t label) {
    float& limit = label_limit_[static_cast<std::size_t>(label)];
    limit = -std::numeric_limits<float>::infinity();
    for (index_t g = pairs_begin(label); g < pairs_end(label); ++g) limit = std::max(limit, by_pair_.limits()[g]);
  }
  void note_limits() {
    label_limit_.resize(static_cast<std::size_t>(classes_));
    for (index_t a = 0; by_pair_.groups() != 0 && a < classes_; ++a) note_limit(a);
  }

  template <class Label, class T, class Exec>
  void select_by_score(Exec&& ex, index_t first_row, const vector_view<const Label>& y, const matrix_view<const T>& p) {
    const label_quality_options options{.score = options_.filter_by == issue_filter::low_self_confidence
                                                     ? quality_score::self_confidence
                                                     : quality_score::normalized_margin,
                                        .compat = options_.compat};
    const auto score = [&](index_t i) {
      return detail::quality_of<T>(p, i, static_cast<index_t>(y(i)), {}, {}, options);
    };
    take_wanted_rows(
        ex, index_t(0), y.extent(0), [&](index_t i) { return score(i) <= double(by_score_.limits()[0]); },
        [&](index_t i) {
          const double key = score(i);
          if (by_score_.wants(0, key, first_row + i)) by_score_.put(0, {key, first_row + i, true});
        });
  }

  template <class Label, class T, class Exec>
  void list_rows(Exec&& ex, index_t first_row, const vector_view<const Label>& y, const matrix_view<const T>& p) {
    const auto* bound = bounds_.of<T>();
    const std::size_t before = listed_.size();
    take_wanted_rows(
        ex, index_t(0), y.extent(0),
        [&](index_t i) {
          const auto label = static_cast<index_t>(y(i));
          return options_.filter_by == issue_filter::predicted_neq_given
                     ? detail::row_disagrees(p, i, label, options_.compat)
                     : detail::count_row(p, i, label, bound, options_.compat).issue;
        },
        [&](index_t i) {
          if (listed_.size() == listed_room_) {
            listed_.resize(before);
            require_room(listed_room_ + 1);
          }
          listed_.push_back(first_row + i);
        });
  }

  void require_room(std::size_t count) const {
    if (count > listed_room_)
      detail::fail<value_error>("label_issue_estimator: more issues than the ", listed_room_,
                                " that the joint has counted; add each row once, and only rows it was made of");
  }

  std::vector<index_t> finish_here() {
    switch (options_.filter_by) {
      case issue_filter::prune_by_noise_rate:
        return marked_rows(by_pair_);
      case issue_filter::prune_by_class:
        return marked_rows(by_class_);
      case issue_filter::both: {
        const std::vector<index_t> classes = marked_rows(by_class_);
        std::vector<index_t> rows = marked_rows(by_pair_);
        std::erase_if(rows, [&](index_t row) { return !std::binary_search(classes.begin(), classes.end(), row); });
        return rows;
      }
      case issue_filter::confident_learning:
      case issue_filter::predicted_neq_given:
        std::sort(listed_.begin(), listed_.end());
        return std::move(listed_);
      case issue_filter::low_self_confidence:
      case issue_filter::low_normalized_margin:
        return marked_rows(by_score_);
    }
    return {};
  }

  static std::vector<index_t> marked_rows(detail::bounded_selection& selection) {
    std::vector<detail::candidate> best = std::move(selection).finish();
    std::erase_if(best, [](const detail::candidate& c) { return !c.mark(); });
    return detail::distinct_rows(std::move(best), [](const detail::candidate& c) { return c.row(); });
  }

  label_issue_options options_;
  index_t classes_;
  detail::confidence_bounds bounds_;
  index_t rows_ = 0;
  std::vector<index_t> pair_begin_, pair_class_;  // the groups of class a begin at pair_begin_[a]; their other class
  std::vector<float> label_limit_;                // the loosest limit of any group of the class
  detail::bounded_selection by_pair_;
  detail::bounded_selection by_class_;  // group a
  detail::bounded_selection by_score_;  // one group
  std::size_t listed_room_ = 0;         // a copy of an estimator has no capacity of its own
  std::vector<index_t> listed_;
  std::vector<std::uint64_t> flags_ = std::vector<std::uint64_t>(block / 64);
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
  result.rows = std::move(issues).finish();
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
