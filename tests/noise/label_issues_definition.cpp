// SPDX-License-Identifier: MIT
// Every filter against its definition (oracle.hpp), on problems of every kind, size, layout and type.
#include <weakly/noise/label_issues.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <set>
#include <utility>
#include <vector>

#include "cases.hpp"

using cases::shape;
using oracle::at;
using weakly::compatibility;
using weakly::index_t;
using weakly::issue_filter;

namespace {

constexpr issue_filter all_filters[] = {
    issue_filter::prune_by_noise_rate,  issue_filter::prune_by_class,      issue_filter::both,
    issue_filter::confident_learning,   issue_filter::predicted_neq_given, issue_filter::low_self_confidence,
    issue_filter::low_normalized_margin};

/// The issues by definition, the joint and its calibration given. `r` are the prune counts.
template <class T>
std::vector<index_t> expected_issues(const oracle::problem& q, const oracle::joint& joint, const oracle::counts& r,
                                     issue_filter filter, const oracle::pruning& options, compatibility compat) {
  std::vector<std::int64_t> wanted(at(q.k));
  for (index_t a = 0; a < q.k; ++a) {
    wanted[at(a)] = joint.label_counts[at(a)] - r[at(a)][at(a)];
    if (compat == compatibility::none && !options.to_remove.empty())
      wanted[at(a)] = std::min(options.to_remove[at(a)], joint.label_counts[at(a)] - options.min_examples_per_class);
  }
  const index_t keep = options.min_examples_per_class;
  std::set<index_t> selected;
  bool only_disagreeing = true;
  switch (filter) {
    case issue_filter::prune_by_noise_rate:
      selected = oracle::by_noise_rate<T>(q, joint.label_counts, r, keep, compat);
      break;
    case issue_filter::prune_by_class:
      selected = oracle::by_class(q, joint.label_counts, wanted, keep, compat);
      break;
    case issue_filter::both: {
      const auto low = oracle::by_class(q, joint.label_counts, wanted, keep, compat);
      for (const index_t i : oracle::by_noise_rate<T>(q, joint.label_counts, r, keep, compat))
        if (low.contains(i)) selected.insert(i);
      break;
    }
    case issue_filter::confident_learning:
      selected = joint.issues;
      break;
    case issue_filter::predicted_neq_given:
      for (index_t i = 0; i < q.n; ++i) selected.insert(i);
      break;
    case issue_filter::low_self_confidence:
    case issue_filter::low_normalized_margin: {
      std::vector<std::pair<double, index_t>> keyed;
      for (index_t i = 0; i < q.n; ++i)
        keyed.emplace_back(filter == issue_filter::low_self_confidence ? q.own(i) : oracle::margin(q, i), i);
      for (const index_t i : oracle::lowest(std::move(keyed), static_cast<index_t>(joint.issues.size())))
        selected.insert(i);
      only_disagreeing = false;
      break;
    }
  }
  std::vector<index_t> rows;
  for (const index_t i : selected)
    if (!only_disagreeing || oracle::disagrees<T>(q, i, compat)) rows.push_back(i);
  return rows;
}

template <class T>
void check_issues(cases::generator& g, const oracle::problem& q, cases::layout l) {
  const cases::laid_out<T> prob(q, l, g.below(8));
  const auto joint = oracle::count_joint<T>(q, oracle::thresholds(q), compatibility::none);
  const auto calibrated = oracle::calibrate(joint.raw, joint.label_counts);
  for (const issue_filter filter : all_filters) {
    CAPTURE(static_cast<int>(filter));
    oracle::pruning pruning;
    if (g.chance(0.5)) pruning.frac_noise = static_cast<double>(g.below(17)) / 16;
    if (g.chance(0.5)) pruning.min_examples_per_class = g.below(5);
    if (g.chance(0.3) && (filter == issue_filter::prune_by_class || filter == issue_filter::prune_by_noise_rate ||
                          filter == issue_filter::both))
      for (index_t a = 0; a < q.k; ++a) pruning.to_remove.push_back(g.below(7));
    const auto r = oracle::prune_counts(calibrated, joint.label_counts, pruning);
    const auto got = weakly::find_label_issues(q.label, prob.view(),
                                               {.filter_by = filter,
                                                .frac_noise = pruning.frac_noise,
                                                .min_examples_per_class = pruning.min_examples_per_class},
                                               pruning.to_remove);
    const auto expected = expected_issues<T>(q, joint, r, filter, pruning, compatibility::none);
    REQUIRE(got.rows == expected);
    REQUIRE(cases::as_counts(got.calibrated) == calibrated);
    std::vector<std::int64_t> per_class(at(q.k));
    for (const index_t i : expected) ++per_class[at(q.label[at(i)])];
    REQUIRE(got.issues_per_class == per_class);
  }
}

}  // namespace

TEST_CASE_TEMPLATE("find_label_issues agrees with every filter's definition on random problems", T, float, double,
                   weakly::half, weakly::bfloat16) {
  cases::generator g(41);
  for (int round = 0; round < 500; ++round) {
    CAPTURE(round);
    check_issues<T>(g, cases::random_problem<T>(g, g.below(61), 1 + g.below(9), static_cast<shape>(g.below(4))),
                    cases::all_layouts[g.below(6)]);
  }
}

TEST_CASE_TEMPLATE("find_label_issues agrees with every filter's definition for many classes and rows", T, float,
                   double, weakly::half, weakly::bfloat16) {
  cases::generator g(42);
  for (const auto& [n, k] : {std::pair<index_t, index_t>{2000, 10},
                             {300, 16},
                             {301, 17},
                             {300, 56},
                             {300, 57},
                             {300, 64},
                             {300, 65},
                             {200, 500}}) {
    CAPTURE(k);
    for (const cases::layout l : cases::all_layouts)
      check_issues<T>(g, cases::random_problem<T>(g, n, k, static_cast<shape>(g.below(4))), l);
  }
}

TEST_CASE_TEMPLATE("find_label_issues agrees with cleanlab's filters in cleanlab's arithmetic", T, float, double,
                   weakly::half) {
  cases::generator g(43);
  const auto check = [&](const oracle::problem& q, cases::layout l) {
    const cases::laid_out<T> prob(q, l, g.below(8));
    for (const issue_filter filter : all_filters) {
      CAPTURE(static_cast<int>(filter));
      oracle::pruning pruning;
      if (g.chance(0.5)) pruning.frac_noise = static_cast<double>(g.below(17)) / 16;
      if (g.chance(0.5)) pruning.min_examples_per_class = g.below(5);
      const auto got = weakly::find_label_issues(q.label, prob.view(),
                                                 {.filter_by = filter,
                                                  .frac_noise = pruning.frac_noise,
                                                  .min_examples_per_class = pruning.min_examples_per_class,
                                                  .compat = compatibility::cleanlab});
      const auto joint = oracle::count_joint<T>(q, got.joint.thresholds, compatibility::cleanlab);
      const auto r = cases::as_counts(weakly::prune_counts(got.calibrated, joint.label_counts, {},
                                                           {.frac_noise = pruning.frac_noise,
                                                            .min_examples_per_class = pruning.min_examples_per_class,
                                                            .compat = compatibility::cleanlab}));
      REQUIRE(got.rows == expected_issues<T>(q, joint, r, filter, pruning, compatibility::cleanlab));
    }
  };
  for (int round = 0; round < 500; ++round) {
    CAPTURE(round);
    check(cases::random_problem<T>(g, 2 + g.below(59), 2 + g.below(8), static_cast<shape>(g.below(2))),
          cases::all_layouts[g.below(6)]);
  }
  for (const index_t k : {16, 17, 56, 57, 64, 65, 300}) {
    CAPTURE(k);
    check(cases::random_problem<T>(g, 300, k, shape::loose), cases::all_layouts[g.below(6)]);
  }
}
