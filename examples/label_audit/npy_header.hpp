// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "npy_source.hpp"

namespace npy {

enum class element : std::uint8_t {
  boolean,
  int8,
  int16,
  int32,
  int64,
  uint8,
  uint16,
  uint32,
  uint64,
  float16,
  float32,
  float64
};

struct element_traits {
  std::string_view code;  // as in 'descr', without the byte order
  std::string_view name;  // as numpy prints it
  std::int64_t size;
};

inline constexpr std::array<element_traits, 12> element_table{{{"b1", "bool", 1},
                                                               {"i1", "int8", 1},
                                                               {"i2", "int16", 2},
                                                               {"i4", "int32", 4},
                                                               {"i8", "int64", 8},
                                                               {"u1", "uint8", 1},
                                                               {"u2", "uint16", 2},
                                                               {"u4", "uint32", 4},
                                                               {"u8", "uint64", 8},
                                                               {"f2", "float16", 2},
                                                               {"f4", "float32", 4},
                                                               {"f8", "float64", 8}}};

constexpr const element_traits& traits(element type) { return element_table[static_cast<std::size_t>(type)]; }

constexpr bool is_real(element type) { return type >= element::float16; }

/// What an .npy file says about its array. `extent` is rows and columns: a vector has one column, a scalar is 1 x 1.
struct header {
  element type = element::float64;
  bool swapped = false;  // stored in the byte order that this machine does not have
  bool fortran_order = false;
  int rank = 0;
  std::array<std::int64_t, 2> extent{1, 1};
  std::int64_t data_offset = 0;

  std::int64_t count() const { return extent[0] * extent[1]; }
  std::int64_t data_bytes() const { return count() * traits(type).size; }

  /// As numpy prints a shape: "(10, 3)", "(10,)", "()".
  std::string shape_text() const {
    if (rank == 0) return "()";
    if (rank == 1) return "(" + std::to_string(extent[0]) + ",)";
    return "(" + std::to_string(extent[0]) + ", " + std::to_string(extent[1]) + ")";
  }
};

namespace detail {

/// The Python literal in the header: a dict of a string, a bool and a tuple of integers. Only these are understood,
/// nothing is evaluated, and no size found in the text is used before it is checked.
class header_parser {
 public:
  header_parser(std::string_view text, const std::string& name) : text_(text), name_(name) {}

  header parse() {
    header h;
    bool have_descr = false, have_order = false, have_shape = false;
    expect('{');
    while (!accept('}')) {
      const std::string_view key = string("a key");
      expect(':');
      if (key == "descr" && !have_descr) {
        have_descr = true;
        descr(h);
      } else if (key == "fortran_order" && !have_order) {
        have_order = true;
        h.fortran_order = boolean();
      } else if (key == "shape" && !have_shape) {
        have_shape = true;
        shape(h);
      } else {
        reject("key '" + printable(key, 40) + "' is unknown or there twice");
      }
      if (accept(',')) continue;
      expect('}');
      break;
    }
    skip_space();
    if (at_ < text_.size()) reject("there is text after the closing brace");
    if (!have_descr || !have_order || !have_shape) reject("'descr', 'fortran_order' or 'shape' is missing");
    check_size(h);
    return h;
  }

 private:
  [[noreturn]] void reject(const std::string& why) const {
    fail(name_, "the .npy header is damaged at character " + std::to_string(at_) + ": " + why +
                    "; save the array again with numpy.save");
  }

  void skip_space() {
    while (at_ < text_.size() && std::string_view(" \t\n\r\f").find(text_[at_]) != std::string_view::npos) ++at_;
  }

  char peek() {
    skip_space();
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  bool accept(char c) {
    if (peek() != c || at_ == text_.size()) return false;
    ++at_;
    return true;
  }

  void expect(char c) {
    if (!accept(c)) reject(std::string("expected '") + c + "'");
  }

  bool accept_word(std::string_view word) {
    skip_space();
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }

  std::string_view string(const char* what) {
    const char quote = peek();
    if (quote != '\'' && quote != '"') reject(std::string("expected ") + what + " in quotes");
    const std::size_t first = ++at_;
    while (at_ < text_.size() && text_[at_] != quote) {
      if (text_[at_] == '\\' || text_[at_] == '\n') reject("a string holds an escape or a line break");
      ++at_;
    }
    if (at_ == text_.size()) reject("a string has no end");
    return text_.substr(first, at_++ - first);
  }

  bool boolean() {
    if (accept_word("True")) return true;
    if (accept_word("False")) return false;
    reject("'fortran_order' is neither True nor False");
  }

  std::int64_t size() {
    if (peek() == '-') reject("a size in 'shape' is negative");
    const std::size_t first = at_;
    std::int64_t value = 0;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_) {
      const int digit = text_[at_] - '0';
      if (value > (std::numeric_limits<std::int64_t>::max() - digit) / 10) reject("a size in 'shape' exceeds 63 bits");
      value = value * 10 + digit;
    }
    if (at_ == first) reject("expected a size in 'shape'");
    if (at_ - first > 1 && text_[first] == '0') reject("a size in 'shape' starts with 0");
    accept('L');  // numpy under Python 2 wrote long integers
    return value;
  }

  void shape(header& h) {
    if (peek() != '(') reject("'shape' is not a tuple");
    const std::size_t first = at_++;
    int rank = 0;
    bool comma = true;
    while (!accept(')')) {
      if (!comma) reject("expected ',' or ')' in 'shape'");
      const std::int64_t extent = size();
      if (rank < 2) h.extent[static_cast<std::size_t>(rank)] = extent;
      ++rank;
      comma = accept(',');
    }
    if (rank == 1 && !comma) reject("'shape' is a number in brackets, not a tuple");
    if (rank > 2)
      fail(name_, "the array has " + std::to_string(rank) + " dimensions, shape " +
                      printable(text_.substr(first, at_ - first), 60) +
                      "; one (labels) or two (rows x classes) are wanted: reshape it before numpy.save");
    h.rank = rank;
  }

  void descr(header& h) {
    const char start = peek();
    if (start == '[' || start == '(' || start == '{')
      fail(name_,
           "holds a structured array (a table of named fields); save one field: numpy.save(path, array['field'])");
    const std::string_view all = string("the type");
    const std::string type = "'" + printable(all, 40) + "'";
    std::string_view code = all;
    char order = '=';
    if (!code.empty() && std::string_view("<>=|").find(code[0]) != std::string_view::npos) {
      order = code[0];
      code.remove_prefix(1);
    }
    const auto* const found = std::find_if(element_table.begin(), element_table.end(),
                                           [&](const element_traits& t) { return t.code == code; });
    if (found == element_table.end()) refuse_type(type, code.empty() ? '\0' : code[0]);
    h.type = static_cast<element>(found - element_table.begin());
    const bool little = std::endian::native == std::endian::little;
    h.swapped = found->size > 1 && (order == '<' || order == '>') && (order == '<') != little;
  }

  [[noreturn]] void refuse_type(const std::string& type, char kind) const {
    switch (kind) {
      case 'S':
      case 'U':
      case 'T':
      case 'a':
        fail(name_, "holds strings (type " + type +
                        "); number the classes: names, labels = numpy.unique(labels, return_inverse=True), then save "
                        "labels, and the names one a line for --class-names");
      case 'O':
        fail(name_, "holds pickled Python objects (type " + type +
                        "), which are never loaded; save numbers: numpy.save(path, array.astype(numpy.float32)), or "
                        "numpy.int64 for labels");
      case 'c':
        fail(name_, "holds complex numbers (type " + type + "); save real ones: numpy.save(path, array.real)");
      case 'f':
      case 'g':
        fail(name_, "holds extended floats (type " + type + "); save numpy.save(path, array.astype(numpy.float64))");
      case 'M':
      case 'm':
        fail(name_, "holds dates or durations (type " + type + "); save probabilities or class numbers");
      case 'V':
        fail(name_, "holds raw bytes (type " + type +
                        "; bfloat16 arrays look like this); save numpy.save(path, array.astype(numpy.float32))");
      default:
        fail(name_,
             "holds elements of unknown type " + type +
                 "; float16/32/64, bool and integers of 8 to 64 bits are understood: use astype before numpy.save");
    }
  }

  void check_size(const header& h) const {
    // An axis of length 0 empties the array; the others must still multiply to something that can be indexed.
    std::int64_t bytes = traits(h.type).size;
    for (const std::int64_t extent : h.extent) {
      if (extent > 0 && bytes > std::numeric_limits<std::int64_t>::max() / extent)
        fail(name_, "the header's shape " + h.shape_text() +
                        " needs more than 2^63 bytes; the file is damaged: save the " + "array again with numpy.save");
      bytes *= std::max<std::int64_t>(extent, 1);
    }
  }

  std::string_view text_;
  const std::string& name_;
  std::size_t at_ = 0;
};

/// What a file that is not .npy seems to be, and what to do with it.
inline std::string foreign_file(std::string_view start) {
  struct known {
    std::string_view magic;
    const char* what;
  };
  using namespace std::string_view_literals;
  static constexpr known table[] = {
      {"PK\x03\x04"sv, "an .npz archive (or another zip); save the array alone: numpy.save(path, archive['name'])"},
      {"PK\x05\x06"sv, "an empty .npz archive (or another zip); save the array with numpy.save"},
      {"\x80\x02"sv, "a Python pickle; load it and save the array with numpy.save"},
      {"\x80\x03"sv, "a Python pickle; load it and save the array with numpy.save"},
      {"\x80\x04"sv, "a Python pickle; load it and save the array with numpy.save"},
      {"\x80\x05"sv, "a Python pickle; load it and save the array with numpy.save"},
      {"\x89HDF\r\n"sv, "an HDF5 file; load it with h5py and save the array with numpy.save"},
      {"PAR1"sv, "a Parquet file; load it and save the array with numpy.save"},
      {"ARROW1"sv, "an Arrow file; load it and save the array with numpy.save"},
      {"MATLAB 5.0"sv, "a MATLAB file; load it with scipy.io.loadmat and save the array with numpy.save"},
      {"\x1f\x8b"sv, "compressed with gzip; unpack it first"},
      {"BZh"sv, "compressed with bzip2; unpack it first"},
      {"\xfd"
       "7zXZ"sv,
       "compressed with xz; unpack it first"},
      {"\x28\xb5\x2f\xfd"sv, "compressed with zstd; unpack it first"},
  };
  for (const known& k : table)
    if (start.starts_with(k.magic)) return std::string("is not an .npy file but ") + k.what;

  const bool text = std::all_of(start.begin(), start.end(), [](char c) {
    return static_cast<unsigned char>(c) >= 0x20 ? c != 0x7f : c == '\n' || c == '\r' || c == '\t';
  });
  if (text)
    return "is not an .npy file but text, starting '" + printable(start, 24) +
           "'; load it (numpy.loadtxt) and save the array with numpy.save";
  std::string hex;
  for (const char c : start.substr(0, 6)) {
    static constexpr char digits[] = "0123456789abcdef";
    const unsigned byte = static_cast<unsigned char>(c);
    hex += hex.empty() ? "" : " ";
    hex += {digits[byte >> 4], digits[byte & 15]};
  }
  return "is not an .npy file (it starts with the bytes " + hex + "); save the array with numpy.save";
}

}  // namespace detail

/// Reads and checks the header of an .npy file of version 1, 2 or 3, and that the file is as long as the header says.
/// Bytes after the array are refused. Throws npy_error. Reads at most 64 KiB, whatever the file claims.
inline header read_header(const byte_source& source) {
  constexpr std::int64_t longest = 65535;  // what version 1 can say; a plain array needs less than 200
  const std::string& name = source.name();
  const std::string_view magic("\x93NUMPY", 6);
  if (source.size() == 0) detail::fail(name, "is empty (0 bytes); save the array again with numpy.save");

  std::array<std::byte, 64> start{};
  const std::int64_t have = std::min<std::int64_t>(source.size(), 64);
  source.read(0, std::span(start).first(static_cast<std::size_t>(have)));
  const std::string_view seen(reinterpret_cast<const char*>(start.data()), static_cast<std::size_t>(have));
  if (!seen.starts_with(magic.substr(0, seen.size()))) detail::fail(name, detail::foreign_file(seen));

  const auto byte_at = [&](std::size_t i) { return std::to_integer<std::int64_t>(start[i]); };
  const std::string cut = "is truncated inside its header: " + std::to_string(source.size()) + " bytes, ";
  if (have < 8) detail::fail(name, cut + "at least 10 are needed; copy or save it again");
  const std::int64_t major = byte_at(6), minor = byte_at(7);
  if (major < 1 || major > 3 || minor != 0)
    detail::fail(name, "has .npy format version " + std::to_string(major) + "." + std::to_string(minor) +
                           "; 1.0, 2.0 and 3.0 are understood: save it again with numpy.save");
  const std::int64_t prefix = major == 1 ? 10 : 12;
  if (have < prefix) detail::fail(name, cut + std::to_string(prefix) + " or more are needed; copy or save it again");
  std::int64_t length = 0;
  for (std::int64_t i = prefix; i-- > 8;) length = length * 256 + byte_at(static_cast<std::size_t>(i));
  if (length > longest)
    detail::fail(name, "claims a header of " + std::to_string(length) + " bytes, and at most " +
                           std::to_string(longest) +
                           " make sense for a plain array; the file is damaged: save the array again with numpy.save");
  if (length > source.size() - prefix)
    detail::fail(name,
                 cut + std::to_string(prefix + length) + " are needed for the header alone; copy or save it again");

  std::string text(static_cast<std::size_t>(length), '\0');
  source.read(prefix, std::as_writable_bytes(std::span(text)));
  header h = detail::header_parser(text, name).parse();
  h.data_offset = prefix + length;
  if (h.data_bytes() > source.size() - h.data_offset)
    detail::fail(name, "is truncated: " + std::string(traits(h.type).name) + " of shape " + h.shape_text() + " needs " +
                           std::to_string(h.data_bytes()) + " bytes after the header, the file has " +
                           std::to_string(source.size() - h.data_offset) + "; copy or save it again");
  // numpy ignores what follows; here it is more likely a file that was appended to than one that is meant.
  if (const std::int64_t more = source.size() - h.data_offset - h.data_bytes(); more > 0)
    detail::fail(name, "has " + std::to_string(more) + " bytes after its " + std::string(traits(h.type).name) +
                           " of shape " + h.shape_text() + "; save one array in the file");
  return h;
}

}  // namespace npy
