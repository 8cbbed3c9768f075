// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "npy_header.hpp"
#include "npy_source.hpp"
#include "npy_values.hpp"

namespace npy {

/// An .npy array of rank 0 to 2 that is read row by row and never loaded whole.
///
/// Versions 1 to 3; float16/32/64, bool and integers of 8 to 64 bits; either byte order; C or Fortran order. A vector
/// is a matrix of one column. Opening reads the header and compares the size of the file with it, which must hold this
/// array and nothing after it: every failure is an npy_error whose one line names the file, what was found and what to
/// do. Memory: at most 1 MiB, whatever the file. One reader per thread: reading uses a buffer of the object.
class npy_file {
 public:
  explicit npy_file(const std::string& path) : npy_file(std::make_unique<file_source>(path)) {}

  explicit npy_file(std::unique_ptr<const byte_source> source)
      : source_(std::move(source)), header_(read_header(*source_)) {}

  const std::string& name() const { return source_->name(); }
  int rank() const { return header_.rank; }
  std::int64_t rows() const { return header_.extent[0]; }
  std::int64_t cols() const { return header_.extent[1]; }
  bool fortran_order() const { return header_.fortran_order; }
  element type() const { return header_.type; }
  std::string_view type_name() const { return traits(header_.type).name; }
  std::string shape_text() const { return header_.shape_text(); }

  /// Whether float has every value that this type can store; if not, read_rows<float> refuses and double is the type to
  /// use.
  bool fits_float() const {
    return header_.type == element::float32 || header_.type == element::float16 || traits(header_.type).size < 4;
  }

  /// Rows first to first + count - 1, in row-major order, into the first count x cols() elements of `out`.
  ///
  /// float and double take every real value exactly, NaN and inf included, and integers rounded to the nearest double.
  /// std::int64_t takes integers, and reals that are whole numbers of 64 bits; any other value is an npy_error that
  /// names its row (from 0). Throws npy_error too where the rows do not exist, `out` is too short, T is float and
  /// fits_float() is false, or the file cannot be read. C order costs one pass of sequential reads; Fortran order reads
  /// a segment of each column, the longer the more rows are asked for at once (a few thousand are enough).
  template <readable_as T>
  void read_rows(std::int64_t first, std::int64_t count, std::span<T> out) {
    if (first < 0 || count < 0 || first > rows() - count)
      detail::fail(name(), "has " + std::to_string(rows()) + " rows; " + std::to_string(count) + " from row " +
                               std::to_string(first) + " were asked for");
    if (std::cmp_less(out.size(), count * cols()))
      detail::fail(name(), std::to_string(count) + " rows of " + std::to_string(cols()) + " do not fit a buffer of " +
                               std::to_string(out.size()) + "; give a longer one");
    if (std::same_as<T, float> && !fits_float())
      detail::fail(name(), "holds " + std::string(type_name()) + ", which float would round; read it as double");
    if (count == 0 || cols() == 0) return;

    out = out.first(static_cast<std::size_t>(count * cols()));
    const bool by_column = header_.fortran_order && rows() > 1 && cols() > 1;
    detail::with_stored_type(header_.type, [&]<class Stored>(detail::type_tag<Stored>) {
      if (by_column)
        read_columns<Stored>(first, out);
      else if constexpr (std::same_as<Stored, T>)
        read_bytes(first * cols(), std::as_writable_bytes(out));
      else
        read_contiguous<Stored>(first * cols(), out);
    });
  }

 private:
  static constexpr std::int64_t buffer_bytes = std::int64_t{1} << 20;
  static constexpr std::int64_t columns_at_once = 16;  // a cache line of float output is written as a whole

  /// Elements from number `at` of the file on, in this machine's byte order.
  void read_bytes(std::int64_t at, std::span<std::byte> out) {
    const std::int64_t size = traits(header_.type).size;
    source_->read(header_.data_offset + at * size, out);
    if (header_.swapped) detail::swap_elements(out, size);
  }

  template <class Stored, class T>
  void read_contiguous(std::int64_t at, std::span<T> out) {
    constexpr std::int64_t size = sizeof(Stored);
    constexpr std::int64_t longest = buffer_bytes / 8 / size;  // stays in a second-level cache until it is converted
    while (!out.empty()) {
      const std::int64_t n = std::min(longest, static_cast<std::int64_t>(out.size()));
      const std::span<std::byte> bytes = buffer(n * size);
      read_bytes(at, bytes);
      for (std::int64_t i = 0; i < n; ++i) {
        const Stored value = detail::load<Stored>(bytes.data(), i);
        if (!detail::assign(out[static_cast<std::size_t>(i)], value))
          refuse((at + i) / cols(), (at + i) % cols(), value);
      }
      out = out.subspan(static_cast<std::size_t>(n));
      at += n;
    }
  }

  template <class Stored, class T>
  void read_columns(std::int64_t first, std::span<T> out) {
    constexpr std::int64_t size = sizeof(Stored);
    const std::int64_t k = cols(), count = static_cast<std::int64_t>(out.size()) / k;
    const std::int64_t width = std::min(columns_at_once, k);
    const std::int64_t height = std::min(buffer_bytes / (width * size), count);
    for (std::int64_t i0 = 0; i0 < count; i0 += height) {
      const std::int64_t m = std::min(height, count - i0);
      for (std::int64_t j0 = 0; j0 < k; j0 += width) {
        const std::int64_t w = std::min(width, k - j0);
        const std::span<std::byte> bytes = buffer(w * m * size);
        for (std::int64_t j = 0; j < w; ++j)
          read_bytes((j0 + j) * rows() + first + i0,
                     bytes.subspan(static_cast<std::size_t>(j * m * size), static_cast<std::size_t>(m * size)));
        for (std::int64_t i = 0; i < m; ++i)
          for (std::int64_t j = 0; j < w; ++j) {
            const Stored value = detail::load<Stored>(bytes.data(), j * m + i);
            if (!detail::assign(out[static_cast<std::size_t>((i0 + i) * k + j0 + j)], value))
              refuse(first + i0 + i, j0 + j, value);
          }
      }
    }
  }

  template <class Stored>
  [[noreturn]] void refuse(std::int64_t row, std::int64_t col, Stored value) const {
    detail::fail(name(), "row " + std::to_string(row) + " (from 0)" +
                             (cols() > 1 ? ", column " + std::to_string(col) : std::string()) + ": " +
                             detail::refusal(value));
  }

  std::span<std::byte> buffer(std::int64_t bytes) {
    const std::size_t n = static_cast<std::size_t>(bytes);
    if (buffer_.size() < n) buffer_.resize(n);
    return std::span(buffer_).first(n);
  }

  std::unique_ptr<const byte_source> source_;
  header header_;
  std::vector<std::byte> buffer_;
};

}  // namespace npy
