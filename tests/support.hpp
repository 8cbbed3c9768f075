// SPDX-License-Identifier: MIT
// What more than one test file needs and no user of weakly does.
#pragma once

#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

namespace support {

/// The root of this checkout.
inline std::filesystem::path source_dir() { return WEAKLY_TEST_SOURCE_DIR; }

/// An empty folder in the build tree. `name` must be unique, because tests run beside one another.
inline std::filesystem::path scratch_dir(const std::string& name) {
  const std::filesystem::path folder = std::filesystem::path(WEAKLY_TEST_SCRATCH_DIR) / name;
  std::filesystem::remove_all(folder);
  std::filesystem::create_directories(folder);
  return folder;
}

/// A folder of the reference data. Where WEAKLY_REFERENCE_DATA is unset, says so in the words by which ctest reports
/// the test as skipped, and gives nothing: the test returns. A folder that is missing from the data is a failure.
inline std::optional<std::filesystem::path> reference_data(const std::string& folder) {
  const char* root = std::getenv("WEAKLY_REFERENCE_DATA");
  if (root == nullptr || *root == '\0') {
    std::printf("weakly: skipped: WEAKLY_REFERENCE_DATA is not set, needed: %s\n", folder.c_str());
    return std::nullopt;
  }
  const std::filesystem::path path = std::filesystem::path(root) / folder;
  CHECK_MESSAGE(std::filesystem::exists(path), path.string());
  return path;
}

}  // namespace support
