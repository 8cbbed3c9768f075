// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/detail/logistic.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/math.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>
#include <weakly/loss/detail/column_tiles.hpp>
#include <weakly/loss/row_loss.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>

namespace weakly::inline v0 {

struct multilabel_positive_unlabeled_options {
  double alpha;  ///< temperature for a unit of a column's deviation; the authors tune it for each data set
  double gamma;  ///< power of the mean probability that re-balances a column; likewise
  double min_temperature = 1e-6;  ///< gradients grow as its inverse where a column has no spread: 1 for single rows
};

struct multilabel_positive_unlabeled_column {
  double loss;
  double temperature;
  double balance;
};

namespace detail {

template <class T>
struct multilabel_positive_unlabeled_columns {
  using batch = simd::batch<T>;

  row_source<T> logits, marks;
  row_sink<T> grad;
  index_t rows;
  multilabel_positive_unlabeled_options options;
  multilabel_positive_unlabeled_column* column;

  void operator()(index_t first, index_t columns) const {
    alignas(64) T inverse[std::size_t(column_group)], top[std::size_t(column_group)];
    alignas(64) T log_mean[std::size_t(column_group)], pull[std::size_t(column_group)],
        positive_pull[std::size_t(column_group)];
    moments m;
    measure(first, columns, m);
    for (index_t c = 0; c < columns; ++c) {
      const double t = temperature(m, c);
      column[first + c].temperature = t;
      inverse[c] = T(1 / t);
      top[c] = T(-math::softplus(-double(m.top[c]) / t));
    }
    double sum[std::size_t(column_group)] = {}, positive_sum[std::size_t(column_group)] = {};
    add_up(first, columns, inverse, top, sum, positive_sum);
    for (index_t c = 0; c < columns; ++c) {
      multilabel_positive_unlabeled_column& out = column[first + c];
      const double log_phi = double(top[c]) + std::log(sum[c] / double(rows));
      const double positives = m.positives[c];
      out.balance = std::exp(options.gamma * log_phi);
      out.loss = out.balance * log_phi - (positives > 0 ? positive_sum[c] / positives : 0.0);
      log_mean[c] = T(log_phi);
      pull[c] = T(out.balance / double(rows) / out.temperature);
      positive_pull[c] = T(positives > 0 ? 1 / positives / out.temperature : 0.0);
    }
    if (!grad.empty()) write(first, columns, inverse, log_mean, pull, positive_pull);
  }

 private:
  // Of the columns of a group.
  struct moments {
    double sum[std::size_t(column_group)] = {};  // of distances from the first score
    double squares[std::size_t(column_group)] = {};
    double positives[std::size_t(column_group)] = {};
    T top[std::size_t(column_group)];
  };

  double temperature(const moments& m, index_t c) const {
    const double n = double(rows), mean = m.sum[c] / n;
    const double deviation = std::sqrt(std::max(m.squares[c] / n - mean * mean, 0.0));
    return std::max(std::min(1.0, options.alpha * deviation), options.min_temperature);
  }

  // f(x, mark, first row, rows) for tiles, both row after row.
  template <class F>
  void tiles(index_t first, index_t columns, const F& f) const {
    alignas(64) T x[std::size_t(column_tile)], mark[std::size_t(column_tile)];
    for_tile_rows(rows, columns, [&](index_t start, index_t count) {
      f(tile_of(logits, start, count, first, columns, x), tile_of(marks, start, count, first, columns, mark), start,
        count);
    });
  }

  void measure(index_t first, index_t columns, moments& m) const {
    alignas(64) T origin[std::size_t(column_group)], distance[std::size_t(column_tile)],
        square[std::size_t(column_tile)], positive[std::size_t(column_tile)];
    std::fill_n(m.top, columns, -std::numeric_limits<T>::infinity());
    tiles(first, columns, [&](const T* x, const T* mark, index_t start, index_t count) {
      if (start == 0) std::copy_n(x, columns, origin);  // no digits cancel when all are far from zero
      row_batches(columns, count, [&](index_t e, index_t c, index_t n) {
        const batch v = load_some(x + e, n), d = v - load_some(origin + c, n);
        store_some(distance + e, n, d);
        store_some(square + e, n, d * d);
        store_some(positive + e, n, simd::select(load_some(mark + e, n) != batch(T(0)), batch(T(1)), T(0)));
        store_some(m.top + c, n, simd::max(v, load_some(m.top + c, n)));
      });
      add_tile(static_cast<const T*>(distance), count, columns, m.sum);
      add_tile(static_cast<const T*>(square), count, columns, m.squares);
      add_tile(static_cast<const T*>(positive), count, columns, m.positives);
    });
  }

  void add_up(index_t first, index_t columns, const T* inverse, const T* top, double* sum, double* positive_sum) const {
    alignas(64) T log_phi[std::size_t(column_tile)], phi[std::size_t(column_tile)];
    tiles(first, columns, [&](const T* x, const T* mark, index_t, index_t count) {
      row_batches(columns, count, [&](index_t e, index_t c, index_t n) {
        const batch l = -logistic_of(load_some(x + e, n) * load_some(inverse + c, n)).softplus_down;
        store_some(log_phi + e, n, simd::select(load_some(mark + e, n) != batch(T(0)), l, T(0)));
        store_some(phi + e, n, simd::exp_nonpositive(l - load_some(top + c, n)));
      });
      add_tile(static_cast<const T*>(phi), count, columns, sum);
      add_tile(static_cast<const T*>(log_phi), count, columns, positive_sum);
    });
  }

  void write(index_t first, index_t columns, const T* inverse, const T* log_mean, const T* pull,
             const T* positive_pull) const {
    alignas(64) T out[std::size_t(column_tile)];
    tiles(first, columns, [&](const T* x, const T* mark, index_t start, index_t count) {
      row_batches(columns, count, [&](index_t e, index_t c, index_t n) {
        const auto l = logistic_of(load_some(x + e, n) * load_some(inverse + c, n));
        const batch share = simd::exp(-l.softplus_down - load_some(log_mean + c, n));
        const batch marked = simd::select(load_some(mark + e, n) != batch(T(0)), load_some(positive_pull + c, n), T(0));
        store_some(out + e, n, l.down * (load_some(pull + c, n) * share - marked));
      });
      put_tile(grad, start, count, first, columns, out);
    });
  }

  // f(element, column, count) for batches that do not cross the end of a row.
  template <class F>
  static void row_batches(index_t columns, index_t rows, const F& f) {
    for (index_t r = 0; r < rows; ++r)
      for (index_t c = 0; c < columns; c += batch::size) f(r * columns + c, c, std::min(batch::size, columns - c));
  }
};

}  // namespace detail

/// Variational positive-unlabelled risk of a multi-label batch: everything is unlabelled, marks are sure positives.
///
///     T(c) = max(min(1, alpha std(c)), min_temperature),  phi = sigmoid(x / T),  M(c) = mean of phi over the batch
///     loss(c) = balance(c) log M(c) - mean over positives of log phi,            balance(c) = M(c)^gamma
///     grad(i, c) = (1 - phi) / T (balance phi / sum of phi - [positive] / positives)
///
/// logits   n x c  finite scores; std is the population's over the batch
/// positive n x c  marks
/// column   c      loss, temperature and balance, the latter two constants of the gradient
/// grad     n x c  or discard; may be the storage of `logits`
///
/// Returns the sum of the losses, which may be negative. A column without positives has no second term. A NaN or +inf
/// score makes its column NaN. n = 0: losses are zero. Sums are in double. Throws shape_error and option_error. O(n c),
/// allocates nothing. Same bits for every executor and layout; tasks are groups of 64 columns.
/// Source: PU-MLC, arXiv 2306.16016, built on VPU, arXiv 1906.00642.
template <executor Exec, score_tensor Logits, mark_tensor Marks, loss_output Grad>
  requires readable_matrix<Logits> && readable_matrix<Marks>
double multilabel_positive_unlabeled(Exec&& ex, const Logits& logits, const Marks& positive,
                                     std::span<multilabel_positive_unlabeled_column> column, Grad&& grad,
                                     const multilabel_positive_unlabeled_options& options) {
  using T = arithmetic_t<typename detail::input_view_t<Logits>::value_type>;
  constexpr const char* name = "multilabel_positive_unlabeled";
  const auto x = view(logits);
  const auto marks = view(positive);
  const index_t n = x.extent(0), c = x.extent(1);
  detail::require_same_shape("multilabel_positive_unlabeled: logits and positive", x, marks);
  if (static_cast<index_t>(column.size()) != c)
    detail::fail<shape_error>(name, ": ", column.size(), " results for ", c, " columns; give one for each");
  if (!(options.alpha >= 0))
    detail::fail<option_error>(name, ": alpha is ", options.alpha, "; it must be zero or more");
  if (!(options.gamma >= 0))
    detail::fail<option_error>(name, ": gamma is ", options.gamma, "; it must be zero or more");
  if (!(options.min_temperature > 0))
    detail::fail<option_error>(name, ": min_temperature is ", options.min_temperature, "; it must be positive");
  const auto to = detail::gradient_sink<T>(name, grad, n, c);
  if (n == 0) {
    std::fill(column.begin(), column.end(), multilabel_positive_unlabeled_column{0, options.min_temperature, 0});
    return 0;
  }
  const detail::multilabel_positive_unlabeled_columns<T> columns{
      detail::row_source<T>(x), detail::row_source<T>(marks), to, n, options, column.data()};
  detail::for_column_groups(ex, c, columns);
  double loss = 0;
  for (const auto& r : column) loss += r.loss;
  return loss;
}
template <score_tensor Logits, mark_tensor Marks, loss_output Grad>
  requires readable_matrix<Logits> && readable_matrix<Marks>
double multilabel_positive_unlabeled(const Logits& logits, const Marks& positive,
                                     std::span<multilabel_positive_unlabeled_column> column, Grad&& grad,
                                     const multilabel_positive_unlabeled_options& options) {
  return multilabel_positive_unlabeled(seq, logits, positive, column, grad, options);
}

}  // namespace weakly::inline v0
