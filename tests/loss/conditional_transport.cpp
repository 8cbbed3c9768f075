// SPDX-License-Identifier: MIT
#include "batch_checks.hpp"
#include "loss_reference.hpp"
#include "noise/allocations.hpp"

#include <weakly/core/workspace.hpp>
#include <weakly/exec/thread_pool.hpp>
#include <weakly/loss/conditional_transport.hpp>

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

using weakly::discard;
using weakly::index_t;

namespace {

std::vector<std::byte> memory_for(index_t n, index_t m) {
  return std::vector<std::byte>(weakly::conditional_transport_scratch<double>(n, m));
}

double plain(const std::vector<double>& c, const std::vector<double>& s, const std::vector<double>& a,
             const std::vector<double>& b) {
  long double total = 0;
  const std::size_t n = a.size(), m = b.size();
  for (std::size_t i = 0; i < n; ++i) {
    long double sum = 0, cost = 0;
    for (std::size_t j = 0; j < m; ++j) {
      const long double w = b[j] * std::exp(static_cast<long double>(s[i * m + j]));
      sum += w;
      cost += w * c[i * m + j];
    }
    total += a[i] * cost / sum;
  }
  for (std::size_t j = 0; j < m; ++j) {
    long double sum = 0, cost = 0;
    for (std::size_t i = 0; i < n; ++i) {
      const long double w = a[i] * std::exp(static_cast<long double>(s[i * m + j]));
      sum += w;
      cost += w * c[i * m + j];
    }
    total += b[j] * cost / sum;
  }
  return double(total);
}

std::vector<double> weights(index_t n, unsigned seed) {
  std::vector<double> w;
  for (const double x : batch_checks::normal<double>(n, 0.5, seed)) w.push_back(std::exp(x) / double(n));
  return w;
}

}  // namespace

TEST_CASE("conditional_transport of flat logits is the weighted mean cost, twice") {
  const std::vector<double> cost{1, 2, 3, 4}, logit(4, 7.0), a{0.25, 0.75}, b{0.5, 0.5};
  auto memory = memory_for(2, 2);
  weakly::workspace space(memory);
  std::vector<double> by_cost(4);
  const auto r = weakly::conditional_transport(weakly::view(cost.data(), 2, 2), weakly::view(logit.data(), 2, 2), a, b,
                                               space, weakly::view(by_cost.data(), 2, 2), discard, discard, discard);
  CHECK(r.forward == 3);
  CHECK(r.backward == 3);
  CHECK(by_cost == std::vector<double>{0.25, 0.25, 0.75, 0.75});
}

TEST_CASE("conditional_transport gives the reference results") {
  for (const auto& c : loss_reference::cases("ct")) {
    const auto cost = c.array("cost");
    const auto n = cost.shape[0], m = cost.shape[1];
    const auto logit = c.values("logit"), a = c.values("a"), b = c.values("b");
    auto memory = memory_for(n, m);
    weakly::workspace space(memory);
    std::vector<double> by_cost(logit.size()), by_logit(logit.size()), by_row(a.size()), by_column(b.size());
    const auto r = weakly::conditional_transport(
        weakly::view(cost.values.data(), n, m), weakly::view(logit.data(), n, m), a, b, space,
        weakly::view(by_cost.data(), n, m), weakly::view(by_logit.data(), n, m), by_row, by_column);
    loss_reference::check_array(c, "fwd", {r.forward});
    loss_reference::check_array(c, "bwd", {r.backward});
    loss_reference::check_array(c, "dC", by_cost);
    loss_reference::check_array(c, "dS", by_logit);
    const auto da = c.values("da"), db = c.values("db");
    for (std::size_t i = 0; i < a.size(); ++i)  // the reference divides by the weight
      CHECK_MESSAGE((a[i] == 0 || c.close(by_row[i], da[i])), c.name, " da[", i, "]");
    for (std::size_t j = 0; j < b.size(); ++j)
      CHECK_MESSAGE((b[j] == 0 || c.close(by_column[j], db[j])), c.name, " db[", j, "]");
  }
}

TEST_CASE("conditional_transport agrees with its plain form and its differences, at weights of zero too") {
  for (const index_t m : {index_t(4), index_t(90)}) {
    const index_t n = 6;
    auto cost = batch_checks::normal<double>(n * m, 1, 1), logit = batch_checks::normal<double>(n * m, 2, 2);
    auto a = weights(n, 3), b = weights(m, 4);
    a[2] = b[1] = 0;
    std::vector<double> by_cost(cost.size()), by_logit(cost.size()), by_row(a.size()), by_column(b.size());
    auto memory = memory_for(n, m);
    weakly::workspace space(memory);
    const auto r = weakly::conditional_transport(weakly::view(cost.data(), n, m), weakly::view(logit.data(), n, m), a,
                                                 b, space, weakly::view(by_cost.data(), n, m),
                                                 weakly::view(by_logit.data(), n, m), by_row, by_column);
    const auto value = [&] { return plain(cost, logit, a, b); };
    CHECK(r.total() == doctest::Approx(value()).epsilon(1e-13));
    batch_checks::check_slopes("cost", cost, by_cost, value, 1e-8);
    batch_checks::check_slopes("logit", logit, by_logit, value, 1e-8);
    batch_checks::check_slopes("row", a, by_row, value, 1e-7, 1e-6);
    batch_checks::check_slopes("column", b, by_column, value, 1e-7, 1e-6);
  }
}

TEST_CASE("conditional_transport: exchanging rows and columns exchanges forward and backward") {
  const auto cost = batch_checks::normal<double>(15, 1, 1), logit = batch_checks::normal<double>(15, 2, 2);
  const auto a = weights(3, 3), b = weights(5, 4);
  auto memory = memory_for(5, 5);
  weakly::workspace space(memory), other(memory);
  std::vector<double> by_row(3), by_column(3);
  const auto r = weakly::conditional_transport(weakly::view(cost.data(), 3, 5), weakly::view(logit.data(), 3, 5), a, b,
                                               space, discard, discard, by_row, discard);
  const auto t =
      weakly::conditional_transport(weakly::view(cost.data(), 5, 3, 1, 5), weakly::view(logit.data(), 5, 3, 1, 5), b, a,
                                    other, discard, discard, discard, by_column);
  CHECK(r.forward == doctest::Approx(t.backward).epsilon(1e-14));
  CHECK(r.backward == doctest::Approx(t.forward).epsilon(1e-14));
  for (std::size_t i = 0; i < 3; ++i) CHECK(by_row[i] == doctest::Approx(by_column[i]).epsilon(1e-13));
}

TEST_CASE("conditional_transport: what weighs nothing is left out, NaN and infinity included; huge logits are finite") {
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  const std::vector<double> cost{1, 2, nan, 3, 4, inf, nan, nan, nan}, logit{1e30, -1e30, nan, 0, 1, inf, nan, 1, 2};
  const std::vector<double> a{1, 2, 0}, b{1, 1, 0};
  auto memory = memory_for(3, 3);
  weakly::workspace space(memory);
  std::vector<double> by_cost(9), by_logit(9);
  const auto r = weakly::conditional_transport(weakly::view(cost.data(), 3, 3), weakly::view(logit.data(), 3, 3), a, b,
                                               space, weakly::view(by_cost.data(), 3, 3),
                                               weakly::view(by_logit.data(), 3, 3), discard, discard);
  CHECK(std::isfinite(r.forward));
  CHECK(r.backward == 5);
  for (const std::size_t e : {2u, 5u, 6u, 7u, 8u}) {
    CHECK(by_cost[e] == 0);
    CHECK(by_logit[e] == 0);
  }
  for (const double g : by_logit) CHECK(std::isfinite(g));
}

TEST_CASE("conditional_transport gives the same bits for every executor, layout and storage, and allocates nothing") {
  for (const index_t m : {index_t(6), index_t(600)}) {
    const index_t n = 49;
    const auto logit = batch_checks::normal<float>(n * m, 2, 5);
    const auto a = weights(n, 3), b = weights(m, 4);
    std::vector<float> by_logit(logit.size()), by_row(a.size()), by_column(b.size());
    auto memory = memory_for(n, m);
    std::vector<float> copy;
    const auto call = [&](auto&& ex, auto cost, auto grad) {
      weakly::workspace space(memory);
      const auto r = weakly::conditional_transport(ex, cost, weakly::view(logit.data(), n, m), a, b, space, grad,
                                                   weakly::view(by_logit.data(), n, m), by_row, discard);
      double sum = r.forward + 2 * r.backward;
      for (const float x : by_row) sum += double(x);
      for (const float x : by_logit) sum += double(x);
      return sum;
    };
    batch_checks::check_ways_to_call(n, m, 1, call);
    const auto cost = batch_checks::normal<float>(n * m, 1, 1);
    CHECK(allocations::during([&] {
            weakly::workspace space(memory);
            weakly::conditional_transport(weakly::view(cost.data(), n, m), weakly::view(logit.data(), n, m), a, b,
                                          space, discard, weakly::view(by_logit.data(), n, m), by_row, by_column);
          }) == 0);
    std::vector<float> threaded(by_column.size());
    weakly::thread_pool pool(3);
    weakly::workspace space(memory);
    weakly::conditional_transport(pool, weakly::view(cost.data(), n, m), weakly::view(logit.data(), n, m), a, b, space,
                                  discard, discard, discard, threaded);
    CHECK(batch_checks::same_bits(threaded, by_column));
  }
}

#if WEAKLY_HAS_EXCEPTIONS
TEST_CASE("conditional_transport refuses shapes that disagree, weights that are none, and little scratch") {
  const std::vector<double> x(6);
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  const auto call = [&](const std::vector<double>& a, const std::vector<double>& b, std::size_t bytes) {
    std::vector<std::byte> memory(bytes);
    weakly::workspace space(memory);
    weakly::conditional_transport(weakly::view(x.data(), 2, 3), weakly::view(x.data(), 2, 3), a, b, space, discard,
                                  discard, discard, discard);
  };
  const std::size_t enough = weakly::conditional_transport_scratch<double>(2, 3);
  CHECK_NOTHROW(call({1, 0}, {1, 1, 1}, enough));
  CHECK_THROWS_AS(call({1}, {1, 1, 1}, enough), weakly::shape_error);
  CHECK_THROWS_AS(call({1, 1}, {1, 1}, enough), weakly::shape_error);
  CHECK_THROWS_AS(call({1, 1}, {0, 0, 0}, enough), weakly::value_error);
  for (const double bad : {-1.0, nan, inf}) CHECK_THROWS_AS(call({1, bad}, {1, 1, 1}, enough), weakly::value_error);
  CHECK_THROWS_AS(call({1, 1}, {1, 1, 1}, 100), weakly::workspace_error);
}
#endif
