// SPDX-License-Identifier: MIT
// Learning from label proportions: 1e6 items in bags of 2048 with 5 neighbours each, a pass of belief propagation; a
// hundred passes are a run.
#include "common.hpp"

#include <weakly/graph/label_proportions.hpp>
#include <weakly/graph/proportion_labels.hpp>

#include <sys/resource.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace {

using std::size_t;
using weakly::index_t;

struct problem {
  std::vector<std::int32_t> offsets{0}, columns;
  std::vector<float> weights;
  std::vector<index_t> begin{0}, count;

  explicit problem(index_t n) {
    std::mt19937_64 random(1);
    std::uniform_real_distribution<float> weight(0, 1);
    columns.reserve(size_t(5 * n));
    weights.reserve(size_t(5 * n));
    for (index_t i = 0; i < n; ++i) {
      for (int k = 0; k < 5; ++k) {
        const auto by = 1 + index_t(random() % std::uint64_t(n - 1));
        columns.push_back(static_cast<std::int32_t>((i + by) % n));
        weights.push_back(weight(random));
      }
      offsets.push_back(static_cast<std::int32_t>(columns.size()));
    }
    while (begin.back() < n) {
      begin.push_back(std::min(n, begin.back() + 2048));
      count.push_back((begin.back() - begin[begin.size() - 2]) / 8);
    }
  }
};

void add_all(const std::string& name, index_t n, int threads) {
  bench::add("graph/label_proportions/" + name + "/" + std::to_string(threads), [=](benchmark::State& state) {
    const problem p(n);
    const weakly::label_bags bags(n, p.begin, p.count);
    weakly::label_proportions<float> propagation(
        weakly::csr_adjacency(p.offsets, p.columns, p.weights), bags,
        {.model = {.bag_strength = 1, .neighbour_strength = 1},
         .propagation = {.damping = 0.5, .tolerance = 0, .max_iterations = 1}});
    for (auto _ : state) bench::with_threads(threads, [&](auto& ex) { benchmark::DoNotOptimize(propagation.run(ex)); });
    rusage used;
    getrusage(RUSAGE_SELF, &used);
    state.SetItemsProcessed(state.iterations() * propagation.graph().edges());
    state.counters["bytes"] = double(propagation.graph().memory() + propagation.propagation().memory());
    state.counters["peak_kib"] = double(used.ru_maxrss);
  });
}

const bool registered =
    (add_all("100000", 100000, 1), add_all("1000000", 1000000, 1), add_all("1000000", 1000000, 2), true);

}  // namespace
