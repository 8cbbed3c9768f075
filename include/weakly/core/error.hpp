// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>

namespace weakly::inline v0 {

/// What every weakly function throws. The message names the function, the argument, the numbers and the way out.
struct error : std::runtime_error {
  using std::runtime_error::runtime_error;
};
/// Extents disagree, or a view has a rank or stride the function cannot use.
struct shape_error : error {
  using error::error;
};
/// A label outside [0, k).
struct label_error : error {
  using error::error;
};
/// A value outside its domain: NaN, infinite, or out of range.
struct value_error : error {
  using error::error;
};
/// An option outside its domain, or options that exclude one another.
struct option_error : error {
  using error::error;
};
/// Scratch memory smaller than the function's size function says.
struct workspace_error : error {
  using error::error;
};

namespace detail {

inline std::string to_text(std::string_view text) { return std::string(text); }
inline std::string to_text(double x) {
  char buffer[40];
  std::snprintf(buffer, sizeof buffer, "%.9g", x);
  return buffer;
}
template <class T>
  requires std::is_integral_v<T> std::string to_text(T x) { return std::to_string(x); }

/// Throws Error with the parts joined; without exceptions prints the same message and aborts.
template <class Error, class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  std::string message;
  (message.append(to_text(parts)), ...);
#if WEAKLY_HAS_EXCEPTIONS
  throw Error(message);
#else
  std::fprintf(stderr, "weakly: %s\n", message.c_str());
  std::abort();
#endif
}

}  // namespace detail

/// Where the first offending row is and how many there are. Kernels on any device fill it; hosts then call require_ok.
struct status {
  std::int64_t first_bad_row;
  std::int64_t count;

  WEAKLY_HD constexpr bool ok() const { return count == 0; }
  /// Both parts are integers (a minimum and a sum): merged in any order, the result is the same.
  WEAKLY_HD constexpr void merge(const status& other) {
    if (other.count != 0 && (count == 0 || other.first_bad_row < first_bad_row)) first_bad_row = other.first_bad_row;
    count += other.count;
  }
  WEAKLY_HD constexpr void report(std::int64_t row) { merge(status{row, 1}); }

  friend constexpr bool operator==(const status&, const status&) = default;
};
static_assert(std::is_trivially_copyable_v<status>);

/// The status before any row was looked at.
WEAKLY_HD constexpr status no_bad_rows() { return {-1, 0}; }

/// Throws value_error when `s` reports a bad row. `what` says in which function and why the row is bad.
inline void require_ok(const status& s, std::string_view what = "weakly") {
  if (!s.ok())
    detail::fail<value_error>(what, ": ", s.count, s.count == 1 ? " bad row" : " bad rows", ", the first is row ",
                              s.first_bad_row);
}

}  // namespace weakly::inline v0
