// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/first_exception.hpp>

#include <oneapi/tbb/blocked_range.h>
#include <oneapi/tbb/parallel_for.h>

namespace weakly::inline v0 {

/// The threads of oneTBB: those of the arena that the caller is in. Nested calls share them.
///
/// When f throws, the exception of the lowest index is thrown again on the calling thread, and indices above it may be
/// left out: what a sequential loop would throw.
struct tbb_executor {
  template <class F>
  void operator()(index_t n, F&& f) const {
    detail::first_exception exception;  // TBB would pass on the first in time, a different one each run
    ::tbb::parallel_for(::tbb::blocked_range<index_t>(0, n, 1), [&](const ::tbb::blocked_range<index_t>& indices) {
      for (index_t i = indices.begin(); i != indices.end(); ++i) exception.run(i, f);
    });
    exception.rethrow();
  }
};
inline constexpr tbb_executor tbb;

}  // namespace weakly::inline v0
