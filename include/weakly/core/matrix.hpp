// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/view.hpp>

#include <cstddef>
#include <span>
#include <utility>
#include <vector>

namespace weakly::inline v0 {

/// A small dense row-major matrix that owns its elements: how results of size k x k are returned. It does no algebra;
/// `view(m)` hands its memory to whatever does.
template <class T>
class matrix {
 public:
  using value_type = T;

  matrix() = default;
  matrix(index_t rows, index_t columns, T value = T())
      : rows_(rows), columns_(columns), data_(static_cast<std::size_t>(rows * columns), value) {}
  /// Takes over `elements`, row by row; there must be rows x columns of them.
  matrix(index_t rows, index_t columns, std::vector<T>&& elements)
      : rows_(rows), columns_(columns), data_(std::move(elements)) {}

  index_t rows() const { return rows_; }
  index_t cols() const { return columns_; }
  T* data() { return data_.data(); }
  const T* data() const { return data_.data(); }

  T& operator()(index_t i, index_t j) { return data_[static_cast<std::size_t>(i * columns_ + j)]; }
  const T& operator()(index_t i, index_t j) const { return data_[static_cast<std::size_t>(i * columns_ + j)]; }

  std::span<T> row(index_t i) & { return {data() + i * columns_, static_cast<std::size_t>(columns_)}; }
  std::span<const T> row(index_t i) const& { return {data() + i * columns_, static_cast<std::size_t>(columns_)}; }
  /// All elements, row by row.
  std::span<T> elements() & { return data_; }
  std::span<const T> elements() const& { return data_; }

  /// Of a matrix about to go: by value, because a view would outlive it.
  std::vector<T> row(index_t i) && { return {data_.begin() + i * columns_, data_.begin() + (i + 1) * columns_}; }
  std::vector<T> elements() && { return std::move(data_); }

  friend bool operator==(const matrix&, const matrix&) = default;

 private:
  index_t rows_ = 0;
  index_t columns_ = 0;
  std::vector<T> data_;
};

template <class T>
struct adapt<matrix<T>> {
  static constexpr bool owns = true;
  template <class M>
  static auto view(M& m) {
    return weakly::view(m.data(), m.rows(), m.cols());
  }
};

}  // namespace weakly::inline v0
