// SPDX-License-Identifier: MIT
#pragma once

#include "golden.hpp"
#include "npy_array.hpp"

#include <nlohmann/json_fwd.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace golden {

/// One folder of the reference data (support::reference_data). Remembers which stored results were read, so that a test
/// can show that it left none out.
class reference_case {
 public:
  explicit reference_case(std::filesystem::path folder) : folder_(std::move(folder)) {}

  std::string name() const { return folder_.filename().string(); }
  nlohmann::json expected() const;
  bool has(const std::string& array) const { return std::filesystem::exists(folder_ / (array + ".npy")); }

  /// An array; where numpy's default sort made it depend on the order of ties, the variant `_stable`.
  npy_array array(const std::string& array);
  reals real_array(const std::string& name) { return array(name).values; }
  integers integer_array(const std::string& name) { return array(name).as<std::int64_t>(); }

  /// The rows whose bytes are not zero.
  integers mask(const std::string& name);

  /// Names, without `_stable`, of the arrays that start with `prefix`.
  std::vector<std::string> names(const std::string& prefix) const;

  /// Names of the stored results that were not read.
  std::vector<std::string> unread() const;
  std::size_t arrays_read() const { return read_.size(); }

 private:
  std::filesystem::path folder_;
  std::set<std::string> read_;
};

/// A single-label folder in the form of the stored cases. `overlapping_asymmetric` holds its first 50 only, or nothing.
single_label load_reference(reference_case& from);

/// A multi-label folder in the form of the stored cases.
multi_label load_multi_label_reference(reference_case& from);

}  // namespace golden
