// SPDX-License-Identifier: MIT
#pragma once

#include "digits.hpp"

#include <weakly/core/random.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

namespace examples {

struct perceptron_options {
  index_t hidden = 64;
  index_t epochs = 40;
  index_t batch = 32;
  float rate = 4e-3f;  ///< of Adam in the first epoch; falls to zero along a straight line
  float decay = 1e-3f;
};

/// A perceptron with one hidden layer of rectifiers, trained by Adam. Small on purpose: it is here so that the library
/// has something to work on, and says nothing about the library.
class perceptron {
 public:
  perceptron(index_t features, index_t classes, const perceptron_options& options, weakly::random_stream draw)
      : options_(options), draw_(draw), in_(features, options.hidden), out_(options.hidden, classes) {
    fill(in_.weight, std::sqrt(6.0f / static_cast<float>(features)));
    fill(out_.weight, std::sqrt(6.0f / static_cast<float>(options.hidden)));
  }

  /// Minimises the mean of a loss over rows of x.
  ///
  /// gradient(rows, logits)  replaces the logits of these rows of x by the gradient of each row's loss
  /// after_epoch(epoch)      is called after each pass over the rows
  template <class Gradient, class AfterEpoch>
  void train(const row_major& x, Gradient&& gradient, AfterEpoch&& after_epoch) {
    std::vector<index_t> order(static_cast<std::size_t>(x.rows()));
    std::iota(order.begin(), order.end(), index_t{0});
    const index_t n = x.rows();
    row_major picked, active, error, back;
    for (index_t epoch = 0; epoch < options_.epochs; ++epoch) {
      shuffle(order);
      const float rate = options_.rate * (1.0f - static_cast<float>(epoch) / static_cast<float>(options_.epochs));
      for (index_t first = 0; first < n; first += options_.batch) {
        const std::span<const index_t> rows(order.data() + first,
                                            static_cast<std::size_t>(std::min(options_.batch, n - first)));
        picked = x(rows, Eigen::all);
        active = hidden(picked);
        error = logits_of(active);
        gradient(rows, error);
        error /= static_cast<float>(rows.size());
        back = ((error * out_.weight.transpose()).array() * (active.array() > 0.0f).cast<float>()).matrix();
        out_.step(active, error, rate, options_.decay, ++steps_);
        in_.step(picked, back, rate, options_.decay, steps_);
      }
      after_epoch(epoch);
    }
  }

  row_major logits(const row_major& x) const { return logits_of(hidden(x)); }
  /// What the hidden layer makes of the rows of x.
  row_major embedding(const row_major& x) const { return hidden(x); }

  template <class T>
  void shuffle(std::vector<T>& items) {
    for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[draw_.below(i)]);
  }

 private:
  struct layer {
    layer(index_t from, index_t to)
        : weight(from, to), mean(row_major::Zero(from + 1, to)), square(mean), bias(Eigen::RowVectorXf::Zero(to)) {}

    void step(const row_major& input, const row_major& error, float rate, float decay, index_t count) {
      constexpr float beta1 = 0.9f, beta2 = 0.99f;
      row_major gradient(weight.rows() + 1, weight.cols());
      gradient.topRows(weight.rows()).noalias() = input.transpose() * error;
      gradient.topRows(weight.rows()) += decay * weight;
      gradient.bottomRows(1) = error.colwise().sum();
      mean = beta1 * mean + (1 - beta1) * gradient;
      square = beta2 * square + (1 - beta2) * gradient.cwiseAbs2();
      const auto t = static_cast<float>(count);
      const float scale = rate * std::sqrt(1 - std::pow(beta2, t)) / (1 - std::pow(beta1, t));
      const row_major change = scale * (mean.array() / (square.array().sqrt() + 1e-7f)).matrix();
      weight -= change.topRows(weight.rows());
      bias -= change.bottomRows(1);
    }

    row_major weight, mean, square;
    Eigen::RowVectorXf bias;
  };

  void fill(row_major& weight, float bound) {
    for (index_t i = 0; i < weight.size(); ++i)
      weight.data()[i] = bound * static_cast<float>(2.0 * draw_.uniform() - 1.0);
  }

  row_major hidden(const row_major& x) const { return ((x * in_.weight).rowwise() + in_.bias).cwiseMax(0.0f); }

  row_major logits_of(const row_major& active) const { return (active * out_.weight).rowwise() + out_.bias; }

  perceptron_options options_;
  weakly::random_stream draw_;
  index_t steps_ = 0;
  layer in_, out_;
};

/// Fold of each row, every class spread evenly over the folds.
///
/// label  n   in [0, classes)
///
/// The same folds from the same seed on every platform.
inline std::vector<index_t> stratified_folds(std::span<const std::int32_t> label, index_t classes, index_t folds,
                                             std::uint64_t seed) {
  weakly::random_stream draw(seed, 2);
  std::vector<std::vector<std::size_t>> members(static_cast<std::size_t>(classes));
  for (std::size_t i = 0; i < label.size(); ++i) members[static_cast<std::size_t>(label[i])].push_back(i);
  std::vector<index_t> fold(label.size());
  index_t turn = 0;  // goes on from class to class, so that the folds differ by one row at most
  for (auto& rows : members) {
    for (std::size_t i = rows.size(); i > 1; --i) std::swap(rows[i - 1], rows[draw.below(i)]);
    for (const std::size_t row : rows) fold[row] = turn++ % folds;
  }
  return fold;
}

}  // namespace examples
