// SPDX-License-Identifier: MIT
#include <weakly/graph/count_factor.hpp>
#include <weakly/graph/count_factor_gaussian.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <vector>

namespace {

using std::size_t;
using reals = std::vector<double>;
const double inf = std::numeric_limits<double>::infinity();

reals approximate(const reals& theta, double strength, double count) {
  reals out(theta.size());
  weakly::count_factor_gaussian(theta, strength, count, out);
  return out;
}

/// Greatest difference from the exact messages, for n variables whose mean is the count.
double miss(size_t n, double strength) {
  std::mt19937_64 random(1);
  std::normal_distribution<double> normal(-0.5, 1);
  reals theta(n), f(n + 1), exact(n);
  double mean = 0;
  for (double& t : theta) {
    t = normal(random);
    mean += 1 / (1 + std::exp(-t));
  }
  for (size_t c = 0; c <= n; ++c) f[c] = -strength * std::pow(double(c) - std::round(mean), 2);
  std::vector<std::byte> memory(weakly::count_factor_scratch(weakly::index_t(n)));
  weakly::workspace scratch(memory);
  weakly::count_factor_sum(theta, f, scratch, exact);
  const reals out = approximate(theta, strength, std::round(mean));
  double most = 0;
  for (size_t i = 0; i < n; ++i) most = std::max(most, std::abs(out[i] - exact[i]));
  return most;
}

}  // namespace

TEST_CASE("count_factor_gaussian of two even variables") {
  // The other one: mean 1/2, variance 1/4. rate 2 / (1 + 1), ((1.5 - 1)^2 - (0.5 - 1)^2) = 0; at count 0 it is 2.
  CHECK(approximate({0, 0}, 2, 1) == reals{0, 0});
  CHECK(approximate({0, 0}, 2, 0) == reals{-2, -2});
  CHECK(approximate({0, 0}, 0, 0) == reals{0, 0});
}

TEST_CASE("count_factor_gaussian of a held count is its limit, and held variables have no variance") {
  CHECK(approximate({0, 0}, inf, 0)[0] == doctest::Approx(approximate({0, 0}, 1e15, 0)[0]).epsilon(1e-12));
  CHECK(approximate({inf, -inf, inf}, 1, 1) == reals{-1, -3, -1});
  CHECK(approximate({inf, inf, inf}, inf, 1) == reals{-inf, -inf, -inf});
  CHECK(approximate({inf, inf, inf}, inf, 2.5) == reals{0, 0, 0});
}

TEST_CASE("count_factor_gaussian takes finite numbers of any size without a NaN") {
  const reals theta(100, 0.0), held = approximate(theta, inf, 0);
  for (const double strength : {1e300, 1e308, std::numeric_limits<double>::max()})
    CHECK(approximate(theta, strength, 0)[0] == doctest::Approx(held[0]));
  for (const double strength : {0.0, 1e-300, 1.0, 1e308, inf})
    for (const double count : {-1.7e308, 1.7e308})
      for (const double r : approximate(theta, strength, count)) CHECK(r == r);
}

TEST_CASE("count_factor_gaussian comes near the messages of many variables") {
  CHECK(miss(16, 1) < 0.3);
  CHECK(miss(256, 1) < 0.01);
  CHECK(miss(2048, 1) < 1e-3);
  CHECK(miss(2048, 1) < miss(64, 1) / 10);
}

TEST_CASE("count_factor_gaussian refuses NaN, negative strengths and other lengths") {
  CHECK_THROWS_AS(approximate({0, std::nan("")}, 1, 1), weakly::value_error);
  CHECK_THROWS_AS(approximate({0, 0}, -1, 1), weakly::value_error);
  CHECK_THROWS_AS(approximate({0, 0}, std::nan(""), 1), weakly::value_error);
  CHECK_THROWS_AS(approximate({0, 0}, 1, inf), weakly::value_error);
  reals small(1);
  CHECK_THROWS_AS(weakly::count_factor_gaussian(reals(2), 1, 1, small), weakly::shape_error);
}
