// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/error.hpp>

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace weakly::inline v0 {

/// Bytes that `count` elements of T take in a workspace, alignment included: what the `<function>_scratch` functions
/// add up.
template <class T>
WEAKLY_HD constexpr std::size_t scratch_bytes(index_t count) {
  constexpr std::size_t line = 64;
  return (static_cast<std::size_t>(count) * sizeof(T) + line - 1) / line * line + line;
}

/// Scratch memory that the caller owns and lends for a call. Functions take arrays from it one after the other; it
/// allocates nothing, and forgets everything when it goes out of scope.
class workspace {
 public:
  explicit workspace(std::span<std::byte> memory) : begin_(memory.data()), left_(memory.size()) {}

  std::size_t bytes_left() const { return left_; }

  /// `count` elements of T, uninitialised, aligned to a 64-byte line. `what` names function and array.
  /// Throws workspace_error, with both sizes, when too little is left.
  template <class T>
    requires std::is_trivially_copyable_v<T> std::span<T> take(const char* what, index_t count) {
      constexpr std::size_t line = 64;
      const std::size_t skip = (line - reinterpret_cast<std::uintptr_t>(begin_) % line) % line;
      // Compared as a count, because the bytes of an absurd count overflow.
      if (count < 0 || left_ < skip || (left_ - skip) / sizeof(T) < static_cast<std::size_t>(count))
        detail::fail<workspace_error>(what, " needs ", count, " elements of ", sizeof(T), " bytes of workspace, ",
                                      left_ < skip ? 0 : left_ - skip,
                                      " bytes are left; size it with the function's _scratch function");
      const std::size_t bytes = static_cast<std::size_t>(count) * sizeof(T);
      T* const first = reinterpret_cast<T*>(begin_ + skip);
      begin_ += skip + bytes;
      left_ -= skip + bytes;
      return {first, static_cast<std::size_t>(count)};
    }

 private:
  std::byte* begin_;
  std::size_t left_;
};

}  // namespace weakly::inline v0
