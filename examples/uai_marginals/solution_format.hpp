// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace uai {

/// The shortest digits that give the same double back.
inline std::string digits(double x) {
  char buffer[40];
  return std::string(buffer, std::to_chars(buffer, buffer + sizeof buffer, x).ptr);
}

/// The solution file of a marginal task: MAR, then on one line the number of variables, and for each its number of
/// states and the probability of each.
///
/// states  of each variable
/// belief  those of all variables, one after the other
inline std::string mar_text(std::span<const std::int32_t> states, std::span<const double> belief) {
  std::string text = "MAR\n" + std::to_string(states.size());
  std::size_t at = 0;
  for (const std::int32_t count : states) {
    text += ' ' + std::to_string(count);
    for (std::int32_t x = 0; x < count; ++x) text += ' ' + digits(belief[at++]);
  }
  return text + '\n';
}

/// The solution file of a task for the most probable states: MPE, then on one line the number of variables and the
/// state of each.
inline std::string mpe_text(std::span<const std::int32_t> state) {
  std::string text = "MPE\n" + std::to_string(state.size());
  for (const std::int32_t x : state) text += ' ' + std::to_string(x);
  return text + '\n';
}

}  // namespace uai
