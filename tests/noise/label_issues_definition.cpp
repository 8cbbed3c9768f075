// SPDX-License-Identifier: MIT
// Every filter against its definition (oracle.hpp), on problems of every kind, size, layout and type.
#include <weakly/noise/label_issues.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <set>
#include <type_traits>
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
    if (g.chance(0.5)) pruning.min_examples_per_class = g.below(9);
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
  for (const auto& size : {std::pair<index_t, index_t>{2000, 10},
                           {300, 16},
                           {301, 17},
                           {300, 56},
                           {300, 57},
                           {300, 64},
                           {300, 65},
                           {200, 500}}) {
    const index_t n = size.first, k = size.second;  // clang does not capture structured bindings under OpenMP
    CAPTURE(k);
    for (const cases::layout l : cases::all_layouts)
      check_issues<T>(g, cases::random_problem<T>(g, n, k, static_cast<shape>(g.below(4))), l);
  }
}

TEST_CASE_TEMPLATE("find_label_issues agrees with every filter's definition where a class is taken for all others", T,
                   float, double, weakly::half) {
  cases::generator g(45);
  for (const index_t k : {64, 66, 130, 193}) {
    CAPTURE(k);
    oracle::problem q = cases::random_problem<T>(g, 16 * k, k, shape::smooth);
    for (index_t i = 0; i < q.n; ++i) {
      const double* const row = q.prob.data() + i * k;
      q.label[at(i)] = i % 2 == 0 ? k / 2 : static_cast<index_t>(std::max_element(row, row + k) - row);
    }
    const auto joint = oracle::count_joint<T>(q, oracle::thresholds(q), compatibility::none);
    REQUIRE(std::count(joint.raw[at(k / 2)].begin(), joint.raw[at(k / 2)].end(), 0) < k / 3);
    check_issues<T>(g, q, cases::layout::row_major);
    check_issues<T>(g, q, cases::layout::column_major);
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
      if (g.chance(0.5)) pruning.min_examples_per_class = g.below(9);
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

TEST_CASE_TEMPLATE("find_label_issues sees the last bit by which another class is ahead of the label", T, float, double,
                   weakly::half, weakly::bfloat16) {
  cases::generator g(44);
  const auto neighbour = [](double x, double towards) {
    if constexpr (std::is_same_v<T, double>)
      return std::nextafter(x, towards);
    else if constexpr (std::is_same_v<T, float>)
      return double(std::nextafter(static_cast<float>(x), static_cast<float>(towards)));
    else
      return double(
          float(T::from_bits(static_cast<std::uint16_t>(T(static_cast<float>(x)).bits + (towards > x ? 1 : -1)))));
  };
  int ahead = 0, level = 0;
  for (int round = 0; round < 300; ++round) {
    const index_t k = round % 2 ? 2 + g.below(6) : 2 + g.below(90);
    auto q = cases::random_problem<T>(g, 40, k, shape::smooth);
    for (index_t i = 0; i < q.n; ++i) {
      // The label's entry is small, so that 1e-6 is many units in its last place, and one other is all but level.
      for (index_t j = 0; j < k; ++j) q.prob[at(i * k + j)] = 0;
      const double own = oracle::stored<T>(g.chance(0.5) ? 1e-5 + 1e-4 * g.unit() : g.unit());
      double other = oracle::stored<T>(own + 1e-6);
      if (g.chance(0.6)) other = neighbour(other, g.chance(0.5) ? 2 : -2);
      const index_t label = q.label[at(i)];
      q.prob[at(i * k + label)] = g.chance(0.1) ? oracle::nan : own;
      q.prob[at(i * k + (label + 1 + g.below(k - 1)) % k)] = other;
      ahead += other > own + 1e-6;
      level += other == own + 1e-6;
    }
    for (const cases::layout l : {cases::layout::row_major, cases::layout::column_major})
      for (const compatibility compat : {compatibility::none, compatibility::cleanlab}) {
        const cases::laid_out<T> prob(q, l);
        weakly::confident_joint_result joint;  // the filter needs no more than the number of rows
        joint.thresholds.assign(at(k), 0.5);
        joint.label_counts.assign(at(k), 0);
        joint.label_counts[0] = q.n;
        weakly::label_issue_estimator issues(joint, weakly::matrix<std::int64_t>(k, k),
                                             {.filter_by = issue_filter::predicted_neq_given, .compat = compat});
        issues.add(0, q.label, prob.view());
        std::vector<index_t> expected;
        for (index_t i = 0; i < q.n; ++i)
          if (oracle::disagrees<T>(q, i, compat)) expected.push_back(i);
        REQUIRE(issues.finish() == expected);
      }
  }
  CHECK(ahead > 1000);
  if constexpr (std::is_same_v<T, double>) CHECK(level > 1000);
}
