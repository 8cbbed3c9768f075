// SPDX-License-Identifier: MIT
#include "batch_checks.hpp"
#include "loss_reference.hpp"
#include "noise/allocations.hpp"

#include <weakly/loss/uncertainty_weighted.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

using weakly::discard;
using weakly::index_t;
using weakly::seq;

namespace {

std::vector<long double> softmax(const double* x, index_t k) {
  std::vector<long double> p;
  long double top = x[0], sum = 0;
  for (index_t j = 0; j < k; ++j) top = std::max(top, static_cast<long double>(x[j]));
  for (index_t j = 0; j < k; ++j) {
    p.push_back(std::exp(x[j] - top));
    sum += p.back();
  }
  for (long double& v : p) v /= sum;
  return p;
}

/// Sum over rows of loss exp(-u) + u in long double; with `weight`, exp(-u) is taken from there.
double plain(const std::vector<double>& loss, const std::vector<double>& x1, const std::vector<double>& x2,
             long double scale, const std::vector<double>& weight = {}) {
  const auto n = static_cast<index_t>(loss.size()), k = static_cast<index_t>(x1.size()) / n;
  long double total = 0;
  for (index_t i = 0; i < n; ++i) {
    const auto p1 = softmax(x1.data() + i * k, k), p2 = softmax(x2.data() + i * k, k);
    long double u = 0;
    for (std::size_t j = 0; j < p1.size(); ++j) u += scale * p2[j] * std::log(p2[j] / p1[j]);
    const auto at = static_cast<std::size_t>(i);
    total += loss[at] * (weight.empty() ? std::exp(-u) : static_cast<long double>(weight[at])) + u;
  }
  return double(total);
}

}  // namespace

TEST_CASE("uncertainty_weighted gives the reference results") {
  for (const auto& c : loss_reference::cases("ctrlu")) {
    const auto z1 = c.array("z1");
    const auto z2 = c.values("z2"), loss = c.values("L");
    const auto n = z1.shape[0], k = z1.shape[1];
    std::vector<double> value(loss.size()), u(loss.size()), by_loss(loss.size()), g1(z2.size()), g2(z2.size());
    weakly::uncertainty_weighted(seq, loss, weakly::view(z1.values.data(), n, k), weakly::view(z2.data(), n, k), value,
                                 u, by_loss, weakly::view(g1.data(), n, k), weakly::view(g2.data(), n, k));
    loss_reference::check_array(c, "value", value);
    loss_reference::check_array(c, "u", u);
    loss_reference::check_array(c, "dL", by_loss);
    loss_reference::check_array(c, "dz1", g1);
    loss_reference::check_array(c, "dz2", g2);
  }
}

TEST_CASE("uncertainty_weighted agrees with its plain form and its differences, detached or not") {
  for (const bool detached : {false, true})
    for (const index_t k : {index_t(2), index_t(5), index_t(600)}) {
      const index_t n = k > 100 ? 1 : 3;
      auto x1 = batch_checks::normal<double>(n * k, 1, 1), x2 = batch_checks::normal<double>(n * k, 1, 2);
      std::vector<double> loss{0.3, 2, 5};
      loss.resize(std::size_t(n));
      std::vector<double> value(loss.size()), by_loss(loss.size()), g1(x1.size()), g2(x1.size());
      weakly::uncertainty_weighted(seq, loss, weakly::view(x1.data(), n, k), weakly::view(x2.data(), n, k), value,
                                   discard, by_loss, weakly::view(g1.data(), n, k), weakly::view(g2.data(), n, k),
                                   {.scale = 0.7, .detached = detached});
      double sum = 0;
      for (const double v : value) sum += v;
      CHECK(sum == doctest::Approx(plain(loss, x1, x2, 0.7L)).epsilon(1e-13));
      const std::vector<double> weight = detached ? by_loss : std::vector<double>{};
      const auto f = [&] { return plain(loss, x1, x2, 0.7L, weight); };
      batch_checks::check_slopes("first", x1, g1, f, 1e-8);
      batch_checks::check_slopes("second", x2, g2, f, 1e-8);
      batch_checks::check_slopes("loss", loss, by_loss, f, 1e-8);
    }
}

TEST_CASE("uncertainty_weighted of equal predictions is the loss; a given uncertainty is weighed alike") {
  const std::vector<double> x{1, 2, 300, -4, 1e30, -1e30};
  const std::vector<double> loss{2, 3};
  std::vector<double> value(2), u(2, 5.0), g(6);
  const auto m = weakly::view(x.data(), 2, 3);
  weakly::uncertainty_weighted(loss, m, m, value, u, discard, weakly::view(g.data(), 2, 3), discard);
  CHECK(value == loss);
  CHECK(u == std::vector<double>{0, 0});
  for (const double v : g) CHECK(v == 0);

  std::vector<double> given{0.5, std::log(3.0)}, by_loss(2), by_u(2);
  weakly::uncertainty_weighted(loss, given, value, by_loss, by_u, {.scale = 2});
  CHECK(value[0] == doctest::Approx(2 * std::exp(-1.0) + 1).epsilon(1e-15));
  CHECK(by_loss[0] == doctest::Approx(std::exp(-1.0)).epsilon(1e-15));
  CHECK(by_u[0] == doctest::Approx(2 * (1 - 2 * std::exp(-1.0))).epsilon(1e-14));
  weakly::uncertainty_weighted(seq, loss, given, discard, discard, by_u);
  CHECK(std::abs(by_u[1]) < 1e-15);  // u = log(loss) is stationary
  weakly::uncertainty_weighted(seq, loss, given, discard, discard, by_u, {.detached = true});
  CHECK(by_u[0] == 1);
}

TEST_CASE("uncertainty_weighted: NaN stays in its row, far predictions are finite") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> x1{1, nan, 1e4, -1e4, 0, 1}, x2{1, 2, -1e4, 1e4, 2, 3};
  std::vector<double> value(3), g1(6), g2(6);
  weakly::uncertainty_weighted(seq, std::vector<double>{1, 1, 1}, weakly::view(x1.data(), 3, 2),
                               weakly::view(x2.data(), 3, 2), value, discard, discard, weakly::view(g1.data(), 3, 2),
                               weakly::view(g2.data(), 3, 2));
  CHECK(std::isnan(value[0]));
  CHECK(value[1] == 2e4);
  CHECK(value[2] == 1);
  for (std::size_t e = 2; e < 6; ++e) {
    CHECK(std::isfinite(g1[e]));
    CHECK(std::isfinite(g2[e]));
  }
}

TEST_CASE("uncertainty_weighted gives the same bits whatever way it is called and allocates nothing") {
  for (const index_t k : {index_t(6), index_t(600)}) {
    const index_t n = 70;
    const auto second = batch_checks::normal<float>(n * k, 1, 5), loss = batch_checks::normal<float>(n, 1, 6);
    std::vector<float> value(70), u(70), by_loss(70), g2(second.size());
    const auto call = [&](auto&& ex, auto x, auto g1) {
      weakly::uncertainty_weighted(ex, loss, x, weakly::view(second.data(), n, k), value, u, by_loss, g1,
                                   weakly::view(g2.data(), n, k));
      double sum = 0;
      for (const auto* v : {&value, &u, &by_loss, &g2})
        for (const float e : *v) sum += double(e);
      return sum;
    };
    batch_checks::check_ways_to_call(n, k, 1, call);
    const auto x = batch_checks::normal<float>(n * k, 1, 1);
    std::vector<float> g1(x.size());
    CHECK(allocations::during([&] { call(seq, weakly::view(x.data(), n, k), weakly::view(g1.data(), n, k)); }) == 0);
  }
}

#if WEAKLY_HAS_EXCEPTIONS
TEST_CASE("uncertainty_weighted refuses shapes that disagree and scales that are none") {
  const std::vector<double> x(6), loss(2), three(3);
  std::vector<double> value(2);
  const auto m = weakly::view(x.data(), 2, 3);
  CHECK_THROWS_AS(weakly::uncertainty_weighted(seq, three, m, m, value, discard, discard, discard, discard),
                  weakly::shape_error);
  CHECK_THROWS_AS(weakly::uncertainty_weighted(seq, loss, m, weakly::view(x.data(), 3, 2), value, discard, discard,
                                               discard, discard),
                  weakly::shape_error);
  const auto empty = weakly::view(x.data(), 2, 0);
  CHECK_THROWS_AS(weakly::uncertainty_weighted(seq, loss, empty, empty, value, discard, discard, discard, discard),
                  weakly::shape_error);
  for (const double bad : {-1.0, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    CHECK_THROWS_AS(
        weakly::uncertainty_weighted(seq, loss, m, m, value, discard, discard, discard, discard, {.scale = bad}),
        weakly::option_error);
    CHECK_THROWS_AS(weakly::uncertainty_weighted(seq, loss, loss, value, discard, discard, {.scale = bad}),
                    weakly::option_error);
  }
}
#endif
