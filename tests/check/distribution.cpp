// SPDX-License-Identifier: MIT
#include <weakly/adapt/eigen.hpp>
#include <weakly/check/distribution.hpp>
#include <weakly/core/matrix.hpp>
#include <weakly/exec/thread_pool.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

namespace {

using weakly::row_fault;

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

weakly::matrix<double> uniform(weakly::index_t n, weakly::index_t k) {
  return weakly::matrix<double>(n, k, 1.0 / static_cast<double>(k));
}

bool same(const weakly::distribution_report& a, const weakly::distribution_report& b) {
  return a.rows == b.rows && a.fault == b.fault && a.column == b.column &&
         (a.value == b.value || (a.value != a.value && b.value != b.value));
}

}  // namespace

TEST_CASE("check_distribution passes distributions") {
  weakly::matrix<double> p(3, 3);
  p(0, 0) = 1;
  p(1, 1) = p(1, 2) = 0.5;
  p(2, 0) = 0.2, p(2, 1) = 0.3, p(2, 2) = 0.5;
  const weakly::distribution_report report = weakly::check_distribution(p);
  CHECK(report.ok());
  CHECK(report.fault == row_fault::none);
  CHECK(report.rows == weakly::no_bad_rows());
  CHECK(describe(report).empty());
  weakly::require_distribution(p);
}

TEST_CASE("check_distribution tells each fault from the others, with row, column and value") {
  struct {
    double entry;
    row_fault fault;
  } const cases[] = {{not_a_number, row_fault::not_finite}, {inf, row_fault::not_finite},
                     {-inf, row_fault::not_finite},         {-0.1, row_fault::negative},
                     {1.1, row_fault::above_one},           {1e300, row_fault::above_one}};
  for (const auto& c : cases)
    for (const weakly::index_t k : {1, 2, 3, 4, 5, 9})
      for (weakly::index_t column = 0; column < k; ++column) {
        weakly::matrix<double> p = uniform(6, k);
        p(4, column) = c.entry;
        const weakly::distribution_report report = weakly::check_distribution(p);
        CHECK(report.rows == weakly::status{4, 1});
        CHECK(report.fault == c.fault);
        CHECK(report.column == column);
        CHECK((report.value == c.entry || (report.value != report.value && c.entry != c.entry)));
      }
}

TEST_CASE("check_distribution finds sums that are off when every entry is in range") {
  weakly::matrix<double> p = uniform(5, 4);
  p(2, 1) += 0.001;
  p(3, 1) -= 0.1;
  const weakly::distribution_report report = weakly::check_distribution(p);
  CHECK(report.rows == weakly::status{2, 2});
  CHECK(report.fault == row_fault::sum);
  CHECK(report.column == -1);
  CHECK(report.value == doctest::Approx(1.001));
}

TEST_CASE("check_distribution reports the first bad row even when a later one is worse") {
  weakly::matrix<double> p = uniform(5, 3);
  p(1, 0) += 0.5;
  p(3, 0) = not_a_number;
  CHECK(weakly::check_distribution(p).fault == row_fault::sum);
  CHECK(weakly::check_distribution(p).rows == weakly::status{1, 2});
  p(1, 2) = -1;
  CHECK(weakly::check_distribution(p).fault == row_fault::negative);
}

TEST_CASE_TEMPLATE("check_distribution allows what rounding to the storage type does, and no sum of 1.00001 in float",
                   T, float, double, weakly::half, weakly::bfloat16) {
  std::mt19937 random(1);
  std::uniform_real_distribution<double> number(0, 1);
  for (const weakly::index_t k : {2, 10, 1000}) {
    weakly::matrix<T> p(200, k);
    for (weakly::index_t i = 0; i < 200; ++i) {
      std::vector<double> row(static_cast<std::size_t>(k));
      double sum = 0;
      for (double& x : row) sum += x = number(random);
      for (weakly::index_t j = 0; j < k; ++j)
        p(i, j) = static_cast<T>(static_cast<float>(row[static_cast<std::size_t>(j)] / sum));
    }
    CHECK(weakly::check_distribution(p).ok());
  }
  weakly::matrix<T> far_off(1, 2);
  far_off(0, 0) = static_cast<T>(0.5f);
  far_off(0, 1) = static_cast<T>(0.51f);
  CHECK(weakly::check_distribution(far_off).fault == row_fault::sum);
  if (std::is_same_v<T, float> || std::is_same_v<T, double>) {
    far_off(0, 1) = static_cast<T>(0.50001f);
    CHECK(weakly::check_distribution(far_off).fault == row_fault::sum);
    far_off(0, 1) = static_cast<T>(0.500001f);
    CHECK(weakly::check_distribution(far_off).ok());
  }
}

TEST_CASE("check_distribution takes the tolerance it is given, zero included") {
  weakly::matrix<double> p(1, 2, 0.5);
  p(0, 1) = 0.5 + 1e-9;
  CHECK(weakly::check_distribution(p).ok());
  CHECK_FALSE(weakly::check_distribution(p, {.tolerance = 0}).ok());
  p(0, 1) = 0.5;
  CHECK(weakly::check_distribution(p, {.tolerance = 0}).ok());
  p(0, 0) = -0.25, p(0, 1) = 1.25;
  CHECK(weakly::check_distribution(p, {.tolerance = 0.24}).fault == row_fault::negative);
  CHECK(weakly::check_distribution(p, {.tolerance = 0.26}).ok());
  CHECK(weakly::check_distribution(p, {.tolerance = inf}).ok());
  p(0, 0) = not_a_number;
  CHECK(weakly::check_distribution(p, {.tolerance = inf}).fault == row_fault::not_finite);
  CHECK_THROWS_AS(weakly::check_distribution(p, {.tolerance = not_a_number}), weakly::option_error);
}

TEST_CASE("check_distribution of no rows passes, of no columns does not") {
  CHECK(weakly::check_distribution(weakly::matrix<float>(0, 5)).ok());
  CHECK(weakly::check_distribution(weakly::matrix<float>()).ok());
  const auto report = weakly::check_distribution(weakly::matrix<float>(3, 0));
  CHECK(report.rows == weakly::status{0, 3});
  CHECK(report.fault == row_fault::sum);
  CHECK(report.value == 0);
  CHECK(weakly::check_distribution(weakly::matrix<float>(3, 1, 1.0f)).ok());
}

TEST_CASE("check_distribution gives the same report for every executor and layout") {
  std::mt19937 random(2);
  std::uniform_real_distribution<float> number(0, 1);
  Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor> p(30000, 7);
  for (Eigen::Index i = 0; i < p.rows(); ++i) {
    for (Eigen::Index j = 0; j < 7; ++j) p(i, j) = number(random);
    p.row(i) /= p.row(i).sum() * (i % 1000 == 999 ? 1.5f : 1.0f);
  }
  p(29000, 3) = std::nanf("");
  const Eigen::MatrixXf by_column = p;
  const auto expected = weakly::check_distribution(p);
  CHECK(expected.rows == weakly::status{999, 31});
  weakly::thread_pool two(2), five(5);
  for (int repeat = 0; repeat < 10; ++repeat) {
    CHECK(same(weakly::check_distribution(two, p), expected));
    CHECK(same(weakly::check_distribution(five, by_column), expected));
  }
  CHECK(same(weakly::check_distribution(by_column), expected));
}

TEST_CASE("describe says what is wrong and what to do, counting rows from where the batch begins") {
  weakly::matrix<double> p(1, 2, 0.5);
  p(0, 1) = 0.50001;
  CHECK(describe(weakly::check_distribution(p), 1000) ==
        "row 1000 sums to 1.00001, not to 1 within 5e-06; divide each row by its sum, or allow a greater tolerance");
  p(0, 1) = not_a_number;
  CHECK(describe(weakly::check_distribution(p)) == "row 0, column 1 is nan; leave such rows out");
  p(0, 1) = -2.5;
  CHECK(describe(weakly::check_distribution(p)) ==
        "row 0, column 1 is -2.5, below 0; give probabilities, not scores or their logarithms");
  p(0, 0) = 50;
  CHECK(describe(weakly::check_distribution(p)) ==
        "row 0, column 0 is 50, above 1; give probabilities, not scores or percentages");
}

TEST_CASE("require_distribution throws what check_distribution found") {
  weakly::matrix<float> p(4, 2, 0.5f);
  p(2, 0) = 0.75f;
  p(3, 0) = 0.75f;
  CHECK_THROWS_WITH_AS(
      weakly::require_distribution(p),
      "require_distribution: row 2 sums to 1.25, not to 1 within 5e-06; divide each row by its sum, or "
      "allow a greater tolerance (2 of 4 rows are no distribution)",
      weakly::value_error);
  weakly::thread_pool pool(2);
  CHECK_THROWS_AS(weakly::require_distribution(pool, p), weakly::value_error);
  weakly::require_distribution(pool, p, {.tolerance = 0.25});
}
