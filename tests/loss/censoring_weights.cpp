// SPDX-License-Identifier: MIT
#include "batch_checks.hpp"
#include "loss_reference.hpp"
#include "noise/allocations.hpp"

#include <weakly/core/workspace.hpp>
#include <weakly/loss/censoring_weights.hpp>

#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <vector>

using weakly::index_t;

namespace {

std::vector<std::byte> memory_for(std::size_t n) {
  return std::vector<std::byte>(weakly::censoring_weights::scratch(index_t(n)));
}

/// By the definition, a product over all distinct times before each event.
std::vector<double> plain(const std::vector<double>& time, const std::vector<int>& event,
                          const std::vector<double>& kernel) {
  const std::size_t n = time.size();
  std::vector<double> w(n, 0.0);
  for (std::size_t i = 0; i < n; ++i) {
    if (event[i] == 0) continue;
    long double survival = 1;
    for (std::size_t s = 0; s < n; ++s) {
      bool seen = false;
      for (std::size_t j = 0; j < s; ++j) seen |= time[j] == time[s];
      if (seen || !(time[s] < time[i])) continue;
      long double risk = 0, deaths = 0, censored = 0;
      for (std::size_t j = 0; j < n; ++j) {
        const auto k = static_cast<long double>(kernel[j]);
        if (time[j] >= time[s]) risk += k;
        if (time[j] == time[s]) (event[j] != 0 ? deaths : censored) += k;
      }
      if (censored > 0) survival *= 1 - censored / (risk - deaths);
    }
    w[i] = survival > 0 ? double(1 / survival) : 0.0;
  }
  return w;
}

}  // namespace

TEST_CASE("censoring_weights of three times is what one computes by hand") {
  const std::vector<double> time{1, 2, 3};
  std::vector<double> w(3);
  weakly::censoring_weights(time, std::vector<int>{1, 0, 1}).weights(w);
  CHECK(w == std::vector<double>{1, 0, 2});
  weakly::censoring_weights(time, std::vector<int>{1, 1, 1}).weights(w);
  CHECK(w == std::vector<double>{1, 1, 1});
  // An event and a censoring at the same time: the event comes first, so it does not see the censoring.
  weakly::censoring_weights(std::vector<double>{1, 1, 2}, std::vector<int>{0, 1, 1}).weights(w);
  CHECK(w == std::vector<double>{0, 1, 2});
}

TEST_CASE("censoring_weights gives the reference results") {
  for (const auto& c : loss_reference::cases("km_ipcw")) {
    const auto time = c.values("time"), kernel = c.values("kernel");
    const weakly::censoring_weights curve(time, c.array("event").as<int>());
    std::vector<double> w(time.size());
    curve.weights(w);
    loss_reference::check_array(c, "w", w);
    auto memory = memory_for(time.size());
    weakly::workspace space(memory);
    curve.weights(kernel, space, w);
    loss_reference::check_array(c, "w_kernel", w);
  }
}

TEST_CASE("censoring_weights agrees with the definition, ties and kernels that vanish included") {
  std::mt19937 random(5);
  for (int round = 0; round < 100; ++round) {
    const std::size_t n = 1 + random() % 25;
    std::vector<double> time, kernel, ones(n, 1.0), w(n);
    std::vector<int> event;
    for (std::size_t i = 0; i < n; ++i) {
      time.push_back(double(random() % 9) - 4);
      event.push_back(int(random() % 2));
      kernel.push_back(random() % 4 == 0 ? 0.0 : std::exp(-double(random() % 40)));
    }
    const weakly::censoring_weights curve(time, event);
    curve.weights(w);
    const auto want = plain(time, event, ones);
    for (std::size_t i = 0; i < n; ++i) CHECK(w[i] == doctest::Approx(want[i]).epsilon(1e-12));
    auto memory = memory_for(n);
    weakly::workspace space(memory), again(memory);
    curve.weights(ones, space, w);
    for (std::size_t i = 0; i < n; ++i) CHECK(w[i] == doctest::Approx(want[i]).epsilon(1e-12));
    std::vector<double> conditional(n);
    curve.weights(kernel, again, conditional);
    for (const double x : conditional) CHECK((x == 0 || x >= 1));
  }
  const std::vector<double> time{1, 2, 2, 3, 4, 5}, kernel{0.5, 0.25, 1, 1e-3, 0.75, 2};
  const std::vector<int> event{0, 1, 0, 0, 1, 1};
  std::vector<double> w(6);
  auto memory = memory_for(6);
  weakly::workspace space(memory);
  weakly::censoring_weights(time, event).weights(kernel, space, w);
  const auto want = plain(time, event, kernel);
  for (std::size_t i = 0; i < 6; ++i) CHECK(w[i] == doctest::Approx(want[i]).epsilon(1e-13));
}

TEST_CASE("censoring_weights / n are the jumps of the survival curve, and add up to one where the last is an event") {
  std::mt19937 random(9);
  std::vector<double> time;
  std::vector<int> event;
  for (int i = 0; i < 200; ++i) {
    time.push_back(double(random() % 1000));
    event.push_back(int(random() % 3 != 0));
  }
  time.push_back(1e6);
  event.push_back(1);
  std::vector<double> w(time.size());
  const weakly::censoring_weights curve(time, event);
  curve.weights(w);
  double sum = 0;
  for (const double x : w) sum += x;
  CHECK(sum == doctest::Approx(201).epsilon(1e-13));
  event.back() = 0;
  const weakly::censoring_weights cut(time, event);
  cut.weights(w);
  sum = 0;
  for (const double x : w) sum += x;
  CHECK(sum < 200.5);
  cut.weights(w, {.normalize = true});
  sum = 0;
  for (const double x : w) sum += x;
  CHECK(sum == doctest::Approx(201).epsilon(1e-13));
}

TEST_CASE("censoring_weights: bounded weights, nothing, storage, strides, and no allocation after construction") {
  const std::vector<double> time{1, 2, 3, 4};
  const std::vector<int> event{0, 0, 0, 1};
  const weakly::censoring_weights curve(time, event);
  std::vector<double> w(4);
  curve.weights(w);
  CHECK(w[3] == doctest::Approx(4).epsilon(1e-15));
  curve.weights(w, {.least_survival = 0.5});
  CHECK(w[3] == 2);
  std::vector<weakly::half> small(8, weakly::half(9.0f));
  curve.weights(weakly::vector_view<weakly::half>(small.data(), {4}, {2}));
  CHECK(float(small[6]) == 4);
  CHECK(float(small[0]) == 0);
  CHECK(float(small[7]) == 9);
  auto memory = memory_for(4);
  CHECK(allocations::during([&] {
          weakly::workspace space(memory);
          curve.weights(w);
          curve.weights(time, space, w);
        }) == 0);
  std::vector<double> none;
  weakly::censoring_weights(none, std::vector<int>{}).weights(none);

  // All that is at risk was censored: weight zero by definition.
  weakly::workspace space(memory);
  curve.weights(std::vector<double>{1, 0, 0, 0}, space, w);
  CHECK(w[3] == 0);
}

#if WEAKLY_HAS_EXCEPTIONS
TEST_CASE("censoring_weights refuses times and kernels that are no numbers, other shapes, bad options") {
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  for (const double bad : {nan, inf, -inf})
    CHECK_THROWS_AS(weakly::censoring_weights(std::vector<double>{1, bad}, std::vector<int>{0, 1}),
                    weakly::value_error);
  CHECK_THROWS_AS(weakly::censoring_weights(std::vector<double>{1}, std::vector<int>{0, 1}), weakly::shape_error);
  const weakly::censoring_weights curve(std::vector<double>{1, 2}, std::vector<int>{0, 1});
  std::vector<double> w(2), fewer(1);
  CHECK_THROWS_AS(curve.weights(fewer), weakly::shape_error);
  for (const double bad : {-0.1, 1.1, nan})
    CHECK_THROWS_AS(curve.weights(w, {.least_survival = bad}), weakly::option_error);
  auto memory = memory_for(2);
  for (const double bad : {-1.0, nan, inf}) {
    weakly::workspace space(memory);
    CHECK_THROWS_AS(curve.weights(std::vector<double>{1, bad}, space, w), weakly::value_error);
  }
  memory.resize(8);
  weakly::workspace space(memory);
  CHECK_THROWS_AS(curve.weights(w, space, w), weakly::workspace_error);
}
#endif
