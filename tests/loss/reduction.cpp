// SPDX-License-Identifier: MIT
#include "loss_checks.hpp"
#include "loss_reference.hpp"

#include <weakly/exec/thread_pool.hpp>
#include <weakly/loss/cross_entropy.hpp>
#include <weakly/loss/reduction.hpp>

#include <cmath>
#include <limits>
#include <span>
#include <vector>

namespace {

using weakly::index_t;

std::vector<double> numbers(index_t n) {
  std::vector<double> x;
  for (index_t i = 0; i < n; ++i) x.push_back(1 / double(1 + i * 7919 % 1009));
  return x;
}

}  // namespace

TEST_CASE("loss_sum, loss_mean and weighted_mean of three losses") {
  const std::vector<float> loss{1, 2, 4};
  const std::vector<double> weight{1, 0, 3};
  std::vector<double> dloss(3), dweight(3);
  CHECK(weakly::loss_sum(loss) == 7);
  CHECK(weakly::loss_mean(loss) == doctest::Approx(7.0 / 3).epsilon(1e-15));
  CHECK(weakly::weighted_mean(loss, weight) == 3.25);
  CHECK(weakly::weighted_mean(loss, weight, dloss, dweight) == 3.25);
  CHECK(dloss == std::vector<double>{0.25, 0, 0.75});
  CHECK(dweight == std::vector<double>{-2.25 / 4, -1.25 / 4, 0.75 / 4});
}

TEST_CASE("weighted_mean gives the reference results") {
  for (const auto& c : loss_reference::cases("weighted_mean")) {
    const std::vector<double> loss = c.values("losses"), weight = c.values("weights");
    std::vector<double> dloss(loss.size()), dweight(loss.size());
    loss_reference::check_array(c, "value", {weakly::weighted_mean(loss, weight, dloss, dweight)});
    loss_reference::check_array(c, "dL", dloss);
    loss_reference::check_array(c, "dw", dweight);
  }
}

TEST_CASE("reductions agree with long double and give the same bits for every executor and layout") {
  weakly::thread_pool pool(3);
  for (const index_t n : {index_t(1), index_t(511), index_t(513), index_t(40000), index_t(100001)}) {
    CAPTURE(n);
    const std::vector<double> loss = numbers(n), weight = numbers(n + 5);
    const auto w = std::span(weight).subspan(5);
    long double sum = 0, total = 0, weighted = 0;
    for (std::size_t i = 0; i < loss.size(); ++i) {
      sum += loss[i];
      total += w[i];
      weighted += static_cast<long double>(w[i]) * loss[i];
    }
    CHECK(weakly::loss_sum(loss) == doctest::Approx(double(sum)).epsilon(1e-14));
    CHECK(weakly::weighted_mean(loss, w) == doctest::Approx(double(weighted / total)).epsilon(1e-14));
    CHECK(weakly::loss_sum(pool, loss) == weakly::loss_sum(loss));
    CHECK(weakly::weighted_mean(pool, loss, w, weakly::discard, weakly::discard) == weakly::weighted_mean(loss, w));
    std::vector<double> spread(std::size_t(3 * n));
    for (std::size_t i = 0; i < loss.size(); ++i) spread[3 * i] = loss[i];
    const weakly::tensor_view<const double, 1> strided(spread.data(), {n}, {3});
    CHECK(weakly::loss_sum(strided) == weakly::loss_sum(loss));
  }
}

TEST_CASE("the gradients of weighted_mean are its central differences") {
  std::vector<double> loss = numbers(20), weight = numbers(23), dloss(20), dweight(20);
  weight.resize(20);
  weakly::weighted_mean(loss, weight, dloss, dweight);
  for (std::size_t i = 0; i < 20; ++i) {
    for (std::vector<double>* const moved : {&loss, &weight}) {
      const double centre = (*moved)[i], h = 1e-6 * centre;
      (*moved)[i] = centre + h;
      const double above = weakly::weighted_mean(loss, weight);
      (*moved)[i] = centre - h;
      const double slope = (above - weakly::weighted_mean(loss, weight)) / (2 * h);
      (*moved)[i] = centre;
      CHECK((moved == &loss ? dloss : dweight)[i] == doctest::Approx(slope).epsilon(1e-7));
    }
  }
}

TEST_CASE("reduction_weights make a loss write the gradient of the reduced loss in its one pass") {
  const index_t n = 1500, k = 5;
  loss_checks::batch_of_rows<double> b(n, k, 2, 1), plain = b;
  std::vector<double> weight = numbers(n), class_weight{0, 1, 2, 0.5, 3}, w(static_cast<std::size_t>(n));
  for (std::size_t i = 0; i < b.label.size(); i += 7) b.label[i] = -100;
  const auto labels = weakly::loss_labels(b.label).ignore(-100).weights(weight).class_weights(class_weight);
  weakly::cross_entropy(b.x(), labels, plain.loss, plain.g());
  double count = 0, total = 0;
  for (std::size_t i = 0; i < b.label.size(); ++i) {
    if (b.label[i] == -100) continue;
    ++count;
    total += weight[i] * class_weight[std::size_t(b.label[i])];
  }
  weakly::thread_pool pool(2);
  for (const auto& [how, divisor] : {std::pair{weakly::reduction::sum, 1.0}, std::pair{weakly::reduction::mean, count},
                                     std::pair{weakly::reduction::weighted_mean, total}}) {
    CHECK(weakly::reduction_weights(labels, k, how, w) == doctest::Approx(divisor).epsilon(1e-14));
    std::vector<double> threaded(w.size());
    weakly::reduction_weights(pool, labels, k, how, threaded);
    CHECK(loss_checks::same_bits(w, threaded));
    weakly::cross_entropy(b.x(), weakly::loss_labels(b.label).ignore(-100).weights(w), b.loss, b.g());
    CHECK(weakly::loss_sum(b.loss) == doctest::Approx(weakly::loss_sum(plain.loss) / divisor).epsilon(1e-13));
    bool equal = true;
    for (std::size_t i = 0; i < b.grad.size(); ++i)
      equal &= std::abs(b.grad[i] * divisor - plain.grad[i]) <= 1e-14 * std::abs(plain.grad[i]);
    CHECK(equal);

    // The same in two steps.
    weakly::cross_entropy(b.x(), weakly::loss_labels(b.label).ignore(-100), b.loss, plain.g());
    weakly::scale_rows(plain.g(), w);
    for (std::size_t i = 0; i < b.grad.size(); ++i) equal &= std::abs(b.grad[i] - plain.grad[i]) <= 1e-15;
    CHECK(equal);
    weakly::cross_entropy(b.x(), labels, plain.loss, plain.g());
  }
}

TEST_CASE("scale_rows is the same for every layout and storage, and clears rows of weight zero") {
  const double nan = std::nan("");
  std::vector<double> row_major{1, 2, nan, 4, 5, 6}, weight{3, 0, 0.5};
  std::vector<float> by_column{1, std::nanf(""), 5, 2, 4, 6};
  std::vector<weakly::half> halves;
  for (const double x : {1.0, 2.0, nan, 4.0, 5.0, 6.0}) halves.emplace_back(float(x));
  weakly::thread_pool pool(2);
  weakly::scale_rows(pool, weakly::view(row_major.data(), 3, 2), weight);
  weakly::scale_rows(weakly::view(by_column.data(), 3, 2, 1, 3), weight);
  weakly::scale_rows(weakly::view(halves.data(), 3, 2), weight);
  CHECK(row_major == std::vector<double>{3, 6, 0, 0, 2.5, 3});
  CHECK(by_column == std::vector<float>{3, 0, 2.5, 6, 0, 3});
  for (std::size_t i = 0; i < 6; ++i) CHECK(float(halves[i]) == float(row_major[i]));
}

TEST_CASE("a row of weight zero does not count whatever its loss is; any other NaN is seen") {
  const std::vector<double> weight{1, 0};
  CHECK(weakly::weighted_mean(std::vector<double>{2, std::nan("")}, weight) == 2);
  CHECK(std::isnan(weakly::weighted_mean(std::vector<double>{std::nan(""), 2}, weight)));
  CHECK(std::isnan(weakly::loss_sum(std::vector<double>{std::nan(""), 2})));
}

TEST_CASE("means over nothing, weights that are negative or all zero, and labels that are none are refused") {
  const std::vector<double> none, loss{1, 2}, zero{0, 0}, negative{1, -1}, infinite{1, INFINITY}, nan{1, std::nan("")};
  CHECK(weakly::loss_sum(none) == 0);
  CHECK_THROWS_AS(weakly::loss_mean(none), weakly::value_error);
  CHECK_THROWS_AS(weakly::weighted_mean(none, none), weakly::value_error);
  for (const auto& bad : {zero, negative, infinite, nan})
    CHECK_THROWS_AS(weakly::weighted_mean(loss, bad), weakly::value_error);
  CHECK_THROWS_AS(weakly::weighted_mean(loss, none), weakly::shape_error);
  std::vector<double> three(3);
  CHECK_THROWS_AS(weakly::weighted_mean(loss, loss, three, weakly::discard), weakly::shape_error);

  using weakly::loss_labels, weakly::reduction;
  std::vector<double> w{7, 7};
  const std::vector<int> label{0, 1}, left_out{-1, -1}, wrong{0, 2}, empty;
  const auto weights = [&](const loss_labels& labels, reduction how) {
    return weakly::reduction_weights(labels, 2, how, w);
  };
  CHECK_THROWS_AS(weights(loss_labels(left_out).ignore(-1), reduction::mean), weakly::value_error);
  CHECK_THROWS_AS(weights(loss_labels(left_out).ignore(-1), reduction::weighted_mean), weakly::value_error);
  CHECK_THROWS_AS(weights(loss_labels(label).weights(zero), reduction::weighted_mean), weakly::value_error);
  for (const auto& bad : {negative, infinite, nan})
    CHECK_THROWS_AS(weights(loss_labels(label).weights(bad), reduction::sum), weakly::value_error);
  CHECK_THROWS_AS(weights(wrong, reduction::mean), weakly::label_error);
  CHECK_THROWS_AS(weights(empty, reduction::sum), weakly::shape_error);
  CHECK(w == std::vector<double>{7, 7});
  CHECK(weights(loss_labels(left_out).ignore(-1), reduction::sum) == 1);
  CHECK(w == zero);
  CHECK(weights(loss_labels(label).weights(zero), reduction::mean) == 2);
  CHECK_THROWS_AS(weakly::scale_rows(weakly::view(w.data(), 1, 2), loss), weakly::shape_error);
}
