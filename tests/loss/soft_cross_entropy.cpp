// SPDX-License-Identifier: MIT
#include "loss_checks.hpp"

#include <weakly/exec/thread_pool.hpp>
#include <weakly/loss/cross_entropy.hpp>
#include <weakly/loss/soft_cross_entropy.hpp>

#include <cmath>
#include <limits>
#include <random>
#include <span>
#include <vector>

namespace {

using weakly::index_t;

struct soft_batch {
  loss_checks::batch_of_rows<double> rows;
  std::vector<double> targets;

  soft_batch(index_t n, index_t k, double scale, unsigned seed) : rows(n, k, scale, seed) {
    std::mt19937 random(seed + 1);
    std::uniform_real_distribution<double> number(0, 1);
    for (index_t i = 0; i < n * k; ++i) targets.push_back(i % 3 == 0 ? 0.0 : number(random));
  }
  auto t() const { return weakly::view(targets.data(), rows.n, rows.k); }
};

// Targets that are one at the label, so that the checks of all losses of labels apply.
const auto call = [](auto&& ex, const auto& logits, const weakly::loss_labels& label, auto&& loss, auto&& grad) {
  const auto x = weakly::as_rows(weakly::view(logits));
  std::vector<float> targets(std::size_t(x.extent(0) * x.extent(1)));
  for (index_t i = 0; i < x.extent(0); ++i) targets[std::size_t(i * x.extent(1) + label.at(i))] = 1;
  weakly::soft_cross_entropy(ex, x, weakly::view(targets.data(), x.extent(0), x.extent(1)), loss, grad);
};

}  // namespace

TEST_CASE("soft_cross_entropy of equal logits is log k times the sum of the targets") {
  const std::vector<double> logits(4, 2.0), targets{0.5, 0.25, 0, 1.25};
  std::vector<double> loss(1), grad(4);
  weakly::soft_cross_entropy(weakly::view(logits.data(), 1, 4), weakly::view(targets.data(), 1, 4), loss,
                             weakly::view(grad.data(), 1, 4));
  CHECK(loss[0] == doctest::Approx(2 * std::log(4.0)).epsilon(1e-15));
  CHECK(grad[0] == doctest::Approx(0).epsilon(1e-15));
  CHECK(grad[1] == doctest::Approx(0.25).epsilon(1e-15));
  CHECK(grad[3] == doctest::Approx(-0.75).epsilon(1e-15));
}

TEST_CASE("soft_cross_entropy of targets that are labels is cross_entropy, whatever way it is called") {
  const auto plain = [](loss_checks::row f, int label) { return loss_checks::log_sum_exp(f) - f[std::size_t(label)]; };
  loss_checks::check_values_and_gradients(call, plain, {});
  loss_checks::check_invariances(call, {});
}

TEST_CASE("soft_cross_entropy agrees with its plain form and its central differences") {
  for (const index_t k : {index_t(1), index_t(2), index_t(7), index_t(33), index_t(600), index_t(1500)}) {
    CAPTURE(k);
    const long double temperature = 1.5L;
    soft_batch b(4, k, 3, unsigned(k));
    weakly::soft_cross_entropy(b.rows.x(), b.t(), b.rows.loss, b.rows.g(), {.temperature = 1.5});
    const auto plain = [&](index_t i, std::vector<long double> f) {
      for (long double& x : f) x /= temperature;
      const long double log_sum = loss_checks::log_sum_exp(f);
      long double loss = 0;
      for (index_t j = 0; j < k; ++j)
        loss += static_cast<long double>(b.targets[std::size_t(i * k + j)]) * (log_sum - f[std::size_t(j)]);
      return loss;
    };
    for (index_t i = 0; i < 4; ++i) {
      std::vector<long double> f = b.rows.exact_row(i);
      CHECK(loss_checks::near(b.rows.loss[std::size_t(i)], double(plain(i, f)), 1e-12));
      for (index_t j = 0; j < k; j += 1 + k / 13) {
        const long double centre = f[std::size_t(j)], h = 1e-6L;
        f[std::size_t(j)] = centre + h;
        const long double above = plain(i, f);
        f[std::size_t(j)] = centre - h;
        const long double slope = (above - plain(i, f)) / (2 * h);
        f[std::size_t(j)] = centre;
        CHECK(loss_checks::near(b.rows.grad[std::size_t(i * k + j)], double(slope), 1e-8));
      }
    }
  }
}

TEST_CASE("soft_cross_entropy gives the same bits for every executor, layout and output") {
  soft_batch b(500, 37, 3, 5), other = b;
  weakly::soft_cross_entropy(b.rows.x(), b.t(), b.rows.loss, b.rows.g());
  weakly::thread_pool pool(3);
  weakly::soft_cross_entropy(pool, b.rows.x(), b.t(), other.rows.loss, other.rows.g());
  CHECK(loss_checks::same_bits(b.rows.loss, other.rows.loss));
  CHECK(loss_checks::same_bits(b.rows.grad, other.rows.grad));

  std::vector<double> in_place = b.targets;
  const auto targets = weakly::view(in_place.data(), b.rows.n, b.rows.k);
  weakly::soft_cross_entropy(b.rows.x(), targets, weakly::discard, targets);
  CHECK(loss_checks::same_bits(in_place, b.rows.grad));

  std::vector<double> by_column(b.targets.size());
  for (index_t i = 0; i < 500; ++i)
    for (index_t j = 0; j < 37; ++j) by_column[std::size_t(j * 500 + i)] = b.targets[std::size_t(i * 37 + j)];
  weakly::soft_cross_entropy(b.rows.x(), weakly::view(by_column.data(), 500, 37, 1, 500), other.rows.loss,
                             other.rows.g());
  CHECK(loss_checks::same_bits(b.rows.loss, other.rows.loss));
  CHECK(loss_checks::same_bits(b.rows.grad, other.rows.grad));
}

TEST_CASE("soft_cross_entropy keeps NaN in its row, and an excluded class out of it") {
  const double inf = std::numeric_limits<double>::infinity(), nan = std::nan("");
  const std::vector<double> logits{1, nan, 1, 1, 0, -inf, 0, 1e30}, targets{1, 0, nan, 0, 1, 0, 1, 0};
  std::vector<double> loss(4), grad(8);
  weakly::soft_cross_entropy(weakly::view(logits.data(), 4, 2), weakly::view(targets.data(), 4, 2), loss,
                             weakly::view(grad.data(), 4, 2));
  CHECK(std::isnan(loss[0]));
  CHECK(std::isnan(loss[1]));
  CHECK(std::isnan(grad[0]));
  CHECK(std::isnan(grad[2]));
  CHECK(std::abs(loss[2]) < 1e-300);
  CHECK(std::abs(grad[4]) < 1e-300);
  CHECK(grad[5] == 0);
  CHECK(loss[3] == 1e30);
  CHECK(grad[7] == 1);
}

TEST_CASE("soft_cross_entropy refuses shapes that disagree and temperatures that are none") {
  std::vector<double> x(6), loss(2);
  const auto logits = weakly::view(x.data(), 2, 3);
  CHECK_THROWS_AS(weakly::soft_cross_entropy(logits, weakly::view(x.data(), 3, 2), loss, weakly::discard),
                  weakly::shape_error);
  CHECK_THROWS_AS(weakly::soft_cross_entropy(logits, logits, std::span(x).first(3), weakly::discard),
                  weakly::shape_error);
  CHECK_THROWS_AS(
      weakly::soft_cross_entropy(weakly::view(x.data(), 2, 0), weakly::view(x.data(), 2, 0), loss, weakly::discard),
      weakly::shape_error);
  for (const double bad : {0.0, -1.0, double(INFINITY), std::nan("")})
    CHECK_THROWS_AS(weakly::soft_cross_entropy(logits, logits, loss, weakly::discard, {bad}), weakly::option_error);
}
