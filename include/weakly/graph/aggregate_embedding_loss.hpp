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

#include <cmath>
#include <cstddef>
#include <functional>
#include <span>

namespace weakly::inline v0 {

struct aggregate_embedding_options {
  double weight = 0.1;  ///< lambda_a of the bags' part; 0 or more
};

namespace detail {

/// weight times the mean of -t log sigmoid(z) - (1 - t) log sigmoid(-z), and its gradient with respect to z.
template <executor Exec, class Target>
double mean_logistic_loss(Exec& ex, const char* what, const row_source<double>& z, index_t n, Target target,
                          double weight, std::span<double> slots, const row_sink<double>& grad) {
  if (n == 0) return 0;
  shared_status bad;
  const double share = weight / double(n);
  const double sum = ordered_reduce(
      ex, row_chunks(n, 8), slots, 0.0,
      [&](index_t first, index_t last) {
        double part = 0;
        for (index_t i = first; i < last; ++i) {
          const double x = z.at(i, 0), t = target(i);
          if (!(t >= 0 && t <= 1) || x != x) bad.merge({i, 1});
          if (t != 0) part += t * math::softplus(-x);
          if (t != 1) part += (1 - t) * math::softplus(x);
          if (grad.empty()) continue;
          const double g = share * (t == 1 ? -math::sigmoid(-x) : math::sigmoid(x) - t);
          grad.put_rows(i, 1, &g);
        }
        return part;
      },
      std::plus<>());
  if (const status s = bad.load(); !s.ok())
    fail<value_error>("aggregate_embedding_loss: ", what, " ", s.first_bad_row,
                      " has a NaN logit, or a label outside [0, 1], of ", s.count, " in all");
  return share * sum;
}

}  // namespace detail

/// Bytes of workspace for n items in m bags.
constexpr std::size_t aggregate_embedding_loss_scratch(index_t n, index_t m) {
  return scratch_bytes<double>(row_chunks(n, 8).count() + row_chunks(m, 8).count()) + 64;
}

/// Loss of a learner from pseudo-labels of items and counts of bags.
///
///     value = mean over items i of H(label(i), sigmoid(logit(i)))
///             + weight mean over bags b of H(count(b) / size(b), sigmoid(bag_logit(b)))
///     H(t, p) = -t log p - (1 - t) log(1 - p)
///
/// logit      n  of each item
/// label      n  in [0, 1]
/// bag_logit  m  of a head on the mean embedding of each bag (bag_mean)
/// bags          of n items
/// scratch       aggregate_embedding_loss_scratch(n, m) bytes
/// grad       n  d value / d logit, or discard; may be the storage of `logit`
/// bag_grad   m  d value / d bag_logit, or discard: the head's gradient goes on through bag_mean_gradient
///
/// Returns the value. Infinite logits are what they say: no loss where the label agrees, else inf. Throws shape_error,
/// workspace_error, option_error; value_error for NaN logits and labels outside [0, 1]. O(n + m), allocates nothing.
/// Same bits for every executor. Source: Havaldar et al., "Learning from label proportions: bootstrapping supervised
/// learners via belief propagation", ICLR 2024 (arXiv 2310.08056).
template <executor Exec, real_vector Logit, real_vector Label, real_vector BagLogit, real_output Grad,
          real_output BagGrad>
double aggregate_embedding_loss(Exec&& ex, const Logit& logit, const Label& label, const BagLogit& bag_logit,
                                const label_bags& bags, workspace& scratch, Grad&& grad, BagGrad&& bag_grad,
                                const aggregate_embedding_options& options = {}) {
  constexpr const char* name = "aggregate_embedding_loss";
  if (!(options.weight >= 0 && std::isfinite(options.weight)))
    detail::fail<option_error>(name, ": weight is ", options.weight, "; it is finite and not negative");
  const index_t n = bags.items(), m = bags.bags();
  detail::require_extent("aggregate_embedding_loss: logit", view(logit), 0, n);
  detail::require_extent("aggregate_embedding_loss: label", view(label), 0, n);
  detail::require_extent("aggregate_embedding_loss: bag_logit", view(bag_logit), 0, m);
  const detail::row_source<double> z(detail::as_column(view(logit))), t(detail::as_column(view(label))),
      of_bag(detail::as_column(view(bag_logit)));
  const auto to = detail::item_sink<double>(name, "grad", grad, n);
  const auto bag_to = detail::bag_sink<double>(name, "bag_grad", bag_grad, m);
  const index_t slots = row_chunks(n, 8).count();
  const std::span<double> partial = scratch.take<double>(name, slots + row_chunks(m, 8).count());
  const double items = detail::mean_logistic_loss(
      ex, "item", z, n, [&](index_t i) { return t.at(i, 0); }, 1, partial.first(std::size_t(slots)), to);
  const double of_bags = detail::mean_logistic_loss(
      ex, "bag", of_bag, m, [&](index_t b) { return double(bags.count(b)) / double(bags.size(b)); }, options.weight,
      partial.subspan(std::size_t(slots)), bag_to);
  return items + of_bags;
}
template <real_vector Logit, real_vector Label, real_vector BagLogit, real_output Grad, real_output BagGrad>
double aggregate_embedding_loss(const Logit& logit, const Label& label, const BagLogit& bag_logit,
                                const label_bags& bags, workspace& scratch, Grad&& grad, BagGrad&& bag_grad,
                                const aggregate_embedding_options& options = {}) {
  return aggregate_embedding_loss(seq, logit, label, bag_logit, bags, scratch, grad, bag_grad, options);
}

}  // namespace weakly::inline v0
