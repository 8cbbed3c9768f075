// SPDX-License-Identifier: MIT
#include "allocations.hpp"
#include "sanitizer.hpp"

#include <weakly/core/matrix.hpp>
#include <weakly/core/random.hpp>
#include <weakly/exec/thread_pool.hpp>
#include <weakly/noise/calibrate_joint.hpp>
#include <weakly/noise/confident_joint.hpp>
#include <weakly/noise/sparse_confident_joint.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

using weakly::index_t;
using weakly::joint_count;
using weakly::matrix;

namespace {

std::size_t at(index_t i) { return static_cast<std::size_t>(i); }

/// n rows as lists.
template <class T>
struct problem {
  index_t n = 0, k = 0;
  std::vector<int> label;
  std::vector<std::uint32_t> begin = {0};
  std::vector<int> class_index;
  std::vector<T> prob;

  std::vector<T> dense() const {
    std::vector<T> all(at(n * k), T(0.0f));
    for (index_t i = 0; i < n; ++i)
      for (std::uint32_t e = begin[at(i)]; e < begin[at(i + 1)]; ++e) all[at(i * k + class_index[e])] = prob[e];
    return all;
  }
  auto joint() const { return weakly::sparse_confident_joint(k, label, begin, class_index, prob); }
};

/// Up to `longest` classes a row in random order, in sixteenths so that they tie, the label not always among them; with
/// `broken`, NaN, infinite, negative and impossible probabilities too.
template <class T>
problem<T> random_problem(std::uint64_t seed, index_t n, index_t k, index_t longest, bool broken = false) {
  weakly::random_stream random(seed);
  const auto below = [&](index_t bound) {
    return static_cast<index_t>(random.below(static_cast<std::uint64_t>(bound)));
  };
  const float inf = std::numeric_limits<float>::infinity();
  const float odd[] = {std::numeric_limits<float>::quiet_NaN(), inf, -inf, -0.25f, -1e-6f, 1.5f, 7, -3, 0, -0.0f};
  problem<T> q;
  q.n = n;
  q.k = k;
  for (index_t i = 0; i < n; ++i) {
    const index_t label = below(k);
    q.label.push_back(static_cast<int>(label));
    std::vector<index_t> classes;
    if (below(4) != 0) classes.push_back(label);
    for (index_t wanted = below(longest + 1); wanted > 0; --wanted) {
      const index_t c = below(k);
      if (std::find(classes.begin(), classes.end(), c) == classes.end()) classes.push_back(c);
    }
    for (std::size_t c = classes.size(); c > 1; --c)
      std::swap(classes[c - 1], classes[at(below(static_cast<index_t>(c)))]);
    for (const index_t c : classes) {
      float p = static_cast<float>(below(below(3) == 0 ? 17 : 6)) / 16;
      if (broken && below(8) == 0) p = odd[below(10)];
      q.class_index.push_back(static_cast<int>(c));
      q.prob.push_back(T(p));
    }
    q.begin.push_back(static_cast<std::uint32_t>(q.class_index.size()));
  }
  return q;
}

std::vector<joint_count> cells_of(const matrix<std::int64_t>& dense) {
  std::vector<joint_count> cells;
  for (index_t a = 0; a < dense.rows(); ++a)
    for (index_t b = 0; b < dense.cols(); ++b)
      if (dense(a, b) != 0) cells.push_back({a, b, dense(a, b)});
  return cells;
}

void check_same(const weakly::sparse_joint_result& a, const weakly::sparse_joint_result& b) {
  CHECK(a.thresholds == b.thresholds);
  CHECK(a.label_counts == b.label_counts);
  CHECK(a.counts == b.counts);
  CHECK(a.off_diagonal_issues == b.off_diagonal_issues);
  CHECK(a.rejected == b.rejected);
}

}  // namespace

TEST_CASE_TEMPLATE("the sparse joint counts lists as if classes not listed had probability zero", T, float, double) {
  // Class 0: rows 0, 1: t = (0.75 + 0) / 2. Class 2: row 2: t = 0.5. Class 3: row 3 lists nothing: t = 2e-6.
  const std::vector<std::int8_t> label = {0, 0, 2, 3};
  const std::vector<int> begin = {0, 2, 3, 5, 5};
  const std::vector<std::uint16_t> class_index = {1, 0, 2, 0, 2};
  const std::vector<T> prob = {T(0.25), T(0.75), 1, T(0.375), T(0.5)};
  const auto joint = weakly::sparse_confident_joint(4, label, begin, class_index, prob);
  const double inf = std::numeric_limits<double>::infinity();
  CHECK(joint.thresholds == std::vector<double>{0.375, inf, 0.5, 2e-6});
  CHECK(joint.label_counts == std::vector<std::int64_t>{2, 0, 1, 1});
  // Row 0 is 0, row 1 is 2, row 2 reaches 0 and 2 and is 2, row 3 is nobody's: its 1 is the clip of its class.
  CHECK(joint.counts == std::vector<joint_count>{{0, 0, 1}, {0, 2, 1}, {2, 2, 1}, {3, 3, 1}});
  CHECK(joint.off_diagonal_issues == 1);
  CHECK(joint.rejected.ok());
}

TEST_CASE_TEMPLATE("the sparse joint is the joint of the dense matrix, for ties, empty lists and impossible entries", T,
                   float, double, weakly::half, weakly::bfloat16) {
  for (std::uint64_t seed = 0; seed < std::uint64_t(support::rounds(200)); ++seed) {
    CAPTURE(seed);
    const auto k = static_cast<index_t>(1 + seed % 23);
    const auto q = random_problem<T>(seed, static_cast<index_t>(seed % 13 == 0 ? seed / 13 : 3 * seed), k,
                                     std::min<index_t>(k, static_cast<index_t>(seed % 9)), seed % 3 == 1);
    const auto sparse = q.joint();
    const auto all = q.dense();
    const auto dense = weakly::confident_joint(q.label, weakly::view(all.data(), q.n, q.k));
    REQUIRE(sparse.thresholds == dense.thresholds);
    // The dense estimator's label_counts are of the joint, rejected rows included, as here.
    REQUIRE(sparse.label_counts == dense.label_counts);
    REQUIRE(sparse.counts == cells_of(dense.counts));
    REQUIRE(sparse.off_diagonal_issues == dense.off_diagonal_issues);
    REQUIRE(sparse.rejected == dense.rejected);
    const auto calibrated = weakly::calibrate_joint(dense.counts, dense.label_counts);
    REQUIRE(weakly::calibrate_sparse_joint(sparse.counts, sparse.label_counts) == cells_of(calibrated));
  }
}

TEST_CASE("no rows, and rows without entries") {
  const std::vector<int> none;
  const std::vector<double> no_prob;
  const std::vector<int> begin = {0};
  const auto empty = weakly::sparse_confident_joint(2, none, begin, none, no_prob);
  CHECK(empty.counts.empty());
  CHECK(empty.label_counts == std::vector<std::int64_t>{0, 0});
  CHECK(empty.thresholds[0] == std::numeric_limits<double>::infinity());
  CHECK(weakly::calibrate_sparse_joint(empty.counts, empty.label_counts).empty());

  const auto unlisted =
      weakly::sparse_confident_joint(2, std::vector<int>{1, 1}, std::vector<int>{0, 0, 0}, none, no_prob);
  CHECK(unlisted.counts == std::vector<joint_count>{{1, 1, 1}});
  CHECK(unlisted.thresholds[1] == 2e-6);
}

TEST_CASE_TEMPLATE("batches, merges, threads, the order of entries and of rows change nothing", T, float, double) {
  if (support::sanitized && sizeof(T) == sizeof(double)) return;  // the same lists, and as many
  const auto q = random_problem<T>(1, 200000, 400, 6, true);      // more cells than the estimator lets wait
  const auto whole = q.joint();
  CHECK(whole.counts.size() > 70000);
  CHECK(whole.rejected.count > 0);
  for (const int threads : {2, 5}) {
    if (support::sanitized && threads == 5) continue;
    weakly::thread_pool pool(threads);
    check_same(weakly::sparse_confident_joint(pool, q.k, q.label, q.begin, q.class_index, q.prob), whole);
  }

  // Batches as parts of the same lists.
  weakly::sparse_threshold_estimator thresholds(q.k), more(q.k);
  weakly::sparse_joint_estimator joint(whole.thresholds), other(whole.thresholds), last_part(whole.thresholds);
  for (index_t first = 0, part = 0; first < q.n; ++part) {
    const index_t rows = std::min(q.n - first, 1 + part * 37 % 4001);
    const auto y = weakly::view(q.label.data() + first, rows);
    const auto begin = weakly::view(q.begin.data() + first, rows + 1);
    (first < q.n / 2 ? thresholds : more).add(y, begin, q.class_index, q.prob);
    (first < q.n / 3 ? joint : first < q.n / 2 ? other : last_part).add(y, begin, q.class_index, q.prob);
    first += rows;
  }
  thresholds.merge(more);
  other.merge(last_part);
  joint.merge(other);
  check_same(
      {thresholds.finish(), joint.label_counts(), joint.finish(), joint.off_diagonal_issues(), thresholds.rejected()},
      whole);

  // Rows backwards, entries sorted by class.
  problem<T> r;
  r.n = q.n;
  r.k = q.k;
  for (index_t i = q.n - 1; i >= 0; --i) {
    r.label.push_back(q.label[at(i)]);
    std::vector<std::pair<int, std::uint32_t>> row;
    for (std::uint32_t e = q.begin[at(i)]; e < q.begin[at(i + 1)]; ++e) row.push_back({q.class_index[e], e});
    std::sort(row.begin(), row.end());
    for (const auto& [c, e] : row) {
      r.class_index.push_back(c);
      r.prob.push_back(q.prob[e]);
    }
    r.begin.push_back(static_cast<std::uint32_t>(r.class_index.size()));
  }
  auto backwards = r.joint();
  backwards.rejected.first_bad_row = whole.rejected.first_bad_row;
  check_same(backwards, whole);
}

TEST_CASE("twenty thousand classes need memory for what is counted, not for its square") {
  const auto q = random_problem<float>(2, 60000, 20000, 10);
  weakly::sparse_threshold_estimator thresholds(q.k);
  CHECK(allocations::during([&] { thresholds.add(q.label, q.begin, q.class_index, q.prob); }) == 0);
  weakly::sparse_joint_estimator joint(thresholds.finish());
  joint.add(q.label, q.begin, q.class_index, q.prob);
  const auto cells = joint.finish();
  CHECK(cells.size() > 10000);
  CHECK(static_cast<index_t>(cells.size()) <= q.n + q.k);
  CHECK(std::is_sorted(cells.begin(), cells.end(), [](const joint_count& a, const joint_count& b) {
    return a.given != b.given ? a.given < b.given : a.guess < b.guess;
  }));
  std::int64_t rows = 0;
  for (const auto& c : weakly::calibrate_sparse_joint(cells, joint.label_counts())) rows += c.count;
  CHECK(rows == q.n);
}

TEST_CASE("more than 2^18 rows of one class in one batch are added exactly") {
  // Every bit of the sum's parts in use in every row: without being normalised in between they would overflow.
  const index_t n = index_t(3) << 20;
  const double p = 1 - 0x1p-53;
  const int zero = 0;
  const weakly::vector_view<const int> label(&zero, {n}, {0});
  std::vector<std::int64_t> begin(at(n + 1));
  for (index_t i = 0; i <= n; ++i) begin[at(i)] = i;
  const weakly::vector_view<const double> prob(&p, {n}, {0});
  weakly::sparse_threshold_estimator thresholds(2);
  thresholds.add(label, begin, label, prob);
  thresholds.add(label, begin, label, prob);
  CHECK(thresholds.finish()[0] == p);
}

TEST_CASE("the sparse joint refuses lists that are none, and adds nothing of them") {
  const std::vector<int> label = {0, 2};
  const std::vector<int> begin = {0, 2, 3};
  const std::vector<int> classes = {1, 0, 2};
  const std::vector<double> prob = {0.5, 0.5, 1};
  weakly::sparse_threshold_estimator thresholds(3);
  weakly::sparse_joint_estimator joint(std::vector<double>{0.5, 0.5, 0.5});
  const auto both = [&](const auto& y, const auto& b, const auto& c, const auto& p) {
    thresholds.add(y, b, c, p);
    joint.add(y, b, c, p);
  };
  using ints = std::vector<int>;
  CHECK_THROWS_AS(both(label, ints{0, 3}, classes, prob), weakly::shape_error);
  CHECK_THROWS_AS(both(label, begin, ints{1, 0}, prob), weakly::shape_error);
  CHECK_THROWS_WITH_AS(both(label, ints{0, 2, 4}, classes, prob),
                       doctest::Contains("row 1 has the entries from 2 to 4 of 3"), weakly::shape_error);
  CHECK_THROWS_AS(both(label, ints{-1, 2, 3}, classes, prob), weakly::shape_error);
  CHECK_THROWS_AS(both(label, ints{2, 0, 3}, classes, prob), weakly::shape_error);
  CHECK_THROWS_WITH_AS(both(label, begin, ints{1, 0, 3}, prob), doctest::Contains("entry 2 of row 1 is of class 3"),
                       weakly::label_error);
  CHECK_THROWS_AS(both(label, begin, ints{1, -1, 2}, prob), weakly::label_error);
  CHECK_THROWS_WITH_AS(both(ints{0, 3}, begin, classes, prob), doctest::Contains("label 3 of row 1"),
                       weakly::label_error);
  CHECK_THROWS_WITH_AS(both(label, begin, ints{1, 1, 2}, prob), doctest::Contains("row 0 lists class 1 twice"),
                       weakly::value_error);
  CHECK(thresholds.finish() == std::vector<double>(3, std::numeric_limits<double>::infinity()));
  CHECK(joint.finish().empty());

  CHECK_THROWS_AS(weakly::sparse_threshold_estimator(0), weakly::option_error);
  CHECK_THROWS_AS(weakly::sparse_joint_estimator(std::vector<double>()), weakly::option_error);
  CHECK_THROWS_WITH_AS(weakly::sparse_joint_estimator(std::vector<double>{0.5, 1e-6}), doctest::Contains("above 1e-6"),
                       weakly::option_error);
  CHECK_THROWS_AS(weakly::sparse_joint_estimator(std::vector<double>{std::nan("")}), weakly::option_error);
  CHECK_THROWS_AS(thresholds.merge(weakly::sparse_threshold_estimator(2)), weakly::shape_error);
  CHECK_THROWS_AS(joint.merge(weakly::sparse_joint_estimator(std::vector<double>{0.5})), weakly::shape_error);

  const std::vector<std::int64_t> rows = {1, 1};
  using cells = std::vector<joint_count>;
  CHECK_THROWS_AS(weakly::calibrate_sparse_joint(cells{{0, 2, 1}}, rows), weakly::label_error);
  CHECK_THROWS_AS(weakly::calibrate_sparse_joint(cells{{0, 0, -1}}, rows), weakly::value_error);
  CHECK_THROWS_AS(weakly::calibrate_sparse_joint(cells{{0, 1, 1}, {0, 0, 1}}, rows), weakly::value_error);
  CHECK_THROWS_AS(weakly::calibrate_sparse_joint(cells{{0, 1, 1}, {0, 1, 1}}, rows), weakly::value_error);
  CHECK_THROWS_AS(weakly::calibrate_sparse_joint(cells{}, std::vector<std::int64_t>{-1}), weakly::value_error);
}

TEST_CASE("sparse_joint_estimator refuses counts made by other thresholds, and stays as it was") {
  const std::vector<int> label = {0, 1}, begin = {0, 1, 2}, classes = {1, 1};
  const std::vector<double> prob = {0.75, 0.75};
  weakly::sparse_joint_estimator joint(std::vector<double>{0.5, 0.5}), other(std::vector<double>{0.5, 0.25});
  joint.add(label, begin, classes, prob);
  other.add(label, begin, classes, prob);
  const auto before = joint.finish();
  CHECK_THROWS_WITH_AS(joint.merge(other), doctest::Contains("different thresholds"), weakly::option_error);
  CHECK(joint.finish() == before);
  CHECK(joint.label_counts() == std::vector<std::int64_t>{1, 1});
}

TEST_CASE("sparse estimators merged with themselves hold everything twice") {
  const std::vector<int> label = {0, 1, 1}, begin = {0, 1, 2, 3}, classes = {1, 1, 0};
  const std::vector<double> prob = {0.75, 0.75, 0.75};
  weakly::sparse_threshold_estimator thresholds(2), twice_thresholds(2);
  thresholds.add(label, begin, classes, prob);
  thresholds.merge(thresholds);
  weakly::sparse_joint_estimator joint(std::vector<double>{0.5, 0.5}), twice(std::vector<double>{0.5, 0.5});
  joint.add(label, begin, classes, prob);
  joint.merge(joint);
  for (int i = 0; i < 2; ++i) {
    twice_thresholds.add(label, begin, classes, prob);
    twice.add(label, begin, classes, prob);
  }
  CHECK(std::ranges::equal(thresholds.state(), twice_thresholds.state()));
  CHECK(joint.finish() == twice.finish());
  CHECK(joint.label_counts() == std::vector<std::int64_t>{2, 4});
  CHECK(joint.off_diagonal_issues() == twice.off_diagonal_issues());
}

TEST_CASE("a class repeated far apart in a long list is found, and long lists without one are not blamed") {
  std::vector<int> classes;
  for (int c = 0; c < 9000; ++c) classes.push_back((c * 7919) % 20011);  // distinct, in no order
  const std::vector<double> prob(classes.size(), 1e-4);
  const std::vector<std::size_t> begin = {0, classes.size()};
  const std::vector<int> label = {3};
  CHECK(weakly::sparse_confident_joint(20011, label, begin, classes, prob).counts.size() == 1);
  classes[8999] = classes[1];
  CHECK_THROWS_WITH_AS(weakly::sparse_confident_joint(20011, label, begin, classes, prob),
                       doctest::Contains("lists class 7919 twice"), weakly::value_error);
}
