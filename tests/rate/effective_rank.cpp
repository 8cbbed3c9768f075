// SPDX-License-Identifier: MIT
#include "coding_rate_oracle.hpp"

#include <weakly/rate/covariance_accumulator.hpp>
#include <weakly/rate/effective_rank.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

using namespace coding_rate_oracle;
using weakly::effective_rank;
using weakly::numerical_rank;

namespace {

// The residual of each eigenpair and how far the vectors are from orthonormal, relative to the greatest eigenvalue.
double defect(const std::vector<double>& a, index_t d) {
  std::vector<double> work = a;
  weakly::detail::symmetric_eigen eigen(work.data(), d, true);
  double worst = 0, greatest = 1e-300;
  for (index_t i = 0; i < d; ++i) greatest = std::max(greatest, std::abs(eigen.value(i)));
  for (index_t i = 0; i < d; ++i) {
    const double* const v = eigen.vector(i);
    if (i > 0) CHECK(eigen.value(i - 1) >= eigen.value(i));
    for (index_t r = 0; r < d; ++r) {
      long double sum = -static_cast<long double>(eigen.value(i)) * v[r];
      for (index_t c = 0; c < d; ++c) sum += static_cast<long double>(a[std::size_t(r * d + c)]) * v[c];
      worst = std::max(worst, double(std::abs(sum)) / greatest);
    }
    for (index_t j = 0; j <= i; ++j) {
      const double* const u = eigen.vector(j);
      long double sum = i == j ? -1 : 0;
      for (index_t c = 0; c < d; ++c) sum += static_cast<long double>(u[c]) * v[c];
      worst = std::max(worst, double(std::abs(sum)));
    }
  }
  return worst;
}

}  // namespace

TEST_CASE("effective_rank and numerical_rank of spectra worked by hand") {
  CHECK(effective_rank(std::vector<double>{2, 2, 2, 2}) == doctest::Approx(4));
  CHECK(effective_rank(std::vector<double>{5, 0, 0}) == doctest::Approx(1));
  CHECK(effective_rank(std::vector<float>{1, 3}) == doctest::Approx(4 / std::pow(3, 0.75)));
  CHECK(numerical_rank(std::vector<double>{3, 1, 2}) == doctest::Approx(2));
  CHECK(numerical_rank(std::vector<double>{1e-200, 1e-200}) == doctest::Approx(2));
}

TEST_CASE("effective_rank lies between the numerical rank and the number of directions, whatever the scale") {
  std::mt19937_64 random(1);
  std::exponential_distribution<double> draw;
  for (int round = 0; round < 50; ++round) {
    std::vector<double> s(std::size_t(1 + round % 7));
    for (double& x : s) x = std::pow(draw(random), 3);
    const double rank = effective_rank(s);
    CHECK(numerical_rank(s) <= rank * (1 + 1e-14));
    CHECK(rank <= double(s.size()) * (1 + 1e-14));
    CHECK(numerical_rank(s) >= 1 - 1e-14);
    for (double& x : s) x *= 1e-150;
    CHECK(effective_rank(s) == doctest::Approx(rank));
    s.push_back(-1e-170);  // rounding
    CHECK(effective_rank(s) == doctest::Approx(rank));
  }
}

TEST_CASE("effective_rank of nothing is 0, and of what is not finite an error") {
  for (const std::vector<double>& none :
       {std::vector<double>{}, std::vector<double>{0, 0}, std::vector<double>{-1e-20}}) {
    CHECK(effective_rank(none) == 0);
    CHECK(numerical_rank(none) == 0);
  }
  CHECK_THROWS_AS(effective_rank(std::vector<double>{1, std::nan("")}), weakly::value_error);
  CHECK_THROWS_AS(numerical_rank(std::vector<double>{1, INFINITY}), weakly::value_error);
}

TEST_CASE("the spectrum of accumulated features is that of their covariance, whole and by class") {
  const data a = make_data(200, 23, 3, 4);
  weakly::covariance_accumulator c(a.k, a.d);
  c.add_block(a.features(), a.hard());
  for (index_t j = -1; j < a.k; ++j) {
    const std::vector<double> s = j < 0 ? c.spectrum() : c.spectrum(j);
    CHECK(std::is_sorted(s.rbegin(), s.rend()));
    double sum = 0, rate = 0;
    const double scale = double(a.d) / 0.5 / (j < 0 ? double(a.n) : c.weights()[std::size_t(j)]);
    for (const double x : s) {
      sum += x;
      rate += std::log1p(scale * x) / 2;
    }
    CHECK(sum == doctest::Approx(j < 0 ? double(a.n) : c.weights()[std::size_t(j)]).epsilon(1e-13));  // unit rows
    CHECK(rate == doctest::Approx(j < 0 ? c.rate(0.5) : c.rate_classes(0.5).rates[std::size_t(j)]).epsilon(1e-12));
  }
  CHECK_THROWS_AS(c.spectrum(3), weakly::label_error);
  c.state()[5] = std::nan("");
  CHECK_THROWS_AS(c.spectrum(), weakly::value_error);
}

TEST_CASE("features that have collapsed to one direction have rank 1") {
  weakly::covariance_accumulator c(1, 40);
  std::vector<double> z(40);
  for (int i = 1; i <= 60; ++i) {
    for (std::size_t f = 0; f < z.size(); ++f) z[f] = double(i) * std::sin(double(f));
    c.add(z, 0);
  }
  CHECK(effective_rank(c.spectrum()) == doctest::Approx(1).epsilon(1e-10));
  CHECK(numerical_rank(c.spectrum()) == doctest::Approx(1).epsilon(1e-10));
}

TEST_CASE("eigenvalues and eigenvectors of symmetric matrices of every kind") {
  std::mt19937_64 random(7);
  std::normal_distribution<double> normal;
  for (const index_t d : {1, 2, 3, 7, 30, 65}) {
    CAPTURE(d);
    const auto at = [d](index_t i, index_t j) { return std::size_t(i * d + j); };
    std::vector<double> a(std::size_t(d * d)), b = a;
    for (const int kind : {0, 1, 2, 3, 4, 5, 6}) {
      CAPTURE(kind);
      for (double& x : b) x = normal(random);
      for (index_t i = 0; i < d; ++i)
        for (index_t j = 0; j <= i; ++j) {
          double x = 0;
          if (kind == 0) x = b[at(i, j)];                                                       // indefinite
          if (kind == 1) x = 0;                                                                 // nothing
          if (kind == 2) x = i == j ? 3 : 0;                                                    // one eigenvalue
          if (kind == 3) x = b[at(0, i)] * b[at(0, j)];                                         // rank one
          if (kind == 4) x = i == j ? double(d - i) : 0;                                        // diagonal
          if (kind == 5) x = b[at(i, j)] * std::pow(10.0, -0.3 * double(i) - 0.3 * double(j));  // graded
          if (kind == 6) x = (i < 3) == (j < 3) ? b[at(i, j)] * 1e-140 : 0;                     // tiny, in two blocks
          a[at(i, j)] = a[at(j, i)] = x;
        }
      CHECK(defect(a, d) < 1e-14 * double(d + 8));
    }
  }
}

TEST_CASE("effective_rank of a spectrum whose least share no double holds") {
  CHECK(weakly::effective_rank(std::vector<double>{1e300, 1e-310}) == 1);
  CHECK(weakly::effective_rank(std::vector<double>{1e300, 1e-310, 1e300}) == doctest::Approx(2));
}
