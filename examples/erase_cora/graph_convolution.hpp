// SPDX-License-Identifier: MIT
#pragma once

#include "citation_graph.hpp"

#include <weakly/adapt/eigen.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/random.hpp>
#include <weakly/core/workspace.hpp>
#include <weakly/graph/label_propagation.hpp>
#include <weakly/graph/normalise_adjacency.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace examples {

using row_major = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

struct graph_convolution_options {
  index_t hidden = 64, output = 64;
  float rate = 0.01f;  ///< of Adam
  float decay = 5e-4f;
  bool dropout = true;  ///< of half the words and half the hidden units
};

/// Two graph convolutions, Z = S relu(S X W1 + b1) W2 + b2 with S the symmetrically normalised graph with loops,
/// trained by Adam on all nodes at once. S is never formed: weakly propagates the columns. Small on purpose, and says
/// nothing about the library.
class graph_convolution {
 public:
  graph_convolution(const citation_graph& g, const graph_convolution_options& options, weakly::random_stream draw)
      : words_(g.words),
        options_(options),
        draw_(draw),
        left_(static_cast<std::size_t>(g.nodes())),
        right_(left_),
        graph_(weakly::normalise_adjacency(g.adjacency(), left_, right_,
                                           {.by = weakly::normalisation::symmetric, .self_loops = 1})),
        memory_(weakly::label_propagation_scratch<float>(g.nodes(), std::max(options.hidden, options.output))),
        first_(g.words.cols(), options.hidden, draw_),
        second_(options.hidden, options.output, draw_) {}
  graph_convolution(const graph_convolution&) = delete;
  graph_convolution& operator=(const graph_convolution&) = delete;

  /// Z of all nodes, with words and units left out at random where it is for training.
  const row_major& forward(bool training) {
    const bool drop = training && options_.dropout;
    input_ = words_;
    if (drop) drop_half(input_.valuePtr(), input_.nonZeros());
    product_.noalias() = input_ * first_.weight;
    propagate(product_, active_);
    active_ = (active_.rowwise() + first_.bias).cwiseMax(0.0f);
    if (drop) drop_half(active_.data(), active_.size());
    product_.noalias() = active_ * second_.weight;
    propagate(product_, z_);
    z_.rowwise() += second_.bias;
    return z_;
  }

  /// One step against the gradient of what forward(true) gave last.
  void backward(const row_major& gradient) {
    ++steps_;
    propagate(gradient, product_);
    row_major into_weight = active_.transpose() * product_;
    // A unit that was dropped or is not active is zero, one that was kept is doubled.
    error_.noalias() = product_ * second_.weight.transpose();
    error_.array() *= (active_.array() > 0.0f).cast<float>() * (options_.dropout ? 2.0f : 1.0f);
    second_.step(into_weight, gradient.colwise().sum(), options_, steps_);
    propagate(error_, product_);
    into_weight = input_.transpose() * product_;
    first_.step(into_weight, error_.colwise().sum(), options_, steps_);
  }

 private:
  struct layer {
    layer(index_t from, index_t to, weakly::random_stream& draw)
        : weight(from, to), mean(row_major::Zero(from + 1, to)), square(mean), bias(Eigen::RowVectorXf::Zero(to)) {
      const float bound = std::sqrt(6.0f / static_cast<float>(from + to));
      for (index_t i = 0; i < weight.size(); ++i)
        weight.data()[i] = bound * static_cast<float>(2.0 * draw.uniform() - 1.0);
    }

    void step(const row_major& of_weight, const Eigen::RowVectorXf& of_bias, const graph_convolution_options& o,
              int count) {
      constexpr float beta1 = 0.9f, beta2 = 0.999f;
      row_major gradient(weight.rows() + 1, weight.cols());
      gradient << of_weight + o.decay * weight, of_bias;
      mean = beta1 * mean + (1 - beta1) * gradient;
      square = beta2 * square + (1 - beta2) * gradient.cwiseAbs2();
      const auto t = static_cast<float>(count);
      const float scale = o.rate * std::sqrt(1 - std::pow(beta2, t)) / (1 - std::pow(beta1, t));
      gradient = scale * (mean.array() / (square.array().sqrt() + 1e-8f)).matrix();
      weight -= gradient.topRows(weight.rows());
      bias -= gradient.bottomRows(1);
    }

    row_major weight, mean, square;
    Eigen::RowVectorXf bias;
  };

  // to = S from
  void propagate(const row_major& from, row_major& to) {
    to.resize(from.rows(), from.cols());
    weakly::workspace scratch(memory_);
    weakly::label_propagation(graph_, from, scratch, to, weakly::discard, {.alpha = 0, .steps = 1});
  }

  void drop_half(float* x, index_t count) {
    std::uint64_t bits = 0;
    for (index_t i = 0; i < count; ++i) {
      if (i % 64 == 0) bits = draw_();
      x[i] *= (bits & 1) != 0 ? 2.0f : 0.0f;
      bits >>= 1;
    }
  }

  const features& words_;
  graph_convolution_options options_;
  weakly::random_stream draw_;
  std::vector<double> left_, right_;
  weakly::normalised_adjacency graph_;
  std::vector<std::byte> memory_;
  layer first_, second_;
  int steps_ = 0;
  features input_;
  row_major product_, active_, error_, z_;
};

}  // namespace examples
