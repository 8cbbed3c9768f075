// SPDX-License-Identifier: MIT
// Thresholds and confident joint: two passes over the probabilities, of which the first touches one entry a row.
#include "common.hpp"

#include <weakly/noise/class_thresholds.hpp>
#include <weakly/noise/confident_joint.hpp>


namespace {

void thresholds_and_confident_joint(benchmark::State& state, weakly::index_t n, weakly::index_t k, int threads) {
  const bench::arrays& a = bench::data(n, k);
  for (auto _ : state)
    bench::with_threads(threads, [&](auto&& ex) {
      benchmark::DoNotOptimize(weakly::confident_joint(ex, a.label, a.prob_view()));
    });
  // Everything the two estimators own: state, thresholds, three sets of bounds, and the result's k x k counts. The
  // kernels add a few KiB of stack a thread.
  state.counters["extra_bytes"] = static_cast<double>(5 * k * 8 + (k * (k + 1) + 1) * 8 + k * 8 * 2 + k * 16 + k * k * 8);
  state.SetItemsProcessed(state.iterations() * n);
}

void class_thresholds(benchmark::State& state, weakly::index_t n, weakly::index_t k) {
  const bench::arrays& a = bench::data(n, k);
  for (auto _ : state) benchmark::DoNotOptimize(weakly::class_thresholds(a.label, a.prob_view()));
  state.SetItemsProcessed(state.iterations() * n);
}

const bool registered = [] {
  for (const auto& [n, k] : {std::pair{1000000, 10}, std::pair{100000, 1000}}) {
    for (const int threads : {1, 2})
      bench::add("thresholds_and_confident_joint/" + bench::size_name(n, k) + "/threads:" + std::to_string(threads),
                 [n = n, k = k, threads](benchmark::State& s) { thresholds_and_confident_joint(s, n, k, threads); });
    bench::add("class_thresholds/" + bench::size_name(n, k) + "/threads:1",
               [n = n, k = k](benchmark::State& s) { class_thresholds(s, n, k); });
  }
  return true;
}();

}  // namespace
