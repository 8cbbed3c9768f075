// SPDX-License-Identifier: MIT
#include <weakly/core/math.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

namespace math = weakly::math;

namespace {

template <class T>
constexpr T inf = std::numeric_limits<T>::infinity();
template <class T>
constexpr T not_a_number = std::numeric_limits<T>::quiet_NaN();

/// The distance of a result from its reference, in units of the last place of the reference.
template <class T>
double error_in_ulp(T got, long double expected) {
  const auto rounded = static_cast<T>(expected);
  if (got == rounded) return 0;
  const long double ulp = std::max<long double>(std::nextafter(std::fabs(rounded), inf<T>) - std::fabs(rounded),
                                                std::numeric_limits<T>::denorm_min());
  return static_cast<double>(std::fabs(static_cast<long double>(got) - expected) / ulp);
}

/// Numbers of every magnitude and both signs, up to `limit`.
template <class T, class F>
void for_numbers(double limit, F&& f) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> exponent(-60, std::log2(limit)), sign(-1, 1);
  for (int i = 0; i < 20000; ++i) {
    const double magnitude = std::exp2(exponent(random));
    f(static_cast<T>(sign(random) < 0 ? -magnitude : magnitude));
  }
}

}  // namespace

TEST_CASE_TEMPLATE("exp_nonpositive keeps its stated error", T, float, double) {
  double worst = 0;
  for_numbers<T>(80, [&](T x) {
    x = -std::fabs(x);
    const long double expected = std::exp(static_cast<long double>(x));
    worst = std::max(worst, double(std::fabs(math::exp_nonpositive(x) - expected) / expected));
  });
  CHECK(worst < math::exp_nonpositive_error);
  CHECK(math::exp_nonpositive(T(0)) == T(1));
  CHECK(math::exp_nonpositive(-inf<T>) == T(0));
  CHECK(std::isnan(math::exp_nonpositive(not_a_number<T>)));
}

TEST_CASE_TEMPLATE("log_add_exp is exact to a few units of its larger argument", T, float, double) {
  std::mt19937_64 random(2);
  std::uniform_real_distribution<double> uniform(-100, 100);
  double worst = 0;
  for (int i = 0; i < 20000; ++i) {
    const T a = static_cast<T>(uniform(random));
    const T b = static_cast<T>(i % 2 ? uniform(random) : double(a) + uniform(random) / 100);
    const long double top = std::max(a, b), low = std::min(a, b);
    const long double expected = top + std::log1p(std::exp(low - top));
    const long double scale = std::max<long double>(std::fabs(top), 1) * std::numeric_limits<T>::epsilon();
    worst = std::max(worst, double(std::fabs(math::log_add_exp(a, b) - expected) / scale));
    CHECK(math::log_add_exp(a, b) == math::log_add_exp(b, a));
  }
  CHECK(worst < 2);
}

TEST_CASE_TEMPLATE("log_add_exp: -inf is neutral, +inf wins, NaN wins over all, nothing overflows", T, float, double) {
  CHECK(math::log_add_exp(-inf<T>, T(3)) == T(3));
  CHECK(math::log_add_exp(T(3), -inf<T>) == T(3));
  CHECK(math::log_add_exp(-inf<T>, -inf<T>) == -inf<T>);
  CHECK(math::log_add_exp(inf<T>, T(3)) == inf<T>);
  CHECK(math::log_add_exp(inf<T>, inf<T>) == inf<T>);
  CHECK(math::log_add_exp(inf<T>, -inf<T>) == inf<T>);
  CHECK(std::isnan(math::log_add_exp(not_a_number<T>, inf<T>)));
  CHECK(std::isnan(math::log_add_exp(-inf<T>, not_a_number<T>)));
  CHECK(std::isnan(math::log_add_exp(not_a_number<T>, T(0))));
  CHECK(std::isnan(math::log_add_exp(T(0), not_a_number<T>)));
  const T big = std::numeric_limits<T>::max();
  CHECK(math::log_add_exp(big, big) == big);
  CHECK(math::log_add_exp(-big, -big) == -big);
}

TEST_CASE_TEMPLATE("softplus and sigmoid agree with long double and do not overflow", T, float, double) {
  double worst_softplus = 0, worst_sigmoid = 0;
  for_numbers<T>(80, [&](T x) {
    const auto y = static_cast<long double>(x);
    const long double softplus = y > 0 ? y + std::log1p(std::exp(-y)) : std::log1p(std::exp(y));
    worst_softplus = std::max(worst_softplus, error_in_ulp(math::softplus(x), softplus));
    worst_sigmoid = std::max(worst_sigmoid, error_in_ulp(math::sigmoid(x), 1 / (1 + std::exp(-y))));
  });
  CHECK(worst_softplus < 3);
  CHECK(worst_sigmoid < 4);

  const T big = std::numeric_limits<T>::max();
  CHECK(math::softplus(big) == big);
  CHECK(math::softplus(inf<T>) == inf<T>);
  CHECK(math::softplus(-big) == T(0));
  CHECK(math::softplus(-inf<T>) == T(0));
  CHECK(std::isnan(math::softplus(not_a_number<T>)));
  CHECK(math::sigmoid(T(0)) == T(0.5));
  CHECK(math::sigmoid(inf<T>) == T(1));
  CHECK(math::sigmoid(-inf<T>) == T(0));
  CHECK(math::sigmoid(-big) == T(0));
  CHECK(std::isnan(math::sigmoid(not_a_number<T>)));
}

TEST_CASE_TEMPLATE("x_log_x is 0 at 0", T, float, double) {
  CHECK(math::x_log_x(T(0)) == T(0));
  CHECK(math::x_log_x(-T(0)) == T(0));
  CHECK(math::x_log_x(T(1)) == T(0));
  CHECK(math::x_log_x(inf<T>) == inf<T>);
  CHECK(std::isnan(math::x_log_x(not_a_number<T>)));
  CHECK(std::isnan(math::x_log_x(T(-1))));
  double worst = 0;
  for_numbers<T>(1000, [&](T x) {
    x = std::fabs(x);
    const auto y = static_cast<long double>(x);
    worst = std::max(worst, error_in_ulp(math::x_log_x(x), y * std::log(y)));
  });
  CHECK(worst < 3);
}

TEST_CASE_TEMPLATE("log1p_over_x is 1 at 0 and smooth around it", T, float, double) {
  CHECK(math::log1p_over_x(T(0)) == T(1));
  CHECK(math::log1p_over_x(inf<T>) == T(0));
  CHECK(std::isnan(math::log1p_over_x(not_a_number<T>)));
  double worst = 0;
  const auto compare = [&](T x) {
    const auto y = static_cast<long double>(x);
    worst = std::max(worst, error_in_ulp(math::log1p_over_x(x), std::log1p(y) / y));
  };
  for_numbers<T>(0.99, compare);
  for_numbers<T>(1e6, [&](T x) { compare(std::fabs(x)); });
  CHECK(worst < 3);
}

TEST_CASE("reaches_threshold has a slack of 1e-6, compared in double") {
  CHECK(math::reaches_threshold(0.5, 0.5));
  CHECK(math::reaches_threshold(0.5 - 1e-6, 0.5));
  CHECK_FALSE(math::reaches_threshold(std::nextafter(0.5 - 1e-6, 0.0), 0.5));
  CHECK(math::reaches_threshold(0.0, 1e-6));
  CHECK_FALSE(math::reaches_threshold(not_a_number<double>, 0.5));
  CHECK_FALSE(math::reaches_threshold(1.0, inf<double>));
}
