// SPDX-License-Identifier: MIT
#include "em_checks.hpp"

#include <weakly/em/anchor_points.hpp>

#include <algorithm>
#include <limits>
#include <numeric>

using namespace em_checks;

namespace {

const double no_number = std::numeric_limits<double>::quiet_NaN();

}  // namespace

TEST_CASE("anchor_points are the most probable rows, the first of equal ones") {
  const std::vector<double> prob{0.6, 0.4, 0.9, 0.1, 0.2, 0.8, 0.9, 0.1, 0.2, 0.8};
  CHECK(weakly::anchor_points(rows(prob, 2)) == std::vector<index_t>{1, 2});
  const auto t = weakly::anchor_transition(rows(prob, 2));
  CHECK(std::vector<double>(t.elements().begin(), t.elements().end()) == std::vector<double>{0.9, 0.1, 0.2, 0.8});
  // One row of five is beyond the 80 % quantile, three beyond the 40 %.
  CHECK(weakly::anchor_points(rows(prob, 2), {.quantile = 0.8}) == std::vector<index_t>{3, 4});
  CHECK(weakly::anchor_points(rows(prob, 2), {.quantile = 0.4}) == std::vector<index_t>{2, 1});
}

TEST_CASE_TEMPLATE("anchor_points are what sorting each column gives, whatever the layout", T, float, double) {
  const index_t n = 500, k = 7;
  std::vector<T> prob;
  for (const double p : softmax(normal(n, k, 1, 4), k)) prob.push_back(T(std::round(p * 64) / 64));  // many ties
  const auto by_column = transposed(prob, k);
  for (const double quantile : {1.0, 0.97, 0.5, 0.002}) {
    const auto got = weakly::anchor_points(rows(prob, k), {.quantile = quantile});
    CHECK(weakly::anchor_points(weakly::view(by_column.data(), n, k, 1, n), {.quantile = quantile}) == got);
    for (index_t c = 0; c < k; ++c) {
      std::vector<index_t> order(static_cast<std::size_t>(n));
      std::iota(order.begin(), order.end(), 0);
      std::stable_sort(order.begin(), order.end(), [&](index_t a, index_t b) {
        return prob[std::size_t(a * k + c)] > prob[std::size_t(b * k + c)];
      });
      const auto beyond = n - index_t(std::ceil(quantile * double(n)));
      CHECK(got[std::size_t(c)] == order[std::size_t(beyond)]);
    }
  }
}

TEST_CASE("dual_transition of four rows") {
  const std::vector<double> prob{0.75, 0.25, 0, 0, 1, 0, 0.25, 0, 0.75, 0.75, 0.25, 0};
  const std::vector<int> label{0, 1, 2, 1};
  const auto t = weakly::dual_transition(rows(prob, 3), label);
  // T2 = {{1/2, 1/2, 0}, {0, 1, 0}, {0, 0, 1}}
  const std::vector<double> expected{0.375, 0.625, 0, 0, 1, 0, 0.125, 0.125, 0.75};
  CHECK(std::vector<double>(t.elements().begin(), t.elements().end()) == expected);
}

TEST_CASE("dual_transition keeps a class that is never predicted, and rows sum to one") {
  const std::vector<double> prob{0.75, 0.25, 0.625, 0.375, no_number, 1};
  const auto t = weakly::dual_transition(rows(prob, 2), std::vector<int>{1, -1, 0});
  // T1 = {{3/4, 1/4}, {5/8, 3/8}}, T2 = {{0, 1}, {0, 1}}: the row with a NaN is in neither.
  CHECK(std::vector<double>(t.elements().begin(), t.elements().end()) == std::vector<double>{0, 1, 0, 1});
  const index_t k = 6;
  const auto p = softmax(normal(400, k, 2, 1), k);
  std::vector<int> label;
  for (int i = 0; i < 400; ++i) label.push_back(i % int(k));
  const auto full = weakly::dual_transition(rows(p, k), label);
  for (index_t c = 0; c < k; ++c) {
    double sum = 0;
    for (const double x : full.row(c)) sum += x;
    CHECK(sum == doctest::Approx(1).epsilon(1e-14));
  }
}

TEST_CASE("anchor_points pass over rows with a NaN, which n does not count") {
  const std::vector<double> prob{0.9, no_number, 0.6, 0.4, 0.2, 0.8};
  CHECK(weakly::anchor_points(rows(prob, 2)) == std::vector<index_t>{1, 2});
  CHECK(weakly::anchor_points(rows(prob, 2), {.quantile = 0.5}) == std::vector<index_t>{2, 1});
  const auto t = weakly::anchor_transition(rows(prob, 2));
  CHECK(std::vector<double>(t.elements().begin(), t.elements().end()) == std::vector<double>{0.6, 0.4, 0.2, 0.8});
}

TEST_CASE("the rank of an anchor is not moved by the rounding of quantile n") {
  for (const index_t n : {index_t(25), index_t(100), index_t(1000), index_t(100000)}) {
    CAPTURE(n);
    std::vector<double> prob;
    for (index_t i = 0; i < n; ++i) prob.push_back(1 - double(i) / double(n));
    for (index_t percent = 4; percent <= 100; percent += 4) {
      CAPTURE(percent);
      CHECK(weakly::anchor_points(rows(prob, 1), {.quantile = double(percent) / 100}) ==
            std::vector<index_t>{n - n * percent / 100});
    }
  }
  CHECK(weakly::anchor_points(weakly::matrix<double>(3, 1, 1.0), {.quantile = 1e-300}) == std::vector<index_t>{2});
}

TEST_CASE("anchor_points refuse what has no row without NaN, and options outside their domain") {
  const std::vector<double> prob{no_number, 0.5, no_number, 0.25};
  CHECK_THROWS_AS(weakly::anchor_points(rows(prob, 2)), weakly::value_error);
  CHECK_THROWS_AS(weakly::anchor_points(rows(prob, 2), {.quantile = 0.5}), weakly::value_error);
  CHECK_THROWS_AS(weakly::anchor_points(weakly::view(prob.data(), 0, 2)), weakly::value_error);
  for (const double bad : {0.0, 1.5, no_number})
    CHECK_THROWS_AS(weakly::anchor_points(rows(prob, 2), {.quantile = bad}), weakly::option_error);
  CHECK_THROWS_AS(weakly::dual_transition(rows(prob, 2), std::vector<int>{0, 2}), weakly::label_error);
  CHECK_THROWS_AS(weakly::dual_transition(rows(prob, 2), std::vector<int>{0}), weakly::shape_error);
}
