// SPDX-License-Identifier: MIT
// Passes of loopy belief propagation over large graphs, beside one gather of a number for every message. Items are
// messages from factors to variables; CPU time of all threads stands beside the wall clock's.
#include "common.hpp"

#include <weakly/graph/belief_propagation.hpp>
#include <weakly/graph/breadth_first_order.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

namespace {

using weakly::belief_propagation;
using weakly::factor_graph;
using weakly::factor_graph_builder;
using weakly::index_t;

factor_graph_builder grid(index_t side, double coupling, double field) {
  factor_graph_builder b;
  b.add_variables(side * side);
  std::mt19937_64 random(1);
  std::normal_distribution<double> normal;
  for (index_t v = 0; v < side * side; ++v) b.add_log_odds(v, field * normal(random));
  for (index_t r = 0; r < side; ++r)
    for (index_t c = 0; c < side; ++c) {
      if (c + 1 < side) b.add_ising(r * side + c, r * side + c + 1, coupling * normal(random));
      if (r + 1 < side) b.add_ising(r * side + c, (r + 1) * side + c, coupling * normal(random));
    }
  return b;
}

// A million points of a plane in no order, each joined to four within three steps: what a neighbour search gives.
std::vector<std::pair<index_t, index_t>> neighbours(index_t side) {
  std::mt19937_64 random(2);
  std::vector<index_t> name(static_cast<std::size_t>(side * side));
  std::iota(name.begin(), name.end(), index_t(0));
  std::shuffle(name.begin(), name.end(), random);
  std::vector<std::pair<index_t, index_t>> pairs;
  for (index_t r = 0; r < side; ++r)
    for (index_t c = 0; c < side; ++c) {
      std::vector<index_t> chosen;
      while (chosen.size() < 4) {
        const index_t dr = index_t(random() % 4), dc = index_t(random() % 7) - 3;
        if (dr == 0 && dc <= 0) continue;
        const index_t to = (r + dr) % side * side + (c + dc + side) % side;
        if (std::find(chosen.begin(), chosen.end(), to) == chosen.end()) chosen.push_back(to);
      }
      for (const index_t to : chosen)
        pairs.emplace_back(name[static_cast<std::size_t>(r * side + c)], name[static_cast<std::size_t>(to)]);
    }
  return pairs;
}

factor_graph_builder neighbour_graph(bool in_order) {
  const index_t side = 1000;
  factor_graph_builder b;
  b.add_variables(side * side);
  std::mt19937_64 random(1);
  std::normal_distribution<double> normal;
  for (index_t v = 0; v < side * side; ++v) b.add_log_odds(v, normal(random));
  for (const auto& [u, v] : neighbours(side)) b.add_ising(u, v, 0.1 * normal(random));
  return in_order ? b.renumbered(weakly::breadth_first_order(b.freeze<float>())) : b;
}

// Three factors for two variables of 2 to 5 states, over two or three of them.
factor_graph_builder network(index_t variables) {
  factor_graph_builder b;
  std::mt19937_64 random(3);
  std::normal_distribution<double> normal;
  for (index_t v = 0; v < variables; ++v) b.add_variable(2 + index_t(random() % 4));
  for (index_t f = 0; f < variables * 3 / 2; ++f) {
    std::vector<index_t> scope;
    const std::size_t arity = 2 + random() % 2;
    std::size_t size = 1;
    while (scope.size() < arity) {
      const index_t v = index_t(random() % std::uint64_t(variables));
      if (std::find(scope.begin(), scope.end(), v) != scope.end()) continue;
      scope.push_back(v);
      size *= static_cast<std::size_t>(b.states(v));
    }
    std::vector<double> w(size);
    for (double& x : w) x = 0.5 * normal(random);
    b.add_log_table(scope, w);
  }
  return b;
}

template <class T>
struct workload {
  factor_graph<T> graph;
  explicit workload(const factor_graph_builder& b) : graph(b.freeze<T>()) {}

  // Passes from uniform messages, so that they change as they do in use.
  void run(benchmark::State& state, int threads, weakly::belief_propagation_options options) const {
    options.max_iterations = 30;
    options.tolerance = 0;
    options.solve_trees = false;
    belief_propagation<T> bp(graph, options);
    bench::with_threads(threads, [&](auto& ex) {
      bp.run(ex);
      for (auto _ : state) {
        bp.reset();
        bp.run(ex);
      }
    });
    state.SetItemsProcessed(state.iterations() * options.max_iterations * graph.edges());
    state.counters["bytes_per_edge"] =
        static_cast<double>(graph.memory() + bp.memory()) / static_cast<double>(graph.edges());
  }
};

// One number of every edge, gathered from the edge back, times another: nothing that passes messages does less.
template <class T>
void gather_floor(benchmark::State& state, const factor_graph<T>& graph) {
  const auto edges = static_cast<std::size_t>(graph.edges());
  std::vector<std::uint32_t> back(edges), place(edges);
  std::vector<T> a(edges, T(1)), m(edges, T(1)), out(edges);  // whatever is swapped stays 1: no denormals
  // Messages lie with the variable that hears them.
  std::uint32_t next = 0;
  for (index_t v = 0; v < graph.variables(); ++v)
    for (const std::uint32_t e : graph.edges_of(v)) place[e] = next++;
  for (std::size_t e = 0; e < edges; ++e) back[place[e]] = place[e ^ 1];
  for (auto _ : state) {
    for (std::size_t e = 0; e < edges; ++e) out[e] = a[e] * m[back[e]];
    benchmark::ClobberMemory();
    std::swap(m, out);
  }
  state.SetItemsProcessed(state.iterations() * graph.edges());
}

template <class T>
void add_all(const std::string& type) {
  static std::map<std::string, std::unique_ptr<workload<T>>> kept;
  const auto get = [](const std::string& name, auto make) -> const workload<T>& {
    auto& w = kept[name];
    if (!w) w = std::make_unique<workload<T>>(make());
    return *w;
  };
  const auto add = [&](const std::string& what, const std::string& graph, auto make, int threads,
                       weakly::belief_propagation_options options) {
    bench::add("graph/belief_propagation/" + graph + "/" + what + "/" + type + "/" + std::to_string(threads),
               [=](benchmark::State& state) { get(graph, make).run(state, threads, options); });
  };
  const auto square = [] { return grid(500, 0.3, 0.5); };
  const auto ordered = [] { return neighbour_graph(true); };
  const auto shuffled = [] { return neighbour_graph(false); };
  const auto mixed = [] { return network(20000); };
  for (const int threads : {1, 2}) {
    add("ratios", "grid500", square, threads, {});
    add("log_odds", "grid500", square, threads, {.ratios = false});
    add("damped", "grid500", square, threads, {.damping = 0.5});
    add("ratios", "neighbours", ordered, threads, {});
    add("flooding", "network", mixed, threads, {});
  }
  add("log_odds", "neighbours", ordered, 1, {.ratios = false});
  add("ratios", "neighbours_in_no_order", shuffled, 1, {});
  add("max_product", "grid500", square, 1, {.temperature = weakly::max_product});
  add("sequential", "grid500", square, 1, {.schedule = weakly::propagation_schedule::sequential});
  add("residual", "grid500", square, 1, {.schedule = weakly::propagation_schedule::residual});
  bench::add("graph/belief_propagation/grid500/gather_floor/" + type,
             [=](benchmark::State& state) { gather_floor(state, get("grid500", square).graph); });
  bench::add("graph/belief_propagation/neighbours/gather_floor/" + type,
             [=](benchmark::State& state) { gather_floor(state, get("neighbours", ordered).graph); });
  bench::add("graph/belief_propagation/neighbours_in_no_order/gather_floor/" + type,
             [=](benchmark::State& state) { gather_floor(state, get("neighbours_in_no_order", shuffled).graph); });
}

const bool registered = (add_all<float>("float"), add_all<double>("double"), true);

}  // namespace
