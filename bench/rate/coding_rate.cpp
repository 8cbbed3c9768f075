// SPDX-License-Identifier: MIT
// Coding rates beside the peak of the arithmetic units and beside plain products, ours and Eigen's.
#include "common.hpp"

#include <weakly/core/simd.hpp>
#include <weakly/rate/coding_rate.hpp>
#include <weakly/rate/rate_reduction.hpp>

#include <Eigen/Core>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

namespace {

using weakly::index_t;
using weakly::membership_view;

template <class T>
const char* type_name() {
  return std::is_same_v<T, float> ? "float" : "double";
}

template <class T>
struct batch_of_rows {
  index_t n, d;
  std::vector<T> z, grad;
  std::vector<std::int32_t> label;
  std::vector<T> soft, soft_grad;

  batch_of_rows(index_t rows, index_t features, index_t k, bool memberships = false)
      : n(rows), d(features), z(std::size_t(n * d)), grad(z.size()) {
    std::mt19937_64 random(1);
    std::normal_distribution<double> normal;
    for (index_t i = 0; i < n; ++i) {
      label.push_back(std::int32_t(i % k));
      double square = 0;
      for (index_t j = 0; j < d; ++j) {
        const double x = normal(random) + (j % k == i % k ? 2 : 0);
        z[std::size_t(i * d + j)] = T(x);
        square += x * x;
      }
      for (index_t j = 0; j < d; ++j) z[std::size_t(i * d + j)] *= T(1 / std::sqrt(square));
    }
    if (!memberships) return;
    soft.resize(std::size_t(n * k));
    soft_grad.resize(soft.size());
    for (index_t i = 0; i < n; ++i) {
      double sum = 0;
      std::vector<double> e;
      for (index_t c = 0; c < k; ++c) sum += e.emplace_back(std::exp(normal(random)));
      for (index_t c = 0; c < k; ++c) soft[std::size_t(i * k + c)] = T(e[std::size_t(c)] / sum);
    }
  }

  auto features() const { return weakly::view(z.data(), n, d); }
  auto gradient() { return weakly::view(grad.data(), n, d); }
};

// Chains that start differently and that the compiler cannot see through.
template <class T>
void peak(benchmark::State& state) {
  using batch = weakly::simd::batch<T>;
  constexpr int chains = 12;
  constexpr index_t rounds = 100000;
  std::vector<T> seed(std::size_t(chains * batch::size));
  for (std::size_t i = 0; i < seed.size(); ++i) seed[i] = T(1) + T(i) / 100;
  static volatile T factor = T(0.999), summand = T(0.001);
  const T by = factor, add = summand;
  benchmark::DoNotOptimize(seed.data());
  for (auto _ : state) {
    batch sum[std::size_t(chains)];
    weakly::simd::unroll<chains>([&](auto c) { sum[c] = weakly::simd::load(seed.data() + c * batch::size); });
    const batch m(by), a(add);
    for (index_t r = 0; r < rounds; ++r)
      weakly::simd::unroll<chains>([&](auto c) { sum[c] = weakly::simd::fma(sum[c], m, a); });
    batch total(T(0));
    weakly::simd::unroll<chains>([&](auto c) { total += sum[c]; });
    benchmark::DoNotOptimize(weakly::simd::reduce_add(total));
  }
  state.counters["flops"] = double(2 * chains * rounds * batch::size);
  state.counters["GFLOP/s"] = benchmark::Counter(2e-9 * chains * double(rounds) * double(batch::size),
                                                 benchmark::Counter::kIsIterationInvariantRate);
}

void with_flops(benchmark::State& state, double flops) {
  state.counters["flops"] = flops;
  state.counters["GFLOP/s"] = benchmark::Counter(flops * 1e-9, benchmark::Counter::kIsIterationInvariantRate);
}

// out = Z S of n x d by d x d.
template <class T>
void eigen_product(benchmark::State& state, index_t n, index_t d) {
  using matrix = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const matrix z = matrix::Random(n, d), s = matrix::Random(d, d);
  matrix out(n, d);
  for (auto _ : state) {
    out.noalias() = z * s;
    benchmark::DoNotOptimize(out.data());
    benchmark::ClobberMemory();
  }
  with_flops(state, 2.0 * double(n) * double(d) * double(d));
}
template <class T>
void packed_product(benchmark::State& state, index_t n, index_t d) {
  using tile = weakly::detail::product_tile<T>;
  const index_t pitch = weakly::detail::padded_pitch(d), step = 64;
  batch_of_rows<T> a(n, d, 1);
  std::vector<const T*> row;
  std::vector<T*> out;
  for (index_t i = 0; i < n; ++i) {
    row.push_back(a.z.data() + i * d);
    out.push_back(a.grad.data() + i * d);
  }
  const weakly::detail::aligned_array<T> right(pitch * pitch);
  for (index_t k = 0; k < d; k += tile::depth)
    weakly::detail::pack_strips(row.data() + k, std::min(tile::depth, d - k), d, pitch, right.data() + k * pitch);
  for (auto _ : state) {
    for (index_t i = 0; i < n; i += step)
      weakly::detail::multiply_rows(row.data() + i, std::min(step, n - i),
                                    weakly::detail::packed_rows<T>{right.data(), d, pitch, tile::depth, false}, d, T(1),
                                    false, out.data() + i);
    benchmark::ClobberMemory();
  }
  with_flops(state, 2.0 * double(n) * double(d) * double(d));
}

template <class T>
void add_rate(index_t n, index_t d, int threads) {
  const std::string size = bench::size_name(n, d), end = "/threads:" + std::to_string(threads);
  bench::add(std::string("rate/coding_rate/gradient_") + type_name<T>() + "/" + size + end,
             [=](benchmark::State& state) {
               batch_of_rows<T> a(n, d, 10);
               for (auto _ : state)
                 bench::with_threads(threads, [&](auto&& ex) {
                   benchmark::DoNotOptimize(weakly::coding_rate(ex, a.features(), a.gradient()));
                 });
               with_flops(state, 3.0 * double(n) * double(d) * double(d));
             });
  if (threads == 1)
    bench::add(std::string("rate/coding_rate/value_") + type_name<T>() + "/" + size + end,
               [=](benchmark::State& state) {
                 batch_of_rows<T> a(n, d, 10);
                 for (auto _ : state) benchmark::DoNotOptimize(weakly::coding_rate(a.features()));
                 with_flops(state, double(n) * double(d) * double(d));
               });
}

template <class T>
void add_reduction(index_t n, index_t d, index_t k, int threads) {
  const std::string size = bench::size_name(n, d) + "x" + std::to_string(k),
                    end = "/threads:" + std::to_string(threads);
  const std::string type = type_name<T>();
  bench::add("rate/rate_reduction/gradient_" + type + "/" + size + end, [=](benchmark::State& state) {
    batch_of_rows<T> a(n, d, k);
    for (auto _ : state)
      bench::with_threads(threads, [&](auto&& ex) {
        benchmark::DoNotOptimize(
            weakly::rate_reduction(ex, a.features(), membership_view::hard(a.label, k), a.gradient(), weakly::discard));
      });
  });
  if (threads == 1)
    bench::add("rate/rate_reduction/value_" + type + "/" + size + end, [=](benchmark::State& state) {
      batch_of_rows<T> a(n, d, k);
      for (auto _ : state)
        benchmark::DoNotOptimize(weakly::rate_reduction(a.features(), membership_view::hard(a.label, k)));
    });
}
template <class T>
void add_soft(index_t n, index_t d, index_t k) {
  bench::add(std::string("rate/rate_reduction/soft_") + type_name<T>() + "/" + bench::size_name(n, d) + "x" +
                 std::to_string(k) + "/threads:1",
             [=](benchmark::State& state) {
               batch_of_rows<T> a(n, d, k, true);
               for (auto _ : state)
                 benchmark::DoNotOptimize(
                     weakly::rate_reduction(a.features(), membership_view::soft(weakly::view(a.soft.data(), n, k)),
                                            a.gradient(), weakly::view(a.soft_grad.data(), n, k)));
             });
}

template <class T>
void add_floors(index_t n, index_t d) {
  const std::string end = std::string("_") + type_name<T>() + "/" + bench::size_name(n, d);
  bench::add("rate/floor/eigen_product" + end, [=](benchmark::State& state) { eigen_product<T>(state, n, d); });
  bench::add("rate/floor/packed_product" + end, [=](benchmark::State& state) { packed_product<T>(state, n, d); });
}

const bool registered = [] {
  bench::add("rate/floor/fma_float", peak<float>);
  bench::add("rate/floor/fma_double", peak<double>);
  add_floors<float>(20000, 512);
  add_floors<double>(20000, 512);
  add_floors<double>(10000, 128);
  for (const int threads : {1, 2}) {
    add_rate<float>(20000, 512, threads);
    add_reduction<double>(10000, 128, 10, threads);
    add_reduction<double>(20000, 512, 100, threads);
  }
  add_rate<double>(20000, 512, 1);
  add_reduction<float>(1000, 128, 10, 1);
  add_reduction<double>(1000, 128, 10, 1);
  add_reduction<double>(20000, 32, 200, 1);
  add_soft<double>(2000, 128, 10);
  return true;
}();

}  // namespace
