// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/half.hpp>
#include <weakly/core/view.hpp>

#include <Eigen/Core>

#include <type_traits>

namespace weakly::inline v0 {

namespace detail {

// By name, not by members: an IndexedView claims direct access and has no data(), an expression over a plain matrix has
// coefficients but no memory.
template <class X>
inline constexpr bool eigen_has_memory = false;
template <class X>
inline constexpr bool eigen_has_memory<const X> = eigen_has_memory<X>;

template <class T, int Rows, int Columns, int Options, int MaxRows, int MaxColumns>
inline constexpr bool eigen_has_memory<Eigen::Matrix<T, Rows, Columns, Options, MaxRows, MaxColumns>> = true;
template <class T, int Rows, int Columns, int Options, int MaxRows, int MaxColumns>
inline constexpr bool eigen_has_memory<Eigen::Array<T, Rows, Columns, Options, MaxRows, MaxColumns>> = true;
template <class Plain, int Options, class Stride>
inline constexpr bool eigen_has_memory<Eigen::Map<Plain, Options, Stride>> = true;
template <class Plain, int Options, class Stride>
inline constexpr bool eigen_has_memory<Eigen::Ref<Plain, Options, Stride>> = true;
template <class X, int Rows, int Columns, bool InnerPanel>
inline constexpr bool eigen_has_memory<Eigen::Block<X, Rows, Columns, InnerPanel>> = eigen_has_memory<X>;
template <class X, int Size>
inline constexpr bool eigen_has_memory<Eigen::VectorBlock<X, Size>> = eigen_has_memory<X>;
template <class X>
inline constexpr bool eigen_has_memory<Eigen::Transpose<X>> = eigen_has_memory<X>;
template <class X>
inline constexpr bool eigen_has_memory<Eigen::ArrayWrapper<X>> = eigen_has_memory<X>;
template <class X>
inline constexpr bool eigen_has_memory<Eigen::MatrixWrapper<X>> = eigen_has_memory<X>;

// A Ref<const M> made from an expression, or from a matrix of other strides, holds a copy of its own.
template <class X>
inline constexpr bool eigen_owns = std::is_base_of_v<Eigen::PlainObjectBase<X>, X>;
template <class Plain, int Options, class Stride>
inline constexpr bool eigen_owns<Eigen::Ref<const Plain, Options, Stride>> = true;

template <class T>
struct eigen_element {
  using type = T;
};
template <>
struct eigen_element<Eigen::half> {
  using type = half;
};
template <>
struct eigen_element<Eigen::bfloat16> {
  using type = bfloat16;
};
static_assert(sizeof(Eigen::half) == sizeof(half) && alignof(Eigen::half) == alignof(half));
static_assert(sizeof(Eigen::bfloat16) == sizeof(bfloat16) && alignof(Eigen::bfloat16) == alignof(bfloat16));

template <class T>
auto* eigen_data(T* data) {
  using E = typename eigen_element<std::remove_const_t<T>>::type;
  if constexpr (std::is_same_v<E, std::remove_const_t<T>>)
    return data;
  else
    return reinterpret_cast<std::conditional_t<std::is_const_v<T>, const E, E>*>(data);
}

}  // namespace detail

/// Eigen's Matrix, Array, Map and Ref, and the Block, Transpose, array() and matrix() of these, in place and with any
/// strides. What is a vector when it compiles (VectorXf, m.row(i), m.col(j)) has rank 1, all else rank 2; who needs a
/// vector as a matrix writes as_rows(view(v)) for one row, or view(v.data(), v.size(), 1) for one column.
///
/// Eigen::half and Eigen::bfloat16 are read as weakly's. As in Eigen, a const Map, Ref or Block is only read.
/// Does not compile: expressions without memory (a + b, a.cast<float>(), a(indices, all)), which .eval() turns into
/// matrices, and temporaries that own their elements, a Ref<const M> among them.
template <class X>
  requires detail::eigen_has_memory<X>
struct adapt<X> {
  static constexpr bool owns = detail::eigen_owns<X>;

  template <class Y>
  static auto view(Y& x) {
    auto* const data = detail::eigen_data(x.data());
    if constexpr (bool(X::IsVectorAtCompileTime))
      return tensor_view<std::remove_pointer_t<std::remove_const_t<decltype(data)>>, 1>(data, {x.size()},
                                                                                        {x.innerStride()});
    else if constexpr (bool(X::IsRowMajor))
      return weakly::view(data, x.rows(), x.cols(), x.outerStride(), x.innerStride());
    else
      return weakly::view(data, x.rows(), x.cols(), x.innerStride(), x.outerStride());
  }
};

}  // namespace weakly::inline v0
