// SPDX-License-Identifier: MIT
// What nearly every test includes anyway, read once for a whole test program where the compiler can. Tests include what
// they use themselves.
#pragma once

#include <weakly/core/simd.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <numeric>
#include <random>
#include <span>
#include <sstream>
#include <string>
#include <vector>
