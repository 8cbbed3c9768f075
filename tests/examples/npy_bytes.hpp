// SPDX-License-Identifier: MIT
#pragma once

#include <label_audit/npy.hpp>

#include <doctest/doctest.h>

#include <bit>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace npy_test {

/// A source that owns its bytes and remembers what was asked of it.
class recording_source final : public npy::byte_source {
 public:
  struct request {
    std::int64_t offset, size;
  };

  explicit recording_source(std::string bytes, std::vector<request>* requests = nullptr)
      : byte_source("array.npy"), bytes_(std::move(bytes)), requests_(requests) {}

  std::int64_t size() const override { return static_cast<std::int64_t>(bytes_.size()); }

  void read(std::int64_t offset, std::span<std::byte> out) const override {
    const std::int64_t wanted = static_cast<std::int64_t>(out.size());
    REQUIRE(offset >= 0);
    REQUIRE(wanted <= size());
    REQUIRE(offset <= size() - wanted);
    if (requests_) requests_->push_back({offset, wanted});
    bytes_.copy(reinterpret_cast<char*>(out.data()), out.size(), static_cast<std::size_t>(offset));
  }

 private:
  std::string bytes_;
  std::vector<request>* requests_;
};

inline npy::npy_file open(std::string bytes, std::vector<recording_source::request>* requests = nullptr) {
  return npy::npy_file(std::make_unique<recording_source>(std::move(bytes), requests));
}

/// Magic, version and length in front of a header text that the test wrote.
inline std::string with_prefix(const std::string& text, int version = 1) {
  std::string bytes = "\x93NUMPY";
  bytes += static_cast<char>(version);
  bytes += '\0';
  for (int i = 0; i < (version == 1 ? 2 : 4); ++i) bytes += static_cast<char>(text.size() >> (8 * i) & 0xff);
  return bytes + text;
}

inline std::string file_bytes(const std::string& descr, const std::string& shape, const std::string& data = "",
                              bool fortran_order = false, int version = 1) {
  return with_prefix("{'descr': '" + descr + "', 'fortran_order': " + (fortran_order ? "True" : "False") +
                         ", 'shape': " + shape + ", }\n",
                     version) +
         data;
}

/// The bytes of values one after the other, in this machine's order or reversed.
template <class T>
std::string raw(const std::vector<T>& values, bool swapped = false) {
  std::string bytes(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
  if (swapped)
    for (std::size_t at = 0; at < bytes.size(); at += sizeof(T))
      for (std::size_t i = 0; i < sizeof(T) / 2; ++i) std::swap(bytes[at + i], bytes[at + sizeof(T) - 1 - i]);
  return bytes;
}

inline constexpr char native_order = std::endian::native == std::endian::little ? '<' : '>';
inline constexpr char foreign_order = native_order == '<' ? '>' : '<';

template <class T>
std::vector<T> read_all(npy::npy_file& file) {
  std::vector<T> values(static_cast<std::size_t>(file.rows() * file.cols()));
  file.read_rows<T>(0, file.rows(), values);
  return values;
}

/// What the npy_error that f throws says; empty where it throws none.
template <class F>
std::string refusal(F&& f) {
  try {
    std::forward<F>(f)();
  } catch (const npy::npy_error& error) {
    return error.what();
  }
  return "";
}

inline std::string open_refusal(const std::string& bytes) {
  return refusal([&] { open(bytes); });
}

inline bool contains(std::string_view text, std::string_view part) { return text.find(part) != std::string_view::npos; }

inline std::ptrdiff_t files_in(const std::filesystem::path& folder) {
  const std::filesystem::directory_iterator all(folder);
  return std::distance(begin(all), end(all));
}

inline std::string slurp(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

inline void spit(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace npy_test
