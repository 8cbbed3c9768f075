// SPDX-License-Identifier: MIT
#include <weakly/core/half.hpp>
#include <weakly/core/view.hpp>
#include <weakly/exec/thread_pool.hpp>
#include <weakly/graph/row_argmax.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

using weakly::index_t;

TEST_CASE("row_argmax takes the lowest of equal scores, and -1 where there is none") {
  const double inf = HUGE_VAL;
  const std::vector<double> score{0, 2, 2, 0, 0, 0, 1, std::nan(""), 2, -inf, -inf, -inf, -inf, inf, inf};
  std::vector<std::int8_t> label(5, 9);
  CHECK(weakly::row_argmax(weakly::view(score.data(), 5, 3), label) == 2);
  CHECK(label == std::vector<std::int8_t>{1, 0, -1, -1, 1});
  CHECK(weakly::row_argmax(weakly::view(score.data(), 5, 0), label) == 5);
  CHECK(label == std::vector<std::int8_t>(5, -1));
  std::vector<int> none;
  CHECK(weakly::row_argmax(weakly::view(score.data(), 0, 3), none) == 0);
}

TEST_CASE("row_argmax gives the same labels for every executor, layout and storage type") {
  const index_t n = 40, k = 1300;
  std::vector<float> row, column(std::size_t(n * k));
  std::vector<weakly::half> half;
  for (index_t i = 0; i < n * k; ++i) row.push_back(float((i * 7919) % 1021));
  for (index_t i = 0; i < n; ++i)
    for (index_t j = 0; j < k; ++j) column[std::size_t(j * n + i)] = row[std::size_t(i * k + j)];
  for (const float x : row) half.emplace_back(x);
  std::vector<int> a(std::size_t(n), 0), b(a), c(a);
  weakly::thread_pool pool(3);
  weakly::row_argmax(weakly::view(row.data(), n, k), a);
  weakly::row_argmax(pool, weakly::view(column.data(), n, k, 1, n), b);
  weakly::row_argmax(weakly::view(half.data(), n, k), c);
  CHECK(a == b);
  CHECK(a == c);
  for (index_t i = 0; i < n; ++i) {
    index_t best = 0;
    for (index_t j = 1; j < k; ++j)
      if (row[std::size_t(i * k + j)] > row[std::size_t(i * k + best)]) best = j;
    CHECK(a[std::size_t(i)] == best);
  }
}

TEST_CASE("row_argmax refuses labels that cannot hold the class") {
  const std::vector<float> score(600);
  std::vector<std::int8_t> narrow(2);
  std::vector<int> few(1);
  CHECK_THROWS_AS(weakly::row_argmax(weakly::view(score.data(), 2, 300), narrow), weakly::shape_error);
  CHECK_THROWS_AS(weakly::row_argmax(weakly::view(score.data(), 2, 300), few), weakly::shape_error);
}
