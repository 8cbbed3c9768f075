// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/simd/batch.hpp>
#include <weakly/core/simd/exp_log.hpp>
#include <weakly/core/simd/memory.hpp>
#include <weakly/core/simd/reduce.hpp>
#include <weakly/core/simd/transpose.hpp>
