// SPDX-License-Identifier: MIT
#include "coding_rate_oracle.hpp"
#include "noise/allocations.hpp"

#include <weakly/rate/covariance_accumulator.hpp>
#include <weakly/rate/row_normalise.hpp>
#include <weakly/rate/tangent_bound.hpp>

#include <span>
#include <vector>

using namespace coding_rate_oracle;

TEST_CASE("covariances are added and merged, rows normalised and a bound taken without allocations") {
  // More rows and classes than wait at a time, and features that are copied because they are not doubles.
  const data a = make_data(2500, 70, 5, 1, true);
  const std::vector<float> z(a.z.begin(), a.z.end());
  std::vector<float> unit(z.size()), grad(z.size());
  const auto rows = weakly::view(z.data(), a.n, a.d);
  weakly::covariance_accumulator all(a.k, a.d), other(a.k, a.d);
  const weakly::tangent_bound bound(a.k, a.d, 0.5);
  double value = 0;
  CHECK(allocations::during([&] {
          a.hard().require("test");
          all.add_block(rows, a.hard());
          other.add_block(rows, a.soft());
          other.add(std::span(a.z).first(70), 2);
          other.add(std::span(a.z).first(70), std::span(a.pi).first(5));
          all.merge(other);
          weakly::row_normalise(rows, weakly::row_norm::l1, weakly::view(unit.data(), a.n, a.d));
          weakly::row_normalise_gradient(rows, weakly::row_norm::l2, rows, weakly::view(grad.data(), a.n, a.d));
          value = bound.value(all);
        }) == 0);
  CHECK(all.count() == 5002);
  CHECK(value > 0);
}
