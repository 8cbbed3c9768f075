// SPDX-License-Identifier: MIT
#include "multilabel_case.hpp"

#include <weakly/exec/thread_pool.hpp>
#include <weakly/noise/label_issues.hpp>
#include <weakly/noise/multilabel_issues.hpp>
#include <weakly/noise/rank_issues.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <numeric>
#include <set>
#include <vector>

using multilabel_case::at;
using multilabel_case::problem;
using multilabel_case::random_problem;
using weakly::compatibility;
using weakly::index_t;
using weakly::issue_filter;
using weakly::label_issue_options;

namespace {

constexpr issue_filter all_filters[] = {
    issue_filter::prune_by_noise_rate,  issue_filter::prune_by_class,      issue_filter::both,
    issue_filter::confident_learning,   issue_filter::predicted_neq_given, issue_filter::low_self_confidence,
    issue_filter::low_normalized_margin};

bool is_low(issue_filter f) {
  return f == issue_filter::low_self_confidence || f == issue_filter::low_normalized_margin;
}

std::vector<index_t> any_of(const std::vector<std::vector<index_t>>& per_class) {
  std::set<index_t> rows;
  for (const auto& one : per_class) rows.insert(one.begin(), one.end());
  return {rows.begin(), rows.end()};
}

/// The `count` rows with the lowest aggregated score; NaN is never among them.
template <class T>
std::vector<index_t> lowest_rows(const problem<T>& q, std::int64_t count, weakly::quality_score score) {
  std::vector<double> s(at(q.n));
  weakly::multilabel_row_quality(q.labels(), q.probs(), s, {.score = score});
  std::vector<index_t> rows;
  for (index_t i = 0; i < q.n; ++i)
    if (s[at(i)] == s[at(i)]) rows.push_back(i);
  std::stable_sort(rows.begin(), rows.end(), [&](index_t a, index_t b) { return s[at(a)] < s[at(b)]; });
  rows.resize(std::min(rows.size(), static_cast<std::size_t>(count)));
  std::sort(rows.begin(), rows.end());
  return rows;
}

}  // namespace

TEST_CASE("a row is an issue where any of its classes is, and a row of low score where it is among the lowest") {
  // Class 0: rows 0 to 3 are sure and right, row 4 is given it against 0.875. Class 1 is right throughout, row 0 least.
  const std::vector<int> label = {1, 0, 1, 1, 0, 0, 0, 1, 1, 1};
  const std::vector<double> prob = {0.875, 0.375, 0.875, 0.875, 0.125, 0.125, 0.125, 0.875, 0.125, 0.875};
  const auto y = weakly::view(label.data(), 5, 2);
  const auto p = weakly::view(prob.data(), 5, 2);
  for (const issue_filter f : all_filters) {
    CAPTURE(static_cast<int>(f));
    const auto found = weakly::find_multilabel_issues(y, p, {.filter_by = f});
    CHECK(found.joint.rows_with_issues == 1);
    CHECK(found.issues.per_class == std::vector<std::vector<index_t>>{{4}, {}});
    CHECK(found.issues.rows == std::vector<index_t>{4});
    CHECK(weakly::multilabel_health(found.issues, 5) == doctest::Approx(0.8));
    std::vector<std::uint8_t> mask(10, 9);
    weakly::multilabel_issue_mask(found.issues.per_class, weakly::view(mask.data(), 5, 2));
    CHECK(mask == std::vector<std::uint8_t>{0, 0, 0, 0, 0, 0, 0, 0, 1, 0});
    const auto kinds = weakly::common_multilabel_issues(y, found.issues.per_class);
    REQUIRE(kinds.size() == 4);
    CHECK((kinds[0].class_index == 0 && kinds[0].given && kinds[0].examples == 1));
    CHECK(kinds[0].share == 0.2);
    CHECK((kinds[1].class_index == 0 && !kinds[1].given && kinds[1].examples == 0));
    CHECK((kinds[2].class_index == 1 && kinds[2].given));
    CHECK((kinds[3].class_index == 1 && !kinds[3].given));
  }
}

TEST_CASE_TEMPLATE("every filter finds class by class what it finds in the binary problem, and the rows that follow", T,
                   float, double, weakly::half, weakly::bfloat16) {
  for (std::uint64_t seed = 0; seed < 40; ++seed)
    for (const issue_filter f : all_filters) {
      CAPTURE(seed);
      CAPTURE(static_cast<int>(f));
      const auto q =
          random_problem<T>(seed, static_cast<index_t>(5 * seed), 1 + static_cast<index_t>(seed % 5), seed % 4 == 3);
      const label_issue_options options{.filter_by = f,
                                        .frac_noise = seed % 3 == 0 ? 0.5 : 1,
                                        .min_examples_per_class = static_cast<index_t>(seed % 2)};
      std::vector<std::int64_t> to_remove;
      if (seed % 5 == 1 && f != issue_filter::confident_learning && f != issue_filter::predicted_neq_given &&
          !is_low(f))
        for (index_t s = 0; s < 2 * q.k; ++s) to_remove.push_back(s % 4);
      const auto found = weakly::find_multilabel_issues(q.labels(), q.probs(), options, to_remove);
      for (index_t c = 0; c < q.k; ++c) {
        const auto columns = q.binary_columns(c);
        const auto of_class = std::span<const std::int64_t>(to_remove);
        const auto expected =
            weakly::find_label_issues(q.binary_labels(c), weakly::view(columns.data(), q.n, 2), options,
                                      to_remove.empty() ? of_class : of_class.subspan(at(2 * c), 2));
        REQUIRE(found.issues.per_class[at(c)] == expected.rows);
        REQUIRE(found.calibrated[at(c)] == expected.calibrated);
      }
      if (is_low(f))
        REQUIRE(found.issues.rows == lowest_rows(q, found.joint.rows_with_issues,
                                                 f == issue_filter::low_self_confidence
                                                     ? weakly::quality_score::self_confidence
                                                     : weakly::quality_score::normalized_margin));
      else
        REQUIRE(found.issues.rows == any_of(found.issues.per_class));
      REQUIRE((f != issue_filter::confident_learning ||
               static_cast<std::int64_t>(found.issues.rows.size()) == found.joint.rows_with_issues));
    }
}

TEST_CASE("classes of all rows and of none have issues where the model disagrees, and stop nobody") {
  const auto q = random_problem<double>(21, 300, 4);
  for (const issue_filter f : all_filters) {
    const auto found = weakly::find_multilabel_issues(q.labels(), q.probs(), {.filter_by = f});
    CHECK(found.issues.rows.size() > 10);
    for (const std::size_t c : {1u, 2u}) {
      // Nothing is confident of an absent side; only the plain comparison of the two columns sees anything.
      CHECK(found.issues.per_class[c].empty() == (f != issue_filter::predicted_neq_given));
    }
  }
}

TEST_CASE("with cleanlab's numbers both low filters take rows by self-confidence") {
  const auto q = random_problem<float>(22, 400, 5);
  const auto by_confidence = weakly::find_multilabel_issues(
      q.labels(), q.probs(), {.filter_by = issue_filter::low_self_confidence, .compat = compatibility::cleanlab});
  const auto by_margin = weakly::find_multilabel_issues(
      q.labels(), q.probs(), {.filter_by = issue_filter::low_normalized_margin, .compat = compatibility::cleanlab});
  CHECK(!by_confidence.issues.rows.empty());
  CHECK(by_confidence.issues.rows == by_margin.issues.rows);
}

TEST_CASE("issues are ranked by ascending score, equal scores by row, whatever the filter") {
  const auto q = random_problem<double>(23, 500, 3);
  std::vector<double> score(at(q.n));
  weakly::multilabel_row_quality(q.labels(), q.probs(), score);
  for (const issue_filter f : all_filters) {
    auto ranked = weakly::find_multilabel_issues(q.labels(), q.probs(), {.filter_by = f}).issues.rows;
    const auto before = std::set<index_t>(ranked.begin(), ranked.end());
    weakly::rank_issues(score, ranked);
    REQUIRE(ranked.size() > 20);
    CHECK(std::set<index_t>(ranked.begin(), ranked.end()) == before);
    for (std::size_t i = 1; i < ranked.size(); ++i) {
      const double a = score[at(ranked[i - 1])], b = score[at(ranked[i])];
      REQUIRE((a < b || (a == b && ranked[i - 1] < ranked[i])));
    }
  }
}

TEST_CASE("batches in any order, merges, threads and the order of classes change no issue") {
  for (const index_t k : {1, 4, 40})
    for (const issue_filter f : all_filters) {
      const auto q = random_problem<float>(24, 12000 / k, k, true);
      const label_issue_options options{.filter_by = f};
      const auto whole = weakly::find_multilabel_issues(q.labels(), q.probs(), options);
      weakly::thread_pool pool(3);
      const auto threaded = weakly::find_multilabel_issues(pool, q.labels(), q.probs(), options);
      CHECK(threaded.issues.per_class == whole.issues.per_class);
      CHECK(threaded.issues.rows == whole.issues.rows);

      weakly::multilabel_issue_estimator parts[3] = {{whole.joint, whole.calibrated, options},
                                                     {whole.joint, whole.calibrated, options},
                                                     {whole.joint, whole.calibrated, options}};
      std::size_t part = 0;
      for (index_t last = q.n; last > 0; part = (part + 1) % 3) {
        const index_t first = std::max<index_t>(0, last - 777);
        parts[part].add(first, q.labels(first, last), q.probs(first, last));
        last = first;
      }
      parts[2].merge(parts[0]);
      parts[1].merge(parts[2]);
      const auto merged = parts[1].finish();
      CHECK(merged.per_class == whole.issues.per_class);
      CHECK(merged.rows == whole.issues.rows);

      std::vector<index_t> rows(at(q.n)), classes(at(k));
      std::iota(rows.begin(), rows.end(), index_t(0));
      std::iota(classes.rbegin(), classes.rend(), index_t(0));
      const auto r = q.reordered(rows, classes);
      auto mirrored = weakly::find_multilabel_issues(r.labels(), r.probs(), options).issues;
      std::reverse(mirrored.per_class.begin(), mirrored.per_class.end());
      CHECK(mirrored.per_class == whole.issues.per_class);
      CHECK(mirrored.rows == whole.issues.rows);
    }
}

TEST_CASE("multi-label issues keep nothing of a merge in which a later class has another plan") {
  const auto q = random_problem<double>(26, 200, 4);  // class 1 of all rows, class 2 of none
  const auto found = weakly::find_multilabel_issues(q.labels(), q.probs());
  const std::vector<std::int64_t> remove(8, 5), more = {5, 5, 5, 5, 5, 5, 5, 6};
  weakly::multilabel_issue_estimator issues(found.joint, found.calibrated, {}, remove);
  weakly::multilabel_issue_estimator other(found.joint, found.calibrated, {}, more);
  other.add(0, q.labels(), q.probs());
  REQUIRE(!other.finish().per_class[0].empty());
  CHECK_THROWS_AS(issues.merge(other), weakly::shape_error);
  CHECK(issues.finish().rows.empty());
}

TEST_CASE("multi-label issues keep nothing of a batch in which a later class has more than the joint counted") {
  const auto q = random_problem<double>(27, 200, 4);
  auto wrong = q;  // in the last class alone
  for (index_t i = 0; i < q.n; ++i) wrong.label[at(i * q.k + 3)] ^= 1;
  for (const issue_filter f : {issue_filter::predicted_neq_given, issue_filter::confident_learning}) {
    const auto found = weakly::find_multilabel_issues(q.labels(), q.probs(), {.filter_by = f});
    REQUIRE(!found.issues.per_class[0].empty());
    weakly::multilabel_issue_estimator issues(found.joint, found.calibrated, {.filter_by = f});
    weakly::thread_pool pool(3);
    CHECK_THROWS_AS(issues.add(0, wrong.labels(), wrong.probs()), weakly::value_error);
    CHECK_THROWS_AS(issues.add(pool, 0, wrong.labels(), wrong.probs()), weakly::value_error);
    CHECK(issues.finish().rows.empty());
    issues.add(0, q.labels(), q.probs());
    CHECK(issues.finish().per_class == found.issues.per_class);
  }
}

TEST_CASE("no rows have no issues and full health") {
  const std::vector<int> label;
  const std::vector<double> prob;
  for (const issue_filter f : all_filters) {
    const auto found = weakly::find_multilabel_issues(weakly::view(label.data(), 0, 2), weakly::view(prob.data(), 0, 2),
                                                      {.filter_by = f});
    CHECK(found.issues.rows.empty());
    CHECK(found.issues.per_class.size() == 2);
    CHECK(weakly::multilabel_health(found.issues, 0) == 1);
    CHECK(weakly::common_multilabel_issues(weakly::view(label.data(), 0, 2), found.issues.per_class)[0].share == 0);
  }
}

TEST_CASE("multi-label issues refuse plans, masks and labels that do not fit") {
  const auto q = random_problem<double>(25, 60, 3);
  const auto found = weakly::find_multilabel_issues(q.labels(), q.probs());
  const std::vector<std::int64_t> six(6, 1), three(3, 1);
  using estimator = weakly::multilabel_issue_estimator;
  CHECK_THROWS_AS(estimator(found.joint, std::span(found.calibrated).first(2)), weakly::shape_error);
  CHECK_THROWS_WITH_AS(estimator(found.joint, found.calibrated, {}, three),
                       doctest::Contains("3 entries for 3 classes"), weakly::shape_error);
  CHECK_THROWS_AS(estimator(found.joint, found.calibrated, {.filter_by = issue_filter::confident_learning}, six),
                  weakly::option_error);
  CHECK_THROWS_AS(estimator(found.joint, found.calibrated, {.frac_noise = 1.5}), weakly::option_error);

  estimator issues(found.joint, found.calibrated);
  const std::vector<int> twos(6, 2);
  CHECK_THROWS_AS(issues.add(0, weakly::view(twos.data(), 2, 3), q.probs(0, 2)), weakly::label_error);
  CHECK_THROWS_AS(issues.add(0, q.labels(0, 1), q.probs(0, 2)), weakly::shape_error);
  CHECK_THROWS_AS(issues.merge(estimator(found.joint, found.calibrated, {.filter_by = issue_filter::both})),
                  weakly::shape_error);
  estimator listed(found.joint, found.calibrated, {.filter_by = issue_filter::confident_learning});
  listed.add(0, q.labels(), q.probs());
  CHECK_THROWS_WITH_AS(listed.add(60, q.labels(), q.probs()), doctest::Contains("add each row once"),
                       weakly::value_error);

  std::vector<int> mask(60 * 3);
  const std::vector<std::vector<index_t>> outside = {{}, {60}, {}};
  CHECK_THROWS_AS(weakly::multilabel_issue_mask(outside, weakly::view(mask.data(), 60, 3)), weakly::shape_error);
  CHECK_THROWS_AS(weakly::multilabel_issue_mask(outside, weakly::view(mask.data(), 90, 2)), weakly::shape_error);
  CHECK_THROWS_AS(weakly::common_multilabel_issues(q.labels(), outside), weakly::shape_error);
}
