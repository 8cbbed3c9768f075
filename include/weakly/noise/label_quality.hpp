// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/half.hpp>
#include <weakly/core/labels.hpp>
#include <weakly/core/math.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>
#include <weakly/noise/detail/disagreement.hpp>
#include <weakly/noise/detail/numpy_arithmetic.hpp>
#include <weakly/noise/detail/require_thresholds.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>

namespace weakly::inline v0 {

/// What makes a label suspicious. Every score is low for suspicious labels; s is the given label of the row.
enum class quality_score : std::uint8_t {
  self_confidence,             ///< p(s)
  normalized_margin,           ///< ( p(s) - max over c != s of p(c) + 1 ) / 2
  confidence_weighted_entropy  ///< log(1 + x) / x,  x = ( -sum p log p / log k ) / max(p(s), 1e-6),  1 where x = 0
};

struct label_quality_options {
  quality_score score = quality_score::self_confidence;
  /// cleanlab: in the type of the probabilities, rounding after every operation, and with its weighted entropy, which
  /// falls to 0 where x falls below 1e-6: the most certain correct rows then look worst.
  compatibility compat = compatibility::none;
};

namespace detail {

/// A row of double arithmetic on the stored values.
template <class T>
struct exact_row {
  using number = double;
  const T* first;
  index_t stride;
  double operator[](index_t j) const { return static_cast<double>(static_cast<arithmetic_t<T>>(first[j * stride])); }
};

template <class T>
exact_row<T> exact_row_of(const matrix_view<const T>& p, index_t i) {
  return {p.data() + i * p.stride(0), p.stride(1)};
}

/// The row with its classes' thresholds subtracted: ( p(c) - t(c) + max t ) / sum. A class without rows has no
/// threshold (+infinity) and takes part with p(c), as if its threshold were the largest.
template <class T>
struct adjusted_row {
  using number = double;
  exact_row<T> plain;
  const double* threshold;
  double greatest;
  double sum = 1;
  double operator[](index_t j) const {
    const double t = threshold[j];
    return (plain[j] - (t < std::numeric_limits<double>::infinity() ? t : greatest) + greatest) / sum;
  }
};

/// As exact_row and adjusted_row, in numpy's arithmetic with Number.
template <class T, class Number>
struct numpy_row {
  using number = Number;
  const T* first;
  index_t stride;
  Number operator[](index_t j) const { return Number(double(static_cast<arithmetic_t<T>>(first[j * stride]))); }
};
template <class T, class Number>
struct adjusted_numpy_row {
  using number = Number;
  numpy_row<T, Number> plain;
  const double* threshold;
  double greatest;
  Number sum = Number(1.0);
  Number operator[](index_t j) const { return (plain[j] - Number(threshold[j]) + Number(greatest)) / sum; }
};

template <class Row>
double greatest_other(const Row& row, index_t label, index_t k) {
  double top = -std::numeric_limits<double>::infinity();
  bool nan = false;
  for (index_t j = 0; j < k; ++j) {
    if (j == label) continue;
    const auto p = static_cast<double>(row[j]);
    nan = nan || p != p;
    if (p > top) top = p;
  }
  if (nan) return std::numeric_limits<double>::quiet_NaN();
  return k > 1 ? top : 0.0;
}

/// The greatest number among contiguous entries, lane by lane, and where there was a NaN.
template <class T>
struct lane_maxima {
  using batch = simd::batch<T>;
  static constexpr T nothing = -std::numeric_limits<T>::infinity();

  batch top = nothing;
  simd::mask<T> nan = top != top;

  WEAKLY_INLINE void take(batch x) {
    nan = nan | (x != x);
    top = simd::max(x, top);  // a NaN on the left is dropped
  }
  WEAKLY_INLINE void take(const T* p, index_t n) {
    if (n < batch::size) return take(simd::load_partial(p, n, nothing));
    for (index_t j = 0; j + batch::size <= n; j += batch::size) {
      simd::prefetch(p + j + 512);  // the hardware stops fetching ahead at the end of a page
      take(simd::load(p + j));
    }
    take(simd::load(p + n - batch::size));  // some lanes twice, which a maximum does not mind
  }
};

/// As above for a row of floats or doubles that may lie contiguous: a maximum is exact in any order.
template <class T>
requires std::is_floating_point_v<T> WEAKLY_INLINE double greatest_other(const exact_row<T>& row, index_t label,
                                                                         index_t k) {
  using batch = simd::batch<T>;
  if (row.stride != 1 || k < 2) return greatest_other<exact_row<T>>(row, label, k);
  lane_maxima<T> found;
  if (k <= 2 * batch::size) {
    // Rows this short are read without a branch that depends on the label.
    static constexpr T lane_number[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    static_assert(batch::size <= 16);
    const auto take_others = [&](batch x, index_t first) {
      const simd::mask<T> own = simd::load(lane_number) == batch(static_cast<T>(label - first));
      found.take(simd::select(own, found.nothing, x));
    };
    simd::prefetch(row.first + 512);  // the hardware stops fetching ahead at the end of a page
    if (k < batch::size) {
      take_others(simd::load_partial(row.first, k, found.nothing), 0);
    } else {
      take_others(simd::load(row.first), 0);
      take_others(simd::load(row.first + k - batch::size), k - batch::size);
    }
  } else {
    found.take(row.first, label);
    found.take(row.first + label + 1, k - label - 1);
  }
  return simd::any(found.nan) ? std::numeric_limits<double>::quiet_NaN() : double(simd::reduce_max(found.top));
}

template <class Row>
WEAKLY_INLINE double margin_score(const Row& row, index_t label, index_t k) {
  using N = typename Row::number;
  return static_cast<double>((row[label] - N(greatest_other(row, label, k)) + N(1.0)) / N(2.0));
}

template <class Row>
double entropy_score(const Row& row, index_t label, index_t k) {
  double sum = 0;
  for (index_t j = 0; j < k; ++j) {
    const double p = row[j];
    sum += math::x_log_x(p < 0 && p >= -1e-6 ? 0.0 : p);
  }
  if (!std::isfinite(sum)) return std::numeric_limits<double>::quiet_NaN();
  const double entropy = k > 1 ? std::max(-sum / std::log(static_cast<double>(k)), 0.0) : 0.0;
  return math::log1p_over_x(entropy / std::max<double>(row[label], 1e-6));
}

/// cleanlab's form. A term is computed and summed in the row's own type; half has no logarithm and goes through double.
template <class Row>
double cleanlab_entropy_score(const Row& row, index_t label, index_t k) {
  using N = typename Row::number;
  using Term = std::conditional_t<std::is_same_v<N, float>, float, double>;
  const auto term = [&](std::size_t j) {
    const Term p = static_cast<Term>(static_cast<double>(row[static_cast<index_t>(j)]));
    return p == Term(0) ? Term(0) : rounded_product(p, static_cast<Term>(std::log(p)));
  };
  const double sum = -static_cast<double>(numpy_sum<Term>(term, 0, static_cast<std::size_t>(k)));
  const double confidence = std::max(static_cast<double>(row[label]), static_cast<double>(N(1e-6)));
  const double x = sum / std::log(static_cast<double>(k)) / confidence;
  return std::log(x + 1) / std::max(x, 1e-6);
}

template <class Row>
double score_of(const Row& row, index_t label, index_t k, const label_quality_options& options) {
  switch (options.score) {
    case quality_score::self_confidence:
      return static_cast<double>(row[label]);
    case quality_score::normalized_margin:
      return margin_score(row, label, k);
    case quality_score::confidence_weighted_entropy:
      break;
  }
  if constexpr (std::is_same_v<typename Row::number, double>) {
    if (options.compat == compatibility::none) return entropy_score(row, label, k);
  }
  return cleanlab_entropy_score(row, label, k);
}

/// The largest threshold among the classes that have rows, and whether the thresholds fit the type T exactly.
struct threshold_shift {
  double greatest = 0;
  bool fits = true;

  template <class T>
  static threshold_shift of(std::span<const double> threshold) {
    threshold_shift s;
    for (const double t : threshold) {
      if (t < std::numeric_limits<double>::infinity()) s.greatest = std::max(s.greatest, t);
      const bool exact = std::is_same_v<T, half> ? double(float(half(static_cast<float>(t)))) == t
                                                 : double(static_cast<arithmetic_t<T>>(t)) == t;
      s.fits = s.fits && t < 2 && exact;
    }
    return s;
  }
};

inline void require_quality_options(std::string_view function, quality_score score, std::span<const double> threshold,
                                    std::size_t per_class) {
  if (score > quality_score::confidence_weighted_entropy)
    fail<option_error>(function, ": score = ", static_cast<int>(score),
                       "; choose one of the enumerators of quality_score");
  if (!threshold.empty() && score == quality_score::confidence_weighted_entropy)
    fail<option_error>(function,
                       ": confidence_weighted_entropy is not defined for adjusted probabilities; pass no thresholds, "
                       "or score by self_confidence or normalized_margin");
  require_thresholds(function, threshold, per_class);
}

template <class T>
double quality_of(const matrix_view<const T>& p, index_t i, index_t label, std::span<const double> threshold,
                  const threshold_shift& shift, const label_quality_options& options) {
  const index_t k = p.extent(1);
  const T* const first = p.data() + i * p.stride(0);
  const index_t stride = p.stride(1);
  if (options.compat == compatibility::none) {
    const exact_row<T> row{first, stride};
    if (threshold.empty()) return score_of(row, label, k, options);
    adjusted_row<T> adjusted{row, threshold.data(), shift.greatest};
    double sum = 0;
    for (index_t j = 0; j < k; ++j) sum += adjusted[j];
    adjusted.sum = sum;
    return score_of(adjusted, label, k, options);
  }
  const auto in = [&]<class Number>(Number) {
    const numpy_row<T, Number> row{first, stride};
    if (threshold.empty()) return score_of(row, label, k, options);
    using Sum = std::conditional_t<std::is_same_v<Number, double>, double, float>;
    adjusted_numpy_row<T, Number> adjusted{row, threshold.data(), shift.greatest};
    const auto value = [&](std::size_t j) {
      return static_cast<Sum>(static_cast<double>(adjusted[static_cast<index_t>(j)]));
    };
    adjusted.sum = Number(double(numpy_sum<Sum>(value, 0, static_cast<std::size_t>(k))));
    return score_of(adjusted, label, k, options);
  };
  return threshold.empty() || shift.fits ? in(numpy_arithmetic_t<T>(0.0f)) : in(0.0);
}

}  // namespace detail

/// How much each given label can be trusted: low for suspicious ones.
///
///     out(i) = score( q(i), label(i) )      q(i) = prob(i), or with thresholds
///                                           q(i, c) = ( prob(i, c) - t(c) + max t ) / (sum over c of the same)
///
/// labels      n       integers in [0, k)
/// prob        n x k   probabilities
/// thresholds  k       class thresholds to subtract (class_thresholds.hpp), so that a class the model is shy of is not
///                     suspected as a whole; empty: none. A class without rows (+infinity) keeps its probabilities.
/// out         n       float or double
///
/// One class: the margin is ( p(s) + 1 ) / 2, the weighted entropy 1. NaN in a row makes the score of that row NaN
/// where the score uses the entry. Entries in [-1e-6, 0) count as 0 in the entropy; lower and infinite ones give NaN.
/// Throws shape_error, label_error; option_error for an unknown score, a NaN threshold, and thresholds together with
/// confidence_weighted_entropy, which is a function of the distribution itself. O(n), O(n k) for margin and entropy;
/// allocates nothing. Same bits for every executor and layout. Source: Kuan, Mueller, "Model-agnostic label quality
/// scoring", ICML DataPerf workshop 2022.
template <executor Exec, label_vector Labels, real_matrix Prob, writable_vector Out>
  requires std::is_floating_point_v<typename view_t<Out>::value_type>
void label_quality(Exec&& ex, const Labels& labels, const Prob& prob, std::span<const double> thresholds, Out&& out,
                   label_quality_options options = {}) {
  using Label = typename view_t<const Labels&>::value_type;
  using T = typename view_t<const Prob&>::value_type;
  using R = typename view_t<Out>::value_type;
  const vector_view<const Label> y = view(labels);
  const matrix_view<const T> p = view(prob);
  const vector_view<R> o = view(out);
  const index_t k = p.extent(1);
  detail::require_extent("label_quality: prob", p, 0, y.extent(0));
  detail::require_extent("label_quality: out", o, 0, y.extent(0));
  if (!thresholds.empty() && static_cast<index_t>(thresholds.size()) != k)
    detail::fail<shape_error>("label_quality: ", thresholds.size(), " thresholds for ", k, " classes");
  detail::require_quality_options("label_quality", options.score, thresholds, 1);
  detail::require_labels(ex, "label_quality", y, k);
  const auto shift = detail::threshold_shift::of<T>(thresholds);
  // The usual scores of short rows would take less time than calls and choices a row.
  const bool plain = thresholds.empty() && options.compat == compatibility::none;
  const bool one_entry = plain && options.score == quality_score::self_confidence;
  const bool plain_margin = plain && options.score == quality_score::normalized_margin;
  for_row_chunks(ex, y.extent(0), one_entry ? 8 : k, [&](index_t first, index_t last) {
    const auto score_rows = [&](auto score) {
      for (index_t i = first; i < last; ++i) o(i) = static_cast<R>(score(i, static_cast<index_t>(y(i))));
    };
    if (one_entry) return score_rows([&](index_t i, index_t label) { return detail::exact_row_of(p, i)[label]; });
    if (plain_margin)
      return score_rows(
          [&](index_t i, index_t label) { return detail::margin_score(detail::exact_row_of(p, i), label, k); });
    score_rows(
        [&](index_t i, index_t label) { return detail::quality_of<T>(p, i, label, thresholds, shift, options); });
  });
}

/// As above, without thresholds.
template <executor Exec, label_vector Labels, real_matrix Prob, writable_vector Out>
void label_quality(Exec&& ex, const Labels& labels, const Prob& prob, Out&& out, label_quality_options options = {}) {
  label_quality(ex, labels, prob, std::span<const double>(), out, options);
}

/// As above, on the calling thread.
template <label_vector Labels, real_matrix Prob, writable_vector Out>
void label_quality(const Labels& labels, const Prob& prob, Out&& out, label_quality_options options = {}) {
  label_quality(seq, labels, prob, std::span<const double>(), out, options);
}

}  // namespace weakly::inline v0
