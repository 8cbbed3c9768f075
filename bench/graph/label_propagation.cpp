// SPDX-License-Identifier: MIT
// One step of label propagation, beside a floor that reads the same rows in the same order and adds them.
#include "common.hpp"

#include <weakly/core/simd.hpp>
#include <weakly/graph/label_propagation.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace {

using weakly::index_t;

// Huge pages for what is read at random, none of them fresh.
float* touched(index_t count) {
  float* const memory = bench::huge_pages(static_cast<std::size_t>(count));
  std::fill_n(memory, count, 0.0f);
  return memory;
}

// A graph whose nodes hear from `degree` others: anywhere, or at most `reach` away, as after a good renumbering.
struct graph {
  index_t n, k;
  std::vector<std::int64_t> offset;
  std::vector<std::int32_t> column;
  std::vector<double> left, right;
  float *y, *out, *floor_out;
  std::span<std::byte> memory;

  graph(index_t nodes, index_t classes, index_t degree, index_t reach)
      : n(nodes),
        k(classes),
        left(static_cast<std::size_t>(nodes)),
        right(left),
        y(touched(nodes * classes + 64)),
        out(touched(nodes * classes)),
        floor_out(touched(nodes * classes)) {
    const std::size_t bytes = weakly::label_propagation_scratch<float>(nodes, classes);
    memory = {reinterpret_cast<std::byte*>(touched(static_cast<index_t>(bytes / sizeof(float)))), bytes};
    std::mt19937_64 random(1);
    std::vector<std::int32_t> row;
    for (index_t i = 0; i < n; ++i) {
      offset.push_back(static_cast<std::int64_t>(column.size()));
      row.clear();
      const index_t low = reach == 0 ? 0 : std::max<index_t>(0, i - reach);
      const index_t high = reach == 0 ? n : std::min(n, i + reach);
      for (index_t e = 0; e < degree; ++e)
        row.push_back(
            static_cast<std::int32_t>(low + static_cast<index_t>(random() % static_cast<std::uint64_t>(high - low))));
      std::sort(row.begin(), row.end());
      row.erase(std::unique(row.begin(), row.end()), row.end());
      column.insert(column.end(), row.begin(), row.end());
    }
    offset.push_back(static_cast<std::int64_t>(column.size()));
    for (index_t e = 0; e < n * k; ++e) y[e] = static_cast<float>(random() % 1024) / 1024;
  }
  graph(const graph&) = delete;
  graph& operator=(const graph&) = delete;
  ~graph() {
    std::free(y);
    std::free(out);
    std::free(floor_out);
    std::free(memory.data());
  }

  weakly::normalised_adjacency normalised() {
    return weakly::normalise_adjacency(weakly::csr_adjacency(offset, column), left, right);
  }
};

graph& of(index_t n, index_t k, index_t reach) {
  static std::vector<std::pair<std::string, std::unique_ptr<graph>>> kept;
  const std::string name = std::to_string(n) + "x" + std::to_string(k) + "/" + std::to_string(reach);
  if (kept.empty() || kept.back().first != name) {
    kept.clear();
    kept.emplace_back(name, std::make_unique<graph>(n, k, 10, reach));
  }
  return *kept.back().second;
}

// The rows of the neighbours, added: neither scale nor share, no other layout, K known to the compiler.
template <index_t K, std::size_t Ahead>
void add_rows(const graph& g, index_t first, index_t last) {
  using batch = weakly::simd::batch<float>;
  constexpr int parts = static_cast<int>((K + batch::size - 1) / batch::size);
  for (index_t i = first; i < last; ++i) {
    batch sum[std::size_t(parts)];
    weakly::simd::unroll<parts>([&](auto b) { sum[b] = batch(0.0f); });
    const auto end = static_cast<std::size_t>(g.offset[static_cast<std::size_t>(i) + 1]);
    for (auto e = static_cast<std::size_t>(g.offset[static_cast<std::size_t>(i)]); e < end; ++e) {
      const float* const row = g.y + index_t(g.column[e]) * K;
      if (Ahead > 0 && e + Ahead < g.column.size()) {
        const float* const next = g.y + index_t(g.column[e + Ahead]) * K;
        for (index_t j = 0; j < K; j += weakly::simd::line_size<float>) weakly::simd::prefetch(next + j);
      }
      weakly::simd::unroll<parts>([&](auto b) { sum[b] += weakly::simd::load(row + b * batch::size); });
    }
    float* const to = g.floor_out + i * K;
    weakly::simd::unroll<parts>([&](auto b) {
      constexpr index_t at = index_t(b) * batch::size;
      if constexpr (at + batch::size <= K)
        weakly::simd::store(to + at, sum[b]);
      else
        weakly::simd::store_partial(to + at, K - at, sum[b]);
    });
  }
}

template <index_t K>
void add_all(index_t n, index_t reach) {
  const std::string size = bench::size_name(n, K) + (reach == 0 ? "/anywhere" : "/near");
  const auto rate = [](benchmark::State& state, const graph& g, index_t steps) {
    state.SetItemsProcessed(state.iterations() * steps * static_cast<index_t>(g.column.size()));
  };
  for (const int threads : {1, 2}) {
    const std::string name = "graph/label_propagation/" + size + "/threads" + std::to_string(threads);
    const auto add_floor = [&](const char* kind, auto rows) {
      bench::add(name + kind, [=](benchmark::State& state) {
        const graph& g = of(n, K, reach);
        bench::with_threads(threads, [&](auto&& ex) {
          for (auto _ : state) {
            weakly::for_row_chunks(ex, n, 440, [&](index_t first, index_t last) { rows(g, first, last); });
            benchmark::ClobberMemory();
          }
        });
        rate(state, g, 1);
      });
    };
    add_floor("/floor", add_rows<K, 0>);
    add_floor("/floor_asking_ahead", add_rows<K, 12>);
    for (const index_t steps : {1, 6})
      bench::add(name + "/steps" + std::to_string(steps), [=](benchmark::State& state) {
        graph& g = of(n, K, reach);
        const auto s = g.normalised();
        bench::with_threads(threads, [&](auto&& ex) {
          for (auto _ : state) {
            weakly::workspace scratch(g.memory);
            const index_t missed =
                weakly::label_propagation(ex, s, weakly::view(static_cast<const float*>(g.y), n, K), scratch,
                                          weakly::view(g.out, n, K), weakly::discard, {.steps = steps});
            benchmark::DoNotOptimize(missed);
            benchmark::ClobberMemory();
          }
        });
        rate(state, g, steps);
      });
    bench::add(name + "/normalise", [=](benchmark::State& state) {
      graph& g = of(n, K, reach);
      bench::with_threads(threads, [&](auto&& ex) {
        for (auto _ : state) {
          const auto s = weakly::normalise_adjacency(ex, weakly::csr_adjacency(g.offset, g.column), g.left, g.right);
          benchmark::DoNotOptimize(s.nodes());
        }
      });
      rate(state, g, 1);
    });
  }
}

const bool registered = (add_all<40>(1000000, 0), add_all<40>(1000000, 1000), add_all<7>(1000000, 0), true);

}  // namespace
