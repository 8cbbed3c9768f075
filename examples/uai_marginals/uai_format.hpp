// SPDX-License-Identifier: MIT
#pragma once

#include "model.hpp"
#include "text_scanner.hpp"

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace uai {

/// A model in the format of the UAI inference competitions, MARKOV or BAYES: number of variables, number of states of
/// each, number of factors, the scope of each, then for each table its size and its values, the last variable of the
/// scope changing fastest. The tables of a BAYES file are taken as they are, whether or not they sum to one.
///
/// Throws bad_input. Memory is a multiple of the size of the text, whatever it claims: all variables together have at
/// most 2^20 states and one more for each byte.
inline model read_uai(std::string_view text, std::string_view name) {
  text_scanner in(text, name);
  const std::string_view kind = in.word("MARKOV or BAYES");
  if (kind != "MARKOV" && kind != "BAYES")
    in.fail("a UAI file starts with MARKOV or BAYES, this one with " + text_scanner::quoted(kind) +
            "; a libDAI factor graph needs the ending .fg");

  model m;
  const auto n = static_cast<std::size_t>(in.count("the number of variables", 1));
  m.states.reserve(n);
  // States of variables in factors have entries in the file; of others nothing but this bounds the memory.
  const std::int64_t most_of_all = (std::int64_t(1) << 20) + static_cast<std::int64_t>(text.size());
  std::int64_t all = 0;
  for (std::size_t i = 0; i < n; ++i) {
    m.states.push_back(
        static_cast<std::int32_t>(in.integer("the number of states of variable " + std::to_string(i), 1, most_states)));
    all += m.states.back();
    if (all > most_of_all)
      in.fail("the variables up to " + std::to_string(i) + " have more than " + std::to_string(most_of_all) +
              " states together, more than makes sense for a file of this size; correct the numbers of states");
  }

  m.factors.resize(static_cast<std::size_t>(in.count("the number of factors", 1)));
  std::vector<std::size_t> last_factor(n, m.factors.size());
  for (std::size_t f = 0; f < m.factors.size(); ++f) {
    const std::string factor = "factor " + std::to_string(f);
    auto& scope = m.factors[f].scope;
    const std::int64_t arity = in.count("the number of variables of " + factor, 1);
    scope.reserve(static_cast<std::size_t>(arity));
    for (std::int64_t a = 0; a < arity; ++a) {
      const std::int64_t i = in.integer("a variable of " + factor, 0, static_cast<std::int64_t>(n) - 1);
      std::size_t& last = last_factor[static_cast<std::size_t>(i)];
      if (last == f) in.fail(factor + " names variable " + std::to_string(i) + " twice; correct its scope");
      last = f;
      scope.push_back(static_cast<std::int32_t>(i));
    }
  }

  for (std::size_t f = 0; f < m.factors.size(); ++f) {
    const std::string table = "the table of factor " + std::to_string(f);
    std::int64_t size = 1;
    for (const std::int32_t i : m.factors[f].scope) {
      size *= m.states[static_cast<std::size_t>(i)];
      if (size > in.most_words_left())
        in.fail(table +
                " has more entries than the rest of the file can hold; correct the scope, or copy the file again");
    }
    const std::int64_t given = in.count("the size of " + table, 1);
    if (given != size)
      in.fail("the size of " + table + " is " + std::to_string(given) + ", but the states of its variables make " +
              std::to_string(size) + " entries; correct one of them");
    auto& values = m.factors[f].value;
    values.reserve(static_cast<std::size_t>(size));
    const std::string entry = "an entry of " + table;
    for (std::int64_t e = 0; e < size; ++e) values.push_back(in.value(entry));
    if (!m.factors[f].has_mass()) in.fail(table + " is zero everywhere, so that nothing is possible; correct it");
  }
  if (!in.at_end())
    in.fail(text_scanner::quoted(in.word("nothing")) +
            " follows the last table; the number of factors is too small, or two " + "files were joined");
  return m;
}

/// Which variables are observed, and in which state: the number of pairs, then the pairs. What follows them is left
/// alone. Variables have the labels of the model's file. Throws bad_input.
inline evidence read_evidence(std::string_view text, std::string_view name, const model& m) {
  text_scanner in(text, name);
  if (in.at_end()) in.fail("is empty; write 0 where nothing is observed");
  evidence e;
  const std::int64_t pairs = in.count("the number of observed variables", 2);
  std::vector<std::int32_t> state_of(m.states.size(), -1);
  for (std::int64_t p = 0; p < pairs; ++p) {
    constexpr std::int64_t any = std::int64_t(1) << 62;
    const std::int64_t label = in.integer("an observed variable", -any, any);
    const std::int32_t variable = m.variable(label);
    if (variable < 0)
      in.fail("variable " + std::to_string(label) +
              " is observed, but the model has none of that number; correct it (the "
              "first number of the file counts pairs of variable and state)");
    const auto i = static_cast<std::size_t>(variable);
    const auto state =
        static_cast<std::int32_t>(in.integer("the state of variable " + std::to_string(label), 0, m.states[i] - 1));
    if (state_of[i] >= 0 && state_of[i] != state)
      in.fail("variable " + std::to_string(label) + " is observed in state " + std::to_string(state_of[i]) +
              " and in " + std::to_string(state) + "; leave one of them out");
    if (state_of[i] < 0) e.observed.push_back({variable, state});
    state_of[i] = state;
  }
  e.has_tail = !in.at_end();
  return e;
}

}  // namespace uai
