// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/half.hpp>
#include <weakly/core/labels.hpp>
#include <weakly/core/view.hpp>

#include <cstdint>
#include <string_view>

namespace weakly::inline v0::detail {

/// The view of an argument that is only read.
template <class X>
auto const_view(const X& x) {
  return tensor_view<const typename view_t<const X&>::value_type, view_t<const X&>::rank>(view(x));
}

/// Rows of class probabilities as lists: row i has the entries row_begin(i), ..., row_begin(i + 1) - 1.
template <class Begin, class Class, class T>
struct sparse_rows {
  vector_view<const Begin> row_begin;
  vector_view<const Class> class_index;
  vector_view<const T> prob;

  index_t rows() const { return row_begin.extent(0) - 1; }
  index_t begin(index_t i) const { return static_cast<index_t>(row_begin(i)); }
  index_t class_of(index_t e) const { return static_cast<index_t>(class_index(e)); }
  arithmetic_t<T> prob_of(index_t e) const { return static_cast<arithmetic_t<T>>(prob(e)); }

  /// The probability of a class in row i: 0 where the class is not listed.
  arithmetic_t<T> at(index_t i, index_t c) const {
    for (index_t e = begin(i); e < begin(i + 1); ++e)
      if (class_of(e) == c) return prob_of(e);
    return 0;
  }

  bool has_good_bounds(index_t i) const {
    return is_label(row_begin(i), class_index.extent(0) + 1) && is_label(row_begin(i + 1), class_index.extent(0) + 1) &&
           begin(i) <= begin(i + 1);
  }

  /// The first entry of row i whose class is none of the k, or repeats an earlier one; the row's end where none does.
  /// O(entries) for ascending classes; otherwise a class is looked for among the earlier ones only when a filter of
  /// 4096 bits has seen its like.
  index_t first_bad_entry(index_t i, index_t k) const {
    std::uint64_t seen[64] = {};
    index_t greatest = -1;
    for (index_t e = begin(i); e < begin(i + 1); ++e) {
      if (!is_label(class_index(e), k)) return e;
      const index_t c = class_of(e);
      std::uint64_t& word = seen[c / 64 % 64];
      const std::uint64_t bit = std::uint64_t(1) << (c % 64);
      if (c > greatest)
        greatest = c;
      else if ((word & bit) != 0)
        for (index_t earlier = begin(i); earlier < e; ++earlier)
          if (class_of(earlier) == c) return e;
      word |= bit;
    }
    return begin(i + 1);
  }
};

template <class Begin, class Class, class T>
sparse_rows(vector_view<const Begin>, vector_view<const Class>, vector_view<const T>) -> sparse_rows<Begin, Class, T>;

/// Throws shape_error, label_error or value_error, naming row and entry, unless the lists are what they should be.
/// Looks at everything before anything is used.
template <class Exec, class Label, class Begin, class Class, class T>
void require_sparse_rows(Exec&& ex, std::string_view function, const vector_view<const Label>& labels,
                         const sparse_rows<Begin, Class, T>& lists, index_t k) {
  const index_t n = labels.extent(0);
  if (lists.row_begin.extent(0) != n + 1)
    fail<shape_error>(function, ": row_begin has ", lists.row_begin.extent(0), " entries for ", n,
                      " labels; give one more than there are rows");
  if (lists.class_index.extent(0) != lists.prob.extent(0))
    fail<shape_error>(function, ": ", lists.class_index.extent(0), " classes and ", lists.prob.extent(0),
                      " probabilities");
  require_labels(ex, function, labels, k);
  const auto is_good = [&](index_t i) {
    return lists.has_good_bounds(i) && lists.first_bad_entry(i, k) == lists.begin(i + 1);
  };
  shared_status bad;
  for_row_chunks(ex, n, [&](index_t first, index_t last) {
    for (index_t i = first; i < last; ++i)
      if (!is_good(i)) {
        bad.merge({i, 1});
        return;
      }
  });
  if (bad.load().ok()) return;
  const index_t i = bad.load().first_bad_row;
  if (!lists.has_good_bounds(i))
    fail<shape_error>(function, ": row ", i, " has the entries from ", lists.row_begin(i), " to ",
                      lists.row_begin(i + 1), " of ", lists.class_index.extent(0),
                      "; row_begin ascends and stays within the lists");
  const index_t e = lists.first_bad_entry(i, k);
  if (!is_label(lists.class_index(e), k))
    fail<label_error>(function, ": entry ", e, " of row ", i, " is of class ", lists.class_index(e), ", outside [0, ",
                      k, ")");
  fail<value_error>(function, ": row ", i, " lists class ", lists.class_of(e), " twice (entry ", e,
                    "); give each class of a row once");
}

}  // namespace weakly::inline v0::detail
