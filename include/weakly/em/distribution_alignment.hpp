// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>
#include <weakly/em/detail/exact_columns.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace weakly::inline v0 {

/// Running mean of a model's class probabilities, and what aligns predictions with a target distribution.
///
///     estimate <- momentum estimate + (1 - momentum) mean over the batch of prob
///     aligned posterior q(c) = p(c) target(c) / estimate(c) over its sum
///
/// The second line is label_posterior with log_ratio(target): nothing else is needed for it, whatever was observed.
/// Means are exact before they are rounded: the same bits for every executor and layout. Allocates at construction, and
/// what log_ratio returns. Source: Berthelot et al. (ReMixMatch), ICLR 2020; as in Chen et al., arXiv 2305.12715.
class class_estimate {
 public:
  /// Starts uniform: 1 / k each. Throws shape_error unless there is a class.
  explicit class_estimate(index_t classes) {
    if (classes < 1) detail::fail<shape_error>("class_estimate: ", classes, " classes; there must be one at least");
    reserve(std::vector<double>(static_cast<std::size_t>(classes), 1 / static_cast<double>(classes)));
  }
  /// Starts from k numbers in [0, 1]; throws value_error for others, shape_error unless there is a class.
  explicit class_estimate(std::span<const double> start) {
    if (start.empty()) detail::fail<shape_error>("class_estimate: 0 classes; there must be one at least");
    for (std::size_t c = 0; c < start.size(); ++c)
      if (!(start[c] >= 0 && start[c] <= 1))
        detail::fail<value_error>("class_estimate: the share of class ", c, " is ", start[c], ", outside [0, 1]");
    reserve({start.begin(), start.end()});
  }

  index_t classes() const { return static_cast<index_t>(estimate_.size()); }

  /// prob      n x k  probabilities, in practice of the weak view; n = 0 changes nothing
  /// momentum         in [0, 1); the authors use 0.999, and the estimate after its update
  ///
  /// Throws shape_error, option_error; value_error, naming the row, where an entry is NaN or outside [0, 1 + 1e-6],
  /// before anything changes. O(n k).
  template <executor Exec, real_matrix Prob>
  void update(Exec&& ex, const Prob& prob, double momentum = 0.999) {
    const auto p = view(prob);
    const index_t n = p.extent(0);
    detail::require_extent("class_estimate::update: prob", p, 1, classes());
    if (!(momentum >= 0 && momentum < 1))
      detail::fail<option_error>("class_estimate::update: momentum is ", momentum, "; it must lie in [0, 1)");
    if (n == 0) return;
    detail::exact_columns sums(sums_.data(), classes());
    sums.add_up("class_estimate::update", ex, detail::row_source<double>(p), n);
    for (index_t c = 0; c < classes(); ++c) {
      double& x = estimate_[static_cast<std::size_t>(c)];
      x = momentum * x + (1 - momentum) * sums.mean(c, n);
    }
  }
  template <real_matrix Prob>
  void update(const Prob& prob, double momentum = 0.999) {
    update(seq, prob, momentum);
  }

  std::span<const double> estimate() const { return estimate_; }
  /// All there is to save and restore.
  std::span<double> state() { return estimate_; }

  /// log target(c) - log max(estimate(c), floor); left out, the target is uniform. A target of zero excludes its class.
  /// Throws shape_error; option_error unless floor is positive; value_error for a target that is negative or not
  /// finite, naming its class. Returns k numbers.
  std::vector<double> log_ratio(std::span<const double> target, double floor = 1e-12) const {
    if (static_cast<index_t>(target.size()) != classes())
      detail::fail<shape_error>("class_estimate::log_ratio: ", target.size(), " targets for ", classes(), " classes");
    for (std::size_t c = 0; c < target.size(); ++c)
      if (!(target[c] >= 0 && std::isfinite(target[c])))
        detail::fail<value_error>("class_estimate::log_ratio: the target of class ", c, " is ", target[c],
                                  "; targets are finite, zero or more");
    std::vector<double> ratio = log_ratio(floor);
    const double uniform = std::log(static_cast<double>(classes()));
    for (std::size_t c = 0; c < target.size(); ++c) ratio[c] += std::log(target[c]) + uniform;
    return ratio;
  }
  std::vector<double> log_ratio(double floor = 1e-12) const {
    if (!(floor > 0))
      detail::fail<option_error>("class_estimate::log_ratio: floor is ", floor, "; it must be positive");
    std::vector<double> ratio;
    for (const double x : estimate_)
      ratio.push_back(-std::log(static_cast<double>(classes())) - std::log(std::max(x, floor)));
    return ratio;
  }

 private:
  void reserve(std::vector<double>&& start) {
    estimate_ = std::move(start);
    sums_.resize(estimate_.size() * std::size_t(detail::exact_columns::parts));
  }

  std::vector<double> estimate_;
  std::vector<std::int64_t> sums_;
};

}  // namespace weakly::inline v0
