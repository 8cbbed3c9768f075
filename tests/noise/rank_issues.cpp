// SPDX-License-Identifier: MIT
#include <weakly/noise/rank_issues.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "allocations.hpp"
#include "cases.hpp"

using oracle::at;
using weakly::index_t;

namespace {

/// Few distinct values, zeros of both signs, infinities and NaN among them.
std::vector<double> tied_scores(cases::generator& g, index_t n) {
  std::vector<double> s(at(n));
  for (double& x : s) x = static_cast<double>(g.below(8)) / 8;
  for (double& x : s) {
    if (g.chance(0.05)) x = oracle::nan;
    if (g.chance(0.05)) x = -0.0;
    if (g.chance(0.05)) x = g.chance(0.5) ? oracle::infinity : -oracle::infinity;
  }
  return s;
}

}  // namespace

TEST_CASE("rank_issues orders rows by score, equal scores by row, NaN last") {
  const std::vector<double> s = {0.5, oracle::nan, 0.25, 0.5, 0.25, oracle::nan, -0.0, 0.0};
  std::vector<index_t> rows = {5, 4, 3, 2, 1, 0, 7, 6};
  weakly::rank_issues(s, rows);
  CHECK(rows == std::vector<index_t>{6, 7, 2, 4, 0, 3, 1, 5});
  std::vector<index_t> some = {3, 0, 5};
  weakly::rank_issues(s, some);
  CHECK(some == std::vector<index_t>{0, 3, 5});
}

TEST_CASE("top_issues fills in the first rows of that order") {
  const std::vector<double> s = {0.5, oracle::nan, 0.25, 0.5, 0.25, oracle::nan, -0.0, 0.0};
  std::vector<index_t> rows(5);
  weakly::top_issues(s, rows);
  CHECK(rows == std::vector<index_t>{6, 7, 2, 4, 0});
  std::vector<index_t> all(8);
  weakly::top_issues(s, all);
  CHECK(all == std::vector<index_t>{6, 7, 2, 4, 0, 3, 1, 5});
}

TEST_CASE("rank_issues and top_issues of nothing do nothing") {
  std::vector<index_t> rows;
  weakly::rank_issues(std::vector<double>{}, rows);
  weakly::top_issues(std::vector<double>{}, rows);
  weakly::top_issues(std::vector<double>{0.5}, rows);
  CHECK(rows.empty());
}

TEST_CASE("rank_issues and top_issues agree with a stable sort of all rows, whatever order the rows come in") {
  cases::generator g(101);
  for (int round = 0; round < 1000; ++round) {
    CAPTURE(round);
    const index_t n = g.below(80);
    const auto s = tied_scores(g, n);
    const auto expected = oracle::ranking(s);
    auto rows = cases::permutation(g, n);
    weakly::rank_issues(s, rows);
    REQUIRE(rows == expected);
    std::vector<index_t> top(at(g.below(n + 1)));
    weakly::top_issues(s, top);
    REQUIRE(std::equal(top.begin(), top.end(), expected.begin()));
  }
}

TEST_CASE_TEMPLATE("rank_issues reads scores of every storage type, strided", T, float, double, weakly::half,
                   weakly::bfloat16) {
  cases::generator g(102);
  const auto s = tied_scores(g, 50);
  const oracle::problem q{50, 1, s, std::vector<index_t>(50)};
  const cases::laid_out<T> column(q, cases::layout::every_second_column);
  const weakly::vector_view<const T> scores(column.view().data(), {50}, {2});
  auto rows = cases::permutation(g, 50);
  weakly::rank_issues(scores, rows);
  CHECK(rows == oracle::ranking(s));
  std::vector<index_t> top(20);
  weakly::top_issues(scores, top);
  CHECK(std::equal(top.begin(), top.end(), rows.begin()));
}

TEST_CASE("rank_issues allocates once, top_issues not at all") {
  cases::generator g(103);
  const auto s = tied_scores(g, 5000);
  auto rows = cases::permutation(g, 5000);
  std::vector<index_t> top(300);
  CHECK(allocations::during([&] { weakly::rank_issues(s, rows); }) <= 1);
  CHECK(allocations::during([&] { weakly::top_issues(s, top); }) == 0);
}

TEST_CASE("rank_issues refuses rows without a score, top_issues more rows than there are") {
  const std::vector<double> s = {0.5, 0.25, 0.75};
  for (const index_t bad : {index_t(3), index_t(-1), std::numeric_limits<index_t>::min()}) {
    std::vector<index_t> rows = {2, bad, 0};
    cases::refuses<weakly::shape_error>([&] { weakly::rank_issues(s, rows); },
                                        {"rank_issues: row " + std::to_string(bad), "there are 3"});
    CHECK(rows == std::vector<index_t>{2, bad, 0});
  }
  std::vector<index_t> four(4, -5);
  cases::refuses<weakly::shape_error>([&] { weakly::top_issues(s, four); }, {"top_issues: 4 rows wanted of 3"});
  CHECK(four == std::vector<index_t>(4, -5));
}
