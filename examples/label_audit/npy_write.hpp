// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <concepts>
#include <cstdint>
#include <ranges>
#include <span>
#include <string>
#include <type_traits>

#include "../command_line/atomic_file.hpp"
#include "npy_source.hpp"

namespace npy {

/// What write_npy stores: float32, float64, int64.
template <class T>
concept writable_as = std::same_as<T, float> || std::same_as<T, double> || std::same_as<T, std::int64_t>;

namespace detail {

/// Magic, version 1.0 and dict, byte for byte as numpy writes them for an array in C order. `shape` is the tuple's text
/// and `rows` its first number.
template <writable_as T>
std::string header_bytes(const std::string& shape, std::int64_t rows) {
  std::string text = "{'descr': '";
  text += std::endian::native == std::endian::little ? '<' : '>';
  text += std::is_integral_v<T> ? 'i' : 'f';
  text += std::to_string(sizeof(T)) + "', 'fortran_order': False, 'shape': " + shape + ", }";
  // numpy leaves room for the first axis to grow to 21 digits, then fills up to a multiple of 64 bytes.
  text.append(21 - std::to_string(rows).size(), ' ');
  text.append(64 - (11 + text.size()) % 64, ' ');
  text += '\n';
  const char prefix[] = {'\x93',
                         'N',
                         'U',
                         'M',
                         'P',
                         'Y',
                         1,
                         0,
                         static_cast<char>(text.size() & 0xff),
                         static_cast<char>(text.size() >> 8)};
  return std::string(prefix, sizeof prefix) + text;
}

template <class T>
void write_array(const std::string& path, const std::string& header, std::span<const T> values) {
  try {
    command_line::atomic_file file(path);
    file.write(std::as_bytes(std::span(header)));
    file.write(std::as_bytes(values));
    file.commit();
  } catch (const command_line::file_error& error) {
    throw npy_error(error.what());
  }
}

}  // namespace detail

/// A vector as an .npy file (version 1.0, this machine's byte order). The file appears whole or not at all: it is
/// written beside `path` and then renamed. Throws npy_error.
template <std::ranges::contiguous_range Values>
  requires(writable_as<std::ranges::range_value_t<Values>>)
void write_npy(const std::string& path, const Values& values) {
  const std::span all(std::ranges::data(values), std::ranges::size(values));
  using T = std::ranges::range_value_t<Values>;
  const std::int64_t n = static_cast<std::int64_t>(all.size());
  detail::write_array<T>(path, detail::header_bytes<T>("(" + std::to_string(n) + ",)", n), all);
}

/// A rows x cols matrix in row-major order, otherwise as above. Throws npy_error unless values holds rows x cols
/// elements.
template <std::ranges::contiguous_range Values>
  requires(writable_as<std::ranges::range_value_t<Values>>)
void write_npy(const std::string& path, const Values& values, std::int64_t rows, std::int64_t cols) {
  const std::span all(std::ranges::data(values), std::ranges::size(values));
  using T = std::ranges::range_value_t<Values>;
  const std::string shape = "(" + std::to_string(rows) + ", " + std::to_string(cols) + ")";
  const std::int64_t n = static_cast<std::int64_t>(all.size());
  const bool agrees = rows >= 0 && cols >= 0 && (cols == 0 ? n == 0 : n % cols == 0 && n / cols == rows);
  if (!agrees)
    detail::fail(detail::printable(path),
                 std::to_string(n) + " values were given for the shape " + shape + "; give rows x cols of them");
  detail::write_array<T>(path, detail::header_bytes<T>(shape, rows), all);
}

}  // namespace npy
