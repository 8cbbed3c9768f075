// SPDX-License-Identifier: MIT
#include "loss_checks.hpp"
#include "loss_reference.hpp"

#include <weakly/loss/reverse_cross_entropy.hpp>

#include <cmath>
#include <vector>

namespace {

long double label_probability(loss_checks::row f, int label) {
  return std::exp(f[std::size_t(label)] - loss_checks::log_sum_exp(f));
}

long double plain(loss_checks::row f, int label, double a) {
  return static_cast<long double>(a) * (1 - label_probability(f, label));
}

auto call_with(const weakly::reverse_cross_entropy_options& options) {
  return [options](auto&& ex, const auto& logits, const weakly::loss_labels& label, auto&& loss, auto&& grad) {
    weakly::reverse_cross_entropy(ex, logits, label, loss, grad, options);
  };
}

}  // namespace

TEST_CASE("reverse_cross_entropy is A times the probability of the other classes") {
  const std::vector<double> logits{0, std::log(3.0)};
  const std::vector<int> label{0};
  std::vector<double> loss(1), grad(2);
  weakly::reverse_cross_entropy(weakly::view(logits.data(), 1, 2), label, loss, weakly::view(grad.data(), 1, 2),
                                {.log_zero = 4});
  CHECK(loss[0] == doctest::Approx(3).epsilon(1e-14));
  CHECK(grad[0] == doctest::Approx(-0.75).epsilon(1e-14));
  CHECK(grad[1] == doctest::Approx(0.75).epsilon(1e-14));
}

TEST_CASE("reverse_cross_entropy gives the reference results") {
  for (const auto& c : loss_reference::cases("rce"))
    loss_reference::check_loss_and_gradient(c, [&c](auto x, const auto& y, auto& l, auto g) {
      weakly::reverse_cross_entropy(x, y, l, g, {.log_zero = c.number.at("A")});
    });
}

TEST_CASE("reverse_cross_entropy agrees with its plain form, whatever way it is called") {
  loss_checks::check_loss(call_with({}), [](loss_checks::row f, int label) { return plain(f, label, std::log(1e4)); },
                          {.float_factor = 4});
}

TEST_CASE("reverse_cross_entropy summed over all labels does not depend on the scores") {
  std::vector<double> logits{2.5, -1, 0, 7, 0.25};
  double sum = 0;
  for (int y = 0; y < 5; ++y) {
    const std::vector<int> label{y};
    std::vector<double> loss(1);
    weakly::reverse_cross_entropy(weakly::view(logits.data(), 1, 5), label, loss, weakly::discard, {.log_zero = 4});
    sum += loss[0];
  }
  CHECK(sum == doctest::Approx(16).epsilon(1e-14));
}

TEST_CASE("reverse_cross_entropy refuses options outside their domain") {
  std::vector<double> logits(4), grad(4), loss(2);
  const std::vector<int> label{0, 1};
  const auto call = [&](const weakly::reverse_cross_entropy_options& options) {
    weakly::reverse_cross_entropy(weakly::view(logits.data(), 2, 2), label, loss, weakly::view(grad.data(), 2, 2),
                                  options);
  };
  CHECK_THROWS_AS(call({0}), weakly::option_error);
  CHECK_THROWS_AS(call({-1}), weakly::option_error);
  CHECK_THROWS_AS(call({INFINITY}), weakly::option_error);
  CHECK_THROWS_AS(call({std::nan("")}), weakly::option_error);
}
