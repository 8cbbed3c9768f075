// SPDX-License-Identifier: MIT
#include "loss_checks.hpp"
#include "loss_reference.hpp"

#include <weakly/loss/class_balanced_weights.hpp>
#include <weakly/loss/ldam.hpp>

#include <cmath>
#include <vector>

namespace {

using weakly::index_t;

std::vector<double> margins_of(index_t k) {
  std::vector<double> m;
  for (index_t j = 0; j < k; ++j) m.push_back(0.5 - 0.25 * double(j % 3));
  return m;
}

// A scale of 3 and scores of deviation 1 keep the differences of the plain form accurate.
const auto call = [](auto&& ex, const auto& logits, const weakly::loss_labels& label, auto&& loss, auto&& grad) {
  const auto x = weakly::as_rows(weakly::view(logits));
  weakly::ldam(ex, logits, label, margins_of(x.extent(1)), loss, grad, {.scale = 3});
};

long double plain(loss_checks::row f, int label) {
  std::vector<long double> moved(f.begin(), f.end());
  moved[std::size_t(label)] -= 0.5L - 0.25L * (label % 3);
  for (long double& x : moved) x *= 3;
  return loss_checks::log_sum_exp(moved) - moved[std::size_t(label)];
}

}  // namespace

TEST_CASE("ldam takes the margin off the label's score and scales all of them") {
  const std::vector<double> logits{1, 0.5}, margins{0.5, 0.1};
  const std::vector<int> label{0};
  std::vector<double> loss(1), grad(2);
  weakly::ldam(weakly::view(logits.data(), 1, 2), label, margins, loss, weakly::view(grad.data(), 1, 2), {.scale = 10});
  CHECK(loss[0] == doctest::Approx(std::log(2.0)).epsilon(1e-14));
  CHECK(grad[0] == doctest::Approx(-5).epsilon(1e-14));
  CHECK(grad[1] == doctest::Approx(5).epsilon(1e-14));
}

TEST_CASE("ldam agrees with its plain form, whatever way it is called") {
  loss_checks::traits t;
  t.permutation_free = false;  // the margins are not renamed
  t.scale = 1;
  t.float_factor = 3;  // the gradient is three times that of a softmax
  loss_checks::check_loss(call, plain, t);
}

TEST_CASE("ldam gives the reference results") {
  for (const auto& c : loss_reference::cases("ldam")) {
    const std::vector<double> counts = c.values("counts");
    const std::vector<double> margins = weakly::ldam_margins(counts, {.greatest = c.number.at("max_m")});
    loss_reference::check_array(c, "margins", margins);
    const std::vector<double> weights = weakly::class_balanced_weights(counts, {.beta = c.number.at("beta")});
    loss_reference::check_array(c, "weights", weights);
    loss_reference::check_loss_and_gradient(c, [&](auto x, const auto& y, auto& l, auto g) {
      weakly::ldam(x, weakly::loss_labels(y).class_weights(weights), margins, l, g, {.scale = c.number.at("s")});
    });
  }
}

TEST_CASE("the derivative of ldam with respect to the label's margin is the negative gradient of its score") {
  loss_checks::batch_of_rows<double> b(20, 6, 1, 4), moved = b;
  std::vector<double> margins = margins_of(6);
  weakly::ldam(b.x(), b.label, margins, b.loss, b.g(), {.scale = 5});
  std::vector<double> above(20), below(20);
  for (double& m : margins) m += 1e-5;
  weakly::ldam(b.x(), b.label, margins, above, weakly::discard, {.scale = 5});
  for (double& m : margins) m -= 2e-5;
  weakly::ldam(b.x(), b.label, margins, below, weakly::discard, {.scale = 5});
  for (std::size_t i = 0; i < 20; ++i)
    CHECK(-b.grad[6 * i + std::size_t(b.label[i])] == doctest::Approx((above[i] - below[i]) / 2e-5).epsilon(1e-7));
}

TEST_CASE("ldam_margins gives the rarest class the greatest margin") {
  const std::vector<double> m = weakly::ldam_margins(std::vector<int>{16, 1, 81});
  CHECK(m[0] == doctest::Approx(0.25).epsilon(1e-15));
  CHECK(m[1] == 0.5);
  CHECK(m[2] == doctest::Approx(0.5 / 3).epsilon(1e-15));
}

TEST_CASE("ldam refuses classes without examples, scales that are none and margins that do not fit") {
  CHECK_THROWS_AS(weakly::ldam_margins(std::vector<int>{3, 0}), weakly::value_error);
  CHECK_THROWS_AS(weakly::ldam_margins(std::vector<int>{3}, {.greatest = -1}), weakly::option_error);
  std::vector<double> logits(4), loss(2);
  const std::vector<int> label{0, 1};
  const auto call_with = [&](index_t margins, double scale) {
    weakly::ldam(weakly::view(logits.data(), 2, 2), label, margins_of(margins), loss, weakly::discard, {scale});
  };
  for (const double bad : {0.0, -1.0, double(INFINITY), std::nan("")})
    CHECK_THROWS_AS(call_with(2, bad), weakly::option_error);
  CHECK_THROWS_AS(call_with(3, 1), weakly::shape_error);
  // What a double can hold and the arithmetic of float scores cannot.
  CHECK_NOTHROW(call_with(2, 1e200));
  std::vector<float> single(4), of_single(2);
  CHECK_THROWS_AS(
      weakly::ldam(weakly::view(single.data(), 2, 2), label, margins_of(2), of_single, weakly::discard, {1e200}),
      weakly::option_error);
}
