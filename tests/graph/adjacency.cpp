// SPDX-License-Identifier: MIT
#include <weakly/exec/thread_pool.hpp>
#include <weakly/graph/adjacency.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

using weakly::index_t;

TEST_CASE("csr_adjacency reads integers of any width and stride, and weights of any type") {
  const std::vector<std::uint8_t> offsets{0, 2, 2, 3};
  const std::vector<std::int16_t> columns{0, -7, 2, -7, 1, -7};
  const std::vector<float> weights{0.5f, 2, 0};
  const auto every_second = weakly::vector_view<const std::int16_t>(columns.data(), {3}, {2});
  const weakly::adjacency a = weakly::csr_adjacency(offsets, every_second, weights);
  weakly::require_adjacency(a);
  CHECK(a.nodes() == 3);
  CHECK(a.entries() == 3);
  CHECK(a.weighted());
  CHECK(a.row_begin(1) == 2);
  index_t column[3];
  a.columns(0, 3, column);
  CHECK(column[0] == 0);
  CHECK(column[1] == 2);
  CHECK(column[2] == 1);
  double weight[2];
  a.weights(1, 2, weight);
  CHECK(weight[0] == 2);
  CHECK(weight[1] == 0);
  const weakly::adjacency plain = weakly::csr_adjacency(offsets, every_second);
  plain.weights(0, 2, weight);
  CHECK(!plain.weighted());
  CHECK(weight[1] == 1);
}

TEST_CASE("a graph may have no node and no entry") {
  const std::vector<int> offsets{0}, none;
  const std::vector<double> no_weights;
  weakly::require_adjacency(weakly::csr_adjacency(offsets, none));
  weakly::require_adjacency(weakly::csr_adjacency(offsets, none, no_weights));
  CHECK(weakly::csr_adjacency(offsets, none, no_weights).weighted());
  CHECK(weakly::csr_adjacency(std::vector<int>{0, 0, 0}, none).nodes() == 2);
  const weakly::adjacency without_arrays;
  weakly::require_adjacency(without_arrays);
  CHECK(without_arrays.nodes() == 0);
}

TEST_CASE("csr_adjacency refuses sizes that cannot be right") {
  const std::vector<int> none, one{0};
  CHECK_THROWS_AS(weakly::csr_adjacency(none, none), weakly::shape_error);
  CHECK_THROWS_AS(weakly::csr_adjacency(one, one, std::vector<float>{1, 2}), weakly::shape_error);
}

#if WEAKLY_HAS_EXCEPTIONS
namespace {

template <class F>
std::string refusal(F f) {
  try {
    f();
  } catch (const weakly::error& e) {
    return e.what();
  }
  return "";
}

bool says(const std::string& message, const std::string& words) {
  const bool found = message.find(words) != std::string::npos;
  if (!found) MESSAGE(message);
  return found;
}

}  // namespace

TEST_CASE("require_adjacency names the row and says what to do") {
  const auto refused = [](const std::vector<std::int64_t>& offsets, const std::vector<std::int64_t>& columns,
                          const std::vector<double>& weights = {}) {
    return refusal([&] {
      weakly::require_adjacency(weights.empty() ? weakly::csr_adjacency(offsets, columns)
                                                : weakly::csr_adjacency(offsets, columns, weights));
    });
  };
  CHECK(says(refused({1, 2}, {0, 0}), "offsets begin with 1"));
  CHECK(says(refused({0, 2, 1, 2}, {0, 1}), "row 1 begins at entry 2 and ends at 1"));
  CHECK(says(refused({0, 1, 1}, {0, 1}), "offsets end with 1, but there are 2 columns"));
  CHECK(says(refused({0, 1, 3}, {0, 1}), "offsets end with 3, but there are 2 columns"));
  CHECK(says(refused({0, 1, 2}, {0, 2}), "column 2 of row 1 is outside [0, 2)"));
  CHECK(says(refused({0, 1, 2}, {-1, 1}), "column -1 of row 0 is outside [0, 2)"));
  CHECK(says(refused({0, 2, 2}, {1, 0}), "row 0 lists node 0 behind node 1; sort the columns"));
  CHECK(says(refused({0, 0, 2}, {1, 1}), "row 1 lists node 1 behind node 1"));
  for (const double bad : {-1.0, std::nan(""), HUGE_VAL})
    CHECK(says(refused({0, 1, 2}, {1, 0}, {1, bad}), "the weight from row 1 to node 0 is "));
  CHECK(refused({0, 1, 2}, {1, 0}, {0, std::numeric_limits<double>::max()}).empty());
  const std::vector<std::uint64_t> huge{~std::uint64_t(0)};
  CHECK(says(refusal([&] {
               weakly::require_adjacency(weakly::csr_adjacency(std::vector<int>{0, 1}, huge));
             }),
             "column -1 of row 0"));
}

TEST_CASE("require_adjacency reports the first of several bad rows, in rows longer than any buffer, on any threads") {
  const index_t n = 3000;
  std::vector<std::int32_t> offsets{0}, columns;
  for (index_t i = 0; i < n; ++i) {
    for (index_t j = i % 7; j < (i % 500 == 3 ? n : 20); ++j) columns.push_back(static_cast<std::int32_t>(j));
    offsets.push_back(static_cast<std::int32_t>(columns.size()));
  }
  weakly::thread_pool pool(3);
  weakly::require_adjacency(pool, weakly::csr_adjacency(offsets, columns));
  columns[std::size_t(offsets[504]) - 1] = static_cast<std::int32_t>(n);  // the last of a long row
  columns[std::size_t(offsets[2000])] = -5;
  for (int round = 0; round < 5; ++round)
    CHECK(says(refusal([&] { weakly::require_adjacency(pool, weakly::csr_adjacency(offsets, columns)); }),
               "column 3000 of row 503"));
}
#endif
