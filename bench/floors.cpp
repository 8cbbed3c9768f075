// SPDX-License-Identifier: MIT
// What the memory and the arithmetic units of this machine allow, measured in the run whose results are divided by it.
#include "common.hpp"
#include "loss/loss_arrays.hpp"

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

// Past the caches and in whole lines, from the logits that the losses read to where they write their gradient.
void copy(benchmark::State& state, weakly::index_t n, weakly::index_t k, int threads) {
  constexpr weakly::index_t line = weakly::simd::line_size<float>, parts = 64;
  const bench::logit_arrays& a = bench::logits(n, k);
  const weakly::index_t lines = n * k / line;
  for (auto _ : state) {
    bench::with_threads(threads, [&](auto&& ex) {
      ex(parts, [&](weakly::index_t c) {
        const weakly::index_t end = line * (lines * (c + 1) / parts);
        for (weakly::index_t i = line * (lines * c / parts); i < end; i += line)
          weakly::simd::stream_line(a.grad + i,
                                    [&](weakly::index_t e) { return weakly::simd::load(a.logits + i + e); });
        weakly::simd::stream_fence();
      });
    });
    benchmark::ClobberMemory();
  }
  state.SetBytesProcessed(state.iterations() * n * k * 8);
}

void add(const std::string& name, weakly::index_t n, weakly::index_t k, int threads,
         void (*run)(benchmark::State&, weakly::index_t, weakly::index_t, int)) {
  bench::add("floor/" + name + "/" + bench::size_name(n, k) + "/threads:" + std::to_string(threads),
             [=](benchmark::State& s) { run(s, n, k, threads); });
}

const bool registered = [] {
  for (const int threads : {1, 2}) {
    for (const auto& [n, k] : {std::pair{1000000, 10}, std::pair{100000, 1000}}) add("read", n, k, threads, read);
    for (const auto& [n, k] : bench::loss_sizes) add("copy", n, k, threads, copy);
  }
  return true;
}();

}  // namespace
