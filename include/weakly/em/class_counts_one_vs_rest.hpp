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
#include <weakly/em/detail/exponent_row.hpp>
#include <weakly/em/detail/impossible_row.hpp>
#include <weakly/em/detail/leave_one_out.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>

namespace weakly::inline v0 {

struct class_counts_one_vs_rest_options {
  impossible_row impossible = impossible_row::refuse;
};

/// Bytes of workspace for bags of up to `longest` items of k classes, `at_once` of them at a time.
constexpr std::size_t class_counts_one_vs_rest_scratch(index_t longest, index_t k, index_t at_once = 1) {
  return static_cast<std::size_t>(at_once) *
             (detail::bag_counter::bytes(longest) + 3 * scratch_bytes<double>(longest * k) + scratch_bytes<double>(k)) +
         64;
}

namespace detail {

class one_vs_rest_counter {
 public:
  one_vs_rest_counter(workspace& scratch, const char* what, index_t longest, index_t classes)
      : classes_(classes),
        counter_(scratch, what, longest),
        score_(scratch.take<double>(what, longest * classes).data()),
        posterior_(scratch.take<double>(what, longest * classes).data()),
        gradient_(scratch.take<double>(what, longest * classes).data()),
        others_(scratch.take<double>(what, classes).data()) {}

  double* score() { return score_; }
  const double* posterior() const { return posterior_; }
  const double* gradient() const { return gradient_; }

  /// Sum over the classes of log P(count of the class), count(c) being how many items it has.
  template <class Count>
  double infer(index_t b, const Count& count) {
    constexpr double nan = std::numeric_limits<double>::quiet_NaN();
    const index_t k = classes_;
    for (index_t i = 0; i < b; ++i) {  // the log-odds of each class against the rest, for now where the gradient goes
      double* const z = score_ + i * k;
      subtract_greatest(z);
      log_leave_one_out(z, k, others_);
      for (index_t c = 0; c < k; ++c) gradient_[i * k + c] = log_odds(z[c], others_[c]);
    }
    double sum = 0;
    bool possible = true;
    for (index_t c = 0; c < k; ++c) {
      for (index_t i = 0; i < b; ++i) counter_.logit()[i] = gradient_[i * k + c];
      std::fill_n(counter_.member(), b + 1, 0.0);
      if (count(c) >= 0 && count(c) <= b) counter_.member()[count(c)] = 1;
      const double of_class = counter_.infer(b);
      possible &= of_class != -std::numeric_limits<double>::infinity();
      sum += of_class;
      const double* const g = counter_.gradient();
      for (index_t i = 0; i < b; ++i) {
        posterior_[i * k + c] = counter_.posterior()[i];
        gradient_[i * k + c] = g[i];
      }
    }
    if (possible) sum = sum < std::numeric_limits<double>::lowest() ? std::numeric_limits<double>::lowest() : sum;
    if (!(sum > -std::numeric_limits<double>::infinity())) {
      std::fill_n(posterior_, b * k, nan);
      std::fill_n(gradient_, b * k, nan);
      return sum;
    }
    // d log-odds(c) / d z(j) is 1 for j = c and otherwise -softmax over the classes but c.
    for (index_t i = 0; i < b; ++i) {
      const double* const z = score_ + i * k;
      double* const g = gradient_ + i * k;
      log_leave_one_out(z, k, others_);
      const index_t a = std::max_element(z, z + k) - z;
      double of_all = 0;  // over the classes but a: sum of g(c) exp(z(a)) / sum over j but c of exp(z(j))
      for (index_t c = 0; c < k; ++c)
        if (c != a) of_all += g[c] * std::exp(z[a] - others_[c]);
      const double of_a = g[a];
      for (index_t j = 0; j < k; ++j) {
        const double e = std::exp(z[j] - z[a]);
        const double own = j == a ? 0 : g[j] * std::exp(z[a] - others_[j]);
        const double from_a =
            j == a || others_[a] == -std::numeric_limits<double>::infinity() ? 0 : of_a * std::exp(z[j] - others_[a]);
        g[j] -= e * (of_all - own) + from_a;
      }
    }
    return sum;
  }

 private:
  // A common offset of a row would cost the logarithms next to it their digits.
  void subtract_greatest(double* z) const {
    exponent_row row;
    row.look_at(0, z, classes_);
    if (!row.defined()) return;
    for (index_t c = 0; c < classes_; ++c) z[c] -= row.top;
  }
  static double log_odds(double x, double others) {
    return x == others && x - x != 0 ? std::numeric_limits<double>::quiet_NaN() : x - others;
  }

  index_t classes_;
  bag_counter counter_;
  double *score_, *posterior_, *gradient_, *others_;
};

}  // namespace detail

/// Posteriors of the items of bags whose class counts are known, each class against the rest on its own.
///
///     x(i, c) = log of p(i, c) / (1 - p(i, c)),   p = softmax(scores(i))
///     posterior(., c), loss(., c) = bag_count of x(., c) with exactly counts(c) positives
///     loss(bag) = sum over c of loss(bag, c),   grad = d loss / d scores
///
/// scores     n x k  logits; -inf means probability zero
/// bag_begin  m + 1  integers from 0 to n: bag i holds items bag_begin(i) to bag_begin(i + 1) - 1
/// counts     m x k  integers
/// scratch           class_counts_one_vs_rest_scratch(longest bag, k, bags at once) bytes
/// posterior  n x k  or discard: columns of a bag add up to its counts, rows do not add up to 1
/// loss       m      or discard
/// grad       n x k  or discard, not p - posterior; posterior or grad may be the storage of `scores`
///
/// Not a joint model: for bags too large for class_counts, in O(k b^2). Counts that do not add up to the bag are not
/// noticed unless one is outside [0, b]. A NaN, +inf, or a row of -inf makes its bag NaN, an impossible bag is NaN with
/// loss inf. A loss that no double holds is the greatest one. Scores are taken relative to the greatest of their row,
/// so a common offset is no matter. Throws shape_error where bags do not add up or there is no class, workspace_error,
/// and value_error for impossible bags unless kept, after all others are done. In double, allocates nothing. Same bits
/// for every executor, layout and workspace. Source: what the code of Chen et al., arXiv 2402.01922, does with several
/// classes.
template <executor Exec, score_tensor Scores, label_vector Begin, count_matrix Counts, real_output Posterior,
          real_output Loss, real_output Grad>
  requires readable_matrix<Scores>
void class_counts_one_vs_rest(Exec&& ex, const Scores& scores, const Begin& bag_begin, const Counts& counts,
                              workspace& scratch, Posterior&& posterior, Loss&& loss, Grad&& grad,
                              const class_counts_one_vs_rest_options& options = {}) {
  constexpr const char *name = "class_counts_one_vs_rest", *array = "class_counts_one_vs_rest: scratch";
  const index_t n = view(scores).extent(0), k = view(scores).extent(1);
  if (n > 0 && k == 0)
    detail::fail<shape_error>(name, ": scores have ", n, " rows of 0 classes; there must be at least one");
  const detail::row_source<double> from(view(scores));
  const detail::bag_offsets bags(name, bag_begin, n);
  const detail::integer_rows count(view(counts));
  detail::require_extent("class_counts_one_vs_rest: counts", view(counts), 0, bags.bags());
  detail::require_extent("class_counts_one_vs_rest: counts", view(counts), 1, k);
  const auto posterior_to = detail::gradient_sink<double>(name, posterior, n, k, "posterior");
  const auto loss_to = detail::bag_sink<double>(name, "loss", loss, bags.bags());
  const auto grad_to = detail::gradient_sink<double>(name, grad, n, k);
  detail::shared_status impossible;
  detail::for_tasks(
      ex, bags.bags(), class_counts_one_vs_rest_scratch(bags.longest(), k) - 64, scratch, array,
      [&](workspace& own) { return detail::one_vs_rest_counter(own, array, bags.longest(), k); },
      [&](detail::one_vs_rest_counter& counter, index_t bag) {
        const index_t first = bags.first(bag), b = bags.size(bag);
        const double* const x = from.rows(first, b, counter.score());
        if (x != counter.score()) std::copy_n(x, b * k, counter.score());
        const double value = 0 - counter.infer(b, [&](index_t c) { return count(bag, c); });
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
void class_counts_one_vs_rest(const Scores& scores, const Begin& bag_begin, const Counts& counts, workspace& scratch,
                              Posterior&& posterior, Loss&& loss, Grad&& grad,
                              const class_counts_one_vs_rest_options& options = {}) {
  class_counts_one_vs_rest(seq, scores, bag_begin, counts, scratch, posterior, loss, grad, options);
}

}  // namespace weakly::inline v0
