// SPDX-License-Identifier: MIT
#include "coding_rate_oracle.hpp"

#include <weakly/core/half.hpp>
#include <weakly/exec/thread_pool.hpp>
#include <weakly/rate/coding_rate.hpp>

#include <cmath>
#include <numbers>
#include <utility>
#include <vector>

namespace oracle = coding_rate_oracle;
using oracle::index_t;
using oracle::reals;
using weakly::discard;

namespace {

auto rows(reals& v, index_t k) { return weakly::view(v.data(), k == 0 ? 0 : index_t(v.size()) / k, k); }

}  // namespace

TEST_CASE("coding_rate of one row, from either side of the product") {
  reals z{3, 4}, grad(2), one{2}, two{1, 1};
  // beta / n = 2 / 0.5: 1/2 log(1 + 4 * 25), and 4 z / 101
  const auto r = weakly::coding_rate(rows(z, 2), rows(grad, 2));
  CHECK(r.rate == doctest::Approx(std::log(101) / 2).epsilon(1e-15));
  CHECK(grad[0] == doctest::Approx(12.0 / 101).epsilon(1e-15));
  CHECK(grad[1] == doctest::Approx(16.0 / 101).epsilon(1e-15));
  CHECK(r.eps_squared_grad == doctest::Approx(-100.0 / 101).epsilon(1e-14));
  CHECK(weakly::coding_rate(rows(z, 2)).eps_squared_grad == 0);
  CHECK(weakly::coding_rate(rows(one, 1)).rate == doctest::Approx(std::log(9) / 2).epsilon(1e-15));
  CHECK(weakly::coding_rate(rows(two, 1), {.unit = weakly::rate_unit::bits}).rate ==
        doctest::Approx(std::log2(3) / 2).epsilon(1e-15));
}

TEST_CASE("coding_rate gives the reference results") {
  for (const oracle::stored& s : oracle::stored_cases()) {
    CAPTURE(s.name);
    CHECK(weakly::coding_rate(s.input.features(), {.eps_squared = s.eps_squared}).rate ==
          doctest::Approx(s.rate).epsilon(1e-10));
  }
}

TEST_CASE("coding_rate has the gradients of the definition, for any number of rows and features") {
  for (const auto& [n, d] : {std::pair<index_t, index_t>{9, 5}, {1, 6}, {6, 1}, {20, 33}, {33, 32}, {140, 17}}) {
    CAPTURE(n);
    CAPTURE(d);
    oracle::data a = oracle::make_data(n, d, 2, unsigned(n));
    reals grad(a.z.size());
    const auto r = weakly::coding_rate(a.features(), rows(grad, d), {.eps_squared = 0.3});
    CHECK(r.rate == doctest::Approx(double(oracle::rate(a, 0.3))).epsilon(1e-13));
    for (std::size_t e = 0; e < a.z.size(); e += a.z.size() / 5 + 1)
      CHECK(std::abs(oracle::slope(a.z[e], [&] { return oracle::rate(a, 0.3); }) - grad[e]) < 2e-8);
    double eps = 0.3;
    CHECK(std::abs(oracle::slope(eps, [&] { return oracle::rate(a, eps); }) - r.eps_squared_grad) < 2e-8);
    const auto value = weakly::coding_rate(a.features(), {.eps_squared = 0.3, .eps_squared_grad = true});
    CHECK(value.rate == r.rate);
    CHECK(value.eps_squared_grad == doctest::Approx(r.eps_squared_grad).epsilon(1e-13));
  }
}

TEST_CASE("coding_rate of wide data is that of its transpose, scaled") {
  // log det(I_d + a Z'Z) = log det(I_n + a ZZ'): with a = d / (n eps^2), so eps^2 (d / n)^2 for the transpose.
  const oracle::data a = oracle::make_data(30, 70, 2, 5);
  const auto across = weakly::view(a.z.data(), 70, 30, 1, 70);
  const double there = weakly::coding_rate(a.features(), {.eps_squared = 0.5}).rate,
               back = weakly::coding_rate(across, {.eps_squared = 0.5 * 9 / 49}).rate;
  CHECK(there == doctest::Approx(back).epsilon(1e-13));
  // Its bound by the spectrum's mean, and growth with the scale.
  CHECK(there <= 70 / 2.0 * std::log(1 + 30 / (30 * 0.5)));
}

TEST_CASE_TEMPLATE("coding_rate has the same bits for every executor and layout", T, float, double) {
  for (const auto& [n, d] : {std::pair<index_t, index_t>{700, 40}, {20, 45}}) {
    const oracle::data a = oracle::make_data(n, d, 2, 7);
    const std::vector<T> z(a.z.begin(), a.z.end());
    std::vector<T> grad(z.size()), threaded(z.size()), column(z.size()), by_column(z.size());
    for (index_t i = 0; i < n; ++i)
      for (index_t j = 0; j < d; ++j) column[std::size_t(j * n + i)] = z[std::size_t(i * d + j)];
    weakly::thread_pool pool(3);
    const auto first = weakly::coding_rate(weakly::view(z.data(), n, d), weakly::view(grad.data(), n, d));
    const auto second = weakly::coding_rate(pool, weakly::view(z.data(), n, d), weakly::view(threaded.data(), n, d));
    const auto third =
        weakly::coding_rate(weakly::view(column.data(), n, d, 1, n), weakly::view(by_column.data(), n, d, 1, n));
    CHECK(first.rate == second.rate);
    CHECK(first.rate == third.rate);
    CHECK(oracle::same_bits(grad, threaded));
    std::size_t differing = 0;
    for (index_t i = 0; i < n; ++i)
      for (index_t j = 0; j < d; ++j) differing += grad[std::size_t(i * d + j)] != by_column[std::size_t(j * n + i)];
    CHECK(differing == 0);
  }
}

TEST_CASE("coding_rate of bfloat16 features is that of the same numbers in float") {
  const oracle::data a = oracle::make_data(50, 12, 2, 9);
  std::vector<weakly::bfloat16> z;
  std::vector<float> same;
  for (const double x : a.z) {
    z.emplace_back(static_cast<float>(x));
    same.push_back(static_cast<float>(z.back()));
  }
  CHECK(weakly::coding_rate(weakly::view(z.data(), 50, 12)).rate ==
        weakly::coding_rate(weakly::view(same.data(), 50, 12)).rate);
}

TEST_CASE("coding_rate takes no rows and no features, and refuses what is no number") {
  reals none, z{1, 2, 3, 4}, small(2);
  CHECK(weakly::coding_rate(weakly::view(none.data(), 0, 4), weakly::view(none.data(), 0, 4)).rate == 0);
  CHECK(weakly::coding_rate(weakly::view(none.data(), 4, 0)).rate == 0);
  CHECK_THROWS_AS(weakly::coding_rate(rows(z, 2), rows(small, 2)), weakly::shape_error);
  for (const double bad : {0.0, -0.5, std::nan(""), HUGE_VAL})
    CHECK_THROWS_AS(weakly::coding_rate(rows(z, 2), {.eps_squared = bad}), weakly::option_error);
  for (const index_t d : {1, 2, 4}) {
    z[2] = std::nan("");
    CHECK_THROWS_AS(weakly::coding_rate(rows(z, d)), weakly::value_error);
    z[2] = -HUGE_VAL;
    CHECK_THROWS_AS(weakly::coding_rate(rows(z, d)), weakly::value_error);
  }
}
