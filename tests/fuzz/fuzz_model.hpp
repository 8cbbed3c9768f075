// SPDX-License-Identifier: MIT
// What the readers of models promise about whatever they accept and refuse.
#pragma once

#include <command_line/bad_input.hpp>
#include <uai_marginals/model.hpp>

#include <cmath>
#include <cstddef>
#include <set>
#include <string_view>
#include <utility>

#include "fuzz_input.hpp"

namespace fuzz {

/// Runs f, which may refuse its input in one line that starts with the name of the file.
template <class F>
void one_line(F&& f) {
  try {
    std::forward<F>(f)();
  } catch (const command_line::bad_input& error) {
    const std::string_view what = error.what();
    require(what.starts_with("fuzz.") && what.size() < 500);
    for (const char c : what) require(static_cast<unsigned char>(c) >= 0x20);
  }
}

inline std::size_t entries(const uai::model& m) {
  std::size_t sum = 0;
  for (const auto& f : m.factors) sum += f.value.size();
  return sum;
}

inline void require_consistent(const uai::model& m) {
  require(m.label.empty() || m.label.size() == m.states.size());
  for (const std::int32_t states : m.states) require(states >= 1 && states <= uai::most_states);
  for (std::size_t i = 0; i < m.states.size(); ++i)
    require(m.variable(m.label_of(i)) == static_cast<std::int32_t>(i) && (i == 0 || m.label_of(i - 1) < m.label_of(i)));
  for (const auto& f : m.factors) {
    std::size_t size = 1;
    for (const std::int32_t i : f.scope) {
      require(i >= 0 && i < m.variables());
      size *= static_cast<std::size_t>(m.states[static_cast<std::size_t>(i)]);
    }
    require(f.value.size() == size);
    require(std::set<std::int32_t>(f.scope.begin(), f.scope.end()).size() == f.scope.size());
    for (const double x : f.value) require(x >= 0 && std::isfinite(x));
    require(f.has_mass());
  }
}

inline void require_consistent(const uai::model& m, const uai::evidence& e) {
  std::set<std::int32_t> seen;
  for (const auto& [variable, state] : e.observed) {
    require(variable >= 0 && variable < m.variables() && seen.insert(variable).second);
    require(state >= 0 && state < m.states[static_cast<std::size_t>(variable)]);
  }
}

}  // namespace fuzz
