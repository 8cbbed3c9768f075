// SPDX-License-Identifier: MIT
#include "enumerated_model.hpp"

#include "../sanitizer.hpp"
#include "../support.hpp"

#include <weakly/exec/thread_pool.hpp>
#include <weakly/graph/belief_propagation.hpp>
#include <weakly/graph/spanning_tree_weights.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

using enumerated::beliefs_of;
using enumerated::distance;
using enumerated::inf;
using enumerated::model;
using enumerated::random_loopy;
using enumerated::spin_grid;
using weakly::belief_propagation;
using weakly::belief_propagation_options;
using weakly::factor_graph;
using weakly::factor_graph_builder;
using weakly::index_t;
using weakly::propagation_schedule;

namespace {

template <class T>
bool same_bits(std::span<const T> a, std::span<const T> b) {
  return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin());
}

constexpr propagation_schedule all_schedules[] = {
    propagation_schedule::flooding, propagation_schedule::sequential, propagation_schedule::coloured,
    propagation_schedule::random_sequential, propagation_schedule::residual};

}  // namespace

TEST_CASE("belief_propagation of two spins and one coupling") {
  factor_graph_builder b;
  b.add_variables(2);
  b.add_log_odds(0, std::log(3.0));
  b.add_ising(0, 1, 0.5 * std::log(2.0));  // agreeing pairs weigh twice as much
  const auto graph = b.freeze();
  belief_propagation bp(graph);
  CHECK(bp.run().converged);
  const auto p = beliefs_of(bp);
  // 1 x sqrt 2 | 1 / sqrt 2 ; 3 / sqrt 2 | 3 sqrt 2: of 12 / sqrt 2 the second spin is up in 7.
  CHECK(p[1] == doctest::Approx(0.75).epsilon(1e-14));
  CHECK(p[3] == doctest::Approx(7.0 / 12).epsilon(1e-14));
  CHECK(bp.log_z() == doctest::Approx(std::log(12 / std::sqrt(2.0))).epsilon(1e-14));
  CHECK(bp.log_z_messages() == doctest::Approx(std::log(12 / std::sqrt(2.0))).epsilon(1e-14));
}

TEST_CASE("belief_propagation is exact on forests with every kind of factor, at every temperature and schedule") {
  for (int round = 0; round < support::rounds(120); ++round) {
    CAPTURE(round);
    const bool hard = round % 2 == 1;
    const model m = enumerated::random_forest(unsigned(round), hard, round % 3 == 0);
    const auto graph = m.builder.freeze();
    for (const double temperature : {1.0, 0.0, 0.4, 2.5}) {
      CAPTURE(temperature);
      const auto exact = enumerated::solve(m, temperature);
      if (exact.log_z == -inf) {
        belief_propagation bp(graph, {.temperature = temperature});
        CHECK_THROWS_AS(bp.run(), weakly::value_error);
        continue;
      }
      const auto check = [&](belief_propagation<double>& bp) {
        CHECK(distance(beliefs_of(bp), exact.beliefs) < 1e-10);
        CHECK(bp.log_z_messages() == doctest::Approx(exact.log_z).epsilon(1e-10));
        if (temperature > 0) CHECK(bp.log_z() == doctest::Approx(exact.log_z).epsilon(1e-10));
      };
      belief_propagation bp(graph, {.temperature = temperature});
      const auto report = bp.run();
      CHECK(report.converged);
      CHECK(report.iterations == 0);
      check(bp);
      for (const auto schedule : all_schedules) {
        CAPTURE(int(schedule));
        belief_propagation by_passes(graph, {.temperature = temperature,
                                             .schedule = schedule,
                                             .damping = round % 5 == 0 ? 0.3 : 0.0,
                                             .tolerance = 1e-12,
                                             .max_iterations = 400,
                                             .solve_trees = false});
        CHECK(by_passes.run().converged);
        check(by_passes);
      }
    }
  }
}

namespace {

/// The same model with a table in the place of every factor.
factor_graph<double> as_tables(const model& m, const factor_graph<double>& graph) {
  factor_graph_builder b;
  for (std::size_t v = 0; v < m.states.size(); ++v) {
    b.add_variable(m.states[v]);
    b.add_unary(index_t(v), m.unary[v]);
  }
  // In the order of positions, so that the sequential schedule goes the same way.
  for (index_t p = 0; p < graph.positions(); ++p) {
    const auto& f = m.factors[std::size_t(graph.factor_at(p))];
    std::vector<double> table;
    std::vector<index_t> x(f.scope.size(), 0);
    for (;;) {
      table.push_back(f.log_weight(x));
      std::size_t s = x.size();
      while (s > 0 && ++x[s - 1] == m.states[std::size_t(f.scope[s - 1])]) x[--s] = 0;
      if (s == 0) break;
    }
    b.add_log_table(f.scope, table);
  }
  return b.freeze();
}

}  // namespace

TEST_CASE("belief_propagation with typed factors goes the way of the same tables, pass by pass") {
  for (int round = 0; round < support::rounds(20); ++round) {
    CAPTURE(round);
    const model m = random_loopy(unsigned(round), round % 2 == 1, round % 3 == 0 ? 3 : 0.7);
    const auto typed = m.builder.freeze();
    const auto tables = as_tables(m, typed);
    for (const double temperature : {1.0, 0.0, 0.6})
      for (const double damping : {0.0, 0.3, 0.5}) {
        CAPTURE(temperature);
        CAPTURE(damping);
        const belief_propagation_options options{.temperature = temperature,
                                                 .damping = damping,
                                                 .tolerance = 0,
                                                 .measure = weakly::convergence_measure::log_message,
                                                 .max_iterations = 6};
        belief_propagation a(typed, options), b(tables, options);
        // Evidence that the hard factors allow, in half of the rounds.
        if (round % 4 >= 2) {
          a.clamp(0, 1);
          b.clamp(0, 1);
          a.soft_evidence(9, {0, -1, 2});
          b.soft_evidence(9, {0, -1, 2});
        }
        a.run();
        b.run();
        CHECK(distance(beliefs_of(a), beliefs_of(b)) < 1e-11);
        CHECK(a.log_z_messages() == doctest::Approx(b.log_z_messages()).epsilon(1e-11));
        if (temperature > 0) CHECK(a.log_z() == doctest::Approx(b.log_z()).epsilon(1e-11));
        for (std::size_t i = 0; i < a.trace().size(); ++i)
          if (std::isfinite(b.trace()[i])) CHECK(a.trace()[i] == doctest::Approx(b.trace()[i]).epsilon(1e-8));
      }
  }
}

TEST_CASE("belief_propagation reaches the same fixed point by every schedule, damping, form and number") {
  for (int round = 0; round < support::rounds(10); ++round) {
    CAPTURE(round);
    const model m = random_loopy(unsigned(100 + round), round % 2 == 1, 0.4);
    const auto graph = m.builder.freeze();
    belief_propagation reference(graph, {.damping = 0.3, .tolerance = 1e-14, .max_iterations = 2000});
    REQUIRE(reference.run().converged);
    const auto expected = beliefs_of(reference);
    CHECK(reference.log_z() == doctest::Approx(reference.log_z_messages()).epsilon(1e-12));
    for (const auto schedule : all_schedules)
      for (const double damping : {0.0, 0.6})
        for (const auto measure : {weakly::convergence_measure::message_probability,
                                   weakly::convergence_measure::log_message, weakly::convergence_measure::belief}) {
          CAPTURE(int(schedule));
          CAPTURE(damping);
          belief_propagation bp(graph, {.schedule = schedule,
                                        .damping = damping,
                                        .tolerance = 1e-12,
                                        .measure = measure,
                                        .max_iterations = 2000,
                                        .seed = 7});
          const auto report = bp.run();
          REQUIRE(report.converged);
          CHECK(report.change <= 1e-12);
          CHECK(report.iterations == index_t(bp.trace().size()));
          CHECK(distance(beliefs_of(bp), expected) < 1e-10);
        }
    const auto small = m.builder.freeze<float>();
    belief_propagation<float> in_float(small, {.damping = 0.3, .tolerance = 1e-6, .max_iterations = 2000});
    REQUIRE(in_float.run().converged);
    CHECK(distance(beliefs_of(in_float), expected) < 2e-5);
    CHECK(in_float.log_z() == doctest::Approx(reference.log_z()).epsilon(1e-5));
  }
}

TEST_CASE_TEMPLATE("belief_propagation of spins in ratios goes the way of log odds", T, float, double) {
  const double slack = sizeof(T) == 4 ? 2e-5 : 1e-12;
  for (const double coupling : {0.2, 1.0})
    for (const double damping : {0.0, 0.5})
      for (const auto measure :
           {weakly::convergence_measure::message_probability, weakly::convergence_measure::log_message}) {
        const auto graph = spin_grid(13, coupling, 1, 5).freeze<T>();
        belief_propagation_options options{
            .damping = damping, .tolerance = 0, .measure = measure, .max_iterations = 8, .ratios = true};
        belief_propagation<T> ratios(graph, options);
        options.ratios = false;
        belief_propagation<T> log_odds(graph, options);
        ratios.run();
        log_odds.run();
        CHECK(distance(beliefs_of(ratios), beliefs_of(log_odds)) < slack);
        CHECK(!same_bits(ratios.messages(), log_odds.messages()));
        for (std::size_t i = 0; i < 8; ++i)
          CHECK(ratios.trace()[i] == doctest::Approx(log_odds.trace()[i]).epsilon(sizeof(T) == 4 ? 1e-3 : 1e-9));
      }
  // Evidence: fields that no ratio can hold.
  const auto known = spin_grid(7, 1, 1, 9).freeze<T>();
  belief_propagation<T> a(known, {.damping = 0.5, .tolerance = 0, .max_iterations = 9, .ratios = true}),
      b(known, {.damping = 0.5, .tolerance = 0, .max_iterations = 9, .ratios = false});
  for (auto* bp : {&a, &b}) {
    bp->clamp(24, 1);
    bp->clamp(10, 0);
    bp->soft_evidence(40, {0, 1000});
    bp->run();
  }
  CHECK(!same_bits(a.messages(), b.messages()));
  CHECK(distance(beliefs_of(a), beliefs_of(b)) < slack);
  CHECK(beliefs_of(a)[49] == 1);
  CHECK(a.log_z() == doctest::Approx(b.log_z()).epsilon(sizeof(T) == 4 ? 1e-5 : 1e-12));
  // One with more neighbours than are treated together, who are neighbours too, and some that have none.
  factor_graph_builder wheel;
  wheel.add_variables(1543);
  for (index_t v = 0; v < 1500; ++v) wheel.add_log_odds(v, 0.1 * double(v % 7 - 3));
  for (index_t v = 1; v < 1500; ++v) {
    wheel.add_ising(v % 2 == 0 ? 0 : v, v % 2 == 0 ? v : 0, v % 3 == 0 ? 0.02 : -0.02);
    wheel.add_ising(v, v % 1499 + 1, 0.1);
  }
  const auto spokes = wheel.freeze<T>();
  belief_propagation<T> turning(spokes, {.tolerance = 0, .max_iterations = 7, .ratios = true}),
      standing(spokes, {.tolerance = 0, .max_iterations = 7, .ratios = false});
  turning.run();
  standing.run();
  CHECK(!same_bits(turning.messages(), standing.messages()));
  CHECK(distance(beliefs_of(turning), beliefs_of(standing)) < slack);
  // Where a product could overflow, ratios are not used.
  const auto strong = spin_grid(6, 40, 1, 6).freeze<T>();
  belief_propagation<T> with(strong, {.damping = 0.5, .tolerance = 0, .max_iterations = 20}),
      without(strong, {.damping = 0.5, .tolerance = 0, .max_iterations = 20, .ratios = false});
  with.run();
  without.run();
  CHECK(distance(beliefs_of(with), beliefs_of(without)) < (sizeof(T) == 4 ? 1e-3 : 1e-9));
}

TEST_CASE("belief_propagation sends the Ising message of a long double table up to couplings of 40") {
  std::vector<double> theta;
  for (const double t : {0.0, 1e-9, 0.3, 2.0, 17.0, 36.0, 80.0, 600.0}) {
    theta.push_back(t);
    theta.push_back(-t);
  }
  for (const double j : {1e-6, 0.1, 1.0, 10.0, 15.0, 18.0, 25.0, 40.0, 400.0})
    for (const double sign : {1.0, -1.0})
      for (const double t : theta) {
        CAPTURE(j * sign);
        CAPTURE(t);
        const auto log_add = [](long double a, long double b) {
          return std::max(a, b) + std::log1p(std::exp(-std::abs(a - b)));
        };
        const long double jl = (long double)(j * sign), tl = (long double)(t);
        const double expected = double(log_add(-jl, jl + tl) - log_add(jl, tl - jl));
        factor_graph_builder b;
        b.add_variables(2);
        b.add_log_odds(0, t);
        b.add_ising(0, 1, j * sign);
        const auto graph = b.freeze();
        for (const bool trees : {true, false})
          for (const bool ratios : {true, false}) {
            belief_propagation bp(graph, {.tolerance = 0, .max_iterations = 2, .solve_trees = trees, .ratios = ratios});
            bp.run();
            CHECK(std::abs(bp.messages()[1] - expected) <= 1e-14 * std::abs(expected) + 4e-16);
          }
      }
}

TEST_CASE("belief_propagation conditions on evidence, takes it back, and starts warm") {
  for (int round = 0; round < support::rounds(40); ++round) {
    CAPTURE(round);
    model m = enumerated::random_forest(unsigned(500 + round), round % 2 == 1, false);
    const auto graph = m.builder.freeze();
    const auto before = enumerated::solve(m, 1);
    if (before.log_z == -inf) continue;
    belief_propagation bp(graph);
    bp.run();
    // The most probable state of a variable has mass.
    const index_t v = round % graph.variables();
    std::vector<double> b(std::size_t(graph.states(v)));
    bp.beliefs(v, b);
    const index_t x = std::max_element(b.begin(), b.end()) - b.begin();
    std::vector<double> only(b.size(), -inf), some(std::size_t(graph.states(0)), 0.0);
    only[std::size_t(x)] = 0;
    some[0] = 1.5;
    bp.clamp(v, x);
    bp.soft_evidence(0, some);
    bp.run();
    model conditioned = m;
    conditioned.weigh(v, only);
    conditioned.weigh(0, some);
    const auto exact = enumerated::solve(conditioned, 1);
    CHECK(distance(beliefs_of(bp), exact.beliefs) < 1e-10);
    CHECK(bp.log_z() == doctest::Approx(exact.log_z).epsilon(1e-10));
    bp.beliefs(v, b);
    CHECK(b[std::size_t(x)] == 1);
    bp.release(v);
    bp.release(0);
    bp.run();
    CHECK(distance(beliefs_of(bp), before.beliefs) < 1e-10);
    bp.clamp(v, x);
    bp.clear_evidence();
    bp.run();
    CHECK(distance(beliefs_of(bp), before.beliefs) < 1e-10);
  }

  const auto graph = spin_grid(8, 0.3, 1, 3).freeze();
  belief_propagation cold(graph, {.tolerance = 1e-10});
  const auto first = cold.run();
  REQUIRE(first.converged);
  CHECK(first.iterations > 3);
  CHECK(cold.run().iterations == 1);
  belief_propagation warm(graph, {.tolerance = 1e-10});
  warm.set_messages(cold.messages());
  CHECK(warm.run().iterations == 1);
  warm.reset();
  CHECK(warm.run().iterations == first.iterations);
}

TEST_CASE("belief_propagation with clamped spins, soft factors and cycles agrees with tables that leave them out") {
  model m = random_loopy(4, false, 0.5);
  std::vector<double> only{-inf, 0};
  const auto graph = m.builder.freeze();
  for (const double temperature : {1.0, 0.5, 0.0}) {
    const belief_propagation_options options{
        .temperature = temperature, .damping = 0.5, .tolerance = 1e-13, .max_iterations = 3000};
    belief_propagation bp(graph, options);
    bp.clamp(3, 1);
    bp.clamp(9, 2);
    REQUIRE(bp.run().converged);
    const auto tables = as_tables(m, graph);
    belief_propagation other(tables, options);
    other.clamp(3, 1);
    other.clamp(9, 2);
    other.run();
    CHECK(distance(beliefs_of(bp), beliefs_of(other)) < 1e-10);
    CHECK(bp.log_z_messages() == doctest::Approx(other.log_z_messages()).epsilon(1e-10));
    if (temperature > 0) CHECK(bp.log_z() == doctest::Approx(bp.log_z_messages()).epsilon(1e-9));
    CHECK(beliefs_of(bp)[6] == 0);
    CHECK(beliefs_of(bp)[7] == 1);
  }
}

TEST_CASE_TEMPLATE("belief_propagation has the same bits for 1, 2 and 5 threads", T, float, double) {
  weakly::thread_pool two(2), five(5);
  // Enough factors of each kind for more than one task.
  std::mt19937_64 random(9);
  std::normal_distribution<double> normal;
  factor_graph_builder mixed;
  const index_t n = support::sanitized ? 1500 : 4500;
  for (index_t v = 0; v < n; ++v) mixed.add_variable(v % 3 == 0 ? 3 : 2);
  const auto binary = [&] { return index_t(random() % (n / 3)) * 3 + 1 + index_t(random() % 2); };
  const auto ternary = [&] { return index_t(random() % (n / 3)) * 3; };
  for (index_t f = 0; f < n; ++f) {
    const index_t a = binary(), b = binary(), c = ternary(), d = ternary();
    if (a == b || c == d) continue;
    std::vector<double> w(12);
    for (double& x : w) x = 0.3 * normal(random);
    mixed.add_log_table({a, c, b}, w);
    mixed.add_ising(a, b, 0.2 * normal(random));
    mixed.add_potts(c, d, 0.2 * normal(random));
    if (f % 8 == 0) mixed.add_count({a, b, (a + 3) % n == b ? (b + 3) % n : (a + 3) % n}, {0, 0.1, 0.2, -0.1});
  }
  const auto spins = spin_grid(support::sanitized ? 150 : 200, 0.2, 1, 8).template freeze<T>();
  const auto kinds = mixed.template freeze<T>();
  for (const factor_graph<T>* graph : {&spins, &kinds})
    for (const auto schedule : {propagation_schedule::flooding, propagation_schedule::coloured})
      for (const bool ratios : {true, false}) {
        if (ratios && (graph != &spins || schedule != propagation_schedule::flooding)) continue;
        if (schedule == propagation_schedule::coloured && graph == &spins) continue;
        const belief_propagation_options options{
            .schedule = schedule, .tolerance = 0, .max_iterations = 2, .ratios = ratios};
        belief_propagation<T> a(*graph, options), b(*graph, options), c(*graph, options);
        a.run();
        b.run(two);
        c.run(five);
        CHECK(same_bits(a.messages(), b.messages()));
        CHECK(same_bits(a.messages(), c.messages()));
        CHECK(same_bits(a.trace(), b.trace()));
        CHECK(same_bits(a.trace(), c.trace()));
      }
}

TEST_CASE_TEMPLATE("belief_propagation of spins in ratios keeps few bytes a directed edge", T, float, double) {
  const index_t side = 300;
  const auto graph = spin_grid(side, 0.2, 1, 3).template freeze<T>();
  belief_propagation<T> bp(graph, {.tolerance = 0, .max_iterations = 2});
  bp.run();
  const double bytes = double(graph.memory() + bp.memory()) / double(graph.edges());
  CAPTURE(bytes);
  CHECK(bytes <= (sizeof(T) == 4 ? 31 : 48.5));
}

TEST_CASE("belief_propagation does not claim convergence that is none") {
  // Strong frustrated couplings and hardly any field.
  const auto graph = spin_grid(10, 4, 0.1, 2).freeze();
  for (const auto schedule : all_schedules) {
    CAPTURE(int(schedule));
    belief_propagation bp(graph, {.schedule = schedule, .tolerance = 1e-9, .max_iterations = 60});
    const auto report = bp.run();
    CHECK(!report.converged);
    CHECK(report.iterations == 60);
    CHECK(report.change > 1e-9);
    CHECK(bp.trace().back() == report.change);
  }
  // Damping makes small steps of a pass; the distance from a fixed point stays what it is.
  for (const auto measure : {weakly::convergence_measure::message_probability, weakly::convergence_measure::log_message,
                             weakly::convergence_measure::belief}) {
    belief_propagation damped(graph, {.damping = 0.9999, .tolerance = 1e-3, .measure = measure, .max_iterations = 5});
    CHECK(!damped.run().converged);
  }
  belief_propagation none(graph, {.max_iterations = 0});
  CHECK(!none.run().converged);
}

#if WEAKLY_HAS_EXCEPTIONS
TEST_CASE("belief_propagation names the factor of a contradiction") {
  const auto message = [](const factor_graph_builder& b, auto evidence, propagation_schedule schedule) {
    const auto graph = b.freeze();
    belief_propagation bp(graph, {.schedule = schedule, .solve_trees = false});
    evidence(bp);
    try {
      bp.run();
    } catch (const weakly::value_error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  for (const auto schedule : all_schedules) {
    factor_graph_builder b;
    b.add_variables(3);
    b.add_ising(1, 2, 0.1);
    b.add_equality({0, 1});
    const auto says = message(
        b,
        [](auto& bp) {
          bp.clamp(0, 0);
          bp.clamp(1, 1);
        },
        schedule);
    CHECK(says.find("factor 1") != std::string::npos);

    factor_graph_builder c;
    c.add_variables(3);
    c.add_exactly_one({0, 1, 2});
    CHECK(message(
              c,
              [](auto& bp) {
                for (int v = 0; v < 3; ++v) bp.clamp(v, 0);
              },
              schedule)
              .find("factor 0") != std::string::npos);
    factor_graph_builder t;
    t.add_variables(2, 3);
    t.add_table({0, 1}, {1, 1, 0, 1, 1, 0, 1, 1, 1});
    CHECK(message(
              t,
              [](auto& bp) {
                bp.clamp(0, 1);
                bp.clamp(1, 2);
              },
              schedule)
              .find("factor 0") != std::string::npos);
  }
  factor_graph_builder none;
  none.add_variable();
  none.add_unary(0, {-inf, -inf});
  CHECK(message(
            none, [](auto&) {}, propagation_schedule::flooding)
            .find("variable 0") != std::string::npos);
}
#endif

TEST_CASE("belief_propagation keeps hard zeros apart: parity checks around a cycle, damped") {
  // x0 + x1, x1 + x2, ..., x5 + x0 even or odd: two assignments are left; evidence leaves one.
  for (const double damping : {0.0, 0.5})
    for (const auto schedule : all_schedules) {
      factor_graph_builder b;
      b.add_variables(6);
      for (index_t v = 0; v < 6; ++v) {
        const bool odd = v % 2 == 1 || v == 0;
        b.add_table({v, (v + 1) % 6}, odd ? weakly::factor_weights{0, 1, 1, 0} : weakly::factor_weights{1, 0, 0, 1});
      }
      const auto graph = b.freeze();
      belief_propagation bp(graph, {.schedule = schedule, .damping = damping});
      bp.clamp(2, 1);
      CHECK(bp.run().converged);
      // From x2 = 1: x3 = 1, x4 = 0, x5 = 0, x0 = 1, x1 = 0.
      std::vector<int> states(6);
      CHECK(bp.map_states(states) == 0);
      CHECK(states == std::vector<int>{1, 0, 1, 1, 0, 0});
      const auto p = beliefs_of(bp);
      for (std::size_t v = 0; v < 6; ++v) CHECK(p[2 * v + std::size_t(states[v])] == 1);
      CHECK(bp.log_z() == doctest::Approx(0));
      CHECK(bp.log_z_messages() == doctest::Approx(0));
    }
}

TEST_CASE("belief_propagation decodes ties to the lowest state and returns the score of what it decoded") {
  factor_graph_builder b;
  b.add_variables(2, 3);
  b.add_potts(0, 1, -1);
  const auto graph = b.freeze();
  belief_propagation bp(graph, {.temperature = weakly::max_product});
  bp.run();
  std::vector<long> states(2, 7);
  CHECK(bp.map_states(states) == -1);  // both states 0: each is best alone, together they are not
  CHECK(states == std::vector<long>{0, 0});

  for (int round = 0; round < support::rounds(40); ++round) {
    const model m = enumerated::random_forest(unsigned(900 + round), round % 2 == 0, false);
    const auto exact = enumerated::solve(m, 0);
    if (exact.log_z == -inf) continue;
    const auto forest = m.builder.freeze();
    belief_propagation best(forest, {.temperature = weakly::max_product});
    best.run();
    std::vector<index_t> x(m.states.size());
    const double score = best.map_states(x);
    CHECK(score == doctest::Approx(m.log_weight(x)));
    CHECK(score == doctest::Approx(exact.log_z).epsilon(1e-12));
    CHECK(forest.log_weight(x) == doctest::Approx(score));
  }
}

TEST_CASE("belief_propagation gives the beliefs of factors") {
  for (int round = 0; round < support::rounds(30); ++round) {
    const model m = enumerated::random_forest(unsigned(1300 + round), round % 2 == 0, false);
    const auto graph = m.builder.freeze();
    const auto exact = enumerated::solve(m, 1);
    if (exact.log_z == -inf) continue;
    belief_propagation bp(graph);
    bp.run();
    for (std::size_t f = 0; f < m.factors.size(); ++f) {
      std::size_t size = 1;
      for (const index_t v : m.factors[f].scope) size *= std::size_t(m.states[std::size_t(v)]);
      std::vector<double> expected(size, 0.0), b(size);
      m.each([&](const std::vector<index_t>& x) {
        std::size_t e = 0;
        for (const index_t v : m.factors[f].scope)
          e = e * std::size_t(m.states[std::size_t(v)]) + std::size_t(x[std::size_t(v)]);
        expected[e] += std::exp(m.log_weight(x) - exact.log_z);
      });
      bp.factor_beliefs(index_t(f), b);
      CHECK(distance(b, expected) < 1e-10);
    }
  }
  factor_graph_builder b;
  b.add_variables(2);
  b.add_table({}, {2});
  b.add_table({1}, {1, 3});
  b.add_ising(0, 1, 0.5);
  const auto graph = b.freeze();
  belief_propagation bp(graph);
  bp.run();
  std::vector<double> one(1), two(2);
  bp.factor_beliefs(0, one);
  CHECK(one[0] == 1);
  bp.factor_beliefs(1, two);
  CHECK(two[1] == doctest::Approx(0.75));
  CHECK(bp.log_z() == doctest::Approx(std::log(2 * 4 * 2 * std::cosh(0.5))));
}

TEST_CASE("belief_propagation with factor weights: ones are none, tree-reweighted log Z is an upper bound") {
  for (int round = 0; round < support::rounds(20); ++round) {
    CAPTURE(round);
    model m;
    std::mt19937_64 random{unsigned(round)};
    std::normal_distribution<double> normal;
    const bool binary = round % 2 == 0;
    for (int v = 0; v < 9; ++v) {
      m.variable(binary ? 2 : 2 + v % 2);
      std::vector<double> w(std::size_t(m.states.back()));
      for (double& x : w) x = normal(random);
      m.weigh(v, w);
    }
    const double strength = round % 3 == 0 ? 0.5 : 1.5;
    const auto link = [&](index_t a, index_t b) {
      std::vector<double> w(std::size_t(m.states[std::size_t(a)] * m.states[std::size_t(b)]));
      for (double& x : w) x = strength * normal(random);
      if (binary && (a + b) % 3 == 0)
        m.ising(a, b, w[0]);
      else
        m.table({a, b}, w);
    };
    for (index_t r = 0; r < 3; ++r)
      for (index_t c = 0; c < 3; ++c) {
        if (c < 2) link(3 * r + c, 3 * r + c + 1);
        if (r < 2) link(3 * r + c, 3 * r + c + 3);
      }
    const auto graph = m.builder.freeze();
    const double exact = enumerated::solve(m, 1).log_z;
    const belief_propagation_options options{.damping = 0.5, .tolerance = 1e-11, .max_iterations = 5000};
    belief_propagation plain(graph, options), ones(graph, options), trees(graph, options);
    plain.run();
    ones.set_factor_weights(std::vector<double>(12, 1.0));
    ones.run();
    CHECK(same_bits(plain.messages(), ones.messages()));

    std::vector<double> rho(12);
    weakly::spanning_tree_weights(graph, rho, 30, 3);
    trees.set_factor_weights(rho);
    for (const auto schedule : all_schedules) {
      CAPTURE(int(schedule));
      auto other = options;
      other.schedule = schedule;
      trees.set_options(other);
      trees.reset();
      REQUIRE(trees.run().converged);
      CHECK(trees.log_z() >= exact - 1e-9);
      CHECK(trees.log_z() == doctest::Approx(trees.log_z_messages()).epsilon(1e-8));
    }
  }
}

TEST_CASE("belief_propagation survives weights near the ends of the range of numbers") {
  // A star of 300 leaves whose tables are scaled by 1e-8, and a hub that all of them push one way.
  factor_graph_builder b;
  b.add_variables(301);
  for (index_t leaf = 1; leaf <= 300; ++leaf) {
    b.add_table({0, leaf}, {3e-8, 1e-8, 1e-8, 2e-8});
    b.add_unary(leaf, {0, -5});
  }
  const auto graph = b.freeze();
  belief_propagation bp(graph), flooded(graph, {.solve_trees = false});
  bp.run();
  CHECK(flooded.run().converged);
  // Of a leaf: 3 + e^-5 against 1 + 2 e^-5, to the power of 300.
  const double each = std::log((1 + 2 * std::exp(-5.0)) / (3 + std::exp(-5.0)));
  const double log_z = 300 * (std::log(3 + std::exp(-5.0)) + std::log(1e-8)) + std::log1p(std::exp(300 * each));
  CHECK(bp.log_z() == doctest::Approx(log_z).epsilon(1e-13));
  CHECK(flooded.log_z_messages() == doctest::Approx(log_z).epsilon(1e-13));
  CHECK(std::log(beliefs_of(bp)[1]) == doctest::Approx(300 * each).epsilon(1e-12));

  // Products that underflow, beside zeros: what matters is found again in logarithms.
  factor_graph_builder far;
  far.add_variables(3, 3);
  std::vector<double> w(27, -inf);
  w[0] = 0;
  w[13] = -900;
  w[26] = -800;
  w[5] = -1200;
  far.add_log_table({0, 1, 2}, w);
  far.add_unary(0, {-1000, 0, -500});
  const auto wide = far.freeze();
  belief_propagation c(wide, {.solve_trees = false}), d(wide);
  c.run();
  d.run();
  // -1000, -900, -1300 and -2200
  CHECK(beliefs_of(c)[1] == doctest::Approx(1));
  CHECK(c.log_z() == doctest::Approx(-900).epsilon(1e-12));
  CHECK(std::log(beliefs_of(c)[0]) == doctest::Approx(-100).epsilon(1e-12));
  CHECK(distance(beliefs_of(c), beliefs_of(d)) < 1e-15);
}

TEST_CASE("belief_propagation: log Z is exact on a star of 300 leaves, whatever their weights") {
  for (const double size : {1.0, 20.0}) {
    std::mt19937_64 random(11);
    std::normal_distribution<double> normal(0, size);
    factor_graph_builder b;
    b.add_variable(3);
    std::vector<double> hub(3, 0.0);
    for (index_t leaf = 1; leaf <= 300; ++leaf) {
      const index_t c = b.states(b.add_variable(2 + leaf % 3));
      std::vector<double> w(std::size_t(3 * c));
      for (double& x : w) x = normal(random);
      b.add_log_table({0, leaf}, w);
      for (std::size_t x = 0; x < 3; ++x) {
        long double sum = 0;
        for (index_t y = 0; y < c; ++y) sum += std::exp((long double)(w[x * std::size_t(c) + std::size_t(y)]));
        hub[x] += double(std::log(sum));
      }
    }
    // So that the hub has a choice: what it hears is large and cancels.
    b.add_unary(0, {-hub[0], 0.5 - hub[1], 1 - hub[2]});
    const double log_z = std::log(1 + std::exp(0.5) + std::exp(1.0));
    const auto graph = b.freeze();
    belief_propagation bp(graph);
    bp.run();
    CHECK(std::abs(bp.log_z() - log_z) < 1e-10 * size);
    CHECK(std::abs(bp.log_z_messages() - log_z) < 1e-10 * size);
  }
}

TEST_CASE_TEMPLATE("belief_propagation with evidence, couplings and messages near the ends of T has no NaN", T, float,
                   double) {
  const double huge = 1.7e308;
  factor_graph_builder b;
  b.add_variables(3);
  b.add_ising(0, 1, huge);
  b.add_ising(0, 1, huge);
  b.add_ising(1, 2, -huge);
  b.add_ising(0, 2, 0.5);
  const auto graph = b.freeze<T>();
  for (const auto schedule : all_schedules)
    for (const double temperature : {1.0, 0.0}) {
      belief_propagation<T> bp(graph, {.temperature = temperature, .schedule = schedule, .max_iterations = 20});
      for (int times = 0; times < 2; ++times) bp.soft_evidence(0, {-huge, huge});
      bp.soft_evidence(1, {-huge, -huge});
      bp.set_messages(std::vector<double>{huge, huge, -huge, huge, 1e39, 0, 0, 0});
      bp.run();
      CHECK(distance(beliefs_of(bp), {0, 1, 0, 1, 1, 0}) < 1e-6);
      CHECK(std::isfinite(bp.log_z_messages()));
      CHECK(std::isfinite(bp.trace().back()));
    }
  // Two states that are as good, beside which log 2 is nothing.
  belief_propagation<T> even(graph);
  even.soft_evidence(2, {huge, huge});
  std::vector<double> p(2);
  even.beliefs(2, p);
  CHECK(distance(p, {0.5, 0.5}) < 1e-15);
  // Potts factors that keep apart two who both want one state: nothing is excluded.
  factor_graph_builder c;
  c.add_variables(3, 3);
  for (index_t v = 0; v < 3; ++v) c.add_unary(v, {0, 0.5, 2000});
  c.add_potts(0, 1, -5000);
  c.add_potts(1, 2, -900);
  const auto apart = c.freeze<T>();
  for (const bool trees : {true, false}) {
    belief_propagation<T> bp(apart, {.solve_trees = trees});
    bp.run();
    const double odds = std::exp(0.5);  // the middle one gives way
    CHECK(distance(beliefs_of(bp), {0, 0, 1, 1 / (1 + odds), odds / (1 + odds), 0, 0, 0, 1}) < 1e-5);
    CHECK(bp.log_z() == doctest::Approx(4000 + std::log(1 + odds)).epsilon(sizeof(T) == 4 ? 1e-6 : 1e-14));
  }
}

#if WEAKLY_HAS_EXCEPTIONS
TEST_CASE("belief_propagation is as before once evidence that contradicted is taken back") {
  model m;
  for (index_t v = 0; v < 4; ++v) m.variable(v == 3 ? 3 : 2);
  m.exactly_one({0, 1, 2});
  m.table({2, 3}, {0, -1, -inf, 0.5, -inf, 1});
  m.ising(0, 1, 0.4);
  m.equality({0, 1});
  const auto graph = m.builder.freeze();
  for (const auto schedule : all_schedules) {
    belief_propagation bp(graph, {.schedule = schedule, .damping = 0.5, .tolerance = 1e-12});
    bp.run();
    const auto before = beliefs_of(bp);
    bp.clamp(0, 1);
    bp.clamp(1, 0);
    CHECK_THROWS_AS(bp.run(), weakly::value_error);
    bp.clear_evidence();
    CHECK(bp.run().converged);
    CHECK(distance(beliefs_of(bp), before) < 1e-10);
  }
  // An executor that gives up half way.
  const auto spins = spin_grid(8, 0.3, 1, 3).freeze();
  belief_propagation whole(spins), torn(spins);
  whole.run();
  int calls = 0;
  CHECK_THROWS_AS(torn.run([&](index_t n, auto f) {
    for (index_t t = 0; t < n; ++t) f(t);
    if (++calls == 5) throw weakly::value_error("enough");
  }),
                  weakly::value_error);
  torn.run();
  CHECK(distance(beliefs_of(torn), beliefs_of(whole)) < 1e-7);

  // And one that gives up in the middle of a pass, with tasks that are done and tasks that are not.
  const auto many = spin_grid(150, 0.3, 1, 3).freeze();
  belief_propagation all(many, {.tolerance = 1e-10}), parts(many, {.tolerance = 1e-10});
  all.run();
  for (int last_call = 1; last_call <= 6; last_call += support::sanitized ? 3 : 1) {
    index_t most_tasks = 0;
    calls = 0;
    CHECK_THROWS_AS(parts.run([&](index_t n, auto f) {
      most_tasks = std::max(most_tasks, n);
      const bool last = ++calls == last_call;
      for (index_t t = 0; t < n; ++t) {
        if (last && t == (n + 1) / 2) break;
        f(t);
      }
      if (last) throw weakly::value_error("enough");
    }),
                    weakly::value_error);
    CHECK(most_tasks > 1);
    CHECK(parts.run().converged);
    CHECK(distance(beliefs_of(parts), beliefs_of(all)) < 1e-8);
  }
}
#endif

TEST_CASE("belief_propagation of nothing, of lone variables and of variables of one state") {
  const auto empty = factor_graph_builder().freeze();
  belief_propagation bp(empty);
  CHECK(bp.run().converged);
  CHECK(bp.log_z() == 0);
  factor_graph_builder b;
  b.add_variables(2, 1);
  b.add_variable(3);
  b.add_unary(2, {0, std::log(3.0), -inf});
  b.add_potts(0, 1, 0.5);
  b.add_equality({0, 1});
  const auto graph = b.freeze();
  belief_propagation few(graph);
  CHECK(few.run().converged);
  CHECK(distance(beliefs_of(few), {1, 1, 0.25, 0.75, 0}) < 1e-15);
  CHECK(few.log_z() == doctest::Approx(0.5 + std::log(4.0)));

  // No factor has an edge, and yet not all variables are binary.
  factor_graph_builder alone;
  alone.add_variable(1);
  alone.add_variable(4);
  alone.add_table({0}, {3});
  alone.add_table({1}, {1, 0, 2, 4});
  const auto lone = alone.freeze();
  belief_propagation each(lone);
  CHECK(each.run().converged);
  CHECK(each.log_z() == doctest::Approx(std::log(21.0)));
  CHECK(distance(beliefs_of(each), {1, 1.0 / 7, 0, 2.0 / 7, 4.0 / 7}) < 1e-15);
}

TEST_CASE("belief_propagation refuses options, evidence and messages that are none") {
  const auto graph = spin_grid(3, 1, 1, 1).freeze();
  for (const belief_propagation_options& bad : {belief_propagation_options{.temperature = -1},
                                                {.temperature = inf},
                                                {.temperature = 1e-300},
                                                {.damping = 1},
                                                {.damping = -0.1},
                                                {.damping = std::nan("")},
                                                {.tolerance = -1},
                                                {.tolerance = std::nan("")},
                                                {.max_iterations = -1},
                                                {.temperature = 1, .schedule = propagation_schedule(9)}})
    CHECK_THROWS_AS(belief_propagation(graph, bad), weakly::option_error);
  belief_propagation bp(graph);
  CHECK_THROWS_AS(bp.clamp(9, 0), weakly::label_error);
  CHECK_THROWS_AS(bp.clamp(0, 2), weakly::label_error);
  CHECK_THROWS_AS(bp.soft_evidence(0, {1, 2, 3}), weakly::shape_error);
  CHECK_THROWS_AS(bp.soft_evidence(0, {std::nan(""), 0}), weakly::value_error);
  bp.clamp(0, 1);
  CHECK_THROWS_AS(bp.clamp(0, 0), weakly::value_error);
  CHECK_THROWS_AS(bp.soft_evidence(0, {0, -inf}), weakly::value_error);
  CHECK_THROWS_AS(bp.set_messages(std::vector<double>(3)), weakly::shape_error);
  std::vector<double> messages(24, 0.0);
  messages[5] = std::nan("");
  CHECK_THROWS_AS(bp.set_messages(messages), weakly::value_error);
  messages[5] = inf;
  CHECK_THROWS_AS(bp.set_messages(messages), weakly::value_error);
  CHECK_THROWS_AS(bp.set_factor_weights(std::vector<double>(3, 1.0)), weakly::shape_error);
  CHECK_THROWS_AS(bp.set_factor_weights(std::vector<double>(12, 0.0)), weakly::value_error);
  std::vector<double> out(3);
  CHECK_THROWS_AS(bp.beliefs(0, out), weakly::shape_error);
  CHECK_THROWS_AS(bp.all_beliefs(out), weakly::shape_error);
  CHECK_THROWS_AS(bp.factor_beliefs(12, out), weakly::label_error);
  bp.set_options({.temperature = 0});
  CHECK_THROWS_AS(bp.log_z(), weakly::option_error);
}
