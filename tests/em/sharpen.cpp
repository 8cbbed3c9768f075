// SPDX-License-Identifier: MIT
#include "em_checks.hpp"
#include "sanitizer.hpp"

#include <weakly/em/sharpen.hpp>
#include <weakly/exec/thread_pool.hpp>

#include <algorithm>
#include <numeric>

using namespace em_checks;

TEST_CASE("sharpen squares posteriors at temperature one half") {
  const std::vector<double> q{0.25, 0.75, 0.5, 0.5, 1, 0};
  std::vector<double> out(6);
  weakly::sharpen(rows(q, 2), 0.5, rows(out, 2));
  CHECK(out[0] == doctest::Approx(0.1).epsilon(1e-15));
  CHECK(out[1] == doctest::Approx(0.9).epsilon(1e-15));
  CHECK(out[2] == 0.5);
  CHECK(out[4] == 1);
  CHECK(out[5] == 0);
  const std::vector<double> tiny{1e-200, 2e-200};
  std::vector<double> of_tiny(2);
  weakly::sharpen(rows(tiny, 2), 0.5, rows(of_tiny, 2));
  CHECK(of_tiny[1] == doctest::Approx(0.8).epsilon(1e-15));
}

TEST_CASE("keep_top_classes gives the reference results") {
  std::size_t compared = 0;
  for (const auto& [name, f] : em_reference::instances()) {
    CAPTURE(name);
    const auto& q = f.at("aligned");
    std::vector<double> out(q.values.size());
    weakly::keep_top_classes(rows(q.values, q.columns), 3, rows(out, q.columns));
    compared += compare(f, "aligned_top3", out, 1e-12, 1e-300);
  }
  if (compared != 0) CHECK(compared > 800);
}

TEST_CASE_TEMPLATE("keep_top_classes is what sorting gives, whatever the executor, layout and place", T, float,
                   double) {
  const index_t n = support::rounds(60), k = 1000;
  std::vector<T> q;
  for (const double p : softmax(normal(n, k, 1, 2), k)) q.push_back(T(std::round(p * 2048) / 2048));  // many ties
  for (const index_t keep : {index_t(1), index_t(4), index_t(40), index_t(1000), index_t(2000)}) {
    CAPTURE(keep);
    std::vector<T> out(q.size()), place = q, by_column = transposed(q, k);
    weakly::keep_top_classes(rows(q, k), keep, rows(out, k));
    for (index_t i = 0; i < n; ++i) {
      std::vector<index_t> order(static_cast<std::size_t>(k));
      std::iota(order.begin(), order.end(), 0);
      const T* const row = q.data() + i * k;
      std::stable_sort(order.begin(), order.end(), [&](index_t a, index_t b) { return row[a] > row[b]; });
      double sum = 0;
      for (index_t r = 0; r < std::min(keep, k); ++r) sum += double(row[order[std::size_t(r)]]);
      bool equal = true;
      for (index_t r = 0; r < k; ++r) {
        const index_t c = order[std::size_t(r)];
        equal &= out[std::size_t(i * k + c)] == (r < keep ? T(double(row[c]) / sum) : T(0));
      }
      CHECK(equal);
    }
    weakly::thread_pool pool(2);
    weakly::keep_top_classes(pool, rows(place, k), keep, rows(place, k));
    CHECK(same_bits(place, out));
    const auto view = weakly::view(by_column.data(), n, k, 1, n);
    weakly::keep_top_classes(view, keep, view);
    CHECK(same_bits(by_column, transposed(out, k)));
  }
}

TEST_CASE("confident_rows are those whose greatest posterior reaches the threshold") {
  const std::vector<double> q{0.9, 0.1, 0.05, 0.95, 0.5, 0.5, std::nan(""), 1};
  std::vector<double> weight(4);
  weakly::confident_rows(rows(q, 2), 0.9, weight);
  CHECK(weight == std::vector<double>{1, 1, 0, 0});
}

TEST_CASE("sharpened rows with a NaN are NaN and disturb no other") {
  const std::vector<double> q{std::nan(""), 0.5, 0.25, 0.75, 0, 0};
  std::vector<double> out(6);
  weakly::keep_top_classes(rows(q, 2), 1, rows(out, 2));
  CHECK(std::isnan(out[0]));
  CHECK(std::isnan(out[1]));
  CHECK(out[3] == 1);
  CHECK(out[4] == 0);
  weakly::sharpen(rows(q, 2), 2, rows(out, 2));
  CHECK(std::isnan(out[1]));
  CHECK(std::isnan(out[4]));
  CHECK(out[2] + out[3] == doctest::Approx(1).epsilon(1e-15));
  for (const double bad : {0.0, -1.0, std::nan("")})
    CHECK_THROWS_AS(weakly::sharpen(rows(q, 2), bad, rows(out, 2)), weakly::option_error);
  CHECK_THROWS_AS(weakly::keep_top_classes(rows(q, 2), 0, rows(out, 2)), weakly::option_error);
  CHECK_THROWS_AS(weakly::keep_top_classes(rows(q, 2), 1, rows(out, 3)), weakly::shape_error);
  std::vector<double> weight(2);
  CHECK_THROWS_AS(weakly::confident_rows(rows(q, 2), 0.5, weight), weakly::shape_error);
  CHECK_THROWS_AS(weakly::confident_rows(rows(q, 3), std::nan(""), weight), weakly::option_error);
}
