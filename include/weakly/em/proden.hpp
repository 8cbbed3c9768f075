// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/detail/map_batches.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>
#include <weakly/em/candidate_sets.hpp>
#include <weakly/em/detail/impossible_row.hpp>
#include <weakly/em/detail/wide_rows.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace weakly::inline v0 {

struct proden_options {
  impossible_row impossible = impossible_row::refuse;  ///< what becomes of empty sets, and of those the scores exclude
};

namespace detail {

inline void mark_members(const candidate_sets& sets, bool valid, index_t row, index_t column, index_t count,
                         double* s) {
  if (valid)
    sets.marks(row, column, count, s);
  else
    std::fill_n(s, count, 0.0);
}

}  // namespace detail

/// First targets of PRODEN: 1 / |S(i)| for each candidate, 0 elsewhere.
///
/// sets    n      of k classes
/// target  n x k
///
/// An empty set is a row of NaN. Throws shape_error; label_error for malformed sets and value_error for empty ones,
/// unless kept, after all other rows are done. O(n k), allocates nothing. Same bits for every executor and layout.
/// Source: Lv et al., ICML 2020.
template <executor Exec, real_output Target>
void uniform_targets(Exec&& ex, const candidate_sets& sets, Target&& target, const proden_options& options = {}) {
  constexpr const char* name = "uniform_targets";
  const index_t k = sets.classes();
  const auto to = detail::wide_sink(name, "target", target, sets.rows(), k);
  detail::shared_status malformed, impossible;
  for_row_chunks(ex, sets.rows(), k, [&](index_t first, index_t last) {
    double s[std::size_t(detail::wide_block)];
    for (index_t i = first; i < last; ++i) {
      const bool valid = sets.valid(i);
      double size = 0;
      for (index_t j = 0; j < k; j += detail::wide_block) {
        const index_t count = std::min(detail::wide_block, k - j);
        detail::mark_members(sets, valid, i, j, count, s);
        for (index_t c = 0; c < count; ++c) size += s[c];
      }
      if (!valid)
        malformed.merge({i, 1});
      else if (size == 0)
        impossible.merge({i, 1});
      for (index_t j = 0; j < k; j += detail::wide_block) {
        const index_t count = std::min(detail::wide_block, k - j);
        detail::mark_members(sets, valid, i, j, count, s);
        for (index_t c = 0; c < count; ++c) s[c] = size > 0 ? s[c] / size : std::numeric_limits<double>::quiet_NaN();
        to.put_part(i, j, count, s);
      }
    }
  });
  detail::require_well_formed(name, malformed.load());
  detail::require_possible(name, "row", impossible.load(), options.impossible);
}
template <real_output Target>
void uniform_targets(const candidate_sets& sets, Target&& target, const proden_options& options = {}) {
  uniform_targets(seq, sets, target, options);
}

/// A step of PRODEN: cross-entropy to the targets of the last visit, then new targets from the same predictions.
///
///     p = softmax(logits(i))
///     loss(i) = -sum over c of target(i, c) log p(c),   grad(i, c) = p(c) sum over j of target(i, j) - target(i, c)
///     then target(i, c) <- [c in S(i)] p(c) / sum over j in S(i) of p(j)
///
/// logits  n x k  float, double, half or bfloat16
/// sets    n      of k classes: membership is theirs alone, so that a target which rounds to zero may come back
/// target  n x k  the rows of this batch, each once; read and written
/// loss    n      or discard
/// grad    n x k  or discard; may be the storage of `logits`
///
/// A row with a NaN or +inf comes out as NaN and keeps its target, as does one whose set is empty or excluded by -inf
/// (loss inf); no other row does. Throws shape_error; label_error for malformed sets and value_error for impossible
/// ones, unless kept, after all other rows are done. O(n k), in double; allocates nothing. Same bits for every executor
/// and layout. Source: Lv et al., ICML 2020, arXiv 2002.08053.
template <executor Exec, score_tensor Logits, real_output Target, real_output Loss, real_output Grad>
void proden_step(Exec&& ex, const Logits& logits, const candidate_sets& sets, Target&& target, Loss&& loss, Grad&& grad,
                 const proden_options& options = {}) {
  constexpr const char* name = "proden_step";
  const detail::wide_rows rows = detail::wide_rows_of(name, logits);
  const index_t n = rows.n, k = rows.k;
  detail::require_sets(name, sets, n, k);
  const auto to = detail::wide_sink(name, "target", target, n, k);
  const detail::row_source<double> before(as_rows(view(target)));
  const auto loss_to = detail::value_sink<double>(name, "loss", loss, n);
  const auto grad_to = detail::wide_sink(name, "grad", grad, n, k);
  detail::shared_status malformed, impossible;
  for_row_chunks(ex, n, k, [&](index_t first, index_t last) {
    using batch = simd::batch<double>;
    constexpr double inf = std::numeric_limits<double>::infinity();
    double s[std::size_t(detail::wide_block)], old[std::size_t(detail::wide_block)],
        part[std::size_t(detail::wide_block)];
    for (index_t i = first; i < last; ++i) {
      const bool valid = sets.valid(i);
      if (!valid) malformed.merge({i, 1});
      const auto scores = [&](index_t j, index_t count, double* x) { return rows.x.part(i, j, count, x); };
      const auto members = [&](index_t j, index_t count, double* x) {
        const double* const z = rows.x.part(i, j, count, x);
        detail::mark_members(sets, valid, i, j, count, s);
        detail::map_batches(z, static_cast<const double*>(s), count, x, [](batch score, batch mark) {
          return simd::select(mark != batch(0.0), score, -std::numeric_limits<double>::infinity());
        });
        return static_cast<const double*>(x);
      };
      detail::exponents of_all(k, scores);
      detail::exponents of_members(k, members);
      const detail::exponent_row all = of_all.row(), in = of_members.row();
      if (all.bad || !all.defined() || in.empty()) {
        if (!all.bad && valid) impossible.merge({i, 1});
        detail::put_value(loss_to, i, all.bad ? std::numeric_limits<double>::quiet_NaN() : inf);
        detail::fill_wide_row(grad_to, i, k, std::numeric_limits<double>::quiet_NaN());
        continue;
      }
      double mass = 0, distance = 0;
      for (index_t j = 0; j < k; j += detail::wide_block) {
        const index_t count = std::min(detail::wide_block, k - j);
        const double* const w = before.part(i, j, count, old);
        mass += simd::sum(w, count);
        detail::map_batches(w, of_all.values(j, count), count, static_cast<double*>(part), [&](batch weight, batch z) {
          return simd::select(weight != batch(0.0), weight * (batch(all.top) - z), 0.0);
        });
        distance += simd::sum(static_cast<const double*>(part), count);
      }
      detail::put_value(loss_to, i, mass * all.log_total() + distance);
      const double share = mass / all.total(), per_member = 1 / in.total();
      for (index_t j = 0; j < k; j += detail::wide_block) {
        const index_t count = std::min(detail::wide_block, k - j);
        const double* const w = before.part(i, j, count, old);
        detail::map_batches(of_all.exps(j, count), w, count, static_cast<double*>(part),
                            [share](batch e, batch weight) { return e * share - weight; });
        detail::map_batches(of_members.exps(j, count), count, static_cast<double*>(s),
                            [per_member](batch e) { return e * per_member; });
        to.put_part(i, j, count, s);
        if (!grad_to.empty()) grad_to.put_part(i, j, count, part);
      }
    }
  });
  detail::require_well_formed(name, malformed.load());
  detail::require_possible(name, "row", impossible.load(), options.impossible);
}
template <score_tensor Logits, real_output Target, real_output Loss, real_output Grad>
void proden_step(const Logits& logits, const candidate_sets& sets, Target&& target, Loss&& loss, Grad&& grad,
                 const proden_options& options = {}) {
  proden_step(seq, logits, sets, target, loss, grad, options);
}

}  // namespace weakly::inline v0
