// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/view.hpp>

#include <xtensor/xadapt.hpp>
#include <xtensor/xarray.hpp>
#include <xtensor/xfixed.hpp>
#include <xtensor/xstrided_view.hpp>
#include <xtensor/xtensor.hpp>
#include <xtensor/xview.hpp>

#include <array>
#include <cstddef>
#include <type_traits>
#include <utility>

namespace weakly::inline v0 {

namespace detail {

// The memory behind an adaptor: a reference or a bare pointer belongs to somebody else.
template <class Storage>
inline constexpr bool xtensor_storage_owns = !std::is_lvalue_reference_v<Storage>;
template <class Pointer, class Allocator>
inline constexpr bool xtensor_storage_owns<xt::xbuffer_adaptor<Pointer, xt::no_ownership, Allocator>> = false;

// By name, not by members: lazy functions have a shape and no memory, and so have views of them.
template <class X>
struct xtensor_traits {
  static constexpr bool has_memory = false;
  static constexpr bool owns = true;
};
template <class Storage>
struct xtensor_container_traits {
  static constexpr bool has_memory = true;
  static constexpr bool owns = xtensor_storage_owns<Storage>;
};
template <class Storage, xt::layout_type Layout, class Shape, class Tag>
struct xtensor_traits<xt::xarray_container<Storage, Layout, Shape, Tag>> : xtensor_container_traits<Storage> {};
template <class Storage, xt::layout_type Layout, class Shape, class Tag>
struct xtensor_traits<xt::xarray_adaptor<Storage, Layout, Shape, Tag>> : xtensor_container_traits<Storage> {};
template <class Storage, std::size_t Rank, xt::layout_type Layout, class Tag>
struct xtensor_traits<xt::xtensor_container<Storage, Rank, Layout, Tag>> : xtensor_container_traits<Storage> {};
template <class Storage, std::size_t Rank, xt::layout_type Layout, class Tag>
struct xtensor_traits<xt::xtensor_adaptor<Storage, Rank, Layout, Tag>> : xtensor_container_traits<Storage> {};
template <class Storage, std::size_t Rank, xt::layout_type Layout, class Tag>
struct xtensor_traits<xt::xtensor_view<Storage, Rank, Layout, Tag>> : xtensor_container_traits<Storage> {};
template <class T, class Shape, xt::layout_type Layout, bool Shared, class Tag>
struct xtensor_traits<xt::xfixed_container<T, Shape, Layout, Shared, Tag>> : xtensor_container_traits<T> {};
template <class Storage, class Shape, xt::layout_type Layout, bool Shared, class Tag>
struct xtensor_traits<xt::xfixed_adaptor<Storage, Shape, Layout, Shared, Tag>> : xtensor_container_traits<Storage> {};

// A view made from a temporary holds that temporary.
template <class Closure>
struct xtensor_view_traits {
  using source = xtensor_traits<std::remove_cvref_t<Closure>>;
  static constexpr bool has_memory = source::has_memory;
  static constexpr bool owns = !std::is_lvalue_reference_v<Closure> && source::owns;
};
template <class Closure, class... Slices>
struct xtensor_traits<xt::xview<Closure, Slices...>> : xtensor_view_traits<Closure> {};
template <class Closure, class Shape, xt::layout_type Layout, class Storage>
struct xtensor_traits<xt::xstrided_view<Closure, Shape, Layout, Storage>> : xtensor_view_traits<Closure> {};

template <class X>
concept xtensor_memory = xtensor_traits<X>::has_memory && requires(const X& x) {
  x.data() + x.data_offset();
  x.strides();
};

inline constexpr int xtensor_rank_at_run_time = -1;
template <class Shape>
inline constexpr int xtensor_rank = xtensor_rank_at_run_time;
template <class T, std::size_t Rank>
inline constexpr int xtensor_rank<std::array<T, Rank>> = int(Rank);
template <class T, std::size_t Rank>
inline constexpr int xtensor_rank<xt::const_array<T, Rank>> = int(Rank);
template <std::size_t... Extents>
inline constexpr int xtensor_rank<xt::fixed_shape<Extents...>> = int(sizeof...(Extents));

template <class T, int Rank, class X>
tensor_view<T, Rank> xtensor_as(X& x) {
  index_t extent[std::size_t(Rank)];
  index_t stride[std::size_t(Rank)];
  for (std::size_t a = 0; a < std::size_t(Rank); ++a) {
    extent[a] = static_cast<index_t>(x.shape()[a]);
    stride[a] = static_cast<index_t>(x.strides()[a]);
  }
  return {x.data() + static_cast<std::ptrdiff_t>(x.data_offset()), extent, stride};
}

}  // namespace detail

/// xtensor's xtensor, xtensor_fixed and xarray, what xt::adapt makes, and views of these by ranges, integers, all and
/// newaxis or with strides of their own, in place.
///
/// The rank of an xarray, of its views and of xt::strided_view is known only at run time: as_view<float, 2>(x), which
/// throws shape_error where it is another one. Does not compile: lazy functions (a + b), which xt::eval turns into
/// tensors, views that keep or drop listed indices, and temporaries that own their elements.
template <class X>
  requires detail::xtensor_memory<X>
struct adapt<X> {
  static constexpr bool owns = detail::xtensor_traits<X>::owns;
  static constexpr int rank = detail::xtensor_rank<typename X::shape_type>;

  template <class Y>
    requires(rank >= 1)
  static auto view(Y& x) { return detail::xtensor_as<std::remove_pointer_t<decltype(x.data())>, rank>(x); }

  template <class T, int Rank, class Y>
    requires std::is_convertible_v < std::remove_pointer_t<decltype(std::declval<Y&>().data())>(*)
  [], T (*)[] > static tensor_view<T, Rank> view_as(Y& x) {
    if (x.dimension() != std::size_t(Rank))
      detail::fail<shape_error>("as_view: the tensor has rank ", x.dimension(), ", but a view of rank ", Rank,
                                " was asked for; reshape the tensor, or ask for its rank and call as_rows");
    return detail::xtensor_as<T, Rank>(x);
  }
};

}  // namespace weakly::inline v0
