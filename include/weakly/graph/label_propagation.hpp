// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/detail/map_batches.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/half.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>
#include <weakly/core/workspace.hpp>
#include <weakly/graph/adjacency.hpp>
#include <weakly/graph/normalise_adjacency.hpp>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <type_traits>
#include <utility>

namespace weakly::inline v0 {

/// What alpha weights, and what the rest.
enum class propagation : std::uint8_t {
  lazy,    ///< Y(t+1) = (1 - alpha) S Y(t) + alpha Y(t): ERASE's walk, which may stay where it is
  restart  ///< Y(t+1) = alpha S Y(t) + (1 - alpha) Y(0): Zhou's, which never forgets where it began
};

struct label_propagation_options {
  propagation kind = propagation::lazy;
  double alpha = 0.6;  ///< in [0, 1]; usual is 0.6 for lazy, 0.9 for restart
  index_t steps = 5;   ///< 0 or more
};

/// Bytes of workspace to propagate n x k numbers into an output of T.
template <class T>
constexpr std::size_t label_propagation_scratch(index_t n, index_t k) {
  using A = arithmetic_t<T>;
  return 2 * scratch_bytes<A>(n * k + simd::batch<A>::size);
}

namespace detail {

/// Stands for no vector of known nodes.
struct none_known {};

/// Sums of whole rows of x over the entries of a row of the graph.
template <class T>
class neighbour_sums {
  using batch = simd::batch<T>;

 public:
  static constexpr int most_batches = 6;
  static constexpr index_t block = most_batches * batch::size;

  /// sum[j] += sum over e of weight[e] x[column[e] * stride + j] for j < count <= block. Up to a batch beyond is read
  /// from x and written to sum.
  static void add(const T* x, index_t stride, const index_t* column, const T* weight, index_t edges, index_t known,
                  T* sum, index_t count) {
    switch ((count + batch::size - 1) / batch::size) {
      case 1:
        return add_batches<1>(x, stride, column, weight, edges, known, sum);
      case 2:
        return add_batches<2>(x, stride, column, weight, edges, known, sum);
      case 3:
        return add_batches<3>(x, stride, column, weight, edges, known, sum);
      case 4:
        return add_batches<4>(x, stride, column, weight, edges, known, sum);
      case 5:
        return add_batches<5>(x, stride, column, weight, edges, known, sum);
      default:
        return add_batches<6>(x, stride, column, weight, edges, known, sum);
    }
  }

 private:
  static constexpr index_t ahead = 12;  // rows asked for before they are needed

  template <int Batches>
  static void add_batches(const T* x, index_t stride, const index_t* column, const T* weight, index_t edges,
                          index_t known, T* sum) {
    if (weight != nullptr)
      add_rows<Batches, true>(x, stride, column, weight, edges, known, sum);
    else
      add_rows<Batches, false>(x, stride, column, weight, edges, known, sum);
  }

  template <int Batches, bool Weighted>
  static void add_rows(const T* x, index_t stride, const index_t* column, const T* weight, index_t edges, index_t known,
                       T* sum) {
    batch s[std::size_t(Batches)];
    simd::unroll<Batches>([&](auto b) { s[b] = simd::load(sum + b * batch::size); });
    for (index_t e = 0; e < edges; ++e) {
      if (e + ahead < known) {
        const T* const next = x + column[e + ahead] * stride;
        simd::prefetch_lines(next, Batches * batch::size);
      }
      const T* const row = x + column[e] * stride;
      simd::unroll<Batches>([&](auto b) {
        const batch v = simd::load(row + b * batch::size);
        if constexpr (Weighted)
          s[b] = simd::fma(v, batch(weight[e]), s[b]);
        else
          s[b] += v;
      });
    }
    simd::unroll<Batches>([&](auto b) { simd::store(sum + b * batch::size, s[b]); });
  }
};

/// Steps of a propagation. What passes from step to step is U = right Y, so that a step adds rows as they are:
/// U(t+1) = right left (A + s I) U(t) and so on.
template <class T>
class propagation_steps {
 public:
  /// rounded  `out` to read again, where it stores less than T holds
  propagation_steps(const normalised_adjacency& s, const row_source<T>& y, const node_flags& known,
                    const row_sink<T>& out, const row_source<T>& rounded, index_t k,
                    const label_propagation_options& options)
      : s_(s),
        y_(y),
        known_(known),
        out_(out),
        rounded_(rounded),
        k_(k),
        steps_(options.steps),
        lazy_(options.kind == propagation::lazy),
        edge_share_(lazy_ ? 1 - options.alpha : options.alpha),
        own_share_(1 - edge_share_) {
    if (lazy_) own_share_ = options.alpha;  // as it was given
  }

  /// a, b   n k elements and a batch, of which the last batch is a number
  /// reach  reach(node, whether its row of the result has an element that is not zero), once for each node
  template <executor Exec, class Reach>
  void run(Exec& ex, T* a, T* b, Reach reach) const {
    const row_chunks rows(s_.nodes(), k_), work = graph_chunks(s_.graph(), k_);
    ex(rows.count(), [&](index_t c) { start(rows.begin(c), rows.end(c), steps_ == 0 ? nullptr : a, reach); });
    for (index_t t = 1; t <= steps_; ++t) {
      const bool last = t == steps_;
      ex(work.count(), [&](index_t c) { step(work.begin(c), work.end(c), a, last ? nullptr : b, reach); });
      std::swap(a, b);
    }
  }

 private:
  using sums = neighbour_sums<T>;
  using batch = simd::batch<T>;
  static constexpr index_t block = sums::block;

  // Each row to `to` or, where there is none, to the result.
  template <class Reach>
  void start(index_t first, index_t last, T* to, Reach& reach) const {
    T own[std::size_t(block)], copy[std::size_t(block)];
    for (index_t i = first; i < last; ++i) {
      bool reached = false;
      const bool inside = s_.contains(i);
      const T factor = to == nullptr ? T(1) : static_cast<T>(s_.right(i));
      for (index_t j = 0; j < k_; j += block) {
        const index_t count = std::min(block, k_ - j);
        T* const result = place_of(i, j, to, copy);
        if (inside)
          map_batches(y_.part(i, j, count, own), count, result, [f = batch(factor)](batch v) { return v * f; });
        else
          std::fill_n(result, count, T(0));
        if (to == nullptr) reached |= put(i, j, count, result);
      }
      if (to == nullptr) reach(i, reached);
    }
  }

  template <class Reach>
  void step(index_t first, index_t last, const T* from, T* to, Reach& reach) const {
    edge_window<T> window(s_.graph(), s_.graph().row_begin(last));
    T own[std::size_t(block)], copy[std::size_t(block)];
    alignas(64) T sum[std::size_t(block)];
    for (index_t i = first; i < last; ++i) {
      bool reached = false;
      const double left = s_.left(i), right = s_.right(i);
      const double unit = to == nullptr ? 1 : right;  // of what is written
      const bool fixed = known_.given() && known_(i);
      const index_t begin = s_.graph().row_begin(i), end = s_.graph().row_begin(i + 1);
      const T loop = static_cast<T>(s_.self_loops()), edge_factor = static_cast<T>(edge_share_ * left * unit);
      const T own_factor = static_cast<T>(fixed ? unit : own_share_ * (lazy_ ? unit / right : unit));
      for (index_t j = 0; j < k_; j += block) {
        const index_t count = std::min(block, k_ - j);
        T* const result = place_of(i, j, to, copy);
        const T* const here = from + i * k_ + j;
        if (right == 0) {
          std::fill_n(result, count, T(0));
        } else if (fixed) {
          map_batches(y_.part(i, j, count, own), count, result, [f = batch(own_factor)](batch v) { return v * f; });
        } else {
          const T* const mine = lazy_ ? here : y_.part(i, j, count, own);
          for (index_t c = 0; c < count; c += batch::size) simd::store(sum + c, batch(T(0)));
          window.for_pieces(begin, end, [&](const index_t* column, const T* weight, index_t edges, index_t known) {
            sums::add(from + j, k_, column, weight, edges, known, sum, count);
          });
          for_batches<T>(count, [&](auto at) {
            batch all = at.load(sum);
            if (loop != 0) all += batch(loop) * at.load(here);
            at.store(result, simd::fma(all, batch(edge_factor), batch(own_factor) * at.load(mine)));
          });
        }
        if (to == nullptr) reached |= put(i, j, count, result);
      }
      if (to == nullptr) reach(i, reached);
    }
  }

  // Where a part of a row is computed: where it is to be, if it lies there as T.
  T* place_of(index_t i, index_t j, T* to, T* copy) const {
    if (to != nullptr) return to + i * k_ + j;
    T* const direct = out_.part(i, j);
    return direct != nullptr ? direct : copy;
  }
  // Takes a part of a row to the result, if it is not there: whether an element of it is not zero then.
  bool put(index_t i, index_t j, index_t count, const T* x) const {
    T again[std::size_t(block)];
    if (x != out_.part(i, j)) {
      out_.put_part(i, j, count, x);
      if (!rounded_.empty()) x = rounded_.part(i, j, count, again);
    }
    for (index_t c = 0; c < count; ++c)
      if (!(x[c] == 0)) return true;
    return false;
  }

  const normalised_adjacency& s_;
  const row_source<T>& y_;
  const node_flags& known_;
  const row_sink<T>& out_;
  const row_source<T>& rounded_;
  index_t k_, steps_;
  bool lazy_;
  double edge_share_, own_share_;
};

template <executor Exec, class Y, class Known, class Out, class Reached>
index_t propagate(Exec& ex, const normalised_adjacency& s, const Y& y, const Known& known, workspace& scratch, Out& out,
                  Reached& reached, const label_propagation_options& options) {
  constexpr const char* name = "label_propagation";
  using T = arithmetic_t<typename view_t<Out>::value_type>;
  const index_t n = s.nodes(), k = view(y).extent(1);
  require_extent("label_propagation: y", view(y), 0, n);
  require_same_shape("label_propagation: y and out", view(y), view(out));
  if (!(options.alpha >= 0 && options.alpha <= 1))
    fail<option_error>(name, ": alpha is ", options.alpha, "; it must lie in [0, 1]");
  if (options.steps < 0) fail<option_error>(name, ": steps is ", options.steps, "; it must be 0 or more");
  if (may_overlap(view(y), view(out)))
    fail<shape_error>(name, ": out shares memory with y, which every step reads; give a matrix of its own");
  node_flags fixed;
  if constexpr (!std::is_same_v<Known, none_known>) fixed = node_flags_of(name, "known", known, n);
  const row_source<T> from(view(y));
  const row_sink<T> to(view(out));
  T* const a = scratch.take<T>("label_propagation: rows", n * k + simd::batch<T>::size).data();
  T* const b = scratch.take<T>("label_propagation: rows of the next step", n * k + simd::batch<T>::size).data();
  std::fill_n(a + n * k, simd::batch<T>::size, T(0));
  std::fill_n(b + n * k, simd::batch<T>::size, T(0));

  std::atomic<index_t> missed = 0;
  row_source<T> rounded;
  if constexpr (!std::is_same_v<T, typename view_t<Out>::value_type>) rounded = row_source<T>(view(out));
  const propagation_steps<T> steps(s, from, fixed, to, rounded, k, options);
  if constexpr (std::is_same_v<std::remove_cvref_t<Reached>, discard_output>) {
    steps.run(ex, a, b, [&](index_t i, bool r) {
      if (!r && s.contains(i)) missed.fetch_add(1, std::memory_order_relaxed);
    });
  } else {
    const auto flag = view(reached);
    require_extent("label_propagation: reached", flag, 0, n);
    steps.run(ex, a, b, [&](index_t i, bool r) {
      flag(i) = static_cast<typename view_t<Reached>::value_type>(r);
      if (!r && s.contains(i)) missed.fetch_add(1, std::memory_order_relaxed);
    });
  }
  return missed.load();
}

template <class X>
concept flag_output = std::is_same_v<std::remove_cvref_t<X>, discard_output> ||
    (writable_vector<X>&& on_host<X>&& std::is_integral_v<typename view_t<X>::value_type>);

template <class X>
concept real_matrix_output = writable_matrix<X> && real_matrix<X>;

}  // namespace detail

/// Labels, or any numbers, handed along the edges of a graph.
///
///     lazy     Y(t+1) = (1 - alpha) S Y(t) + alpha Y(t)
///     restart  Y(t+1) = alpha S Y(t) + (1 - alpha) Y(0)
///
/// s        n nodes   normalise_adjacency; of a subgraph, rows outside are zero in `out` whatever they are in `y`
/// y        n x k     Y(0): one-hot rows of what is labelled and zeros elsewhere, probabilities, or features
/// known    n         integers; where given, rows whose element is not zero are those of `y` again after every step
/// scratch            label_propagation_scratch<T>(n, k) bytes, T the element type of `out`
/// out      n x k     Y(steps), not the memory of `y`
/// reached  n         integers, 1 where a row of `out` has an element that is not zero; or `discard`
///
/// Returns how many nodes of the subgraph were not reached: zeros, of which the greatest is no label. Rows of `out` add
/// up to one only by row normalisation. NaN and infinities reach whom their row reaches. An isolated node without a
/// loop keeps alpha^steps of its row (lazy) or, from the first step on, 1 - alpha (restart). In the arithmetic of
/// `out`, in the order of the entries. Throws shape_error; option_error; workspace_error. O(steps (m + n) k), memory
/// beside it for two n x k matrices in `scratch`; allocates nothing. One row is one task's, however many entries it
/// has. Same bits for every executor and layout. Source: lazy as in ERASE, CIKM 2024, arXiv 2312.08852; restart: Zhou,
/// Bousquet, Lal, Weston, Schoelkopf, NIPS 2003.
template <executor Exec, real_matrix Y, detail::real_matrix_output Out, detail::flag_output Reached>
index_t label_propagation(Exec&& ex, const normalised_adjacency& s, const Y& y, workspace& scratch, Out&& out,
                          Reached&& reached, const label_propagation_options& options = {}) {
  return detail::propagate(ex, s, y, detail::none_known(), scratch, out, reached, options);
}
template <executor Exec, real_matrix Y, detail::flag_vector Known, detail::real_matrix_output Out,
          detail::flag_output Reached>
index_t label_propagation(Exec&& ex, const normalised_adjacency& s, const Y& y, const Known& known, workspace& scratch,
                          Out&& out, Reached&& reached, const label_propagation_options& options = {}) {
  return detail::propagate(ex, s, y, known, scratch, out, reached, options);
}
template <real_matrix Y, detail::real_matrix_output Out, detail::flag_output Reached>
index_t label_propagation(const normalised_adjacency& s, const Y& y, workspace& scratch, Out&& out, Reached&& reached,
                          const label_propagation_options& options = {}) {
  return label_propagation(seq, s, y, scratch, out, reached, options);
}
template <real_matrix Y, detail::flag_vector Known, detail::real_matrix_output Out, detail::flag_output Reached>
index_t label_propagation(const normalised_adjacency& s, const Y& y, const Known& known, workspace& scratch, Out&& out,
                          Reached&& reached, const label_propagation_options& options = {}) {
  return label_propagation(seq, s, y, known, scratch, out, reached, options);
}

}  // namespace weakly::inline v0
