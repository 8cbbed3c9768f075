// SPDX-License-Identifier: MIT
#include "noise/allocations.hpp"
#include "propagation_checks.hpp"

#include <weakly/graph/class_means.hpp>
#include <weakly/graph/cosine_pseudo_labels.hpp>
#include <weakly/graph/label_propagation.hpp>
#include <weakly/graph/normalise_adjacency.hpp>
#include <weakly/graph/row_argmax.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <vector>

using namespace propagation_checks;

TEST_CASE("both stages of label denoising allocate nothing") {
  const index_t n = 900, k = 7, d = 600;
  const csr g = random_graph(n, 4000, 1);
  const auto z = uniform<float>(n, d, 2), y = uniform<float>(n, k, 3);
  std::vector<double> left(std::size_t(n), 0), right(left), mu(std::size_t(k * d)), prior(y.size());
  std::vector<float> out(y.size());
  std::vector<int> label(std::size_t(n), 0), train(std::size_t(n), 1), reached(label);
  std::vector<std::byte> memory(weakly::label_propagation_scratch<double>(n, k) +
                                weakly::cosine_pseudo_labels_scratch(k, d));
  weakly::workspace one(memory), two(memory);
  CHECK(allocations::during([&] {
          const auto graph = weakly::csr_adjacency(g.offset, g.column, g.weight);
          const auto s = weakly::normalise_adjacency(graph, train, left, right);
          weakly::label_propagation(s, rows(y, k), one, rows(prior, k), reached);
          weakly::row_argmax(rows(prior, k), label);
          weakly::class_means(rows(z, d), label, rows(mu, d));
          weakly::cosine_pseudo_labels(rows(z, d), rows(mu, d), rows(prior, k), two, rows(out, k));
        }) == 0);
}
