// SPDX-License-Identifier: MIT
// What the memory and the arithmetic units of this machine allow, measured in the run whose results are divided by it.
#include "common.hpp"

#include <weakly/core/executor.hpp>
#include <weakly/core/simd.hpp>

namespace {

using batch = weakly::simd::batch<float>;

// Eight independent sums: one would measure the latency of an addition.
float sum_of(const float* p, weakly::index_t count) {
  constexpr weakly::index_t width = batch::size;
  batch sum[8];
  for (batch& s : sum) s = batch(0.0f);
  weakly::index_t i = 0;
  for (; i + 8 * width <= count; i += 8 * width)
    weakly::simd::unroll<8>([&](auto b) { sum[b] += weakly::simd::load(p + i + b * width); });
  float total = 0;
  for (; i < count; ++i) total += p[i];
  for (const batch& s : sum) total += weakly::simd::reduce_add(s);
  return total;
}

void read(benchmark::State& state, weakly::index_t n, weakly::index_t k, int threads) {
  const bench::arrays& a = bench::data(n, k);
  const weakly::index_t count = n * k, part = count / 64;
  for (auto _ : state) {
    bench::with_threads(threads, [&](auto&& ex) {
      ex(64, [&](weakly::index_t c) {
        benchmark::DoNotOptimize(sum_of(a.prob + c * part, c == 63 ? count - 63 * part : part));
      });
    });
  }
  state.SetBytesProcessed(state.iterations() * count * 4);
}

void copy(benchmark::State& state, weakly::index_t n, weakly::index_t k) {
  const bench::arrays& a = bench::data(n, k);
  const weakly::index_t count = n * k, line = weakly::simd::line_size<float>;
  float* const out = bench::huge_pages(static_cast<std::size_t>(count));
  for (auto _ : state) {
    for (weakly::index_t i = 0; i + line <= count; i += line)
      weakly::simd::stream_line(out + i, [&](weakly::index_t e) { return weakly::simd::load(a.prob + i + e); });
    weakly::simd::stream_fence();
    benchmark::ClobberMemory();
  }
  std::free(out);
  state.SetBytesProcessed(state.iterations() * count * 8);
}

const bool registered = [] {
  for (const auto& [n, k] : {std::pair{1000000, 10}, std::pair{100000, 1000}}) {
    for (const int threads : {1, 2})
      bench::add("floor/read/" + bench::size_name(n, k) + "/threads:" + std::to_string(threads),
                 [n = n, k = k, threads](benchmark::State& s) { read(s, n, k, threads); });
    bench::add("floor/copy/" + bench::size_name(n, k) + "/threads:1",
               [n = n, k = k](benchmark::State& s) { copy(s, n, k); });
  }
  return true;
}();

}  // namespace
