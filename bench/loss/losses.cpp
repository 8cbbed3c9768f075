// SPDX-License-Identifier: MIT
// Every loss of logits and labels that has no bench of its own, loss and gradient, beside a copy of the logits in the
// same run.
#include "loss_arrays.hpp"

#include <weakly/core/simd.hpp>
#include <weakly/loss/active_passive.hpp>
#include <weakly/loss/asymmetric_generalized_cross_entropy.hpp>
#include <weakly/loss/asymmetric_unhinged.hpp>
#include <weakly/loss/brier.hpp>
#include <weakly/loss/cross_entropy.hpp>
#include <weakly/loss/early_learning.hpp>
#include <weakly/loss/focal.hpp>
#include <weakly/loss/generalized_cross_entropy.hpp>
#include <weakly/loss/jensen_shannon.hpp>
#include <weakly/loss/ldam.hpp>
#include <weakly/loss/logit_adjustment.hpp>
#include <weakly/loss/mean_absolute_error.hpp>
#include <weakly/loss/normalized_cross_entropy.hpp>
#include <weakly/loss/reduction.hpp>
#include <weakly/loss/reverse_cross_entropy.hpp>
#include <weakly/loss/robust_log_loss.hpp>
#include <weakly/loss/soft_cross_entropy.hpp>
#include <weakly/loss/symmetric_cross_entropy.hpp>
#include <weakly/loss/truncated_generalized_cross_entropy.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace {

using weakly::index_t;

/// What some losses take beside logits and labels.
struct more_arrays {
  float* table = nullptr;  // soft targets, or the state of early learning
  std::vector<float> by_class;
};

const more_arrays& more(index_t n, index_t k) {
  static std::map<std::pair<index_t, index_t>, more_arrays> all;
  more_arrays& m = all[{n, k}];
  if (m.table != nullptr) return m;
  const auto count = static_cast<std::size_t>(n * k);
  m.table = bench::huge_pages(count);
  std::fill_n(m.table, count, 1.0f / static_cast<float>(k));
  for (index_t j = 0; j < k; ++j) m.by_class.push_back(0.5f / static_cast<float>(1 + j % 7));
  return m;
}

struct batch {
  const bench::logit_arrays& a;
  const more_arrays& m;
  const std::vector<std::int64_t>& label = a.label;
  const std::vector<float>& by_class = m.by_class;

  auto x() const { return a.logits_view(); }
  auto g() const { return a.grad_view(); }
  auto l() const { return a.loss_view(); }
  auto t() const { return weakly::view(m.table, a.n, a.k); }
};

template <class Run>
void add_loss(const std::string& name, index_t n, index_t k, Run run) {
  bench::add("loss/" + name + "/" + bench::size_name(n, k), [=](benchmark::State& state) {
    const batch b{bench::logits(n, k), more(n, k)};
    for (auto _ : state) {
      run(b);
      benchmark::ClobberMemory();
    }
    state.SetBytesProcessed(state.iterations() * n * k * 8);
  });
}

void copy(const batch& b) {
  constexpr index_t line = weakly::simd::line_size<float>;
  for (index_t i = 0; i + line <= b.a.n * b.a.k; i += line)
    weakly::simd::stream_line(b.a.grad + i, [&](index_t e) { return weakly::simd::load(b.a.logits + i + e); });
  weakly::simd::stream_fence();
}

const bool registered = [] {
  using namespace weakly;
  for (const auto& [n, k] : {std::pair<index_t, index_t>{1000000, 10}, std::pair<index_t, index_t>{65536, 1000}}) {
    const auto add = [n = n, k = k](const std::string& name, auto run) { add_loss(name, n, k, run); };
    add("floor_copy", copy);
    add("cross_entropy", [](const batch& b) { cross_entropy(b.x(), b.label, b.l(), b.g()); });
    add("cross_entropy_smoothed",
        [](const batch& b) { cross_entropy(b.x(), b.label, b.l(), b.g(), {.smoothing = 0.1}); });
    add("soft_cross_entropy", [](const batch& b) { soft_cross_entropy(b.x(), b.t(), b.l(), b.g()); });
    add("generalized_cross_entropy", [](const batch& b) { generalized_cross_entropy(b.x(), b.label, b.l(), b.g()); });
    add("truncated_generalized_cross_entropy",
        [](const batch& b) { truncated_generalized_cross_entropy(b.x(), b.label, b.l(), b.g()); });
    add("mean_absolute_error", [](const batch& b) { mean_absolute_error(b.x(), b.label, b.l(), b.g()); });
    add("reverse_cross_entropy", [](const batch& b) { reverse_cross_entropy(b.x(), b.label, b.l(), b.g()); });
    add("symmetric_cross_entropy", [](const batch& b) { symmetric_cross_entropy(b.x(), b.label, b.l(), b.g()); });
    add("jensen_shannon", [](const batch& b) { jensen_shannon(b.x(), b.label, b.l(), b.g()); });
    add("asymmetric_generalized_cross_entropy",
        [](const batch& b) { asymmetric_generalized_cross_entropy(b.x(), b.label, b.l(), b.g()); });
    add("asymmetric_unhinged", [](const batch& b) { asymmetric_unhinged(b.x(), b.label, b.l(), b.g()); });
    add("focal", [](const batch& b) { focal(b.x(), b.label, b.l(), b.g()); });
    add("normalized_cross_entropy", [](const batch& b) { normalized_cross_entropy(b.x(), b.label, b.l(), b.g()); });
    add("active_passive",
        [](const batch& b) { active_passive(b.x(), b.label, b.l(), b.g(), reverse_cross_entropy_options{}); });
    add("brier", [](const batch& b) { brier(b.x(), b.label, b.l(), b.g()); });
    add("robust_log_loss", [](const batch& b) { robust_log_loss(b.x(), b.label, b.l(), b.g()); });
    add("early_learning", [](const batch& b) { early_learning(b.x(), b.label, b.t(), b.l(), b.g()); });
    add("logit_adjustment", [](const batch& b) { logit_adjustment(b.x(), b.label, b.by_class, b.l(), b.g()); });
    add("ldam", [](const batch& b) { ldam(b.x(), b.label, b.by_class, b.l(), b.g(), {.scale = 3}); });
    add("loss_sum", [](const batch& b) { benchmark::DoNotOptimize(loss_sum(b.l())); });
    add("scale_rows", [](const batch& b) { scale_rows(b.g(), b.l()); });
  }
  return true;
}();

}  // namespace
