// SPDX-License-Identifier: MIT
#include <weakly/exec/thread_pool.hpp>
#include <weakly/graph/label_proportions_one_vs_rest.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace {

using std::size_t;
using weakly::index_t;
using ints = std::vector<int>;
using reals = std::vector<double>;
const double inf = std::numeric_limits<double>::infinity();

// A ring with chords.
struct ring {
  ints offsets{0}, columns;
  reals weights;
  explicit ring(int n) {
    for (int i = 0; i < n; ++i) {
      for (const int by : {1, 3}) {
        columns.push_back((i + by) % n);
        weights.push_back(1.0 / (1 + (i * by) % 5));
      }
      offsets.push_back(int(columns.size()));
    }
  }
  weakly::adjacency view() const { return weakly::csr_adjacency(offsets, columns, weights); }
};

const weakly::label_proportions_options soft{
    .model = {.bag_strength = 1, .neighbour_strength = 0.5},
    .propagation = {.damping = 0.3, .tolerance = 1e-12, .max_iterations = 500}};

}  // namespace

TEST_CASE("label_proportions_one_vs_rest of two classes is the binary answer, twice over") {
  const ring g(12);
  const ints begin{0, 5, 12}, item{0, 2, 4, 6, 8, 1, 3, 5, 7, 9, 11, 10}, counts{4, 1, 5, 2};
  reals out(24), x(12);
  const auto result = weakly::label_proportions_one_vs_rest(
      weakly::seq, g.view(), begin, item, weakly::view(counts.data(), 2, 2), weakly::view(out.data(), 12, 2), soft);
  CHECK(result.classes_converged == 2);
  weakly::label_proportions binary(g.view(), weakly::label_bags(12, begin, item, ints{1, 2}), soft);
  binary.run();
  binary.log_odds(x);
  for (size_t i = 0; i < 12; ++i) {
    CHECK(out[2 * i] + out[2 * i + 1] == doctest::Approx(1).epsilon(1e-14));
    // Either class says the same, so the odds are squared.
    CHECK(std::log(out[2 * i + 1] / out[2 * i]) == doctest::Approx(2 * x[i]).epsilon(1e-6));
  }
}

TEST_CASE("label_proportions_one_vs_rest of three classes meets bags that are all of one, for every executor") {
  const ring g(9);
  const ints begin{0, 3, 6, 9}, item{0, 1, 2, 3, 4, 5, 6, 7, 8}, counts{3, 0, 0, 1, 1, 1, 0, 0, 3};
  auto options = soft;
  options.model.bag_strength = inf;
  reals out(27), threaded(27);
  weakly::thread_pool pool(3);
  const auto c = weakly::view(counts.data(), 3, 3);
  weakly::label_proportions_one_vs_rest(weakly::seq, g.view(), begin, item, c, weakly::view(out.data(), 9, 3), options);
  weakly::label_proportions_one_vs_rest(pool, g.view(), begin, item, c, weakly::view(threaded.data(), 9, 3), options);
  CHECK(threaded == out);
  CHECK(out[0] == 1);
  CHECK(out[1] == 0);
  CHECK(out[26] == 1);
  CHECK(out[9] > out[11]);   // item 3 stands next to the bag of class 0,
  CHECK(out[15] < out[17]);  // item 5 next to that of class 2
}

TEST_CASE("label_proportions_one_vs_rest refuses counts that do not add up, and other shapes") {
  const ring g(4);
  const ints begin{0, 4}, item{0, 1, 2, 3}, counts{2, 1};
  reals out(8);
  const auto to = weakly::view(out.data(), 4, 2);
  CHECK_THROWS_AS(
      weakly::label_proportions_one_vs_rest(weakly::seq, g.view(), begin, item, weakly::view(counts.data(), 1, 2), to),
      weakly::value_error);
  const ints right{2, 2, 0, 0};
  CHECK_THROWS_AS(
      weakly::label_proportions_one_vs_rest(weakly::seq, g.view(), begin, item, weakly::view(right.data(), 2, 2), to),
      weakly::shape_error);
  CHECK_THROWS_AS(
      weakly::label_proportions_one_vs_rest(weakly::seq, g.view(), begin, item, weakly::view(right.data(), 1, 2),
                                            weakly::view(out.data(), 2, 4)),
      weakly::shape_error);
}
