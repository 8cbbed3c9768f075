// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/random.hpp>
#include <weakly/core/view.hpp>
#include <weakly/graph/factor_graph.hpp>

#include <cstddef>
#include <cstdint>
#include <numeric>
#include <utility>
#include <vector>

namespace weakly::inline v0 {

/// How often each factor is an edge of a random spanning forest: weights rho for tree-reweighted belief propagation.
///
/// out   factors  by factor number: the share of the forests that it belongs to, in (0, 1]; 1 for constants and for
///                tables over one variable, which need none
/// trees          forests to draw, 1 or more; more are drawn until every factor was in one
///
/// Forests are Kruskal's for random orders in which the factors that no forest has had come first. An average of
/// spanning forests however they were drawn, so that log Z with these weights is an upper bound: rho is 1 on bridges
/// and adds up to variables - components. Throws shape_error, option_error; value_error for a factor over other than
/// two variables. O(forests factors); allocates a few numbers a variable and factor. Source: Wainwright, Jaakkola,
/// Willsky, IEEE Trans. Inf. Theory 51(7), 2005.
template <class T, writable_vector Out>
  requires real_vector<Out>
void spanning_tree_weights(const factor_graph<T>& graph, Out&& out, index_t trees = 20, std::uint64_t seed = 0) {
  constexpr const char* name = "spanning_tree_weights";
  const auto o = view(out);
  using Real = typename view_t<Out>::value_type;
  detail::require_extent("spanning_tree_weights: out", o, 0, graph.factors());
  if (trees < 1) detail::fail<option_error>(name, ": trees is ", trees, "; it must be 1 or more");
  const auto m = static_cast<std::size_t>(graph.positions());
  for (const factor_bucket& b : graph.buckets())
    if (b.arity != 2)
      detail::fail<value_error>(name, ": factor ", graph.factor_at(b.first_factor), " has ", b.arity,
                                " variables; trees are made of pairs");
  std::vector<index_t> times(m, 0);
  std::vector<std::uint32_t> order(m), parent(static_cast<std::size_t>(graph.variables()));
  std::size_t missing = m;
  index_t drawn = 0;
  for (; drawn < trees || missing > 0; ++drawn) {
    random_stream random(seed, static_cast<std::uint64_t>(drawn));
    std::iota(order.begin(), order.end(), 0u);
    for (std::size_t i = m; i > 1; --i) std::swap(order[i - 1], order[static_cast<std::size_t>(random.below(i))]);
    std::iota(parent.begin(), parent.end(), 0u);
    const auto root = [&](std::uint32_t v) {
      while (parent[v] != v) v = parent[v] = parent[parent[v]];
      return v;
    };
    for (const bool had : {false, true})
      for (const std::uint32_t p : order) {
        // Those that this forest took a moment ago are joined already.
        if ((times[p] > 0) != had) continue;
        const auto scope = graph.scope(index_t(p));
        const std::uint32_t a = root(scope[0]), b = root(scope[1]);
        if (a == b) continue;
        parent[a] = b;
        missing -= times[p]++ == 0;
      }
  }
  for (index_t f = 0; f < graph.factors(); ++f) {
    const index_t p = graph.position(f);
    o(f) = static_cast<Real>(p < 0 ? 1.0 : double(times[static_cast<std::size_t>(p)]) / double(drawn));
  }
}
}  // namespace weakly::inline v0
