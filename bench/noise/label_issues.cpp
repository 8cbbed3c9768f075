// SPDX-License-Identifier: MIT
// What a user asks for in one go: joint, calibration, the default filter, and a score of every row.
#include "common.hpp"

#include <weakly/noise/label_issues.hpp>
#include <weakly/noise/label_quality.hpp>
#include <weakly/noise/rank_issues.hpp>

#include <vector>

namespace {

// The default score of every row, and issues by row number: what the peer's two functions give by default.
void issues_and_score(benchmark::State& state, weakly::index_t n, weakly::index_t k) {
  const bench::arrays& a = bench::data(n, k);
  std::vector<double> score(static_cast<std::size_t>(n));
  for (auto _ : state) {
    benchmark::DoNotOptimize(weakly::find_label_issues(a.label, a.prob_view()));
    weakly::label_quality(a.label, a.prob_view(), score);
    benchmark::ClobberMemory();
  }
  state.SetItemsProcessed(state.iterations() * n);
}

// The score that reads whole rows, and issues ranked by it.
void ranked_issues_and_margin(benchmark::State& state, weakly::index_t n, weakly::index_t k) {
  const bench::arrays& a = bench::data(n, k);
  std::vector<double> score(static_cast<std::size_t>(n));
  for (auto _ : state) {
    weakly::label_issue_result issues = weakly::find_label_issues(a.label, a.prob_view());
    weakly::label_quality(a.label, a.prob_view(), score, {.score = weakly::quality_score::normalized_margin});
    weakly::rank_issues(score, issues.rows);
    benchmark::DoNotOptimize(issues);
  }
  state.SetItemsProcessed(state.iterations() * n);
}

void find_label_issues(benchmark::State& state, weakly::index_t n, weakly::index_t k, weakly::issue_filter filter) {
  const bench::arrays& a = bench::data(n, k);
  for (auto _ : state)
    benchmark::DoNotOptimize(weakly::find_label_issues(a.label, a.prob_view(), {.filter_by = filter}));
  state.SetItemsProcessed(state.iterations() * n);
}

const bool registered = [] {
  for (const auto& [n, k] : {std::pair{1000000, 10}, std::pair{100000, 1000}}) {
    bench::add("issues_and_score/" + bench::size_name(n, k),
               [n = n, k = k](benchmark::State& s) { issues_and_score(s, n, k); });
    bench::add("ranked_issues_and_margin/" + bench::size_name(n, k),
               [n = n, k = k](benchmark::State& s) { ranked_issues_and_margin(s, n, k); });
    for (const auto& [name, filter] : {std::pair{"prune_by_noise_rate", weakly::issue_filter::prune_by_noise_rate},
                                       std::pair{"prune_by_class", weakly::issue_filter::prune_by_class}})
      bench::add(std::string("find_label_issues/") + name + "/" + bench::size_name(n, k),
                 [n = n, k = k, filter = filter](benchmark::State& s) { find_label_issues(s, n, k, filter); });
  }
  return true;
}();

}  // namespace
