// SPDX-License-Identifier: MIT
#include "allocations.hpp"
#include "multilabel_case.hpp"

#include <weakly/exec/thread_pool.hpp>
#include <weakly/noise/label_quality.hpp>
#include <weakly/noise/multilabel_confident_joint.hpp>
#include <weakly/noise/multilabel_quality.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

using multilabel_case::at;
using multilabel_case::random_problem;
using weakly::compatibility;
using weakly::index_t;
using weakly::quality_score;
using weakly::score_aggregate;

namespace {

constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

double aggregated(const std::vector<double>& scores, weakly::score_aggregate_options options = {}) {
  double out = 0;
  weakly::aggregate_quality(weakly::view(scores.data(), 1, scores.size()), weakly::view(&out, 1), options);
  return out;
}

/// NaN equals NaN.
bool same(const std::vector<double>& a, const std::vector<double>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](double x, double y) { return x == y || (std::isnan(x) && std::isnan(y)); });
}

}  // namespace

TEST_CASE_TEMPLATE("a given class is trusted by its probability, one not given by the rest", T, float, double) {
  const std::vector<int> label = {1, 0, 1};
  const std::vector<T> prob = {T(0.75), T(0.25), T(0.125)};
  const auto y = weakly::view(label.data(), 1, 3);
  const auto p = weakly::view(prob.data(), 1, 3);
  std::vector<T> each(3), row(1);
  weakly::multilabel_quality(y, p, weakly::view(each.data(), 1, 3));
  CHECK(each == std::vector<T>{T(0.75), T(0.75), T(0.125)});
  weakly::multilabel_quality(y, p, weakly::view(each.data(), 1, 3), {.score = quality_score::normalized_margin});
  CHECK(each == std::vector<T>{T(0.75), T(0.75), T(0.125)});  // (p - (1 - p) + 1) / 2

  // From the top: 0.75, 0.75, then 0.8 0.125 + 0.2 0.75.
  weakly::multilabel_row_quality(y, p, row);
  CHECK(row[0] == doctest::Approx(0.25));

  // Thresholds (0.5, 0.75), (0.5, 0.5), (0.25, 0.5): q = (0.25 + 0.25, 0.75), (0.75, 0.25), (0.875 + 0.25, 0.125),
  // divided by 1.25, 1 and 1.25.
  const std::vector<double> t = {0.5, 0.75, 0.5, 0.5, 0.25, 0.5};
  weakly::multilabel_quality(weakly::seq, y, p, t, weakly::view(each.data(), 1, 3));
  CHECK(each[0] == doctest::Approx(0.6));
  CHECK(each[1] == doctest::Approx(0.75));
  CHECK(each[2] == doctest::Approx(0.1));
}

TEST_CASE("scores become one by a moving average from the highest down, or by a softmin") {
  CHECK(aggregated({0.9, 0.1, 0.5}) == doctest::Approx(0.8 * 0.1 + 0.2 * (0.8 * 0.5 + 0.2 * 0.9)));
  CHECK(aggregated({0.1, 0.2, 0.3}, {.alpha = 0.5}) == doctest::Approx(0.175));
  CHECK(aggregated({0.9, 0.1, 0.5}, {.alpha = 0}) == 0.9);
  CHECK(aggregated({0.9, 0.1, 0.5}, {.alpha = 1}) == 0.1);
  CHECK(aggregated({0.4}) == 0.4);

  const weakly::score_aggregate_options softmin{.method = score_aggregate::softmin, .temperature = 0.5};
  const double w = std::exp(-1.0);  // 0.5 higher
  CHECK(aggregated({0.75, 0.25}, softmin) == doctest::Approx((0.25 + 0.75 * w) / (1 + w)));
  CHECK(aggregated({0.4}, softmin) == 0.4);
  CHECK(aggregated({0, 1}, {.method = score_aggregate::softmin, .temperature = 1e-300}) == 0);
}

TEST_CASE("aggregation has a meaning for NaN, for nothing and for infinite scores") {
  const double inf = std::numeric_limits<double>::infinity();
  for (const auto method : {score_aggregate::exponential_moving_average, score_aggregate::softmin}) {
    CHECK(std::isnan(aggregated({0.5, not_a_number, 0.1}, {.method = method})));
    CHECK(std::isnan(aggregated({}, {.method = method})));
  }
  CHECK(aggregated({inf, 0.5}) == inf);
  CHECK(aggregated({-inf, 0.5}) == -inf);
}

TEST_CASE("rows of any number of classes are averaged in descending order") {
  for (const index_t k : {2, 17, 1023, 1024, 1025, 2048, 5000})
    for (const std::uint64_t levels : {1u, 3u, 700u, 1000000u}) {
      weakly::random_stream random(static_cast<std::uint64_t>(k), levels);
      std::vector<double> scores(at(k));
      for (double& s : scores) s = static_cast<double>(random.below(levels)) / static_cast<double>(levels);
      auto sorted = scores;
      std::sort(sorted.begin(), sorted.end(), std::greater<double>());
      const double alpha = 2 / static_cast<double>(k + 1);  // every score counts
      double expected = sorted[0];
      for (std::size_t j = 1; j < sorted.size(); ++j) expected = alpha * sorted[j] + (1 - alpha) * expected;
      CAPTURE(k);
      CAPTURE(levels);
      CHECK(aggregated(scores, {.alpha = alpha}) == doctest::Approx(expected).epsilon(1e-14));
    }
}

TEST_CASE_TEMPLATE("scores are the single-label ones of every class, and the row's score is their aggregate", T, float,
                   double, weakly::half, weakly::bfloat16) {
  const auto q = random_problem<T>(3, 200, 5, true);
  const auto thresholds = weakly::multilabel_thresholds(weakly::seq, q.labels(), q.probs());
  std::vector<double> each(q.prob.size()), row(at(q.n)), expected_row(at(q.n));
  for (const bool adjust : {false, true})
    for (const auto score : {quality_score::self_confidence, quality_score::normalized_margin,
                             quality_score::confidence_weighted_entropy}) {
      if (adjust && score == quality_score::confidence_weighted_entropy) continue;
      const std::span<const double> t = adjust ? thresholds.elements() : std::span<const double>();
      weakly::multilabel_quality(weakly::seq, q.labels(), q.probs(), t, weakly::view(each.data(), q.n, q.k),
                                 {.score = score});
      for (index_t c = 0; c < q.k; ++c) {
        const auto columns = q.binary_columns(c);
        std::vector<double> expected(at(q.n)), got;
        weakly::label_quality(weakly::seq, q.binary_labels(c), weakly::view(columns.data(), q.n, 2),
                              adjust ? t.subspan(at(2 * c), 2) : t, expected, {.score = score});
        for (index_t i = 0; i < q.n; ++i) got.push_back(each[at(i * q.k + c)]);
        REQUIRE(same(got, expected));
      }
      for (const auto method : {score_aggregate::exponential_moving_average, score_aggregate::softmin}) {
        weakly::multilabel_row_quality(weakly::seq, q.labels(), q.probs(), t, row,
                                       {.score = score, .aggregate = {.method = method}});
        weakly::aggregate_quality(weakly::view(each.data(), q.n, q.k), expected_row, {.method = method});
        REQUIRE(same(row, expected_row));
      }
    }
}

TEST_CASE_TEMPLATE("with cleanlab's numbers the second column is rounded in the type of the probabilities", T, float,
                   weakly::half) {
  const auto tiny = multilabel_case::stored<T>(1.0 / 3);
  const std::vector<int> label = {0};
  const std::vector<T> prob = {tiny};
  const auto y = weakly::view(label.data(), 1, 1);
  const auto p = weakly::view(prob.data(), 1, 1);
  double exact = 0, rounded = 0;
  weakly::multilabel_quality(y, p, weakly::view(&exact, 1, 1));
  weakly::multilabel_quality(y, p, weakly::view(&rounded, 1, 1), {.compat = compatibility::cleanlab});
  CHECK(exact == 1 - multilabel_case::value(tiny));
  CHECK(rounded == multilabel_case::value(multilabel_case::stored<T>(exact)));
  CHECK(rounded != exact);
}

TEST_CASE("scores are the same bits for every thread count and layout, and nothing is allocated") {
  const index_t n = 30000, k = 12;
  const auto q = random_problem<float>(4, n, k, true);
  const auto thresholds = weakly::multilabel_thresholds(weakly::seq, q.labels(), q.probs());
  std::vector<double> row(at(n)), again(at(n)), each(at(n * k)), transposed(at(n * k));
  std::vector<float> by_column(at(n * k));
  for (index_t i = 0; i < n; ++i)
    for (index_t c = 0; c < k; ++c) by_column[at(c * n + i)] = q.prob[at(i * k + c)];
  const auto columns = weakly::view(static_cast<const float*>(by_column.data()), n, k, 1, n);

  const auto score = [&](auto& ex, const auto& p, auto&& each_out, std::vector<double>& row_out) {
    weakly::multilabel_quality(ex, q.labels(), p, thresholds.elements(), each_out);
    weakly::multilabel_row_quality(ex, q.labels(), p, thresholds.elements(), row_out);
  };
  CHECK(allocations::during([&] { score(weakly::seq, q.probs(), weakly::view(each.data(), n, k), row); }) == 0);
  weakly::thread_pool pool(3);
  score(pool, columns, weakly::view(transposed.data(), n, k, 1, n), again);
  CHECK(same(again, row));
  bool equal = true;
  for (index_t i = 0; i < n; ++i)
    for (index_t c = 0; c < k; ++c) equal &= same({each[at(i * k + c)]}, {transposed[at(c * n + i)]});
  CHECK(equal);
}

TEST_CASE("multi-label scores refuse shapes, labels, thresholds and options that do not fit") {
  const std::vector<int> label = {0, 1, 3, 0};
  const std::vector<double> prob = {0.5, 0.5, 0.5, 0.5};
  std::vector<double> each(4), row(2), three(3);
  const auto y = weakly::view(label.data(), 1, 2);
  const auto p = weakly::view(prob.data(), 1, 2);
  const auto out = weakly::view(each.data(), 1, 2);
  const auto one = weakly::view(row.data(), 1);
  CHECK_THROWS_AS(weakly::multilabel_quality(weakly::view(label.data(), 2, 1), p, out), weakly::shape_error);
  CHECK_THROWS_AS(weakly::multilabel_quality(y, p, weakly::view(each.data(), 2, 1)), weakly::shape_error);
  CHECK_THROWS_AS(weakly::multilabel_row_quality(y, p, row), weakly::shape_error);
  CHECK_THROWS_WITH_AS(weakly::multilabel_quality(weakly::seq, y, p, three, out),
                       doctest::Contains("3 thresholds for 2"), weakly::shape_error);
  CHECK_THROWS_AS(weakly::multilabel_row_quality(weakly::seq, y, p, prob, one,
                                                 {.score = quality_score::confidence_weighted_entropy}),
                  weakly::option_error);
  CHECK_THROWS_WITH_AS(
      weakly::multilabel_row_quality(weakly::view(label.data(), 2, 2), weakly::view(prob.data(), 2, 2), row),
      doctest::Contains("label 3 of row 1 and class 0"), weakly::label_error);
  CHECK_THROWS_AS(weakly::multilabel_row_quality(y, p, one, {.aggregate = {.alpha = 1.1}}), weakly::option_error);
  const std::vector<double> spoilt = {0.5, 0.5, 0.5, not_a_number};
  CHECK_THROWS_WITH_AS(weakly::multilabel_quality(weakly::seq, y, p, spoilt, out),
                       doctest::Contains("threshold of class 1 is NaN"), weakly::option_error);
  CHECK_THROWS_WITH_AS(weakly::multilabel_row_quality(y, p, one, {.score = static_cast<quality_score>(99)}),
                       doctest::Contains("score = 99"), weakly::option_error);
  CHECK_THROWS_WITH_AS(aggregated({0.5}, {.method = static_cast<weakly::score_aggregate>(99)}),
                       doctest::Contains("method = 99"), weakly::option_error);
  CHECK_THROWS_AS(aggregated({0.5}, {.alpha = not_a_number}), weakly::option_error);
  CHECK_THROWS_AS(aggregated({0.5}, {.temperature = 0}), weakly::option_error);
  CHECK_THROWS_AS(weakly::aggregate_quality(weakly::view(prob.data(), 2, 2), three), weakly::shape_error);
}
