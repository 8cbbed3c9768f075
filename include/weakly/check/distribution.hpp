// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/half.hpp>
#include <weakly/core/view.hpp>

#include <cstdint>
#include <string>
#include <type_traits>

namespace weakly::inline v0 {

/// Why a row is no distribution.
enum class row_fault : std::uint8_t {
  none,
  not_finite,  ///< an entry is NaN or infinite
  negative,    ///< an entry is below -tolerance
  above_one,   ///< an entry is above 1 + tolerance
  sum          ///< every entry is in range, and the row sums to something else than 1
};

/// How strictly rows are checked.
struct distribution_options {
  /// How far an entry may lie outside [0, 1], and the sum of a row from 1. Negative: what rounding to the storage type
  /// explains, see distribution_tolerance.
  double tolerance = -1;
};

/// The tolerance that rounding explains: 5e-6 for float and for double (which often holds what was once float), 2^-9
/// for half, 2^-8 for bfloat16. A row that sums to 1.00001 is outside it.
template <class T>
inline constexpr double distribution_tolerance = std::is_same_v<T, half>       ? 0x1p-9
                                                 : std::is_same_v<T, bfloat16> ? 0x1p-8
                                                                               : 5e-6;

/// What check_distribution found.
struct distribution_report {
  status rows = no_bad_rows();        ///< how many rows are bad, and the first of them
  row_fault fault = row_fault::none;  ///< what is wrong with the first bad row: its first bad entry, else its sum
  index_t column = -1;                ///< of that entry; -1 where the sum is wrong
  double value = 0;                   ///< that entry, or the sum
  double tolerance = 0;               ///< what was allowed

  bool ok() const { return rows.ok(); }
};

namespace detail {

/// The sum of a row in double, in an order that depends on k alone, and whether every entry is in range.
struct row_scan {
  double sum = 0;
  bool in_range = true;

  template <class T>
  row_scan(const T* row, index_t stride, index_t k, double tolerance) {
    const double low = -tolerance;
    const double high = 1 + tolerance;
    double part[4] = {};  // four chains, because one would wait for each addition
    bool all = true;
    const auto take = [&](index_t j, int lane) {
      const auto x = static_cast<double>(static_cast<arithmetic_t<T>>(row[j * stride]));
      part[lane] += x;
      all &= bool((x >= low) & (x <= high));
    };
    index_t j = 0;
    for (; j + 4 <= k; j += 4)
      for (int lane = 0; lane < 4; ++lane) take(j + lane, lane);
    for (; j < k; ++j) take(j, 0);
    sum = (part[0] + part[1]) + (part[2] + part[3]);
    in_range = all;
  }

  bool ok(double tolerance) const { return in_range && sum >= 1 - tolerance && sum <= 1 + tolerance; }
};

inline row_fault entry_fault(double x, double tolerance) {
  if (!(x - x == 0)) return row_fault::not_finite;
  if (x < -tolerance) return row_fault::negative;
  return x > 1 + tolerance ? row_fault::above_one : row_fault::none;
}

}  // namespace detail

/// Whether every row of a matrix is a distribution: entries in [0, 1], sum 1, each within a tolerance.
///
/// prob   n x k   float, double, half or bfloat16; any value at all
///
/// Returns how many rows are not, and what is wrong with the first of them; throws nothing for them. A matrix without
/// rows passes; a row without columns sums to 0. Sums are in double. Throws option_error for a tolerance that is NaN.
/// Allocates nothing. O(n k). Same result for every executor and memory layout.
template <executor Exec, real_matrix Prob>
distribution_report check_distribution(Exec&& ex, const Prob& prob, distribution_options options = {}) {
  using T = typename view_t<const Prob&>::value_type;
  const matrix_view<const T> p = view(prob);
  const index_t k = p.extent(1);
  distribution_report report;
  if (options.tolerance != options.tolerance) detail::fail<option_error>("check_distribution: the tolerance is NaN");
  const double tolerance = options.tolerance < 0 ? distribution_tolerance<T> : options.tolerance;
  report.tolerance = tolerance;

  detail::shared_status bad;
  for_row_chunks(ex, p.extent(0), k, [&](index_t first, index_t last) {
    status here = no_bad_rows();
    for (index_t i = first; i < last; ++i)
      if (!detail::row_scan(p.data() + i * p.stride(0), p.stride(1), k, tolerance).ok(tolerance)) here.report(i);
    bad.merge(here);
  });
  report.rows = bad.load();
  if (report.ok()) return report;

  const index_t i = report.rows.first_bad_row;
  for (index_t j = 0; j < k; ++j) {
    const auto x = static_cast<double>(static_cast<arithmetic_t<T>>(p(i, j)));
    report.fault = detail::entry_fault(x, tolerance);
    report.column = j;
    report.value = x;
    if (report.fault != row_fault::none) return report;
  }
  report.fault = row_fault::sum;
  report.column = -1;
  report.value = detail::row_scan(p.data() + i * p.stride(0), p.stride(1), k, tolerance).sum;
  return report;
}

/// As above, on the calling thread.
template <real_matrix Prob>
distribution_report check_distribution(const Prob& prob, distribution_options options = {}) {
  return check_distribution(seq, prob, options);
}

/// What is wrong with the first bad row and what to do, as a sentence without full stop; empty where nothing is wrong.
/// `first_row` is the number of the matrix's first row, for whoever reads a file in batches.
inline std::string describe(const distribution_report& report, index_t first_row = 0) {
  const std::string row = "row " + detail::to_text(report.rows.first_bad_row + first_row);
  const std::string value = detail::to_text(report.value);
  const std::string entry = row + ", column " + detail::to_text(report.column) + " is " + value;
  switch (report.fault) {
    case row_fault::none:
      break;
    case row_fault::not_finite:
      return entry + "; leave such rows out";
    case row_fault::negative:
      return entry + ", below 0; give probabilities, not scores or their logarithms";
    case row_fault::above_one:
      return entry + ", above 1; give probabilities, not scores or percentages";
    case row_fault::sum:
      return row + " sums to " + value + ", not to 1 within " + detail::to_text(report.tolerance) +
             "; divide each row by its sum, or allow a greater tolerance";
  }
  return {};
}

/// Throws value_error, naming the first bad row, its value and how many there are, unless every row is a distribution.
/// See check_distribution.
template <executor Exec, real_matrix Prob>
void require_distribution(Exec&& ex, const Prob& prob, distribution_options options = {}) {
  const distribution_report report = check_distribution(ex, prob, options);
  if (!report.ok())
    detail::fail<value_error>("require_distribution: ", describe(report), " (", report.rows.count, " of ",
                              view(prob).extent(0), " rows are no distribution)");
}

/// As above, on the calling thread.
template <real_matrix Prob>
void require_distribution(const Prob& prob, distribution_options options = {}) {
  require_distribution(seq, prob, options);
}

}  // namespace weakly::inline v0
