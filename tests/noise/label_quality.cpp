// SPDX-License-Identifier: MIT
#include <weakly/exec/thread_pool.hpp>
#include <weakly/noise/label_quality.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <vector>

#include "allocations.hpp"
#include "cases.hpp"
#include "sanitizer.hpp"

using cases::shape;
using oracle::at;
using weakly::compatibility;
using weakly::index_t;
using weakly::label_quality_options;
using weakly::quality_score;

namespace {

constexpr quality_score all_scores[] = {quality_score::self_confidence, quality_score::normalized_margin,
                                        quality_score::confidence_weighted_entropy};

template <class T>
std::vector<double> scores(const oracle::problem& q, const cases::laid_out<T>& prob, label_quality_options options,
                           std::span<const double> thresholds = {}) {
  std::vector<double> out(at(q.n), -77);
  weakly::label_quality(weakly::seq, q.label, prob.view(), thresholds, out, options);
  return out;
}

/// Scores of the rows of `p` by their label 0.
std::vector<double> of_class_0(const std::vector<double>& p, index_t k, label_quality_options options) {
  const std::vector<int> y(p.size() / at(k));
  std::vector<double> out(y.size());
  weakly::label_quality(y, weakly::view(p.data(), y.size(), k), out, options);
  return out;
}

/// What the weighted entropy may lose: k terms and as many additions, each within a unit in the last place of the sum
/// of the terms' sizes; the division by the label's probability magnifies it, and log(1 + x) / x at most halves it.
double entropy_error(const oracle::problem& q, index_t i) {
  double size = 0;
  for (index_t j = 0; j < q.k; ++j)
    if (q.p(i, j) > 0) size += std::abs(q.p(i, j) * std::log(q.p(i, j)));
  const double x = q.k > 1 ? size / std::log(static_cast<double>(q.k)) / std::max(q.own(i), 1e-6) : 0;
  return (static_cast<double>(q.k) + 8) * 0x1p-53 * (1 + x);
}

template <class T>
void check_scores(const oracle::problem& q, const cases::laid_out<T>& prob) {
  const auto t = oracle::thresholds(q);
  const auto adjusted = oracle::adjusted(q, t);
  std::vector<double> self, margin, adjusted_self, adjusted_margin;
  for (index_t i = 0; i < q.n; ++i) {
    self.push_back(q.own(i));
    margin.push_back(oracle::margin(q, i));
    adjusted_self.push_back(adjusted.own(i));
    adjusted_margin.push_back(oracle::margin(adjusted, i));
  }
  REQUIRE(cases::same(scores(q, prob, {.score = quality_score::self_confidence}), self));
  REQUIRE(cases::same(scores(q, prob, {.score = quality_score::normalized_margin}), margin));
  if (q.n > 0) {
    REQUIRE(cases::same(scores(q, prob, {.score = quality_score::self_confidence}, t), adjusted_self));
    REQUIRE(cases::same(scores(q, prob, {.score = quality_score::normalized_margin}, t), adjusted_margin));
  }
  const auto entropy = scores(q, prob, {.score = quality_score::confidence_weighted_entropy});
  for (index_t i = 0; i < q.n; ++i) {
    const double expected = oracle::weighted_entropy(q, i);
    CAPTURE(i);
    if (std::isnan(expected))
      REQUIRE(std::isnan(entropy[at(i)]));
    else
      REQUIRE(std::abs(entropy[at(i)] - expected) <= entropy_error(q, i));
  }
}

}  // namespace

TEST_CASE_TEMPLATE("label_quality by self-confidence is the probability of the given label", T, float, double,
                   weakly::half, weakly::bfloat16) {
  const oracle::problem q{2, 3, {0.5, 0.25, 0.25, 0.125, 0.75, 0.125}, {0, 2}};
  CHECK(scores<T>(q, {q, cases::layout::row_major}, {}) == std::vector<double>{0.5, 0.125});
}

TEST_CASE_TEMPLATE("label_quality by margin compares with the best other class", T, float, double, weakly::half,
                   weakly::bfloat16) {
  const oracle::problem q{3, 3, {0.5, 0.25, 0.25, 0.125, 0.75, 0.125, 0, 1, 0}, {0, 2, 1}};
  CHECK(scores<T>(q, {q, cases::layout::row_major}, {.score = quality_score::normalized_margin}) ==
        std::vector<double>{0.625, 0.1875, 1});
}

TEST_CASE("label_quality by weighted entropy is log(1 + x) / x of the entropy over the label's probability") {
  const double x = 1 / 0.5;  // a fair coin: normalised entropy 1
  CHECK(of_class_0({0.5, 0.5}, 2, {.score = quality_score::confidence_weighted_entropy})[0] ==
        doctest::Approx(std::log1p(x) / x).epsilon(1e-15));
  const double h = -(0.9 * std::log(0.9) + 0.1 * std::log(0.1)) / std::log(2.0);
  CHECK(of_class_0({0.1, 0.9}, 2, {.score = quality_score::confidence_weighted_entropy})[0] ==
        doctest::Approx(std::log1p(h / 0.1) / (h / 0.1)).epsilon(1e-14));
}

TEST_CASE("label_quality gives a certain and right row the best weighted entropy, where cleanlab gives it the worst") {
  const std::vector<double> certain = {1, 0, 0};
  CHECK(of_class_0(certain, 3, {.score = quality_score::confidence_weighted_entropy})[0] == 1);
  CHECK(of_class_0(certain, 3,
                   {.score = quality_score::confidence_weighted_entropy, .compat = compatibility::cleanlab})[0] == 0);
  // Nearly certain: x is about 1e-13, which log(1 + x) cannot see and cleanlab's clip at 1e-6 turns into 1e-7.
  const std::vector<double> nearly = {1 - 1e-15, 1e-15, 0};
  CHECK(of_class_0(nearly, 3, {.score = quality_score::confidence_weighted_entropy})[0] ==
        doctest::Approx(1).epsilon(1e-12));
  CHECK(of_class_0(nearly, 3,
                   {.score = quality_score::confidence_weighted_entropy, .compat = compatibility::cleanlab})[0] < 1e-6);
}

TEST_CASE("label_quality of a label with probability zero is bounded away from a division by zero") {
  const double x = std::log(2.0) / std::log(3.0) / 1e-6;
  CHECK(of_class_0({0, 0.5, 0.5}, 3, {.score = quality_score::confidence_weighted_entropy})[0] ==
        doctest::Approx(std::log1p(x) / x).epsilon(1e-13));
}

TEST_CASE("label_quality with one class, where cleanlab's margin fails and its entropy is NaN") {
  CHECK(of_class_0({0.75}, 1, {.score = quality_score::self_confidence})[0] == 0.75);
  CHECK(of_class_0({0.75}, 1, {.score = quality_score::normalized_margin})[0] == 0.875);
  CHECK(of_class_0({0.75}, 1, {.score = quality_score::confidence_weighted_entropy})[0] == 1);
}

TEST_CASE("label_quality of no rows writes nothing") {
  const std::vector<float> p;
  std::vector<double> out;
  for (const quality_score score : all_scores)
    weakly::label_quality(std::vector<int>{}, weakly::view(p.data(), 0, 3), out, {.score = score});
  CHECK(out.empty());
}

TEST_CASE_TEMPLATE("label_quality keeps NaN in its own row, and where the score uses the entry", T, float, double) {
  constexpr T nan = std::numeric_limits<T>::quiet_NaN();
  for (const index_t k : {3, 40, 64}) {
    CAPTURE(k);
    for (index_t where = 0; where < k; ++where) {
      std::vector<T> p(at(3 * k), T(1) / T(64));
      p[at(k + where)] = nan;
      const std::vector<index_t> y = {1, 1, 1};
      std::vector<double> out(3);
      const auto prob = weakly::view(p.data(), 3, k);
      weakly::label_quality(y, prob, out, {.score = quality_score::self_confidence});
      CHECK(std::isnan(out[1]) == (where == 1));
      for (const quality_score score : {quality_score::normalized_margin, quality_score::confidence_weighted_entropy}) {
        weakly::label_quality(y, prob, out, {.score = score});
        CHECK(std::isnan(out[1]));
        CHECK(out[0] == out[2]);
        CHECK(!std::isnan(out[0]));
      }
    }
  }
}

TEST_CASE(
    "label_quality takes a rounding error below zero for zero in the entropy, and scores no entry that is further "
    "off") {
  const auto entropy = [](double p) {
    return of_class_0({1, p, 0}, 3, {.score = quality_score::confidence_weighted_entropy})[0];
  };
  CHECK(entropy(-1e-7) == 1);
  CHECK(entropy(-1e-6) == 1);
  CHECK(std::isnan(entropy(-2e-6)));
  CHECK(std::isnan(entropy(oracle::infinity)));
  CHECK(std::isnan(entropy(-oracle::infinity)));
}

TEST_CASE(
    "label_quality adjusts by the thresholds of classes that have rows, where an absent class flattens cleanlab's") {
  const std::vector<double> p = {0.5, 0.25, 0.25, 0.25, 0.5, 0.25};
  const std::vector<int> y = {0, 0};
  const auto prob = weakly::view(p.data(), 2, 3);
  std::vector<double> out(2);
  // q = p - t + 0.5 = (0.5, 0.5, 0.25) and (0.25, 0.75, 0.25), both of sum 1.25.
  const std::vector<double> t = {0.5, 0.25, oracle::infinity};
  weakly::label_quality(weakly::seq, y, prob, t, out);
  CHECK(out[0] == doctest::Approx(0.4));
  CHECK(out[1] == doctest::Approx(0.2));
  weakly::label_quality(weakly::seq, y, prob, t, out, {.score = quality_score::normalized_margin});
  CHECK(out[0] == doctest::Approx(0.5));
  CHECK(out[1] == doctest::Approx(0.3));
  // cleanlab's threshold of an absent class is 2: q = p - t + 2 = (2, 2, 0.25) and (1.75, 2.25, 0.25).
  const std::vector<double> u = {0.5, 0.25, 2};
  weakly::label_quality(weakly::seq, y, prob, u, out, {.compat = compatibility::cleanlab});
  CHECK(out[0] == doctest::Approx(2 / 4.25));
  CHECK(out[1] == doctest::Approx(1.75 / 4.25));
}

TEST_CASE_TEMPLATE("label_quality agrees with its definitions on random problems", T, float, double, weakly::half,
                   weakly::bfloat16) {
  cases::generator g(91);
  for (int round = 0; round < support::rounds(1000); ++round) {
    CAPTURE(round);
    const auto q = cases::random_problem<T>(g, g.below(61), 1 + g.below(9), static_cast<shape>(g.below(4)));
    check_scores<T>(q, {q, cases::all_layouts[g.below(6)], g.below(8)});
  }
  for (const index_t k : {16, 31, 32, 33, 40, 57, 64, 65, 100, 1000}) {
    CAPTURE(k);
    for (const cases::layout l : cases::all_layouts) {
      const auto q = cases::random_problem<T>(g, 80, k, static_cast<shape>(g.below(4)));
      check_scores<T>(q, {q, l, g.below(8)});
    }
  }
}

TEST_CASE_TEMPLATE("label_quality gives the same bits for every layout and 1 to 8 threads, in both modes", T, float,
                   double, weakly::half, weakly::bfloat16) {
  cases::generator g(92);
  for (const auto& [n, k] : {std::pair<index_t, index_t>{support::sanitized ? 3000 : 15000, 10}, {400, 70}}) {
    const auto q = cases::random_problem<T>(g, n, k, shape::smooth);
    for (const compatibility compat : {compatibility::none, compatibility::cleanlab})
      for (const quality_score score : all_scores) {
        const auto expected = scores<T>(q, {q, cases::layout::row_major}, {.score = score, .compat = compat});
        for (const cases::layout l : cases::all_layouts)
          CHECK(cases::same(scores<T>(q, {q, l}, {.score = score, .compat = compat}), expected));
        const cases::laid_out<T> prob(q, cases::layout::row_major);
        for (int threads = 1; threads <= 8; threads += support::sanitized ? 3 : 1) {
          weakly::thread_pool pool(threads);
          std::vector<double> out(at(q.n));
          weakly::label_quality(pool, q.label, prob.view(), out, {.score = score, .compat = compat});
          CHECK(cases::same(out, expected));
        }
      }
  }
}

TEST_CASE("label_quality follows a permutation of the rows, and margins one of the classes") {
  cases::generator g(93);
  for (const index_t k : {3, 40}) {
    const auto q = cases::random_problem<double>(g, 300, k, shape::smooth);
    const auto order = cases::permutation(g, q.n);
    const auto to = cases::permutation(g, k);
    auto r = cases::reordered(q, order);
    for (const quality_score score : all_scores) {
      const auto a = scores<double>(q, {q, cases::layout::row_major}, {.score = score});
      const auto b = scores<double>(r, {r, cases::layout::row_major}, {.score = score});
      bool follows = true;
      for (index_t i = 0; i < q.n; ++i) follows = follows && b[at(i)] == a[at(order[at(i)])];
      CHECK(follows);
    }
    oracle::problem s = q;
    for (index_t i = 0; i < q.n; ++i) {
      s.label[at(i)] = to[at(q.label[at(i)])];
      for (index_t j = 0; j < k; ++j) s.prob[at(i * k + to[at(j)])] = q.p(i, j);
    }
    const label_quality_options margin{.score = quality_score::normalized_margin};
    CHECK(scores<double>(q, {q, cases::layout::row_major}, margin) ==
          scores<double>(s, {s, cases::layout::row_major}, margin));
  }
}

TEST_CASE_TEMPLATE("label_quality reads labels of any integer type and writes floats wherever they lie", Label,
                   std::int8_t, std::uint16_t, std::uint32_t, std::int64_t) {
  cases::generator g(94);
  const auto q = cases::random_problem<float>(g, 200, 9, shape::smooth);
  const cases::laid_out<float> prob(q, cases::layout::padded);
  const auto y = cases::labels_as<Label>(q);
  std::vector<float> spread(400, -5);
  weakly::label_quality(y, prob.view(), weakly::vector_view<float>(spread.data() + 399, {200}, {-2}),
                        {.score = quality_score::normalized_margin});
  bool right = true;
  for (index_t i = 0; i < 200; ++i)
    right =
        right && spread[at(399 - 2 * i)] == static_cast<float>(oracle::margin(q, i)) && spread[at(398 - 2 * i)] == -5;
  CHECK(right);
}

TEST_CASE("label_quality allocates nothing") {
  cases::generator g(95);
  for (const index_t k : {5, 100}) {
    const auto q = cases::random_problem<float>(g, 500, k, shape::smooth);
    const cases::laid_out<float> prob(q, cases::layout::row_major);
    const std::vector<double> t(at(k), 0.1);
    std::vector<double> out(500);
    for (const compatibility compat : {compatibility::none, compatibility::cleanlab})
      for (const quality_score score : all_scores)
        CHECK(allocations::during([&] {
                weakly::label_quality(q.label, prob.view(), out, {.score = score, .compat = compat});
                if (score != quality_score::confidence_weighted_entropy)
                  weakly::label_quality(weakly::seq, q.label, prob.view(), t, out, {.score = score, .compat = compat});
              }) == 0);
  }
}

TEST_CASE(
    "label_quality refuses shapes that disagree, foreign labels and an adjusted entropy, and then writes nothing") {
  const std::vector<float> p(12, 0.5f);
  const std::vector<int> y(4);
  const auto prob = weakly::view(p.data(), 4, 3);
  std::vector<double> out(4, -5), short_out(3, -5);
  cases::refuses<weakly::shape_error>([&] { weakly::label_quality(y, prob, short_out); },
                                      {"label_quality: out", "(3)", "4"});
  cases::refuses<weakly::shape_error>([&] { weakly::label_quality(std::vector<int>(5), prob, out); },
                                      {"label_quality: prob", "(4 x 3)", "5"});
  cases::refuses<weakly::shape_error>(
      [&] {
        weakly::label_quality(weakly::seq, y, prob, std::vector<double>{0.5, 0.5}, out);
      },
      {"label_quality", "2 thresholds for 3 classes"});
  cases::refuses<weakly::option_error>(
      [&] {
        weakly::label_quality(weakly::seq, y, prob, std::vector<double>(3, 0.5), out,
                              {.score = quality_score::confidence_weighted_entropy});
      },
      {"label_quality", "confidence_weighted_entropy", "no thresholds"});
  for (const compatibility compat : {compatibility::none, compatibility::cleanlab})
    cases::refuses<weakly::option_error>(
        [&] {
          weakly::label_quality(weakly::seq, y, prob, std::vector<double>{0.5, oracle::nan, 0.5}, out,
                                {.compat = compat});
        },
        {"label_quality", "threshold of class 1 is NaN"});
  cases::refuses<weakly::option_error>(
      [&] { weakly::label_quality(y, prob, out, {.score = static_cast<quality_score>(99)}); },
      {"label_quality: score = 99", "quality_score"});
  for (const int bad : {-1, 3}) {
    const std::vector<int> foreign = {0, 1, bad, 2};
    cases::refuses<weakly::label_error>([&] { weakly::label_quality(foreign, prob, out); },
                                        {"label_quality", "label " + std::to_string(bad), "row 2", "[0, 3)"});
  }
  CHECK(out == std::vector<double>(4, -5));
  CHECK(short_out == std::vector<double>(3, -5));
}
