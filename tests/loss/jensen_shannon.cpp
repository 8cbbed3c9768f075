// SPDX-License-Identifier: MIT
#include "loss_checks.hpp"
#include "loss_reference.hpp"

#include <weakly/loss/cross_entropy.hpp>
#include <weakly/loss/jensen_shannon.hpp>
#include <weakly/loss/mean_absolute_error.hpp>

#include <cmath>
#include <vector>

namespace {

long double plain(loss_checks::row f, int label, double label_weight) {
  const long double pi = static_cast<long double>(label_weight), w = 1 - pi;
  const long double log_sum = loss_checks::log_sum_exp(f);
  const long double at_label = pi + w * std::exp(f[std::size_t(label)] - log_sum);
  long double of_label = -std::log(at_label), of_rows = 0;
  for (std::size_t j = 0; j < f.size(); ++j) {
    const long double p = std::exp(f[j] - log_sum);
    const long double m = int(j) == label ? at_label : w * p;
    if (p > 0) of_rows += p * std::log(p / m);
  }
  return (pi * of_label + w * of_rows) / (-w * std::log(w));
}

auto call_with(const weakly::jensen_shannon_options& options) {
  return [options](auto&& ex, const auto& logits, const weakly::loss_labels& label, auto&& loss, auto&& grad) {
    weakly::jensen_shannon(ex, logits, label, loss, grad, options);
  };
}

}  // namespace

TEST_CASE("jensen_shannon of an impossible label is log 2 over its scale") {
  const std::vector<double> logits{0, 1e6};
  const std::vector<int> label{0};
  std::vector<double> loss(1), grad(2);
  weakly::jensen_shannon(weakly::view(logits.data(), 1, 2), label, loss, weakly::view(grad.data(), 1, 2),
                         {.label_weight = 0.5});
  CHECK(loss[0] == doctest::Approx(2.0).epsilon(1e-14));
  CHECK(grad[0] == doctest::Approx(0).epsilon(1e-14));
  CHECK(grad[1] == doctest::Approx(0).epsilon(1e-14));
}

TEST_CASE("jensen_shannon gives the reference results") {
  for (const auto& c : loss_reference::cases("js"))
    loss_reference::check_loss_and_gradient(c, [&c](auto x, const auto& y, auto& l, auto g) {
      weakly::jensen_shannon(x, y, l, g, {.label_weight = c.number.at("pi")});
    });
}

TEST_CASE("jensen_shannon agrees with its plain form, whatever way it is called") {
  for (const double pi : {0.1, 0.5, 0.9})
    loss_checks::check_loss(call_with({pi}), [pi](loss_checks::row f, int label) { return plain(f, label, pi); });
}

TEST_CASE("jensen_shannon nears cross-entropy as the label's weight falls and mean absolute error as it rises") {
  loss_checks::batch_of_rows<double> a(50, 7, 1, 1), b = a;
  weakly::jensen_shannon(a.x(), a.label, a.loss, a.g(), {.label_weight = 1e-9});
  weakly::cross_entropy(b.x(), b.label, b.loss, b.g());
  for (std::size_t i = 0; i < a.loss.size(); ++i) CHECK(a.loss[i] == doctest::Approx(b.loss[i]).epsilon(1e-6));
  for (std::size_t i = 0; i < a.grad.size(); ++i) CHECK(std::abs(a.grad[i] - b.grad[i]) < 1e-6);
  weakly::jensen_shannon(a.x(), a.label, a.loss, a.g(), {.label_weight = 1 - 1e-12});
  weakly::mean_absolute_error(b.x(), b.label, b.loss, b.g());
  for (std::size_t i = 0; i < a.loss.size(); ++i) CHECK(2 * a.loss[i] == doctest::Approx(b.loss[i]).epsilon(0.1));
}

TEST_CASE("jensen_shannon refuses options outside their domain") {
  std::vector<double> logits(4), grad(4), loss(2);
  const std::vector<int> label{0, 1};
  const auto call = [&](const weakly::jensen_shannon_options& options) {
    weakly::jensen_shannon(weakly::view(logits.data(), 2, 2), label, loss, weakly::view(grad.data(), 2, 2), options);
  };
  CHECK_THROWS_AS(call({0}), weakly::option_error);
  CHECK_THROWS_AS(call({1}), weakly::option_error);
  CHECK_THROWS_AS(call({-0.5}), weakly::option_error);
  CHECK_THROWS_AS(call({std::nan("")}), weakly::option_error);
}

TEST_CASE_TEMPLATE("jensen_shannon keeps its digits where pi is small", T, float, double) {
  const std::vector<T> logits{2, 0.5, -1, 0};
  const std::vector<int> label{0};
  const double pi = 1e-6;
  std::vector<T> loss(1);
  weakly::jensen_shannon(weakly::view(logits.data(), 1, 4), label, loss, weakly::discard, {pi});
  std::vector<long double> f(logits.begin(), logits.end());
  const double want = double(plain(loss_checks::row(f), 0, pi));
  CHECK(double(loss[0]) == doctest::Approx(want).epsilon(sizeof(T) == 4 ? 1e-5 : 1e-9));
}
