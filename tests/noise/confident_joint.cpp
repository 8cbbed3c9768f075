// SPDX-License-Identifier: MIT
#include <weakly/noise/confident_joint.hpp>

#include <doctest/doctest.h>

#include "cases.hpp"

using cases::shape;
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

TEST_CASE_TEMPLATE("confident_joint agrees with the definition on random problems", T, float, double, weakly::half,
                   weakly::bfloat16) {
  cases::generator g(31);
  for (int round = 0; round < 1500; ++round) {
    CAPTURE(round);
    const auto q = cases::random_problem<T>(g, g.below(61), 1 + g.below(9), static_cast<shape>(g.below(4)));
    check_joint<T>(q, {q, cases::all_layouts[g.below(6)], g.below(8)}, compatibility::none);
  }
}

TEST_CASE_TEMPLATE("confident_joint agrees with the definition for every number of classes up to 70 and some above", T,
                   float, double, weakly::half, weakly::bfloat16) {
  cases::generator g(32);
  std::vector<index_t> ks = {100, 127, 128, 129, 255, 256, 257, 1000};
  for (index_t k = 1; k <= 70; ++k) ks.push_back(k);
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
    for (index_t n = 0; n < 140; n += 1 + g.below(3)) {
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
  for (const auto& [n, k] : {std::pair<index_t, index_t>{70001, 2}, {20001, 10}, {2500, 57}, {2100, 64}, {300, 1000}}) {
    CAPTURE(k);
    for (const shape s : {shape::smooth, shape::broken}) {
      const auto q = cases::random_problem<T>(g, n, k, s);
      check_joint<T>(q, {q, cases::layout::row_major}, compatibility::none);
      check_joint<T>(q, {q, cases::layout::column_major}, compatibility::none);
    }
  }
}

TEST_CASE_TEMPLATE("confident_joint agrees with cleanlab's rule in cleanlab's arithmetic on random problems", T, float,
                   double, weakly::half) {
  cases::generator g(35);
  for (int round = 0; round < 1000; ++round) {
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
