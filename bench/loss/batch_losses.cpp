// SPDX-License-Identifier: MIT
// Losses that need the whole batch, next to a copy of the matrix they read and write.
#include <weakly/core/workspace.hpp>
#include <weakly/loss/multilabel_cluster_discrimination.hpp>
#include <weakly/loss/multilabel_positive_unlabeled.hpp>
#include <weakly/loss/positive_unlabeled.hpp>
#include <weakly/loss/robust_contrastive.hpp>

#include <benchmark/benchmark.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

namespace {

using weakly::index_t;

struct scores {
  index_t n, k;
  std::vector<float> x, grad;
  std::vector<std::uint8_t> positive, negative;

  scores(index_t rows, index_t columns) : n(rows), k(columns), grad(std::size_t(rows * columns)) {
    std::mt19937 random(1);
    std::normal_distribution<float> draw(0, 0.3f);
    for (index_t e = 0; e < n * k; ++e) {
      x.push_back(draw(random));
      positive.push_back(random() % 10 == 0 ? 1 : 0);
      negative.push_back(positive.back() == 0 ? 1 : 0);
    }
  }
  auto scores_view() const { return weakly::view(x.data(), n, k); }
  auto grad_view() { return weakly::view(grad.data(), n, k); }
  auto positive_view() const { return weakly::view(positive.data(), n, k); }
  auto negative_view() const { return weakly::view(negative.data(), n, k); }
};

void batch_copy(benchmark::State& state) {
  scores s(state.range(0), state.range(1));
  for (auto _ : state) {
    std::memcpy(s.grad.data(), s.x.data(), s.x.size() * sizeof(float));
    benchmark::ClobberMemory();
  }
}

void robust_contrastive(benchmark::State& state) {
  scores s(state.range(0), state.range(1));
  const std::vector<float> tau(std::size_t(s.n), 0.1f);
  std::vector<std::byte> memory(weakly::robust_contrastive_scratch<float>(s.n));
  for (auto _ : state) {
    weakly::workspace scratch(memory);
    benchmark::DoNotOptimize(weakly::robust_contrastive(s.scores_view(), tau, tau, scratch, s.grad_view(),
                                                        weakly::discard, weakly::discard, {.rho = 0.3}));
  }
}

void positive_unlabeled(benchmark::State& state) {
  scores s(state.range(0), state.range(1));
  const std::vector<double> prior(std::size_t(s.k), 0.1);
  std::vector<weakly::positive_unlabeled_risk> risk(prior.size());
  for (auto _ : state)
    benchmark::DoNotOptimize(
        weakly::positive_unlabeled(s.scores_view(), s.positive_view(), prior, risk, s.grad_view()));
}

void multilabel_positive_unlabeled(benchmark::State& state) {
  scores s(state.range(0), state.range(1));
  std::vector<weakly::multilabel_positive_unlabeled_column> column(std::size_t(s.k));
  for (auto _ : state)
    benchmark::DoNotOptimize(weakly::multilabel_positive_unlabeled(s.scores_view(), s.positive_view(), column,
                                                                   s.grad_view(), {.alpha = 0.5, .gamma = 1}));
}

void multilabel_cluster_discrimination(benchmark::State& state) {
  scores s(state.range(0), state.range(1));
  std::vector<float> loss(std::size_t(s.n));
  for (auto _ : state) {
    weakly::multilabel_cluster_discrimination(s.scores_view(), s.positive_view(), s.negative_view(), loss,
                                              s.grad_view());
    benchmark::ClobberMemory();
  }
}

BENCHMARK(batch_copy)->Args({4096, 4096})->Unit(benchmark::kMillisecond);
BENCHMARK(robust_contrastive)->Args({4096, 4096})->Unit(benchmark::kMillisecond);
BENCHMARK(positive_unlabeled)->Args({16384, 1024})->Unit(benchmark::kMillisecond);
BENCHMARK(multilabel_positive_unlabeled)->Args({16384, 1024})->Unit(benchmark::kMillisecond);
BENCHMARK(multilabel_cluster_discrimination)->Args({16384, 1024})->Unit(benchmark::kMillisecond);

}  // namespace
