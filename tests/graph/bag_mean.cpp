// SPDX-License-Identifier: MIT
#include <weakly/exec/thread_pool.hpp>
#include <weakly/graph/bag_mean.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <vector>

using weakly::index_t;
using weakly::label_bags;
using ints = std::vector<int>;

TEST_CASE_TEMPLATE("bag_mean of two bags, and the way back", T, float, double) {
  const label_bags bags(4, ints{0, 2, 3}, ints{3, 0, 2}, ints{1, 0});
  const std::vector<T> x{1, 2, 7, 8, 5, 6, 3, 6};
  std::vector<T> mean(4), grad(8, T(-1));
  weakly::bag_mean(weakly::view(x.data(), 4, 2), bags, weakly::view(mean.data(), 2, 2));
  CHECK(mean == std::vector<T>{2, 4, 5, 6});
  weakly::bag_mean_gradient(weakly::view(mean.data(), 2, 2), bags, weakly::view(grad.data(), 4, 2));
  CHECK(grad == std::vector<T>{1, 2, 0, 0, 5, 6, 1, 2});
}

TEST_CASE("bag_mean is the same for every executor and layout, and its gradient its adjoint") {
  const index_t n = 700, d = 150;
  const label_bags bags(n, std::vector<index_t>{0, 1, 100, 690}, ints{0, 3, 5});
  std::vector<double> x(n * d), by_column(n * d), mean(3 * d), other(3 * d), threaded(n * d), grad(n * d);
  for (index_t i = 0; i < n; ++i)
    for (index_t j = 0; j < d; ++j) {
      const double v = double((i * 31 + j * 17) % 101) / 7;
      x[std::size_t(i * d + j)] = by_column[std::size_t(j * n + i)] = v;
    }
  weakly::thread_pool pool(3);
  weakly::bag_mean(weakly::view(x.data(), n, d), bags, weakly::view(mean.data(), 3, d));
  weakly::bag_mean(pool, weakly::view(by_column.data(), n, d, 1, n), bags, weakly::view(other.data(), 3, d));
  CHECK(other == mean);
  for (double& g : other) g = 1 - g;
  weakly::bag_mean_gradient(weakly::view(other.data(), 3, d), bags, weakly::view(grad.data(), n, d));
  weakly::bag_mean_gradient(pool, weakly::view(other.data(), 3, d), bags, weakly::view(threaded.data(), n, d));
  CHECK(threaded == grad);
  double forward = 0, back = 0;
  for (std::size_t e = 0; e < mean.size(); ++e) forward += mean[e] * other[e];
  for (std::size_t e = 0; e < x.size(); ++e) back += x[e] * grad[e];
  CHECK(forward == doctest::Approx(back).epsilon(1e-12));
}

TEST_CASE("bag_mean refuses shapes that disagree") {
  const label_bags bags(4, ints{0, 2}, ints{1});
  std::vector<double> x(8), mean(2), small(1);
  const auto rows = weakly::view(x.data(), 4, 2), one = weakly::view(mean.data(), 1, 2);
  CHECK_THROWS_AS(weakly::bag_mean(weakly::view(x.data(), 2, 4), bags, one), weakly::shape_error);
  CHECK_THROWS_AS(weakly::bag_mean(rows, bags, weakly::view(small.data(), 1, 1)), weakly::shape_error);
  CHECK_THROWS_AS(weakly::bag_mean_gradient(one, bags, weakly::view(x.data(), 2, 4)), weakly::shape_error);
  CHECK_THROWS_AS(weakly::bag_mean_gradient(rows, bags, rows), weakly::shape_error);
}
