// SPDX-License-Identifier: MIT
#include "loss_checks.hpp"
#include "loss_reference.hpp"

#include <weakly/loss/ldr_kl.hpp>
#include <weakly/loss/ldr_topk.hpp>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <vector>

namespace {

using loss_checks::near;
using weakly::index_t;
constexpr double inf = std::numeric_limits<double>::infinity();

/// Water-filling on the sorted deltas: the smallest number of capped classes that leaves the rest below the cap.
long double plain_topk(loss_checks::row f, int label, long double lambda, long double margin, int top) {
  std::vector<long double> delta;
  for (std::size_t j = 0; j < f.size(); ++j)
    delta.push_back((f[j] - f[std::size_t(label)]) + (j == std::size_t(label) ? 0 : margin));
  std::sort(delta.begin(), delta.end(), std::greater<>());
  const auto k = static_cast<long double>(delta.size()), t = static_cast<long double>(top);
  long double capped = 0;
  if (lambda == 0) {
    for (int m = 0; m < top; ++m) capped += delta[std::size_t(m)];
    return capped / t;
  }
  for (int m = 0;; ++m) {
    const long double mass = 1 - static_cast<long double>(m) / t, head = delta[std::size_t(m)];
    long double sum = 0;
    for (std::size_t j = std::size_t(m); j < delta.size(); ++j) sum += std::exp((delta[j] - head) / lambda);
    if (m + 1 == top || mass / sum <= 1 / t)
      return capped / t + mass * head -
             lambda * (std::log(k) - static_cast<long double>(m) / t * std::log(t) + mass * std::log(mass / sum));
    capped += head;
  }
}

void check(weakly::ldr_topk_options options, double margin, loss_checks::traits t = {}) {
  const double lambda = options.lambda;
  CAPTURE(lambda);
  t.least_classes = options.top + 1;
  loss_checks::check_loss(
      [&](auto&& ex, const auto& logits, const weakly::loss_labels& label, auto&& loss, auto&& grad) {
        weakly::ldr_topk(ex, logits, label, loss, grad, options);
      },
      [&](loss_checks::row f, int label) { return plain_topk(f, label, lambda, margin, int(options.top)); }, t);
}

struct result {
  std::vector<double> loss, grad, slope;
  result(const std::vector<double>& logits, int label, const weakly::ldr_topk_options& options)
      : loss(1), grad(logits.size()), slope(1) {
    const auto k = static_cast<index_t>(logits.size());
    weakly::ldr_topk(weakly::view(logits.data(), 1, k), std::vector<int>{label}, loss, weakly::view(grad.data(), 1, k),
                     slope, options);
  }
};

}  // namespace

TEST_CASE("ldr_topk of lambda zero is the mean of the greatest deltas, and ties share the last place") {
  const result hinge({1, 5, 2, 3, 2}, 0, {.top = 3, .lambda = 0});
  CHECK(hinge.loss[0] == doctest::Approx((4 + 2 + 1) / 3.0).epsilon(1e-15));
  const double third = 1.0 / 3;
  const double want[] = {-1, third, third / 2, third, third / 2};
  for (std::size_t j = 0; j < 5; ++j) CHECK(near(hinge.grad[j], want[j], 1e-15));
  CHECK(near(hinge.slope[0], -(std::log(5.0) - 2 * third * std::log(3.0) + third * std::log(third / 2)), 1e-14));
}

TEST_CASE("ldr_topk caps a class that would take all, and shares the rest as a softmax") {
  const result r({0, 30, 1}, 0, {.top = 2, .lambda = 1});
  CHECK(r.grad[1] == 0.5);
  CHECK(near(r.grad[2], 0.5 * std::exp(1.0) / (1 + std::exp(1.0)), 1e-15));
  CHECK(near(r.grad[0], -(r.grad[1] + r.grad[2]), 1e-15));
}

TEST_CASE("ldr_topk agrees with its plain form, whatever way it is called") {
  check({.top = 2, .lambda = 1, .margin = 0.5}, 0.5);
  check({.top = 5, .lambda = 0.1}, 0, {.smooth_step = 1e-7});
  check({.top = 3, .lambda = 50}, 0);
}

TEST_CASE("ldr_topk keeps its value and gradient where lambda is tiny or zero and many classes reach the cap") {
  for (const index_t k : {index_t(20), index_t(300)}) {
    const loss_checks::batch_of_rows<double> b(10, k, 3, 1);
    for (const int top : {2, 15})
      for (const double lambda : {0.0, 1e-300, 1e-9, 1e-3}) {
        CAPTURE(lambda);
        for (index_t i = 0; i < b.n; ++i) {
          const std::vector<double> row(b.logits.begin() + i * k, b.logits.begin() + (i + 1) * k);
          const int y = b.label[std::size_t(i)];
          const result r(row, y, {.top = top, .lambda = lambda, .margin = 1});
          const std::vector<long double> f = b.exact_row(i);
          CHECK(near(r.loss[0], double(plain_topk(f, y, lambda, 1, top)), 1e-13));
          double sum = 0, greatest = 0;
          for (std::size_t j = 0; j < row.size(); ++j) {
            sum += r.grad[j];
            greatest = std::max(greatest, r.grad[j] + (j == std::size_t(y) ? 1 : 0));
          }
          CHECK(std::abs(sum) < 1e-14);
          CHECK(greatest <= 1.0 / top + 1e-15);
        }
      }
  }
}

TEST_CASE("ldr_topk of one class is ldr_kl, of lambda infinite the mean") {
  const loss_checks::batch_of_rows<double> b(20, 9, 3, 2);
  for (const double lambda : {0.0, 0.2, 3.0, 1e6, inf}) {
    CAPTURE(lambda);
    std::vector<double> loss(20), grad(180), want(20), want_grad(180), slope(20), want_slope(20);
    weakly::ldr_topk(b.x(), b.label, loss, weakly::view(grad.data(), 20, 9), slope,
                     {.top = 1, .lambda = lambda, .margin = 1});
    weakly::ldr_kl(b.x(), b.label, want, weakly::view(want_grad.data(), 20, 9), want_slope,
                   {.lambda = lambda, .margin = 1});
    CHECK(loss == want);
    CHECK(grad == want_grad);
    CHECK(slope == want_slope);
  }
  const result mean({1, 4, 1}, 0, {.top = 2, .lambda = inf});
  CHECK(mean.loss[0] == 1);
  CHECK(mean.slope[0] == 0);
}

TEST_CASE("ldr_topk's slope in lambda is that of its value") {
  const loss_checks::batch_of_rows<double> b(12, 9, 3, 5);
  const double h = 1e-6;
  for (index_t i = 0; i < 12; ++i) {
    const std::vector<double> row(b.logits.begin() + i * 9, b.logits.begin() + (i + 1) * 9);
    const int y = b.label[std::size_t(i)];
    const auto at = [&](double lambda) { return result(row, y, {.top = 3, .lambda = lambda}); };
    CHECK(near(at(0.9).slope[0], (at(0.9 + h).loss[0] - at(0.9 - h).loss[0]) / (2 * h), 1e-8));
  }
}

TEST_CASE("ldr_topk stands nearly equal deltas at the cap") {
  const double above = std::nextafter(1.0, 2.0);
  for (const double lambda : {0.0, 1e-16, 1e-12, 1e-3}) {
    const result r({-50, 1, above, above, -50}, 0, {.top = 3, .lambda = lambda});
    CHECK(r.loss[0] == doctest::Approx(51).epsilon(1e-2));
    CHECK(near(r.grad[1] + r.grad[2] + r.grad[3], 1, 1e-14));
    CHECK(near(r.grad[0], -1, 1e-14));
  }
}

TEST_CASE("ldr_topk gives the reference results") {
  for (const auto& c : loss_reference::cases("ldr_topk")) {
    const auto logits = c.array("logits");
    const auto n = logits.shape[0], k = logits.shape[1];
    const std::vector<int> label = c.labels();
    const std::vector<double> lambda = c.values("lam");
    std::vector<double> loss, grad, slope, p;
    for (index_t i = 0; i < n; ++i) {
      const std::vector<double> row(logits.values.begin() + i * k, logits.values.begin() + (i + 1) * k);
      const result r(
          row, label[std::size_t(i)],
          {.top = index_t(c.number.at("k")), .lambda = lambda[std::size_t(i)], .margin = c.number.at("margin")});
      loss.push_back(r.loss[0]);
      slope.push_back(r.slope[0]);
      for (index_t j = 0; j < k; ++j) {
        grad.push_back(r.grad[std::size_t(j)]);
        p.push_back(r.grad[std::size_t(j)] + (j == label[std::size_t(i)] ? 1 : 0));
      }
    }
    loss_reference::check_array(c, "loss", loss);
    loss_reference::check_array(c, "grad", grad);
    loss_reference::check_array(c, "dlam", slope);
    loss_reference::check_array(c, "p", p);
  }
}

#if WEAKLY_HAS_EXCEPTIONS
TEST_CASE("ldr_topk refuses a top outside [1, k) and a lambda below zero or NaN") {
  const std::vector<float> logits(6, 0.0f);
  const std::vector<int> label{0, 1};
  const auto run = [&](const weakly::ldr_topk_options& o) {
    weakly::ldr_topk(weakly::view(logits.data(), 2, 3), label, weakly::discard, weakly::discard, o);
  };
  CHECK_THROWS_AS(run({.top = 0}), weakly::option_error);
  CHECK_THROWS_AS(run({.top = 3}), weakly::option_error);
  CHECK_THROWS_AS(run({.top = 2, .lambda = -1}), weakly::option_error);
  CHECK_THROWS_AS(run({.top = 2, .lambda = std::nan("")}), weakly::option_error);
  CHECK_NOTHROW(run({.top = 2}));
}
#endif
