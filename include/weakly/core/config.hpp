// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#define WEAKLY_VERSION_MAJOR 0
#define WEAKLY_VERSION_MINOR 1
#define WEAKLY_VERSION_PATCH 0

#if !defined(__cplusplus) || (__cplusplus < 202002L && !(defined(_MSVC_LANG) && _MSVC_LANG >= 202002L))
#error "weakly needs C++20: compile with -std=c++20 or later"
#endif

#if defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__
#error "weakly gives NaN and infinity a meaning: compile without -ffast-math and -ffinite-math-only"
#endif

#if defined(__CUDACC__)
#define WEAKLY_HD __host__ __device__
#define WEAKLY_DEVICE __device__
#else
#define WEAKLY_HD
#define WEAKLY_DEVICE
#endif

#if defined(__GNUC__)
#define WEAKLY_INLINE [[gnu::always_inline]] inline
#else
#define WEAKLY_INLINE inline
#endif

#if defined(__cpp_exceptions) && __cpp_exceptions
#define WEAKLY_HAS_EXCEPTIONS 1
#else
#define WEAKLY_HAS_EXCEPTIONS 0
#endif

namespace weakly::inline v0 {

/// Extents, strides, row numbers and counts. Signed, so that differences and reversed strides are ordinary numbers.
using index_t = std::int64_t;

/// Whose numbers an algorithm gives where the literature's software and its definition part.
enum class compatibility : std::uint8_t {
  none,     ///< the definition, computed exactly
  cleanlab  ///< the numbers of cleanlab 2.9, in the arithmetic of the probabilities' own type
};

}  // namespace weakly::inline v0
