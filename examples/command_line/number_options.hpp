// SPDX-License-Identifier: MIT
#pragma once

#include "bad_input.hpp"

#include <CLI/CLI.hpp>

#include <algorithm>
#include <charconv>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>
#include <utility>
#include <vector>

namespace command_line {

/// Whether all of the text is a decimal number that the type holds, which `value` becomes then.
template <class Number>
bool read_number(std::string_view text, Number& value) {
  if (text.size() > 1 && text.front() == '+' && text[1] != '-') text.remove_prefix(1);
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if constexpr (std::is_floating_point_v<Number>) {
    // What is too small is zero; what is too large is no number.
    const auto digits = [](char c) { return c == 'e' || c == 'E'; };
    const char* const exponent = std::find_if(text.data(), end, digits);
    if (error == std::errc::result_out_of_range && stop == end && exponent != end && exponent[1] == '-') {
      value = 0;
      return true;
    }
  }
  return error == std::errc() && stop == end;
}

/// Options of a program that are numbers. CLI11 reads an empty text as zero, a leading zero as octal and cuts what is
/// too large; here that is bad usage, or decimal.
class number_options {
 public:
  explicit number_options(CLI::App& app) : app_(app) {}

  /// `value` becomes what is given where `allowed(value)`; `wanted` says in words what that is.
  template <class Number, class Allowed>
  CLI::Option* add(const std::string& name, Number& value, const std::string& help, const std::string& wanted,
                   Allowed allowed) {
    const auto text = std::make_shared<std::string>();
    CLI::Option* const option = app_.add_option(name, *text, help);
    readers_.push_back([=, &value]() -> std::optional<std::string> {
      Number given{};
      if (option->count() == 0) return std::nullopt;
      if (!read_number(*text, given) || !allowed(given)) return name + " " + printable(*text) + ": give " + wanted;
      value = given;
      return std::nullopt;
    });
    return option;
  }

  /// Reads them once the command line is parsed. Gives what is wrong with the first that is no such number.
  std::optional<std::string> read() const {
    for (const auto& reader : readers_)
      if (std::optional<std::string> complaint = reader()) return complaint;
    return std::nullopt;
  }

 private:
  CLI::App& app_;
  std::vector<std::function<std::optional<std::string>()>> readers_;
};

}  // namespace command_line
