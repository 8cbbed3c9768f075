// SPDX-License-Identifier: MIT
#include <weakly/noise/prune_counts.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <vector>

#include "cases.hpp"

using oracle::at;
using weakly::compatibility;
using weakly::index_t;

namespace {

using joint_counts = weakly::matrix<std::int64_t>;
using rows = std::vector<std::int64_t>;

// Row a: given class a. Three errors of class 0 (two look like 1, one like 2), none of class 1, six of class 2.
joint_counts example() { return cases::as_matrix({{7, 2, 1}, {0, 5, 0}, {2, 4, 3}}); }
const rows example_labels = {10, 5, 9};

}  // namespace

TEST_CASE("prune_counts takes all estimated errors by default") {
  CHECK(cases::as_counts(weakly::prune_counts(example(), example_labels)) ==
        oracle::counts{{7, 2, 1}, {0, 5, 0}, {2, 4, 3}});
}

TEST_CASE("prune_counts scales the errors of a given class and shares the rounded number by largest remainders") {
  // Half of 3 errors is 1.5, rounded away from zero to 2: shares 4/3 and 2/3, so one each. Half of 6 is 3: 1 and 2.
  CHECK(cases::as_counts(weakly::prune_counts(example(), example_labels, {}, {.frac_noise = 0.5})) ==
        oracle::counts{{8, 1, 1}, {0, 5, 0}, {1, 2, 6}});
  CHECK(cases::as_counts(weakly::prune_counts(example(), example_labels, {}, {.frac_noise = 0})) ==
        oracle::counts{{10, 0, 0}, {0, 5, 0}, {0, 0, 9}});
}

TEST_CASE("prune_counts of a fraction does not lose cells of one, where cleanlab cuts every cell") {
  const auto scattered = cases::as_matrix({{5, 1, 1}, {1, 5, 1}, {1, 1, 5}});
  const rows n = {7, 7, 7};
  const auto ours = weakly::prune_counts(scattered, n, {}, {.frac_noise = 0.5});
  const auto theirs = weakly::prune_counts(scattered, n, {}, {.frac_noise = 0.5, .compat = compatibility::cleanlab});
  for (index_t a = 0; a < 3; ++a) {
    CHECK(ours(a, a) == 6);
    CHECK(theirs(a, (a + 1) % 3) + theirs(a, (a + 2) % 3) == 0);
  }
}

TEST_CASE("prune_counts cuts cleanlab's sums where cleanlab does, with fused multiplication and without") {
  // In row 0, 5 + (8.5 - 0.8 8.5) + (6.5 - 0.8 6.5) is just below 8. Results of cleanlab 2.9.
  const auto theirs =
      weakly::prune_counts(cases::as_matrix({{4, 9, 7}, {11, 17, 6}, {10, 11, 34}}), rows{20, 34, 55}, {},
                           {.frac_noise = 0.8, .min_examples_per_class = 5, .compat = compatibility::cleanlab});
  CHECK(cases::as_counts(theirs) == oracle::counts{{7, 6, 5}, {8, 20, 4}, {8, 8, 38}});
}

TEST_CASE("prune_counts leaves min_examples_per_class rows of each given class") {
  const auto r = weakly::prune_counts(example(), example_labels, {}, {.min_examples_per_class = 5});
  CHECK(cases::as_counts(r) == oracle::counts{{7, 2, 1}, {0, 5, 0}, {1, 3, 5}});  // 4 of 6: 4/3 and 8/3
  CHECK(cases::as_counts(weakly::prune_counts(example(), example_labels, {}, {.min_examples_per_class = 100})) ==
        oracle::counts{{10, 0, 0}, {0, 5, 0}, {0, 0, 9}});
  CHECK(weakly::prune_counts(cases::as_matrix({{0, 3}, {0, 1}}), rows{3, 1}, {}, {.min_examples_per_class = 0})(0, 1) ==
        3);
  CHECK(weakly::prune_counts(cases::as_matrix({{0, 3}, {0, 1}}), rows{3, 1})(0, 1) == 2);
}

TEST_CASE("prune_counts takes to_remove by given class, where cleanlab takes it by true class") {
  const rows remove = {3, 0, 0};
  const auto ours = weakly::prune_counts(example(), example_labels, remove);
  CHECK(cases::as_counts(ours) == oracle::counts{{7, 2, 1}, {0, 5, 0}, {0, 0, 9}});
  const auto theirs = weakly::prune_counts(example(), example_labels, remove, {.compat = compatibility::cleanlab});
  // All three are given class 2 and look like class 0: nothing of given class 0 is pruned.
  CHECK(theirs(2, 0) == 3);
  CHECK(theirs(0, 1) + theirs(0, 2) == 0);
}

TEST_CASE("prune_counts removes no more rows than the class may lose, and none where no error says which") {
  CHECK(weakly::prune_counts(example(), example_labels, rows{100, 100, 100})(0, 0) == 1);
  CHECK(weakly::prune_counts(example(), example_labels, rows{100, 100, 100})(1, 1) == 5);
  CHECK(weakly::prune_counts(example(), example_labels, rows{1, 1, 1}, {.min_examples_per_class = 9})(2, 2) == 9);
}

TEST_CASE("prune_counts agrees with its definition on random joints, and its rows sum to the label counts") {
  cases::generator g(61);
  for (int round = 0; round < 2000; ++round) {
    CAPTURE(round);
    const index_t k = 1 + g.below(9);
    oracle::counts c(at(k), rows(at(k)));
    rows n(at(k));
    for (index_t a = 0; a < k; ++a)
      for (index_t b = 0; b < k; ++b) n[at(a)] += c[at(a)][at(b)] = g.chance(0.6) ? g.below(8) : 0;
    oracle::pruning options{static_cast<double>(g.below(101)) / 100, g.below(6), {}};
    if (g.chance(0.3))
      for (index_t a = 0; a < k; ++a) options.to_remove.push_back(g.below(12));
    const auto got = weakly::prune_counts(
        cases::as_matrix(c), n, options.to_remove,
        {.frac_noise = options.frac_noise, .min_examples_per_class = options.min_examples_per_class});
    REQUIRE(cases::as_counts(got) == oracle::prune_counts(c, n, options));
    for (index_t a = 0; a < k; ++a) {
      std::int64_t sum = 0;
      for (const std::int64_t x : got.row(a)) sum += x;
      REQUIRE(sum == n[at(a)]);
    }
  }
}

TEST_CASE("prune_counts holds to its definition up to the greatest counts there are") {
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  joint_counts c(2, 2);
  c(0, 1) = most;
  const auto whole = weakly::prune_counts(c, rows{most, 0}, {}, {.min_examples_per_class = 0});
  CHECK(whole(0, 1) == most);
  CHECK(whole(0, 0) == 0);
  const auto nearly =
      weakly::prune_counts(c, rows{most, 0}, {}, {.frac_noise = 1 - 0x1p-53, .min_examples_per_class = 0});
  CHECK(nearly(0, 1) == most - 1023);  // (1 - 2^-53) 2^63
  CHECK(nearly(0, 0) == 1023);
  c(0, 1) = (std::int64_t(1) << 53) + 1;  // which no double holds
  CHECK(weakly::prune_counts(c, rows{most, 0})(0, 1) == c(0, 1));
  c(0, 1) = most;
  const auto cleanlab = weakly::prune_counts(c, rows{most, 0}, {}, {.compat = compatibility::cleanlab});
  CHECK(cleanlab(0, 1) > most / 2);
}

TEST_CASE("prune_counts refuses shares outside [0, 1], negative numbers of rows and shapes that disagree") {
  for (const double f : {-0.1, 1.5, oracle::nan, oracle::infinity})
    for (const compatibility compat : {compatibility::none, compatibility::cleanlab})
      cases::refuses<weakly::option_error>(
          [&] { weakly::prune_counts(example(), example_labels, {}, {.frac_noise = f, .compat = compat}); },
          {"prune_counts: frac_noise = ", "[0, 1]"});
  cases::refuses<weakly::option_error>(
      [] { weakly::prune_counts(example(), example_labels, {}, {.min_examples_per_class = -2}); },
      {"prune_counts: min_examples_per_class = -2", "number of rows"});
  cases::refuses<weakly::option_error>(
      [] {
        weakly::prune_counts(example(), example_labels, rows{1, -3, 0});
      },
      {"prune_counts: to_remove of class 1 is -3"});
  cases::refuses<weakly::shape_error>(
      [] {
        weakly::prune_counts(example(), example_labels, rows{1, 1});
      },
      {"prune_counts: to_remove has 2 entries for 3 classes"});
  cases::refuses<weakly::shape_error>(
      [] {
        weakly::prune_counts(example(), rows{1, 1});
      },
      {"prune_counts", "2 label counts", "3 classes"});
  cases::refuses<weakly::shape_error>(
      [] {
        weakly::prune_counts(joint_counts(2, 1), rows{1, 1});
      },
      {"prune_counts", "(2 x 1)"});
  cases::refuses<weakly::value_error>(
      [] {
        weakly::prune_counts(cases::as_matrix({{1, -1}, {0, 1}}), rows{1, 1});
      },
      {"prune_counts", "-1", "not negative"});
}
