// SPDX-License-Identifier: MIT
// Graphs for the tests of propagation, and the same formulas with dense matrices.
#pragma once

#include "golden/npy_array.hpp"

#include <weakly/core/view.hpp>
#include <weakly/graph/label_propagation.hpp>
#include <weakly/graph/normalise_adjacency.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <numeric>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace propagation_checks {

using weakly::index_t;

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

template <class V>
auto rows(V& v, index_t k) {
  return weakly::view(v.data(), k == 0 ? 0 : static_cast<index_t>(v.size()) / k, k);
}

template <class T>
std::vector<T> transposed(const std::vector<T>& x, index_t k) {
  const index_t n = static_cast<index_t>(x.size()) / k;
  std::vector<T> t(x.size());
  for (index_t i = 0; i < n; ++i)
    for (index_t j = 0; j < k; ++j) t[std::size_t(j * n + i)] = x[std::size_t(i * k + j)];
  return t;
}

/// n x k numbers in [0, 1), each also a float.
template <class T = double>
std::vector<T> uniform(index_t n, index_t k, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<T> x(std::size_t(n * k));
  for (T& e : x) e = static_cast<T>(random() % 4096) / T(4096);
  return x;
}

struct csr {
  std::vector<std::int64_t> offset{0};
  std::vector<std::int32_t> column;
  std::vector<double> weight;

  index_t nodes() const { return static_cast<index_t>(offset.size()) - 1; }
  weakly::adjacency plain() const { return weakly::csr_adjacency(offset, column); }
  weakly::adjacency weighted() const { return weakly::csr_adjacency(offset, column, weight); }

  std::vector<double> dense(bool with_weights) const {
    const auto n = std::size_t(nodes());
    std::vector<double> a(n * n);
    for (std::size_t i = 0; i < n; ++i)
      for (auto e = std::size_t(offset[i]); e < std::size_t(offset[i + 1]); ++e)
        a[i * n + std::size_t(column[e])] = with_weights ? weight[e] : 1;
    return a;
  }
};

/// From edges that are listed once or twice, both ways round; loops as they are.
inline csr undirected(index_t n, std::vector<std::pair<std::int32_t, std::int32_t>> edges) {
  const std::size_t count = edges.size();
  for (std::size_t e = 0; e < count; ++e) edges.emplace_back(edges[e].second, edges[e].first);
  std::sort(edges.begin(), edges.end());
  edges.erase(std::unique(edges.begin(), edges.end()), edges.end());
  csr g;
  for (index_t i = 0; i < n; ++i) {
    for (const auto& [from, to] : edges)
      if (from == i) {
        g.column.push_back(to);
        g.weight.push_back(1 + static_cast<double>((from * to + from + to) % 5) / 4);  // the same both ways round
      }
    g.offset.push_back(static_cast<std::int64_t>(g.column.size()));
  }
  return g;
}

/// `edges` random edges between nodes of the first n - 2; the last two have none.
inline csr random_graph(index_t n, index_t edges, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<std::pair<std::int32_t, std::int32_t>> all;
  const auto most = static_cast<std::uint32_t>(n - 2);
  for (index_t e = 0; e < edges; ++e)
    all.emplace_back(static_cast<std::int32_t>(random() % most), static_cast<std::int32_t>(random() % most));
  return undirected(n, all);
}

/// S of a dense A; nodes whose flag is zero have neither row nor column. No flags: all nodes.
inline std::vector<double> normalised(std::vector<double> a, index_t nodes, weakly::normalise_adjacency_options options,
                                      const std::vector<int>& inside = {}) {
  const auto n = std::size_t(nodes);
  for (std::size_t i = 0; i < n; ++i) a[i * n + i] += options.self_loops;
  if (!inside.empty())
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t j = 0; j < n; ++j)
        if (inside[i] == 0 || inside[j] == 0) a[i * n + j] = 0;
  std::vector<double> row(n), column(n);
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) {
      row[i] += a[i * n + j];
      column[j] += a[i * n + j];
    }
  for (std::size_t i = 0; i < n; ++i)
    for (std::size_t j = 0; j < n; ++j) {
      double& x = a[i * n + j];
      if (x == 0) continue;
      if (options.by == weakly::normalisation::column) x /= column[j];
      if (options.by == weakly::normalisation::row) x /= row[i];
      if (options.by == weakly::normalisation::symmetric) x /= std::sqrt(row[i] * column[j]);
    }
  return a;
}

/// Y(steps), rows of y whose flag in `known` is set kept as they are.
inline std::vector<double> propagated(const std::vector<double>& s, const std::vector<double>& y, index_t columns,
                                      weakly::label_propagation_options options, const std::vector<int>& known = {}) {
  const auto k = std::size_t(columns), n = y.size() / k;
  std::vector<double> now = y, next(y.size());
  const bool lazy = options.kind == weakly::propagation::lazy;
  for (index_t t = 0; t < options.steps; ++t) {
    for (std::size_t i = 0; i < n; ++i)
      for (std::size_t c = 0; c < k; ++c) {
        double sum = 0;
        for (std::size_t j = 0; j < n; ++j) sum += s[i * n + j] * now[j * k + c];
        next[i * k + c] = lazy ? (1 - options.alpha) * sum + options.alpha * now[i * k + c]
                               : options.alpha * sum + (1 - options.alpha) * y[i * k + c];
        if (!known.empty() && known[i] != 0) next[i * k + c] = y[i * k + c];
      }
    now.swap(next);
  }
  return now;
}

inline double greatest_difference(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size()) return HUGE_VAL;
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double d = std::abs(a[i] - b[i]);
    if (!(d <= most)) most = d;
  }
  return most;
}

/// A graph, its normalisation and all memory that goes with it.
struct walk {
  /// No flags: all nodes are inside.
  explicit walk(const weakly::adjacency& graph, weakly::normalise_adjacency_options options = {},
                const std::vector<int>& inside = {})
      : left(std::size_t(graph.nodes())),
        right(left),
        s(inside.empty() ? weakly::normalise_adjacency(graph, left, right, options)
                         : weakly::normalise_adjacency(graph, inside, left, right, options)) {}
  walk(const walk&) = delete;
  walk& operator=(const walk&) = delete;

  template <class T>
  std::vector<T> run(const std::vector<T>& y, index_t k, weakly::label_propagation_options options) {
    std::vector<T> out(y.size());
    std::vector<std::byte> memory(weakly::label_propagation_scratch<T>(s.nodes(), k));
    weakly::workspace scratch(memory);
    missed = weakly::label_propagation(s, rows(y, k), scratch, rows(out, k), weakly::discard, options);
    return out;
  }

  std::vector<double> left, right;
  weakly::normalised_adjacency s;
  index_t missed = 0;
};

/// The citation graph of the reference data.
struct citations {
  explicit citations(const std::filesystem::path& folder)
      : label(golden::read_npy(folder / "labels.npy").as<std::int32_t>()) {
    const auto ends = golden::read_npy(folder / "edges.npy").as<std::int32_t>();
    std::vector<std::vector<std::int32_t>> neighbours(label.size());
    for (std::size_t e = 0; e < ends.size(); e += 2) {
      neighbours[std::size_t(ends[e])].push_back(ends[e + 1]);
      neighbours[std::size_t(ends[e + 1])].push_back(ends[e]);
    }
    for (auto& list : neighbours) {
      std::sort(list.begin(), list.end());
      graph.column.insert(graph.column.end(), list.begin(), list.end());
      graph.offset.push_back(static_cast<std::int64_t>(graph.column.size()));
    }
    train = golden::read_npy(folder / "train_idx.npy").as<std::int64_t>();
    test = golden::read_npy(folder / "test_idx.npy").as<std::int64_t>();
  }
  static constexpr index_t classes = 7;
  std::vector<std::int32_t> label;
  csr graph;
  std::vector<std::int64_t> train, test;
};

}  // namespace propagation_checks
