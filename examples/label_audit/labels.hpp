// SPDX-License-Identifier: MIT
#pragma once

#include "../command_line/bad_input.hpp"
#include "npy.hpp"
#include "text.hpp"

#include <weakly/core/config.hpp>
#include <weakly/core/random.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <limits>
#include <span>
#include <string>
#include <vector>

namespace label_audit {

using command_line::bad_input;
using command_line::printable;
using weakly::index_t;

/// The given labels of a file: integers in [0, k), four bytes each.
/// Throws bad_input or npy_error, naming the first row that is not such a label.
inline std::vector<std::int32_t> read_labels(npy::npy_file& file, index_t k) {
  constexpr index_t batch = 65536;
  const auto refuse = [&](const std::string& what) { throw bad_input(file.name() + ": " + what); };
  if (file.rank() != 1 && !(file.rank() == 2 && file.cols() == 1))
    refuse("has shape " + file.shape_text() + "; labels are one integer for each row of the probabilities");
  std::vector<std::int32_t> label(static_cast<std::size_t>(file.rows()));
  std::vector<std::int64_t> wide(static_cast<std::size_t>(std::min(batch, file.rows())));
  for (index_t first = 0; first < file.rows(); first += batch) {
    const index_t count = std::min(batch, file.rows() - first);
    file.read_rows<std::int64_t>(first, count, wide);  // names the first value that is no whole number
    for (index_t i = 0; i < count; ++i) {
      const std::int64_t value = wide[static_cast<std::size_t>(i)];
      if (value < 0 || value >= k)
        refuse("row " + std::to_string(first + i) + " (from 0): label " + std::to_string(value) +
               (value < 0 ? " is negative" : " is not below the number of classes, " + std::to_string(k)) +
               "; labels are the integers 0 to k - 1, in the order of the columns of the probabilities");
      label[static_cast<std::size_t>(first + i)] = static_cast<std::int32_t>(value);
    }
  }
  if (npy::is_real(file.type()) || file.type() == npy::element::boolean)
    refuse("holds " + std::string(file.type_name()) + "; labels are integers: save labels.astype(numpy.int64)");
  return label;
}

/// The names of k classes, one a line. Throws bad_input, naming the line.
inline std::vector<std::string> read_class_names(const std::string& path, index_t k) {
  const auto refuse = [&](const std::string& what) { throw bad_input(printable(path) + ": " + what); };
  std::ifstream file(path, std::ios::binary);
  if (!file || file.peek() == std::ifstream::traits_type::eof()) {
    if (file.is_open() && file.eof()) refuse("is empty; give " + std::to_string(k) + " class names, one a line");
    refuse("cannot be opened; check the path of --class-names");
  }
  std::vector<std::string> names;
  std::string line;
  while (std::getline(file, line)) {
    if (names.empty() && line.starts_with("\xef\xbb\xbf")) line.erase(0, 3);
    if (!line.empty() && line.back() == '\r') line.pop_back();
    const std::string where = "line " + std::to_string(names.size() + 1);
    if (line.empty()) refuse(where + " is empty; give a name for each class");
    if (!is_utf8(line)) refuse(where + " is not UTF-8; save the file as UTF-8");
    names.push_back(line);
    if (static_cast<index_t>(names.size()) > k)
      refuse(where + ": there are more names than the " + std::to_string(k) + " classes; give one a class");
  }
  if (static_cast<index_t>(names.size()) != k)
    refuse("has " + counted(static_cast<index_t>(names.size()), "name") + " for " + std::to_string(k) +
           " classes; give one a class, one a line");
  return names;
}

/// Which rows --flip chose and what their labels were.
struct flipped_labels {
  std::vector<index_t> rows;           ///< ascending
  std::vector<std::int32_t> original;  ///< in the same order
};

/// Replaces round(fraction n) labels, at least one, by another class; rows and classes uniformly from the seed. The
/// same labels on every platform.
inline flipped_labels flip_labels(std::span<std::int32_t> label, index_t k, double fraction, std::uint64_t seed) {
  weakly::random_stream draw(seed, 1);
  const auto n = static_cast<index_t>(label.size());
  index_t wanted = std::clamp<index_t>(std::llround(fraction * static_cast<double>(n)), 1, n);
  flipped_labels flipped;
  for (index_t i = 0; i < n; ++i) {
    // Selection sampling (Knuth, algorithm S): one pass, exactly as many rows as wanted.
    if (draw.below(static_cast<std::uint64_t>(n - i)) >= static_cast<std::uint64_t>(wanted)) continue;
    --wanted;
    std::int32_t& s = label[static_cast<std::size_t>(i)];
    flipped.rows.push_back(i);
    flipped.original.push_back(s);
    const auto step = static_cast<index_t>(1 + draw.below(static_cast<std::uint64_t>(k - 1)));
    s = static_cast<std::int32_t>((s + step) % k);
  }
  return flipped;
}

}  // namespace label_audit
