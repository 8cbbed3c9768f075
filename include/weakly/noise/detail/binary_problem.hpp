// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/half.hpp>
#include <weakly/core/view.hpp>

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace weakly::inline v0 {

/// An n x k matrix of zeros and ones on the host: integers of any width, signed or not, or bool.
template <class X>
concept binary_matrix =
    readable_matrix<X> && on_host<X> && std::is_integral_v<typename detail::input_view_t<X>::value_type>;

namespace detail {

/// Class c of a multi-label problem is the binary problem with label y(i, c) and the columns 1 - p(i, c) and p(i, c).
/// Its columns are doubles, or with cleanlab's numbers of the type T, in which numpy rounds 1 - p (it has no bfloat16).
template <class T>
using rounded_column_t = std::conditional_t<std::is_same_v<T, bfloat16>, float, T>;

template <class T, class F>
void with_column_type(compatibility compat, F&& f) {
  if (compat == compatibility::cleanlab)
    f(rounded_column_t<T>());
  else
    f(double());
}

/// Both columns of one row, readable as a row of two classes.
template <class B>
struct binary_row {
  B value[2];

  arithmetic_t<B> operator[](index_t j) const { return static_cast<arithmetic_t<B>>(value[j]); }
};

template <class B, class T>
binary_row<B> binary_row_of(T stored) {
  using A = arithmetic_t<B>;
  const auto p = static_cast<A>(static_cast<arithmetic_t<T>>(stored));
  return {{static_cast<B>(A(1) - p), static_cast<B>(p)}};
}

/// Throws label_error with the first element, row by row, that is neither 0 nor 1. O(n k), no allocation.
template <class Exec, class Label>
void require_binary(Exec&& ex, std::string_view function, const matrix_view<const Label>& y) {
  if constexpr (!std::is_same_v<Label, bool>) {
    const index_t k = y.extent(1);
    const auto first_bad = [&](index_t i) {
      for (index_t c = 0; c < k; ++c)
        if (y(i, c) != Label(0) && y(i, c) != Label(1)) return c;
      return k;
    };
    shared_status bad;
    for_row_chunks(ex, y.extent(0), k, [&](index_t first, index_t last) {
      status here = no_bad_rows();
      for (index_t i = first; here.ok() && i < last; ++i)
        if (first_bad(i) < k) here.report(i);
      bad.merge(here);
    });
    if (const status s = bad.load(); !s.ok()) {
      const index_t c = first_bad(s.first_bad_row);
      fail<label_error>(function, ": label ", y(s.first_bad_row, c), " of row ", s.first_bad_row, " and class ", c,
                        " is neither 0 nor 1; a multi-label matrix says of each class whether it is given");
    }
  }
}

/// The shape checks and the label check that every multi-label function makes.
template <class Exec, class Label, class T>
void require_multilabel(Exec&& ex, std::string_view function, const matrix_view<const Label>& y,
                        const matrix_view<const T>& p, index_t k) {
  if (y.extent(0) != p.extent(0) || y.extent(1) != p.extent(1))
    fail<shape_error>(function, ": labels and prob differ in shape: ", shape_text(y), " and ", shape_text(p));
  if (p.extent(1) != k) fail<shape_error>(function, ": prob has shape ", shape_text(p), " for ", k, " classes");
  require_binary(ex, function, y);
}

/// Calls f(i, labels, prob) for consecutive tiles of class c, i the tile's first row: its labels and its two columns as
/// the single-label algorithms take them, gathered on the stack.
template <class B, class Label, class T, class F>
void for_binary_tiles(const matrix_view<const Label>& y, const matrix_view<const T>& p, index_t c, index_t first,
                      index_t last, F&& f) {
  constexpr index_t rows = 512;
  std::uint8_t label[rows];
  B prob[2 * rows];
  for (index_t start = first; start < last; start += rows) {
    const index_t count = std::min(rows, last - start);
    for (index_t i = 0; i < count; ++i) {
      const auto row = binary_row_of<B>(p(start + i, c));
      label[i] = y(start + i, c) ? 1 : 0;
      prob[2 * i] = row.value[0];
      prob[2 * i + 1] = row.value[1];
    }
    f(start, view(static_cast<const std::uint8_t*>(label), count), view(static_cast<const B*>(prob), count, 2));
  }
}

}  // namespace detail

}  // namespace weakly::inline v0
