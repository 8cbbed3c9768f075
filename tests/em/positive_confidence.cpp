// SPDX-License-Identifier: MIT
#include "noise/allocations.hpp"

#include <weakly/em/positive_confidence.hpp>
#include <weakly/exec/thread_pool.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();

struct outcome {
  std::vector<double> posterior, loss, grad;
};

outcome infer(const std::vector<double>& logit, const std::vector<double>& confidence) {
  outcome r{std::vector<double>(logit.size()), std::vector<double>(logit.size()), std::vector<double>(logit.size())};
  weakly::positive_confidence(logit, confidence, r.posterior, r.loss, r.grad,
                              {.impossible = weakly::impossible_row::keep});
  return r;
}

long double nll(long double x, long double r) {
  const long double p = 1 / (1 + std::exp(-x)), n = 1 / (1 + std::exp(x));
  return -std::log(p * r + n * (1 - r));
}

}  // namespace

TEST_CASE("positive_confidence of 3/4 at even odds is what one computes by hand") {
  const outcome r = infer({0, std::log(3.0)}, {0.75, 0.75});
  CHECK(r.posterior[0] == doctest::Approx(0.75).epsilon(1e-15));
  CHECK(r.loss[0] == doctest::Approx(std::log(2.0)).epsilon(1e-15));
  CHECK(r.grad[0] == doctest::Approx(-0.25).epsilon(1e-15));
  CHECK(r.posterior[1] == doctest::Approx(0.9).epsilon(1e-15));  // 9 : 1
  CHECK(r.loss[1] == doctest::Approx(std::log(1.6)).epsilon(1e-15));
}

TEST_CASE("positive_confidence: loss, posterior and gradient are those of the definition") {
  for (const double x : {-40.0, -3.0, -0.1, 0.0, 2.0, 35.0})
    for (const double c : {0.0, 1e-9, 0.2, 0.5, 0.99, 1.0}) {
      CAPTURE(x);
      CAPTURE(c);
      const outcome r = infer({x}, {c});
      const long double p = 1 / (1 + std::exp(-static_cast<long double>(x))), wide = c;
      const long double q = p * wide * std::exp(nll(x, wide)), h = 1e-4L;
      CHECK(r.posterior[0] == doctest::Approx(static_cast<double>(q)).epsilon(1e-13));
      CHECK(std::abs(static_cast<long double>(r.loss[0]) - nll(x, wide)) <= 1e-13L * nll(x, wide) + 1e-18L);
      CHECK(
          r.grad[0] ==
          doctest::Approx(static_cast<double>((nll(x + h, wide) - nll(x - h, wide)) / (2 * h))).epsilon(1e-7).scale(1));
    }
}

TEST_CASE("positive_confidence: 1/2 says nothing, certainty is a label, gaps of 1000 are nothing special") {
  const outcome half = infer({-700, 1.5, 30}, {0.5, 0.5, 0.5});
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(half.grad[i] == 0);
    CHECK(half.loss[i] == doctest::Approx(std::log(2.0)).epsilon(1e-15));
  }
  const outcome sure = infer({-1000, 1000, 50, 1e30}, {1, 0, 1, 1});
  CHECK(sure.posterior == std::vector<double>{1, 0, 1, 1});
  CHECK(sure.loss[0] == 1000);
  CHECK(sure.loss[1] == 1000);
  CHECK(sure.loss[2] == doctest::Approx(std::exp(-50.0)).epsilon(1e-13));
  CHECK(sure.loss[3] == 0);
  CHECK(sure.grad[2] == doctest::Approx(-std::exp(-50.0)).epsilon(1e-13));
}

TEST_CASE("positive_confidence: infinite logits, what is impossible and NaN stay in their rows") {
  const std::vector<double> logit{-inf, inf, inf, -inf, std::nan(""), 0}, confidence{1, 0, 0.25, 0.25, 0.5, 0.5};
  const outcome r = infer(logit, confidence);
  CHECK(r.loss[0] == inf);
  CHECK(r.loss[1] == inf);
  CHECK(std::isnan(r.posterior[0]));
  CHECK(std::isnan(r.grad[1]));
  CHECK(r.posterior[2] == 1);
  CHECK(r.loss[2] == doctest::Approx(std::log(4.0)).epsilon(1e-15));
  CHECK(r.posterior[3] == 0);
  CHECK(r.loss[3] == doctest::Approx(-std::log(0.75)).epsilon(1e-15));
  CHECK(r.grad[2] == 0);
  CHECK(r.grad[3] == 0);
  CHECK(std::isnan(r.loss[4]));
  CHECK(std::isnan(r.posterior[4]));
  CHECK(std::isnan(r.grad[4]));
  CHECK(r.posterior[5] == 0.5);
#if WEAKLY_HAS_EXCEPTIONS
  std::vector<double> q(6);
  try {
    weakly::positive_confidence(logit, confidence, q, weakly::discard, weakly::discard);
    FAIL("nothing was thrown");
  } catch (const weakly::value_error& e) {
    CHECK(std::string(e.what()).find("positive_confidence: the observation of row 0 is impossible (2 such rows)") == 0);
  }
  CHECK(q[5] == 0.5);
#endif
}

TEST_CASE("positive_confidence gives the same bits for every executor and in place, and allocates nothing") {
  std::mt19937 random(3);
  std::normal_distribution<double> normal(0, 5);
  std::uniform_real_distribution<double> uniform(0, 1);
  std::vector<double> logit(10000), confidence(10000);
  for (double& x : logit) x = normal(random);
  for (double& c : confidence) c = uniform(random);
  const outcome r = infer(logit, confidence);
  std::vector<double> q(logit), g(logit), loss(logit.size());
  weakly::thread_pool pool(3);
  weakly::positive_confidence(pool, q, confidence, q, loss, weakly::discard);
  CHECK(allocations::during([&] { weakly::positive_confidence(g, confidence, weakly::discard, weakly::discard, g); }) ==
        0);
  CHECK(q == r.posterior);
  CHECK(g == r.grad);
  CHECK(loss == r.loss);
  const std::vector<float> single(logit.begin(), logit.end());
  const std::vector<double> rounded(single.begin(), single.end());
  std::vector<float> of_single(logit.size());
  weakly::positive_confidence(single, confidence, of_single, weakly::discard, weakly::discard);
  const outcome wide = infer(rounded, confidence);
  CHECK(of_single == std::vector<float>(wide.posterior.begin(), wide.posterior.end()));
}

#if WEAKLY_HAS_EXCEPTIONS
TEST_CASE("positive_confidence refuses confidences outside [0, 1] and shapes that disagree") {
  std::vector<double> q(2), one(1);
  const std::vector<double> logit{1, 2};
  for (const double bad : {-0.1, 1.5, std::nan("")})
    CHECK_THROWS_AS(
        weakly::positive_confidence(logit, std::vector<double>{0.5, bad}, q, weakly::discard, weakly::discard),
        weakly::value_error);
  CHECK_THROWS_AS(weakly::positive_confidence(logit, one, q, weakly::discard, weakly::discard), weakly::shape_error);
  CHECK_THROWS_AS(weakly::positive_confidence(logit, q, one, weakly::discard, weakly::discard), weakly::shape_error);
}
#endif
