// SPDX-License-Identifier: MIT
#include <weakly/exec/thread_pool.hpp>
#include <weakly/noise/class_thresholds.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>

#include "allocations.hpp"
#include "cases.hpp"
#include "sanitizer.hpp"

using cases::shape;
using oracle::at;
using weakly::index_t;

namespace {

/// Entries of every size that a double has, which no fixed-width sum but an exact one adds alike in any order.
oracle::problem wild_problem(cases::generator& g, index_t n, index_t k) {
  oracle::problem q{n, k, {}, {}};
  for (index_t i = 0; i < n; ++i) {
    q.label.push_back(g.below(k));
    for (index_t j = 0; j < k; ++j) q.prob.push_back(std::ldexp(g.unit(), -static_cast<int>(g.below(130))));
  }
  return q;
}

}  // namespace

TEST_CASE_TEMPLATE("class_thresholds averages each class's own probability", T, float, double, weakly::half,
                   weakly::bfloat16) {
  const oracle::problem q{
      5, 3, {0.5, 0.25, 0.25, 0.75, 0.25, 0, 0.25, 0.5, 0.25, 0, 1, 0, 0.125, 0.75, 0.125}, {0, 0, 1, 1, 1}};
  const cases::laid_out<T> prob(q, cases::layout::row_major);
  const auto t = weakly::class_thresholds(q.label, prob.view());
  REQUIRE(t.size() == 3);
  CHECK(t[0] == 0.625);
  CHECK(t[1] == 0.75);
  CHECK(t[2] == std::numeric_limits<double>::infinity());
}

TEST_CASE("class_thresholds rounds the exact mean once, to nearest, ties to even") {
  const auto mean = [](std::vector<double> p) {
    return weakly::class_thresholds(std::vector<int>(p.size()), weakly::view(p.data(), p.size(), 1))[0];
  };
  CHECK(mean({1, 1, 0}) == 2.0 / 3);
  CHECK(mean({0.1, 0.2, 0.3}) == 0.2);  // the floating-point sum 0.6000000000000001 gives 0.20000000000000004
  const double step = 0x1p-52;
  CHECK(mean({1, 1 + step}) == 1);                            // half way: down to the even mantissa
  CHECK(mean({1 + step, 1 + 2 * step}) == 1 + 2 * step);      // half way: up to the even mantissa
  CHECK(mean({1, 1 + step, 1 + step}) == 1 + step);           // two thirds of the way
  CHECK(mean({1, 1, 1 + step}) == 1);                         // one third of the way
  CHECK(mean({1, 1 + step, 0, 0}) == 0.5);                    // half way again
  CHECK(mean({1, 1 + step, 0x1p-100, 0}) == 0.5 + step / 2);  // a crumb beyond half way
}

TEST_CASE("class_thresholds never falls below 2e-6") {
  const std::vector<double> p = {0, 1e-6, 3e-6, 2e-6, 1, -1};
  const std::vector<int> y = {0, 0, 0, 0, 0, 0};
  CHECK(weakly::class_thresholds(std::vector<int>{0, 0}, weakly::view(p.data(), 2, 1))[0] == 2e-6);
  CHECK(weakly::class_thresholds(std::vector<int>{0}, weakly::view(p.data() + 2, 1, 1))[0] == 3e-6);
  CHECK(weakly::class_thresholds(std::vector<int>{0, 0}, weakly::view(p.data() + 4, 2, 1))[0] == 2e-6);
  CHECK(weakly::class_thresholds(std::vector<int>{0}, weakly::view(p.data() + 5, 1, 1))[0] == 2e-6);
}

TEST_CASE("class_thresholds of no rows are infinite, and one class is enough") {
  const std::vector<float> none;
  CHECK(weakly::class_thresholds(std::vector<int>{}, weakly::view(none.data(), 0, 2)) ==
        std::vector<double>(2, oracle::infinity));
  const std::vector<float> ones(100, 1.0f);
  CHECK(weakly::class_thresholds(std::vector<int>(100), weakly::view(ones.data(), 100, 1)) == std::vector<double>{1});
}

TEST_CASE_TEMPLATE("class_thresholds leaves rows out whose own entry is no probability, and reports them", T, float,
                   double) {
  constexpr T nan = std::numeric_limits<T>::quiet_NaN();
  constexpr T inf = std::numeric_limits<T>::infinity();
  // Own entries: 0.5, NaN, +inf, -inf, 2.5, -1.5, 2, -1. A NaN beside the own entry does no harm.
  const std::vector<T> p = {T(0.5), nan, nan, 0, 0, inf, -inf, 0, 0, T(2.5), T(-1.5), 0, 0, 2, -1, 0};
  const std::vector<int> y = {0, 0, 1, 0, 1, 0, 1, 0};
  weakly::class_threshold_estimator estimator(2);
  estimator.add(y, weakly::view(p.data(), 8, 2));
  CHECK(estimator.rejected() == weakly::status{1, 5});
  CHECK(estimator.label_counts()[0] == 2);
  CHECK(estimator.label_counts()[1] == 1);
  CHECK(estimator.finish() == std::vector<double>{2e-6, 2});  // (0.5 - 1) / 2 and 2 / 1

  weakly::class_threshold_estimator merged(2);
  merged.add(std::vector<int>{1}, weakly::view(p.data() + 12, 1, 2));
  merged.merge(estimator);
  CHECK(merged.rejected() == weakly::status{2, 5});  // counted from the first row of the whole
}

TEST_CASE("class_thresholds are the same bits in any order of rows, however small and large the entries") {
  cases::generator g(12);
  for (int round = 0; round < 30; ++round) {
    const auto q = wild_problem(g, 1 + g.below(500), 1 + g.below(6));
    const auto r = cases::reordered(q, cases::permutation(g, q.n));
    const auto expected =
        weakly::class_thresholds(q.label, cases::laid_out<double>(q, cases::layout::row_major).view());
    CHECK(cases::same(
        expected, weakly::class_thresholds(r.label, cases::laid_out<double>(r, cases::layout::column_major).view())));
  }
}

TEST_CASE("class_thresholds stay within half a unit in the last place of the long double mean") {
  cases::generator g(13);
  for (int round = 0; round < 30; ++round) {
    const index_t n = 1000;
    const auto q = wild_problem(g, n, 1);
    long double sum = 0;
    for (const double x : q.prob) sum += x;
    const double t = weakly::class_thresholds(q.label, weakly::view(q.prob.data(), n, 1))[0];
    // Entries are cut to multiples of 2^-128 (less than 2^-128 each), 1000 additions of long double lose at most
    // 1000 2^-64 relative, and the mean is rounded to 2^-53 relative.
    CHECK(std::abs(static_cast<long double>(t) - sum / n) <= (0x1p-53L + 1000 * 0x1p-64L) * (sum / n) + 0x1p-128L);
  }
}

TEST_CASE("class_thresholds stay exact when millions of rows of one class come in one batch") {
  // A mean of equal entries is the entry. Its bits are chosen to fill the lower parts of the sum as fast as they can.
  const double entry = 0.5 + (1 - 0x1p-13) * 0x1p-40;
  const index_t n = index_t(1) << 21;
  const int label = 0;
  for (const index_t k : {1, 200, 2000}) {
    const std::vector<double> row(at(k), entry);
    const weakly::matrix_view<const double> prob(row.data(), {n, k}, {0, 1});  // one row, n times
    const weakly::vector_view<const int> labels(&label, {n}, {0});
    weakly::thread_pool pool(3);
    CHECK(weakly::class_thresholds(labels, prob)[0] == entry);
    CHECK(weakly::class_thresholds(pool, labels, prob)[0] == entry);
  }
}

TEST_CASE("class_thresholds follow a permutation of the classes") {
  cases::generator g(14);
  for (int round = 0; round < 50; ++round) {
    const auto q = cases::random_problem<double>(g, 100, 1 + g.below(140), shape::smooth);
    const auto to = cases::permutation(g, q.k);
    oracle::problem r = q;
    for (index_t i = 0; i < q.n; ++i) {
      r.label[at(i)] = to[at(q.label[at(i)])];
      for (index_t j = 0; j < q.k; ++j) r.prob[at(i * q.k + to[at(j)])] = q.p(i, j);
    }
    const auto t = weakly::class_thresholds(q.label, cases::laid_out<double>(q, cases::layout::row_major).view());
    const auto u = weakly::class_thresholds(r.label, cases::laid_out<double>(r, cases::layout::row_major).view());
    for (index_t j = 0; j < q.k; ++j) CHECK(t[at(j)] == u[at(to[at(j)])]);
  }
}

TEST_CASE("class_thresholds do not change when every row comes twice") {
  cases::generator g(15);
  const auto q = wild_problem(g, 300, 5);
  weakly::class_threshold_estimator once(5), twice(5);
  const auto prob = weakly::view(q.prob.data(), q.n, q.k);
  once.add(q.label, prob);
  twice.add(q.label, prob);
  twice.add(q.label, prob);
  CHECK(cases::same(once.finish(), twice.finish()));
  weakly::class_threshold_estimator merged(5);
  merged.merge(once);
  merged.merge(once);
  CHECK(merged.state().size() == twice.state().size());
  CHECK(std::equal(merged.state().begin(), merged.state().end(), twice.state().begin()));
}

TEST_CASE("class_thresholds are the same bits for 1 to 8 threads, few classes and many") {
  cases::generator g(16);
  for (const index_t k : {3, 200, 1100}) {
    const auto q = cases::random_problem<float>(g, k < 1000 ? 40000 : 9000, k, shape::smooth);
    const cases::laid_out<float> prob(q, cases::layout::row_major);
    const auto expected = weakly::class_thresholds(q.label, prob.view());
    for (int threads = 1; threads <= 8; ++threads) {
      weakly::thread_pool pool(threads);
      CHECK(cases::same(weakly::class_thresholds(pool, q.label, prob.view()), expected));
    }
  }
}

TEST_CASE("class_threshold_estimator merges by adding its flat state, as a distributed reduction does") {
  cases::generator g(17);
  const auto q = wild_problem(g, 400, 4);
  const cases::laid_out<double> prob(q, cases::layout::row_major);
  weakly::class_threshold_estimator whole(4), sum(4);
  whole.add(q.label, prob.view());
  for (index_t first = 0; first < q.n; first += 50) {
    weakly::class_threshold_estimator part(4);
    const std::vector<index_t> y(q.label.begin() + first, q.label.begin() + first + 50);
    part.add(y, prob.rows(first, first + 50));
    for (std::size_t i = 0; i < sum.state().size(); ++i) sum.state()[i] += part.state()[i];
  }
  sum.normalise();
  CHECK(std::equal(sum.state().begin(), sum.state().end(), whole.state().begin(), whole.state().end()));
  CHECK(cases::same(sum.finish(), whole.finish()));
}

TEST_CASE_TEMPLATE("class_thresholds reads labels of every integer type", Label, std::int8_t, std::uint8_t,
                   std::int16_t, std::uint16_t, std::int32_t, std::uint32_t, std::int64_t, std::uint64_t, long long,
                   unsigned long long) {
  cases::generator g(18);
  const auto q = cases::random_problem<float>(g, 200, 9, shape::sixteenths);
  const auto y = cases::labels_as<Label>(q);
  CHECK(cases::same(weakly::class_thresholds(y, cases::laid_out<float>(q, cases::layout::reversed).view()),
                    oracle::thresholds(q)));
  // Every second label, backwards.
  std::vector<Label> spread(400, static_cast<Label>(8));
  for (std::size_t i = 0; i < 200; ++i) spread[2 * (199 - i)] = y[i];
  const weakly::vector_view<const Label> backwards(spread.data() + 398, {200}, {-2});
  CHECK(cases::same(weakly::class_thresholds(backwards, cases::laid_out<float>(q, cases::layout::row_major).view()),
                    oracle::thresholds(q)));
}

TEST_CASE("class_threshold_estimator::add and merge allocate nothing") {
  cases::generator g(19);
  for (const index_t k : {10, 300}) {
    const auto q = cases::random_problem<float>(g, 2000, k, shape::smooth);
    const cases::laid_out<float> prob(q, cases::layout::row_major);
    weakly::class_threshold_estimator a(k), b(k);
    CHECK(allocations::during([&] {
            a.add(q.label, prob.view());
            b.merge(a);
          }) == 0);
  }
}

TEST_CASE_TEMPLATE("class_thresholds refuses a label outside [0, k) before anything is added", Label, std::int8_t,
                   std::uint16_t, std::int32_t, std::uint64_t) {
  const std::vector<float> p(5000 * 3, 1.0f / 3);
  for (const std::size_t bad_row : {0u, 1u, 7u, 31u, 2500u, 4095u, 4096u, 4999u}) {
    for (const Label bad : {static_cast<Label>(3), static_cast<Label>(-1), std::numeric_limits<Label>::max(),
                            std::numeric_limits<Label>::min()}) {
      if (bad == 0) continue;
      std::vector<Label> y(5000);
      y[bad_row] = bad;
      weakly::class_threshold_estimator estimator(3);
      cases::refuses<weakly::label_error>([&] { estimator.add(y, weakly::view(p.data(), 5000, 3)); },
                                          {"class_threshold_estimator::add", "label " + std::to_string(bad),
                                           "row " + std::to_string(bad_row), "[0, 3)", "number the columns"});
      CHECK(cases::untouched(estimator));
      CHECK(estimator.rejected().ok());
    }
  }
}

TEST_CASE("class_thresholds refuses shapes that disagree and no classes") {
  const std::vector<float> p(12, 0.5f);
  const std::vector<int> y(5);
  cases::refuses<weakly::shape_error>([&] { weakly::class_thresholds(y, weakly::view(p.data(), 6, 2)); },
                                      {"class_threshold_estimator::add: prob", "(6 x 2)", "axis 0", "5"});
  weakly::class_threshold_estimator three(3);
  cases::refuses<weakly::shape_error>([&] { three.add(std::vector<int>(6), weakly::view(p.data(), 6, 2)); },
                                      {"class_threshold_estimator::add: prob", "(6 x 2)", "axis 1", "3"});
  CHECK(cases::untouched(three));
  cases::refuses<weakly::shape_error>([&] { three.merge(weakly::class_threshold_estimator(2)); },
                                      {"class_threshold_estimator::merge", "3 and 2 classes"});
  cases::refuses<weakly::option_error>([] { weakly::class_threshold_estimator(0); },
                                       {"class_threshold_estimator", "k = 0", "at least one"});
  cases::refuses<weakly::option_error>([] { weakly::class_threshold_estimator(-4); }, {"k = -4"});
  cases::refuses<weakly::option_error>([&] { weakly::class_thresholds(y, weakly::view(p.data(), 5, 0)); }, {"k = 0"});
  cases::refuses<weakly::option_error>(
      [] { weakly::class_threshold_estimator(std::numeric_limits<index_t>::max() / 8); }, {"which no memory holds"});
}

TEST_CASE_TEMPLATE("class_thresholds agrees with exact means on random problems", T, float, double, weakly::half,
                   weakly::bfloat16) {
  cases::generator g(11);
  for (int round = 0; round < support::rounds(1500); ++round) {
    CAPTURE(round);
    const auto q = cases::random_problem<T>(g, g.below(61), 1 + g.below(9), static_cast<shape>(g.below(4)));
    const cases::laid_out<T> prob(q, cases::all_layouts[g.below(6)], g.below(8));
    REQUIRE(cases::same(weakly::class_thresholds(q.label, prob.view()), oracle::thresholds(q)));
  }
  for (const index_t k : {17, 64, 65, 127, 128, 129, 700, 701, 1023, 1024, 1025}) {
    CAPTURE(k);
    const auto q = cases::random_problem<T>(g, k < 1000 ? 700 : 1100, k, k % 2 ? shape::smooth : shape::broken);
    for (const cases::layout l : cases::all_layouts) {
      const cases::laid_out<T> prob(q, l, g.below(8));
      REQUIRE(cases::same(weakly::class_thresholds(q.label, prob.view()), oracle::thresholds(q)));
    }
  }
}
