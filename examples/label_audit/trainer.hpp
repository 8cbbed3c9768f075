// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/random.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

namespace label_audit {

using weakly::index_t;
using row_major = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// A perceptron with one hidden layer of rectifiers, trained by Adam on the cross entropy. Small on purpose: it is here
/// so that the audit has out-of-sample probabilities to look at, and says nothing about the library.
class perceptron {
 public:
  perceptron(index_t features, index_t classes, weakly::random_stream draw) : draw_(draw) {
    constexpr index_t hidden = 64;
    in_ = layer(features, hidden);
    out_ = layer(hidden, classes);
    fill(in_.weight, std::sqrt(6.0f / static_cast<float>(features)));
    fill(out_.weight, std::sqrt(6.0f / static_cast<float>(hidden)));
  }

  void train(const row_major& x, std::span<const std::int32_t> label) {
    constexpr index_t epochs = 40, batch = 32;
    std::vector<index_t> order(label.size());
    std::iota(order.begin(), order.end(), index_t{0});
    const auto n = static_cast<index_t>(order.size());
    for (index_t epoch = 0; epoch < epochs; ++epoch) {
      shuffle(order);
      const float rate = 4e-3f * (1.0f - static_cast<float>(epoch) / static_cast<float>(epochs));
      for (index_t first = 0; first < n; first += batch) {
        const index_t rows = std::min(batch, n - first);
        row_major picked(rows, x.cols());
        for (index_t i = 0; i < rows; ++i) picked.row(i) = x.row(order[static_cast<std::size_t>(first + i)]);
        const row_major active = hidden(picked);
        row_major error = probabilities_of(active);
        for (index_t i = 0; i < rows; ++i)
          error(i, label[static_cast<std::size_t>(order[static_cast<std::size_t>(first + i)])]) -= 1.0f;
        error /= static_cast<float>(rows);
        const row_major back =
            ((error * out_.weight.transpose()).array() * (active.array() > 0.0f).cast<float>()).matrix();
        out_.step(active, error, rate, ++steps_);
        in_.step(picked, back, rate, steps_);
      }
    }
  }

  row_major probabilities(const row_major& x) const { return probabilities_of(hidden(x)); }

  template <class T>
  void shuffle(std::vector<T>& items) {
    for (std::size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[draw_.below(i)]);
  }

 private:
  struct layer {
    layer() = default;
    layer(index_t from, index_t to)
        : weight(from, to), mean(row_major::Zero(from + 1, to)), square(mean), bias(Eigen::RowVectorXf::Zero(to)) {}

    void step(const row_major& input, const row_major& error, float rate, index_t count) {
      constexpr float decay = 1e-3f, beta1 = 0.9f, beta2 = 0.99f;
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

  row_major probabilities_of(const row_major& active) const {
    row_major p = (active * out_.weight).rowwise() + out_.bias;
    p.colwise() -= p.rowwise().maxCoeff().eval();
    p = p.array().exp();
    p.array().colwise() /= p.rowwise().sum().array().eval();
    return p;
  }

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

/// Out-of-sample class probabilities: row i is predicted by a network that was trained without the fold of row i.
///
/// x      n x d   features, of the order of one
/// label  n       in [0, classes)
///
/// Returns n x classes, rows summing to one. The same bits from the same seed for every executor, within one build.
template <class Exec>
row_major cross_validated_probabilities(Exec&& exec, const row_major& x, std::span<const std::int32_t> label,
                                        index_t classes, index_t folds, std::uint64_t seed) {
  const std::vector<index_t> fold = stratified_folds(label, classes, folds, seed);
  row_major out(x.rows(), classes);
  exec(folds, [&](index_t held_out) {
    std::vector<index_t> inside, outside;
    for (index_t i = 0; i < x.rows(); ++i)
      (fold[static_cast<std::size_t>(i)] == held_out ? outside : inside).push_back(i);
    std::vector<std::int32_t> inside_label;
    for (const index_t i : inside) inside_label.push_back(label[static_cast<std::size_t>(i)]);

    perceptron model(x.cols(), classes, weakly::random_stream(seed, static_cast<std::uint64_t>(held_out) + 3));
    model.train(x(inside, Eigen::all), inside_label);
    const row_major p = model.probabilities(x(outside, Eigen::all));
    for (std::size_t i = 0; i < outside.size(); ++i) out.row(outside[i]) = p.row(static_cast<index_t>(i));
  });
  return out;
}

}  // namespace label_audit
