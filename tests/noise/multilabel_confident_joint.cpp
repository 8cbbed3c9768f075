// SPDX-License-Identifier: MIT
#include "allocations.hpp"
#include "multilabel_case.hpp"
#include "sanitizer.hpp"

#include <weakly/exec/thread_pool.hpp>
#include <weakly/noise/multilabel_confident_joint.hpp>
#include <weakly/noise/noise_matrices.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <memory>
#include <vector>

using multilabel_case::problem;
using multilabel_case::random_problem;
using weakly::compatibility;
using weakly::index_t;
using weakly::matrix;

namespace {

matrix<std::int64_t> counts_of(std::int64_t a, std::int64_t b, std::int64_t c, std::int64_t d) {
  matrix<std::int64_t> m(2, 2);
  m(0, 0) = a, m(0, 1) = b, m(1, 0) = c, m(1, 1) = d;
  return m;
}

void check_same(const weakly::multilabel_joint_result& a, const weakly::multilabel_joint_result& b) {
  CHECK(a.thresholds == b.thresholds);
  CHECK(a.label_counts == b.label_counts);
  CHECK(a.counts == b.counts);
  CHECK(a.off_diagonal_issues == b.off_diagonal_issues);
  CHECK(a.disagreements == b.disagreements);
  CHECK(a.rows == b.rows);
  CHECK(a.rows_with_issues == b.rows_with_issues);
  CHECK(a.rejected == b.rejected);
}

/// Every class against the single-label functions on its binary problem.
template <class T>
void check_by_definition(const problem<T>& q, const weakly::multilabel_joint_result& joint) {
  std::vector<bool> row_has_issue(static_cast<std::size_t>(q.n));
  for (index_t c = 0; c < q.k; ++c) {
    CAPTURE(c);
    const auto y = q.binary_labels(c);
    const auto columns = q.binary_columns(c);
    const auto p = weakly::view(columns.data(), q.n, 2);
    const auto expected = weakly::confident_joint(y, p);
    const auto got = joint.of_class(c);
    REQUIRE(got.thresholds == expected.thresholds);
    REQUIRE(got.label_counts == expected.label_counts);
    REQUIRE(got.counts == expected.counts);
    REQUIRE(got.off_diagonal_issues == expected.off_diagonal_issues);
    std::int64_t disagreements = 0;
    std::vector<int> guess(y.size());
    weakly::confident_guess(p, expected.thresholds, guess);
    for (std::size_t i = 0; i < y.size(); ++i) {
      const double own = columns[2 * i + static_cast<std::size_t>(y[i])];
      const double other = columns[2 * i + static_cast<std::size_t>(1 - y[i])];
      const bool disagrees = other > own + 1e-6;
      disagreements += disagrees;
      if (guess[i] == 1 - y[i] && disagrees && own >= -1 && own <= 2) row_has_issue[i] = true;
    }
    REQUIRE(joint.disagreements[static_cast<std::size_t>(c)] == disagreements);
  }
  REQUIRE(joint.rows == q.n);
  std::int64_t rows = 0;
  for (const bool has : row_has_issue) rows += has;
  REQUIRE(joint.rows_with_issues == rows);
}

}  // namespace

TEST_CASE_TEMPLATE("the joint of every class is that of its two columns", T, float, double) {
  // Class 0 is given to rows 0, 1, 4: t = (0.75 + 0.5 + 0.125) / 3; the others have 1 - p = 0.75, 0.25: t = 0.5.
  // Row 4 reaches 0.5 by 1 - p = 0.875 only, row 3 reaches 1.375 / 3 by p = 0.75 only: both disagree.
  // Class 1 is given to everybody: nothing can be guessed outside it.
  const std::vector<int> label = {1, 1, 1, 1, 0, 1, 0, 1, 1, 1};
  const std::vector<T> prob = {T(0.75), 1, T(0.5), T(0.5), T(0.25), T(0.25), T(0.75), T(0.5), T(0.125), T(0.25)};
  const auto joint =
      weakly::multilabel_confident_joint(weakly::view(label.data(), 5, 2), weakly::view(prob.data(), 5, 2));
  CHECK(joint.thresholds(0, 0) == 0.5);
  CHECK(joint.thresholds(0, 1) == 1.375 / 3);
  CHECK(joint.thresholds(1, 0) == std::numeric_limits<double>::infinity());
  CHECK(joint.thresholds(1, 1) == 0.5);
  // Row 1 reaches both thresholds of class 0 equally: the lower, "not in it", wins the tie, but nobody disagrees.
  CHECK(joint.counts[0] == counts_of(1, 1, 2, 1));
  CHECK(joint.counts[1] == counts_of(0, 0, 0, 3));
  CHECK(joint.label_counts(0, 0) == 2);
  CHECK(joint.label_counts(0, 1) == 3);
  CHECK(joint.label_counts(1, 0) == 0);
  CHECK(joint.off_diagonal_issues == std::vector<std::int64_t>{2, 0});
  CHECK(joint.disagreements == std::vector<std::int64_t>{2, 2});
  CHECK(joint.rows == 5);
  CHECK(joint.rows_with_issues == 2);
  const auto calibrated = weakly::calibrate_multilabel_joint(joint);
  CHECK(calibrated[0] == counts_of(1, 1, 2, 1));
  CHECK(calibrated[1] == counts_of(0, 0, 0, 5));
}

TEST_CASE_TEMPLATE("the joint is the single-label one of every class, for ties, absent sides and impossible entries", T,
                   float, double, weakly::half, weakly::bfloat16) {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    CAPTURE(seed);
    const auto q = random_problem<T>(seed, static_cast<index_t>(seed % 7 == 0 ? seed : 20 + 3 * seed),
                                     1 + static_cast<index_t>(seed % 6), seed % 2 == 1);
    check_by_definition(q, weakly::multilabel_confident_joint(q.labels(), q.probs()));
  }
  const auto wide = random_problem<T>(99, 150, 300, true);
  check_by_definition(wide, weakly::multilabel_confident_joint(wide.labels(), wide.probs()));
}

TEST_CASE("a class of every row and a class of none are legal") {
  const auto q = random_problem<double>(5, 400, 4);
  const auto joint = weakly::multilabel_confident_joint(q.labels(), q.probs());
  for (const index_t c : {1, 2}) {
    CHECK(joint.label_counts(c, c == 1 ? 0 : 1) == 0);
    CHECK(joint.label_counts(c, c == 1 ? 1 : 0) == 400);
    CHECK(joint.off_diagonal_issues[static_cast<std::size_t>(c)] == 0);
    const auto noise = weakly::noise_matrices(joint.counts[static_cast<std::size_t>(c)], joint.label_counts.row(c));
    CHECK(noise.noise_matrix(0, 0) == 1);
    CHECK(noise.noise_matrix(1, 1) == 1);
  }
  CHECK(joint.rows_with_issues > 0);
}

TEST_CASE("no rows give infinite thresholds and no counts") {
  const std::vector<int> label;
  const std::vector<float> prob;
  const auto joint =
      weakly::multilabel_confident_joint(weakly::view(label.data(), 0, 3), weakly::view(prob.data(), 0, 3));
  CHECK(joint.rows == 0);
  CHECK(joint.thresholds == matrix<double>(3, 2, std::numeric_limits<double>::infinity()));
  CHECK(joint.counts == std::vector<matrix<std::int64_t>>(3, matrix<std::int64_t>(2, 2)));
}

TEST_CASE(
    "impossible entries are left out of their class alone, and reported with the first row of all that were added") {
  auto q = random_problem<double>(6, 100, 3);
  q.prob[3 * 40 + 1] = std::nan("");
  q.prob[3 * 70 + 0] = 7;
  q.prob[3 * 70 + 2] = -std::numeric_limits<double>::infinity();
  const auto joint = weakly::multilabel_confident_joint(q.labels(), q.probs());
  CHECK(joint.rejected == weakly::status{40, 3});
  check_by_definition(q, joint);

  weakly::multilabel_threshold_estimator thresholds(3), rest(3);
  thresholds.add(q.labels(0, 30), q.probs(0, 30));
  rest.add(q.labels(30, 60), q.probs(30, 60));
  rest.add(q.labels(60, 100), q.probs(60, 100));
  thresholds.merge(rest);
  CHECK(thresholds.rejected() == weakly::status{40, 3});
  CHECK(thresholds.finish() == joint.thresholds);
  weakly::multilabel_joint_estimator a(joint.thresholds), b(joint.thresholds);
  a.add(q.labels(0, 30), q.probs(0, 30));
  b.add(q.labels(30, 60), q.probs(30, 60));
  b.add(q.labels(60, 100), q.probs(60, 100));
  a.merge(b);
  check_same(a.finish(), joint);
}

TEST_CASE_TEMPLATE("batches, merges, threads and layouts give the same bits", T, float, double, weakly::half) {
  for (const index_t k : {1, 3, 70, 200}) {
    const auto q = random_problem<T>(7, (support::sanitized ? 40000 : 120000) / k, k, true);
    const auto whole = weakly::multilabel_confident_joint(q.labels(), q.probs());
    for (const int threads : {2, 5}) {
      weakly::thread_pool pool(threads);
      check_same(weakly::multilabel_confident_joint(pool, q.labels(), q.probs()), whole);
    }

    weakly::multilabel_threshold_estimator thresholds(k), second(k);
    weakly::multilabel_joint_estimator joint(whole.thresholds), other(whole.thresholds);
    for (index_t first = 0, part = 0; first < q.n; ++part) {
      const index_t last = std::min(q.n, first + 1 + part * part % 997);
      (first < q.n / 2 ? thresholds : second).add(q.labels(first, last), q.probs(first, last));
      (first < q.n / 2 ? joint : other).add(q.labels(first, last), q.probs(first, last));
      first = last;
    }
    thresholds.merge(second);
    joint.merge(other);
    CHECK(thresholds.finish() == whole.thresholds);
    check_same(joint.finish(), whole);

    std::vector<T> by_column(q.prob.size());
    auto label = std::make_unique<bool[]>(q.label.size());
    for (index_t i = 0; i < q.n; ++i)
      for (index_t c = 0; c < k; ++c) {
        by_column[static_cast<std::size_t>(c * q.n + i)] = q.prob[static_cast<std::size_t>(i * k + c)];
        label[static_cast<std::size_t>((q.n - 1 - i) * k + c)] = q.label[static_cast<std::size_t>(i * k + c)] != 0;
      }
    check_same(weakly::multilabel_confident_joint(
                   weakly::view(static_cast<const bool*>(label.get()) + (q.n - 1) * k, q.n, k, -k, 1),
                   weakly::view(static_cast<const T*>(by_column.data()), q.n, k, 1, q.n)),
               whole);
  }
}

TEST_CASE("the order of rows changes nothing, the order of classes orders the results") {
  const auto q = random_problem<float>(8, 500, 5);
  const auto joint = weakly::multilabel_confident_joint(q.labels(), q.probs());
  const auto rows = multilabel_case::permutation(1, q.n);
  const std::vector<index_t> classes = {3, 0, 4, 1, 2};
  const auto r = q.reordered(rows, classes);
  const auto shuffled = weakly::multilabel_confident_joint(r.labels(), r.probs());
  for (index_t c = 0; c < 5; ++c) {
    const index_t was = classes[static_cast<std::size_t>(c)];
    CHECK(shuffled.of_class(c).thresholds == joint.of_class(was).thresholds);
    CHECK(shuffled.of_class(c).counts == joint.of_class(was).counts);
  }
  CHECK(shuffled.rows_with_issues == joint.rows_with_issues);
}

TEST_CASE("adding a batch allocates nothing") {
  const auto q = random_problem<float>(9, 5000, 140);
  weakly::multilabel_threshold_estimator thresholds(140);
  thresholds.add(q.labels(), q.probs());
  weakly::multilabel_joint_estimator joint(thresholds.finish());
  CHECK(allocations::during([&] { thresholds.add(q.labels(), q.probs()); }) == 0);
  CHECK(allocations::during([&] { joint.add(q.labels(), q.probs()); }) == 0);
}

TEST_CASE("a million equal sums of one batch do not overflow their parts") {
  // A double with all its bits in use: the parts of a chunk's sum come near 2^60.
  const index_t n = index_t(1) << 20;
  const double p = 1.0 / 3;
  const std::uint8_t y = 1;
  const weakly::matrix_view<const double> prob(&p, {n, 1}, {0, 0});
  const weakly::matrix_view<const std::uint8_t> label(&y, {n, 1}, {0, 0});
  weakly::multilabel_threshold_estimator thresholds(1);
  thresholds.add(label, prob);
  CHECK(thresholds.finish()(0, 1) == p);
}

TEST_CASE("the multi-label joint refuses shapes that disagree, labels that are neither 0 nor 1, and half a threshold") {
  const std::vector<int> label = {0, 1, 1, 2};
  const std::vector<double> prob = {0.5, 0.5, 0.5, 0.5};
  const auto y = weakly::view(label.data(), 2, 2);
  const auto p = weakly::view(prob.data(), 2, 2);
  CHECK_THROWS_WITH_AS(weakly::multilabel_confident_joint(y, p), doctest::Contains("label 2 of row 1 and class 1"),
                       weakly::label_error);
  CHECK_THROWS_AS(weakly::multilabel_confident_joint(y, p, {.compat = compatibility::cleanlab}), weakly::label_error);
  CHECK_THROWS_AS(weakly::multilabel_confident_joint(weakly::view(label.data(), 1, 2), p), weakly::shape_error);
  const std::vector<std::int8_t> negative = {0, -1, 1, 0};
  CHECK_THROWS_WITH_AS(weakly::multilabel_confident_joint(weakly::view(negative.data(), 2, 2), p),
                       doctest::Contains("label -1 of row 0 and class 1"), weakly::label_error);
  CHECK_THROWS_AS(weakly::multilabel_threshold_estimator(0), weakly::option_error);
  CHECK_THROWS_AS(weakly::multilabel_joint_estimator(matrix<double>(3, 1)), weakly::shape_error);
  CHECK_THROWS_AS(weakly::multilabel_joint_estimator(matrix<double>(0, 2)), weakly::option_error);
  matrix<double> spoilt(3, 2, 0.5);
  spoilt(2, 0) = std::nan("");
  CHECK_THROWS_WITH_AS(weakly::multilabel_joint_estimator{spoilt}, doctest::Contains("threshold of class 2 is NaN"),
                       weakly::option_error);

  weakly::multilabel_threshold_estimator thresholds(2);
  CHECK_THROWS_AS(thresholds.add(y, p), weakly::label_error);
  CHECK(thresholds.finish()(0, 0) == std::numeric_limits<double>::infinity());  // nothing was added
  CHECK_THROWS_AS(thresholds.merge(weakly::multilabel_threshold_estimator(3)), weakly::shape_error);
  weakly::multilabel_joint_estimator joint(matrix<double>(2, 2, 0.5));
  CHECK_THROWS_AS(joint.add(y, p), weakly::label_error);
  CHECK(joint.finish().rows == 0);
  CHECK_THROWS_AS(joint.merge(weakly::multilabel_joint_estimator(matrix<double>(3, 2, 0.5))), weakly::shape_error);
}

TEST_CASE("multilabel_joint_estimator refuses counts made by other thresholds or another rule, and stays as it was") {
  const std::vector<int> label = {1, 0, 0, 1};
  const std::vector<double> prob = {0.75, 0.25, 0.25, 0.75};
  const auto y = weakly::view(label.data(), 2, 2);
  const auto p = weakly::view(prob.data(), 2, 2);
  weakly::multilabel_joint_estimator joint(matrix<double>(2, 2, 0.5));
  joint.add(y, p);
  const std::vector<std::int64_t> before(joint.state().begin(), joint.state().end());
  weakly::multilabel_joint_estimator other(matrix<double>(2, 2, 0.25));
  weakly::multilabel_joint_estimator by_cleanlab(matrix<double>(2, 2, 0.5),
                                                 {.compat = weakly::compatibility::cleanlab});
  other.add(y, p);
  by_cleanlab.add(y, p);
  CHECK_THROWS_WITH_AS(joint.merge(other), doctest::Contains("different thresholds"), weakly::option_error);
  CHECK_THROWS_WITH_AS(joint.merge(by_cleanlab), doctest::Contains("rules"), weakly::option_error);
  CHECK(std::ranges::equal(joint.state(), before));
}

TEST_CASE("multi-label estimators merged with themselves hold everything twice") {
  const std::vector<int> label = {1, 0, 0, 1, 1, 1};
  const std::vector<double> prob = {0.75, 0.25, 0.25, 0.75, std::nan(""), 0.5};
  const auto y = weakly::view(label.data(), 3, 2);
  const auto p = weakly::view(prob.data(), 3, 2);
  weakly::multilabel_threshold_estimator thresholds(2), twice_thresholds(2);
  thresholds.add(y, p);
  thresholds.merge(thresholds);
  for (int i = 0; i < 2; ++i) twice_thresholds.add(y, p);
  CHECK(std::ranges::equal(thresholds.state(), twice_thresholds.state()));
  CHECK(thresholds.rejected().count == 2);
  CHECK(thresholds.rejected().first_bad_row == 2);

  weakly::multilabel_joint_estimator joint(matrix<double>(2, 2, 0.5)), twice(matrix<double>(2, 2, 0.5));
  joint.add(y, p);
  joint.merge(joint);
  for (int i = 0; i < 2; ++i) twice.add(y, p);
  CHECK(std::ranges::equal(joint.state(), twice.state()));
  CHECK(joint.finish().rows == 6);
}
