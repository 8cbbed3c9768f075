// SPDX-License-Identifier: MIT
#include <algorithm>
#include <sstream>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "support.hpp"
#include "tool_process.hpp"

using namespace tool_test;

namespace {

process run(const fs::path& folder, const strings& arguments) {
  process p(tool("UAI_MARGINALS"), folder, arguments);
  p.wait();
  return p;
}

/// Exit 2, nothing on stdout, one line on stderr that holds every one of the words, and no file left behind.
void refuses(const fs::path& folder, const strings& arguments, const strings& words) {
  const process p = run(folder, arguments);
  CAPTURE(p.errors);
  CHECK(p.status == 2);
  CHECK(p.output.empty());
  CHECK(p.errors.starts_with("uai_marginals: "));
  CHECK(std::count(p.errors.begin(), p.errors.end(), '\n') == 1);
  for (const std::string& word : words) {
    CAPTURE(word);
    CHECK(p.errors.find(word) != std::string::npos);
  }
  for (const auto& entry : fs::directory_iterator(folder)) CHECK(entry.path().extension() != ".tmp");
}

void check_numbers(const std::string& text, const std::vector<double>& expected) {
  std::istringstream in(text);
  double x = 0;
  for (const double e : expected) {
    REQUIRE((in >> x));
    CHECK(x == doctest::Approx(e).epsilon(1e-9));
  }
}

// p(x0) = (0.25, 0.75); x1 = x0 in nine of ten; a constant of 2.
const std::string pair_of_bits = "BAYES\n2\n2 2\n3\n1 0\n2 0 1\n0\n2 0.25 0.75\n4 0.9 0.1 0.1 0.9\n1 2\n";

}  // namespace

TEST_CASE("uai_marginals writes the marginals and log Z of a model, and those given its evidence") {
  const fs::path folder = support::scratch_dir("uai_marginals");
  spill(folder / "m.uai", pair_of_bits);
  spill(folder / "e.evid", "1 1 0\nand more");
  const process prior = run(folder, {"m.uai", "--out", "m.MAR"});
  CHECK(prior.status == 0);
  CHECK(prior.errors.empty());
  CHECK(prior.output.find("2 variables, 3 factors, 0 observed") != std::string::npos);
  CHECK(prior.output.find("converged   yes, without cycles") != std::string::npos);
  CHECK(prior.output.find("log Z       0.69314718") != std::string::npos);
  const std::string mar = slurp(folder / "m.MAR");
  REQUIRE(mar.starts_with("MAR\n"));
  check_numbers(mar.substr(4), {2, 2, 0.25, 0.75, 2, 0.3, 0.7});

  const process posterior = run(folder, {"m.uai", "e.evid", "--iterate-trees", "--threads", "2", "--out", "m.MAR"});
  CHECK(posterior.status == 0);
  CHECK(posterior.errors.find("goes on after") != std::string::npos);
  CHECK(posterior.output.find("1 observed") != std::string::npos);
  CHECK(posterior.output.find("log Z       -0.5108256") != std::string::npos);  // log(2 x 0.3)
  check_numbers(slurp(folder / "m.MAR").substr(4), {2, 2, 0.75, 0.25, 2, 1, 0});
}

TEST_CASE("uai_marginals --map writes the most probable states") {
  const fs::path folder = support::scratch_dir("uai_map");
  spill(folder / "m.uai", pair_of_bits);
  const process p = run(folder, {"--map", "m.uai", "--out", "m.MPE"});
  CHECK(p.status == 0);
  CHECK(p.output.find("log weight  0.300104592") != std::string::npos);  // log(2 x 0.75 x 0.9)
  CHECK(slurp(folder / "m.MPE") == "MPE\n2 1 1\n");
}

TEST_CASE("uai_marginals reads factor graphs of libDAI, and their evidence by label") {
  const fs::path folder = support::scratch_dir("uai_fg");
  spill(folder / "m.fg", "1\n\n2\n7 3\n2 2\n4\n0 1\n1 2\n2 3\n3 4\n");
  spill(folder / "e.evid", "1 3 1");
  CHECK(run(folder, {"m.fg", "e.evid", "--out", "m.MAR"}).status == 0);
  check_numbers(slurp(folder / "m.MAR").substr(4), {2, 2, 0, 1, 2, 3.0 / 7, 4.0 / 7});
}

TEST_CASE("uai_marginals says when messages have not settled") {
  const fs::path folder = support::scratch_dir("uai_frustrated");
  // Three bits, each pair of which prefers to differ, and one field.
  spill(folder / "m.uai", "MARKOV 3 2 2 2 4 2 0 1 2 1 2 2 0 2 1 0 4 1 50 50 1 4 1 50 50 1 4 1 50 50 1 2 1 2");
  const process p = run(folder, {"m.uai", "--max-iter", "5", "--tol", "1e-12"});
  CHECK(p.status == 0);
  CHECK(p.output.find("iterations  5\n") != std::string::npos);
  CHECK(p.output.find("converged   no") != std::string::npos);
  CHECK(run(folder, {"m.uai", "--damping", "0.5", "--tol", "1e-6"}).output.find("converged   yes") !=
        std::string::npos);
}

TEST_CASE("uai_marginals names what it cannot use, in one line") {
  const fs::path folder = support::scratch_dir("uai_bad_input");
  spill(folder / "m.uai", pair_of_bits);
  spill(folder / "cut.uai", pair_of_bits.substr(0, 40));
  spill(folder / "zero.uai", "MARKOV 1 2 1 1 0 2 0 0");
  spill(folder / "e.evid", "1 2 0");
  spill(folder / "hard.uai", "MARKOV 2 2 2 1 2 0 1 4 1 0 0 1");
  spill(folder / "both.evid", "2 0 0 1 1");
  refuses(folder, {}, {"no model"});
  refuses(folder, {"absent.uai"}, {"absent.uai", "cannot be opened", "check the path"});
  refuses(folder, {"."}, {"cannot be read", "path of a file"});
  refuses(folder, {"cut.uai", "--out", "x.MAR"}, {"cut.uai: line", "table of factor"});
  refuses(folder, {"m.uai", "e.evid"}, {"e.evid: line 1", "variable 2"});
  refuses(folder, {"zero.uai"}, {"zero.uai: line 1", "factor 0", "zero everywhere"});
  refuses(folder, {"hard.uai", "both.evid"}, {"hard.uai", "no solution"});
  refuses(folder, {"m.uai", "--schedule", "best"}, {"--schedule best", "residual"});
  refuses(folder, {"m.uai", "--damping", "1"}, {"--damping 1", "below 1"});
  refuses(folder, {"m.uai", "--tol", "-1"}, {"--tol -1"});
  refuses(folder, {"m.uai", "--max-iter", "-1"}, {"--max-iter -1"});
  refuses(folder, {"m.uai", "--threads", "0"}, {"--threads 0", "1 to 1024"});
  refuses(folder, {"m.uai", "--max-iter", "many"}, {"--max-iter many", "whole number"});
  for (const char* option : {"--damping", "--tol", "--max-iter", "--seed", "--threads"})
    refuses(folder, {"m.uai", option, ""}, {option, "give"});
  CHECK(run(folder, {"m.uai", "--tol", "1e-400"}).status == 0);
  refuses(folder, {"m.uai", "--tol", "1e400"}, {"--tol 1e400"});
  refuses(folder, {"m.uai", "--seed", "18446744073709551616"}, {"--seed 18446744073709551616"});
  refuses(folder, {"m.uai", "--out", "m.uai"}, {"m.uai is an input"});
  refuses(folder, {"m.uai", "--out", "nowhere/x.MAR"}, {"nowhere/x.MAR", "create the directory"});
  refuses(folder, {"m.uai", "e.evid", "more"}, {"more"});
  CHECK(!fs::exists(folder / "x.MAR"));
  CHECK(slurp(folder / "m.uai") == pair_of_bits);
}
