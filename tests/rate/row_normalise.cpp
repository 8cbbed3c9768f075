// SPDX-License-Identifier: MIT
#include "coding_rate_oracle.hpp"

#include <weakly/exec/thread_pool.hpp>
#include <weakly/rate/row_normalise.hpp>

#include <cmath>
#include <vector>

namespace oracle = coding_rate_oracle;
using oracle::index_t;
using oracle::reals;
using weakly::row_norm;

namespace {

auto rows(reals& v, index_t k) { return weakly::view(v.data(), index_t(v.size()) / k, k); }

}  // namespace

TEST_CASE("row_normalise of one row") {
  reals x{3, -4}, out(2);
  CHECK(weakly::row_normalise(rows(x, 2), row_norm::l2, rows(out, 2)).ok());
  CHECK(out[0] == doctest::Approx(0.6).epsilon(1e-15));
  CHECK(out[1] == doctest::Approx(-0.8).epsilon(1e-15));
  weakly::row_normalise(rows(x, 2), row_norm::l1, rows(out, 2));
  CHECK(out[0] == doctest::Approx(3.0 / 7).epsilon(1e-15));
  weakly::row_normalise(rows(x, 2), row_norm::none, rows(out, 2));
  CHECK(out == x);
  weakly::row_normalise(rows(x, 2), row_norm::l2, rows(x, 2));  // in place
  CHECK(x[0] == doctest::Approx(0.6).epsilon(1e-15));
}

TEST_CASE("row_normalise takes zeros, NaN and rows of any scale") {
  reals x{0, 0, 1, std::nan(""), 1e300, 1e300, 3e-310, 4e-310, HUGE_VAL, 1}, out(10), grad(10, 1.0), x_grad(10);
  CHECK(weakly::row_normalise(rows(x, 2), row_norm::l2, rows(out, 2)) == weakly::status{0, 1});
  CHECK(out[0] == 0);
  CHECK(std::isnan(out[2]));
  CHECK(out[4] == doctest::Approx(std::sqrt(0.5)).epsilon(1e-15));
  CHECK(out[6] == doctest::Approx(0.6).epsilon(1e-12));
  CHECK(std::isnan(out[8]));
  weakly::row_normalise_gradient(rows(x, 2), row_norm::l2, rows(grad, 2), rows(x_grad, 2));
  CHECK(x_grad[0] == 0);
  CHECK(std::isnan(x_grad[3]));
  CHECK(std::abs(x_grad[4]) < 1e-310);
  CHECK(std::isnan(x_grad[8]));
}

TEST_CASE("row_normalise_gradient is the derivative of row_normalise") {
  const oracle::data a = oracle::make_data(3, 7, 2, 1), b = oracle::make_data(3, 7, 2, 2);
  for (const auto how : {row_norm::none, row_norm::l1, row_norm::l2}) {
    reals x = a.z, out(x.size()), got(x.size());
    for (double& e : x) e *= 3;
    weakly::row_normalise_gradient(rows(x, 7), how, b.features(), rows(got, 7));
    for (std::size_t e = 0; e < x.size(); e += 3) {
      const double want = oracle::slope(
          x[e],
          [&] {
            weakly::row_normalise(rows(x, 7), how, rows(out, 7));
            long double sum = 0;
            for (std::size_t i = 0; i < out.size(); ++i) sum += static_cast<long double>(out[i]) * b.z[i];
            return sum;
          },
          1e-5);
      CHECK(std::abs(got[e] - want) < 1e-9);
    }
  }
}

TEST_CASE("row_normalise has the same bits for every executor and layout") {
  const index_t n = 300, d = 600;
  const oracle::data a = oracle::make_data(n, d, 2, 3);
  reals out(a.z.size()), threaded(a.z.size()), column(a.z.size()), by_column(a.z.size()), grad(a.z.size()),
      other(a.z.size());
  for (index_t i = 0; i < n; ++i)
    for (index_t j = 0; j < d; ++j) column[std::size_t(j * n + i)] = a.z[std::size_t(i * d + j)];
  weakly::thread_pool pool(3);
  const auto columns = [&](reals& v) { return weakly::view(v.data(), n, d, 1, n); };
  weakly::row_normalise(a.features(), row_norm::l2, rows(out, d));
  weakly::row_normalise(pool, a.features(), row_norm::l2, rows(threaded, d));
  weakly::row_normalise(columns(column), row_norm::l2, columns(by_column));
  weakly::row_normalise_gradient(a.features(), row_norm::l1, a.features(), rows(grad, d));
  weakly::row_normalise_gradient(pool, columns(column), row_norm::l1, columns(column), rows(other, d));
  CHECK(oracle::same_bits(out, threaded));
  CHECK(oracle::same_bits(grad, other));
  std::size_t differing = 0;
  for (index_t i = 0; i < n; ++i)
    for (index_t j = 0; j < d; ++j) differing += out[std::size_t(i * d + j)] != by_column[std::size_t(j * n + i)];
  CHECK(differing == 0);
}

TEST_CASE("row_normalise refuses shapes that disagree, and takes no rows") {
  reals x(6), small(4), none;
  CHECK_THROWS_AS(weakly::row_normalise(rows(x, 3), row_norm::l2, rows(small, 2)), weakly::shape_error);
  CHECK_THROWS_AS(weakly::row_normalise_gradient(rows(x, 3), row_norm::l2, rows(small, 2), rows(x, 3)),
                  weakly::shape_error);
  CHECK(weakly::row_normalise(weakly::view(none.data(), 0, 3), row_norm::l1, weakly::view(none.data(), 0, 3)).ok());
}

TEST_CASE("row_normalise by no norm leaves what is no number where it is") {
  reals x{std::nan(""), 1, 2, 3}, out(4);
  weakly::row_normalise(rows(x, 2), row_norm::none, rows(out, 2));
  CHECK(std::isnan(out[0]));
  CHECK(out[1] == 1);
  weakly::row_normalise_gradient(rows(x, 2), row_norm::none, rows(x, 2), rows(out, 2));
  CHECK(out[1] == 1);
}
