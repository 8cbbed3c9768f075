// SPDX-License-Identifier: MIT
#include "batch_checks.hpp"
#include "noise/allocations.hpp"

#include <weakly/loss/mixup_consistency.hpp>

#include <cmath>
#include <limits>
#include <vector>

using weakly::index_t;

TEST_CASE("mixup_consistency is the squared log-ratio of target and probability, and zero where they agree") {
  const std::vector<double> x{0, 0, std::log(3.0), 0};
  const std::vector<double> target{1, 0.5, 0.75, 0.25};
  std::vector<double> loss(2), grad(4);
  const double total = weakly::mixup_consistency(weakly::view(x.data(), 2, 2), weakly::view(target.data(), 2, 2), loss,
                                                 weakly::view(grad.data(), 2, 2));
  const double ln2 = std::log(2.0);
  CHECK(loss[0] == doctest::Approx(ln2 * ln2 / 2).epsilon(1e-14));
  CHECK(loss[1] == doctest::Approx(ln2 * ln2 / 2).epsilon(1e-14));
  CHECK(total == loss[0] + loss[1]);
  CHECK(grad[0] == doctest::Approx(-ln2 / 2).epsilon(1e-14));
  CHECK(std::abs(grad[2]) < 1e-15);
}

TEST_CASE("mixup_consistency: gradient by differences, bits, no allocation") {
  const index_t n = 7, c = 5;
  auto x = batch_checks::normal<double>(n * c, 2, 1);
  std::vector<double> target, loss(5), grad(35);
  for (const double z : batch_checks::normal<double>(n * c, 2, 2)) target.push_back(1 / (1 + std::exp(-z)));
  const auto value = [&] {
    return weakly::mixup_consistency(weakly::view(x.data(), n, c), weakly::view(target.data(), n, c), loss,
                                     weakly::discard);
  };
  weakly::mixup_consistency(weakly::view(x.data(), n, c), weakly::view(target.data(), n, c), loss,
                            weakly::view(grad.data(), n, c));
  batch_checks::check_slopes("grad", x, grad, value);
  CHECK(allocations::during(value) == 0);

  const std::vector<double> many(300 * 70, 0.25);
  std::vector<double> losses(70);
  batch_checks::check_ways_to_call(300, 70, 2, [&](auto&& ex, auto scores, auto to) {
    return weakly::mixup_consistency(ex, scores, weakly::view(many.data(), 300, 70), losses, to);
  });
}

TEST_CASE("mixup_consistency of huge scores, zero targets, NaN, nothing and other shapes") {
  std::vector<double> x{1e30, -1e30}, target{0.5, 1}, loss(2), grad(2);
  const auto run = [&] {
    return weakly::mixup_consistency(weakly::view(x.data(), 1, 2), weakly::view(target.data(), 1, 2), loss,
                                     weakly::view(grad.data(), 1, 2));
  };
  run();
  CHECK(std::isfinite(loss[1]));
  CHECK(grad[0] == 0);
  target[0] = 0;
  x[1] = std::numeric_limits<double>::quiet_NaN();
  run();
  CHECK(std::isinf(loss[0]));
  CHECK(std::isnan(loss[1]));
  CHECK(weakly::mixup_consistency(weakly::view(x.data(), 0, 2), weakly::view(target.data(), 0, 2), loss,
                                  weakly::discard) == 0);
  CHECK(loss[0] == 0);
#if WEAKLY_HAS_EXCEPTIONS
  std::vector<double> fewer(1);
  CHECK_THROWS_AS(weakly::mixup_consistency(weakly::view(x.data(), 1, 2), weakly::view(target.data(), 1, 2), fewer,
                                            weakly::discard),
                  weakly::shape_error);
  CHECK_THROWS_AS(
      weakly::mixup_consistency(weakly::view(x.data(), 1, 2), weakly::view(target.data(), 2, 1), loss, weakly::discard),
      weakly::shape_error);
#endif
}
