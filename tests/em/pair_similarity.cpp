// SPDX-License-Identifier: MIT
#include "noise/allocations.hpp"
#include "sanitizer.hpp"

#include <weakly/em/pair_similarity.hpp>
#include <weakly/exec/thread_pool.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <vector>

using weakly::index_t;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();

struct scene {
  index_t n, k;
  std::vector<double> first, second, share, loss, g1, g2;
  std::vector<std::byte> memory;

  scene(index_t rows, index_t classes, double deviation)
      : n(rows),
        k(classes),
        loss(static_cast<std::size_t>(n)),
        g1(static_cast<std::size_t>(n * k)),
        g2(g1),
        memory(weakly::pair_posterior_scratch(k, 4)) {
    std::mt19937 random(5);
    std::normal_distribution<double> normal;
    for (index_t e = 0; e < n * k; ++e) {
      first.push_back(deviation * normal(random));
      second.push_back(deviation * normal(random));
    }
    for (index_t i = 0; i < n; ++i) share.push_back(i % 3 == 0 ? 0.0 : i % 3 == 1 ? 1.0 : 0.3);
  }

  template <class Exec>
  void run(Exec&& ex) {
    weakly::workspace scratch(memory);
    const auto rows = [&](auto& x) { return weakly::view(x.data(), n, k); };
    weakly::pair_similarity(ex, rows(first), rows(second), share, scratch, loss, rows(g1), rows(g2));
  }
};

}  // namespace

TEST_CASE("pair_similarity of even items is what one computes by hand") {
  scene s(3, 4, 0);
  s.run(weakly::seq);  // P = 1/4
  CHECK(s.loss[0] == doctest::Approx(std::log(4.0 / 3)).epsilon(1e-15));
  CHECK(s.loss[1] == doctest::Approx(std::log(4.0)).epsilon(1e-15));
  CHECK(s.loss[2] == doctest::Approx(0.3 * std::log(4.0) + 0.7 * std::log(4.0 / 3)).epsilon(1e-15));
}

TEST_CASE("pair_similarity is the binary cross-entropy of the probability, and its gradient") {
  scene s(9, 3, 2);
  const auto plain = [&](std::size_t i) {
    long double sum1 = 0, sum2 = 0, same = 0;
    for (std::size_t c = 0; c < 3; ++c) {
      const auto a = std::exp(static_cast<long double>(s.first[i * 3 + c])),
                 b = std::exp(static_cast<long double>(s.second[i * 3 + c]));
      sum1 += a;
      sum2 += b;
      same += a * b;
    }
    const long double p = same / (sum1 * sum2), y = static_cast<long double>(s.share[i]);
    return -y * std::log(p) - (1 - y) * std::log1p(-p);
  };
  s.run(weakly::seq);
  for (std::size_t e = 0; e < s.first.size(); ++e) {
    CHECK(s.loss[e / 3] == doctest::Approx(static_cast<double>(plain(e / 3))).epsilon(1e-13));
    const auto slope = [&](double& x) {
      const double keep = x, h = 1e-4;
      x = keep + h;
      const long double up = plain(e / 3);
      x = keep - h;
      const long double down = plain(e / 3);
      x = keep;
      return static_cast<double>((up - down) / (2 * static_cast<long double>(h)));
    };
    CHECK(s.g1[e] == doctest::Approx(slope(s.first[e])).epsilon(1e-6).scale(1));
    CHECK(s.g2[e] == doctest::Approx(slope(s.second[e])).epsilon(1e-6).scale(1));
  }
}

TEST_CASE("pair_similarity keeps every digit of a tiny loss and is finite for gaps of 1000") {
  scene s(2, 2, 0);
  s.first = {200, 0, 1000, 0};
  s.second = {200, 0, 0, 1000};
  s.share = {1, 1};
  s.run(weakly::seq);
  CHECK(s.loss[0] == doctest::Approx(2 * std::exp(-200.0)).epsilon(1e-12));  // 3e-87
  CHECK(s.loss[1] == doctest::Approx(1000 - std::log(2.0)).epsilon(1e-14));
  CHECK(s.g1[2] == doctest::Approx(0.5).epsilon(1e-14));
  CHECK(std::isfinite(s.g2[3]));
}

TEST_CASE("pair_similarity: a logarithm of zero counts where it has a weight, NaN stays in its pair") {
  scene s(4, 2, 0);
  s.first = {0, -inf, 0, -inf, std::nan(""), 0, 1, 1};
  s.second = {0, -inf, 0, -inf, 0, 0, 1, 1};
  s.share = {1, 0, 1, 1};
  s.run(weakly::seq);
  CHECK(s.loss[0] == 0);
  CHECK(s.g1[0] == 0);
  CHECK(s.loss[1] == inf);
  CHECK(std::isnan(s.g1[2]));
  CHECK(std::isnan(s.loss[2]));
  CHECK(std::isnan(s.g2[4]));
  CHECK(s.loss[3] == doctest::Approx(std::log(2.0)).epsilon(1e-15));
}

TEST_CASE("pair_similarity gives the same bits for every executor and allocates nothing") {
  scene s(support::sanitized ? 800 : 4000, 10, 3);
  CHECK(allocations::during([&] { s.run(weakly::seq); }) == 0);
  scene t = s;
  weakly::thread_pool pool(3);
  t.run(pool);
  CHECK(s.loss == t.loss);
  CHECK(s.g1 == t.g1);
  CHECK(s.g2 == t.g2);
}

#if WEAKLY_HAS_EXCEPTIONS
TEST_CASE("pair_similarity refuses shares outside [0, 1], shapes that disagree and too little scratch") {
  scene s(3, 2, 1);
  for (const double bad : {-0.1, 1.1, std::nan("")}) {
    s.share[1] = bad;
    CHECK_THROWS_AS(s.run(weakly::seq), weakly::value_error);
  }
  s.share.resize(1);
  CHECK_THROWS_AS(s.run(weakly::seq), weakly::shape_error);
  s.share.assign(3, 1.0);
  s.loss.resize(2);
  CHECK_THROWS_AS(s.run(weakly::seq), weakly::shape_error);
  s.loss.resize(3);
  scene none = s;
  none.k = 0;
  CHECK_THROWS_AS(none.run(weakly::seq), weakly::shape_error);
  s.memory.resize(70);
  CHECK_THROWS_AS(s.run(weakly::seq), weakly::workspace_error);
}
#endif
