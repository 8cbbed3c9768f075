// SPDX-License-Identifier: MIT
// This program counts allocations as the tests of noise/ do.
#include "noise/allocations.cpp"
