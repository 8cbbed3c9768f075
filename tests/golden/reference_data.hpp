// SPDX-License-Identifier: MIT
#pragma once

#include "golden.hpp"
#include "npy_array.hpp"

#include <filesystem>
#include <string>
#include <utility>

namespace golden {

/// One folder of the reference data (support::reference_data): arrays by name, expected.json as it is.
class reference_case {
 public:
  explicit reference_case(std::filesystem::path folder) : folder_(std::move(folder)) {}

  std::string name() const { return folder_.filename().string(); }
  bool has(const std::string& array) const { return std::filesystem::exists(folder_ / (array + ".npy")); }
  npy_array array(const std::string& array) const { return read_npy(folder_ / (array + ".npy")); }

  /// The result under a stable sort where it differs from numpy's default, else the default result.
  npy_array stable(const std::string& name) const { return array(has(name + "_stable") ? name + "_stable" : name); }

  nlohmann::json expected() const { return read_json(folder_ / "expected.json"); }
  const std::filesystem::path& folder() const { return folder_; }

 private:
  std::filesystem::path folder_;
};

}  // namespace golden
