// SPDX-License-Identifier: MIT
#include "enumerated_model.hpp"

#include <weakly/graph/factor_graph.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

using enumerated::inf;
using weakly::factor_graph_builder;
using weakly::factor_kind;
using weakly::index_t;

TEST_CASE("factor_graph keeps factors by kind and shape, in the order in which they came") {
  factor_graph_builder b;
  CHECK(b.add_variable(3) == 0);
  CHECK(b.add_variables(4) == 1);
  CHECK(b.add_ising(1, 2, 0.5) == 0);
  CHECK(b.add_table({0, 3}, {1, 2, 3, 4, 5, 6}) == 1);
  CHECK(b.add_table({}, {2}) == 2);
  CHECK(b.add_table({0}, {1, 1, 0}) == 3);
  CHECK(b.add_ising(3, 4, -1) == 4);
  CHECK(b.add_table({0, 1}, {1, 2, 3, 4, 5, 6}) == 5);
  CHECK(b.add_count({1, 2, 3}, {0, 1, 2, 3}) == 6);
  const auto g = b.freeze();
  CHECK(g.variables() == 5);
  CHECK(g.factors() == 7);
  CHECK(g.positions() == 5);
  CHECK(g.edges() == 11);
  CHECK(g.messages() == 3 + 1 + 3 + 1 + 2 + 2 + 3);
  CHECK(g.log_constant() == doctest::Approx(std::log(2.0)));
  CHECK(g.buckets().size() == 3);
  CHECK(g.position(2) == g.folded);
  CHECK(g.folded_variable(3) == 0);
  CHECK(g.folded_variable(2) == -1);
  CHECK(g.unary(0)[2] == -inf);
  CHECK(!g.has_zeros());
  CHECK(!g.all_binary());
  for (index_t f = 0; f < g.factors(); ++f)
    if (g.position(f) >= 0) CHECK(g.factor_at(g.position(f)) == f);
  CHECK(g.position(0) < g.position(4));
  const auto scope = g.scope(g.position(5));
  CHECK(std::vector<index_t>(scope.begin(), scope.end()) == std::vector<index_t>{0, 1});
  for (index_t v = 0; v < g.variables(); ++v)
    for (const std::uint32_t e : g.edges_of(v)) {
      CHECK(g.edge_variable()[e] == std::uint32_t(v));
      const auto of_factor = g.scope(g.position_of_edge(index_t(e)));
      CHECK(std::find(of_factor.begin(), of_factor.end(), std::uint32_t(v)) != of_factor.end());
    }
}

TEST_CASE("factor_graph weighs assignments as its factors say") {
  for (unsigned round = 0; round < 30; ++round) {
    const auto m = enumerated::random_forest(round, round % 2 == 0, round % 3 == 0);
    const auto g = m.builder.freeze();
    int seen = 0;
    m.each([&](const std::vector<index_t>& x) {
      if (++seen % 7 != 0) return;
      const double expected = m.log_weight(x);
      if (expected == -inf)
        CHECK(g.log_weight(x) == -inf);
      else
        CHECK(g.log_weight(x) == doctest::Approx(expected).epsilon(1e-13));
    });
    CHECK(seen > 0);
  }
  factor_graph_builder b;
  b.add_variables(2, 3);
  b.add_shared_table(3, 3, std::vector<double>(9, 1.0));
  const index_t table = b.add_shared_table(3, 3, {0, 1, 2, 3, 4, 5, 6, 7, 8});
  b.add_pairwise(1, 0, table);
  CHECK(b.freeze().log_weight(std::vector<int>{1, 2}) == 7);
  CHECK_THROWS_AS(b.freeze().log_weight(std::vector<int>{1, 3}), weakly::label_error);
  CHECK_THROWS_AS(b.freeze().log_weight(std::vector<int>{1}), weakly::shape_error);
}

TEST_CASE("factor_graph stores log weights beyond what can be added up as its greatest, and zeros as zeros") {
  factor_graph_builder b;
  b.add_variables(2);
  b.add_log_table({0, 1}, {1e300, -1e300, -inf, 0});
  const auto g = b.freeze<float>();
  const auto w = g.parameters(g.buckets()[0], 0);
  CHECK(w[0] == 1e18f);
  CHECK(w[1] == -1e18f);
  CHECK(w[2] == -std::numeric_limits<float>::infinity());
  CHECK(g.has_zeros());
  factor_graph_builder c;
  c.add_variable();
  for (int i = 0; i < 2; ++i) {
    c.add_log_odds(0, 1.7e308);
    c.add_unary(0, {-1.7e308, 0});
  }
  CHECK(c.freeze().unary(0)[0] == -1e150);
  CHECK(c.freeze().unary(0)[1] == 1e150);
  c.add_unary(0, {0, -inf});
  CHECK(c.freeze().unary(0)[1] == -inf);
}

TEST_CASE("factor_graph_builder refuses what is no model, and adds nothing of it") {
  factor_graph_builder b;
  for (const index_t bad : {index_t(0), index_t(-1), index_t(65536)})
    CHECK_THROWS_AS(b.add_variable(bad), weakly::value_error);
  CHECK_THROWS_AS(b.add_variables(-1), weakly::value_error);
  CHECK(b.variables() == 0);
  b.add_variable(65535);
  b.add_variables(3);
  b.add_variables(2, 3);
  CHECK_THROWS_AS(b.add_unary(6, {0, 0}), weakly::label_error);
  CHECK_THROWS_AS(b.add_unary(1, {0, 0, 0}), weakly::shape_error);
  CHECK_THROWS_AS(b.add_unary(1, {0, inf}), weakly::value_error);
  CHECK_THROWS_AS(b.add_unary(1, {0, std::nan("")}), weakly::value_error);
  CHECK_THROWS_AS(b.add_log_odds(4, 1), weakly::value_error);
  CHECK_THROWS_AS(b.add_log_odds(1, inf), weakly::value_error);

  CHECK_THROWS_AS(b.add_table({1, 2, 1}, std::vector<double>(8, 1.0)), weakly::value_error);
  CHECK_THROWS_AS(b.add_table({1, -1}, {1, 1, 1, 1}), weakly::label_error);
  CHECK_THROWS_AS(b.add_table({1, 6}, {1, 1, 1, 1}), weakly::label_error);
  CHECK_THROWS_AS(b.add_table({1, 2}, {1, 1, 1}), weakly::shape_error);
  CHECK_THROWS_AS(b.add_table({1, 2}, {1, 1, 1, -1}), weakly::value_error);
  CHECK_THROWS_AS(b.add_table({1, 2}, {1, 1, 1, std::nan("")}), weakly::value_error);
  CHECK_THROWS_AS(b.add_table({1, 2}, {1, 1, 1, inf}), weakly::value_error);
  CHECK_THROWS_AS(b.add_table({1, 2}, {0, 0, 0, 0}), weakly::value_error);
  CHECK_THROWS_AS(b.add_table({}, {0}), weakly::value_error);
  CHECK_THROWS_AS(b.add_log_table({1, 2}, {0, 0, 0, inf}), weakly::value_error);
  CHECK_THROWS_AS(b.add_log_table({1, 2}, {-inf, -inf, -inf, -inf}), weakly::value_error);
  // 65535 x 3 x 3 x 8 is fine; one more such variable is more than anyone has.
  b.add_variable(65535);
  CHECK_THROWS_AS(b.add_table({0, 6}, {1, 1}), weakly::value_error);

  CHECK_THROWS_AS(b.add_shared_table(0, 2, {}), weakly::value_error);
  CHECK_THROWS_AS(b.add_shared_table(2, 2, {1}), weakly::shape_error);
  CHECK_THROWS_AS(b.add_pairwise(1, 2, 0), weakly::label_error);
  const index_t table = b.add_shared_table(2, 3, std::vector<double>(6, 0.0));
  CHECK_THROWS_AS(b.add_pairwise(1, 2, table), weakly::shape_error);
  CHECK_THROWS_AS(b.add_pairwise(1, 1, table), weakly::value_error);

  CHECK_THROWS_AS(b.add_ising(1, 1, 0.5), weakly::value_error);
  CHECK_THROWS_AS(b.add_ising(1, 4, 0.5), weakly::value_error);
  CHECK_THROWS_AS(b.add_ising(1, 2, inf), weakly::value_error);
  CHECK_THROWS_AS(b.add_potts(1, 4, 0.5), weakly::shape_error);
  CHECK_THROWS_AS(b.add_potts(4, 5, inf), weakly::value_error);
  CHECK_THROWS_AS(b.add_potts(4, 5, std::nan("")), weakly::value_error);
  CHECK_THROWS_AS(b.add_equality({}), weakly::shape_error);
  CHECK_THROWS_AS(b.add_equality({1, 4}), weakly::shape_error);
  CHECK_THROWS_AS(b.add_count({1, 2}, {0, 0}), weakly::shape_error);
  CHECK_THROWS_AS(b.add_count({1, 4}, {0, 0, 0}), weakly::value_error);
  CHECK_THROWS_AS(b.add_count({1, 2}, {-inf, -inf, -inf}), weakly::value_error);
  CHECK_THROWS_AS(b.add_weighted_count({1, 2}, {1}, {0, 0}), weakly::shape_error);
  CHECK_THROWS_AS(b.add_weighted_count({1, 2}, {1, -1}, {0}), weakly::value_error);
  CHECK_THROWS_AS(b.add_weighted_count({1, 2}, {1, 2}, {0, 0, 0}), weakly::shape_error);
  CHECK_THROWS_AS(b.add_or({1}), weakly::shape_error);
  CHECK_THROWS_AS(b.add_and({1, 4}), weakly::value_error);
  CHECK_THROWS_AS(b.add_at_most_one({}), weakly::shape_error);
  CHECK_THROWS_AS(b.add_exactly_one({1, 2, 1}), weakly::value_error);
  std::vector<index_t> many;
  for (index_t i = 0; i < 20; ++i) many.push_back(1 + i % 3);
  CHECK_THROWS_AS(b.add_at_most_one(many), weakly::value_error);
  CHECK(b.factors() == 0);
  CHECK(b.freeze().edges() == 0);

  CHECK_THROWS_AS(b.renumbered({{0, 1}, {}}), weakly::shape_error);
  CHECK_THROWS_AS(b.renumbered({{0, 1, 2, 3, 4, 5, 5}, {}}), weakly::value_error);
}
