// SPDX-License-Identifier: MIT
#include "noise/allocations.hpp"

#include <weakly/em/bag_count.hpp>
#include <weakly/em/class_counts.hpp>
#include <weakly/em/class_counts_one_vs_rest.hpp>
#include <weakly/exec/thread_pool.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <string>
#include <vector>

using weakly::index_t;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();

struct scene {
  index_t n, k, m;
  std::vector<double> logits, posterior, grad, loss;
  std::vector<int> begin, counts;
  std::vector<std::byte> memory;

  scene(index_t classes, std::vector<int> offsets, std::vector<int> numbers, double deviation)
      : n(offsets.back()),
        k(classes),
        m(static_cast<index_t>(offsets.size()) - 1),
        posterior(static_cast<std::size_t>(n * k)),
        grad(posterior.size()),
        loss(static_cast<std::size_t>(m)),
        begin(std::move(offsets)),
        counts(std::move(numbers)),
        memory(weakly::class_counts_one_vs_rest_scratch(n, k, 3)) {
    std::mt19937 random(4);
    std::normal_distribution<double> normal(0, deviation);
    for (index_t e = 0; e < n * k; ++e) logits.push_back(normal(random));
  }

  template <class Exec>
  void run(Exec&& ex, const weakly::class_counts_one_vs_rest_options& options = {}) {
    weakly::workspace scratch(memory);
    weakly::class_counts_one_vs_rest(ex, weakly::view(logits.data(), n, k), begin, weakly::view(counts.data(), m, k),
                                     scratch, weakly::view(posterior.data(), n, k), loss,
                                     weakly::view(grad.data(), n, k), options);
  }
};

}  // namespace

TEST_CASE("class_counts_one_vs_rest of two classes is class_counts, with twice its loss") {
  scene s(2, {0, 5}, {2, 3}, 2);
  s.run(weakly::seq);
  std::vector<double> q(10), g(10), loss(1);
  std::vector<std::byte> memory(weakly::class_counts_scratch(12, 5, 2));
  weakly::workspace scratch(memory);
  weakly::class_counts(weakly::view(s.logits.data(), 5, 2), s.begin, weakly::view(s.counts.data(), 1, 2), scratch,
                       weakly::view(q.data(), 5, 2), loss, weakly::view(g.data(), 5, 2));
  CHECK(s.loss[0] == doctest::Approx(2 * loss[0]).epsilon(1e-13));
  for (std::size_t e = 0; e < 10; ++e) {
    CHECK(s.posterior[e] == doctest::Approx(q[e]).epsilon(1e-13));
    CHECK(s.grad[e] == doctest::Approx(2 * g[e]).epsilon(1e-12));
  }
}

TEST_CASE("class_counts_one_vs_rest is bag_count of the log-odds of each class") {
  for (const double deviation : {1.0, 50.0}) {
    scene s(4, {0, 3, 3, 23}, {1, 1, 1, 0, 0, 0, 0, 0, 9, 1, 0, 10}, deviation);
    s.run(weakly::seq);
    std::vector<double> sum(3);
    for (index_t c = 0; c < 4; ++c) {
      std::vector<double> odds, q(23), loss(3);
      std::vector<int> count;
      for (index_t i = 0; i < 23; ++i) {
        long double others = 0, top = -std::numeric_limits<long double>::infinity();
        for (const bool second : {false, true})
          for (index_t j = 0; j < 4; ++j) {
            const auto z = static_cast<long double>(s.logits[static_cast<std::size_t>(i * 4 + j)]);
            if (j != c && second) others += std::exp(z - top);
            if (j != c && !second) top = std::max(top, z);
          }
        odds.push_back(static_cast<double>(static_cast<long double>(s.logits[static_cast<std::size_t>(i * 4 + c)]) -
                                           top - std::log(others)));
      }
      for (index_t bag = 0; bag < 3; ++bag) count.push_back(s.counts[static_cast<std::size_t>(bag * 4 + c)]);
      std::vector<std::byte> memory(weakly::bag_count_scratch(20));
      weakly::workspace scratch(memory);
      weakly::bag_count(odds, s.begin, weakly::bag_counts::exactly(count), scratch, q, loss, weakly::discard);
      for (std::size_t i = 0; i < 23; ++i)
        CHECK(s.posterior[i * 4 + static_cast<std::size_t>(c)] == doctest::Approx(q[i]).epsilon(1e-11));
      for (std::size_t bag = 0; bag < 3; ++bag) sum[bag] += loss[bag];
    }
    for (std::size_t bag = 0; bag < 3; ++bag) CHECK(s.loss[bag] == doctest::Approx(sum[bag]).epsilon(1e-12));
  }
}

TEST_CASE("class_counts_one_vs_rest: the gradient is that of the loss") {
  scene s(3, {0, 2, 8}, {1, 0, 1, 2, 3, 1}, 2);
  s.run(weakly::seq);
  const std::vector<double> grad = s.grad;
  for (std::size_t e = 0; e < grad.size(); ++e) {
    const double x = s.logits[e], h = 1e-5;
    s.logits[e] = x + h;
    s.run(weakly::seq);
    const double up = s.loss[0] + s.loss[1];
    s.logits[e] = x - h;
    s.run(weakly::seq);
    CHECK(grad[e] == doctest::Approx((up - s.loss[0] - s.loss[1]) / (2 * h)).epsilon(1e-7).scale(1));
    s.logits[e] = x;
  }
}

TEST_CASE("class_counts_one_vs_rest: the gradient is finite for gaps of 1000 and sums to zero over the classes") {
  scene s(3, {0, 4}, {1, 1, 2}, 1000);
  s.run(weakly::seq);
  for (std::size_t i = 0; i < 4; ++i) {
    CHECK(std::isfinite(s.grad[i * 3]));
    CHECK(std::abs(s.grad[i * 3] + s.grad[i * 3 + 1] + s.grad[i * 3 + 2]) < 1e-12);
  }
}

TEST_CASE("class_counts_one_vs_rest gives the same bits for every executor and allocates nothing") {
  scene s(3, {0, 2, 60, 61, 100}, {1, 0, 1, 20, 8, 30, 1, 0, 0, 13, 13, 13}, 3);
  CHECK(allocations::during([&] { s.run(weakly::seq); }) == 0);
  scene t = s;
  weakly::thread_pool pool(3);
  t.run(pool);
  CHECK(s.posterior == t.posterior);
  CHECK(s.grad == t.grad);
  CHECK(s.loss == t.loss);
}

TEST_CASE("class_counts_one_vs_rest: impossible counts, excluded classes and NaN stay in their bag") {
  scene s(2, {0, 1, 2, 3, 4}, {2, -1, 1, 0, 1, 0, 1, 0}, 1);
  s.logits = {0, 0, -inf, 0, std::nan(""), 0, 0, -inf};
  s.run(weakly::seq, {.impossible = weakly::impossible_row::keep});
  CHECK(s.loss[0] == inf);
  CHECK(s.loss[1] == inf);
  CHECK(std::isnan(s.loss[2]));
  CHECK(s.loss[3] == 0);
  CHECK(std::isnan(s.grad[0]));
  CHECK(std::isnan(s.posterior[3]));
  CHECK(s.posterior[6] == 1);
  CHECK(s.posterior[7] == 0);
  CHECK(s.grad[6] == 0);
#if WEAKLY_HAS_EXCEPTIONS
  CHECK_THROWS_AS(s.run(weakly::seq), weakly::value_error);
  s.begin[4] = 3;
  CHECK_THROWS_AS(s.run(weakly::seq), weakly::shape_error);
  s.begin[4] = 4;
  s.memory.resize(100);
  CHECK_THROWS_AS(s.run(weakly::seq), weakly::workspace_error);
#endif
}

TEST_CASE("class_counts_one_vs_rest is the same for every common offset of a row") {
  for (const double offset : {0.0, 1e15, -1e15, 1e300, -1e300}) {
    CAPTURE(offset);
    scene s(3, {0, 3}, {3, 0, 0}, 1);
    s.logits.assign(9, offset);
    s.run(weakly::seq);
    CHECK(s.loss[0] == doctest::Approx(3 * std::log(3.0) + 6 * std::log(1.5)).epsilon(1e-14));
  }
  scene s(4, {0, 3, 8}, {1, 1, 1, 0, 2, 0, 3, 0}, 2);
  for (double& x : s.logits) x = std::round(x * 64) / 64;
  scene t = s;
  for (std::size_t e = 0; e < t.logits.size(); ++e) t.logits[e] += e / 4 % 2 == 0 ? 0x1p40 : -0x1p44;
  s.run(weakly::seq);
  t.run(weakly::seq);
  CHECK(s.loss == t.loss);
  CHECK(s.posterior == t.posterior);
  CHECK(s.grad == t.grad);
}

TEST_CASE("class_counts_one_vs_rest: a loss that no double holds is the greatest one, and its bag is possible") {
  scene s(2, {0, 20}, {0, 20}, 1);
  for (std::size_t e = 0; e < 40; ++e) s.logits[e] = e % 2 == 0 ? 1e308 : 0;
  s.run(weakly::seq);
  CHECK(s.loss[0] == std::numeric_limits<double>::max());
  for (std::size_t e = 0; e < 40; ++e) {
    CHECK(s.posterior[e] == double(e % 2));
    CHECK(s.grad[e] == (e % 2 == 0 ? 2 : -2));
  }
}

#if WEAKLY_HAS_EXCEPTIONS
TEST_CASE("class_counts_one_vs_rest refuses scores of no class") {
  scene s(1, {0, 3}, {3}, 1);
  s.k = 0;
  CHECK_THROWS_AS(s.run(weakly::seq), weakly::shape_error);
}
#endif
