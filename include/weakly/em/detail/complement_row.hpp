// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/detail/map_batches.hpp>
#include <weakly/core/math.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/em/detail/wide_rows.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace weakly::inline v0::detail {

/// Sum over c of u(c) min(-log(1 - p(c)), cap), u held fixed, and its gradient by the scores.
///
/// The term of c has the gradient p(c) at c, and -p(c) rho(j) at j != c, rho being the softmax without c. Nowhere is
/// 1 - p(c) formed: with e(c) = exp(z(c) - top), E their sum and a the greatest, it is (E - e(c)) / E, where E - e(c)
/// >= 1 for c != a, and for c = a is the sum of the others with a greatest of its own.
/// weights(column, count, u) fills u(c) for classes from `column` on.
template <class Weights>
class complement_terms {
 public:
  complement_terms(const wide_rows& rows, index_t i, double cap, Weights weights)
      : rows_(rows), i_(i), cap_(cap), weights_(weights), all_(rows.k, scores{&rows, i}) {
    if (!defined()) return;
    double sum_of_odds = 0;
    for (index_t j = 0; j < rows.k; j += wide_block) {
      const index_t count = std::min(wide_block, rows.k - j);
      value_ += fill(j, count);
      sum_of_odds += simd::sum(static_cast<const double*>(odds_), count);
    }
    shared_ = sum_of_odds / row().total();
    if (u_of_top_ == 0) return;
    if (std::isnan(u_of_top_)) shared_ = u_of_top_;
    rest_ = summarise(rows.k, [&](index_t j, index_t count, double* buffer) {
      const double* const x = all_.values(j, count);
      if (row().at < j || row().at >= j + count) return x;
      std::copy_n(x, count, buffer);
      buffer[row().at - j] = -std::numeric_limits<double>::infinity();
      return static_cast<const double*>(buffer);
    });
    const double term = rest_.empty() ? std::numeric_limits<double>::infinity()
                                      : math::softplus((row().top - rest_.top) - rest_.log_total());
    value_ += u_of_top_ * std::min(term, cap_);
    if (term <= cap_) of_top_ = u_of_top_ / row().total();
  }

  /// Of all classes.
  const exponent_row& row() const { return all_.row(); }
  bool defined() const { return row().defined(); }
  double value() const { return value_; }

  /// exp(z(c) - top) of the block from `column` on.
  const double* exps(index_t column, index_t count) { return all_.exps(column, count); }

  /// Adds the gradient of classes from `column` on to g.
  void add_gradient(index_t column, index_t count, double* g) {
    using batch = simd::batch<double>;
    if (column != odds_column_) fill(column, count);
    const double* const e = exps(column, count);
    // u p(c) - e(c) (shared - what c itself put into it) = u odds(c) - e(c) shared.
    for_batches<double>(count,
                        [&](auto at) { at.store(g, at.load(g) + (at.load(odds_) - at.load(e) * batch(shared_))); });
    if (of_top_ == 0) return;
    const index_t a = row().at - column;
    const double of_greatest = a >= 0 && a < count ? g[a] + of_top_ : 0;
    if (!rest_.empty()) {
      const double* const x = all_.values(column, count);
      for_batches<double>(count, [&](auto at) {
        at.store(g, at.load(g) - simd::exp(at.load(x) - batch(rest_.top)) * batch(of_top_ / rest_.total()));
      });
    }
    if (a >= 0 && a < count) g[a] = of_greatest;
  }

 private:
  struct scores {
    const wide_rows* rows;
    index_t i;
    const double* operator()(index_t column, index_t count, double* buffer) const {
      return rows->x.part(i, column, count, buffer);
    }
  };

  // Fills odds_ with u e(c) / (E - e(c)), zero for the greatest and for terms that are capped; returns the sum of terms
  // but that of the greatest.
  double fill(index_t column, index_t count) {
    using batch = simd::batch<double>;
    double u[std::size_t(wide_block)], term[std::size_t(wide_block)];
    weights_(column, count, u);
    if (const index_t a = row().at - column; a >= 0 && a < count) {
      u_of_top_ = u[a];
      u[a] = 0;
    }
    const double* const e = exps(column, count);
    const batch total = row().total(), cap = cap_;
    for_batches<double>(count, [&](auto at) {
      const batch weight = at.load(u), own = at.load(e), odds = own / (total - own);
      const auto weighs = weight != batch(0.0);
      const batch loss = simd::log1p_nonnegative(odds);
      at.store(term, simd::select(weighs, weight * simd::min(cap, loss), 0.0));
      at.store(odds_, simd::select(weighs & (loss <= cap), weight * odds, 0.0));
    });
    odds_column_ = column;
    return simd::sum(static_cast<const double*>(term), count);
  }

  const wide_rows& rows_;
  index_t i_;
  double cap_;
  Weights weights_;
  exponents<scores> all_;
  exponent_row rest_;  // of the classes but the greatest, where that one has a weight
  double value_ = 0;
  double u_of_top_ = 0;
  double shared_ = 0;  // sum of u p(c) / (E - e(c)) of all classes but the greatest: times e(j) their pull on j
  double of_top_ = 0;  // u p of the greatest, where it counts
  index_t odds_column_ = -1;
  double odds_[std::size_t(wide_block)];
};

}  // namespace weakly::inline v0::detail
