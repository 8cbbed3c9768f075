// SPDX-License-Identifier: MIT
#include "loss_checks.hpp"
#include "loss_reference.hpp"

#include <weakly/loss/cross_entropy.hpp>
#include <weakly/loss/focal.hpp>

#include <cmath>
#include <vector>

namespace {

long double plain(loss_checks::row f, int label, double gamma) {
  const long double log_sum = loss_checks::log_sum_exp(f), ce = log_sum - f[std::size_t(label)];
  long double others = 0;
  for (std::size_t j = 0; j < f.size(); ++j)
    if (int(j) != label) others += std::exp(f[j] - log_sum);
  return std::pow(others, static_cast<long double>(gamma)) * ce;
}

auto call_with(const weakly::focal_options& options) {
  return [options](auto&& ex, const auto& logits, const weakly::loss_labels& label, auto&& loss, auto&& grad) {
    weakly::focal(ex, logits, label, loss, grad, options);
  };
}

}  // namespace

TEST_CASE("focal multiplies cross-entropy by a power of the doubt") {
  const std::vector<double> logits{0, std::log(3.0)};
  const std::vector<int> label{0};
  std::vector<double> loss(1), grad(2);
  weakly::focal(weakly::view(logits.data(), 1, 2), label, loss, weakly::view(grad.data(), 1, 2), {.gamma = 2});
  CHECK(loss[0] == doctest::Approx(0.5625 * std::log(4.0)).epsilon(1e-14));
  CHECK(grad[1] == doctest::Approx(0.75 * (0.5625 + 2 * 0.75 * 0.25 * std::log(4.0))).epsilon(1e-14));
}

TEST_CASE("focal gives the reference results") {
  for (const auto& c : loss_reference::cases("focal"))
    loss_reference::check_loss_and_gradient(c, [&c](auto x, const auto& y, auto& l, auto g) {
      weakly::focal(x, y, l, g, {.gamma = c.number.at("gamma")});
    });
}

TEST_CASE("focal agrees with its plain form, whatever way it is called") {
  for (const double gamma : {0.5, 2.0})
    loss_checks::check_loss(call_with({gamma}),
                            [gamma](loss_checks::row f, int label) { return plain(f, label, gamma); });
}

TEST_CASE("focal loss with gamma = 0 is cross-entropy") {
  loss_checks::batch_of_rows<double> a(50, 7, 3, 1), b = a;
  weakly::focal(a.x(), a.label, a.loss, a.g(), {.gamma = 0});
  weakly::cross_entropy(b.x(), b.label, b.loss, b.g());
  CHECK(a.loss == b.loss);
  CHECK(a.grad == b.grad);
}

TEST_CASE("focal refuses options outside their domain") {
  std::vector<double> logits(4), grad(4), loss(2);
  const std::vector<int> label{0, 1};
  const auto call = [&](const weakly::focal_options& options) {
    weakly::focal(weakly::view(logits.data(), 2, 2), label, loss, weakly::view(grad.data(), 2, 2), options);
  };
  CHECK_THROWS_AS(call({-1}), weakly::option_error);
  CHECK_THROWS_AS(call({INFINITY}), weakly::option_error);
  CHECK_THROWS_AS(call({std::nan("")}), weakly::option_error);
}
