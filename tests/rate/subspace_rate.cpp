// SPDX-License-Identifier: MIT
#include "coding_rate_oracle.hpp"

#include <weakly/exec/thread_pool.hpp>
#include <weakly/rate/subspace_rate.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <vector>

using namespace coding_rate_oracle;
using weakly::discard;
using weakly::seq;
using weakly::subspace_rate;

namespace {

struct subspaces {
  data features;
  index_t k = 0, p = 0;
  reals u;  // d x k p

  auto bases() const { return weakly::view(u.data(), features.d, k * p); }
  weakly::covariance_accumulator covariance() const {
    weakly::covariance_accumulator c(features.k, features.d);
    c.add_block(features.features(), features.hard());
    return c;
  }
};

subspaces draw(index_t n, index_t d, index_t k, index_t p, unsigned seed) {
  subspaces s{make_data(n, d, 3, seed), k, p, reals(std::size_t(d * k * p))};
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal(0, 0.5);
  for (double& x : s.u) x = normal(random);
  return s;
}

long double exact(const subspaces& s, double eps_squared) {
  const auto c = covariance(s.features, -1);
  long double sum = 0;
  for (index_t j = 0; j < s.k && s.p > 0; ++j) {
    std::vector<long double> g(std::size_t(s.p * s.p));
    for (index_t a = 0; a < s.p; ++a)
      for (index_t b = 0; b < s.p; ++b)
        for (index_t x = 0; x < s.features.d; ++x)
          for (index_t y = 0; y < s.features.d; ++y)
            g[std::size_t(a * s.p + b)] += static_cast<long double>(s.u[std::size_t(x * s.k * s.p + j * s.p + a)]) *
                                           c[std::size_t(x * s.features.d + y)] *
                                           s.u[std::size_t(y * s.k * s.p + j * s.p + b)];
    sum += rate_of(g, s.p, static_cast<long double>(s.p) / (static_cast<long double>(s.features.n) * eps_squared));
  }
  return sum;
}

struct gradients {
  double value;
  reals features, bases;
};
gradients at(const subspaces& s, double eps_squared) {
  gradients g{0, reals(s.features.z.size(), -1), reals(s.u.size(), -1)};
  g.value = subspace_rate(s.features.features(), s.bases(), s.k, eps_squared,
                          weakly::view(g.features.data(), s.features.n, s.features.d),
                          weakly::view(g.bases.data(), s.features.d, s.k * s.p));
  return g;
}

}  // namespace

TEST_CASE("subspace_rate of two lines worked by hand") {
  // n = 2, eps_squared = 0.5, p = 1: a = 1; Z U = (1, 2), (3, 4), so N = 1 + 10 and 1 + 20.
  subspaces s{make_data(2, 2, 1, 1), 2, 1, {1, 0, 0, 1}};
  s.features.z = {1, 2, 3, 4};
  const gradients g = at(s, 0.5);
  CHECK(g.value == doctest::Approx((std::log(11.0) + std::log(21.0)) / 2));
  CHECK(g.features[2] == doctest::Approx(3.0 / 11));
  CHECK(g.features[3] == doctest::Approx(4.0 / 21));
  CHECK(g.bases[0] == doctest::Approx((1.0 + 9) / 11));
  CHECK(g.bases[1] == doctest::Approx((1.0 * 2 + 3 * 4) / 21));
}

TEST_CASE("subspace_rate agrees with its definition, from features and from their covariance") {
  struct shape {
    index_t n, d, k, p;
  };
  for (const shape& of : {shape{40, 9, 3, 2}, shape{5, 12, 2, 4}, shape{150, 33, 4, 17}, shape{70, 4, 1, 4},
                          shape{20, 3, 2, 5}, shape{130, 40, 2, 36}}) {
    CAPTURE(of.d);
    const subspaces s = draw(of.n, of.d, of.k, of.p, 3);
    for (const double eps_squared : {0.5, 0.01}) {
      const gradients g = at(s, eps_squared);
      CHECK(g.value == doctest::Approx(double(exact(s, eps_squared))).epsilon(1e-12));
      reals bases(s.u.size());
      CHECK(subspace_rate(s.covariance(), s.bases(), s.k, eps_squared, weakly::view(bases.data(), of.d, of.k * of.p)) ==
            doctest::Approx(g.value).epsilon(1e-12));
      for (std::size_t e = 0; e < bases.size(); ++e) CHECK(std::abs(bases[e] - g.bases[e]) <= 1e-10);
    }
  }
}

TEST_CASE("subspace_rate has the gradients that central differences have") {
  for (const index_t p : {1, 3}) {
    subspaces s = draw(12, 7, 2, p, 5);
    const double eps_squared = 0.2;
    const gradients g = at(s, eps_squared);
    const auto value = [&] { return exact(s, eps_squared); };
    for (std::size_t e = 0; e < s.features.z.size(); ++e)
      CHECK(g.features[e] == doctest::Approx(slope(s.features.z[e], value)).epsilon(1e-7));
    for (std::size_t e = 0; e < s.u.size(); ++e)
      CHECK(g.bases[e] == doctest::Approx(slope(s.u[e], value)).epsilon(1e-7));
  }
}

TEST_CASE("subspace_rate in one subspace that is everything is the coding rate") {
  subspaces s = draw(50, 6, 1, 6, 7);
  std::fill(s.u.begin(), s.u.end(), 0.0);
  for (index_t f = 0; f < 6; ++f) s.u[std::size_t(f * 6 + f)] = 1;
  CHECK(at(s, 0.5).value == doctest::Approx(double(rate(s.features, 0.5))).epsilon(1e-13));
  CHECK(at(s, 0.5).value == doctest::Approx(s.covariance().rate(0.5)).epsilon(1e-13));
}

TEST_CASE("subspace_rate depends on the subspaces alone: any orthonormal basis of one gives the same") {
  subspaces s = draw(30, 5, 2, 2, 9);
  const double before = at(s, 0.3).value;
  for (index_t f = 0; f < 5; ++f) {  // turns the basis of the second
    double &x = s.u[std::size_t(f * 4 + 2)], &y = s.u[std::size_t(f * 4 + 3)];
    const double c = std::cos(0.7), t = std::sin(0.7), turned = c * x - t * y;
    y = t * x + c * y;
    x = turned;
  }
  CHECK(at(s, 0.3).value == doctest::Approx(before).epsilon(1e-13));
}

TEST_CASE_TEMPLATE("subspace_rate has the same bits for every executor, layout and place", T, float, double) {
  const subspaces s = draw(200, 21, 3, 5, 11);
  const index_t n = 200, d = 21, q = 15;
  std::vector<T> z(s.features.z.begin(), s.features.z.end()), u(s.u.begin(), s.u.end()), z_columns(z.size()),
      u_columns(u.size()), gz(z.size()), gu(u.size());
  for (index_t i = 0; i < n; ++i)
    for (index_t f = 0; f < d; ++f) z_columns[std::size_t(f * n + i)] = z[std::size_t(i * d + f)];
  for (index_t f = 0; f < d; ++f)
    for (index_t l = 0; l < q; ++l) u_columns[std::size_t(l * d + f)] = u[std::size_t(f * q + l)];
  weakly::thread_pool pool(3);
  const double one =
      subspace_rate(seq, weakly::view(z_columns.data(), n, d, 1, n), weakly::view(u_columns.data(), d, q, 1, d), 3, 0.5,
                    weakly::view(gz.data(), n, d), weakly::view(gu.data(), d, q));
  const auto z_view = weakly::view(z.data(), n, d), u_view = weakly::view(u.data(), d, q);
  CHECK(subspace_rate(z_view, u_view, 3, 0.5, discard, discard) == one);
  CHECK(subspace_rate(pool, s.covariance(), s.bases(), 3, 0.5, discard) ==
        subspace_rate(seq, s.covariance(), s.bases(), 3, 0.5, discard));
  CHECK(subspace_rate(pool, z_view, u_view, 3, 0.5, z_view, u_view) == one);
  CHECK(same_bits(z, gz));
  CHECK(same_bits(u, gu));
}

TEST_CASE("subspace_rate of no rows or no columns is 0") {
  subspaces s = draw(4, 3, 2, 2, 1);
  s.features.n = 0;
  s.features.z.clear();
  s.features.label.clear();
  gradients g = at(s, 0.5);
  CHECK(g.value == 0);
  CHECK(g.bases == reals(12));
  CHECK(subspace_rate(s.covariance(), s.bases(), 2, 0.5, discard) == 0);
  s = draw(4, 3, 2, 0, 1);
  g = at(s, 0.5);
  CHECK(g.value == 0);
  CHECK(g.features == reals(12));
  CHECK(subspace_rate(s.covariance(), s.bases(), 2, 0.5, discard) == 0);
  const double* const nothing = nullptr;
  CHECK(subspace_rate(weakly::view(nothing, 4, 0), weakly::view(nothing, 0, 4), 2, 0.5, discard, discard) == 0);
}

TEST_CASE("subspace_rate refuses what does not fit and writes nothing then") {
  subspaces s = draw(6, 4, 2, 3, 2);
  reals g(24);
  const auto to = weakly::view(g.data(), 6, 4), to_bases = weakly::view(g.data(), 4, 6);
  const auto run = [&](index_t k, double eps_squared) {
    subspace_rate(s.features.features(), s.bases(), k, eps_squared, to, discard);
  };
  for (const double bad : {0.0, -1.0, std::nan(""), std::numeric_limits<double>::infinity()})
    CHECK_THROWS_AS(run(2, bad), weakly::option_error);
  CHECK_THROWS_AS(run(0, 0.5), weakly::option_error);
  CHECK_THROWS_AS(run(4, 0.5), weakly::shape_error);
  CHECK_THROWS_AS(subspace_rate(s.features.features(), weakly::view(s.u.data(), 3, 8), 2, 0.5, to, discard),
                  weakly::shape_error);
  CHECK_THROWS_AS(subspace_rate(s.features.features(), s.bases(), 2, 0.5, to_bases, discard), weakly::shape_error);
  CHECK_THROWS_AS(subspace_rate(s.features.features(), s.bases(), 2, 0.5, discard, to), weakly::shape_error);
  weakly::covariance_accumulator c = s.covariance();
  c.state()[6] = std::nan("");
  CHECK_THROWS_AS(subspace_rate(c, s.bases(), 2, 0.5, discard), weakly::value_error);
  s.features.z[9] = 1e200;
  CHECK_THROWS_AS(run(2, 0.5), weakly::value_error);
  s.features.z[9] = std::nan("");
  CHECK_THROWS_AS(run(2, 0.5), weakly::value_error);
  s.features.z[9] = 0;
  s.u[7] = std::numeric_limits<double>::infinity();
  CHECK_THROWS_AS(run(2, 0.5), weakly::value_error);
  CHECK(g == reals(24));
}
