// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/executor.hpp>
#include <weakly/core/view.hpp>
#include <weakly/exec/thread_pool.hpp>

#include <benchmark/benchmark.h>

#include <sys/mman.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace bench {

/// Probabilities and labels of one size. Huge pages are asked for, so that page walks do not blur the floors.
struct arrays {
  weakly::index_t n = 0;
  weakly::index_t k = 0;
  float* prob = nullptr;
  std::vector<std::int64_t> label;

  weakly::matrix_view<const float> prob_view() const { return weakly::view(static_cast<const float*>(prob), n, k); }
};

inline std::string size_name(weakly::index_t n, weakly::index_t k) {
  return std::to_string(n) + "x" + std::to_string(k);
}

inline float* huge_pages(std::size_t count) {
  constexpr std::size_t page = std::size_t(1) << 21;
  const std::size_t bytes = (count * sizeof(float) + page - 1) / page * page;
  void* const memory = std::aligned_alloc(page, bytes);
  madvise(memory, bytes, MADV_HUGEPAGE);
  return static_cast<float*>(memory);
}

/// Softmax of gaussian logits of deviation 3; the label is the most probable class, one in ten replaced at random.
inline void generate(arrays& a) {
  std::mt19937_64 random(1);
  std::normal_distribution<float> logit(0, 3);
  for (weakly::index_t i = 0; i < a.n; ++i) {
    float* const row = a.prob + i * a.k;
    float top = -INFINITY;
    weakly::index_t best = 0;
    for (weakly::index_t j = 0; j < a.k; ++j) {
      row[j] = logit(random);
      if (row[j] > top) {
        top = row[j];
        best = j;
      }
    }
    float sum = 0;
    for (weakly::index_t j = 0; j < a.k; ++j) sum += row[j] = std::exp(row[j] - top);
    for (weakly::index_t j = 0; j < a.k; ++j) row[j] /= sum;
    const bool wrong = random() % 10 == 0;
    a.label.push_back(wrong ? static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(a.k)) : best);
  }
}

/// The arrays of a size: the files that the peers read where WEAKLY_BENCH_DATA names their folder, else generated.
inline const arrays& data(weakly::index_t n, weakly::index_t k) {
  static std::map<std::pair<weakly::index_t, weakly::index_t>, arrays> all;
  arrays& a = all[{n, k}];
  if (a.prob != nullptr) return a;
  a.n = n;
  a.k = k;
  const auto count = static_cast<std::size_t>(n * k);
  a.prob = huge_pages(count);
  const char* const folder = std::getenv("WEAKLY_BENCH_DATA");
  const std::string base = std::string(folder ? folder : "") + "/" + size_name(n, k);
  std::ifstream prob(base + ".f32", std::ios::binary), label(base + ".i64", std::ios::binary);
  a.label.resize(static_cast<std::size_t>(n));
  if (folder && prob.read(reinterpret_cast<char*>(a.prob), static_cast<std::streamsize>(4 * count)) &&
      label.read(reinterpret_cast<char*>(a.label.data()), static_cast<std::streamsize>(8 * n)))
    return a;
  a.label.clear();
  generate(a);
  return a;
}

/// A running pool of a number of threads, kept for the whole run.
inline weakly::thread_pool& pool(int threads) {
  static std::map<int, std::unique_ptr<weakly::thread_pool>> pools;
  auto& p = pools[threads];
  if (!p) p = std::make_unique<weakly::thread_pool>(threads);
  return *p;
}

/// Runs f(executor) with the calling thread alone, or with a pool.
template <class F>
auto with_threads(int threads, F&& f) {
  return threads == 1 ? f(weakly::seq) : f(pool(threads));
}

/// Registers `run(state)` under a name, in wall-clock time with the CPU time of all threads beside it.
template <class F>
void add(const std::string& name, F run) {
  benchmark::RegisterBenchmark(name.c_str(), [run](benchmark::State& state) { run(state); })
      ->UseRealTime()
      ->MeasureProcessCPUTime()
      ->Unit(benchmark::kMillisecond);
}

}  // namespace bench
