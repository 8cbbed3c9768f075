// SPDX-License-Identifier: MIT
// Every model of the reference data, read by the readers of examples/ and solved as its stored results were.
#include <uai_marginals/fg_format.hpp>
#include <uai_marginals/graph.hpp>
#include <uai_marginals/read_file.hpp>
#include <uai_marginals/uai_format.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/graph/belief_propagation.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <filesystem>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "golden/golden.hpp"
#include "support.hpp"

namespace {

namespace fs = std::filesystem;
using reals = std::vector<double>;

struct stored_case {
  std::string name;
  uai::model model;
  uai::evidence evidence;
  nlohmann::json results;
  fs::path base;  // without an ending

  /// Of all variables, one after the other; nothing where there is no such file.
  std::optional<reals> beliefs(const std::string& ending) const {
    const fs::path path = base.string() + ending;
    if (!fs::exists(path)) return std::nullopt;
    std::istringstream in(uai::read_file(path));
    reals all;
    double x = 0;
    for (const std::int32_t states : model.states) {
      std::int32_t count = 0;
      in >> count;
      CHECK(count == states);
      for (std::int32_t s = 0; s < states && in >> x; ++s) all.push_back(x);
    }
    CHECK(in.good());
    return all;
  }

  bool has(const char* key) const { return results.contains(key) && !results[key].is_null(); }
};

std::vector<stored_case> stored_cases() {
  std::vector<stored_case> all;
  const auto folder = support::reference_data("bp");
  if (!folder) return all;
  for (const auto& entry : golden::read_json(*folder / "index.json")) {
    stored_case c;
    c.name = entry.at("name");
    c.results = entry;
    c.base = *folder / entry.at("set").get<std::string>() / c.name;
    const std::string path = c.base.string() + ".uai";
    c.model = uai::read_uai(uai::read_file(path), path);
    if (entry.at("evidence").get<bool>())
      c.evidence = uai::read_evidence(uai::read_file(path + ".evid"), path + ".evid", c.model);
    all.push_back(std::move(c));
  }
  return all;
}

struct solution {
  weakly::belief_propagation_result result;
  reals belief;
  double log_z = 0, log_z_of_messages = 0;
};

solution solve(const uai::model& m, const uai::evidence& e, const weakly::belief_propagation_options& options) {
  const weakly::factor_graph<double> graph = uai::graph_of(m);
  weakly::belief_propagation<double> propagation(graph, options);
  for (const auto& [variable, state] : e.observed) propagation.clamp(variable, state);
  solution s;
  s.result = propagation.run();
  s.belief.resize(static_cast<std::size_t>(graph.all_states()));
  propagation.all_beliefs(s.belief);
  if (options.temperature > 0) s.log_z = propagation.log_z();
  s.log_z_of_messages = propagation.log_z_messages();
  return s;
}

double distance(const reals& a, const reals& b) {
  REQUIRE(a.size() == b.size());
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) most = std::max(most, std::isnan(a[i]) ? 1 : std::abs(a[i] - b[i]));
  return most;
}

bool is_forest(const uai::model& m) {
  // A union of the variables of each factor that is never already one.
  std::vector<std::size_t> root(m.states.size());
  for (std::size_t i = 0; i < root.size(); ++i) root[i] = i;
  const auto find = [&](std::size_t i) {
    while (root[i] != i) i = root[i] = root[root[i]];
    return i;
  };
  for (const auto& f : m.factors)
    for (std::size_t s = 1; s < f.scope.size(); ++s) {
      const std::size_t a = find(static_cast<std::size_t>(f.scope[0])), b = find(static_cast<std::size_t>(f.scope[s]));
      if (a == b) return false;
      root[a] = b;
    }
  return true;
}

}  // namespace

TEST_CASE("belief propagation is exact on the reference models without cycles") {
  std::size_t compared = 0;
  for (const stored_case& c : stored_cases()) {
    if (!is_forest(c.model)) continue;
    CAPTURE(c.name);
    const solution s = solve(c.model, c.evidence, {});
    CHECK(s.result.converged);
    CHECK(distance(s.belief, c.beliefs(".EXACT").value()) < 1e-10);
    const double exact = c.results.at("exact_logZ").get<double>();
    CHECK(s.log_z == doctest::Approx(exact).epsilon(1e-11));
    CHECK(s.log_z_of_messages == doctest::Approx(exact).epsilon(1e-12));
    ++compared;
  }
  if (compared != 0) CHECK(compared == 7);
}

TEST_CASE("belief propagation by flooding reaches the stored fixed point of every reference model") {
  std::size_t compared = 0;
  for (const stored_case& c : stored_cases()) {
    if (!c.has("bp")) continue;
    CAPTURE(c.name);
    const auto& bp = c.results["bp"];
    REQUIRE(bp.at("schedule") == "flooding");
    const solution s = solve(c.model, c.evidence,
                             {.damping = bp.at("damping").get<double>(), .tolerance = 1e-13, .solve_trees = false});
    CHECK(s.result.converged);
    CHECK(distance(s.belief, c.beliefs(".BPMAR").value()) < 1e-8);
    const double bethe = bp.at("bethe_logZ").get<double>();
    CHECK(s.log_z == doctest::Approx(bethe).epsilon(1e-9));
    CHECK(s.log_z_of_messages == doctest::Approx(bethe).epsilon(1e-8));
    ++compared;
  }
  if (compared != 0) CHECK(compared == 27);
}

TEST_CASE("max-product by damped flooding reaches the stored max-marginals of every reference model") {
  std::size_t compared = 0;
  for (const stored_case& c : stored_cases()) {
    if (!c.has("bp_max")) continue;
    CAPTURE(c.name);
    const solution s =
        solve(c.model, c.evidence, {.temperature = weakly::max_product, .damping = 0.5, .tolerance = 1e-13});
    CHECK(s.result.converged);
    CHECK(distance(s.belief, c.beliefs(".BPMAX").value()) < 1e-8);
    ++compared;
  }
  if (compared != 0) CHECK(compared == 9);
}

TEST_CASE("belief propagation reaches one log Z on a symmetric reference model, whatever the order of the messages") {
  // Which of two mirror images the beliefs settle in is a matter of rounding: they are not compared.
  using schedule = weakly::propagation_schedule;
  for (const stored_case& c : stored_cases()) {
    if (c.name != "Pedigree_11") continue;
    double flooding = 0;
    for (const schedule s :
         {schedule::flooding, schedule::sequential, schedule::coloured, schedule::random_sequential}) {
      const solution found = solve(c.model, c.evidence, {.schedule = s, .damping = 0.5, .tolerance = 1e-12});
      CHECK(found.result.converged);
      if (s == schedule::flooding) flooding = found.log_z;
      CHECK(found.log_z == doctest::Approx(flooding).epsilon(1e-9));
      CHECK(found.log_z_of_messages == doctest::Approx(flooding).epsilon(1e-8));
    }
    CHECK(flooding < std::log(10.0) * c.results.at("pr_log10").get<double>());  // no bound, but so it is here
  }
}

TEST_CASE("belief propagation says that it did not converge on the reference models with strong mixed couplings") {
  for (const stored_case& c : stored_cases()) {
    if (c.name != "Grids_11" && c.name != "Grids_13") continue;
    CAPTURE(c.name);
    const solution s = solve(c.model, c.evidence, {.damping = 0.5, .max_iterations = 300});
    CHECK(!s.result.converged);
    CHECK(s.result.iterations == 300);
    for (const double b : s.belief) CHECK((b >= 0 && b <= 1));
  }
}

TEST_CASE("published marginals and partition functions are near where belief propagation is nearly exact") {
  // Six digits of the competition's results, which nothing here has computed.
  std::size_t compared = 0;
  for (const stored_case& c : stored_cases()) {
    if (c.name != "Alchemy_11" && c.name != "Promedus_24") continue;
    CAPTURE(c.name);
    const solution s = solve(c.model, c.evidence, {.damping = 0.5});
    CHECK(s.log_z / std::log(10.0) == doctest::Approx(c.results.at("pr_log10").get<double>()).epsilon(1e-3));
    std::istringstream in(uai::read_file(c.base.string() + ".uai.MAR"));
    std::string word;
    in >> word;
    CHECK(word == "MAR");
    std::size_t variables = 0, at = 0;
    in >> variables;
    CHECK(variables == c.model.states.size());
    double sum = 0, x = 0;
    for (const std::int32_t states : c.model.states) {
      std::int32_t count = 0;
      in >> count;
      CHECK(count == states);
      for (std::int32_t i = 0; i < states && in >> x; ++i) sum += std::abs(x - s.belief[at++]);
    }
    CHECK(sum / double(s.belief.size()) < 0.02);
    ++compared;
  }
  if (compared != 0) CHECK(compared == 2);
}

TEST_CASE("models of merlin and of libDAI are read as their stored results were computed") {
  const auto folder = support::reference_data("bp");
  if (!folder) return;
  for (const std::string name : {"ChestClinic", "paskin", "simple5"}) {
    CAPTURE(name);
    stored_case c;
    c.base = *folder / "merlin" / name;
    c.model = uai::read_uai(uai::read_file(c.base.string() + ".uai"), name);
    c.evidence = uai::read_evidence(uai::read_file(c.base.string() + ".evid"), name, c.model);
    CHECK(c.evidence.has_tail == (name != "ChestClinic"));
    const solution s = solve(c.model, c.evidence, {.tolerance = 1e-13});
    CHECK(distance(s.belief, c.beliefs(".BPMAR").value()) < 1e-8);
  }

  // libDAI's alarm network has the structure of the other one, of which no evidence is taken here: no product of
  // conditional tables has any other sum than one.
  const auto read = [&](const std::string& name) {
    const fs::path path = *folder / "libdai" / name;
    return uai::read_fg(uai::read_file(path), name);
  };
  const uai::model alarm = read("alarm.fg");
  CHECK(alarm.variables() == 37);
  CHECK(std::abs(solve(alarm, {}, {.damping = 0.5}).log_z) < 0.01);

  const uai::model gaps = read("maxprodbug.fg");
  CHECK(gaps.variables() == 3);
  const uai::model two = read("twofactors.fg");
  REQUIRE(two.variables() == 4);
  // p(x0 = 0, x1 = 1) is proportional to entry 2 of the first table, where variable 0 is the faster one.
  const reals first{0.570273, 0.702232, 0.774333, 3.41627};
  const solution s = solve(two, {}, {});
  const double total = first[0] + first[1] + first[2] + first[3];
  CHECK(s.belief[1] == doctest::Approx((first[1] + first[3]) / total).epsilon(1e-12));
  CHECK(s.belief[3] == doctest::Approx((first[2] + first[3]) / total).epsilon(1e-12));
}
