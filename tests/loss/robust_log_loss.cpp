// SPDX-License-Identifier: MIT
#include "loss_checks.hpp"
#include "loss_reference.hpp"
#include "sanitizer.hpp"

#include <weakly/loss/robust_log_loss.hpp>

#include <cmath>
#include <vector>

namespace {

auto call_with(const weakly::robust_log_loss_options& options) {
  return [options](auto&& ex, const auto& logits, const weakly::loss_labels& label, auto&& loss, auto&& grad) {
    weakly::robust_log_loss(ex, logits, label, loss, grad, options);
  };
}

long double plain(loss_checks::row f, int label, long double a) {
  const long double log_sum = loss_checks::log_sum_exp(f);
  long double loss = std::log((a + 1) / a) - std::log(a + std::exp(f[std::size_t(label)] - log_sum));
  for (std::size_t j = 0; j < f.size(); ++j)
    if (int(j) != label) loss += std::log(a + std::exp(f[j] - log_sum)) / static_cast<long double>(f.size() - 1);
  return loss;
}

}  // namespace

TEST_CASE("robust_log_loss of a probability of 1/4 among two with a = 1 is a logarithm of a ratio") {
  const std::vector<double> logits{0, std::log(3.0)};
  const std::vector<int> label{0};
  std::vector<double> loss(1), grad(2);
  weakly::robust_log_loss(weakly::view(logits.data(), 1, 2), label, loss, weakly::view(grad.data(), 1, 2), {.a = 1});
  CHECK(loss[0] == doctest::Approx(std::log(2 / 1.25 * 1.75)).epsilon(1e-14));
  CHECK(grad[1] == doctest::Approx((1 / 1.25 + 1 / 1.75) * 0.75 * 0.25).epsilon(1e-14));
}

TEST_CASE("robust_log_loss agrees with its plain form, whatever way it is called") {
  for (const double a : {0.1, 1.0, 10.0}) {
    if (support::sanitized && a != 0.1) continue;
    loss_checks::check_loss(call_with({a}), [a](loss_checks::row f, int label) { return plain(f, label, a); });
  }
}

TEST_CASE("robust_log_loss gives the reference results") {
  for (const auto& c : loss_reference::cases("rll"))
    loss_reference::check_loss_and_gradient(c, [&c](auto x, const auto& y, auto& l, auto g) {
      weakly::robust_log_loss(x, y, l, g, {.a = c.number.at("a")});
    });
}

TEST_CASE("robust_log_loss is zero where the label is certain") {
  const std::vector<double> logits{1e4, 0, -5};
  const std::vector<int> label{0};
  std::vector<double> loss(1), grad(3);
  weakly::robust_log_loss(weakly::view(logits.data(), 1, 3), label, loss, weakly::view(grad.data(), 1, 3));
  CHECK(std::abs(loss[0]) < 1e-300);
  for (const double g : grad) CHECK(std::abs(g) < 1e-300);
}

TEST_CASE("robust_log_loss refuses options outside their domain, and a single class") {
  std::vector<double> logits(4), loss(2);
  const std::vector<int> label{0, 0};
  for (const double bad : {0.0, -1.0, double(INFINITY), std::nan("")})
    CHECK_THROWS_AS(weakly::robust_log_loss(weakly::view(logits.data(), 2, 2), label, loss, weakly::discard, {bad}),
                    weakly::option_error);
  CHECK_THROWS_AS(weakly::robust_log_loss(weakly::view(logits.data(), 2, 1), label, loss, weakly::discard),
                  weakly::shape_error);
}
