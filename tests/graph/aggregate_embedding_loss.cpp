// SPDX-License-Identifier: MIT
#include <weakly/exec/thread_pool.hpp>
#include <weakly/graph/aggregate_embedding_loss.hpp>
#include <weakly/graph/bag_mean.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <vector>

namespace {

using std::size_t;
using weakly::index_t;
using weakly::label_bags;
using ints = std::vector<int>;
using reals = std::vector<double>;

double loss(const reals& logit, const reals& label, const reals& bag_logit, const label_bags& bags, reals& grad,
            reals& bag_grad, double weight = 0.1) {
  std::vector<std::byte> memory(weakly::aggregate_embedding_loss_scratch(bags.items(), bags.bags()));
  weakly::workspace scratch(memory);
  grad.resize(logit.size());
  bag_grad.resize(bag_logit.size());
  return weakly::aggregate_embedding_loss(logit, label, bag_logit, bags, scratch, grad, bag_grad, {.weight = weight});
}

reals normal(size_t n, unsigned seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> x;
  reals out(n);
  for (double& o : out) o = x(random);
  return out;
}

/// A learner as the paper has it: embeddings of d numbers, a linear output, and on the mean of each bag a hidden layer
/// of h rectifiers and a linear output.
struct network {
  index_t d = 3, h = 5;
  reals output = normal(3, 1), hidden = normal(15, 2), head = normal(5, 3);

  struct result {
    double value;
    reals grad_embedding;
  };
  result operator()(const reals& embedding, const reals& label, const label_bags& bags) const {
    const index_t n = bags.items(), m = bags.bags();
    reals logit(size_t(n), 0.0), mean(size_t(m * d)), active(size_t(m * h)), bag_logit(size_t(m), 0.0), grad, bag_grad;
    for (index_t i = 0; i < n; ++i)
      for (index_t j = 0; j < d; ++j) logit[size_t(i)] += embedding[size_t(i * d + j)] * output[size_t(j)];
    weakly::bag_mean(weakly::view(embedding.data(), n, d), bags, weakly::view(mean.data(), m, d));
    for (index_t b = 0; b < m; ++b)
      for (index_t k = 0; k < h; ++k) {
        double z = 0.1;
        for (index_t j = 0; j < d; ++j) z += hidden[size_t(k * d + j)] * mean[size_t(b * d + j)];
        active[size_t(b * h + k)] = std::max(z, 0.0);
        bag_logit[size_t(b)] += head[size_t(k)] * std::max(z, 0.0);
      }
    result r{loss(logit, label, bag_logit, bags, grad, bag_grad), reals(size_t(n * d))};
    reals grad_mean(size_t(m * d), 0.0);
    for (index_t b = 0; b < m; ++b)
      for (index_t k = 0; k < h; ++k)
        for (index_t j = 0; j < d && active[size_t(b * h + k)] > 0; ++j)
          grad_mean[size_t(b * d + j)] += bag_grad[size_t(b)] * head[size_t(k)] * hidden[size_t(k * d + j)];
    weakly::bag_mean_gradient(weakly::view(grad_mean.data(), m, d), bags, weakly::view(r.grad_embedding.data(), n, d));
    for (index_t i = 0; i < n; ++i)
      for (index_t j = 0; j < d; ++j) r.grad_embedding[size_t(i * d + j)] += grad[size_t(i)] * output[size_t(j)];
    return r;
  }
};

}  // namespace

TEST_CASE("aggregate_embedding_loss of two items in one bag") {
  const label_bags bags(2, ints{0, 2}, ints{1});
  reals grad, bag_grad;
  // Items: log 4/3 and log 2 at probabilities 1/4 and 1/2; the bag: half of it positive, predicted 3/4.
  const double value = loss({-std::log(3.0), 0}, {0, 1}, {std::log(3.0)}, bags, grad, bag_grad, 0.2);
  const double of_items = (std::log(4.0 / 3) + std::log(2.0)) / 2;
  const double of_bag = -0.5 * std::log(0.75) - 0.5 * std::log(0.25);
  CHECK(value == doctest::Approx(of_items + 0.2 * of_bag).epsilon(1e-15));
  CHECK(grad[0] == doctest::Approx(0.125).epsilon(1e-15));
  CHECK(grad[1] == doctest::Approx(-0.25).epsilon(1e-15));
  CHECK(bag_grad[0] == doctest::Approx(0.2 * 0.25).epsilon(1e-15));
}

TEST_CASE("aggregate_embedding_loss has the gradient of a learner's embeddings, head and pooling included") {
  const label_bags bags(9, ints{0, 3, 8}, ints{8, 1, 2, 3, 0, 5, 6, 7}, ints{1, 4});
  const network net;
  reals embedding = normal(27, 4), label = normal(9, 5);
  for (double& t : label) t = 1 / (1 + std::exp(-t));
  const reals grad = net(embedding, label, bags).grad_embedding;
  for (size_t e = 0; e < embedding.size(); ++e) {
    const double at = embedding[e], h = 1e-5;
    embedding[e] = at + h;
    const double above = net(embedding, label, bags).value;
    embedding[e] = at - h;
    const double below = net(embedding, label, bags).value;
    embedding[e] = at;
    CHECK(std::abs(grad[e] - (above - below) / (2 * h)) < 1e-9);
  }
}

TEST_CASE("aggregate_embedding_loss takes infinite logits at their word") {
  const double inf = std::numeric_limits<double>::infinity();
  const label_bags bags(2, ints{0, 2}, ints{2});
  reals grad, bag_grad;
  CHECK(loss({inf, -inf}, {1, 0}, {inf}, bags, grad, bag_grad) == 0);
  CHECK(grad == reals{0, 0});
  CHECK(bag_grad == reals{0});
  CHECK(loss({-inf, 0}, {1, 0}, {0}, bags, grad, bag_grad) == inf);
  CHECK(grad[0] == -0.5);
  CHECK(loss({800, -800}, {1, 0}, {800}, bags, grad, bag_grad) == 0);
}

TEST_CASE("aggregate_embedding_loss has the same bits for every executor, and discards what is not wanted") {
  const index_t n = 30000;
  std::vector<index_t> begin{0}, count;
  while (begin.back() < n) {
    begin.push_back(begin.back() + 3);
    count.push_back(begin.back() % 4);
  }
  const label_bags bags(n, begin, count);
  const reals logit = normal(size_t(n), 6), bag_logit = normal(count.size(), 7), label(size_t(n), 0.25);
  reals grad, bag_grad, place = logit, other(count.size());
  const double value = loss(logit, label, bag_logit, bags, grad, bag_grad);
  std::vector<std::byte> memory(weakly::aggregate_embedding_loss_scratch(n, index_t(count.size())));
  weakly::workspace scratch(memory);
  weakly::thread_pool pool(3);
  CHECK(weakly::aggregate_embedding_loss(pool, place, label, bag_logit, bags, scratch, place, other) == value);
  CHECK(place == grad);
  CHECK(other == bag_grad);
  scratch = weakly::workspace(memory);
  CHECK(weakly::aggregate_embedding_loss(logit, label, bag_logit, bags, scratch, weakly::discard, weakly::discard) ==
        value);
}

TEST_CASE("aggregate_embedding_loss refuses NaN, labels that are none, weights below zero and other lengths") {
  const label_bags bags(2, ints{0, 2}, ints{1});
  reals grad, bag_grad;
  CHECK_THROWS_AS(loss({std::nan(""), 0}, {0, 1}, {0}, bags, grad, bag_grad), weakly::value_error);
  CHECK_THROWS_AS(loss({0, 0}, {0, 1.5}, {0}, bags, grad, bag_grad), weakly::value_error);
  CHECK_THROWS_AS(loss({0, 0}, {0, 1}, {std::nan("")}, bags, grad, bag_grad), weakly::value_error);
  CHECK_THROWS_AS(loss({0, 0}, {0, 1}, {0}, bags, grad, bag_grad, -1), weakly::option_error);
  CHECK_THROWS_AS(loss({0, 0, 0}, {0, 1}, {0}, bags, grad, bag_grad), weakly::shape_error);
  CHECK_THROWS_AS(loss({0, 0}, {0}, {0}, bags, grad, bag_grad), weakly::shape_error);
  CHECK_THROWS_AS(loss({0, 0}, {0, 1}, {0, 0}, bags, grad, bag_grad), weakly::shape_error);
}
