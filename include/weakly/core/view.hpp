// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/half.hpp>

#include <concepts>
#include <cstddef>
#include <ranges>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace weakly::inline v0 {

/// Memory that the host may read and write.
struct host_memory {};
/// Memory of a device. Host algorithms refuse such views when they compile; nothing dereferences one on the host.
struct device_memory {};

/// A strided rectangle of elements that somebody else owns: pointer, extents, strides. Copying it copies no element.
///
/// Element (i, j, ...) lies at data()[i * stride(0) + j * stride(1) + ...]; strides count elements and may be negative
/// or zero. The stride of an axis of extent 0 or 1 means nothing. T is const for a view that is only read.
template <class T, int Rank, class Space = host_memory>
class tensor_view {
  static_assert(Rank >= 1, "a tensor_view has at least one axis");

 public:
  using element_type = T;
  using value_type = std::remove_cv_t<T>;
  using memory_space = Space;
  static constexpr int rank = Rank;

  /// An empty view: every extent is zero.
  WEAKLY_HD constexpr tensor_view() : data_(nullptr), extent_{}, stride_{} {}

  /// Row-major: the last axis is contiguous.
  WEAKLY_HD constexpr tensor_view(T* data, const index_t (&extent)[std::size_t(Rank)])
      : data_(data), extent_{}, stride_{} {
    index_t step = 1;
    for (int a = Rank - 1; a >= 0; --a) {
      extent_[a] = extent[a];
      stride_[a] = step;
      step *= extent[a];
    }
  }

  WEAKLY_HD constexpr tensor_view(T* data, const index_t (&extent)[std::size_t(Rank)],
                                  const index_t (&stride)[std::size_t(Rank)])
      : data_(data), extent_{}, stride_{} {
    for (int a = 0; a < Rank; ++a) {
      extent_[a] = extent[a];
      stride_[a] = stride[a];
    }
  }

  /// A view to read through from one to write through; never the other way, never to another element type or space.
  template <class U>
    requires(!std::is_same_v<U, T> && std::is_convertible_v<U (*)[], T (*)[]>)
  WEAKLY_HD constexpr tensor_view(const tensor_view<U, Rank, Space>& other)
      : data_(other.data()), extent_{}, stride_{} {
    for (int a = 0; a < Rank; ++a) {
      extent_[a] = other.extent(a);
      stride_[a] = other.stride(a);
    }
  }

  WEAKLY_HD constexpr T* data() const { return data_; }
  WEAKLY_HD constexpr index_t extent(int axis) const { return extent_[axis]; }
  WEAKLY_HD constexpr index_t stride(int axis) const { return stride_[axis]; }
  WEAKLY_HD constexpr index_t size() const {
    index_t n = 1;
    for (int a = 0; a < Rank; ++a) n *= extent_[a];
    return n;
  }

  /// The element at the given index. The caller keeps every index inside its extent: nothing is checked here.
  template <class... Index>
    requires(sizeof...(Index) == std::size_t(Rank) && (std::is_convertible_v<Index, index_t> && ...))
  WEAKLY_HD constexpr T& operator()(Index... index) const {
    index_t offset = 0;
    int axis = 0;
    ((offset += static_cast<index_t>(index) * stride_[axis++]), ...);
    return data_[offset];
  }

 private:
  T* data_;
  index_t extent_[std::size_t(Rank)];
  index_t stride_[std::size_t(Rank)];
};

template <class T, class Space = host_memory>
using vector_view = tensor_view<T, 1, Space>;
template <class T, class Space = host_memory>
using matrix_view = tensor_view<T, 2, Space>;

static_assert(std::is_trivially_copyable_v<matrix_view<const float>>);
static_assert(std::is_trivially_copyable_v<tensor_view<half, 4, device_memory>>);

/// How a type shows its memory. Specialise it for a type of your own:
///
///     template <> struct weakly::adapt<my_matrix> {
///       static constexpr bool owns = true;          // its elements die with it: a temporary is no view
///       template <class X>                           // X is my_matrix or const my_matrix
///       static auto view(X& x) {                     // a tensor_view; of const elements where x lets nobody write
///         return weakly::view(x.data(), x.rows(), x.cols());
///       }
///     };
///
/// A type whose rank or element type is known only at run time gives `view_as<T, Rank>(x)` instead.
template <class X>
struct adapt {};

template <class T, int Rank, class Space>
struct adapt<tensor_view<T, Rank, Space>> {
  static constexpr bool owns = false;
  static constexpr tensor_view<T, Rank, Space> view(const tensor_view<T, Rank, Space>& x) { return x; }
};

namespace detail {

// data() and size() alone prove nothing: an Eigen sub-row has both and is not contiguous, an xtensor matrix is a
// contiguous range and not a vector. Whatever knows more than one axis must be adapted by name.
template <class X>
concept knows_axes = requires(const X& x) {
  x.rows();
}
|| requires(const X& x) { x.shape(); }
|| requires(const X& x) { x.rank(); }
|| requires(const X& x) { x.extents(); };

template <class X>
concept plain_range = std::ranges::contiguous_range<X> && std::ranges::sized_range<X> && !knows_axes<X> &&
                      std::is_arithmetic_v<std::ranges::range_value_t<X>>;

template <class X>
concept plain_half_range =
    std::ranges::contiguous_range<X> && std::ranges::sized_range<X> && !knows_axes<X> &&
    (std::is_same_v<std::ranges::range_value_t<X>, half> || std::is_same_v<std::ranges::range_value_t<X>, bfloat16>);

}  // namespace detail

/// Contiguous ranges of numbers: std::vector, std::array, std::span, C arrays and their like are vectors.
template <class X>
  requires(detail::plain_range<X> || detail::plain_half_range<X>)
struct adapt<X> {
  static constexpr bool owns = !std::ranges::borrowed_range<X>;
  template <class Y>
  static constexpr auto view(Y& y) {
    using T = std::remove_reference_t<std::ranges::range_reference_t<Y>>;
    return tensor_view<T, 1>(std::ranges::data(y), {static_cast<index_t>(std::ranges::size(y))});
  }
};

namespace detail {

template <class X>
concept adapted = requires(X& x) {
  adapt<std::remove_const_t<X>>::view(x);
};

template <class X>
inline constexpr bool is_tensor_view = false;
template <class T, int Rank, class Space>
inline constexpr bool is_tensor_view<tensor_view<T, Rank, Space>> = true;

}  // namespace detail

/// Types that `view` takes: adapted ones, unless a temporary would take its elements with it.
template <class X>
concept viewable = detail::adapted<std::remove_reference_t<X>> &&
    (std::is_lvalue_reference_v<X> || !adapt<std::remove_cvref_t<X>>::owns);

/// The tensor_view over the memory of `x`: no element is copied, and `x` must outlive the view.
/// Does not compile for a temporary that owns its elements, nor for an expression that has none.
template <class X>
  requires viewable<X>
constexpr auto view(X&& x) { return adapt<std::remove_cvref_t<X>>::view(static_cast<std::remove_reference_t<X>&>(x)); }

/// n contiguous elements at `data`.
template <class T, std::integral N>
constexpr tensor_view<T, 1> view(T* data, N n) {
  return tensor_view<T, 1>(data, {static_cast<index_t>(n)});
}

/// A row-major rows x columns matrix at `data`.
template <class T, std::integral Rows, std::integral Columns>
constexpr tensor_view<T, 2> view(T* data, Rows rows, Columns columns) {
  return tensor_view<T, 2>(data, {static_cast<index_t>(rows), static_cast<index_t>(columns)});
}

/// A matrix at `data` whose element (i, j) lies at data[i * row_stride + j * column_stride]; strides count elements.
template <class T, std::integral Rows, std::integral Columns, std::integral RowStride, std::integral ColumnStride>
constexpr tensor_view<T, 2> view(T* data, Rows rows, Columns columns, RowStride row_stride,
                                 ColumnStride column_stride) {
  return tensor_view<T, 2>(data, {static_cast<index_t>(rows), static_cast<index_t>(columns)},
                           {static_cast<index_t>(row_stride), static_cast<index_t>(column_stride)});
}

/// The view of a type whose rank or element type is known only at run time, e.g. as_view<float, 2>(tensor).
/// Throws shape_error where the rank, value_error where the element type is another.
template <class T, int Rank, class X>
  requires requires(X& x) { adapt<std::remove_cvref_t<X>>::template view_as<T, Rank>(x); }
constexpr auto as_view(X& x) { return adapt<std::remove_cvref_t<X>>::template view_as<T, Rank>(x); }

/// The type of view(x) for an argument deduced as X.
template <class X>
using view_t = decltype(adapt<std::remove_cvref_t<X>>::view(std::declval<std::remove_reference_t<X>&>()));

namespace detail {

// Inputs are taken as const X&, which keeps a temporary alive to the end of the call.
template <class X>
using input_view_t = view_t<const std::remove_reference_t<X>&>;

template <class X>
concept readable = adapted<const std::remove_reference_t<X>>;

template <class X>
concept writable = viewable<X> && !std::is_const_v<typename view_t<X>::element_type>;

}  // namespace detail

/// Arguments whose memory the host may touch.
template <class X>
concept on_host = detail::readable<X> && std::is_same_v<typename detail::input_view_t<X>::memory_space, host_memory>;

template <class X>
concept readable_vector = detail::readable<X> && detail::input_view_t<X>::rank == 1;
template <class X>
concept readable_matrix = detail::readable<X> && detail::input_view_t<X>::rank == 2;

/// Outputs: not const, and no temporary that would take the results with it. X is deduced from a parameter X&&.
template <class X>
concept writable_vector = detail::writable<X> && view_t<X>::rank == 1;
template <class X>
concept writable_matrix = detail::writable<X> && view_t<X>::rank == 2;

/// n labels: host integers of any width, signed or not.
template <class X>
concept label_vector =
    readable_vector<X> && on_host<X> && std::is_integral_v<typename detail::input_view_t<X>::value_type> &&
    !std::is_same_v<typename detail::input_view_t<X>::value_type, bool>;

/// An n x k matrix of numbers on the host: float, double, half or bfloat16.
template <class X>
concept real_matrix = readable_matrix<X> && on_host<X> && is_real_v<typename detail::input_view_t<X>::value_type>;

/// A vector of numbers on the host: float, double, half or bfloat16.
template <class X>
concept real_vector = readable_vector<X> && on_host<X> && is_real_v<typename detail::input_view_t<X>::value_type>;

namespace detail {

template <class T, int Rank, class Space>
std::string shape_text(const tensor_view<T, Rank, Space>& v) {
  std::string text = "(";
  for (int a = 0; a < Rank; ++a) text += (a ? " x " : "") + std::to_string(v.extent(a));
  return text + ")";
}

/// Throws shape_error unless the extents agree. Looks at extents only: views of any space will do.
template <class A, class B, int Rank, class SpaceA, class SpaceB>
void require_same_shape(std::string_view what, const tensor_view<A, Rank, SpaceA>& a,
                        const tensor_view<B, Rank, SpaceB>& b) {
  for (int axis = 0; axis < Rank; ++axis)
    if (a.extent(axis) != b.extent(axis))
      fail<shape_error>(what, " differ in shape: ", shape_text(a), " and ", shape_text(b));
}

/// Throws shape_error unless one axis has the extent that the rest of the call implies.
template <class T, int Rank, class Space>
void require_extent(std::string_view what, const tensor_view<T, Rank, Space>& v, int axis, index_t expected) {
  if (v.extent(axis) != expected)
    fail<shape_error>(what, " has shape ", shape_text(v), ", but axis ", axis, " must have extent ", expected);
}

/// The stride of an axis of extent 0 or 1 is whatever its maker liked, so it is never compared.
template <class T, class Space>
constexpr bool rows_are_contiguous(const tensor_view<T, 2, Space>& v) {
  return v.extent(1) <= 1 || v.stride(1) == 1;
}

}  // namespace detail

/// A tensor [..., k] as a matrix of rows x k, without a copy: an n-dimensional batch becomes a list of rows in
/// row-major order of its leading axes. A vector becomes one row. Throws shape_error, naming the axis, where the
/// strides do not allow it. O(rank).
template <class T, int Rank, class Space>
constexpr tensor_view<T, 2, Space> as_rows(const tensor_view<T, Rank, Space>& v) {
  index_t rows = 1;
  index_t row_stride = 0;
  for (int a = Rank - 2; a >= 0; --a) {
    if (v.extent(a) != 1) {
      if (rows == 1)
        row_stride = v.stride(a);
      else if (rows != 0 && v.extent(a) != 0 && v.stride(a) != row_stride * rows)
        detail::fail<shape_error>("as_rows: axis ", a, " of shape ", detail::shape_text(v), " has stride ", v.stride(a),
                                  ", but viewing the leading axes as rows needs ", row_stride * rows,
                                  "; pass a tensor whose leading axes are contiguous, or loop over axis ", a);
    }
    rows *= v.extent(a);
  }
  return tensor_view<T, 2, Space>(v.data(), {rows, v.extent(Rank - 1)}, {row_stride, v.stride(Rank - 1)});
}

}  // namespace weakly::inline v0
