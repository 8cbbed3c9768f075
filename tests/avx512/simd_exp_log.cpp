// SPDX-License-Identifier: MIT
#include "emulated_avx512.hpp"

#include "../core/simd_exp_log.cpp"

static_assert(weakly::simd::batch<float>::size == 16 || !weakly::simd::vectorized);
