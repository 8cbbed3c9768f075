// SPDX-License-Identifier: MIT
#include <weakly/core/matrix.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

TEST_CASE("matrix is row-major, zero at first, and compares by value") {
  weakly::matrix<std::int64_t> m(2, 3);
  CHECK(m.rows() == 2);
  CHECK(m.cols() == 3);
  CHECK(m.elements().size() == 6);
  for (const std::int64_t x : m.elements()) CHECK(x == 0);
  m(1, 2) = 7;
  CHECK(m.data()[5] == 7);
  CHECK(m.row(1)[2] == 7);
  m.row(0)[1] = 4;
  CHECK(m(0, 1) == 4);

  weakly::matrix<std::int64_t> same = m;
  CHECK(same == m);
  same(0, 0) = 1;
  CHECK_FALSE(same == m);
  CHECK_FALSE(weakly::matrix<int>(2, 3) == weakly::matrix<int>(3, 2));
  CHECK(weakly::matrix<double>(1, 2, 0.5)(0, 1) == 0.5);
}

TEST_CASE("matrix without elements has them neither in rows nor in columns") {
  CHECK(weakly::matrix<double>().elements().empty());
  CHECK(weakly::matrix<double>(0, 5).cols() == 5);
  CHECK(weakly::matrix<double>(3, 0).row(2).empty());
}

TEST_CASE("matrix shows its memory through view, const where it is const") {
  weakly::matrix<float> m(2, 3);
  const weakly::matrix<float>& constant = m;
  weakly::view(m)(1, 0) = 5;
  CHECK(m(1, 0) == 5);
  CHECK(weakly::view(constant)(1, 0) == 5);
  CHECK(std::is_same_v<decltype(weakly::view(constant)), weakly::matrix_view<const float>>);
}

TEST_CASE("matrix hands out its elements by value when it is about to go") {
  using matrix = weakly::matrix<int>;
  CHECK(std::is_same_v<decltype(std::declval<matrix&>().elements()), std::span<int>>);
  CHECK(std::is_same_v<decltype(std::declval<const matrix&>().row(0)), std::span<const int>>);
  const auto kept = matrix(2, 2, std::vector<int>{1, 2, 3, 4}).elements();
  CHECK(kept == std::vector<int>{1, 2, 3, 4});
  const auto last = matrix(2, 2, std::vector<int>{1, 2, 3, 4}).row(1);
  CHECK(last == std::vector<int>{3, 4});
}
