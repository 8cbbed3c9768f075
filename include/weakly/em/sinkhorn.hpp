// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/detail/map_batches.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>
#include <weakly/core/workspace.hpp>
#include <weakly/em/detail/wide_rows.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace weakly::inline v0 {

struct sinkhorn_options {
  double epsilon = 0.05;  ///< positive: less follows the scores more
  index_t rounds = 3;     ///< of columns, then rows; 1 or more
};

/// What balancing could not do.
struct sinkhorn_report {
  status rows_without_support;     ///< NaN or +inf, or -inf wherever the target is not zero: NaN in `out`
  status columns_without_support;  ///< -inf in every row: zero in `out`, so that their mass is missing
};

/// Bytes of workspace for n rows and k classes.
constexpr std::size_t sinkhorn_scratch(index_t n, index_t k) {
  return 2 * scratch_bytes<double>(n) + 2 * scratch_bytes<double>(k);
}

namespace detail {

class sinkhorn_rounds {
 public:
  static constexpr index_t columns_a_task = 64;

  wide_rows rows;
  row_sink<double> out;
  sinkhorn_options options;
  double* row_top;           // n, the greatest score whose target is not zero: those of the row are relative to it
  double* row_scale;         // n, logarithms; -inf for a row that does not take part
  double* column_scale;      // k, logarithms
  const double* log_target;  // k
  double per_epsilon;

  // Support is a matter of scores and target: no scaling changes it.
  template <executor Exec>
  sinkhorn_report run(Exec& ex) const {
    shared_status without;
    for_row_chunks(ex, rows.n, rows.k, [&](index_t first, index_t last) {
      for (index_t i = first; i < last; ++i) {
        const exponent_row row = within_target(i);
        row_top[i] = row.defined() ? row.top : nothing;
        if (!row.defined()) without.merge({i, 1});
      }
    });
    // A row that is far below others keeps its digits, and takes part as long as its logarithm is a number.
    const double top = *std::max_element(row_top, row_top + rows.n);
    for (index_t i = 0; i < rows.n; ++i)
      row_scale[i] = row_top[i] > nothing ? std::max((row_top[i] - top) * per_epsilon, -1e300) : nothing;
    sinkhorn_report report{without.load(), no_bad_rows()};
    const double log_n = std::log(static_cast<double>(rows.n - report.rows_without_support.count));
    shared_status empty;
    for (index_t round = 0; round < options.rounds; ++round) {
      ex((rows.k + columns_a_task - 1) / columns_a_task, [&](index_t task) {
        const index_t first = task * columns_a_task;
        scale_columns(first, std::min(columns_a_task, rows.k - first), log_n, round == 0 ? &empty : nullptr);
      });
      for_row_chunks(ex, rows.n, rows.k, [&](index_t first, index_t last) {
        for (index_t i = first; i < last; ++i) scale_row(i, round + 1 == options.rounds);
      });
    }
    report.columns_without_support = empty.load();
    return report;
  }

 private:
  using batch = simd::batch<double>;
  static constexpr double nothing = -std::numeric_limits<double>::infinity();

  const double* read(index_t i, index_t column, index_t count, double* to) const {
    const double* const x = rows.x.part(i, column, count, to);
    const double* const scale = column_scale + column;
    map_batches(x, scale, count, to, [&, origin = row_top[i]](batch v, batch s) {
      return simd::select(s > batch(nothing), (v - origin) * per_epsilon + s, nothing);  // excluded, however great
    });
    return to;
  }
  exponent_row within_target(index_t i) const {
    exponent_row row;
    double buffer[std::size_t(wide_block)];
    for (index_t j = 0; j < rows.k; j += wide_block) {
      const index_t count = std::min(wide_block, rows.k - j);
      const double* const x = rows.x.part(i, j, count, buffer);
      map_batches(x, log_target + j, count, static_cast<double*>(buffer), [](batch v, batch target) {
        const auto kept = (target > batch(nothing)) | ~(v < batch(std::numeric_limits<double>::infinity()));
        return simd::select(kept, v, nothing);
      });
      row.look_at(j, buffer, count);
    }
    return row;
  }
  auto exponents_of(index_t i) const {
    return [this, i](index_t column, index_t count, double* to) { return read(i, column, count, to); };
  }

  void scale_row(index_t i, bool write) const {
    if (row_scale[i] == -std::numeric_limits<double>::infinity()) {
      if (write) fill_wide_row(out, i, rows.k, std::numeric_limits<double>::quiet_NaN());
      return;
    }
    auto row = detail::exponents(rows.k, exponents_of(i));
    row_scale[i] = -(row.row().top + row.row().log_total());
    if (!write) return;
    double q[std::size_t(wide_block)];
    for (index_t j = 0; j < rows.k; j += wide_block) {
      const index_t count = std::min(wide_block, rows.k - j);
      map_batches(row.exps(j, count), count, static_cast<double*>(q),
                  [total = row.row().total()](batch e) { return e / total; });
      out.put_part(i, j, count, q);
    }
  }

  // Whole columns, rows in order: the same sums whoever runs it.
  void scale_columns(index_t first, index_t count, double log_n, shared_status* empty) const {
    double top[std::size_t(columns_a_task)], sum[std::size_t(columns_a_task)] = {}, buffer[std::size_t(columns_a_task)];
    std::fill_n(top, count, -std::numeric_limits<double>::infinity());
    for_rows([&](index_t i) {
      const double* const x = rows.x.part(i, first, count, buffer);
      for_batches<double>(count, [&, origin = row_top[i], scale = row_scale[i]](auto at) {
        at.store(top, simd::max((at.load(x) - origin) * per_epsilon + scale, at.load(top)));
      });
    });
    for_rows([&](index_t i) {
      const double* const x = rows.x.part(i, first, count, buffer);
      for_batches<double>(count, [&, origin = row_top[i], scale = row_scale[i]](auto at) {
        const batch most = at.load(top);
        const auto some = most > batch(-std::numeric_limits<double>::infinity());
        const batch e = simd::exp((at.load(x) - origin) * per_epsilon + scale - most);
        at.store(sum, at.load(sum) + simd::select(some, e, 0.0));
      });
    });
    for (index_t c = 0; c < count; ++c) {
      const bool supported = sum[c] > 0;
      const double target = log_target[first + c];
      if (!supported && empty != nullptr && target > -std::numeric_limits<double>::infinity())
        empty->merge({first + c, 1});
      column_scale[first + c] = supported ? target + log_n - (top[c] + std::log(sum[c])) : target;
    }
  }
  template <class F>
  void for_rows(F f) const {
    for (index_t i = 0; i < rows.n; ++i)
      if (row_scale[i] > -std::numeric_limits<double>::infinity()) f(i);
  }
};

}  // namespace detail

/// Pseudo-labels whose classes have given shares of the batch, as near to the scores as that allows.
///
///     Q = exp(scores / epsilon); each round: column c of Q scaled to sum n target(c), then each row to sum 1
///
/// scores   n x k  logits, -inf where a class is excluded (a candidate set is written like that)
/// target   k      share of each class, adding up to one; left out, 1 / k each
/// scratch         sinkhorn_scratch(n, k) bytes
/// out      n x k  rows sum to one, columns nearly to n target(c); may be the storage of `scores`
///
/// In logarithms, relative to the greatest score of each row: scores a thousand epsilon apart are no matter, nor is
/// what all scores of a row have in common. Rows without support take no part and n does not count them. Throws
/// shape_error; option_error; value_error for a target that is negative or does not add up to one within 1e-6;
/// workspace_error. O(rounds n k) exponentials; allocates nothing. Same bits for every executor and layout; tasks over
/// columns are 64 of them. Source: Cuturi, NeurIPS 2013; Caron et al. (SwAV), NeurIPS 2020.
template <executor Exec, real_matrix Scores, real_vector Target, real_output Out>
sinkhorn_report sinkhorn(Exec&& ex, const Scores& scores, const Target& target, workspace& scratch, Out&& out,
                         const sinkhorn_options& options = {}) {
  constexpr const char* name = "sinkhorn";
  if (!(options.epsilon > 0 && std::isfinite(options.epsilon)))
    detail::fail<option_error>(name, ": epsilon is ", options.epsilon, "; it must be positive and finite");
  if (options.rounds < 1) detail::fail<option_error>(name, ": rounds is ", options.rounds, "; it must be 1 or more");
  detail::sinkhorn_rounds work;
  work.rows = detail::wide_rows_of(name, scores);
  work.options = options;
  work.per_epsilon = std::min(1 / options.epsilon, std::numeric_limits<double>::max());  // finite, so zero stays zero
  const index_t n = work.rows.n, k = work.rows.k;
  const auto shares = view(target);
  detail::require_extent("sinkhorn: target", shares, 0, k);
  work.out = detail::wide_sink(name, "out", out, n, k);
  work.row_top = scratch.take<double>("sinkhorn: greatest", n).data();
  work.row_scale = scratch.take<double>("sinkhorn: rows", n).data();
  work.column_scale = scratch.take<double>("sinkhorn: columns", k).data();
  double* const log_target = scratch.take<double>("sinkhorn: target", k).data();
  work.log_target = log_target;
  double sum = 0;
  for (index_t c = 0; c < k; ++c) {
    const double share = detail::convert_real<double>(shares(c));
    if (!(share >= 0)) detail::fail<value_error>(name, ": the target of class ", c, " is ", share);
    sum += share;
    log_target[c] = std::log(share);
  }
  if (n == 0) return {no_bad_rows(), no_bad_rows()};
  if (!(std::abs(sum - 1) <= 1e-6)) detail::fail<value_error>(name, ": the target adds up to ", sum, " instead of 1");
  return work.run(ex);
}
template <executor Exec, real_matrix Scores, real_output Out>
sinkhorn_report sinkhorn(Exec&& ex, const Scores& scores, workspace& scratch, Out&& out,
                         const sinkhorn_options& options = {}) {
  // One number seen k times over.
  const index_t k = view(scores).extent(1);
  const double share = 1 / static_cast<double>(k);
  return sinkhorn(ex, scores, vector_view<const double>(&share, {k}, {0}), scratch, out, options);
}
template <real_matrix Scores, real_output Out>
sinkhorn_report sinkhorn(const Scores& scores, workspace& scratch, Out&& out, const sinkhorn_options& options = {}) {
  return sinkhorn(seq, scores, scratch, out, options);
}

}  // namespace weakly::inline v0
