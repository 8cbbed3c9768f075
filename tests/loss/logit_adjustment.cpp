// SPDX-License-Identifier: MIT
#include "loss_checks.hpp"
#include "loss_reference.hpp"

#include <weakly/exec/thread_pool.hpp>
#include <weakly/loss/cross_entropy.hpp>
#include <weakly/loss/logit_adjustment.hpp>

#include <cmath>
#include <limits>
#include <vector>

namespace {

using weakly::index_t;

std::vector<double> adjustment_of(index_t k) {
  std::vector<double> c;
  for (index_t j = 0; j < k; ++j) c.push_back(-0.5 * double(j % 5));
  return c;
}

const auto call = [](auto&& ex, const auto& logits, const weakly::loss_labels& label, auto&& loss, auto&& grad) {
  const auto x = weakly::as_rows(weakly::view(logits));
  weakly::logit_adjustment(ex, logits, label, adjustment_of(x.extent(1)), loss, grad);
};

long double plain(loss_checks::row f, int label) {
  std::vector<long double> moved(f.begin(), f.end());
  for (std::size_t j = 0; j < moved.size(); ++j) moved[j] -= 0.5L * static_cast<long double>(j % 5);
  return loss_checks::log_sum_exp(moved) - moved[std::size_t(label)];
}

}  // namespace

TEST_CASE("logit_adjustment of equal scores gives back the prior") {
  const std::vector<double> logits{5, 5};
  const std::vector<int> label{1}, counts{3, 1};
  std::vector<double> loss(1), grad(2);
  weakly::logit_adjustment(weakly::view(logits.data(), 1, 2), label, weakly::prior_adjustment(counts), loss,
                           weakly::view(grad.data(), 1, 2));
  CHECK(loss[0] == doctest::Approx(std::log(4.0)).epsilon(1e-14));
  CHECK(grad[0] == doctest::Approx(0.75).epsilon(1e-14));
}

TEST_CASE("logit_adjustment agrees with its plain form, whatever way it is called") {
  loss_checks::traits t;
  t.permutation_free = false;  // the adjustment is not renamed
  loss_checks::check_loss(call, plain, t);
}

TEST_CASE("logit_adjustment gives the reference results") {
  for (const auto& c : loss_reference::cases("logit_adj")) {
    const std::vector<double> adjustment = weakly::prior_adjustment(c.values("prior"), c.number.at("tau"));
    loss_reference::check_loss_and_gradient(
        c, [&](auto x, const auto& y, auto& l, auto g) { weakly::logit_adjustment(x, y, adjustment, l, g); });
  }
}

TEST_CASE("logit_adjustment is cross-entropy of adjusted scores, for scores of any size") {
  for (const double scale : {1.0, 100.0, 1e4}) {
    CAPTURE(scale);
    loss_checks::batch_of_rows<double> a(40, 9, scale, 2), b = a;
    const std::vector<double> adjustment = adjustment_of(9);
    for (index_t i = 0; i < 40; ++i)
      for (index_t j = 0; j < 9; ++j) b.logits[std::size_t(9 * i + j)] += adjustment[std::size_t(j)];
    weakly::logit_adjustment(a.x(), a.label, adjustment, a.loss, a.g());
    weakly::cross_entropy(b.x(), b.label, b.loss, b.g());
    for (std::size_t i = 0; i < a.loss.size(); ++i) CHECK(loss_checks::near(a.loss[i], b.loss[i], 1e-11));
    for (std::size_t i = 0; i < a.grad.size(); ++i) CHECK(loss_checks::near(a.grad[i], b.grad[i], 1e-11));
  }
}

TEST_CASE("logit_adjustment leaves out a class whose adjustment is -inf") {
  const double inf = std::numeric_limits<double>::infinity();
  const std::vector<double> logits{1, 9, 1}, adjustment{0, -inf, 0};
  const std::vector<int> label{0};
  std::vector<double> loss(1), grad(3);
  weakly::logit_adjustment(weakly::view(logits.data(), 1, 3), label, adjustment, loss, weakly::view(grad.data(), 1, 3));
  CHECK(loss[0] == doctest::Approx(std::log(2.0)).epsilon(1e-14));
  CHECK(std::abs(grad[1]) < 1e-300);
}

TEST_CASE("logit_adjustment_slope is the derivative with respect to the strength") {
  for (const index_t k : {index_t(6), index_t(700)}) {
    loss_checks::batch_of_rows<double> b(20, k, 3, 4);
    std::vector<int> counts;
    for (index_t j = 0; j < k; ++j) counts.push_back(1 + int(j * j % 37));
    const std::vector<double> log_prior = weakly::prior_adjustment(counts);
    std::vector<double> slope(20), threaded(20), above(20), below(20);
    weakly::logit_adjustment(b.x(), b.label, weakly::prior_adjustment(counts, 0.7), b.loss, b.g());
    weakly::logit_adjustment_slope(b.g(), log_prior, slope);
    weakly::thread_pool pool(2);
    weakly::logit_adjustment_slope(pool, b.g(), log_prior, threaded);
    CHECK(loss_checks::same_bits(slope, threaded));
    const auto values = [&](double strength, std::vector<double>& loss) {
      weakly::logit_adjustment(b.x(), b.label, weakly::prior_adjustment(counts, strength), loss, weakly::discard);
    };
    values(0.7 + 1e-5, above);
    values(0.7 - 1e-5, below);
    for (std::size_t i = 0; i < 20; ++i) CHECK(slope[i] == doctest::Approx((above[i] - below[i]) / 2e-5).epsilon(1e-8));
  }
}

TEST_CASE("logit_adjustment refuses priors that are none and adjustments that do not fit") {
  CHECK_THROWS_AS(weakly::prior_adjustment(std::vector<int>{3, 0}), weakly::value_error);
  CHECK_THROWS_AS(weakly::prior_adjustment(std::vector<int>{3}, std::nan("")), weakly::option_error);
  CHECK_THROWS_AS(weakly::prior_adjustment(std::vector<int>{3}, INFINITY), weakly::option_error);
  std::vector<double> logits(4), loss(2);
  const std::vector<int> label{0, 1};
  CHECK_THROWS_AS(
      weakly::logit_adjustment(weakly::view(logits.data(), 2, 2), label, adjustment_of(3), loss, weakly::discard),
      weakly::shape_error);
  CHECK_THROWS_AS(weakly::logit_adjustment_slope(weakly::view(logits.data(), 2, 2), adjustment_of(3), loss),
                  weakly::shape_error);
}
