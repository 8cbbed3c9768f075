// SPDX-License-Identifier: MIT
#include "loss_checks.hpp"
#include "loss_reference.hpp"

#include <weakly/exec/thread_pool.hpp>
#include <weakly/loss/ldam_multilabel.hpp>

#include <cmath>
#include <limits>
#include <vector>

namespace {
using weakly::index_t;
}

TEST_CASE("ldam_multilabel takes margins off positive scores alone") {
  const std::vector<double> logits{2, 0}, margins{2, 5};
  const std::vector<int> positive{1, 0};
  std::vector<double> loss(1), grad(2);
  weakly::ldam_multilabel(weakly::view(logits.data(), 1, 2), weakly::view(positive.data(), 1, 2), margins, loss,
                          weakly::view(grad.data(), 1, 2));
  CHECK(loss[0] == doctest::Approx(std::log(2.0)).epsilon(1e-15));
  CHECK(grad[0] == doctest::Approx(-0.25).epsilon(1e-15));
  CHECK(grad[1] == doctest::Approx(0.25).epsilon(1e-15));
}

TEST_CASE("ldam_multilabel gives the reference results as the mean over its rows") {
  for (const auto& c : loss_reference::cases("ldam_multilabel")) {
    const std::vector<double> margins = weakly::ldam_multilabel_margins(c.values("counts"), c.number.at("C"));
    loss_reference::check_array(c, "margins", margins);
    const auto logits = c.array("logits");
    const auto n = logits.shape[0], k = logits.shape[1];
    const std::vector<int> positive = c.labels("positive");
    std::vector<double> loss(std::size_t(n), 0.0), grad(std::size_t(n * k));
    weakly::ldam_multilabel(weakly::view(logits.values.data(), n, k), weakly::view(positive.data(), n, k), margins,
                            loss, weakly::view(grad.data(), n, k));
    double mean = 0;
    for (const double x : loss) mean += x / double(n);
    for (double& x : grad) x /= double(n);
    loss_reference::check_array(c, "loss", {mean});
    loss_reference::check_array(c, "grad", grad);
  }
}

TEST_CASE("ldam_multilabel agrees with its plain form, and gives the same bits for every executor and layout") {
  for (const index_t k : {index_t(1), index_t(5), index_t(600)}) {
    CAPTURE(k);
    loss_checks::batch_of_rows<double> b(300, k, 4, unsigned(k)), other = b;
    std::vector<signed char> positive;
    std::vector<double> margins;
    for (index_t i = 0; i < 300 * k; ++i) positive.push_back(i * i % 7 < 3);
    for (index_t j = 0; j < k; ++j) margins.push_back(0.1 * double(j % 9));
    const auto mark = weakly::view(positive.data(), 300, k);
    weakly::ldam_multilabel(b.x(), mark, margins, b.loss, b.g());
    for (index_t i = 0; i < 300; i += 37) {
      long double want = 0;
      for (index_t j = 0; j < k; ++j) {
        const std::size_t at = std::size_t(i * k + j);
        const long double x = positive[at] ? margins[std::size_t(j)] - b.logits[at] : b.logits[at];
        want += std::log1p(std::exp(x)) / static_cast<long double>(k);
        const long double p = 1 / (1 + std::exp(-x)) / static_cast<long double>(k);
        CHECK(loss_checks::near(b.grad[at], double(positive[at] ? -p : p), 1e-14));
      }
      CHECK(loss_checks::near(b.loss[std::size_t(i)], double(want), 1e-13));
    }
    weakly::thread_pool pool(3);
    weakly::ldam_multilabel(pool, b.x(), mark, margins, other.loss, other.g());
    CHECK(loss_checks::same_bits(b.loss, other.loss));
    CHECK(loss_checks::same_bits(b.grad, other.grad));
    weakly::ldam_multilabel(other.x(), mark, margins, weakly::discard, weakly::view(other.logits.data(), 300, k));
    CHECK(loss_checks::same_bits(b.grad, other.logits));
  }
}

TEST_CASE("ldam_multilabel keeps NaN in its row and finite scores finite") {
  const std::vector<float> logits{std::nanf(""), 0, 1e30f, -1e30f};
  const std::vector<double> margins{1, 1};
  const std::vector<int> positive{0, 1, 1, 0};
  std::vector<float> loss(2), grad(4);
  weakly::ldam_multilabel(weakly::view(logits.data(), 2, 2), weakly::view(positive.data(), 2, 2), margins, loss,
                          weakly::view(grad.data(), 2, 2));
  CHECK(std::isnan(loss[0]));
  CHECK(std::isnan(grad[0]));
  CHECK(loss[1] == 0);
  CHECK(grad[2] == 0);
  CHECK(grad[3] == 0);
}

TEST_CASE("ldam_multilabel refuses shapes that disagree and counts that are none") {
  std::vector<double> logits(6), loss(2), margins(3);
  const std::vector<int> positive(6);
  CHECK_THROWS_AS(weakly::ldam_multilabel(weakly::view(logits.data(), 2, 3), weakly::view(positive.data(), 3, 2),
                                          margins, loss, weakly::discard),
                  weakly::shape_error);
  CHECK_THROWS_AS(weakly::ldam_multilabel(weakly::view(logits.data(), 3, 2), weakly::view(positive.data(), 3, 2),
                                          margins, loss, weakly::discard),
                  weakly::shape_error);
  CHECK_THROWS_AS(weakly::ldam_multilabel_margins(std::vector<int>{1, -1}), weakly::value_error);
  CHECK_THROWS_AS(weakly::ldam_multilabel_margins(std::vector<int>{1}, -1), weakly::option_error);
  CHECK(weakly::ldam_multilabel_margins(std::vector<int>{0, 16}) == std::vector<double>{3, 1.5});
}
