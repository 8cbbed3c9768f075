// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/detail/bags.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>
#include <weakly/core/workspace.hpp>
#include <weakly/em/detail/exact_class_counter.hpp>
#include <weakly/em/detail/impossible_row.hpp>

#include <algorithm>
#include <cstddef>
#include <limits>

namespace weakly::inline v0 {

struct class_counts_options {
  impossible_row impossible = impossible_row::refuse;
};

/// The most states that a bag with these counts takes: the product over classes of count + 1, or the greatest index_t
/// where that is more. counts is m x k.
template <count_matrix Counts>
index_t class_count_states(const Counts& counts) {
  const detail::integer_rows rows(view(counts));
  index_t most = 1;
  for (index_t i = 0; i < rows.rows(); ++i)
    most = std::max(most, detail::exact_class_counter::states(rows.columns(), [&](index_t c) { return rows(i, c); }));
  return most;
}

/// Bytes of workspace for bags of up to `states` states and `longest` items of k classes, `at_once` bags at a time.
constexpr std::size_t class_counts_scratch(index_t states, index_t longest, index_t k, index_t at_once = 1) {
  return static_cast<std::size_t>(at_once) * detail::exact_class_counter::bytes(states, longest, k) + 64;
}

/// Posterior of the items of bags, of each of which it is known how many items each class has: exact and joint.
///
///     p = softmax(scores(i)),   items independent within a bag
///     posterior(i, c) = P(item i is of class c | counts of the bag)
///     loss(bag) = -log P(counts),   grad(i, c) = d loss / d scores(i, c) = p(i, c) - posterior(i, c)
///
/// scores     n x k  logits; -inf means probability zero
/// bag_begin  m + 1  integers from 0 to n: bag i holds items bag_begin(i) to bag_begin(i + 1) - 1
/// counts     m x k  integers; those of a bag add up to its size, or nothing is possible
/// scratch           class_counts_scratch(class_count_states(counts), longest bag, k, bags at once) bytes
/// posterior  n x k  or discard; rows sum to 1, columns of a bag to its counts
/// loss       m      or discard
/// grad       n x k  or discard; posterior or grad may be the storage of `scores`
///
/// Exact recursion in logarithms over count vectors. For small bags: a bag takes S = product of count + 1 states and
/// O(S k) exponentials; class_counts_one_vs_rest goes further. A NaN, +inf, or a row of -inf makes its bag NaN; an
/// impossible bag is NaN with loss inf. Throws shape_error where bags do not add up or items have no class;
/// workspace_error that names the first bag with too many states, before anything is written; value_error for
/// impossible bags unless kept, after all others are done. Allocates nothing. Same bits for every executor, layout and
/// workspace. Sources: the count vectors of learning from label proportions, Quadrianto et al., JMLR 2009; states as in
/// Chen et al., arXiv 2402.01922.
template <executor Exec, score_tensor Scores, label_vector Begin, count_matrix Counts, real_output Posterior,
          real_output Loss, real_output Grad>
  requires readable_matrix<Scores>
void class_counts(Exec&& ex, const Scores& scores, const Begin& bag_begin, const Counts& counts, workspace& scratch,
                  Posterior&& posterior, Loss&& loss, Grad&& grad, const class_counts_options& options = {}) {
  using counter_type = detail::exact_class_counter;
  constexpr const char *name = "class_counts", *array = "class_counts: scratch";
  const index_t n = view(scores).extent(0), k = view(scores).extent(1);
  if (n > 0 && k == 0)
    detail::fail<shape_error>(name, ": scores have ", n, " rows of 0 classes; there must be at least one");
  const detail::row_source<double> from(view(scores));
  const detail::bag_offsets bags(name, bag_begin, n);
  const detail::integer_rows count(view(counts));
  detail::require_extent("class_counts: counts", view(counts), 0, bags.bags());
  detail::require_extent("class_counts: counts", view(counts), 1, k);
  const auto posterior_to = detail::gradient_sink<double>(name, posterior, n, k, "posterior");
  const auto loss_to = detail::bag_sink<double>(name, "loss", loss, bags.bags());
  const auto grad_to = detail::gradient_sink<double>(name, grad, n, k);

  index_t states = 1;
  for (index_t bag = 0; bag < bags.bags(); ++bag) {
    const index_t here = counter_type::states(k, [&](index_t c) { return count(bag, c); });
    if (static_cast<std::size_t>(here) > scratch.bytes_left() / (2 * sizeof(double)))
      detail::fail<workspace_error>(name, ": bag ", bag, " takes ", here, " states of 16 bytes, ", scratch.bytes_left(),
                                    " bytes of workspace are left; size it with class_counts_scratch, or use "
                                    "class_counts_one_vs_rest");
    states = std::max(states, here);
  }
  detail::shared_status impossible;
  detail::for_tasks(
      ex, bags.bags(), counter_type::bytes(states, bags.longest(), k), scratch, array,
      [&](workspace& own) { return counter_type(own, array, states, bags.longest(), k); },
      [&](counter_type& counter, index_t bag) {
        const index_t first = bags.first(bag), b = bags.size(bag);
        const double* const x = from.rows(first, b, counter.score());
        if (x != counter.score()) std::copy_n(x, b * k, counter.score());
        for (index_t c = 0; c < k; ++c) counter.count()[c] = count(bag, c);
        const double value = 0 - counter.infer(b);
        if (value == std::numeric_limits<double>::infinity()) impossible.merge({bag, 1});
        if (!loss_to.empty()) loss_to.put_rows(bag, 1, &value);
        if (!posterior_to.empty()) posterior_to.put_rows(first, b, counter.posterior());
        if (!grad_to.empty()) grad_to.put_rows(first, b, counter.gradient());
      });
  detail::require_possible(name, "bag", impossible.load(), options.impossible);
}
template <score_tensor Scores, label_vector Begin, count_matrix Counts, real_output Posterior, real_output Loss,
          real_output Grad>
  requires readable_matrix<Scores>
void class_counts(const Scores& scores, const Begin& bag_begin, const Counts& counts, workspace& scratch,
                  Posterior&& posterior, Loss&& loss, Grad&& grad, const class_counts_options& options = {}) {
  class_counts(seq, scores, bag_begin, counts, scratch, posterior, loss, grad, options);
}

}  // namespace weakly::inline v0
