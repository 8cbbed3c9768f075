// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/math.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
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
    double s[std::size_t(detail::wide_block)], in_set[std::size_t(detail::wide_block)];
    for (index_t i = first; i < last; ++i) {
      const bool valid = sets.valid(i);
      if (!valid) malformed.merge({i, 1});
      const auto side = [&](bool members) {
        return detail::summarise(k, [&, members](index_t j, index_t count, double* x) {
          const double* const z = rows.x.part(i, j, count, x);
          if (valid) sets.marks(i, j, count, s);
          for (index_t c = 0; c < count; ++c)
            x[c] = (s[c] != 0) == members || !(z[c] < std::numeric_limits<double>::infinity())
                       ? z[c]
                       : -std::numeric_limits<double>::infinity();
          return static_cast<const double*>(x);
        });
      };
      if (!valid) {
        detail::fill_wide_row(to, i, k, std::numeric_limits<double>::quiet_NaN());
        continue;
      }
      const detail::exponent_row in = side(true), out = side(false);
      detail::row_blocks<double>(rows.x, to, i, 1)
          .write([&](index_t column, const double* x, index_t count, double* w) {
            sets.marks(i, column, count, s);
            detail::exps_below(x, count, in.top, in_set);
            detail::exps_below(x, count, out.top, w);
            for (index_t c = 0; c < count; ++c) {
              const detail::exponent_row& mine = s[c] != 0 ? in : out;
              w[c] = in.bad || out.bad ? std::numeric_limits<double>::quiet_NaN()
                     : mine.empty()    ? 0
                                       : (s[c] != 0 ? in_set[c] : w[c]) / mine.total();
            }
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
/// logits   [..., k]  finite scores; with cross_entropy -inf excludes a class
/// sets     n         of k classes
/// weights  [..., k]  not negative, such as leveraged_weights gives, at each step or once an epoch
/// loss     [...]     or discard
/// grad     [..., k]  or discard; may be the storage of `logits` or of `weights`
///
/// A NaN in a row of logits or weights makes that row NaN, and no other. Throws shape_error, option_error, and
/// label_error for malformed sets after all other rows are done. O(n k), in double; allocates nothing. Same bits for
/// every executor and layout. Source: Wen et al., ICML 2021, arXiv 2106.05731.
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
    double s[std::size_t(detail::wide_block)], buffer[std::size_t(detail::wide_block)];
    for (index_t i = first; i < last; ++i) {
      if (!sets.valid(i)) {
        malformed.merge({i, 1});
        detail::put_value(loss_to, i, std::numeric_limits<double>::quiet_NaN());
        detail::fill_wide_row(grad_to, i, k, std::numeric_limits<double>::quiet_NaN());
        continue;
      }
      const detail::row_blocks<double> row(rows.x, grad_to, i, 1);
      if (options.base != leveraged_loss::cross_entropy) {
        const bool logistic = options.base == leveraged_loss::logistic;
        double value = 0;
        row.read([&](index_t column, const double* x, index_t count) {
          const double* const u = w.x.part(i, column, count, buffer);
          sets.marks(i, column, count, s);
          for (index_t c = 0; c < count; ++c) {
            const double margin = s[c] != 0 ? x[c] : -x[c];
            value += (s[c] != 0 ? 1 : beta) * u[c] * (logistic ? math::softplus(-margin) : math::sigmoid(-margin));
          }
        });
        detail::put_value(loss_to, i, value);
        row.write([&](index_t column, const double* x, index_t count, double* g) {
          const double* const u = w.x.part(i, column, count, buffer);
          sets.marks(i, column, count, s);
          for (index_t c = 0; c < count; ++c) {
            const double margin = s[c] != 0 ? x[c] : -x[c], down = math::sigmoid(-margin);
            const double slope = logistic ? down : down * math::sigmoid(margin);
            g[c] = (s[c] != 0 ? -1 : beta) * u[c] * slope;
          }
        });
        continue;
      }
      const auto outside = [&](index_t column, index_t count, double* u) {
        double marks[std::size_t(detail::wide_block)], own[std::size_t(detail::wide_block)];
        const double* const x = w.x.part(i, column, count, own);
        sets.marks(i, column, count, marks);
        for (index_t c = 0; c < count; ++c) u[c] = marks[c] != 0 ? 0 : beta * x[c];
      };
      const detail::complement_terms terms(rows, i, std::numeric_limits<double>::infinity(), outside);
      const detail::exponent_row all = detail::summarise(rows, i);
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
      const double undefined = std::numeric_limits<double>::quiet_NaN();
      detail::put_value(loss_to, i, all.defined() ? mass * all.log_total() + distance + terms.value() : undefined);
      row.write([&](index_t column, const double* x, index_t count, double* g) {
        if (!all.defined()) {
          std::fill_n(g, count, undefined);
          return;
        }
        const double* const u = w.x.part(i, column, count, buffer);
        sets.marks(i, column, count, s);
        detail::exps_below(x, count, all.top, g);
        for (index_t c = 0; c < count; ++c) g[c] = g[c] / all.total() * mass - s[c] * u[c];
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
