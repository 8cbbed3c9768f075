// SPDX-License-Identifier: MIT
#include "propagation_checks.hpp"

#include <weakly/exec/thread_pool.hpp>
#include <weakly/graph/normalise_adjacency.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

using namespace propagation_checks;
using weakly::normalisation;

TEST_CASE("normalise_adjacency divides by column, row or the roots of both") {
  // 0 - 1 - 2, and 3 alone
  const csr g = undirected(4, {{0, 1}, {1, 2}});
  std::vector<double> left(4), right(4);
  auto s = weakly::normalise_adjacency(g.plain(), left, right);
  CHECK(left == std::vector<double>{1, 1, 1, 1});
  CHECK(right == std::vector<double>{1, 0.5, 1, 1});
  CHECK(s.left(1) == 1);
  CHECK(s.right(1) == 0.5);
  s = weakly::normalise_adjacency(g.plain(), left, right, {.by = normalisation::row});
  CHECK(left == std::vector<double>{1, 0.5, 1, 1});
  CHECK(right == std::vector<double>{1, 1, 1, 1});
  s = weakly::normalise_adjacency(g.plain(), left, right, {.by = normalisation::symmetric, .self_loops = 2});
  CHECK(left == std::vector<double>{std::sqrt(1.0 / 3), 0.5, std::sqrt(1.0 / 3), std::sqrt(0.5)});
  CHECK(right == left);
  CHECK(s.self_loops() == 2);
  CHECK(s.contains(3));
}

TEST_CASE("a subgraph has degrees of its own") {
  const csr g = undirected(4, {{0, 1}, {1, 2}, {1, 3}, {2, 3}});
  const std::vector<int> inside{1, 1, 0, 7};
  for (const auto by : {normalisation::column, normalisation::row, normalisation::symmetric}) {
    const walk w(g.plain(), {.by = by}, inside);
    CHECK(!w.s.contains(2));
    CHECK(w.left[2] == 0);
    CHECK(w.right[2] == 0);
    const double degree = by == normalisation::symmetric ? std::sqrt(0.5) : 0.5;
    CHECK((by == normalisation::row ? w.left : w.right)[1] == degree);
  }
}

TEST_CASE("rows and columns of a directed graph are what they say") {
  for (const bool weights : {false, true})
    for (const auto by : {normalisation::column, normalisation::row, normalisation::symmetric})
      for (const double loops : {0.0, 0.75}) {
        csr g = random_graph(30, 60, 3);
        for (std::size_t i = 0; i < g.column.size(); ++i) g.weight[i] = double(i % 11) / 8;  // some are zero
        const std::vector<int> inside{1, 1, 0, 1, 1, 1, 0, 1, 1, 1, 1, 0, 1, 1, 1,
                                      1, 1, 1, 1, 0, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1};
        const walk w(weights ? g.weighted() : g.plain(), {.by = by, .self_loops = loops}, inside);
        const auto a = g.dense(weights);
        const auto want = normalised(a, 30, {.by = by, .self_loops = loops}, inside);
        double most = 0;
        for (std::size_t i = 0; i < 30; ++i)
          for (std::size_t j = 0; j < 30; ++j)
            most = std::max(
                most, std::abs(w.left[i] * (a[i * 30 + j] + (i == j ? loops : 0)) * w.right[j] - want[i * 30 + j]));
        CHECK(most < 1e-15);
      }
}

TEST_CASE("normalise_adjacency has the same bits for every executor") {
  csr g = random_graph(700, 9000, 5);
  for (std::size_t i = 0; i < g.column.size(); ++i) g.weight[i] = 1.0 / double(i + 3);
  weakly::thread_pool pool(3);
  for (const auto by : {normalisation::column, normalisation::row, normalisation::symmetric}) {
    const walk w(g.weighted(), {.by = by});
    std::vector<double> left(700), right(700);
    const auto s = weakly::normalise_adjacency(pool, g.weighted(), left, right, {.by = by});
    CHECK(s.nodes() == 700);
    CHECK(same_bits(left, w.left));
    CHECK(same_bits(right, w.right));
  }
}

#if WEAKLY_HAS_EXCEPTIONS
TEST_CASE("normalise_adjacency refuses what it cannot normalise") {
  const csr g = undirected(3, {{0, 1}, {1, 2}});
  std::vector<double> left(3), right(3), two(2);
  const auto refused = [&](const weakly::adjacency& a, weakly::normalise_adjacency_options options) {
    std::string message;
    try {
      (void)weakly::normalise_adjacency(a, left, right, options);
    } catch (const weakly::error& e) {
      message = e.what();
    }
    return message;
  };
  CHECK_THROWS_AS((void)weakly::normalise_adjacency(g.plain(), two, right), weakly::shape_error);
  CHECK_THROWS_AS((void)weakly::normalise_adjacency(g.plain(), left, two), weakly::shape_error);
  CHECK_THROWS_AS((void)weakly::normalise_adjacency(g.plain(), std::vector<int>{1, 1}, left, right),
                  weakly::shape_error);
  for (const double bad : {-1.0, HUGE_VAL, std::nan("")})
    CHECK_THROWS_AS((void)weakly::normalise_adjacency(g.plain(), left, right, {.self_loops = bad}),
                    weakly::option_error);
  csr wrong = g;
  wrong.weight[2] = 1e300;
  CHECK(refused(wrong.weighted(), {.by = normalisation::row}).find("row 1 add up to 1e+300") != std::string::npos);
  wrong.weight[2] = -1;
  left.assign(3, 5);
  CHECK(refused(wrong.weighted(), {}).find("normalise_adjacency: the weight from row 1 to node 2 is -1") !=
        std::string::npos);
  CHECK(left == std::vector<double>{5, 5, 5});
}
#endif

TEST_CASE("left and right are vectors of their own, or columns of one matrix") {
  const csr g = undirected(3, {{0, 1}, {1, 2}});
#if WEAKLY_HAS_EXCEPTIONS
  std::vector<double> one(4);
  const auto at = [&](index_t first) { return weakly::view(one.data() + first, 3); };
  for (const auto by : {normalisation::column, normalisation::row, normalisation::symmetric}) {
    CHECK_THROWS_AS((void)weakly::normalise_adjacency(g.plain(), at(0), at(0), {.by = by}), weakly::shape_error);
    CHECK_THROWS_AS((void)weakly::normalise_adjacency(g.plain(), at(0), at(1), {.by = by}), weakly::shape_error);
  }
#endif
  std::vector<double> both(6);
  const auto s =
      weakly::normalise_adjacency(g.plain(), weakly::vector_view<double>(both.data(), {3}, {2}),
                                  weakly::vector_view<double>(both.data() + 1, {3}, {2}), {.by = normalisation::row});
  CHECK(both == std::vector<double>{1, 1, 0.5, 1, 1, 1});
  CHECK(s.left(1) == 0.5);
}

TEST_CASE("a graph without nodes is normalised") {
  const csr g;
  CHECK(walk(g.plain()).s.nodes() == 0);
}
