// SPDX-License-Identifier: MIT
// How often this test program has asked for memory: allocations.cpp replaces operator new by one that counts.
#pragma once

#include <cstdint>

namespace allocations {

/// Calls of operator new so far, on all threads.
std::int64_t count();

/// How many allocations f makes.
template <class F>
std::int64_t during(F&& f) {
  const std::int64_t before = count();
  f();
  return count() - before;
}

}  // namespace allocations
