// SPDX-License-Identifier: MIT
// Flooding on a grid, beside reading as many bytes as a sweep has to move. bytes_per_second counts, for each node, its
// four messages read and written, its field, and its couplings to the right and below read: eleven numbers, nine where
// one coupling serves all. Copies of rows at the borders of bands, and lines read again by the row below, are not
// counted.
#include "common.hpp"

#include <weakly/core/simd.hpp>
#include <weakly/graph/grid_belief_propagation.hpp>

#include <cstddef>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

namespace {

using weakly::index_t;

template <class T>
weakly::grid_belief_propagation<T>& grid(index_t side, double coupling, bool each) {
  static std::map<std::pair<index_t, double>, std::unique_ptr<weakly::grid_belief_propagation<T>>> grids;
  auto& g = grids[{each ? side : -side, coupling}];
  if (g) return *g;
  g = std::make_unique<weakly::grid_belief_propagation<T>>(side, side);
  std::mt19937_64 random(1);
  std::normal_distribution<T> normal;
  const auto numbers = [&](index_t n, double scale) {
    std::vector<T> all(static_cast<std::size_t>(n));
    for (T& x : all) x = static_cast<T>(scale) * normal(random);
    return all;
  };
  const std::vector<T> field = numbers(side * side, 1), right = numbers(side * (side - 1), coupling),
                       down = numbers(side * (side - 1), coupling);
  const auto f = weakly::view(field.data(), side, side);
  if (each)
    g->set_model(f, weakly::view(right.data(), side, side - 1), weakly::view(down.data(), side - 1, side));
  else
    g->set_model(f, coupling);
  return *g;
}

template <class T>
void sweep(benchmark::State& state, index_t side, int threads, double damping, double coupling, bool each) {
  constexpr index_t sweeps = 8;
  auto& g = grid<T>(side, coupling, each);
  for (auto _ : state)
    bench::with_threads(threads, [&](auto&& ex) {
      benchmark::DoNotOptimize(g.run(ex, {.damping = damping, .tolerance = 0, .max_iterations = sweeps}).change);
    });
  const index_t nodes = sweeps * state.iterations() * side * side;
  state.SetBytesProcessed(nodes * (each ? 11 : 9) * index_t(sizeof(T)));
  state.SetItemsProcessed(4 * nodes);  // messages
}

// As many bytes as a float sweep with a coupling for each edge moves, all of them read.
void read(benchmark::State& state, index_t side, int threads) {
  using batch = weakly::simd::batch<float>;
  const index_t count = side * side * 11, part = count / 64 / (8 * batch::size) * (8 * batch::size);
  static std::map<index_t, float*> arrays;
  float*& p = arrays[side];
  if (p == nullptr) std::fill_n(p = bench::huge_pages(static_cast<std::size_t>(count)), count, 1.0f);
  for (auto _ : state)
    bench::with_threads(threads, [&](auto&& ex) {
      ex(64, [&](index_t c) {
        batch sum[8];
        for (batch& s : sum) s = batch(0.0f);
        for (index_t i = c * part; i < (c + 1) * part; i += 8 * batch::size)
          weakly::simd::unroll<8>([&](auto b) { sum[b] += weakly::simd::load(p + i + b * batch::size); });
        float total = 0;
        for (const batch& s : sum) total += weakly::simd::reduce_add(s);
        benchmark::DoNotOptimize(total);
      });
    });
  state.SetBytesProcessed(state.iterations() * 64 * part * 4);
}

const bool registered = [] {
  for (const int threads : {1, 2})
    for (const index_t side : {index_t(200), index_t(1000)}) {
      const std::string end = "/" + bench::size_name(side, side) + "/threads:" + std::to_string(threads);
      const auto add = [&](const std::string& name, auto run) { bench::add("graph/grid/" + name + end, run); };
      add("read", [=](benchmark::State& s) { read(s, side, threads); });
      add("float", [=](benchmark::State& s) { sweep<float>(s, side, threads, 0, 0.3, true); });
      add("float_one_coupling", [=](benchmark::State& s) { sweep<float>(s, side, threads, 0, 0.3, false); });
      add("float_damping_0.5", [=](benchmark::State& s) { sweep<float>(s, side, threads, 0.5, 0.3, true); });
      add("float_damping_0.3", [=](benchmark::State& s) { sweep<float>(s, side, threads, 0.3, 0.3, true); });
      add("double", [=](benchmark::State& s) { sweep<double>(s, side, threads, 0, 0.3, true); });
      if (side == 200)
        add("float_logarithms", [=](benchmark::State& s) { sweep<float>(s, side, threads, 0, 9, true); });
    }
  return true;
}();

}  // namespace
