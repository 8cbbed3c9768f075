// SPDX-License-Identifier: MIT
#include <weakly/exec/thread_pool.hpp>
#include <weakly/noise/confident_guess.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <utility>

#include "allocations.hpp"
#include "cases.hpp"
#include "sanitizer.hpp"

using cases::shape;
using oracle::at;
using weakly::compatibility;
using weakly::index_t;

namespace {

template <class T>
std::vector<index_t> expected_guesses(const oracle::problem& q, const std::vector<double>& t, compatibility compat) {
  std::vector<index_t> guesses;
  for (index_t i = 0; i < q.n; ++i) guesses.push_back(oracle::guess<T>(q, t, i, compat));
  return guesses;
}

/// Thresholds as hard as they come: some infinite, some means, some a hair above or below an entry of the class.
template <class T>
std::vector<double> tricky_thresholds(cases::generator& g, const oracle::problem& q) {
  std::vector<double> t = oracle::thresholds(q);
  for (index_t c = 0; c < q.k && q.n > 0; ++c) {
    double& x = t[oracle::at(c)];
    const double entry = q.p(g.below(q.n), c);
    if (!std::isfinite(entry) || g.chance(0.3)) continue;
    x = entry + 1e-6;
    if (g.chance(0.6)) x = std::nextafter(x, g.chance(0.5) ? 9 : -9);
    if (g.chance(0.3)) x = oracle::stored<T>(x);
    if (g.chance(0.1)) x = 2;
    if (g.chance(0.1)) x = oracle::infinity;
  }
  return t;
}

}  // namespace

TEST_CASE_TEMPLATE("confident_guess takes the most probable of the classes whose threshold the row reaches", T, float,
                   double, weakly::half, weakly::bfloat16) {
  // Row by row: one class reached, and not the largest; two reached, the largest of all not among them; none reached;
  // a tie between two reached; every class reached.
  const oracle::problem q{
      5, 3, {0.5, 0.375, 0.125, 0.5, 0.25, 0.25, 0.25, 0.25, 0.125, 0, 0.5, 0.5, 0.75, 0.5, 0.25}, {0, 0, 0, 0, 0}};
  const std::vector<double> t = {0.625, 0.25, 0.25};
  const std::vector<double> u = {0.75, 0.375, 0.25};
  const cases::laid_out<T> prob(q, cases::layout::row_major);
  std::vector<int> guess(5);
  weakly::confident_guess(prob.view(), t, guess);
  CHECK(guess == std::vector<int>{1, 1, 1, 1, 0});
  weakly::confident_guess(prob.view(), u, guess);
  CHECK(guess == std::vector<int>{1, 2, -1, 1, 0});
}

TEST_CASE("confident_guess differs from cleanlab's where the most probable class misses its own threshold") {
  const std::vector<double> p = {0.4, 0.35, 0.25};
  const std::vector<double> t = {0.6, 0.3, 0.2};
  std::vector<int> guess(1);
  weakly::confident_guess(weakly::view(p.data(), 1, 3), t, guess);
  CHECK(guess[0] == 1);
  weakly::confident_guess(weakly::view(p.data(), 1, 3), t, guess, {.compat = compatibility::cleanlab});
  CHECK(guess[0] == 0);
}

TEST_CASE("confident_guess reaches a threshold up to a slack of 1e-6, compared in double") {
  const double t = 0.3;
  const double bound = t - 1e-6;
  const std::vector<double> p = {bound, std::nextafter(bound, 0)};
  std::vector<int> guess(2);
  weakly::confident_guess(weakly::view(p.data(), 2, 1), std::vector<double>{t}, guess);
  CHECK(guess == std::vector<int>{0, -1});

  // The two floats around the bound: only the upper one reaches it, though both round to the same float as it does.
  const float nearest = static_cast<float>(bound);
  const float below = double(nearest) < bound ? nearest : std::nextafter(nearest, 0.0f);
  const std::vector<float> f = {below, std::nextafter(below, 1.0f)};
  weakly::confident_guess(weakly::view(f.data(), 2, 1), std::vector<double>{t}, guess);
  CHECK(guess == std::vector<int>{-1, 0});
}

TEST_CASE("confident_guess compares in float when cleanlab does, that is when the thresholds are floats") {
  const float t = 0.3f;
  const float bound = t - 1e-6f;
  const std::vector<float> p = {std::nextafter(bound, 0.0f), bound};
  std::vector<int> guess(2);
  weakly::confident_guess(weakly::view(p.data(), 2, 1), std::vector<double>{t}, guess,
                          {.compat = compatibility::cleanlab});
  CHECK(guess == std::vector<int>{-1, 0});
  // In double the same bound lies elsewhere.
  REQUIRE(double(bound) != double(t) - 1e-6);
}

TEST_CASE_TEMPLATE("confident_guess takes no NaN and nothing above 2 for confidence, and no row for an absent class", T,
                   float, double, weakly::half, weakly::bfloat16) {
  const oracle::problem q{6,
                          3,
                          {oracle::nan, 0.5, 0.25, oracle::infinity, 0.5, 0.25, -oracle::infinity, 0.25, 0.5, 2.5, 0,
                           0.5, oracle::nan, oracle::nan, 1, 2, 0, 0},
                          std::vector<index_t>(6)};
  const std::vector<double> t = {0.25, 0.25, oracle::infinity};
  const cases::laid_out<T> prob(q, cases::layout::row_major);
  std::vector<int> guess(6);
  weakly::confident_guess(prob.view(), t, guess);
  CHECK(guess == std::vector<int>{1, 1, 1, -1, -1, 0});
}

TEST_CASE("confident_guess of no rows is no guess, and one class is enough") {
  std::vector<int> guess;
  const std::vector<float> p = {0.5f, 0.25f};
  weakly::confident_guess(weakly::view(p.data(), 0, 3), std::vector<double>(3, 0.5), guess);
  guess.resize(2);
  weakly::confident_guess(weakly::view(p.data(), 2, 1), std::vector<double>{0.5}, guess);
  CHECK(guess == std::vector<int>{0, -1});
}

TEST_CASE("confident_guess follows a permutation of the classes") {
  cases::generator g(23);
  for (const index_t k : {2, 5, 40, 70, 150}) {
    const auto q = cases::random_problem<double>(g, 200, k, shape::smooth);  // no ties
    const auto to = cases::permutation(g, k);
    const std::vector<double> t = oracle::thresholds(q);
    oracle::problem r = q;
    std::vector<double> u(t.size());
    for (index_t j = 0; j < k; ++j) {
      u[at(to[at(j)])] = t[at(j)];
      for (index_t i = 0; i < q.n; ++i) r.prob[at(i * k + to[at(j)])] = q.p(i, j);
    }
    std::vector<index_t> a(at(q.n)), b(at(q.n));
    weakly::confident_guess(weakly::view(q.prob.data(), q.n, k), t, a);
    weakly::confident_guess(weakly::view(r.prob.data(), q.n, k), u, b);
    for (std::size_t i = 0; i < a.size(); ++i) CHECK(b[i] == (a[i] < 0 ? -1 : to[at(a[i])]));
  }
}

TEST_CASE_TEMPLATE("confident_guess writes signed integers of any width, strided and from several threads", Class,
                   std::int8_t, std::int16_t, std::int32_t, std::int64_t) {
  cases::generator g(24);
  const auto q = cases::random_problem<float>(g, 20000, 9, shape::smooth);
  const cases::laid_out<float> prob(q, cases::layout::row_major);
  const auto t = oracle::thresholds(q);
  const auto expected = expected_guesses<float>(q, t, compatibility::none);
  for (int threads = 1; threads <= 8; ++threads) {
    weakly::thread_pool pool(threads);
    std::vector<Class> out(40000, Class(-5));
    weakly::confident_guess(pool, prob.view(), t, weakly::vector_view<Class>(out.data() + 39999, {20000}, {-2}));
    bool right = true;
    for (std::size_t i = 0; i < 20000; ++i)
      right = right && out[39999 - 2 * i] == expected[i] && out[39998 - 2 * i] == Class(-5);
    CHECK(right);
  }
}

TEST_CASE("confident_guess allocates its bounds, and no more for more rows") {
  const std::vector<float> p(50000, 0.25f);
  const std::vector<double> t(5, 0.2);
  std::vector<int> guess(10000);
  const auto few = allocations::during(
      [&] { weakly::confident_guess(weakly::view(p.data(), 1, 5), t, weakly::view(guess.data(), 1)); });
  const auto many = allocations::during(
      [&] { weakly::confident_guess(weakly::view(p.data(), 10000, 5), t, weakly::view(guess.data(), 10000)); });
  CHECK(few == many);
}

TEST_CASE("confident_guess refuses shapes that disagree, thresholds that are none and integers too short") {
  const std::vector<float> p(2000, 0.5f);
  std::vector<int> guess(4);
  const auto prob = weakly::view(p.data(), 4, 3);
  cases::refuses<weakly::shape_error>([&] { weakly::confident_guess(prob, std::vector<double>(2, 0.5), guess); },
                                      {"confident_guess: prob", "(4 x 3)", "axis 1", "2"});
  std::vector<int> short_guess(3);
  cases::refuses<weakly::shape_error>([&] { weakly::confident_guess(prob, std::vector<double>(3, 0.5), short_guess); },
                                      {"confident_guess: out", "(3)", "4"});
  cases::refuses<weakly::option_error>([&] { weakly::confident_guess(prob, std::vector<double>(), guess); },
                                       {"confident_guess", "no thresholds", "one for each class"});
  cases::refuses<weakly::option_error>(
      [&] {
        weakly::confident_guess(prob, std::vector<double>{0.5, oracle::nan, 0.5}, guess);
      },
      {"confident_guess", "class 1", "NaN"});
  std::vector<std::int8_t> bytes(2);
  weakly::confident_guess(weakly::view(p.data(), 2, 128), std::vector<double>(128, 0.5), bytes);
  CHECK(bytes == std::vector<std::int8_t>{0, 0});
  cases::refuses<weakly::shape_error>(
      [&] { weakly::confident_guess(weakly::view(p.data(), 2, 129), std::vector<double>(129, 0.5), bytes); },
      {"confident_guess: out", "1 bytes", "129 classes"});
}

TEST_CASE_TEMPLATE("confident_guess agrees with the definition on random problems", T, float, double, weakly::half,
                   weakly::bfloat16) {
  cases::generator g(21);
  const auto check = [&](const oracle::problem& q, cases::layout l) {
    const cases::laid_out<T> prob(q, l, g.below(8));
    const std::vector<double> t = tricky_thresholds<T>(g, q);
    std::vector<index_t> guess(oracle::at(q.n), -7);
    weakly::confident_guess(prob.view(), t, guess);
    REQUIRE(guess == expected_guesses<T>(q, t, compatibility::none));
  };
  for (int round = 0; round < support::rounds(1500); ++round) {
    CAPTURE(round);
    check(cases::random_problem<T>(g, g.below(61), 1 + g.below(9), static_cast<shape>(g.below(4))),
          cases::all_layouts[g.below(6)]);
  }
  for (const index_t k : {15, 16, 17, 31, 33, 56, 57, 64, 65, 100, 1000}) {
    CAPTURE(k);
    for (const cases::layout l : cases::all_layouts)
      check(cases::random_problem<T>(g, 150, k, static_cast<shape>(g.below(4))), l);
  }
}

TEST_CASE_TEMPLATE("confident_guess agrees with cleanlab's rule in cleanlab's arithmetic on random problems", T, float,
                   double, weakly::half, weakly::bfloat16) {
  cases::generator g(22);
  const auto check = [&](const oracle::problem& q, cases::layout l) {
    const cases::laid_out<T> prob(q, l, g.below(8));
    std::vector<double> t = tricky_thresholds<T>(g, q);
    if (g.chance(0.5))
      for (double& x : t) x = oracle::stored<T>(x);
    std::vector<index_t> guess(oracle::at(q.n), -7);
    weakly::confident_guess(prob.view(), t, guess, {.compat = compatibility::cleanlab});
    REQUIRE(guess == expected_guesses<T>(q, t, compatibility::cleanlab));
  };
  for (int round = 0; round < support::rounds(1500); ++round) {
    CAPTURE(round);
    check(cases::random_problem<T>(g, g.below(61), 1 + g.below(9), static_cast<shape>(g.below(4))),
          cases::all_layouts[g.below(6)]);
  }
  for (const index_t k : {16, 17, 56, 57, 64, 65, 1000}) {
    CAPTURE(k);
    for (const cases::layout l : cases::all_layouts)
      check(cases::random_problem<T>(g, 150, k, static_cast<shape>(g.below(4))), l);
  }
}
