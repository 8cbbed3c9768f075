// SPDX-License-Identifier: MIT
#include <weakly/noise/noise_generation.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

using weakly::index_t;
using weakly::matrix;
using weakly::noise_matrix_is_valid;
using weakly::noise_matrix_options;
using weakly::noise_matrix_with_trace;

namespace {

matrix<double> matrix_of(index_t k, const std::vector<double>& cells) {
  matrix<double> m(k, k);
  std::copy(cells.begin(), cells.end(), m.elements().begin());
  return m;
}

std::vector<double> uniform_prior(index_t k) {
  return std::vector<double>(static_cast<std::size_t>(k), 1.0 / static_cast<double>(k));
}

index_t zero_rates(const matrix<double>& noise) {
  index_t zeros = 0;
  for (index_t a = 0; a < noise.rows(); ++a)
    for (index_t b = 0; b < noise.rows(); ++b) zeros += a != b && noise(a, b) == 0;
  return zeros;
}

/// Whether the matrix keeps every promise but validity.
void check_promises(const matrix<double>& noise, double trace, const noise_matrix_options& options) {
  constexpr double rounding = 1e-12;
  const index_t k = noise.rows();
  double diagonal = 0;
  index_t noisy = 0;
  for (index_t b = 0; b < k; ++b) {
    diagonal += noise(b, b);
    REQUIRE(noise(b, b) >= options.min_trace_prob - rounding);
    REQUIRE(noise(b, b) <= options.max_trace_prob + rounding);
    double sum = 0;
    index_t rates = 0;
    for (index_t a = 0; a < k; ++a) {
      sum += noise(a, b);
      if (a == b || noise(a, b) == 0) continue;
      ++rates;
      REQUIRE(noise(a, b) >= options.min_noise_rate - rounding);
      REQUIRE(noise(a, b) <= options.max_noise_rate + rounding);
    }
    REQUIRE(std::abs(sum - 1) < rounding);
    REQUIRE((rates > 0 || noise(b, b) == 1));
    noisy += noise(b, b) != 1;
  }
  REQUIRE(std::abs(diagonal - trace) < rounding * static_cast<double>(k));
  if (k > 2) {
    const auto asked = static_cast<index_t>(static_cast<double>(k * (k - 1)) * options.frac_zero_noise_rates);
    const index_t possible = (k - noisy) * (k - 1) + noisy * (k - 2);
    REQUIRE(zero_rates(noise) >= std::min(asked, possible));
  }
}

}  // namespace

TEST_CASE("a noise matrix is valid when every class is labelled rightly more often than by chance") {
  const std::vector<double> half = {0.5, 0.5};
  CHECK(noise_matrix_is_valid(matrix_of(2, {0.9, 0.2, 0.1, 0.8}), half));
  CHECK(noise_matrix_is_valid(matrix_of(2, {0.6, 0.5, 0.4, 0.5}), half));
  CHECK_FALSE(noise_matrix_is_valid(matrix_of(2, {0.5, 0.5, 0.5, 0.5}), half));  // labels say nothing
  CHECK_FALSE(noise_matrix_is_valid(matrix_of(2, {0.4, 0.7, 0.6, 0.3}), half));
  CHECK_FALSE(noise_matrix_is_valid(matrix_of(2, {0.9, 0.2, 0.2, 0.8}), half));  // a column that sums to 1.1

  // ps = (0.76, 0.24): class 0 is right with 0.7 and must beat 0.76. With balanced classes ps(0) = 0.55 is beaten.
  const matrix<double> skewed = matrix_of(3, {0.7, 0.85, 0.1, 0.2, 0.1, 0.1, 0.1, 0.05, 0.8});
  CHECK_FALSE(noise_matrix_is_valid(skewed, std::vector<double>{0.3, 0.6, 0.1}));
  CHECK_FALSE(noise_matrix_is_valid(matrix_of(2, {1, 0, 0, 1}), std::vector<double>{1.0, 0.0}));
  CHECK_FALSE(noise_matrix_is_valid(matrix_of(2, {std::nan(""), 0, 0, 1}), half));
}

TEST_CASE("symmetric noise spreads the rate over the other classes, pair noise gives it to the next") {
  CHECK(weakly::symmetric_noise_matrix(3, 0.5) == matrix_of(3, {0.5, 0.25, 0.25, 0.25, 0.5, 0.25, 0.25, 0.25, 0.5}));
  CHECK(weakly::pair_noise_matrix(3, 0.25) == matrix_of(3, {0.75, 0, 0.25, 0.25, 0.75, 0, 0, 0.25, 0.75}));
  CHECK(weakly::symmetric_noise_matrix(2, 0) == matrix_of(2, {1, 0, 0, 1}));
}

TEST_CASE("noise_matrix_with_trace has the trace, the zeros and the bounds asked for") {
  std::uint64_t seed = 0;
  for (const index_t k : {2, 3, 4, 10, 31})
    for (const double share : {0.0, 0.05, 0.5, 0.99, 1.0})
      for (const double zeros : {0.0, 0.3, 0.5, 1.0}) {
        // From just above 1 to k, the identity.
        const double trace = 1 + 1e-3 + (static_cast<double>(k) - 1 - 1e-3) * share;
        noise_matrix_options options{.frac_zero_noise_rates = zeros, .valid = false};
        const auto drawn = noise_matrix_with_trace(k, trace, {}, ++seed, options);
        CAPTURE(k);
        CAPTURE(trace);
        CAPTURE(zeros);
        REQUIRE(drawn.found);
        REQUIRE(drawn.tries == 1);
        check_promises(drawn.noise, trace, options);
        if (share == 1) REQUIRE(zero_rates(drawn.noise) == k * (k - 1));
      }
}

TEST_CASE("noise_matrix_with_trace ends for bounds with no room, and with almost none") {
  for (const double slack : {0.0, 1e-15, 1e-9, 1e-3})
    for (std::uint64_t seed = 0; seed < 20; ++seed) {
      noise_matrix_options options{.min_trace_prob = 0.7 - slack, .max_trace_prob = 0.7 + slack, .valid = false};
      auto drawn = noise_matrix_with_trace(5, 3.5, {}, seed, options);
      REQUIRE(drawn.found);
      check_promises(drawn.noise, 3.5, options);

      options.min_noise_rate = 0.075 - slack;
      options.max_noise_rate = 0.075 + slack;
      options.min_trace_prob = options.max_trace_prob = 0.7;
      drawn = noise_matrix_with_trace(5, 3.5, {}, seed, options);
      REQUIRE(drawn.found);
      check_promises(drawn.noise, 3.5, options);
    }
}

TEST_CASE("noise_matrix_with_trace is valid when asked, and reports when no draw was") {
  for (std::uint64_t seed = 0; seed < 50; ++seed) {
    const std::vector<double> py = {0.5, 0.2, 0.2, 0.1};
    const auto drawn = noise_matrix_with_trace(4, 2.2, py, seed);
    REQUIRE(drawn.found);
    REQUIRE(noise_matrix_is_valid(drawn.noise, py));
    const auto binary = noise_matrix_with_trace(2, 1.05, {}, seed);
    REQUIRE(binary.found);
    REQUIRE(noise_matrix_is_valid(binary.noise, uniform_prior(2)));
    REQUIRE(noise_matrix_is_valid(binary.noise, std::vector<double>{0.99, 0.01}));
  }
  // Three rates of at least 0.4 never fit a column.
  const auto none = noise_matrix_with_trace(4, 2.0, uniform_prior(4), 1, {.min_noise_rate = 0.4, .max_tries = 25});
  CHECK_FALSE(none.found);
  CHECK(none.tries == 25);
  CHECK(none.noise.rows() == 0);
  // A class that has no rows can never be told apart.
  CHECK_FALSE(noise_matrix_with_trace(3, 2.0, std::vector<double>{0.5, 0.5, 0.0}, 1, {.max_tries = 50}).found);
}

TEST_CASE("noise_matrix_with_trace is a function of its seed") {
  const auto py = uniform_prior(6);
  const auto a = noise_matrix_with_trace(6, 3, py, 1, {.frac_zero_noise_rates = 0.4});
  const auto b = noise_matrix_with_trace(6, 3, py, 1, {.frac_zero_noise_rates = 0.4});
  const auto c = noise_matrix_with_trace(6, 3, py, 2, {.frac_zero_noise_rates = 0.4});
  REQUIRE((a.found && b.found && c.found));
  CHECK(a.noise == b.noise);
  CHECK(a.tries == b.tries);
  CHECK_FALSE(a.noise == c.noise);
}

TEST_CASE("the diagonal is uniform on the simplex where its bounds do not bind, and places of zeros are uniform") {
  // 0.9 Dirichlet(1, 1, 1): mean 0.3, variance 0.81 (1/3)(2/3) / 4 = 0.045; its square has a variance below 0.05.
  constexpr int draws = 20000;
  double sum = 0, squares = 0;
  int zero_at[3][3] = {};
  for (int seed = 0; seed < draws; ++seed) {
    const auto drawn = noise_matrix_with_trace(3, 0.9, {}, static_cast<std::uint64_t>(seed),
                                               {.min_trace_prob = 0, .frac_zero_noise_rates = 0.5, .valid = false});
    const double d = drawn.noise(1, 1);
    sum += d;
    squares += d * d;
    for (index_t a = 0; a < 3; ++a)
      for (index_t b = 0; b < 3; ++b) zero_at[a][b] += a != b && drawn.noise(a, b) == 0;
  }
  CHECK(std::abs(sum / draws - 0.3) < 5 * std::sqrt(0.045 / draws));
  CHECK(std::abs(squares / draws - (0.045 + 0.09)) < 5 * std::sqrt(0.05 / draws));
  // Three zeros for three columns with room for one each: every column has one, at either place.
  for (index_t a = 0; a < 3; ++a)
    for (index_t b = 0; b < 3; ++b)
      if (a != b) CHECK(std::abs(zero_at[a][b] - draws / 2) < 5 * std::sqrt(draws * 0.25));
}

TEST_CASE("noise generation refuses what no matrix can be") {
  const auto with = [](index_t k, double trace, noise_matrix_options options) {
    return noise_matrix_with_trace(k, trace, uniform_prior(k), 0, options);
  };
  CHECK_THROWS_AS(with(1, 1, {.valid = false}), weakly::option_error);
  CHECK_THROWS_AS(with(3, 3.5, {}), weakly::option_error);
  CHECK_THROWS_AS(with(3, -0.1, {.valid = false}), weakly::option_error);
  CHECK_THROWS_AS(with(3, std::nan(""), {.valid = false}), weakly::option_error);
  CHECK_THROWS_WITH_AS(with(3, 1, {}), doctest::Contains("trace above 1"), weakly::option_error);
  CHECK_THROWS_WITH_AS(with(3, 2, {.max_trace_prob = 0.5}), doctest::Contains("cannot sum to trace = 2"),
                       weakly::option_error);
  CHECK_THROWS_AS(with(3, 2, {.min_trace_prob = 0.7}), weakly::option_error);
  CHECK_THROWS_AS(with(3, 2, {.min_trace_prob = 0.7, .max_trace_prob = 0.6}), weakly::option_error);
  CHECK_THROWS_AS(with(3, 2, {.max_noise_rate = 1.5}), weakly::option_error);
  CHECK_THROWS_AS(with(3, 2, {.frac_zero_noise_rates = std::nan("")}), weakly::option_error);
  CHECK_THROWS_AS(with(3, 2, {.max_tries = 0}), weakly::option_error);
  CHECK_THROWS_AS(with(2, 1.5, {.max_trace_prob = 0.9, .frac_zero_noise_rates = 0.5}), weakly::option_error);
  CHECK_THROWS_AS(noise_matrix_with_trace(3, 2, {}, 0), weakly::option_error);
  CHECK_THROWS_AS(noise_matrix_with_trace(3, 2, uniform_prior(4), 0), weakly::shape_error);
  const auto of_prior = [](const std::vector<double>& py) { return noise_matrix_with_trace(3, 2, py, 0); };
  CHECK_THROWS_WITH_AS(of_prior({0.5, std::nan(""), 0.5}), doctest::Contains("py of class 1 is nan"),
                       weakly::value_error);
  CHECK_THROWS_WITH_AS(of_prior({0.75, 0.5, -0.25}), doctest::Contains("py of class 2 is -0.25"), weakly::value_error);
  CHECK_THROWS_WITH_AS(of_prior({0.5, 0.5, 0.25}), doctest::Contains("sums to 1.25"), weakly::value_error);
  CHECK_THROWS_AS(noise_matrix_is_valid(matrix<double>(3, 3), uniform_prior(2)), weakly::shape_error);
  CHECK_THROWS_AS(noise_matrix_is_valid(matrix<double>(3, 2), uniform_prior(2)), weakly::shape_error);
  CHECK_THROWS_AS(weakly::symmetric_noise_matrix(1, 0.1), weakly::option_error);
  CHECK_THROWS_AS(weakly::pair_noise_matrix(3, -0.1), weakly::option_error);
  CHECK_THROWS_AS(weakly::pair_noise_matrix(3, std::nan("")), weakly::option_error);
}
