// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/detail/map_batches.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/softmax_rows.hpp>

#include <algorithm>
#include <cstddef>

namespace weakly::inline v0::detail {

/// delta(j) = (f(j) - f(label)) + c(j) of one row, block by block. The difference comes first: rounded with the margin,
/// it would lose the digits that a small lambda asks for.
template <class T>
class delta_row {
 public:
  static constexpr index_t block = row_blocks<T>::block;

  delta_row(const softmax_scores<T>& scores, const row_blocks<T>& row, index_t label)
      : scores_(scores),
        row_(row),
        label_(label),
        origin_(row.at(label)),
        shared_(scores.margin_by_column() ? T(0) : scores.shared_margin(label)),
        at_label_((origin_ - origin_) + scores.label_margin(row.row(), label)) {}

  index_t classes() const { return row_.classes(); }
  index_t label() const { return label_; }
  bool writes() const { return row_.writes(); }
  /// Where the label stands in the block from `column` on, or -1 where it does not.
  index_t label_in(index_t column, index_t count) const {
    return label_ >= column && label_ < column + count ? label_ - column : -1;
  }

  /// f(column, count, delta) for consecutive blocks; f may change delta.
  template <class F>
  void read(F f) const {
    alignas(64) T delta[std::size_t(block)];
    row_.read([&](index_t column, const T* x, index_t count) {
      fill(column, x, count, delta);
      f(column, count, static_cast<T*>(delta));
    });
  }

  /// As read; the blocks lie one after the other in `to` where that is not null.
  template <class F>
  void read_into(T* to, F f) const {
    if (to == nullptr) {
      read(f);
      return;
    }
    row_.read([&](index_t column, const T* x, index_t count) {
      fill(column, x, count, to + column);
      f(column, count, to + column);
    });
  }

  /// f(column, count, g) for consecutive blocks: f finds delta in g and leaves the gradient there.
  template <class F>
  void write(F f) const {
    row_.write([&](index_t column, const T* x, index_t count, T* g) {
      fill(column, x, count, g);
      f(column, count, g);
    });
  }

 private:
  void fill(index_t column, const T* x, index_t count, T* delta) const {
    using batch = simd::batch<T>;
    const batch origin = origin_;
    if (scores_.margin_by_column()) {
      T buffer[std::size_t(block)];
      const T* const c = scores_.column_margins(row_.row(), label_, column, count, buffer);
      map_batches(x, c, count, delta, [&](batch f, batch margin) { return (f - origin) + margin; });
    } else {
      const batch shared = shared_;
      map_batches(x, count, delta, [&](batch f) { return (f - origin) + shared; });
    }
    if (const index_t at = label_in(column, count); at >= 0) delta[at] = at_label_;
  }

  const softmax_scores<T>& scores_;
  const row_blocks<T>& row_;
  index_t label_;
  T origin_;
  T shared_;
  T at_label_;
};

}  // namespace weakly::inline v0::detail
