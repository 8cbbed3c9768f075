// SPDX-License-Identifier: MIT
#include "loss_checks.hpp"
#include "loss_reference.hpp"

#include <weakly/loss/brier.hpp>

#include <cmath>
#include <vector>

namespace {

const auto call = [](auto&& ex, const auto& logits, const weakly::loss_labels& label, auto&& loss, auto&& grad) {
  weakly::brier(ex, logits, label, loss, grad);
};

long double plain(loss_checks::row f, int label) {
  const long double log_sum = loss_checks::log_sum_exp(f);
  long double sum = 0;
  for (std::size_t j = 0; j < f.size(); ++j) {
    const long double distance = (int(j) == label ? 1 : 0) - std::exp(f[j] - log_sum);
    sum += distance * distance;
  }
  return sum;
}

}  // namespace

TEST_CASE("brier score of a probability of 1/4 among two is 2 (3/4)^2") {
  const std::vector<double> logits{0, std::log(3.0)};
  const std::vector<int> label{0};
  std::vector<double> loss(1), grad(2);
  weakly::brier(weakly::view(logits.data(), 1, 2), label, loss, weakly::view(grad.data(), 1, 2));
  CHECK(loss[0] == doctest::Approx(1.125).epsilon(1e-14));
  CHECK(grad[1] == doctest::Approx(4 * 0.75 * 0.25 * 0.75).epsilon(1e-14));
}

TEST_CASE("brier agrees with its plain form, whatever way it is called") { loss_checks::check_loss(call, plain); }

TEST_CASE("brier gives the reference results") {
  for (const auto& c : loss_reference::cases("mse"))
    loss_reference::check_loss_and_gradient(c,
                                            [](auto x, const auto& y, auto& l, auto g) { weakly::brier(x, y, l, g); });
}

TEST_CASE("brier keeps a score that is far smaller than a rounding of one") {
  const std::vector<double> logits{40, 0};
  const std::vector<int> label{0};
  std::vector<double> loss(1);
  weakly::brier(weakly::view(logits.data(), 1, 2), label, loss, weakly::discard);
  CHECK(loss[0] / (2 * std::exp(-80.0)) == doctest::Approx(1).epsilon(1e-12));
}
