// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/detail/map_batches.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>
#include <weakly/em/detail/impossible_row.hpp>
#include <weakly/em/detail/wide_rows.hpp>
#include <weakly/em/observations.hpp>

#include <algorithm>
#include <cstddef>
#include <limits>

namespace weakly::inline v0 {

struct em_consistency_options {
  impossible_row impossible = impossible_row::refuse;
};

/// Consistency of two views of the same examples, each given what was observed: cross-entropy of the posterior of the
/// strong view to that of the weak one, which is held fixed.
///
///     q(c) = posterior of scores and t,   t(c) = likelihood of what was observed given class c   (label_posterior.hpp)
///     loss(i) = -sum over c of q_weak(c) log q_strong(c),   grad(i, c) = d loss / d strong(i, c) = q_strong(c) -
///     q_weak(c)
///
/// weak, strong  [..., k]  logits, or log-probabilities up to a constant of the row
/// observed                as in label_posterior; nothing_observed gives plain consistency
/// loss          [...]     or discard
/// grad          [..., k]  or discard; may be the storage of `strong` or of `weak`
///
/// A singleton set has loss 0. A strong score of -inf where the weak posterior is not zero makes the loss infinite. A
/// row with a NaN or +inf comes out as NaN, one that is impossible in either view as NaN with an infinite loss, and no
/// other row does. Throws shape_error; label_error for malformed observations, value_error for impossible ones, unless
/// kept, after all other rows are done. O(n k), for noisy sets O(n |S| k), in double; allocates nothing. Same bits for
/// every executor and layout. Source: Chen et al., "Imprecise label learning", arXiv 2305.12715.
template <executor Exec, score_tensor Weak, score_tensor Strong, real_output Loss, real_output Grad>
void em_consistency(Exec&& ex, const Weak& weak, const Strong& strong, const observations& observed, Loss&& loss,
                    Grad&& grad, const em_consistency_options& options = {}) {
  constexpr const char* name = "em_consistency";
  const detail::wide_rows w = detail::wide_rows_of(name, weak), s = detail::wide_rows_of(name, strong);
  const index_t n = w.n, k = w.k;
  if (s.n != n || s.k != k || observed.rows() != n || observed.classes() != k)
    detail::fail<shape_error>(name, ": the weak view has ", n, " rows of ", k, ", the strong one ", s.n, " of ", s.k,
                              ", what was observed ", observed.rows(), " of ", observed.classes());
  const auto loss_to = detail::value_sink<double>(name, "loss", loss, n);
  const auto grad_to = detail::wide_sink(name, "grad", grad, n, k);
  detail::shared_status malformed, impossible;
  for_row_chunks(ex, n, k, [&](index_t first, index_t last) {
    using batch = simd::batch<double>;
    double part[std::size_t(detail::wide_block)];
    for (index_t i = first; i < last; ++i) {
      const detail::observed_exponents weak_row(w, observed, i), strong_row(s, observed, i);
      detail::exponents<const detail::observed_exponents&> of_weak(k, weak_row), of_strong(k, strong_row);
      const detail::exponent_row q = of_weak.row(), r = of_strong.row();
      const bool well_formed = observed.well_formed(i);
      if (!well_formed) malformed.merge({i, 1});
      if (!q.defined() || !r.defined()) {
        const bool undefined = q.bad || r.bad;
        if (!undefined && well_formed) impossible.merge({i, 1});
        detail::put_value(
            loss_to, i, undefined ? std::numeric_limits<double>::quiet_NaN() : std::numeric_limits<double>::infinity());
        detail::fill_wide_row(grad_to, i, k, std::numeric_limits<double>::quiet_NaN());
        continue;
      }
      const double per_weak = 1 / q.total(), per_strong = 1 / r.total();
      double distance = 0;
      for (index_t j = 0; j < k; j += detail::wide_block) {
        const index_t count = std::min(detail::wide_block, k - j);
        detail::map_batches(of_weak.exps(j, count), of_strong.values(j, count), count, part, [&](batch e, batch b) {
          const batch posterior = e * per_weak;
          return simd::select(posterior > batch(0.0), posterior * (r.top - b), 0.0);
        });
        distance += simd::sum(static_cast<const double*>(part), count);
      }
      detail::put_value(loss_to, i, r.log_total() + distance);
      if (grad_to.empty()) continue;
      for (index_t j = 0; j < k; j += detail::wide_block) {
        const index_t count = std::min(detail::wide_block, k - j);
        detail::map_batches(of_strong.exps(j, count), of_weak.exps(j, count), count, part,
                            [&](batch strong_e, batch weak_e) { return strong_e * per_strong - weak_e * per_weak; });
        grad_to.put_part(i, j, count, part);
      }
    }
  });
  detail::require_well_formed(name, observed, malformed.load());
  detail::require_possible(name, "row", impossible.load(), options.impossible);
}
template <score_tensor Weak, score_tensor Strong, real_output Loss, real_output Grad>
void em_consistency(const Weak& weak, const Strong& strong, const observations& observed, Loss&& loss, Grad&& grad,
                    const em_consistency_options& options = {}) {
  em_consistency(seq, weak, strong, observed, loss, grad, options);
}

}  // namespace weakly::inline v0
