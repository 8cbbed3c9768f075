// SPDX-License-Identifier: MIT
#include <weakly/exec/thread_pool.hpp>
#include <weakly/noise/latent_algebra.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <type_traits>
#include <vector>

#include "cases.hpp"

using oracle::at;
using weakly::compatibility;
using weakly::index_t;
using weakly::matrix;

namespace {

matrix<double> of(const std::vector<std::vector<double>>& rows) {
  matrix<double> m(static_cast<index_t>(rows.size()), static_cast<index_t>(rows[0].size()));
  for (index_t a = 0; a < m.rows(); ++a)
    for (index_t b = 0; b < m.cols(); ++b) m(a, b) = rows[at(a)][at(b)];
  return m;
}

/// A noise matrix whose columns sum to one, with at least `stay` on the diagonal.
matrix<double> random_noise(cases::generator& g, index_t k, double stay) {
  matrix<double> n(k, k);
  for (index_t b = 0; b < k; ++b) {
    double sum = 0;
    for (index_t a = 0; a < k; ++a) sum += n(a, b) = g.unit() + 0.01;
    for (index_t a = 0; a < k; ++a) n(a, b) = (1 - stay) * n(a, b) / sum + (a == b ? stay : 0);
  }
  return n;
}

std::vector<double> random_distribution(cases::generator& g, index_t k) {
  std::vector<double> p(at(k));
  double sum = 0;
  for (double& x : p) sum += x = g.unit() + 0.05;
  for (double& x : p) x /= sum;
  return p;
}

std::vector<double> times(const matrix<double>& m, const std::vector<double>& x) {
  std::vector<double> y(x.size());
  for (index_t a = 0; a < m.rows(); ++a)
    for (index_t b = 0; b < m.cols(); ++b) y[at(a)] += m(a, b) * x[at(b)];
  return y;
}

double column_sum(const matrix<double>& m, index_t b) {
  double sum = 0;
  for (index_t a = 0; a < m.rows(); ++a) sum += m(a, b);
  return sum;
}

}  // namespace

TEST_CASE("inverse_noise_matrix is Bayes' rule") {
  // P(y) = (0.5, 0.5); P(s) = (0.65, 0.35).
  const auto v = weakly::inverse_noise_matrix(of({{0.9, 0.4}, {0.1, 0.6}}), std::vector<double>{0.5, 0.5},
                                              std::vector<double>{0.65, 0.35});
  CHECK(v(0, 0) == doctest::Approx(0.45 / 0.65).epsilon(1e-14));
  CHECK(v(1, 0) == doctest::Approx(0.20 / 0.65).epsilon(1e-14));
  CHECK(v(0, 1) == doctest::Approx(0.05 / 0.35).epsilon(1e-14));
  CHECK(v(1, 1) == doctest::Approx(0.30 / 0.35).epsilon(1e-14));
}

TEST_CASE("prior_from_noise_matrix solves N py = ps, and clips what is not a probability") {
  const auto n = of({{0.9, 0.4}, {0.1, 0.6}});
  const auto py = weakly::prior_from_noise_matrix(n, std::vector<double>{0.65, 0.35});
  CHECK(py[0] == doctest::Approx(0.5).epsilon(1e-14));
  CHECK(py[1] == doctest::Approx(0.5).epsilon(1e-14));
  // More of label 0 than any mixture of the columns has: the solution (1.2, -0.2) is clipped.
  CHECK(weakly::prior_from_noise_matrix(n, std::vector<double>{1, 0}) == std::vector<double>{1, 0});
  const auto least = weakly::prior_from_noise_matrix(n, std::vector<double>{1, 0}, compatibility::cleanlab);
  CHECK(least[1] == doctest::Approx(1e-6 / (1 + 1e-6)).epsilon(1e-14));
}

TEST_CASE("prior_from_noise_matrix exchanges rows where a pivot is zero") {
  const auto n = of({{0, 1, 0}, {1, 0, 0.5}, {0, 0, 0.5}});
  const auto py = weakly::prior_from_noise_matrix(n, std::vector<double>{0.25, 0.5, 0.25});
  CHECK(py[0] == doctest::Approx(0.25));
  CHECK(py[1] == doctest::Approx(0.25));
  CHECK(py[2] == doctest::Approx(0.5));
}

TEST_CASE("noise and inverse noise determine one another, the prior and the label distribution") {
  cases::generator g(71);
  for (int round = 0; round < 200; ++round) {
    CAPTURE(round);
    const index_t k = 1 + g.below(30);
    const auto n = random_noise(g, k, 0.5);  // diagonally dominant: the condition number stays small
    const auto py = random_distribution(g, k);
    const auto ps = times(n, py);
    const auto v = weakly::inverse_noise_matrix(n, py, ps);
    const auto back = weakly::noise_matrix_from_inverse(v, ps, py);
    const auto solved = weakly::prior_from_noise_matrix(n, ps);
    const auto marginal = times(v, ps);
    for (index_t b = 0; b < k; ++b) {
      CHECK(column_sum(v, b) == doctest::Approx(1).epsilon(1e-13));
      CHECK(column_sum(back, b) == doctest::Approx(1).epsilon(1e-13));
      CHECK(solved[at(b)] == doctest::Approx(py[at(b)]).epsilon(1e-11));
      CHECK(marginal[at(b)] == doctest::Approx(py[at(b)]).epsilon(1e-12));
      for (index_t a = 0; a < k; ++a) CHECK(back(a, b) == doctest::Approx(n(a, b)).epsilon(1e-12));
    }
  }
}

TEST_CASE("a column without mass is the unit vector, or zero in cleanlab's way") {
  const auto n = of({{1, 0, 0.5}, {0, 0, 0.25}, {0, 0, 0.25}});
  const std::vector<double> py = {0.5, 0, 0.5}, ps = {0.75, 0.125, 0.125};
  CHECK(weakly::noise_matrix_from_inverse(weakly::inverse_noise_matrix(n, py, ps), ps, py)(1, 1) == 1);
  const auto v =
      weakly::inverse_noise_matrix(of({{1, 0}, {0, 0}}), std::vector<double>{1, 0}, std::vector<double>{1, 0});
  CHECK(v == of({{1, 0}, {0, 1}}));
  CHECK(weakly::inverse_noise_matrix(of({{1, 0}, {0, 0}}), std::vector<double>{1, 0}, std::vector<double>{1, 0},
                                     compatibility::cleanlab) == of({{1, 0}, {0, 0}}));
}

TEST_CASE("remove_noise_from_class frees one class of foreign examples and keeps the columns' sums") {
  const auto n = weakly::remove_noise_from_class(of({{0.7, 0.2, 0.1}, {0.2, 0.7, 0.3}, {0.1, 0.1, 0.6}}), 1);
  const auto expected = of({{0.7, 0.2, 0.1}, {0, 0.7, 0}, {0.1, 0.1, 0.9}});
  for (index_t b = 0; b < 3; ++b) CHECK(column_sum(n, b) == doctest::Approx(1).epsilon(1e-15));
  CHECK(n(0, 0) == doctest::Approx(0.9));
  CHECK(n(1, 0) == 0);
  CHECK(n(1, 2) == 0);
  CHECK(n(2, 2) == doctest::Approx(expected(2, 2)));
  CHECK(n(1, 1) == doctest::Approx(0.7));
}

TEST_CASE_TEMPLATE("true_label_probability rescales by the diagonals and divides each row by its sum", T, float,
                   double) {
  const auto n = of({{0.8, 0.1}, {0.2, 0.9}});
  const auto v = of({{0.4, 0.3}, {0.6, 0.7}});
  // Factors 0.5 and 7/9. Rows: a plain one, one with a clipped entry, one without mass, one with a NaN.
  std::vector<T> p = {T(0.5), T(0.5), T(3), T(0.9), 0, T(-1), std::numeric_limits<T>::quiet_NaN(), T(0.5)};
  const auto prob = weakly::view(p.data(), 4, 2);
  weakly::true_label_probability(prob, n, v, prob);
  const double x = 0.25, y = 0.5 * 7 / 9;
  // A few roundings of T each.
  const double eps = std::is_same_v<T, float> ? 1e-6 : 1e-14;
  CHECK(double(p[0]) == doctest::Approx(x / (x + y)).epsilon(eps));
  CHECK(double(p[1]) == doctest::Approx(y / (x + y)).epsilon(eps));
  CHECK(double(p[2]) == doctest::Approx(1 / 1.7).epsilon(eps));
  CHECK(p[4] == 0);
  CHECK(p[5] == 0);
  CHECK(std::isnan(p[6]));
  CHECK(std::isnan(p[7]));
}

TEST_CASE("true_label_probability gives the same bits for every layout and number of threads") {
  cases::generator g(72);
  const index_t k = 7;
  const auto n = random_noise(g, k, 0.6);
  const auto v = random_noise(g, k, 0.7);
  const auto q = cases::random_problem<float>(g, 20000, k, cases::shape::smooth);
  std::vector<float> expected(q.prob.size());
  const auto out = weakly::view(expected.data(), q.n, k);
  weakly::true_label_probability(weakly::seq, cases::laid_out<float>(q, cases::layout::row_major).view(), n, v, out);
  for (const cases::layout l : cases::all_layouts) {
    weakly::thread_pool pool(3);
    std::vector<float> got(q.prob.size());
    const auto by_column = weakly::view(got.data(), q.n, k, 1, q.n);
    weakly::true_label_probability(pool, cases::laid_out<float>(q, l).view(), n, v, by_column);
    bool equal = true;
    for (index_t i = 0; i < q.n; ++i)
      for (index_t j = 0; j < k; ++j) equal = equal && by_column(i, j) == out(i, j);
    CHECK(equal);
  }
}

TEST_CASE("latent algebra refuses matrices that are not square, sizes that disagree and singular systems") {
  const std::vector<double> two = {0.5, 0.5}, three = {0.5, 0.25, 0.25};
  const auto n = of({{0.9, 0.4}, {0.1, 0.6}});
  const matrix<double> oblong(2, 3);
  cases::refuses<weakly::shape_error>([&] { weakly::inverse_noise_matrix(oblong, two, two); },
                                      {"inverse_noise_matrix", "(2 x 3)", "k x k"});
  cases::refuses<weakly::shape_error>([&] { weakly::inverse_noise_matrix(n, two, three); },
                                      {"inverse_noise_matrix", "3 classes", "2"});
  cases::refuses<weakly::shape_error>([&] { weakly::noise_matrix_from_inverse(n, three, two); },
                                      {"noise_matrix_from_inverse", "3 classes", "2"});
  cases::refuses<weakly::shape_error>([&] { weakly::prior_from_noise_matrix(n, three); },
                                      {"prior_from_noise_matrix", "3 classes", "2"});
  cases::refuses<weakly::value_error>(
      [&] {
        weakly::prior_from_noise_matrix(of({{0.5, 0.5}, {0.5, 0.5}}), two);
      },
      {"prior_from_noise_matrix", "singular at class 1", "another method"});
  cases::refuses<weakly::value_error>([&] { weakly::prior_from_noise_matrix(matrix<double>(2, 2), two); },
                                      {"singular at class 0"});
  for (const double bad : {oracle::nan, oracle::infinity}) {
    cases::refuses<weakly::value_error>(
        [&] {
          weakly::prior_from_noise_matrix(of({{1, bad}, {0, 1}}), two);
        },
        {"prior_from_noise_matrix", "row 0, column 1"});
    cases::refuses<weakly::value_error>(
        [&] {
          weakly::prior_from_noise_matrix(n, std::vector<double>{0.5, bad});
        },
        {"prior_from_noise_matrix", "label 1"});
  }
  cases::refuses<weakly::option_error>([&] { weakly::remove_noise_from_class(n, 2); },
                                       {"remove_noise_from_class", "class 2 of 2"});
  cases::refuses<weakly::option_error>([&] { weakly::remove_noise_from_class(n, -1); }, {"class -1"});
  std::vector<double> p(6);
  cases::refuses<weakly::shape_error>(
      [&] {
        weakly::true_label_probability(weakly::seq, weakly::view(p.data(), 2, 3), n, n, weakly::view(p.data(), 2, 3));
      },
      {"true_label_probability: prob", "(2 x 3)", "axis 1", "2"});
  cases::refuses<weakly::shape_error>(
      [&] {
        weakly::true_label_probability(weakly::seq, weakly::view(p.data(), 3, 2), n, n, weakly::view(p.data(), 2, 2));
      },
      {"true_label_probability: prob and out", "(3 x 2)", "(2 x 2)"});
}
