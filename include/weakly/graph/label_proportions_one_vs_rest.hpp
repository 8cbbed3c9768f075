// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/detail/bags.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>
#include <weakly/graph/adjacency.hpp>
#include <weakly/graph/label_bags.hpp>
#include <weakly/graph/label_proportions.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace weakly::inline v0 {

struct label_proportions_one_vs_rest_result {
  index_t classes_converged;  ///< of k
  index_t iterations;         ///< the most of any class
  double change;              ///< the greatest last measure of any class
};

/// Class probabilities of items in bags of which the number of items of each class is known: each class against all
/// others.
///
///     l(i, c) = log-odds of item i by label_proportions with the counts of class c
///     out(i, c) = exp(l(i, c)) / sum over j of exp(l(i, j))
///
/// neighbours         of n nodes, as for label_proportions_model
/// bag_begin  m + 1, bag_item  as for label_bags
/// count      m x k   items of each class in each bag; a bag's add up to its size
/// out        n x k   rows sum to one
///
/// The product of k binary answers given that one of them is yes: an approximation that leaves out what classes have to
/// do with one another beside that, and for two classes squares the odds (take label_proportions there); exact
/// posteriors given all counts take b^(k - 1) states a bag. Log-odds of inf share a row, and a row of -inf throughout
/// is refused with value_error. Throws value_error where the counts of a bag do not add up, and what label_bags and
/// label_proportions throw. k times the time of label_proportions, once its memory. Same bits for every executor.
template <executor Exec, label_vector Begin, label_vector Item, count_matrix Count, writable_matrix Out>
label_proportions_one_vs_rest_result label_proportions_one_vs_rest(Exec&& ex, const adjacency& neighbours,
                                                                   const Begin& bag_begin, const Item& bag_item,
                                                                   const Count& count, Out&& out,
                                                                   const label_proportions_options& options = {}) {
  constexpr const char* name = "label_proportions_one_vs_rest";
  const index_t n = neighbours.nodes();
  const detail::integer_rows counts(view(count));
  const index_t m = counts.rows(), k = counts.columns();
  detail::require_extent("label_proportions_one_vs_rest: out", view(out), 0, n);
  detail::require_extent("label_proportions_one_vs_rest: out", view(out), 1, k);
  const detail::row_sink<double> to(view(out));
  const detail::bag_offsets offsets(name, bag_begin, view(bag_item).extent(0));
  if (offsets.bags() != m)
    detail::fail<shape_error>(name, ": counts have ", m, " rows for ", offsets.bags(), " bags; give one for each");
  for (index_t b = 0; b < m; ++b) {
    index_t sum = 0;
    for (index_t c = 0; c < k; ++c) sum += std::clamp(counts(b, c), index_t(-1), n + 1);
    if (sum != offsets.size(b))
      detail::fail<value_error>(name, ": the counts of bag ", b, " of ", offsets.size(b), " items add up to ", sum);
  }

  label_proportions_one_vs_rest_result result{0, 0, 0};
  const auto at = [](index_t i) { return static_cast<std::size_t>(i); };
  std::vector<double> log_odds(at(n)), all(at(n * k));
  std::vector<index_t> of_class(at(m));
  for (index_t c = 0; c < k; ++c) {
    for (index_t b = 0; b < m; ++b) of_class[at(b)] = counts(b, c);
    label_proportions<double> binary(neighbours, label_bags(n, bag_begin, bag_item, of_class), options);
    const belief_propagation_result run = binary.run(ex);
    result.classes_converged += run.converged;
    result.iterations = std::max(result.iterations, run.iterations);
    result.change = std::max(result.change, run.change);
    binary.log_odds(ex, log_odds);
    for (index_t i = 0; i < n; ++i) all[at(i * k + c)] = log_odds[at(i)];
  }
  constexpr double inf = std::numeric_limits<double>::infinity();
  detail::shared_status impossible;
  for_row_chunks(ex, n, k, [&](index_t first, index_t last) {
    for (index_t i = first; i < last; ++i) {
      double* const row = all.data() + i * k;
      double top = -inf, sum = 0;
      for (index_t c = 0; c < k; ++c) top = std::max(top, row[c]);
      if (top == -inf) impossible.merge({i, 1});
      for (index_t c = 0; c < k; ++c) sum += row[c] = row[c] == top ? 1 : std::exp(row[c] - top);
      for (index_t c = 0; c < k; ++c) row[c] /= sum;
      to.put_rows(i, 1, row);
    }
  });
  if (const status s = impossible.load(); k != 0 && !s.ok())
    detail::fail<value_error>(name, ": item ", s.first_bad_row, " can have none of the ", k, " classes, of ", s.count,
                              " items in all; the counts contradict the neighbours");
  return result;
}

}  // namespace weakly::inline v0
