// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/half.hpp>
#include <weakly/core/view.hpp>

namespace weakly::inline v0::detail {

/// A row wherever it lies, read in the type it is compared in.
template <class T>
struct row_reader {
  const T* first;
  index_t stride;

  arithmetic_t<T> operator[](index_t j) const { return static_cast<arithmetic_t<T>>(first[j * stride]); }
};

template <class T>
row_reader<T> row_of(const matrix_view<const T>& p, index_t i) {
  return {p.data() + i * p.stride(0), p.stride(1)};
}

}  // namespace weakly::inline v0::detail
