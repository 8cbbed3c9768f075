// SPDX-License-Identifier: MIT
#include "em_checks.hpp"

#include <weakly/em/distribution_alignment.hpp>
#include <weakly/em/label_posterior.hpp>
#include <weakly/exec/thread_pool.hpp>

#include <limits>
#include <string>

using namespace em_checks;

namespace {

std::vector<double> aligned(const std::vector<double>& logits, const std::vector<double>& ratio) {
  const index_t k = index_t(ratio.size()), n = index_t(logits.size()) / k;
  std::vector<double> q = zeros(n * k);
  weakly::label_posterior(weakly::seq, rows(logits, k), weakly::nothing_observed(n, k), ratio, rows(q, k),
                          weakly::discard, weakly::discard);
  return q;
}

}  // namespace

TEST_CASE("class_estimate moves towards the mean of a batch") {
  weakly::class_estimate e(2);
  const std::vector<double> prob{0.75, 0.25, 1, 0};
  e.update(rows(prob, 2), 0.5);
  CHECK(e.estimate()[0] == 0.6875);
  CHECK(e.estimate()[1] == 0.3125);
  const auto uniform = e.log_ratio();
  CHECK(uniform[0] == doctest::Approx(std::log(0.5 / 0.6875)).epsilon(1e-14));
  const auto other = e.log_ratio(std::vector<double>{0.25, 0.75});
  CHECK(other[1] == doctest::Approx(std::log(0.75 / 0.3125)).epsilon(1e-14));
  CHECK(weakly::class_estimate(std::vector<double>{0, 1}).log_ratio()[0] ==
        doctest::Approx(std::log(0.5e12)).epsilon(1e-14));
}

TEST_CASE("label_posterior with the log ratio of an estimate gives the aligned reference results") {
  std::size_t compared = 0;
  for (const auto& [name, f] : em_reference::instances()) {
    CAPTURE(name);
    const weakly::class_estimate e(f.at("p_hat").values);
    compared += compare(f, "aligned", aligned(f.at("logits").values, e.log_ratio()), 1e-12, 1e-300);
  }
  if (compared != 0) CHECK(compared > 800);
}

TEST_CASE("predictions aligned with their own mean favour no class") {
  const index_t k = 4, n = 400;
  auto logits = normal(n, k, 1, 1);
  for (index_t i = 0; i < n; ++i) logits[std::size_t(i * k)] += 2;
  weakly::class_estimate e(k);
  const auto p = softmax(logits, k);
  e.update(rows(p, k), 0);
  double before = 0, after = 0;
  const auto q = aligned(logits, e.log_ratio());
  for (index_t i = 0; i < n; ++i) after += q[std::size_t(i * k)] / double(n);
  before = e.estimate()[0];
  CHECK(before > 0.5);
  CHECK(std::abs(after - 0.25) < std::abs(before - 0.25) / 3);
}

TEST_CASE_TEMPLATE("class_estimate has the same bits for every executor, order and layout", T, float, double) {
  for (const index_t k : {index_t(5), index_t(700)}) {
    const index_t n = 300;
    const auto p = softmax(normal(n, k, 3, 1), k);
    const std::vector<T> prob(p.begin(), p.end()), by_column = transposed(prob, k);
    std::vector<T> reversed;
    for (index_t i = n - 1; i >= 0; --i)
      reversed.insert(reversed.end(), prob.begin() + i * k, prob.begin() + (i + 1) * k);
    weakly::class_estimate a(k), b(k), c(k);
    weakly::thread_pool pool(3);
    a.update(rows(prob, k));
    b.update(pool, rows(reversed, k));
    c.update(weakly::view(by_column.data(), n, k, 1, n));
    const std::vector<double> expected(a.estimate().begin(), a.estimate().end());
    CHECK(same_bits(std::vector<double>(b.estimate().begin(), b.estimate().end()), expected));
    CHECK(same_bits(std::vector<double>(c.estimate().begin(), c.estimate().end()), expected));
  }
}

TEST_CASE("class_estimate refuses what is no probability before it changes, and options outside their domain") {
  weakly::class_estimate e(2);
  const std::vector<double> bad{0.5, 0.5, std::nan(""), 1}, good{1, 0};
  CHECK_THROWS_AS(e.update(rows(bad, 2)), weakly::value_error);
  CHECK(e.estimate()[0] == 0.5);
  e.update(weakly::view(good.data(), 0, 2));
  CHECK(e.estimate()[0] == 0.5);
  CHECK_THROWS_AS(e.update(rows(good, 1)), weakly::shape_error);
  for (const double momentum : {-0.1, 1.0, std::nan("")})
    CHECK_THROWS_AS(e.update(rows(good, 2), momentum), weakly::option_error);
  CHECK_THROWS_AS(e.log_ratio(0), weakly::option_error);
  CHECK_THROWS_AS(e.log_ratio(std::vector<double>{1}), weakly::shape_error);
  CHECK_THROWS_AS(weakly::class_estimate(0), weakly::shape_error);
  CHECK_THROWS_AS(weakly::class_estimate(std::vector<double>{-0.1, 1}), weakly::value_error);
}

TEST_CASE("class_estimate of more than a million rows is their mean") {
  const index_t n = (index_t(1) << 20) + 777, k = 2;
  const std::vector<double> prob(std::size_t(n * k), 0.3);
  weakly::class_estimate e(k);
  e.update(rows(prob, k), 0);
  CHECK(std::vector<double>(e.estimate().begin(), e.estimate().end()) == std::vector<double>{0.3, 0.3});
}

TEST_CASE("class_estimate refuses targets that are no shares, and no classes") {
  const weakly::class_estimate e(3);
  for (const double bad : {-0.5, std::nan(""), std::numeric_limits<double>::infinity()}) {
    std::string message;
    try {
      e.log_ratio(std::vector<double>{0.5, bad, 0.5});
    } catch (const weakly::value_error& error) {
      message = error.what();
    }
    CHECK(message.find("class 1") != std::string::npos);
  }
  CHECK(std::isinf(e.log_ratio(std::vector<double>{0.5, 0, 0.5})[1]));
  CHECK_THROWS_AS(weakly::class_estimate(std::vector<double>{}), weakly::shape_error);
}
