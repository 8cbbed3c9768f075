// SPDX-License-Identifier: MIT
#pragma once

#include "model.hpp"

#include <weakly/graph/factor_graph.hpp>

#include <cstddef>
#include <vector>

namespace uai {

/// The model as weakly's factor graph, variable by variable and factor by factor.
inline weakly::factor_graph<double> graph_of(const model& m) {
  weakly::factor_graph_builder builder;
  for (const std::int32_t states : m.states) builder.add_variable(states);
  for (const table_factor& f : m.factors) builder.add_table(weakly::factor_scope(f.scope), f.value);
  return builder.freeze();
}

}  // namespace uai
