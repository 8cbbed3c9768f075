// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace uai {

/// What a factor is about and its values: finite, not negative, and not all zero. The last variable of the scope
/// changes fastest; without a scope the table is one constant.
struct table_factor {
  std::vector<std::int32_t> scope;
  std::vector<double> value;

  bool has_mass() const {
    return std::any_of(value.begin(), value.end(), [](double x) { return x > 0; });
  }
};

/// The product of tables that a file describes. Variable i has states 0 to states[i] - 1; there are 1 to 65535 of them.
struct model {
  std::vector<std::int32_t> states;
  std::vector<table_factor> factors;
  std::vector<std::int64_t> label;  ///< of each variable, ascending; empty where they are 0, 1, 2, ...

  std::int32_t variables() const { return static_cast<std::int32_t>(states.size()); }

  /// What the file calls variable i.
  std::int64_t label_of(std::size_t i) const { return label.empty() ? static_cast<std::int64_t>(i) : label[i]; }

  /// The variable with that label, or -1.
  std::int32_t variable(std::int64_t wanted) const {
    if (label.empty()) return wanted >= 0 && wanted < variables() ? static_cast<std::int32_t>(wanted) : -1;
    const auto found = std::lower_bound(label.begin(), label.end(), wanted);
    return found != label.end() && *found == wanted ? static_cast<std::int32_t>(found - label.begin()) : -1;
  }
};

inline constexpr std::int32_t most_states = 65535;

struct observation {
  std::int32_t variable;
  std::int32_t state;
};

/// No variable occurs twice.
struct evidence {
  std::vector<observation> observed;
  bool has_tail = false;  ///< whether the file went on after the pairs that it declared
};

}  // namespace uai
