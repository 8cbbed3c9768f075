// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/detail/logistic.hpp>
#include <weakly/core/detail/map_batches.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>
#include <weakly/em/candidate_sets.hpp>
#include <weakly/em/detail/complement_row.hpp>
#include <weakly/em/detail/wide_rows.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace weakly::inline v0 {

/// What candidates and the classes outside are charged.
enum class leveraged_loss : std::uint8_t {
  sigmoid,       ///< psi(z) = 1 / (1 + exp(z)), of the score itself
  logistic,      ///< psi(z) = log(1 + exp(-z)), of the score itself
  cross_entropy  ///< -log p(c) for candidates, -log(1 - p(c)) outside, p the softmax
};

struct leveraged_weighted_options {
  leveraged_loss base = leveraged_loss::sigmoid;
  double beta =
      2;  ///< weight of the classes outside the set, not negative; the authors argue for 2 and try 0 and 1 too
};

/// Weights of the leveraged weighted loss: softmax of the scores within the set, and by itself within the complement.
///
///     weight(i, c) = exp(z(c)) / sum over j on the same side of S(i) as c of exp(z(j))
///
/// scores  [..., k]  -inf has weight zero; a side that is empty, or -inf throughout, has none at all
/// sets    n         of k classes
/// weight  [..., k]  may be the storage of `scores`
///
/// A row with a NaN or +inf comes out as NaN, and no other row does. Throws shape_error, and label_error for malformed
/// sets after all other rows are done. O(n k), in double; allocates nothing. Same bits for every executor and layout.
template <executor Exec, score_tensor Scores, real_output Weight>
void leveraged_weights(Exec&& ex, const Scores& scores, const candidate_sets& sets, Weight&& weight) {
  constexpr const char* name = "leveraged_weights";
  const detail::wide_rows rows = detail::wide_rows_of(name, scores);
  const index_t k = rows.k;
  detail::require_sets(name, sets, rows.n, k);
  const auto to = detail::wide_sink(name, "weight", weight, rows.n, k);
  detail::shared_status malformed;
  for_row_chunks(ex, rows.n, k, [&](index_t first, index_t last) {
    using batch = simd::batch<double>;
    constexpr double inf = std::numeric_limits<double>::infinity();
    double s[std::size_t(detail::wide_block)];
    for (index_t i = first; i < last; ++i) {
      if (!sets.valid(i)) {
        malformed.merge({i, 1});
        detail::fill_wide_row(to, i, k, std::numeric_limits<double>::quiet_NaN());
        continue;
      }
      // -inf for the other side, but for what makes the whole row NaN.
      const auto side = [&](bool members) {
        return [&, members](index_t j, index_t count, double* x) {
          const double* const z = rows.x.part(i, j, count, x);
          sets.marks(i, j, count, s);
          detail::map_batches(z, static_cast<const double*>(s), count, x, [members](batch score, batch mark) {
            const auto here = members ? mark != batch(0.0) : mark == batch(0.0);
            return simd::select(here | ~(score < batch(inf)), score, -inf);
          });
          return static_cast<const double*>(x);
        };
      };
      detail::exponents in(k, side(true)), out(k, side(false));
      const detail::exponent_row in_row = in.row(), out_row = out.row();
      const bool bad = in_row.bad || out_row.bad;
      const auto factor = [bad](const detail::exponent_row& row) {
        return bad ? std::numeric_limits<double>::quiet_NaN() : row.empty() ? 0 : 1 / row.total();
      };
      const double in_factor = factor(in_row), out_factor = factor(out_row);
      const auto scaled = [](batch e, double by) { return by == 0 ? batch(0.0) : e * by; };
      detail::row_blocks<double>(rows.x, to, i, 1).write([&](index_t column, const double*, index_t count, double* w) {
        const double *const e = in.exps(column, count), *const f = out.exps(column, count);
        sets.marks(i, column, count, s);
        detail::for_batches<double>(count, [&](auto at) {
          at.store(
              w, simd::select(at.load(s) != batch(0.0), scaled(at.load(e), in_factor), scaled(at.load(f), out_factor)));
        });
      });
    }
  });
  detail::require_well_formed(name, malformed.load());
}
template <score_tensor Scores, real_output Weight>
void leveraged_weights(const Scores& scores, const candidate_sets& sets, Weight&& weight) {
  leveraged_weights(seq, scores, sets, weight);
}

/// Leveraged weighted loss of candidate sets, its weights held fixed.
///
///     loss(i) = sum over c in S of w(c) psi(z(c)) + beta sum over c not in S of w(c) psi(-z(c))
///     grad(i, c) = w(c) psi'(z(c)) in S, -beta w(c) psi'(-z(c)) outside; with cross_entropy that of
///                  sum over S of w(c) (-log p(c)) + beta sum outside of w(c) (-log(1 - p(c)))
///
/// logits   [..., k]  scores; -inf excludes a class, which is charged nothing where its weight is zero
/// sets     n         of k classes
/// weights  [..., k]  not negative, such as leveraged_weights gives, at each step or once an epoch
/// loss     [...]     or discard
/// grad     [..., k]  or discard; may be the storage of `logits` or of `weights`
///
/// A NaN in a row of logits or weights makes that row NaN, and no other. Negative weights are not looked for: what
/// comes of them is of no use. Throws shape_error, option_error, and label_error for malformed sets after all other
/// rows are done. O(n k), in double; allocates nothing. Same bits for every executor and layout. Source: Wen et al.,
/// ICML 2021, arXiv 2106.05731.
template <executor Exec, score_tensor Logits, score_tensor Weights, real_output Loss, real_output Grad>
void leveraged_weighted(Exec&& ex, const Logits& logits, const candidate_sets& sets, const Weights& weights,
                        Loss&& loss, Grad&& grad, const leveraged_weighted_options& options = {}) {
  constexpr const char* name = "leveraged_weighted";
  if (!(options.beta >= 0 && std::isfinite(options.beta)))
    detail::fail<option_error>(name, ": beta is ", options.beta, "; it must be zero or more, and finite");
  const detail::wide_rows rows = detail::wide_rows_of(name, logits), w = detail::wide_rows_of(name, weights);
  const index_t n = rows.n, k = rows.k;
  detail::require_sets(name, sets, n, k);
  if (w.n != n || w.k != k)
    detail::fail<shape_error>(name, ": weights have ", w.n, " rows of ", w.k, ", logits ", n, " of ", k);
  const auto loss_to = detail::value_sink<double>(name, "loss", loss, n);
  const auto grad_to = detail::wide_sink(name, "grad", grad, n, k);
  const double beta = options.beta;
  detail::shared_status malformed;
  for_row_chunks(ex, n, k, [&](index_t first, index_t last) {
    using batch = simd::batch<double>;
    double s[std::size_t(detail::wide_block)], buffer[std::size_t(detail::wide_block)],
        part[std::size_t(detail::wide_block)];
    for (index_t i = first; i < last; ++i) {
      if (!sets.valid(i)) {
        malformed.merge({i, 1});
        detail::put_value(loss_to, i, std::numeric_limits<double>::quiet_NaN());
        detail::fill_wide_row(grad_to, i, k, std::numeric_limits<double>::quiet_NaN());
        continue;
      }
      if (options.base != leveraged_loss::cross_entropy) {
        const bool logistic = options.base == leveraged_loss::logistic;
        double value = 0, score[std::size_t(detail::wide_block)], g[std::size_t(detail::wide_block)];
        for (index_t j = 0; j < k; j += detail::wide_block) {
          const index_t count = std::min(detail::wide_block, k - j);
          const double *const x = rows.x.part(i, j, count, score), *const u = w.x.part(i, j, count, buffer);
          sets.marks(i, j, count, s);
          detail::for_batches<double>(count, [&](auto at) {
            const batch z = at.load(x), weight = at.load(u);
            const auto member = at.load(s) != batch(0.0);
            const batch margin = simd::select(member, z, -z), e = simd::exp(-simd::abs(margin));
            const auto sigmoid = detail::sigmoids_of(margin, e);
            const batch charge = logistic ? detail::softplus_of(-margin, e) : sigmoid.down;
            const batch slope = logistic ? sigmoid.down : sigmoid.down * sigmoid.up;
            const batch share = simd::select(member, batch(1.0), beta) * weight;
            const auto free = (share == batch(0.0)) & (charge == batch(std::numeric_limits<double>::infinity()));
            at.store(part, simd::select(free, batch(0.0), share * charge));
            at.store(g, simd::select(member, batch(-1.0), beta) * weight * slope);
          });
          value += simd::sum(static_cast<const double*>(part), count);
          if (!grad_to.empty()) grad_to.put_part(i, j, count, g);
        }
        detail::put_value(loss_to, i, value);
        continue;
      }
      const auto outside = [&](index_t column, index_t count, double* u) {
        double own[std::size_t(detail::wide_block)];
        const double* const x = w.x.part(i, column, count, own);
        sets.marks(i, column, count, s);
        detail::map_batches(x, static_cast<const double*>(s), count, u, [beta](batch weight, batch mark) {
          return simd::select(mark != batch(0.0), batch(0.0), weight * beta);
        });
      };
      detail::complement_terms terms(rows, i, std::numeric_limits<double>::infinity(), outside);
      const detail::exponent_row all = terms.row();
      const double undefined = std::numeric_limits<double>::quiet_NaN();
      if (!all.defined()) {
        detail::put_value(loss_to, i, undefined);
        detail::fill_wide_row(grad_to, i, k, undefined);
        continue;
      }
      const detail::row_blocks<double> row(rows.x, grad_to, i, 1);
      double mass = 0, distance = 0;
      row.read([&](index_t column, const double* x, index_t count) {
        const double* const u = w.x.part(i, column, count, buffer);
        sets.marks(i, column, count, s);
        for (index_t c = 0; c < count; ++c) {
          if (s[c] == 0) continue;
          mass += u[c];
          if (u[c] != 0 && column + c != all.at) distance += u[c] * (all.top - x[c]);
        }
      });
      detail::put_value(loss_to, i, mass * all.log_total() + distance + terms.value());
      const double share = mass / all.total();
      row.write([&](index_t column, const double*, index_t count, double* g) {
        const double* const u = w.x.part(i, column, count, buffer);
        const double* const e = terms.exps(column, count);
        sets.marks(i, column, count, s);
        detail::for_batches<double>(count, [&](auto at) {
          at.store(g, at.load(e) * share - simd::select(at.load(s) != batch(0.0), at.load(u), 0.0));
        });
        terms.add_gradient(column, count, g);
      });
    }
  });
  detail::require_well_formed(name, malformed.load());
}
template <score_tensor Logits, score_tensor Weights, real_output Loss, real_output Grad>
void leveraged_weighted(const Logits& logits, const candidate_sets& sets, const Weights& weights, Loss&& loss,
                        Grad&& grad, const leveraged_weighted_options& options = {}) {
  leveraged_weighted(seq, logits, sets, weights, loss, grad, options);
}

}  // namespace weakly::inline v0
