// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/view.hpp>
#include <weakly/loss/detail/count_vector.hpp>

#include <cmath>
#include <vector>

namespace weakly::inline v0 {

struct class_balanced_weights_options {
  double beta = 0.9999;  ///< in [0, 1): 0 gives every class the weight one, towards 1 weights go as 1 / count
};

/// Weights of the classes by their effective numbers of examples.
///
///     w(j) proportional to (1 - beta) / (1 - beta^counts(j)),   sum of w = k
///
/// counts  k   positive numbers
///
/// The powers are formed without cancellation, for beta up to the double below 1. For loss_labels::class_weights.
/// Throws value_error for a count that is not positive and finite, option_error unless beta is in [0, 1).
/// Cui et al., CVPR 2019 (arXiv 1901.05555).
template <count_vector Counts>
std::vector<double> class_balanced_weights(const Counts& counts, const class_balanced_weights_options& options = {}) {
  if (!(options.beta >= 0 && options.beta < 1))
    detail::fail<option_error>("class_balanced_weights: beta is ", options.beta, "; give a number in [0, 1)");
  std::vector<double> weight = detail::positive_counts("class_balanced_weights", counts);
  const double log_beta = std::log(options.beta);
  double sum = 0;
  for (double& w : weight) sum += w = (1 - options.beta) / -std::expm1(w * log_beta);
  for (double& w : weight) w *= static_cast<double>(weight.size()) / sum;
  return weight;
}

struct deferred_reweighting_options {
  index_t start = 160;   ///< the first epoch that weighs the classes
  double beta = 0.9999;  ///< of class_balanced_weights from then on
};

/// The weights of an epoch under deferred re-weighting: one for every class before `start`, then those of
/// class_balanced_weights. Errors as there. Cao et al., NeurIPS 2019 (arXiv 1906.07413), algorithm 1.
template <count_vector Counts>
std::vector<double> deferred_reweighting(const Counts& counts, index_t epoch,
                                         const deferred_reweighting_options& options = {}) {
  return class_balanced_weights(counts, {.beta = epoch < options.start ? 0 : options.beta});
}

}  // namespace weakly::inline v0
