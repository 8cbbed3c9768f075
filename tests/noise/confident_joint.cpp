// SPDX-License-Identifier: MIT
#include <weakly/exec/thread_pool.hpp>
#include <weakly/noise/confident_joint.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>

#include "allocations.hpp"
#include "cases.hpp"
#include "sanitizer.hpp"

using cases::shape;
using oracle::at;
using weakly::compatibility;
using weakly::index_t;

namespace {

template <class T>
void check_joint(const oracle::problem& q, const cases::laid_out<T>& prob, compatibility compat) {
  const auto got = weakly::confident_joint(q.label, prob.view(), {.compat = compat});
  if (compat == compatibility::none) REQUIRE(cases::same(got.thresholds, oracle::thresholds(q)));
  const auto expected = oracle::count_joint<T>(q, got.thresholds, compat);
  REQUIRE(cases::as_counts(got.counts) == expected.raw);
  REQUIRE(got.label_counts == expected.label_counts);
  REQUIRE(got.off_diagonal_issues == static_cast<index_t>(expected.issues.size()));
}

}  // namespace

TEST_CASE_TEMPLATE("confident_joint counts given labels against confident guesses", T, float, double, weakly::half,
                   weakly::bfloat16) {
  // Class 0: own entries 0.75, 0.75, 0.25, 0.25, threshold 0.5. Class 1: 0.75, 0.5, 0.25, threshold 0.5.
  const oracle::problem q{7,
                          2,
                          {0.75, 0.25,   // 0, guess 0
                           0.75, 0.25,   // 0, guess 0
                           0.25, 0.75,   // 0, guess 1: an issue
                           0.25, 0.25,   // 0, no guess
                           0.25, 0.75,   // 1, guess 1
                           0.5, 0.5,     // 1, both reached, guess 0 as the lower; its label is as probable: no issue
                           0.75, 0.25},  // 1, guess 0: an issue
                          {0, 0, 0, 0, 1, 1, 1}};
  const cases::laid_out<T> prob(q, cases::layout::row_major);
  const auto got = weakly::confident_joint(q.label, prob.view());
  CHECK(got.thresholds == std::vector<double>{0.5, 0.5});
  CHECK(cases::as_counts(got.counts) == oracle::counts{{2, 1}, {2, 1}});
  CHECK(got.label_counts == std::vector<std::int64_t>{4, 3});
  CHECK(got.off_diagonal_issues == 2);
  CHECK(got.rejected.ok());
}

TEST_CASE("confident_joint keeps a class with rows on the diagonal, and leaves a class without rows empty") {
  // Class 0 is never predicted; class 2 has no rows.
  const std::vector<double> p = {0.2, 0.7, 0.1, 0.2, 0.7, 0.1, 0.1, 0.3, 0.6, 0.1, 0.9, 0};
  const std::vector<int> y = {1, 1, 1, 1};
  const auto t = std::vector<double>{0.5, 0.6, oracle::infinity};
  weakly::confident_joint_estimator joint(t);
  joint.add(y, weakly::view(p.data(), 4, 3));
  CHECK(cases::as_counts(joint.finish()) == oracle::counts{{0, 0, 0}, {0, 3, 0}, {0, 0, 0}});
  const std::vector<int> z = {0, 1, 1, 1};
  weakly::confident_joint_estimator other(t);
  other.add(z, weakly::view(p.data(), 4, 3));
  CHECK(cases::as_counts(other.finish()) == oracle::counts{{1, 1, 0}, {0, 2, 0}, {0, 0, 0}});
  CHECK(other.label_counts() == std::vector<std::int64_t>{1, 3, 0});
}

TEST_CASE("confident_joint has no phantom example of a class without rows, where cleanlab has one") {
  const std::vector<double> p = {0.9, 0.1, 0, 0.2, 0.8, 0};
  const std::vector<int> y = {0, 1};
  const auto ours = weakly::confident_joint(y, weakly::view(p.data(), 2, 3));
  const auto theirs = weakly::confident_joint(y, weakly::view(p.data(), 2, 3), {.compat = compatibility::cleanlab});
  CHECK(ours.counts(2, 2) == 0);
  CHECK(theirs.counts(2, 2) == 1);
  CHECK(ours.thresholds[2] == oracle::infinity);
  CHECK(theirs.thresholds[2] == 2);
}

TEST_CASE("confident_joint keeps the thresholds of half probabilities exact, where cleanlab's are rounded to half") {
  // Half numbers around 0.7 lie 1 / 2048 apart, and the mean is half way between two.
  const weakly::half p[] = {weakly::half(1434 / 2048.0f), weakly::half(614 / 2048.0f), weakly::half(1435 / 2048.0f),
                            weakly::half(613 / 2048.0f)};
  const std::vector<int> y = {0, 0};
  const auto ours = weakly::confident_joint(y, weakly::view(p, 2, 2));
  const auto theirs = weakly::confident_joint(y, weakly::view(p, 2, 2), {.compat = compatibility::cleanlab});
  CHECK(ours.thresholds[0] == 1434.5 / 2048);
  CHECK(theirs.thresholds[0] == 1434.0 / 2048);
}

TEST_CASE("confident_joint in cleanlab's way refuses a threshold that a NaN has spoilt, and names its class") {
  const std::vector<double> p = {0.5, 0.5, oracle::nan, 0.5, 0.5, 0.5};
  cases::refuses<weakly::option_error>(
      [&] {
        weakly::confident_joint(std::vector<int>{1, 0, 0}, weakly::view(p.data(), 3, 2),
                                {.compat = compatibility::cleanlab});
      },
      {"confident_joint_estimator", "threshold of class 0 is NaN", "check_distribution", "default mode"});
  const auto found = weakly::confident_joint(std::vector<int>{1, 0, 0}, weakly::view(p.data(), 3, 2));
  CHECK(found.rejected.count == 1);
}

TEST_CASE("confident_joint guesses among the confident classes, where cleanlab guesses among all") {
  const std::vector<double> p = {0.4, 0.35, 0.25};
  const std::vector<double> t = {0.6, 0.3, 0.2};
  weakly::confident_joint_estimator ours(t), theirs(t, {.compat = compatibility::cleanlab});
  ours.add(std::vector<int>{2}, weakly::view(p.data(), 1, 3));
  theirs.add(std::vector<int>{2}, weakly::view(p.data(), 1, 3));
  CHECK(ours.finish()(2, 1) == 1);
  CHECK(theirs.finish()(2, 0) == 1);
}

TEST_CASE("confident_joint of no rows, of one class, and of rows that all have one label") {
  const std::vector<float> p = {0.5f, 0.5f, 1, 0, 0.25f, 0.75f};
  const auto none = weakly::confident_joint(std::vector<int>{}, weakly::view(p.data(), 0, 3));
  CHECK(none.thresholds == std::vector<double>(3, oracle::infinity));
  CHECK(cases::as_counts(none.counts) == oracle::counts(3, std::vector<std::int64_t>(3)));
  CHECK(none.label_counts == std::vector<std::int64_t>(3));
  CHECK(none.off_diagonal_issues == 0);

  const auto one = weakly::confident_joint(std::vector<int>(6), weakly::view(p.data(), 6, 1));
  CHECK(one.thresholds == std::vector<double>{0.5});
  CHECK(cases::as_counts(one.counts) == oracle::counts{{4}});
  CHECK(one.label_counts == std::vector<std::int64_t>{6});

  const auto same = weakly::confident_joint(std::vector<int>{1, 1, 1}, weakly::view(p.data(), 3, 2));
  CHECK(cases::as_counts(same.counts) == oracle::counts{{0, 0}, {0, 2}});
}

TEST_CASE_TEMPLATE("confident_joint counts no row whose own entry is no probability, and takes the others", T, float,
                   double) {
  constexpr T nan = std::numeric_limits<T>::quiet_NaN();
  constexpr T inf = std::numeric_limits<T>::infinity();
  const std::vector<T> p = {T(0.75), T(0.25), nan, 1, 1, nan, inf, 0, 0, inf, -inf, 1, 3, 1, T(-1.5), 1};
  const std::vector<int> y = {0, 0, 0, 0, 0, 0, 0, 0};
  const auto got = weakly::confident_joint(y, weakly::view(p.data(), 8, 2));
  CHECK(got.rejected == weakly::status{1, 5});
  // What is left: 0.75, 1 and 0, mean 0.58; the row with the infinite other entry has no confident class.
  CHECK(got.thresholds[0] == doctest::Approx(1.75 / 3).epsilon(1e-15));
  CHECK(cases::as_counts(got.counts) == oracle::counts{{2, 0}, {0, 0}});
  CHECK(got.label_counts == std::vector<std::int64_t>{8, 0});
}

TEST_CASE("confident_joint does not depend on the order of the rows") {
  cases::generator g(36);
  for (int round = 0; round < 50; ++round) {
    const auto q = cases::random_problem<float>(g, g.below(400), 1 + g.below(70), static_cast<shape>(g.below(4)));
    const auto r = cases::reordered(q, cases::permutation(g, q.n));
    const cases::laid_out<float> a(q, cases::layout::row_major), b(r, cases::layout::column_major);
    const auto x = weakly::confident_joint(q.label, a.view());
    const auto y = weakly::confident_joint(r.label, b.view());
    CHECK(cases::same(x.thresholds, y.thresholds));
    CHECK(x.counts == y.counts);
    CHECK(x.label_counts == y.label_counts);
    CHECK(x.off_diagonal_issues == y.off_diagonal_issues);
    CHECK(x.rejected.count == y.rejected.count);
  }
}

TEST_CASE("confident_joint follows a permutation of the classes") {
  cases::generator g(37);
  for (const index_t k : {2, 3, 9, 30, 60, 90}) {
    const auto q = cases::random_problem<double>(g, 300, k, shape::smooth);  // no ties, which the class number breaks
    const auto to = cases::permutation(g, k);
    oracle::problem r = q;
    for (index_t i = 0; i < q.n; ++i) {
      r.label[at(i)] = to[at(q.label[at(i)])];
      for (index_t j = 0; j < k; ++j) r.prob[at(i * k + to[at(j)])] = q.p(i, j);
    }
    const auto x = weakly::confident_joint(q.label, weakly::view(q.prob.data(), q.n, k));
    const auto y = weakly::confident_joint(r.label, weakly::view(r.prob.data(), r.n, k));
    bool follows = true;
    for (index_t a = 0; a < k; ++a)
      for (index_t b = 0; b < k; ++b) follows = follows && x.counts(a, b) == y.counts(to[at(a)], to[at(b)]);
    CHECK(follows);
    CHECK(x.off_diagonal_issues == y.off_diagonal_issues);
  }
}

TEST_CASE("confident_joint doubles when every row comes twice") {
  cases::generator g(38);
  for (int round = 0; round < 20; ++round) {
    const auto q = cases::random_problem<float>(g, 300, 1 + g.below(20), shape::loose);
    const cases::laid_out<float> prob(q, cases::layout::row_major);
    const auto t = weakly::class_thresholds(q.label, prob.view());
    weakly::confident_joint_estimator once(t), twice(t);
    once.add(q.label, prob.view());
    twice.add(q.label, prob.view());
    twice.add(q.label, prob.view());
    bool doubled = true;
    for (std::size_t i = 0; i < once.state().size(); ++i) doubled = doubled && twice.state()[i] == 2 * once.state()[i];
    CHECK(doubled);
    CHECK(twice.off_diagonal_issues() == 2 * once.off_diagonal_issues());
  }
}

TEST_CASE("confident_joint is the same for 1 to 8 threads") {
  cases::generator g(39);
  for (const auto& [n, k] : {std::pair<index_t, index_t>{30000, 10}, {5000, 57}, {400, 1000}}) {
    const auto q = cases::random_problem<float>(g, n, k, shape::loose);
    const cases::laid_out<float> prob(q, cases::layout::row_major);
    const auto expected = weakly::confident_joint(q.label, prob.view());
    for (int threads = 1; threads <= 8; threads += support::sanitized ? 3 : 1) {
      weakly::thread_pool pool(threads);
      const auto got = weakly::confident_joint(pool, q.label, prob.view());
      CHECK(cases::same(got.thresholds, expected.thresholds));
      CHECK(got.counts == expected.counts);
      CHECK(got.label_counts == expected.label_counts);
      CHECK(got.off_diagonal_issues == expected.off_diagonal_issues);
      CHECK(got.rejected == expected.rejected);
    }
  }
}

TEST_CASE("confident_joint is the same for every storage type that holds the values") {
  cases::generator g(310);
  for (int round = 0; round < 30; ++round) {
    const auto q =
        cases::random_problem<double>(g, 300, 1 + g.below(70), g.chance(0.5) ? shape::loose : shape::sixteenths);
    const auto joint_as = [&]<class T>(T) {
      return weakly::confident_joint(q.label, cases::laid_out<T>(q, cases::layout::row_major).view());
    };
    const auto expected = joint_as(double());
    const auto agrees = [&](const weakly::confident_joint_result& got) {
      return cases::same(got.thresholds, expected.thresholds) && got.counts == expected.counts &&
             got.off_diagonal_issues == expected.off_diagonal_issues;
    };
    CHECK(agrees(joint_as(float())));
    CHECK(agrees(joint_as(weakly::half())));
    CHECK(agrees(joint_as(weakly::bfloat16())));
  }
}

TEST_CASE_TEMPLATE("confident_joint reads labels of every integer type", Label, std::int8_t, std::uint8_t, std::int16_t,
                   std::uint16_t, std::int32_t, std::uint32_t, std::int64_t, std::uint64_t, long long,
                   unsigned long long) {
  cases::generator g(311);
  for (const index_t k : {2, 10, 56, 57, 127}) {
    const auto q = cases::random_problem<float>(g, 300, k, shape::loose);
    const cases::laid_out<float> prob(q, cases::layout::row_major);
    const auto expected = weakly::confident_joint(q.label, prob.view());
    const auto y = cases::labels_as<Label>(q);
    CHECK(weakly::confident_joint(y, prob.view()).counts == expected.counts);
    std::vector<Label> spread(600, static_cast<Label>(1));
    for (std::size_t i = 0; i < 300; ++i) spread[599 - 2 * i] = y[i];
    const weakly::vector_view<const Label> backwards(spread.data() + 599, {300}, {-2});
    CHECK(weakly::confident_joint(backwards, prob.view()).counts == expected.counts);
  }
}

TEST_CASE("confident_joint_estimator merges by adding its flat state, and every row is somewhere in it") {
  cases::generator g(312);
  const auto q = cases::random_problem<float>(g, 500, 7, shape::loose);
  const cases::laid_out<float> prob(q, cases::layout::row_major);
  const auto t = weakly::class_thresholds(q.label, prob.view());
  weakly::confident_joint_estimator whole(t), reduced(t), merged(t);
  whole.add(q.label, prob.view());
  for (index_t first = 0; first < q.n; first += 100) {
    weakly::confident_joint_estimator part(t);
    part.add(std::vector<index_t>(q.label.begin() + first, q.label.begin() + first + 100),
             prob.rows(first, first + 100));
    merged.merge(part);
    for (std::size_t i = 0; i < reduced.state().size(); ++i) reduced.state()[i] += part.state()[i];
  }
  CHECK(std::equal(whole.state().begin(), whole.state().end(), reduced.state().begin(), reduced.state().end()));
  CHECK(std::equal(whole.state().begin(), whole.state().end(), merged.state().begin(), merged.state().end()));
  std::int64_t rows = 0;
  for (const std::int64_t s : whole.state()) rows += s;
  CHECK(rows - whole.off_diagonal_issues() == q.n);
}

TEST_CASE("confident_joint_estimator::add and merge allocate nothing, whatever the layout") {
  cases::generator g(313);
  for (const index_t k : {10, 60, 1000}) {
    const auto q = cases::random_problem<float>(g, 300, k, shape::smooth);
    for (const cases::layout l : cases::all_layouts) {
      const cases::laid_out<float> prob(q, l);
      const std::vector<double> t(at(k), 0.1);
      weakly::confident_joint_estimator a(t), b(t);
      CHECK(allocations::during([&] {
              a.add(q.label, prob.view());
              b.merge(a);
            }) == 0);
    }
  }
}

TEST_CASE_TEMPLATE("confident_joint refuses a label outside [0, k) before anything is counted", Label, std::int8_t,
                   std::uint16_t, std::int32_t, std::uint64_t) {
  for (const index_t k : {3, 60}) {
    const std::vector<float> p(at(500 * k), 0.5f);
    for (const std::size_t bad_row : {0u, 1u, 5u, 17u, 63u, 64u, 250u, 499u}) {
      for (const Label bad : {static_cast<Label>(k), static_cast<Label>(-1), std::numeric_limits<Label>::max(),
                              std::numeric_limits<Label>::min()}) {
        if (bad == 0) continue;
        std::vector<Label> y(500);
        y[bad_row] = bad;
        weakly::confident_joint_estimator joint(std::vector<double>(at(k), 0.5));
        cases::refuses<weakly::label_error>(
            [&] { joint.add(y, weakly::view(p.data(), 500, k)); },
            {"confident_joint_estimator::add", "label " + std::to_string(bad), "row " + std::to_string(bad_row),
             "[0, " + std::to_string(k) + ")", "number the columns"});
        CHECK(cases::untouched(joint));
        cases::refuses<weakly::label_error>([&] { weakly::confident_joint(y, weakly::view(p.data(), 500, k)); }, {});
      }
    }
  }
}

TEST_CASE("confident_joint refuses shapes that disagree and thresholds that are none") {
  const std::vector<float> p(12, 0.5f);
  const std::vector<int> y(5);
  cases::refuses<weakly::shape_error>([&] { weakly::confident_joint(y, weakly::view(p.data(), 6, 2)); },
                                      {"confident_joint: prob", "(6 x 2)", "axis 0", "5"});
  cases::refuses<weakly::option_error>([&] { weakly::confident_joint(y, weakly::view(p.data(), 5, 0)); }, {"k = 0"});
  weakly::confident_joint_estimator joint(std::vector<double>(3, 0.5));
  cases::refuses<weakly::shape_error>([&] { joint.add(y, weakly::view(p.data(), 4, 3)); },
                                      {"confident_joint_estimator::add: prob", "(4 x 3)", "axis 0", "5"});
  cases::refuses<weakly::shape_error>([&] { joint.add(y, weakly::view(p.data(), 5, 2)); },
                                      {"confident_joint_estimator::add: prob", "(5 x 2)", "axis 1", "3"});
  CHECK(cases::untouched(joint));
  cases::refuses<weakly::shape_error>(
      [&] { joint.merge(weakly::confident_joint_estimator(std::vector<double>(2, 0.5))); },
      {"confident_joint_estimator::merge", "3 and 2 classes"});
  cases::refuses<weakly::option_error>([] { weakly::confident_joint_estimator(std::vector<double>()); },
                                       {"confident_joint_estimator", "no thresholds"});
  cases::refuses<weakly::option_error>([] { weakly::confident_joint_estimator(std::vector<double>{oracle::nan}); },
                                       {"confident_joint_estimator", "class 0", "NaN"});
}

TEST_CASE_TEMPLATE("confident_joint agrees with the definition on random problems", T, float, double, weakly::half,
                   weakly::bfloat16) {
  cases::generator g(31);
  for (int round = 0; round < support::rounds(1500); ++round) {
    CAPTURE(round);
    const auto q = cases::random_problem<T>(g, g.below(61), 1 + g.below(9), static_cast<shape>(g.below(4)));
    check_joint<T>(q, {q, cases::all_layouts[g.below(6)], g.below(8)}, compatibility::none);
  }
}

TEST_CASE_TEMPLATE("confident_joint agrees with the definition for every number of classes up to 70 and some above", T,
                   float, double, weakly::half, weakly::bfloat16) {
  cases::generator g(32);
  std::vector<index_t> ks = {100, 127, 128, 129, 255, 256, 257, 1000};
  for (index_t k = 1; k <= 70; k += support::sanitized ? 11 : 1) ks.push_back(k);
  for (const index_t k : ks) {
    CAPTURE(k);
    const index_t n = 64 + g.below(200);
    for (const cases::layout l : cases::all_layouts) {
      const auto q = cases::random_problem<T>(g, n, k, static_cast<shape>(g.below(4)));
      check_joint<T>(q, {q, l, g.below(8)}, compatibility::none);
    }
  }
}

TEST_CASE_TEMPLATE("confident_joint agrees with the definition at every alignment and row count", T, float, double,
                   weakly::half, weakly::bfloat16) {
  cases::generator g(33);
  for (const index_t k : {2, 3, 10, 16, 56, 57, 64}) {
    CAPTURE(k);
    for (index_t n = 0; n < 140; n += 1 + g.below(support::sanitized ? 15 : 3)) {
      CAPTURE(n);
      const auto q = cases::random_problem<T>(g, n, k, static_cast<shape>(g.below(4)));
      check_joint<T>(q, {q, cases::layout::shifted, g.below(33)}, compatibility::none);
      check_joint<T>(q, {q, cases::layout::column_major}, compatibility::none);
    }
  }
}

TEST_CASE_TEMPLATE("confident_joint agrees with the definition where the rows fill several chunks", T, float, double,
                   weakly::half, weakly::bfloat16) {
  cases::generator g(34);
  for (const auto& size : {std::pair<index_t, index_t>{70001, 2}, {20001, 10}, {2500, 57}, {2100, 64}, {300, 1000}}) {
    const index_t n = size.first, k = size.second;  // clang does not capture structured bindings under OpenMP
    CAPTURE(k);
    for (const shape s : {shape::smooth, shape::broken}) {
      if (support::sanitized && s == shape::smooth) continue;
      const auto q = cases::random_problem<T>(g, n, k, s);
      check_joint<T>(q, {q, cases::layout::row_major}, compatibility::none);
      check_joint<T>(q, {q, cases::layout::column_major}, compatibility::none);
    }
  }
}

TEST_CASE_TEMPLATE("confident_joint agrees with cleanlab's rule in cleanlab's arithmetic on random problems", T, float,
                   double, weakly::half) {
  cases::generator g(35);
  for (int round = 0; round < support::rounds(1000); ++round) {
    CAPTURE(round);
    const auto q = cases::random_problem<T>(g, g.below(61), 1 + g.below(9), static_cast<shape>(g.below(3)));
    check_joint<T>(q, {q, cases::all_layouts[g.below(6)], g.below(8)}, compatibility::cleanlab);
  }
  for (const index_t k : {16, 17, 56, 57, 64, 65, 1000}) {
    CAPTURE(k);
    for (const cases::layout l : cases::all_layouts) {
      const auto q = cases::random_problem<T>(g, 200, k, static_cast<shape>(g.below(3)));
      check_joint<T>(q, {q, l}, compatibility::cleanlab);
    }
  }
}

TEST_CASE("confident_joint_estimator does not add counts made by other thresholds or another rule") {
  const std::vector<double> thresholds = {0.5, 0.75}, others = {0.5, 0.625};
  weakly::confident_joint_estimator joint(thresholds);
  const weakly::confident_joint_estimator by_others(others),
      by_cleanlab(thresholds, {.compat = compatibility::cleanlab});
  cases::refuses<weakly::option_error>([&] { joint.merge(by_others); }, {"confident_joint_estimator::merge"});
  cases::refuses<weakly::option_error>([&] { joint.merge(by_cleanlab); }, {"confident_joint_estimator::merge"});
  joint.merge(weakly::confident_joint_estimator(thresholds));
}
