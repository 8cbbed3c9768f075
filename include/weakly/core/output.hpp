// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/half.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>

#include <cstddef>
#include <string_view>
#include <type_traits>

namespace weakly::inline v0 {

/// Stands for an output that is not wanted: `cross_entropy(logits, label, loss, discard)` computes values alone.
struct discard_output {};
inline constexpr discard_output discard{};

/// Scores [..., k]: float, double, half or bfloat16 on the host. Every leading axis counts rows.
template <class X>
concept score_tensor = on_host<X> && is_real_v<typename detail::input_view_t<X>::value_type>;

/// A float, double, half or bfloat16 tensor to write into, or `discard`.
template <class X>
concept real_output = std::is_same_v<std::remove_cvref_t<X>, discard_output> ||
    (detail::writable<X>&& is_real_v<typename view_t<X>::value_type>&&
         std::is_same_v<typename view_t<X>::memory_space, host_memory>);

namespace detail {

/// A tensor as a matrix of one column, in row-major order. Throws shape_error where its strides do not allow it.
template <class T, int Rank>
constexpr matrix_view<T> as_column(const tensor_view<T, Rank>& v) {
  index_t extent[std::size_t(Rank) + 1], stride[std::size_t(Rank) + 1];
  for (int a = 0; a < Rank; ++a) {
    extent[a] = v.extent(a);
    stride[a] = v.stride(a);
  }
  extent[Rank] = 1;
  stride[Rank] = 1;
  return as_rows(tensor_view<T, Rank + 1>(v.data(), extent, stride));
}

template <class X>
index_t rows_of(const X& v) {
  index_t n = 1;
  for (int a = 0; a + 1 < X::rank; ++a) n *= v.extent(a);
  return n;
}

template <class T, class Out>
row_sink<T> gradient_sink(std::string_view function, Out& out, index_t n, index_t k, std::string_view name = "grad") {
  if constexpr (std::is_same_v<std::remove_cvref_t<Out>, discard_output>) {
    return {};
  } else {
    const auto rows = as_rows(view(out));
    if (rows.extent(0) != n || rows.extent(1) != k)
      fail<shape_error>(function, ": ", name, " has ", rows.extent(0), " rows of ", rows.extent(1), ", logits have ", n,
                        " rows of ", k, "; give a ", name == "grad" ? "gradient" : name, " of the shape of the logits");
    return row_sink<T>(rows);
  }
}

template <class T, class Out>
row_sink<T> value_sink(std::string_view function, std::string_view name, Out& out, index_t n,
                       std::string_view of = "rows of logits", std::string_view each = "row") {
  if constexpr (std::is_same_v<std::remove_cvref_t<Out>, discard_output>) {
    return {};
  } else {
    const auto v = as_column(view(out));
    if (v.extent(0) != n)
      fail<shape_error>(function, ": ", name, " has ", v.extent(0), " elements for ", n, " ", of,
                        "; give one for each ", each);
    return row_sink<T>(v);
  }
}

}  // namespace detail

}  // namespace weakly::inline v0
