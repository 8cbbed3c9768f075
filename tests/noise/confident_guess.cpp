// SPDX-License-Identifier: MIT
#include <weakly/noise/confident_guess.hpp>

#include <doctest/doctest.h>

#include "cases.hpp"

using cases::shape;
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
  for (int round = 0; round < 1500; ++round) {
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
  for (int round = 0; round < 1500; ++round) {
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
