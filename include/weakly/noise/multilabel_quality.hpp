// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/view.hpp>
#include <weakly/noise/detail/binary_problem.hpp>
#include <weakly/noise/label_quality.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>

namespace weakly::inline v0 {

/// How the scores of a row's classes become one; both look at the low ones above all.
enum class score_aggregate : std::uint8_t {
  exponential_moving_average,  ///< from the highest score down: e = s_1, then e = alpha s_j + (1 - alpha) e
  softmin                      ///< sum of s_j w_j,  w = softmax( (1 - s) / temperature )
};

struct score_aggregate_options {
  score_aggregate method = score_aggregate::exponential_moving_average;
  double alpha = 0.8;  ///< weight of each next lower score, in [0, 1]; 2 / (k + 1) is a usual other choice
  double temperature = 0.1;
};

struct multilabel_quality_options {
  quality_score score = quality_score::self_confidence;
  score_aggregate_options aggregate = {};
  /// cleanlab: scores in the type of the probabilities (label_quality.hpp).
  compatibility compat = compatibility::none;
};

namespace detail {

/// Calls f with the k values score(0), ..., score(k - 1) from the highest to the lowest; false, at once, when one is
/// NaN. Values are sorted in a tile on the stack; more than fit are taken in rounds, each of the highest left.
template <class Score, class F>
bool for_descending(index_t k, const Score& score, F&& f) {
  constexpr index_t room = 1024;
  double tile[room];
  const auto higher = std::greater<double>();
  double below = std::numeric_limits<double>::infinity();
  for (index_t done = 0; done < k;) {
    index_t held = 0;
    for (index_t c = 0; c < k; ++c) {
      const double s = score(c);
      if (s != s) return false;
      if (done > 0 && !(s < below)) continue;
      if (held < room) {
        tile[held++] = s;
        if (held == room) std::make_heap(tile, tile + room, higher);
      } else if (s > tile[0]) {
        std::pop_heap(tile, tile + room, higher);
        tile[room - 1] = s;
        std::push_heap(tile, tile + room, higher);
      }
    }
    std::sort(tile, tile + held, higher);
    index_t taken = 0;
    if (held == room) {
      // Values equal to the lowest held one may be left over, and all of them belong to this round.
      below = tile[held - 1];
      while (tile[taken] > below) f(tile[taken++]);
      done += taken;
      for (index_t c = 0; c < k; ++c)
        if (score(c) == below) f(below), ++done;
    } else {
      while (taken < held) f(tile[taken++]);
      done = k;
    }
  }
  return true;
}

template <class Score>
double moving_average(index_t k, const Score& score, double alpha) {
  double average = std::numeric_limits<double>::quiet_NaN();
  bool first = true;
  const bool numbers = for_descending(k, score, [&](double s) {
    average = first ? s : alpha * s + (1 - alpha) * average;
    first = false;
  });
  return numbers ? average : std::numeric_limits<double>::quiet_NaN();
}

template <class Score>
double softmin(index_t k, const Score& score, double temperature) {
  double lowest = std::numeric_limits<double>::infinity();
  for (index_t c = 0; c < k; ++c) lowest = std::min(lowest, score(c));
  double weights = 0, sum = 0;
  for (index_t c = 0; c < k; ++c) {
    const double s = score(c);
    const double w = std::exp((lowest - s) / temperature);
    weights += w;
    sum += w * s;
  }
  return sum / weights;
}

template <class Score>
double aggregate(index_t k, const Score& score, const score_aggregate_options& options) {
  return options.method == score_aggregate::softmin ? softmin(k, score, options.temperature)
                                                    : moving_average(k, score, options.alpha);
}

inline void require_aggregate(std::string_view function, const score_aggregate_options& options) {
  if (options.method > score_aggregate::softmin)
    fail<option_error>(function, ": method = ", static_cast<int>(options.method),
                       "; choose one of the enumerators of score_aggregate");
  if (!(options.alpha >= 0 && options.alpha <= 1))
    fail<option_error>(function, ": alpha = ", options.alpha, "; it is a weight in [0, 1]");
  if (!(options.temperature > 0 && options.temperature < std::numeric_limits<double>::infinity()))
    fail<option_error>(function, ": temperature = ", options.temperature, "; it is a positive number");
}

/// The score of one entry: label_quality of the binary row.
template <class B, class T>
double binary_quality(T stored, index_t label, index_t c, std::span<const double> thresholds,
                      const label_quality_options& options) {
  const auto row = binary_row_of<B>(stored);
  const matrix_view<const B> pair(row.value, {1, 2});
  if (thresholds.empty()) return quality_of<B>(pair, 0, label, {}, {}, options);
  const std::span<const double> t = thresholds.subspan(static_cast<std::size_t>(2 * c), 2);
  return quality_of<B>(pair, 0, label, t, threshold_shift::of<B>(t), options);
}

template <class Exec, class Label, class T>
void require_multilabel_quality(Exec&& ex, std::string_view function, const matrix_view<const Label>& y,
                                const matrix_view<const T>& p, std::span<const double> thresholds,
                                quality_score score) {
  if (!thresholds.empty() && static_cast<index_t>(thresholds.size()) != 2 * p.extent(1))
    fail<shape_error>(function, ": ", thresholds.size(), " thresholds for ", p.extent(1),
                      " classes; give two a class, or none");
  require_quality_options(function, score, thresholds, 2);
  require_multilabel(ex, function, y, p, p.extent(1));
}

}  // namespace detail

/// How much each statement of a multi-label matrix can be trusted: low for suspicious ones.
///
///     out(i, c) = label_quality of the label y(i, c) and the columns 1 - prob(i, c), prob(i, c)
///
/// labels      n x k   0 or 1
/// prob        n x k   probability that row i belongs to class c; rows need not sum to one
/// thresholds  2 k     thresholds to subtract, (c, 0), (c, 1) of c = 0, ..., k - 1
///                     (multilabel_threshold_estimator); empty: none
/// out         n x k   float or double
///
/// Special values, adjusted scores and cleanlab's numbers as in label_quality.hpp. Throws shape_error; label_error for
/// a label that is neither 0 nor 1; option_error for an unknown score, a NaN threshold, and thresholds with
/// confidence_weighted_entropy. O(n k), allocates nothing. Same bits for every executor and layout.
template <executor Exec, binary_matrix Labels, real_matrix Prob, writable_matrix Out>
  requires std::is_floating_point_v<typename view_t<Out>::value_type>
void multilabel_quality(Exec&& ex, const Labels& labels, const Prob& prob, std::span<const double> thresholds,
                        Out&& out, label_quality_options options = {}) {
  using Label = typename view_t<const Labels&>::value_type;
  using T = typename view_t<const Prob&>::value_type;
  using R = typename view_t<Out>::value_type;
  const matrix_view<const Label> y = view(labels);
  const matrix_view<const T> p = view(prob);
  const matrix_view<R> o = view(out);
  detail::require_same_shape("multilabel_quality: prob and out", p, o);
  detail::require_multilabel_quality(ex, "multilabel_quality", y, p, thresholds, options.score);
  detail::with_column_type<T>(options.compat, [&]<class B>(B) {
    for_row_chunks(ex, p.extent(0), p.extent(1), [&](index_t first, index_t last) {
      for (index_t i = first; i < last; ++i)
        for (index_t c = 0; c < p.extent(1); ++c)
          o(i, c) = static_cast<R>(detail::binary_quality<B>(p(i, c), y(i, c) ? 1 : 0, c, thresholds, options));
    });
  });
}

/// As above, without thresholds, on the calling thread.
template <binary_matrix Labels, real_matrix Prob, writable_matrix Out>
void multilabel_quality(const Labels& labels, const Prob& prob, Out&& out, label_quality_options options = {}) {
  multilabel_quality(seq, labels, prob, std::span<const double>(), out, options);
}

/// One score a row from the scores of its classes.
///
/// scores  n x k   low for suspicious          out  n   float or double
///
/// k = 1 gives the score itself; a row with a NaN gives NaN, k = 0 too. Throws shape_error; option_error for an unknown
/// method, alpha outside [0, 1] or a temperature that is not positive. O(n k log k), above k = 1024 O(n k (log k + k /
/// 1024)); allocates nothing. Same bits for every executor and layout.
template <executor Exec, real_matrix Scores, writable_vector Out>
  requires std::is_floating_point_v<typename view_t<Out>::value_type>
void aggregate_quality(Exec&& ex, const Scores& scores, Out&& out, score_aggregate_options options = {}) {
  using T = typename view_t<const Scores&>::value_type;
  using R = typename view_t<Out>::value_type;
  const matrix_view<const T> s = view(scores);
  const vector_view<R> o = view(out);
  detail::require_extent("aggregate_quality: out", o, 0, s.extent(0));
  detail::require_aggregate("aggregate_quality", options);
  for_row_chunks(ex, s.extent(0), s.extent(1), [&](index_t first, index_t last) {
    for (index_t i = first; i < last; ++i) {
      const auto score = [&](index_t c) { return static_cast<double>(static_cast<arithmetic_t<T>>(s(i, c))); };
      o(i) = static_cast<R>(detail::aggregate(s.extent(1), score, options));
    }
  });
}

/// As above, on the calling thread.
template <real_matrix Scores, writable_vector Out>
void aggregate_quality(const Scores& scores, Out&& out, score_aggregate_options options = {}) {
  aggregate_quality(seq, scores, out, options);
}

/// How much the labels of each row can be trusted as a whole: aggregate_quality of multilabel_quality, without the n x
/// k scores between them.
///
/// labels, prob, thresholds as multilabel_quality          out  n   float or double
///
/// Rows are ranked with rank_issues.hpp. Throws as the two functions do. Costs as aggregate_quality, allocates nothing.
template <executor Exec, binary_matrix Labels, real_matrix Prob, writable_vector Out>
  requires std::is_floating_point_v<typename view_t<Out>::value_type>
void multilabel_row_quality(Exec&& ex, const Labels& labels, const Prob& prob, std::span<const double> thresholds,
                            Out&& out, multilabel_quality_options options = {}) {
  using Label = typename view_t<const Labels&>::value_type;
  using T = typename view_t<const Prob&>::value_type;
  using R = typename view_t<Out>::value_type;
  const matrix_view<const Label> y = view(labels);
  const matrix_view<const T> p = view(prob);
  const vector_view<R> o = view(out);
  detail::require_extent("multilabel_row_quality: out", o, 0, p.extent(0));
  detail::require_aggregate("multilabel_row_quality", options.aggregate);
  detail::require_multilabel_quality(ex, "multilabel_row_quality", y, p, thresholds, options.score);
  const label_quality_options each{.score = options.score, .compat = options.compat};
  detail::with_column_type<T>(options.compat, [&]<class B>(B) {
    for_row_chunks(ex, p.extent(0), p.extent(1), [&](index_t first, index_t last) {
      for (index_t i = first; i < last; ++i) {
        const auto score = [&](index_t c) {
          return detail::binary_quality<B>(p(i, c), y(i, c) ? 1 : 0, c, thresholds, each);
        };
        o(i) = static_cast<R>(detail::aggregate(p.extent(1), score, options.aggregate));
      }
    });
  });
}

/// As above, without thresholds, on the calling thread.
template <binary_matrix Labels, real_matrix Prob, writable_vector Out>
void multilabel_row_quality(const Labels& labels, const Prob& prob, Out&& out,
                            multilabel_quality_options options = {}) {
  multilabel_row_quality(seq, labels, prob, std::span<const double>(), out, options);
}

}  // namespace weakly::inline v0
