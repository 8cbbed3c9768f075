// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>
#include <weakly/em/candidate_sets.hpp>
#include <weakly/em/detail/complement_row.hpp>
#include <weakly/em/detail/wide_rows.hpp>

#include <algorithm>
#include <cstddef>
#include <limits>

namespace weakly::inline v0 {

struct complement_loss_options {
  /// Greatest value of one term, from where on its gradient is zero; 16.118 is what the authors' 1.0000001 comes to.
  double cap = std::numeric_limits<double>::infinity();
};

/// Loss of the classes that a candidate set excludes.
///
///     loss(i) = sum over c not in S(i) of -log(1 - p(c)),   p = softmax(logits(i))
///     grad(i, j) = [j not in S] p(j) - sum over c not in S, c != j of p(c) rho(c, j),   rho(c) = softmax without class
///     c
///
/// logits  [..., k]  float, double, half or bfloat16; -inf excludes a class
/// sets    n         of k classes; an empty one excludes all, a full one nothing
/// loss    [...]     or discard
/// grad    [..., k]  or discard; may be the storage of `logits`
///
/// Right to the last digits wherever p is near 0 or 1. Where one class alone has a finite score and is excluded, as
/// where k = 1, the loss is infinite (or the cap). A full set has loss 0. A row with a NaN or +inf, or nothing but
/// -inf, comes out as NaN, and no other row does. Throws shape_error, option_error unless cap > 0, and label_error for
/// malformed sets after all other rows are done. O(n k), in double; allocates nothing. Same bits for every executor,
/// layout and form of the sets. Source: Chen et al., arXiv 2305.12715 (the loss beside EM of partial labels); Feng et
/// al., arXiv 1904.04863.
template <executor Exec, score_tensor Logits, real_output Loss, real_output Grad>
void complement_loss(Exec&& ex, const Logits& logits, const candidate_sets& sets, Loss&& loss, Grad&& grad,
                     const complement_loss_options& options = {}) {
  constexpr const char* name = "complement_loss";
  if (!(options.cap > 0)) detail::fail<option_error>(name, ": cap is ", options.cap, "; it must be positive");
  const detail::wide_rows rows = detail::wide_rows_of(name, logits);
  const index_t k = rows.k;
  detail::require_sets(name, sets, rows.n, k);
  const auto loss_to = detail::value_sink<double>(name, "loss", loss, rows.n);
  const auto grad_to = detail::wide_sink(name, "grad", grad, rows.n, k);
  detail::shared_status malformed;
  for_row_chunks(ex, rows.n, k, [&](index_t first, index_t last) {
    for (index_t i = first; i < last; ++i) {
      const bool valid = sets.valid(i);
      if (!valid) malformed.merge({i, 1});
      const auto outside = [&](index_t column, index_t count, double* u) {
        if (valid) sets.marks(i, column, count, u);
        for (index_t c = 0; c < count; ++c) u[c] = valid && u[c] == 0 ? 1 : 0;
      };
      detail::complement_terms terms(rows, i, options.cap, outside);
      if (!valid || !terms.defined()) {
        constexpr double undefined = std::numeric_limits<double>::quiet_NaN();
        detail::put_value(loss_to, i, undefined);
        detail::fill_wide_row(grad_to, i, k, undefined);
        continue;
      }
      detail::put_value(loss_to, i, terms.value());
      detail::row_blocks<double>(rows.x, grad_to, i, 1)
          .write([&](index_t column, const double*, index_t count, double* g) {
            std::fill_n(g, count, 0.0);
            terms.add_gradient(column, count, g);
          });
    }
  });
  detail::require_well_formed(name, malformed.load());
}
template <score_tensor Logits, real_output Loss, real_output Grad>
void complement_loss(const Logits& logits, const candidate_sets& sets, Loss&& loss, Grad&& grad,
                     const complement_loss_options& options = {}) {
  complement_loss(seq, logits, sets, loss, grad, options);
}

}  // namespace weakly::inline v0
