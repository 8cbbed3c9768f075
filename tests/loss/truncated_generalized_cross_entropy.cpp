// SPDX-License-Identifier: MIT
#include "loss_checks.hpp"
#include "loss_reference.hpp"

#include <weakly/loss/truncated_generalized_cross_entropy.hpp>

#include <cmath>
#include <vector>

namespace {

long double label_probability(loss_checks::row f, int label) {
  return std::exp(f[std::size_t(label)] - loss_checks::log_sum_exp(f));
}

long double plain(loss_checks::row f, int label, double q, double k) {
  const long double p = label_probability(f, label);
  return (1 - std::pow(p > k ? p : static_cast<long double>(k), static_cast<long double>(q))) /
         static_cast<long double>(q);
}

auto call_with(const weakly::truncated_generalized_cross_entropy_options& options) {
  return [options](auto&& ex, const auto& logits, const weakly::loss_labels& label, auto&& loss, auto&& grad) {
    weakly::truncated_generalized_cross_entropy(ex, logits, label, loss, grad, options);
  };
}

}  // namespace

TEST_CASE("truncated_generalized_cross_entropy is constant up to its bound, the bound included") {
  const std::vector<double> logits{0, 0};
  const std::vector<int> label{0};
  std::vector<double> loss(1), grad(2);
  weakly::truncated_generalized_cross_entropy(weakly::view(logits.data(), 1, 2), label, loss,
                                              weakly::view(grad.data(), 1, 2), {.q = 0.5, .k = 0.5});
  CHECK(loss[0] == doctest::Approx(2 * (1 - std::sqrt(0.5))).epsilon(1e-14));
  CHECK(grad[0] == doctest::Approx(0).epsilon(1e-14));
  CHECK(grad[1] == doctest::Approx(0).epsilon(1e-14));
}

TEST_CASE("truncated_generalized_cross_entropy is the generalised one above its bound") {
  const std::vector<double> logits{0, std::log(3.0)};
  const std::vector<int> label{1};
  std::vector<double> loss(1), grad(2);
  weakly::truncated_generalized_cross_entropy(weakly::view(logits.data(), 1, 2), label, loss,
                                              weakly::view(grad.data(), 1, 2), {.q = 0.5, .k = 0.5});
  CHECK(loss[0] == doctest::Approx(2 * (1 - std::sqrt(0.75))).epsilon(1e-14));
  CHECK(grad[0] == doctest::Approx(std::sqrt(0.75) / 4).epsilon(1e-14));
  CHECK(grad[1] == doctest::Approx(-std::sqrt(0.75) / 4).epsilon(1e-14));
}

TEST_CASE("truncated_generalized_cross_entropy gives the reference results") {
  for (const auto& c : loss_reference::cases("tgce"))
    loss_reference::check_loss_and_gradient(c, [&c](auto x, const auto& y, auto& l, auto g) {
      weakly::truncated_generalized_cross_entropy(x, y, l, g, {.q = c.number.at("q"), .k = c.number.at("k")});
    });
}

TEST_CASE("truncated_generalized_cross_entropy agrees with its plain form, whatever way it is called") {
  loss_checks::check_loss(call_with({.q = 0.7, .k = 0.3}),
                          [](loss_checks::row f, int label) { return plain(f, label, 0.7, 0.3); });
}

TEST_CASE("truncated_generalized_cross_entropy refuses options outside their domain") {
  std::vector<double> logits(4), grad(4), loss(2);
  const std::vector<int> label{0, 1};
  const auto call = [&](const weakly::truncated_generalized_cross_entropy_options& options) {
    weakly::truncated_generalized_cross_entropy(weakly::view(logits.data(), 2, 2), label, loss,
                                                weakly::view(grad.data(), 2, 2), options);
  };
  CHECK_THROWS_AS(call({-0.1}), weakly::option_error);
  CHECK_THROWS_AS(call({.q = 0.5, .k = 0}), weakly::option_error);
  CHECK_THROWS_AS(call({.q = 0.5, .k = 1}), weakly::option_error);
  CHECK_THROWS_AS(call({.q = 0.5, .k = std::nan("")}), weakly::option_error);
  CHECK_THROWS_AS(call({std::nan("")}), weakly::option_error);
}
