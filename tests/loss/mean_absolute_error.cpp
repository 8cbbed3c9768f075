// SPDX-License-Identifier: MIT
#include "loss_checks.hpp"
#include "loss_reference.hpp"

#include <weakly/loss/mean_absolute_error.hpp>

#include <cmath>
#include <vector>

namespace {

long double plain(loss_checks::row f, int label) {
  const long double log_sum = loss_checks::log_sum_exp(f);
  long double sum = 0;
  for (std::size_t j = 0; j < f.size(); ++j) sum += std::abs(std::exp(f[j] - log_sum) - (int(j) == label ? 1 : 0));
  return sum;
}

const auto call = [](auto&& ex, const auto& logits, const weakly::loss_labels& label, auto&& loss, auto&& grad) {
  weakly::mean_absolute_error(ex, logits, label, loss, grad);
};

}  // namespace

TEST_CASE("mean_absolute_error is twice the probability of the other classes") {
  const std::vector<double> logits{0, std::log(3.0)};
  const std::vector<int> label{0};
  std::vector<double> loss(1), grad(2);
  weakly::mean_absolute_error(weakly::view(logits.data(), 1, 2), label, loss, weakly::view(grad.data(), 1, 2));
  CHECK(loss[0] == doctest::Approx(1.5).epsilon(1e-14));
  CHECK(grad[0] == doctest::Approx(-0.375).epsilon(1e-14));
  CHECK(grad[1] == doctest::Approx(0.375).epsilon(1e-14));
}

TEST_CASE("mean_absolute_error gives the reference results") {
  for (const auto& c : loss_reference::cases("mae"))
    loss_reference::check_loss_and_gradient(
        c, [](auto x, const auto& y, auto& l, auto g) { weakly::mean_absolute_error(x, y, l, g); });
}

TEST_CASE("mean_absolute_error agrees with its plain form, whatever way it is called") {
  loss_checks::check_loss(call, plain);
}

TEST_CASE("mean_absolute_error summed over all labels does not depend on the scores") {
  std::vector<double> logits{2.5, -1, 0, 7, 0.25};
  double sum = 0;
  for (int y = 0; y < 5; ++y) {
    const std::vector<int> label{y};
    std::vector<double> loss(1);
    weakly::mean_absolute_error(weakly::view(logits.data(), 1, 5), label, loss, weakly::discard);
    sum += loss[0];
  }
  CHECK(sum == doctest::Approx(8).epsilon(1e-14));
}
