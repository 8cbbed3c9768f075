// SPDX-License-Identifier: MIT
#pragma once

#include "model.hpp"
#include "text_scanner.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace uai {

/// A factor graph in libDAI's format (.fg): number of factors; for each the number of its variables, their labels,
/// their numbers of states, the number of entries that are not zero, and for each its index and its value. The FIRST
/// variable changes fastest. Labels may have gaps: variables are those that occur, in the order of their labels. A #
/// starts a comment.
///
/// Throws bad_input. Because entries of zero are left out, a small text may describe a great table: all tables together
/// have at most `most_entries`, and where that is 0, 2^20 and 64 for each byte of the text.
inline model read_fg(std::string_view text, std::string_view name, std::int64_t most_entries = 0) {
  if (most_entries == 0) most_entries = (std::int64_t(1) << 20) + 64 * static_cast<std::int64_t>(text.size());
  text_scanner in(text, name, '#');

  struct occurrence {
    std::int64_t label;
    std::int32_t states;
  };
  model m;
  m.factors.resize(static_cast<std::size_t>(in.count("the number of factors", 2)));
  std::vector<std::vector<std::int64_t>> labels(m.factors.size());
  std::vector<occurrence> all;
  std::int64_t entries = 0;
  for (std::size_t f = 0; f < m.factors.size(); ++f) {
    const std::string factor = "factor " + std::to_string(f);
    const std::int64_t arity = in.count("the number of variables of " + factor, 2);
    auto& scope = labels[f];
    scope.reserve(static_cast<std::size_t>(arity));
    for (std::int64_t a = 0; a < arity; ++a)
      scope.push_back(in.integer("a variable of " + factor, 0, std::int64_t(1) << 62));
    std::vector<std::int64_t> sorted = scope;
    std::sort(sorted.begin(), sorted.end());
    if (const auto twice = std::adjacent_find(sorted.begin(), sorted.end()); twice != sorted.end())
      in.fail(factor + " names variable " + std::to_string(*twice) + " twice; correct its variables");
    std::int64_t size = 1;
    for (const std::int64_t label : scope) {
      const auto states = static_cast<std::int32_t>(
          in.integer("the number of states of variable " + std::to_string(label), 1, most_states));
      all.push_back({label, states});
      size *= states;
      if (size > most_entries - entries)
        in.fail(
            "the tables up to that of " + factor + " have more than " + std::to_string(most_entries) +
            " entries, zeros included, more than makes sense for a file of this size; correct the numbers of states");
    }
    entries += size;

    auto& values = m.factors[f].value;
    values.assign(static_cast<std::size_t>(size), -1);
    const std::int64_t given = in.count("the number of entries of " + factor, 2);
    const std::string index_name = "an index of the table of " + factor, entry = "an entry of the table of " + factor;
    for (std::int64_t e = 0; e < given; ++e) {
      const std::int64_t index = in.integer(index_name, 0, size - 1);
      double& x = values[static_cast<std::size_t>(index)];
      if (x >= 0)
        in.fail("entry " + std::to_string(index) + " of the table of " + factor + " is there twice; leave one out");
      x = in.value(entry);
    }
    for (double& x : values) x = std::max(x, 0.0);
    if (!m.factors[f].has_mass())
      in.fail("the table of " + factor + " is zero everywhere, so that nothing is possible; correct it");
  }
  if (!in.at_end())
    in.fail(text_scanner::quoted(in.word("nothing")) +
            " follows the last factor; the number of factors is too small, or two " + "files were joined");

  std::sort(all.begin(), all.end(), [](const occurrence& a, const occurrence& b) {
    return std::pair(a.label, a.states) < std::pair(b.label, b.states);
  });
  for (const occurrence& o : all) {
    if (m.label.empty() || m.label.back() != o.label) {
      m.label.push_back(o.label);
      m.states.push_back(o.states);
    } else if (m.states.back() != o.states) {
      throw bad_input(command_line::printable(name) + ": variable " + std::to_string(o.label) + " has " +
                      std::to_string(m.states.back()) + " states in one factor and " + std::to_string(o.states) +
                      " in another; correct one of them");
    }
  }
  for (std::size_t f = 0; f < m.factors.size(); ++f)
    for (std::size_t a = labels[f].size(); a-- > 0;) m.factors[f].scope.push_back(m.variable(labels[f][a]));
  if (m.label.empty() || m.label.back() + 1 == static_cast<std::int64_t>(m.label.size())) m.label.clear();
  return m;
}

}  // namespace uai
