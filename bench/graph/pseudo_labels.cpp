// SPDX-License-Identifier: MIT
// What goes beside propagation: means of classes, labels by cosine, the greatest of each row, the closed form. The
// floor of the first three is one read of what they read.
#include "common.hpp"

#include <weakly/core/simd.hpp>
#include <weakly/graph/class_means.hpp>
#include <weakly/graph/closed_form_propagation.hpp>
#include <weakly/graph/cosine_pseudo_labels.hpp>
#include <weakly/graph/row_argmax.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace {

using weakly::index_t;

struct embedded_rows {
  index_t n, d, k;
  std::vector<float> embedding, prior, out, means;
  std::vector<std::int32_t> label;
  std::vector<std::byte> memory;

  embedded_rows(index_t rows, index_t features, index_t classes)
      : n(rows),
        d(features),
        k(classes),
        embedding(std::size_t(n * d)),
        prior(std::size_t(n * k)),
        out(prior.size()),
        means(std::size_t(k * d)),
        memory(weakly::cosine_pseudo_labels_scratch(k, d)) {
    std::mt19937_64 random(1);
    std::normal_distribution<float> normal;
    for (float& x : embedding) x = normal(random);
    for (float& x : prior) x = static_cast<float>(random() % 1024) / 1024;
    for (index_t i = 0; i < n; ++i) label.push_back(static_cast<std::int32_t>(i % k));
  }
};

template <class Run>
void add(const std::string& name, index_t n, index_t d, index_t k, Run run) {
  bench::add("graph/pseudo_labels/" + name + "/" + bench::size_name(n, d) + "x" + std::to_string(k),
             [=](benchmark::State& state) {
               embedded_rows a(n, d, k);
               run(a);
               for (auto _ : state) {
                 run(a);
                 benchmark::ClobberMemory();
               }
               state.SetItemsProcessed(state.iterations() * n);
             });
}

void closed_form(benchmark::State& state, index_t n, index_t k) {
  std::mt19937_64 random(1);
  std::vector<std::vector<std::int32_t>> neighbours(static_cast<std::size_t>(n));
  for (index_t e = 0; e < 5 * n; ++e) {
    const auto a = random() % std::uint64_t(n), b = random() % std::uint64_t(n);
    if (a == b) continue;
    neighbours[a].push_back(static_cast<std::int32_t>(b));
    neighbours[b].push_back(static_cast<std::int32_t>(a));
  }
  std::vector<std::int64_t> offset{0};
  std::vector<std::int32_t> column;
  for (auto& row : neighbours) {
    std::sort(row.begin(), row.end());
    row.erase(std::unique(row.begin(), row.end()), row.end());
    column.insert(column.end(), row.begin(), row.end());
    offset.push_back(static_cast<std::int64_t>(column.size()));
  }
  std::vector<double> left(neighbours.size()), right(left);
  const auto s = weakly::normalise_adjacency(weakly::csr_adjacency(offset, column), left, right);
  std::vector<double> y(static_cast<std::size_t>(n * k)), out(y);
  for (index_t i = 0; i < n; i += 20) y[static_cast<std::size_t>(i * k + i / 20 % k)] = 1;
  index_t iterations = 0;
  for (auto _ : state)
    iterations =
        weakly::closed_form_propagation(s, weakly::view(y.data(), n, k), weakly::view(out.data(), n, k)).iterations;
  state.counters["iterations"] = static_cast<double>(iterations);
  state.SetItemsProcessed(state.iterations() * iterations * k * static_cast<index_t>(column.size()));
}

void all_of(index_t n, index_t d, index_t k) {
  add("read", n, d, k, [](embedded_rows& a) {
    benchmark::DoNotOptimize(weakly::simd::sum(a.embedding.data(), static_cast<index_t>(a.embedding.size())));
  });
  add("class_means", n, d, k, [](embedded_rows& a) {
    benchmark::DoNotOptimize(weakly::class_means(weakly::view(a.embedding.data(), a.n, a.d), a.label,
                                                 weakly::view(a.means.data(), a.k, a.d)));
  });
  add("cosine_pseudo_labels", n, d, k, [](embedded_rows& a) {
    weakly::class_means(weakly::view(a.embedding.data(), a.n, a.d), a.label, weakly::view(a.means.data(), a.k, a.d));
    weakly::workspace scratch(a.memory);
    benchmark::DoNotOptimize(weakly::cosine_pseudo_labels(
        weakly::view(a.embedding.data(), a.n, a.d), weakly::view(a.means.data(), a.k, a.d),
        weakly::view(a.prior.data(), a.n, a.k), scratch, weakly::view(a.out.data(), a.n, a.k)));
  });
  add("row_argmax", n, d, k, [](embedded_rows& a) {
    benchmark::DoNotOptimize(weakly::row_argmax(weakly::view(a.prior.data(), a.n, a.k), a.label));
  });
}

const bool registered = [] {
  all_of(100000, 256, 40);
  all_of(100000, 64, 7);
  bench::add("graph/closed_form_propagation/100000x7", [](benchmark::State& state) { closed_form(state, 100000, 7); });
  return true;
}();

}  // namespace
