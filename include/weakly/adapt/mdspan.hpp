// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/view.hpp>

#include <concepts>
#include <cstddef>

namespace weakly::inline v0 {

namespace detail {

// The shape of std::mdspan and of Kokkos' mdspan; neither is included. The accessor must hand out plain references to
// what a plain pointer points at: one that scales, locks or decodes its elements does not.
template <class X>
concept mdspan_like = requires(const X& x, typename X::rank_type axis) {
  typename X::extents_type;
  typename X::mapping_type;
  typename X::accessor_type;
  requires std::same_as<typename X::data_handle_type, typename X::element_type*>;
  requires std::same_as<typename X::reference, typename X::element_type&>;
  requires std::same_as<typename X::accessor_type::data_handle_type, typename X::data_handle_type>;
  requires X::rank()
  >= 1;
  requires X::is_always_strided();
  { x.data_handle() } -> std::convertible_to<typename X::data_handle_type>;
  { x.extent(axis) } -> std::convertible_to<typename X::index_type>;
  { x.stride(axis) } -> std::convertible_to<typename X::index_type>;
};

}  // namespace detail

/// std::mdspan and Kokkos::mdspan with layout_right, layout_left, layout_stride or any other mapping that is always
/// strided, and with the default accessor. Like the mdspan itself, the view of a const mdspan<float> may be written to.
template <detail::mdspan_like X>
struct adapt<X> {
  static constexpr bool owns = false;

  static constexpr auto view(const X& x) {
    constexpr int rank = int(X::rank());
    index_t extent[std::size_t(rank)] = {};
    index_t stride[std::size_t(rank)] = {};
    for (std::size_t a = 0; a < std::size_t(rank); ++a) {
      extent[a] = static_cast<index_t>(x.extent(static_cast<typename X::rank_type>(a)));
      stride[a] = static_cast<index_t>(x.stride(static_cast<typename X::rank_type>(a)));
    }
    return tensor_view<typename X::element_type, rank>(x.data_handle(), extent, stride);
  }
};

}  // namespace weakly::inline v0
