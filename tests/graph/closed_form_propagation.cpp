// SPDX-License-Identifier: MIT
#include "propagation_checks.hpp"
#include "support.hpp"

#include <weakly/exec/thread_pool.hpp>
#include <weakly/graph/closed_form_propagation.hpp>
#include <weakly/graph/label_propagation.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <vector>

using namespace propagation_checks;
using weakly::normalisation;
using settings = weakly::closed_form_propagation_options;

TEST_CASE("closed_form_propagation of two nodes is what one finds by hand") {
  // F0 = a F1 + (1 - a), F1 = a F0
  const csr g = undirected(3, {{0, 1}});
  walk w(g.plain());
  const std::vector<double> y{1, 0, 4};
  std::vector<double> f(3);
  const auto report = weakly::closed_form_propagation(w.s, rows(y, 1), rows(f, 1), {.alpha = 0.5});
  CHECK(f[0] == doctest::Approx(2.0 / 3).epsilon(1e-12));
  CHECK(f[1] == doctest::Approx(1.0 / 3).epsilon(1e-12));
  CHECK(f[2] == doctest::Approx(2).epsilon(1e-12));  // alone, it keeps 1 - a of its row
  CHECK(report.not_converged.ok());
  CHECK(report.residual < 1e-10);
  CHECK(report.iterations >= 1);
}

TEST_CASE("closed_form_propagation is where propagation with restart ends, for every normalisation and subgraph") {
  const index_t n = 50, k = 3;
  const csr g = random_graph(n, 110, 2);
  auto y = uniform(n, k, 4);
  std::vector<int> part(std::size_t(n), 1);
  for (std::size_t i = 0; i < part.size(); i += 5) part[i] = 0;
  for (const auto by : {normalisation::column, normalisation::row, normalisation::symmetric})
    for (const double loops : {0.0, 1.0})
      for (const bool all : {true, false}) {
        walk w(g.weighted(), {.by = by, .self_loops = loops}, all ? std::vector<int>() : part);
        const auto want = w.run(y, k, {.kind = weakly::propagation::restart, .alpha = 0.8, .steps = 200});
        std::vector<double> f(y.size());
        const auto report =
            weakly::closed_form_propagation(w.s, rows(y, k), rows(f, k), {.alpha = 0.8, .tolerance = 1e-13});
        CHECK(report.not_converged.ok());
        CHECK(greatest_difference(f, want) < 1e-12);
      }
}

TEST_CASE("closed_form_propagation says what did not converge") {
  const csr g = random_graph(200, 400, 2);
  walk w(g.plain(), {.by = normalisation::symmetric});
  std::vector<double> y = uniform(200, 2, 4), f(y.size());
  for (std::size_t i = 1; i < y.size(); i += 2) y[i] = 0;  // a column of zeros takes no iteration
  auto report = weakly::closed_form_propagation(w.s, rows(y, 2), rows(f, 2), {.alpha = 0.99, .iterations = 2});
  CHECK(report.iterations == 2);
  CHECK(report.residual > 1e-10);
  CHECK(report.not_converged == weakly::status{0, 1});
  y[1] = std::nan("");
  report = weakly::closed_form_propagation(w.s, rows(y, 2), rows(f, 2));
  CHECK(report.not_converged == weakly::status{1, 1});
  CHECK(std::isnan(report.residual));
  CHECK(std::isnan(f[1]));
  CHECK(!std::isnan(f[0]));

  csr directed = g;  // one direction of an edge taken away
  directed.column.pop_back();
  directed.weight.pop_back();
  for (auto& offset : directed.offset) offset = std::min(offset, static_cast<std::int64_t>(directed.column.size()));
  walk d(directed.plain(), {.by = normalisation::symmetric});
  y[1] = 0;
  const auto iterate = d.run(y, 2, {.kind = weakly::propagation::restart, .alpha = 0.9, .steps = 400});
  report = weakly::closed_form_propagation(d.s, rows(y, 2), rows(f, 2));
  CHECK((!report.not_converged.ok() || greatest_difference(f, iterate) < 1e-8));
}

TEST_CASE("the magnitude of a column does not matter, and a column that is not finite takes no time") {
  const csr g = random_graph(40, 90, 2);
  const walk w(g.weighted(), {.by = normalisation::symmetric});
  const auto y = uniform(40, 1, 4);
  std::vector<double> f(y.size()), scaled(y), out(y.size());
  weakly::closed_form_propagation(w.s, rows(y, 1), rows(f, 1));
  for (const int exponent : {-1000, -560, 540, 1000}) {
    for (std::size_t i = 0; i < y.size(); ++i) scaled[i] = std::ldexp(y[i], exponent);
    const auto report = weakly::closed_form_propagation(w.s, rows(scaled, 1), rows(out, 1));
    CHECK(report.not_converged.ok());
    CHECK(report.residual < 2e-10);
    for (double& x : out) x = std::ldexp(x, -exponent);
    CHECK(same_bits(out, f));
  }
  scaled[3] = HUGE_VAL;
  const auto report = weakly::closed_form_propagation(w.s, rows(scaled, 1), rows(out, 1));
  CHECK(report.iterations == 0);
  CHECK(std::isnan(report.residual));
  CHECK(report.not_converged == weakly::status{0, 1});
  CHECK(std::isnan(out[0]));
}

TEST_CASE("closed_form_propagation has the same bits for every executor and layout, and may write over y") {
  const index_t n = 300, k = 5;
  const csr g = random_graph(n, 900, 7);
  const walk w(g.weighted(), {.by = normalisation::symmetric});
  const auto y = uniform<float>(n, k, 1);
  std::vector<float> f(y.size()), pooled(f), over(y), columns = transposed(y, k);
  weakly::closed_form_propagation(w.s, rows(y, k), rows(f, k));
  weakly::thread_pool pool(3);
  weakly::closed_form_propagation(pool, w.s, rows(y, k), rows(pooled, k));
  CHECK(same_bits(f, pooled));
  weakly::closed_form_propagation(pool, w.s, rows(over, k), rows(over, k));
  CHECK(same_bits(f, over));
  const auto view = weakly::view(columns.data(), n, k, 1, n);
  weakly::closed_form_propagation(w.s, view, view);
  CHECK(same_bits(columns, transposed(f, k)));
}

TEST_CASE("closed_form_propagation refuses options and shapes that do not fit, and takes graphs of nothing") {
  const csr g = undirected(2, {{0, 1}}), none;
  walk w(g.plain()), empty(none.plain());
  const std::vector<double> y{1, 0}, nothing;
  std::vector<double> f(2), three(3), no_rows;
  const auto go = [&](auto& to, settings o) { weakly::closed_form_propagation(w.s, rows(y, 1), rows(to, 1), o); };
  for (const double bad : {-0.1, 1.0, std::nan("")}) CHECK_THROWS_AS(go(f, {.alpha = bad}), weakly::option_error);
  for (const double bad : {0.0, 1.0, std::nan("")}) CHECK_THROWS_AS(go(f, {.tolerance = bad}), weakly::option_error);
  CHECK_THROWS_AS(go(f, {.iterations = 0}), weakly::option_error);
  CHECK_THROWS_AS(go(three, {}), weakly::shape_error);
  CHECK(weakly::closed_form_propagation(empty.s, rows(nothing, 4), rows(no_rows, 4)).iterations == 0);
  go(f, {.alpha = 0});
  CHECK(f == y);
}

TEST_CASE("closed_form_propagation gives the stored limits on a citation graph") {
  const auto folder = support::reference_data("graphs/cora");
  if (!folder) return;
  const citations data(*folder);
  const index_t n = data.graph.nodes(), k = citations::classes;
  const walk w(data.graph.plain(), {.by = normalisation::symmetric});
  for (const std::string tag : {"none00", "symm30"}) {
    const auto noisy = golden::read_npy(*folder / "ref" / (tag + "_train_noisy.npy")).as<std::int32_t>();
    std::vector<double> y(std::size_t(n * k)), f(y.size());
    for (std::size_t t = 0; t < data.train.size(); ++t) y[std::size_t(data.train[t] * k + noisy[t])] = 1;
    const auto report = weakly::closed_form_propagation(w.s, rows(y, k), rows(f, k), {.tolerance = 1e-13});
    CHECK(report.not_converged.ok());
    CHECK(report.iterations < 100);
    const auto want = golden::read_npy(*folder / "ref" / (tag + "_zhou_Tinf_first200.npy")).values;
    f.resize(want.size());
    CHECK(greatest_difference(f, want) < 1e-12);
  }
}
