// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/half.hpp>
#include <weakly/core/labels.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>

#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <limits>
#include <string_view>
#include <type_traits>

namespace weakly::inline v0 {

/// A graph of n nodes as compressed rows (CSR), read where it lies: made by csr_adjacency, which converts nothing. Row
/// i of A lists the nodes j with A(i, j) != 0, those that node i hears from; an undirected edge stands in both rows.
/// Holds views. Made without arrays it has no nodes.
class adjacency {
 public:
  index_t nodes() const { return nodes_; }
  /// Entries of A: twice the number of undirected edges without loops.
  index_t entries() const { return entries_; }
  bool weighted() const { return weight_ != nullptr; }

  /// Where row `node` begins among the entries, and behind the last row where it ends, as it is.
  index_t row_begin(index_t node) const { return offset_at_(offset_, node * offset_stride_); }
  /// The columns of `count` entries from `first` on, as they are; -1 where they are no index_t.
  void columns(index_t first, index_t count, index_t* to) const {
    copy_columns_(column_, first, column_stride_, count, to);
  }
  /// Their weights, one where the graph has none; a double beyond float becomes the greatest float.
  void weights(index_t first, index_t count, float* to) const { weights_as(copy_float_, first, count, to); }
  void weights(index_t first, index_t count, double* to) const { weights_as(copy_double_, first, count, to); }

 private:
  template <label_vector Offsets, label_vector Columns>
  friend adjacency csr_adjacency(const Offsets& offsets, const Columns& columns);
  template <label_vector Offsets, label_vector Columns, real_vector Weights>
  friend adjacency csr_adjacency(const Offsets& offsets, const Columns& columns, const Weights& weights);

  template <class Integer>
  static index_t integer_at(const void* data, index_t at) {
    return as_index(static_cast<const Integer*>(data)[at]);
  }
  template <class Integer>
  static void copy_integers(const void* data, index_t first, index_t stride, index_t count, index_t* to) {
    const Integer* from = static_cast<const Integer*>(data) + first * stride;
    for (index_t e = 0; e < count; ++e) to[e] = as_index(from[e * stride]);
  }
  template <class Integer>
  static index_t as_index(Integer x) {
    if constexpr (std::is_unsigned_v<Integer> && sizeof(Integer) >= sizeof(index_t))
      if (x > static_cast<Integer>(std::numeric_limits<index_t>::max())) return -1;
    return static_cast<index_t>(x);
  }
  template <class Weight, class T>
  static void copy_weights(const void* data, index_t first, index_t stride, index_t count, T* to) {
    const Weight* from = static_cast<const Weight*>(data) + first * stride;
    for (index_t e = 0; e < count; ++e) {
      // Beyond float are only weights towards nodes outside a subgraph, whose rows are zero: infinity would make NaN.
      if constexpr (sizeof(Weight) > sizeof(T))
        to[e] = static_cast<T>(std::min(from[e * stride], static_cast<Weight>(std::numeric_limits<T>::max())));
      else
        to[e] = detail::convert_real<T>(from[e * stride]);
    }
  }
  template <class Copy, class T>
  void weights_as(Copy copy, index_t first, index_t count, T* to) const {
    if (weighted())
      copy(weight_, first, weight_stride_, count, to);
    else
      std::fill_n(to, count, T(1));
  }

  index_t nodes_ = 0, entries_ = 0;
  const void *offset_ = nullptr, *column_ = nullptr, *weight_ = nullptr;
  index_t offset_stride_ = 1, column_stride_ = 1, weight_stride_ = 1;
  index_t (*offset_at_)(const void*, index_t) = [](const void*, index_t) { return index_t(0); };
  void (*copy_columns_)(const void*, index_t, index_t, index_t, index_t*) = nullptr;
  void (*copy_float_)(const void*, index_t, index_t, index_t, float*) = nullptr;
  void (*copy_double_)(const void*, index_t, index_t, index_t, double*) = nullptr;
};

/// The graph whose row i has its entries at [offsets(i), offsets(i + 1)).
///
/// offsets  n + 1  from 0 on, never falling, up to the number of columns
/// columns  m      in [0, n), ascending within a row, none twice
/// weights  m      finite and not negative; left out, each is one
///
/// Integers of any width. Reads nothing but sizes: what is in the arrays is looked at by require_adjacency. The graph
/// need not be symmetric. Throws shape_error. O(1).
template <label_vector Offsets, label_vector Columns>
adjacency csr_adjacency(const Offsets& offsets, const Columns& columns) {
  const auto o = view(offsets);
  const auto c = view(columns);
  using Offset = typename decltype(o)::value_type;
  using Column = typename decltype(c)::value_type;
  if (o.extent(0) < 1)
    detail::fail<shape_error>("csr_adjacency: offsets are empty; n nodes have n + 1 of them, of which the first is 0");
  adjacency a;
  a.nodes_ = o.extent(0) - 1;
  a.entries_ = c.extent(0);
  a.offset_ = o.data();
  a.offset_stride_ = o.stride(0);
  a.offset_at_ = &adjacency::integer_at<Offset>;
  a.column_ = c.data();
  a.column_stride_ = c.stride(0);
  a.copy_columns_ = &adjacency::copy_integers<Column>;
  return a;
}
template <label_vector Offsets, label_vector Columns, real_vector Weights>
adjacency csr_adjacency(const Offsets& offsets, const Columns& columns, const Weights& weights) {
  const auto w = view(weights);
  using Weight = typename decltype(w)::value_type;
  adjacency a = csr_adjacency(offsets, columns);
  if (w.extent(0) != a.entries_)
    detail::fail<shape_error>("csr_adjacency: ", w.extent(0), " weights for ", a.entries_,
                              " columns; give one for each");
  static constexpr Weight none{};
  a.weight_ = w.extent(0) == 0 ? &none : w.data();
  a.weight_stride_ = w.stride(0);
  a.copy_float_ = &adjacency::copy_weights<Weight, float>;
  a.copy_double_ = &adjacency::copy_weights<Weight, double>;
  return a;
}

namespace detail {

/// Entries of consecutive rows, converted some hundred at a time: what a loop over edges reads.
template <class T>
class edge_window {
 public:
  static constexpr index_t capacity = 512;

  /// Entries from `end` on are not read.
  edge_window(const adjacency& graph, index_t end) : graph_(graph), end_(end) {}

  /// f(columns, weights, count, known) for the pieces of [first, last), in order: `weights` is null where there are
  /// none, and columns[0], ..., columns[known - 1] are those of entries to come, known >= count.
  template <class F>
  WEAKLY_INLINE void for_pieces(index_t first, index_t last, F f) {
    while (first < last) {
      if (first < begin_ || last > begin_ + size_) fill(first);
      const index_t at = first - begin_, count = std::min(last, begin_ + size_) - first;
      f(column_ + at, graph_.weighted() ? weight_ + at : nullptr, count, size_ - at);
      first += count;
    }
  }

 private:
  void fill(index_t first) {
    begin_ = first;
    size_ = std::min(capacity, end_ - first);
    graph_.columns(begin_, size_, column_);
    if (graph_.weighted()) graph_.weights(begin_, size_, weight_);
  }

  const adjacency& graph_;
  index_t begin_ = 0, size_ = 0, end_;
  index_t column_[std::size_t(capacity)];
  T weight_[std::size_t(capacity)];
};

/// Nodes that are set: a vector of any integers, of which one that is not zero sets a node.
class node_flags {
 public:
  node_flags() = default;
  template <class Vector>
  explicit node_flags(const Vector& flags) {
    const auto v = view(flags);
    using Flag = typename decltype(v)::value_type;
    data_ = v.data();
    stride_ = v.stride(0);
    is_set_ = [](const void* data, index_t at) { return static_cast<const Flag*>(data)[at] != Flag(0); };
  }
  bool given() const { return is_set_ != nullptr; }
  bool operator()(index_t node) const { return is_set_(data_, node * stride_); }

 private:
  const void* data_ = nullptr;
  index_t stride_ = 0;
  bool (*is_set_)(const void*, index_t) = nullptr;
};

template <class X>
concept flag_vector = readable_vector<X> && on_host<X> && std::is_integral_v<typename input_view_t<X>::value_type>;

template <class Flags>
node_flags node_flags_of(std::string_view function, std::string_view name, const Flags& flags, index_t nodes) {
  const auto v = view(flags);
  if (v.extent(0) != nodes)
    fail<shape_error>(function, ": ", name, " has ", v.extent(0), " elements for ", nodes, " nodes; give one for each");
  return node_flags(flags);
}

/// Chunks of rows whose entries times `columns` numbers are much the same work, as far as the mean degree says.
inline row_chunks graph_chunks(const adjacency& graph, index_t columns) {
  const index_t n = graph.nodes(), degree = n > 0 ? graph.entries() / n : 0;
  return row_chunks(n, std::max<index_t>(columns, 1) * (degree + 1));
}

/// The first row, from `first` on, whose entries are not as they must be; `last` where there is none. The offsets of
/// these rows must be right.
inline index_t first_malformed_row(const adjacency& graph, index_t first, index_t last) {
  edge_window<double> window(graph, graph.row_begin(last));
  for (index_t i = first; i < last; ++i) {
    index_t before = -1;
    bool sound = true;
    window.for_pieces(graph.row_begin(i), graph.row_begin(i + 1),
                      [&](const index_t* column, const double* weight, index_t count, index_t) {
                        for (index_t e = 0; e < count; ++e) {
                          sound &= column[e] > before;
                          before = column[e];
                        }
                        sound &= before < graph.nodes();
                        for (index_t e = 0; weight != nullptr && e < count; ++e)
                          sound &= weight[e] >= 0 && weight[e] <= std::numeric_limits<double>::max();
                      });
    if (!sound) return i;
  }
  return last;
}

[[noreturn]] inline void fail_malformed_row(std::string_view function, const adjacency& graph, index_t i) {
  const index_t n = graph.nodes();
  index_t before = -1, column = 0;
  for (index_t e = graph.row_begin(i); e < graph.row_begin(i + 1); ++e) {
    graph.columns(e, 1, &column);
    if (!is_label(column, n))
      fail<value_error>(function, ": column ", column, " of row ", i, " is outside [0, ", n,
                        "); columns number the nodes from 0");
    if (column <= before)
      fail<value_error>(function, ": row ", i, " lists node ", column, " behind node ", before,
                        "; sort the columns of each row and join what is listed twice");
    double weight = 1;
    graph.weights(e, 1, &weight);
    if (!(weight >= 0 && weight <= std::numeric_limits<double>::max()))
      fail<value_error>(function, ": the weight from row ", i, " to node ", column, " is ", weight,
                        "; weights are finite and not negative");
    before = column;
  }
  fail<value_error>(function, ": row ", i, " changed while it was read");
}

template <executor Exec>
void require_sound_adjacency(std::string_view function, Exec& ex, const adjacency& graph) {
  const index_t n = graph.nodes();
  if (graph.row_begin(0) != 0)
    fail<value_error>(function, ": offsets begin with ", graph.row_begin(0), " instead of 0");
  for (index_t i = 0; i < n; ++i)
    if (graph.row_begin(i + 1) < graph.row_begin(i))
      fail<value_error>(function, ": row ", i, " begins at entry ", graph.row_begin(i), " and ends at ",
                        graph.row_begin(i + 1), "; offsets never fall");
  if (graph.row_begin(n) != graph.entries())
    fail<value_error>(function, ": offsets end with ", graph.row_begin(n), ", but there are ", graph.entries(),
                      " columns; the two must agree");
  shared_status malformed;
  const row_chunks chunks = graph_chunks(graph, 1);
  ex(chunks.count(), [&](index_t c) {
    const index_t bad = first_malformed_row(graph, chunks.begin(c), chunks.end(c));
    if (bad < chunks.end(c)) malformed.merge({bad, 1});
  });
  if (!malformed.load().ok()) fail_malformed_row(function, graph, malformed.load().first_bad_row);
}

}  // namespace detail

/// Throws value_error, saying which row and what to do, unless the arrays are as csr_adjacency says.
/// normalise_adjacency does this by itself. O(n + m), allocates nothing.
template <executor Exec>
void require_adjacency(Exec&& ex, const adjacency& graph) {
  detail::require_sound_adjacency("require_adjacency", ex, graph);
}
inline void require_adjacency(const adjacency& graph) { require_adjacency(seq, graph); }

}  // namespace weakly::inline v0
