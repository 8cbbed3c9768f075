// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>
#include <weakly/core/workspace.hpp>
#include <weakly/loss/detail/column_tiles.hpp>
#include <weakly/loss/row_loss.hpp>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>

namespace weakly::inline v0 {

struct conditional_transport_cost {
  double forward;
  double backward;

  double total() const { return forward + backward; }
};

/// Bytes of workspace for n rows and m columns.
template <class T>
constexpr std::size_t conditional_transport_scratch(index_t n, index_t m) {
  return 4 * scratch_bytes<T>(n) + 4 * scratch_bytes<T>(m);
}

namespace detail {

/// One side of the plan: weights, and of each row or column the greatest logit, what its exponentials divide by, and
/// its mean cost.
template <class T>
struct transport_side {
  T *weight, *top, *inverse, *cost;
};

template <class T>
class transport_plan {
  using batch = simd::batch<T>;
  static constexpr index_t block = row_blocks<T>::block;

 public:
  row_source<T> cost, logit;
  row_sink<T> cost_grad, logit_grad, row_grad, column_grad;
  index_t rows, columns;
  transport_side<T> row, column;

  // What goes into column j comes from all rows: a group of columns walks down the rows.
  void sum_columns(index_t first, index_t count) const {
    T s_buffer[std::size_t(column_group)], c_buffer[std::size_t(column_group)];
    double sum[std::size_t(column_group)] = {}, weighted[std::size_t(column_group)] = {};
    T* const top = column.top + first;
    std::fill_n(top, count, -std::numeric_limits<T>::infinity());
    for (index_t i = 0; i < rows; ++i) {
      if (row.weight[i] == T(0)) continue;
      const T* const s = logit.part(i, first, count, s_buffer);
      for (index_t j = 0; j < count; ++j) top[j] = s[j] > top[j] ? s[j] : top[j];
    }
    for (index_t i = 0; i < rows; ++i) {
      if (row.weight[i] == T(0)) continue;
      const T* const s = logit.part(i, first, count, s_buffer);
      const T* const c = cost.part(i, first, count, c_buffer);
      alignas(64) T e[std::size_t(column_group)];
      for (index_t j = 0; j < count; j += batch::size) {
        const index_t left = std::min(batch::size, count - j);
        simd::store_partial(
            e + j, left,
            batch(row.weight[i]) * simd::exp(simd::load_partial(s + j, left) - simd::load_partial(top + j, left)));
      }
      for (index_t j = 0; j < count; ++j) {
        sum[j] += double(e[j]);
        weighted[j] += double(e[j]) * double(c[j]);
      }
    }
    for (index_t j = 0; j < count; ++j) {
      column.inverse[first + j] = static_cast<T>(1 / sum[j]);
      column.cost[first + j] = static_cast<T>(weighted[j] / sum[j]);
    }
  }

  void do_row(index_t i) const {
    sum_row(i);
    if (cost_grad.empty() && logit_grad.empty() && row_grad.empty()) return;
    const batch a = row.weight[i], top = row.top[i], inverse = row.inverse[i], mean = row.cost[i];
    double slope = 0;
    blocks(i, [&](index_t first, index_t count, const T* s, const T* c) {
      alignas(64) T by_cost[std::size_t(block)], by_logit[std::size_t(block)], by_row[std::size_t(block)];
      for (index_t j = 0; j < count; j += batch::size) {
        const index_t left = std::min(batch::size, count - j);
        const auto of = [&](const T* array) { return simd::load_partial(array + first + j, left); };
        const batch x = simd::load_partial(s + j, left), y = simd::load_partial(c + j, left), b = of(column.weight);
        const batch forward = times(a, times(b, simd::exp(x - top) * inverse));
        const batch share = times(b, simd::exp(x - of(column.top)) * of(column.inverse));  // b Q / a
        const batch backward = times(a, share), excess = y - of(column.cost);
        simd::store_partial(by_cost + j, left, forward + backward);
        simd::store_partial(by_logit + j, left, times(forward, y - mean) + times(backward, excess));
        simd::store_partial(by_row + j, left, times(share, excess));
      }
      slope += double(simd::sum(static_cast<const T*>(by_row), count));
      if (!cost_grad.empty()) cost_grad.put_part(i, first, count, by_cost);
      if (!logit_grad.empty()) logit_grad.put_part(i, first, count, by_logit);
    });
    const T of_weight = static_cast<T>(double(row.cost[i]) + slope);
    if (!row_grad.empty()) row_grad.put_rows(i, 1, &of_weight);
  }

  void column_slopes(index_t first, index_t count) const {
    T s_buffer[std::size_t(column_group)], c_buffer[std::size_t(column_group)];
    double slope[std::size_t(column_group)] = {};
    for (index_t i = 0; i < rows; ++i) {
      if (row.weight[i] == T(0)) continue;
      const T* const s = logit.part(i, first, count, s_buffer);
      const T* const c = cost.part(i, first, count, c_buffer);
      alignas(64) T g[std::size_t(column_group)];
      const batch factor = row.weight[i] * row.inverse[i], top = row.top[i], mean = row.cost[i];
      for (index_t j = 0; j < count; j += batch::size) {
        const index_t left = std::min(batch::size, count - j);
        const batch share = factor * simd::exp(simd::load_partial(s + j, left) - top);  // a P / b
        simd::store_partial(g + j, left, times(share, simd::load_partial(c + j, left) - mean));
      }
      for (index_t j = 0; j < count; ++j) slope[j] += double(g[j]);
    }
    for (index_t j = 0; j < count; ++j) {
      const T of_weight = static_cast<T>(double(column.cost[first + j]) + slope[j]);
      column_grad.put_rows(first + j, 1, &of_weight);
    }
  }

 private:
  // x y where nothing weighs nothing, whatever it weighs.
  static batch times(batch x, batch y) { return simd::select(x == batch(T(0)), T(0), x * y); }

  template <class F>
  void blocks(index_t i, const F& f) const {
    T s[std::size_t(block)], c[std::size_t(block)];
    for (index_t j = 0; j < columns; j += block) {
      const index_t count = std::min(block, columns - j);
      f(j, count, logit.part(i, j, count, s), cost.part(i, j, count, c));
    }
  }

  void sum_row(index_t i) const {
    T top = -std::numeric_limits<T>::infinity();
    blocks(i, [&](index_t first, index_t count, const T* s, const T*) {
      for (index_t j = 0; j < count; ++j)
        if (column.weight[first + j] != T(0) && s[j] > top) top = s[j];
    });
    double sum = 0, weighted = 0;
    blocks(i, [&](index_t first, index_t count, const T* s, const T* c) {
      alignas(64) T e[std::size_t(block)], ec[std::size_t(block)];
      for (index_t j = 0; j < count; j += batch::size) {
        const index_t left = std::min(batch::size, count - j);
        const batch w = times(simd::load_partial(column.weight + first + j, left),
                              simd::exp(simd::load_partial(s + j, left) - batch(top)));
        simd::store_partial(e + j, left, w);
        simd::store_partial(ec + j, left, times(w, simd::load_partial(c + j, left)));
      }
      sum += double(simd::sum(static_cast<const T*>(e), count));
      weighted += double(simd::sum(static_cast<const T*>(ec), count));
    });
    row.top[i] = top;
    row.inverse[i] = static_cast<T>(1 / sum);
    row.cost[i] = static_cast<T>(weighted / sum);
  }
};

template <class T, class Weights>
transport_side<T> transport_weights(const char* what, const Weights& weights, workspace& scratch) {
  const auto w = view(weights);
  const index_t n = w.extent(0);
  const auto take = [&] { return scratch.take<T>("conditional_transport: scratch", n).data(); };
  const transport_side<T> side{take(), take(), take(), take()};
  bool any = false;
  for (index_t i = 0; i < n; ++i) {
    const auto x = static_cast<double>(w(i));
    if (!(x >= 0 && x <= double(std::numeric_limits<T>::max())))
      fail<value_error>("conditional_transport: ", what, " weight ", x, " of ", i,
                        "; weights are finite, zero or more");
    side.weight[i] = static_cast<T>(x);
    any |= side.weight[i] > T(0);
  }
  if (!any) fail<value_error>("conditional_transport: no ", what, " has a positive weight");
  return side;
}

}  // namespace detail

/// Conditional transport between n weighted things and m weighted others, steered by logits S:
///
///     P(i, j)  = b(j) exp S(i, j) / sum over j of the same,   Q(i, j) = a(i) exp S(i, j) / sum over i of the same
///     forward  = sum over i of a(i) sum over j of P(i, j) C(i, j)
///     backward = sum over j of b(j) sum over i of Q(i, j) C(i, j)
///
/// cost, logit            n x m  C and S        row_weight  n  a, column_weight  m  b: zero or more, not all zero
/// scratch                conditional_transport_scratch<float or double>(n, m) bytes
/// cost_grad, logit_grad  n x m  or discard, of forward + backward; not the storage of cost or logit
/// row_grad, column_grad  n, m   or discard: by a and b, where these are zero as well
///
/// What weighs zero is left out, whatever its entries are; a logit of -inf leaves out a pair, unless it was the last of
/// a row or column. NaN reaches everything that its row or column takes part in. Throws shape_error, workspace_error,
/// and value_error for weights. No iterations; O(n m), allocates nothing. Same bits for every executor and layout.
/// Source: Zheng, Zhou, arXiv 2012.14100; PatchCT, arXiv 2307.09066.
template <executor Exec, score_tensor Cost, score_tensor Logit, real_vector RowWeight, real_vector ColumnWeight,
          loss_output CostGrad, loss_output LogitGrad, loss_output RowGrad, loss_output ColumnGrad>
  requires readable_matrix<Cost> && readable_matrix<Logit> conditional_transport_cost conditional_transport(
      Exec&& ex, const Cost& cost, const Logit& logit, const RowWeight& row_weight, const ColumnWeight& column_weight,
      workspace& scratch, CostGrad&& cost_grad, LogitGrad&& logit_grad, RowGrad&& row_grad, ColumnGrad&& column_grad) {
    using T = arithmetic_t<typename detail::input_view_t<Cost>::value_type>;
    constexpr const char* name = "conditional_transport";
    const auto c = view(cost);
    const auto s = view(logit);
    const index_t n = c.extent(0), m = c.extent(1);
    detail::require_same_shape("conditional_transport: cost and logit", c, s);
    detail::require_extent("conditional_transport: row_weight", view(row_weight), 0, n);
    detail::require_extent("conditional_transport: column_weight", view(column_weight), 0, m);
    const detail::transport_side<T> rows = detail::transport_weights<T>("row", row_weight, scratch);
    const detail::transport_side<T> columns = detail::transport_weights<T>("column", column_weight, scratch);
    const detail::transport_plan<T> plan{detail::row_source<T>(c),
                                         detail::row_source<T>(s),
                                         detail::gradient_sink<T>(name, cost_grad, n, m),
                                         detail::gradient_sink<T>(name, logit_grad, n, m),
                                         detail::value_sink<T>(name, "row_grad", row_grad, n),
                                         detail::value_sink<T>(name, "column_grad", column_grad, m),
                                         n,
                                         m,
                                         rows,
                                         columns};
    detail::for_column_groups(ex, m, [&](index_t first, index_t count) { plan.sum_columns(first, count); });
    for_row_chunks(ex, n, m, [&](index_t first, index_t last) {
      for (index_t i = first; i < last; ++i) plan.do_row(i);
    });
    if (!plan.column_grad.empty())
      detail::for_column_groups(ex, m, [&](index_t first, index_t count) { plan.column_slopes(first, count); });
    conditional_transport_cost result{0, 0};
    for (index_t i = 0; i < n; ++i)
      if (rows.weight[i] != T(0)) result.forward += double(rows.weight[i]) * double(rows.cost[i]);
    for (index_t j = 0; j < m; ++j)
      if (columns.weight[j] != T(0)) result.backward += double(columns.weight[j]) * double(columns.cost[j]);
    return result;
  }
template <score_tensor Cost, score_tensor Logit, real_vector RowWeight, real_vector ColumnWeight, loss_output CostGrad,
          loss_output LogitGrad, loss_output RowGrad, loss_output ColumnGrad>
  requires readable_matrix<Cost> && readable_matrix<Logit> conditional_transport_cost conditional_transport(
      const Cost& cost, const Logit& logit, const RowWeight& row_weight, const ColumnWeight& column_weight,
      workspace& scratch, CostGrad&& cost_grad, LogitGrad&& logit_grad, RowGrad&& row_grad, ColumnGrad&& column_grad) {
    return conditional_transport(seq, cost, logit, row_weight, column_weight, scratch, cost_grad, logit_grad, row_grad,
                                 column_grad);
  }

}  // namespace weakly::inline v0
