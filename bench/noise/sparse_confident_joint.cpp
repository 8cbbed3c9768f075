// SPDX-License-Identifier: MIT
// Confident joint of a million rows and 20,000 classes, of which each row lists the ten most probable.
#include "common.hpp"

#include <weakly/core/random.hpp>
#include <weakly/noise/sparse_confident_joint.hpp>

#include <malloc.h>

#include <cstdint>
#include <fstream>
#include <string>
#include <vector>

namespace {

using weakly::index_t;

struct lists {
  std::vector<std::int32_t> label, class_index;
  std::vector<std::int64_t> row_begin = {0};
  std::vector<float> prob;
};

/// The most probable class is the label but for one row in ten; each further class takes its share of what is left.
lists generate(index_t n, index_t k, index_t top) {
  lists l;
  weakly::random_stream random(1);
  const auto below = [&](index_t bound) {
    return static_cast<index_t>(random.below(static_cast<std::uint64_t>(bound)));
  };
  for (index_t i = 0; i < n; ++i) {
    const index_t best = below(k);
    l.label.push_back(static_cast<std::int32_t>(below(10) == 0 ? below(k) : best));
    double left = 1;
    for (index_t j = 0; j < top; ++j) {
      const double p = left * (0.3 + 0.6 * random.uniform());
      l.class_index.push_back(static_cast<std::int32_t>((best + j * 1999) % k));
      l.prob.push_back(static_cast<float>(p));
      left -= p;
    }
    l.row_begin.push_back((i + 1) * top);
  }
  return l;
}

double kib_of(const std::string& field) {
  std::ifstream file("/proc/self/status");
  for (std::string name; file >> name;)
    if (name == field + ":") {
      double kib = 0;
      file >> kib;
      return kib;
    }
  return 0;
}

/// How far the resident memory rises above where it is while f runs: Linux can be told to forget the peak so far.
template <class F>
double peak_bytes(F&& f) {
  malloc_trim(0);
  std::ofstream("/proc/self/clear_refs") << 5 << std::flush;
  const double before = kib_of("VmRSS");
  f();
  return 1024 * (kib_of("VmHWM") - before);
}

void sparse_confident_joint(benchmark::State& state, index_t n, index_t k, index_t top, int threads) {
  static const lists l = generate(n, k, top);
  const auto run = [&] {
    return bench::with_threads(threads, [&](auto&& ex) {
      return weakly::sparse_confident_joint(ex, k, l.label, l.row_begin, l.class_index, l.prob);
    });
  };
  std::size_t cells = 0;
  state.counters["extra_bytes"] = peak_bytes([&] { cells = run().counts.size(); });
  for (auto _ : state) benchmark::DoNotOptimize(run());
  state.counters["nonzeros"] = static_cast<double>(cells);
  state.counters["top"] = static_cast<double>(top);
  state.SetItemsProcessed(state.iterations() * n);
}

const bool registered = [] {
  for (const int threads : {1, 2})
    bench::add("sparse_confident_joint/" + bench::size_name(1000000, 20000) + "/threads:" + std::to_string(threads),
               [threads](benchmark::State& s) { sparse_confident_joint(s, 1000000, 20000, 10, threads); });
  return true;
}();

}  // namespace
