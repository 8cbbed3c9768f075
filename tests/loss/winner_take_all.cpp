// SPDX-License-Identifier: MIT
#include "batch_checks.hpp"
#include "loss_reference.hpp"
#include "noise/allocations.hpp"

#include <weakly/loss/winner_take_all.hpp>

#include <cmath>
#include <limits>
#include <vector>

using weakly::discard;
using weakly::index_t;

TEST_CASE("winner_take_all gives the reference results") {
  for (const auto& c : loss_reference::cases("wta")) {
    const auto losses = c.array("L");
    const auto n = losses.shape[0], m = losses.shape[1];
    std::vector<double> loss(std::size_t(n), 0.0), weight(losses.values.size());
    std::vector<int> winner(std::size_t(n), -1);
    weakly::winner_take_all(weakly::view(losses.values.data(), n, m), loss, weakly::view(weight.data(), n, m), winner,
                            {.epsilon = c.number.at("eps")});
    loss_reference::check_array(c, "loss", loss);
    loss_reference::check_array(c, "w", weight);
    loss_reference::check_array(c, "winner", std::vector<double>(winner.begin(), winner.end()));
  }
}

TEST_CASE("winner_take_all: the weights are the slopes, the first of equal heads wins, one head takes all") {
  const index_t n = 4, m = 5;
  auto head = batch_checks::normal<double>(n * m, 1, 3);
  std::vector<double> loss(4), weight(20);
  const auto value = [&] {
    weakly::winner_take_all(weakly::view(head.data(), n, m), loss, discard, discard, {.epsilon = 0.1});
    return loss[0] + loss[1] + loss[2] + loss[3];
  };
  weakly::winner_take_all(weakly::view(head.data(), n, m), loss, weakly::view(weight.data(), n, m), discard,
                          {.epsilon = 0.1});
  batch_checks::check_slopes("weight", head, weight, value);

  const std::vector<double> equal{3, 1, 1, 1};
  std::vector<unsigned char> winner(1);
  weakly::winner_take_all(weakly::view(equal.data(), 1, 4), discard, discard, winner);
  CHECK(winner[0] == 1);
  weakly::winner_take_all(weakly::view(equal.data(), 1, 1), std::span(loss).first(1), discard, winner,
                          {.epsilon = 0.5});
  CHECK(loss[0] == 3);
}

TEST_CASE("winner_take_all: NaN never wins against a number") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> head{nan, 2, 1, nan, nan, nan};
  std::vector<double> loss(2);
  std::vector<int> winner(2);
  weakly::winner_take_all(weakly::view(head.data(), 2, 3), loss, discard, winner);
  CHECK(winner == std::vector<int>{2, 0});
  CHECK(loss[0] == 1);
  CHECK(std::isnan(loss[1]));
  weakly::winner_take_all(weakly::view(head.data(), 2, 3), loss, discard, winner, {.epsilon = 0.1});
  CHECK(std::isnan(loss[0]));
}

TEST_CASE("winner_take_all gives the same bits whatever way it is called and allocates nothing") {
  for (const index_t m : {index_t(4), index_t(700)}) {
    std::vector<float> loss(90);
    std::vector<int> winner(90);
    const auto call = [&](auto&& ex, auto x, auto weight) {
      weakly::winner_take_all(ex, x, loss, weight, winner, {.epsilon = 0.05});
      double sum = 0;
      for (std::size_t i = 0; i < 90; ++i) sum += double(loss[i]) * double(winner[i] + 1);
      return sum;
    };
    batch_checks::check_ways_to_call(90, m, 1, call);
    const auto x = batch_checks::normal<float>(90 * m, 1, 1);
    std::vector<float> weight(x.size());
    CHECK(allocations::during(
              [&] { call(weakly::seq, weakly::view(x.data(), 90, m), weakly::view(weight.data(), 90, m)); }) == 0);
  }
}

#if WEAKLY_HAS_EXCEPTIONS
TEST_CASE("winner_take_all refuses epsilon outside [0, 1), no heads, and outputs of another size") {
  const std::vector<double> head(6);
  std::vector<double> loss(2), fewer(1);
  std::vector<int> winner(3);
  const auto x = weakly::view(head.data(), 2, 3);
  for (const double bad : {-0.1, 1.0, std::numeric_limits<double>::quiet_NaN()})
    CHECK_THROWS_AS(weakly::winner_take_all(x, loss, discard, discard, {.epsilon = bad}), weakly::option_error);
  CHECK_THROWS_AS(weakly::winner_take_all(weakly::view(head.data(), 2, 0), loss, discard, discard),
                  weakly::shape_error);
  CHECK_THROWS_AS(weakly::winner_take_all(x, fewer, discard, discard), weakly::shape_error);
  CHECK_THROWS_AS(weakly::winner_take_all(x, loss, discard, winner), weakly::shape_error);
}
#endif
