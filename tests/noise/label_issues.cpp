// SPDX-License-Identifier: MIT
#include <weakly/exec/thread_pool.hpp>
#include <weakly/noise/label_issues.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "cases.hpp"
#include "sanitizer.hpp"

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

}  // namespace

TEST_CASE("find_label_issues flags by each filter what its definition says") {
  // Thresholds: class 0 (0.875 + 0.75 + 0.125 + 0.25) / 4 = 0.5, class 1 (0.75 + 0.625 + 0.25) / 3 = 0.54.
  const std::vector<double> p = {0.875, 0.125,  // 0, counted 0
                                 0.75,  0.25,   // 0, counted 0
                                 0.125, 0.875,  // 0, counted 1: an issue
                                 0.25,  0.75,   // 0, counted 1: an issue
                                 0.25,  0.75,   // 1, counted 1
                                 0.375, 0.625,  // 1, counted 1
                                 0.75,  0.25};  // 1, counted 0: an issue
  const std::vector<int> y = {0, 0, 0, 0, 1, 1, 1};
  const auto prob = weakly::view(p.data(), 7, 2);
  for (const issue_filter filter : all_filters) {
    CAPTURE(static_cast<int>(filter));
    const auto found = weakly::find_label_issues(y, prob, {.filter_by = filter});
    CHECK(found.rows == std::vector<index_t>{2, 3, 6});
    CHECK(found.issues_per_class == std::vector<std::int64_t>{2, 1});
    CHECK(cases::as_counts(found.calibrated) == oracle::counts{{2, 2}, {1, 2}});
  }
  // Half of two errors and half of one error, rounded up: one each, the worst by margin or self-confidence.
  for (const issue_filter filter :
       {issue_filter::prune_by_noise_rate, issue_filter::prune_by_class, issue_filter::both})
    CHECK(weakly::find_label_issues(y, prob, {.filter_by = filter, .frac_noise = 0.5}).rows ==
          std::vector<index_t>{2, 6});
}

TEST_CASE("find_label_issues breaks ties at a cut by row number") {
  std::vector<double> p;
  for (int i = 0; i < 6; ++i) p.insert(p.end(), {0.25, 0.75});
  for (int i = 0; i < 6; ++i) p.insert(p.end(), {0.75, 0.25});
  const std::vector<int> y = {0, 0, 0, 0, 1, 1, 0, 0, 0, 0, 1, 1};
  for (const issue_filter filter :
       {issue_filter::prune_by_noise_rate, issue_filter::prune_by_class, issue_filter::both})
    CHECK(weakly::find_label_issues(y, weakly::view(p.data(), 12, 2), {.filter_by = filter, .frac_noise = 0.5}).rows ==
          std::vector<index_t>{0, 1, 10});
}

TEST_CASE("find_label_issues never calls a row an issue whose label is within 1e-6 of the most probable class") {
  // Row 0 is the least confident of class 0 and has the largest margin there, but its label is nearly the top.
  const std::vector<double> p = {0.4999995, 0.5, 0.4999995, 0.5, 0.9, 0.1, 0.1, 0.9};
  const std::vector<int> y = {0, 0, 0, 1};
  weakly::confident_joint_result joint;
  joint.thresholds = {0.5, 0.5};
  joint.label_counts = {3, 1};
  joint.counts = cases::as_matrix({{1, 2}, {0, 1}});
  joint.off_diagonal_issues = 0;
  for (const issue_filter filter : {issue_filter::prune_by_noise_rate, issue_filter::prune_by_class, issue_filter::both,
                                    issue_filter::predicted_neq_given, issue_filter::confident_learning}) {
    CAPTURE(static_cast<int>(filter));
    weakly::label_issue_estimator issues(joint, joint.counts, {.filter_by = filter});
    issues.add(0, y, weakly::view(p.data(), 4, 2));
    CHECK(issues.finish().empty());
  }
}

TEST_CASE("find_label_issues of no rows, of one class and of one label finds nothing to compare") {
  const std::vector<float> p = {0.5f, 0.5f, 1, 0, 0.25f, 0.75f};
  for (const issue_filter filter : all_filters) {
    CAPTURE(static_cast<int>(filter));
    const auto none =
        weakly::find_label_issues(std::vector<int>{}, weakly::view(p.data(), 0, 3), {.filter_by = filter});
    CHECK(none.rows.empty());
    CHECK(none.issues_per_class == std::vector<std::int64_t>(3));
    CHECK(weakly::find_label_issues(std::vector<int>(6), weakly::view(p.data(), 6, 1), {.filter_by = filter})
              .rows.empty());
    // All rows given class 0: class 1 has no threshold, so nobody is confident in it; the argmax still is what it is.
    const auto same =
        weakly::find_label_issues(std::vector<int>(3), weakly::view(p.data(), 3, 2), {.filter_by = filter});
    CHECK(same.rows ==
          (filter == issue_filter::predicted_neq_given ? std::vector<index_t>{2} : std::vector<index_t>{}));
  }
}

TEST_CASE("find_label_issues leaves min_examples_per_class rows of each class") {
  std::vector<double> p;
  for (int i = 0; i < 8; ++i) p.insert(p.end(), {0.75, 0.25});
  for (int i = 0; i < 8; ++i) p.insert(p.end(), {0.25, 0.75});
  // Class 1 is given to four rows, three of which look like class 0.
  const std::vector<int> y = {0, 0, 0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1};
  const auto prob = weakly::view(p.data(), 16, 2);
  const auto of_class_1 = [&](index_t keep, issue_filter filter) {
    return weakly::find_label_issues(y, prob, {.filter_by = filter, .min_examples_per_class = keep})
        .issues_per_class[1];
  };
  for (const issue_filter filter :
       {issue_filter::prune_by_noise_rate, issue_filter::prune_by_class, issue_filter::both}) {
    CHECK(of_class_1(0, filter) == 3);
    CHECK(of_class_1(2, filter) == 2);
    CHECK(of_class_1(3, filter) == 1);
    CHECK(of_class_1(4, filter) == 0);
  }
  CHECK(of_class_1(4, issue_filter::confident_learning) == 3);
}

TEST_CASE("find_label_issues removes to_remove rows by given class in both filters, and says where there were fewer") {
  std::vector<double> p;
  for (int i = 0; i < 6; ++i) p.insert(p.end(), {0.875 - 0.0625 * i, 0.125 + 0.0625 * i});
  for (int i = 0; i < 6; ++i) p.insert(p.end(), {0.125 + 0.0625 * i, 0.875 - 0.0625 * i});
  const std::vector<int> y = {0, 0, 0, 0, 1, 1, 0, 0, 1, 1, 1, 1};
  const auto prob = weakly::view(p.data(), 12, 2);
  const std::vector<std::int64_t> remove = {1, 100};
  for (const issue_filter filter :
       {issue_filter::prune_by_noise_rate, issue_filter::prune_by_class, issue_filter::both}) {
    CAPTURE(static_cast<int>(filter));
    const auto found = weakly::find_label_issues(y, prob, {.filter_by = filter}, remove);
    CHECK(found.rows == std::vector<index_t>{4, 5, 6});
    CHECK(found.issues_per_class == std::vector<std::int64_t>{1, 2});
  }
}

TEST_CASE("prune_by_class removes to_remove rows where the joint has no error of the class, prune_by_noise_rate none") {
  // Rows 1 and 2 are below the thresholds of both classes, 0.46 and 0.875: not counted, though the model disagrees.
  const std::vector<double> p = {0.75, 0.25, 0.25, 0.75, 0.375, 0.625, 0.125, 0.875};
  const std::vector<int> y = {0, 0, 0, 1};
  const auto found = [&](issue_filter filter, const std::vector<std::int64_t>& to_remove) {
    const auto result = weakly::find_label_issues(y, weakly::view(p.data(), 4, 2), {.filter_by = filter}, to_remove);
    CHECK(cases::as_counts(result.calibrated) == oracle::counts{{3, 0}, {0, 1}});
    return result.rows;
  };
  CHECK(found(issue_filter::prune_by_class, {1, 0}) == std::vector<index_t>{1});
  CHECK(found(issue_filter::prune_by_class, {100, 0}) == std::vector<index_t>{1, 2});
  CHECK(found(issue_filter::prune_by_class, {}).empty());
  CHECK(found(issue_filter::prune_by_noise_rate, {2, 0}).empty());
  CHECK(found(issue_filter::both, {2, 0}).empty());
}

TEST_CASE("find_label_issues never selects a NaN key, and does not depend on where infinite ones come in") {
  cases::generator g(44);
  for (int round = 0; round < support::rounds(200); ++round) {
    auto q = cases::random_problem<double>(g, 60, 2 + g.below(3), shape::broken);
    for (index_t i = 0; i < q.n; ++i)
      if (g.chance(0.3)) q.prob[at(i * q.k + g.below(q.k))] = g.chance(0.5) ? oracle::infinity : -oracle::infinity;
    const auto prob = weakly::view(q.prob.data(), q.n, q.k);
    const auto joint = weakly::confident_joint(q.label, prob);
    const auto calibrated = weakly::calibrate_joint(joint.counts, joint.label_counts);
    for (const issue_filter filter : all_filters) {
      const auto expected = weakly::find_label_issues(q.label, prob, {.filter_by = filter}).rows;
      weakly::label_issue_estimator back(joint, calibrated, {.filter_by = filter});
      for (index_t i = q.n - 1; i >= 0; --i)
        back.add(i, weakly::view(&q.label[at(i)], 1), weakly::view(&q.prob[at(i * q.k)], 1, q.k));
      CHECK(back.finish() == expected);
      if (filter == issue_filter::prune_by_class || filter == issue_filter::low_self_confidence)
        for (const index_t i : expected) CHECK(!std::isnan(q.own(i)));
    }
  }
}

TEST_CASE("find_label_issues selects what batches of any kind select, whatever the first rows suggest") {
  cases::generator g(131);
  const index_t n = 4096 + 100, k = 3;
  for (int round = 0; round < support::rounds(60); ++round) {
    CAPTURE(round);
    auto q = cases::random_problem<float>(g, n, k, round % 2 == 0 ? shape::sixteenths : shape::broken);
    // The first rows of every so many look like the rest, or worse, or some of them far worse; many rows tie.
    const index_t period = n / 16, odd = period / 16;
    for (index_t i = 0; i < n; ++i) {
      const bool first = i % period < odd;
      if (!first && g.chance(0.5)) continue;
      const index_t least = first && round % 3 != 0 ? 9 : 7, steps = first && round % 3 == 2 ? 7 : 4;
      const double other = static_cast<double>(least + g.below(steps)) / 16;
      for (index_t j = 0; j < k; ++j) q.prob[at(i * k + j)] = j == (q.label[at(i)] + 1) % k ? other : 0.0;
      q.prob[at(i * k + q.label[at(i)])] = 1 - other;
    }
    const cases::laid_out<float> prob(q, cases::layout::row_major);
    for (const issue_filter filter :
         {issue_filter::prune_by_noise_rate, issue_filter::prune_by_class, issue_filter::both}) {
      CAPTURE(static_cast<int>(filter));
      const weakly::label_issue_options options{.filter_by = filter, .frac_noise = round % 4 == 0 ? 1.0 : g.unit() / 4};
      const auto found = weakly::find_label_issues(q.label, prob.view(), options);
      weakly::label_issue_estimator batches(found.joint, found.calibrated, options);
      for (const auto& [first, last] : {std::pair<index_t, index_t>{2000, n}, {0, 700}, {700, 2000}})
        batches.add(first, std::vector<index_t>(q.label.begin() + first, q.label.begin() + last),
                    prob.rows(first, last));
      CHECK(found.rows == batches.finish());
    }
  }
}

TEST_CASE("find_label_issues follows a permutation of the rows and of the classes") {
  cases::generator g(45);
  for (const index_t k : {2, 5, 40, 90}) {
    CAPTURE(k);
    const auto q = cases::random_problem<double>(g, 400, k, shape::smooth);  // no ties, which rows and classes break
    const auto order = cases::permutation(g, q.n);
    const auto to = cases::permutation(g, k);
    const auto r = cases::reordered(q, order);
    oracle::problem s = q;
    for (index_t i = 0; i < q.n; ++i) {
      s.label[at(i)] = to[at(q.label[at(i)])];
      for (index_t j = 0; j < k; ++j) s.prob[at(i * k + to[at(j)])] = q.p(i, j);
    }
    for (const issue_filter filter : all_filters) {
      CAPTURE(static_cast<int>(filter));
      const auto expected =
          weakly::find_label_issues(q.label, weakly::view(q.prob.data(), q.n, k), {.filter_by = filter}).rows;
      std::vector<index_t> back;
      for (const index_t i :
           weakly::find_label_issues(r.label, weakly::view(r.prob.data(), r.n, k), {.filter_by = filter}).rows)
        back.push_back(order[at(i)]);
      std::sort(back.begin(), back.end());
      CHECK(back == expected);
      // Calibration gives equal remainders to the lower class, so only the filters that do not prune by it are sure to
      // follow the classes.
      if (filter == issue_filter::confident_learning || filter == issue_filter::predicted_neq_given ||
          filter == issue_filter::low_self_confidence || filter == issue_filter::low_normalized_margin)
        CHECK(weakly::find_label_issues(s.label, weakly::view(s.prob.data(), s.n, k), {.filter_by = filter}).rows ==
              expected);
    }
  }
}

TEST_CASE("find_label_issues finds both copies when every row comes twice") {
  cases::generator g(46);
  for (int round = 0; round < 30; ++round) {
    const auto q = cases::random_problem<double>(g, 100, 2 + g.below(6), shape::smooth);
    std::vector<index_t> twice;
    for (index_t i = 0; i < q.n; ++i) twice.insert(twice.end(), {i, i});
    const auto r = cases::reordered(q, twice);
    for (const issue_filter filter : {issue_filter::confident_learning, issue_filter::predicted_neq_given,
                                      issue_filter::low_self_confidence, issue_filter::low_normalized_margin}) {
      std::vector<index_t> expected;
      for (const index_t i :
           weakly::find_label_issues(q.label, weakly::view(q.prob.data(), q.n, q.k), {.filter_by = filter}).rows)
        expected.insert(expected.end(), {2 * i, 2 * i + 1});
      CHECK(weakly::find_label_issues(r.label, weakly::view(r.prob.data(), r.n, r.k), {.filter_by = filter}).rows ==
            expected);
    }
  }
}

TEST_CASE("find_label_issues is the same for 1 to 8 threads and for every storage type that holds the values") {
  cases::generator g(47);
  for (const auto& [n, k] : {std::pair<index_t, index_t>{support::sanitized ? 6000 : 20000, 10}, {900, 200}}) {
    const auto q = cases::random_problem<double>(g, n, k, shape::sixteenths);
    const cases::laid_out<double> prob(q, cases::layout::row_major);
    const cases::laid_out<float> singles(q, cases::layout::row_major);
    const cases::laid_out<weakly::half> halves(q, cases::layout::row_major);
    const cases::laid_out<weakly::bfloat16> brains(q, cases::layout::column_major);
    for (const issue_filter filter : all_filters) {
      CAPTURE(static_cast<int>(filter));
      const weakly::label_issue_options options{.filter_by = filter};
      const auto expected = weakly::find_label_issues(q.label, prob.view(), options).rows;
      CHECK(weakly::find_label_issues(q.label, singles.view(), options).rows == expected);
      CHECK(weakly::find_label_issues(q.label, halves.view(), options).rows == expected);
      CHECK(weakly::find_label_issues(q.label, brains.view(), options).rows == expected);
      for (int threads = 1; threads <= 8; threads += support::sanitized ? 3 : 1) {
        weakly::thread_pool pool(threads);
        CHECK(weakly::find_label_issues(pool, q.label, prob.view(), options).rows == expected);
      }
    }
  }
}

TEST_CASE_TEMPLATE("find_label_issues reads labels of any integer type", Label, std::int8_t, std::uint8_t, std::int32_t,
                   std::uint64_t) {
  cases::generator g(48);
  const auto q = cases::random_problem<float>(g, 300, 100, shape::loose);
  const cases::laid_out<float> prob(q, cases::layout::row_major);
  const auto y = cases::labels_as<Label>(q);
  for (const issue_filter filter : all_filters)
    CHECK(weakly::find_label_issues(y, prob.view(), {.filter_by = filter}).rows ==
          weakly::find_label_issues(q.label, prob.view(), {.filter_by = filter}).rows);
}

TEST_CASE("label_issue_estimator refuses rows that the joint was not made of") {
  cases::generator g(49);
  const auto q = cases::random_problem<float>(g, 200, 4, shape::loose);
  const cases::laid_out<float> prob(q, cases::layout::row_major);
  const auto joint = weakly::confident_joint(q.label, prob.view());
  const auto calibrated = weakly::calibrate_joint(joint.counts, joint.label_counts);
  weakly::label_issue_estimator once(joint, calibrated, {.filter_by = issue_filter::confident_learning});
  once.add(0, q.label, prob.view());
  cases::refuses<weakly::value_error>(
      [&] { once.add(200, q.label, prob.view()); },
      {"label_issue_estimator", std::to_string(joint.off_diagonal_issues), "each row once"});
  weakly::label_issue_estimator other(joint, calibrated, {.filter_by = issue_filter::confident_learning});
  other.add(0, q.label, prob.view());
  cases::refuses<weakly::value_error>([&] { other.merge(once); }, {"label_issue_estimator", "each row once"});
}

TEST_CASE("label_issue_estimator merges only what was made with the same arguments, and not itself") {
  cases::generator g(121);
  const auto q = cases::random_problem<double>(g, 200, 3, shape::sixteenths);
  const cases::laid_out<double> prob(q, cases::layout::row_major);
  const auto found = weakly::find_label_issues(q.label, prob.rows(0, 200));
  const auto make = [&](weakly::label_issue_options options, std::vector<std::int64_t> to_remove = {}) {
    return weakly::label_issue_estimator(found.joint, found.calibrated, options, to_remove);
  };
  auto issues = make({}, {5, 0, 0});
  issues.add(0, q.label, prob.rows(0, 200));
  const std::vector<index_t> before = issues.finish();
  for (const auto& other : {make({}, {0, 5, 0}), make({}), make({.frac_noise = 0.5}, {5, 0, 0}),
                            make({.compat = compatibility::cleanlab}, {5, 0, 0}),
                            make({.filter_by = issue_filter::prune_by_class}, {5, 0, 0})})
    cases::refuses<weakly::shape_error>([&] { issues.merge(other); },
                                        {"label_issue_estimator::merge", "same arguments"});
  cases::refuses<weakly::option_error>([&] { issues.merge(issues); }, {"label_issue_estimator::merge", "itself"});
  CHECK(issues.finish() == before);
}

TEST_CASE("label_issue_estimator keeps nothing of a batch that it refuses") {
  const std::vector<double> p = {0.875, 0.125, 0.125, 0.875, 0.25, 0.75, 0.375, 0.625};
  const std::vector<int> y = {0, 0, 1, 1};
  const auto prob = weakly::view(p.data(), 4, 2);
  const auto found = weakly::find_label_issues(y, prob, {.filter_by = issue_filter::confident_learning});
  REQUIRE(found.rows == std::vector<index_t>{1});
  weakly::label_issue_estimator issues(found.joint, found.calibrated, {.filter_by = issue_filter::confident_learning});
  // Both rows of this batch qualify where the joint has counted one.
  const std::vector<double> twice = {0.125, 0.875, 0.125, 0.875};
  const std::vector<int> label = {0, 0};
  cases::refuses<weakly::value_error>([&] { issues.add(0, label, weakly::view(twice.data(), 2, 2)); }, {"than the 1 "});
  for (const index_t first :
       {index_t(-1), index_t(1) << 62, (index_t(1) << 62) - 3, std::numeric_limits<index_t>::max()})
    cases::refuses<weakly::option_error>([&] { issues.add(first, y, prob); },
                                         {"first_row = " + std::to_string(first), "from 0", "below 2^62"});
  CHECK(issues.finish().empty());
  issues.add(0, y, prob);
  CHECK(issues.finish() == found.rows);
}

TEST_CASE("find_label_issues refuses options outside their domain, foreign labels and shapes that disagree") {
  const std::vector<float> p(12, 0.25f);
  const std::vector<int> y = {0, 1, 2, 0};
  const auto prob = weakly::view(p.data(), 4, 3);
  const std::vector<std::int64_t> remove = {1, 1, 1};
  for (const issue_filter filter : {issue_filter::confident_learning, issue_filter::predicted_neq_given,
                                    issue_filter::low_self_confidence, issue_filter::low_normalized_margin})
    cases::refuses<weakly::option_error>([&] { weakly::find_label_issues(y, prob, {.filter_by = filter}, remove); },
                                         {"label_issue_estimator: to_remove", "prune_by_noise_rate"});
  for (const double f : {-0.5, 1.25, oracle::nan})
    for (const issue_filter filter : all_filters)
      cases::refuses<weakly::option_error>(
          [&] { weakly::find_label_issues(y, prob, {.filter_by = filter, .frac_noise = f}); },
          {"label_issue_estimator: frac_noise", "[0, 1]"});
  cases::refuses<weakly::option_error>(
      [&] { weakly::find_label_issues(y, prob, {.filter_by = static_cast<issue_filter>(99)}); },
      {"label_issue_estimator: filter_by = 99", "issue_filter"});
  cases::refuses<weakly::option_error>([&] { weakly::find_label_issues(y, prob, {.min_examples_per_class = -1}); },
                                       {"min_examples_per_class = -1"});
  cases::refuses<weakly::shape_error>(
      [&] {
        weakly::find_label_issues(y, prob, {}, std::vector<std::int64_t>{1, 1});
      },
      {"to_remove", "2", "3 classes"});
  cases::refuses<weakly::option_error>(
      [&] {
        weakly::find_label_issues(y, prob, {}, std::vector<std::int64_t>{1, -1, 0});
      },
      {"to_remove", "class 1"});
  cases::refuses<weakly::shape_error>([&] { weakly::find_label_issues(std::vector<int>(5), prob); }, {"(4 x 3)", "5"});
  cases::refuses<weakly::option_error>([&] { weakly::find_label_issues(y, weakly::view(p.data(), 4, 0)); }, {"k = 0"});
  for (const int bad : {-1, 3})
    cases::refuses<weakly::label_error>(
        [&] {
          weakly::find_label_issues(std::vector<int>{0, 1, bad, 0}, prob);
        },
        {"label " + std::to_string(bad), "row 2", "[0, 3)"});

  const auto joint = weakly::confident_joint(y, prob);
  cases::refuses<weakly::shape_error>([&] { weakly::label_issue_estimator(joint, weakly::matrix<std::int64_t>(2, 3)); },
                                      {"label_issue_estimator: calibrated", "(2 x 3)", "3"});
  // Counts that no data have, in all pairs of classes.
  {
    weakly::confident_joint_result vast;
    vast.thresholds.assign(5, 0.5);
    vast.label_counts.assign(5, std::int64_t(1) << 60);
    vast.counts = weakly::matrix<std::int64_t>(5, 5);
    for (index_t a = 0; a < 5; ++a)
      for (index_t b = 0; b < 5; ++b) vast.counts(a, b) = a == b ? 1 : std::int64_t(1) << 60;
    cases::refuses<weakly::value_error>(
        [&] { weakly::label_issue_estimator(vast, vast.counts, {.compat = compatibility::cleanlab}); },
        {"label_issue_estimator: more rows", "together"});
    vast.label_counts.assign(5, 5);
    for (index_t a = 0; a < 5; ++a)
      for (index_t b = 0; b < 5; ++b) vast.counts(a, b) = 1;
    weakly::label_issue_estimator(vast, vast.counts,
                                  {.filter_by = issue_filter::prune_by_class, .compat = compatibility::cleanlab},
                                  std::vector<std::int64_t>{std::numeric_limits<std::int64_t>::max(), 0, 0, 0, 0});
  }
  // What streaming users put together themselves.
  for (const issue_filter filter : all_filters) {
    auto short_of_thresholds = joint, of_negative_counts = joint, of_too_many = joint, of_negative_issues = joint,
         of_more_issues = joint;
    short_of_thresholds.thresholds.pop_back();
    of_negative_counts.label_counts[1] = -1;
    of_too_many.label_counts[1] = std::numeric_limits<std::int64_t>::max();
    of_negative_issues.off_diagonal_issues = -1;
    of_more_issues.off_diagonal_issues = 5;
    const auto make = [&](const weakly::confident_joint_result& with) {
      return [&, filter] { weakly::label_issue_estimator(with, joint.counts, {.filter_by = filter}); };
    };
    cases::refuses<weakly::shape_error>(make(short_of_thresholds), {"2 thresholds", "3 label counts"});
    cases::refuses<weakly::value_error>(make(of_negative_counts), {"class 1 has -1 rows"});
    cases::refuses<weakly::value_error>(make(of_too_many), {"more than 2^63 - 1 rows"});
    cases::refuses<weakly::value_error>(make(of_negative_issues), {"-1 off-diagonal issues among 4 rows"});
    cases::refuses<weakly::value_error>(make(of_more_issues), {"5 off-diagonal issues among 4 rows"});
  }
  for (const issue_filter filter : all_filters) {
    weakly::label_issue_estimator issues(joint, joint.counts, {.filter_by = filter});
    cases::refuses<weakly::label_error>(
        [&] {
          issues.add(0, std::vector<int>{0, 1, 2, 3}, prob);
        },
        {"label_issue_estimator::add", "label 3", "row 3"});
    cases::refuses<weakly::shape_error>([&] { issues.add(0, y, weakly::view(p.data(), 4, 2)); },
                                        {"label_issue_estimator::add: prob", "axis 1"});
    cases::refuses<weakly::shape_error>([&] { issues.add(0, y, weakly::view(p.data(), 3, 3)); },
                                        {"label_issue_estimator::add: prob", "axis 0"});
    CHECK(issues.finish().empty());
  }
  weakly::label_issue_estimator one(joint, joint.counts), two(joint, joint.counts, {.filter_by = issue_filter::both});
  cases::refuses<weakly::shape_error>([&] { one.merge(two); }, {"label_issue_estimator::merge", "different joints"});
}

TEST_CASE("find_label_issues prunes a class of one row when the minimum is 0, where cleanlab skips it") {
  // The one row of class 1 looks like class 0; its threshold is its own probability, which it reaches.
  const std::vector<double> p = {0.875, 0.125, 0.75, 0.25, 0.75, 0.25};
  const std::vector<int> y = {0, 0, 1};
  const auto joint = weakly::confident_joint(y, weakly::view(p.data(), 3, 2));
  const auto errors = cases::as_matrix({{2, 0}, {1, 0}});
  const auto found = [&](compatibility compat) {
    weakly::label_issue_estimator issues(joint, errors, {.min_examples_per_class = 0, .compat = compat});
    issues.add(0, y, weakly::view(p.data(), 3, 2));
    return issues.finish();
  };
  CHECK(found(compatibility::none) == std::vector<index_t>{2});
  CHECK(found(compatibility::cleanlab).empty());
}
