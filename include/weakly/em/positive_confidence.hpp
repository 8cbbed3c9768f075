// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/math.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>
#include <weakly/em/detail/impossible_row.hpp>

#include <cmath>
#include <limits>

namespace weakly::inline v0 {

struct positive_confidence_options {
  impossible_row impossible = impossible_row::refuse;
};

/// Posterior of a binary label of which it was said how likely it is positive.
///
///     p = 1 / (1 + exp(-logit(i))),   r = confidence(i),   Z = p r + (1 - p) (1 - r)
///     posterior(i) = p r / Z,   loss(i) = -log Z,   grad(i) = d loss / d logit(i) = p - posterior(i)
///
/// logit       n  log-odds of being positive; -inf and inf for never and always
/// confidence  n  in [0, 1]: 1 is a positive label, 0 a negative one, 1/2 says nothing
/// posterior   n  or discard
/// loss        n  or discard
/// grad        n  or discard; one of posterior and grad may be the storage of `logit`
///
/// Right for any logit: the loss comes from the odds against the observation. At 1/2 the gradient is exactly 0. A NaN
/// logit makes its row NaN, and so does an impossible one (confidence 1 of a logit of -inf, 0 of inf), whose loss is
/// inf. Throws shape_error; value_error for confidences outside [0, 1], before anything is written, and for impossible
/// rows unless kept, after all others are done. O(n) in double, allocates nothing. Same bits for every executor and
/// layout. Ishida, Niu, Sugiyama, NeurIPS 2018 (the observation); Chen et al., arXiv 2402.01922 (the posterior).
template <executor Exec, real_vector Logit, real_vector Confidence, real_output Posterior, real_output Loss,
          real_output Grad>
void positive_confidence(Exec&& ex, const Logit& logit, const Confidence& confidence, Posterior&& posterior,
                         Loss&& loss, Grad&& grad, const positive_confidence_options& options = {}) {
  constexpr const char* name = "positive_confidence";
  constexpr double inf = std::numeric_limits<double>::infinity();
  const index_t n = view(logit).extent(0);
  detail::require_extent("positive_confidence: confidence", view(confidence), 0, n);
  const detail::row_source<double> x(detail::as_column(view(logit))), r(detail::as_column(view(confidence)));
  const auto posterior_to = detail::value_sink<double>(name, "posterior", posterior, n);
  const auto loss_to = detail::value_sink<double>(name, "loss", loss, n);
  const auto grad_to = detail::value_sink<double>(name, "grad", grad, n);
  for (index_t i = 0; i < n; ++i)
    if (const double c = r.at(i, 0); !(c >= 0 && c <= 1))
      detail::fail<value_error>(name, ": confidence ", c, " of row ", i, " is outside [0, 1]");

  detail::shared_status impossible;
  for_row_chunks(ex, n, [&](index_t first, index_t last) {
    for (index_t i = first; i < last; ++i) {
      const double z = x.at(i, 0), c = r.at(i, 0), log_positive = std::log(c), log_negative = std::log1p(-c);
      // NaN where a certain confidence meets the infinite logit that contradicts it.
      const double q = math::sigmoid(z + (log_positive - log_negative));
      double value = z > 0 ? math::softplus(math::log_add_exp(log_negative, log_positive - z) -
                                            math::log_add_exp(log_positive, log_negative - z))
                           : math::softplus(math::log_add_exp(log_positive, log_negative + z) -
                                            math::log_add_exp(log_negative, log_positive + z));
      if (z == z && q != q) {
        value = inf;
        impossible.merge({i, 1});
      }
      const double slope = z > 0 && q > 0.5 ? math::sigmoid((log_negative - log_positive) - z) - math::sigmoid(-z)
                                            : math::sigmoid(z) - q;
      if (!loss_to.empty()) loss_to.put_rows(i, 1, &value);
      if (!posterior_to.empty()) posterior_to.put_rows(i, 1, &q);
      if (!grad_to.empty()) grad_to.put_rows(i, 1, &slope);
    }
  });
  detail::require_possible(name, "row", impossible.load(), options.impossible);
}
template <real_vector Logit, real_vector Confidence, real_output Posterior, real_output Loss, real_output Grad>
void positive_confidence(const Logit& logit, const Confidence& confidence, Posterior&& posterior, Loss&& loss,
                         Grad&& grad, const positive_confidence_options& options = {}) {
  positive_confidence(seq, logit, confidence, posterior, loss, grad, options);
}

}  // namespace weakly::inline v0
