// SPDX-License-Identifier: MIT
#include <weakly/noise/calibrate_joint.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "cases.hpp"

using oracle::at;
using weakly::compatibility;
using weakly::index_t;

namespace {

using joint_counts = weakly::matrix<std::int64_t>;
using rows = std::vector<std::int64_t>;

joint_counts random_counts(cases::generator& g, index_t k, index_t most) {
  joint_counts c(k, k);
  for (std::int64_t& x : c.elements())
    if (g.chance(0.7)) x = g.below(most + 1);
  return c;
}

}  // namespace

TEST_CASE("calibrate_joint scales each row to its label count and rounds by largest remainders") {
  joint_counts c(3, 3);
  c(0, 0) = 5, c(0, 1) = 3, c(0, 2) = 2;  // of 7 rows: 3.5, 2.1, 1.4
  c(1, 0) = 1, c(1, 1) = 1, c(1, 2) = 1;  // of 4 rows: 4/3 each; equal remainders, so the lowest class gains
  c(2, 0) = 0, c(2, 1) = 0, c(2, 2) = 9;  // of 9 rows: as it was
  CHECK(cases::as_counts(weakly::calibrate_joint(c, rows{7, 4, 9})) == oracle::counts{{4, 2, 1}, {2, 1, 1}, {0, 0, 9}});
}

TEST_CASE("calibrate_joint gives equal remainders to the lower class, where cleanlab gives them to the higher") {
  // 49 rows over (1, 1): cleanlab rounds both halves down to the even 24 and raises the highest class.
  joint_counts c(2, 2);
  c(0, 0) = c(0, 1) = 1;
  c(1, 1) = 1;
  CHECK(cases::as_counts(weakly::calibrate_joint(c, rows{49, 1})) == oracle::counts{{25, 24}, {0, 1}});
  CHECK(cases::as_counts(weakly::calibrate_joint(c, rows{49, 1}, {.compat = compatibility::cleanlab})) ==
        oracle::counts{{24, 25}, {0, 1}});
}

TEST_CASE(
    "calibrate_joint puts a class of which no row was counted on the diagonal, and leaves one without rows empty") {
  joint_counts c(3, 3);
  c(0, 0) = 2;
  CHECK(cases::as_counts(weakly::calibrate_joint(c, rows{5, 6, 0})) == oracle::counts{{5, 0, 0}, {0, 6, 0}, {0, 0, 0}});
  // Counts of a class without rows are not rows: they scale to nothing.
  c(2, 1) = 4;
  CHECK(weakly::calibrate_joint(c, rows{5, 6, 0})(2, 1) == 0);
}

TEST_CASE("calibrate_joint is exact where products of counts need more than 64 bits") {
  joint_counts c(2, 2);
  const std::int64_t many = std::int64_t(1) << 61;
  c(0, 0) = many, c(0, 1) = many / 2;
  c(1, 1) = 1;
  const auto x = weakly::calibrate_joint(c, rows{many / 4 * 3, 1});
  CHECK(x(0, 0) == many / 2);
  CHECK(x(0, 1) == many / 4);
}

TEST_CASE(
    "calibrate_joint agrees with largest remainders handed out one by one, and its rows sum to the label counts") {
  cases::generator g(51);
  for (int round = 0; round < 3000; ++round) {
    CAPTURE(round);
    const index_t k = 1 + g.below(round % 100 == 0 ? 80 : 9);
    const joint_counts c = random_counts(g, k, g.chance(0.5) ? 5 : 100000);
    rows n(at(k));
    for (std::int64_t& x : n) x = g.chance(0.8) ? g.below(200) : 0;
    const auto got = weakly::calibrate_joint(c, n);
    REQUIRE(cases::as_counts(got) == oracle::calibrate(cases::as_counts(c), n));
    for (index_t a = 0; a < k; ++a) {
      std::int64_t sum = 0;
      for (const std::int64_t x : got.row(a)) sum += x;
      REQUIRE(sum == n[at(a)]);
    }
  }
}

TEST_CASE("calibrate_joint leaves a calibrated joint as it is") {
  cases::generator g(52);
  for (int round = 0; round < 200; ++round) {
    const index_t k = 1 + g.below(12);
    rows n(at(k));
    for (std::int64_t& x : n) x = g.below(50);
    const auto once = weakly::calibrate_joint(random_counts(g, k, 20), n);
    CHECK(weakly::calibrate_joint(once, n) == once);
  }
}

TEST_CASE("calibrate_joint doubles with the labels where nothing is rounded") {
  joint_counts c(2, 2);
  c(0, 0) = 3, c(0, 1) = 1, c(1, 0) = 1, c(1, 1) = 4;
  CHECK(cases::as_counts(weakly::calibrate_joint(c, rows{8, 10})) == oracle::counts{{6, 2}, {2, 8}});
  CHECK(cases::as_counts(weakly::calibrate_joint(c, rows{16, 20})) == oracle::counts{{12, 4}, {4, 16}});
}

TEST_CASE_TEMPLATE("calibrate_joint reads counts of every integer type and layout", T, std::int8_t, std::uint8_t,
                   std::int32_t, std::uint32_t, std::uint64_t) {
  const std::vector<T> by_columns = {5, 1, 0, 3, 1, 0, 2, 1, 9};
  const auto got = weakly::calibrate_joint(weakly::view(by_columns.data(), 3, 3, 1, 3), rows{7, 4, 9});
  CHECK(cases::as_counts(got) == oracle::counts{{4, 2, 1}, {2, 1, 1}, {0, 0, 9}});
}

TEST_CASE("calibrate_joint refuses counts that were negative before they were unsigned, and classes of 2^63 rows") {
  const std::vector<std::uint64_t> wrapped = {~std::uint64_t(0), 5, 0, 1};
  cases::refuses<weakly::value_error>(
      [&] {
        weakly::calibrate_joint(weakly::view(wrapped.data(), 2, 2), rows{10, 1});
      },
      {"calibrate_joint", "18446744073709551615", "given class 0 and class 0", "converted"});
  const std::int64_t most = std::numeric_limits<std::int64_t>::max();
  cases::refuses<weakly::value_error>(
      [&] {
        weakly::calibrate_joint(cases::as_matrix({{1, 0}, {most, 1}}), rows{10, 1});
      },
      {"calibrate_joint", "given class 1 and class 1", "2^63"});
}

TEST_CASE("calibrate_joint in cleanlab's way rounds halves to even and evens the row out from its far end") {
  joint_counts c(2, 2);
  c(0, 0) = 1, c(0, 1) = 3;
  c(1, 0) = 2, c(1, 1) = 2;
  // Rows of 2 and 5: (0.5, 1.5) rounds to (0, 2); (2.5, 2.5) rounds to (2, 2) and gains one in the highest class.
  CHECK(cases::as_counts(weakly::calibrate_joint(c, rows{2, 5}, {.compat = compatibility::cleanlab})) ==
        oracle::counts{{0, 2}, {2, 3}});
}

TEST_CASE("joint_distribution sums to one, and is zero without counts") {
  cases::generator g(53);
  for (int round = 0; round < 100; ++round) {
    const index_t k = 1 + g.below(20);
    joint_counts c = random_counts(g, k, 1000);
    c(0, 0) = 1;
    const auto p = weakly::joint_distribution(c);
    std::int64_t total = 0;
    for (const std::int64_t x : c.elements()) total += x;
    double sum = 0;
    for (index_t a = 0; a < k; ++a)
      for (index_t b = 0; b < k; ++b) {
        CHECK(p(a, b) == static_cast<double>(c(a, b)) / static_cast<double>(total));
        sum += p(a, b);
      }
    // k^2 quotients and as many additions, each off by half a unit in the last place of at most one.
    CHECK(std::abs(sum - 1) <= static_cast<double>(k * k) * 0x1p-53 * 2);
  }
  CHECK(weakly::joint_distribution(joint_counts(3, 3)) == weakly::matrix<double>(3, 3));
}

TEST_CASE("calibrated_issues is what lies off the diagonal") {
  joint_counts c(3, 3);
  c(0, 0) = 4, c(0, 1) = 2, c(0, 2) = 1, c(1, 0) = 2, c(1, 1) = 1, c(1, 2) = 1, c(2, 2) = 9;
  CHECK(weakly::calibrated_issues(c, rows{7, 4, 9}) == 6);
  CHECK(weakly::calibrated_issues(c, rows{7, 4, 9}, compatibility::cleanlab) == 6);
  CHECK(weakly::calibrated_issues(joint_counts(3, 3), rows{0, 0, 0}) == 0);
}

TEST_CASE("calibrated_issues refuses more rows than an integer holds") {
  joint_counts c(2, 2);
  c(0, 1) = std::numeric_limits<std::int64_t>::max();
  CHECK(weakly::calibrated_issues(c, rows{0, 0}) == c(0, 1));
  c(1, 0) = 1;
  cases::refuses<weakly::value_error>(
      [&] {
        weakly::calibrated_issues(c, rows{0, 0});
      },
      {"calibrated_issues", "more than 2^63 - 1 rows"});
}

TEST_CASE("calibrate_joint refuses joints that are not square, not counts or not of these labels") {
  joint_counts c(2, 3);
  cases::refuses<weakly::shape_error>(
      [&] {
        weakly::calibrate_joint(c, rows{1, 1});
      },
      {"calibrate_joint", "(2 x 3)", "k x k"});
  joint_counts d(2, 2);
  cases::refuses<weakly::shape_error>(
      [&] {
        weakly::calibrate_joint(d, rows{1, 1, 1});
      },
      {"calibrate_joint", "3 label counts", "2 classes"});
  cases::refuses<weakly::value_error>(
      [&] {
        weakly::calibrate_joint(d, rows{1, -1});
      },
      {"calibrate_joint", "class 1", "-1", "not negative"});
  d(1, 0) = -7;
  cases::refuses<weakly::value_error>(
      [&] {
        weakly::calibrate_joint(d, rows{1, 1});
      },
      {"calibrate_joint", "-7", "given class 1 and class 0", "not negative"});
  cases::refuses<weakly::value_error>([&] { weakly::joint_distribution(d); }, {"joint_distribution", "-7"});
  cases::refuses<weakly::value_error>([&] { weakly::calibrated_issues(d, rows{1, 1}); }, {"calibrated_issues", "-7"});
  cases::refuses<weakly::shape_error>([&] { weakly::joint_distribution(c); }, {"joint_distribution", "(2 x 3)"});
}
