// SPDX-License-Identifier: MIT
// exp, log and log1p of 4096 numbers that stay in L1, against the C library and xsimd's own functions.
#include <weakly/core/simd.hpp>

#include <benchmark/benchmark.h>

#include <cmath>
#include <string>
#include <vector>

namespace simd = weakly::simd;
using weakly::index_t;

namespace {

constexpr index_t count = 4096;

// exp takes [-20, 0] as a softmax does, log and log1p the same without the sign and without zero.
template <class T>
std::vector<T> arguments(bool positive) {
  std::vector<T> x(count);
  for (index_t i = 0; i < count; ++i) {
    const T u = T(20) * T((i * 7919) % count) / T(count);
    x[static_cast<std::size_t>(i)] = positive ? u + T(1e-3) : -u;
  }
  return x;
}

template <class T, class Pass>
void run(benchmark::State& state, bool positive, Pass pass) {
  const std::vector<T> x = arguments<T>(positive);
  std::vector<T> y(count);
  for (auto _ : state) {
    pass(x.data(), y.data());
    benchmark::DoNotOptimize(y.data());
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * count);
  state.SetBytesProcessed(state.iterations() * count * index_t(2 * sizeof(T)));
  state.counters["ns_per_item"] = benchmark::Counter(double(state.iterations()) * double(count) * 1e-9,
                                                     benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

template <class T, class F>
void add_batches(const std::string& name, bool positive, F f) {
  benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
    run<T>(state, positive, [f](const T* x, T* y) {
      for (index_t i = 0; i < count; i += simd::batch<T>::size) simd::store(y + i, f(simd::load(x + i)));
    });
  });
}

template <class T, class F>
void add_scalars(const std::string& name, bool positive, F f) {
  benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
    run<T>(state, positive, [f](const T* x, T* y) {
      for (index_t i = 0; i < count; ++i) y[i] = f(x[i]);
    });
  });
}

#if defined(XSIMD_VERSION_MAJOR)
template <class T, class F>
void add_xsimd(const std::string& name, bool positive, F f) {
  benchmark::RegisterBenchmark(name.c_str(), [=](benchmark::State& state) {
    run<T>(state, positive, [f](const T* x, T* y) {
      constexpr auto size = index_t(xsimd::batch<T>::size);
      for (index_t i = 0; i < count; i += size) f(xsimd::batch<T>::load_unaligned(x + i)).store_unaligned(y + i);
    });
  });
}
#endif

template <class T>
void add_all(const std::string& type) {
  const std::string exp = "simd/exp/" + type, log = "simd/log/" + type, log1p = "simd/log1p/" + type;
  add_batches<T>(exp + "/weakly", false, [](simd::batch<T> x) { return simd::exp(x); });
  add_batches<T>(exp + "/nonpositive", false, [](simd::batch<T> x) { return simd::exp_nonpositive(x); });
  add_batches<T>(log + "/weakly", true, [](simd::batch<T> x) { return simd::log(x); });
  add_batches<T>(log1p + "/weakly", true, [](simd::batch<T> x) { return simd::log1p(x); });
  add_scalars<T>(exp + "/std", false, [](T x) { return std::exp(x); });
  add_scalars<T>(log + "/std", true, [](T x) { return std::log(x); });
  add_scalars<T>(log1p + "/std", true, [](T x) { return std::log1p(x); });
#if defined(XSIMD_VERSION_MAJOR)
  add_xsimd<T>(exp + "/xsimd", false, [](const xsimd::batch<T>& x) { return xsimd::exp(x); });
  add_xsimd<T>(log + "/xsimd", true, [](const xsimd::batch<T>& x) { return xsimd::log(x); });
  add_xsimd<T>(log1p + "/xsimd", true, [](const xsimd::batch<T>& x) { return xsimd::log1p(x); });
#endif
}

const bool registered = (add_all<float>("float"), add_all<double>("double"), true);

}  // namespace
