// SPDX-License-Identifier: MIT
#include "enumerated_model.hpp"

#include <weakly/graph/factor_graph.hpp>
#include <weakly/graph/spanning_tree_weights.hpp>

#include <doctest/doctest.h>

#include <vector>

using weakly::factor_graph_builder;

TEST_CASE("spanning_tree_weights are positive, at most 1, and add up to variables - components") {
  for (unsigned seed = 0; seed < 10; ++seed) {
    const auto graph = enumerated::spin_grid(3, 1, 1, seed).freeze();
    std::vector<double> rho(12), again(12), other(12);
    weakly::spanning_tree_weights(graph, rho, 30, seed);
    double sum = 0;
    for (const double r : rho) {
      CHECK(r > 0);
      CHECK(r <= 1);
      sum += r;
    }
    CHECK(sum == doctest::Approx(8).epsilon(1e-12));
    weakly::spanning_tree_weights(graph, again, 30, seed);
    CHECK(rho == again);
    weakly::spanning_tree_weights(graph, other, 30, seed + 100);
    CHECK(rho != other);
  }
}

TEST_CASE("spanning_tree_weights of a forest are ones") {
  factor_graph_builder b;
  b.add_variables(5);
  b.add_ising(0, 1, 1);
  b.add_ising(1, 2, -0.5);
  b.add_ising(3, 4, 0.5);
  const auto forest = b.freeze();
  std::vector<float> rho(3);
  weakly::spanning_tree_weights(forest, rho);
  CHECK(rho == std::vector<float>{1, 1, 1});
}
