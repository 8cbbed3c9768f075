// SPDX-License-Identifier: MIT
// Thresholds and confident joint: two passes over the probabilities, of which the first touches one entry a row.
#include "common.hpp"

#include <weakly/noise/class_thresholds.hpp>
#include <weakly/noise/confident_joint.hpp>

#include <malloc.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <string>
#include <utility>

namespace {

std::atomic<std::int64_t> live = 0, most = 0;

void note(std::int64_t bytes) {
  const std::int64_t now = live.fetch_add(bytes, std::memory_order_relaxed) + bytes;
  std::int64_t seen = most.load(std::memory_order_relaxed);
  while (now > seen && !most.compare_exchange_weak(seen, now, std::memory_order_relaxed)) {
  }
}

/// The most memory that was allocated at once while f ran, above what was there before. The stack is not in it.
template <class F>
double peak_allocated(F&& f) {
  const std::int64_t before = live;
  most = before;
  f();
  return static_cast<double>(most - before);
}

}  // namespace

// For the whole program: a few nanoseconds for each allocation, and no benchmark allocates in its inner loop.
void* operator new(std::size_t bytes) {
  void* const memory = std::malloc(bytes);
  if (memory == nullptr) throw std::bad_alloc();
  note(static_cast<std::int64_t>(malloc_usable_size(memory)));
  return memory;
}
void operator delete(void* memory) noexcept {
  note(-static_cast<std::int64_t>(malloc_usable_size(memory)));
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept { operator delete(memory); }

namespace {

void thresholds_and_confident_joint(benchmark::State& state, weakly::index_t n, weakly::index_t k, int threads) {
  const bench::arrays& a = bench::data(n, k);
  const auto run = [&] {
    bench::with_threads(threads, [&](auto&& ex) {
      benchmark::DoNotOptimize(weakly::confident_joint(ex, a.label, a.prob_view()));
    });
  };
  run();  // starts the threads
  state.counters["extra_bytes"] = peak_allocated(run);
  for (auto _ : state) run();
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
