// SPDX-License-Identifier: MIT
#include "sanitizer.hpp"
#include "support.hpp"

#include <weakly/exec/thread_pool.hpp>
#include <weakly/graph/label_proportions.hpp>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <fstream>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace {

using std::size_t;
using weakly::index_t;
using weakly::label_bags;
using weakly::proportion_encoding;
using ints = std::vector<int>;
using reals = std::vector<double>;
const double inf = std::numeric_limits<double>::infinity();

/// Directed neighbours as compressed rows.
struct neighbours {
  ints offsets{0}, columns;
  reals weights;
  weakly::adjacency view() const { return weakly::csr_adjacency(offsets, columns, weights); }
};
struct edge {
  int from, to;
  double weight;
};
neighbours rows_of(index_t n, const std::vector<edge>& edges) {
  neighbours g;
  for (int i = 0; i < int(n); ++i) {
    for (const edge& e : edges)
      if (e.from == i) {
        g.columns.push_back(e.to);
        g.weights.push_back(e.weight);
      }
    g.offsets.push_back(int(g.columns.size()));
  }
  return g;
}

/// Marginals and log Z of the formula itself, pairs once, by all assignments.
struct exact_result {
  reals marginal;
  double log_z;
};
exact_result exact(index_t n, const std::vector<edge>& pairs, const label_bags& bags, double lambda_b,
                   double lambda_s) {
  std::vector<long double> one(size_t(n), 0);
  long double all = 0;
  for (size_t y = 0; y < size_t(1) << n; ++y) {
    const auto bit = [&](index_t i) { return double(y >> i & 1); };
    double log_p = 0;
    for (index_t b = 0; b < bags.bags(); ++b) {
      double sum = -double(bags.count(b));
      for (const auto i : bags.members(b)) sum += bit(i);
      if (sum != 0) log_p -= lambda_b * sum * sum;
    }
    for (const edge& e : pairs) log_p -= lambda_s * e.weight * std::pow(bit(e.from) - bit(e.to), 2);
    const long double p = std::exp(static_cast<long double>(log_p));
    all += p;
    for (index_t i = 0; i < n; ++i) one[size_t(i)] += bit(i) == 1 ? p : 0;
  }
  exact_result r{{}, double(std::log(all))};
  for (const long double p : one) r.marginal.push_back(double(p / all));
  return r;
}

/// The same of a factor graph: what it adds to the formula cancels among the marginals.
exact_result exact(const weakly::factor_graph<double>& graph) {
  const index_t n = graph.variables();
  ints state(size_t(n), 0);
  std::vector<long double> one(size_t(n), 0);
  long double all = 0;
  for (size_t y = 0; y < size_t(1) << n; ++y) {
    for (index_t i = 0; i < n; ++i) state[size_t(i)] = int(y >> i & 1);
    const long double p = std::exp(static_cast<long double>(graph.log_weight(state)));
    all += p;
    for (index_t i = 0; i < n; ++i) one[size_t(i)] += state[size_t(i)] == 1 ? p : 0;
  }
  exact_result r{{}, double(std::log(all))};
  for (const long double p : one) r.marginal.push_back(double(p / all));
  return r;
}

reals sigmoid(const reals& x) {
  reals p;
  for (const double v : x) p.push_back(1 / (1 + std::exp(-v)));
  return p;
}

double furthest(const reals& a, const reals& b) {
  double most = 0;
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) most = std::max(most, std::abs(a[i] - b[i]));
  return most;
}

struct random_model {
  index_t n = 9;
  std::vector<edge> directed, pairs;
  ints begin{0, 3, 4, 8}, item{7, 0, 3, 5, 2, 1, 8, 6}, count{1, 1, 2};  // item 4 is in no bag

  explicit random_model(unsigned seed, double most = 1) {
    std::mt19937_64 random(seed);
    std::uniform_real_distribution<double> weight(-most / 4, most);
    for (int i = 0; i < int(n); ++i)
      for (int j = i + 1; j < int(n); ++j) {
        if (random() % 3 != 0) continue;
        const edge e{i, j, weight(random)};
        pairs.push_back(e);
        const auto listed = random() % 3;  // by the one, the other or both
        if (listed != 1) directed.push_back(e);
        if (listed != 0) directed.push_back({j, i, e.weight});
      }
    std::shuffle(directed.begin(), directed.end(), random);
  }
  label_bags bags() const { return label_bags(n, begin, item, count); }
};

}  // namespace

TEST_CASE("label_proportions_model is the formula, in either encoding") {
  for (unsigned seed = 0; seed < unsigned(support::rounds(20)); ++seed) {
    const random_model m(seed);
    const label_bags bags = m.bags();
    const double lambda_b = 0.7, lambda_s = 1.3;
    const exact_result want = exact(m.n, m.pairs, bags, lambda_b, lambda_s);
    const neighbours g = rows_of(m.n, m.directed);
    double from_pairs = 0, from_bags = 0;
    for (const edge& e : m.pairs) from_pairs += lambda_s * e.weight / 2;
    for (const int c : m.count) from_bags += lambda_b * c * c;
    CAPTURE(seed);
    const auto of_counts = exact(
        label_proportions_model(g.view(), bags, {.bag_strength = lambda_b, .neighbour_strength = lambda_s}).freeze());
    CHECK(furthest(of_counts.marginal, want.marginal) < 1e-13);
    CHECK(of_counts.log_z == doctest::Approx(want.log_z + from_pairs).epsilon(1e-12));
    const auto of_pairs =
        exact(label_proportions_model(
                  g.view(), bags,
                  {.bag_strength = lambda_b, .neighbour_strength = lambda_s, .encoding = proportion_encoding::pairs})
                  .freeze());
    CHECK(furthest(of_pairs.marginal, want.marginal) < 1e-13);
    CHECK(of_pairs.log_z == doctest::Approx(want.log_z + from_bags).epsilon(1e-12));
  }
}

TEST_CASE("label_proportions_model has one factor a bag, or one for every two of its items, and one a pair") {
  const label_bags bags(6, ints{0, 4}, ints{2});
  const neighbours g = rows_of(6, {{0, 1, 1}, {1, 0, 1}, {3, 4, 1}, {5, 0, 0}});
  CHECK(label_proportions_model(g.view(), bags).factors() == 1 + 2);
  CHECK(label_proportions_model(g.view(), bags, {.encoding = proportion_encoding::pairs}).factors() == 6 + 2);
}

TEST_CASE("label_proportions_model leaves out rows of items in bags of several positives on request") {
  const label_bags bags(5, ints{0, 2, 4}, ints{2, 1});
  const neighbours g = rows_of(5, {{0, 2, 1}, {2, 1, 1}, {1, 4, 1}, {4, 0, 1}, {3, 2, 1}});
  const auto b = label_proportions_model(g.view(), bags, {.rows_of_sparse_bags_only = true});
  const auto graph = b.freeze();
  CHECK(b.factors() == 2 + 3);  // 2-1, 4-0 and 3-2; rows 0 and 1 are of the bag with two positives
  CHECK(graph.degree(0) == 2);
  CHECK(graph.degree(4) == 1);
}

TEST_CASE("label_proportions give the reference marginals") {
  const auto folder = support::reference_data("llp_bp");
  if (!folder) return;
  std::ifstream file(*folder / "index.json");
  const nlohmann::json index = nlohmann::json::parse(file);
  int compared = 0, pairwise = 0;
  for (const auto& m : index.at("llp")) {
    CAPTURE(std::string(m.at("name")));
    const index_t n = m.at("n");
    std::vector<edge> edges;
    for (size_t e = 0; e < m.at("edges").size(); ++e)
      edges.push_back({m.at("edges")[e][0], m.at("edges")[e][1], m.at("kernel")[e]});
    ints begin{0}, item;
    for (const auto& bag : m.at("bags")) {
      for (const int i : bag) item.push_back(i);
      begin.push_back(int(item.size()));
    }
    const label_bags bags(n, begin, item, m.at("S").get<ints>());
    const neighbours g = rows_of(n, edges);
    weakly::label_proportions_options options{
        .model = {.bag_strength = m.at("lambda_b"), .neighbour_strength = m.at("lambda_s")},
        .propagation = {.damping = 0.5, .tolerance = 1e-14, .max_iterations = 2000}};
    const exact_result want = exact(n, edges, bags, m.at("lambda_b"), m.at("lambda_s"));
    CHECK(furthest(want.marginal, m.at("exact").get<reals>()) < 1e-12);
    CHECK(want.log_z == doctest::Approx(double(m.at("logZ"))).epsilon(1e-11));

    weakly::label_proportions counts(g.view(), bags, options);
    CHECK(counts.run().change < 1e-12);
    reals x(size_t(n), 0.0);
    counts.log_odds(x);
    CHECK(furthest(sigmoid(x), m.at("bp_count").get<reals>()) < 1e-11);
    ++compared;
    if (double(m.at("bp_pairwise_diff")) > 1e-12) continue;
    options.model.encoding = proportion_encoding::pairs;
    weakly::label_proportions by_pairs(g.view(), bags, options);
    CHECK(by_pairs.run().change < 1e-12);
    by_pairs.log_odds(x);
    CHECK(furthest(sigmoid(x), m.at("bp_pairwise").get<reals>()) < 1e-10);
    ++pairwise;
  }
  CHECK(compared == 6);
  CHECK(pairwise == 2);
}

TEST_CASE("label_proportions of bags without neighbours are exact, with counts held exactly too") {
  const label_bags bags(7, ints{0, 4, 6}, ints{1, 2});
  const neighbours none = rows_of(7, {});
  weakly::label_proportions soft(none.view(), bags, {.model = {.bag_strength = 0.4}});
  CHECK(soft.run().converged);
  reals x(7);
  soft.log_odds(x);
  CHECK(furthest(sigmoid(x), exact(7, {}, bags, 0.4, 0).marginal) < 1e-13);
  weakly::label_proportions held(none.view(), bags, {.model = {.bag_strength = inf}});
  CHECK(held.run().converged);
  held.log_odds(x);
  CHECK(x[0] == doctest::Approx(-std::log(3.0)).epsilon(1e-14));
  CHECK(x[4] == inf);  // two of two
  CHECK(x[6] == 0);    // in no bag, and without neighbours
  CHECK(weakly::expected_count_misses(x, bags).greatest < 1e-14);
}

TEST_CASE("label_proportions give the log-odds of the beliefs at any temperature") {
  const random_model m(3, 4);
  const label_bags bags = m.bags();
  const neighbours g = rows_of(m.n, m.directed);
  for (const double temperature : {0.5, 1.0, 3.0, 0.0}) {
    weakly::label_proportions_options options{.model = {.bag_strength = 0.5, .neighbour_strength = 0.5}};
    options.propagation.temperature = temperature;
    weakly::label_proportions p(g.view(), bags, options);
    p.run();
    const size_t n = static_cast<size_t>(m.n);
    reals x(n), belief(2 * n);
    p.log_odds(x);
    p.propagation().all_beliefs(belief);
    for (size_t i = 0; i < n; ++i) CHECK(sigmoid(x)[i] == doctest::Approx(belief[2 * i + 1]).epsilon(1e-12));
  }
}

TEST_CASE("label_proportions say when they have not converged, and go on from where they were") {
  const random_model m(3, 4);
  const label_bags bags = m.bags();
  const neighbours g = rows_of(m.n, m.directed);
  weakly::label_proportions_options options{.model = {.bag_strength = 1, .neighbour_strength = 1},
                                            .propagation = {.damping = 0.5, .tolerance = 1e-10, .max_iterations = 3}};
  weakly::label_proportions p(g.view(), bags, options);
  const auto early = p.run();
  CHECK_FALSE(early.converged);
  CHECK(early.iterations == 3);
  CHECK(early.change > 1e-10);
  options.propagation.max_iterations = 2000;
  p.propagation().set_options(options.propagation);
  CHECK(p.run().converged);
  // The squares multiplied out oscillate in bags of five and more.
  const label_bags one(9, ints{0, 9}, ints{4});
  weakly::label_proportions pairs(g.view(), one,
                                  {.model = {.bag_strength = 5, .encoding = proportion_encoding::pairs}});
  const auto late = pairs.run();
  CHECK_FALSE(late.converged);
  CHECK(late.iterations == 100);
}

TEST_CASE("label_proportions have the same bits for every executor, and floats are near them") {
  const index_t n = support::sanitized ? 600 : 3000;
  std::mt19937_64 random(4);
  std::uniform_real_distribution<float> weight(0, 1);
  ints offsets{0}, columns;
  std::vector<float> weights;
  for (int i = 0; i < int(n); ++i) {
    for (int k = 0; k < 3; ++k) {
      columns.push_back((i + 1 + int(random() % 500)) % int(n));
      weights.push_back(weight(random));
    }
    offsets.push_back(int(columns.size()));
  }
  std::vector<index_t> begin{0}, count;
  while (begin.back() < n) {
    begin.push_back(begin.back() + 50);
    count.push_back(index_t(random() % 51));
  }
  const label_bags bags(n, begin, count);
  const auto graph = weakly::csr_adjacency(offsets, columns, weights);
  const weakly::label_proportions_options options{
      .model = {.bag_strength = 1, .neighbour_strength = 0.3},
      .propagation = {.damping = 0.5, .max_iterations = support::sanitized ? 6 : 30}};
  reals x(size_t(n), 0.0), threaded = x, single = x;
  weakly::label_proportions p(graph, bags, options), q(graph, bags, options);
  weakly::label_proportions<float> f(graph, bags, options);
  weakly::thread_pool pool(3);
  p.run();
  q.run(pool);
  f.run(pool);
  p.log_odds(x);
  q.log_odds(pool, threaded);
  f.log_odds(single);
  CHECK(threaded == x);
  CHECK(furthest(sigmoid(single), sigmoid(x)) < 1e-3);
}

TEST_CASE("label_proportions refuse what are no neighbours, and options outside their domain") {
  const label_bags bags(3, ints{0, 3}, ints{1});
  const auto model = [&](const std::vector<edge>& edges, const weakly::label_proportions_model_options& o = {}) {
    const neighbours g = rows_of(3, edges);
    return label_proportions_model(g.view(), bags, o).factors();
  };
  CHECK(model({}) == 1);
  CHECK_THROWS_AS(model({{0, 0, 1}}), weakly::value_error);
  CHECK_THROWS_AS(model({{0, 3, 1}}), weakly::value_error);
  CHECK_THROWS_AS(model({{0, -1, 1}}), weakly::value_error);
  CHECK_THROWS_AS(model({{0, 1, std::nan("")}}), weakly::value_error);
  CHECK_THROWS_AS(model({{0, 1, inf}}), weakly::value_error);
  CHECK_THROWS_AS(model({}, {.bag_strength = -1}), weakly::option_error);
  CHECK_THROWS_AS(model({}, {.bag_strength = std::nan("")}), weakly::option_error);
  CHECK_THROWS_AS(model({}, {.bag_strength = inf, .encoding = proportion_encoding::pairs}), weakly::option_error);
  CHECK_THROWS_AS(model({}, {.neighbour_strength = inf}), weakly::option_error);
  const neighbours other = rows_of(4, {});
  CHECK_THROWS_AS(label_proportions_model(other.view(), bags), weakly::value_error);
  neighbours broken = rows_of(3, {{0, 1, 1}, {1, 2, 1}});
  broken.offsets = {0, 2, 1, 2};
  CHECK_THROWS_AS(label_proportions_model(broken.view(), bags), weakly::value_error);
  weakly::label_proportions p(rows_of(3, {}).view(), bags);
  reals small(2);
  CHECK_THROWS_AS(p.log_odds(small), weakly::shape_error);
}
