// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/labels.hpp>
#include <weakly/core/matrix.hpp>
#include <weakly/core/random.hpp>
#include <weakly/core/view.hpp>
#include <weakly/noise/detail/apportion.hpp>
#include <weakly/noise/latent_algebra.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace weakly::inline v0 {

namespace detail {

/// The noise matrix, transposed: row b holds P(s=a|y=b). Throws value_error unless every column is a distribution.
template <real_matrix Noise>
matrix<double> noise_by_true_class(std::string_view function, const Noise& noise) {
  const matrix<double> n = square_copy(function, noise);
  const index_t k = n.rows();
  if (k < 1) fail<shape_error>(function, ": the noise matrix has no classes");
  matrix<double> transposed(k, k);
  for (index_t b = 0; b < k; ++b) {
    double sum = 0;
    for (index_t a = 0; a < k; ++a) {
      const double rate = n(a, b);
      if (!(rate >= 0 && rate <= 1))
        fail<value_error>(function, ": the noise matrix has ", rate, " for given class ", a, " and true class ", b,
                          "; it holds probabilities");
      transposed(b, a) = rate;
      sum += rate;
    }
    if (!(std::abs(sum - 1) <= 1e-6))
      fail<value_error>(function, ": column ", b, " of the noise matrix sums to ", sum,
                        "; P(s|y) sums to one over the given label");
  }
  return transposed;
}

template <class Out>
void require_class_fits(std::string_view function, index_t k) {
  if (static_cast<std::uint64_t>(k - 1) > static_cast<std::uint64_t>(std::numeric_limits<Out>::max()))
    fail<shape_error>(function, ": out holds integers of ", sizeof(Out), " bytes, too few for ", k, " classes");
}

inline matrix<std::int64_t> counts_by_true_class(const matrix<double>& by_class,
                                                 std::span<const std::int64_t> true_counts) {
  const index_t k = by_class.rows();
  matrix<std::int64_t> counts(k, k);
  std::vector<std::int64_t> weight(static_cast<std::size_t>(k));
  for (index_t b = 0; b < k; ++b) {
    // Integers with the unit 2^-53: a rate of at least one half is exact.
    for (index_t a = 0; a < k; ++a) weight[static_cast<std::size_t>(a)] = std::llround(std::ldexp(by_class(b, a), 53));
    apportion(weight, true_counts[static_cast<std::size_t>(b)], counts.row(b));
  }
  return counts;
}

}  // namespace detail

/// How many rows of each true class get each label: the integers nearest to what the noise matrix asks for.
///
///     out(a, b) = N(a, b) n(b) by largest remainders within each true class b, so that column b sums to n(b)
///
/// noise  k x k   P(s=a|y=b), columns sum to one          true_counts  k   n(b), rows of each true class
///
/// Throws shape_error; value_error for a column that is no distribution or a negative count. O(k^2 log k).
template <real_matrix Noise>
matrix<std::int64_t> noisy_label_counts(const Noise& noise, std::span<const std::int64_t> true_counts) {
  const matrix<double> by_class = detail::noise_by_true_class("noisy_label_counts", noise);
  const index_t k = by_class.rows();
  if (static_cast<index_t>(true_counts.size()) != k)
    detail::fail<shape_error>("noisy_label_counts: ", true_counts.size(), " counts for a matrix of ", k, " classes");
  for (std::size_t b = 0; b < true_counts.size(); ++b)
    if (true_counts[b] < 0)
      detail::fail<value_error>("noisy_label_counts: class ", b, " has ", true_counts[b],
                                " rows; counts are not negative");
  const matrix<std::int64_t> counts = detail::counts_by_true_class(by_class, true_counts);
  matrix<std::int64_t> joint(k, k);
  for (index_t a = 0; a < k; ++a)
    for (index_t b = 0; b < k; ++b) joint(a, b) = counts(b, a);
  return joint;
}

/// Noisy labels whose joint with the true ones is exactly noisy_label_counts: only which rows are wrong is random, and
/// all choices are equally likely.
///
/// true_labels  n       integers in [0, k)
/// noise        k x k   P(s=a|y=b), columns sum to one
/// seed         the labels of a class are a function of the seed, of the class and of the order of its rows
/// out          n       integers; may be the storage of true_labels
///
/// Selection sampling: row by row, the next label of a class is drawn from those that are left, so rows are taken
/// without replacement and nothing is allocated but O(k^2). The same labels on every platform. Throws shape_error,
/// label_error; value_error for a column that is no distribution. O(n + k n_wrong + k^2 log k), on the calling thread.
/// Source: Knuth, "The Art of Computer Programming", volume 2, 3.4.2, algorithm S.
template <label_vector Labels, real_matrix Noise, writable_vector Out>
  requires std::is_integral_v<typename view_t<Out>::value_type>
void noisy_labels(const Labels& true_labels, const Noise& noise, std::uint64_t seed, Out&& out) {
  using Label = typename view_t<const Labels&>::value_type;
  using Given = typename view_t<Out>::value_type;
  const vector_view<const Label> y = view(true_labels);
  const vector_view<Given> o = view(out);
  const matrix<double> by_class = detail::noise_by_true_class("noisy_labels", noise);
  const index_t k = by_class.rows();
  detail::require_same_shape("noisy_labels: true_labels and out", y, o);
  detail::require_class_fits<Given>("noisy_labels", k);
  detail::require_labels("noisy_labels", y, k);

  std::vector<std::int64_t> rows_left(static_cast<std::size_t>(k));
  for (index_t i = 0; i < y.extent(0); ++i) ++rows_left[static_cast<std::size_t>(y(i))];
  matrix<std::int64_t> labels_left = detail::counts_by_true_class(by_class, rows_left);
  std::vector<random_stream> random;
  for (index_t b = 0; b < k; ++b) random.emplace_back(seed, static_cast<std::uint64_t>(b));

  for (index_t i = 0; i < y.extent(0); ++i) {
    const auto b = static_cast<index_t>(y(i));
    const auto at = static_cast<std::size_t>(b);
    auto drawn = static_cast<std::int64_t>(random[at].below(static_cast<std::uint64_t>(rows_left[at]--)));
    index_t given = b;  // the right label first: most rows keep it
    for (index_t a = 0; drawn >= labels_left(b, given); ++a) {
      drawn -= labels_left(b, given);
      given = a < b ? a : a + 1;
    }
    --labels_left(b, given);
    o(i) = static_cast<Given>(given);
  }
}

/// Noisy labels drawn row by row: row i gets label a with probability N(a, label(i)), independently of all others.
///
/// first_row    number of the batch's first row in the whole data
/// true_labels  n       integers in [0, k)
/// noise        k x k   P(s=a|y=b), columns sum to one
/// seed         the label of a row is a function of the seed, its row number and its true label alone: the same for any
///              batches, executor, thread count and platform
/// out          n       integers; may be the storage of true_labels
///
/// Throws shape_error, label_error; value_error for a column that is no distribution; option_error for a negative
/// first_row. O(n log k), allocates O(k^2).
template <executor Exec, label_vector Labels, real_matrix Noise, writable_vector Out>
  requires std::is_integral_v<typename view_t<Out>::value_type>
void independent_noisy_labels(Exec&& ex, index_t first_row, const Labels& true_labels, const Noise& noise,
                              std::uint64_t seed, Out&& out) {
  using Label = typename view_t<const Labels&>::value_type;
  using Given = typename view_t<Out>::value_type;
  const vector_view<const Label> y = view(true_labels);
  const vector_view<Given> o = view(out);
  matrix<double> cumulative = detail::noise_by_true_class("independent_noisy_labels", noise);
  const index_t k = cumulative.rows();
  detail::require_same_shape("independent_noisy_labels: true_labels and out", y, o);
  detail::require_class_fits<Given>("independent_noisy_labels", k);
  detail::require_labels(ex, "independent_noisy_labels", y, k);
  if (first_row < 0)
    detail::fail<option_error>("independent_noisy_labels: first_row = ", first_row, "; rows count from 0");
  for (index_t b = 0; b < k; ++b)
    for (index_t a = 1; a < k; ++a) cumulative(b, a) += cumulative(b, a - 1);

  for_row_chunks(ex, y.extent(0), 8, [&](index_t first, index_t last) {
    for (index_t i = first; i < last; ++i) {
      const std::span<const double> upto = std::as_const(cumulative).row(static_cast<index_t>(y(i)));
      // u total < total after rounding too, as u <= 1 - 2^-53: the search always ends on a label that has a rate.
      const double drawn = random_stream(seed, static_cast<std::uint64_t>(first_row + i)).uniform() * upto.back();
      o(i) = static_cast<Given>(std::upper_bound(upto.begin(), upto.end(), drawn) - upto.begin());
    }
  });
}

/// As above, all rows at once on the calling thread.
template <label_vector Labels, real_matrix Noise, writable_vector Out>
void independent_noisy_labels(const Labels& true_labels, const Noise& noise, std::uint64_t seed, Out&& out) {
  independent_noisy_labels(seq, 0, true_labels, noise, seed, out);
}

}  // namespace weakly::inline v0
