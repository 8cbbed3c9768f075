// SPDX-License-Identifier: MIT
#pragma once

#include "../common.hpp"

#include <weakly/core/view.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
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

}  // namespace bench
