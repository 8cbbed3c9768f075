// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/view.hpp>
#include <weakly/graph/adjacency.hpp>

#include <cmath>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <utility>

namespace weakly::inline v0 {

class normalised_adjacency;
struct normalise_adjacency_options;
namespace detail {
template <executor Exec, class Left, class Right>
normalised_adjacency normalised(Exec& ex, const adjacency& graph, const node_flags& inside, Left& left, Right& right,
                                const normalise_adjacency_options& options);
}

/// What the entries of A + s I are divided by.
enum class normalisation : std::uint8_t {
  column,    ///< the sum of their column: A D^-1, ERASE's
  row,       ///< the sum of their row: D^-1 A, the mean of the neighbours
  symmetric  ///< the root of both: D^-1/2 A D^-1/2, Zhou's
};

struct normalise_adjacency_options {
  normalisation by = normalisation::column;
  double self_loops = 0;  ///< s: weight added to every A(i, i); 1 for graph convolutions
};

/// S(i, j) = left(i) (A(i, j) + s [i = j]) right(j), the product never formed: a graph and two numbers a node, all of
/// them the caller's, who changes none while this is in use. Made by normalise_adjacency, which has looked at all
/// entries; nodes outside the subgraph have left = right = 0, all others are positive.
class normalised_adjacency {
 public:
  const adjacency& graph() const { return graph_; }
  index_t nodes() const { return graph_.nodes(); }
  double self_loops() const { return self_loops_; }
  double left(index_t node) const { return left_(node); }
  double right(index_t node) const { return right_(node); }
  bool contains(index_t node) const { return right_(node) != 0; }

 private:
  template <executor Exec, class Left, class Right>
  friend normalised_adjacency detail::normalised(Exec& ex, const adjacency& graph, const detail::node_flags& inside,
                                                 Left& left, Right& right, const normalise_adjacency_options& options);

  adjacency graph_;
  vector_view<double> left_, right_;
  double self_loops_ = 0;
};

namespace detail {

/// The bytes between the first and the last element of a view; nothing for an empty one.
template <class T, int Rank>
std::pair<std::uintptr_t, std::uintptr_t> byte_range(const tensor_view<T, Rank>& v) {
  auto first = reinterpret_cast<std::uintptr_t>(v.data()), last = first + sizeof(T);
  for (int a = 0; a < Rank; ++a) {
    if (v.extent(a) <= 0) return {0, 0};
    const index_t reach = (v.extent(a) - 1) * v.stride(a) * static_cast<index_t>(sizeof(T));
    (reach < 0 ? first : last) += static_cast<std::uintptr_t>(reach);
  }
  return {first, last};
}
/// Whether two vectors or matrices of one shape share an element. Exact where types and strides agree, as of two blocks
/// of columns of a matrix; otherwise whether their bytes are among one another. O(columns).
template <class T, class U, int Rank>
bool may_overlap(const tensor_view<T, Rank>& a, const tensor_view<U, Rank>& b) {
  static_assert(Rank <= 2);
  const auto [a_first, a_last] = byte_range(a);
  const auto [b_first, b_last] = byte_range(b);
  if (!(a_first < b_last && b_first < a_last)) return false;
  if constexpr (!std::is_same_v<std::remove_cv_t<T>, std::remove_cv_t<U>>) return true;
  for (int axis = 0; axis < Rank; ++axis)
    if (a.extent(axis) > 1 && a.stride(axis) != b.stride(axis)) return true;
  const auto bytes = static_cast<std::intptr_t>(reinterpret_cast<std::uintptr_t>(b.data()) -
                                                reinterpret_cast<std::uintptr_t>(a.data()));
  const auto apart = static_cast<index_t>(bytes) / static_cast<index_t>(sizeof(T));
  const index_t n = a.extent(0), step = n > 1 ? a.stride(0) : 0, columns = Rank == 2 ? a.extent(Rank - 1) : 1;
  for (index_t j = 1 - columns; j < columns; ++j) {
    const index_t rest = apart - (j == 0 ? 0 : j * a.stride(Rank - 1));
    if (step == 0 ? rest == 0 : rest % step == 0 && rest / step < n && rest / step > -n) return true;
  }
  return false;
}

// A float holds such a number, its reciprocal and the products that propagation makes of them.
inline double reciprocal_degree(double degree, index_t node, const char* of) {
  if (degree == 0) return 1;
  if (!(degree >= 1e-18 && degree <= 1e18))
    fail<value_error>("normalise_adjacency: the weights of ", of, " ", node, " add up to ", degree,
                      "; bring them to between 1e-18 and 1e18 by a common factor");
  return 1 / degree;
}

template <executor Exec, class Left, class Right>
normalised_adjacency normalised(Exec& ex, const adjacency& graph, const node_flags& inside, Left& left, Right& right,
                                const normalise_adjacency_options& options) {
  constexpr const char* name = "normalise_adjacency";
  normalised_adjacency s;
  s.graph_ = graph;
  s.left_ = view(left);
  s.right_ = view(right);
  s.self_loops_ = options.self_loops;
  const auto l = s.left_, r = s.right_;
  const index_t n = graph.nodes();
  require_extent("normalise_adjacency: left", l, 0, n);
  require_extent("normalise_adjacency: right", r, 0, n);
  if (may_overlap(l, r))
    fail<shape_error>(name, ": left and right share memory; give a vector for each, also where both end up the same");
  if (!(options.self_loops >= 0 && options.self_loops <= 1e18))
    fail<option_error>(name, ": self_loops is ", options.self_loops, "; the weight must lie in [0, 1e18]");
  require_sound_adjacency(name, ex, graph);

  for (index_t i = 0; i < n; ++i) l(i) = r(i) = !inside.given() || inside(i) ? 1 : 0;
  const auto sum_rows = [&] {  // into left, of the columns whose right is set
    const row_chunks chunks = graph_chunks(graph, 1);
    ex(chunks.count(), [&](index_t c) {
      edge_window<double> window(graph, graph.row_begin(chunks.end(c)));
      for (index_t i = chunks.begin(c); i < chunks.end(c); ++i) {
        if (r(i) == 0) continue;
        double sum = options.self_loops;
        window.for_pieces(graph.row_begin(i), graph.row_begin(i + 1),
                          [&](const index_t* column, const double* weight, index_t count, index_t) {
                            for (index_t e = 0; e < count; ++e)
                              if (r(column[e]) != 0) sum += weight != nullptr ? weight[e] : 1;
                          });
        l(i) = sum;
      }
    });
    for (index_t i = 0; i < n; ++i)
      if (r(i) != 0) l(i) = reciprocal_degree(l(i), i, "row");
  };
  const auto sum_columns = [&] {  // into right, of the rows and columns whose left is set; one row after the other
    for (index_t i = 0; i < n; ++i)
      if (l(i) != 0) r(i) = options.self_loops;
    edge_window<double> window(graph, graph.entries());
    for (index_t i = 0; i < n; ++i)
      if (l(i) != 0)
        window.for_pieces(graph.row_begin(i), graph.row_begin(i + 1),
                          [&](const index_t* column, const double* weight, index_t count, index_t) {
                            for (index_t e = 0; e < count; ++e)
                              if (l(column[e]) != 0) r(column[e]) += weight != nullptr ? weight[e] : 1;
                          });
    for (index_t i = 0; i < n; ++i)
      if (l(i) != 0) r(i) = reciprocal_degree(r(i), i, "column");
  };
  if (options.by != normalisation::column) sum_rows();
  if (options.by != normalisation::row) sum_columns();
  if (options.by == normalisation::symmetric)
    for (index_t i = 0; i < n; ++i) {
      l(i) = std::sqrt(l(i));
      r(i) = std::sqrt(r(i));
    }
  return s;
}

template <class X>
concept double_output = writable_vector<X> && on_host<X> && std::is_same_v < typename view_t<X>::value_type,
double > ;

}  // namespace detail

/// A graph ready for propagation, by what each node's entries add up to.
///
///     column     left = 1                 right(j) = 1 / sum over i of (A + s I)(i, j)
///     row        left(i) = 1 / sum over j of (A + s I)(i, j)        right = 1
///     symmetric  both, under the root
///
/// graph    n nodes; column sums and row sums are the same where it is undirected
/// nodes    n  integers; where given, A without the rows and columns whose element is zero, so with degrees of its own
/// left     n  written, kept by the result     right  n  as left, and not its memory
///
/// A sum of zero counts as one, since nothing is divided by it: an isolated node has a row and a column of zeros.
/// Throws shape_error; option_error; value_error for a malformed graph (require_adjacency) before anything is written,
/// and for sums outside [1e-18, 1e18]. Column sums are made on the calling thread, the rest by tasks over rows.
/// O(n + m), allocates nothing. Same bits for every executor. Source: column as in ERASE, CIKM 2024, arXiv 2312.08852;
/// symmetric as in Zhou, Bousquet, Lal, Weston, Schoelkopf, NIPS 2003.
template <executor Exec, detail::flag_vector Nodes, detail::double_output Left, detail::double_output Right>
[[nodiscard]] normalised_adjacency normalise_adjacency(Exec&& ex, const adjacency& graph, const Nodes& nodes,
                                                       Left&& left, Right&& right,
                                                       const normalise_adjacency_options& options = {}) {
  const auto inside = detail::node_flags_of("normalise_adjacency", "nodes", nodes, graph.nodes());
  return detail::normalised(ex, graph, inside, left, right, options);
}
template <executor Exec, detail::double_output Left, detail::double_output Right>
[[nodiscard]] normalised_adjacency normalise_adjacency(Exec&& ex, const adjacency& graph, Left&& left, Right&& right,
                                                       const normalise_adjacency_options& options = {}) {
  return detail::normalised(ex, graph, detail::node_flags(), left, right, options);
}
template <detail::flag_vector Nodes, detail::double_output Left, detail::double_output Right>
[[nodiscard]] normalised_adjacency normalise_adjacency(const adjacency& graph, const Nodes& nodes, Left&& left,
                                                       Right&& right, const normalise_adjacency_options& options = {}) {
  return normalise_adjacency(seq, graph, nodes, left, right, options);
}
template <detail::double_output Left, detail::double_output Right>
[[nodiscard]] normalised_adjacency normalise_adjacency(const adjacency& graph, Left&& left, Right&& right,
                                                       const normalise_adjacency_options& options = {}) {
  return normalise_adjacency(seq, graph, left, right, options);
}

}  // namespace weakly::inline v0
