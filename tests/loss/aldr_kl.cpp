// SPDX-License-Identifier: MIT
#include "loss_checks.hpp"
#include "loss_reference.hpp"

#include <weakly/loss/aldr_kl.hpp>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace {

using loss_checks::near;
using weakly::aldr_kl_options;
using weakly::index_t;

struct problem {
  std::vector<long double> delta;
  long double lambda0, weight;

  problem(loss_checks::row f, int label, const aldr_kl_options& o, double margin) : lambda0(o.lambda0) {
    for (std::size_t j = 0; j < f.size(); ++j)
      delta.push_back((f[j] - f[std::size_t(label)]) + (j == std::size_t(label) ? 0 : margin));
    weight = o.alpha * std::log(static_cast<long double>(f.size())) / lambda0;
  }
  long double objective(long double lambda, long double* slope = nullptr) const {
    const long double top = *std::max_element(delta.begin(), delta.end());
    long double sum = 0, weighted = 0;
    for (const long double d : delta) {
      const long double z = (d - top) / lambda, e = std::exp(z);
      sum += e;
      weighted += e == 0 ? 0 : e * z;
    }
    const long double excess = std::log(sum / static_cast<long double>(delta.size()));
    if (slope != nullptr) *slope = -(weighted / sum - excess) - weight * (lambda - lambda0);
    return top + lambda * excess - weight / 2 * (lambda - lambda0) * (lambda - lambda0);
  }
};

/// The maximum by bisection on the slope between every two of `steps` points.
long double plain_aldr(loss_checks::row f, int label, const aldr_kl_options& o, double margin, int steps = 4) {
  const problem p(f, label, o, margin);
  const long double low = o.lambda0 * (1 - 1 / static_cast<long double>(o.alpha));
  long double best = -std::numeric_limits<long double>::infinity();
  for (int s = 0; s < steps; ++s) {
    long double a = low + (o.lambda0 - low) * s / steps, b = low + (o.lambda0 - low) * (s + 1) / steps;
    long double at_a, at_b;
    p.objective(a, &at_a);
    p.objective(b, &at_b);
    if ((s > 0 && at_a <= 0) || (s + 1 < steps && at_b > 0)) continue;
    for (int i = 0; i < 60; ++i) {
      const long double middle = (a + b) / 2;
      long double slope;
      p.objective(middle, &slope);
      (slope > 0 ? a : b) = middle;
    }
    best = std::max(best, p.objective((a + b) / 2));
  }
  return best;
}

void check(const aldr_kl_options& options, double margin, loss_checks::traits t = {}) {
  if (options.lambda0 <= 100) t.temperature = options.lambda0;  // above, no kernel has lambda log k in it
  loss_checks::check_loss([&](auto&& ex, const auto& logits, const weakly::loss_labels& label, auto&& loss,
                              auto&& grad) { weakly::aldr_kl(ex, logits, label, loss, grad, options); },
                          [&](loss_checks::row f, int label) { return plain_aldr(f, label, options, margin, 1); }, t);
}

struct result {
  std::vector<double> loss, grad, lambda;
  result(const std::vector<double>& logits, const std::vector<int>& label, const aldr_kl_options& options)
      : loss(label.size()), grad(logits.size()), lambda(label.size()) {
    const auto n = static_cast<index_t>(label.size()), k = static_cast<index_t>(logits.size()) / n;
    weakly::aldr_kl(weakly::view(logits.data(), n, k), label, loss, weakly::view(grad.data(), n, k), lambda, options);
  }
};

}  // namespace

TEST_CASE("aldr_kl of equal logits keeps lambda0, and of one class far above takes the least lambda") {
  const result flat({2, 2, 2}, {0}, {.lambda0 = 3});
  CHECK(flat.loss[0] == 0);
  CHECK(flat.lambda[0] == 3);
  const result sure({0, 1e4, 0}, {0}, {.lambda0 = 3});
  CHECK(sure.lambda[0] == doctest::Approx(1.5).epsilon(1e-15));
  // psi = 1e4 - lambda log 3, less log 3 / 3 (1.5)^2
  CHECK(sure.loss[0] == doctest::Approx(1e4 - 1.5 * std::log(3.0) - std::log(3.0) * 0.75).epsilon(1e-15));
  CHECK(near(sure.grad[1], 1, 1e-15));
}

TEST_CASE("aldr_kl agrees with its plain form, whatever way it is called") {
  check({.lambda0 = 1, .alpha = 4, .margin = 0.1}, 0.1);
  check({.lambda0 = 10, .alpha = 3, .margin = 1}, 1);
  check({.lambda0 = 1e3, .alpha = 3}, 0);
}

TEST_CASE("aldr_kl agrees with its plain form where the root is not unique for every row") {
  check({.lambda0 = 1, .alpha = 2, .margin = 0.1}, 0.1);
}

TEST_CASE("aldr_kl is the maximum of its objective over a grid of lambdas, for any alpha") {
  for (const double alpha : {1.1, 1.3, 2.0})
    for (const index_t k : {index_t(5), index_t(40), index_t(600)}) {
      CAPTURE(alpha);
      CAPTURE(k);
      const aldr_kl_options options{.lambda0 = 1, .alpha = alpha};
      loss_checks::batch_of_rows<double> b(12, k, 2, 4);
      for (index_t i = 6; i < 12; ++i)  // one class some way above the rest
        for (index_t j = 0; j < k; ++j) b.logits[std::size_t(i * k + j)] = j == 1 ? 0.8 * double(i) : 0;
      const result r(b.logits, b.label, options);
      for (index_t i = 0; i < 12; ++i) {
        const std::vector<long double> f = b.exact_row(i);
        const problem p(f, b.label[std::size_t(i)], options, 0);
        long double best = p.objective(r.lambda[std::size_t(i)]);
        CHECK(near(r.loss[std::size_t(i)], double(best), 1e-13));
        for (int s = 0; s <= 1000; ++s) {
          const double u = 1 - 1 / alpha + s / 1000.0 / alpha;
          CHECK(double(p.objective(u)) <= r.loss[std::size_t(i)] + 1e-12);
        }
      }
    }
}

TEST_CASE("aldr_kl finds the middle one of three maxima, and the upper one on request") {
  std::vector<double> logits(1000, 0.0);
  logits[0] = 4.125;
  for (std::size_t j = 1; j < 8; ++j) logits[j] = 3.484;
  const result best(logits, {500}, {.alpha = 1.1});
  CHECK(best.lambda[0] == doctest::Approx(0.29662).epsilon(1e-4));
  CHECK(best.loss[0] == doctest::Approx(0.37192).epsilon(1e-4));
  const result upper(logits, {500}, {.alpha = 1.1, .maximum = weakly::aldr_maximum::upper});
  CHECK(upper.lambda[0] == doctest::Approx(0.86703).epsilon(1e-4));
  CHECK(upper.loss[0] == doctest::Approx(0.28306).epsilon(1e-4));
}

TEST_CASE("aldr_kl is convex in the logits") {
  const loss_checks::batch_of_rows<double> a(40, 150, 3, 8), b(40, 150, 3, 9);
  std::vector<double> middle;
  for (std::size_t e = 0; e < a.logits.size(); ++e) middle.push_back(0.5 * (a.logits[e] + b.logits[e]));
  for (const double alpha : {1.1, 2.0, 3.0}) {
    const aldr_kl_options options{.alpha = alpha};
    const result at_a(a.logits, a.label, options), at_b(b.logits, a.label, options), at(middle, a.label, options);
    for (std::size_t i = 0; i < 40; ++i) CHECK(2 * at.loss[i] <= at_a.loss[i] + at_b.loss[i] + 1e-12);
  }
}

TEST_CASE("aldr_kl's gradients by lambda0 and alpha are those of its value") {
  const loss_checks::batch_of_rows<double> b(10, 12, 3, 10);
  const double h = 1e-6;
  const aldr_kl_options at{.lambda0 = 1.5, .alpha = 2.5, .margin = 0.5};
  const auto with = [&](double lambda0, double alpha) {
    return result(b.logits, b.label, {.lambda0 = lambda0, .alpha = alpha, .margin = 0.5});
  };
  const result r(b.logits, b.label, at), more = with(1.5 + h, 2.5), less = with(1.5 - h, 2.5), up = with(1.5, 2.5 + h),
                                         down = with(1.5, 2.5 - h);
  for (std::size_t i = 0; i < 10; ++i) {
    CHECK(near(weakly::aldr_kl_lambda0_gradient(r.lambda[i], 12, at), (more.loss[i] - less.loss[i]) / (2 * h), 1e-8));
    CHECK(near(weakly::aldr_kl_alpha_gradient(r.lambda[i], 12, at), (up.loss[i] - down.loss[i]) / (2 * h), 1e-8));
  }
}

TEST_CASE("uniqueness of the root is certified where the literature's search finds it") {
  const struct {
    index_t k;
    double bound;
  } known[] = {{2, 1.3177},    {3, 1.3648},    {10, 1.5332},   {100, 1.9494},
               {128, 1.99931}, {129, 2.00090}, {1000, 2.4398}, {100000, 3.5106}};
  for (const auto& [k, bound] : known)
    CHECK(weakly::detail::uniqueness_bound(k) == doctest::Approx(bound).epsilon(k == 128 || k == 129 ? 5e-6 : 5e-5));
}

TEST_CASE_TEMPLATE("aldr_kl gives an excluded class no gradient, in every kernel", T, float, double) {
  for (const index_t k : {index_t(3), index_t(20), index_t(300), index_t(9000)})
    for (const double alpha : {1.2, 4.0}) {
      CAPTURE(k);
      CAPTURE(alpha);
      std::vector<T> logits(std::size_t(k), T(0)), loss(1), grad(std::size_t(k), T(7));
      logits[0] = T(1);
      logits[2] = logits.back() = -std::numeric_limits<T>::infinity();
      weakly::aldr_kl(weakly::view(logits.data(), 1, k), std::vector<int>{1}, loss, weakly::view(grad.data(), 1, k),
                      {.alpha = alpha});
      CHECK(grad[2] == T(0));
      CHECK(grad.back() == T(0));
      CHECK(grad[0] > T(0));
    }
}

TEST_CASE("aldr_kl takes margins by class, by label, from a table and by row, in every kernel") {
  for (const index_t k : {index_t(5), index_t(300)}) {
    const loss_checks::batch_of_rows<double> b(9, k, 2, 7);
    std::vector<double> v, table, rows;
    for (index_t e = 0; e < k * k; ++e) table.push_back(0.125 * double(e % 7));
    for (index_t e = 0; e < 9 * k; ++e) rows.push_back(0.25 * double(e % 9));
    for (index_t e = 0; e < k; ++e) v.push_back(0.5 * double(e % 3));
    const auto compare = [&](const weakly::loss_margins& margin, auto c) {
      const aldr_kl_options options{.alpha = 3, .margin = margin};
      const result r(b.logits, b.label, options);
      for (index_t i = 0; i < 9; ++i) {
        const int y = b.label[std::size_t(i)];
        std::vector<long double> f = b.exact_row(i);
        for (index_t j = 0; j < k; ++j) f[std::size_t(j)] += static_cast<long double>(c(i, y, j));
        CHECK(near(r.loss[std::size_t(i)], double(plain_aldr(f, y, options, 0, 1)) + c(i, y, y), 1e-12));
      }
    };
    const auto at = [](const std::vector<double>& w, index_t j) { return w[std::size_t(j)]; };
    compare(weakly::class_margins(v), [&](index_t, int y, index_t j) { return j == y ? 0.0 : at(v, j); });
    compare(weakly::label_margins(v), [&](index_t, int y, index_t j) { return j == y ? 0.0 : at(v, y); });
    compare(weakly::margin_table(weakly::view(table.data(), k, k)),
            [&](index_t, int y, index_t j) { return at(table, y * k + j); });
    compare(weakly::row_margins(weakly::view(rows.data(), 9, k)),
            [&](index_t i, int, index_t j) { return at(rows, i * k + j); });
  }
}

TEST_CASE("aldr_kl gives the reference results") {
  for (const auto& c : loss_reference::cases("aldr_exact")) {
    const auto logits = c.array("logits");
    const result r(logits.values, c.labels(),
                   {.lambda0 = c.number.at("lam0"), .alpha = c.number.at("alpha"), .margin = c.number.at("margin")});
    loss_reference::check_array(c, "loss", r.loss);
    loss_reference::check_array(c, "lam", r.lambda);
    loss_reference::check_array(c, "grad", r.grad);
  }
}

#if WEAKLY_HAS_EXCEPTIONS
TEST_CASE("aldr_kl refuses one class, a lambda0 that is not positive and an alpha that is not above one") {
  const std::vector<float> logits(6, 0.0f);
  const std::vector<int> label{0, 1};
  const auto run = [&](const aldr_kl_options& o) {
    weakly::aldr_kl(weakly::view(logits.data(), 2, 3), label, weakly::discard, weakly::discard, o);
  };
  for (const double bad : {0.0, -1.0, std::nan(""), std::numeric_limits<double>::infinity()})
    CHECK_THROWS_AS(run({.lambda0 = bad}), weakly::option_error);
  for (const double bad : {1.0, 0.5, std::nan(""), std::numeric_limits<double>::infinity()})
    CHECK_THROWS_AS(run({.alpha = bad}), weakly::option_error);
  CHECK_THROWS_AS(run({.margin = std::nan("")}), weakly::option_error);
  CHECK_THROWS_AS(
      weakly::aldr_kl(weakly::view(logits.data(), 2, 1), std::vector<int>{0, 0}, weakly::discard, weakly::discard),
      weakly::shape_error);
}
#endif

TEST_CASE("aldr_kl of a million classes agrees with its plain form at its own lambda") {
  const aldr_kl_options options{.lambda0 = 2, .alpha = 3, .margin = 0.5};
  std::vector<double> lambda(3);
  std::size_t row = 0;
  loss_checks::check_a_million_classes(
      [&](auto&& ex, const auto& logits, const weakly::loss_labels& label, auto&& loss, auto&& grad) {
        weakly::aldr_kl(ex, logits, label, loss, grad, lambda, options);
      },
      [&](loss_checks::row f, int label) {  // stationary in lambda: its error enters squared
        const problem p(f, label, options, 0.5);
        const long double at = lambda[row++];
        long double slope;
        const long double value = p.objective(at, &slope);
        CHECK(std::abs(slope) < 1e-5L * p.weight * p.lambda0);
        return value;
      },
      {.temperature = 2});
}
