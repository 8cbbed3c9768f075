// SPDX-License-Identifier: MIT
#include "em_checks.hpp"

#include <weakly/em/candidate_argmax.hpp>
#include <weakly/exec/thread_pool.hpp>

#include <cstdint>
#include <limits>

using namespace em_checks;

TEST_CASE("candidate_argmax is the greatest candidate, the lower of equal ones") {
  const double inf = std::numeric_limits<double>::infinity();
  const std::vector<double> scores{5, 2, 2, 9, 1, 2, std::nan(""), 3, 1, 3, -inf, -inf, 0, 0, 0, std::nan(""), 1, 0};
  const std::vector<int> mask{0, 1, 1, 1, 1, 0, 0, 1, 1, 0, 1, 1, 0, 0, 0, 1, 1, 1};
  std::vector<std::int8_t> label(6);
  weakly::candidate_argmax(rows(scores, 3), weakly::candidate_masks(rows(mask, 3)), label);
  CHECK(label == std::vector<std::int8_t>{1, 0, 1, -1, -1, -1});
}

TEST_CASE_TEMPLATE("candidate_argmax is the plain search, whatever the executor and layout", T, float, double) {
  const index_t n = 100, k = 700;
  const auto x = normal(n, k, 1, 1);
  const std::vector<T> scores(x.begin(), x.end()), by_column = transposed(scores, k);
  std::vector<std::uint8_t> mask;
  for (index_t i = 0; i < n * k; ++i) mask.push_back(i % 13 == 0);
  const auto sets = weakly::candidate_masks(rows(mask, k));
  std::vector<int> label(100), other(100);
  weakly::thread_pool pool(3);
  weakly::candidate_argmax(pool, rows(scores, k), sets, label);
  weakly::candidate_argmax(weakly::view(by_column.data(), n, k, 1, n), sets, other);
  CHECK(label == other);
  for (index_t i = 0; i < n; ++i) {
    index_t best = -1;
    for (index_t c = 0; c < k; ++c) {
      const auto at = std::size_t(i * k + c);
      if (mask[at] != 0 && (best < 0 || scores[at] > scores[std::size_t(i * k + best)])) best = c;
    }
    CHECK(label[std::size_t(i)] == best);
  }
}

TEST_CASE("candidate_argmax refuses malformed sets after the other rows, and other shapes") {
  const std::vector<double> scores{0, 1, 0, 1};
  const std::vector<int> offsets{0, 1, 2}, ids{3, 0};
  std::vector<int> label{7, 7}, one(1);
  const auto sets = weakly::candidate_lists(offsets, ids, 2);
  CHECK_THROWS_AS(weakly::candidate_argmax(rows(scores, 2), sets, label), weakly::label_error);
  CHECK(label == std::vector<int>{-1, 0});
  CHECK_THROWS_AS(weakly::candidate_argmax(rows(scores, 4), sets, label), weakly::shape_error);
  CHECK_THROWS_AS(weakly::candidate_argmax(rows(scores, 2), sets, one), weakly::shape_error);
}

TEST_CASE("candidate_argmax refuses labels too narrow for the classes") {
  const index_t k = 300;
  std::vector<float> scores(std::size_t(2 * k));
  scores[200] = 1;
  const std::vector<std::uint8_t> mask(scores.size(), 1);
  const auto sets = weakly::candidate_masks(rows(mask, k));
  std::vector<std::int8_t> narrow(2, 7);
  CHECK_THROWS_AS(weakly::candidate_argmax(rows(scores, k), sets, narrow), weakly::shape_error);
  CHECK(narrow == std::vector<std::int8_t>(2, 7));
  std::vector<std::int16_t> wide(2);
  weakly::candidate_argmax(rows(scores, k), sets, wide);
  CHECK(wide == std::vector<std::int16_t>{200, 0});
}
