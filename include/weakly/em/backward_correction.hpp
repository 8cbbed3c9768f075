// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/labels.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>
#include <weakly/em/detail/wide_rows.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace weakly::inline v0 {

struct transition_inverse_options {
  double largest_condition = 1e12;  ///< beyond it the matrix counts as singular
};

/// The inverse of a transition matrix, computed by whatever library the caller has, and how far it can be trusted.
/// Holds a view of the inverse.
///
/// transition  k x k  T(c, l) = P(observed l | true c)
/// inverse     k x k  of it
///
/// Throws shape_error; option_error; value_error where the two do not multiply to the identity (some row of the product
/// off by more than 1e-3), which is so for every singular T, or where the condition number is too large. O(k^3),
/// allocates nothing.
class transition_inverse {
 public:
  template <real_matrix Transition, real_matrix Inverse>
  transition_inverse(const Transition& transition, const Inverse& inverse,
                     const transition_inverse_options& options = {})
      : rows_(view(inverse)) {
    const auto t = view(transition);
    const index_t k = t.extent(0);
    detail::require_extent("transition_inverse: transition", t, 1, k);
    detail::require_extent("transition_inverse: inverse", view(inverse), 0, k);
    detail::require_extent("transition_inverse: inverse", view(inverse), 1, k);
    if (!(options.largest_condition >= 1))
      detail::fail<option_error>("transition_inverse: largest_condition is ", options.largest_condition,
                                 "; no condition number is less than 1");
    double norm = 0, norm_of_inverse = 0;
    bool close = true;
    for (index_t c = 0; c < k; ++c) {
      double sum = 0, sum_of_inverse = 0, off = 0;
      for (index_t l = 0; l < k; ++l) {
        sum += std::abs(detail::convert_real<double>(t(c, l)));
        sum_of_inverse += std::abs(rows_.at(c, l));
        double product = c == l ? -1 : 0;
        for (index_t m = 0; m < k; ++m) product += detail::convert_real<double>(t(c, m)) * rows_.at(m, l);
        off += std::abs(product);
      }
      close &= off <= 1e-3;
      norm = std::max(norm, sum);
      norm_of_inverse = std::max(norm_of_inverse, sum_of_inverse);
    }
    condition_ = norm * norm_of_inverse;
    if (!close)
      detail::fail<value_error>(
          "transition_inverse: the second matrix is not the inverse of the first; where it came from a library, the "
          "transition matrix is singular, and only forward correction is left");
    if (!(condition_ <= options.largest_condition))
      detail::fail<value_error>("transition_inverse: the condition number is ", condition_, ", more than ",
                                options.largest_condition,
                                "; the matrix is singular for all that can be computed: use forward correction");
  }

  index_t classes() const { return rows_.columns(); }
  /// Condition number in the norm of the greatest absolute row sum: how much errors of T grow in the loss.
  double condition() const { return condition_; }

  const detail::row_source<double>& rows() const { return rows_; }

 private:
  detail::row_source<double> rows_;
  double condition_ = 0;
};

/// Backward-corrected cross-entropy: an unbiased estimate of the loss under true labels.
///
///     p = softmax(logits(i)),   b = row label(i) of the inverse of T
///     loss(i) = -sum over c of b(c) log p(c),   grad(i, c) = p(c) sum of b - b(c)
///
/// logits  [..., k]  float, double, half or bfloat16
/// labels  n         observed, in [0, k); -1 where nothing was: loss and gradient are zero
/// loss    [...]     or discard
/// grad    [..., k]  or discard; may be the storage of `logits`
///
/// Entries of b may be negative, and so may losses, without bound from below. A row with a NaN or +inf, or nothing but
/// -inf, comes out as NaN, and so may one with a score of -inf where b is not zero; no other row does. Throws
/// shape_error, and label_error after all other rows are done. O(n k), in double; allocates nothing. Same bits for
/// every executor and layout. Source: Patrini et al., CVPR 2017, theorem 1.
template <executor Exec, score_tensor Logits, label_vector Labels, real_output Loss, real_output Grad>
void backward_correction(Exec&& ex, const Logits& logits, const Labels& labels, const transition_inverse& inverse,
                         Loss&& loss, Grad&& grad) {
  constexpr const char* name = "backward_correction";
  const detail::wide_rows rows = detail::wide_rows_of(name, logits);
  const index_t k = rows.k;
  const auto y = view(labels);
  detail::require_extent("backward_correction: labels", y, 0, rows.n);
  if (inverse.classes() != k)
    detail::fail<shape_error>(name, ": an inverse of ", inverse.classes(), " classes for logits of ", k);
  const auto loss_to = detail::value_sink<double>(name, "loss", loss, rows.n);
  const auto grad_to = detail::wide_sink(name, "grad", grad, rows.n, k);
  detail::shared_status malformed;
  for_row_chunks(ex, rows.n, k, [&](index_t first, index_t last) {
    double buffer[std::size_t(detail::wide_block)];
    for (index_t i = first; i < last; ++i) {
      const auto label = static_cast<index_t>(y(i));
      const auto fill = [&](double x) {
        detail::put_value(loss_to, i, x);
        detail::fill_wide_row(grad_to, i, k, x);
      };
      if (label == -1) {
        fill(0);
        continue;
      }
      const detail::exponent_row row = detail::summarise(rows, i);
      const bool known = detail::is_label(label, k);
      if (!known) malformed.merge({i, 1});
      if (!known || !row.defined()) {
        fill(std::numeric_limits<double>::quiet_NaN());
        continue;
      }
      const detail::row_blocks<double> blocks(rows.x, grad_to, i, 1);
      double mass = 0, distance = 0;
      blocks.read([&](index_t column, const double* x, index_t count) {
        const double* const b = inverse.rows().part(label, column, count, buffer);
        for (index_t c = 0; c < count; ++c) {
          mass += b[c];
          if (b[c] != 0 && column + c != row.at) distance += b[c] * (row.top - x[c]);
        }
      });
      detail::put_value(loss_to, i, mass * row.log_total() + distance);
      blocks.write([&](index_t column, const double* x, index_t count, double* g) {
        const double* const b = inverse.rows().part(label, column, count, buffer);
        detail::exps_below(x, count, row.top, g);
        for (index_t c = 0; c < count; ++c) g[c] = g[c] / row.total() * mass - b[c];
      });
    }
  });
  detail::require_well_formed(name, malformed.load());
}
template <score_tensor Logits, label_vector Labels, real_output Loss, real_output Grad>
void backward_correction(const Logits& logits, const Labels& labels, const transition_inverse& inverse, Loss&& loss,
                         Grad&& grad) {
  backward_correction(seq, logits, labels, inverse, loss, grad);
}

}  // namespace weakly::inline v0
