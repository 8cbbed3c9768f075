// SPDX-License-Identifier: MIT
// The reference results of the posteriors: blocks `# name rows cols`, then rows of comma-separated numbers.
#pragma once

#include "support.hpp"

#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace em_reference {

struct block {
  std::ptrdiff_t rows = 0, columns = 0;
  std::vector<double> values;

  std::vector<int> labels() const { return {values.begin(), values.end()}; }
};

using file = std::map<std::string, block>;

file read(const std::filesystem::path& path);

/// The instance files; none, and the test reported as skipped, where the reference data is not there.
std::vector<std::pair<std::string, file>> instances();

}  // namespace em_reference
