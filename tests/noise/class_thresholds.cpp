// SPDX-License-Identifier: MIT
#include <weakly/noise/class_thresholds.hpp>

#include <doctest/doctest.h>

#include "cases.hpp"

using cases::shape;
using weakly::index_t;

TEST_CASE_TEMPLATE("class_thresholds agrees with exact means on random problems", T, float, double, weakly::half,
                   weakly::bfloat16) {
  cases::generator g(11);
  for (int round = 0; round < 1500; ++round) {
    CAPTURE(round);
    const auto q = cases::random_problem<T>(g, g.below(61), 1 + g.below(9), static_cast<shape>(g.below(4)));
    const cases::laid_out<T> prob(q, cases::all_layouts[g.below(6)], g.below(8));
    REQUIRE(cases::same(weakly::class_thresholds(q.label, prob.view()), oracle::thresholds(q)));
  }
  for (const index_t k : {17, 64, 65, 127, 128, 129, 1000}) {
    CAPTURE(k);
    const auto q = cases::random_problem<T>(g, 700, k, k % 2 ? shape::smooth : shape::broken);
    for (const cases::layout l : cases::all_layouts) {
      const cases::laid_out<T> prob(q, l, g.below(8));
      REQUIRE(cases::same(weakly::class_thresholds(q.label, prob.view()), oracle::thresholds(q)));
    }
  }
}
