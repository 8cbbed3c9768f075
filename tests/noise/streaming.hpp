// SPDX-License-Identifier: MIT
// Confident learning over data that pass by in batches, dealt to several estimators and merged in a random tree.
#pragma once

#include <weakly/noise/confident_joint.hpp>
#include <weakly/noise/label_issues.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "sanitizer.hpp"
#include "cases.hpp"

namespace streaming {

using cases::at;
using weakly::index_t;
using weakly::issue_filter;

inline constexpr issue_filter all_filters[] = {
    issue_filter::prune_by_noise_rate,  issue_filter::prune_by_class,      issue_filter::both,
    issue_filter::confident_learning,   issue_filter::predicted_neq_given, issue_filter::low_self_confidence,
    issue_filter::low_normalized_margin};

struct batch {
  index_t first;
  index_t last;
};

/// A way to see n rows: batches in some order, each dealt to one of several estimators; then merges, into the first of
/// two estimators from the second, until estimator 0 holds everything.
struct plan {
  std::vector<std::pair<batch, std::size_t>> dealt;
  std::size_t estimators;
  std::vector<std::pair<std::size_t, std::size_t>> merges;

  plan(cases::generator& g, index_t n) : estimators(at(1 + g.below(6))) {
    const index_t most = g.chance(0.3) ? n : 1 + g.below(n);
    for (index_t first = 0; first < n;) {
      const index_t last = std::min(n, first + 1 + g.below(most));
      dealt.push_back({{first, last}, at(g.below(static_cast<index_t>(estimators)))});
      first = last;
    }
    if (g.chance(0.5)) dealt.push_back({{n / 2, n / 2}, 0});  // an empty batch
    for (std::size_t i = dealt.size() - 1; i > 0; --i)
      std::swap(dealt[i], dealt[at(g.below(static_cast<index_t>(i + 1)))]);
    std::vector<std::size_t> alive;
    for (std::size_t e = 0; e < estimators; ++e) alive.push_back(e);
    while (alive.size() > 1) {
      const std::size_t gone = at(1 + g.below(static_cast<index_t>(alive.size()) - 1));
      const std::size_t into = at(g.below(static_cast<index_t>(gone)));
      merges.emplace_back(alive[into], alive[gone]);
      alive.erase(alive.begin() + static_cast<std::ptrdiff_t>(gone));
    }
  }
};

/// Runs a plan with estimators that are copies of `empty`; add(estimator, batch) adds the rows of a batch.
template <class Estimator, class Add>
Estimator run(const plan& p, const Estimator& empty, Add add) {
  std::vector<Estimator> estimators(p.estimators, empty);
  for (const auto& [rows, e] : p.dealt) add(estimators[e], rows);
  for (const auto& [into, from] : p.merges) estimators[into].merge(estimators[from]);
  return estimators[0];
}

/// What the in-memory calls give for a problem.
struct in_memory {
  weakly::confident_joint_result joint;
  weakly::matrix<std::int64_t> calibrated;
  std::vector<std::vector<index_t>> issues;  // by filter

  template <class T>
  in_memory(const oracle::problem& q, const cases::laid_out<T>& prob) {
    for (const issue_filter filter : all_filters) {
      auto found = weakly::find_label_issues(q.label, prob.view(), {.filter_by = filter});
      joint = std::move(found.joint);
      calibrated = std::move(found.calibrated);
      issues.push_back(std::move(found.rows));
    }
  }
};

/// Checks that streaming by a random plan on executor `ex` gives the same bits as `expected`.
template <class Exec, class T>
void check(cases::generator& g, Exec&& ex, const oracle::problem& q, const cases::laid_out<T>& prob,
           const in_memory& expected) {
  const auto labels = [&](const batch& b) { return weakly::view(q.label.data() + b.first, b.last - b.first); };
  const auto thresholds = run(plan(g, q.n), weakly::class_threshold_estimator(q.k),
                              [&](auto& e, const batch& b) { e.add(ex, labels(b), prob.rows(b.first, b.last)); });
  CHECK(cases::same(thresholds.finish(), expected.joint.thresholds));
  CHECK(thresholds.rejected().count == expected.joint.rejected.count);

  const auto joint = run(plan(g, q.n), weakly::confident_joint_estimator(thresholds.finish()),
                         [&](auto& e, const batch& b) { e.add(ex, labels(b), prob.rows(b.first, b.last)); });
  CHECK(joint.finish() == expected.joint.counts);
  CHECK(joint.label_counts() == expected.joint.label_counts);
  CHECK(joint.off_diagonal_issues() == expected.joint.off_diagonal_issues);

  for (std::size_t f = 0; f < std::size(all_filters); ++f) {
    CAPTURE(f);
    const weakly::label_issue_estimator empty(expected.joint, expected.calibrated, {.filter_by = all_filters[f]});
    const auto issues = run(plan(g, q.n), empty, [&](auto& e, const batch& b) {
      e.add(ex, b.first, labels(b), prob.rows(b.first, b.last));
    });
    CHECK(issues.finish() == expected.issues[f]);
  }
}

/// Twenty random batchings and merge trees, on problems large enough for several chunks and full of ties and broken
/// entries. `with_threads(t, f)` calls f with an executor of t threads.
template <class T, class WithThreads>
void check_twenty_batchings(std::uint64_t seed, WithThreads with_threads) {
  cases::generator g(seed);
  for (const auto& [rows, classes, shape] :
       {std::tuple<index_t, index_t, cases::shape>{14000, 10, cases::shape::sixteenths},
        {5000, 30, cases::shape::broken},
        {800, 200, cases::shape::loose}}) {
    const index_t n = rows, k = classes;  // clang does not capture structured bindings under OpenMP
    CAPTURE(k);
    const auto q = cases::random_problem<T>(g, n, k, shape);
    const cases::laid_out<T> prob(q, cases::layout::row_major);
    const in_memory expected(q, prob);
    for (const auto& issues : expected.issues) REQUIRE(issues.size() > 5);
    for (const int threads : {1, 2, 5})
      with_threads(threads, [&](auto& ex) {
        for (int batching = 0; batching < support::rounds(20); ++batching) {
          CAPTURE(batching);
          check(g, ex, q, prob, expected);
        }
      });
  }
}

}  // namespace streaming
