// SPDX-License-Identifier: MIT
// Loopy belief propagation: belief_propagation, its options and its result. The class and what it promises are in
// graph/detail/belief_propagation_class.hpp, because the headers that define its passes need it complete.
#pragma once

#include <weakly/graph/detail/belief_propagation_class.hpp>
#include <weakly/graph/detail/belief_propagation_engine.hpp>
#include <weakly/graph/detail/belief_propagation_flooding.hpp>
