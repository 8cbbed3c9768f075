// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>

#include <charconv>
#include <cmath>
#include <cstdio>
#include <string>
#include <string_view>

namespace label_audit {

/// 17 significant digits, which give back the same double; null for what JSON has no number for.
inline std::string json_number(double x) {
  if (!std::isfinite(x)) return "null";
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, x, std::chars_format::general, 17).ptr;
  return std::string(buffer, end);
}

inline std::string json_string(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", static_cast<unsigned>(c));
      out += escape;
    } else {
      out += c;
    }
  }
  return out + '"';
}

inline std::string html_text(std::string_view text) {
  std::string out;
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += static_cast<unsigned char>(c) < 0x20 || c == 0x7f ? '?' : c;
    }
  }
  return out;
}

/// Fixed-point, for people.
inline std::string fixed(double x, int digits) {
  if (std::isnan(x)) return "–";
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%.*f", digits, x);
  return buffer;
}

/// Three significant digits, for people.
inline std::string brief(double x) {
  if (std::isnan(x)) return "–";
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%.3g", x);
  return buffer;
}

inline std::string percent(double x, int digits = 1) { return std::isnan(x) ? "–" : fixed(100 * x, digits) + " %"; }

/// 1234567 as 1,234,567.
inline std::string grouped(weakly::index_t n) {
  std::string digits = std::to_string(n);
  for (int at = static_cast<int>(digits.size()) - 3; at > (n < 0 ? 1 : 0); at -= 3)
    digits.insert(static_cast<std::size_t>(at), 1, ',');
  return digits;
}

/// "1 label issue", "2 label issues".
inline std::string counted(weakly::index_t n, std::string_view noun) {
  return grouped(n) + " " + std::string(noun) + (n == 1 ? "" : "s");
}

/// Number of code points, which is the width on a terminal but for wide scripts.
inline std::size_t width(std::string_view text) {
  std::size_t count = 0;
  for (const char c : text) count += (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  return count;
}

/// At most `most` code points, the last an ellipsis where something was cut.
inline std::string shortened(std::string_view text, std::size_t most) {
  if (width(text) <= most) return std::string(text);
  std::size_t seen = 0, end = 0;
  for (; end < text.size(); ++end) {
    if ((static_cast<unsigned char>(text[end]) & 0xc0) != 0x80 && seen++ == most - 1) break;
  }
  return std::string(text.substr(0, end)) + "…";
}

inline std::string padded_right(std::string_view text, std::size_t columns) {
  const std::size_t w = width(text);
  return std::string(text) + std::string(w < columns ? columns - w : 0, ' ');
}
inline std::string padded_left(std::string_view text, std::size_t columns) {
  const std::size_t w = width(text);
  return std::string(w < columns ? columns - w : 0, ' ') + std::string(text);
}

inline bool is_utf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<unsigned char>(text[i]);
    const int more = lead < 0x80                   ? 0
                     : lead >= 0xc2 && lead < 0xe0 ? 1
                     : lead >= 0xe0 && lead < 0xf0 ? 2
                     : lead >= 0xf0 && lead < 0xf5 ? 3
                                                   : -1;
    if (more < 0 || text.size() - i <= static_cast<std::size_t>(more)) return false;
    for (int c = 1; c <= more; ++c)
      if ((static_cast<unsigned char>(text[i + static_cast<std::size_t>(c)]) & 0xc0) != 0x80) return false;
    const auto second = more > 0 ? static_cast<unsigned char>(text[i + 1]) : 0u;
    if ((lead == 0xe0 && second < 0xa0) || (lead == 0xed && second > 0x9f) || (lead == 0xf0 && second < 0x90) ||
        (lead == 0xf4 && second > 0x8f))
      return false;
    i += static_cast<std::size_t>(more) + 1;
  }
  return true;
}

}  // namespace label_audit
