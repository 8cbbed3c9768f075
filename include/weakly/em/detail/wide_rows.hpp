// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/detail/map_batches.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/labels.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>
#include <weakly/em/detail/exponent_row.hpp>
#include <weakly/em/observations.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string_view>
#include <type_traits>

// Rows of any storage type read as double, block by block: for what is computed once a step and not worth a kernel of
// its own for each type.
namespace weakly::inline v0::detail {

inline constexpr index_t wide_block = row_blocks<double>::block;

/// Scores [..., k] as rows of double.
struct wide_rows {
  row_source<double> x;
  index_t n = 0;
  index_t k = 0;
};
template <class Scores>
wide_rows wide_rows_of(std::string_view function, const Scores& scores) {
  const auto rows = as_rows(view(scores));
  if (rows.extent(0) > 0 && rows.extent(1) == 0)
    fail<shape_error>(function, ": scores have ", rows.extent(0), " rows of 0 classes; there must be at least one");
  return {row_source<double>(rows), rows.extent(0), rows.extent(1)};
}

/// As gradient_sink, for an output of any name.
template <class Out>
row_sink<double> wide_sink(std::string_view function, std::string_view name, Out& out, index_t n, index_t k) {
  if constexpr (std::is_same_v<std::remove_cvref_t<Out>, discard_output>) {
    return {};
  } else {
    const auto rows = as_rows(view(out));
    if (rows.extent(0) != n || rows.extent(1) != k)
      fail<shape_error>(function, ": ", name, " has ", rows.extent(0), " rows of ", rows.extent(1), " instead of ", n,
                        " rows of ", k);
    return row_sink<double>(rows);
  }
}

inline void require_sets(std::string_view function, const candidate_sets& sets, index_t n, index_t k) {
  if (sets.rows() != n || sets.classes() != k)
    fail<shape_error>(function, ": sets of ", sets.rows(), " rows and ", sets.classes(), " classes for scores of ", n,
                      " rows and ", k, " classes");
}
inline void require_well_formed(std::string_view function, const status& bad) {
  if (bad.ok()) return;
  fail<label_error>(function, ": the observation of row ", bad.first_bad_row, " is malformed (", bad.count,
                    bad.count == 1 ? " such row" : " such rows",
                    "); labels lie in [0, k), lists are ascending without repeats and their offsets run forward");
}

inline void put_value(const row_sink<double>& to, index_t row, double x) {
  if (!to.empty()) to.put_part(row, 0, 1, &x);
}
inline void fill_wide_row(const row_sink<double>& to, index_t row, index_t k, double x) {
  if (to.empty()) return;
  double same[std::size_t(wide_block)];
  std::fill_n(same, std::min(k, wide_block), x);
  for (index_t j = 0; j < k; j += wide_block) to.put_part(row, j, std::min(wide_block, k - j), same);
}

/// e[j] = exp(x[j] - top)
inline void exps_below(const double* x, index_t count, double top, double* e) {
  map_batches(x, count, e, [top](simd::batch<double> v) { return simd::exp(v - simd::batch<double>(top)); });
}

/// k exponents, of which read(column, count, buffer) gives those from `column` on, block by block. The last block stays
/// here, so that a row of one block is read once and raised once.
template <class Read>
class exponents {
 public:
  exponents(index_t k, Read read) : read_(read) {
    for (index_t j = 0; j < k; j += wide_block) {
      const index_t count = std::min(wide_block, k - j);
      sum_.look_at(j, values(j, count), count);
    }
    if (!sum_.defined()) return;
    for (index_t j = 0; j < k; j += wide_block) {
      const index_t count = std::min(wide_block, k - j);
      exps(j, count);
      const bool here = sum_.at >= j && sum_.at < j + count;
      if (here) exp_[sum_.at - j] = 0;
      sum_.others += simd::sum(static_cast<const double*>(exp_), count);
      if (here) exp_[sum_.at - j] = 1;
    }
  }
  exponents(const exponents&) = delete;
  exponents& operator=(const exponents&) = delete;

  const exponent_row& row() const { return sum_; }

  /// Exponents of the block from `column` on.
  const double* values(index_t column, index_t count) {
    if (column != value_column_) value_ = read_(column, count, buffer_);
    value_column_ = column;
    return value_;
  }
  /// exp(x(j) - top) of them, for a row that is defined.
  const double* exps(index_t column, index_t count) {
    if (column != exp_column_) exps_below(values(column, count), count, sum_.top, exp_);
    exp_column_ = column;
    return exp_;
  }

 private:
  Read read_;
  exponent_row sum_;
  index_t value_column_ = -1, exp_column_ = -1;
  const double* value_ = nullptr;
  double buffer_[std::size_t(wide_block)], exp_[std::size_t(wide_block)];
};

template <class Read>
exponent_row summarise(index_t k, Read read) {
  return exponents<Read>(k, read).row();
}
inline exponent_row summarise(const wide_rows& rows, index_t i) {
  return summarise(rows.k, [&](index_t j, index_t count, double* buffer) { return rows.x.part(i, j, count, buffer); });
}

/// log p + log t of one row, p the softmax of its scores and t what was observed, up to a constant: scores have their
/// greatest within the support of t taken out before the logarithm is added, so that no digit of it is lost.
class observed_exponents {
 public:
  observed_exponents(const wide_rows& rows, const observations& observed, index_t row)
      : rows_(rows), observed_(observed), row_(row) {
    double score[std::size_t(wide_block)], log_t[std::size_t(wide_block)];
    for (index_t j = 0; j < rows.k; j += wide_block) {
      const index_t count = std::min(wide_block, rows.k - j);
      observed.log_likelihoods(row, j, count, log_t, found_);
      const double* const x = rows.x.part(row, j, count, score);
      constexpr double nothing = -std::numeric_limits<double>::infinity();
      simd::batch<double> greatest = nothing;
      for_batches<double>(count, [&](auto at) {
        const auto possible = at.load(log_t, nothing) > simd::batch<double>(nothing);
        greatest = simd::max(simd::select(possible, at.load(x), nothing), greatest);
      });
      origin_ = std::max(origin_, simd::reduce_max(greatest));
    }
    if (!(std::abs(origin_) < std::numeric_limits<double>::infinity())) origin_ = 0;
  }

  const double* operator()(index_t column, index_t count, double* to) const {
    using batch = simd::batch<double>;
    double score[std::size_t(wide_block)];
    observed_.log_likelihoods(row_, column, count, to, found_);
    const double* const x = rows_.x.part(row_, column, count, score);
    map_batches(x, static_cast<const double*>(to), count, to,
                [this](batch v, batch log_t) { return (v - batch(origin_)) + log_t; });
    return to;
  }

 private:
  const wide_rows& rows_;
  const observations& observed_;
  index_t row_;
  mutable observed_row found_;
  double origin_ = -std::numeric_limits<double>::infinity();
};

}  // namespace weakly::inline v0::detail
