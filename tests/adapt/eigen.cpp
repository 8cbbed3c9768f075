// SPDX-License-Identifier: MIT
#include <weakly/adapt/eigen.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

template <class T>
using row_major = Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

template <class X>
constexpr bool shows = weakly::viewable<X>;

/// Whether a view of rank 2 or 1 shows what Eigen shows.
template <class X>
bool agrees(const X& x) {
  const auto v = weakly::view(x);
  bool same = true;
  if constexpr (decltype(v)::rank == 2) {
    same = v.extent(0) == x.rows() && v.extent(1) == x.cols();
    for (Eigen::Index i = 0; same && i < x.rows(); ++i)
      for (Eigen::Index j = 0; j < x.cols(); ++j) same = same && &v(i, j) == &x.coeffRef(i, j);
  } else {
    same = v.extent(0) == x.size();
    for (Eigen::Index i = 0; same && i < x.size(); ++i) same = same && &v(i) == &x.coeffRef(i);
  }
  return same;
}

}  // namespace

TEST_CASE_TEMPLATE("eigen matrices and arrays are shown in place, in both storage orders", X, Eigen::MatrixXf,
                   row_major<double>, Eigen::ArrayXXd, Eigen::Matrix<int, 3, 4>,
                   Eigen::Matrix<int, 3, 4, Eigen::RowMajor>, Eigen::Array<float, Eigen::Dynamic, 4>,
                   Eigen::Matrix<std::int64_t, Eigen::Dynamic, Eigen::Dynamic, 0, 8, 8>) {
  X x = X::Zero(3, 4);
  CHECK(agrees(x));
  auto v = weakly::view(x);
  CHECK(decltype(v)::rank == 2);
  CHECK(v.data() == x.data());
  v(2, 1) = 5;
  CHECK(x(2, 1) == 5);
}

TEST_CASE("eigen vectors have rank 1, whichever way they lie") {
  Eigen::VectorXf column = Eigen::VectorXf::Random(5);
  Eigen::RowVectorXi row = Eigen::RowVectorXi::Random(5);
  Eigen::Vector3d fixed = Eigen::Vector3d::Random();
  CHECK(agrees(column));
  CHECK(agrees(row));
  CHECK(agrees(fixed));
  CHECK(decltype(weakly::view(row))::rank == 1);
  CHECK(weakly::readable_vector<Eigen::ArrayXd>);
  CHECK(weakly::label_vector<Eigen::VectorXi>);
  CHECK_FALSE(weakly::label_vector<Eigen::Vector<bool, Eigen::Dynamic>>);
}

TEST_CASE("eigen vectors become matrices for who asks") {
  Eigen::VectorXf v = Eigen::VectorXf::Random(5);
  const auto row = weakly::as_rows(weakly::view(v));
  CHECK(row.extent(0) == 1);
  CHECK(row(0, 4) == v(4));
  const auto column = weakly::view(v.data(), v.size(), 1);
  CHECK(column.extent(0) == 5);
  CHECK(column(4, 0) == v(4));
}

TEST_CASE("eigen sub-rows and sub-columns keep the stride of the matrix they come from") {
  Eigen::MatrixXf by_column = Eigen::MatrixXf::Random(5, 7);
  row_major<float> by_row = row_major<float>::Random(5, 7);
  CHECK(weakly::view(by_column.row(2)).stride(0) == 5);
  CHECK(weakly::view(by_row.row(2)).stride(0) == 1);
  CHECK(weakly::view(by_row.col(2)).stride(0) == 7);
  CHECK(agrees(by_column.row(2)));
  CHECK(agrees(by_row.col(6)));
  CHECK(agrees(by_column.row(2).segment(1, 4)));
  CHECK(agrees(by_row.col(3).tail(2)));
  CHECK(agrees(by_column.col(3).head<2>()));
}

TEST_CASE("eigen blocks of blocks, of maps and of references are shown where they lie") {
  Eigen::MatrixXd m = Eigen::MatrixXd::Random(8, 9);
  CHECK(agrees(m.block(1, 2, 5, 6)));
  CHECK(agrees(m.block(1, 2, 5, 6).block(1, 1, 3, 2)));
  CHECK(agrees(m.block(1, 2, 5, 6).row(3)));
  CHECK(agrees(m.topRows(3)));
  CHECK(agrees(m.rightCols<2>()));
  CHECK(decltype(weakly::view(m.middleCols(2, 1)))::rank == 2);
  CHECK(decltype(weakly::view(m.middleCols<1>(2)))::rank == 1);
  Eigen::Ref<Eigen::MatrixXd> ref = m.topRows(4);
  CHECK(agrees(ref));
  CHECK(agrees(ref.col(2)));
}

TEST_CASE("eigen transposes, array() and matrix() of what has memory are shown too") {
  Eigen::MatrixXf m = Eigen::MatrixXf::Random(3, 4);
  const row_major<float> constant = row_major<float>::Random(3, 4);
  CHECK(weakly::view(m.transpose())(3, 1) == m(1, 3));
  CHECK(weakly::view(m.transpose()).stride(1) == 1);
  CHECK(weakly::view(constant.transpose())(3, 1) == constant(1, 3));
  CHECK(weakly::view(m.block(1, 1, 2, 3).transpose())(2, 0) == m(1, 3));
  CHECK(weakly::view(m.array())(2, 3) == m(2, 3));
  CHECK(weakly::view(m.array().matrix().transpose())(3, 2) == m(2, 3));
  CHECK(weakly::view(m.row(1).transpose()).stride(0) == 3);
  auto transposed = m.transpose();
  weakly::view(transposed)(3, 1) = 9;
  CHECK(m(1, 3) == 9);
}

TEST_CASE("eigen maps keep their strides, outer, inner, or both") {
  std::vector<int> numbers(100);
  for (int i = 0; i < 100; ++i) numbers[std::size_t(i)] = i;
  using dynamic_stride = Eigen::Stride<Eigen::Dynamic, Eigen::Dynamic>;
  Eigen::Map<Eigen::MatrixXi> plain(numbers.data(), 4, 5);
  Eigen::Map<Eigen::MatrixXi, 0, dynamic_stride> both(numbers.data(), 4, 5, dynamic_stride(17, 3));
  Eigen::Map<row_major<int>, 0, Eigen::OuterStride<>> outer(numbers.data(), 4, 5, Eigen::OuterStride<>(11));
  Eigen::Map<Eigen::VectorXi, 0, Eigen::InnerStride<3>> inner(numbers.data(), 7);
  Eigen::Map<const Eigen::RowVectorXi, 0, Eigen::InnerStride<>> constant(numbers.data(), 7, Eigen::InnerStride<>(5));
  CHECK(agrees(plain));
  CHECK(agrees(both));
  CHECK(weakly::view(both)(2, 3) == 57);
  CHECK(agrees(outer));
  CHECK(weakly::view(outer)(2, 3) == 25);
  CHECK(agrees(inner));
  CHECK(weakly::view(inner)(2) == 6);
  CHECK(weakly::view(constant)(4) == 20);
  CHECK(agrees(both.row(1)));
}

TEST_CASE("eigen constness is kept: of the object, of what is mapped and of what a block is part of") {
  using Eigen::MatrixXf;
  using weakly::writable_matrix;
  using weakly::writable_vector;
  CHECK(writable_matrix<MatrixXf&>);
  CHECK_FALSE(writable_matrix<const MatrixXf&>);
  CHECK(writable_matrix<Eigen::Map<MatrixXf>>);
  CHECK_FALSE(writable_matrix<Eigen::Map<const MatrixXf>>);
  CHECK(writable_matrix<Eigen::Ref<MatrixXf>>);
  CHECK_FALSE(writable_matrix<Eigen::Ref<const MatrixXf>&>);
  CHECK(writable_matrix<decltype(std::declval<MatrixXf&>().topRows(2))>);
  CHECK_FALSE(writable_matrix<decltype(std::declval<const MatrixXf&>().topRows(2))>);
  CHECK(writable_matrix<decltype(std::declval<MatrixXf&>().transpose())>);
  CHECK_FALSE(writable_matrix<decltype(std::declval<const MatrixXf&>().transpose())>);
  CHECK(writable_vector<decltype(std::declval<MatrixXf&>().row(0))>);
  CHECK_FALSE(writable_vector<decltype(std::declval<const MatrixXf&>().row(0))>);
  CHECK(std::is_same_v<decltype(weakly::view(std::declval<const MatrixXf&>())), weakly::matrix_view<const float>>);
}

TEST_CASE("eigen temporaries that own their elements are no views; blocks and maps of living matrices are") {
  using Eigen::MatrixXf;
  CHECK_FALSE(shows<MatrixXf>);
  CHECK_FALSE(shows<Eigen::ArrayXd>);
  CHECK_FALSE(shows<Eigen::Ref<const MatrixXf>>);  // may hold a copy
  CHECK(shows<Eigen::Ref<const MatrixXf>&>);
  CHECK(shows<Eigen::Ref<MatrixXf>>);
  CHECK(shows<Eigen::Map<MatrixXf>>);
  CHECK(shows<decltype(std::declval<MatrixXf&>().topRows(2))>);
  CHECK_FALSE(weakly::writable_matrix<MatrixXf>);
  CHECK(weakly::readable_matrix<MatrixXf>);
}

TEST_CASE("eigen references that copied an expression show the copy") {
  const Eigen::MatrixXf a = Eigen::MatrixXf::Random(3, 4);
  const Eigen::Ref<const Eigen::MatrixXf> sum = a + a;
  CHECK(weakly::view(sum).data() == sum.data());
  CHECK(weakly::view(sum)(2, 3) == a(2, 3) + a(2, 3));
}

TEST_CASE("eigen expressions without memory are refused, not evaluated") {
  Eigen::MatrixXf a(3, 4), b(3, 4);
  const std::vector<int> indices{0, 2};
  CHECK_FALSE(shows<decltype(a + b)&>);
  CHECK_FALSE(shows<decltype(a.cast<double>())&>);
  CHECK_FALSE(shows<decltype(a * b.transpose())&>);
  CHECK_FALSE(shows<decltype((a + b).transpose())&>);
  CHECK_FALSE(shows<decltype((a + b).row(0))&>);
  CHECK_FALSE(shows<decltype(a.array().exp())&>);
  CHECK_FALSE(shows<decltype(a(indices, Eigen::all))&>);
  CHECK_FALSE(shows<decltype(a(Eigen::seqN(0, 2, 2), Eigen::all))&>);
  CHECK_FALSE(shows<decltype(a(indices, Eigen::all).row(0))&>);
  CHECK_FALSE(shows<decltype(Eigen::MatrixXf::Zero(3, 4))&>);
  CHECK_FALSE(shows<decltype(a.colwise().reverse())&>);
  CHECK_FALSE(shows<decltype(a.triangularView<Eigen::Upper>())&>);
  CHECK_FALSE(weakly::readable_matrix<decltype(a + b)>);
}

TEST_CASE("eigen matrices without elements have views without elements") {
  Eigen::MatrixXf none, no_rows(0, 4), no_columns(3, 0);
  CHECK(weakly::view(none).size() == 0);
  CHECK(weakly::view(no_rows).extent(1) == 4);
  CHECK(weakly::view(no_columns).extent(0) == 3);
  const Eigen::VectorXi no_labels;
  CHECK(weakly::view(no_labels).extent(0) == 0);
}

TEST_CASE("eigen half and bfloat16 are read as weakly's, bit for bit") {
  CHECK(std::is_same_v<decltype(weakly::view(std::declval<Eigen::MatrixX<Eigen::half>&>())),
                       weakly::matrix_view<weakly::half>>);
  CHECK(std::is_same_v<decltype(weakly::view(std::declval<const Eigen::VectorX<Eigen::bfloat16>&>())),
                       weakly::vector_view<const weakly::bfloat16>>);
  Eigen::VectorX<Eigen::half> halves(65536);
  Eigen::VectorX<Eigen::bfloat16> bfloats(65536);
  for (int b = 0; b < 65536; ++b) {
    halves(b) = Eigen::numext::bit_cast<Eigen::half>(static_cast<std::uint16_t>(b));
    bfloats(b) = Eigen::numext::bit_cast<Eigen::bfloat16>(static_cast<std::uint16_t>(b));
  }
  const auto h = weakly::view(std::as_const(halves));
  const auto f = weakly::view(std::as_const(bfloats));
  int different = 0;
  for (int b = 0; b < 65536; ++b) {
    const float expected_h = static_cast<float>(halves(b)), expected_f = static_cast<float>(bfloats(b));
    different += h(b).bits != b || (std::isnan(expected_h) ? !std::isnan(float(h(b))) : float(h(b)) != expected_h);
    different += f(b).bits != b || (std::isnan(expected_f) ? !std::isnan(float(f(b))) : float(f(b)) != expected_f);
  }
  CHECK(different == 0);
}

TEST_CASE("eigen half written through Eigen is seen through the view, with no write reordered") {
  Eigen::VectorX<Eigen::half> x(1);
  const auto v = weakly::view(x);
  x(0) = Eigen::half(1.0f);
  const float first = v(0);
  x(0) = Eigen::half(2.0f);
  const float second = v(0);
  v(0) = weakly::half(4.0f);
  CHECK(first == 1.0f);
  CHECK(second == 2.0f);
  CHECK(static_cast<float>(x(0)) == 4.0f);
}
