// SPDX-License-Identifier: MIT
#include "batch_checks.hpp"
#include "loss_reference.hpp"
#include "noise/allocations.hpp"

#include <weakly/exec/thread_pool.hpp>
#include <weakly/loss/similarity_weights.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

using weakly::index_t;
using weakly::seq;

TEST_CASE("similarity_weights gives the reference results") {
  for (const auto& c : loss_reference::cases("wad_weights")) {
    const auto scores = c.array("scores");
    const auto n = scores.shape[0], k = scores.shape[1];
    std::vector<double> weight(std::size_t(n), 0.0);
    std::vector<int> label(std::size_t(n), -1);
    weakly::similarity_weights(seq, weakly::view(scores.values.data(), n, k), weight, label);
    loss_reference::check_array(c, "w", weight);
    loss_reference::check_array(c, "label", std::vector<double>(label.begin(), label.end()));
  }
}

TEST_CASE("similarity_weights: zero similarities, ties, NaN") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> sim{0, 0, -1, 0.5, 0.75, 0.75, nan, 0.25, -1, nan, nan, nan};
  std::vector<double> weight(4);
  std::vector<int> label(4);
  weakly::similarity_weights(weakly::view(sim.data(), 4, 3), weight, label);
  CHECK(label == std::vector<int>{0, 1, 1, 0});
  CHECK(weight[0] == 0);
  CHECK(weight[1] == 0);
  CHECK(std::isnan(weight[2]));
  CHECK(std::isnan(weight[3]));
}

TEST_CASE("similarity_weights by members is that of the best member of each class") {
  const index_t n = 40, m = 900, classes = 7;
  const auto sim = batch_checks::normal<float>(n * m, 1, 3);
  std::vector<float> rounded;
  for (const float s : sim) rounded.push_back(std::round(8 * s));  // ties within and across classes
  std::vector<short> member;
  for (index_t j = 0; j < m; ++j) member.push_back(static_cast<short>((j * j + 3 * j) % classes));
  std::vector<float> best(std::size_t(n * classes), -std::numeric_limits<float>::infinity());
  for (index_t i = 0; i < n; ++i)
    for (index_t j = 0; j < m; ++j) {
      float& b = best[std::size_t(i * classes + member[std::size_t(j)])];
      b = std::max(b, rounded[std::size_t(i * m + j)]);
    }
  std::vector<float> weight(40), expected(40);
  std::vector<int> label(40), expected_label(40);
  const auto x = weakly::view(rounded.data(), n, m);
  weakly::thread_pool pool(3);
  CHECK(allocations::during([&] { weakly::similarity_weights(x, member, classes, weight, label); }) == 0);
  for (index_t i = 0; i < n; ++i) {
    std::vector<float> row(best.begin() + i * classes, best.begin() + (i + 1) * classes);
    const auto top = std::max_element(row.begin(), row.end());
    expected_label[std::size_t(i)] = static_cast<int>(top - row.begin());
    std::sort(row.begin(), row.end());
    expected[std::size_t(i)] = row[6] - row[5];
  }
  CHECK(label == expected_label);
  CHECK(weight == expected);

  std::vector<float> by_column(rounded.size()), other(40);
  for (index_t i = 0; i < n; ++i)
    for (index_t j = 0; j < m; ++j) by_column[std::size_t(j * n + i)] = rounded[std::size_t(i * m + j)];
  std::vector<int> other_label(40);
  weakly::similarity_weights(pool, weakly::view(by_column.data(), n, m, 1, n), member, classes, other, other_label);
  CHECK(other == weight);
  CHECK(other_label == label);

  // Classes as their own members, in half.
  const std::vector<weakly::half> half(best.begin(), best.end());
  weakly::similarity_weights(seq, weakly::view(half.data(), n, classes), other, other_label);
  CHECK(other == weight);
  CHECK(other_label == label);
}

#if WEAKLY_HAS_EXCEPTIONS
TEST_CASE("similarity_weights refuses one class, members out of range, outputs of another size") {
  const std::vector<double> sim(4);
  std::vector<double> weight(4);
  std::vector<int> label(4), fewer(1);
  CHECK_THROWS_AS(weakly::similarity_weights(seq, weakly::view(sim.data(), 4, 1), weight, label), weakly::shape_error);
  CHECK_THROWS_AS(weakly::similarity_weights(seq, weakly::view(sim.data(), 2, 2), weight, fewer), weakly::shape_error);
  CHECK_THROWS_AS(
      weakly::similarity_weights(seq, weakly::view(sim.data(), 4, 1), std::vector<int>{2}, 2, weight, label),
      weakly::label_error);
  CHECK_THROWS_AS(
      weakly::similarity_weights(seq, weakly::view(sim.data(), 2, 2), std::vector<int>{1}, 2, weight, label),
      weakly::shape_error);
}
#endif
