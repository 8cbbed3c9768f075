// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/loss/loss_labels.hpp>

namespace weakly::inline v0::detail {

/// One more number a row beside the loss, weighted like it: the gradient by a parameter. Rows left out have zero.
template <class T>
class row_extra {
 public:
  row_extra(const row_sink<T>& to, const loss_labels& labels, index_t classes)
      : to_(to), labels_(labels), classes_(classes) {}

  bool empty() const { return to_.empty(); }

  /// Zero for every row; those that count are put afterwards.
  template <executor Exec>
  void clear(Exec& ex, index_t n) const {
    if (to_.empty()) return;
    for_row_chunks(ex, n, classes_, [&](index_t first, index_t last) {
      const T zero = 0;
      for (index_t i = first; i < last; ++i) to_.put_rows(i, 1, &zero);
    });
  }

  void put(index_t row, T value) const {
    if (to_.empty()) return;
    index_t label;
    T weight;
    status ignored = no_bad_rows();
    labels_.template fetch<T>(row, 1, classes_, &label, &weight, ignored);
    value *= weight;
    to_.put_rows(row, 1, &value);
  }

 private:
  row_sink<T> to_;
  const loss_labels& labels_;
  index_t classes_;
};

}  // namespace weakly::inline v0::detail
