// SPDX-License-Identifier: MIT
#include <weakly/noise/dataset_health.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "cases.hpp"

using oracle::at;
using weakly::compatibility;
using weakly::index_t;
using weakly::overlap_direction;

namespace {

using rows = std::vector<std::int64_t>;

// Row a: given class a. Class 3 has neither rows nor examples.
weakly::matrix<std::int64_t> example() {
  return cases::as_matrix({{6, 2, 0, 0}, {1, 9, 0, 0}, {3, 0, 3, 0}, {0, 0, 0, 0}});
}

std::vector<index_t> order(const std::vector<weakly::class_quality>& classes) {
  std::vector<index_t> o;
  for (const auto& c : classes) o.push_back(c.class_index);
  return o;
}

}  // namespace

TEST_CASE("rank_classes counts what is given and not so, and what is so and not given") {
  const auto classes = weakly::rank_classes(example());
  REQUIRE(classes.size() == 4);
  CHECK(order(classes) == std::vector<index_t>{2, 0, 1, 3});
  CHECK(classes[0].label_issues == 3);
  CHECK(classes[0].inverse_label_issues == 0);
  CHECK(classes[0].label_noise == 0.5);
  CHECK(classes[0].inverse_label_noise == 0);
  CHECK(classes[0].quality == 0.5);
  CHECK(classes[1].label_issues == 2);
  CHECK(classes[1].inverse_label_issues == 4);
  CHECK(classes[1].label_noise == 0.25);
  CHECK(classes[1].inverse_label_noise == 0.4);
  CHECK(classes[2].quality == 0.9);
}

TEST_CASE("rank_classes does not know the quality of a class without rows and puts it last, where cleanlab says 1") {
  const auto ours = weakly::rank_classes(example());
  CHECK(ours[3].class_index == 3);
  CHECK(std::isnan(ours[3].quality));
  CHECK(std::isnan(ours[3].label_noise));
  CHECK(std::isnan(ours[3].inverse_label_noise));
  const auto theirs = weakly::rank_classes(example(), compatibility::cleanlab);
  CHECK(theirs[3].class_index == 3);
  CHECK(theirs[3].quality == 1);
  // Given to no row, but two rows belong to it.
  const auto hidden = weakly::rank_classes(cases::as_matrix({{4, 2}, {0, 0}}));
  CHECK(hidden[1].class_index == 1);
  CHECK(std::isnan(hidden[1].quality));
  CHECK(hidden[1].inverse_label_issues == 2);
  CHECK(hidden[1].inverse_label_noise == 1);
}

TEST_CASE("rank_classes breaks ties by class") {
  CHECK(order(weakly::rank_classes(cases::as_matrix({{2, 0, 0}, {1, 1, 0}, {0, 2, 2}}))) ==
        std::vector<index_t>{1, 2, 0});
  CHECK(order(weakly::rank_classes(weakly::matrix<std::int64_t>(3, 3))) == std::vector<index_t>{0, 1, 2});
}

TEST_CASE("overlapping_classes lists pairs by the examples they share, equal pairs by class") {
  const auto either = weakly::overlapping_classes(example());
  REQUIRE(either.size() == 6);
  const auto is = [](const weakly::class_overlap& o, index_t a, index_t b, std::int64_t n) {
    return o.class_a == a && o.class_b == b && o.examples == n;
  };
  CHECK(is(either[0], 0, 1, 3));
  CHECK(is(either[1], 0, 2, 3));
  CHECK(is(either[2], 0, 3, 0));
  CHECK(is(either[3], 1, 2, 0));
  CHECK(is(either[5], 2, 3, 0));
  CHECK(either[0].joint_probability == 3.0 / 24);

  const auto directed = weakly::overlapping_classes(example(), overlap_direction::given_to_true);
  REQUIRE(directed.size() == 12);
  CHECK(is(directed[0], 2, 0, 3));
  CHECK(is(directed[1], 0, 1, 2));
  CHECK(is(directed[2], 1, 0, 1));
  CHECK(is(directed[3], 0, 2, 0));
}

TEST_CASE("overlapping_classes returns the first pairs of the full list when limited") {
  cases::generator g(111);
  weakly::matrix<std::int64_t> c(9, 9);
  for (std::int64_t& x : c.elements()) x = g.below(4);
  for (const overlap_direction direction : {overlap_direction::either, overlap_direction::given_to_true}) {
    const auto all = weakly::overlapping_classes(c, direction);
    for (const index_t limit : {-1, 0, 1, 7, 36, 72, 1000}) {
      const auto some = weakly::overlapping_classes(c, direction, limit);
      CHECK(static_cast<index_t>(some.size()) == std::clamp<index_t>(limit, 0, static_cast<index_t>(all.size())));
      for (std::size_t i = 0; i < some.size(); ++i) {
        CHECK(some[i].class_a == all[i].class_a);
        CHECK(some[i].class_b == all[i].class_b);
        CHECK(some[i].examples == all[i].examples);
      }
    }
  }
}

TEST_CASE("dataset health of one class has no pairs") {
  CHECK(weakly::overlapping_classes(cases::as_matrix({{5}})).empty());
  CHECK(weakly::rank_classes(cases::as_matrix({{5}}))[0].quality == 1);
}

TEST_CASE("dataset_health names its two estimates apart: rows that disagree, and the trace of the joint") {
  weakly::confident_joint_result joint;
  joint.label_counts = rows{8, 10, 6, 0};
  joint.off_diagonal_issues = 3;
  const auto h = weakly::dataset_health(joint, example());
  CHECK(h.off_diagonal_issues == 3);
  CHECK(h.calibrated_issues == 6);
  CHECK(h.confident_health == 1 - 3.0 / 24);
  CHECK(h.joint_health == doctest::Approx(18.0 / 24).epsilon(1e-15));
  CHECK(order(h.classes) == std::vector<index_t>{2, 0, 1, 3});
  CHECK(h.overlaps.size() == 6);
}

TEST_CASE("dataset_health of no rows is perfect") {
  weakly::confident_joint_result joint;
  joint.label_counts = rows{0, 0};
  const auto h = weakly::dataset_health(joint, weakly::matrix<std::int64_t>(2, 2));
  CHECK(h.confident_health == 1);
  CHECK(h.joint_health == 1);
  CHECK(h.calibrated_issues == 0);
}

TEST_CASE("dataset_health does not change when every row comes twice, and follows a permutation of the classes") {
  const std::vector<index_t> to = {2, 0, 3, 1};
  weakly::matrix<std::int64_t> doubled(4, 4), permuted(4, 4);
  for (index_t a = 0; a < 4; ++a)
    for (index_t b = 0; b < 4; ++b) {
      doubled(a, b) = 2 * example()(a, b);
      permuted(to[at(a)], to[at(b)]) = example()(a, b);
    }
  const auto once = weakly::rank_classes(example());
  const auto twice = weakly::rank_classes(doubled);
  const auto moved = weakly::rank_classes(permuted);
  for (std::size_t i = 0; i < 3; ++i) {
    CHECK(once[i].class_index == twice[i].class_index);
    CHECK(once[i].quality == twice[i].quality);
    CHECK(moved[i].class_index == to[at(once[i].class_index)]);
    CHECK(moved[i].quality == once[i].quality);
    CHECK(moved[i].inverse_label_noise == once[i].inverse_label_noise);
  }
}

TEST_CASE("dataset health refuses joints that are not square or not counts") {
  const weakly::matrix<std::int64_t> oblong(2, 3);
  const auto negative = cases::as_matrix({{1, -4}, {0, 1}});
  weakly::confident_joint_result joint;
  joint.label_counts = rows{1, 1, 1};
  cases::refuses<weakly::shape_error>([&] { weakly::rank_classes(oblong); }, {"rank_classes", "(2 x 3)", "k x k"});
  cases::refuses<weakly::shape_error>([&] { weakly::overlapping_classes(oblong); },
                                      {"overlapping_classes", "(2 x 3)", "k x k"});
  cases::refuses<weakly::value_error>([&] { weakly::rank_classes(negative); }, {"rank_classes", "-4"});
  cases::refuses<weakly::value_error>([&] { weakly::overlapping_classes(negative); }, {"overlapping_classes", "-4"});
  cases::refuses<weakly::shape_error>([&] { weakly::dataset_health(joint, weakly::matrix<std::int64_t>(2, 2)); },
                                      {"3 label counts", "2 classes"});
}
