// SPDX-License-Identifier: MIT
#include "coding_rate_oracle.hpp"

#include <weakly/exec/thread_pool.hpp>
#include <weakly/rate/variational_rate.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <span>
#include <vector>

using namespace coding_rate_oracle;
using weakly::covariance_accumulator;
using weakly::covariance_scale;
using weakly::discard;
using weakly::latch_dictionary;
using weakly::seq;
using weakly::variational_rate;
using weakly::variational_rate_features;
using weakly::variational_rate_options;
using weakly::variational_rate_terms;

namespace {

struct fit {
  data features;
  index_t q = 0;
  reals gamma, a;  // d x q, k x q

  auto dictionary() const { return weakly::view(gamma.data(), features.d, q); }
  auto coefficients() const { return weakly::view(a.data(), features.k, q); }
  covariance_accumulator covariance() const {
    covariance_accumulator c(features.k, features.d);
    c.add_block(features.features(), features.soft());
    return c;
  }
};

// A dictionary that fits nothing, with some coefficients of zero.
fit draw(index_t n, index_t d, index_t k, index_t q, unsigned seed, bool soft = false) {
  fit f{make_data(n, d, k, seed, soft), q, reals(std::size_t(d * q)), reals(std::size_t(k * q))};
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  for (double& x : f.gamma) x = normal(random);
  for (index_t l = 0; l < q; ++l) {
    double length = 0;
    for (index_t i = 0; i < d; ++i) length += std::pow(f.gamma[std::size_t(i * q + l)], 2);
    for (index_t i = 0; i < d; ++i) f.gamma[std::size_t(i * q + l)] /= std::sqrt(length);
  }
  for (double& x : f.a) x = std::max(0.0, normal(random)) * 0.3;
  return f;
}

fit latched(const data& x, index_t p, covariance_scale scale) {
  fit f{x, x.k * p, reals(std::size_t(x.d * x.k * p), -1), reals(std::size_t(x.k * x.k * p), -1)};
  latch_dictionary(f.covariance(), weakly::view(f.gamma.data(), x.d, f.q), weakly::view(f.a.data(), x.k, f.q), scale);
  return f;
}

// As the definition has it.
struct terms {
  long double rate = 0, penalty = 0;
};
terms exact(const fit& f, const variational_rate_options& o) {
  terms t;
  const index_t d = f.features.d;
  for (index_t j = 0; j < f.features.k; ++j) {
    const long double w = weight(f.features, j), s = o.scale == covariance_scale::none ? 1 : 1 / w;
    if (w == 0) continue;
    auto e = covariance(f.features, j);
    for (long double& x : e) x *= s;
    for (index_t l = 0; l < f.q; ++l) {
      const long double a = f.a[std::size_t(j * f.q + l)];
      t.rate += w / (2 * f.features.n) * std::log1p(static_cast<long double>(d) / o.eps_squared / (w * s) * a);
      for (index_t x = 0; x < d; ++x)
        for (index_t y = 0; y < d; ++y)
          e[std::size_t(x * d + y)] -= a * f.gamma[std::size_t(x * f.q + l)] * f.gamma[std::size_t(y * f.q + l)];
    }
    for (const long double x : e) t.penalty += static_cast<long double>(o.penalty) / 2 * x * x;
  }
  return t;
}

struct gradients {
  variational_rate_terms value;
  reals dictionary, coefficients;
};
gradients at(const fit& f, const variational_rate_options& o) {
  gradients g{{}, reals(f.gamma.size(), -1), reals(f.a.size(), -1)};
  g.value = variational_rate(f.covariance(), f.dictionary(), f.coefficients(),
                             weakly::view(g.dictionary.data(), f.features.d, f.q),
                             weakly::view(g.coefficients.data(), f.features.k, f.q), o);
  return g;
}

const variational_rate_options both_scales[] = {{.eps_squared = 0.3, .penalty = 0.7},
                                                {.eps_squared = 0.3, .penalty = 0.7, .scale = covariance_scale::none}};

}  // namespace

TEST_CASE("variational_rate of one class and one column worked by hand") {
  // C = diag(4, 1) of two rows, scaled diag(2, 1/2); Gamma = e_1, A = 3; d / eps_squared = 4.
  fit f{make_data(2, 2, 1, 1), 1, {1, 0}, {3}};
  f.features.z = {2, 0, 0, 1};
  const gradients g = at(f, {.eps_squared = 0.5, .penalty = 2});
  CHECK(g.value.rate == doctest::Approx(std::log(13.0) / 2));
  CHECK(g.value.penalty == doctest::Approx(1 + 0.25));
  CHECK(g.dictionary[0] == doctest::Approx(-2.0 * 2 * -1 * 3));
  CHECK(g.coefficients[0] == doctest::Approx(0.5 * 4 / 13 + 2));
  const gradients raw = at(f, {.eps_squared = 0.5, .penalty = 2, .scale = covariance_scale::none});
  CHECK(raw.value.rate == doctest::Approx(std::log(7.0) / 2));
  CHECK(raw.value.penalty == doctest::Approx(1 + 1));
}

TEST_CASE("variational_rate agrees with its definition") {
  for (const bool soft : {false, true})
    for (const auto& options : both_scales)
      for (const index_t q : {1, 7, 150}) {
        const fit f = draw(60, 18, 3, q, 2, soft);
        const gradients g = at(f, options);
        const terms want = exact(f, options);
        CHECK(g.value.rate == doctest::Approx(double(want.rate)).epsilon(1e-12));
        CHECK(g.value.penalty == doctest::Approx(double(want.penalty)).epsilon(1e-12));
        CHECK(variational_rate(f.covariance(), f.dictionary(), f.coefficients(), discard, discard, options).penalty ==
              g.value.penalty);
      }
}

TEST_CASE("variational_rate has the gradients that central differences have") {
  for (const bool soft : {false, true})
    for (const auto& options : both_scales) {
      fit f = draw(14, 5, 3, 4, 3, soft);
      for (double& x : f.a) x += 0.05;  // so that both sides of each are coefficients
      const gradients g = at(f, options);
      const auto value = [&] {
        const terms t = exact(f, options);
        return t.rate + t.penalty;
      };
      for (std::size_t e = 0; e < f.gamma.size(); ++e)
        CHECK(g.dictionary[e] == doctest::Approx(slope(f.gamma[e], value)).epsilon(1e-7));
      for (std::size_t e = 0; e < f.a.size(); ++e)
        CHECK(g.coefficients[e] == doctest::Approx(slope(f.a[e], value)).epsilon(1e-7));
      reals features(f.features.z.size());
      const auto to = weakly::view(features.data(), 14, 5);
      variational_rate_features(seq, f.covariance(), f.dictionary(), f.coefficients(), f.features.features(),
                                f.features.soft(), to, options);
      for (std::size_t e = 0; e < features.size(); ++e)
        CHECK(features[e] == doctest::Approx(slope(f.features.z[e], value)).epsilon(1e-6));
      if (soft) continue;
      reals hard(features.size());
      variational_rate_features(seq, f.covariance(), f.dictionary(), f.coefficients(), f.features.features(),
                                f.features.hard(), weakly::view(hard.data(), 14, 5), options);
      for (std::size_t e = 0; e < features.size(); ++e) CHECK(hard[e] == doctest::Approx(features[e]).epsilon(1e-13));
    }
}

TEST_CASE("variational_rate equals R_c where all directions are latched, and is below it with fewer") {
  for (const auto& options : both_scales) {
    const data x = make_data(50, 8, 3, 4);
    const double want = double(rate_of_classes(x, options.eps_squared));
    double before = 0;
    for (const index_t p : {1, 3, 7, 8}) {
      const gradients g = at(latched(x, p, options.scale), options);
      CHECK(g.value.rate > before);
      CHECK(g.value.rate <= want * (1 + 1e-13));
      before = g.value.rate;
      if (p < 8) {
        CHECK(g.value.penalty > 1e-6);
        continue;
      }
      CHECK(g.value.rate == doctest::Approx(want).epsilon(1e-13));
      CHECK(g.value.penalty < 1e-25);
    }
  }
  for (const stored& s : stored_cases()) {
    CAPTURE(s.name);
    const fit f = latched(s.input, s.input.d, covariance_scale::class_size);
    CHECK(at(f, {.eps_squared = s.eps_squared}).value.rate == doctest::Approx(s.classes).epsilon(1e-9));
  }
}

TEST_CASE("variational_rate is above R_c where the fit is exact, whatever the angles between columns of unit length") {
  for (unsigned seed = 0; seed < 20; ++seed)
    for (const auto& options : both_scales) {
      fit f = draw(40, 6, 2, 9, seed);
      covariance_accumulator c = f.covariance();
      for (index_t j = 0; j < 2; ++j) {
        const double s = options.scale == covariance_scale::none ? 1 : c.weights()[std::size_t(j)];
        double* to = c.state().data() + 3 + j * 21;
        for (index_t x = 0; x < 6; ++x)
          for (index_t y = 0; y <= x; ++y, ++to) {
            *to = 0;
            for (index_t l = 0; l < 9; ++l)
              *to +=
                  s * f.a[std::size_t(j * 9 + l)] * f.gamma[std::size_t(x * 9 + l)] * f.gamma[std::size_t(y * 9 + l)];
          }
      }
      const variational_rate_terms t = variational_rate(c, f.dictionary(), f.coefficients(), discard, discard, options);
      CHECK(t.penalty < 1e-20);
      CHECK(t.rate >= c.rate_classes(options.eps_squared).class_rate);
    }
}

TEST_CASE("latch_dictionary gives orthonormal columns and the residual that no other fit of as many improves on") {
  const data x = make_data(80, 9, 3, 6);
  const fit f = latched(x, 2, covariance_scale::class_size);
  const covariance_accumulator c = f.covariance();
  double want = 0;
  for (index_t j = 0; j < 3; ++j) {
    const std::vector<double> s = c.spectrum(j);
    const double w = c.weights()[std::size_t(j)];
    for (index_t r = 0; r < 9; ++r) {
      if (r < 2)
        CHECK(f.a[std::size_t(j * 6 + j * 2 + r)] == doctest::Approx(s[std::size_t(r)] / w).epsilon(1e-13));
      else
        want += std::pow(s[std::size_t(r)] / w, 2) / 2;
    }
    double square = 0, along = 0;
    for (index_t i = 0; i < 9; ++i) {
      square += std::pow(f.gamma[std::size_t(i * 6 + 2 * j)], 2);
      along += f.gamma[std::size_t(i * 6 + 2 * j)] * f.gamma[std::size_t(i * 6 + 2 * j + 1)];
    }
    CHECK(square == doctest::Approx(1).epsilon(1e-14));
    CHECK(std::abs(along) < 1e-14);
  }
  CHECK(at(f, {}).value.penalty == doctest::Approx(want).epsilon(1e-11));
  CHECK(std::count(f.a.begin(), f.a.end(), 0.0) == 12);
}

TEST_CASE_TEMPLATE("variational_rate has the same bits for every executor, layout and place", T, float, double) {
  fit f = draw(150, 35, 4, 70, 7);
  const index_t n = 150, d = 35, k = 4, q = 70;
  std::vector<T> gamma(f.gamma.begin(), f.gamma.end()), a(f.a.begin(), f.a.end()), columns(gamma.size()),
      g(gamma.size()), h(a.size()), z(f.features.z.begin(), f.features.z.end()), gz(z.size());
  for (index_t i = 0; i < d; ++i)
    for (index_t l = 0; l < q; ++l) columns[std::size_t(l * d + i)] = gamma[std::size_t(i * q + l)];
  const covariance_accumulator c = f.covariance();
  const auto in_columns = weakly::view(columns.data(), d, q, 1, d);
  const auto in_rows = weakly::view(gamma.data(), d, q), coefficients = weakly::view(a.data(), k, q);
  const auto features = weakly::view(z.data(), n, d);
  weakly::thread_pool pool(3);
  variational_rate_features(pool, c, in_rows, coefficients, features, f.features.hard(), weakly::view(gz.data(), n, d));
  variational_rate_features(seq, c, in_columns, coefficients, features, f.features.hard(), features);
  CHECK(same_bits(z, gz));
  const auto one =
      variational_rate(seq, c, in_columns, coefficients, weakly::view(g.data(), d, q), weakly::view(h.data(), k, q));
  const auto two = variational_rate(pool, c, in_rows, coefficients, in_rows, coefficients);
  CHECK(one.rate == two.rate);
  CHECK(one.penalty == two.penalty);
  CHECK(same_bits(gamma, g));
  CHECK(same_bits(a, h));
  latch_dictionary(pool, c, weakly::view(g.data(), d, 68), weakly::view(h.data(), k, 68));
  latch_dictionary(c, weakly::view(columns.data(), d, 68, 1, d), weakly::view(a.data(), k, 68));
  for (index_t i = 0; i < d; ++i)
    for (index_t l = 0; l < 68; ++l) CHECK(columns[std::size_t(l * d + i)] == g[std::size_t(i * 68 + l)]);
  CHECK(std::equal(a.begin(), a.begin() + k * 68, h.begin()));
}

TEST_CASE("variational_rate: a class without weight adds nothing, and neither do no rows and no columns") {
  fit f = draw(20, 4, 3, 5, 8);
  for (index_t i = 0; i < 20; ++i)
    if (f.features.label[std::size_t(i)] == 1) {
      f.features.label[std::size_t(i)] = 0;
      f.features.pi[std::size_t(i * 3 + 1)] = 0;
      f.features.pi[std::size_t(i * 3)] = 1;
    }
  const gradients g = at(f, {});
  CHECK(g.value.rate == doctest::Approx(double(exact(f, {}).rate)));
  for (std::size_t l = 5; l < 10; ++l) CHECK(g.coefficients[l] == 0);
  reals gz(80, 1.0);
  std::vector<int> label(20, 1);
  CHECK_THROWS_AS(
      variational_rate_features(seq, f.covariance(), f.dictionary(), f.coefficients(), f.features.features(),
                                weakly::membership_view::hard(label, 3), weakly::view(gz.data(), 20, 4)),
      weakly::value_error);
  CHECK(gz == reals(80, 1.0));
  const fit with_empty = latched(f.features, 2, covariance_scale::class_size);
  CHECK(with_empty.a[std::size_t(6 + 2)] == 0);
  CHECK(at(with_empty, {}).coefficients[std::size_t(6 + 2)] == 0);

  f = draw(20, 4, 3, 0, 8);
  const gradients empty = at(f, {.penalty = 3});
  CHECK(empty.value.rate == 0);
  CHECK(empty.value.penalty == doctest::Approx(double(exact(f, {.penalty = 3}).penalty)));

  f = draw(20, 4, 3, 5, 8);
  const variational_rate_terms none =
      variational_rate(covariance_accumulator(3, 4), f.dictionary(), f.coefficients(), discard, discard);
  CHECK(none.rate == 0);
  CHECK(none.penalty == 0);
}

TEST_CASE("variational_rate refuses what does not fit and writes nothing then") {
  const double inf = std::numeric_limits<double>::infinity();
  fit f = draw(20, 4, 3, 5, 8);
  const covariance_accumulator c = f.covariance();
  reals g(20), h(15);
  const auto to = weakly::view(g.data(), 4, 5), to_coefficients = weakly::view(h.data(), 3, 5);
  const auto run = [&](const variational_rate_options& options) {
    variational_rate(c, f.dictionary(), f.coefficients(), to, to_coefficients, options);
  };
  for (const double bad : {0.0, -1.0, std::nan(""), inf})
    CHECK_THROWS_AS(run({.eps_squared = bad}), weakly::option_error);
  for (const double bad : {-1.0, std::nan(""), inf}) CHECK_THROWS_AS(run({.penalty = bad}), weakly::option_error);
  CHECK_THROWS_AS(variational_rate(c, f.dictionary(), weakly::view(f.a.data(), 5, 3), to, discard),
                  weakly::shape_error);
  CHECK_THROWS_AS(variational_rate(c, weakly::view(f.gamma.data(), 5, 4), f.coefficients(), discard, discard),
                  weakly::shape_error);
  CHECK_THROWS_AS(variational_rate(c, f.dictionary(), f.coefficients(), to_coefficients, discard), weakly::shape_error);
  CHECK_THROWS_AS(variational_rate(c, f.dictionary(), f.coefficients(), discard, to), weakly::shape_error);
  for (const double bad : {-1e-300, std::nan(""), inf}) {
    fit broken = f;
    broken.a[7] = bad;
    CHECK_THROWS_AS(variational_rate(c, broken.dictionary(), broken.coefficients(), to, to_coefficients),
                    weakly::value_error);
  }
  fit broken = f;
  broken.gamma[3] = std::nan("");
  CHECK_THROWS_AS(variational_rate(c, broken.dictionary(), broken.coefficients(), to, to_coefficients),
                  weakly::value_error);
  covariance_accumulator overflown = c;
  overflown.state()[5] = inf;
  CHECK_THROWS_AS(variational_rate(overflown, f.dictionary(), f.coefficients(), to, to_coefficients),
                  weakly::value_error);
  CHECK_THROWS_AS(latch_dictionary(overflown, weakly::view(g.data(), 4, 3), weakly::view(h.data(), 3, 3)),
                  weakly::value_error);
  CHECK_THROWS_AS(latch_dictionary(c, to, to_coefficients), weakly::shape_error);  // 5 columns for 3 classes
  reals wide(60), rows(45);
  CHECK_THROWS_AS(latch_dictionary(c, weakly::view(wide.data(), 4, 15), weakly::view(rows.data(), 3, 15)),
                  weakly::shape_error);  // 5 of 4 directions
  reals z = f.features.z;
  const auto in_place = weakly::view(z.data(), 20, 4);
  z[5] = std::nan("");
  const reals before = z;
  CHECK_THROWS_AS(
      variational_rate_features(seq, c, f.dictionary(), f.coefficients(), in_place, f.features.hard(), in_place),
      weakly::value_error);
  CHECK(same_bits(z, before));
  CHECK(g == reals(20));
  CHECK(h == reals(15));
}

TEST_CASE("variational_rate and latch_dictionary never return what overflowed") {
  covariance_accumulator c(2, 2);
  c.add(reals{1, 2}, reals{1, 1e-20});
  const reals gamma{1, 0}, a{1, 0};
  const auto run = [&](const weakly::variational_rate_options& options) {
    weakly::variational_rate(c, weakly::view(gamma.data(), 2, 1), weakly::view(a.data(), 2, 1), weakly::discard,
                             weakly::discard, options);
  };
  CHECK_THROWS_AS(run({.eps_squared = 1e-299, .scale = weakly::covariance_scale::none}), weakly::value_error);
  CHECK_THROWS_AS(run({.penalty = 1e308}), weakly::value_error);
  covariance_accumulator great(1, 3);
  great.add(reals{1e154, 1e154, 1e154}, 0);  // whose elements are finite and whose trace is not
  reals columns(9), coefficients(3);
  CHECK_THROWS_AS(
      weakly::latch_dictionary(great, weakly::view(columns.data(), 3, 3), weakly::view(coefficients.data(), 1, 3)),
      weakly::value_error);
}
