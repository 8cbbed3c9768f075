// SPDX-License-Identifier: MIT
#include "batch_checks.hpp"
#include "loss_reference.hpp"
#include "noise/allocations.hpp"
#include "sanitizer.hpp"

#include <weakly/loss/multilabel_positive_unlabeled.hpp>

#include <cmath>
#include <limits>
#include <vector>

using weakly::index_t;
using columns = std::vector<weakly::multilabel_positive_unlabeled_column>;

namespace {

/// The loss of one column in long double, for a given temperature and re-balance factor.
long double plain(const std::vector<double>& x, const std::vector<int>& positive, long double t, long double w) {
  long double sum = 0, of_positives = 0, count = 0;
  for (std::size_t i = 0; i < x.size(); ++i) {
    const long double phi = 1 / (1 + std::exp(-static_cast<long double>(x[i]) / t));
    sum += phi;
    if (positive[i] == 0) continue;
    of_positives += std::log(phi);
    count += 1;
  }
  return w * std::log(sum / static_cast<long double>(x.size())) - (count > 0 ? of_positives / count : 0);
}

}  // namespace

TEST_CASE("multilabel_positive_unlabeled gives the reference results") {
  for (const auto& c : loss_reference::cases("pumlc")) {
    const auto logits = c.array("logits");
    const auto n = logits.shape[0], k = logits.shape[1];
    const auto positive = c.array("positive").as<int>();
    columns column(static_cast<std::size_t>(k));
    std::vector<double> grad(logits.values.size()), temperature, balance;
    const double loss = weakly::multilabel_positive_unlabeled(
        weakly::view(logits.values.data(), n, k), weakly::view(positive.data(), n, k), column,
        weakly::view(grad.data(), n, k),
        {.alpha = c.number.at("alpha"), .gamma = c.number.at("gamma"), .min_temperature = c.number.at("tmin")});
    for (const auto& r : column) {
      temperature.push_back(r.temperature);
      balance.push_back(r.balance);
    }
    loss_reference::check_array(c, "loss", {loss});
    loss_reference::check_array(c, "grad", grad);
    loss_reference::check_array(c, "T", temperature);
    loss_reference::check_array(c, "w", balance);
  }
}

TEST_CASE("multilabel_positive_unlabeled: the gradient is that of the value for constant temperature and balance") {
  const index_t n = 12;
  for (const double scale : {0.5, 3.0}) {
    auto x = batch_checks::normal<double>(n, scale, 3);
    const auto positive = batch_checks::marks(n, 3, 4);
    std::vector<double> grad(x.size());
    columns column(1);
    const double loss =
        weakly::multilabel_positive_unlabeled(weakly::view(x.data(), n, 1), weakly::view(positive.data(), n, 1), column,
                                              weakly::view(grad.data(), n, 1), {.alpha = 0.8, .gamma = 2});
    const double t = column[0].temperature, w = column[0].balance;
    CHECK(loss == doctest::Approx(double(plain(x, positive, t, w))).epsilon(1e-13));
    batch_checks::check_slopes("grad", x, grad, [&] { return double(plain(x, positive, t, w)); });
  }
}

TEST_CASE("multilabel_positive_unlabeled: temperature is the deviation's share, at most one; balance a power of M") {
  const std::vector<double> x{1, 1, 3, 3, -40, 40};  // 3 x 2: columns 1 3 -40 and 1 3 40
  const std::vector<int> none(6, 0);
  columns column(2);
  weakly::multilabel_positive_unlabeled(weakly::view(x.data(), 3, 2), weakly::view(none.data(), 3, 2), column,
                                        weakly::discard, {.alpha = 0.01, .gamma = 0});
  const double mean = -12;
  CHECK(column[0].temperature == doctest::Approx(0.01 * std::sqrt((13.0 * 13 + 15 * 15 + 28 * 28) / 3)).epsilon(1e-14));
  CHECK(mean == (1 + 3 - 40) / 3.0);
  CHECK(column[0].balance == 1);
  weakly::multilabel_positive_unlabeled(weakly::view(x.data(), 3, 2), weakly::view(none.data(), 3, 2), column,
                                        weakly::discard, {.alpha = 10, .gamma = 3});
  CHECK(column[0].temperature == 1);
  const double m = (1 / (1 + std::exp(-1.0)) + 1 / (1 + std::exp(-3.0)) + 1 / (1 + std::exp(40.0))) / 3;
  CHECK(column[0].balance == doctest::Approx(m * m * m).epsilon(1e-14));
  CHECK(column[0].loss == doctest::Approx(m * m * m * std::log(m)).epsilon(1e-14));
}

TEST_CASE("multilabel_positive_unlabeled of a column without spread, of one row, of nothing") {
  const std::vector<double> x{7, 7, 7};
  const std::vector<int> positive{1, 0, 0};
  std::vector<double> grad(3);
  columns column(1);
  weakly::multilabel_positive_unlabeled(weakly::view(x.data(), 3, 1), weakly::view(positive.data(), 3, 1), column,
                                        weakly::view(grad.data(), 3, 1),
                                        {.alpha = 1, .gamma = 1, .min_temperature = 0.5});
  CHECK(column[0].temperature == 0.5);
  CHECK(std::isfinite(column[0].loss));
  columns three(3);
  weakly::multilabel_positive_unlabeled(weakly::view(x.data(), 1, 3), weakly::view(positive.data(), 1, 3), three,
                                        weakly::view(grad.data(), 1, 3), {.alpha = 1, .gamma = 1});
  for (const double g : grad) CHECK(std::isfinite(g));
  column[0].loss = 5;
  CHECK(weakly::multilabel_positive_unlabeled(weakly::view(x.data(), 0, 1), weakly::view(positive.data(), 0, 1), column,
                                              weakly::discard, {.alpha = 1, .gamma = 1}) == 0);
  CHECK(column[0].loss == 0);
}

TEST_CASE("multilabel_positive_unlabeled of huge scores is finite, and NaN stays in its column") {
  std::vector<double> x{1e30, -1e30, -1e30, 3, -1e4, 2};  // 3 x 2
  const std::vector<int> positive{0, 1, 1, 0, 1, 1};
  std::vector<double> grad(6);
  columns column(2);
  const auto run = [&] {
    weakly::multilabel_positive_unlabeled(weakly::view(x.data(), 3, 2), weakly::view(positive.data(), 3, 2), column,
                                          weakly::view(grad.data(), 3, 2), {.alpha = 0.8, .gamma = 2});
  };
  run();
  for (const auto& c : column) CHECK(std::isfinite(c.loss));
  for (const double g : grad) CHECK(std::isfinite(g));
  const columns before = column;
  x[2] = std::numeric_limits<double>::quiet_NaN();
  run();
  CHECK(std::isnan(column[0].loss));
  CHECK(std::isnan(grad[2]));
  CHECK(column[1].loss == before[1].loss);
}

TEST_CASE("multilabel_positive_unlabeled gives the same bits whatever way it is called and allocates nothing") {
  for (const index_t c : {index_t(3), index_t(80), index_t(200)}) {
    const index_t n = support::sanitized && c > 3 ? 71 : 211;
    const auto positive = batch_checks::marks(n * c, 5, 9);
    columns column(static_cast<std::size_t>(c));
    const auto call = [&](auto&& ex, auto x, auto grad) {
      return weakly::multilabel_positive_unlabeled(ex, x, weakly::view(positive.data(), n, c), column, grad,
                                                   {.alpha = 0.5, .gamma = 1.5});
    };
    batch_checks::check_ways_to_call(n, c, 2, call);
    const auto x = batch_checks::normal<float>(n * c, 2, 1);
    std::vector<float> grad(x.size());
    CHECK(allocations::during(
              [&] { call(weakly::seq, weakly::view(x.data(), n, c), weakly::view(grad.data(), n, c)); }) == 0);
    const std::vector<double> same(x.begin(), x.end());
    std::vector<double> exact(x.size());
    call(weakly::seq, weakly::view(same.data(), n, c), weakly::view(exact.data(), n, c));
    for (std::size_t e = 0; e < x.size(); ++e) CHECK(batch_checks::near(double(grad[e]), exact[e], 1e-5));
  }
}

#if WEAKLY_HAS_EXCEPTIONS
TEST_CASE("multilabel_positive_unlabeled refuses shapes that disagree and options outside their domains") {
  const std::vector<double> x(6);
  const std::vector<int> positive(6);
  std::vector<double> grad(6);
  columns column(3), fewer(2);
  const auto call = [&](columns& c, index_t k, const weakly::multilabel_positive_unlabeled_options& o) {
    weakly::multilabel_positive_unlabeled(weakly::view(x.data(), 2, 3), weakly::view(positive.data(), 2, k), c,
                                          weakly::view(grad.data(), 2, 3), o);
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_AS(call(fewer, 3, {.alpha = 1, .gamma = 1}), weakly::shape_error);
  CHECK_THROWS_AS(call(column, 2, {.alpha = 1, .gamma = 1}), weakly::shape_error);
  for (const double bad : {-1.0, nan}) {
    CHECK_THROWS_AS(call(column, 3, {.alpha = bad, .gamma = 1}), weakly::option_error);
    CHECK_THROWS_AS(call(column, 3, {.alpha = 1, .gamma = bad}), weakly::option_error);
    CHECK_THROWS_AS(call(column, 3, {.alpha = 1, .gamma = 1, .min_temperature = bad}), weakly::option_error);
  }
  CHECK_THROWS_AS(call(column, 3, {.alpha = 1, .gamma = 1, .min_temperature = 0}), weakly::option_error);
}
#endif
