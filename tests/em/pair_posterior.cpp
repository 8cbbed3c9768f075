// SPDX-License-Identifier: MIT
#include "em_reference.hpp"
#include "noise/allocations.hpp"
#include "sanitizer.hpp"

#include <weakly/em/pair_posterior.hpp>
#include <weakly/exec/thread_pool.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <random>
#include <span>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

using weakly::index_t;
using weakly::pair_relation;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();

using weight_of = std::function<long double(std::size_t c, std::size_t d)>;

struct outcome {
  std::vector<double> q1, q2, g1, g2;
  double loss = 0;
};

outcome infer(const std::vector<double>& first, const std::vector<double>& second, const pair_relation& relation) {
  const std::size_t k = first.size();
  std::vector<std::byte> memory(weakly::pair_posterior_scratch(static_cast<index_t>(k)), std::byte{0xff});
  weakly::workspace scratch(memory);
  outcome r{std::vector<double>(k), std::vector<double>(k), std::vector<double>(k), std::vector<double>(k)};
  std::vector<double> loss(1);
  const auto row = [&](auto& x) { return weakly::view(x.data(), 1, k); };
  weakly::pair_posterior(row(first), row(second), relation, scratch, row(r.q1), row(r.q2), loss, row(r.g1), row(r.g2),
                         {.impossible = weakly::impossible_row::keep});
  r.loss = loss[0];
  return r;
}

std::vector<long double> log_softmax(const std::vector<double>& z) {
  const auto top = static_cast<long double>(*std::max_element(z.begin(), z.end()));
  long double sum = 0;
  for (const double x : z) sum += std::exp(x - top);
  std::vector<long double> lp;
  for (const double x : z) lp.push_back(x - top - std::log(sum));
  return lp;
}

// Every pair of classes, in long double.
outcome plain(const std::vector<double>& first, const std::vector<double>& second, const weight_of& weight) {
  const std::size_t k = first.size();
  const auto l1 = log_softmax(first), l2 = log_softmax(second);
  long double top = -std::numeric_limits<long double>::infinity(), all = 0;
  for (std::size_t c = 0; c < k; ++c)
    for (std::size_t d = 0; d < k; ++d)
      if (weight(c, d) > 0) top = std::max(top, l1[c] + l2[d] + std::log(weight(c, d)));
  std::vector<long double> s1(k), s2(k);
  for (std::size_t c = 0; c < k; ++c)
    for (std::size_t d = 0; d < k; ++d) {
      if (!(weight(c, d) > 0)) continue;
      const long double e = std::exp(l1[c] + l2[d] + std::log(weight(c, d)) - top);
      all += e;
      s1[c] += e;
      s2[d] += e;
    }
  outcome r;
  r.loss = static_cast<double>(-top - std::log(all));
  for (std::size_t c = 0; c < k; ++c) {
    r.q1.push_back(static_cast<double>(s1[c] / all));
    r.q2.push_back(static_cast<double>(s2[c] / all));
    r.g1.push_back(static_cast<double>(std::exp(l1[c]) - s1[c] / all));
    r.g2.push_back(static_cast<double>(std::exp(l2[c]) - s2[c] / all));
  }
  return r;
}

void check_against(const outcome& got, const outcome& want, double relative, double absolute) {
  const auto close = [&](const std::vector<double>& a, const std::vector<double>& b, double by) {
    for (std::size_t c = 0; c < b.size(); ++c)
      CHECK_MESSAGE(std::abs(a[c] - b[c]) <= by * std::abs(b[c]) + absolute, a[c], " instead of ", b[c]);
  };
  close(got.q1, want.q1, relative);
  close(got.q2, want.q2, relative);
  close(got.g1, want.g1, 10 * relative);
  close(got.g2, want.g2, 10 * relative);
  CHECK_MESSAGE(std::abs(got.loss - want.loss) <= relative * std::abs(want.loss) + absolute, got.loss, " instead of ",
                want.loss);
}

std::vector<double> random_logits(std::size_t n, double deviation, std::mt19937& random) {
  std::normal_distribution<double> normal(0, deviation);
  std::vector<double> x(n);
  for (double& v : x) v = normal(random);
  return x;
}

}  // namespace

TEST_CASE("pair_posterior of a similar pair is what one computes by hand") {
  const outcome r = infer({std::log(3.0), 0}, {0, 0}, pair_relation::similar());  // 3/8 and 1/8
  CHECK(r.q1[0] == doctest::Approx(0.75).epsilon(1e-15));
  CHECK(r.q2[0] == doctest::Approx(0.75).epsilon(1e-15));
  CHECK(r.loss == doctest::Approx(std::log(2.0)).epsilon(1e-15));
  CHECK(std::abs(r.g1[0]) < 1e-15);
  CHECK(r.g2[0] == doctest::Approx(-0.25).epsilon(1e-15));
}

TEST_CASE("pair_posterior gives the reference results") {
  const auto folder = support::reference_data("em");
  if (!folder) return;
  for (const char* name : {"groups_random.txt", "groups_nasty.txt"}) {
    const auto file = em_reference::read(*folder / name);
    for (const char* pair : {"pair0_", "pair1_"}) {
      CAPTURE(name);
      CAPTURE(pair);
      const auto& z = file.at(std::string(pair) + "logits");
      const auto k = z.columns;
      const std::vector<double> first(z.values.begin(), z.values.begin() + k),
          second(z.values.begin() + k, z.values.end());
      const auto& s = file.at(std::string(pair) + "confidence").values;
      const auto share = static_cast<long double>(s[0]);
      const std::tuple<const char*, pair_relation, weight_of> relations[] = {
          {"similar", pair_relation::similar(), [](std::size_t c, std::size_t d) { return c == d ? 1.0L : 0.0L; }},
          {"dissimilar", pair_relation::dissimilar(),
           [](std::size_t c, std::size_t d) { return c == d ? 0.0L : 1.0L; }},
          {"first_ge_second", pair_relation::first_at_least(),
           [](std::size_t c, std::size_t d) { return c >= d ? 1.0L : 0.0L; }},
          {"simconf", pair_relation::similarity_confidence(s),
           [share](std::size_t c, std::size_t d) { return c == d ? share : 1 - share; }}};
      for (const auto& [what, relation, weight] : relations) {
        CAPTURE(what);
        outcome want = plain(first, second, weight);
        const auto& q = file.at(std::string(pair) + what).values;
        want.q1.assign(q.begin(), q.begin() + k);
        want.q2.assign(q.begin() + k, q.end());
        want.loss = -file.at(std::string(pair) + what + "_loglik").values[0];
        check_against(infer(first, second, relation), want, 1e-10, 1e-13);
      }
    }
  }
}

TEST_CASE("pair_posterior is the sum over all pairs of classes, for every relation and gaps of hundreds") {
  std::mt19937 random(9);
  for (const std::size_t k : {std::size_t(2), std::size_t(3), std::size_t(7), std::size_t(130)})
    for (const double deviation : {1.0, 30.0, 700.0}) {
      CAPTURE(k);
      CAPTURE(deviation);
      const auto first = random_logits(k, deviation, random), second = random_logits(k, deviation, random);
      std::vector<double> r(k * k);
      for (double& w : r) w = random() % 3 == 0 ? 0.0 : double(random() % 1000) / 300;
      r[1] = 0.5;
      const auto check = [&](const pair_relation& relation, const weight_of& weight) {
        check_against(infer(first, second, relation), plain(first, second, weight), 1e-11, 1e-13);
      };
      check(pair_relation::similar(), [](std::size_t c, std::size_t d) { return c == d ? 1.0L : 0.0L; });
      check(pair_relation::dissimilar(), [](std::size_t c, std::size_t d) { return c == d ? 0.0L : 1.0L; });
      check(pair_relation::first_at_least(), [](std::size_t c, std::size_t d) { return c >= d ? 1.0L : 0.0L; });
      for (const double s : {0.0, 0.125, 0.5, 1.0}) {
        const std::vector<double> confidence{s};
        check(pair_relation::similarity_confidence(confidence),
              [s](std::size_t c, std::size_t d) { return c == d ? s : 1.0L - s; });
      }
      check(pair_relation::weights(weakly::view(r.data(), k, k)),
            [&](std::size_t c, std::size_t d) { return static_cast<long double>(r[c * k + d]); });
      if (k == 2)
        for (const double by : {-0.3, 0.0, 1.0}) {
          const std::vector<double> difference{by};
          check(pair_relation::confidence_difference(difference), [by](std::size_t c, std::size_t d) {
            return (by > 0 && c == 1 && d == 0) || (by < 0 && c == 0 && d == 1) ? 0.0L : 1.0L;
          });
        }
    }
}

TEST_CASE("pair_posterior: similar and dissimilar have probability one, weights that are equal say nothing") {
  std::mt19937 random(1);
  const auto first = random_logits(6, 2, random), second = random_logits(6, 2, random);
  CHECK(std::exp(-infer(first, second, pair_relation::similar()).loss) +
            std::exp(-infer(first, second, pair_relation::dissimilar()).loss) ==
        doctest::Approx(1).epsilon(1e-14));
  const std::vector<double> ones(36, 1.0);
  const outcome r = infer(first, second, pair_relation::weights(weakly::view(ones.data(), 6, 6)));
  CHECK(std::abs(r.loss) < 1e-15);
  for (std::size_t c = 0; c < 6; ++c) {
    CHECK(std::abs(r.g1[c]) < 1e-15);
    CHECK(std::abs(r.g2[c]) < 1e-15);
  }
}

TEST_CASE("pair_posterior: gradients are those of the loss") {
  std::mt19937 random(3);
  auto first = random_logits(4, 1, random), second = random_logits(4, 1, random);
  const std::vector<double> confidence{0.3};
  for (const auto& relation : {pair_relation::similar(), pair_relation::dissimilar(), pair_relation::first_at_least(),
                               pair_relation::similarity_confidence(confidence)}) {
    const outcome r = infer(first, second, relation);
    const auto slopes = [&](std::vector<double>& x, const std::vector<double>& grad) {
      for (std::size_t c = 0; c < 4; ++c) {
        const double keep = x[c], h = 1e-5;
        x[c] = keep + h;
        const double up = infer(first, second, relation).loss;
        x[c] = keep - h;
        const double down = infer(first, second, relation).loss;
        x[c] = keep;
        CHECK(grad[c] == doctest::Approx((up - down) / (2 * h)).epsilon(1e-7).scale(1));
      }
    };
    slopes(first, r.g1);
    slopes(second, r.g2);
  }
}

TEST_CASE("pair_posterior gives the same bits for every executor, layout and in place, and allocates nothing") {
  const index_t n = support::sanitized ? 1000 : 5000, k = 9;
  std::mt19937 random(7);
  const auto first = random_logits(static_cast<std::size_t>(n * k), 3, random),
             second = random_logits(static_cast<std::size_t>(n * k), 3, random);
  std::vector<float> confidence(static_cast<std::size_t>(n), 0.25f);
  const auto relation = pair_relation::similarity_confidence(confidence);
  std::vector<double> q1(first.size()), q2(q1), g1(q1), g2(q1), loss(static_cast<std::size_t>(n));
  std::vector<std::byte> memory(weakly::pair_posterior_scratch(k, 4));
  const auto rows = [&](auto& x) { return weakly::view(x.data(), n, k); };
  CHECK(allocations::during([&] {
          weakly::workspace scratch(memory);
          weakly::pair_posterior(rows(first), rows(second), relation, scratch, rows(q1), rows(q2), loss, rows(g1),
                                 rows(g2));
        }) == 0);
  weakly::thread_pool pool(3);
  std::vector<double> a(first), b(second), loss2(loss.size()), by_column(first.size()), grad(first.size());
  {
    weakly::workspace scratch(memory);
    weakly::pair_posterior(pool, rows(a), rows(b), relation, scratch, rows(a), rows(b), loss2, weakly::discard,
                           weakly::discard);
  }
  CHECK(a == q1);
  CHECK(b == q2);
  CHECK(loss2 == loss);
  for (index_t i = 0; i < n; ++i)
    for (index_t c = 0; c < k; ++c)
      by_column[static_cast<std::size_t>(c * n + i)] = first[static_cast<std::size_t>(i * k + c)];
  weakly::workspace scratch(memory);
  weakly::pair_posterior(weakly::view(by_column.data(), n, k, 1, n), rows(second), relation, scratch, weakly::discard,
                         weakly::discard, weakly::discard, rows(grad), weakly::discard);
  CHECK(grad == g1);
}

TEST_CASE("pair_posterior: impossible pairs and NaN stay by themselves") {
  const std::vector<double> first{0, -inf, std::nan(""), 0, 1, 1, -inf, -inf}, second{-inf, 0, 0, 0, 1, 1, 0, 0};
  std::vector<double> q(8), loss(4), g(8);
  std::vector<std::byte> memory(weakly::pair_posterior_scratch(2));
  const auto run = [&](const weakly::pair_posterior_options& options) {
    weakly::workspace scratch(memory);
    weakly::pair_posterior(weakly::view(first.data(), 4, 2), weakly::view(second.data(), 4, 2),
                           pair_relation::similar(), scratch, weakly::view(q.data(), 4, 2), weakly::discard, loss,
                           weakly::view(g.data(), 4, 2), weakly::discard, options);
  };
  run({.impossible = weakly::impossible_row::keep});
  CHECK(loss[0] == inf);
  CHECK(std::isnan(loss[1]));
  CHECK(loss[2] == doctest::Approx(std::log(2.0)));
  CHECK(std::isnan(loss[3]));
  for (std::size_t e = 0; e < 8; ++e) CHECK(std::isnan(q[e]) == (e < 4 || e > 5));
  CHECK(std::isnan(g[0]));
  CHECK(infer({inf, 0}, {0, 0}, pair_relation::similar()).q1.size() == 2);
  CHECK(std::isnan(infer({inf, 0}, {0, 0}, pair_relation::similar()).q1[0]));
  CHECK(infer({5}, {3}, pair_relation::dissimilar()).loss == inf);
  CHECK(std::abs(infer({5}, {3}, pair_relation::similar()).loss) == 0);
#if WEAKLY_HAS_EXCEPTIONS
  try {
    run({});
    FAIL("nothing was thrown");
  } catch (const weakly::value_error& e) {
    CHECK(std::string(e.what()).find("pair_posterior: the observation of pair 0 is impossible (1 such pair)") == 0);
  }
#endif
}

#if WEAKLY_HAS_EXCEPTIONS
TEST_CASE("pair_posterior refuses shapes that disagree and values outside their domains") {
  const std::vector<double> z(6);
  std::vector<double> loss(2);
  std::vector<std::byte> memory(weakly::pair_posterior_scratch(3));
  const auto run = [&](index_t k, const pair_relation& relation, std::size_t bytes) {
    weakly::workspace scratch(std::span<std::byte>(memory).first(bytes));
    weakly::pair_posterior(weakly::view(z.data(), 2, 3), weakly::view(z.data(), 2, k), relation, scratch,
                           weakly::discard, weakly::discard, loss, weakly::discard, weakly::discard);
  };
  const std::vector<double> one{0.5}, two{0.5, 0.5}, r(9, 1.0), bad{1, -1, 1, 1};
  CHECK_NOTHROW(run(3, pair_relation::similar(), memory.size()));
  CHECK_THROWS_AS(run(2, pair_relation::similar(), memory.size()), weakly::shape_error);
  CHECK_THROWS_AS(run(3, pair_relation::similarity_confidence(one), memory.size()), weakly::shape_error);
  CHECK_THROWS_AS(run(3, pair_relation::confidence_difference(two), memory.size()), weakly::shape_error);
  CHECK_THROWS_AS(run(3, pair_relation::weights(weakly::view(r.data(), 2, 2)), memory.size()), weakly::shape_error);
  CHECK_THROWS_AS(run(3, pair_relation::similar(), 100), weakly::workspace_error);
  CHECK_THROWS_AS(pair_relation::weights(weakly::view(r.data(), 2, 3)), weakly::shape_error);
  CHECK_THROWS_AS(pair_relation::weights(weakly::view(bad.data(), 2, 2)), weakly::value_error);
  for (const double x : {-0.1, 1.1, std::nan("")})
    CHECK_THROWS_AS(pair_relation::similarity_confidence(std::vector<double>{x}), weakly::value_error);
  CHECK_THROWS_AS(pair_relation::confidence_difference(std::vector<double>{-1.5}), weakly::value_error);
}
#endif

TEST_CASE("pair_posterior keeps the digits of what is nearly certain") {
  const outcome r = infer({50, 0}, {0, 50}, pair_relation::dissimilar());
  const double e = std::exp(-50.0);
  CHECK(r.loss == doctest::Approx(2 * e).epsilon(1e-14));
  CHECK(r.g1[0] == doctest::Approx(-e).epsilon(1e-14));
  CHECK(r.g1[1] == doctest::Approx(e).epsilon(1e-14));
  CHECK(r.g2[1] == doctest::Approx(-e).epsilon(1e-14));
  const auto small = [&](const outcome& got, double loss) {
    CHECK(got.loss == doctest::Approx(loss).epsilon(1e-13).scale(0));
    for (const auto& [p, g] : {std::pair{&got.g1, &got.g2}, std::pair{&got.g2, &got.g1}}) {
      CHECK(g->size() == p->size());
      double sum = 0, size = 0;
      for (const double x : *p) {
        sum += x;
        size += std::abs(x);
      }
      CHECK(size > 0);
      CHECK(size < 4 * loss);
      CHECK(std::abs(sum) <= 1e-14 * size);
    }
  };
  const double one = 1 / (1 + std::exp(30.0)), both = one * one;
  const std::vector<double> sure{1}, unsure{0}, positive{0.5}, negative{-0.5};
  small(infer({60, 0, 0}, {60, 0, 0}, pair_relation::similar()), 4 * std::exp(-60.0));
  small(infer({0, 60, 0}, {0, 0, -60}, pair_relation::first_at_least()), std::exp(-60.0));
  small(infer({60, 0, 0}, {60, 0, 0}, pair_relation::similarity_confidence(sure)), 4 * std::exp(-60.0));
  small(infer({50, 0}, {0, 50}, pair_relation::similarity_confidence(unsure)), 2 * e);
  small(infer({30, 0}, {0, 30}, pair_relation::confidence_difference(positive)), both);
  small(infer({0, 30}, {30, 0}, pair_relation::confidence_difference(negative)), both);
}

TEST_CASE("pair_posterior of weights as great as a double") {
  const std::vector<double> great(100, 1e308), ones(100, 1.0);
  std::mt19937 random(2);
  const auto first = random_logits(10, 2, random), second = random_logits(10, 2, random);
  const outcome r = infer(first, second, pair_relation::weights(weakly::view(great.data(), 10, 10))),
                want = infer(first, second, pair_relation::weights(weakly::view(ones.data(), 10, 10)));
  CHECK(r.loss == doctest::Approx(-308 * std::log(10.0)).epsilon(1e-14));
  for (std::size_t c = 0; c < 10; ++c) CHECK(r.q1[c] == doctest::Approx(want.q1[c]).epsilon(1e-12));
}

#if WEAKLY_HAS_EXCEPTIONS
TEST_CASE("pair_posterior names the argument that is wrong, and refuses pairs of no class") {
  const std::vector<double> z(6);
  std::vector<double> good(6), bad(4);
  std::vector<std::byte> memory(weakly::pair_posterior_scratch(3));
  const auto message = [&](auto&& a, auto&& b, auto&& c, auto&& d, index_t k) {
    weakly::workspace scratch(memory);
    try {
      weakly::pair_posterior(weakly::view(z.data(), 2, k), weakly::view(z.data(), 2, k), pair_relation::similar(),
                             scratch, a, b, weakly::discard, c, d);
    } catch (const weakly::shape_error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  const auto wrong = weakly::view(bad.data(), 2, 2);
  using weakly::discard;
  CHECK(message(wrong, discard, discard, discard, 3).find("posterior1 has 2 rows of 2") != std::string::npos);
  CHECK(message(discard, wrong, discard, discard, 3).find("posterior2 has 2 rows of 2") != std::string::npos);
  CHECK(message(discard, discard, wrong, discard, 3).find("grad1 has 2 rows of 2") != std::string::npos);
  CHECK(message(discard, discard, discard, wrong, 3).find("grad2 has 2 rows of 2") != std::string::npos);
  CHECK(message(discard, discard, discard, discard, 0).find("0 classes") != std::string::npos);
}
#endif
