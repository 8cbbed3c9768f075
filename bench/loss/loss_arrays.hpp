// SPDX-License-Identifier: MIT
#pragma once

#include "../common.hpp"

#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace bench {

/// Rows and classes of the goals of bench/README.md.
inline constexpr std::pair<weakly::index_t, weakly::index_t> loss_sizes[] = {
    {1000000, 10}, {65536, 100}, {65536, 1000}, {4096, 50000}};

/// Gaussian logits of deviation 3, random labels, and room for what a loss writes. Huge pages, as the floors have them.
struct logit_arrays {
  weakly::index_t n = 0, k = 0;
  float *logits = nullptr, *grad = nullptr, *loss = nullptr, *extra = nullptr;
  std::vector<std::int64_t> label;

  auto logits_view() const { return weakly::view(static_cast<const float*>(logits), n, k); }
  auto grad_view() const { return weakly::view(grad, n, k); }
  auto loss_view() const { return weakly::view(loss, n); }
  auto extra_view() const { return weakly::view(extra, n); }
};

inline const logit_arrays& logits(weakly::index_t n, weakly::index_t k) {
  static std::map<std::pair<weakly::index_t, weakly::index_t>, logit_arrays> all;
  logit_arrays& a = all[{n, k}];
  if (a.logits != nullptr) return a;
  a.n = n;
  a.k = k;
  const auto count = static_cast<std::size_t>(n * k);
  a.logits = huge_pages(count);
  a.grad = huge_pages(count);
  a.loss = huge_pages(static_cast<std::size_t>(n));
  a.extra = huge_pages(static_cast<std::size_t>(n));
  std::mt19937_64 random(1);
  std::normal_distribution<float> logit(0, 3);
  for (std::size_t e = 0; e < count; ++e) {
    a.logits[e] = logit(random);
    a.grad[e] = 0;
  }
  for (weakly::index_t i = 0; i < n; ++i)
    a.label.push_back(static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(k)));
  return a;
}

/// What some losses take beside logits and labels.
struct more_arrays {
  float* table = nullptr;  // soft targets, second predictions, or the state of early learning
  std::vector<float> by_class;
};

inline const more_arrays& more(weakly::index_t n, weakly::index_t k) {
  static std::map<std::pair<weakly::index_t, weakly::index_t>, more_arrays> all;
  more_arrays& m = all[{n, k}];
  if (m.table != nullptr) return m;
  const auto count = static_cast<std::size_t>(n * k);
  m.table = huge_pages(count);
  std::fill_n(m.table, count, 1.0f / static_cast<float>(k));
  for (weakly::index_t j = 0; j < k; ++j) m.by_class.push_back(0.5f / static_cast<float>(1 + j % 7));
  return m;
}

/// The arrays of one size under short names.
struct loss_batch {
  const logit_arrays& a;
  const more_arrays& m;
  const std::vector<std::int64_t>& label = a.label;
  const std::vector<float>& by_class = m.by_class;

  auto x() const { return a.logits_view(); }
  auto g() const { return a.grad_view(); }
  auto l() const { return a.loss_view(); }
  auto t() const { return weakly::view(m.table, a.n, a.k); }
};

/// The floor of every row of the table of losses: a copy of the logits past the caches.
inline void copy_logits(const loss_batch& b) {
  constexpr weakly::index_t line = weakly::simd::line_size<float>;
  for (weakly::index_t i = 0; i + line <= b.a.n * b.a.k; i += line)
    weakly::simd::stream_line(b.a.grad + i, [&](weakly::index_t e) { return weakly::simd::load(b.a.logits + i + e); });
  weakly::simd::stream_fence();
}

/// Registers prepare(batch)(), which is timed, as loss/NAME/SIZE. The arrays are made before the clock starts.
template <class Prepare>
void add_prepared_loss(const std::string& name, weakly::index_t n, weakly::index_t k, Prepare prepare) {
  add("loss/" + name + "/" + size_name(n, k), [=](benchmark::State& state) {
    const loss_batch b{logits(n, k), more(n, k)};
    auto run = prepare(b);
    for (auto _ : state) {
      run();
      benchmark::ClobberMemory();
    }
    state.SetBytesProcessed(state.iterations() * n * k * 8);
  });
}

/// As above for what needs nothing but the arrays: run(batch).
template <class Run>
void add_loss(const std::string& name, weakly::index_t n, weakly::index_t k, Run run) {
  add_prepared_loss(name, n, k, [=](const loss_batch& b) { return [&b, run] { run(b); }; });
}

}  // namespace bench
