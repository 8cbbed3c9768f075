// SPDX-License-Identifier: MIT
#include "propagation_checks.hpp"

#include "sanitizer.hpp"
#include "support.hpp"

#include <weakly/core/half.hpp>
#include <weakly/exec/thread_pool.hpp>
#include <weakly/graph/label_propagation.hpp>
#include <weakly/graph/row_argmax.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <vector>

using namespace propagation_checks;
using weakly::normalisation;
using weakly::propagation;

TEST_CASE("label_propagation walks one step as one writes it down") {
  // 0 - 1 - 2, and 3 alone; labels at 0 and 3
  const csr g = undirected(4, {{0, 1}, {1, 2}});
  const std::vector<double> y{1, 0, 0, 0, 0, 0, 0, 1};
  walk w(g.plain());
  CHECK(w.run(y, 2, {.alpha = 0.75, .steps = 1}) == std::vector<double>{0.75, 0, 0.25, 0, 0, 0, 0, 0.75});
  CHECK(w.missed == 1);
  CHECK(w.run(y, 2, {.kind = propagation::restart, .alpha = 0.75, .steps = 1}) ==
        std::vector<double>{0.25, 0, 0.75, 0, 0, 0, 0, 0.25});
  CHECK(w.run(y, 2, {.steps = 0}) == y);
  CHECK(w.missed == 2);
}

TEST_CASE("label_propagation equals dense matrices for every normalisation, walk, weight and loop") {
  for (int round = 0; round < support::rounds(12); ++round) {
    const auto seed = static_cast<unsigned>(round);
    const index_t n = 20 + 3 * round, k = 1 + (7 * round) % 11;
    const csr g = random_graph(n, 3 * n, seed);
    const auto y = uniform(n, k, seed);
    for (const auto by : {normalisation::column, normalisation::row, normalisation::symmetric})
      for (const auto kind : {propagation::lazy, propagation::restart}) {
        const weakly::normalise_adjacency_options how{.by = by, .self_loops = round % 3 == 0 ? 0.0 : 0.5 * round};
        const weakly::label_propagation_options options{.kind = kind, .alpha = 0.1 * (round % 11), .steps = round % 5};
        const bool weights = round % 2 == 0;
        walk w(weights ? g.weighted() : g.plain(), how);
        const auto want = propagated(normalised(g.dense(weights), n, how), y, k, options);
        CHECK(greatest_difference(w.run(y, k, options), want) < 1e-14);
      }
  }
}

TEST_CASE("a subgraph propagates as if the other rows and columns were zero") {
  const index_t n = 40, k = 5;
  const csr g = random_graph(n, 90, 3);
  std::vector<int> inside(std::size_t(n), 1);
  for (std::size_t i = 0; i < inside.size(); i += 3) inside[i] = 0;
  auto y = uniform(n, k, 2), masked = y;
  for (std::size_t i = 0; i < y.size(); ++i)
    if (inside[i / std::size_t(k)] == 0) {
      y[i] = std::nan("");  // reaches nothing
      masked[i] = 0;
    }
  for (const auto by : {normalisation::column, normalisation::row, normalisation::symmetric})
    for (const auto kind : {propagation::lazy, propagation::restart})
      for (const index_t steps : {0, 4}) {
        const weakly::normalise_adjacency_options how{.by = by, .self_loops = 1};
        const weakly::label_propagation_options options{.kind = kind, .alpha = 0.6, .steps = steps};
        walk w(g.plain(), how, inside);
        const auto want = propagated(normalised(g.dense(false), n, how, inside), masked, k, options);
        CHECK(greatest_difference(w.run(y, k, options), want) < 1e-14);
        CHECK(w.missed == 0);
      }
}

TEST_CASE("known nodes keep their rows") {
  const index_t n = 30, k = 3;
  const csr g = random_graph(n, 60, 4);
  const auto y = uniform(n, k, 5);
  std::vector<int> known(std::size_t(n), 0);
  for (std::size_t i = 0; i < known.size(); i += 4) known[i] = 1;
  walk w(g.weighted(), {.by = normalisation::symmetric});
  std::vector<std::byte> memory(weakly::label_propagation_scratch<double>(n, k));
  for (const auto kind : {propagation::lazy, propagation::restart})
    for (const index_t steps : {0, 1, 6}) {
      const weakly::label_propagation_options options{.kind = kind, .alpha = 0.3, .steps = steps};
      std::vector<double> out(y.size());
      weakly::workspace scratch(memory);
      weakly::label_propagation(weakly::seq, w.s, rows(y, k), known, scratch, rows(out, k), weakly::discard, options);
      const auto want =
          propagated(normalised(g.dense(true), n, {.by = normalisation::symmetric}), y, k, options, known);
      CHECK(greatest_difference(out, want) < 1e-14);
      for (std::size_t i = 0; i < known.size(); ++i)
        if (known[i] != 0) CHECK(out[i * std::size_t(k)] == y[i * std::size_t(k)]);
      std::vector<double> short_form(y.size());
      weakly::workspace again(memory);
      weakly::label_propagation(w.s, rows(y, k), known, again, rows(short_form, k), weakly::discard, options);
      CHECK(same_bits(short_form, out));
    }
}

TEST_CASE("nodes that nothing reaches are marked") {
  // 0 - 1 - 2 - 3 - 4, and 5 alone
  const csr g = undirected(6, {{0, 1}, {1, 2}, {2, 3}, {3, 4}});
  const std::vector<float> y{1, 0, 0, 0, 0, 0};
  walk w(g.plain());
  std::vector<float> out(6);
  std::vector<std::int8_t> reached(6, 9);
  std::vector<std::byte> memory(weakly::label_propagation_scratch<float>(6, 1));
  for (const index_t steps : {0, 1, 3}) {
    weakly::workspace scratch(memory);
    const index_t missed = weakly::label_propagation(w.s, rows(y, 1), scratch, rows(out, 1), reached, {.steps = steps});
    CHECK(missed == 5 - steps);
    for (index_t i = 0; i < 6; ++i) CHECK(int(reached[std::size_t(i)]) == (i <= steps ? 1 : 0));
  }
  // Outside the subgraph nothing counts as missed, and nothing is reached.
  walk part(g.plain(), {}, {1, 1, 0, 1, 1, 1});
  weakly::workspace scratch(memory);
  CHECK(weakly::label_propagation(part.s, rows(y, 1), scratch, rows(out, 1), reached) == 3);
  CHECK(reached == std::vector<std::int8_t>{1, 1, 0, 0, 0, 0});
}

TEST_CASE("one number anywhere in a row, NaN too, makes it reached") {
  const csr g = undirected(3, {{0, 1}});
  walk w(g.plain());
  for (const index_t k : {1, 7, 16, 40, 100})
    for (index_t c = 0; c < k; ++c) {
      std::vector<float> y(std::size_t(3 * k)), out(y.size());
      y[std::size_t(c)] = c % 2 == 0 ? 1.0f : std::nanf("");
      std::vector<int> reached(3, 9);
      std::vector<std::byte> memory(weakly::label_propagation_scratch<float>(3, k));
      weakly::workspace scratch(memory);
      CHECK(weakly::label_propagation(w.s, rows(y, k), scratch, rows(out, k), reached, {.steps = 1}) == 1);
      CHECK(reached == std::vector<int>{1, 1, 0});
    }
}

TEST_CASE("row normalisation keeps sums of one, column normalisation the sums of columns") {
  const index_t n = 50, k = 6;
  const csr g = undirected(n, [] {
    std::vector<std::pair<std::int32_t, std::int32_t>> edges;
    for (std::int32_t i = 0; i < 50; ++i) edges.emplace_back(i, (i * i + 1) % 50);
    return edges;
  }());
  auto y = uniform(n, k, 8);
  for (index_t i = 0; i < n; ++i) {
    const auto row = y.begin() + i * k;
    const double sum = std::accumulate(row, row + k, 0.0);
    for (index_t c = 0; c < k; ++c) row[c] /= sum;
  }
  const auto by_row = walk(g.weighted(), {.by = normalisation::row}).run(y, k, {.steps = 9});
  const auto by_column = walk(g.weighted()).run(y, k, {.steps = 9});
  for (index_t i = 0; i < n; ++i)
    CHECK(std::accumulate(by_row.begin() + i * k, by_row.begin() + (i + 1) * k, 0.0) ==
          doctest::Approx(1).epsilon(1e-13));
  const auto before = transposed(y, k), after = transposed(by_column, k);
  for (index_t c = 0; c < k; ++c)
    CHECK(std::accumulate(after.begin() + c * n, after.begin() + (c + 1) * n, 0.0) ==
          doctest::Approx(std::accumulate(before.begin() + c * n, before.begin() + (c + 1) * n, 0.0)).epsilon(1e-13));
}

TEST_CASE("label_propagation does not depend on the numbering of the nodes, nor one component on another") {
  const index_t n = 60, k = 4;
  const csr g = random_graph(n, 100, 9);
  const auto y = uniform(n, k, 3);
  std::vector<std::int32_t> place(std::size_t(n), 0);
  std::iota(place.begin(), place.end(), 0);
  std::shuffle(place.begin(), place.end(), std::mt19937(1));
  std::vector<std::pair<std::int32_t, std::int32_t>> moved, both;
  std::vector<double> moved_y(y.size());
  for (std::size_t i = 0; i < std::size_t(n); ++i) {
    for (auto e = std::size_t(g.offset[i]); e < std::size_t(g.offset[i + 1]); ++e) {
      moved.emplace_back(place[i], place[std::size_t(g.column[e])]);
      both.emplace_back(std::int32_t(i), g.column[e]);
      both.emplace_back(std::int32_t(i + std::size_t(n)), g.column[e] + std::int32_t(n));
    }
    for (std::size_t c = 0; c < std::size_t(k); ++c)
      moved_y[std::size_t(place[i]) * std::size_t(k) + c] = y[i * std::size_t(k) + c];
  }
  for (const auto by : {normalisation::column, normalisation::symmetric}) {
    const weakly::label_propagation_options options{.alpha = 0.4, .steps = 6};
    const auto alone = walk(g.plain(), {.by = by}).run(y, k, options);
    const auto renumbered = walk(undirected(n, moved).plain(), {.by = by}).run(moved_y, k, options);
    double most = 0;
    for (std::size_t i = 0; i < std::size_t(n); ++i)
      for (std::size_t c = 0; c < std::size_t(k); ++c)
        most = std::max(
            most, std::abs(renumbered[std::size_t(place[i]) * std::size_t(k) + c] - alone[i * std::size_t(k) + c]));
    CHECK(most < 1e-14);

    auto twice = y;
    const auto other = uniform(n, k, 77);
    twice.insert(twice.end(), other.begin(), other.end());
    auto first = walk(undirected(2 * n, both).plain(), {.by = by}).run(twice, k, options);
    first.resize(y.size());
    CHECK(same_bits(first, alone));
  }
}

TEST_CASE_TEMPLATE("label_propagation has the same bits for every executor, layout and number of columns", T, float,
                   double) {
  weakly::thread_pool pool(3);
  for (const index_t k : {1, 3, 19, 130}) {
    if (support::sanitized && k == 19) continue;
    const index_t n = 300;
    csr g = random_graph(n, 1500, 6);
    std::vector<std::pair<std::int32_t, std::int32_t>> edges;
    for (std::int32_t j = 0; j < 290; ++j) edges.emplace_back(7, j);
    for (std::size_t i = 0; i < std::size_t(n); ++i)
      for (auto e = std::size_t(g.offset[i]); e < std::size_t(g.offset[i + 1]); ++e)
        edges.emplace_back(std::int32_t(i), g.column[e]);
    g = undirected(n, edges);
    const auto y = uniform<T>(n, k, 1);
    const auto columns = transposed(y, k);
    for (const auto kind : {propagation::lazy, propagation::restart}) {
      const weakly::label_propagation_options options{.kind = kind, .steps = 3};
      walk w(g.weighted(), {.self_loops = 1});
      const auto expected = w.run(y, k, options);
      std::vector<T> out(y.size()), by_column(y.size());
      std::vector<std::byte> memory(weakly::label_propagation_scratch<T>(n, k));
      weakly::workspace one(memory), two(memory);
      weakly::label_propagation(pool, w.s, rows(y, k), one, rows(out, k), weakly::discard, options);
      CHECK(same_bits(out, expected));
      weakly::label_propagation(pool, w.s, weakly::view(columns.data(), n, k, 1, n), two,
                                weakly::view(by_column.data(), n, k, 1, n), weakly::discard, options);
      CHECK(same_bits(by_column, transposed(expected, k)));
      // A column does not depend on its neighbours.
      std::vector<T> last;
      for (index_t i = 0; i < n; ++i) last.push_back(y[std::size_t(i * k + k - 1)]);
      const auto alone = w.run(last, 1, options);
      bool same = true;
      for (index_t i = 0; i < n; ++i) same &= alone[std::size_t(i)] == expected[std::size_t(i * k + k - 1)];
      CHECK(same);
    }
  }
}

TEST_CASE("rows longer than any buffer are added up") {
  const index_t n = 2000;
  std::vector<std::pair<std::int32_t, std::int32_t>> star;
  for (std::int32_t j = 1; j < n; ++j) star.emplace_back(0, j);
  const csr g = undirected(n, star);
  const auto y = uniform(n, 2, 1);
  for (const bool weights : {false, true}) {
    const auto out =
        walk(weights ? g.weighted() : g.plain(), {.by = normalisation::row}).run(y, 2, {.alpha = 0, .steps = 1});
    long double sum = 0, total = 0;
    for (std::size_t j = 1; j < std::size_t(n); ++j) {
      const double weight = weights ? g.weight[j - 1] : 1;
      sum += weight * y[2 * j];
      total += weight;
    }
    CHECK(out[0] == doctest::Approx(double(sum / total)).epsilon(1e-13));
    CHECK(out[2] == doctest::Approx(y[0]).epsilon(1e-15));
  }
}

TEST_CASE("NaN reaches its neighbours and nobody else") {
  const csr g = undirected(4, {{0, 1}, {1, 2}, {2, 3}});
  const auto out = walk(g.plain()).run(std::vector<double>{std::nan(""), 0, 0, 1}, 1, {.steps = 2});
  CHECK(std::isnan(out[2]));
  CHECK(out[3] > 0);
}

TEST_CASE("a row that half rounds to zero is not reached") {
  const csr g = undirected(2, {{0, 1}});
  walk w(g.plain());
  const std::vector<float> y{1e-9f, 0, 0, 1};
  std::vector<weakly::half> out(4);
  std::vector<int> reached(2, 9);
  std::vector<std::byte> memory(weakly::label_propagation_scratch<weakly::half>(2, 2));
  for (const index_t steps : {0, 1}) {
    weakly::workspace scratch(memory);
    const auto rows_of_out = weakly::view(out.data(), 2, 2);
    CHECK(weakly::label_propagation(w.s, rows(y, 2), scratch, rows_of_out, reached, {.alpha = 1, .steps = steps}) == 1);
    CHECK(reached == std::vector<int>{0, 1});
  }
}

TEST_CASE("weights beyond float that lead out of a subgraph reach nobody") {
  csr g = undirected(3, {{0, 1}, {0, 2}});
  g.weight = {1, 1e300, 1, 1e300};
  const std::vector<float> y{1, 0, 5};
  for (const auto by : {normalisation::column, normalisation::row, normalisation::symmetric})
    CHECK(walk(g.weighted(), {.by = by}, {1, 1, 0}).run(y, 1, {.alpha = 0.5, .steps = 2}) ==
          std::vector<float>{0.5, 0.5, 0});
}

TEST_CASE("out may be other columns of the matrix that y is part of") {
  const index_t n = 20, k = 3;
  const csr g = random_graph(n, 60, 5);
  const auto y = uniform(n, k, 1);
  const auto want = walk(g.plain()).run(y, k, {});
  walk w(g.plain());
  std::vector<std::byte> memory(weakly::label_propagation_scratch<double>(n, k));
  for (const bool by_column : {false, true}) {
    std::vector<double> whole(std::size_t(2 * n * k));
    const index_t across = by_column ? n : 1, down = by_column ? 1 : 2 * k;
    const auto columns = [&](index_t first) { return weakly::view(whole.data() + first * across, n, k, down, across); };
    const auto from = columns(0), to = columns(k);
    for (index_t i = 0; i < n; ++i)
      for (index_t c = 0; c < k; ++c) from(i, c) = y[std::size_t(i * k + c)];
    weakly::workspace scratch(memory), again(memory);
    weakly::label_propagation(w.s, from, scratch, to, weakly::discard);
    bool same = true;
    for (index_t i = 0; i < n; ++i)
      for (index_t c = 0; c < k; ++c) same &= to(i, c) == want[std::size_t(i * k + c)];
    CHECK(same);
    CHECK_THROWS_AS(weakly::label_propagation(w.s, from, again, columns(k - 1), weakly::discard), weakly::shape_error);
  }
}

TEST_CASE("no nodes, no classes and no entries are graphs too") {
  const csr none, lonely = undirected(3, {});
  const std::vector<double> empty, y{1, 2, 3};
  CHECK(walk(none.plain()).run(empty, 4, {}).empty());
  walk w(lonely.plain());
  CHECK(w.run(y, 1, {.alpha = 0.5, .steps = 2}) == std::vector<double>{0.25, 0.5, 0.75});
  std::vector<std::byte> memory(weakly::label_propagation_scratch<double>(3, 0));
  weakly::workspace scratch(memory);
  double nothing = 0;
  CHECK(weakly::label_propagation(w.s, weakly::view(static_cast<const double*>(&nothing), 3, 0), scratch,
                                  weakly::view(&nothing, 3, 0), weakly::discard) == 3);
}

TEST_CASE("label_propagation refuses options, shapes and memory that do not fit") {
  const csr g = undirected(3, {{0, 1}, {1, 2}});
  walk w(g.plain());
  std::vector<double> y{1, 0, 0}, out(3), more(4);
  std::vector<int> flags(2);
  std::vector<std::byte> memory(weakly::label_propagation_scratch<double>(3, 1));
  const auto go = [&](const auto& from, auto& to, weakly::label_propagation_options options, std::size_t bytes) {
    weakly::workspace scratch({memory.data(), bytes});
    weakly::label_propagation(w.s, rows(from, 1), scratch, rows(to, 1), weakly::discard, options);
  };
  const std::size_t all = memory.size();
  for (const double bad : {-0.1, 1.1, std::nan("")})
    CHECK_THROWS_AS(go(y, out, {.alpha = bad}, all), weakly::option_error);
  CHECK_THROWS_AS(go(y, out, {.steps = -1}, all), weakly::option_error);
  CHECK_THROWS_AS(go(more, more, {}, all), weakly::shape_error);
  CHECK_THROWS_AS(go(y, more, {}, all), weakly::shape_error);
  CHECK_THROWS_AS(go(y, y, {}, all), weakly::shape_error);
  CHECK_THROWS_AS(go(y, out, {}, 32), weakly::workspace_error);
  CHECK(out == std::vector<double>{0, 0, 0});
  weakly::workspace scratch(memory), again(memory);
  CHECK_THROWS_AS(weakly::label_propagation(w.s, rows(y, 1), scratch, rows(out, 1), flags), weakly::shape_error);
  CHECK_THROWS_AS(weakly::label_propagation(weakly::seq, w.s, rows(y, 1), flags, again, rows(out, 1), weakly::discard),
                  weakly::shape_error);
}

TEST_CASE("label_propagation gives the stored propagation with restart on a citation graph") {
  const auto folder = support::reference_data("graphs/cora");
  if (!folder) return;
  const citations data(*folder);
  const index_t n = data.graph.nodes(), k = citations::classes;
  walk w(data.graph.plain(), {.by = normalisation::symmetric});
  for (const std::string tag : {"none00", "symm30"}) {
    const auto noisy = golden::read_npy(*folder / "ref" / (tag + "_train_noisy.npy")).as<std::int32_t>();
    std::vector<double> y(std::size_t(n * k));
    for (std::size_t t = 0; t < data.train.size(); ++t) y[std::size_t(data.train[t] * k + noisy[t])] = 1;
    auto out = w.run(y, k, {.kind = propagation::restart, .alpha = 0.9, .steps = 10});
    CHECK(w.missed == 158);
    std::vector<std::int32_t> label(std::size_t(n), 0);
    CHECK(weakly::row_argmax(rows(out, k), label) == 0);
    double right = 0;
    for (const auto i : data.test) right += label[std::size_t(i)] == data.label[std::size_t(i)];
    CHECK(right / double(data.test.size()) == doctest::Approx(tag == "none00" ? 0.714 : 0.604).epsilon(1e-12));
    const auto want = golden::read_npy(*folder / "ref" / (tag + "_zhou_T10_first200.npy")).values;
    out.resize(want.size());
    CHECK(greatest_difference(out, want) < 1e-14);
  }
}
