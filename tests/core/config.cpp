// SPDX-License-Identifier: MIT
#include <weakly/core/config.hpp>

#include <doctest/doctest.h>

#include <type_traits>

TEST_CASE("config states the version as three numbers") {
  static_assert(WEAKLY_VERSION_MAJOR >= 0 && WEAKLY_VERSION_MINOR >= 0 && WEAKLY_VERSION_PATCH >= 0);
  CHECK(WEAKLY_VERSION_MAJOR + WEAKLY_VERSION_MINOR + WEAKLY_VERSION_PATCH > 0);
}

TEST_CASE("config puts everything into an inline namespace, so that two versions link into one program") {
  CHECK(std::is_same_v<weakly::index_t, weakly::v0::index_t>);
}

TEST_CASE("config counts in signed 64-bit integers") {
  CHECK(std::is_signed_v<weakly::index_t>);
  CHECK(sizeof(weakly::index_t) == 8);
}

TEST_CASE("config knows whether the build has exceptions") {
#if defined(__cpp_exceptions)
  CHECK(WEAKLY_HAS_EXCEPTIONS == 1);
#else
  CHECK(WEAKLY_HAS_EXCEPTIONS == 0);
#endif
}
