// SPDX-License-Identifier: MIT
#include <weakly/adapt/eigen.hpp>
#include <weakly/adapt/mdspan.hpp>

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <numeric>
#include <type_traits>
#include <vector>

// The parts of std::mdspan that a program may rely on, where the standard library has none yet.
namespace stand_in {

template <class T>
struct default_accessor {
  using data_handle_type = T*;
  using reference = T&;
};
template <class T>
struct halving_accessor {  // plain pointer, but not plain elements
  using data_handle_type = T*;
  using reference = T;
};
template <class T>
struct fat_accessor {
  struct data_handle_type {
    T* pointer;
  };
  using reference = T&;
};

template <std::size_t Rank>
struct extents {
  using index_type = int;
  using rank_type = std::size_t;
};
template <std::size_t Rank>
struct layout_stride {
  static constexpr bool always_strided = true;
};
template <std::size_t Rank>
struct layout_morton {
  static constexpr bool always_strided = false;
};

template <class T, std::size_t Rank, class Accessor = default_accessor<T>, class Layout = layout_stride<Rank>>
class mdspan {
 public:
  using extents_type = extents<Rank>;
  using layout_type = Layout;
  using mapping_type = Layout;
  using accessor_type = Accessor;
  using element_type = T;
  using value_type = std::remove_cv_t<T>;
  using index_type = int;
  using rank_type = std::size_t;
  using data_handle_type = typename Accessor::data_handle_type;
  using reference = typename Accessor::reference;

  mdspan(data_handle_type data, std::array<int, Rank> extent, std::array<int, Rank> stride)
      : data_(data), extent_(extent), stride_(stride) {}
  static constexpr rank_type rank() noexcept { return Rank; }
  static constexpr bool is_always_strided() { return Layout::always_strided; }
  const data_handle_type& data_handle() const { return data_; }
  index_type extent(rank_type axis) const { return extent_[axis]; }
  index_type stride(rank_type axis) const { return stride_[axis]; }

 private:
  data_handle_type data_;
  std::array<int, Rank> extent_;
  std::array<int, Rank> stride_;
};

}  // namespace stand_in

using stand_in::mdspan;

TEST_CASE("mdspan of any strided layout is shown in place") {
  std::vector<float> numbers(24);
  std::iota(numbers.begin(), numbers.end(), 0.0f);
  const mdspan<float, 2> right(numbers.data(), {4, 6}, {6, 1});
  const mdspan<float, 2> left(numbers.data(), {4, 6}, {1, 4});
  const mdspan<float, 3> stride(numbers.data() + 1, {2, 3, 2}, {12, 4, 2});
  CHECK(weakly::view(right)(3, 5) == 23);
  CHECK(weakly::view(left)(3, 5) == 23);
  CHECK(weakly::view(left).stride(0) == 1);
  CHECK(weakly::view(stride)(1, 2, 1) == 23);
  CHECK(weakly::as_rows(weakly::view(stride)).extent(0) == 6);
  CHECK(std::is_same_v<decltype(weakly::view(right)), weakly::matrix_view<float>>);
}

TEST_CASE("mdspan is a view: it may be a temporary, and its own constness is not that of its elements") {
  CHECK(weakly::viewable<mdspan<float, 2>>);
  CHECK(weakly::writable_matrix<mdspan<float, 2>>);
  CHECK(weakly::writable_matrix<const mdspan<float, 2>&>);
  CHECK_FALSE(weakly::writable_matrix<mdspan<const float, 2>>);
  CHECK(weakly::real_matrix<mdspan<const double, 2>>);
  CHECK(weakly::label_vector<mdspan<const int, 1>>);
  CHECK_FALSE(weakly::label_vector<mdspan<const float, 1>>);
}

TEST_CASE("mdspan with an accessor that is not the default one, or a layout without strides, is refused") {
  CHECK_FALSE(weakly::viewable<mdspan<float, 2, stand_in::halving_accessor<float>>>);
  CHECK_FALSE(weakly::viewable<mdspan<float, 2, stand_in::fat_accessor<float>>>);
  CHECK_FALSE(weakly::viewable<mdspan<float, 2, stand_in::default_accessor<float>, stand_in::layout_morton<2>>>);
  CHECK_FALSE(weakly::viewable<mdspan<float, 0>>);
}

TEST_CASE("mdspan's adapter takes nothing that is not an mdspan") {
  CHECK_FALSE(weakly::detail::mdspan_like<std::vector<float>>);
  CHECK_FALSE(weakly::detail::mdspan_like<Eigen::MatrixXf>);
  CHECK_FALSE(weakly::detail::mdspan_like<weakly::matrix_view<float>>);
}
