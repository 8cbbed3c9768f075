// SPDX-License-Identifier: MIT
#include <weakly/check/labels.hpp>
#include <weakly/exec/thread_pool.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <vector>

TEST_CASE_TEMPLATE("check_labels counts labels outside [0, k) and tells the first", Label, std::int8_t, std::uint8_t,
                   short, unsigned, std::int64_t, std::uint64_t) {
  const std::vector<Label> labels{0, 1, 9, 2, static_cast<Label>(-1), 3};
  CHECK(weakly::check_labels(labels, 10) == weakly::status{4, 1});
  CHECK(weakly::check_labels(labels, 9) == weakly::status{2, 2});
  CHECK(weakly::check_labels(labels, 0) == weakly::status{0, 6});
  CHECK(weakly::check_labels(std::vector<Label>{}, 0).ok());
}

TEST_CASE("check_labels gives the same for every executor and stride") {
  std::vector<int> labels(2 * 50000);
  for (int i = 0; i < 100000; ++i) labels[static_cast<std::size_t>(i)] = i % 2 ? 1000 : i % 14;
  const weakly::vector_view<const int> every_second(labels.data(), {50000}, {2});
  const weakly::status expected = weakly::check_labels(every_second, 12);
  CHECK(expected == weakly::status{6, 7142});
  weakly::thread_pool pool(4);
  for (int repeat = 0; repeat < 10; ++repeat) CHECK(weakly::check_labels(pool, every_second, 12) == expected);
}

TEST_CASE("absent_classes are those that no label names, ascending") {
  const std::vector<std::uint8_t> labels{3, 1, 3, 3};
  CHECK(weakly::absent_classes(labels, 5) == std::vector<weakly::index_t>{0, 2, 4});
  CHECK(weakly::absent_classes(std::vector<int>{}, 2) == std::vector<weakly::index_t>{0, 1});
  CHECK(weakly::absent_classes(std::vector<int>{}, 0).empty());
  CHECK(weakly::absent_classes(std::vector<int>{1, 0}, 2).empty());
}

TEST_CASE("absent_classes gives the same for every executor") {
  std::vector<int> labels(100000);
  for (std::size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<int>(i * i % 1009);
  const auto expected = weakly::absent_classes(labels, 1009);
  CHECK(expected.size() == 504);
  weakly::thread_pool pool(4);
  for (int repeat = 0; repeat < 10; ++repeat) CHECK(weakly::absent_classes(pool, labels, 1009) == expected);
}

TEST_CASE("labels and numbers of classes that make no sense are refused") {
  const std::vector<int> labels{0, 4, -2};
  CHECK_THROWS_WITH_AS(weakly::absent_classes(labels, 4), doctest::Contains("absent_classes: label 4 of row 1"),
                       weakly::label_error);
  CHECK_THROWS_WITH_AS(weakly::absent_classes(labels, -1), "absent_classes: k = -1 classes; give their number",
                       weakly::option_error);
  CHECK_THROWS_AS(weakly::check_labels(labels, -1), weakly::option_error);
}
