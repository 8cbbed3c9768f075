// SPDX-License-Identifier: MIT
#pragma once

#if __has_include(<xsimd/xsimd.hpp>) && !defined(WEAKLY_NO_XSIMD) && !defined(__CUDACC__)
#include <xsimd/config/xsimd_config.hpp>
#endif

// xsimd's configuration header says whether xsimd knows the target at all.
#if defined(XSIMD_VERSION_MAJOR) && !defined(XSIMD_NO_SUPPORTED_ARCHITECTURE) && !defined(WEAKLY_NO_XSIMD) && \
    !defined(__CUDACC__)
#include <weakly/core/simd/lanes_xsimd.hpp>
namespace weakly::inline v0::simd {
namespace backend = on_xsimd;
}
#else
#include <weakly/core/simd/lanes_array.hpp>
namespace weakly::inline v0::simd {
namespace backend = on_arrays;
}
#endif
