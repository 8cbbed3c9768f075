// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/math.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/em/detail/wide_rows.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace weakly::inline v0::detail {

/// What a row of scores says of 1 - p(c) for every class c at once, without forming it: with e(c) = exp(z(c) - top) and
/// a the greatest, 1 - p(c) = (E - e(c)) / E, where E - e(c) >= 1 for c != a, and for c = a is the sum of the others
/// with a greatest of its own.
struct complement_row {
  exponent_row all;
  exponent_row rest;  // of the classes but all.at

  complement_row(const wide_rows& rows, index_t i) : all(summarise(rows, i)) {
    if (!all.defined()) return;
    rest = summarise(rows.k, [&](index_t j, index_t count, double* buffer) {
      const double* const x = rows.x.part(i, j, count, buffer);
      if (all.at < j || all.at >= j + count) return x;
      if (x != buffer) std::copy_n(x, count, buffer);
      buffer[all.at - j] = -std::numeric_limits<double>::infinity();
      return static_cast<const double*>(buffer);
    });
  }

  /// -log(1 - p(a)): infinite where no other class has a finite score.
  double top_loss() const {
    if (rest.empty()) return std::numeric_limits<double>::infinity();
    return math::softplus((all.top - rest.top) - rest.log_total());
  }
  /// -log(1 - p(c)) of another class, from e(c).
  double loss(double e) const { return std::log1p(e / (all.total() - e)); }
};

/// Sum over c of u(c) min(-log(1 - p(c)), cap), u held fixed, and its gradient by the scores.
///
/// The term of c has the gradient p(c) at c, and -p(c) rho(j) at j != c, rho being the softmax without c.
/// weights(column, count, u) fills u(c) for classes from `column` on.
template <class Weights>
class complement_terms {
 public:
  complement_terms(const wide_rows& rows, index_t i, double cap, Weights weights)
      : rows_(rows), i_(i), cap_(cap), weights_(weights), row_(rows, i) {
    if (!defined()) return;
    double e[std::size_t(wide_block)], u[std::size_t(wide_block)];
    for (index_t j = 0; j < rows.k; j += wide_block) {
      const index_t count = fill(j, e, u);
      for (index_t c = 0; c < count; ++c) {
        if (u[c] == 0) continue;
        const bool top = j + c == row_.all.at;
        const double term = top ? row_.top_loss() : row_.loss(e[c]);
        value_ += u[c] * std::min(term, cap_);
        if (term > cap_) continue;
        if (top)
          of_top_ = u[c] / row_.all.total();
        else
          shared_ += slope(e[c], u[c]);
      }
    }
  }

  bool defined() const { return row_.all.defined(); }
  double value() const { return value_; }

  /// Adds the gradient of classes from `column` on to g.
  void add_gradient(index_t column, index_t count, double* g) const {
    double e[std::size_t(wide_block)], u[std::size_t(wide_block)], own[std::size_t(wide_block)],
        score[std::size_t(wide_block)];
    fill(column, e, u);
    if (of_top_ != 0 && !row_.rest.empty())
      exps_below(rows_.x.part(i_, column, count, score), count, row_.rest.top, own);
    for (index_t c = 0; c < count; ++c) {
      const bool top = column + c == row_.all.at;
      const double p = e[c] / row_.all.total();
      const double term = u[c] == 0 ? 0 : top ? row_.top_loss() : row_.loss(e[c]);
      const bool counts = u[c] != 0 && term <= cap_;
      if (counts) g[c] += u[c] * p;
      g[c] -= e[c] * (shared_ - (counts && !top ? slope(e[c], u[c]) : 0));
      if (!top && of_top_ != 0) g[c] -= of_top_ * (own[c] / row_.rest.total());
    }
  }

 private:
  index_t fill(index_t column, double* e, double* u) const {
    const index_t count = std::min(wide_block, rows_.k - column);
    double score[std::size_t(wide_block)];
    exps_below(rows_.x.part(i_, column, count, score), count, row_.all.top, e);
    weights_(column, count, u);
    return count;
  }
  // u p(c) / (E - e(c)), which times e(j) is the pull of the term of c on j.
  double slope(double e, double u) const { return u * (e / row_.all.total()) / (row_.all.total() - e); }

  const wide_rows& rows_;
  index_t i_;
  double cap_;
  Weights weights_;
  complement_row row_;
  double value_ = 0;
  double shared_ = 0;  // sum of slopes of all classes but the greatest
  double of_top_ = 0;  // u p of the greatest, where it counts
};

}  // namespace weakly::inline v0::detail
