// SPDX-License-Identifier: MIT
#include <weakly/exec/thread_pool.hpp>
#include <weakly/graph/belief_propagation.hpp>
#include <weakly/graph/factor_graph.hpp>
#include <weakly/graph/grid_belief_propagation.hpp>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <utility>
#include <vector>

#include <doctest/doctest.h>

#include "noise/allocations.hpp"

namespace {

using weakly::index_t;
using reals = std::vector<double>;

constexpr double inf = std::numeric_limits<double>::infinity();

std::size_t at(index_t i) { return static_cast<std::size_t>(i); }

/// A grid in double, and what can be said of it in the plainest way.
struct ising_model {
  index_t h, w;
  reals log_odds, right, down;

  ising_model(index_t height, index_t width, double field, double coupling, unsigned seed = 1)
      : h(height),
        w(width),
        log_odds(at(h * w)),
        right(at(h * std::max<index_t>(w - 1, 0))),
        down(at(std::max<index_t>(h - 1, 0) * w)) {
    std::mt19937_64 random(seed);
    std::normal_distribution<double> normal;
    // As floats, so that both types have the same model.
    for (double& x : log_odds) x = static_cast<float>(field * normal(random));
    for (double& x : right) x = static_cast<float>(coupling * normal(random));
    for (double& x : down) x = static_cast<float>(coupling * normal(random));
  }

  double across(index_t i, index_t j) const { return right[at(i * (w - 1) + j)]; }
  double below(index_t i, index_t j) const { return down[at(i * w + j)]; }

  template <class T>
  void give(weakly::grid_belief_propagation<T>& grid) const {
    const std::vector<T> f(log_odds.begin(), log_odds.end()), r(right.begin(), right.end()),
        d(down.begin(), down.end());
    grid.set_model(weakly::view(f.data(), h, w), weakly::view(r.data(), h, std::max<index_t>(w - 1, 0)),
                   weakly::view(d.data(), std::max<index_t>(h - 1, 0), w));
  }

  /// Log odds of the beliefs after some iterations of flooding, messages to (i, j) from left, right, above and below.
  reals flooded(int iterations, double damping) const {
    std::vector<std::array<double, 4>> in(at(h * w)), next;
    const auto message = [](double coupling, double cavity) {
      const double e = std::exp(2 * coupling);
      return cavity > 0 ? std::log((e + std::exp(-cavity)) / (1 + e * std::exp(-cavity)))
                        : std::log((e * std::exp(cavity) + 1) / (std::exp(cavity) + e));
    };
    const auto total = [&](index_t v) {
      return log_odds[at(v)] + in[at(v)][0] + in[at(v)][1] + in[at(v)][2] + in[at(v)][3];
    };
    const auto send = [&](index_t from, std::size_t back, index_t to, std::size_t side, double coupling) {
      const double fresh = message(coupling, total(from) - in[at(from)][back]);
      next[at(to)][side] = (1 - damping) * fresh + damping * in[at(to)][side];
    };
    for (int k = 0; k < iterations; ++k) {
      next = in;
      for (index_t i = 0; i < h; ++i)
        for (index_t j = 0; j < w; ++j) {
          const index_t v = i * w + j;
          if (j + 1 < w) send(v, 1, v + 1, 0, across(i, j)), send(v + 1, 0, v, 1, across(i, j));
          if (i + 1 < h) send(v, 3, v + w, 2, below(i, j)), send(v + w, 2, v, 3, below(i, j));
        }
      in = next;
    }
    reals out;
    for (index_t v = 0; v < h * w; ++v) out.push_back(total(v));
    return out;
  }

  /// Probability of state 1 of each node, and log Z at the end, by trying all states.
  reals enumerated() const {
    const index_t n = h * w;
    reals one(at(n + 1));
    double z = 0;
    for (std::uint64_t x = 0; x < std::uint64_t(1) << n; ++x) {
      const auto is = [&](index_t v) { return (x >> v) & 1; };
      double e = 0;
      for (index_t i = 0; i < h; ++i)
        for (index_t j = 0; j < w; ++j) {
          const index_t v = i * w + j;
          const double f = log_odds[at(v)];
          if (std::isinf(f))
            e += (f > 0) == (is(v) == 1) ? 0 : -inf;
          else if (is(v))
            e += f;
          if (j + 1 < w) e += is(v) == is(v + 1) ? across(i, j) : -across(i, j);
          if (i + 1 < h) e += is(v) == is(v + w) ? below(i, j) : -below(i, j);
        }
      z += std::exp(e);
      for (index_t v = 0; v < n; ++v) one[at(v)] += is(v) ? std::exp(e) : 0;
    }
    for (index_t v = 0; v < n; ++v) one[at(v)] /= z;
    one[at(n)] = std::log(z);
    return one;
  }

  weakly::factor_graph<double> graph() const {
    weakly::factor_graph_builder b;
    b.add_variables(h * w);
    for (index_t v = 0; v < h * w; ++v) b.add_log_odds(v, log_odds[at(v)]);
    for (index_t i = 0; i < h; ++i)
      for (index_t j = 0; j < w; ++j) {
        if (j + 1 < w) b.add_ising(i * w + j, i * w + j + 1, across(i, j));
        if (i + 1 < h) b.add_ising(i * w + j, (i + 1) * w + j, below(i, j));
      }
    return b.freeze();
  }
};

template <class T>
std::vector<T> beliefs_of(const weakly::grid_belief_propagation<T>& grid) {
  std::vector<T> out(at(grid.height() * grid.width()));
  grid.beliefs(weakly::view(out.data(), grid.height(), grid.width()));
  return out;
}

template <class T>
reals log_odds_of(const weakly::grid_belief_propagation<T>& grid) {
  reals out(at(grid.height() * grid.width()));
  grid.belief_log_odds(weakly::view(out.data(), grid.height(), grid.width()));
  return out;
}

template <class A, class B>
double distance(const A& a, const B& b) {
  REQUIRE(a.size() == b.size());
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double d = std::abs(double(a[i]) - double(b[i]));
    most = std::max(most, d == d ? d : inf);
  }
  return most;
}

}  // namespace

TEST_CASE_TEMPLATE("grid_belief_propagation of two nodes by hand", T, float, double) {
  weakly::grid_belief_propagation<T> grid(1, 2);
  const std::vector<T> field{T(std::log(3.0)), 0};
  grid.set_model(weakly::view(field.data(), 1, 2), 0.5 * std::log(4.0));
  const auto result = grid.run({.tolerance = 1e-6});
  CHECK(result.converged);
  // Weights (0,0) 2, (0,1) 1/2, (1,0) 3/2, (1,1) 6.
  const std::vector<T> p = beliefs_of(grid);
  CHECK(p[0] == doctest::Approx(0.75));
  CHECK(p[1] == doctest::Approx(0.65));
  CHECK(grid.log_z() == doctest::Approx(std::log(10.0)));
}

TEST_CASE_TEMPLATE("grid_belief_propagation follows the plain recursion, whatever the width and the damping", T, float,
                   double) {
  for (const index_t h : {1, 2, 3, 5})
    for (const index_t w : {1, 2, 7, 8, 15, 16, 17, 33})
      for (const double damping : {0.0, 0.5, 0.3}) {
        CAPTURE(h);
        CAPTURE(w);
        CAPTURE(damping);
        const ising_model m(h, w, 1, 0.7, unsigned(h * 100 + w));
        weakly::grid_belief_propagation<T> grid(h, w);
        m.give(grid);
        CHECK(grid.uses_ratios());
        grid.run({.damping = damping, .tolerance = 0, .max_iterations = 6});
        CHECK(distance(log_odds_of(grid), m.flooded(6, damping)) < (sizeof(T) == 4 ? 1e-5 : 1e-13));
      }
}

TEST_CASE_TEMPLATE("grid_belief_propagation computes strong couplings in logarithms, and follows the recursion too", T,
                   float, double) {
  for (const index_t w : {1, 9, 33}) {
    ising_model m(4, w, 5, 2);
    m.down[0] = -60;  // the plain recursion overflows above 350
    if (sizeof(T) == 8) m.down[0] = -200;
    weakly::grid_belief_propagation<T> grid(4, w);
    m.give(grid);
    CHECK(!grid.uses_ratios());
    for (const double damping : {0.0, 0.4}) {
      grid.reset();
      grid.run({.damping = damping, .tolerance = 0, .max_iterations = 8});
      CHECK(distance(log_odds_of(grid), m.flooded(8, damping)) < (sizeof(T) == 4 ? 1e-4 : 1e-11));
    }
  }
}

TEST_CASE("grid_belief_propagation takes couplings of any finite size") {
  weakly::grid_belief_propagation<double> grid(1, 3);
  const reals field{3, 0, -2}, right{1e300, -1e300};
  grid.set_model(weakly::view(field.data(), 1, 3), weakly::view(right.data(), 1, 2), weakly::view(field.data(), 0, 3));
  CHECK(grid.run().converged);
  // Equal to the first and unlike the last: log odds 3 + 2 for the first.
  CHECK(distance(log_odds_of(grid), reals{5, 5, -5}) < 1e-12);
}

TEST_CASE("grid_belief_propagation is exact on a row and on a column, log Z included") {
  for (const bool lying : {false, true}) {
    const ising_model m(lying ? 1 : 9, lying ? 9 : 1, 1, 1);
    weakly::grid_belief_propagation<double> grid(m.h, m.w);
    m.give(grid);
    const auto result = grid.run({.tolerance = 1e-13});
    CHECK(result.converged);
    CHECK(result.iterations <= 10);
    reals p = beliefs_of(grid);
    p.push_back(grid.log_z());
    CHECK(distance(p, m.enumerated()) < 1e-13);
  }
}

TEST_CASE("grid_belief_propagation takes infinite log odds as evidence, in both forms") {
  for (const double coupling : {0.3, 250.0}) {
    ising_model m(1, 7, 1, 0.5);
    m.log_odds[1] = inf;
    m.log_odds[4] = -inf;
    m.right[5] = coupling;
    weakly::grid_belief_propagation<double> grid(1, 7);
    m.give(grid);
    CHECK(grid.uses_ratios() == (coupling < 1));
    CHECK(grid.run({.tolerance = 1e-14}).converged);
    reals p = beliefs_of(grid);
    CHECK(p[1] == 1);
    CHECK(p[4] == 0);
    CHECK(log_odds_of(grid)[1] == inf);
    CHECK(log_odds_of(grid)[4] == -inf);
    p.push_back(grid.log_z());
    CHECK(distance(p, m.enumerated()) < 1e-12);
  }
  // What is nearly certain is not: its belief keeps its digits.
  weakly::grid_belief_propagation<float> grid(1, 2);
  const std::vector<float> field{-60, 1};
  grid.set_model(weakly::view(field.data(), 1, 2), 0.0);
  grid.run();
  CHECK(beliefs_of(grid)[0] == doctest::Approx(std::exp(-60.0)).epsilon(1e-5));
}

TEST_CASE_TEMPLATE("grid_belief_propagation gives the beliefs and the log Z of the engine for any graph", T, float,
                   double) {
  const ising_model m(11, 14, 1, 0.4);
  const auto graph = m.graph();
  weakly::belief_propagation<double> engine(graph, {.damping = 0.5, .tolerance = 1e-13});
  CHECK(engine.run().converged);
  reals all(at(graph.all_states())), expected;
  engine.all_beliefs(all);
  for (std::size_t v = 0; v < all.size() / 2; ++v) expected.push_back(all[2 * v + 1]);

  weakly::grid_belief_propagation<T> grid(m.h, m.w);
  m.give(grid);
  const bool single = sizeof(T) == 4;
  const auto result = grid.run({.damping = 0.5, .tolerance = single ? 1e-6 : 1e-13});
  CHECK(result.converged);
  CHECK(result.change <= (single ? 1e-6 : 1e-13));
  CHECK(distance(beliefs_of(grid), expected) < (single ? 1e-6 : 1e-12));
  CHECK(grid.log_z() == doctest::Approx(engine.log_z()).epsilon(single ? 1e-6 : 1e-11));
}

TEST_CASE_TEMPLATE("grid_belief_propagation has the same bits for every executor and layout, and no seam between bands",
                   T, float, double) {
  const index_t h = 500, w = 33, seam = 448;  // the rows of 64 Ki messages
  CHECK(weakly::row_chunks(h, 4 * w).begin(1) == seam);
  const ising_model m(h, w, 1, 0.5);
  weakly::thread_pool pool(3);
  const std::vector<T> f(m.log_odds.begin(), m.log_odds.end()), r(m.right.begin(), m.right.end()),
      d(m.down.begin(), m.down.end());
  std::vector<T> by_column(f.size());
  for (index_t i = 0; i < h; ++i)
    for (index_t j = 0; j < w; ++j) by_column[at(j * h + i)] = f[at(i * w + j)];
  weakly::grid_belief_propagation<T> alone(h, w), together(h, w);
  m.give(alone);
  together.set_model(pool, weakly::view(by_column.data(), h, w, 1, h), weakly::view(r.data(), h, w - 1),
                     weakly::view(d.data(), h - 1, w));
  const weakly::grid_belief_propagation_options options{.damping = 0.5, .tolerance = 0, .max_iterations = 3};
  const auto a = alone.run(options), b = together.run(pool, options);
  CHECK(a.change == b.change);
  CHECK(std::equal(alone.trace().begin(), alone.trace().end(), together.trace().begin(), together.trace().end()));
  std::vector<T> out(f.size()), columns(f.size());
  together.beliefs(pool, weakly::view(columns.data(), h, w, 1, h));
  for (index_t i = 0; i < h; ++i)
    for (index_t j = 0; j < w; ++j) out[at(i * w + j)] = columns[at(j * h + i)];
  CHECK(out == beliefs_of(alone));
  CHECK(alone.log_z() == together.log_z(pool));

  // After three iterations the rows beside the seam know of three rows on either side.
  ising_model around(8, w, 0, 0);
  const auto part = [&](const reals& all, index_t row_size, reals& to) {
    const auto first = all.begin() + static_cast<std::ptrdiff_t>((seam - 4) * row_size);
    std::copy_n(first, to.size(), to.begin());
  };
  part(m.log_odds, w, around.log_odds);
  part(m.right, w - 1, around.right);
  part(m.down, w, around.down);
  const reals plain = around.flooded(3, 0.5), all = log_odds_of(alone);
  for (index_t e = 3 * w; e < 5 * w; ++e)
    CHECK(all[at((seam - 4) * w + e)] == doctest::Approx(plain[at(e)]).epsilon(sizeof(T) == 4 ? 1e-4 : 1e-11));
}

TEST_CASE("grid_belief_propagation with one coupling for all is that with as many equal ones") {
  const index_t h = 6, w = 19;
  ising_model m(h, w, 1, 0);
  std::fill(m.right.begin(), m.right.end(), 0.25);
  std::fill(m.down.begin(), m.down.end(), 0.25);
  for (const double scale : {1.0, 400.0}) {  // as ratios, and in logarithms
    for (double& x : m.right) x *= scale;
    for (double& x : m.down) x *= scale;
    weakly::grid_belief_propagation<double> one(h, w), each(h, w);
    m.give(each);
    one.set_model(weakly::view(m.log_odds.data(), h, w), 0.25 * scale);
    CHECK(one.uses_ratios() == (scale == 1));
    CHECK(each.uses_ratios() == (scale == 1));
    one.run({.max_iterations = 20});
    each.run({.max_iterations = 20});
    CHECK(beliefs_of(one) == beliefs_of(each));
    CHECK(one.log_z() == each.log_z());
  }
}

TEST_CASE(
    "grid_belief_propagation of a transposed grid has transposed beliefs, of a negated field complementary ones") {
  const ising_model m(9, 13, 1, 0.5);
  ising_model t(13, 9, 1, 0.5), negated = m;
  for (index_t i = 0; i < 9; ++i)
    for (index_t j = 0; j < 13; ++j) {
      t.log_odds[at(j * 9 + i)] = m.log_odds[at(i * 13 + j)];
      if (j + 1 < 13) t.down[at(j * 9 + i)] = m.across(i, j);
      if (i + 1 < 9) t.right[at(j * 8 + i)] = m.below(i, j);
    }
  for (double& x : negated.log_odds) x = -x;
  const auto solve = [](const ising_model& model) {
    weakly::grid_belief_propagation<double> grid(model.h, model.w);
    model.give(grid);
    CHECK(grid.run({.damping = 0.5, .tolerance = 1e-13}).converged);
    return beliefs_of(grid);
  };
  const reals p = solve(m), q = solve(t), n = solve(negated);
  for (index_t i = 0; i < 9; ++i)
    for (index_t j = 0; j < 13; ++j) {
      CHECK(q[at(j * 9 + i)] == doctest::Approx(p[at(i * 13 + j)]).epsilon(1e-11));
      CHECK(n[at(i * 13 + j)] == doctest::Approx(1 - p[at(i * 13 + j)]).epsilon(1e-11));
    }
}

TEST_CASE("grid_belief_propagation starts from the messages of the run before, until they are reset") {
  ising_model m(12, 12, 1, 0.4);
  weakly::grid_belief_propagation<double> grid(12, 12), fresh(12, 12);
  m.give(grid);
  const auto cold = grid.run({.tolerance = 1e-10});
  CHECK(cold.converged);
  CHECK(grid.run({.tolerance = 1e-10}).iterations == 1);
  const reals before = beliefs_of(grid);
  m.give(grid);  // the same model
  CHECK(grid.run({.tolerance = 1e-10}).iterations == 1);

  m.log_odds[0] += 0.01;
  m.give(grid);
  const auto warm = grid.run({.tolerance = 1e-10});
  CHECK(warm.converged);
  CHECK(warm.iterations < cold.iterations);
  m.give(fresh);
  fresh.run({.tolerance = 1e-10});
  CHECK(distance(beliefs_of(grid), beliefs_of(fresh)) < 1e-9);

  // From ratios to logarithms and back: messages keep what the couplings allow.
  ising_model strong = m;
  for (double& x : strong.right) x *= 1000;
  strong.give(grid);
  CHECK(!grid.uses_ratios());
  grid.run({.max_iterations = 50});
  m.give(grid);
  CHECK(grid.uses_ratios());
  CHECK(grid.run({.tolerance = 1e-10}).converged);
  CHECK(distance(beliefs_of(grid), beliefs_of(fresh)) < 1e-9);

  grid.reset();
  CHECK(grid.run({.max_iterations = 0}).iterations == 0);
  CHECK(distance(log_odds_of(grid), m.log_odds) == 0);
  CHECK(grid.run({.tolerance = 1e-10}).iterations >= cold.iterations - 2);
}

TEST_CASE("grid_belief_propagation says that it did not converge, and keeps the change of every iteration") {
  const ising_model m(10, 10, 0.1, 3);
  weakly::grid_belief_propagation<double> grid(10, 10);
  m.give(grid);
  const auto result = grid.run({.max_iterations = 40});
  CHECK(!result.converged);
  CHECK(result.iterations == 40);
  CHECK(grid.trace().size() == 40);
  CHECK(grid.trace().back() == result.change);
  CHECK(result.change > 1e-3);
  CHECK(!grid.run({.max_iterations = 0}).converged);
  CHECK(grid.trace().empty());
}

TEST_CASE("grid_belief_propagation allocates at construction, and for the trace of a run longer than all before") {
  const index_t h = 20, w = 30;
  const ising_model m(h, w, 1, 0.3);
  const auto f = weakly::view(m.log_odds.data(), h, w), r = weakly::view(m.right.data(), h, w - 1),
             d = weakly::view(m.down.data(), h - 1, w);
  reals out(at(h * w));
  weakly::grid_belief_propagation<double> grid(h, w);
  grid.set_model(f, r, d);
  grid.run({.tolerance = 0, .max_iterations = 30});
  CHECK(allocations::during([&] {
          grid.reset();
          grid.set_model(f, 0.2);
          grid.run({.damping = 0.3, .tolerance = 0, .max_iterations = 30});
          grid.set_model(f, r, d);
          grid.run({.tolerance = 0, .max_iterations = 20});
          grid.beliefs(weakly::view(out.data(), h, w));
          grid.belief_log_odds(weakly::view(out.data(), h, w));
        }) == 0);
  CHECK(distance(out, m.flooded(50, 0)) < 1e-4);  // nearly converged
}

TEST_CASE("grid_belief_propagation takes grids without nodes and without neighbours") {
  for (const auto& [h, w] : {std::pair<index_t, index_t>(0, 0), {0, 5}, {5, 0}}) {
    weakly::grid_belief_propagation<float> grid(h, w);
    grid.set_model(weakly::view(static_cast<const float*>(nullptr), h, w), 1.0);
    const auto result = grid.run();
    CHECK(result.converged);
    CHECK(result.iterations == 0);
    CHECK(grid.log_z() == 0);
    CHECK(beliefs_of(grid).empty());
  }
  weakly::grid_belief_propagation<double> one(1, 1);
  const double field = 2;
  one.set_model(weakly::view(&field, 1, 1), 3.0);
  CHECK(one.run().converged);
  CHECK(beliefs_of(one)[0] == doctest::Approx(1 / (1 + std::exp(-2.0))).epsilon(1e-15));
  CHECK(one.log_z() == doctest::Approx(std::log(1 + std::exp(2.0))).epsilon(1e-15));
}

TEST_CASE("grid_belief_propagation refuses what is no model and keeps the one it has") {
  weakly::grid_belief_propagation<float> grid(3, 4);
  ising_model m(3, 4, 1, 0.5);
  m.give(grid);
  grid.run();
  const std::vector<float> before = beliefs_of(grid);
  const auto refuses = [&](reals& where, std::size_t place, double value) {
    const double kept = std::exchange(where[place], value);
    CHECK_THROWS_AS(m.give(grid), weakly::value_error);
    where[place] = kept;
  };
  refuses(m.log_odds, 5, std::nan(""));
  refuses(m.right, 2, inf);
  refuses(m.down, 7, std::nan(""));
  const std::vector<float> f(12);
  const auto view = weakly::view(f.data(), 3, 4), narrow = weakly::view(f.data(), 3, 3),
             low = weakly::view(f.data(), 2, 4);
  CHECK_THROWS_AS(grid.set_model(narrow, 1.0), weakly::shape_error);
  CHECK_THROWS_AS(grid.set_model(view, view, low), weakly::shape_error);
  CHECK_THROWS_AS(grid.set_model(view, narrow, view), weakly::shape_error);
  CHECK_THROWS_AS(grid.set_model(view, inf), weakly::value_error);
  CHECK_THROWS_AS(grid.set_model(view, std::nan("")), weakly::value_error);
  for (const double damping : {-0.1, 1.0, std::nan("")})
    CHECK_THROWS_AS(grid.run({.damping = damping}), weakly::option_error);
  for (const double tolerance : {-1.0, std::nan("")})
    CHECK_THROWS_AS(grid.run({.tolerance = tolerance}), weakly::option_error);
  CHECK_THROWS_AS(grid.run({.max_iterations = -1}), weakly::option_error);
  std::vector<float> out(9);
  CHECK_THROWS_AS(grid.beliefs(weakly::view(out.data(), 3, 3)), weakly::shape_error);
  CHECK_THROWS_AS(weakly::grid_belief_propagation<float>(-1, 3), weakly::shape_error);
  CHECK(beliefs_of(grid) == before);

  m.log_odds[7] = std::nan("");
  CHECK_THROWS_WITH_AS(m.give(grid), doctest::Contains("log_odds is nan at row 1, column 3"), weakly::value_error);
}
