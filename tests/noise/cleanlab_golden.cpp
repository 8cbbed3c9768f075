// SPDX-License-Identifier: MIT
// The stored results of cleanlab in tests/golden against weakly's compatibility mode.
#include "cleanlab_case.hpp"
#include "golden/golden.hpp"

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include <string>

namespace {

/// Runs `check` on every stored single-label case and gives how much was compared.
template <class Check>
golden::comparison walk(Check&& check) {
  golden::comparison all;
  for (const std::string& name : golden::case_names("single_label")) {
    const golden::single_label expected = golden::load_single_label(name);
    golden::comparison one{name};
    check(*cleanlab_case::subject_of(expected, expected.dtype), one);
    all.add(one);
  }
  return all;
}

}  // namespace

TEST_CASE("golden: thresholds, guesses and joints are cleanlab's") {
  const auto all = walk([](const auto& s, auto& c) { s.check_joint(c); });
  CHECK(all.quantities == 119);
  CHECK(all.values == 5683);
}

TEST_CASE("golden: class prior, noise matrix and inverse noise matrix are cleanlab's by every method") {
  const auto all = walk([](const auto& s, auto& c) { s.check_latent(c); });
  CHECK(all.quantities == 600);
  CHECK(all.values == 27696);
}

TEST_CASE("golden: every filter under every option flags cleanlab's rows") {
  const auto all = walk([](const auto& s, auto& c) { s.check_issues(c); });
  CHECK(all.quantities == 675);
  CHECK(all.values == 21754);
}

TEST_CASE("golden: scores and rankings are cleanlab's") {
  const auto all = walk([](const auto& s, auto& c) { s.check_scores(c, 1e-9); });
  CHECK(all.quantities == 693);
  CHECK(all.values == 60423);
}

TEST_CASE("golden: health, class quality and class overlap are cleanlab's") {
  const auto all = walk([](const auto& s, auto& c) { s.check_health(c); });
  CHECK(all.quantities == 273);
  CHECK(all.values == 6185);
}

TEST_CASE("golden: row rounding, calibration and prune counts are cleanlab's, the last bit of a sum included") {
  golden::comparison c{"formulas"};
  cleanlab_case::check_rounding(golden::read_json(golden::directory() / "formulas.json"), c);
  CHECK(c.quantities == 255);
  CHECK(c.values == 11216);
}

TEST_CASE("golden: the algebra of noise matrices is cleanlab's") {
  golden::comparison c{"formulas"};
  cleanlab_case::check_noise_algebra(golden::read_json(golden::directory() / "formulas.json"), c);
  CHECK(c.quantities == 6);
  CHECK(c.values == 79);
}
