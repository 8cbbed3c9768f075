// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <string>
#include <vector>

namespace golden {

/// A whole .npy file (format 1.0, little endian) in row-major order; every value of the stored types fits a double.
struct npy_array {
  std::string dtype;  // numpy's code without the byte order: f2 f4 f8 i4 i8 u1 u2 b1
  std::vector<std::int64_t> shape;
  std::vector<double> values;

  template <class T>
  std::vector<T> as() const {
    std::vector<T> out;
    out.reserve(values.size());
    for (double x : values) out.push_back(static_cast<T>(x));
    return out;
  }
};

namespace detail {

/// A broken reference file ends the program: the builds without exceptions read these files too.
[[noreturn]] inline void stop(const std::string& message) {
  std::fprintf(stderr, "reference results: %s\n", message.c_str());
  std::abort();
}

inline double half_value(std::uint16_t h) {
  const int exponent = (h >> 10) & 31, fraction = h & 1023;
  double x = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(fraction + 1024, exponent - 25);
  if (exponent == 31) x = fraction == 0 ? HUGE_VAL : std::numeric_limits<double>::quiet_NaN();
  return (h & 0x8000) != 0 ? -x : x;
}

template <class T>
T stored(const char* at) {
  T x;
  std::memcpy(&x, at, sizeof(T));
  return x;
}

inline double element(const std::string& dtype, const char* at) {
  if (dtype == "f8") return stored<double>(at);
  if (dtype == "f4") return static_cast<double>(stored<float>(at));
  if (dtype == "f2") return half_value(stored<std::uint16_t>(at));
  if (dtype == "i8") return static_cast<double>(stored<std::int64_t>(at));
  if (dtype == "i4") return stored<std::int32_t>(at);
  if (dtype == "u2") return stored<std::uint16_t>(at);
  if (dtype == "u1" || dtype == "b1") return stored<std::uint8_t>(at);
  stop("element type " + dtype + " is not one of those the reference files use");
}

inline std::string between(const std::string& text, const std::string& before, char after) {
  const std::size_t first = text.find(before);
  if (first == std::string::npos) stop("header lacks " + before);
  const std::size_t begin = first + before.size();
  return text.substr(begin, text.find(after, begin) - begin);
}

}  // namespace detail

/// Ends the program with the path when the file is missing or is not such a file.
inline npy_array read_npy(const std::filesystem::path& path) {
  static_assert(std::endian::native == std::endian::little);
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  if (bytes.size() < 10 || bytes.compare(0, 8, std::string("\x93NUMPY\x01\x00", 8)) != 0)
    detail::stop(path.string() + " is missing or not a .npy file of format 1.0");
  const std::size_t header_size = detail::stored<std::uint16_t>(bytes.data() + 8);
  const std::string header = bytes.substr(10, header_size);

  npy_array out;
  const std::string descr = detail::between(header, "'descr': '", '\'');
  if (descr[0] == '>') detail::stop(path.string() + " is big endian");
  out.dtype = descr.substr(1);
  std::int64_t size = 1;
  const std::string shape = detail::between(header, "'shape': (", ')');
  for (std::size_t at = 0; at < shape.size();) {
    std::size_t used = 0;
    out.shape.push_back(std::stoll(shape.substr(at), &used));
    size *= out.shape.back();
    at = shape.find_first_of("0123456789", at + used);
  }

  const std::size_t width = static_cast<std::size_t>(descr[2] - '0');
  if (bytes.size() != 10 + header_size + static_cast<std::size_t>(size) * width)
    detail::stop(path.string() + " does not hold as many bytes as its shape asks for");
  const bool column_major = detail::between(header, "'fortran_order': ", ',') == "True";
  const char* data = bytes.data() + 10 + header_size;
  out.values.resize(static_cast<std::size_t>(size));
  for (std::int64_t i = 0; i < size; ++i) {
    std::int64_t rest = i, from = 0, stride = size;
    for (std::size_t axis = out.shape.size(); column_major && axis-- > 0;) {
      stride /= out.shape[axis];
      from += (rest % out.shape[axis]) * stride;
      rest /= out.shape[axis];
    }
    if (!column_major) from = i;
    out.values[static_cast<std::size_t>(i)] = detail::element(out.dtype, data + static_cast<std::size_t>(from) * width);
  }
  return out;
}

}  // namespace golden
