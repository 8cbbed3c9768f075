// SPDX-License-Identifier: MIT
#include "streaming.hpp"

#include <weakly/exec/thread_pool.hpp>

#include <doctest/doctest.h>

#include <vector>

#include "allocations.hpp"
#include "cases.hpp"

using oracle::at;
using weakly::index_t;

TEST_CASE_TEMPLATE("streaming gives the in-memory thresholds, joint and issues bit for bit, on a thread pool", T, float,
                   weakly::half) {
  streaming::check_twenty_batchings<T>(131, [](int threads, auto f) {
    weakly::thread_pool pool(threads);
    f(pool);
  });
}

TEST_CASE("streaming gives the in-memory thresholds, joint and issues bit for bit, on the calling thread") {
  streaming::check_twenty_batchings<double>(132, [](int threads, auto f) {
    if (threads == 1) f(weakly::seq);
  });
}

TEST_CASE("streaming one row at a time, last row first, gives the in-memory result") {
  cases::generator g(133);
  for (const cases::shape shape : {cases::shape::sixteenths, cases::shape::broken}) {
    const auto q = cases::random_problem<float>(g, 700, 5, shape);
    const cases::laid_out<float> prob(q, cases::layout::column_major);
    const streaming::in_memory expected(q, prob);
    weakly::class_threshold_estimator thresholds(q.k);
    for (index_t i = q.n - 1; i >= 0; --i) thresholds.add(weakly::view(&q.label[at(i)], 1), prob.rows(i, i + 1));
    CHECK(cases::same(thresholds.finish(), expected.joint.thresholds));
    weakly::confident_joint_estimator joint(thresholds.finish());
    for (index_t i = q.n - 1; i >= 0; --i) joint.add(weakly::view(&q.label[at(i)], 1), prob.rows(i, i + 1));
    CHECK(joint.finish() == expected.joint.counts);
    for (std::size_t f = 0; f < std::size(streaming::all_filters); ++f) {
      CAPTURE(f);
      weakly::label_issue_estimator issues(expected.joint, expected.calibrated,
                                           {.filter_by = streaming::all_filters[f]});
      for (index_t i = q.n - 1; i >= 0; --i) issues.add(i, weakly::view(&q.label[at(i)], 1), prob.rows(i, i + 1));
      CHECK(issues.finish() == expected.issues[f]);
    }
  }
}

TEST_CASE("streaming allocates nothing between construction and finish") {
  cases::generator g(134);
  for (const auto& size : {std::pair<index_t, index_t>{3000, 10}, {500, 200}}) {
    const index_t n = size.first, k = size.second;
    const auto q = cases::random_problem<float>(g, n, k, cases::shape::loose);
    const cases::laid_out<float> prob(q, cases::layout::row_major);
    const streaming::in_memory expected(q, prob);
    weakly::class_threshold_estimator thresholds(k);
    weakly::confident_joint_estimator joint(expected.joint.thresholds);
    const auto add = [&](auto&& each) {
      for (index_t first = 0; first < n; first += 100)
        each(first, weakly::view(q.label.data() + first, 100), prob.rows(first, first + 100));
    };
    CHECK(allocations::during([&] {
            add([&](index_t, const auto& y, const auto& p) { thresholds.add(y, p); });
            add([&](index_t, const auto& y, const auto& p) { joint.add(y, p); });
          }) == 0);
    for (const auto filter : streaming::all_filters) {
      CAPTURE(static_cast<int>(filter));
      weakly::label_issue_estimator issues(expected.joint, expected.calibrated, {.filter_by = filter});
      CHECK(allocations::during(
                [&] { add([&](index_t first, const auto& y, const auto& p) { issues.add(first, y, p); }); }) == 0);
    }
  }
}
