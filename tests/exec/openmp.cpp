// SPDX-License-Identifier: MIT
#include <weakly/exec/openmp.hpp>

#include "contract.hpp"

TEST_CASE("openmp calls each index once") { contract::check_calls(weakly::openmp); }

TEST_CASE("openmp shows the caller what its threads wrote") { contract::check_results_are_visible(weakly::openmp); }

TEST_CASE("openmp survives nested calls") { contract::check_nested_calls(weakly::openmp); }

TEST_CASE("openmp gives the bits of seq") { contract::check_same_bits(weakly::openmp); }

#if WEAKLY_HAS_EXCEPTIONS

TEST_CASE("openmp throws what a sequential loop would throw") { contract::check_exceptions(weakly::openmp); }

TEST_CASE("openmp passes exceptions through nested calls") { contract::check_nested_exceptions(weakly::openmp); }

#endif

TEST_CASE("openmp is an executor that may be copied, and needs no object of its own") {
  static_assert(weakly::executor<const weakly::openmp_executor&>);
  const auto copy = weakly::openmp;
  CHECK(contract::calls_each_once(copy, 10));
}
