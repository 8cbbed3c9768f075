// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/detail/logistic.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>
#include <weakly/loss/detail/column_tiles.hpp>
#include <weakly/loss/row_loss.hpp>

#include <algorithm>
#include <cmath>
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
  double beta = 0;          ///< how far below zero the negatives' risk may go before it counts as overfitted; inf: any
  double gamma = 1;         ///< the step back from there, relative to its gradient; finite
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
  using batch = simd::batch<T>;

  row_source<T> scores, marks;
  row_source<double> prior;  // 1 x c
  row_sink<T> direction;
  index_t rows;
  positive_unlabeled_options options;
  positive_unlabeled_risk* risk;

  void operator()(index_t first, index_t columns) const {
    if (options.base == margin_loss::logistic)
      run<margin_loss::logistic>(first, columns);
    else
      run<margin_loss::sigmoid>(first, columns);
  }

 private:
  // Sums of each column: how many positives, l(x) and l(-x) over them, l(-x) over the rest.
  struct sums {
    double positives[std::size_t(column_group)] = {};
    double up[std::size_t(column_group)] = {};
    double down[std::size_t(column_group)] = {};
    double rest[std::size_t(column_group)] = {};
  };
  // What slopes of l(x) and l(-x) weigh in the direction, for the columns of a tile row after row.
  struct factors {
    alignas(64) T up[std::size_t(column_tile)];
    alignas(64) T down[std::size_t(column_tile)];
    alignas(64) T rest[std::size_t(column_tile)];
  };

  template <margin_loss Base>
  void run(index_t first, index_t columns) const {
    sums sum;
    add_up<Base>(first, columns, sum);
    factors f;
    for (index_t c = 0; c < columns; ++c) {
      const double pi = prior.at(0, first + c);
      const double positives = std::max(sum.positives[c], 1.0);
      const double unlabeled = std::max(double(rows) - sum.positives[c], 1.0);
      positive_unlabeled_risk& r = risk[first + c];
      r.positive = pi * (sum.up[c] / positives);
      r.negative = sum.rest[c] / unlabeled - pi * (sum.down[c] / positives);
      r.clipped = options.nonnegative && r.negative < -options.beta;
      r.value = r.positive + (r.clipped ? -options.beta : r.negative);
      const double back = r.clipped ? -options.gamma : 1;
      f.up[c] = T(r.clipped ? 0 : pi / positives);
      f.down[c] = T(-back * pi / positives);
      f.rest[c] = T(back / unlabeled);
    }
    if (direction.empty()) return;
    for (T* const row : {f.up, f.down, f.rest})
      for (index_t e = columns; e < column_tile; ++e) row[e] = row[e - columns];
    write<Base>(first, columns, f);
  }

  template <margin_loss Base>
  void add_up(index_t first, index_t columns, sums& sum) const {
    alignas(64) T positives[std::size_t(column_tile)], up[std::size_t(column_tile)];
    alignas(64) T down[std::size_t(column_tile)], rest[std::size_t(column_tile)];
    tiles(first, columns, [&](index_t, index_t count, const T* x, const T* mark) {
      for (index_t e = 0; e < count * columns; e += batch::size) {
        const index_t n = std::min(batch::size, count * columns - e);
        batch of_score, of_negated;
        if constexpr (Base == margin_loss::logistic) {
          const auto l = logistic_of(load_some(x + e, n));
          of_score = l.softplus_down;
          of_negated = l.softplus_up;
        } else {
          const auto l = sigmoids_of(load_some(x + e, n));
          of_score = l.down;
          of_negated = l.up;
        }
        const auto positive = load_some(mark + e, n) != batch(T(0));
        store_some(positives + e, n, simd::select(positive, batch(T(1)), T(0)));
        store_some(up + e, n, simd::select(positive, of_score, T(0)));
        store_some(down + e, n, simd::select(positive, of_negated, T(0)));
        store_some(rest + e, n, simd::select(positive, batch(T(0)), of_negated));
      }
      add_tile(static_cast<const T*>(positives), count, columns, sum.positives);
      add_tile(static_cast<const T*>(up), count, columns, sum.up);
      add_tile(static_cast<const T*>(down), count, columns, sum.down);
      add_tile(static_cast<const T*>(rest), count, columns, sum.rest);
    });
  }

  // l(x) falls with slope -up and l(-x) rises with slope down.
  template <margin_loss Base>
  void write(index_t first, index_t columns, const factors& f) const {
    alignas(64) T out[std::size_t(column_tile)];
    tiles(first, columns, [&](index_t start, index_t count, const T* x, const T* mark) {
      for (index_t e = 0; e < count * columns; e += batch::size) {
        const index_t n = std::min(batch::size, count * columns - e);
        const auto l = sigmoids_of(load_some(x + e, n));
        const batch both = l.up * l.down;
        const batch up = Base == margin_loss::logistic ? l.down : both,
                    down = Base == margin_loss::logistic ? l.up : both;
        const batch of_positive = load_some(f.down + e, n) * down - load_some(f.up + e, n) * up;
        store_some(out + e, n,
                   simd::select(load_some(mark + e, n) != batch(T(0)), of_positive, load_some(f.rest + e, n) * down));
      }
      put_tile(direction, start, count, first, columns, static_cast<const T*>(out));
    });
  }

  // f(first row, rows, x, mark), both row after row.
  template <class F>
  void tiles(index_t first, index_t columns, const F& f) const {
    alignas(64) T x[std::size_t(column_tile)], mark[std::size_t(column_tile)];
    for_tile_rows(rows, columns, [&](index_t start, index_t count) {
      f(start, count, tile_of(scores, start, count, first, columns, x),
        tile_of(marks, start, count, first, columns, mark));
    });
  }
};

inline void require_options(const positive_unlabeled_options& o) {
  if (!(o.beta >= 0)) fail<option_error>("positive_unlabeled: beta is ", o.beta, "; it must be zero or more");
  if (!(o.gamma >= 0 && std::isfinite(o.gamma)))
    fail<option_error>("positive_unlabeled: gamma is ", o.gamma, "; it must be finite and zero or more");
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
/// column NaN. Sums go on in double. Throws shape_error and option_error. O(n c), allocates nothing. Same bits for
/// every executor and layout; tasks are groups of 64 columns. Source: du Plessis, Niu, Sugiyama, NeurIPS 2014
/// (unbiased); Kiryo et al., arXiv 1703.00593, algorithm 1.
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
