// SPDX-License-Identifier: MIT
#include <weakly/exec/thread_pool.hpp>
#include <weakly/noise/calibrate_joint.hpp>
#include <weakly/noise/confident_joint.hpp>
#include <weakly/noise/noise_generation.hpp>
#include <weakly/noise/noise_matrices.hpp>
#include <weakly/noise/noisy_labels.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

using weakly::index_t;
using weakly::matrix;

namespace {

matrix<double> matrix_of(index_t k, const std::vector<double>& cells) {
  matrix<double> m(k, k);
  std::copy(cells.begin(), cells.end(), m.elements().begin());
  return m;
}

template <class Label>
matrix<std::int64_t> joint_of(index_t k, const std::vector<Label>& given, const std::vector<Label>& truth) {
  matrix<std::int64_t> joint(k, k);
  for (std::size_t i = 0; i < given.size(); ++i) ++joint(given[i], truth[i]);
  return joint;
}

/// n labels of k classes in no simple order, class c about (c + 1) times as often as class 0.
std::vector<int> true_labels(index_t n, index_t k, std::uint64_t seed) {
  weakly::random_stream random(seed);
  std::vector<int> y(static_cast<std::size_t>(n));
  for (int& label : y) {
    auto seat = static_cast<index_t>(random.below(static_cast<std::uint64_t>(k * (k + 1) / 2)));
    while (seat > label) seat -= ++label;
  }
  return y;
}

std::vector<std::int64_t> counts_of(const std::vector<int>& y, index_t k) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(k));
  for (const int label : y) ++counts[static_cast<std::size_t>(label)];
  return counts;
}

}  // namespace

TEST_CASE("noisy_label_counts are the products rounded by largest remainders within each true class") {
  // 7 (0.5, 0.25, 0.25) = 3.5, 1.75, 1.75: 3, 1, 1 and the remainders 0.75, 0.75 before 0.5. 6 (0.1, 0, 0.9) = 0.6,
  // 0, 5.4.
  const auto noise = matrix_of(3, {0.5, 0, 0.1, 0.25, 1, 0, 0.25, 0, 0.9});
  const auto counts = weakly::noisy_label_counts(noise, std::vector<std::int64_t>{7, 4, 6});
  const std::int64_t expected[3][3] = {{3, 0, 1}, {2, 4, 0}, {2, 0, 5}};
  for (index_t a = 0; a < 3; ++a)
    for (index_t b = 0; b < 3; ++b) CHECK(counts(a, b) == expected[a][b]);
}

TEST_CASE("noisy_labels have exactly the joint asked for, whatever the seed") {
  const index_t k = 5;
  const auto y = true_labels(997, k, 1);
  const auto noise = weakly::noise_matrix_with_trace(k, 3, std::vector<double>(5, 0.2), 4);
  REQUIRE(noise.found);
  const auto expected = weakly::noisy_label_counts(noise.noise, counts_of(y, k));
  std::vector<int> given(y.size()), other(y.size());
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    weakly::noisy_labels(y, noise.noise, seed, given);
    REQUIRE(joint_of(k, given, y) == expected);
    if (seed > 0) REQUIRE(given != other);
    other = given;
  }
  auto in_place = y;
  weakly::noisy_labels(in_place, noise.noise, 29, in_place);
  CHECK(in_place == given);
}

TEST_CASE("noisy_labels and independent_noisy_labels of a seed are the same on every platform") {
  const std::vector<std::uint8_t> y = {0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0, 1, 2, 0};
  std::vector<std::int16_t> given(y.size());
  weakly::noisy_labels(y, weakly::symmetric_noise_matrix(3, 0.4), 7, given);
  CHECK(given == std::vector<std::int16_t>{2, 1, 2, 0, 2, 0, 1, 1, 2, 0, 1, 1, 0, 0, 2, 0});
  weakly::independent_noisy_labels(y, weakly::symmetric_noise_matrix(3, 0.4), 7, given);
  CHECK(given == std::vector<std::int16_t>{1, 0, 2, 0, 1, 2, 1, 2, 0, 0, 1, 1, 0, 0, 1, 0});
}

TEST_CASE("the label of a row depends on its seed, number and true label alone") {
  const index_t n = 70001, k = 4;
  const auto y = true_labels(n, k, 2);
  const auto noise = weakly::symmetric_noise_matrix(k, 0.3);
  std::vector<int> whole(y.size());
  weakly::independent_noisy_labels(y, noise, 5, whole);
  CHECK(joint_of(k, whole, y)(0, 0) < counts_of(y, k)[0]);

  for (const int threads : {2, 3, 8}) {
    weakly::thread_pool pool(threads);
    std::vector<int> parallel(y.size());
    weakly::independent_noisy_labels(pool, 0, y, noise, 5, parallel);
    CHECK(parallel == whole);
  }
  std::vector<int> batched(y.size());
  for (index_t first = 0; first < n; first += 9999) {
    const index_t rows = std::min<index_t>(9999, n - first);
    weakly::independent_noisy_labels(weakly::seq, first, weakly::view(y.data() + first, rows), noise, 5,
                                     weakly::view(batched.data() + first, rows));
  }
  CHECK(batched == whole);
}

TEST_CASE("every choice of wrong rows is equally likely") {
  // Two of five rows of class 0 become class 1: ten pairs. Class 1 keeps its labels.
  const std::vector<int> y = {0, 1, 0, 0, 1, 0, 0};
  const auto noise = matrix_of(2, {0.6, 0, 0.4, 1});
  constexpr int draws = 20000;
  std::vector<int> given(y.size()), seen(1 << 7);
  for (int seed = 0; seed < draws; ++seed) {
    weakly::noisy_labels(y, noise, static_cast<std::uint64_t>(seed), given);
    std::size_t pattern = 0;
    for (std::size_t i = 0; i < y.size(); ++i) pattern |= std::size_t(given[i] != y[i]) << i;
    ++seen[pattern];
  }
  int patterns = 0;
  for (const int count : seen) {
    if (count == 0) continue;
    ++patterns;
    CHECK(std::abs(count - draws / 10) < 5 * std::sqrt(draws * 0.09));
  }
  CHECK(patterns == 10);
}

TEST_CASE("independent labels follow the noise matrix and never take a label without a rate") {
  const index_t k = 4;
  const auto y = true_labels(200000, k, 3);
  const auto noise = matrix_of(4, {0.7, 0, 0.2, 0, 0.1, 1, 0, 0.3, 0, 0, 0.8, 0, 0.2, 0, 0, 0.7});
  std::vector<int> given(y.size());
  weakly::independent_noisy_labels(y, noise, 9, given);
  const auto joint = joint_of(k, given, y);
  const auto rows = counts_of(y, k);
  for (index_t a = 0; a < k; ++a)
    for (index_t b = 0; b < k; ++b) {
      const auto n = static_cast<double>(rows[static_cast<std::size_t>(b)]);
      const double p = noise(a, b);
      CHECK(std::abs(static_cast<double>(joint(a, b)) - n * p) <= 5 * std::sqrt(n * p * (1 - p)));
    }
}

TEST_CASE(
    "confident learning recovers the noise matrix: exactly for exact counts, within five standard errors for draws") {
  // A model that knows the true class and how labels go wrong predicts P(s|x) = N(., y), with an error of up to 0.02 a
  // class. N(y, y) exceeds every threshold it meets by more than that, so each row is counted under its true class
  // (Northcutt, Jiang, Chuang, theorem 2) and the joint is the realised one.
  const index_t k = 5, n = 40000;
  const auto y = true_labels(n, k, 6);
  const auto noise = matrix_of(5, {0.80, 0.05, 0.00, 0.02, 0.05,  //
                                   0.10, 0.75, 0.05, 0.03, 0.05,  //
                                   0.05, 0.10, 0.85, 0.00, 0.05,  //
                                   0.05, 0.05, 0.05, 0.90, 0.10,  //
                                   0.00, 0.05, 0.05, 0.05, 0.75});
  matrix<double> prob(n, k);
  weakly::random_stream random(8);
  for (index_t i = 0; i < n; ++i)
    for (index_t a = 0; a < k; ++a)
      prob(i, a) = noise(a, y[static_cast<std::size_t>(i)]) + 0.02 * (2 * random.uniform() - 1);

  const auto recovered = [&](const std::vector<int>& given) {
    const auto joint = weakly::confident_joint(given, prob);
    return weakly::noise_matrices(weakly::calibrate_joint(joint.counts, joint.label_counts), joint.label_counts);
  };
  const auto rows = counts_of(y, k);
  std::vector<int> given(y.size());
  weakly::noisy_labels(y, noise, 1, given);
  const auto exact = recovered(given);
  weakly::independent_noisy_labels(y, noise, 1, given);
  const auto drawn = recovered(given);
  for (index_t b = 0; b < k; ++b) {
    const auto in_class = static_cast<double>(rows[static_cast<std::size_t>(b)]);
    CHECK(std::abs(exact.prior[static_cast<std::size_t>(b)] - in_class / static_cast<double>(n)) < 1e-12);
    for (index_t a = 0; a < k; ++a) {
      CHECK(std::abs(exact.noise_matrix(a, b) - noise(a, b)) <= 1 / in_class);
      const double p = noise(a, b);
      CHECK(std::abs(drawn.noise_matrix(a, b) - p) <= 5 * std::sqrt(p * (1 - p) / in_class));
    }
  }
}

TEST_CASE("noisy labels of no rows are none") {
  const std::vector<int> none;
  std::vector<int> given;
  weakly::noisy_labels(none, weakly::symmetric_noise_matrix(3, 0.1), 0, given);
  weakly::independent_noisy_labels(none, weakly::symmetric_noise_matrix(3, 0.1), 0, given);
  CHECK(given.empty());
}

TEST_CASE("noisy labels refuse a matrix that is none, labels outside it and an output too narrow") {
  const auto noise = weakly::symmetric_noise_matrix(3, 0.1);
  const std::vector<int> y = {0, 1, 2};
  std::vector<int> given(3), two(2);
  CHECK_THROWS_AS(weakly::noisy_labels(y, noise, 0, two), weakly::shape_error);
  CHECK_THROWS_AS(weakly::noisy_labels(y, matrix<double>(2, 3), 0, given), weakly::shape_error);
  CHECK_THROWS_AS(weakly::noisy_labels(y, matrix<double>(), 0, given), weakly::shape_error);
  CHECK_THROWS_WITH_AS(weakly::noisy_labels(std::vector<int>{0, 3, 1}, noise, 0, given),
                       doctest::Contains("label 3 of row 1"), weakly::label_error);
  CHECK_THROWS_WITH_AS(weakly::noisy_labels(y, matrix<double>(3, 3, 0.3), 0, given), doctest::Contains("sums to 0.9"),
                       weakly::value_error);
  CHECK_THROWS_AS(weakly::independent_noisy_labels(y, matrix<double>(3, 3, std::nan("")), 0, given),
                  weakly::value_error);
  CHECK_THROWS_AS(weakly::independent_noisy_labels(y, matrix_of(3, {2, 0, 0, -1, 1, 0, 0, 0, 1}), 0, given),
                  weakly::value_error);
  CHECK_THROWS_WITH_AS(weakly::independent_noisy_labels(weakly::seq, -1, y, noise, 0, given),
                       doctest::Contains("first_row = -1"), weakly::option_error);
  std::vector<std::int8_t> narrow(3);
  CHECK_THROWS_WITH_AS(weakly::noisy_labels(y, weakly::symmetric_noise_matrix(200, 0.1), 0, narrow),
                       doctest::Contains("too few for 200 classes"), weakly::shape_error);
  CHECK_THROWS_AS(weakly::noisy_label_counts(noise, std::vector<std::int64_t>{1, 2}), weakly::shape_error);
  CHECK_THROWS_AS(weakly::noisy_label_counts(noise, std::vector<std::int64_t>{1, -2, 3}), weakly::value_error);
}
