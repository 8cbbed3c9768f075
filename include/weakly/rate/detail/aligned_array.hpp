// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>

#include <cstddef>
#include <memory>
#include <new>

namespace weakly::inline v0::detail {

/// `count` numbers on a 64-byte boundary, uninitialised: rows of registers must not straddle cache lines.
template <class T>
class aligned_array {
 public:
  aligned_array() = default;
  explicit aligned_array(index_t count)
      : data_(count > 0
                  ? static_cast<T*>(::operator new(static_cast<std::size_t>(count) * sizeof(T), std::align_val_t(64)))
                  : nullptr) {}

  T* data() const { return data_.get(); }

 private:
  struct give_back {
    void operator()(T* memory) const { ::operator delete(memory, std::align_val_t(64)); }
  };
  std::unique_ptr<T, give_back> data_;
};

}  // namespace weakly::inline v0::detail
