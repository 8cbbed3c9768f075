// SPDX-License-Identifier: MIT
#include "enumerated_model.hpp"

#include <weakly/exec/thread_pool.hpp>
#include <weakly/graph/belief_propagation.hpp>
#include <weakly/graph/beliefs_given_evidence.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

using weakly::belief_propagation;
using weakly::index_t;

TEST_CASE("beliefs_given_evidence gives every row what it would get alone") {
  const auto graph = enumerated::spin_grid(5, 0.4, 1, 12).freeze();
  const index_t rows = 37, n = 25;
  std::mt19937_64 random(1);
  std::vector<std::int8_t> evidence(std::size_t(rows * n));
  for (auto& e : evidence) e = std::int8_t(int(random() % 8) - 6 < 0 ? -1 : int(random() % 2));
  std::vector<double> out(std::size_t(rows * 2 * n)), threaded(out.size());
  weakly::thread_pool pool(3);
  CHECK(weakly::beliefs_given_evidence(graph, weakly::view(evidence.data(), rows, n),
                                       weakly::view(out.data(), rows, 2 * n))
            .ok());
  weakly::beliefs_given_evidence(pool, graph, weakly::view(evidence.data(), rows, n),
                                 weakly::view(threaded.data(), rows, 2 * n));
  CHECK(out == threaded);
  for (index_t r = 0; r < rows; r += 9) {
    belief_propagation bp(graph);
    for (index_t v = 0; v < n; ++v)
      if (const int e = evidence[std::size_t(r * n + v)]; e >= 0) bp.clamp(v, e);
    bp.run();
    const std::vector<double> row(out.begin() + r * 2 * n, out.begin() + (r + 1) * 2 * n);
    CHECK(enumerated::beliefs_of(bp) == row);
  }
  CHECK(weakly::beliefs_given_evidence(graph, weakly::view(evidence.data(), 2, n), weakly::view(out.data(), 2, 2 * n),
                                       {.max_iterations = 1}) == weakly::status{0, 2});
  evidence[3] = 2;
  CHECK_THROWS_AS(
      weakly::beliefs_given_evidence(graph, weakly::view(evidence.data(), 1, n), weakly::view(out.data(), 1, 2 * n)),
      weakly::label_error);
  CHECK_THROWS_AS(
      weakly::beliefs_given_evidence(graph, weakly::view(evidence.data(), 1, n), weakly::view(out.data(), 1, n)),
      weakly::shape_error);
}
