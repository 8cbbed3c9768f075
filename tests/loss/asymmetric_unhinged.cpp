// SPDX-License-Identifier: MIT
#include "loss_checks.hpp"
#include "loss_reference.hpp"

#include <weakly/loss/asymmetric_unhinged.hpp>

#include <cmath>
#include <vector>

namespace {

long double plain(loss_checks::row f, int label, double a, double q) {
  const long double log_sum = loss_checks::log_sum_exp(f);
  long double others = 0;
  for (std::size_t j = 0; j < f.size(); ++j)
    if (int(j) != label) others += std::exp(f[j] - log_sum);
  const long double base = static_cast<long double>(a) - 1, e = static_cast<long double>(q);
  return (std::pow(base + others, e) - std::pow(base, e)) / e;
}

auto call_with(const weakly::asymmetric_unhinged_options& options) {
  return [options](auto&& ex, const auto& logits, const weakly::loss_labels& label, auto&& loss, auto&& grad) {
    weakly::asymmetric_unhinged(ex, logits, label, loss, grad, options);
  };
}

}  // namespace

TEST_CASE("asymmetric_unhinged with q = 2 is a difference of squares") {
  const std::vector<double> logits{0, std::log(3.0)};
  const std::vector<int> label{0};
  std::vector<double> loss(1), grad(2);
  weakly::asymmetric_unhinged(weakly::view(logits.data(), 1, 2), label, loss, weakly::view(grad.data(), 1, 2),
                              {.a = 2, .q = 2});
  CHECK(loss[0] == doctest::Approx((1.75 * 1.75 - 1.0) / 2).epsilon(1e-14));
  CHECK(grad[1] == doctest::Approx(1.75 * 0.25 * 0.75).epsilon(1e-14));
}

TEST_CASE("asymmetric_unhinged gives the reference results") {
  for (const auto& c : loss_reference::cases("aul"))
    loss_reference::check_loss_and_gradient(c, [&c](auto x, const auto& y, auto& l, auto g) {
      weakly::asymmetric_unhinged(x, y, l, g, {.a = c.number.at("a"), .q = c.number.at("q")});
    });
}

TEST_CASE("asymmetric_unhinged agrees with its plain form, whatever way it is called") {
  for (const double q : {0.5, 1.5})
    loss_checks::check_loss(call_with({.a = 6, .q = q}),
                            [q](loss_checks::row f, int label) { return plain(f, label, 6, q); });
  loss_checks::check_loss(call_with({.a = 1, .q = 1.5}),
                          [](loss_checks::row f, int label) { return plain(f, label, 1, 1.5); });
}

TEST_CASE("asymmetric_unhinged with a = 1 and q < 1 has a finite gradient where the label is all but certain") {
  for (const double gap : {0.0, 30.0, 300.0, 600.0, 743.0, 1e30}) {
    CAPTURE(gap);
    const std::vector<double> logits{gap, 0, 0};
    const std::vector<int> label{0};
    std::vector<double> loss(1), grad(3);
    weakly::asymmetric_unhinged(weakly::view(logits.data(), 1, 3), label, loss, weakly::view(grad.data(), 1, 3),
                                {.a = 1, .q = 0.5});
    if (gap > 740) {
      CHECK(grad == std::vector<double>(3));
      continue;
    }
    const double others = 2 / (std::exp(gap) + 2), p = 1 / (1 + 2 * std::exp(-gap));
    if (gap < 601) {
      CHECK(std::abs(loss[0] - 2 * std::sqrt(others)) <= 1e-12 * loss[0]);
      CHECK(std::abs(grad[0] + p * std::sqrt(others)) <= -1e-12 * grad[0]);
    }
    CHECK(std::isfinite(grad[0]));
    CHECK(std::abs(grad[0] + grad[1] + grad[2]) <= -2e-13 * grad[0]);
  }
}

TEST_CASE("asymmetric_unhinged refuses options outside their domain") {
  std::vector<double> logits(4), grad(4), loss(2);
  const std::vector<int> label{0, 1};
  const auto call = [&](const weakly::asymmetric_unhinged_options& options) {
    weakly::asymmetric_unhinged(weakly::view(logits.data(), 2, 2), label, loss, weakly::view(grad.data(), 2, 2),
                                options);
  };
  CHECK_THROWS_AS(call({0.9}), weakly::option_error);
  CHECK_THROWS_AS(call({.a = 2, .q = 0}), weakly::option_error);
  CHECK_THROWS_AS(call({INFINITY}), weakly::option_error);
  CHECK_THROWS_AS(call({std::nan("")}), weakly::option_error);
  CHECK_THROWS_AS(call({.a = 2, .q = std::nan("")}), weakly::option_error);
}

TEST_CASE("asymmetric_unhinged refuses powers its arithmetic cannot hold, and is finite below them") {
  const auto check = [](auto number, double a, double q, bool refused) {
    CAPTURE(a);
    CAPTURE(q);
    loss_checks::check_finite_or_refused<decltype(number)>(
        [=](const auto& logits, const auto& label, auto& loss, const auto& grad) {
          weakly::asymmetric_unhinged(logits, label, loss, grad, {.a = a, .q = q});
        },
        refused);
  };
  check(0.0f, 6, 200, true);
  check(0.0f, 1e35, 0.1, true);
  check(0.0f, 1, 1e10, true);
  check(0.0f, 6, 15, false);
  check(0.0f, 1e30, 0.1, false);
  check(0.0f, 1, 1e7, false);
  check(0.0f, 1, 1e-30, false);
  check(0.0, 6, 1000, true);
  check(0.0, 6, 150, false);
}
