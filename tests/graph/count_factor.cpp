// SPDX-License-Identifier: MIT
#include "sanitizer.hpp"
#include "support.hpp"

#include "golden/npy_array.hpp"

#include <weakly/graph/count_factor.hpp>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <cstddef>
#include <fstream>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace {

using std::size_t;
using weakly::index_t;
using reals = std::vector<double>;
const double inf = std::numeric_limits<double>::infinity();

struct messages {
  reals out;
  double value = 0;
};
enum class kind { sum, max };

messages run(kind k, const reals& theta, const reals& f) {
  messages m{reals(theta.size()), 0};
  std::vector<std::byte> memory(weakly::count_factor_scratch(index_t(theta.size())));
  weakly::workspace scratch(memory);
  m.value = k == kind::sum ? weakly::count_factor_sum(theta, f, scratch, m.out)
                           : weakly::count_factor_max(theta, f, scratch, m.out);
  return m;
}
messages sum(const reals& theta, const reals& f) { return run(kind::sum, theta, f); }
messages max(const reals& theta, const reals& f) { return run(kind::max, theta, f); }

long double log_add(long double a, long double b) {
  if (a < b) std::swap(a, b);
  return b == -inf ? a : a + std::log1p(std::exp(b - a));
}

/// Forward and backward in logarithms, or in maxima; finite log-odds.
messages in_logarithms(kind k, const reals& theta, const reals& f) {
  const auto join = [&](long double a, long double b) { return k == kind::sum ? log_add(a, b) : std::max(a, b); };
  const size_t n = theta.size();
  std::vector<std::vector<long double>> before{{0}};
  for (size_t i = 0; i < n; ++i) {
    std::vector<long double> next(i + 2, -inf);
    for (size_t c = 0; c <= i; ++c) {
      next[c] = join(next[c], before[i][c]);
      next[c + 1] = join(next[c + 1], before[i][c] + theta[i]);
    }
    before.push_back(next);
  }
  std::vector<long double> after(f.begin(), f.end());
  messages m{reals(n), 0};
  for (size_t i = n; i-- > 0;) {
    long double one = -inf, zero = -inf;
    for (size_t c = 0; c <= i; ++c) {
      one = join(one, before[i][c] + after[c + 1]);
      zero = join(zero, before[i][c] + after[c]);
    }
    m.out[i] = double(one - zero);
    for (size_t c = 0; c <= i; ++c) after[c] = join(after[c], theta[i] + after[c + 1]);
  }
  long double all = after[0];
  for (const double x : theta) all -= k == kind::sum ? log_add(0, x) : std::max(0.0L, static_cast<long double>(x));
  m.value = double(all);
  return m;
}

/// All assignments; infinite log-odds hold their variables.
messages by_enumeration(kind k, const reals& theta, const reals& f) {
  const auto join = [&](long double a, long double b) { return k == kind::sum ? log_add(a, b) : std::max(a, b); };
  const size_t n = theta.size();
  messages m{reals(n), 0};
  for (size_t i = 0; i <= n; ++i) {
    long double total[2] = {-inf, -inf};
    for (size_t y = 0; y < size_t(1) << n; ++y) {
      long double x = 0;
      size_t count = 0;
      for (size_t j = 0; j < n; ++j) {
        const bool one = (y >> j & 1) != 0;
        count += one;
        if (j == i) continue;
        if (one ? theta[j] == -inf : theta[j] == inf) x = -inf;
        if (one && std::isfinite(theta[j])) x += theta[j];
      }
      long double& to = total[i < n ? y >> i & 1 : 0];
      to = join(to, x + f[count]);
    }
    if (i < n) {
      m.out[i] = total[0] == total[1] ? 0.0 : double(total[1] - total[0]);
      continue;
    }
    for (const double x : theta)
      if (std::isfinite(x)) total[0] -= k == kind::sum ? log_add(0, x) : std::max(0.0L, static_cast<long double>(x));
    m.value = double(total[0]);
  }
  return m;
}

void check_close(const messages& got, const messages& want, double relative) {
  const auto close = [&](double a, double b) { return a == b || std::abs(a - b) <= relative * (1 + std::abs(b)); };
  for (size_t i = 0; i < want.out.size(); ++i) {
    CAPTURE(i);
    CAPTURE(got.out[i]);
    CAPTURE(want.out[i]);
    CHECK(close(got.out[i], want.out[i]));
  }
  CAPTURE(got.value);
  CAPTURE(want.value);
  CHECK(close(got.value, want.value));
}

reals normal(size_t n, double mean, double deviation, unsigned seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> x(mean, deviation);
  reals out(n);
  for (double& o : out) o = x(random);
  return out;
}

template <class F>
reals potential(size_t n, F f) {
  reals out(n + 1);
  for (size_t c = 0; c <= n; ++c) out[c] = f(double(c));
  return out;
}

}  // namespace

TEST_CASE("count_factor of two variables of which one is true") {
  const messages m = sum({std::log(3.0), std::log(5.0)}, {-inf, 0, -inf});
  CHECK(m.out[0] == doctest::Approx(-std::log(5.0)).epsilon(1e-15));
  CHECK(m.out[1] == doctest::Approx(-std::log(3.0)).epsilon(1e-15));
  CHECK(m.value == doctest::Approx(std::log(8.0 / 24)).epsilon(1e-14));
}

TEST_CASE("count_factor gives the reference messages") {
  const auto folder = support::reference_data("llp_bp");
  if (!folder) return;
  std::ifstream file(*folder / "index.json");
  const nlohmann::json index = nlohmann::json::parse(file);
  int compared = 0;
  for (const auto& entry : index.at("count")) {
    const std::string name = entry.at("name"), form = entry.at("kind");
    CAPTURE(name);
    const golden::npy_array rows = golden::read_npy(*folder / (name + ".npy"));
    const size_t n = entry.at("n");
    const double s = entry.at("S");
    const auto row = [&](size_t r) {
      return reals(rows.values.begin() + std::ptrdiff_t(r * n), rows.values.begin() + std::ptrdiff_t((r + 1) * n));
    };
    const reals theta = row(0);
    reals f = potential(n, [&](double c) {
      const double d = std::abs(c - s);
      return form == "quad_soft"             ? -0.5 * d * d
             : form == "quad_hard"           ? -10 * d * d
             : d > (form == "exact" ? 0 : 1) ? -inf
                                             : 0;
    });
    if (form == "free") f = golden::read_npy(*folder / (name + "_f.npy")).values;
    double positive = 0, softplus = 0;
    for (const double x : theta) {
      positive += std::max(x, 0.0);
      softplus += std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x)));
    }
    check_close(sum(theta, f), {row(1), double(entry.at("logZ")) - softplus}, 4e-12);
    check_close(max(theta, f), {row(2), double(entry.at("max_value")) - positive}, 4e-12);
    ++compared;
  }
  CHECK(compared == 37);
}

TEST_CASE("count_factor of few variables is the sum over all assignments, infinite log-odds among them") {
  std::mt19937_64 random(1);
  std::normal_distribution<double> normal;
  for (int round = 0; round < support::rounds(400); ++round) {
    const size_t n = 1 + random() % 7;
    reals theta(n), f(n + 1);
    for (double& x : theta) x = random() % 4 == 0 ? (random() % 2 == 0 ? inf : -inf) : 3 * normal(random);
    for (double& x : f) x = random() % 3 == 0 ? -inf : 5 * normal(random);
    CAPTURE(round);
    const messages want = by_enumeration(kind::sum, theta, f);
    if (want.value == -inf) {
      CHECK_THROWS_AS(sum(theta, f), weakly::value_error);
      CHECK_THROWS_AS(max(theta, f), weakly::value_error);
      continue;
    }
    check_close(sum(theta, f), want, 1e-13);
    check_close(max(theta, f), by_enumeration(kind::max, theta, f), 1e-13);
  }
}

TEST_CASE("count_factor agrees with sums in logarithms for any potential and any evidence") {
  std::mt19937_64 random(2);
  std::normal_distribution<double> normal;
  for (int round = 0; round < support::rounds(300); ++round) {
    const size_t n = 1 + random() % 70;
    const double scale[] = {0.1, 1, 5, 30}, deviation = scale[random() % 4], mean = 5 * normal(random);
    const double lambda = std::exp(2 * normal(random)), s = double(random() % (n + 1));
    const auto form = random() % 8;
    reals theta(n);
    for (double& x : theta) x = mean + deviation * normal(random);
    const reals f = potential(n, [&](double c) {
      switch (form) {
        case 0:
          return -lambda * (c - s) * (c - s);
        case 1:
          return -lambda * std::abs(c - s);
        case 2:
          return c == s ? 0 : -inf;
        case 3:
          return c == 0 ? -inf : 0;
        case 4:
          return c <= s ? 0 : -inf;
        case 5:
          return 3 * normal(random);
        case 6:
          return lambda * (c - s) * (c - s) / double(n);
        default:
          return c == s || random() % 3 == 0 ? normal(random) : -inf;
      }
    });
    CAPTURE(round);
    CAPTURE(form);
    check_close(sum(theta, f), in_logarithms(kind::sum, theta, f), 1e-12);
    check_close(max(theta, f), in_logarithms(kind::max, theta, f), 1e-12);
  }
}

TEST_CASE("count_factor is right where everything likely contradicts the potential") {
  const size_t n = 150;
  const auto check = [&](const reals& theta, const reals& f) {
    check_close(sum(theta, f), in_logarithms(kind::sum, theta, f), 1e-11);
  };
  // Evidence for all true, a few allowed; for none true, most wanted; thirty on either side, with one more than that.
  check(normal(n, 20, 1, 1), potential(n, [](double c) { return c <= 3 ? 0 : -inf; }));
  check(normal(n, -20, 1, 2), potential(n, [](double c) { return -0.1 * (c - 140) * (c - 140); }));
  reals split(n, -30);
  std::fill_n(split.begin(), 60, 30.0);
  check(split, potential(n, [](double c) { return c == 61 ? 0 : -inf; }));
  check(split, potential(n, [](double c) { return -100 * std::abs(c - 90); }));
  // Two modes hundreds of orders of magnitude deep, of about the same weight.
  check(reals(n, 0.0), potential(n, [&](double c) { return 0.1 * (c - 75) * (c - 75); }));
  check(normal(n, 0, 1, 3), potential(n, [](double c) { return c == 0 || c == 150 ? 0 : -inf; }));
  // Log-odds so far apart that no common shift helps.
  reals apart(n, -2000);
  std::fill_n(apart.begin(), 60, 2000.0);
  check(apart, potential(n, [](double c) { return c == 60 ? 0 : -inf; }));
}

TEST_CASE("count_factor says that a value cannot be with an infinite message, only there") {
  const reals theta{0.5, -1, 2};
  CHECK(sum(theta, {0, -inf, -inf, -inf}).out == reals(3, -inf));
  CHECK(sum(theta, {-inf, -inf, -inf, 0}).out == reals(3, inf));
  CHECK(max(theta, {0, -inf, -inf, -inf}).out == reals(3, -inf));
  const reals held = sum({inf, -1, 2}, {-inf, 0, -inf, -inf}).out;
  CHECK(held[0] == doctest::Approx(-std::log(std::exp(-1) + std::exp(2))).epsilon(1e-14));
  CHECK(held[1] == -inf);
  CHECK(held[2] == -inf);
  CHECK(std::isfinite(sum(theta, {-inf, 0, -inf, -inf}).out[0]));
  // Of a variable that is held its own message is what the others want: here they already make two.
  CHECK(sum({inf, inf, -inf}, {-inf, -inf, 0, -inf}).out == reals{inf, inf, -inf});
  CHECK(sum({inf, inf, -inf}, {-inf, -inf, 0.25, 1}).out == reals{inf, inf, 0.75});
}

TEST_CASE("count_factor of a constant or linear potential passes the slope on") {
  const reals theta = normal(300, 1, 3, 5);
  const messages flat = sum(theta, reals(301, 7.0)),
                 line = sum(theta, potential(300, [](double c) { return 0.5 * c; }));
  CHECK(flat.value == doctest::Approx(7).epsilon(1e-14));
  for (size_t i = 0; i < 300; ++i) {
    CHECK(std::abs(flat.out[i]) <= 1e-13);
    CHECK(std::abs(line.out[i] - 0.5) <= 1e-13);
  }
}

TEST_CASE("count_factor with every count counted down sends opposite messages") {
  const size_t n = 90;
  const reals theta = normal(n, -1, 2, 6), f = normal(n + 1, 0, 3, 7);
  reals opposite(theta), reversed(f.rbegin(), f.rend());
  for (double& x : opposite) x = -x;
  messages mirrored = sum(opposite, reversed);
  for (double& x : mirrored.out) x = -x;
  check_close(mirrored, sum(theta, f), 1e-13);
}

TEST_CASE("count_factor keeps the expected count where the potential allows one count only") {
  const size_t n = 2048;
  const reals theta = normal(n, -1, 2, 8);
  const messages m = sum(theta, potential(n, [](double c) { return c == 777 ? 0 : -inf; }));
  double expected = 0;
  for (size_t i = 0; i < n; ++i) expected += 1 / (1 + std::exp(-theta[i] - m.out[i]));
  CHECK(expected == doctest::Approx(777).epsilon(1e-12));
}

TEST_CASE("count_factor takes floats, strides and its own input as output") {
  const reals theta = normal(20, 0, 1, 9), f = normal(21, 0, 1, 10), want = sum(theta, f).out;
  std::vector<float> single(theta.begin(), theta.end());
  reals strided(60);
  for (size_t i = 0; i < 20; ++i) strided[3 * i] = theta[i];
  std::vector<std::byte> memory(weakly::count_factor_scratch(20));
  weakly::workspace scratch(memory);
  weakly::count_factor_sum(single, f, scratch, single);
  scratch = weakly::workspace(memory);
  const weakly::vector_view<double> every_third(strided.data(), {20}, {3});
  weakly::count_factor_sum(every_third, f, scratch, every_third);
  for (size_t i = 0; i < 20; ++i) {
    CHECK(std::abs(double(single[i]) - want[i]) < 1e-6);
    CHECK(strided[3 * i] == want[i]);
  }
  scratch = weakly::workspace(memory);
  CHECK(weakly::count_factor_sum(theta, f, scratch, weakly::discard) == sum(theta, f).value);
}

TEST_CASE("count_factor of no variables is a constant") {
  CHECK(sum({}, {-2.5}).value == -2.5);
  CHECK(max({}, {-2.5}).value == -2.5);
}

TEST_CASE("count_factor takes numbers of any finite size without a NaN") {
  for (const double x : {1e10, 1e300, std::numeric_limits<double>::max()}) {
    const messages m = sum({x, -x, x, 0}, {0, 1, 2, 1, 0});
    for (const double r : m.out) CHECK(r == r);
    for (const double r : sum({1, 2}, {-x, x, 0}).out) CHECK(r == r);
    // The count that is left is not that of the evidence, so that log-odds are shifted by as much as x.
    const reals against{-inf, -inf, -inf, 0, -inf}, flat{x, x, x, x, x}, low{-inf, -x, -x, -x, -inf};
    for (const reals& f : {against, flat, low})
      for (const messages& all : {sum({x, x, -x, -x}, f), (max)({x, x, -x, -x}, f)}) {
        CHECK(all.value == all.value);
        for (const double r : all.out) CHECK(r == r);
      }
    CHECK(sum({x, x, -x, -x}, against).out[0] > 0);
  }
}

TEST_CASE("count_factor refuses contradictions, NaN, potentials of other lengths and small scratch") {
  CHECK_THROWS_AS(sum({1, 2}, {-inf, -inf, -inf}), weakly::value_error);
  CHECK_THROWS_AS(sum({inf, inf}, {0, 0, -inf}), weakly::value_error);
  CHECK_THROWS_AS(sum({1, std::nan("")}, {0, 0, 0}), weakly::value_error);
  CHECK_THROWS_AS(sum({1, 2}, {0, std::nan(""), 0}), weakly::value_error);
  CHECK_THROWS_AS(max({1, 2}, {0, inf, 0}), weakly::value_error);
  CHECK_THROWS_AS(sum({1, 2}, {0, 0}), weakly::shape_error);
  std::vector<std::byte> small(100);
  weakly::workspace scratch(small);
  reals out(2);
  CHECK_THROWS_AS(weakly::count_factor_sum(reals(2), reals(3), scratch, out), weakly::workspace_error);
}
