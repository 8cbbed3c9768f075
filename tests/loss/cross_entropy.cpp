// SPDX-License-Identifier: MIT
#include "loss_checks.hpp"
#include "loss_reference.hpp"

#include <weakly/loss/cross_entropy.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace {

const auto call = [](auto&& ex, const auto& logits, const weakly::loss_labels& label, auto&& loss, auto&& grad) {
  weakly::cross_entropy(ex, logits, label, loss, grad);
};

long double plain(loss_checks::row f, int label) { return loss_checks::log_sum_exp(f) - f[std::size_t(label)]; }

}  // namespace

TEST_CASE("cross_entropy of equal logits is log k, and its gradient is 1/k less one at the label") {
  const std::vector<double> logits(4, 3.0);
  const std::vector<int> label{2};
  std::vector<double> loss(1), grad(4);
  weakly::cross_entropy(weakly::view(logits.data(), 1, 4), label, loss, weakly::view(grad.data(), 1, 4));
  CHECK(loss[0] == doctest::Approx(std::log(4.0)).epsilon(1e-15));
  CHECK(grad[0] == doctest::Approx(0.25).epsilon(1e-15));
  CHECK(grad[2] == doctest::Approx(-0.75).epsilon(1e-15));
}

TEST_CASE("cross_entropy agrees with its plain form, whatever way it is called") {
  loss_checks::check_loss(call, plain);
}

TEST_CASE("cross_entropy keeps the digits of a small loss wherever the scores lie") {
  const float gap = 46;
  const double exact = std::log1p(std::exp(-double(gap)));
  for (const float at : {0.0f, 10.0f, 40.0f, -10.0f, -20.0f, -30.0f, -40.0f, -80.0f}) {
    const std::vector<float> logits = {at, at - gap};
    const std::vector<int> label{0};
    std::vector<float> loss(1), grad(2);
    weakly::cross_entropy(weakly::view(logits.data(), 1, 2), label, loss, weakly::view(grad.data(), 1, 2));
    // The floor of the exponentials, 2^-100, beside the label's own.
    const double floor = 0x1p-100 / std::max(std::exp(double(at)), 0x1p-30);
    CHECK(std::abs(loss[0] - exact) <= 1e-5 * exact + floor);
    CHECK(std::abs(grad[0] + exact) <= 1e-5 * exact + floor);
    CHECK(std::abs(grad[1] - exact) <= 1e-5 * exact + floor);
  }
}

TEST_CASE("cross_entropy of a million classes agrees with its plain form") {
  loss_checks::check_a_million_classes(call, plain);
}

TEST_CASE("cross_entropy gives the reference results") {
  for (const auto& c : loss_reference::cases("ce"))
    loss_reference::check_loss_and_gradient(
        c, [](auto x, const auto& y, auto& l, auto g) { weakly::cross_entropy(x, y, l, g); });
}

TEST_CASE("cross_entropy with temperature and smoothing agrees with its plain form, whatever way it is called") {
  const weakly::cross_entropy_options options{.temperature = 2, .smoothing = 0.1};
  loss_checks::check_loss([&](auto&& ex, const auto& logits, const weakly::loss_labels& label, auto&& loss,
                              auto&& grad) { weakly::cross_entropy(ex, logits, label, loss, grad, options); },
                          [](loss_checks::row f, int label) {
                            std::vector<long double> cooler(f.begin(), f.end());
                            for (long double& x : cooler) x /= 2;
                            const long double log_sum = loss_checks::log_sum_exp(cooler);
                            long double loss = 0.9L * (log_sum - cooler[std::size_t(label)]);
                            for (const long double x : cooler)
                              loss += 0.1L / static_cast<long double>(f.size()) * (log_sum - x);
                            return loss;
                          });
}

TEST_CASE("cross_entropy keeps a loss that is far smaller than a rounding of one") {
  const std::vector<double> logits{100, 0};
  const std::vector<int> label{0};
  std::vector<double> loss(1), grad(2);
  weakly::cross_entropy(weakly::view(logits.data(), 1, 2), label, loss, weakly::view(grad.data(), 1, 2));
  CHECK(loss[0] / std::exp(-100.0) == doctest::Approx(1).epsilon(1e-13));
  CHECK(grad[0] / -std::exp(-100.0) == doctest::Approx(1).epsilon(1e-13));
}

TEST_CASE("cross_entropy smoothed over all classes does not look at the label") {
  loss_checks::batch_of_rows<double> a(50, 7, 3, 1), b = a;
  for (int& y : b.label) y = 6 - y;
  weakly::cross_entropy(a.x(), a.label, a.loss, a.g(), {.smoothing = 1});
  weakly::cross_entropy(b.x(), b.label, b.loss, b.g(), {.smoothing = 1});
  for (std::size_t i = 0; i < a.grad.size(); ++i) CHECK(std::abs(a.grad[i] - b.grad[i]) < 1e-14);
  for (std::size_t i = 0; i < a.loss.size(); ++i) CHECK(a.loss[i] == doctest::Approx(b.loss[i]).epsilon(1e-14));
}

TEST_CASE("cross_entropy refuses options outside their domain") {
  std::vector<double> logits(4), loss(2);
  const std::vector<int> label{0, 1};
  const auto with = [&](const weakly::cross_entropy_options& options) {
    weakly::cross_entropy(weakly::view(logits.data(), 2, 2), label, loss, weakly::discard, options);
  };
  for (const double bad : {0.0, -1.0, double(INFINITY), std::nan("")})
    CHECK_THROWS_AS(with({.temperature = bad}), weakly::option_error);
  for (const double bad : {-0.1, 1.1, std::nan("")}) CHECK_THROWS_AS(with({.smoothing = bad}), weakly::option_error);
}

TEST_CASE("cross_entropy of a single class is zero, unless its score is no number") {
  const double inf = std::numeric_limits<double>::infinity();
  const std::vector<double> logits{3, inf, std::nan(""), -1e300};
  const std::vector<int> label(4, 0);
  std::vector<double> loss(4), grad(4);
  weakly::cross_entropy(weakly::view(logits.data(), 4, 1), label, loss, weakly::view(grad.data(), 4, 1));
  CHECK(loss[0] == 0);
  CHECK(std::isnan(loss[1]));
  CHECK(std::isnan(loss[2]));
  CHECK(loss[3] == 0);
  CHECK(grad[3] == 0);
}
