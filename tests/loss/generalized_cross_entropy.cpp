// SPDX-License-Identifier: MIT
#include "loss_checks.hpp"
#include "loss_reference.hpp"

#include <weakly/loss/cross_entropy.hpp>
#include <weakly/loss/generalized_cross_entropy.hpp>
#include <weakly/loss/mean_absolute_error.hpp>

#include <cmath>
#include <vector>

namespace {

long double label_probability(loss_checks::row f, int label) {
  return std::exp(f[std::size_t(label)] - loss_checks::log_sum_exp(f));
}

long double plain(loss_checks::row f, int label, double q) {
  return (1 - std::pow(label_probability(f, label), static_cast<long double>(q))) / static_cast<long double>(q);
}

auto call_with(const weakly::generalized_cross_entropy_options& options) {
  return [options](auto&& ex, const auto& logits, const weakly::loss_labels& label, auto&& loss, auto&& grad) {
    weakly::generalized_cross_entropy(ex, logits, label, loss, grad, options);
  };
}

}  // namespace

TEST_CASE("generalized_cross_entropy of a probability of 1/4 with q = 1/2 is 1") {
  const std::vector<double> logits{0, std::log(3.0)};
  const std::vector<int> label{0};
  std::vector<double> loss(1), grad(2);
  weakly::generalized_cross_entropy(weakly::view(logits.data(), 1, 2), label, loss, weakly::view(grad.data(), 1, 2),
                                    {.q = 0.5});
  CHECK(loss[0] == doctest::Approx(1).epsilon(1e-14));
  CHECK(grad[0] == doctest::Approx(-0.375).epsilon(1e-14));
  CHECK(grad[1] == doctest::Approx(0.375).epsilon(1e-14));
}

TEST_CASE("generalized_cross_entropy gives the reference results") {
  for (const auto& c : loss_reference::cases("gce"))
    loss_reference::check_loss_and_gradient(c, [&c](auto x, const auto& y, auto& l, auto g) {
      weakly::generalized_cross_entropy(x, y, l, g, {.q = c.number.at("q")});
    });
}

TEST_CASE("generalized_cross_entropy agrees with its plain form, whatever way it is called") {
  for (const double q : {0.05, 0.7})
    loss_checks::check_loss(call_with({q}), [q](loss_checks::row f, int label) { return plain(f, label, q); });
}

TEST_CASE("generalized_cross_entropy is cross-entropy at q = 0, also in the limit, and 1 - p at q = 1") {
  for (const double q : {0.0, 1e-300, 1e-12}) {
    loss_checks::batch_of_rows<double> a(50, 7, 3, 1), b = a;
    weakly::generalized_cross_entropy(a.x(), a.label, a.loss, a.g(), {.q = q});
    weakly::cross_entropy(b.x(), b.label, b.loss, b.g());
    for (std::size_t i = 0; i < a.loss.size(); ++i) CHECK(a.loss[i] == doctest::Approx(b.loss[i]).epsilon(1e-10));
    for (std::size_t i = 0; i < a.grad.size(); ++i) CHECK(a.grad[i] == doctest::Approx(b.grad[i]).epsilon(1e-10));
  }
  loss_checks::batch_of_rows<double> a(50, 7, 3, 1), b = a;
  weakly::generalized_cross_entropy(a.x(), a.label, a.loss, a.g(), {.q = 1});
  weakly::mean_absolute_error(b.x(), b.label, b.loss, b.g());
  for (std::size_t i = 0; i < a.loss.size(); ++i) CHECK(2 * a.loss[i] == b.loss[i]);
  for (std::size_t i = 0; i < a.grad.size(); ++i) CHECK(2 * a.grad[i] == b.grad[i]);
}

TEST_CASE("generalized_cross_entropy keeps its gradient where the label's probability underflows") {
  const std::vector<double> logits{0, 1000};
  const std::vector<int> label{0};
  std::vector<double> loss(1), grad(2);
  weakly::generalized_cross_entropy(weakly::view(logits.data(), 1, 2), label, loss, weakly::view(grad.data(), 1, 2),
                                    {.q = 0.05});
  CHECK(grad[1] / std::exp(-50.0) == doctest::Approx(1).epsilon(1e-12));
}

TEST_CASE("generalized_cross_entropy refuses options outside their domain") {
  std::vector<double> logits(4), grad(4), loss(2);
  const std::vector<int> label{0, 1};
  const auto call = [&](const weakly::generalized_cross_entropy_options& options) {
    weakly::generalized_cross_entropy(weakly::view(logits.data(), 2, 2), label, loss, weakly::view(grad.data(), 2, 2),
                                      options);
  };
  CHECK_THROWS_AS(call({-0.1}), weakly::option_error);
  CHECK_THROWS_AS(call({1.1}), weakly::option_error);
  CHECK_THROWS_AS(call({std::nan("")}), weakly::option_error);
}
