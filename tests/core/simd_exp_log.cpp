// SPDX-License-Identifier: MIT
#include <weakly/core/math.hpp>
#include <weakly/core/simd.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <limits>
#include <numbers>
#include <type_traits>
#include <vector>

namespace simd = weakly::simd;
using weakly::index_t;

namespace {

template <class T>
using word = std::conditional_t<sizeof(T) == 4, std::uint32_t, std::uint64_t>;

// One unit in the last place of the value nearest to `exact`: the spacing of T there, never less than the least
// denormal.
template <class T>
long double unit_in_last_place(long double exact) {
  using limits = std::numeric_limits<T>;
  int exponent = 0;
  std::frexp(exact, &exponent);
  return std::ldexp(1.0L, std::max(exponent, limits::min_exponent) - limits::digits);
}

// Compares a batch function with a reference in long double, a batch at a time, and remembers the largest error.
template <class T, class Batches, class Exact>
class comparison {
 public:
  comparison(Batches f, Exact exact) : f_(f), exact_(exact) {}

  void add(T x) {
    x_[filled_++] = x;
    if (filled_ == x_.size()) flush();
  }
  void flush() {
    std::array<T, sizeof(simd::batch<T>) / sizeof(T)> y;
    simd::store(y.data(), f_(simd::load(x_.data())));
    for (std::size_t i = 0; i < filled_; ++i) judge(x_[i], y[i]);
    filled_ = 0;
  }
  void judge(T x, T y) {
    ++points;
    const long double exact = exact_(static_cast<long double>(x));
    const T nearest = static_cast<T>(exact);
    if (!std::isfinite(nearest) || std::isnan(y)) {
      // Where the nearest number is not finite, the result is that very one; and NaN comes from nowhere else.
      const bool right = std::isnan(nearest) ? std::isnan(y) : y == nearest;
      if (!right) wrong.push_back(x);
      return;
    }
    const long double difference = std::fabs(static_cast<long double>(y) - exact);
    const double ulp = static_cast<double>(difference / unit_in_last_place<T>(exact));
    if (ulp > worst_ulp) worst_ulp = ulp, worst_ulp_at = x;
    if (exact >= static_cast<long double>(std::numeric_limits<T>::min())) {
      const double relative = static_cast<double>(difference / exact);
      if (relative > worst_relative) worst_relative = relative, worst_relative_at = x;
    }
  }

  index_t points = 0;
  double worst_ulp = 0, worst_relative = 0;
  T worst_ulp_at = 0, worst_relative_at = 0;
  std::vector<T> wrong;

 private:
  Batches f_;
  Exact exact_;
  std::array<T, sizeof(simd::batch<T>) / sizeof(T)> x_{};
  std::size_t filled_ = 0;
};

// Bit patterns an odd stride apart, which reach every binade of both signs, infinities and NaNs.
template <class T, class C>
void add_patterns(C& c, index_t count) {
  constexpr word<T> stride = sizeof(T) == 4 ? word<T>(4099) : static_cast<word<T>>(0x9e3779b97f4a7c15u);
  word<T> pattern = 0;
  for (index_t i = 0; i < count; ++i, pattern += stride) c.add(std::bit_cast<T>(pattern));
}

template <class T, class C>
void add_interval(C& c, T low, T high, index_t count) {
  for (index_t i = 0; i <= count; ++i) c.add(low + (high - low) * (T(i) / T(count)));
}

template <class T, class C>
void add_neighbours(C& c, std::initializer_list<T> centres) {
  constexpr T inf = std::numeric_limits<T>::infinity();
  for (T centre : centres) {
    T below = centre, above = centre;
    for (int i = 0; i < 100; ++i) {
      c.add(below);
      c.add(above);
      below = std::nextafter(below, -inf);
      above = std::nextafter(above, inf);
    }
  }
}

template <class T, class F>
T one(F f, T x) {
  return f(simd::batch<T>(x))[simd::batch<T>::size - 1];
}

constexpr auto exp_of = [](auto x) { return simd::exp(x); };
constexpr auto log_of = [](auto x) { return simd::log(x); };
constexpr auto log1p_of = [](auto x) { return simd::log1p(x); };
constexpr auto short_exp_of = [](auto x) { return simd::exp_nonpositive(x); };

// Everything an argument can be, and more points where the result is not trivial.
template <class T, class F, class Exact>
void check_everywhere(F f, Exact exact, std::initializer_list<std::array<T, 2>> intervals,
                      std::initializer_list<T> limits_of_cases) {
  using limits = std::numeric_limits<T>;
  comparison<T, F, Exact> c(f, exact);
  add_patterns<T>(c, 1 << 20);
  for (const auto& [low, high] : intervals) add_interval<T>(c, low, high, 100000);
  add_neighbours<T>(c, limits_of_cases);
  add_neighbours<T>(c,
                    {T(0), limits::min(), -limits::min(), limits::max(), limits::lowest(), T(1), T(-1), T(2), T(0.5)});
  c.flush();
  CHECK(c.points > (1 << 20));
  CHECK_MESSAGE(c.wrong.empty(), "first at ", c.wrong.empty() ? T(0) : c.wrong.front(), " of ", c.wrong.size());
  CHECK_MESSAGE(c.worst_ulp <= simd::exp_log_error_ulp, "at ", c.worst_ulp_at);
  CHECK(c.worst_ulp > 0.49);  // a maximum below half a unit would mean that the comparison is blind
}

}  // namespace

TEST_CASE_TEMPLATE("exp is within its bound for every kind of argument, denormal results included", T, float, double) {
  using limits = std::numeric_limits<T>;
  const T ln2 = T(0.693147180559945309417L);
  check_everywhere<T>(exp_of, [](long double x) { return std::exp(x); },
                      {{T(-1), T(1)}, {sizeof(T) == 4 ? T(-105) : T(-750), sizeof(T) == 4 ? T(90) : T(711)}},
                      {std::log(limits::max()), std::log(limits::min()), std::log(limits::denorm_min()), ln2 / 2,
                       -ln2 / 2, std::log(limits::denorm_min()) - ln2, T(-104), T(89), T(-746), T(710)});
}

TEST_CASE_TEMPLATE("log is within its bound for every kind of argument, denormals included", T, float, double) {
  const T root = std::sqrt(T(0.5));
  check_everywhere<T>(log_of, [](long double x) { return std::log(x); }, {{T(0.5), T(2)}, {T(0), T(100)}},
                      {root, 2 * root, root * std::numeric_limits<T>::min(), 3 * std::numeric_limits<T>::denorm_min()});
}

TEST_CASE_TEMPLATE("log1p is within its bound for every kind of argument", T, float, double) {
  const T root = std::sqrt(T(0.5));
  check_everywhere<T>(log1p_of, [](long double x) { return std::log1p(x); },
                      {{T(-1), T(1)}, {T(-0.5), T(0.5)}, {T(0), T(1000)}},
                      {root - 1, 2 * root - 1, T(1) / std::numeric_limits<T>::epsilon(), T(1 << 27),
                       std::numeric_limits<T>::epsilon(), -std::numeric_limits<T>::epsilon()});
}

TEST_CASE_TEMPLATE("exp, log and log1p of special values", T, float, double) {
  using limits = std::numeric_limits<T>;
  constexpr T inf = limits::infinity(), nan = limits::quiet_NaN();

  CHECK(one(exp_of, T(0)) == T(1));
  CHECK(one(exp_of, -T(0)) == T(1));
  CHECK(one(exp_of, inf) == inf);
  CHECK(one(exp_of, limits::max()) == inf);
  CHECK(bool(one(exp_of, -inf) == T(0) && !std::signbit(one(exp_of, -inf))));
  CHECK(one(exp_of, limits::lowest()) == T(0));
  CHECK(std::isnan(one(exp_of, nan)));
  CHECK(std::isnan(one(exp_of, -nan)));
  const T last_finite = std::log(limits::max());
  CHECK(std::isfinite(one(exp_of, std::nextafter(last_finite, T(0)))));
  CHECK(one(exp_of, std::nextafter(last_finite, inf) + T(0.001)) == inf);
  const T least = std::log(limits::denorm_min());
  CHECK(one(exp_of, least) == limits::denorm_min());
  CHECK(one(exp_of, least - T(0.7)) == T(0));

  CHECK(one(log_of, T(1)) == T(0));
  CHECK(one(log_of, T(0)) == -inf);
  CHECK(one(log_of, -T(0)) == -inf);
  CHECK(one(log_of, inf) == inf);
  CHECK(std::isnan(one(log_of, T(-1))));
  CHECK(std::isnan(one(log_of, -limits::denorm_min())));
  CHECK(std::isnan(one(log_of, -inf)));
  CHECK(std::isnan(one(log_of, nan)));
  CHECK(one(log_of, limits::denorm_min()) == doctest::Approx(double(std::log(limits::denorm_min()))).epsilon(1e-6));

  CHECK(bool(one(log1p_of, T(0)) == T(0) && !std::signbit(one(log1p_of, T(0)))));
  CHECK(bool(one(log1p_of, -T(0)) == T(0) && std::signbit(one(log1p_of, -T(0)))));
  CHECK(one(log1p_of, T(-1)) == -inf);
  CHECK(one(log1p_of, inf) == inf);
  CHECK(std::isnan(one(log1p_of, std::nextafter(T(-1), T(-2)))));
  CHECK(std::isnan(one(log1p_of, -inf)));
  CHECK(std::isnan(one(log1p_of, nan)));
  CHECK(one(log1p_of, limits::denorm_min()) == limits::denorm_min());
  CHECK(one(log1p_of, -limits::min()) == -limits::min());
}

TEST_CASE_TEMPLATE("exp_nonpositive keeps its relative error down to the least normal number", T, float, double) {
  using limits = std::numeric_limits<T>;
  const T lowest_normal = std::log(limits::min());
  const auto exact = [](long double x) { return std::exp(x); };
  comparison<T, decltype(short_exp_of), decltype(exact)> c(short_exp_of, exact);
  add_interval<T>(c, lowest_normal, T(0), 500000);
  add_interval<T>(c, T(-1), T(0), 500000);
  add_neighbours<T>(c, {std::nextafter(lowest_normal, T(0)), T(-1), T(-0.3465735903L), T(-1.0397207708L)});
  c.flush();
  CHECK(c.wrong.empty());
  CHECK(c.worst_relative < simd::exp_nonpositive_error<T>);
  CHECK_MESSAGE(c.worst_relative > double(limits::epsilon()) / 4, "the comparison is blind");
  static_assert(simd::exp_nonpositive_error<T> <= weakly::math::exp_nonpositive_error);
}

TEST_CASE_TEMPLATE("exp_nonpositive of special values", T, float, double) {
  using limits = std::numeric_limits<T>;
  constexpr T inf = limits::infinity();
  CHECK(one(short_exp_of, T(0)) == T(1));
  CHECK(one(short_exp_of, -T(0)) == T(1));
  CHECK(one(short_exp_of, -limits::denorm_min()) == T(1));
  CHECK(one(short_exp_of, -inf) == T(0));
  CHECK(one(short_exp_of, limits::lowest()) == T(0));
  CHECK(std::isnan(one(short_exp_of, limits::quiet_NaN())));

  index_t wrong = 0;
  for (int i = 0; i < 100000; ++i) {
    const T y = one(short_exp_of, std::log(limits::min()) - T(i) * T(0.01));
    wrong += !(y >= T(0) && y <= limits::min() * (1 + T(1e-5)));
  }
  CHECK(wrong == 0);
}

TEST_CASE_TEMPLATE("scaled_exp keeps its relative error between its limits, whatever the scale", T, float, double) {
  using exps = simd::scaled_exp<T>;
  for (const T scale : {T(1), T(0.1), T(30), T(1e-6)}) {
    CAPTURE(scale);
    const exps f(scale);
    // The rounded factor is the only thing that acts as another scale; it is taken out of the comparison.
    const long double factor = static_cast<long double>(scale * std::numbers::log2e_v<T>);
    const auto exact = [=](long double x) { return std::exp2(x * factor); };
    CHECK(std::fabs(factor / (static_cast<long double>(scale) * std::numbers::log2e_v<long double>)-1) <=
          static_cast<long double>(std::numeric_limits<T>::epsilon()));
    comparison<T, exps, decltype(exact)> c(f, exact);
    const T low = std::log(exps::least) / scale, high = std::log(exps::greatest) / scale;
    add_interval<T>(c, low, high, 300000);
    add_interval<T>(c, T(-2) / scale, T(2) / scale, 300000);
    c.flush();
    CHECK(c.wrong.empty());
    // Exponents run to 2^7 (float) and 2^10 (double) times the unit.
    const double of_exponent = double(std::numeric_limits<T>::epsilon()) * (sizeof(T) == 4 ? 128 : 1024);
    const bool fused = simd::vectorized && simd::fma_rounds_once<T>;
    CHECK(c.worst_relative < simd::exp_nonpositive_error<T> + (fused ? 0 : of_exponent));
    CHECK_MESSAGE(c.worst_relative > double(std::numeric_limits<T>::epsilon()) / 4, "the comparison is blind");
  }
}

TEST_CASE_TEMPLATE("scaled_exp says by its size what lies outside its limits, NaN included", T, float, double) {
  using limits = std::numeric_limits<T>;
  using exps = simd::scaled_exp<T>;
  constexpr T inf = limits::infinity();
  for (const T scale : {T(1), T(0.25), T(7)}) {
    const exps f(scale);
    CHECK(one(f, -inf) == f.floor());
    CHECK(one(f, limits::lowest()) == f.floor());
    CHECK(f.floor() > T(0));
    CHECK(f.floor() < exps::least);
    for (const T large : {inf, limits::max(), T(1e6), limits::quiet_NaN(), -limits::quiet_NaN()})
      CHECK(one(f, large) > exps::greatest);
    // A NaN whose payload, added to an exponent, would make a number of it.
    CHECK(one(f, std::bit_cast<T>(static_cast<word<T>>(std::bit_cast<word<T>>(limits::quiet_NaN()) + 1))) >
          exps::greatest);
    CHECK(one(f, T(0)) == T(1));
  }
}

TEST_CASE_TEMPLATE("scaled_exp of several batches at once has the bits of one after the other", T, float, double) {
  using batch = simd::batch<T>;
  const simd::scaled_exp<T> f(T(0.7));
  index_t wrong = 0;
  for (int i = 0; i < 20000; ++i) {
    T x[4 * sizeof(batch) / sizeof(T)];
    for (std::size_t j = 0; j < std::size(x); ++j)
      x[j] = j == 5 && i % 7 == 0 ? std::numeric_limits<T>::quiet_NaN()
                                  : T(std::sin(double(i) + 0.1 * double(j))) * T(i % 200);
    batch b[4];
    for (int u = 0; u < 4; ++u) b[u] = simd::load(x + u * batch::size);
    f.template each<4>(b);
    for (int u = 0; u < 4; ++u)
      for (index_t l = 0; l < batch::size; ++l)
        wrong += std::bit_cast<word<T>>(b[u][l]) != std::bit_cast<word<T>>(f(simd::load(x + u * batch::size))[l]);
  }
  CHECK(wrong == 0);
}

TEST_CASE_TEMPLATE("log1p_nonnegative is within two units from zero to its limit", T, float, double) {
  const auto f = [](auto x) { return simd::log1p_nonnegative(x); };
  const auto exact = [](long double x) { return std::log1p(x); };
  comparison<T, decltype(f), decltype(exact)> c(f, exact);
  add_interval<T>(c, T(0), T(1), 500000);
  add_interval<T>(c, T(0), T(1000), 500000);
  for (T x = std::numeric_limits<T>::min(); x < simd::log1p_nonnegative_limit<T>; x *= T(1.37)) c.add(x);
  c.add(simd::log1p_nonnegative_limit<T>);
  c.flush();
  CHECK(c.wrong.empty());
  CHECK_MESSAGE(c.worst_ulp <= 2, "at ", c.worst_ulp_at);
  CHECK(c.worst_ulp > 0.49);
  CHECK(one(f, T(0)) == T(0));
  CHECK(std::isnan(one(f, std::numeric_limits<T>::quiet_NaN())));
}

TEST_CASE_TEMPLATE("expm1_nonpositive is within four units down to minus infinity", T, float, double) {
  const auto f = [](auto x) { return simd::expm1_nonpositive(x); };
  const auto exact = [](long double x) { return std::expm1(x); };
  comparison<T, decltype(f), decltype(exact)> c(f, exact);
  add_interval<T>(c, T(-1), T(0), 500000);
  add_interval<T>(c, T(-120), T(0), 500000);
  for (T x = -std::numeric_limits<T>::min(); x > T(-800); x *= T(1.37)) c.add(x);
  c.flush();
  CHECK(c.wrong.empty());
  CHECK_MESSAGE(c.worst_ulp <= 4, "at ", c.worst_ulp_at);
  CHECK(c.worst_ulp > 0.49);
  CHECK(one(f, T(0)) == T(0));
  CHECK(one(f, -std::numeric_limits<T>::infinity()) == T(-1));
  CHECK(std::isnan(one(f, std::numeric_limits<T>::quiet_NaN())));
}
