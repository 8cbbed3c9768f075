// SPDX-License-Identifier: MIT
// Posteriors and marginal losses beside the copies of floors.cpp: byte masks, bits and lists of the same sets, one and
// two threads, and noisy labels over a matrix.
#include "../loss/loss_arrays.hpp"

#include <weakly/em/label_posterior.hpp>

#include <cstddef>
#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <utility>
#include <vector>

namespace {

using weakly::index_t;

/// What may be observed beside the logits of loss_arrays.hpp: half of all classes are candidates, the label always.
struct observed_arrays {
  std::vector<std::uint8_t> mask;
  std::vector<std::uint64_t> words;
  std::vector<std::int64_t> offsets{0};
  std::vector<std::int32_t> ids;
  std::vector<float> transition;
};

const observed_arrays& observed(const bench::logit_arrays& from) {
  static std::map<std::pair<index_t, index_t>, observed_arrays> all;
  observed_arrays& a = all[{from.n, from.k}];
  if (!a.mask.empty()) return a;
  const index_t n = from.n, k = from.k, words_a_row = (k + 63) / 64;
  std::mt19937_64 random(2);
  a.mask.resize(static_cast<std::size_t>(n * k));
  a.words.resize(static_cast<std::size_t>(n * words_a_row));
  for (index_t i = 0; i < n; ++i) {
    const auto label = static_cast<index_t>(from.label[static_cast<std::size_t>(i)]);
    std::uint64_t bits = 0;
    for (index_t j = 0; j < k; ++j) {
      if (j % 64 == 0) bits = random();
      if (j != label && (bits >> (j % 64)) % 2 == 0) continue;
      a.mask[static_cast<std::size_t>(i * k + j)] = 1;
      a.words[static_cast<std::size_t>(i * words_a_row + j / 64)] |= std::uint64_t(1) << (j % 64);
    }
  }
  for (index_t c = 0; c < k; ++c)
    for (index_t l = 0; l < k; ++l) a.transition.push_back((c == l ? 0.8f : 0.0f) + 0.2f / static_cast<float>(k));
  return a;
}

/// prepare(logits, observed) gives what is timed.
template <class Prepare>
void add(const std::string& name, index_t n, index_t k, int threads, Prepare prepare) {
  bench::add("em/label_posterior/" + name + "/" + bench::size_name(n, k) + "/threads:" + std::to_string(threads),
             [=](benchmark::State& state) {
               const bench::logit_arrays& a = bench::logits(n, k);
               const auto run = prepare(a, observed(a));
               for (auto _ : state) {
                 run();
                 benchmark::ClobberMemory();
               }
               state.SetBytesProcessed(state.iterations() * n * k * 8);
             });
}

/// The sets of `form` with one output each time, both where the gradient lies.
template <class Form>
void add_sets(const std::string& name, index_t n, index_t k, int threads, Form form) {
  add("posterior_" + name, n, k, threads, [=](const bench::logit_arrays& a, const observed_arrays& o) {
    return [&a, threads, sets = weakly::observed_sets(form(a, o))] {
      bench::with_threads(threads, [&](auto&& ex) {
        weakly::label_posterior(ex, a.logits_view(), sets, a.grad_view(), weakly::discard, weakly::discard);
      });
    };
  });
  add("gradient_" + name, n, k, threads, [=](const bench::logit_arrays& a, const observed_arrays& o) {
    return [&a, threads, sets = weakly::observed_sets(form(a, o))] {
      bench::with_threads(threads, [&](auto&& ex) {
        weakly::label_posterior(ex, a.logits_view(), sets, weakly::discard, a.loss_view(), a.grad_view());
      });
    };
  });
}

const bool registered = [] {
  const auto masks = [](const bench::logit_arrays& a, const observed_arrays& o) {
    return weakly::candidate_masks(weakly::view(o.mask.data(), a.n, a.k));
  };
  const auto bits = [](const bench::logit_arrays& a, const observed_arrays& o) {
    return weakly::candidate_bits(weakly::view(o.words.data(), a.n, (a.k + 63) / 64), a.k);
  };
  for (const auto& [n, k] : {std::pair<index_t, index_t>{1000000, 10}, {65536, 100}, {65536, 1000}}) {
    for (const int threads : {1, 2}) add_sets("mask", n, k, threads, masks);
    add_sets("bits", n, k, 1, bits);
  }
  add("posterior_nothing", 65536, 100, 1, [](const bench::logit_arrays& a, const observed_arrays&) {
    return [&a] {
      weakly::label_posterior(a.logits_view(), weakly::nothing_observed(a.n, a.k), a.grad_view(), weakly::discard,
                              weakly::discard);
    };
  });
  add("posterior_noisy", 65536, 100, 1, [](const bench::logit_arrays& a, const observed_arrays& o) {
    return [&a, noisy = weakly::noisy_labels_observed(a.label, weakly::view(o.transition.data(), a.k, a.k, 1, a.k))] {
      weakly::label_posterior(a.logits_view(), noisy, a.grad_view(), weakly::discard, weakly::discard);
    };
  });
  return true;
}();

}  // namespace
