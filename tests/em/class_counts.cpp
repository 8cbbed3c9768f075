// SPDX-License-Identifier: MIT
#include "em_reference.hpp"
#include "noise/allocations.hpp"

#include <weakly/em/class_counts.hpp>
#include <weakly/exec/thread_pool.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <string>
#include <vector>

using weakly::index_t;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();

std::size_t at(index_t i) { return static_cast<std::size_t>(i); }

struct outcome {
  std::vector<double> posterior, grad;
  double loss = 0;
};

outcome infer(const std::vector<double>& logits, const std::vector<int>& counts) {
  const auto k = static_cast<index_t>(counts.size()), b = static_cast<index_t>(logits.size()) / k;
  const auto count = weakly::view(counts.data(), 1, k);
  std::vector<std::byte> memory(weakly::class_counts_scratch(weakly::class_count_states(count), b, k), std::byte{0xff});
  weakly::workspace scratch(memory);
  outcome r{std::vector<double>(logits.size()), std::vector<double>(logits.size())};
  std::vector<double> loss(1);
  weakly::class_counts(weakly::view(logits.data(), b, k), std::vector<index_t>{0, b}, count, scratch,
                       weakly::view(r.posterior.data(), b, k), loss, weakly::view(r.grad.data(), b, k),
                       {.impossible = weakly::impossible_row::keep});
  r.loss = loss[0];
  return r;
}

// All k^b labelings, in long double.
outcome enumerate(const std::vector<double>& logits, const std::vector<int>& counts) {
  const std::size_t k = counts.size(), b = logits.size() / k;
  std::vector<long double> lp(logits.begin(), logits.end()), sum(logits.size());
  for (std::size_t i = 0; i < b; ++i) {
    const long double top = *std::max_element(&lp[i * k], &lp[i * k] + k);
    long double all = 0;
    for (std::size_t c = 0; c < k; ++c) all += std::exp(lp[i * k + c] - top);
    for (std::size_t c = 0; c < k; ++c) lp[i * k + c] -= top + std::log(all);
  }
  long double total = 0, top = -std::numeric_limits<long double>::infinity();
  for (const bool second : {false, true}) {
    std::vector<std::size_t> y(b);
    for (;;) {
      std::vector<int> seen(k);
      long double score = 0;
      for (std::size_t i = 0; i < b; ++i) {
        ++seen[y[i]];
        score += lp[i * k + y[i]];
      }
      if (seen == counts) {
        if (!second) top = std::max(top, score);
        if (second) total += std::exp(score - top);
        for (std::size_t i = 0; second && i < b; ++i) sum[i * k + y[i]] += std::exp(score - top);
      }
      std::size_t i = 0;
      while (i < b && ++y[i] == k) y[i++] = 0;
      if (i == b) break;
    }
  }
  outcome r;
  r.loss = static_cast<double>(-(top + std::log(total)));
  for (std::size_t e = 0; e < sum.size(); ++e) {
    r.posterior.push_back(static_cast<double>(sum[e] / total));
    r.grad.push_back(static_cast<double>(std::exp(lp[e]) - sum[e] / total));
  }
  return r;
}

void check_against(const outcome& got, const outcome& want, double relative, double absolute) {
  for (std::size_t e = 0; e < want.posterior.size(); ++e) {
    CHECK(std::abs(got.posterior[e] - want.posterior[e]) <= relative * want.posterior[e] + absolute);
    CHECK(std::abs(got.grad[e] - want.grad[e]) <= 2 * relative + absolute);
  }
  CHECK_MESSAGE(std::abs(got.loss - want.loss) <= relative * want.loss + absolute, got.loss, " instead of ", want.loss);
}

std::vector<double> random_logits(index_t n, double deviation, std::mt19937::result_type seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0, deviation);
  std::vector<double> x(at(n));
  for (double& v : x) v = normal(random);
  return x;
}

}  // namespace

TEST_CASE("class_counts of two items of two classes is what one computes by hand") {
  const outcome r = infer({std::log(3.0), 0, 0, 0}, {1, 1});  // 3/8 and 1/8
  CHECK(r.loss == doctest::Approx(std::log(2.0)).epsilon(1e-15));
  CHECK(r.posterior[0] == doctest::Approx(0.75).epsilon(1e-15));
  CHECK(r.posterior[2] == doctest::Approx(0.25).epsilon(1e-15));
  CHECK(r.grad[3] == doctest::Approx(-0.25).epsilon(1e-15));
}

TEST_CASE("class_counts gives the reference results") {
  const auto folder = support::reference_data("em");
  if (!folder) return;
  for (const char* name : {"groups_random.txt", "groups_nasty.txt"}) {
    const auto file = em_reference::read(*folder / name);
    for (const char* bag : {"mc0", "mc1"}) {
      const auto of = [&](const char* what) { return file.at(std::string(bag) + "_" + what); };
      outcome want = enumerate(of("logits").values, of("counts").labels());
      want.posterior = of("posterior").values;
      want.loss = -of("loglik").values[0];
      check_against(infer(of("logits").values, of("counts").labels()), want, 1e-10, 1e-13);
    }
  }
}

TEST_CASE("class_counts is enumeration over all labelings") {
  std::mt19937 random(2);
  for (const index_t k : {index_t(1), index_t(2), index_t(3), index_t(4)})
    for (const index_t b : {index_t(1), index_t(4), index_t(6)})
      for (const double deviation : {1.0, 40.0, 600.0}) {
        std::vector<int> counts(at(k));
        for (index_t i = 0; i < b; ++i) ++counts[random() % at(k)];
        const auto logits = random_logits(b * k, deviation, random());
        CAPTURE(k);
        CAPTURE(b);
        CAPTURE(deviation);
        check_against(infer(logits, counts), enumerate(logits, counts), 1e-12, 1e-13);
      }
}

TEST_CASE("class_counts: rows sum to one, columns to the counts, in bags beyond enumeration") {
  for (const double deviation : {1.0, 300.0}) {
    const std::vector<int> counts{7, 0, 13, 10};
    const outcome r = infer(random_logits(30 * 4, deviation, 5), counts);
    for (std::size_t c = 0; c < 4; ++c) {
      double sum = 0;
      for (std::size_t i = 0; i < 30; ++i) sum += r.posterior[i * 4 + c];
      CHECK(sum == doctest::Approx(double(counts[c])).epsilon(1e-12));
    }
    for (std::size_t i = 0; i < 30; ++i)
      CHECK(r.posterior[i * 4] + r.posterior[i * 4 + 1] + r.posterior[i * 4 + 2] + r.posterior[i * 4 + 3] ==
            doctest::Approx(1).epsilon(1e-12));
  }
}

TEST_CASE("class_counts: rows are distributions where log 2 is lost beside the loss") {
  // Both items are of class 1 by their scores, and by symmetry either is the one that is not.
  const outcome two = infer({0, 1e300, 0, 1e300}, {1, 1});
  CHECK(two.loss == 1e300);
  for (const double q : two.posterior) CHECK(q == doctest::Approx(0.5));

  const outcome r =
      infer({0, 1e300, -1e300, 1e300, 0, -3e300, 2e300, 1e300, 0, 1, -inf, 2, 7e300, 0, -1e300}, {3, 1, 1});
  for (std::size_t i = 0; i < 5; ++i) {
    double sum = 0;
    for (std::size_t c = 0; c < 3; ++c) {
      CHECK(r.posterior[3 * i + c] >= 0);
      CHECK(std::abs(r.grad[3 * i + c]) <= 1);
      sum += r.posterior[3 * i + c];
    }
    CHECK(sum == doctest::Approx(1));
  }
}

TEST_CASE("class_counts: the gradient is that of the loss") {
  auto logits = random_logits(5 * 3, 2, 3);
  const std::vector<int> counts{2, 2, 1};
  const outcome r = infer(logits, counts);
  for (std::size_t e = 0; e < logits.size(); ++e) {
    const double x = logits[e], h = 1e-5;
    logits[e] = x + h;
    const double up = enumerate(logits, counts).loss;
    logits[e] = x - h;
    const double down = enumerate(logits, counts).loss;
    logits[e] = x;
    CHECK(r.grad[e] == doctest::Approx((up - down) / (2 * h)).epsilon(1e-6).scale(1));
  }
}

TEST_CASE("class_counts of many bags is each bag on its own, for every executor, in place, without an allocation") {
  const index_t k = 3, m = 40;
  std::mt19937 random(6);
  std::vector<int> begin{0}, counts(at(m * k));
  for (index_t i = 0; i < m; ++i) {
    const auto b = static_cast<int>(random() % 9);
    begin.push_back(begin.back() + b);
    for (int j = 0; j < b; ++j) ++counts[at(i * k) + random() % at(k)];
  }
  const index_t n = begin.back();
  const auto logits = random_logits(n * k, 3, 1);
  const auto count = weakly::view(counts.data(), m, k);
  const index_t states = weakly::class_count_states(count);
  std::vector<double> q(at(n * k)), g(q.size()), loss(at(m)), q2(logits), loss2(loss), g2(g);
  std::vector<std::byte> memory(weakly::class_counts_scratch(states, 8, k, 4));
  const auto run = [&](auto&& ex, const auto& x, auto& to, auto& values, auto& gradient) {
    weakly::workspace scratch(memory);
    weakly::class_counts(ex, weakly::view(x.data(), n, k), begin, count, scratch, weakly::view(to.data(), n, k), values,
                         weakly::view(gradient.data(), n, k));
  };
  CHECK(allocations::during([&] { run(weakly::seq, logits, q, loss, g); }) == 0);
  weakly::thread_pool pool(3);
  run(pool, q2, q2, loss2, g2);
  CHECK(q2 == q);
  CHECK(loss2 == loss);
  CHECK(g2 == g);
  for (index_t i = 0; i < m; ++i) {
    const auto first = begin[at(i)] * k, last = begin[at(i + 1)] * k;
    if (first == last) {
      CHECK(loss[at(i)] == 0);
      continue;
    }
    const outcome one =
        infer({logits.begin() + first, logits.begin() + last}, {counts.begin() + i * k, counts.begin() + (i + 1) * k});
    CHECK(loss[at(i)] == one.loss);
    CHECK(std::equal(one.posterior.begin(), one.posterior.end(), q.begin() + first));
  }
  const std::vector<float> single(logits.begin(), logits.end());
  const std::vector<double> rounded(single.begin(), single.end());
  std::vector<float> qf(q.size()), gf(q.size()), lf(loss.size());
  run(weakly::seq, rounded, q, loss, g);
  run(weakly::seq, single, qf, lf, gf);
  CHECK(qf == std::vector<float>(q.begin(), q.end()));
  CHECK(lf == std::vector<float>(loss.begin(), loss.end()));
}

TEST_CASE("class_counts: what is impossible or no number stays in its bag") {
  CHECK(infer({0, 0, 0, 0}, {2, 1}).loss == inf);   // three of two items
  CHECK(infer({0, 0, 0, 0}, {3, -1}).loss == inf);  // adds up, and yet
  const outcome excluded = infer({-inf, 0, -inf, 1}, {1, 1});
  CHECK(excluded.loss == inf);
  CHECK(std::isnan(excluded.posterior[0]));
  CHECK(infer({-inf, 0, 0, 0}, {1, 1}).posterior == std::vector<double>{0, 1, 1, 0});
  for (const double bad : {std::nan(""), inf}) CHECK(std::isnan(infer({bad, 0, 0, 0}, {1, 1}).loss));
  CHECK(std::isnan(infer({-inf, -inf, 0, 0}, {1, 1}).loss));
}

#if WEAKLY_HAS_EXCEPTIONS
TEST_CASE("class_counts refuses what does not fit, naming the bag") {
  const std::vector<double> logits(300 * 4);
  const std::vector<int> begin{0, 2, 300};
  const std::vector<int> counts{1, 1, 0, 0, 75, 75, 74, 74};
  std::vector<double> q(logits.size());
  std::vector<std::byte> memory(100000);
  const auto run = [&](const std::vector<int>& offsets, index_t k) {
    weakly::workspace scratch(memory);
    weakly::class_counts(weakly::view(logits.data(), 300, 4), offsets, weakly::view(counts.data(), 8 / k, k), scratch,
                         weakly::view(q.data(), 300, 4), weakly::discard, weakly::discard);
  };
  try {
    run(begin, 4);
    FAIL("nothing was thrown");
  } catch (const weakly::workspace_error& e) {
    CHECK(std::string(e.what()).find("class_counts: bag 1 takes 32490000 states") == 0);
  }
  CHECK_THROWS_AS(run(begin, 2), weakly::shape_error);
  CHECK_THROWS_AS(run({0, 2, 299}, 4), weakly::shape_error);
  weakly::workspace scratch(memory);
  CHECK_THROWS_AS(
      weakly::class_counts(weakly::view(logits.data(), 3, 0), std::vector<int>{0, 3}, weakly::view(counts.data(), 1, 0),
                           scratch, weakly::discard, weakly::discard, weakly::discard),
      weakly::shape_error);
  const std::vector<index_t> huge(40, std::numeric_limits<index_t>::max());
  CHECK(weakly::class_count_states(weakly::view(huge.data(), 1, 40)) == std::numeric_limits<index_t>::max());
}
#endif
