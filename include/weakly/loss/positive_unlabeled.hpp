// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>
#include <weakly/loss/detail/column_tiles.hpp>
#include <weakly/loss/detail/logistic.hpp>
#include <weakly/loss/row_loss.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

namespace weakly::inline v0 {

/// A loss of the margin m, which is a score or its negative.
enum class margin_loss : std::uint8_t {
  sigmoid,  ///< 1 / (1 + exp(m))
  logistic  ///< log(1 + exp(-m))
};

struct positive_unlabeled_options {
  margin_loss base = margin_loss::sigmoid;
  bool nonnegative = true;  ///< false: the unbiased estimator, which may go far below zero
  double beta = 0;          ///< how far below zero the risk of the negatives may go before it counts as overfitted
  double gamma = 1;         ///< the step back from there, relative to its gradient
};

struct positive_unlabeled_risk {
  double value;
  double positive;  ///< prior R_p+
  double negative;  ///< R_u- - prior R_p-, unclipped
  bool clipped;     ///< negative < -beta, so that the direction is not the gradient of the value
};

namespace detail {

template <class T>
struct positive_unlabeled_columns {
  row_source<T> scores, marks;
  row_source<double> prior;  // 1 x c
  row_sink<T> direction;
  index_t rows;
  positive_unlabeled_options options;
  positive_unlabeled_risk* risk;

  struct sums {
    double positives = 0;
    double positive_up = 0;    // sum of l(x) over positives
    double positive_down = 0;  // sum of l(-x) over positives
    double unlabeled_down = 0;
  };
  // Of one element: what a positive and what an unlabelled one add to the direction, per unit of these slopes.
  struct factors {
    T positive, positive_down, unlabeled_down;
  };

  void operator()(index_t first, index_t columns) const {
    alignas(64) T x_buffer[std::size_t(column_tile)], mark_buffer[std::size_t(column_tile)];
    alignas(64) T up[std::size_t(column_tile)], down[std::size_t(column_tile)];
    sums sum[std::size_t(column_group)];
    for_tile_rows(rows, columns, [&](index_t start, index_t count) {
      const T* const x = tile_of(scores, start, count, first, columns, x_buffer);
      const T* const mark = tile_of(marks, start, count, first, columns, mark_buffer);
      each_batch(x, count * columns, [&](const logistic_parts<T>& l, index_t e, index_t n) {
        const bool logistic = options.base == margin_loss::logistic;
        simd::store_partial(up + e, n, logistic ? l.softplus_down : l.down);
        simd::store_partial(down + e, n, logistic ? l.softplus_up : l.up);
      });
      for (index_t e = 0, c = 0; e < count * columns; ++e, c = c + 1 == columns ? 0 : c + 1) {
        sums& s = sum[c];
        if (mark[e] != T(0)) {
          s.positives += 1;
          s.positive_up += double(up[e]);
          s.positive_down += double(down[e]);
        } else {
          s.unlabeled_down += double(down[e]);
        }
      }
    });

    factors factor[std::size_t(column_group)];
    for (index_t c = 0; c < columns; ++c) {
      const double pi = prior.at(0, first + c);
      const double positives = std::max(sum[c].positives, 1.0);
      const double unlabeled = std::max(double(rows) - sum[c].positives, 1.0);
      positive_unlabeled_risk& r = risk[first + c];
      r.positive = pi * (sum[c].positive_up / positives);
      r.negative = sum[c].unlabeled_down / unlabeled - pi * (sum[c].positive_down / positives);
      r.clipped = options.nonnegative && r.negative < -options.beta;
      r.value = r.positive + (r.clipped ? -options.beta : r.negative);
      const double back = r.clipped ? -options.gamma : 1;
      factor[c] = {T(r.clipped ? 0 : pi / positives), T(-back * pi / positives), T(back / unlabeled)};
    }
    if (!direction.empty()) write(first, columns, factor);
  }

 private:
  // l(x) falls with slope -up and l(-x) rises with slope down.
  void write(index_t first, index_t columns, const factors* factor) const {
    alignas(64) T x_buffer[std::size_t(column_tile)], mark_buffer[std::size_t(column_tile)];
    alignas(64) T up[std::size_t(column_tile)], down[std::size_t(column_tile)];
    for_tile_rows(rows, columns, [&](index_t start, index_t count) {
      const T* const x = tile_of(scores, start, count, first, columns, x_buffer);
      const T* const mark = tile_of(marks, start, count, first, columns, mark_buffer);
      each_batch(x, count * columns, [&](const logistic_parts<T>& l, index_t e, index_t n) {
        const bool logistic = options.base == margin_loss::logistic;
        const simd::batch<T> both = l.up * l.down;
        simd::store_partial(up + e, n, logistic ? l.down : both);
        simd::store_partial(down + e, n, logistic ? l.up : both);
      });
      for (index_t e = 0, c = 0; e < count * columns; ++e, c = c + 1 == columns ? 0 : c + 1) {
        const factors& f = factor[c];
        up[e] = mark[e] != T(0) ? f.positive_down * down[e] - f.positive * up[e] : f.unlabeled_down * down[e];
      }
      put_tile(direction, start, count, first, columns, up);
    });
  }

  template <class F>
  static void each_batch(const T* x, index_t count, const F& f) {
    constexpr index_t size = simd::batch<T>::size;
    for (index_t e = 0; e < count; e += size) {
      const index_t n = std::min(size, count - e);
      f(logistic_of(simd::load_partial(x + e, n)), e, n);
    }
  }
};

inline void require_options(const positive_unlabeled_options& o) {
  if (!(o.beta >= 0)) fail<option_error>("positive_unlabeled: beta is ", o.beta, "; it must be zero or more");
  if (!(o.gamma >= 0)) fail<option_error>("positive_unlabeled: gamma is ", o.gamma, "; it must be zero or more");
}
inline void require_prior(double prior, index_t column) {
  if (!(prior > 0 && prior < 1))
    fail<option_error>("positive_unlabeled: prior ", prior, " of column ", column,
                       " is no share of positives; it must lie inside (0, 1)");
}

}  // namespace detail

/// Risk of a classifier trained on some positives and unlabelled examples, each column of scores a problem of its own,
/// and the direction to go.
///
///     R_p+ = mean over positives of l(x),   R_p- = mean over positives of l(-x),   R_u- = mean over the rest of l(-x)
///     negative = R_u- - prior R_p-,         value = prior R_p+ + max(negative, -beta)
///     direction = gradient of prior R_p+ + negative     where negative >= -beta, or where not nonnegative
///               = -gamma gradient of negative           else: back out of the overfit, which is no gradient of value
///
/// scores     n x c  one column for each class      positive  n x c  marks; what is not marked is unlabelled
/// prior      c      share of positives among the unlabelled, inside (0, 1)
/// risk       c      value and parts of each column
/// direction  n x c  or discard; may be the storage of `scores`
///
/// Returns the sum of the values. A mean over nothing is zero. A NaN score makes its own direction and the risk of its
/// column NaN. Sums are in double. Throws shape_error and option_error. O(n c), allocates nothing. Same bits for every
/// executor and layout; tasks are groups of 64 columns.
/// Source: du Plessis, Niu, Sugiyama, NeurIPS 2014 (unbiased); Kiryo et al., arXiv 1703.00593, algorithm 1.
template <executor Exec, score_tensor Scores, mark_tensor Marks, real_vector Prior, loss_output Direction>
  requires readable_matrix<Scores> && readable_matrix<Marks>
double positive_unlabeled(Exec&& ex, const Scores& scores, const Marks& positive, const Prior& prior,
                          std::span<positive_unlabeled_risk> risk, Direction&& direction,
                          const positive_unlabeled_options& options = {}) {
  using T = arithmetic_t<typename detail::input_view_t<Scores>::value_type>;
  const auto x = view(scores);
  const auto marks = view(positive);
  const auto pi = view(prior);
  const index_t n = x.extent(0), c = x.extent(1);
  detail::require_same_shape("positive_unlabeled: scores and positive", x, marks);
  detail::require_extent("positive_unlabeled: prior", pi, 0, c);
  if (static_cast<index_t>(risk.size()) != c)
    detail::fail<shape_error>("positive_unlabeled: risk has ", risk.size(), " elements for ", c, " columns");
  detail::require_options(options);
  for (index_t j = 0; j < c; ++j) detail::require_prior(static_cast<double>(pi(j)), j);
  const detail::positive_unlabeled_columns<T> columns{detail::row_source<T>(x),
                                                      detail::row_source<T>(marks),
                                                      detail::row_source<double>(as_rows(pi)),
                                                      detail::gradient_sink<T>("positive_unlabeled", direction, n, c),
                                                      n,
                                                      options,
                                                      risk.data()};
  detail::for_column_groups(ex, c, columns);
  double value = 0;
  for (const positive_unlabeled_risk& r : risk) value += r.value;
  return value;
}
template <score_tensor Scores, mark_tensor Marks, real_vector Prior, loss_output Direction>
  requires readable_matrix<Scores> && readable_matrix<Marks>
double positive_unlabeled(const Scores& scores, const Marks& positive, const Prior& prior,
                          std::span<positive_unlabeled_risk> risk, Direction&& direction,
                          const positive_unlabeled_options& options = {}) {
  return positive_unlabeled(seq, scores, positive, prior, risk, direction, options);
}

/// As above for one problem: n scores, n marks, n elements of direction. Runs on the calling thread.
template <real_vector Scores, mark_tensor Marks, loss_output Direction>
  requires readable_vector<Marks> positive_unlabeled_risk
  positive_unlabeled(const Scores& scores, const Marks& positive, double prior, Direction&& direction,
                     const positive_unlabeled_options& options = {}) {
    positive_unlabeled_risk risk{};
    const double priors[] = {prior};
    const auto run = [&](auto&& to) {
      positive_unlabeled(seq, detail::as_column(view(scores)), detail::as_column(view(positive)), priors, {&risk, 1},
                         to, options);
    };
    if constexpr (std::is_same_v<std::remove_cvref_t<Direction>, discard_output>)
      run(discard);
    else
      run(detail::as_column(view(direction)));
    return risk;
  }

}  // namespace weakly::inline v0
