// SPDX-License-Identifier: MIT
#include <weakly/noise/class_thresholds.hpp>
#include <weakly/noise/cleanlab_thresholds.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>
#include <vector>

#include "allocations.hpp"
#include "cases.hpp"
#include "sanitizer.hpp"

using cases::shape;
using oracle::at;
using weakly::index_t;

namespace {

/// numpy's pairwise sum, written from its description for a list: few values left to right; up to 128 by eight running
/// sums; more by halves, the first a multiple of eight long.
template <class A>
A pairwise(const std::vector<A>& x) {
  if (x.size() < 8) {
    A sum = 0;
    for (const A v : x) sum += v;
    return sum;
  }
  if (x.size() > 128) {
    const auto half = static_cast<std::ptrdiff_t>(x.size() / 2 / 8 * 8);
    return pairwise(std::vector<A>(x.begin(), x.begin() + half)) + pairwise(std::vector<A>(x.begin() + half, x.end()));
  }
  std::vector<A> running(x.begin(), x.begin() + 8);
  std::size_t i = 8;
  for (; i < x.size() / 8 * 8; ++i) running[i % 8] += x[i];
  A sum =
      ((running[0] + running[1]) + (running[2] + running[3])) + ((running[4] + running[5]) + (running[6] + running[7]));
  for (; i < x.size(); ++i) sum += x[i];
  return sum;
}

template <class T>
std::vector<double> expected(const oracle::problem& q) {
  using A = std::conditional_t<std::is_same_v<T, double>, double, float>;
  std::vector<double> t;
  bool absent = false;
  for (index_t c = 0; c < q.k; ++c) {
    std::vector<A> own;
    for (index_t i = 0; i < q.n; ++i)
      if (q.label[at(i)] == c) own.push_back(static_cast<A>(q.own(i)));
    absent = absent || own.empty();
    t.push_back(own.empty() ? 2
                            : oracle::stored<oracle::numpy_t<T>>(double(pairwise(own) / static_cast<A>(own.size()))));
  }
  for (double& x : t) x = std::max(x, absent ? 2e-6 : oracle::stored<oracle::numpy_t<T>>(2e-6));
  return t;
}

}  // namespace

TEST_CASE("cleanlab_thresholds averages in the type of the probabilities, 2 for a class without rows") {
  const std::vector<float> p = {0.1f, 0.9f, 0, 0.2f, 0.8f, 0, 0.4f, 0.6f, 0};
  const std::vector<int> y = {0, 0, 0};
  const auto t = weakly::cleanlab_thresholds(y, weakly::view(p.data(), 3, 3));
  CHECK(t == std::vector<double>{double((0.1f + 0.2f + 0.4f) / 3.0f), 2, 2});
  CHECK(weakly::class_thresholds(y, weakly::view(p.data(), 3, 3))[0] != t[0]);
}

TEST_CASE("cleanlab_thresholds has the least threshold in the type of the probabilities unless a class is absent") {
  const std::vector<float> p = {0, 1, 0, 1};
  CHECK(weakly::cleanlab_thresholds(std::vector<int>{0, 1}, weakly::view(p.data(), 2, 2))[0] == double(2e-6f));
  CHECK(weakly::cleanlab_thresholds(std::vector<int>{0, 0}, weakly::view(p.data(), 2, 2))[0] == 2e-6);
}

TEST_CASE_TEMPLATE("cleanlab_thresholds adds in numpy's order on random problems, batch by batch as at once", T, float,
                   double, weakly::half) {
  cases::generator g(121);
  for (int round = 0; round < support::rounds(300); ++round) {
    CAPTURE(round);
    const index_t n = round % 20 == 0 ? 3000 : g.below(400);
    const auto q = cases::random_problem<T>(g, n, 1 + g.below(9), round % 2 ? shape::smooth : shape::loose);
    const cases::laid_out<T> prob(q, cases::all_layouts[g.below(6)]);
    const auto want = expected<T>(q);
    REQUIRE(cases::same(weakly::cleanlab_thresholds(q.label, prob.view()), want));
    weakly::cleanlab_threshold_estimator<T> batched(q.k);
    for (index_t first = 0; first < n;) {
      const index_t last = std::min(n, first + 1 + g.below(150));
      batched.add(std::vector<index_t>(q.label.begin() + first, q.label.begin() + last), prob.rows(first, last));
      first = last;
    }
    REQUIRE(cases::same(batched.finish(), want));
  }
}

TEST_CASE("cleanlab_thresholds differ from the exact ones by float rounding only") {
  cases::generator g(122);
  const auto q = cases::random_problem<float>(g, 3000, 3, shape::smooth);
  const cases::laid_out<float> prob(q, cases::layout::row_major);
  const auto theirs = weakly::cleanlab_thresholds(q.label, prob.view());
  const auto ours = weakly::class_thresholds(q.label, prob.view());
  // Pairwise: at most 128 / 8 + 3 additions in a row, one for each of log2(3000 / 128) halvings, and one division.
  for (std::size_t c = 0; c < ours.size(); ++c)
    if (ours[c] < 2) CHECK(std::abs(theirs[c] - ours[c]) <= 30 * 0x1p-24 * ours[c]);
}

TEST_CASE("cleanlab_threshold_estimator does not allocate in add once room was reserved") {
  const std::vector<float> p(600, 0.5f);
  const std::vector<int> y(300);
  weakly::cleanlab_threshold_estimator<float> estimator(2);
  estimator.reserve(std::vector<std::int64_t>{300, 0});
  CHECK(allocations::during([&] { estimator.add(y, weakly::view(p.data(), 300, 2)); }) == 0);
}

TEST_CASE("cleanlab_thresholds refuses shapes that disagree, foreign labels and no classes") {
  const std::vector<float> p(12, 0.5f);
  cases::refuses<weakly::shape_error>(
      [&] { weakly::cleanlab_thresholds(std::vector<int>(5), weakly::view(p.data(), 6, 2)); },
      {"cleanlab_threshold_estimator::add: prob", "(6 x 2)", "5"});
  weakly::cleanlab_threshold_estimator<float> three(3);
  cases::refuses<weakly::shape_error>([&] { three.add(std::vector<int>(6), weakly::view(p.data(), 6, 2)); },
                                      {"cleanlab_threshold_estimator::add: prob", "axis 1", "3"});
  for (const int bad : {-1, 3}) {
    cases::refuses<weakly::label_error>(
        [&] {
          three.add(std::vector<int>{0, 1, 2, bad}, weakly::view(p.data(), 4, 3));
        },
        {"cleanlab_threshold_estimator::add", "label " + std::to_string(bad), "row 3", "[0, 3)"});
  }
  CHECK(three.finish() == std::vector<double>{2, 2, 2});  // nothing was added
  cases::refuses<weakly::option_error>([] { weakly::cleanlab_threshold_estimator<float>(0); }, {"k = 0"});
}
