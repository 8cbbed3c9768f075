// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/labels.hpp>
#include <weakly/core/matrix.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>
#include <weakly/em/detail/wide_rows.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace weakly::inline v0 {

/// The two transition matrices that the code of "Imprecise label learning" makes from one weight, for reproducing it.
struct two_softmax_transitions {
  matrix<double> by_row;     ///< rows sum to one: T of the E-step, for noisy_labels_observed
  matrix<double> by_column;  ///< columns sum to one: of the loss, for two_softmax_noise_loss
};

namespace detail {

inline double length(const matrix<double>& m, index_t at, bool column) {
  double sum = 0;
  for (index_t j = 0; j < m.rows(); ++j) {
    const double x = column ? m(j, at) : m(at, j);
    sum += x * x;
  }
  return std::max(std::sqrt(sum), 1e-12);
}

/// W transposed, its columns and then its rows scaled to length one, and both lengths.
struct normalised_weight {
  matrix<double> by_column, by_both;
  std::vector<double> column_length, row_length;

  template <class Weight>
  explicit normalised_weight(const Weight& weight) {
    const auto w = view(weight);
    const index_t k = w.extent(0);
    require_extent("two_softmax_transition: weight", w, 1, k);
    matrix<double> n(k, k);
    for (index_t c = 0; c < k; ++c)
      for (index_t l = 0; l < k; ++l) {
        n(c, l) = convert_real<double>(w(l, c));
        if (!std::isfinite(n(c, l)))
          fail<value_error>("two_softmax_transition: weight ", n(c, l), " of row ", l, " and column ", c,
                            "; weights are finite");
      }
    for (index_t l = 0; l < k; ++l) {
      double greatest = 0;
      for (index_t c = 0; c < k; ++c) greatest = std::max(greatest, std::abs(n(c, l)));
      const double unit = greatest > 0x1p500 ? 0x1p-530 : 1;  // squares of such numbers overflow
      for (index_t c = 0; c < k; ++c) n(c, l) *= unit;
      const double of_column = length(n, l, true);
      column_length.push_back(of_column / unit);
      for (index_t c = 0; c < k; ++c) n(c, l) /= of_column;
    }
    by_column = n;
    for (index_t c = 0; c < k; ++c) {
      row_length.push_back(length(n, c, false));
      for (double& x : n.row(c)) x /= row_length.back();
    }
    by_both = n;
  }

  /// d by the weight from d by both normalisations: each takes out the part along what it normalised.
  matrix<double> back(matrix<double> d) const {
    const index_t k = d.rows();
    for (index_t c = 0; c < k; ++c) {
      double along = 0;
      for (index_t l = 0; l < k; ++l) along += d(c, l) * by_both(c, l);
      for (index_t l = 0; l < k; ++l)
        d(c, l) = (d(c, l) - along * by_both(c, l)) / row_length[static_cast<std::size_t>(c)];
    }
    matrix<double> of_weight(k, k);
    for (index_t l = 0; l < k; ++l) {
      double along = 0;
      for (index_t c = 0; c < k; ++c) along += d(c, l) * by_column(c, l);
      for (index_t c = 0; c < k; ++c)
        of_weight(l, c) = (d(c, l) - along * by_column(c, l)) / column_length[static_cast<std::size_t>(l)];
    }
    return of_weight;
  }
};

/// exp(scale m(i, j)) over the sum along rows, or columns.
inline matrix<double> softmax_along(const matrix<double>& m, double scale, bool columns) {
  const index_t k = m.rows();
  matrix<double> t(k, k);
  for (index_t a = 0; a < k; ++a) {
    const auto at = [&](auto& x, index_t j) -> auto& { return columns ? x(j, a) : x(a, j); };
    double top = at(m, 0), sum = 0;
    for (index_t j = 1; j < k; ++j) top = std::max(top, at(m, j));
    for (index_t j = 0; j < k; ++j) sum += at(t, j) = std::exp(scale * (at(m, j) - top));
    for (index_t j = 0; j < k; ++j) at(t, j) /= sum;
  }
  return t;
}

inline void require_scale(double scale) {
  if (!(scale > 0 && std::isfinite(scale)))
    fail<option_error>("two_softmax_transition: scale is ", scale, "; it must be positive and finite");
}

/// A row of logits under C: e(c) = exp(z(c) - top), seen = sum of e(c) C(c, l), all = sum of e(c) times row c of C.
struct two_softmax_sums {
  exponent_row row;
  double seen = 0, all = 0, loss = 0;

  two_softmax_sums(const wide_rows& rows, index_t i, index_t l, const matrix<double>& by_column,
                   const std::vector<double>& row_sum)
      : row(summarise(rows, i)) {
    double buffer[std::size_t(wide_block)], e[std::size_t(wide_block)], unseen = 0;
    for (index_t j = 0; row.defined() && j < rows.k; j += wide_block) {
      const index_t count = std::min(wide_block, rows.k - j);
      exps_below(rows.x.part(i, j, count, buffer), count, row.top, e);
      for (index_t c = 0; c < count; ++c) {
        const double of_label = by_column(j + c, l);
        seen += e[c] * of_label;
        unseen += e[c] * (row_sum[static_cast<std::size_t>(j + c)] - of_label);
      }
    }
    all = seen + unseen;
    loss = row.defined() ? std::log1p(unseen / seen) : std::numeric_limits<double>::quiet_NaN();
  }
};

inline std::vector<double> row_sums(const matrix<double>& m) {
  std::vector<double> sums;
  for (index_t c = 0; c < m.rows(); ++c) {
    double sum = 0;
    for (const double x : m.row(c)) sum += x;
    sums.push_back(sum);
  }
  return sums;
}

}  // namespace detail

/// Both matrices of one weight.
///
///     N = transpose of W, columns and then rows scaled to length one
///     by_row    = softmax of scale N along each row,   by_column = softmax of scale N along each column
///
/// weight  k x k  any finite numbers; the authors begin with the identity
/// scale          positive; the authors use 0.5 to 2.5 by data set
///
/// No entry is zero: with the identity, k = 10 and scale 1, the diagonal of by_row is 0.23. Throws shape_error,
/// option_error, and value_error naming a weight that is not finite. O(k^2), which it allocates. Source: the authors'
/// code of arXiv 2305.12715.
template <real_matrix Weight>
two_softmax_transitions two_softmax_transition(const Weight& weight, double scale = 1) {
  detail::require_scale(scale);
  const detail::normalised_weight n(weight);
  return {detail::softmax_along(n.by_both, scale, false), detail::softmax_along(n.by_both, scale, true)};
}

/// Loss of noisy labels under by_column, whose rows do not sum to one and are made to.
///
///     C = by_column,   u(l) = sum over c of p(c) C(c, l),   p = softmax(logits(i))
///     loss(i) = -log(u(label(i)) / sum of u)
///
/// logits  [..., k]  float, double, half or bfloat16
/// labels  n         in [0, k); -1 where nothing was observed: loss and gradient are zero
/// C       k x k     positive
/// loss    [...]     or discard
/// grad    [..., k]  by the logits, or discard; may be the storage of `logits`
///
/// A row with a NaN or +inf, or nothing but -inf, comes out as NaN, and no other does. Throws shape_error, and
/// label_error after all other rows are done. O(n k + k^2), in double; allocates k numbers. Same bits for every
/// executor and layout.
template <executor Exec, score_tensor Logits, label_vector Labels, real_output Loss, real_output Grad>
void two_softmax_noise_loss(Exec&& ex, const Logits& logits, const Labels& labels, const matrix<double>& by_column,
                            Loss&& loss, Grad&& grad) {
  constexpr const char* name = "two_softmax_noise_loss";
  const detail::wide_rows rows = detail::wide_rows_of(name, logits);
  const index_t k = rows.k;
  const auto y = view(labels);
  detail::require_extent("two_softmax_noise_loss: labels", y, 0, rows.n);
  detail::require_extent("two_softmax_noise_loss: by_column", view(by_column), 0, k);
  detail::require_extent("two_softmax_noise_loss: by_column", view(by_column), 1, k);
  const auto loss_to = detail::value_sink<double>(name, "loss", loss, rows.n);
  const auto grad_to = detail::wide_sink(name, "grad", grad, rows.n, k);
  const std::vector<double> sums = detail::row_sums(by_column);
  detail::shared_status malformed;
  for_row_chunks(ex, rows.n, k, [&](index_t first, index_t last) {
    for (index_t i = first; i < last; ++i) {
      const auto label = static_cast<index_t>(y(i));
      const bool known = detail::is_label(label, k);
      if (!known) {
        if (label != -1) malformed.merge({i, 1});
        const double value = label == -1 ? 0 : std::numeric_limits<double>::quiet_NaN();
        detail::put_value(loss_to, i, value);
        detail::fill_wide_row(grad_to, i, k, value);
        continue;
      }
      const detail::two_softmax_sums r(rows, i, label, by_column, sums);
      detail::put_value(loss_to, i, r.loss);
      if (!r.row.defined()) {
        detail::fill_wide_row(grad_to, i, k, r.loss);
        continue;
      }
      detail::row_blocks<double>(rows.x, grad_to, i, 1)
          .write([&](index_t column, const double* x, index_t count, double* g) {
            detail::exps_below(x, count, r.row.top, g);
            for (index_t c = 0; c < count; ++c)
              g[c] *= sums[static_cast<std::size_t>(column + c)] / r.all - by_column(column + c, label) / r.seen;
          });
    }
  });
  detail::require_well_formed(name, malformed.load());
}
template <score_tensor Logits, label_vector Labels, real_output Loss, real_output Grad>
void two_softmax_noise_loss(const Logits& logits, const Labels& labels, const matrix<double>& by_column, Loss&& loss,
                            Grad&& grad) {
  two_softmax_noise_loss(seq, logits, labels, by_column, loss, grad);
}

/// Gradient of the sum of those losses by the weight W, k x k, as for two_softmax_noise_loss with the by_column of
/// two_softmax_transition(weight, scale). Rows that are NaN are left out. Runs on the calling thread; O(n k + k^2),
/// allocates O(k^2). Throws shape_error, option_error, value_error for a weight that is not finite, label_error before
/// anything is computed.
template <score_tensor Logits, label_vector Labels, real_matrix Weight>
matrix<double> two_softmax_gradient(const Logits& logits, const Labels& labels, const Weight& weight,
                                    double scale = 1) {
  const two_softmax_transitions t = two_softmax_transition(weight, scale);
  const matrix<double>& by_column = t.by_column;
  const detail::wide_rows rows = detail::wide_rows_of("two_softmax_gradient", logits);
  const index_t k = rows.k;
  const auto y = view(labels);
  detail::require_extent("two_softmax_gradient: labels", y, 0, rows.n);
  detail::require_extent("two_softmax_gradient: weight", view(weight), 0, k);
  for (index_t i = 0; i < rows.n; ++i)
    if (const auto label = static_cast<index_t>(y(i)); label != -1 && !detail::is_label(label, k))
      detail::fail<label_error>("two_softmax_gradient: label ", label, " of row ", i, " is outside [0, ", k, ")");
  const std::vector<double> sums = detail::row_sums(by_column);
  matrix<double> d(k, k);
  std::vector<double> every(static_cast<std::size_t>(k));  // what each entry of a row of C gets alike
  double buffer[std::size_t(detail::wide_block)], e[std::size_t(detail::wide_block)];
  for (index_t i = 0; i < rows.n; ++i) {
    const auto label = static_cast<index_t>(y(i));
    if (label < 0) continue;
    const detail::two_softmax_sums r(rows, i, label, by_column, sums);
    for (index_t j = 0; r.row.defined() && j < k; j += detail::wide_block) {
      const index_t count = std::min(detail::wide_block, k - j);
      detail::exps_below(rows.x.part(i, j, count, buffer), count, r.row.top, e);
      for (index_t c = 0; c < count; ++c) {
        d(j + c, label) -= e[c] / r.seen;
        every[static_cast<std::size_t>(j + c)] += e[c] / r.all;
      }
    }
  }
  for (index_t l = 0; l < k; ++l) {
    double along = 0;
    for (index_t c = 0; c < k; ++c) {
      d(c, l) += every[static_cast<std::size_t>(c)];
      along += by_column(c, l) * d(c, l);
    }
    for (index_t c = 0; c < k; ++c) d(c, l) = scale * by_column(c, l) * (d(c, l) - along);
  }
  return detail::normalised_weight(weight).back(d);
}

}  // namespace weakly::inline v0
