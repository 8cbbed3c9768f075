// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>
#include <weakly/core/workspace.hpp>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <string_view>
#include <type_traits>

namespace weakly::inline v0 {

/// Marks: a vector of integers or bool of any width on the host, nonzero where something holds.
template <class X>
concept mark_vector =
    readable_vector<X> && on_host<X> && std::is_integral_v<typename detail::input_view_t<X>::value_type>;

/// m x k integers of any width on the host.
template <class X>
concept count_matrix =
    readable_matrix<X> && on_host<X> && std::is_integral_v<typename detail::input_view_t<X>::value_type> &&
    !std::is_same_v<typename detail::input_view_t<X>::value_type, bool>;

namespace detail {

/// Elements of a vector of integers or marks of any width as index_t.
class integer_source {
 public:
  integer_source() = default;

  template <class T>
  explicit integer_source(const vector_view<T>& v)
      : data_(v.data()), stride_(v.stride(0)), size_(v.extent(0)), at_([](const void* data, index_t i) {
          const auto x = static_cast<const std::remove_const_t<T>*>(data)[i];
          if constexpr (sizeof(T) == sizeof(index_t) && std::is_unsigned_v<std::remove_const_t<T>>) {
            constexpr auto top = std::numeric_limits<index_t>::max();
            return x > static_cast<std::remove_const_t<T>>(top) ? top : static_cast<index_t>(x);
          } else {
            return static_cast<index_t>(x);
          }
        }) {}

  index_t size() const { return size_; }
  index_t operator[](index_t i) const { return at_(data_, i * stride_); }

 private:
  const void* data_ = nullptr;
  index_t stride_ = 0;
  index_t size_ = 0;
  index_t (*at_)(const void*, index_t) = nullptr;
};

/// Rows of integers of any width as index_t.
class integer_rows {
 public:
  template <class T>
  explicit integer_rows(const matrix_view<T>& m)
      : all_(vector_view<T>(m.data(), {std::numeric_limits<index_t>::max()}, {1})),
        rows_(m.extent(0)),
        columns_(m.extent(1)),
        row_stride_(m.stride(0)),
        column_stride_(m.stride(1)) {}

  index_t rows() const { return rows_; }
  index_t columns() const { return columns_; }
  index_t operator()(index_t i, index_t j) const { return all_[i * row_stride_ + j * column_stride_]; }

 private:
  integer_source all_;
  index_t rows_, columns_, row_stride_, column_stride_;
};

/// n items in bags: bag i holds the items from begin[i] to begin[i + 1] - 1.
class bag_offsets {
 public:
  /// Throws shape_error unless the offsets start at 0, never run backwards and end at `items`: n bags have n + 1.
  template <class Begin>
  bag_offsets(std::string_view function, const Begin& begin, index_t items) : begin_(view(begin)) {
    if (begin_.size() == 0)
      fail<shape_error>(function, ": bag_begin is empty; m bags have m + 1 offsets, of none it is {0}");
    if (begin_[0] != 0) fail<shape_error>(function, ": bag_begin starts at ", begin_[0], " instead of 0");
    for (index_t i = 0; i < bags(); ++i) {
      const index_t size = begin_[i + 1] < begin_[i] ? -1 : begin_[i + 1] - begin_[i];
      if (size < 0 || begin_[i + 1] > items)
        fail<shape_error>(function, ": bag ", i, " runs from item ", begin_[i], " to ", begin_[i + 1], " of ", items,
                          "; offsets never run backwards or past the end");
      longest_ = std::max(longest_, size);
    }
    if (begin_[bags()] != items)
      fail<shape_error>(function, ": the bags hold ", begin_[bags()], " of ", items,
                        " items; the last offset is the number of items");
  }

  index_t bags() const { return begin_.size() - 1; }
  index_t longest() const { return longest_; }
  index_t first(index_t bag) const { return begin_[bag]; }
  index_t size(index_t bag) const { return begin_[bag + 1] - begin_[bag]; }

 private:
  integer_source begin_;
  index_t longest_ = 0;
};

/// m numbers, one a bag.
template <class T, class Out>
row_sink<T> bag_sink(std::string_view function, std::string_view name, Out& out, index_t m) {
  return value_sink<T>(function, name, out, m, "bags", "bag");
}
/// n numbers, one an item.
template <class T, class Out>
row_sink<T> item_sink(std::string_view function, std::string_view name, Out& out, index_t n) {
  return value_sink<T>(function, name, out, n, "items", "item");
}

/// f(state, task) for every task below `count`, with a state made by make(workspace) in `bytes_each` bytes for as many
/// tasks at a time as the workspace has room for. Whoever is free takes the next task: they may differ much in size.
template <executor Exec, class Make, class F>
void for_tasks(Exec& ex, index_t count, std::size_t bytes_each, workspace& scratch, const char* what, const Make& make,
               const F& f) {
  if (count == 0) return;
  const std::size_t left = scratch.bytes_left();
  const index_t fit = left < 64 ? 0 : static_cast<index_t>((left - 64) / bytes_each);
  const index_t slots = std::clamp(fit, index_t(1), count);
  const auto memory = scratch.take<std::byte>(what, slots * static_cast<index_t>(bytes_each));
  index_t next = 0;
  ex(slots, [&](index_t slot) {
    workspace own(memory.subspan(static_cast<std::size_t>(slot) * bytes_each, bytes_each));
    auto state = make(own);
    for (index_t task = atomic_add(next, index_t(1)); task < count; task = atomic_add(next, index_t(1))) f(state, task);
  });
}

}  // namespace detail

}  // namespace weakly::inline v0
