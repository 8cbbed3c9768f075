// SPDX-License-Identifier: MIT
#include "enumerated_model.hpp"

#include "../sanitizer.hpp"
#include "../support.hpp"

#include <weakly/exec/thread_pool.hpp>
#include <weakly/graph/belief_propagation.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

using enumerated::inf;
using enumerated::model;
using weakly::belief_propagation;
using weakly::belief_propagation_options;
using weakly::factor_graph;
using weakly::factor_graph_builder;
using weakly::index_t;
using weakly::propagation_schedule;

namespace {

template <class T>
std::vector<double> beliefs_of(belief_propagation<T>& bp) {
  std::vector<double> b(std::size_t(bp.graph().all_states()));
  bp.all_beliefs(b);
  return b;
}

double distance(const std::vector<double>& a, const std::vector<double>& b) {
  REQUIRE(a.size() == b.size());
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!(std::abs(a[i] - b[i]) <= 2)) return inf;  // a NaN
    most = std::max(most, std::abs(a[i] - b[i]));
  }
  return most;
}

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
