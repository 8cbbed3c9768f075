// SPDX-License-Identifier: MIT
#include "batch_checks.hpp"
#include "loss_reference.hpp"
#include "noise/allocations.hpp"

#include <weakly/exec/thread_pool.hpp>
#include <weakly/loss/nested_dropout.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

using weakly::index_t;
using weakly::seq;

TEST_CASE("nested_dropout gives the reference distribution") {
  for (const auto& c : loss_reference::cases("nested_dist")) {
    const weakly::nested_dropout nested(static_cast<index_t>(c.number.at("N")),
                                        {.mean = c.number.at("mu"), .deviation = c.number.at("std")});
    loss_reference::check_array(c, "p", std::vector<double>(nested.prob().begin(), nested.prob().end()));
  }
}

TEST_CASE("nested_dropout: its exponential is the library's within two units in the last place") {
  for (double x = 0; x < 700; x += 0.37) {
    const double want = std::exp(-x);
    CHECK(std::abs(weakly::detail::portable_exp_negative(x) - want) <=
          2 * std::numeric_limits<double>::epsilon() * want);
  }
  CHECK(weakly::detail::portable_exp_negative(0) == 1);
  CHECK(weakly::detail::portable_exp_negative(1e9) == 0);
  CHECK(weakly::detail::portable_exp_negative(740) > 0);
}

TEST_CASE("nested_dropout draws the same widths on every platform") {
  const weakly::nested_dropout nested(256);
  std::vector<int> width(12);
  nested.draw(7, 100, width);
  CHECK(width == std::vector<int>{65, 48, 37, 10, 16, 17, 69, 28, 4, 62, 29, 16});
}

TEST_CASE("nested_dropout: width inverts the distribution function") {
  const weakly::nested_dropout nested(4, {.mean = 2, .deviation = 1.5});
  double below = 0;
  for (index_t i = 0; i < 4; ++i) {
    const double p = nested.prob()[std::size_t(i)];
    CHECK(nested.width(below + 1e-12) == i + 1);
    CHECK(nested.width(below + p - 1e-12) == i + 1);
    below += p;
  }
  CHECK(below == doctest::Approx(1).epsilon(1e-15));
  CHECK(nested.width(0) == 1);
  CHECK(nested.width(1 - 0x1p-53) == 4);
}

TEST_CASE("nested_dropout: widths come as often as their probabilities say, however rows are cut and on any threads") {
  const weakly::nested_dropout nested(5, {.mean = 3, .deviation = 1});
  const index_t n = 100000;
  std::vector<std::uint8_t> width(static_cast<std::size_t>(n)), other(width.size());
  CHECK(allocations::during([&] { nested.draw(seq, 1, 0, width); }) == 0);
  weakly::thread_pool pool(3);
  nested.draw(pool, 1, 0, other);
  CHECK(other == width);
  nested.draw(seq, 1, 40000, std::span(other).subspan(40000));
  CHECK(other == width);
  std::vector<double> count(5);
  for (const auto w : width) count[std::size_t(w - 1)] += 1;
  for (std::size_t i = 0; i < 5; ++i) {
    const double p = nested.prob()[i];
    CHECK(std::abs(count[i] / double(n) - p) < 5 * std::sqrt(p / double(n)));
  }
}

TEST_CASE("keep_leading_features sets the rest of each row to zero, NaN too") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  std::vector<double> x{1, 2, nan, 4, 5, 6, 7, 8, 9, nan, nan, nan};
  weakly::keep_leading_features(std::vector<int>{2, 3, 7, 0}, weakly::view(x.data(), 4, 3));
  CHECK(x == std::vector<double>{1, 2, 0, 4, 5, 6, 7, 8, 9, 0, 0, 0});
  std::vector<weakly::half> small(4, weakly::half(1.0f));
  weakly::keep_leading_features(seq, std::vector<int>{1, 0}, weakly::view(small.data(), 2, 2, 1, 2));
  CHECK(float(small[0]) == 1);
  CHECK(float(small[1]) == 0);
  CHECK(float(small[2]) == 0);
}

#if WEAKLY_HAS_EXCEPTIONS
TEST_CASE("nested_dropout refuses options that give no distribution") {
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  CHECK_THROWS_AS(weakly::nested_dropout(0), weakly::option_error);
  for (const double bad : {0.0, -1.0, nan, inf})
    CHECK_THROWS_AS(weakly::nested_dropout(5, {.deviation = bad}), weakly::option_error);
  for (const double bad : {nan, inf, 1e6})
    CHECK_THROWS_AS(weakly::nested_dropout(5, {.mean = bad}), weakly::option_error);
  std::vector<double> x(4);
  CHECK_THROWS_AS(weakly::keep_leading_features(seq, std::vector<int>{1}, weakly::view(x.data(), 2, 2)),
                  weakly::shape_error);
}
#endif
