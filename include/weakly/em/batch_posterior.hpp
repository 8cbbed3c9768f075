// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/half.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>
#include <weakly/core/workspace.hpp>
#include <weakly/em/class_counts.hpp>
#include <weakly/em/detail/impossible_row.hpp>
#include <weakly/em/detail/observed_rows.hpp>
#include <weakly/em/label_posterior.hpp>
#include <weakly/em/observations.hpp>

#include <string>
#include <string_view>
#include <type_traits>

namespace weakly::inline v0 {

struct batch_posterior_options {
  impossible_row impossible = impossible_row::refuse;
};

namespace detail {

/// Rows [first, last) of a matrix, or elements of a vector.
template <class T, int Rank>
tensor_view<T, Rank> rows_between(const tensor_view<T, Rank>& v, index_t first, index_t last) {
  index_t extent[std::size_t(Rank)], stride[std::size_t(Rank)];
  for (int a = 0; a < Rank; ++a) {
    extent[a] = v.extent(a);
    stride[a] = v.stride(a);
  }
  extent[0] = last - first;
  return tensor_view<T, Rank>(v.data() + first * stride[0], extent, stride);
}

/// The same of an output, which may be discarded; `n` is how long it must be.
template <class Out>
auto output_between(std::string_view what, Out& out, index_t n, index_t first, index_t last) {
  if constexpr (std::is_same_v<std::remove_cvref_t<Out>, discard_output>) {
    return discard;
  } else {
    const auto v = view(out);
    require_extent(what, v, 0, n);
    return rows_between(v, first, last);
  }
}

}  // namespace detail

/// Posterior over the true label of each row of a batch that mixes rows observed one by one with bags of which the
/// class counts are known: label_posterior of the first rows and class_counts of the others in one call.
///
/// scores     n x k     logits; the first r = observed.rows() rows are observed, the items of bags follow
/// observed             r rows: labels, sets, noisy labels, nothing, or a mixture (observations.hpp)
/// bag_begin  m + 1     integers from 0 to n - r, counted from row r on
/// counts     m x k     how many items of a bag each class has
/// scratch              as for class_counts
/// posterior  n x k     or discard; rows sum to one
/// loss       r + m     of the rows and then of the bags; or discard
/// grad       n x k     or discard; one of posterior and grad may be the storage of `scores`
///
/// The same bits as the two calls, and their special values, costs and errors. Throws shape_error where rows, bags and
/// outputs do not add up, or workspace_error, all before anything is written; label_error
/// for malformed observations, value_error for impossible ones unless kept, after all other rows and bags are done, in
/// one message. Allocates nothing. Same bits for every executor, layout and workspace.
template <executor Exec, score_tensor Scores, label_vector Begin, count_matrix Counts, real_output Posterior,
          real_output Loss, real_output Grad>
  requires readable_matrix<Scores>
void batch_posterior(Exec&& ex, const Scores& scores, const observations& observed, const Begin& bag_begin,
                     const Counts& counts, workspace& scratch, Posterior&& posterior, Loss&& loss, Grad&& grad,
                     const batch_posterior_options& options = {}) {
  constexpr const char* name = "batch_posterior";
  using T = arithmetic_t<typename detail::input_view_t<Scores>::value_type>;
  const auto x = view(scores);
  const index_t n = x.extent(0), k = x.extent(1), r = observed.rows(), m = view(counts).extent(0);
  if (r > n || observed.classes() != k)
    detail::fail<shape_error>(name, ": observations of ", r, " rows and ", observed.classes(),
                              " classes for scores of ", n, " rows and ", k,
                              " classes; the items of bags follow the observed rows");
  if (r > 0 && k == 0)
    detail::fail<shape_error>(name, ": scores have ", n, " rows of 0 classes; there must be at least one class");
  detail::gradient_sink<T>(name, posterior, n, k, "posterior");
  detail::gradient_sink<T>(name, grad, n, k);
  const auto losses = [&](index_t first, index_t last) {
    return detail::output_between("batch_posterior: loss", loss, r + m, first, last);
  };
  const auto posteriors = [&](index_t first, index_t last) {
    return detail::output_between("batch_posterior: posterior", posterior, n, first, last);
  };
  const auto grads = [&](index_t first, index_t last) {
    return detail::output_between("batch_posterior: grad", grad, n, first, last);
  };
  auto of_rows = losses(0, r);
  auto row_posteriors = posteriors(0, r);
  auto row_grads = grads(0, r);

  // Bags first: class_counts refuses what does not add up before it writes.
  std::string of_bags;
  const auto bags = [&] {
    class_counts(ex, detail::rows_between(x, r, n), bag_begin, counts, scratch, posteriors(r, n), losses(r, r + m),
                 grads(r, n), {.impossible = options.impossible});
  };
#if WEAKLY_HAS_EXCEPTIONS
  try {
    bags();
  } catch (const value_error& e) {
    of_bags = e.what();
  }
#else
  bags();
#endif
  detail::observed_rows<T> work;
  work.scores = detail::row_source<T>(detail::rows_between(x, 0, r));
  work.observed = observed;
  work.posterior = detail::gradient_sink<T>(name, row_posteriors, r, k, "posterior");
  work.loss = detail::value_sink<T>(name, "loss", of_rows, r);
  work.grad = detail::gradient_sink<T>(name, row_grads, r, k);
  const auto bad = detail::observed_row_reports(name, ex, work, r);
  const std::string more = of_bags.empty() ? std::string() : "; " + of_bags;
  detail::require_well_formed(name, observed, bad.malformed, more);
  detail::require_possible(name, "row", bad.impossible, options.impossible, more);
  if (!of_bags.empty()) detail::fail<value_error>(of_bags);
}
template <score_tensor Scores, label_vector Begin, count_matrix Counts, real_output Posterior, real_output Loss,
          real_output Grad>
  requires readable_matrix<Scores>
void batch_posterior(const Scores& scores, const observations& observed, const Begin& bag_begin, const Counts& counts,
                     workspace& scratch, Posterior&& posterior, Loss&& loss, Grad&& grad,
                     const batch_posterior_options& options = {}) {
  batch_posterior(seq, scores, observed, bag_begin, counts, scratch, posterior, loss, grad, options);
}

}  // namespace weakly::inline v0
