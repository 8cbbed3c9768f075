// SPDX-License-Identifier: MIT
#pragma once

#include "../digits.hpp"

#include <weakly/core/random.hpp>

#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <numeric>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace examples {

/// Rows with a label of 0 or 1.
struct binary_table {
  std::string name;
  row_major x;
  std::vector<std::int32_t> label;
};

/// Whether a shipped digit is odd.
inline binary_table odd_digits() {
  const digits d = read_digits(digits_path());
  binary_table t{"odd digits", features_of(d), d.label};
  for (std::int32_t& label : t.label) label %= 2;
  return t;
}

/// Bytes behind the header of a .npy file of format 1.0.
inline std::vector<char> npy_bytes(const std::filesystem::path& path, const std::string& type) {
  std::ifstream file(path, std::ios::binary);
  const std::vector<char> all((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (all.size() < 10 || std::memcmp(all.data(), "\x93NUMPY\x01", 7) != 0)
    throw std::runtime_error(path.string() + ": is missing, or no .npy file of format 1.0");
  const std::size_t header =
      std::size_t(static_cast<unsigned char>(all[8])) + 256 * std::size_t(static_cast<unsigned char>(all[9]));
  if (all.size() < 10 + header || std::string(all.data() + 10, header).find("'" + type + "'") == std::string::npos)
    throw std::runtime_error(path.string() + ": does not hold elements of type " + type);
  return {all.begin() + 10 + std::ptrdiff_t(header), all.end()};
}

/// Whether a customer of the Bank Marketing table subscribes: 8192 rows of 16 features.
inline binary_table bank_marketing(const std::filesystem::path& folder) {
  const std::vector<char> x = npy_bytes(folder / "x_hundredths.npy", "<i2"), y = npy_bytes(folder / "y.npy", "|u1");
  const std::size_t n = y.size(), d = n > 0 ? x.size() / (2 * n) : 0;
  if (n == 0 || x.size() != 2 * n * d) throw std::runtime_error(folder.string() + ": features and labels do not fit");
  binary_table t{"bank marketing", row_major(static_cast<index_t>(n), static_cast<index_t>(d)), {}};
  for (std::size_t e = 0; e < n * d; ++e) {
    std::int16_t hundredths;
    std::memcpy(&hundredths, x.data() + 2 * e, 2);
    t.x.data()[e] = static_cast<float>(hundredths) / 100;
  }
  for (const char label : y) t.label.push_back(label);
  return t;
}

/// Random rows for training, and all others for testing.
struct binary_split {
  row_major train_x, test_x;
  std::vector<std::int32_t> train_label, test_label;
};

inline binary_split split_of(const binary_table& t, index_t train, std::uint64_t seed) {
  std::vector<index_t> order(t.label.size());
  std::iota(order.begin(), order.end(), index_t(0));
  weakly::random_stream draw(seed, 1);
  for (std::size_t i = order.size(); i > 1; --i) std::swap(order[i - 1], order[draw.below(i)]);
  const std::vector<index_t> first(order.begin(), order.begin() + train), rest(order.begin() + train, order.end());
  binary_split s{t.x(first, Eigen::all), t.x(rest, Eigen::all), {}, {}};
  for (const index_t i : first) s.train_label.push_back(t.label[std::size_t(i)]);
  for (const index_t i : rest) s.test_label.push_back(t.label[std::size_t(i)]);
  return s;
}

}  // namespace examples
