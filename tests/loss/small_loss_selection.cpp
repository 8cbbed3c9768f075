// SPDX-License-Identifier: MIT
#include "batch_checks.hpp"
#include "loss_reference.hpp"
#include "noise/allocations.hpp"

#include <weakly/loss/small_loss_selection.hpp>

#include <algorithm>
#include <limits>
#include <numeric>
#include <vector>

using weakly::index_t;

TEST_CASE("small_loss_selection gives the reference results") {
  for (const auto& c : loss_reference::cases("small_loss")) {
    const auto kept = weakly::small_loss_selection(c.values("loss"), c.number.at("forget"));
    loss_reference::check_array(c, "keep", std::vector<double>(kept.begin(), kept.end()));
  }
}

TEST_CASE("small_loss_selection orders by loss, then row, NaN last") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> loss{2, nan, 1, 2, -0.0, 0.0, nan};
  CHECK(weakly::small_loss_selection(loss, 0) == std::vector<index_t>{4, 5, 2, 0, 3, 1, 6});
  CHECK(weakly::small_loss_selection(loss, 0.5) == std::vector<index_t>{4, 5, 2});
  CHECK(weakly::small_loss_selection(std::vector<double>{}, 0.5).empty());
}

TEST_CASE_TEMPLATE("small_loss_selection agrees with a stable sort, strided, without allocating", T, float, double,
                   weakly::half) {
  for (const index_t n : {index_t(1), index_t(2), index_t(500)}) {
    std::vector<T> loss(std::size_t(2 * n), T(-1.0f));
    const auto draws = batch_checks::normal<float>(n, 1, 3);
    for (index_t i = 0; i < n; ++i) loss[std::size_t(2 * i)] = T(std::round(4 * draws[std::size_t(i)]));  // many ties
    const weakly::vector_view<const T> view(loss.data(), {n}, {2});
    std::vector<index_t> expected(static_cast<std::size_t>(n)), rows(expected.size());
    std::iota(expected.begin(), expected.end(), index_t(0));
    std::stable_sort(expected.begin(), expected.end(), [&](index_t a, index_t b) { return view(a) < view(b); });
    for (const double rate : {0.0, 0.3, 0.999, 1.0}) {
      std::span<index_t> kept;
      CHECK(allocations::during([&] { kept = weakly::small_loss_selection(view, rate, std::span<index_t>(rows)); }) ==
            0);
      CHECK(static_cast<index_t>(kept.size()) == weakly::small_loss_count(n, rate));
      CHECK(std::equal(kept.begin(), kept.end(), expected.begin()));
    }
  }
}

TEST_CASE("small_loss_count rounds down, not by a rounding error, and never to nothing") {
  CHECK(weakly::small_loss_count(10, 0.8) == 2);
  CHECK(weakly::small_loss_count(10, 0.9) == 1);
  CHECK(weakly::small_loss_count(10, 1) == 1);
  CHECK(weakly::small_loss_count(17, 0.2) == 13);
  CHECK(weakly::small_loss_count(0, 0.2) == 0);
  for (index_t n = 1; n < 200; ++n)
    for (index_t tenth = 0; tenth <= 10; ++tenth)
      CHECK(weakly::small_loss_count(n, double(tenth) / 10) == std::max<index_t>((10 - tenth) * n / 10, 1));
}

TEST_CASE("forget_rate rises linearly over the first epochs and stays") {
  CHECK(weakly::forget_rate(0, 0.2, 11) == 0);
  CHECK(weakly::forget_rate(5, 0.2, 11) == doctest::Approx(0.1).epsilon(1e-15));
  CHECK(weakly::forget_rate(10, 0.2, 11) == 0.2);
  CHECK(weakly::forget_rate(1000, 0.2, 11) == 0.2);
  CHECK(weakly::forget_rate(0, 0.2, 1) == 0.2);
  CHECK(weakly::forget_rate(0, 0.2, 0) == 0.2);
}

#if WEAKLY_HAS_EXCEPTIONS
TEST_CASE("small_loss_selection refuses rates that are none, memory of another size, negative epochs") {
  const std::vector<double> loss{1, 2};
  std::vector<index_t> rows(3);
  for (const double bad : {-0.1, 1.1, std::numeric_limits<double>::quiet_NaN()}) {
    CHECK_THROWS_AS(weakly::small_loss_selection(loss, bad), weakly::option_error);
    CHECK_THROWS_AS(weakly::forget_rate(0, bad, 5), weakly::option_error);
  }
  CHECK_THROWS_AS(weakly::small_loss_selection(loss, 0.5, std::span<index_t>(rows)), weakly::shape_error);
  CHECK_THROWS_AS(weakly::forget_rate(-1, 0.2, 5), weakly::option_error);
  CHECK_THROWS_AS(weakly::forget_rate(0, 0.2, -5), weakly::option_error);
}
#endif
