// SPDX-License-Identifier: MIT
#include <weakly/graph/label_bags.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

using weakly::index_t;
using weakly::label_bags;
using ints = std::vector<int>;

TEST_CASE("label_bags know the members and the count of each bag, and the bag of each item") {
  const label_bags bags(6, ints{0, 2, 5}, ints{4, 0, 1, 5, 3}, std::vector<std::uint8_t>{1, 0});
  CHECK(bags.items() == 6);
  CHECK(bags.bags() == 2);
  CHECK(bags.longest() == 3);
  CHECK(bags.size(0) == 2);
  CHECK(bags.count(0) == 1);
  CHECK(bags.members(1)[1] == 5);
  CHECK(bags.bag_of(4) == 0);
  CHECK(bags.bag_of(3) == 1);
  CHECK(bags.bag_of(2) == -1);
}

TEST_CASE("label_bags without a list of items hold consecutive ones, and need not hold all") {
  const label_bags bags(7, ints{0, 2, 5}, ints{1, 3});
  CHECK(bags.members(1)[0] == 2);
  CHECK(bags.bag_of(4) == 1);
  CHECK(bags.bag_of(5) == -1);
  CHECK(label_bags(3, ints{0}, ints{}).bags() == 0);
  CHECK(label_bags(0, ints{0}, ints{}).items() == 0);
}

TEST_CASE("label_bags refuse what are no bags") {
  CHECK_THROWS_AS(label_bags(4, ints{0, 2, 2}, ints{0, 1}, ints{1, 0}), weakly::value_error);  // an empty one
  CHECK_THROWS_AS(label_bags(4, ints{0, 2}, ints{0, 1}, ints{3}), weakly::value_error);        // 3 of 2
  CHECK_THROWS_AS(label_bags(4, ints{0, 2}, ints{0, 1}, ints{-1}), weakly::value_error);
  CHECK_THROWS_AS(label_bags(4, ints{0, 2, 4}, ints{0, 1, 1, 2}, ints{1, 1}), weakly::value_error);  // 1 in both
  CHECK_THROWS_AS(label_bags(4, ints{0, 2}, ints{2, 2}, ints{1}), weakly::value_error);
  CHECK_THROWS_AS(label_bags(4, ints{0, 2}, ints{0, 4}, ints{1}), weakly::value_error);
  CHECK_THROWS_AS(label_bags(4, ints{0, 2}, ints{-1, 3}, ints{1}), weakly::value_error);
  CHECK_THROWS_AS(label_bags(4, ints{0, 2}, ints{0, 1}, ints{1, 1}), weakly::shape_error);
  CHECK_THROWS_AS(label_bags(4, ints{0, 3}, ints{0, 1}, ints{1}), weakly::shape_error);
  CHECK_THROWS_AS(label_bags(4, ints{0, 5}, ints{1}), weakly::shape_error);
  CHECK_THROWS_AS(label_bags(4, ints{0, 2, 1}, ints{1, 0}), weakly::shape_error);
  CHECK_THROWS_AS(label_bags(4, ints{}, ints{}), weakly::shape_error);
  CHECK_THROWS_AS(label_bags(-1, ints{0}, ints{}), weakly::value_error);
}
