// SPDX-License-Identifier: MIT
#include <weakly/exec/tbb.hpp>

#include "contract.hpp"

// Called by the thread sanitizer where there is one. libtbb is not built with it, so it does not see how TBB orders its
// threads: what runs below a frame of TBB is only run here, not watched.
extern "C" const char* __tsan_default_suppressions();
extern "C" const char* __tsan_default_suppressions() { return "race:tbb::detail::\nrace:libtbb.so"; }

TEST_CASE("tbb calls each index once") { contract::check_calls(weakly::tbb); }

TEST_CASE("tbb shows the caller what its threads wrote") { contract::check_results_are_visible(weakly::tbb); }

TEST_CASE("tbb survives nested calls") { contract::check_nested_calls(weakly::tbb); }

TEST_CASE("tbb gives the bits of seq") { contract::check_same_bits(weakly::tbb); }

#if WEAKLY_HAS_EXCEPTIONS

TEST_CASE("tbb throws what a sequential loop would throw") { contract::check_exceptions(weakly::tbb); }

TEST_CASE("tbb passes exceptions through nested calls") { contract::check_nested_exceptions(weakly::tbb); }

#endif

TEST_CASE("tbb is an executor that may be copied, and needs no object of its own") {
  static_assert(weakly::executor<const weakly::tbb_executor&>);
  const auto copy = weakly::tbb;
  CHECK(contract::calls_each_once(copy, 10));
}
