// SPDX-License-Identifier: MIT
#include "loss_checks.hpp"
#include "loss_reference.hpp"

#include <weakly/loss/symmetric_cross_entropy.hpp>

#include <cmath>
#include <vector>

namespace {

long double plain(loss_checks::row f, int label, double forward, double reverse, double a) {
  const long double ce = loss_checks::log_sum_exp(f) - f[std::size_t(label)];
  return static_cast<long double>(forward) * ce + static_cast<long double>(reverse * a) * (1 - std::exp(-ce));
}

auto call_with(const weakly::symmetric_cross_entropy_options& options) {
  return [options](auto&& ex, const auto& logits, const weakly::loss_labels& label, auto&& loss, auto&& grad) {
    weakly::symmetric_cross_entropy(ex, logits, label, loss, grad, options);
  };
}

}  // namespace

TEST_CASE("symmetric_cross_entropy adds what its weights say") {
  const std::vector<double> logits{0, std::log(3.0)};
  const std::vector<int> label{0};
  std::vector<double> loss(1), grad(2);
  weakly::symmetric_cross_entropy(weakly::view(logits.data(), 1, 2), label, loss, weakly::view(grad.data(), 1, 2),
                                  {.cross_entropy = 2, .reverse = 3, .log_zero = 4});
  CHECK(loss[0] == doctest::Approx(2 * std::log(4.0) + 3 * 4 * 0.75).epsilon(1e-14));
  CHECK(grad[1] == doctest::Approx(2 * 0.75 + 12 * 0.25 * 0.75).epsilon(1e-14));
}

TEST_CASE("symmetric_cross_entropy gives the reference results") {
  for (const auto& c : loss_reference::cases("sce"))
    loss_reference::check_loss_and_gradient(c, [&c](auto x, const auto& y, auto& l, auto g) {
      weakly::symmetric_cross_entropy(x, y, l, g,
                                      {.cross_entropy = 1 - c.number.at("balance"),
                                       .reverse = c.number.at("balance"),
                                       .log_zero = c.number.at("A")});
    });
}

TEST_CASE("symmetric_cross_entropy agrees with its plain form, whatever way it is called") {
  loss_checks::check_loss(call_with({.cross_entropy = 0.1, .reverse = 1, .log_zero = 4}),
                          [](loss_checks::row f, int label) { return plain(f, label, 0.1, 1, 4); });
}

TEST_CASE("symmetric_cross_entropy refuses options outside their domain") {
  std::vector<double> logits(4), grad(4), loss(2);
  const std::vector<int> label{0, 1};
  const auto call = [&](const weakly::symmetric_cross_entropy_options& options) {
    weakly::symmetric_cross_entropy(weakly::view(logits.data(), 2, 2), label, loss, weakly::view(grad.data(), 2, 2),
                                    options);
  };
  CHECK_THROWS_AS(call({-1}), weakly::option_error);
  CHECK_THROWS_AS(call({.cross_entropy = 1, .reverse = -1}), weakly::option_error);
  CHECK_THROWS_AS(call({.cross_entropy = INFINITY}), weakly::option_error);
  CHECK_THROWS_AS(call({.reverse = std::nan("")}), weakly::option_error);
  CHECK_THROWS_AS(call({.log_zero = 0}), weakly::option_error);
  CHECK_THROWS_AS(call({.log_zero = std::nan("")}), weakly::option_error);
}
