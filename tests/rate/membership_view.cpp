// SPDX-License-Identifier: MIT
#include <weakly/rate/membership_view.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

using weakly::index_t;
using weakly::membership_view;

TEST_CASE("membership_view lists the rows of each class in their order") {
  const std::vector<std::uint8_t> label{2, 0, 2, 2, 0};
  const auto c = membership_view::hard(label, 4).by_class("f");
  CHECK(c.hard);
  CHECK(c.begin == std::vector<index_t>{0, 2, 2, 5, 5});
  CHECK(c.row == std::vector<index_t>{1, 4, 0, 2, 3});
  CHECK(c.weight.empty());
  CHECK(c.mass == std::vector<double>{2, 0, 3, 0});
}

TEST_CASE("membership_view of a matrix and of lists leaves out what weighs nothing, unless asked") {
  const std::vector<float> pi{0.25F, 0.75F, 1, 0, 0, 1};
  const auto c = membership_view::soft(weakly::view(pi.data(), 3, 2)).by_class("f");
  CHECK(c.row == std::vector<index_t>{0, 1, 0, 2});
  CHECK(c.weight == std::vector<double>{0.25, 1, 0.75, 1});
  CHECK(c.mass == std::vector<double>{1.25, 1.75});

  const std::vector<int> begin{0, 3, 4}, cls{1, 0, 1, 0};
  const std::vector<double> weight{0.5, 0, 0.5, 1};
  const auto m = membership_view::sparse(begin, cls, weight, 2);
  CHECK(m.entries() == 4);
  CHECK(m.by_class("f").row == std::vector<index_t>{1, 0, 0});
  CHECK(m.by_class("f").entry == std::vector<index_t>{3, 0, 2});
  CHECK(m.by_class("f", true).entry == std::vector<index_t>{1, 3, 0, 2});
  CHECK(m.by_class("f").mass == std::vector<double>{1, 1});
}

TEST_CASE("membership_view reads strided labels and half weights") {
  const std::vector<long> label{1, 9, 0, 9};
  const auto strided = weakly::tensor_view<const long, 1>(label.data(), {2}, {2});
  CHECK(membership_view::hard(strided, 2).by_class("f").row == std::vector<index_t>{1, 0});
  const std::vector<weakly::bfloat16> pi{weakly::bfloat16(0.3F), weakly::bfloat16(0.7F)};
  CHECK(membership_view::soft(weakly::view(pi.data(), 1, 2)).by_class("f").mass[1] ==
        doctest::Approx(0.7).epsilon(1e-2));
}

TEST_CASE("membership_view refuses labels, weights and offsets that are none") {
  const std::vector<std::uint64_t> label{0, std::numeric_limits<std::uint64_t>::max()};
  CHECK_THROWS_AS(membership_view::hard(label, 5).by_class("f"), weakly::label_error);
  CHECK_THROWS_AS(membership_view::hard(label, -2), weakly::option_error);
  for (const double bad : {-1e-9, std::nan(""), HUGE_VAL, 0.9}) {
    const std::vector<double> pi{0, 1, bad, 0};
    CHECK_THROWS_AS(membership_view::soft(weakly::view(pi.data(), 2, 2)).by_class("f"), weakly::value_error);
  }
  const std::vector<int> cls{0, 1};
  const std::vector<double> weight{1, 1}, three{1, 1, 1};
  for (const std::vector<int>& begin : {std::vector<int>{0, 1}, {1, 2}, {0, 3}, {0, 2, 1, 2}, {0, -1, 2}})
    CHECK_THROWS_AS(membership_view::sparse(begin, cls, weight, 2).by_class("f"), weakly::shape_error);
  const std::vector<int> begin{0, 1, 2}, none;
  CHECK_THROWS_AS(membership_view::sparse(begin, cls, weight, 1).by_class("f"), weakly::label_error);
  CHECK_THROWS_AS(membership_view::sparse(begin, cls, three, 2), weakly::shape_error);
  CHECK_THROWS_AS(membership_view::sparse(none, cls, weight, 2), weakly::shape_error);
}
