// SPDX-License-Identifier: MIT
#include "batch_checks.hpp"
#include "loss_reference.hpp"
#include "noise/allocations.hpp"

#include <weakly/core/workspace.hpp>
#include <weakly/loss/robust_contrastive.hpp>

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

using weakly::contrastive_pairs;
using weakly::discard;
using weakly::index_t;

namespace {

struct scratch_memory {
  std::vector<std::byte> bytes;
  explicit scratch_memory(index_t n) : bytes(weakly::robust_contrastive_scratch<double>(n)) {}
  weakly::workspace space() { return weakly::workspace(bytes); }
};

index_t positive_of(index_t i, index_t n, contrastive_pairs pairs) {
  return pairs == contrastive_pairs::diagonal ? i : (i + n / 2) % n;
}

/// Sum over rows (or columns) of F, divided by n.
long double plain(const std::vector<double>& s, index_t n, const std::vector<double>& tau, double rho,
                  contrastive_pairs pairs, bool columns) {
  long double total = 0;
  for (index_t i = 0; i < n; ++i) {
    const auto at = [&](index_t j) {
      return static_cast<long double>(s[std::size_t(columns ? j * n + i : i * n + j)]);
    };
    const index_t own = positive_of(i, n, pairs);
    const auto t = static_cast<long double>(tau[std::size_t(i)]);
    long double sum = 0, count = 0;
    for (index_t j = 0; j < n; ++j) {
      if (j == own || j == i) continue;
      sum += std::exp((at(j) - at(own)) / t);
      count += 1;
    }
    total += t * std::log(sum / count) + t * static_cast<long double>(rho);
  }
  return total / static_cast<long double>(n);
}

std::vector<double> temperatures(index_t n, double low, double high) {
  std::vector<double> t;
  for (index_t i = 0; i < n; ++i) t.push_back(low + (high - low) * double((i * 7) % n) / double(n));
  return t;
}

}  // namespace

TEST_CASE("robust_contrastive of two pairs is the gap to the one negative, both ways") {
  const std::vector<double> sim{0.9, 0.1, 0.3, 0.5}, tau{0.1, 0.2};
  std::vector<double> grad(4), by_row(2), by_column(2);
  scratch_memory memory(2);
  auto space = memory.space();
  const double loss = weakly::robust_contrastive(weakly::view(sim.data(), 2, 2), tau, tau, space,
                                                 weakly::view(grad.data(), 2, 2), by_row, by_column, {.rho = 0});
  CHECK(loss == doctest::Approx(((0.1 - 0.9) + (0.3 - 0.5) + (0.3 - 0.9) + (0.1 - 0.5)) / 2).epsilon(1e-14));
  CHECK(grad == std::vector<double>{-1, 1, 1, -1});
  CHECK(by_row == std::vector<double>{0, 0});
}

TEST_CASE("robust_contrastive gives the reference results") {
  for (const auto& c : loss_reference::cases("rgcl")) {
    const auto sim = c.values("sim"), tau_i = c.values("tau_i"), tau_t = c.values("tau_t");
    const auto n = static_cast<index_t>(tau_i.size());
    std::vector<double> grad(sim.size()), by_row(tau_i.size()), by_column(tau_i.size());
    scratch_memory memory(n);
    auto space = memory.space();
    const double loss =
        weakly::robust_contrastive(weakly::view(sim.data(), n, n), tau_i, tau_t, space, weakly::view(grad.data(), n, n),
                                   by_row, by_column, {.rho = c.number.at("rho")});
    loss_reference::check_array(c, "loss", {loss});
    loss_reference::check_array(c, "dsim", grad);
    loss_reference::check_array(c, "dtau_i", by_row);
    loss_reference::check_array(c, "dtau_t", by_column);
  }
}

TEST_CASE(
    "robust_contrastive agrees with its plain form and its differences, sharp and flat, rows, columns and views") {
  for (const auto pairs : {contrastive_pairs::diagonal, contrastive_pairs::two_views})
    for (const double scale : {0.5, 1e-3}) {
      const index_t n = 8;
      auto sim = batch_checks::normal<double>(n * n, scale, 3);
      auto rows = temperatures(n, 0.05, 1.5), columns = temperatures(n, 0.02, 0.4);
      std::vector<double> grad(sim.size()), by_row(rows.size()), by_column(rows.size());
      scratch_memory memory(n);
      const auto both = [&] {
        return double(plain(sim, n, rows, 0.3, pairs, false) + plain(sim, n, columns, 0.3, pairs, true));
      };
      auto space = memory.space();
      const double loss =
          weakly::robust_contrastive(weakly::view(sim.data(), n, n), rows, columns, space,
                                     weakly::view(grad.data(), n, n), by_row, by_column, {.rho = 0.3, .pairs = pairs});
      CHECK(loss == doctest::Approx(both()).epsilon(1e-13));
      batch_checks::check_slopes("grad", sim, grad, both, 1e-8);
      batch_checks::check_slopes("tau of rows", rows, by_row, both, 1e-7, 1e-6);
      batch_checks::check_slopes("tau of columns", columns, by_column, both, 1e-7, 1e-6);

      space = memory.space();
      const auto of_rows = [&] { return double(plain(sim, n, rows, 0.3, pairs, false)); };
      CHECK(weakly::robust_contrastive(weakly::view(sim.data(), n, n), rows, discard, space,
                                       weakly::view(grad.data(), n, n), discard, discard,
                                       {.rho = 0.3, .pairs = pairs}) == doctest::Approx(of_rows()).epsilon(1e-13));
      batch_checks::check_slopes("grad of rows", sim, grad, of_rows, 1e-8);
      space = memory.space();
      const auto of_columns = [&] { return double(plain(sim, n, columns, 0.3, pairs, true)); };
      CHECK(weakly::robust_contrastive(weakly::view(sim.data(), n, n), discard, columns, space,
                                       weakly::view(grad.data(), n, n), discard, discard,
                                       {.rho = 0.3, .pairs = pairs}) == doctest::Approx(of_columns()).epsilon(1e-13));
      batch_checks::check_slopes("grad of columns", sim, grad, of_columns, 1e-8);
    }
}

TEST_CASE("robust_contrastive of many anchors agrees with the plain form, maxima arriving late included") {
  const index_t n = 1100;
  auto sim = batch_checks::normal<double>(n * n, 0.3, 5);
  for (index_t i = 0; i < n; ++i) sim[std::size_t(i * n + (i + n - 1) % n)] += 1.5;
  const auto tau = temperatures(n, 0.01, 0.5);
  scratch_memory memory(n);
  auto space = memory.space();
  std::vector<double> grad(sim.size());
  const double loss = weakly::robust_contrastive(weakly::view(sim.data(), n, n), tau, tau, space,
                                                 weakly::view(grad.data(), n, n), discard, discard, {.rho = 0.3});
  const double want = double(plain(sim, n, tau, 0.3, contrastive_pairs::diagonal, false) +
                             plain(sim, n, tau, 0.3, contrastive_pairs::diagonal, true));
  CHECK(loss == doctest::Approx(want).epsilon(1e-12));
  double sum = 0;
  for (const double g : grad) sum += g;
  CHECK(std::abs(sum) < 1e-11);  // each anchor's weights sum to what its positive pulls

  const std::vector<float> single(sim.begin(), sim.end());
  std::vector<float> single_grad(sim.size());
  space = memory.space();
  CHECK(weakly::robust_contrastive(weakly::view(single.data(), n, n), tau, tau, space,
                                   weakly::view(single_grad.data(), n, n), discard, discard,
                                   {.rho = 0.3}) == doctest::Approx(want).epsilon(1e-5));
  double worst = 0;
  for (std::size_t e = 0; e < grad.size(); ++e) worst = std::max(worst, std::abs(double(single_grad[e]) - grad[e]));
  CHECK(worst < 1e-5 / double(n) * 10);
}

TEST_CASE("robust_contrastive is the greatest gap for temperatures near zero and the mean gap for huge ones") {
  const index_t n = 6;
  const auto sim = batch_checks::normal<double>(n * n, 1, 8);
  scratch_memory memory(n);
  double greatest = 0, mean = 0;
  for (index_t i = 0; i < n; ++i) {
    double top = -1e9;
    for (index_t j = 0; j < n; ++j) {
      if (i == j) continue;
      const double h = sim[std::size_t(i * n + j)] - sim[std::size_t(i * n + i)];
      top = std::max(top, h);
      mean += h / double(n * (n - 1));
    }
    greatest += top / double(n);
  }
  for (const double t : {1e-300, 1e-12, 1e12, 1e300}) {
    CAPTURE(t);
    auto space = memory.space();
    std::vector<double> slope(6), grad(36);
    const double loss = weakly::robust_contrastive(weakly::view(sim.data(), n, n), std::vector<double>(6, t), discard,
                                                   space, weakly::view(grad.data(), n, n), slope, discard, {.rho = 0});
    CHECK(loss == doctest::Approx(t < 1 ? greatest : mean).epsilon(1e-10));
    for (const double s : slope)
      CHECK(s * double(n) == doctest::Approx(t < 1 ? -std::log(double(n - 1)) : 0.0).epsilon(1e-12));
  }
}

TEST_CASE("robust_contrastive gives the same bits whatever way it is called and allocates nothing") {
  for (const index_t n : {index_t(2), index_t(33), index_t(520)})
    for (const auto pairs : {contrastive_pairs::diagonal, contrastive_pairs::two_views}) {
      if (pairs == contrastive_pairs::two_views && (n == 2 || n == 33)) continue;
      const auto tau = temperatures(n, 0.02, 2);
      std::vector<double> by_row(tau.size()), by_column(tau.size());
      scratch_memory memory(n);
      const auto call = [&](auto&& ex, auto s, auto grad) {
        auto space = memory.space();
        return weakly::robust_contrastive(ex, s, tau, tau, space, grad, by_row, by_column,
                                          {.rho = 0.5, .pairs = pairs});
      };
      batch_checks::check_ways_to_call(n, n, 0.5, call);
      const auto x = batch_checks::normal<float>(n * n, 0.5, 1);
      std::vector<float> grad(x.size());
      CHECK(allocations::during(
                [&] { call(weakly::seq, weakly::view(x.data(), n, n), weakly::view(grad.data(), n, n)); }) == 0);
    }
}

TEST_CASE("robust_contrastive: NaN and infinity reach the anchors that see them and no others") {
  const index_t n = 5;
  auto sim = batch_checks::normal<double>(n * n, 1, 2);
  const std::vector<double> tau(5, 0.3);
  scratch_memory memory(n);
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    sim[1 * 5 + 3] = bad;
    std::vector<double> grad(25), by_row(5), by_column(5);
    auto space = memory.space();
    const double loss = weakly::robust_contrastive(weakly::view(sim.data(), n, n), tau, tau, space,
                                                   weakly::view(grad.data(), n, n), by_row, by_column, {.rho = 0.3});
    CHECK(std::isnan(loss));
    for (index_t i = 0; i < n; ++i) {
      CHECK(std::isnan(by_row[std::size_t(i)]) == (i == 1));
      CHECK(std::isnan(by_column[std::size_t(i)]) == (i == 3));
      for (index_t j = 0; j < n; ++j)
        if (i != 1 && j != 3) CHECK(std::isfinite(grad[std::size_t(i * n + j)]));
    }
    CHECK(std::isnan(grad[1 * 5 + 3]));
  }
}

TEST_CASE("robust_contrastive of nothing is zero; bad shapes, options, temperatures and scratch are refused") {
  std::vector<double> none, sim(16), tau(4, 0.1), grad(16);
  scratch_memory memory(4);
  auto space = memory.space();
  CHECK(weakly::robust_contrastive(weakly::view(none.data(), 0, 0), none, none, space, discard, discard, discard,
                                   {.rho = 1}) == 0);
#if WEAKLY_HAS_EXCEPTIONS
  const auto call = [&](index_t n, index_t k, const auto& t, const weakly::robust_contrastive_options& o) {
    space = memory.space();
    weakly::robust_contrastive(weakly::view(sim.data(), n, k), t, discard, space, weakly::view(grad.data(), n, k),
                               discard, discard, o);
  };
  const double nan = std::numeric_limits<double>::quiet_NaN();
  CHECK_THROWS_AS(call(4, 3, tau, {.rho = 1}), weakly::shape_error);
  CHECK_THROWS_AS(call(3, 3, tau, {.rho = 1}), weakly::shape_error);
  CHECK_THROWS_AS(call(1, 1, std::vector<double>{1}, {.rho = 1}), weakly::shape_error);
  CHECK_THROWS_AS(call(2, 2, std::vector<double>{1, 1}, {.rho = 1, .pairs = contrastive_pairs::two_views}),
                  weakly::shape_error);
  CHECK_THROWS_AS(call(3, 3, std::vector<double>{1, 1, 1}, {.rho = 1, .pairs = contrastive_pairs::two_views}),
                  weakly::shape_error);
  for (const double bad : {-1.0, nan}) CHECK_THROWS_AS(call(4, 4, tau, {.rho = bad}), weakly::option_error);
  for (const double bad : {0.0, -1.0, nan, std::numeric_limits<double>::infinity()}) {
    auto t = tau;
    t[2] = bad;
    CHECK_THROWS_AS(call(4, 4, t, {.rho = 1}), weakly::value_error);
  }
  memory.bytes.resize(100);
  CHECK_THROWS_AS(call(4, 4, tau, {.rho = 1}), weakly::workspace_error);
#endif
}
