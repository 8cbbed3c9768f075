// SPDX-License-Identifier: MIT
#include <weakly/core/matrix.hpp>
#include <weakly/core/view.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <deque>
#include <list>
#include <numeric>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace own {

// A matrix of somebody's own, stored by columns with a gap behind each.
struct padded_matrix {
  std::vector<double> memory = std::vector<double>(12);
  double* data() { return memory.data(); }
  const double* data() const { return memory.data(); }
};

struct with_axes {
  std::vector<float> memory = std::vector<float>(4);
  int rows() const { return 2; }
  auto begin() const { return memory.begin(); }
  auto end() const { return memory.end(); }
  const float* data() const { return memory.data(); }
  std::size_t size() const { return memory.size(); }
};

}  // namespace own

template <>
struct weakly::adapt<own::padded_matrix> {
  static constexpr bool owns = true;
  template <class M>
  static auto view(M& m) {
    return weakly::view(m.data(), 3, 2, 1, 4);
  }
};

namespace {

template <class View, class T, int Rank>
constexpr bool is_view = std::is_same_v<View, weakly::tensor_view<T, Rank>>;

}  // namespace

TEST_CASE("view shows contiguous ranges as vectors, with the constness of their elements") {
  std::vector<int> numbers{1, 2, 3};
  const std::vector<int> constant{4, 5};
  std::array<double, 2> array{6, 7};
  float c_array[3] = {8, 9, 10};
  const std::span<float> span(c_array);
  const std::span<const int> read_only(numbers);

  CHECK(is_view<decltype(weakly::view(numbers)), int, 1>);
  CHECK(is_view<decltype(weakly::view(constant)), const int, 1>);
  CHECK(is_view<decltype(weakly::view(array)), double, 1>);
  CHECK(is_view<decltype(weakly::view(c_array)), float, 1>);
  CHECK(is_view<decltype(weakly::view(span)), float, 1>);
  CHECK(is_view<decltype(weakly::view(read_only)), const int, 1>);

  CHECK(weakly::view(numbers).data() == numbers.data());
  CHECK(weakly::view(numbers).extent(0) == 3);
  CHECK(weakly::view(constant)(1) == 5);
  CHECK(weakly::view(array)(0) == 6);
  CHECK(weakly::view(c_array).extent(0) == 3);
  weakly::view(span)(2) = 11;
  CHECK(c_array[2] == 11);
  const std::vector<float> empty;
  CHECK(weakly::view(empty).extent(0) == 0);
}

TEST_CASE("view shows half and bfloat16 in ranges, but no range of other objects") {
  std::vector<weakly::half> halves(2);
  CHECK(is_view<decltype(weakly::view(halves)), weakly::half, 1>);
  CHECK(weakly::viewable<std::vector<weakly::bfloat16>&>);
  CHECK_FALSE(weakly::viewable<std::vector<std::string>&>);
  CHECK_FALSE(weakly::viewable<std::vector<bool>&>);
}

TEST_CASE("view refuses ranges that are not contiguous, or that know more than one axis") {
  CHECK_FALSE(weakly::viewable<std::deque<float>&>);
  CHECK_FALSE(weakly::viewable<std::list<float>&>);
  CHECK_FALSE(weakly::viewable<own::with_axes&>);
  CHECK_FALSE(weakly::viewable<int&>);
}

TEST_CASE("view refuses temporaries that own their elements and takes those that do not") {
  CHECK_FALSE(weakly::viewable<std::vector<float>>);
  CHECK_FALSE(weakly::viewable<const std::vector<float>>);
  CHECK_FALSE(weakly::viewable<std::array<float, 3>>);
  CHECK_FALSE(weakly::viewable<weakly::matrix<float>>);
  CHECK_FALSE(weakly::viewable<own::padded_matrix>);
  CHECK(weakly::viewable<std::vector<float>&>);
  CHECK(weakly::viewable<std::span<float>>);
  CHECK(weakly::viewable<weakly::vector_view<float>>);
}

TEST_CASE("arguments: a temporary is an input, because it lives as long as the call, and no output") {
  CHECK(weakly::readable_vector<std::vector<float>>);
  CHECK_FALSE(weakly::writable_vector<std::vector<float>>);
  CHECK(weakly::writable_vector<std::vector<float>&>);
  CHECK(weakly::writable_vector<std::span<float>>);
  CHECK_FALSE(weakly::writable_vector<std::span<const float>>);
  CHECK_FALSE(weakly::writable_vector<const std::vector<float>&>);
  CHECK(weakly::writable_matrix<weakly::matrix<float>&>);
  CHECK_FALSE(weakly::writable_matrix<const weakly::matrix<float>&>);
  CHECK_FALSE(weakly::writable_matrix<weakly::matrix<float>>);
  CHECK_FALSE(weakly::writable_matrix<std::vector<float>&>);
}

TEST_CASE("arguments: labels are integers, not floats and not bool; real numbers are floats of any width") {
  CHECK(weakly::label_vector<std::vector<std::int8_t>>);
  CHECK(weakly::label_vector<std::vector<std::uint64_t>>);
  CHECK(weakly::label_vector<weakly::vector_view<const short>>);
  CHECK_FALSE(weakly::label_vector<std::vector<float>>);
  CHECK_FALSE(weakly::label_vector<std::array<bool, 3>>);
  CHECK_FALSE(weakly::label_vector<weakly::matrix<int>>);
  CHECK(weakly::real_matrix<weakly::matrix<double>>);
  CHECK(weakly::real_matrix<weakly::matrix_view<const weakly::half>>);
  CHECK(weakly::real_matrix<weakly::matrix_view<weakly::bfloat16>>);
  CHECK_FALSE(weakly::real_matrix<weakly::matrix<int>>);
  CHECK_FALSE(weakly::real_matrix<weakly::matrix<long double>>);
  CHECK_FALSE(weakly::real_matrix<std::vector<double>>);
  CHECK(weakly::real_vector<std::vector<double>>);
}

TEST_CASE("arguments: device memory is a view, but nothing that the host may touch") {
  using device = weakly::matrix_view<const float, weakly::device_memory>;
  CHECK(weakly::viewable<device>);
  CHECK(weakly::readable_matrix<device>);
  CHECK_FALSE(weakly::on_host<device>);
  CHECK_FALSE(weakly::real_matrix<device>);
  CHECK_FALSE(weakly::label_vector<weakly::vector_view<const int, weakly::device_memory>>);
  CHECK_FALSE(std::is_convertible_v<device, weakly::matrix_view<const float>>);
}

TEST_CASE("view of pointers takes sizes of any integer type, and strides of any sign") {
  int numbers[6] = {0, 1, 2, 3, 4, 5};
  CHECK(weakly::view(numbers, 6u)(5) == 5);
  CHECK(weakly::view(numbers, std::size_t(2), 3)(1, 0) == 3);
  const auto by_columns = weakly::view(numbers, 2, 3, 1, 2);
  CHECK(by_columns(1, 2) == 5);
  CHECK(by_columns(0, 1) == 2);
  const auto upside_down = weakly::view(numbers + 3, 2, 3, -3, 1);
  CHECK(upside_down(0, 0) == 3);
  CHECK(upside_down(1, 2) == 2);
  const auto mirrored = weakly::view(numbers + 2, 2, 3, 3, -1);
  CHECK(mirrored(0, 0) == 2);
  CHECK(mirrored(1, 2) == 3);
  const auto repeated = weakly::view(numbers + 1, 4, 2, 0, 1);
  CHECK(repeated(3, 1) == 2);
  CHECK(repeated.size() == 8);
}

TEST_CASE("view of somebody's own type goes through adapt and keeps its constness") {
  own::padded_matrix m;
  std::iota(m.memory.begin(), m.memory.end(), 0.0);
  const own::padded_matrix& constant = m;
  CHECK(is_view<decltype(weakly::view(m)), double, 2>);
  CHECK(is_view<decltype(weakly::view(constant)), const double, 2>);
  CHECK(weakly::view(m)(2, 1) == 6);
  CHECK(weakly::real_matrix<own::padded_matrix>);
  CHECK(weakly::writable_matrix<own::padded_matrix&>);
}

TEST_CASE("tensor_view becomes one of const elements, never the other way and never of another type") {
  using weakly::matrix_view;
  CHECK(std::is_convertible_v<matrix_view<float>, matrix_view<const float>>);
  CHECK_FALSE(std::is_convertible_v<matrix_view<const float>, matrix_view<float>>);
  CHECK_FALSE(std::is_convertible_v<matrix_view<float>, matrix_view<const double>>);
  CHECK_FALSE(std::is_convertible_v<matrix_view<float>, weakly::vector_view<float>>);

  float numbers[4] = {1, 2, 3, 4};
  const matrix_view<const float> v = weakly::view(numbers, 2, 2, 1, 2);
  CHECK(v(0, 1) == 3);
  CHECK(v.stride(0) == 1);
}

TEST_CASE("tensor_view is row-major unless it is told strides") {
  std::vector<int> numbers(24);
  std::iota(numbers.begin(), numbers.end(), 0);
  const weakly::tensor_view<int, 3> t(numbers.data(), {2, 3, 4});
  CHECK(t.size() == 24);
  CHECK(t(1, 2, 3) == 23);
  CHECK(t(1, 0, 2) == 14);
  const weakly::tensor_view<int, 3> reversed(numbers.data(), {4, 3, 2}, {1, 4, 12});
  CHECK(reversed(3, 2, 1) == 23);
  CHECK(weakly::tensor_view<int, 3>().size() == 0);
  CHECK(weakly::tensor_view<int, 3>(nullptr, {2, 0, 4}).size() == 0);
}

TEST_CASE("as_rows lists the rows of a batch in row-major order of its leading axes") {
  std::vector<int> numbers(24);
  std::iota(numbers.begin(), numbers.end(), 0);
  const weakly::tensor_view<int, 3> t(numbers.data(), {2, 3, 4});
  const auto rows = weakly::as_rows(t);
  CHECK(rows.extent(0) == 6);
  CHECK(rows.extent(1) == 4);
  for (int i = 0; i < 6; ++i)
    for (int j = 0; j < 4; ++j) CHECK(rows(i, j) == t(i / 3, i % 3, j));
}

TEST_CASE("as_rows keeps the strides of rows that have gaps, run backwards or are stored by columns") {
  std::vector<int> numbers(100);
  std::iota(numbers.begin(), numbers.end(), 0);
  const weakly::tensor_view<int, 3> gaps(numbers.data(), {2, 3, 4}, {15, 5, 1});
  CHECK(weakly::as_rows(gaps)(4, 3) == gaps(1, 1, 3));
  const weakly::tensor_view<int, 3> backwards(numbers.data() + 23, {2, 3, 4}, {-12, -4, -1});
  CHECK(weakly::as_rows(backwards)(4, 3) == backwards(1, 1, 3));
  const weakly::tensor_view<int, 3> classes_first(numbers.data(), {2, 3, 4}, {3, 1, 6});
  const auto rows = weakly::as_rows(classes_first);
  CHECK(rows.stride(0) == 1);
  CHECK(rows(5, 3) == classes_first(1, 2, 3));
}

TEST_CASE("as_rows never looks at the stride of an axis of extent 1") {
  std::vector<int> numbers(24);
  std::iota(numbers.begin(), numbers.end(), 0);
  const weakly::tensor_view<int, 4> t(numbers.data(), {2, 1, 3, 4}, {12, 0, 4, 1});  // xtensor says 0
  CHECK(weakly::as_rows(t)(5, 3) == 23);
  const weakly::tensor_view<int, 4> odd(numbers.data(), {1, 6, 1, 4}, {-777, 4, 999, 1});
  CHECK(weakly::as_rows(odd).extent(0) == 6);
  CHECK(weakly::as_rows(odd)(5, 3) == 23);
  const weakly::tensor_view<int, 3> one_row(numbers.data(), {1, 1, 4}, {55, 66, 1});
  CHECK(weakly::as_rows(one_row).extent(0) == 1);
  CHECK(weakly::as_rows(one_row)(0, 3) == 3);
  const weakly::tensor_view<int, 3> one_class(numbers.data(), {2, 3, 1}, {12, 4, 0});
  CHECK(weakly::as_rows(one_class)(5, 0) == 20);
}

TEST_CASE("as_rows of a vector is one row, of a matrix the matrix") {
  int numbers[6] = {0, 1, 2, 3, 4, 5};
  const auto row = weakly::as_rows(weakly::view(numbers));
  CHECK(row.extent(0) == 1);
  CHECK(row.extent(1) == 6);
  CHECK(row(0, 5) == 5);
  const auto same = weakly::as_rows(weakly::view(numbers, 2, 3, 1, 2));
  CHECK(same.extent(0) == 2);
  CHECK(same(1, 2) == 5);
}

TEST_CASE("as_rows of a tensor without elements has no rows, or rows without columns") {
  const weakly::tensor_view<int, 3> no_batch(nullptr, {0, 3, 4}, {7, 8, 9});
  CHECK(weakly::as_rows(no_batch).extent(0) == 0);
  CHECK(weakly::as_rows(no_batch).extent(1) == 4);
  const weakly::tensor_view<int, 3> empty_middle(nullptr, {5, 0, 4}, {7, 8, 9});
  CHECK(weakly::as_rows(empty_middle).extent(0) == 0);
  const weakly::tensor_view<int, 3> no_classes(nullptr, {5, 3, 0});
  CHECK(weakly::as_rows(no_classes).extent(0) == 15);
  CHECK(weakly::as_rows(no_classes).extent(1) == 0);
}

TEST_CASE("as_rows names the axis whose stride does not allow it") {
  std::vector<int> numbers(200);
  const weakly::tensor_view<int, 3> gap(numbers.data(), {2, 3, 4}, {20, 4, 1});
  CHECK_THROWS_WITH_AS(weakly::as_rows(gap),
                       "as_rows: axis 0 of shape (2 x 3 x 4) has stride 20, but viewing the leading axes as rows needs "
                       "12; pass a tensor "
                       "whose leading axes are contiguous, or loop over axis 0",
                       weakly::shape_error);
  const weakly::tensor_view<int, 4> transposed(numbers.data(), {2, 3, 5, 4}, {60, 4, 12, 1});
  CHECK_THROWS_WITH_AS(weakly::as_rows(transposed), doctest::Contains("axis 1 of shape (2 x 3 x 5 x 4) has stride 4"),
                       weakly::shape_error);
  const weakly::tensor_view<int, 3> half_reversed(numbers.data() + 12, {2, 3, 4}, {-12, 4, 1});
  CHECK_THROWS_AS(weakly::as_rows(half_reversed), weakly::shape_error);
}

TEST_CASE("rows_are_contiguous believes no stride of a single column") {
  int numbers[6] = {};
  CHECK(weakly::detail::rows_are_contiguous(weakly::view(numbers, 2, 3)));
  CHECK_FALSE(weakly::detail::rows_are_contiguous(weakly::view(numbers, 2, 3, 1, 2)));
  CHECK(weakly::detail::rows_are_contiguous(weakly::view(numbers, 6, 1, 1, 0)));
  CHECK(weakly::detail::rows_are_contiguous(weakly::view(numbers, 6, 0, 1, 5)));
}

TEST_CASE("shape errors name both shapes, or the axis and what it should be") {
  int numbers[6] = {};
  const auto a = weakly::view(numbers, 2, 3);
  const auto b = weakly::view(numbers, 3, 2);
  weakly::detail::require_same_shape("f: a and a", a, a);
  weakly::detail::require_extent("f: a", a, 1, 3);
  CHECK_THROWS_WITH_AS(weakly::detail::require_same_shape("f: a and b", a, b),
                       "f: a and b differ in shape: (2 x 3) and (3 x 2)", weakly::shape_error);
  CHECK_THROWS_WITH_AS(weakly::detail::require_extent("f: a", a, 1, 4),
                       "f: a has shape (2 x 3), but axis 1 must have extent 4", weakly::shape_error);
  const weakly::matrix_view<const float, weakly::device_memory> device(nullptr, {2, 4});
  CHECK_THROWS_AS(weakly::detail::require_same_shape("f: a and device", a, device), weakly::shape_error);
}
