// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/half.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>
#include <weakly/em/detail/impossible_row.hpp>
#include <weakly/em/detail/observed_rows.hpp>
#include <weakly/em/observations.hpp>

#include <limits>
#include <string_view>

namespace weakly::inline v0 {

struct label_posterior_options {
  impossible_row impossible = impossible_row::refuse;
};

namespace detail {

/// All rows, and which of them make no sense or are impossible.
template <executor Exec, class T>
typename observed_rows<T>::report observed_row_reports(std::string_view name, Exec& ex, observed_rows<T>& rows,
                                                       index_t n) {
  const index_t k = rows.scores.columns();
  if (rows.observed.rows() != n || rows.observed.classes() != k)
    fail<shape_error>(name, ": observations of ", rows.observed.rows(), " rows and ", rows.observed.classes(),
                      " classes for scores of ", n, " rows and ", k, " classes");
  if (n == 0) return {};
  if (k == 0) fail<shape_error>(name, ": scores have ", n, " rows of 0 classes; there must be at least one class");
  for (index_t c = 0; !rows.log_ratio.empty() && c < k; ++c)
    if (const T r = rows.log_ratio.at(0, c); !(r < std::numeric_limits<T>::infinity()))
      fail<value_error>(name, ": log_ratio of class ", c, " is ", static_cast<double>(r),
                        "; it is finite, or -inf for a class that cannot be");
  rows.stream = n >= (index_t(4) << 20) / (k * index_t(sizeof(T)));
  shared_status malformed, impossible;
  for_row_chunks(ex, n, k, [&](index_t first, index_t last) {
    const auto bad = rows(first, last);
    malformed.merge(bad.malformed);
    impossible.merge(bad.impossible);
  });
  return {malformed.load(), impossible.load()};
}

template <executor Exec, class T>
void run_label_posterior(Exec& ex, observed_rows<T>& rows, index_t n, const label_posterior_options& options) {
  constexpr auto name = "label_posterior";
  const auto bad = observed_row_reports(name, ex, rows, n);
  require_well_formed(name, rows.observed, bad.malformed);
  require_possible(name, "row", bad.impossible, options.impossible);
}

}  // namespace detail

/// Posterior over the true label of each row, given a model's scores and what was observed: the E-step of every
/// weakly labelled batch, with the loss that it belongs to and its gradient in the same pass.
///
///     p = softmax(scores(i) + log_ratio),   t(c) = likelihood of the observation of row i given class c
///     posterior(i, c) = p(c) t(c) / sum over j of p(j) t(j)
///     loss(i) = -log sum over c of p(c) t(c),   grad(i, c) = d loss(i) / d scores(i, c) = p(c) - posterior(i, c)
///
/// scores     [..., k]  logits, or log-probabilities up to a constant of the row; -inf means probability zero
/// observed             labels, sets, noisy labels, nothing, or a mixture of these row by row (observations.hpp)
/// log_ratio  k         log of target prior over model prior, -inf for a class that cannot be; or left out
/// posterior  [..., k]  or discard; rows sum to one
/// loss       [...]     or discard
/// grad       [..., k]  or discard; one of posterior and grad may be the storage of `scores`
///
/// The gradient is also that of the soft cross-entropy to the posterior held fixed, so a step along it is a step of
/// expectation maximisation. A full set has the posterior p and loss 0; a singleton, or k = 1, a posterior of exactly
/// one; no loss is negative. What the observation allows is compared within itself: posteriors are right however
/// improbable all of it is, and a constant in all scores of a row changes nothing; but a posterior below 2^-50 (double:
/// 2^-480) may come out as zero, in one row and not in the row shifted. Scores in float round likelihoods to float
/// where that cannot decide. A row with a NaN or +inf comes out as NaN, one with -inf throughout what is allowed is
/// impossible: NaN with loss inf, and no other row is. Throws shape_error, and value_error for a log_ratio that is NaN
/// or +inf, before anything is written; label_error that says what is malformed in an observation, whose row counts as
/// impossible; value_error for impossible ones, unless kept. All other rows are done first. O(n k) beside what the
/// observations take, allocates nothing. Same bits for every executor, layout and batch, and for every form of the same
/// sets. Chen, Shah, Wang et al., "Imprecise label learning", arXiv 2305.12715; Feng, Lv, Han et al., NeurIPS 2020
/// (sets); Patrini et al., CVPR 2017 (noisy labels, forward correction).
template <executor Exec, score_tensor Scores, real_vector Ratio, real_output Posterior, real_output Loss,
          real_output Grad>
void label_posterior(Exec&& ex, const Scores& scores, const observations& observed, const Ratio& log_ratio,
                     Posterior&& posterior, Loss&& loss, Grad&& grad, const label_posterior_options& options = {}) {
  using T = arithmetic_t<typename detail::input_view_t<Scores>::value_type>;
  const auto rows = as_rows(view(scores));
  const index_t n = rows.extent(0), k = rows.extent(1);
  detail::observed_rows<T> work;
  work.scores = detail::row_source<T>(rows);
  detail::require_extent("label_posterior: log_ratio", view(log_ratio), 0, k);
  work.log_ratio = detail::row_source<T>(as_rows(view(log_ratio)));
  work.observed = observed;
  work.posterior = detail::gradient_sink<T>("label_posterior", posterior, n, k, "posterior");
  work.loss = detail::value_sink<T>("label_posterior", "loss", loss, n);
  work.grad = detail::gradient_sink<T>("label_posterior", grad, n, k);
  detail::run_label_posterior(ex, work, n, options);
}
template <executor Exec, score_tensor Scores, real_output Posterior, real_output Loss, real_output Grad>
void label_posterior(Exec&& ex, const Scores& scores, const observations& observed, Posterior&& posterior, Loss&& loss,
                     Grad&& grad, const label_posterior_options& options = {}) {
  using T = arithmetic_t<typename detail::input_view_t<Scores>::value_type>;
  const auto rows = as_rows(view(scores));
  const index_t n = rows.extent(0), k = rows.extent(1);
  detail::observed_rows<T> work;
  work.scores = detail::row_source<T>(rows);
  work.observed = observed;
  work.posterior = detail::gradient_sink<T>("label_posterior", posterior, n, k, "posterior");
  work.loss = detail::value_sink<T>("label_posterior", "loss", loss, n);
  work.grad = detail::gradient_sink<T>("label_posterior", grad, n, k);
  detail::run_label_posterior(ex, work, n, options);
}
template <score_tensor Scores, real_output Posterior, real_output Loss, real_output Grad>
void label_posterior(const Scores& scores, const observations& observed, Posterior&& posterior, Loss&& loss,
                     Grad&& grad, const label_posterior_options& options = {}) {
  label_posterior(seq, scores, observed, posterior, loss, grad, options);
}

}  // namespace weakly::inline v0
