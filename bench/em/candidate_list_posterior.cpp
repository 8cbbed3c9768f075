// SPDX-License-Identifier: MIT
// Posteriors of ten candidates a row into the lists' own slots, beside the copy of all scores in floors.cpp.
#include "../loss/loss_arrays.hpp"

#include <weakly/em/candidate_list_posterior.hpp>

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

namespace {

using weakly::index_t;

void add(index_t n, index_t k, index_t size) {
  bench::add("em/candidate_list_posterior/" + std::to_string(size) + "_of/" + bench::size_name(n, k),
             [=](benchmark::State& state) {
               const bench::logit_arrays& a = bench::logits(n, k);
               std::mt19937_64 random(3);
               std::vector<std::int64_t> offsets{0};
               std::vector<std::int32_t> ids;
               for (index_t i = 0; i < n; ++i) {
                 // One in each of `size` equal parts of the classes, so that all are different and ascending.
                 for (index_t j = 0; j < size; ++j) {
                   const index_t from = k * j / size, to = k * (j + 1) / size;
                   const auto step = random() % static_cast<std::uint64_t>(to - from);
                   ids.push_back(static_cast<std::int32_t>(from + static_cast<index_t>(step)));
                 }
                 offsets.push_back(static_cast<std::int64_t>(ids.size()));
               }
               std::vector<float> posterior(ids.size());
               const auto lists = weakly::candidate_lists(offsets, ids, k);
               for (auto _ : state) {
                 weakly::candidate_list_posterior(a.logits_view(), lists, posterior);
                 benchmark::ClobberMemory();
               }
               state.SetItemsProcessed(state.iterations() * n * size);
             });
}

const bool registered = (add(65536, 100, 10), add(65536, 1000, 10), true);

}  // namespace
