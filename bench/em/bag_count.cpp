// SPDX-License-Identifier: MIT
// The posterior of one bag given its number of positives, beside the same recursion in logarithms.
#include "common.hpp"

#include <weakly/core/math.hpp>
#include <weakly/em/bag_count.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

namespace {

using weakly::bag_counts;
using weakly::index_t;

struct bag {
  std::vector<float> logit, posterior, loss, grad;
  std::vector<std::int64_t> begin, count;
  std::vector<std::byte> memory;

  bag(index_t b, float mean)
      : posterior(static_cast<std::size_t>(b)),
        loss(1),
        grad(posterior.size()),
        begin{0, b},
        memory(weakly::bag_count_scratch(b)) {
    std::mt19937_64 random(1);
    std::normal_distribution<float> normal(mean, 3);
    for (index_t i = 0; i < b; ++i) logit.push_back(normal(random));
    count.push_back(b / 2);
  }
};

// As one writes it down, with all forward vectors kept.
double in_logarithms(const bag& a, std::vector<double>& forward, std::vector<float>& grad) {
  constexpr double nothing = -std::numeric_limits<double>::infinity();
  using weakly::math::log_add_exp;
  const std::size_t b = a.logit.size(), c = static_cast<std::size_t>(a.count[0]), pitch = c + 2;
  forward.assign((b + 1) * pitch, nothing);
  std::vector<double> back(pitch, nothing);
  const auto negative = [&](std::size_t i) { return -weakly::math::softplus(double(a.logit[i])); };
  const auto positive = [&](std::size_t i) { return -weakly::math::softplus(-double(a.logit[i])); };
  forward[0] = 0;
  for (std::size_t i = 0; i < b; ++i) {
    const double *const f = &forward[i * pitch], n = negative(i), p = positive(i);
    double* const to = &forward[(i + 1) * pitch];
    to[0] = f[0] + n;
    for (std::size_t j = 1; j <= std::min(i + 1, c); ++j) to[j] = log_add_exp(f[j] + n, f[j - 1] + p);
  }
  const double total = forward[b * pitch + c];
  back[c] = 0;
  for (std::size_t i = b; i-- > 0;) {
    const double *const f = &forward[i * pitch], n = negative(i), p = positive(i);
    double q = nothing;
    for (std::size_t j = 0; j < c; ++j) q = log_add_exp(q, f[j] + p + back[j + 1]);
    grad[i] = static_cast<float>(std::exp(p) - std::exp(q - total));
    for (std::size_t j = 0; j <= c; ++j) back[j] = log_add_exp(back[j] + n, back[j + 1] + p);
  }
  return total;
}

void add_all(index_t b) {
  const auto add = [&](const std::string& name, float mean, auto run) {
    bench::add("em/bag_count/" + name + "/" + std::to_string(b), [=](benchmark::State& state) {
      bag a(b, mean);
      for (auto _ : state) {
        run(a);
        benchmark::ClobberMemory();
      }
      state.SetItemsProcessed(state.iterations() * b);
    });
  };
  const auto with = [](const auto& counts) {
    return [counts](bag& a) {
      weakly::workspace scratch(a.memory);
      weakly::bag_count(a.logit, a.begin, counts(a), scratch, a.posterior, a.loss, a.grad);
    };
  };
  add("usual_count", 0, with([](const bag& a) { return bag_counts::exactly(a.count); }));
  add("rare_count", -6, with([](const bag& a) { return bag_counts::exactly(a.count); }));
  add("at_least", 0, with([](const bag& a) { return bag_counts::at_least(a.count); }));
  add("in_logarithms", 0, [](bag& a) {
    static std::vector<double> forward;
    benchmark::DoNotOptimize(in_logarithms(a, forward, a.grad));
  });
}

const bool registered = (add_all(64), add_all(512), add_all(4096), true);

}  // namespace
