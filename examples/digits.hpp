// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>

#include <Eigen/Core>

#include <array>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <string>
#include <vector>

namespace examples {

using weakly::index_t;
using row_major = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

/// The shipped table of optical digits.
struct digits {
  static constexpr index_t features = 64;
  static constexpr index_t classes = 10;
  using picture = std::array<std::uint8_t, features>;  ///< 8 x 8, row by row, 0 = paper, 16 = ink

  std::vector<picture> pictures;
  std::vector<std::int32_t> label;
};

inline std::filesystem::path digits_path() { return std::filesystem::path(WEAKLY_EXAMPLES_DATA_DIR) / "digits.csv"; }

/// Throws std::runtime_error, naming the line, where the file is missing or is not 64 pixels of 0..16 and a label of
/// 0..9 a line.
inline digits read_digits(const std::filesystem::path& path) {
  std::ifstream file(path);
  if (!file) throw std::runtime_error(path.string() + ": the shipped digits cannot be opened; restore the file");
  digits d;
  std::string line;
  while (std::getline(file, line)) {
    digits::picture picture;
    std::int32_t label = -1;
    const char* at = line.data();
    const char* const end = at + line.size();
    bool good = true;
    for (index_t j = 0; good && j <= digits::features; ++j) {
      int value = -1;
      const auto [next, error] = std::from_chars(at, end, value);
      const bool last = j == digits::features;
      good = error == std::errc() && value >= 0 && value <= (last ? 9 : 16) &&
             (last ? next == end : next != end && *next == ',');
      at = next + 1;
      if (last)
        label = value;
      else
        picture[static_cast<std::size_t>(j)] = static_cast<std::uint8_t>(value);
    }
    if (!good)
      throw std::runtime_error(path.string() + ": line " + std::to_string(d.label.size() + 1) +
                               " is not 64 pixels of 0 to 16 and a label of 0 to 9; restore the file");
    d.pictures.push_back(picture);
    d.label.push_back(label);
  }
  if (d.label.empty()) throw std::runtime_error(path.string() + ": is empty; restore the file");
  return d;
}

/// The pixels as features in [0, 1].
inline row_major features_of(const digits& d) {
  row_major x(static_cast<index_t>(d.pictures.size()), digits::features);
  for (index_t i = 0; i < x.rows(); ++i)
    for (index_t j = 0; j < x.cols(); ++j)
      x(i, j) = static_cast<float>(d.pictures[static_cast<std::size_t>(i)][static_cast<std::size_t>(j)]) / 16.0f;
  return x;
}

}  // namespace examples
