// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/half.hpp>
#include <weakly/core/math.hpp>
#include <weakly/core/view.hpp>
#include <weakly/noise/detail/float_not_below.hpp>
#include <weakly/noise/detail/numpy_arithmetic.hpp>
#include <weakly/noise/detail/plausible.hpp>
#include <weakly/noise/detail/require_thresholds.hpp>
#include <weakly/noise/detail/row_reader.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>
#include <vector>

namespace weakly::inline v0 {

namespace detail {

/// t - 1e-6 for every class, in the type the probabilities are compared in.
struct confidence_bounds {
  std::vector<double> of_double;
  std::vector<float> of_float;
  std::vector<float> of_half;

  confidence_bounds(std::string_view function, std::span<const double> threshold, compatibility compat) {
    if (threshold.empty()) fail<option_error>(function, ": no thresholds; give one for each class");
    require_thresholds(function, threshold);
    bool in_float = compat == compatibility::cleanlab;
    bool in_half = in_float;
    for (const double t : threshold) {
      // An absent class (2) or a threshold finer than the type makes numpy compare in double.
      in_float = in_float && t < 2 && double(static_cast<float>(t)) == t;
      in_half = in_half && t < 2 && double(float(half(static_cast<float>(t)))) == t;
    }
    for (const double t : threshold) {
      const double bound = t - math::confidence_slack;
      of_double.push_back(bound);
      of_float.push_back(in_float ? static_cast<float>(t) - static_cast<float>(math::confidence_slack)
                                  : float_not_below(bound));
      of_half.push_back(in_half ? static_cast<float>(double(rounded_half(t) - rounded_half(math::confidence_slack)))
                                : float_not_below(bound));
    }
  }

  index_t classes() const { return static_cast<index_t>(of_double.size()); }

  template <class T>
  const arithmetic_t<T>* of() const {
    if constexpr (std::is_same_v<T, double>)
      return of_double.data();
    else if constexpr (std::is_same_v<T, half>)
      return of_half.data();
    else
      return of_float.data();
  }
};

template <class A>
constexpr bool is_confident(A p, A bound) {
  return p >= bound && p <= A(greatest_plausible);
}

/// The lowest index among the largest entries, NaN left out; -1 for a row of NaN.
template <class Row>
index_t argmax(const Row& row, index_t k) {
  index_t best = -1;
  for (index_t j = 0; j < k; ++j) {
    const auto p = row[j];
    if (p == p && (best < 0 || p > row[best])) best = j;
  }
  return best;
}

/// The plain form of the rule: the class a row is confidently in, or -1.
template <class Row, class A>
index_t confident_class(const Row& row, const A* bound, index_t k, compatibility compat) {
  index_t confident = 0;
  index_t best = -1;
  for (index_t j = 0; j < k; ++j) {
    const auto p = row[j];
    if (!is_confident(p, bound[j])) continue;
    ++confident;
    if (best < 0 || p > row[best]) best = j;
  }
  return confident >= 2 && compat == compatibility::cleanlab ? argmax(row, k) : best;
}

}  // namespace detail

/// How the class of a row is guessed.
struct confident_guess_options {
  /// none: of the classes whose threshold the row reaches, the most probable one (the paper's rule).
  /// cleanlab: when the row reaches several thresholds, the most probable of all classes, which may miss its own; and
  /// comparisons are rounded to the type of the probabilities when the thresholds have that type.
  compatibility compat = compatibility::none;
};

/// The class that each row is confidently in.
///
///     out(i) = argmax over { c : prob(i, c) >= threshold(c) - 1e-6 } of prob(i, c),    -1 where no class qualifies
///
/// prob        n x k   probabilities
/// thresholds  k       as class_thresholds gives them; +infinity: no row is ever in this class
/// out         n       signed integers
///
/// The lowest class wins a tie. Comparisons are made in double whatever the storage type. A NaN, or an entry above 2,
/// reaches no threshold. Throws shape_error, or option_error for a NaN threshold. Allocates k bounds. O(n k).
/// Source: Northcutt, Jiang, Chuang, "Confident Learning", JAIR 70 (2021), eq. 1.
template <executor Exec, real_matrix Prob, writable_vector Out>
  requires std::is_signed_v<typename view_t<Out>::value_type>
void confident_guess(Exec&& ex, const Prob& prob, std::span<const double> thresholds, Out&& out,
                     confident_guess_options options = {}) {
  using T = typename view_t<const Prob&>::value_type;
  using Class = typename view_t<Out>::value_type;
  const matrix_view<const T> p = view(prob);
  const vector_view<Class> o = view(out);
  const detail::confidence_bounds bounds("confident_guess", thresholds, options.compat);
  const index_t k = bounds.classes();
  detail::require_extent("confident_guess: prob", p, 1, k);
  detail::require_extent("confident_guess: out", o, 0, p.extent(0));
  if (static_cast<std::uint64_t>(k - 1) > static_cast<std::uint64_t>(std::numeric_limits<Class>::max()))
    detail::fail<shape_error>("confident_guess: out holds integers of ", sizeof(Class), " bytes, too few for ", k,
                              " classes");
  const auto* bound = bounds.of<T>();
  for_row_chunks(ex, p.extent(0), k, [&](index_t first, index_t last) {
    for (index_t i = first; i < last; ++i)
      o(i) = static_cast<Class>(detail::confident_class(detail::row_of(p, i), bound, k, options.compat));
  });
}

/// As above, on the calling thread.
template <real_matrix Prob, writable_vector Out>
void confident_guess(const Prob& prob, std::span<const double> thresholds, Out&& out,
                     confident_guess_options options = {}) {
  confident_guess(seq, prob, thresholds, out, options);
}

}  // namespace weakly::inline v0
