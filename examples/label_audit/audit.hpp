// SPDX-License-Identifier: MIT
#pragma once

#include "evaluate.hpp"
#include "options.hpp"
#include "probabilities.hpp"
#include "result.hpp"

#include <weakly/noise/calibrate_joint.hpp>
#include <weakly/noise/class_thresholds.hpp>
#include <weakly/noise/cleanlab_thresholds.hpp>
#include <weakly/noise/confident_joint.hpp>
#include <weakly/noise/dataset_health.hpp>
#include <weakly/noise/label_issues.hpp>
#include <weakly/noise/label_quality.hpp>
#include <weakly/noise/noise_matrices.hpp>
#include <weakly/noise/rank_issues.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace label_audit {

/// One audit of a set of labels: a few passes over the probabilities, which are never all in memory.
template <class T, weakly::executor Exec>
class auditor {
 public:
  auditor(Exec& exec, batches<T>& data, std::span<const std::int32_t> labels, const options& o)
      : exec_(exec), data_(data), labels_(labels), options_(o) {
    counts_.resize(static_cast<std::size_t>(data.classes()));
    for (const std::int32_t s : labels) ++counts_[static_cast<std::size_t>(s)];
  }

  /// `check`: this is the first look at the probabilities, so say what is wrong with them.
  audit_result run(bool check) {
    audit_result r;
    r.n = data_.rows();
    r.k = data_.classes();
    r.class_counts.assign(counts_.begin(), counts_.end());
    r.filter_by = options_.filter_by;
    r.score = (options_.adjust ? "adjusted_" : "") + options_.score;
    r.like_cleanlab = options_.like_cleanlab;

    r.thresholds = thresholds(check);
    weakly::confident_joint_result joint = counted(r.thresholds);
    r.confident_joint = weakly::calibrate_joint(joint.counts, counts_, {.compat = compat()});
    r.joint = weakly::joint_distribution(r.confident_joint);
    weakly::noise_estimate noise = weakly::noise_matrices(r.confident_joint, counts_, {.compat = compat()});
    r.prior = std::move(noise.prior);
    r.noise_matrix = std::move(noise.noise_matrix);
    r.inverse_noise_matrix = std::move(noise.inverse_noise_matrix);
    r.health = weakly::dataset_health(joint, r.confident_joint, compat());
    rank(r, issue_rows(joint, r.confident_joint));
    r.confident_joint_raw = std::move(joint.counts);
    return r;
  }

  /// How well the issues and the scores of a run match the flipped labels. The plain run is the caller's to fill in.
  flip_outcome evaluate(const audit_result& r, flipped_labels flipped) {
    average_precision precision(flipped.rows);
    std::vector<double> score;
    const auto scores = [&](const char* what, auto&& take) {
      data_.for_each(what, exec_, false, [&](index_t first, const auto& p) {
        score.resize(static_cast<std::size_t>(p.extent(0)));
        quality(labels_of(first, p), p, r.thresholds, score);
        take(first, std::span<const double>(score));
      });
    };
    scores("scores", [&](index_t first, std::span<const double> s) { precision.note(first, s); });
    scores("ranks", [&](index_t first, std::span<const double> s) { precision.count(first, s); });

    const auto found = static_cast<double>(hits(r.issues, flipped.rows));
    flip_outcome f{};
    f.precision = found / static_cast<double>(r.issues.size());  // NaN where there are no issues
    f.recall = found / static_cast<double>(flipped.rows.size());
    f.average_precision = precision.finish();
    f.rows = std::move(flipped.rows);
    f.original = std::move(flipped.original);
    return f;
  }

 private:
  weakly::compatibility compat() const {
    return options_.like_cleanlab ? weakly::compatibility::cleanlab : weakly::compatibility::none;
  }

  template <class View>
  std::span<const std::int32_t> labels_of(index_t first, const View& p) const {
    return labels_.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(p.extent(0)));
  }

  std::vector<double> thresholds(bool check) {
    const auto all = [&](auto&& add) {
      data_.for_each("thresholds", exec_, check, [&](index_t first, const auto& p) { add(labels_of(first, p), p); });
    };
    if (options_.like_cleanlab) {
      weakly::cleanlab_threshold_estimator<T> estimator(data_.classes());
      estimator.reserve(counts_);
      all([&](auto labels, const auto& p) { estimator.add(labels, p); });
      return estimator.finish();
    }
    weakly::class_threshold_estimator estimator(data_.classes());
    all([&](auto labels, const auto& p) { estimator.add(exec_, labels, p); });
    return estimator.finish();
  }

  weakly::confident_joint_result counted(const std::vector<double>& thresholds) {
    weakly::confident_joint_estimator estimator(thresholds, {.compat = compat()});
    data_.for_each("confident joint", exec_, false,
                   [&](index_t first, const auto& p) { estimator.add(exec_, labels_of(first, p), p); });
    weakly::confident_joint_result joint{.thresholds = thresholds, .label_counts = counts_, .counts = {}};
    joint.off_diagonal_issues = estimator.off_diagonal_issues();
    joint.counts = std::move(estimator).finish();
    return joint;
  }

  template <class Labels, class View>
  void quality(const Labels& labels, const View& p, std::span<const double> thresholds, std::span<double> out) {
    weakly::label_quality_options how{.compat = compat()};
    if (options_.score == "normalized_margin") how.score = weakly::quality_score::normalized_margin;
    if (options_.score == "confidence_weighted_entropy") how.score = weakly::quality_score::confidence_weighted_entropy;
    weakly::label_quality(exec_, labels, p, options_.adjust ? thresholds : std::span<const double>(), out, how);
  }

  /// Scores and suggestions of the issue rows, then the ranking: ascending score, equal scores by row, NaN last.
  void rank(audit_result& r, const row_set& rows) {
    r.issues.reserve(static_cast<std::size_t>(std::count(rows.begin(), rows.end(), true)));
    std::vector<double> score(1);
    data_.for_each_with("scores", exec_, rows, [&](index_t first, const auto& p) {
      for (index_t row = first; row < first + p.extent(0); ++row) {
        if (!rows[static_cast<std::size_t>(row)]) continue;
        const weakly::matrix_view<const T> one = weakly::view(&p(row - first, 0), 1, p.extent(1));
        quality(labels_.subspan(static_cast<std::size_t>(row), 1), one, r.thresholds, score);
        r.issues.emplace_back(row, labels_[static_cast<std::size_t>(row)], most_probable(one), score[0]);
      }
    });
    std::sort(r.issues.begin(), r.issues.end(), [](const issue& a, const issue& b) {
      return weakly::is_more_suspicious(a.score, a.row(), b.score, b.row());
    });
  }

  static index_t most_probable(const weakly::matrix_view<const T>& row) {
    index_t best = 0;
    for (index_t j = 1; j < row.extent(1); ++j)
      if (static_cast<weakly::arithmetic_t<T>>(row(0, j)) > static_cast<weakly::arithmetic_t<T>>(row(0, best)))
        best = j;
    return best;
  }

  // The two rules that `both` joins are looked at one after the other: a pass more, and half of the memory.
  row_set issue_rows(const weakly::confident_joint_result& joint, const weakly::matrix<std::int64_t>& calibrated) {
    using enum weakly::issue_filter;
    if (filter() != both) return issue_rows(filter(), joint, calibrated);
    row_set rows = issue_rows(prune_by_class, joint, calibrated);
    const row_set others = issue_rows(prune_by_noise_rate, joint, calibrated);
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = rows[i] && others[i];
    return rows;
  }

  row_set issue_rows(weakly::issue_filter rule, const weakly::confident_joint_result& joint,
                     const weakly::matrix<std::int64_t>& calibrated) {
    weakly::label_issue_estimator issues(joint, calibrated,
                                         {.filter_by = rule,
                                          .frac_noise = options_.frac_noise,
                                          .min_examples_per_class = options_.min_examples_per_class,
                                          .compat = compat()});
    data_.for_each("label issues", exec_, false,
                   [&](index_t first, const auto& p) { issues.add(exec_, first, labels_of(first, p), p); });
    row_set rows(labels_.size());
    for (const index_t row : std::move(issues).finish()) rows[static_cast<std::size_t>(row)] = true;
    return rows;
  }

  weakly::issue_filter filter() const {
    using enum weakly::issue_filter;
    const std::string& name = options_.filter_by;
    return name == "prune_by_noise_rate"   ? prune_by_noise_rate
           : name == "prune_by_class"      ? prune_by_class
           : name == "both"                ? both
           : name == "confident_learning"  ? confident_learning
           : name == "predicted_neq_given" ? predicted_neq_given
           : name == "low_self_confidence" ? low_self_confidence
                                           : low_normalized_margin;
  }

  Exec& exec_;
  batches<T>& data_;
  std::span<const std::int32_t> labels_;
  const options& options_;
  std::vector<std::int64_t> counts_;
};

}  // namespace label_audit
