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
#include <weakly/em/detail/bag_counter.hpp>
#include <weakly/em/detail/impossible_row.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>

namespace weakly::inline v0 {

/// What is known of the number of positives of each bag: a set A of counts. Holds views, which must outlive it.
class bag_counts {
 public:
  /// A = {count(i)}.
  template <label_vector Count>
  static bag_counts exactly(const Count& count) {
    return between(count, count);
  }
  /// A = {count(i), ..., b}.
  template <label_vector Count>
  static bag_counts at_least(const Count& count) {
    bag_counts made(form::interval, view(count).extent(0));
    made.lower_ = detail::integer_source(view(count));
    return made;
  }
  /// A = {0, ..., count(i)}; with zeros, no positive at all.
  template <label_vector Count>
  static bag_counts at_most(const Count& count) {
    bag_counts made(form::interval, view(count).extent(0));
    made.upper_ = detail::integer_source(view(count));
    return made;
  }
  /// A = {lower(i), ..., upper(i)}. Throws shape_error where the two differ in length.
  template <label_vector Lower, label_vector Upper>
  static bag_counts between(const Lower& lower, const Upper& upper) {
    detail::require_extent("bag_counts: upper", view(upper), 0, view(lower).extent(0));
    bag_counts made(form::interval, view(lower).extent(0));
    made.lower_ = detail::integer_source(view(lower));
    made.upper_ = detail::integer_source(view(upper));
    return made;
  }
  /// A = those counts a of 0, ..., b whose mark is set: b + 1 marks a bag, bag after bag, so that those of a bag begin
  /// at its offset plus its number.
  template <mark_vector Marks>
  static bag_counts among(const Marks& marks) {
    bag_counts made(form::marks, view(marks).extent(0));
    made.lower_ = detail::integer_source(view(marks));
    return made;
  }
  /// A = {trunc(prior(i) b)}, the product in double and cut, not rounded: 0.29 of 100 items are 28. A bag of unlabelled
  /// items with the prior of positives; two bags with a prior each. Throws value_error for priors outside [0, 1].
  template <real_vector Prior>
  static bag_counts of_prior(const Prior& prior) {
    const auto p = view(prior);
    bag_counts made(form::prior, p.extent(0));
    made.prior_ = detail::row_source<double>(detail::as_column(p));
    for (index_t i = 0; i < p.extent(0); ++i)
      if (const double x = made.prior_.at(i, 0); !(x >= 0 && x <= 1))
        detail::fail<value_error>("bag_counts: prior ", x, " of bag ", i, " is outside [0, 1]");
    return made;
  }

  /// Throws shape_error unless there is a set for each of m bags of n items.
  void require_bags(const char* function, index_t m, index_t n) const {
    const bool marks = form_ == form::marks;
    if (size_ != (marks ? n + m : m))
      detail::fail<shape_error>(function, ": ", size_, marks ? " marks" : " counts", " for ", m, " bags of ", n,
                                " items in all; give ",
                                marks ? "a mark for each count from 0 to the size of the bag" : "one for each bag");
  }

  /// member[a] = 1 where a is in the set of this bag of b items, else 0; `first` is the first item of the bag.
  void members(index_t bag, index_t first, index_t b, double* member) const {
    std::fill_n(member, b + 1, 0.0);
    if (form_ == form::marks) {
      for (index_t a = 0; a <= b; ++a) member[a] = lower_[first + bag + a] != 0 ? 1 : 0;
      return;
    }
    index_t lower = lower_.size() != 0 ? std::max(lower_[bag], index_t(0)) : 0;
    index_t upper = upper_.size() != 0 ? std::min(upper_[bag], b) : b;
    if (form_ == form::prior) lower = upper = static_cast<index_t>(prior_.at(bag, 0) * double(b));
    for (index_t a = lower; a <= upper; ++a) member[a] = 1;
  }

 private:
  enum class form : std::uint8_t { interval, marks, prior };
  bag_counts(form f, index_t size) : form_(f), size_(size) {}

  form form_;
  index_t size_;
  detail::integer_source lower_, upper_;  // marks are in lower_
  detail::row_source<double> prior_;
};

struct bag_count_options {
  impossible_row impossible = impossible_row::refuse;
};

/// Bytes of workspace for bags of up to `longest` items, `at_once` of them at a time: about 9 longest^(3/2) bytes each
/// for long bags. An executor is kept busy by as many bags at once as it has threads.
constexpr std::size_t bag_count_scratch(index_t longest, index_t at_once = 1) {
  return static_cast<std::size_t>(at_once) * detail::bag_counter::bytes(longest) + 64;
}

/// Posterior of the items of bags, of each of which the number of positives is known to be in a set A: exactly, at
/// least, at most, in a range, none, or any set.
///
///     p(i) = 1 / (1 + exp(-logit(i))),   independent within a bag
///     posterior(i) = P(item i is positive | number of positives in A)
///     loss(bag) = -log P(number of positives in A),   grad(i) = d loss / d logit(i) = p(i) - posterior(i)
///
/// logit      n      log-odds of being positive; -inf and inf for never and always
/// bag_begin  m + 1  integers from 0 to n: bag i holds items bag_begin(i) to bag_begin(i + 1) - 1
/// counts            the set of each bag; counts outside [0, b] allow nothing
/// scratch           bag_count_scratch(longest bag, bags at once) bytes
/// posterior  n      or discard
/// loss       m      or discard
/// grad       n      or discard; posterior or grad may be the storage of `logit`
///
/// Posteriors given one count add up to it. Where A is every count that can be, posterior is p and the loss exactly 0;
/// an empty bag has 0 positives. However improbable A is, posteriors are right to about b 1e-16 and loss to that
/// relative to 1 + loss; a loss that no double holds is the greatest one. A bag with a NaN logit comes out as NaN, and
/// so does an impossible one, whose loss is inf; no other bag does. Throws shape_error where bags do not add up,
/// workspace_error, and, after all other bags are done, value_error for impossible ones unless kept. O(b max A) a bag,
/// or O(b min(b - a, a in A)) where that is less, in double; allocates nothing. Same bits for every executor, layout
/// and workspace. Shukla et al., "A unified approach to count-based weakly supervised learning", NeurIPS 2023; Chen et
/// al., arXiv 2402.01922.
template <executor Exec, real_vector Logit, label_vector Begin, real_output Posterior, real_output Loss,
          real_output Grad>
void bag_count(Exec&& ex, const Logit& logit, const Begin& bag_begin, const bag_counts& counts, workspace& scratch,
               Posterior&& posterior, Loss&& loss, Grad&& grad, const bag_count_options& options = {}) {
  constexpr const char* name = "bag_count";
  const detail::row_source<double> x(detail::as_column(view(logit)));
  const index_t n = view(logit).extent(0);
  const detail::bag_offsets bags(name, bag_begin, n);
  counts.require_bags(name, bags.bags(), n);
  const auto posterior_to = detail::item_sink<double>(name, "posterior", posterior, n);
  const auto loss_to = detail::bag_sink<double>(name, "loss", loss, bags.bags());
  const auto grad_to = detail::item_sink<double>(name, "grad", grad, n);

  detail::shared_status impossible;
  detail::for_tasks(
      ex, bags.bags(), detail::bag_counter::bytes(bags.longest()), scratch, "bag_count: scratch",
      [&](workspace& own) { return detail::bag_counter(own, "bag_count: scratch", bags.longest()); },
      [&](detail::bag_counter& counter, index_t bag) {
        const index_t first = bags.first(bag), b = bags.size(bag);
        const double* const from = x.rows(first, b, counter.logit());
        if (from != counter.logit()) std::copy_n(from, b, counter.logit());
        counts.members(bag, first, b, counter.member());
        const double value = 0 - counter.infer(b);
        if (value == std::numeric_limits<double>::infinity()) impossible.merge({bag, 1});
        if (!loss_to.empty()) loss_to.put_rows(bag, 1, &value);
        if (!grad_to.empty()) grad_to.put_rows(first, b, counter.gradient());
        if (!posterior_to.empty()) posterior_to.put_rows(first, b, counter.posterior());
      });
  detail::require_possible(name, "bag", impossible.load(), options.impossible);
}
template <real_vector Logit, label_vector Begin, real_output Posterior, real_output Loss, real_output Grad>
void bag_count(const Logit& logit, const Begin& bag_begin, const bag_counts& counts, workspace& scratch,
               Posterior&& posterior, Loss&& loss, Grad&& grad, const bag_count_options& options = {}) {
  bag_count(seq, logit, bag_begin, counts, scratch, posterior, loss, grad, options);
}

}  // namespace weakly::inline v0
