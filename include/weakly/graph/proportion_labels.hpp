// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/detail/bags.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/math.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>
#include <weakly/core/workspace.hpp>
#include <weakly/graph/label_bags.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace weakly::inline v0 {

/// How marginals become training labels.
enum class proportion_rule : std::uint8_t {
  threshold,  ///< 1 where the probability reaches a threshold, else 0
  top_count,  ///< 1 for as many items of each bag as it has positives, those of greatest log-odds; of equals the first
  soft,       ///< the probability
  rescaled    ///< probabilities that add up to the count of each bag: one number added to all its log-odds
};

struct proportion_labels_options {
  proportion_rule rule = proportion_rule::top_count;
  double threshold = 0.5;  ///< of rule `threshold`, and of items in no bag under rule `top_count`; in [0, 1]
};

namespace detail {

class proportion_labeller {
 public:
  static constexpr std::size_t bytes(index_t longest) {
    return 2 * scratch_bytes<double>(longest) + scratch_bytes<index_t>(longest);
  }
  proportion_labeller(workspace& scratch, const char* what, index_t longest)
      : x_(scratch.take<double>(what, longest).data()),
        label_(scratch.take<double>(what, longest).data()),
        order_(scratch.take<index_t>(what, longest).data()) {}

  double* log_odds() { return x_; }
  const double* labels() const { return label_; }

  void top_count(index_t b, index_t count) {
    for (index_t i = 0; i < b; ++i) order_[i] = i;
    std::nth_element(order_, order_ + count, order_ + b,
                     [this](index_t i, index_t j) { return x_[i] != x_[j] ? x_[i] > x_[j] : i < j; });
    for (index_t r = 0; r < b; ++r) label_[order_[r]] = r < count ? 1 : 0;
  }

  /// Returns whether the infinite log-odds leave room for the count.
  bool rescale(index_t b, index_t count) {
    constexpr double inf = std::numeric_limits<double>::infinity();
    index_t up = 0, open = 0;
    double low = inf, high = -inf;
    for (index_t i = 0; i < b; ++i) {
      up += x_[i] == inf;
      if (std::abs(x_[i]) == inf) continue;
      ++open;
      low = std::min(low, x_[i]);
      high = std::max(high, x_[i]);
    }
    const index_t left = count - up;
    if (left < 0 || left > open) return false;
    if (left == 0 || left == open) {
      for (index_t i = 0; i < b; ++i) label_[i] = x_[i] == inf || (x_[i] != -inf && left != 0) ? 1 : 0;
      return true;
    }
    // Newton's method inside a bracket, from where all items would do if they were equal. Where log-odds are large, no
    // double is near enough to the shift: the second round looks for what is left of it.
    const double wanted = double(left), logit = std::log(wanted / double(open - left));
    for (int round = 0; round < 2; ++round) {
      double below = logit - high, above = logit - low, shift = below / 2 + above / 2, miss = 0;
      for (int step = 0; step < 2200; ++step) {  // as many only where log-odds are near the greatest double
        double sum = 0, slope = 0;
        for (index_t i = 0; i < b; ++i) {
          label_[i] = math::sigmoid(x_[i] + shift);
          if (std::abs(x_[i]) == inf) continue;
          sum += label_[i];
          slope += label_[i] * math::sigmoid(-x_[i] - shift);
        }
        miss = wanted - sum;
        if (std::abs(miss) <= 1e-14 * wanted) break;
        (miss > 0 ? below : above) = shift;
        double next = shift + miss / slope;
        if (!(next > below && next < above)) next = below / 2 + above / 2;
        if (next == shift) break;
        shift = next;
      }
      if (std::abs(miss) <= 1e-14 * wanted) break;
      constexpr double most = std::numeric_limits<double>::max();
      low = inf;
      high = -inf;
      for (index_t i = 0; i < b; ++i) {
        if (std::abs(x_[i]) == inf) continue;
        x_[i] = std::clamp(x_[i] + shift, -most, most);
        low = std::min(low, x_[i]);
        high = std::max(high, x_[i]);
      }
    }
    return true;
  }

 private:
  double *x_, *label_;
  index_t* order_;
};

}  // namespace detail

/// Bytes of workspace for bags of up to `longest` items, `at_once` of them at a time.
constexpr std::size_t proportion_labels_scratch(index_t longest, index_t at_once = 1) {
  return static_cast<std::size_t>(at_once) * detail::proportion_labeller::bytes(longest) + 64;
}

/// Training labels of items from their marginals and the counts of their bags.
///
///     threshold:  out(i) = [sigmoid(log_odds(i)) >= threshold]
///     top_count:  out(i) = [i is among the count(b) greatest log-odds of its bag b]
///     soft:       out(i) = sigmoid(log_odds(i))
///     rescaled:   out(i) = sigmoid(log_odds(i) + s(b)), s(b) such that they add up to count(b)
///
/// log_odds  n  of the marginals; -inf and inf for never and always
/// bags         of n items
/// scratch      proportion_labels_scratch(bags.longest(), bags at once) bytes
/// out       n  may be the storage of `log_odds`
///
/// Marginals whose expected counts are right do not make thresholded labels meet them: top_count does, exactly, and
/// rescaled does in expectation, to about 1e-14 of the count. Items in no bag are thresholded under top_count and soft
/// under rescaled. Throws shape_error; workspace_error; option_error for a threshold outside [0, 1]; value_error for a
/// NaN, and where items of infinite log-odds are too many or too few for the count of a bag, after all others are done.
/// O(n), rescaled O(n) exponentials a step of Newton's method; allocates nothing. Same bits for every executor and
/// layout.
template <executor Exec, real_vector LogOdds, real_output Out>
void proportion_labels(Exec&& ex, const LogOdds& log_odds, const label_bags& bags, workspace& scratch, Out&& out,
                       const proportion_labels_options& options = {}) {
  constexpr const char* name = "proportion_labels";
  if (!(options.threshold >= 0 && options.threshold <= 1))
    detail::fail<option_error>(name, ": threshold is ", options.threshold, "; it is a probability");
  const index_t n = bags.items();
  const detail::row_source<double> x(detail::as_column(view(log_odds)));
  detail::require_extent("proportion_labels: log_odds", view(log_odds), 0, n);
  const auto to = detail::item_sink<double>(name, "out", out, n);
  if (to.empty()) return;

  detail::shared_status not_a_number, impossible;
  const auto single = [&](index_t i) {
    const double p = math::sigmoid(x.at(i, 0));
    const bool hard = options.rule == proportion_rule::threshold || options.rule == proportion_rule::top_count;
    const double label = hard ? (p >= options.threshold ? 1 : 0) : p;
    to.put_rows(i, 1, &label);
  };
  for_row_chunks(ex, n, 8, [&](index_t first, index_t last) {
    for (index_t i = first; i < last; ++i)
      if (const double v = x.at(i, 0); v != v) not_a_number.merge({i, 1});
  });
  if (const status s = not_a_number.load(); !s.ok())
    detail::fail<value_error>(name, ": log_odds of item ", s.first_bad_row, " is NaN, of ", s.count, " in all");
  const bool by_bag = options.rule == proportion_rule::top_count || options.rule == proportion_rule::rescaled;
  for_row_chunks(ex, n, 8, [&](index_t first, index_t last) {
    for (index_t i = first; i < last; ++i)
      if (!by_bag || bags.bag_of(i) < 0) single(i);
  });
  if (!by_bag) return;
  detail::for_tasks(
      ex, bags.bags(), detail::proportion_labeller::bytes(bags.longest()), scratch, "proportion_labels: scratch",
      [&](workspace& own) { return detail::proportion_labeller(own, "proportion_labels: scratch", bags.longest()); },
      [&](detail::proportion_labeller& labeller, index_t bag) {
        const auto members = bags.members(bag);
        const index_t b = bags.size(bag), count = bags.count(bag);
        for (index_t k = 0; k < b; ++k) labeller.log_odds()[k] = x.at(members[static_cast<std::size_t>(k)], 0);
        if (options.rule == proportion_rule::top_count) {
          labeller.top_count(b, count);
        } else if (!labeller.rescale(b, count)) {
          impossible.merge({bag, 1});
          return;
        }
        for (index_t k = 0; k < b; ++k) to.put_rows(members[static_cast<std::size_t>(k)], 1, labeller.labels() + k);
      });
  if (const status s = impossible.load(); !s.ok())
    detail::fail<value_error>(name, ": infinite log-odds of bag ", s.first_bad_row,
                              " are too many or too few for its count, of ", s.count,
                              " bags in all; their labels are not written");
}
template <real_vector LogOdds, real_output Out>
void proportion_labels(const LogOdds& log_odds, const label_bags& bags, workspace& scratch, Out&& out,
                       const proportion_labels_options& options = {}) {
  proportion_labels(seq, log_odds, bags, scratch, out, options);
}

}  // namespace weakly::inline v0
