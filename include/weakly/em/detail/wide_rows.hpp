// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/labels.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>
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
  using batch = simd::batch<double>;
  index_t j = 0;
  for (; j + batch::size <= count; j += batch::size) simd::store(e + j, simd::exp(simd::load(x + j) - batch(top)));
  if (j < count) simd::store_partial(e + j, count - j, simd::exp(simd::load_partial(x + j, count - j) - batch(top)));
}

/// A row of exponents: the greatest, where it is, and the sum of exp(x(j) - top) over all others.
struct exponent_row {
  double top = -std::numeric_limits<double>::infinity();
  index_t at = -1;
  double others = 0;
  bool bad = false;  // a NaN or +inf

  bool empty() const { return at < 0; }  // nothing but -inf
  bool defined() const { return !bad && !empty(); }
  double total() const { return 1 + others; }
  double log_total() const { return std::log1p(others); }
};

/// Of k exponents, of which read(column, count, buffer) gives those from `column` on.
template <class Read>
exponent_row summarise(index_t k, Read read) {
  exponent_row r;
  double buffer[std::size_t(wide_block)], e[std::size_t(wide_block)];
  for (index_t j = 0; j < k; j += wide_block) {
    const index_t count = std::min(wide_block, k - j);
    const double* const x = read(j, count, buffer);
    for (index_t i = 0; i < count; ++i) {
      r.bad |= !(x[i] < std::numeric_limits<double>::infinity());
      if (x[i] > r.top) {
        r.top = x[i];
        r.at = j + i;
      }
    }
  }
  if (!r.defined()) return r;
  for (index_t j = 0; j < k; j += wide_block) {
    const index_t count = std::min(wide_block, k - j);
    exps_below(read(j, count, buffer), count, r.top, e);
    if (r.at >= j && r.at < j + count) e[r.at - j] = 0;
    r.others += simd::sum(static_cast<const double*>(e), count);
  }
  return r;
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
    double score[std::size_t(wide_block)], weight[std::size_t(wide_block)], scale = 0;
    for (index_t j = 0; j < rows.k; j += wide_block) {
      const index_t count = std::min(wide_block, rows.k - j);
      well_formed_ &= observed.weights(row, j, count, weight, scale);
      const double* const x = rows.x.part(row, j, count, score);
      for (index_t c = 0; c < count; ++c)
        if (weight[c] > 0 && x[c] > origin_) origin_ = x[c];
    }
    if (!(std::abs(origin_) < std::numeric_limits<double>::infinity())) origin_ = 0;
  }

  bool well_formed() const { return well_formed_; }

  const double* operator()(index_t column, index_t count, double* to) const {
    double score[std::size_t(wide_block)], scale = 0;
    observed_.weights(row_, column, count, to, scale);
    const double* const x = rows_.x.part(row_, column, count, score);
    for (index_t c = 0; c < count; ++c) to[c] = (x[c] - origin_) + (to[c] == 1 ? 0 : std::log(to[c]));
    return to;
  }

 private:
  const wide_rows& rows_;
  const observations& observed_;
  index_t row_;
  bool well_formed_ = true;
  double origin_ = -std::numeric_limits<double>::infinity();
};

}  // namespace weakly::inline v0::detail
