// SPDX-License-Identifier: MIT
#include "loss_reference.hpp"

#include <weakly/loss/class_balanced_weights.hpp>

#include <cmath>
#include <vector>

TEST_CASE("class_balanced_weights of effective numbers 1 and 1.5 are 1.2 and 0.8") {
  const std::vector<int> counts{1, 2};
  const std::vector<double> w = weakly::class_balanced_weights(counts, {.beta = 0.5});
  CHECK(w[0] == doctest::Approx(1.2).epsilon(1e-15));
  CHECK(w[1] == doctest::Approx(0.8).epsilon(1e-15));
}

TEST_CASE("class_balanced_weights gives the reference results") {
  for (const auto& c : loss_reference::cases("cb_weights")) {
    const std::vector<double> counts = c.values("counts");
    loss_reference::check_array(c, "b0", weakly::class_balanced_weights(counts, {.beta = 0}));
    loss_reference::check_array(c, "b9", weakly::class_balanced_weights(counts, {.beta = 0.9}));
    loss_reference::check_array(c, "b9999", weakly::class_balanced_weights(counts, {.beta = 0.9999}));
    loss_reference::check_array(c, "b1e9", weakly::class_balanced_weights(counts, {.beta = 1 - 1e-9}));
  }
}

TEST_CASE("class_balanced_weights nears one over the counts as beta nears one") {
  const std::vector<double> w =
      weakly::class_balanced_weights(std::vector<double>{1, 4, 20}, {.beta = std::nextafter(1.0, 0.0)});
  CHECK(w[0] / w[1] == doctest::Approx(4).epsilon(1e-12));
  CHECK(w[1] / w[2] == doctest::Approx(5).epsilon(1e-12));
}

TEST_CASE("deferred_reweighting weighs nothing before its first epoch") {
  const std::vector<int> counts{1, 100};
  CHECK(weakly::deferred_reweighting(counts, 159) == std::vector<double>{1, 1});
  CHECK(weakly::deferred_reweighting(counts, 160) == weakly::class_balanced_weights(counts, {.beta = 0.9999}));
  CHECK(weakly::deferred_reweighting(counts, 100000) == weakly::class_balanced_weights(counts, {.beta = 0.9999}));
}

TEST_CASE("class_balanced_weights refuses classes without examples and betas outside [0, 1)") {
  CHECK_THROWS_AS(weakly::class_balanced_weights(std::vector<int>{1, 0}), weakly::value_error);
  CHECK_THROWS_AS(weakly::class_balanced_weights(std::vector<double>{1, -1}), weakly::value_error);
  CHECK_THROWS_AS(weakly::class_balanced_weights(std::vector<double>{std::nan("")}), weakly::value_error);
  for (const double bad : {-0.1, 1.0, std::nan("")})
    CHECK_THROWS_AS(weakly::class_balanced_weights(std::vector<int>{1}, {.beta = bad}), weakly::option_error);
}
