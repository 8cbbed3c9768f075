// SPDX-License-Identifier: MIT
// All messages of one count factor, beside the time of n^2 fused multiply-adds in registers and the same messages in
// logarithms.
#include "common.hpp"

#include <weakly/core/math.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/graph/count_factor.hpp>

#include <cmath>
#include <cstddef>
#include <limits>
#include <string>
#include <vector>

namespace {

using std::size_t;
using weakly::index_t;

struct factor {
  std::vector<double> theta, f, out;
  std::vector<std::byte> memory;

  template <class Potential>
  factor(index_t n, double mean, double deviation, Potential potential)
      : out(size_t(n)), memory(weakly::count_factor_scratch(n)) {
    std::mt19937_64 random(1);
    std::normal_distribution<double> normal(mean, deviation);
    for (index_t i = 0; i < n; ++i) theta.push_back(normal(random));
    for (index_t c = 0; c <= n; ++c) f.push_back(potential(double(c)));
  }
};

// n^2 of them in twelve chains per register width, which start apart so that none are merged.
double multiply_adds(index_t n) {
  using batch = weakly::simd::batch<double>;
  constexpr int chains = 12;
  batch sum[std::size_t(chains)];
  static volatile double start = 1, factor_by = 0.999999, added = 1e-7;
  weakly::simd::unroll<chains>([&](auto c) { sum[c] = start + 0.01 * double(index_t(c)); });
  const batch by = factor_by, more = added;
  for (index_t k = 0; k < n * n / (chains * batch::size); ++k)
    weakly::simd::unroll<chains>([&](auto c) { sum[c] = weakly::simd::fma(sum[c], by, more); });
  double all = 0;
  weakly::simd::unroll<chains>([&](auto c) { all += weakly::simd::reduce_add(sum[c]); });
  return all;
}

// As one writes it down.
void in_logarithms(factor& a) {
  constexpr double nothing = -std::numeric_limits<double>::infinity();
  using weakly::math::log_add_exp;
  const size_t n = a.theta.size(), pitch = n + 1;
  static std::vector<double> forward;
  forward.assign((n + 1) * pitch, nothing);
  std::vector<double> back = a.f;
  forward[0] = 0;
  for (size_t i = 0; i < n; ++i)
    for (size_t c = 0; c <= i + 1; ++c)
      forward[(i + 1) * pitch + c] =
          log_add_exp(forward[i * pitch + c], c > 0 ? forward[i * pitch + c - 1] + a.theta[i] : nothing);
  for (size_t i = n; i-- > 0;) {
    double one = nothing, zero = nothing;
    for (size_t c = 0; c <= i; ++c) {
      one = log_add_exp(one, forward[i * pitch + c] + back[c + 1]);
      zero = log_add_exp(zero, forward[i * pitch + c] + back[c]);
    }
    a.out[i] = one - zero;
    for (size_t c = 0; c <= i; ++c) back[c] = log_add_exp(back[c], a.theta[i] + back[c + 1]);
  }
}

void add_all(index_t n) {
  const auto add = [&](const std::string& name, auto run) {
    bench::add("graph/count_factor/" + name + "/" + std::to_string(n), [=](benchmark::State& state) {
      run(state);
      state.SetItemsProcessed(state.iterations() * n);
    });
  };
  const auto messages = [&](const std::string& name, double mean, double deviation, auto potential) {
    add(name, [=](benchmark::State& state) {
      factor a(n, mean, deviation, potential);
      for (auto _ : state) {
        weakly::workspace scratch(a.memory);
        benchmark::DoNotOptimize(weakly::count_factor_sum(a.theta, a.f, scratch, a.out));
        benchmark::ClobberMemory();
      }
    });
  };
  const double third = double(n / 3), inf = std::numeric_limits<double>::infinity();
  add("multiply_adds", [=](benchmark::State& state) {
    for (auto _ : state) benchmark::DoNotOptimize(multiply_adds(n));
    state.counters["GFLOP/s"] =
        benchmark::Counter(2 * double(n * n) * double(state.iterations()) / 1e9, benchmark::Counter::kIsRate);
  });
  messages("quadratic", -1, 1.5, [=](double c) { return -10 * (c - third) * (c - third); });
  messages("soft_quadratic", -1, 1.5, [=](double c) { return -1e-3 * (c - third) * (c - third); });
  messages("hard", -1, 1.5, [=](double c) { return c == third ? 0 : -inf; });
  messages("contradicted", 4, 1.5, [=](double c) { return -10 * (c - third) * (c - third); });
  messages("arbitrary", -1, 1.5, [](double c) { return 3 * std::sin(c * c); });
  messages("wide", 0, 0.1, [](double c) { return 3 * std::sin(c * c); });
  messages("in_logarithms_fallback", 0, 0,
           [=](double c) { return 1.2e-3 * (c - double(n) / 2) * (c - double(n) / 2); });
  add("best", [=](benchmark::State& state) {
    factor a(n, -1, 1.5, [=](double c) { return -10 * (c - third) * (c - third); });
    for (auto _ : state) {
      weakly::workspace scratch(a.memory);
      benchmark::DoNotOptimize(weakly::count_factor_max(a.theta, a.f, scratch, a.out));
      benchmark::ClobberMemory();
    }
  });
  if (n <= 2048)
    add("plain_logarithms", [=](benchmark::State& state) {
      factor a(n, -1, 1.5, [=](double c) { return -10 * (c - third) * (c - third); });
      for (auto _ : state) {
        in_logarithms(a);
        benchmark::ClobberMemory();
      }
    });
}

const bool registered = (add_all(8), add_all(128), add_all(2048), add_all(8192), true);

}  // namespace
