// SPDX-License-Identifier: MIT
#include "propagation_checks.hpp"

#include <weakly/core/half.hpp>
#include <weakly/exec/thread_pool.hpp>
#include <weakly/graph/class_means.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <vector>

using namespace propagation_checks;

TEST_CASE("class_means averages the rows of each class and reports the classes without any") {
  const std::vector<float> z{1, 2, 3, 4, 100, 100, 5, 9};
  std::vector<double> means(8, 7);
  const auto empty = weakly::class_means(rows(z, 2), std::vector<int>{2, 2, -1, 0}, rows(means, 2));
  CHECK(means == std::vector<double>{5, 9, 0, 0, 2, 3, 0, 0});
  CHECK(empty == weakly::status{1, 2});
}

TEST_CASE("class_means equals sums in long double, over many classes and elements") {
  const index_t n = 200, d = 530, k = 21;
  const auto z = uniform<float>(n, d, 1);
  std::vector<std::int16_t> label;
  for (index_t i = 0; i < n; ++i) label.push_back(static_cast<std::int16_t>((i * 5) % (k + 1) - 1));
  std::vector<double> means(std::size_t(k * d)), want(means), pooled(means), by_column(means);
  CHECK(weakly::class_means(rows(z, d), label, rows(means, d)).ok());
  for (index_t c = 0; c < k; ++c)
    for (index_t j = 0; j < d; ++j) {
      long double sum = 0;
      int count = 0;
      for (index_t i = 0; i < n; ++i)
        if (label[std::size_t(i)] == c) {
          sum += static_cast<long double>(z[std::size_t(i * d + j)]);
          ++count;
        }
      want[std::size_t(c * d + j)] = double(sum / count);
    }
  CHECK(greatest_difference(means, want) < 1e-14);
  weakly::thread_pool pool(3);
  weakly::class_means(pool, rows(z, d), label, rows(pooled, d));
  CHECK(same_bits(pooled, means));
  const auto columns = transposed(z, d);
  weakly::class_means(weakly::view(columns.data(), n, d, 1, n), label, weakly::view(by_column.data(), k, d, 1, k));
  CHECK(same_bits(by_column, transposed(means, d)));
}

TEST_CASE("class_means keeps NaN in its class, and works for no rows, classes or elements") {
  const std::vector<double> z{std::nan(""), 1};
  std::vector<double> means(2);
  weakly::class_means(rows(z, 1), std::vector<int>{0, 1}, rows(means, 1));
  CHECK(std::isnan(means[0]));
  CHECK(means[1] == 1);
  const std::vector<int> none;
  CHECK(weakly::class_means(weakly::view(z.data(), 0, 1), none, rows(means, 1)) == weakly::status{0, 2});
  CHECK(means == std::vector<double>{0, 0});
  CHECK(weakly::class_means(rows(z, 1), std::vector<int>{-1, -1}, weakly::view(means.data(), 0, 1)).ok());
  CHECK(weakly::class_means(weakly::view(z.data(), 2, 0), std::vector<int>{0, 0}, weakly::view(means.data(), 2, 0)) ==
        weakly::status{1, 1});
}

TEST_CASE("class_means refuses labels and shapes that do not fit, before it writes") {
  const std::vector<double> z{1, 2};
  std::vector<double> means{5, 5};
  CHECK_THROWS_AS(weakly::class_means(rows(z, 1), std::vector<int>{0, 2}, rows(means, 1)), weakly::label_error);
  CHECK_THROWS_AS(weakly::class_means(rows(z, 1), std::vector<int>{0, -2}, rows(means, 1)), weakly::label_error);
  CHECK_THROWS_AS(weakly::class_means(rows(z, 1), std::vector<int>{0}, rows(means, 1)), weakly::shape_error);
  CHECK_THROWS_AS(weakly::class_means(rows(z, 2), std::vector<int>{0}, rows(means, 1)), weakly::shape_error);
  CHECK(means == std::vector<double>{5, 5});
}
