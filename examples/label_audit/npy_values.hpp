// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/half.hpp>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <type_traits>

#include "npy_header.hpp"

namespace npy {

/// What an array can be read as.
template <class T>
concept readable_as = std::same_as<T, float> || std::same_as<T, double> || std::same_as<T, std::int64_t>;

namespace detail {

/// numpy's bool; any byte but 0 is true.
struct bool_byte {
  std::uint8_t byte;

  operator bool() const { return byte != 0; }
};

template <class T>
struct type_tag {
  using type = T;
};

/// f(type_tag of the type that holds an element as it is stored).
template <class F>
auto with_stored_type(element type, F&& f) {
  switch (type) {
    case element::boolean:
      return f(type_tag<bool_byte>{});
    case element::int8:
      return f(type_tag<std::int8_t>{});
    case element::int16:
      return f(type_tag<std::int16_t>{});
    case element::int32:
      return f(type_tag<std::int32_t>{});
    case element::int64:
      return f(type_tag<std::int64_t>{});
    case element::uint8:
      return f(type_tag<std::uint8_t>{});
    case element::uint16:
      return f(type_tag<std::uint16_t>{});
    case element::uint32:
      return f(type_tag<std::uint32_t>{});
    case element::uint64:
      return f(type_tag<std::uint64_t>{});
    case element::float16:
      return f(type_tag<weakly::half>{});
    case element::float32:
      return f(type_tag<float>{});
    case element::float64:
      break;
  }
  return f(type_tag<double>{});
}

template <class Stored>
inline constexpr bool stored_real = std::floating_point<Stored> || std::same_as<Stored, weakly::half>;

/// out = value; false, and `out` unchanged, where T is an integer and does not have the value.
template <class T, class Stored>
bool assign(T& out, Stored value) {
  if constexpr (std::integral<T> && stored_real<Stored>) {
    const double number = value;
    if (!(number >= -0x1p63 && number < 0x1p63) || number != std::trunc(number)) return false;
    out = static_cast<T>(number);
  } else if constexpr (std::integral<T> && std::same_as<Stored, std::uint64_t>) {
    if (value > static_cast<std::uint64_t>(std::numeric_limits<T>::max())) return false;
    out = static_cast<T>(value);
  } else if constexpr (std::same_as<Stored, weakly::half>) {
    out = T{float(value)};
  } else if constexpr (std::same_as<Stored, bool_byte>) {
    out = bool(value) ? T{1} : T{0};
  } else {
    out = static_cast<T>(value);
  }
  return true;
}

/// Why assign refused, and what to do.
template <class Stored>
std::string refusal(Stored value) {
  if constexpr (stored_real<Stored>) {
    if (std::isnan(double(value))) return "nan is not a label; drop the rows without a label, or number their class";
    std::array<char, 40> text{};
    char* const end = std::to_chars(text.data(), text.data() + text.size(), double(value)).ptr;
    const char* const why = std::trunc(double(value)) == double(value) ? " exceeds 63 bits" : " is not a whole number";
    return std::string(text.data(), end) + why +
           "; labels are the integers 0 to k - 1: save labels.astype(numpy.int64)";
  } else {
    return std::to_string(value) + " exceeds 63 bits; labels are the integers 0 to k - 1";
  }
}

/// Reverses the bytes of each element. Loads and stores of an unsigned integer compile to one byte swap, a reversed
/// array does not.
template <std::unsigned_integral Word>
void swap_words(std::span<std::byte> bytes) {
  for (std::size_t at = 0; at + sizeof(Word) <= bytes.size(); at += sizeof(Word)) {
    Word word = 0;
    std::memcpy(&word, bytes.data() + at, sizeof word);
    if constexpr (sizeof(Word) == 2)
      word = __builtin_bswap16(word);
    else if constexpr (sizeof(Word) == 4)
      word = __builtin_bswap32(word);
    else
      word = __builtin_bswap64(word);
    std::memcpy(bytes.data() + at, &word, sizeof word);
  }
}

inline void swap_elements(std::span<std::byte> bytes, std::int64_t size) {
  if (size == 2) swap_words<std::uint16_t>(bytes);
  if (size == 4) swap_words<std::uint32_t>(bytes);
  if (size == 8) swap_words<std::uint64_t>(bytes);
}

template <class Stored>
Stored load(const std::byte* from, std::int64_t index) {
  Stored value;
  std::memcpy(&value, from + index * static_cast<std::int64_t>(sizeof(Stored)), sizeof(Stored));
  return value;
}

}  // namespace detail
}  // namespace npy
