// SPDX-License-Identifier: MIT
#include "loss_checks.hpp"
#include "loss_reference.hpp"

#include <weakly/loss/cross_entropy.hpp>

#include <cmath>
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

TEST_CASE("cross_entropy gives the reference results") {
  for (const auto& c : loss_reference::cases("ce"))
    loss_reference::check_loss_and_gradient(
        c, [](auto x, const auto& y, auto& l, auto g) { weakly::cross_entropy(x, y, l, g); });
}
