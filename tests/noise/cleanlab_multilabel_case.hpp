// SPDX-License-Identifier: MIT
#pragma once

#include "cleanlab_case.hpp"

#include <weakly/noise/calibrate_joint.hpp>
#include <weakly/noise/confident_guess.hpp>
#include <weakly/noise/multilabel_confident_joint.hpp>
#include <weakly/noise/multilabel_issues.hpp>
#include <weakly/noise/multilabel_quality.hpp>
#include <weakly/noise/rank_issues.hpp>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace cleanlab_case {

/// As subject, for labels that are an n x k matrix of zeros and ones.
template <class T>
struct multilabel_subject {
  const golden::multi_label& expected;
  std::vector<std::uint8_t> label;
  std::vector<T> prob;
  weakly::multilabel_joint_result joint;

  explicit multilabel_subject(const golden::multi_label& c)
      : expected(c),
        label(c.labels.begin(), c.labels.end()),
        prob(golden::stored_as<T>(c.pred_probs)),
        joint(weakly::multilabel_confident_joint(labels(), probs(), {.compat = compat})) {}

  auto labels() const { return weakly::view(label.data(), expected.n, expected.k); }
  auto probs() const { return weakly::view(prob.data(), expected.n, expected.k); }

  /// One score a row, under the name the stored results have for it.
  std::vector<double> row_scores(const std::string& name) const {
    weakly::multilabel_quality_options options{.compat = compat};
    std::span<const double> thresholds;
    if (name == "softmin")
      options.aggregate.method = weakly::score_aggregate::softmin;
    else if (name == "moving_average_default_alpha")
      options.aggregate.alpha = 2.0 / static_cast<double>(expected.k + 1);
    else if (name == "adjusted_self_confidence")
      thresholds = joint.thresholds.elements();
    else
      options.score = score_named(name);
    std::vector<double> out(static_cast<std::size_t>(expected.n));
    weakly::multilabel_row_quality(weakly::seq, labels(), probs(), thresholds, out, options);
    return out;
  }

  weakly::multilabel_issues issues(const golden::filter_result& f) const {
    // cleanlab's number for a class is the number of rows *without* the class.
    golden::integers to_remove;
    if (f.num_to_remove_per_class)
      for (const std::int64_t rows : *f.num_to_remove_per_class) to_remove.insert(to_remove.end(), {rows, 0});
    return weakly::find_multilabel_issues(labels(), probs(),
                                          {.filter_by = filter_named(f.filter_by),
                                           .frac_noise = f.frac_noise,
                                           .min_examples_per_class = f.min_examples_per_class,
                                           .compat = compat},
                                          to_remove)
        .issues;
  }
};

template <class T>
void check_multilabel_joint(const multilabel_subject<T>& s, golden::comparison& c) {
  const auto& e = s.expected;
  golden::integers counts, calibrated;
  golden::reals joint;
  const auto append = [](auto& to, const auto& m) { to.insert(to.end(), m.elements().begin(), m.elements().end()); };
  for (const auto& m : s.joint.counts) append(counts, m);
  for (const auto& m : weakly::calibrate_multilabel_joint(s.joint, {.compat = compat})) {
    append(calibrated, m);
    append(joint, weakly::joint_distribution(m));
  }
  c.close("thresholds", s.joint.thresholds.elements(), e.thresholds, 1e-12);
  c.exact("confident joints, raw", counts, e.confident_joint_raw);
  c.exact("confident joints, calibrated", calibrated, e.confident_joint);
  c.close("joints", joint, e.joint, 1e-15);

  for (std::size_t a = 0; a < e.off_diagonal.size(); ++a) {
    const auto at = static_cast<weakly::index_t>(a);
    std::vector<T> columns;
    for (std::int64_t i = 0; i < e.n; ++i)
      for (const T p : weakly::detail::binary_row_of<T>(s.probs()(i, at)).value) columns.push_back(p);
    std::vector<std::int64_t> guess(static_cast<std::size_t>(e.n));
    weakly::confident_guess(weakly::view(columns.data(), e.n, 2), s.joint.thresholds.row(at), guess,
                            {.compat = compat});
    golden::integers rows;
    for (std::int64_t i = 0; i < e.n; ++i) {
      const std::int64_t g = guess[static_cast<std::size_t>(i)];
      if (g >= 0 && g != s.labels()(i, at)) rows.push_back(i);
    }
    c.exact("off-diagonal rows of class " + std::to_string(a), rows, e.off_diagonal[a]);
  }
}

template <class T>
void check_multilabel_issues(const multilabel_subject<T>& s, golden::comparison& c) {
  const auto& e = s.expected;
  for (const auto& f : e.filters) {
    const std::string name = described(f.options);
    const weakly::multilabel_issues found = s.issues(f.options);
    for (std::size_t a = 0; f.per_class && a < f.per_class->size(); ++a)
      c.exact(name + ", class " + std::to_string(a), found.per_class.at(a), (*f.per_class)[a]);
    if (f.options.issues) c.exact(name + ", rows", found.rows, *f.options.issues);
    if (!f.ranked_by_self_confidence) continue;
    std::vector<weakly::index_t> ranked = found.rows;
    weakly::rank_issues(s.row_scores("self_confidence"), ranked);
    c.exact(name + ", ranked", ranked, *f.ranked_by_self_confidence);
  }

  golden::filter_result by_noise_rate;
  by_noise_rate.filter_by = "prune_by_noise_rate";
  const weakly::multilabel_issues found = s.issues(by_noise_rate);
  if (e.health) c.close("health", weakly::multilabel_health(found, e.n), *e.health, 1e-12);
  if (!e.given_but_flagged) return;
  golden::integers given(static_cast<std::size_t>(e.k)), not_given(static_cast<std::size_t>(e.k));
  for (const auto& kind : weakly::common_multilabel_issues(s.labels(), found.per_class))
    (kind.given ? given : not_given).at(static_cast<std::size_t>(kind.class_index)) = kind.examples;
  c.exact("given but flagged", given, *e.given_but_flagged);
  c.exact("not given but flagged", not_given, *e.not_given_but_flagged);
}

template <class T>
void check_multilabel_scores(const multilabel_subject<T>& s, golden::comparison& c) {
  const std::string per_class = "per_class_";
  for (const auto& [name, expected] : s.expected.scores) {
    const double tolerance = name.ends_with("entropy") ? 1e-9 : 1e-12;
    if (!name.starts_with(per_class)) {
      c.close(name, s.row_scores(name), expected, tolerance);
      continue;
    }
    std::vector<double> scores(s.prob.size());
    weakly::multilabel_quality(s.labels(), s.probs(), weakly::view(scores.data(), s.expected.n, s.expected.k),
                               {.score = score_named(name.substr(per_class.size())), .compat = compat});
    c.close(name, scores, expected, tolerance);
  }
}

}  // namespace cleanlab_case
