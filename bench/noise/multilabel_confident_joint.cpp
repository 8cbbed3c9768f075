// SPDX-License-Identifier: MIT
// Multi-label data: joint of every class, the default filter, and one score a row.
#include "common.hpp"

#include <weakly/core/random.hpp>
#include <weakly/noise/multilabel_confident_joint.hpp>
#include <weakly/noise/multilabel_issues.hpp>
#include <weakly/noise/multilabel_quality.hpp>

#include <cstdint>
#include <string>
#include <vector>

namespace {

using weakly::index_t;

struct entries {
  index_t n, k;
  std::vector<std::uint8_t> label;
  std::vector<float> prob;

  auto labels() const { return weakly::view(label.data(), n, k); }
  auto probs() const { return weakly::view(prob.data(), n, k); }
};

/// A third of the classes belong to a row; one label in twenty is wrong.
const entries& data(index_t n, index_t k) {
  static std::vector<entries> all;
  for (const entries& e : all)
    if (e.n == n && e.k == k) return e;
  entries e{n, k, {}, {}};
  weakly::random_stream random(1);
  for (index_t i = 0; i < n * k; ++i) {
    const bool in = random.below(3) == 0;
    const double doubt = 0.4 * random.uniform();
    e.prob.push_back(static_cast<float>(in ? 1 - doubt : doubt));
    e.label.push_back(in != (random.below(20) == 0));
  }
  all.push_back(std::move(e));
  return all.back();
}

void joint(benchmark::State& state, index_t n, index_t k, int threads) {
  const entries& e = data(n, k);
  for (auto _ : state)
    bench::with_threads(threads, [&](auto&& ex) {
      benchmark::DoNotOptimize(weakly::multilabel_confident_joint(ex, e.labels(), e.probs()));
    });
  state.SetItemsProcessed(state.iterations() * n * k);
}

void issues(benchmark::State& state, index_t n, index_t k, int threads) {
  const entries& e = data(n, k);
  for (auto _ : state)
    bench::with_threads(threads, [&](auto&& ex) {
      benchmark::DoNotOptimize(weakly::find_multilabel_issues(ex, e.labels(), e.probs()));
    });
  state.SetItemsProcessed(state.iterations() * n * k);
}

void row_quality(benchmark::State& state, index_t n, index_t k, int threads) {
  const entries& e = data(n, k);
  std::vector<double> score(static_cast<std::size_t>(n));
  for (auto _ : state) {
    bench::with_threads(threads,
                        [&](auto&& ex) { weakly::multilabel_row_quality(ex, e.labels(), e.probs(), {}, score); });
    benchmark::DoNotOptimize(score.data());
  }
  state.SetItemsProcessed(state.iterations() * n * k);
}

const bool registered = [] {
  for (const auto& [n, k] : {std::pair{1000000, 10}, std::pair{10000, 1000}})
    for (const int threads : {1, 2}) {
      const std::string size = "/" + bench::size_name(n, k) + "/threads:" + std::to_string(threads);
      const auto with = [n = n, k = k, threads](auto f) { return [=](benchmark::State& s) { f(s, n, k, threads); }; };
      bench::add("multilabel_confident_joint" + size, with(joint));
      bench::add("multilabel_issues" + size, with(issues));
      bench::add("multilabel_row_quality" + size, with(row_quality));
    }
  return true;
}();

}  // namespace
