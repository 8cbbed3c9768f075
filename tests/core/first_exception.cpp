// SPDX-License-Identifier: MIT
#include <weakly/core/first_exception.hpp>

#include <doctest/doctest.h>

#include <vector>

TEST_CASE("first_exception runs everything when nothing is thrown") {
  weakly::detail::first_exception exception;
  std::vector<weakly::index_t> seen;
  auto f = [&](weakly::index_t i) { seen.push_back(i); };
  for (const weakly::index_t i : {3, 0, 2, 1}) exception.run(i, f);
  CHECK(seen == std::vector<weakly::index_t>{3, 0, 2, 1});
  CHECK_FALSE(exception.any());
  exception.rethrow();
}

#if WEAKLY_HAS_EXCEPTIONS

TEST_CASE("first_exception keeps the one of the lowest index, in any order of calls") {
  auto f = [](weakly::index_t i) {
    if (i % 2 == 1) throw i;
  };
  for (const auto& order : std::vector<std::vector<weakly::index_t>>{{0, 1, 2, 3, 5}, {5, 3, 2, 1, 0}, {3, 1, 5}}) {
    weakly::detail::first_exception exception;
    for (const weakly::index_t i : order) exception.run(i, f);
    CHECK(exception.any());
    weakly::index_t thrown = -1;
    try {
      exception.rethrow();
    } catch (weakly::index_t i) {
      thrown = i;
    }
    CHECK(thrown == 1);
  }
}

TEST_CASE("first_exception leaves out indices above one that threw, and none below") {
  weakly::detail::first_exception exception;
  std::vector<weakly::index_t> seen;
  auto f = [&](weakly::index_t i) {
    seen.push_back(i);
    if (i == 4) throw 4;
  };
  for (const weakly::index_t i : {4, 5, 3, 9, 0}) exception.run(i, f);
  CHECK(seen == std::vector<weakly::index_t>{4, 3, 0});
  CHECK_THROWS_AS(exception.rethrow(), int);
}

#endif
