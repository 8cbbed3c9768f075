// SPDX-License-Identifier: MIT
#include "loss_checks.hpp"
#include "loss_reference.hpp"
#include "sanitizer.hpp"

#include <weakly/loss/cross_entropy.hpp>
#include <weakly/loss/ldr_kl.hpp>

#include <cmath>
#include <limits>
#include <string>
#include <vector>

namespace {

using loss_checks::near;
using weakly::index_t;
constexpr double inf = std::numeric_limits<double>::infinity();

/// lambda log mean exp(delta / lambda), with its limits.
long double plain_ldr(loss_checks::row f, int label, long double lambda, long double margin) {
  std::vector<long double> delta;
  for (std::size_t j = 0; j < f.size(); ++j)
    delta.push_back((f[j] - f[std::size_t(label)]) + (j == std::size_t(label) ? 0 : margin));
  long double sum = 0, top = delta[0];
  for (const long double d : delta) {
    sum += d;
    top = std::max(top, d);
  }
  const auto k = static_cast<long double>(delta.size());
  if (std::isinf(lambda)) return sum / k;
  if (lambda == 0) return top;
  for (long double& d : delta) d /= lambda;
  return lambda * (loss_checks::log_sum_exp(delta) - std::log(k));
}

void check(weakly::ldr_kl_options options, double margin, loss_checks::traits t = {}) {
  const double lambda = options.lambda;
  if (support::sanitized && lambda != 1 && lambda != 1e4) return;  // one of each kernel
  if (lambda <= 100) t.temperature = lambda;  // above, the kernel that is centred on the mean has no lambda log k
  CAPTURE(lambda);
  loss_checks::check_loss([&](auto&& ex, const auto& logits, const weakly::loss_labels& label, auto&& loss,
                              auto&& grad) { weakly::ldr_kl(ex, logits, label, loss, grad, options); },
                          [&](loss_checks::row f, int label) { return plain_ldr(f, label, lambda, margin); }, t);
}

struct result {
  std::vector<double> loss, grad, slope;
  result(const std::vector<double>& logits, const std::vector<int>& label, const weakly::ldr_kl_options& options)
      : loss(label.size()), grad(logits.size()), slope(label.size()) {
    const auto n = static_cast<index_t>(label.size()), k = static_cast<index_t>(logits.size()) / n;
    weakly::ldr_kl(weakly::view(logits.data(), n, k), label, loss, weakly::view(grad.data(), n, k), slope, options);
  }
};

}  // namespace

TEST_CASE("ldr_kl of one class above, by hand, at every end of lambda") {
  const std::vector<double> logits{1, 4, 1};
  const std::vector<int> label{0};
  const result hinge(logits, label, {.lambda = 0, .margin = 0.5});
  CHECK(hinge.loss[0] == 3.5);
  CHECK(hinge.grad == std::vector<double>{-1, 1, 0});
  CHECK(hinge.slope[0] == doctest::Approx(-std::log(3.0)).epsilon(1e-15));

  const result mean(logits, label, {.lambda = inf, .margin = 0.5});
  CHECK(mean.loss[0] == doctest::Approx(4.0 / 3).epsilon(1e-15));
  CHECK(mean.grad[0] == doctest::Approx(-2.0 / 3).epsilon(1e-15));
  CHECK(mean.grad[1] == doctest::Approx(1.0 / 3).epsilon(1e-15));
  CHECK(mean.slope[0] == 0);

  const result between(logits, label, {.lambda = 2});
  CHECK(between.loss[0] == doctest::Approx(2 * std::log((2 + std::exp(1.5)) / 3)).epsilon(1e-14));
  CHECK(between.grad[1] == doctest::Approx(std::exp(1.5) / (2 + std::exp(1.5))).epsilon(1e-14));
}

TEST_CASE("ldr_kl shares its gradient among ties where lambda is zero") {
  const result tied({2, 5, 5, 5}, {0}, {.lambda = 0});
  CHECK(tied.loss[0] == 3);
  for (std::size_t j = 1; j < 4; ++j) CHECK(tied.grad[j] == doctest::Approx(1.0 / 3).epsilon(1e-15));
  CHECK(tied.slope[0] == doctest::Approx(-std::log(4.0 / 3)).epsilon(1e-14));
}

TEST_CASE("ldr_kl agrees with its plain form for lambdas of either kernel, whatever way it is called") {
  check({.lambda = 1}, 0);
  check({.lambda = 10, .margin = 0.1}, 0.1);
  check({.lambda = 0.1, .margin = 2}, 2, {.smooth_step = 1e-7});
  check({.lambda = 0.01, .margin = 2}, 2, {.smooth_step = 1e-8});
  check({.lambda = 1e4, .margin = 1}, 1);
  check({.lambda = inf}, 0);
}

TEST_CASE("ldr_kl of one lambda less cross-entropy is minus log k") {
  const loss_checks::batch_of_rows<double> b(20, 7, 4, 1);
  std::vector<double> loss(20), want(20);
  weakly::ldr_kl(b.x(), b.label, loss, weakly::discard);
  weakly::cross_entropy(b.x(), b.label, want, weakly::discard);
  for (std::size_t i = 0; i < loss.size(); ++i) CHECK(near(loss[i] + std::log(7.0), want[i], 1e-14));
}

TEST_CASE("ldr_kl decreases in lambda, is convex in it, and lies between the mean and the greatest delta") {
  const loss_checks::batch_of_rows<double> b(20, 9, 3, 2);
  std::vector<std::vector<double>> at;
  const double lambdas[] = {0, 0.01, 0.5, 1, 1.5, 2, 50, 1e6, inf};
  for (const double lambda : lambdas) at.push_back(result(b.logits, b.label, {.lambda = lambda, .margin = 1}).loss);
  for (std::size_t i = 0; i < at[0].size(); ++i) {
    for (std::size_t l = 1; l < at.size(); ++l) CHECK(at[l][i] <= at[l - 1][i]);
    CHECK(at[3][i] + at[5][i] >= 2 * at[4][i]);
  }
}

TEST_CASE("ldr_kl scales with its logits, margin and lambda together") {
  loss_checks::batch_of_rows<double> b(20, 9, 3, 3);
  const result one(b.logits, b.label, {.lambda = 0.7, .margin = 1});
  for (double& x : b.logits) x *= 8;
  const result eight(b.logits, b.label, {.lambda = 5.6, .margin = 8});
  for (std::size_t i = 0; i < one.loss.size(); ++i) CHECK(near(eight.loss[i], 8 * one.loss[i], 1e-13));
  for (std::size_t i = 0; i < one.grad.size(); ++i) CHECK(near(eight.grad[i], one.grad[i], 1e-13));
}

TEST_CASE("ldr_kl of lambda infinite without margin is symmetric: its sum over the labels is zero") {
  const loss_checks::batch_of_rows<double> b(1, 6, 3, 4);
  double sum = 0;
  for (int y = 0; y < 6; ++y) sum += result(b.logits, {y}, {.lambda = inf}).loss[0];
  CHECK(std::abs(sum) < 1e-13);
}

TEST_CASE("ldr_kl's slope in lambda is that of its value, weighted like it") {
  const loss_checks::batch_of_rows<double> b(12, 9, 3, 5);
  const double h = 1e-5;
  std::vector<double> weight(12, 0.5);
  weight[3] = 0;
  std::vector<double> slope(12, -7);
  weakly::ldr_kl(b.x(), weakly::loss_labels(b.label).weights(weight), weakly::discard, weakly::discard, slope,
                 {.lambda = 1.3, .margin = 1});
  const result above(b.logits, b.label, {.lambda = 1.3 + h, .margin = 1});
  const result below(b.logits, b.label, {.lambda = 1.3 - h, .margin = 1});
  for (std::size_t i = 0; i < 12; ++i)
    CHECK(near(slope[i], weight[i] * (above.loss[i] - below.loss[i]) / (2 * h), 1e-9));
}

TEST_CASE("ldr_kl's kernels meet where one takes over from the other") {
  const loss_checks::batch_of_rows<double> b(50, 30, 3, 6);
  const loss_checks::batch_of_rows<float> single(50, 30, 3, 6);
  for (const double lambda : {1e-6, 1e-3, 0.3, 10.0, 100.0}) {
    CAPTURE(lambda);
    const weakly::ldr_kl_options options{.lambda = lambda, .margin = 0.25};
    const result exact(b.logits, b.label, options);
    std::vector<double> loss(50);
    std::vector<float> loss_single(50);
    weakly::ldr_kl(b.x(), b.label, loss, weakly::discard, options);
    weakly::ldr_kl(single.x(), single.label, loss_single, weakly::discard, options);
    for (std::size_t i = 0; i < 50; ++i) {
      CHECK(near(loss[i], exact.loss[i], 1e-12));
      CHECK(near(double(loss_single[i]), exact.loss[i], 1e-5));
    }
  }
}

TEST_CASE("ldr_kl takes margins by class, by label, from a table and by row") {
  const loss_checks::batch_of_rows<double> b(8, 5, 2, 7);
  const std::vector<double> v{0.5, 1, 0, 2, 0.25};
  std::vector<double> table(25), rows(40);
  const auto compare = [&](const weakly::loss_margins& margin, auto c) {
    for (const double lambda : {0.01, 1.0, 1e3}) {
      CAPTURE(lambda);
      const weakly::ldr_kl_options options{.lambda = lambda, .margin = margin};
      std::vector<double> loss(8), grad(40);
      weakly::ldr_kl(b.x(), b.label, loss, weakly::view(grad.data(), 8, 5), options);
      const result exact(b.logits, b.label, options);
      for (index_t i = 0; i < 8; ++i) {
        const int y = b.label[std::size_t(i)];
        std::vector<long double> shifted = b.exact_row(i);
        for (index_t j = 0; j < 5; ++j) shifted[std::size_t(j)] += c(i, y, j);
        const double want = static_cast<double>(plain_ldr(shifted, y, lambda, 0) + c(i, y, y));
        CHECK(near(loss[std::size_t(i)], want, 1e-12));
        CHECK(near(exact.loss[std::size_t(i)], want, 1e-12));
        double sum = 0;
        for (index_t j = 0; j < 5; ++j) {
          sum += grad[std::size_t(5 * i + j)];
          CHECK(near(grad[std::size_t(5 * i + j)], exact.grad[std::size_t(5 * i + j)], 1e-12));
        }
        CHECK(std::abs(sum) < 1e-14);
      }
    }
  };
  const auto at = [&](index_t j) { return static_cast<long double>(v[std::size_t(j)]); };
  compare(weakly::class_margins(v), [&](index_t, int y, index_t j) { return j == y ? 0.0L : at(j); });
  compare(weakly::label_margins(v), [&](index_t, int y, index_t j) { return j == y ? 0.0L : at(y); });
  for (const bool diagonal : {false, true}) {
    for (std::size_t e = 0; e < 25; ++e) table[e] = e % 6 == 0 && !diagonal ? 0 : 0.125 * double(e % 7);
    compare(weakly::margin_table(weakly::view(table.data(), 5, 5)),
            [&](index_t, int y, index_t j) { return static_cast<long double>(table[std::size_t(5 * y + j)]); });
  }
  for (std::size_t e = 0; e < 40; ++e) rows[e] = 0.25 * double(e % 9);
  compare(weakly::row_margins(weakly::view(rows.data(), 8, 5)),
          [&](index_t i, int, index_t j) { return static_cast<long double>(rows[std::size_t(5 * i + j)]); });
}

TEST_CASE("ldr_kl gives an excluded class a gradient at lambda = inf alone; a margin far above lambda loses no digit") {
  const result excluded({0, -inf, 1}, {0}, {.lambda = 1});
  CHECK(excluded.loss[0] == doctest::Approx(std::log((1 + std::exp(1.0)) / 3)).epsilon(1e-14));
  CHECK(excluded.grad[1] == 0);
  const result symmetric({0, -inf, 1}, {0}, {.lambda = inf});
  CHECK(symmetric.loss[0] == -inf);
  CHECK(symmetric.grad[1] == doctest::Approx(1.0 / 3).epsilon(1e-15));
  const std::vector<float> logits{0, -70, -75};
  std::vector<float> loss(1);
  for (const double margin : {60.0, 80.0, 120.0}) {
    weakly::ldr_kl(weakly::view(logits.data(), 1, 3), std::vector<int>{0}, loss, weakly::discard, {.margin = margin});
    const long double row[] = {0, -70, -75};
    CHECK(near(double(loss[0]), static_cast<double>(plain_ldr(row, 0, 1, margin)), 1e-5));
  }
}

TEST_CASE("ldr_kl gives the reference results") {
  for (const auto& c : loss_reference::cases("ldr_kl")) {
    const auto logits = c.array("logits");
    const auto n = logits.shape[0], k = logits.shape[1];
    const std::vector<int> label = c.labels();
    const std::vector<double> lambda = c.values("lam"), loss = c.values("loss"), grad = c.values("grad"),
                              slope = c.values("dlam"), by_margin = c.values("dmargin");
    const bool nasty = c.name.find("nasty") != std::string::npos, full = c.name.find("full") != std::string::npos;
    const std::vector<double> condition = nasty ? c.values("cond") : std::vector<double>(std::size_t(n), 0.0);
    const std::vector<double> margins = full ? c.values("c") : std::vector<double>(std::size_t(n * k));
    for (index_t i = 0; i < n; ++i) {
      const auto at = static_cast<std::size_t>(i);
      const std::vector<double> row(logits.values.begin() + i * k, logits.values.begin() + (i + 1) * k);
      weakly::ldr_kl_options options{.lambda = lambda[at]};
      if (full)
        options.margin = weakly::row_margins(weakly::view(margins.data() + i * k, 1, k));
      else
        options.margin = c.number.at("margin");
      const result got(row, {label[at]}, options);
      std::vector<double> fast_loss(1), fast_grad(row.size());
      weakly::ldr_kl(weakly::view(row.data(), 1, k), std::vector<int>{label[at]}, fast_loss,
                     weakly::view(fast_grad.data(), 1, k), options);
      double scale = 1;
      for (const double x : row) scale = std::max(scale, std::abs(x));
      CHECK_MESSAGE(c.close(got.loss[0], loss[at]), c.name, " loss ", i, " lambda ", lambda[at]);
      CHECK(std::abs(fast_loss[0] - loss[at]) <= 1e-12 * scale);
      CHECK_MESSAGE(c.close(got.slope[0], slope[at]), c.name, " dlam ", i, " lambda ", lambda[at], " ", got.slope[0],
                    " instead of ", slope[at]);
      for (index_t j = 0; j < k; ++j) {
        const auto e = static_cast<std::size_t>(i * k + j), here = static_cast<std::size_t>(j);
        const double by_c = got.grad[here] + (j == label[at] ? 1 : 0);
        CHECK_MESSAGE(c.close(got.grad[here], grad[e]), c.name, " grad ", i, " ", j, " lambda ", lambda[at]);
        CHECK(std::abs(fast_grad[here] - grad[e]) <= 1e-12 + 8 * condition[at]);
        CHECK(std::abs(by_c - by_margin[e]) <= 1e-15 + c.rtol * by_margin[e]);
      }
    }
  }
}

#if WEAKLY_HAS_EXCEPTIONS
TEST_CASE("ldr_kl refuses a lambda below zero or NaN, a margin that is not finite, and margins of another shape") {
  const std::vector<float> logits(6, 0.0f), two(2);
  const std::vector<int> label{0, 1};
  const auto x = weakly::view(logits.data(), 2, 3);
  const auto run = [&](const weakly::ldr_kl_options& o) {
    weakly::ldr_kl(x, label, weakly::discard, weakly::discard, o);
  };
  CHECK_THROWS_AS(run({.lambda = -1}), weakly::option_error);
  CHECK_THROWS_AS(run({.lambda = std::nan("")}), weakly::option_error);
  CHECK_THROWS_AS(run({.margin = std::nan("")}), weakly::option_error);
  CHECK_THROWS_AS(run({.margin = inf}), weakly::option_error);
  CHECK_THROWS_AS(run({.margin = weakly::class_margins(two)}), weakly::shape_error);
  CHECK_THROWS_AS(run({.margin = weakly::margin_table(weakly::view(logits.data(), 2, 3))}), weakly::shape_error);
  CHECK_THROWS_AS(run({.margin = weakly::row_margins(weakly::view(logits.data(), 1, 3))}), weakly::shape_error);
}
#endif

TEST_CASE("ldr_kl of a million classes agrees with its plain form") {
  const auto call = [](auto&& ex, const auto& logits, const weakly::loss_labels& label, auto&& loss, auto&& grad) {
    weakly::ldr_kl(ex, logits, label, loss, grad, {.lambda = 2, .margin = 0.5});
  };
  loss_checks::check_a_million_classes(call, [](loss_checks::row f, int label) { return plain_ldr(f, label, 2, 0.5L); },
                                       {.temperature = 2});
}
