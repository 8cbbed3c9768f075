// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/graph/factor_graph.hpp>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

namespace weakly::inline v0::detail {

/// Positions of factors in groups: those of group g lie in [begin[g], begin[g + 1]) of `position`.
struct factor_groups {
  std::vector<std::uint32_t> position;
  std::vector<index_t> begin;
};

/// Groups of factors of which no two share a variable: each factor, in order, joins the first group that it can.
template <class T>
factor_groups independent_factors(const factor_graph<T>& graph) {
  const auto n = static_cast<std::size_t>(graph.variables());
  std::vector<std::uint64_t> first(n, 0);        // the groups below 64 that have a variable
  std::vector<std::vector<std::uint64_t>> more;  // the others, once there are any
  std::vector<std::uint32_t> group(static_cast<std::size_t>(graph.positions()));
  std::uint32_t groups = 0;
  for (index_t p = 0; p < graph.positions(); ++p) {
    const auto scope = graph.scope(p);
    std::uint32_t chosen = 0;
    for (std::size_t word = 0;; ++word) {
      std::uint64_t taken = 0;
      for (const std::uint32_t v : scope)
        taken |= word == 0 ? first[v] : !more.empty() && word <= more[v].size() ? more[v][word - 1] : 0;
      if (~taken == 0) continue;
      const auto bit = static_cast<std::uint32_t>(std::countr_one(taken));
      chosen = static_cast<std::uint32_t>(64 * word) + bit;
      if (word > 0 && more.empty()) more.resize(n);
      for (const std::uint32_t v : scope) {
        if (word > 0 && more[v].size() < word) more[v].resize(word, 0);
        (word == 0 ? first[v] : more[v][word - 1]) |= std::uint64_t(1) << bit;
      }
      break;
    }
    group[static_cast<std::size_t>(p)] = chosen;
    groups = std::max(groups, chosen + 1);
  }
  factor_groups result;
  result.begin.assign(std::size_t(groups) + 1, 0);
  for (const std::uint32_t g : group) ++result.begin[g + 1];
  for (std::size_t g = 0; g < groups; ++g) result.begin[g + 1] += result.begin[g];
  std::vector<index_t> next(result.begin.begin(), result.begin.end());
  result.position.resize(group.size());
  for (std::size_t p = 0; p < group.size(); ++p)
    result.position[static_cast<std::size_t>(next[group[p]]++)] = static_cast<std::uint32_t>(p);
  return result;
}

/// The factors of all components without a cycle, each component in breadth-first order from a variable: a factor comes
/// after the one that lies between it and the root. `usable(position)` may exclude the component of a factor.
template <class T, class Usable>
std::vector<std::uint32_t> forest_order(const factor_graph<T>& graph, Usable usable) {
  std::vector<std::uint32_t> order, queue;
  std::vector<bool> seen(static_cast<std::size_t>(graph.variables())), taken(std::size_t(graph.positions()));
  for (index_t root = 0; root < graph.variables(); ++root) {
    if (seen[static_cast<std::size_t>(root)]) continue;
    const std::size_t first = order.size();
    index_t edges = 0;
    bool all_usable = true;
    queue.assign(1, static_cast<std::uint32_t>(root));
    seen[static_cast<std::size_t>(root)] = true;
    for (std::size_t head = 0; head < queue.size(); ++head)
      for (const std::uint32_t e : graph.edges_of(index_t(queue[head]))) {
        const index_t p = graph.position_of_edge(index_t(e));
        if (taken[static_cast<std::size_t>(p)]) continue;
        taken[static_cast<std::size_t>(p)] = true;
        order.push_back(static_cast<std::uint32_t>(p));
        all_usable = all_usable && usable(p);
        const auto scope = graph.scope(p);
        edges += static_cast<index_t>(scope.size());
        for (const std::uint32_t v : scope) {
          if (seen[v]) continue;
          seen[v] = true;
          queue.push_back(v);
        }
      }
    const auto nodes = static_cast<index_t>(queue.size() + order.size() - first);
    if (edges != nodes - 1 || !all_usable) order.resize(first);
  }
  // Of a graph with cycles it held everything for a while. Without exceptions shrink_to_fit does nothing.
  return std::vector<std::uint32_t>(order.begin(), order.end());
}

/// Which of n things has the greatest priority, of equal ones the lowest. A heap that knows where each thing is.
class priority_heap {
 public:
  void reset(std::size_t n, double priority) {
    priority_.assign(n, priority);
    heap_.resize(n);
    where_.resize(n);
    for (std::size_t i = 0; i < n; ++i) heap_[i] = where_[i] = static_cast<std::uint32_t>(i);
  }
  std::size_t memory() const {
    return priority_.capacity() * sizeof(double) + (heap_.capacity() + where_.capacity()) * sizeof(std::uint32_t);
  }
  std::uint32_t top() const { return heap_[0]; }
  double priority(std::uint32_t thing) const { return priority_[thing]; }
  double greatest() const { return priority_[heap_[0]]; }
  void set(std::uint32_t thing, double priority) {
    const double before = std::exchange(priority_[thing], priority);
    if (priority > before)
      rise(where_[thing]);
    else
      sink(where_[thing]);
  }

 private:
  static constexpr std::size_t arity = 4;
  bool above(std::uint32_t a, std::uint32_t b) const {
    return priority_[a] > priority_[b] || (priority_[a] == priority_[b] && a < b);
  }
  void put(std::size_t place, std::uint32_t thing) {
    heap_[place] = thing;
    where_[thing] = static_cast<std::uint32_t>(place);
  }
  void rise(std::size_t place) {
    const std::uint32_t thing = heap_[place];
    for (; place > 0 && above(thing, heap_[(place - 1) / arity]); place = (place - 1) / arity)
      put(place, heap_[(place - 1) / arity]);
    put(place, thing);
  }
  void sink(std::size_t place) {
    const std::uint32_t thing = heap_[place];
    for (;;) {
      const std::size_t child = arity * place + 1;
      if (child >= heap_.size()) break;
      std::size_t best = child;
      for (std::size_t c = child + 1; c < std::min(child + arity, heap_.size()); ++c)
        if (above(heap_[c], heap_[best])) best = c;
      if (!above(heap_[best], thing)) break;
      put(place, heap_[best]);
      place = best;
    }
    put(place, thing);
  }

  std::vector<double> priority_;
  std::vector<std::uint32_t> heap_, where_;
};

}  // namespace weakly::inline v0::detail
