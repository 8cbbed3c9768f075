// SPDX-License-Identifier: MIT
#include "em_checks.hpp"

#include <weakly/em/class_top_rows.hpp>
#include <weakly/exec/thread_pool.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

using namespace em_checks;

namespace {

template <class T>
std::vector<int> run(const std::vector<T>& posterior, index_t k, index_t keep) {
  const index_t n = index_t(posterior.size()) / k;
  std::vector<std::byte> memory(weakly::class_top_rows_scratch(n));
  weakly::workspace scratch(memory);
  std::vector<int> label(static_cast<std::size_t>(n));
  weakly::class_top_rows(rows(posterior, k), keep, scratch, label);
  return label;
}

}  // namespace

TEST_CASE("class_top_rows labels the most confident rows of each class, the lower of equal ones") {
  const std::vector<double> q{0.6, 0.4, 0.9, 0.1, 0.6, 0.4, 0.2, 0.8, 0.5, 0.5, std::nan(""), 1};
  CHECK(run(q, 2, 2) == std::vector<int>{0, 0, -1, 1, -1, -1});
  CHECK(run(q, 2, 3) == std::vector<int>{0, 0, 0, 1, -1, -1});
  CHECK(run(q, 2, 100) == std::vector<int>{0, 0, 0, 1, 0, -1});
  CHECK(run(q, 2, 0) == std::vector<int>(6, -1));
}

TEST_CASE_TEMPLATE("class_top_rows is the plain selection, whatever the executor and layout", T, float, double) {
  const index_t n = 1000, k = 6, keep = 30;
  std::vector<T> q;
  for (const double p : softmax(normal(n, k, 1, 2), k)) q.push_back(T(std::round(p * 64) / 64));  // many ties
  const auto got = run(q, k, keep);
  std::vector<int> expected(static_cast<std::size_t>(n), -1);
  for (index_t c = 0; c < k; ++c) {
    std::vector<std::pair<double, index_t>> mine;
    for (index_t i = 0; i < n; ++i) {
      const T* const row = q.data() + i * k;
      if (std::max_element(row, row + k) - row == c) mine.emplace_back(-double(row[c]), i);
    }
    std::sort(mine.begin(), mine.end());
    for (std::size_t r = 0; r < std::min(mine.size(), std::size_t(keep)); ++r)
      expected[std::size_t(mine[r].second)] = int(c);
  }
  CHECK(got == expected);
  const auto by_column = transposed(q, k);
  std::vector<std::byte> memory(weakly::class_top_rows_scratch(n));
  weakly::workspace scratch(memory);
  weakly::thread_pool pool(3);
  std::vector<int> label(static_cast<std::size_t>(n));
  weakly::class_top_rows(pool, weakly::view(by_column.data(), n, k, 1, n), keep, scratch, label);
  CHECK(label == expected);
}

TEST_CASE("class_top_rows refuses shapes, options and scratch that do not fit") {
  const std::vector<double> q(4);
  std::vector<int> label(2), one(1);
  std::vector<std::byte> memory(weakly::class_top_rows_scratch(2)), small(8);
  weakly::workspace scratch(memory), little(small);
  CHECK_THROWS_AS(weakly::class_top_rows(rows(q, 2), -1, scratch, label), weakly::option_error);
  CHECK_THROWS_AS(weakly::class_top_rows(rows(q, 2), 1, scratch, one), weakly::shape_error);
  CHECK_THROWS_AS(weakly::class_top_rows(rows(q, 2), 1, little, label), weakly::workspace_error);
}

TEST_CASE("class_top_rows refuses labels too narrow for the classes") {
  for (const index_t k : {index_t(128), index_t(129)}) {
    std::vector<float> posterior(static_cast<std::size_t>(k));
    posterior.back() = 1;
    std::vector<std::int8_t> label(1);
    std::vector<std::byte> memory(weakly::class_top_rows_scratch(1));
    weakly::workspace scratch(memory);
    const auto p = weakly::view(posterior.data(), 1, k);
    if (k == 129) {
      CHECK_THROWS_AS(weakly::class_top_rows(p, 1, scratch, label), weakly::shape_error);
    } else {
      weakly::class_top_rows(p, 1, scratch, label);
      CHECK(label[0] == 127);
    }
  }
}
