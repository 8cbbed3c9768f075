// SPDX-License-Identifier: MIT
#include <weakly/exec/thread_pool.hpp>
#include <weakly/graph/neighbour_kernel.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <vector>

namespace {

using weakly::index_t;
using weakly::similarity_kernel;
using ints = std::vector<int>;

template <class T = double>
std::vector<T> kernel(const std::vector<T>& x, index_t d, const ints& offsets, const ints& columns,
                      const weakly::neighbour_kernel_options& options = {}) {
  std::vector<T> out(columns.size());
  weakly::neighbour_kernel(weakly::view(x.data(), index_t(x.size()) / d, d), weakly::csr_adjacency(offsets, columns),
                           out, options);
  return out;
}

}  // namespace

TEST_CASE_TEMPLATE("neighbour_kernel of a right triangle", T, float, double) {
  const std::vector<T> x{0, 0, 3, 4, 3, 0};
  const ints offsets{0, 2, 3, 3}, columns{2, 1, 2};
  const auto eps = sizeof(T) == 4 ? 1e-6 : 1e-15;
  const auto laplace = kernel(x, 2, offsets, columns, {.length = 2});
  CHECK(double(laplace[0]) == doctest::Approx(std::exp(-1.5)).epsilon(eps));
  CHECK(double(laplace[1]) == doctest::Approx(std::exp(-2.5)).epsilon(eps));
  const auto gauss =
      kernel(x, 2, offsets, columns, {.kernel = similarity_kernel::gaussian, .amplitude = 3, .length = 2});
  CHECK(double(gauss[2]) == doctest::Approx(9 * std::exp(-2.0)).epsilon(eps));
  const auto cosine = kernel(x, 2, offsets, columns, {.kernel = similarity_kernel::cosine});
  CHECK(cosine[0] == 0);  // with a row of zeros
  CHECK(double(cosine[2]) == doctest::Approx(0.6).epsilon(eps));
}

TEST_CASE("neighbour_kernel has the same bits in both directions, for every executor and layout") {
  const index_t n = 300, d = 200;
  std::mt19937_64 random(1);
  std::normal_distribution<double> normal;
  std::vector<double> x(n * d), by_column(n * d);
  for (index_t i = 0; i < n; ++i)
    for (index_t j = 0; j < d; ++j) x[std::size_t(i * d + j)] = by_column[std::size_t(j * n + i)] = normal(random);
  ints offsets{0}, columns;
  for (int i = 0; i < int(n); ++i) {
    columns.push_back((i + 1) % int(n));
    columns.push_back((i + int(n) - 1) % int(n));
    offsets.push_back(2 * (i + 1));
  }
  weakly::thread_pool pool(3);
  for (const auto k : {similarity_kernel::matern_half, similarity_kernel::gaussian, similarity_kernel::cosine}) {
    const weakly::neighbour_kernel_options options{.kernel = k, .length = 10};
    const auto want = kernel(x, d, offsets, columns, options);
    std::vector<double> other(want.size());
    weakly::neighbour_kernel(pool, weakly::view(by_column.data(), n, d, 1, n), weakly::csr_adjacency(offsets, columns),
                             other, options);
    CHECK(other == want);
    for (std::size_t i = 0; i + 1 < std::size_t(n); ++i) CHECK(want[2 * i] == want[2 * (i + 1) + 1]);
  }
}

TEST_CASE("neighbour_kernel of no edges is nothing") {
  CHECK(kernel({1, 2}, 1, {0, 0, 0}, {}).empty());
  CHECK(kernel({}, 1, {0}, {}).empty());
}

TEST_CASE("neighbour_kernel refuses unknown nodes, broken offsets, NaN and options outside their domain") {
  const std::vector<double> x{1, 2, 3};
  CHECK_THROWS_AS(kernel(x, 1, {0, 1, 1, 1}, {3}), weakly::value_error);
  CHECK_THROWS_AS(kernel(x, 1, {0, 1, 1, 1}, {-1}), weakly::value_error);
  CHECK_THROWS_AS(kernel(x, 1, {0, 1, 0, 1}, {1}), weakly::value_error);
  CHECK_THROWS_AS(kernel(x, 1, {0, 1, 2, 2}, {1}), weakly::value_error);
  CHECK_THROWS_AS(kernel({1, std::nan(""), 3}, 1, {0, 1, 1, 1}, {1}), weakly::value_error);
  // Beside infinity every finite row is as far as can be, and beside a row of zeros every row has the cosine zero.
  const double inf = std::numeric_limits<double>::infinity(), most = std::numeric_limits<double>::max();
  CHECK_THROWS_AS(kernel({1, inf, 3}, 1, {0, 1, 1, 1}, {1}), weakly::value_error);
  for (const double bad : {inf, std::nan("")})
    CHECK_THROWS_AS(kernel({0, bad, 3}, 1, {0, 1, 1, 1}, {1}, {.kernel = similarity_kernel::cosine}),
                    weakly::value_error);
  CHECK(kernel({most, -most}, 1, {0, 1, 1}, {1}) == std::vector<double>{0});
  CHECK_THROWS_AS(kernel(x, 1, {0, 1}, {0}), weakly::shape_error);
  for (const double bad : {0.0, -1.0, std::nan(""), std::numeric_limits<double>::infinity()}) {
    CHECK_THROWS_AS(kernel(x, 1, {0, 1, 1, 1}, {1}, {.length = bad}), weakly::option_error);
    CHECK_THROWS_AS(kernel(x, 1, {0, 1, 1, 1}, {1}, {.amplitude = bad}), weakly::option_error);
  }
}
