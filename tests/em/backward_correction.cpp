// SPDX-License-Identifier: MIT
#include "em_checks.hpp"
#include "sanitizer.hpp"

#include <weakly/em/backward_correction.hpp>
#include <weakly/exec/thread_pool.hpp>

#include <limits>
#include <utility>

using namespace em_checks;

namespace {

// Gauss and Jordan in long double.
std::vector<double> inverse_of(const std::vector<double>& m, index_t k) {
  const auto n = static_cast<std::size_t>(k);
  std::vector<long double> a(m.begin(), m.end()), b(n * n);
  for (std::size_t i = 0; i < n; ++i) b[i * n + i] = 1;
  for (std::size_t c = 0; c < n; ++c) {
    std::size_t pivot = c;
    for (std::size_t r = c; r < n; ++r)
      if (std::abs(a[r * n + c]) > std::abs(a[pivot * n + c])) pivot = r;
    for (std::size_t j = 0; j < n; ++j) {
      std::swap(a[c * n + j], a[pivot * n + j]);
      std::swap(b[c * n + j], b[pivot * n + j]);
    }
    const long double d = a[c * n + c];
    for (std::size_t j = 0; j < n; ++j) {
      a[c * n + j] /= d;
      b[c * n + j] /= d;
    }
    for (std::size_t r = 0; r < n; ++r) {
      const long double f = a[r * n + c];
      for (std::size_t j = 0; r != c && j < n; ++j) {
        a[r * n + j] -= f * a[c * n + j];
        b[r * n + j] -= f * b[c * n + j];
      }
    }
  }
  return {b.begin(), b.end()};
}

std::vector<double> noise(index_t k, double rate) {
  std::vector<double> t;
  for (index_t c = 0; c < k; ++c)
    for (index_t l = 0; l < k; ++l) t.push_back(c == l ? 1 - rate : rate / double(k - 1));
  return t;
}

}  // namespace

TEST_CASE("backward_correction of two equal scores") {
  const std::vector<double> t{0.75, 0.25, 0.25, 0.75}, inverse{1.5, -0.5, -0.5, 1.5}, logits{0, 0};
  const weakly::transition_inverse b(rows(t, 2), rows(inverse, 2));
  CHECK(b.condition() == 2);
  std::vector<double> loss(1), grad(2);
  weakly::backward_correction(rows(logits, 2), std::vector<int>{0}, b, loss, rows(grad, 2));
  CHECK(loss[0] == doctest::Approx(std::log(2.0)).epsilon(1e-15));
  CHECK(grad == std::vector<double>{-1, 1});
}

TEST_CASE("backward_correction gives the reference results") {
  std::size_t compared = 0;
  for (const auto& [name, f] : em_reference::instances()) {
    CAPTURE(name);
    if (!f.contains("backward_loss")) continue;
    const auto& logits = f.at("logits");
    const index_t n = logits.rows, k = logits.columns;
    const auto& t = f.at("transition").values;
    const auto inverse = inverse_of(t, k);
    const weakly::transition_inverse b(rows(t, k), rows(inverse, k));
    std::vector<double> loss(static_cast<std::size_t>(n)), grad(logits.values.size());
    weakly::backward_correction(rows(logits.values, k), f.at("noisy_label").labels(), b, loss, rows(grad, k));
    compared += compare(f, "backward_loss", loss, 1e-11, 1e-13);
    compared += compare(f, "backward_grad", grad, 1e-11, 1e-13);
  }
  if (compared != 0) CHECK(compared == 362);
}

TEST_CASE("backward_correction is the expected loss without noise, and its gradient that of differences") {
  for (const index_t k : {index_t(2), index_t(5), index_t(support::sanitized ? 100 : 600)}) {
    CAPTURE(k);
    const auto t = noise(k, 0.3);
    std::vector<double> inverse = t;  // of (a - b) I + b, with a = 0.7 and b = 0.3 / (k - 1)
    const double b = 0.3 / double(k - 1), d = 0.7 - b;
    for (index_t c = 0; c < k; ++c)
      for (index_t l = 0; l < k; ++l) inverse[std::size_t(c * k + l)] = (c == l ? 1 / d : 0) - b / d;
    const weakly::transition_inverse inv(rows(t, k), rows(inverse, k));
    const auto row = normal(1, k, 3, 1);
    std::vector<double> logits;
    std::vector<int> label;
    for (index_t l = 0; l < k; ++l) {
      logits.insert(logits.end(), row.begin(), row.end());
      label.push_back(int(l));
    }
    std::vector<double> loss(static_cast<std::size_t>(k)), grad(logits.size());
    weakly::backward_correction(rows(logits, k), label, inv, loss, rows(grad, k));
    const auto p = softmax(row, k);
    for (index_t c = 0; c < k; c += 1 + k / 7) {
      double expected = 0;
      for (index_t l = 0; l < k; ++l) expected += t[std::size_t(c * k + l)] * loss[std::size_t(l)];
      CHECK(close(expected, -std::log(p[std::size_t(c)]), 1e-10, 1e-11));
      std::vector<long double> z(row.begin(), row.end());
      const double want = slope(z, std::size_t(c), [&](const std::vector<long double>& x) {
        long double sum = 0, l = 0;
        for (const long double v : x) sum += std::exp(v);
        for (index_t j = 0; j < k; ++j) l += inverse[std::size_t(j)] * (std::log(sum) - x[std::size_t(j)]);
        return l;
      });
      CHECK(close(grad[std::size_t(c)], want, 1e-8, 1e-9));
    }
  }
}

TEST_CASE_TEMPLATE("backward_correction has the same bits for every executor, layout and place", T, float, double) {
  const index_t n = 700, k = 10;
  const auto x = normal(n, k, 3, 1);
  const std::vector<T> logits(x.begin(), x.end());
  const auto t = noise(k, 0.4), inverse = inverse_of(t, k);
  const weakly::transition_inverse b(rows(t, k), rows(inverse, k));
  std::vector<int> label;
  for (int i = 0; i < int(n); ++i) label.push_back(i % 10);
  std::vector<T> loss = zeros<T>(n), grad = zeros<T>(n * k), other = loss, place = logits;
  weakly::backward_correction(rows(logits, k), label, b, loss, rows(grad, k));
  weakly::thread_pool pool(3);
  weakly::backward_correction(pool, rows(place, k), label, b, other, rows(place, k));
  CHECK(same_bits(loss, other));
  CHECK(same_bits(grad, place));
  auto by_column = transposed(logits, k);
  const auto view = weakly::view(by_column.data(), n, k, 1, n);
  weakly::backward_correction(view, label, b, weakly::discard, view);
  CHECK(same_bits(by_column, transposed(grad, k)));
}

TEST_CASE("backward_correction keeps NaN in its row, and labels that are none away from the others") {
  const double inf = std::numeric_limits<double>::infinity();
  const auto t = noise(2, 0.25), inverse = inverse_of(t, 2);
  const weakly::transition_inverse b(rows(t, 2), rows(inverse, 2));
  const std::vector<double> logits{std::nan(""), 0, -inf, -inf, inf, 0, 1, 2, 1, 2, 0, 5000};
  std::vector<double> loss(6), grad(12);
  CHECK_THROWS_AS(
      weakly::backward_correction(rows(logits, 2), std::vector<int>{0, 0, 0, -1, 7, 1}, b, loss, rows(grad, 2)),
      weakly::label_error);
  for (const std::size_t i : {0U, 1U, 2U, 4U}) {
    CHECK(std::isnan(loss[i]));
    CHECK(std::isnan(grad[2 * i]));
  }
  CHECK(loss[3] == 0);
  CHECK(grad[7] == 0);
  CHECK(loss[5] == doctest::Approx(-2500).epsilon(1e-14));  // nothing bounds it from below
}

TEST_CASE("transition_inverse refuses what is singular, nearly so, or no inverse") {
  const double inf = std::numeric_limits<double>::infinity();
  const std::vector<double> singular{0.5, 0.5, 0.5, 0.5}, nothing{inf, -inf, -inf, inf}, t{0.75, 0.25, 0.25, 0.75};
  CHECK_THROWS_AS(weakly::transition_inverse(rows(singular, 2), rows(nothing, 2)), weakly::value_error);
  CHECK_THROWS_AS(weakly::transition_inverse(rows(t, 2), rows(t, 2)), weakly::value_error);
  const std::vector<double> nearly{0.5 + 1e-7, 0.5 - 1e-7, 0.5, 0.5}, of_it = inverse_of(nearly, 2);
  CHECK(weakly::transition_inverse(rows(nearly, 2), rows(of_it, 2)).condition() == doctest::Approx(1e7).epsilon(1e-6));
  CHECK_THROWS_AS(weakly::transition_inverse(rows(nearly, 2), rows(of_it, 2), {.largest_condition = 1e6}),
                  weakly::value_error);
  CHECK_THROWS_AS(weakly::transition_inverse(rows(nearly, 2), rows(of_it, 2), {.largest_condition = 0.5}),
                  weakly::option_error);
  CHECK_THROWS_AS(weakly::transition_inverse(rows(t, 2), rows(t, 1)), weakly::shape_error);
  const std::vector<double> inverse = inverse_of(t, 2), logits(6);
  std::vector<double> loss(2);
  const weakly::transition_inverse b(rows(t, 2), rows(inverse, 2));
  CHECK_THROWS_AS(weakly::backward_correction(rows(logits, 3), std::vector<int>{0, 1}, b, loss, weakly::discard),
                  weakly::shape_error);
  CHECK_THROWS_AS(weakly::backward_correction(rows(logits, 2), std::vector<int>{0, 1}, b, loss, weakly::discard),
                  weakly::shape_error);
}
