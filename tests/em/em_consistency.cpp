// SPDX-License-Identifier: MIT
#include "em_checks.hpp"

#include <weakly/em/em_consistency.hpp>
#include <weakly/exec/thread_pool.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>

using namespace em_checks;

namespace {

struct outcome {
  std::vector<double> loss, grad;
};

outcome run(const std::vector<double>& weak, const std::vector<double>& strong, const weakly::observations& o) {
  outcome r{std::vector<double>(std::size_t(o.rows())), std::vector<double>(weak.size())};
  weakly::em_consistency(rows(weak, o.classes()), rows(strong, o.classes()), o, r.loss, rows(r.grad, o.classes()),
                         {.impossible = weakly::impossible_row::keep});
  return r;
}

}  // namespace

TEST_CASE("em_consistency of two equal weak scores") {
  const std::vector<double> weak{0, 0}, strong{std::log(3.0), 0};
  const auto r = run(weak, strong, weakly::nothing_observed(1, 2));
  CHECK(r.loss[0] == doctest::Approx(std::log(4.0) - 0.5 * std::log(3.0)).epsilon(1e-15));
  CHECK(r.grad[0] == doctest::Approx(0.25).epsilon(1e-15));
  CHECK(r.grad[1] == doctest::Approx(-0.25).epsilon(1e-15));
}

TEST_CASE("em_consistency gives the reference results") {
  std::size_t compared = 0;
  for (const auto& [name, f] : em_reference::instances()) {
    CAPTURE(name);
    if (!f.contains("em_consistency")) continue;
    const index_t k = f.at("logits").columns;
    const auto label = f.at("noisy_label").labels();
    const auto o = weakly::noisy_labels_observed(label, rows(f.at("transition").values, k));
    const auto r = run(f.at("logits").values, f.at("logits_strong").values, o);
    compared += compare(f, "em_consistency", r.loss, 1e-12, 1e-300);
    compared += compare(f, "em_consistency_grad", r.grad, 1e-11, 1e-13);
  }
  if (compared != 0) CHECK(compared == 362);
}

TEST_CASE("em_consistency agrees with its plain form for every observation, and its gradient with differences") {
  for (const index_t k : {index_t(3), index_t(10), index_t(700)}) {
    CAPTURE(k);
    const index_t n = 6;
    const auto weak = normal(n, k, 3, 1), strong = normal(n, k, 3, 2);
    std::vector<double> likelihood = softmax(normal(n, k, 2, 3), k);
    std::vector<std::uint8_t> mask;
    for (std::size_t i = 0; i < likelihood.size(); ++i) mask.push_back(i % std::size_t(k) == 1 || i % 3 == 0);
    const auto sets = weakly::candidate_masks(rows(mask, k));
    for (int form = 0; form < 3; ++form) {
      CAPTURE(form);
      const auto o = form == 0   ? weakly::nothing_observed(n, k)
                     : form == 1 ? weakly::observed_sets(sets)
                                 : weakly::observed_likelihoods(rows(likelihood, k));
      const auto t = [&](std::size_t at) {
        return form == 0 ? 1.0L : form == 1 ? (mask[at] != 0 ? 1.0L : 0.0L) : static_cast<long double>(likelihood[at]);
      };
      const auto r = run(weak, strong, o);
      for (index_t i = 0; i < n; ++i) {
        const auto first = std::size_t(i * k), size = std::size_t(k);
        long double mass = 0;
        for (std::size_t c = 0; c < size; ++c) mass += t(first + c) * std::exp((long double)(weak[first + c]));
        const auto plain = [&](const std::vector<long double>& z) {
          long double sum = 0, loss = 0;
          for (std::size_t c = 0; c < size; ++c) sum += t(first + c) * std::exp(z[c]);
          for (std::size_t c = 0; c < size; ++c)
            if (t(first + c) > 0)
              loss -= t(first + c) * std::exp((long double)(weak[first + c])) / mass *
                      (z[c] + std::log(t(first + c)) - std::log(sum));
          return loss;
        };
        std::vector<long double> z(strong.begin() + i * k, strong.begin() + (i + 1) * k);
        CHECK(close(r.loss[std::size_t(i)], double(plain(z)), 1e-12));
        for (std::size_t c = 0; c < size; c += 1 + size / 8)
          CHECK(close(r.grad[first + c], slope(z, c, plain), 1e-8, 1e-9));
      }
    }
  }
}

TEST_CASE_TEMPLATE("em_consistency has the same bits for every executor, layout and place", T, float, double) {
  const index_t n = 300, k = 11;
  const auto a = normal(n, k, 3, 1), b = normal(n, k, 3, 2);
  const std::vector<T> weak(a.begin(), a.end());
  std::vector<T> strong(b.begin(), b.end());
  const auto o = weakly::nothing_observed(n, k);
  std::vector<T> loss = zeros<T>(n), grad = zeros<T>(n * k), other = loss;
  weakly::em_consistency(rows(weak, k), rows(strong, k), o, loss, rows(grad, k));
  auto weak_columns = transposed(weak, k), strong_columns = transposed(strong, k);
  weakly::thread_pool pool(3);
  const auto strong_view = weakly::view(strong_columns.data(), n, k, 1, n);
  weakly::em_consistency(pool, weakly::view(weak_columns.data(), n, k, 1, n), strong_view, o, other, strong_view);
  CHECK(same_bits(loss, other));
  CHECK(same_bits(strong_columns, transposed(grad, k)));
  weakly::em_consistency(rows(weak, k), rows(strong, k), o, weakly::discard, rows(strong, k));
  CHECK(same_bits(strong, grad));
}

TEST_CASE("em_consistency of singletons is zero, and gaps of thousands keep their digits") {
  const std::vector<double> weak{0, -3000, 1}, strong{5, 4, 5000};
  const std::vector<int> one{1};
  const auto single = run(weak, strong, weakly::observed_labels(one, 3));
  CHECK(single.loss[0] == 0);
  CHECK(single.grad == std::vector<double>(3));
  const std::vector<std::uint8_t> mask{1, 1, 0};
  const auto r = run(weak, strong, weakly::observed_sets(weakly::candidate_masks(rows(mask, 3))));
  CHECK(r.loss[0] == doctest::Approx(std::log1p(std::exp(-1.0))).epsilon(1e-15));
}

TEST_CASE("em_consistency keeps what is impossible, malformed or undefined in its row") {
  const double inf = std::numeric_limits<double>::infinity();
  const std::vector<double> weak{0, 1, std::nan(""), 1, -inf, 0, 0, 1}, strong(8, 1.0);
  const std::vector<int> label{0, 1, 0, 1};
  const auto o = weakly::observed_labels(label, 2);
  const auto r = run(weak, strong, o);
  CHECK(r.loss[0] == 0);
  CHECK(std::isnan(r.loss[1]));
  CHECK(r.loss[2] == inf);
  CHECK(std::isnan(r.grad[4]));
  CHECK(r.loss[3] == 0);
  std::vector<double> loss(4);
  CHECK_THROWS_AS(weakly::em_consistency(rows(weak, 2), rows(strong, 2), o, loss, weakly::discard),
                  weakly::value_error);
  const std::vector<int> bad{0, 1, 1, 5};
  CHECK_THROWS_AS(
      weakly::em_consistency(rows(weak, 2), rows(strong, 2), weakly::observed_labels(bad, 2), loss, weakly::discard),
      weakly::label_error);
  CHECK_THROWS_AS(weakly::em_consistency(rows(weak, 4), rows(strong, 2), o, loss, weakly::discard),
                  weakly::shape_error);
  CHECK_THROWS_AS(
      weakly::em_consistency(rows(weak, 2), rows(strong, 2), weakly::nothing_observed(3, 2), loss, weakly::discard),
      weakly::shape_error);
}

TEST_CASE("em_consistency decides noisy sets whose likelihoods are too far apart for a double") {
  for (const index_t k : {index_t(42), index_t(1300)}) {
    CAPTURE(k);
    std::vector<double> t, weak(std::size_t(k), -5000.0), strong = weak;
    std::vector<std::uint8_t> mask(std::size_t(k), 0);
    std::fill_n(mask.begin(), 40, std::uint8_t(1));
    for (index_t c = 0; c < k; ++c)
      for (index_t l = 0; l < k; ++l) t.push_back(c < k - 2 ? 1 / double(k) : l < 40 ? 1e-12 : 0);
    const auto o = weakly::noisy_sets_observed(weakly::candidate_masks(rows(mask, k)), rows(t, k),
                                               weakly::set_likelihood::product);
    const double gap = 40 * (std::log(1 / double(k)) - std::log(1e-12));  // of the logarithms, over 745 for k = 42
    weak[0] = -gap - 1;
    strong[0] = -gap + 2;
    weak.back() = strong.back() = 0;
    const auto r = run(weak, strong, o);
    const double q = 1 / (1 + std::exp(1.0)), p = 1 / (1 + std::exp(-2.0));
    CHECK(close(r.loss[0], -q * std::log(p) - (1 - q) * std::log1p(-p), 1e-11));
    CHECK(close(r.grad[0], p - q, 1e-11));
    CHECK(close(r.grad.back(), q - p, 1e-11));
  }
}

TEST_CASE("em_consistency says which observation is malformed, and why") {
  const std::vector<double> z(4, 1.0), likelihood{0.5, 0.5, 0.5, -1};
  std::vector<double> loss(2);
  std::string message;
  try {
    weakly::em_consistency(rows(z, 2), rows(z, 2), weakly::observed_likelihoods(rows(likelihood, 2)), loss,
                           weakly::discard);
  } catch (const weakly::label_error& e) {
    message = e.what();
  }
  CHECK(message.find("em_consistency: the observation of row 1 is malformed (1 such row): its likelihood of class 1 is "
                     "-1") == 0);
  CHECK(loss[0] == doctest::Approx(std::log(2.0)));
}
