// SPDX-License-Identifier: MIT
#pragma once

#include "../perceptron.hpp"

#include <weakly/core/random.hpp>

#include <Eigen/Core>

#include <cstdint>
#include <span>
#include <vector>

namespace label_audit {

using examples::row_major;
using weakly::index_t;

inline void into_probabilities(row_major& p) {
  p.colwise() -= p.rowwise().maxCoeff().eval();
  p = p.array().exp();
  p.array().colwise() /= p.rowwise().sum().array().eval();
}

/// Out-of-sample class probabilities: row i is predicted by a network that was trained without the fold of row i.
///
/// x      n x d   features, of the order of one
/// label  n       in [0, classes)
///
/// Returns n x classes, rows summing to one. The same bits from the same seed for every executor, within one build.
template <class Exec>
row_major cross_validated_probabilities(Exec&& exec, const row_major& x, std::span<const std::int32_t> label,
                                        index_t classes, index_t folds, std::uint64_t seed) {
  const std::vector<index_t> fold = examples::stratified_folds(label, classes, folds, seed);
  row_major out(x.rows(), classes);
  exec(folds, [&](index_t held_out) {
    std::vector<index_t> inside, outside;
    for (index_t i = 0; i < x.rows(); ++i)
      (fold[static_cast<std::size_t>(i)] == held_out ? outside : inside).push_back(i);
    std::vector<std::int32_t> inside_label;
    for (const index_t i : inside) inside_label.push_back(label[static_cast<std::size_t>(i)]);

    examples::perceptron model(x.cols(), classes, {},
                               weakly::random_stream(seed, static_cast<std::uint64_t>(held_out) + 3));
    const auto gradient = [&](std::span<const index_t> rows, row_major& logits) {
      into_probabilities(logits);
      for (std::size_t i = 0; i < rows.size(); ++i)
        logits(static_cast<index_t>(i), inside_label[static_cast<std::size_t>(rows[i])]) -= 1.0f;
    };
    model.train(x(inside, Eigen::all), gradient, [](index_t) {});
    row_major p = model.logits(x(outside, Eigen::all));
    into_probabilities(p);
    for (std::size_t i = 0; i < outside.size(); ++i) out.row(outside[i]) = p.row(static_cast<index_t>(i));
  });
  return out;
}

}  // namespace label_audit
