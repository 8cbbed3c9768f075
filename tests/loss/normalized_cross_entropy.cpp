// SPDX-License-Identifier: MIT
#include "loss_checks.hpp"
#include "loss_reference.hpp"

#include <weakly/loss/normalized_cross_entropy.hpp>

#include <cmath>
#include <vector>

namespace {

long double normalized(loss_checks::row f, int label) {
  const long double log_sum = loss_checks::log_sum_exp(f);
  long double all = 0;
  for (const long double x : f) all += log_sum - x;
  return (log_sum - f[std::size_t(label)]) / all;
}

const auto call = [](auto&& ex, const auto& logits, const weakly::loss_labels& label, auto&& loss, auto&& grad) {
  weakly::normalized_cross_entropy(ex, logits, label, loss, grad);
};

}  // namespace

TEST_CASE("normalized_cross_entropy of two classes is a ratio of logarithms") {
  const std::vector<double> logits{0, std::log(3.0)};
  const std::vector<int> label{0};
  std::vector<double> loss(1), grad(2);
  weakly::normalized_cross_entropy(weakly::view(logits.data(), 1, 2), label, loss, weakly::view(grad.data(), 1, 2));
  CHECK(loss[0] == doctest::Approx(std::log(4.0) / std::log(16.0 / 3)).epsilon(1e-14));
}

TEST_CASE("normalized_cross_entropy gives the reference results") {
  for (const auto& c : loss_reference::cases("nce"))
    loss_reference::check_loss_and_gradient(
        c, [](auto x, const auto& y, auto& l, auto g) { weakly::normalized_cross_entropy(x, y, l, g); });
}

TEST_CASE("normalized_cross_entropy agrees with its plain form, whatever way it is called") {
  loss_checks::check_loss(call, normalized);
}

TEST_CASE("normalized_cross_entropy summed over all labels does not depend on the scores") {
  std::vector<double> logits{2.5, -1, 0, 7, 0.25};
  double sum = 0;
  for (int y = 0; y < 5; ++y) {
    const std::vector<int> label{y};
    std::vector<double> loss(1);
    weakly::normalized_cross_entropy(weakly::view(logits.data(), 1, 5), label, loss, weakly::discard);
    sum += loss[0];
  }
  CHECK(sum == doctest::Approx(1).epsilon(1e-14));
}

TEST_CASE("normalized_cross_entropy refuses a single class") {
  std::vector<double> logits(2), loss(2);
  const std::vector<int> label{0, 0};
  CHECK_THROWS_AS(weakly::normalized_cross_entropy(weakly::view(logits.data(), 2, 1), label, loss, weakly::discard),
                  weakly::shape_error);
}

TEST_CASE("normalized_cross_entropy is zero where another class is excluded") {
  const std::vector<double> logits{1, 2, -INFINITY};
  const std::vector<int> label{0};
  std::vector<double> loss(1), grad(3);
  weakly::normalized_cross_entropy(weakly::view(logits.data(), 1, 3), label, loss, weakly::view(grad.data(), 1, 3));
  CHECK(loss[0] == 0);
  CHECK(grad == std::vector<double>(3));
}

TEST_CASE_TEMPLATE("normalized_cross_entropy of equal scores has the gradient of its formula, however long the row", T,
                   float, double) {
  for (const int k : {10, 300, 512, 1000, 4096, 5000})
    for (const int n : {2, (1 << 20) / k + 1}) {
      CAPTURE(k);
      CAPTURE(n);
      const std::vector<T> logits(static_cast<std::size_t>(n * k));
      const std::vector<int> label(static_cast<std::size_t>(n), 3);
      std::vector<T> loss(static_cast<std::size_t>(n)), grad(logits.size());
      weakly::normalized_cross_entropy(weakly::view(logits.data(), n, k), label, loss, weakly::view(grad.data(), n, k));
      const double d = k * std::log(double(k));
      CHECK(double(grad[static_cast<std::size_t>(k + 3)]) == doctest::Approx(-(1 - 1.0 / k) / d).epsilon(1e-5));
      CHECK(double(grad[static_cast<std::size_t>(k + 2)]) == doctest::Approx(1 / (k * d)).epsilon(1e-2));
    }
}
