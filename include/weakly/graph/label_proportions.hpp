// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/math.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>
#include <weakly/graph/adjacency.hpp>
#include <weakly/graph/belief_propagation.hpp>
#include <weakly/graph/factor_graph.hpp>
#include <weakly/graph/label_bags.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>
#include <vector>

namespace weakly::inline v0 {

/// What stands for the counts of the bags in the factor graph.
enum class proportion_encoding : std::uint8_t {
  count,  ///< one factor a bag, of the sum of its labels
  pairs   ///< a factor for every two items of a bag, as the paper has it: b (b - 1) / 2 of them
};

struct label_proportions_model_options {
  double bag_strength = 10;        ///< lambda_b, 0 or more; inf holds the counts exactly (encoding `count` alone)
  double neighbour_strength = 10;  ///< lambda_s, 0 or more
  proportion_encoding encoding = proportion_encoding::count;
  /// Rows of items whose bag has more than one positive are left out, as the paper's program does. Not of its model.
  bool rows_of_sparse_bags_only = false;
};

namespace detail {

/// The undirected pairs of a directed graph, each once: `second[e]` > row, ascending within a row.
struct neighbour_pairs {
  std::vector<index_t> begin;
  std::vector<std::int32_t> second;
  std::vector<double> weight;
};

template <class Keep>
neighbour_pairs pairs_of(const char* name, const adjacency& neighbours, Keep keep) {
  const index_t n = neighbours.nodes();
  const auto at = [](index_t i) { return static_cast<std::size_t>(i); };
  neighbour_pairs pairs;
  pairs.begin.assign(at(n) + 1, 0);
  index_t end = 0;
  const auto for_entries = [&](auto f) {
    for (index_t i = 0; i < n; ++i) {
      const index_t first = neighbours.row_begin(i), last = neighbours.row_begin(i + 1);
      if (first != end || last < first || last > neighbours.entries())
        fail<value_error>(name, ": row ", i, " of the neighbours begins at entry ", first, " and ends at ", last,
                          " of ", neighbours.entries(), "; offsets start at 0 and never fall");
      end = last;
      if (!keep(i)) continue;
      for (index_t e = first; e < last; ++e) {
        index_t j = 0;
        double weight = 1;
        neighbours.columns(e, 1, &j);
        neighbours.weights(e, 1, &weight);
        f(i, j, weight);
      }
    }
  };
  for_entries([&](index_t i, index_t j, double weight) {
    if (j < 0 || j >= n || j == i)
      fail<value_error>(name, ": row ", i, " lists ", j == i ? "itself" : "node ", j == i ? "" : std::to_string(j),
                        "; neighbours are other nodes in [0, ", n, ")");
    if (!std::isfinite(weight))
      fail<value_error>(name, ": the weight from row ", i, " to node ", j, " is ", weight, "; weights are finite");
    ++pairs.begin[at(std::min(i, j)) + 1];
  });
  for (index_t i = 0; i < n; ++i) pairs.begin[at(i) + 1] += pairs.begin[at(i)];
  pairs.second.resize(at(pairs.begin.back()));
  pairs.weight.resize(pairs.second.size());
  std::vector<index_t> next(pairs.begin.begin(), pairs.begin.end() - 1);
  end = 0;
  for_entries([&](index_t i, index_t j, double weight) {
    const index_t e = next[at(std::min(i, j))]++;
    pairs.second[at(e)] = static_cast<std::int32_t>(std::max(i, j));
    pairs.weight[at(e)] = weight;
  });
  std::vector<std::pair<std::int32_t, double>> row;
  index_t kept = 0, first = 0;
  for (index_t i = 0; i < n; ++i) {
    const index_t last = pairs.begin[at(i) + 1];
    row.clear();
    for (index_t e = first; e < last; ++e) row.emplace_back(pairs.second[at(e)], pairs.weight[at(e)]);
    std::stable_sort(row.begin(), row.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
    for (std::size_t r = 0; r < row.size(); ++r) {
      if (r > 0 && row[r].first == row[r - 1].first) continue;
      pairs.second[at(kept)] = row[r].first;
      pairs.weight[at(kept++)] = row[r].second;
    }
    first = last;
    pairs.begin[at(i) + 1] = kept;
  }
  pairs.second.resize(at(kept));
  pairs.weight.resize(at(kept));
  return pairs;
}

}  // namespace detail

/// The distribution of labels given the counts of bags and what neighbours have in common, as a factor graph.
///
///     log p(y) = -bag_strength sum over bags B of (sum over i in B of y_i - count_B)^2
///                - neighbour_strength sum over pairs {i, j} of K_ij (y_i - y_j)^2 + constant
///
/// neighbours  of n nodes; pair {i, j} is there where row i lists j or row j lists i, K its weight: one, or the kernel
///             (neighbour_kernel). Where both list it, that in the row of the lower number. Negative weights repel.
/// bags        of n items
///
/// Variable i of the graph is the label of item i. With encoding `count` a bag is a count factor and a pair an Ising
/// factor of half its strength, so that log Z of the graph is that of the formula plus neighbour_strength K_ij / 2 a
/// pair. With `pairs` the squares are multiplied out as in the paper, into unary terms and tables that are not zero for
/// (1, 1) alone, and log Z is that of the formula plus bag_strength count^2 a bag; a pair that is both of a bag and of
/// neighbours is one factor. Items without neighbours or without a bag are fine. Throws value_error for neighbours that
/// are not other nodes, weights that are not finite, counts of nodes and items that differ; option_error. O(entries +
/// items + pairs of bags where encoded); allocates the builder and as much again. Source: Havaldar et al., ICLR 2024
/// (arXiv 2310.08056), equation of the Gibbs distribution.
inline factor_graph_builder label_proportions_model(const adjacency& neighbours, const label_bags& bags,
                                                    const label_proportions_model_options& options = {}) {
  constexpr const char* name = "label_proportions_model";
  const auto at = [](index_t i) { return static_cast<std::size_t>(i); };
  const bool pairs_encoded = options.encoding == proportion_encoding::pairs;
  if (!(options.bag_strength >= 0) || (pairs_encoded && !std::isfinite(options.bag_strength)))
    detail::fail<option_error>(name, ": bag_strength is ", options.bag_strength,
                               "; it is not negative, and finite where pairs stand for the counts");
  if (!(options.neighbour_strength >= 0 && std::isfinite(options.neighbour_strength)))
    detail::fail<option_error>(name, ": neighbour_strength is ", options.neighbour_strength,
                               "; it is finite and not negative");
  const index_t n = bags.items();
  if (neighbours.nodes() != n)
    detail::fail<value_error>(name, ": ", neighbours.nodes(), " nodes have neighbours, but bags are of ", n, " items");
  const double lambda_b = options.bag_strength, lambda_s = options.neighbour_strength;
  const detail::neighbour_pairs pairs = detail::pairs_of(name, neighbours, [&](index_t i) {
    return !options.rows_of_sparse_bags_only || bags.bag_of(i) < 0 || bags.count(bags.bag_of(i)) <= 1;
  });

  factor_graph_builder builder;
  builder.add_variables(n);
  const auto for_pairs = [&](auto f) {
    for (index_t i = 0; i < n; ++i)
      for (index_t e = pairs.begin[at(i)]; e < pairs.begin[at(i) + 1]; ++e)
        f(i, index_t(pairs.second[at(e)]), lambda_s * pairs.weight[at(e)]);
  };
  if (!pairs_encoded) {
    for_pairs([&](index_t i, index_t j, double strength) {
      if (strength != 0) builder.add_ising(i, j, strength / 2);
    });
    std::vector<double> f;
    for (index_t b = 0; b < bags.bags() && lambda_b > 0; ++b) {
      f.resize(at(bags.size(b)) + 1);
      for (index_t c = 0; c <= bags.size(b); ++c) {
        const double miss = double(c - bags.count(b));
        f[at(c)] = miss == 0 ? 0.0 : -lambda_b * miss * miss;
      }
      builder.add_count(bags.members(b), f);
    }
    return builder;
  }

  for_pairs([&](index_t i, index_t j, double strength) {
    builder.add_log_odds(i, -strength);
    builder.add_log_odds(j, -strength);
    if (bags.bag_of(i) < 0 || bags.bag_of(i) != bags.bag_of(j)) builder.add_log_table({i, j}, {0, 0, 0, 2 * strength});
  });
  std::vector<std::int32_t> member;
  for (index_t b = 0; b < bags.bags(); ++b) {
    const auto of_bag = bags.members(b);
    member.assign(of_bag.begin(), of_bag.end());
    std::sort(member.begin(), member.end());
    for (std::size_t r = 0; r < member.size(); ++r) {
      const index_t i = member[r];
      builder.add_log_odds(i, -lambda_b * (1 - 2 * double(bags.count(b))));
      index_t e = pairs.begin[at(i)];
      for (std::size_t s = r + 1; s < member.size(); ++s) {
        while (e < pairs.begin[at(i) + 1] && pairs.second[at(e)] < member[s]) ++e;
        const bool both = e < pairs.begin[at(i) + 1] && pairs.second[at(e)] == member[s];
        builder.add_log_table({i, member[s]},
                              {0, 0, 0, (both ? 2 * lambda_s * pairs.weight[at(e)] : 0.0) - 2 * lambda_b});
      }
    }
  }
  return builder;
}

struct label_proportions_options {
  label_proportions_model_options model;
  belief_propagation_options propagation{.damping = 0.5, .tolerance = 1e-6, .max_iterations = 100};
};

/// How well expected counts meet those of the bags.
struct count_misses {
  double mean, greatest;  ///< of |sum of the marginals of a bag - its count|
};

/// Marginals of labels given the counts of bags and neighbours, by belief propagation on label_proportions_model.
///
/// Owns graph and messages: after run() for other propagation options the messages are there to go on from. T is the
/// type of what is stored. Whether a run has converged is in what it returns: strong couplings often do not, and more
/// damping helps. Throws what label_proportions_model and belief_propagation throw; the defaults are those of the
/// paper's program with the count encoding.
template <class T = double>
class label_proportions {
 public:
  label_proportions(const adjacency& neighbours, const label_bags& bags, const label_proportions_options& options = {})
      : graph_(label_proportions_model(neighbours, bags, options.model).template freeze<T>()),
        propagation_(graph_, options.propagation) {}
  label_proportions(const label_proportions&) = delete;
  label_proportions& operator=(const label_proportions&) = delete;

  const factor_graph<T>& graph() const { return graph_; }
  belief_propagation<T>& propagation() { return propagation_; }

  template <executor Exec>
  belief_propagation_result run(Exec&& ex) {
    return propagation_.run(ex);
  }
  belief_propagation_result run() { return propagation_.run(seq); }

  /// out(i) = log p(y_i = 1) - log p(y_i = 0), which unlike a probability tells apart what is nearly certain: for
  /// proportion_labels. Throws shape_error. O(edges). Of the model and the messages alone: what propagation() was told
  /// of an item itself (clamp, soft_evidence) has to be added, and factor weights are taken to be one; its beliefs have
  /// both.
  template <executor Exec, writable_vector Out>
  void log_odds(Exec&& ex, Out&& out) const {
    detail::require_extent("label_proportions::log_odds: out", view(out), 0, graph_.variables());
    const detail::row_sink<double> to(detail::as_column(view(out)));
    const std::span<const T> message = propagation_.messages();
    for_row_chunks(ex, graph_.variables(), [&](index_t first, index_t last) {
      for (index_t v = first; v < last; ++v) {
        double sum = double(graph_.unary(v)[1]) - double(graph_.unary(v)[0]);
        for (const std::uint32_t e : graph_.edges_of(v)) sum += double(message[e]);
        to.put_rows(v, 1, &sum);
      }
    });
  }
  template <writable_vector Out>
  void log_odds(Out&& out) const {
    log_odds(seq, out);
  }

 private:
  factor_graph<T> graph_;
  belief_propagation<T> propagation_;
};

/// Mean and greatest of |sum of sigmoid(log_odds(i)) over a bag - its count|. Throws shape_error. O(n).
template <real_vector LogOdds>
count_misses expected_count_misses(const LogOdds& log_odds, const label_bags& bags) {
  detail::require_extent("expected_count_misses: log_odds", view(log_odds), 0, bags.items());
  const detail::row_source<double> x(detail::as_column(view(log_odds)));
  count_misses misses{0, 0};
  for (index_t b = 0; b < bags.bags(); ++b) {
    double sum = 0;
    for (const std::int32_t i : bags.members(b)) sum += math::sigmoid(x.at(i, 0));
    const double miss = std::abs(sum - double(bags.count(b)));
    misses.mean += miss / double(bags.bags());
    misses.greatest = std::max(misses.greatest, miss);
  }
  return misses;
}

}  // namespace weakly::inline v0
