// SPDX-License-Identifier: MIT
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>

namespace command_line {

/// What the user gave cannot be used. The message names the file, the row, the value and what to do.
struct bad_input : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// Text for a terminal: control characters, which file and class names may hold, become '?'.
inline std::string printable(std::string_view text) {
  std::string out(text);
  for (char& c : out)
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f) c = '?';
  return out;
}

}  // namespace command_line
