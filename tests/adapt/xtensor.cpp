// SPDX-License-Identifier: MIT
#include <weakly/adapt/xtensor.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <memory>
#include <numeric>
#include <type_traits>
#include <vector>

namespace {

template <class T, std::size_t Rank>
xt::xtensor<T, Rank> counting(std::array<std::size_t, Rank> shape) {
  xt::xtensor<T, Rank> x(shape);
  std::iota(x.storage().begin(), x.storage().end(), T(0));
  return x;
}

/// Whether the view shows the very elements of x.
template <class View, class X>
bool agrees(const View& v, const X& x) {
  bool same = x.dimension() == std::size_t(View::rank);
  for (std::size_t a = 0; same && a < x.dimension(); ++a) same = v.extent(int(a)) == std::ptrdiff_t(x.shape()[a]);
  if constexpr (View::rank == 1) {
    for (std::size_t i = 0; same && i < x.shape()[0]; ++i) same = v(i) == x(i);
  } else if constexpr (View::rank == 2) {
    for (std::size_t i = 0; same && i < x.shape()[0]; ++i)
      for (std::size_t j = 0; same && j < x.shape()[1]; ++j) same = v(i, j) == x(i, j);
  } else {
    for (std::size_t i = 0; same && i < x.shape()[0]; ++i)
      for (std::size_t j = 0; same && j < x.shape()[1]; ++j)
        for (std::size_t l = 0; same && l < x.shape()[2]; ++l) same = v(i, j, l) == x(i, j, l);
  }
  return same;
}

}  // namespace

TEST_CASE("xtensor tensors are shown in place, row-major, column-major and of fixed shape") {
  auto row = counting<float, 2>({3, 4});
  xt::xtensor<float, 2, xt::layout_type::column_major> column = row;
  xt::xtensor_fixed<float, xt::xshape<3, 4>> fixed = row;
  CHECK(weakly::view(row).data() == row.data());
  CHECK(agrees(weakly::view(row), row));
  CHECK(agrees(weakly::view(column), column));
  CHECK(weakly::view(column).stride(0) == 1);
  CHECK(agrees(weakly::view(fixed), fixed));
  weakly::view(row)(2, 3) = -1;
  CHECK(row(2, 3) == -1);
  const auto& constant = row;
  CHECK(std::is_same_v<decltype(weakly::view(constant)), weakly::matrix_view<const float>>);
  CHECK(weakly::label_vector<xt::xtensor<std::uint8_t, 1>>);
  CHECK_FALSE(weakly::label_vector<xt::xtensor<bool, 1>>);
  CHECK(weakly::real_matrix<xt::xtensor<double, 2>>);
}

TEST_CASE("xtensor tensors of higher rank become rows") {
  auto x = counting<float, 3>({2, 3, 4});
  CHECK(agrees(weakly::view(x), x));
  const auto rows = weakly::as_rows(weakly::view(x));
  CHECK(rows.extent(0) == 6);
  CHECK(rows(5, 3) == x(1, 2, 3));
}

TEST_CASE("xtensor says stride 0 for axes of extent 1, and nobody is misled") {
  auto x = counting<float, 3>({5, 1, 4});
  const auto v = weakly::view(x);
  CHECK(v.stride(1) == 0);
  CHECK(weakly::as_rows(v)(4, 3) == x(4, 0, 3));
  auto one_class = counting<float, 2>({5, 1});
  CHECK(weakly::view(one_class).stride(1) == 0);
  CHECK(weakly::detail::rows_are_contiguous(weakly::view(one_class)));
  CHECK(weakly::view(one_class)(4, 0) == 4);
}

TEST_CASE("xtensor views by ranges, integers, all and newaxis are shown with their strides") {
  auto x = counting<int, 3>({4, 5, 6});
  const auto slice = xt::view(x, 1);
  CHECK(agrees(weakly::view(slice), slice));
  const auto middle = xt::view(x, xt::all(), 2, xt::range(1, 4));
  CHECK(agrees(weakly::view(middle), middle));
  const auto backwards = xt::view(x, 2, xt::range(4, 0, -1), xt::range(0, 6, 2));
  CHECK(agrees(weakly::view(backwards), backwards));
  CHECK(weakly::view(backwards).stride(0) == -6);
  const auto of_a_view = xt::view(middle, xt::range(1, 3), xt::range(1, 3));
  CHECK(agrees(weakly::view(of_a_view), of_a_view));
  const auto with_axis = xt::view(x, 1, xt::newaxis(), 3);
  CHECK(agrees(weakly::view(with_axis), with_axis));
  auto written = xt::view(x, 3, xt::all(), 5);
  weakly::view(written)(4) = -7;
  CHECK(x(3, 4, 5) == -7);
}

TEST_CASE("xtensor adaptors of foreign memory are shown, and own it only where they were told to") {
  std::vector<double> memory(12);
  std::iota(memory.begin(), memory.end(), 0.0);
  const std::array<std::size_t, 2> shape{3, 4};
  auto of_vector = xt::adapt(memory, shape);
  auto of_pointer = xt::adapt(memory.data(), memory.size(), xt::no_ownership(), shape);
  CHECK(weakly::view(of_vector).data() == memory.data());
  CHECK(agrees(weakly::view(of_vector), of_vector));
  CHECK(agrees(weakly::view(of_pointer), of_pointer));

  CHECK(weakly::viewable<decltype(of_vector)>);
  CHECK(weakly::viewable<decltype(of_pointer)>);
  CHECK_FALSE(weakly::viewable<decltype(xt::adapt(std::vector<double>(12), shape))>);
  CHECK(weakly::viewable<decltype(xt::adapt(std::vector<double>(12), shape))&>);
  CHECK_FALSE(weakly::viewable<decltype(xt::adapt(std::declval<double*>(), 12u, xt::acquire_ownership(), shape))>);
}

TEST_CASE("xtensor temporaries that own their elements are no views") {
  auto x = counting<float, 2>({3, 4});
  CHECK_FALSE(weakly::viewable<xt::xtensor<float, 2>>);
  CHECK_FALSE(weakly::viewable<xt::xtensor_fixed<float, xt::xshape<2>>>);
  CHECK(weakly::viewable<decltype(xt::view(x, 1))>);
  CHECK_FALSE(weakly::viewable<decltype(xt::view(xt::xtensor<float, 2>(x), 1))>);  // holds the tensor
  CHECK(weakly::viewable<decltype(xt::view(xt::xtensor<float, 2>(x), 1))&>);
  CHECK(weakly::viewable<decltype(xt::view(xt::view(x, xt::range(0, 2)), 1))>);
}

TEST_CASE("xtensor lazy functions and views of listed indices are refused, not evaluated") {
  auto x = counting<float, 2>({3, 4});
  CHECK_FALSE(weakly::viewable<decltype(x + x)&>);
  CHECK_FALSE(weakly::viewable<decltype(xt::view(x + x, 1))&>);
  CHECK_FALSE(weakly::viewable<decltype(xt::view(x, xt::keep(0, 2)))&>);
  CHECK_FALSE(weakly::viewable<decltype(xt::view(x, xt::drop(1)))&>);
  CHECK_FALSE(weakly::viewable<decltype(xt::broadcast(x, std::array<std::size_t, 3>{2, 3, 4}))&>);
  CHECK_FALSE(weakly::readable_matrix<decltype(x + x)>);
}

TEST_CASE("xarray gives a view of the rank that is asked for, if that is its rank") {
  xt::xarray<float> x = counting<float, 2>({3, 4});
  CHECK_FALSE(weakly::viewable<xt::xarray<float>&>);
  const auto v = weakly::as_view<float, 2>(x);
  CHECK(v.data() == x.data());
  CHECK(agrees(v, x));
  const xt::xarray<float>& constant = x;
  CHECK(agrees(weakly::as_view<const float, 2>(constant), x));
  CHECK(agrees(weakly::as_view<const float, 2>(x), x));
  CHECK_THROWS_WITH_AS((weakly::as_view<float, 3>(x)),
                       "as_view: the tensor has rank 2, but a view of rank 3 was asked for; reshape the tensor, or ask "
                       "for its rank and call as_rows",
                       weakly::shape_error);
  CHECK_THROWS_AS((weakly::as_view<float, 1>(x)), weakly::shape_error);
}

TEST_CASE("views of run-time rank are asked for their rank: strided_view, views of xarray") {
  auto x = counting<int, 3>({4, 5, 6});
  auto strided = xt::strided_view(x, {1, xt::range(1, 5, 2)});
  CHECK_FALSE(weakly::viewable<decltype(strided)&>);
  CHECK(agrees(weakly::as_view<int, 2>(strided), strided));
  auto strided_row = xt::strided_view(x, {xt::range(3, 0, -1), 2, xt::ellipsis()});
  CHECK(agrees(weakly::as_view<const int, 2>(strided_row), strided_row));

  xt::xarray<int> dynamic = x;
  auto slice = xt::view(dynamic, 2, xt::range(1, 4));
  CHECK(agrees(weakly::as_view<int, 2>(slice), slice));
  CHECK_THROWS_AS((weakly::as_view<int, 3>(slice)), weakly::shape_error);
  std::vector<int> memory(6);
  auto adapted = xt::adapt(memory, std::vector<std::size_t>{2, 3});
  CHECK(weakly::as_view<int, 2>(adapted).data() == memory.data());
}

TEST_CASE("as_view of a tensor of known rank checks the rank as well") {
  auto x = counting<float, 2>({3, 4});
  CHECK(agrees(weakly::as_view<float, 2>(x), x));
  CHECK_THROWS_AS((weakly::as_view<float, 3>(x)), weakly::shape_error);
}

TEST_CASE("xtensor tensors without elements have views without elements") {
  const xt::xtensor<float, 2> no_rows(std::array<std::size_t, 2>{0, 4});
  CHECK(weakly::view(no_rows).extent(0) == 0);
  CHECK(weakly::view(no_rows).extent(1) == 4);
  CHECK(weakly::view(no_rows).size() == 0);
}
