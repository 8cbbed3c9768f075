// SPDX-License-Identifier: MIT
#include "loss_checks.hpp"
#include "loss_reference.hpp"

#include <weakly/loss/active_passive.hpp>
#include <weakly/loss/asymmetric_generalized_cross_entropy.hpp>
#include <weakly/loss/asymmetric_unhinged.hpp>
#include <weakly/loss/normalized_cross_entropy.hpp>
#include <weakly/loss/reverse_cross_entropy.hpp>

#include <cmath>
#include <vector>

namespace {

long double label_probability(loss_checks::row f, int label) {
  return std::exp(f[std::size_t(label)] - loss_checks::log_sum_exp(f));
}

long double normalized(loss_checks::row f, int label) {
  const long double log_sum = loss_checks::log_sum_exp(f);
  long double all = 0;
  for (const long double x : f) all += log_sum - x;
  return (log_sum - f[std::size_t(label)]) / all;
}

template <class Other>
auto call_with(const Other& other, const weakly::active_passive_options& options) {
  return [=](auto&& ex, const auto& logits, const weakly::loss_labels& label, auto&& loss, auto&& grad) {
    weakly::active_passive(ex, logits, label, loss, grad, other, options);
  };
}

}  // namespace

TEST_CASE("active_passive adds its two losses") {
  const weakly::active_passive_options weights{.active = 3, .passive = 0.5};
  const auto both = [&](const auto& options, auto loss) {
    loss_checks::batch_of_rows<double> a(40, 9, 3, 2), b = a, c = a;
    weakly::active_passive(a.x(), a.label, a.loss, a.g(), options, weights);
    weakly::normalized_cross_entropy(b.x(), b.label, b.loss, b.g());
    loss(c);
    for (std::size_t i = 0; i < a.loss.size(); ++i)
      CHECK(a.loss[i] == doctest::Approx(3 * b.loss[i] + 0.5 * c.loss[i]).epsilon(1e-14));
    for (std::size_t i = 0; i < a.grad.size(); ++i)
      CHECK(std::abs(a.grad[i] - (3 * b.grad[i] + 0.5 * c.grad[i])) < 1e-14);
  };
  both(weakly::reverse_cross_entropy_options{},
       [](auto& c) { weakly::reverse_cross_entropy(c.x(), c.label, c.loss, c.g()); });
  both(weakly::asymmetric_generalized_cross_entropy_options{},
       [](auto& c) { weakly::asymmetric_generalized_cross_entropy(c.x(), c.label, c.loss, c.g()); });
  both(weakly::asymmetric_unhinged_options{},
       [](auto& c) { weakly::asymmetric_unhinged(c.x(), c.label, c.loss, c.g()); });
}

TEST_CASE("active_passive gives the reference results") {
  const auto check = [](const char* kind, const auto& other) {
    for (const auto& c : loss_reference::cases(kind))
      loss_reference::check_loss_and_gradient(c, [&](auto x, const auto& y, auto& l, auto g) {
        weakly::active_passive(x, y, l, g, other, {.active = c.number.at("alpha"), .passive = c.number.at("beta")});
      });
  };
  check("nce_rce", weakly::reverse_cross_entropy_options{});
  check("nce_agce", weakly::asymmetric_generalized_cross_entropy_options{.a = 3, .q = 1.5});
  check("nce_aul", weakly::asymmetric_unhinged_options{.a = 6, .q = 1.5});
}

TEST_CASE("active_passive agrees with its plain form, whatever way it is called") {
  loss_checks::check_loss(
      call_with(weakly::reverse_cross_entropy_options{.log_zero = 2}, {.active = 1, .passive = 2}),
      [](loss_checks::row f, int label) { return normalized(f, label) + 4 * (1 - label_probability(f, label)); });
}

TEST_CASE("active_passive refuses weights and options outside their domain, and a single class") {
  std::vector<double> logits(4), loss(2);
  const std::vector<int> label{0, 1};
  const auto call = [&](weakly::index_t k, double q, const weakly::active_passive_options& options) {
    weakly::active_passive(weakly::view(logits.data(), 2, k), label, loss, weakly::discard,
                           weakly::asymmetric_unhinged_options{.a = 2, .q = q}, options);
  };
  CHECK_THROWS_AS(call(2, 1, {.active = -1}), weakly::option_error);
  CHECK_THROWS_AS(call(2, 1, {.active = std::nan("")}), weakly::option_error);
  CHECK_THROWS_AS(call(2, 1, {.passive = INFINITY}), weakly::option_error);
  CHECK_THROWS_AS(call(2, 0, {}), weakly::option_error);
  CHECK_THROWS_AS(call(2, 1000, {}), weakly::option_error);
  CHECK_THROWS_AS(call(2, 1, {.active = 1e40}), weakly::option_error);
  CHECK_THROWS_AS(call(1, 1, {}), weakly::shape_error);
}
