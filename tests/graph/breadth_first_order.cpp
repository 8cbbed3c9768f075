// SPDX-License-Identifier: MIT
#include "enumerated_model.hpp"

#include <weakly/graph/belief_propagation.hpp>
#include <weakly/graph/breadth_first_order.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <vector>

using enumerated::distance;
using enumerated::model;
using weakly::belief_propagation;
using weakly::factor_graph_builder;
using weakly::index_t;

TEST_CASE("breadth_first_order walks from the lowest variable of each component, factors behind their variables") {
  // 3 - 0 - 4 and 4 - 2, then 1 - 5; factors 0 to 3 and a constant.
  factor_graph_builder b;
  b.add_variables(6);
  b.add_ising(1, 5, 0.1);
  b.add_ising(4, 2, 0.1);
  b.add_table({}, {2});
  b.add_ising(3, 0, 0.1);
  b.add_ising(0, 4, 0.1);
  const auto numbering = weakly::breadth_first_order(b.freeze());
  CHECK(numbering.variable == std::vector<index_t>{0, 4, 3, 1, 2, 5});
  // A factor over no variable has none to follow and comes first.
  CHECK(numbering.factor == std::vector<index_t>{4, 3, 0, 1, 2});

  const auto none = weakly::breadth_first_order(factor_graph_builder().freeze());
  CHECK(none.variable.empty());
  CHECK(none.factor.empty());
  factor_graph_builder alone;
  alone.add_variables(3);
  CHECK(weakly::breadth_first_order(alone.freeze()).variable == std::vector<index_t>{0, 1, 2});
}

TEST_CASE("breadth_first_order gives every number once") {
  for (unsigned seed = 0; seed < 20; ++seed) {
    const auto graph = enumerated::random_forest(seed, false, false).builder.freeze();
    auto numbering = weakly::breadth_first_order(graph);
    for (auto* numbers : {&numbering.variable, &numbering.factor}) {
      std::vector<index_t> all(numbers->size());
      std::iota(all.begin(), all.end(), index_t(0));
      std::sort(numbers->begin(), numbers->end());
      CHECK(*numbers == all);
    }
  }
}

TEST_CASE("breadth_first_order changes nothing but order: belief_propagation gives the same, in another order") {
  const model m = enumerated::random_loopy(77, true, 0.4);
  const auto graph = m.builder.freeze();
  const auto numbering = weakly::breadth_first_order(graph);
  const auto moved = m.builder.renumbered(numbering).freeze();
  belief_propagation a(graph, {.damping = 0.5, .tolerance = 1e-13}), b(moved, {.damping = 0.5, .tolerance = 1e-13});
  REQUIRE(a.run().converged);
  REQUIRE(b.run().converged);
  CHECK(a.log_z() == doctest::Approx(b.log_z()).epsilon(1e-12));
  for (index_t v = 0; v < graph.variables(); ++v) {
    const index_t w = numbering.variable[std::size_t(v)];
    REQUIRE(graph.states(v) == moved.states(w));
    std::vector<double> p(std::size_t(graph.states(v))), q(p.size());
    a.beliefs(v, p);
    b.beliefs(w, q);
    CHECK(distance(p, q) < 1e-11);
  }
  for (index_t f = 0; f < graph.factors(); ++f) {
    const auto s = graph.scope(graph.position(f)), t = moved.scope(moved.position(numbering.factor[std::size_t(f)]));
    REQUIRE(s.size() == t.size());
    for (std::size_t k = 0; k < s.size(); ++k) CHECK(numbering.variable[s[k]] == index_t(t[k]));
  }
}
