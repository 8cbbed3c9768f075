// SPDX-License-Identifier: MIT
#include <weakly/core/pack.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <type_traits>

TEST_CASE_TEMPLATE("pack is sixteen aligned bytes of elements", T, float, double, weakly::half, weakly::bfloat16,
                   std::int8_t, std::int64_t) {
  using pack = weakly::pack<T>;
  CHECK(sizeof(pack) == 16);
  CHECK(alignof(pack) == 16);
  CHECK(pack::size * int(sizeof(T)) == 16);
  CHECK(std::is_trivially_copyable_v<pack>);
}

TEST_CASE("pack elements are written and read by index") {
  weakly::pack<float> p{};
  p[3] = 2.5f;
  const weakly::pack<float> copy = p;
  CHECK(copy[3] == 2.5f);
  CHECK(copy[0] == 0.0f);
}
