// SPDX-License-Identifier: MIT
#include "loss_checks.hpp"
#include "loss_reference.hpp"

#include <weakly/exec/thread_pool.hpp>
#include <weakly/loss/aldr_kl.hpp>
#include <weakly/loss/aldr_kl_step.hpp>
#include <weakly/loss/ldr_kl.hpp>

#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

namespace {

using loss_checks::near;
using weakly::index_t;

std::vector<int> counting(index_t n) {
  std::vector<int> index(static_cast<std::size_t>(n));
  std::iota(index.begin(), index.end(), 0);
  return index;
}

}  // namespace

TEST_CASE("aldr_kl_step takes lambda from KL at the stored one, and the loss and gradient at the new one") {
  const std::vector<double> logits{0, 3, 0, 0};
  const std::vector<int> label{0}, index{2};
  std::vector<double> state{9, 9, 1.5, 9}, loss(1), grad(4);
  weakly::aldr_kl_step(weakly::view(logits.data(), 1, 4), label, index, state, loss, weakly::view(grad.data(), 1, 4),
                       {.lambda0 = 2, .alpha = 3});
  const double e = std::exp(3 / 1.5), p = e / (e + 3), q = 1 / (e + 3);
  const double lambda = 2 * (1 - (std::log(4.0) + p * std::log(p) + 3 * q * std::log(q)) / (3 * std::log(4.0)));
  CHECK(near(state[2], lambda, 1e-15));
  CHECK(state[0] == 9);
  std::vector<double> want(1), want_grad(4);
  weakly::ldr_kl(weakly::view(logits.data(), 1, 4), label, want, weakly::view(want_grad.data(), 1, 4),
                 {.lambda = lambda});
  CHECK(near(loss[0], want[0] - 3 * std::log(4.0) / 4 * (lambda - 2) * (lambda - 2), 1e-14));
  for (std::size_t j = 0; j < 4; ++j) CHECK(near(grad[j], want_grad[j], 1e-14));
}

TEST_CASE("aldr_kl_step of the same row moves down from lambda0 to the lambda of aldr_kl") {
  const loss_checks::batch_of_rows<double> b(10, 12, 3, 1);
  std::vector<double> state(10, 1.5), loss(10), grad(120), want(10), want_grad(120), lambda(10);
  weakly::aldr_kl(b.x(), b.label, want, weakly::view(want_grad.data(), 10, 12), lambda, {.lambda0 = 1.5, .alpha = 2});
  std::vector<double> before = state;
  for (int step = 0; step < 400; ++step) {
    weakly::aldr_kl_step(b.x(), b.label, counting(10), state, loss, weakly::view(grad.data(), 10, 12),
                         {.lambda0 = 1.5, .alpha = 2});
    for (std::size_t i = 0; i < 10; ++i) CHECK(state[i] <= before[i] + 1e-15);
    before = state;
  }
  for (std::size_t i = 0; i < 10; ++i) {
    CHECK(near(state[i], lambda[i], 1e-12));
    CHECK(near(loss[i], want[i], 1e-12));
  }
  for (std::size_t e = 0; e < 120; ++e) CHECK(near(grad[e], want_grad[e], 1e-12));
}

TEST_CASE("aldr_kl_step may be called any way that changes no number") {
  const std::vector<int> index = [] {
    std::vector<int> reversed = counting(700);
    std::reverse(reversed.begin(), reversed.end());
    return reversed;
  }();
  for (const index_t k : {index_t(10), index_t(300)}) {
    const loss_checks::batch_of_rows<float> b(700, k, 3, 2);
    std::vector<float> first(700, 0.8f), second = first, loss(700), other_loss(700), grad(b.logits.size()),
                                         other_grad = b.logits;
    weakly::aldr_kl_step(b.x(), b.label, index, first, loss, weakly::view(grad.data(), 700, k));
    weakly::thread_pool pool(3);
    weakly::aldr_kl_step(pool, weakly::view(other_grad.data(), 700, k), b.label, index, second, other_loss,
                         weakly::view(other_grad.data(), 700, k));
    CHECK(loss_checks::same_bits(first, second));
    CHECK(loss_checks::same_bits(loss, other_loss));
    CHECK(loss_checks::same_bits(grad, other_grad));
    second.assign(700, 0.8f);
    weakly::aldr_kl_step(b.x(), b.label, index, second, weakly::discard, weakly::discard);
    CHECK(loss_checks::same_bits(first, second));
  }
}

TEST_CASE("aldr_kl_step leaves the state of rows that are NaN or left out as it is") {
  loss_checks::batch_of_rows<double> b(4, 5, 3, 3);
  b.logits[0] = std::nan("");
  b.label[1] = -1;
  std::vector<double> state(4, 1.0);
  weakly::aldr_kl_step(b.x(), weakly::loss_labels(b.label).ignore(-1), counting(4), state, b.loss, b.g());
  CHECK(state[0] == 1);
  CHECK(std::isnan(b.loss[0]));
  CHECK(state[1] == 1);
  CHECK(b.loss[1] == 0);
  CHECK(state[2] < 1);
}

TEST_CASE("aldr_kl_step gives the reference results") {
  for (const auto& c : loss_reference::cases("aldr_step")) {
    const auto logits = c.array("logits");
    const auto n = logits.shape[0], k = logits.shape[1];
    std::vector<double> state = c.values("lam_prev"), loss(static_cast<std::size_t>(n)), grad(logits.values.size());
    weakly::aldr_kl_step(
        weakly::view(logits.values.data(), n, k), c.labels(), counting(n), state, loss, weakly::view(grad.data(), n, k),
        {.lambda0 = c.number.at("lam0"), .alpha = c.number.at("alpha"), .margin = c.number.at("margin")});
    loss_reference::check_array(c, "loss", loss);
    loss_reference::check_array(c, "lam", state);
    loss_reference::check_array(c, "grad", grad);
  }
}

#if WEAKLY_HAS_EXCEPTIONS
TEST_CASE(
    "aldr_kl_step refuses an example twice, one out of range and a state that is not positive, and writes nothing") {
  const loss_checks::batch_of_rows<double> b(3, 4, 3, 4);
  const auto run = [&](const std::vector<int>& index, std::vector<float>& state) {
    const std::vector<float> before = state;
    CHECK_THROWS_AS(weakly::aldr_kl_step(b.x(), b.label, index, state, weakly::discard, weakly::discard),
                    weakly::value_error);
    CHECK(loss_checks::same_bits(state, before));
  };
  std::vector<float> state(5, 1.0f);
  run({1, 2, 1}, state);
  run({1, 2, 5}, state);
  run({1, -1, 2}, state);
  for (const float bad : {0.0f, -1.0f, std::nanf(""), std::numeric_limits<float>::infinity()}) {
    state[4] = bad;
    run({1, 4, 2}, state);
  }
  CHECK_THROWS_AS(weakly::aldr_kl_step(b.x(), b.label, std::vector<int>{0, 1}, state, weakly::discard, weakly::discard),
                  weakly::shape_error);
  CHECK_THROWS_AS(weakly::aldr_kl_step(b.x(), b.label, std::vector<int>{0, 1, 2}, state, weakly::discard,
                                       weakly::discard, {.alpha = 1}),
                  weakly::option_error);
}
#endif
