// SPDX-License-Identifier: MIT
#include "em_checks.hpp"

#include <weakly/em/label_posterior.hpp>
#include <weakly/em/mean_scores.hpp>
#include <weakly/exec/thread_pool.hpp>

#include <cstdint>
#include <limits>

using namespace em_checks;

TEST_CASE("the posterior of mean_scores is the geometric mean of the views within the set") {
  const index_t n = 8, k = 5;
  const auto a = normal(n, k, 2, 1), b = normal(n, k, 2, 2), c = normal(n, k, 2, 3);
  std::vector<std::uint8_t> mask;
  for (index_t i = 0; i < n * k; ++i) mask.push_back(i % 3 != 1);
  std::vector<double> q = zeros(n * k);
  weakly::mean_scores(rows(q, k), rows(a, k), rows(b, k), rows(c, k));
  CHECK(q[3] == doctest::Approx((a[3] + b[3] + c[3]) / 3).epsilon(1e-15));
  weakly::label_posterior(rows(q, k), weakly::observed_sets(weakly::candidate_masks(rows(mask, k))), rows(q, k),
                          weakly::discard, weakly::discard);
  const auto p = softmax(a, k), r = softmax(b, k), s = softmax(c, k);
  for (std::size_t i = 0; i < q.size(); i += std::size_t(k)) {
    double sum = 0;
    for (std::size_t j = i; j < i + std::size_t(k); ++j) sum += mask[j] * std::cbrt(p[j] * r[j] * s[j]);
    for (std::size_t j = i; j < i + std::size_t(k); ++j)
      CHECK(close(q[j], mask[j] * std::cbrt(p[j] * r[j] * s[j]) / sum, 1e-12));
  }
}

TEST_CASE("mean_scores takes views of different types and layouts, in place and on any executor") {
  const index_t n = 90, k = 600;
  const auto a = normal(n, k, 2, 1), b = normal(n, k, 2, 2);
  const std::vector<float> single(b.begin(), b.end()), by_column = transposed(single, k);
  std::vector<double> out = zeros(n * k), place = a;
  weakly::mean_scores(rows(out, k), rows(a, k), rows(single, k));
  weakly::thread_pool pool(3);
  weakly::mean_scores(pool, rows(place, k), rows(place, k), weakly::view(by_column.data(), n, k, 1, n));
  CHECK(same_bits(out, place));
}

TEST_CASE("mean_scores keeps exclusions and NaN where they are, and refuses views of other shapes") {
  const double inf = std::numeric_limits<double>::infinity();
  const std::vector<double> a{-inf, 1, std::nan(""), 2}, b{3, 3, 3, 3};
  std::vector<double> out(4);
  weakly::mean_scores(rows(out, 2), rows(a, 2), rows(b, 2));
  CHECK(out[0] == -inf);
  CHECK(out[1] == 2);
  CHECK(std::isnan(out[2]));
  CHECK(out[3] == 2.5);
  CHECK_THROWS_AS(weakly::mean_scores(rows(out, 2), rows(a, 2), rows(b, 4)), weakly::shape_error);
  CHECK_THROWS_AS(weakly::mean_scores(rows(out, 4), rows(a, 2)), weakly::shape_error);
}
