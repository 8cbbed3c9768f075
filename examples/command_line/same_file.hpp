// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>
#include <string>
#include <system_error>

namespace command_line {

/// Whether two paths name one file, be it by another spelling or through a link. An empty path names none.
inline bool is_same_file(const std::string& a, const std::string& b) {
  if (a.empty() || b.empty()) return false;
  std::error_code failed;
  if (std::filesystem::equivalent(a, b, failed) && !failed) return true;
  const auto whole = [](const std::string& path) {
    std::error_code unresolved;
    const std::filesystem::path full = std::filesystem::absolute(path, unresolved);
    const std::filesystem::path resolved = std::filesystem::weakly_canonical(full, unresolved);
    return unresolved ? full.lexically_normal() : resolved;
  };
  return whole(a) == whole(b);
}

}  // namespace command_line
