// SPDX-License-Identifier: MIT
#include "em_checks.hpp"
#include "sanitizer.hpp"

#include <weakly/em/transition_matrix.hpp>
#include <weakly/exec/thread_pool.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>

using namespace em_checks;

namespace {

std::vector<double> elements(const weakly::matrix<double>& m) { return {m.elements().begin(), m.elements().end()}; }

}  // namespace

TEST_CASE("transition_matrix of two rows seen under different labels") {
  const std::vector<double> posterior{0.75, 0.25, 0.5, 0.5};
  const std::vector<int> label{0, 1};
  weakly::transition_estimator e(2);
  CHECK(e.add(rows(posterior, 2), label).ok());
  CHECK(elements(e.counts()) == std::vector<double>{0.75, 0.5, 0.25, 0.5});
  CHECK(elements(e.finish()) == std::vector<double>{0.75 / 1.25, 0.5 / 1.25, 0.25 / 0.75, 0.5 / 0.75});
  CHECK(elements(e.finish(1)) == std::vector<double>{1.75 / 3.25, 1.5 / 3.25, 1.25 / 2.75, 1.5 / 2.75});
  CHECK(weakly::class_prior(e.class_counts()) == std::vector<double>{0.625, 0.375});
  CHECK(weakly::class_prior(e.class_counts(), 1) == std::vector<double>{2.25 / 4, 1.75 / 4});
}

TEST_CASE("transition_matrix gives the reference results") {
  std::size_t compared = 0;
  for (const auto& [name, f] : em_reference::instances()) {
    CAPTURE(name);
    if (!f.contains("transition_mstep_s0.01")) continue;
    const auto& q = f.at("noisy_posterior");
    weakly::transition_estimator e(q.columns);
    const auto left_out = e.add(rows(q.values, q.columns), f.at("noisy_label").labels());
    std::int64_t without = 0;
    for (index_t i = 0; i < q.rows; ++i) without += std::isnan(q.values[std::size_t(i * q.columns)]);
    CHECK(left_out.count == without);
    compared += compare(f, "transition_mstep_s0.01", elements(e.finish(0.01)), 1e-12, 1e-300);
  }
  if (compared != 0) CHECK(compared > 100);
}

TEST_CASE("a class that nothing was seen of keeps the row it is given, or is uniform") {
  const std::vector<double> counts{3, 1, 0, 0}, previous{0.9, 0.1, 0.2, 0.8};
  CHECK(elements(weakly::transition_matrix(rows(counts, 2))) == std::vector<double>{0.75, 0.25, 0.5, 0.5});
  CHECK(elements(weakly::transition_matrix(rows(counts, 2), rows(previous, 2))) ==
        std::vector<double>{0.75, 0.25, 0.2, 0.8});
  CHECK(elements(weakly::transition_matrix(rows(counts, 2), rows(previous, 2), 2)) ==
        std::vector<double>{5.0 / 8, 3.0 / 8, 0.5, 0.5});
  CHECK(weakly::class_prior(std::vector<double>{0, 0}) == std::vector<double>{0.5, 0.5});
  CHECK(elements(weakly::transition_estimator(3).finish()) == std::vector<double>(9, 1.0 / 3));
}

TEST_CASE_TEMPLATE("transition_estimator has the same bits for every order, batch, merge, layout and executor", T,
                   float, double) {
  for (const index_t k : {index_t(3), index_t(16), index_t(17), index_t(support::sanitized ? 150 : 600)}) {
    CAPTURE(k);
    const index_t n = k < 100 ? 3000 : 90000 / k;
    const auto p = softmax(normal(n, k, 3, unsigned(k)), k);
    const std::vector<T> posterior(p.begin(), p.end());
    std::vector<std::int16_t> label;
    for (index_t i = 0; i < n; ++i) label.push_back(std::int16_t(i % 7 == 0 ? -1 : (i * i) % k));
    weakly::transition_estimator whole(k), pooled(k), columns(k), first(k), second(k);
    whole.add(rows(posterior, k), label);
    weakly::thread_pool pool(3);
    pooled.add(pool, rows(posterior, k), label);
    const auto by_column = transposed(posterior, k);
    columns.add(weakly::view(by_column.data(), n, k, 1, n), label);
    for (index_t i = n - 1; i >= 0; --i)
      (i % 3 == 0 ? first : second)
          .add(weakly::view(posterior.data() + i * k, 1, k), std::vector<std::int16_t>{label[std::size_t(i)]});
    second.merge(first);
    const auto expected = elements(whole.counts());
    CHECK(same_bits(elements(pooled.counts()), expected));
    CHECK(same_bits(elements(columns.counts()), expected));
    CHECK(same_bits(elements(second.counts()), expected));
    CHECK(same_bits(second.class_counts(), whole.class_counts()));
    double sum = 0, all = 0;
    for (const double x : whole.class_counts()) sum += x;
    for (const double x : expected) all += x;
    CHECK(sum == doctest::Approx(double(n)).epsilon(1e-6));
    CHECK(all == doctest::Approx(double(n - (n + 6) / 7)).epsilon(1e-6));
  }
}

TEST_CASE("average_counts averages counts") {
  weakly::matrix<double> running(2, 2, 1.0);
  weakly::average_counts(running, weakly::matrix<double>(2, 2, 5.0), 0.75);
  CHECK(elements(running) == std::vector<double>(4, 2.0));
  CHECK_THROWS_AS(weakly::average_counts(running, weakly::matrix<double>(2, 2), 1), weakly::option_error);
  CHECK_THROWS_AS(weakly::average_counts(running, weakly::matrix<double>(3, 2), 0.5), weakly::shape_error);
}

TEST_CASE("transition_estimator leaves out rows that are no probabilities, and refuses labels before it adds") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> posterior{nan, 0.5, 0.25, 0.75, -0.1, 1.1, 1, 0};
  weakly::transition_estimator e(2);
  const auto left_out = e.add(rows(posterior, 2), std::vector<int>{0, 1, 0, 0});
  CHECK(left_out.first_bad_row == 0);
  CHECK(left_out.count == 2);
  CHECK(elements(e.counts()) == std::vector<double>{1, 0.25, 0, 0.75});
  CHECK_THROWS_AS(e.add(rows(posterior, 2), std::vector<int>{0, 1, 2, 0}), weakly::label_error);
  CHECK_THROWS_AS(e.add(rows(posterior, 2), std::vector<int>{0, 1, -2, 0}), weakly::label_error);
  CHECK_THROWS_AS(e.add(rows(posterior, 2), std::vector<int>{0, 1}), weakly::shape_error);
  CHECK_THROWS_AS(e.add(rows(posterior, 4), std::vector<int>{0, 1}), weakly::shape_error);
  CHECK_THROWS_AS(e.merge(weakly::transition_estimator(3)), weakly::shape_error);
  CHECK_THROWS_AS(weakly::transition_estimator(0), weakly::shape_error);
  CHECK_THROWS_AS(e.finish(-1), weakly::option_error);
  CHECK_THROWS_AS(e.finish(nan), weakly::option_error);
  CHECK_THROWS_AS(weakly::transition_matrix(rows(posterior, 2)), weakly::shape_error);
  CHECK_THROWS_AS(weakly::transition_matrix(weakly::matrix<double>(2, 2, -1.0)), weakly::value_error);
  CHECK_THROWS_AS(weakly::class_prior(std::vector<double>{1, nan}), weakly::value_error);
  CHECK(elements(e.counts()) == std::vector<double>{1, 0.25, 0, 0.75});
}

TEST_CASE("transition_estimator has the same bits for a million rows in one batch and in many") {
  const index_t n = (index_t(1) << 20) + 777, k = 2, batch = 1024;
  std::vector<double> posterior(std::size_t(n * k), 0.3);
  const std::vector<std::int8_t> label(std::size_t(n), 1);
  weakly::transition_estimator whole(k), parts(k);
  whole.add(rows(posterior, k), label);
  for (index_t i = 0; i < n; i += batch) {
    const index_t count = std::min(batch, n - i);
    parts.add(weakly::view(posterior.data() + i * k, count, k), weakly::view(label.data() + i, count));
  }
  CHECK(same_bits(elements(whole.counts()), elements(parts.counts())));
  CHECK(whole.counts()(0, 1) == doctest::Approx(0.3 * double(n)).epsilon(1e-14));
}

TEST_CASE("average_counts refuses what is no count before anything changes") {
  weakly::matrix<double> running(2, 2, 1.0);
  for (const double bad : {std::numeric_limits<double>::quiet_NaN(), -1.0, std::numeric_limits<double>::infinity()}) {
    weakly::matrix<double> batch(2, 2, 5.0);
    batch(1, 1) = bad;
    CHECK_THROWS_AS(weakly::average_counts(running, batch, 0.5), weakly::value_error);
    CHECK(elements(running) == std::vector<double>(4, 1.0));
  }
}

TEST_CASE("transition_matrix and class_prior of counts whose sum no double holds") {
  const weakly::matrix<double> great(2, 2, 1e308);
  CHECK(elements(weakly::transition_matrix(great)) == std::vector<double>(4, 0.5));
  CHECK(elements(weakly::transition_matrix(weakly::matrix<double>(2, 2, 1.0), 1e308)) == std::vector<double>(4, 0.5));
  CHECK(weakly::class_prior(std::vector<double>{1e308, 1e308}) == std::vector<double>{0.5, 0.5});
  CHECK(weakly::class_prior(std::vector<double>{1, 3}, 1e308) == std::vector<double>{0.5, 0.5});
}
