// SPDX-License-Identifier: MIT
#include "em_reference.hpp"
#include "noise/allocations.hpp"
#include "sanitizer.hpp"

#include <weakly/em/bag_count.hpp>
#include <weakly/em/multiple_instance.hpp>
#include <weakly/exec/thread_pool.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <string>
#include <vector>

using weakly::index_t;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();

struct outcome {
  std::vector<double> posterior, grad;
  double loss = 0;
};

outcome infer(const std::vector<double>& logit, bool positive) {
  outcome r{std::vector<double>(logit.size()), std::vector<double>(logit.size())};
  std::vector<double> loss(1);
  weakly::multiple_instance(logit, std::vector<std::size_t>{0, logit.size()}, std::vector<int>{positive ? 1 : 0},
                            r.posterior, loss, r.grad, {.impossible = weakly::impossible_row::keep});
  r.loss = loss[0];
  return r;
}

void check_close(double got, double want, double relative, double absolute) {
  CHECK_MESSAGE(std::abs(got - want) <= relative * std::abs(want) + absolute, got, " instead of ", want);
}

}  // namespace

TEST_CASE("multiple_instance of two even items is what one computes by hand") {
  const outcome some = infer({0, 0}, true);  // P = 3/4
  CHECK(some.posterior[0] == doctest::Approx(2.0 / 3).epsilon(1e-15));
  CHECK(some.loss == doctest::Approx(std::log(4.0 / 3)).epsilon(1e-15));
  CHECK(some.grad[1] == doctest::Approx(0.5 - 2.0 / 3).epsilon(1e-15));
  const outcome none = infer({0, 0}, false);
  CHECK(none.posterior == std::vector<double>{0, 0});
  CHECK(none.loss == doctest::Approx(std::log(4.0)).epsilon(1e-15));
  CHECK(none.grad[0] == 0.5);
}

TEST_CASE("multiple_instance gives the reference results") {
  const auto folder = support::reference_data("em");
  if (!folder) return;
  for (const char* name : {"groups_random.txt", "groups_nasty.txt"}) {
    const auto file = em_reference::read(*folder / name);
    for (int i = 0; file.contains("bag" + std::to_string(i) + "_logit"); ++i)
      for (const bool positive : {true, false}) {
        const std::string bag = "bag" + std::to_string(i) + "_", set = bag + (positive ? "atleast1" : "none");
        CAPTURE(name);
        CAPTURE(set);
        const auto& logit = file.at(bag + "logit").values;
        const outcome r = infer(logit, positive);
        const auto& want = file.at(set + "_posterior1").values;
        for (std::size_t j = 0; j < want.size(); ++j) {
          check_close(r.posterior[j], want[j], 1e-10, 1e-13);
          check_close(r.grad[j], 1 / (1 + std::exp(-logit[j])) - want[j], 1e-10, 1e-13);
        }
        check_close(r.loss, -file.at(set + "_loglik").values[0], 1e-10, 1e-13);
      }
  }
}

TEST_CASE("multiple_instance is bag_count of at least one, and of none") {
  std::mt19937 random(4);
  for (const double mean : {-700.0, -38.0, -37.0, -20.0, 0.0, 30.0})
    for (const index_t b : {index_t(1), index_t(9), index_t(700)}) {
      std::normal_distribution<double> normal(mean, 3);
      std::vector<double> logit(static_cast<std::size_t>(b)), q(logit.size()), g(logit.size()), loss(1);
      for (double& x : logit) x = normal(random);
      std::vector<std::byte> memory(weakly::bag_count_scratch(b));
      for (const bool positive : {true, false}) {
        weakly::workspace scratch(memory);
        const std::vector<index_t> begin{0, b}, one{1}, zero{0};
        weakly::bag_count(logit, begin,
                          positive ? weakly::bag_counts::at_least(one) : weakly::bag_counts::at_most(zero), scratch, q,
                          loss, g);
        const outcome r = infer(logit, positive);
        for (std::size_t i = 0; i < logit.size(); ++i) {
          check_close(r.posterior[i], q[i], 1e-12, 0);
          check_close(r.grad[i], g[i], 1e-10, 1e-14);
        }
        check_close(r.loss, loss[0], 1e-12, 1e-14);
      }
    }
}

TEST_CASE("multiple_instance keeps every digit where a bag is all but certain, or all but impossible") {
  const outcome certain = infer({40, 60}, true);
  CHECK(certain.loss == doctest::Approx(std::exp(-100.0)).epsilon(1e-13));  // 1e-44
  CHECK(certain.grad[0] == doctest::Approx(-std::exp(-100.0)).epsilon(1e-13));
  const outcome hardly = infer({-1000, -1000 + std::log(3.0)}, true);  // P = 4 exp(-1000), less than any double
  CHECK(hardly.loss == doctest::Approx(1000 - std::log(4.0)).epsilon(1e-15));
  CHECK(hardly.posterior[1] == doctest::Approx(0.75).epsilon(1e-12));
}

TEST_CASE("multiple_instance: empty bags, infinite logits and NaN stay by themselves") {
  const std::vector<double> logit{-inf, -inf, inf, 0, std::nan(""), 1, -inf, 2, inf};
  const std::vector<int> begin{0, 0, 0, 2, 4, 6, 8, 9}, positive{0, 1, 1, 1, 1, 1, 0};
  std::vector<double> q(9), loss(7), g(9);
  const auto run = [&](const weakly::multiple_instance_options& options) {
    weakly::multiple_instance(logit, begin, positive, q, loss, g, options);
  };
  run({.impossible = weakly::impossible_row::keep});
  CHECK(loss[0] == 0);
  CHECK(loss[1] == inf);
  CHECK(loss[2] == inf);
  CHECK(loss[3] == 0);
  CHECK(std::isnan(loss[4]));
  CHECK(loss[5] == doctest::Approx(std::log1p(std::exp(-2.0))).epsilon(1e-15));
  CHECK(loss[6] == inf);
  for (const std::size_t i : {0u, 1u, 4u, 5u, 8u}) CHECK((std::isnan(q[i]) && std::isnan(g[i])));
  CHECK(q[2] == 1);
  CHECK(q[3] == 0.5);
  CHECK(g[3] == 0);
  CHECK(q[6] == 0);
  CHECK(q[7] == doctest::Approx(1).epsilon(1e-15));
#if WEAKLY_HAS_EXCEPTIONS
  try {
    run({});
    FAIL("nothing was thrown");
  } catch (const weakly::value_error& e) {
    CHECK(std::string(e.what()).find("multiple_instance: the observation of bag 1 is impossible (3 such bags)") == 0);
  }
#endif
}

TEST_CASE("multiple_instance gives the same bits for every executor, in place, and rounds to what is stored") {
  std::mt19937 random(4);
  std::normal_distribution<float> normal(-3, 2);
  const std::size_t m = support::sanitized ? 300 : 2000;
  std::vector<int> begin{0};
  std::vector<std::uint8_t> positive;
  for (std::size_t i = 0; i < m; ++i) {
    begin.push_back(begin.back() + 1 + static_cast<int>(random() % (i == 7 ? 3000 : 40)));
    positive.push_back(random() % 2 != 0);
  }
  const auto n = static_cast<std::size_t>(begin.back());
  std::vector<float> logit(n), q(n), g(n), loss(m), q3(n), g3(n), loss3(m);
  for (float& x : logit) x = normal(random);
  CHECK(allocations::during([&] { weakly::multiple_instance(logit, begin, positive, q, loss, g); }) == 0);
  weakly::thread_pool pool(3);
  weakly::multiple_instance(pool, logit, begin, positive, q3, loss3, g3);
  CHECK(q == q3);
  CHECK(g == g3);
  CHECK(loss == loss3);
  const std::vector<double> wide(logit.begin(), logit.end());
  std::vector<double> qd(wide), gd(n), lossd(m);
  weakly::multiple_instance(qd, begin, positive, qd, lossd, gd);
  CHECK(q == std::vector<float>(qd.begin(), qd.end()));
  CHECK(g == std::vector<float>(gd.begin(), gd.end()));
  q3 = logit;
  weakly::multiple_instance(q3, begin, positive, weakly::discard, weakly::discard, q3);
  CHECK(q3 == g);
}

#if WEAKLY_HAS_EXCEPTIONS
TEST_CASE("multiple_instance refuses bags that do not add up and outputs of other sizes") {
  const std::vector<double> logit{1, 2, 3};
  std::vector<double> q(3), loss(2);
  const std::vector<int> positive{1, 0};
  CHECK_THROWS_AS(weakly::multiple_instance(logit, std::vector<int>{0, 1, 2}, positive, q, loss, weakly::discard),
                  weakly::shape_error);
  CHECK_THROWS_AS(
      weakly::multiple_instance(logit, std::vector<int>{0, 3}, positive, q, weakly::discard, weakly::discard),
      weakly::shape_error);
  CHECK_THROWS_AS(weakly::multiple_instance(logit, std::vector<int>{0, 1, 3}, positive, loss, loss, weakly::discard),
                  weakly::shape_error);
}
#endif
