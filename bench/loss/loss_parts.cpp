// SPDX-License-Identifier: MIT
// What weighs, selects and reduces losses, beside a copy of the array it reads: matrices of predictions first, then one
// number a row.
#include "loss_arrays.hpp"

#include <weakly/loss/censoring_weights.hpp>
#include <weakly/loss/class_balanced_weights.hpp>
#include <weakly/loss/loss_labels.hpp>
#include <weakly/loss/nested_dropout.hpp>
#include <weakly/loss/reduction.hpp>
#include <weakly/loss/similarity_weights.hpp>
#include <weakly/loss/small_loss_selection.hpp>
#include <weakly/loss/uncertainty_weighted.hpp>
#include <weakly/loss/winner_take_all.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace {

using weakly::index_t;
using batch = bench::loss_batch;

void add_matrices(index_t n, index_t k) {
  using namespace weakly;
  bench::add_loss("uncertainty_weighted", n, k, [](const batch& b) {
    uncertainty_weighted(b.l(), b.x(), b.t(), b.a.extra_view(), discard, discard, b.g(), discard);
  });
  bench::add_loss("winner_take_all", n, k,
                  [](const batch& b) { winner_take_all(b.x(), b.l(), b.g(), discard, {.epsilon = 0.1}); });
  bench::add_prepared_loss("similarity_weights", n, k, [](const batch& b) {
    return [&b, label = b.label]() mutable { similarity_weights(b.x(), b.l(), label); };
  });
  bench::add_prepared_loss("keep_leading_features", n, k, [k](const batch& b) {
    std::vector<int> width(b.label.size());
    nested_dropout(k, {.mean = 0, .deviation = double(k) / 2}).draw(1, 0, width);
    return [&b, width] { keep_leading_features(width, b.g()); };
  });
}

void add_vectors(index_t n) {
  using namespace weakly;
  bench::add_loss("floor_copy", n, 1, bench::copy_logits);
  bench::add_loss("loss_mean", n, 1, [](const batch& b) { benchmark::DoNotOptimize(loss_mean(b.l())); });
  bench::add_prepared_loss("weighted_mean", n, 1, [n](const batch& b) {
    return [&b, weight = std::vector<float>(std::size_t(n), 0.5f)] {
      benchmark::DoNotOptimize(weighted_mean(b.l(), weight, b.a.extra_view(), discard));
    };
  });
  bench::add_prepared_loss("reduction_weights", n, 1, [n](const batch& b) {
    return [&b, weight = std::vector<float>(std::size_t(n), 0.5f)] {
      benchmark::DoNotOptimize(
          reduction_weights(loss_labels(b.label).weights(weight), 1, reduction::weighted_mean, b.a.extra_view()));
    };
  });
  bench::add_prepared_loss("small_loss_selection", n, 1, [n](const batch& b) {
    return [&b, rows = std::vector<index_t>(std::size_t(n))]() mutable {
      benchmark::DoNotOptimize(small_loss_selection(view(b.a.logits, b.a.n), 0.2, rows));
    };
  });
  bench::add_prepared_loss("class_balanced_weights", n, 1, [n](const batch&) {
    std::vector<double> count;
    for (index_t j = 0; j < n; ++j) count.push_back(double(1 + j % 1000));
    return [count] { benchmark::DoNotOptimize(class_balanced_weights(count)); };
  });
  bench::add_prepared_loss("nested_dropout", n, 1, [n](const batch&) {
    return [dropout = nested_dropout(1000), width = std::vector<int>(std::size_t(n))]() mutable {
      dropout.draw(1, 0, width);
    };
  });
  const auto events = [n] {
    std::vector<std::uint8_t> event;
    for (index_t i = 0; i < n; ++i) event.push_back(i % 3 != 0 ? 1 : 0);
    return event;
  };
  bench::add_prepared_loss("censoring_curve", n, 1, [n, events](const batch& b) {
    return [&b, n, event = events()] { benchmark::DoNotOptimize(censoring_weights(view(b.a.logits, n), event)); };
  });
  bench::add_prepared_loss("censoring_weights", n, 1, [n, events](const batch& b) {
    return [&b, curve = censoring_weights(view(b.a.logits, n), events())] { curve.weights(b.l()); };
  });
}

const bool registered = (add_matrices(1000000, 10), add_matrices(65536, 1000), add_vectors(1000000), true);

}  // namespace
