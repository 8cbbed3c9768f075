// SPDX-License-Identifier: MIT
#include "loss_checks.hpp"
#include "loss_reference.hpp"

#include <weakly/loss/asymmetric_generalized_cross_entropy.hpp>

#include <cmath>
#include <vector>

namespace {

long double label_probability(loss_checks::row f, int label) {
  return std::exp(f[std::size_t(label)] - loss_checks::log_sum_exp(f));
}

long double plain(loss_checks::row f, int label, double a, double q) {
  const long double p = label_probability(f, label), base = static_cast<long double>(a),
                    e = static_cast<long double>(q);
  return (std::pow(base + 1, e) - std::pow(base + p, e)) / e;
}

auto call_with(const weakly::asymmetric_generalized_cross_entropy_options& options) {
  return [options](auto&& ex, const auto& logits, const weakly::loss_labels& label, auto&& loss, auto&& grad) {
    weakly::asymmetric_generalized_cross_entropy(ex, logits, label, loss, grad, options);
  };
}

}  // namespace

TEST_CASE("asymmetric_generalized_cross_entropy with q = 2 is a difference of squares") {
  const std::vector<double> logits{0, std::log(3.0)};
  const std::vector<int> label{0};
  std::vector<double> loss(1), grad(2);
  weakly::asymmetric_generalized_cross_entropy(weakly::view(logits.data(), 1, 2), label, loss,
                                               weakly::view(grad.data(), 1, 2), {.a = 1, .q = 2});
  CHECK(loss[0] == doctest::Approx((4.0 - 1.25 * 1.25) / 2).epsilon(1e-14));
  CHECK(grad[1] == doctest::Approx(1.25 * 0.25 * 0.75).epsilon(1e-14));
}

TEST_CASE("asymmetric_generalized_cross_entropy gives the reference results") {
  for (const auto& c : loss_reference::cases("agce"))
    loss_reference::check_loss_and_gradient(c, [&c](auto x, const auto& y, auto& l, auto g) {
      weakly::asymmetric_generalized_cross_entropy(x, y, l, g, {.a = c.number.at("a"), .q = c.number.at("q")});
    });
}

TEST_CASE("asymmetric_generalized_cross_entropy agrees with its plain form, whatever way it is called") {
  for (const double q : {0.5, 1.5})
    loss_checks::check_loss(call_with({.a = 3, .q = q}),
                            [q](loss_checks::row f, int label) { return plain(f, label, 3, q); });
}

TEST_CASE("asymmetric_generalized_cross_entropy refuses options outside their domain") {
  std::vector<double> logits(4), grad(4), loss(2);
  const std::vector<int> label{0, 1};
  const auto call = [&](const weakly::asymmetric_generalized_cross_entropy_options& options) {
    weakly::asymmetric_generalized_cross_entropy(weakly::view(logits.data(), 2, 2), label, loss,
                                                 weakly::view(grad.data(), 2, 2), options);
  };
  CHECK_THROWS_AS(call({0}), weakly::option_error);
  CHECK_THROWS_AS(call({-1}), weakly::option_error);
  CHECK_THROWS_AS(call({INFINITY}), weakly::option_error);
  CHECK_THROWS_AS(call({.a = 1, .q = 0}), weakly::option_error);
  CHECK_THROWS_AS(call({.a = 1, .q = std::nan("")}), weakly::option_error);
  CHECK_THROWS_AS(call({std::nan("")}), weakly::option_error);
}

TEST_CASE("asymmetric_generalized_cross_entropy refuses powers its arithmetic cannot hold, and is finite below them") {
  const auto check = [](auto number, double a, double q, bool refused) {
    CAPTURE(a);
    CAPTURE(q);
    loss_checks::check_finite_or_refused<decltype(number)>(
        [=](const auto& logits, const auto& label, auto& loss, const auto& grad) {
          weakly::asymmetric_generalized_cross_entropy(logits, label, loss, grad, {.a = a, .q = q});
        },
        refused);
  };
  check(0.0f, 3, 66, true);
  check(0.0f, 3, 100, true);
  check(0.0f, 1e-40, 1, true);
  check(0.0f, 1e-20, 1e20, true);
  check(0.0f, 3, 19.9, false);
  check(0.0f, 1e-30, 0.1, false);
  check(0.0f, 1e30, 0.1, false);
  check(0.0f, 1e-30, 1e7, false);
  check(0.0, 3, 1000, true);
  check(0.0, 3, 199, false);
}
