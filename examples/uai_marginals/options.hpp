// SPDX-License-Identifier: MIT
#pragma once

#include "../command_line/bad_input.hpp"
#include "../command_line/number_options.hpp"
#include "../command_line/same_file.hpp"

#include <weakly/graph/belief_propagation.hpp>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace uai {

using weakly::index_t;

struct options {
  std::string model;
  std::string evidence;
  std::string out;
  index_t threads = 1;
  weakly::belief_propagation_options propagation;
};

/// The command line, checked for everything that can be checked without opening a file. Returns an exit status instead
/// where the program has nothing to do but to leave: after --help. Throws bad_input for bad usage.
inline std::optional<int> parse(int argc, char** argv, options& o) {
  using command_line::is_same_file;
  using command_line::printable;
  using schedule = weakly::propagation_schedule;
  const std::vector<std::pair<std::string, schedule>> schedules = {{"flooding", schedule::flooding},
                                                                   {"sequential", schedule::sequential},
                                                                   {"coloured", schedule::coloured},
                                                                   {"random", schedule::random_sequential},
                                                                   {"residual", schedule::residual}};
  CLI::App app(
      "Marginals, Bethe log Z or most probable states of a discrete graphical model, by loopy belief propagation.",
      "uai_marginals");
  app.option_defaults()->take_last();
  std::string chosen = "flooding";
  bool map = false, iterate_trees = false;
  command_line::number_options numbers(app);
  o.threads = std::clamp<index_t>(std::thread::hardware_concurrency(), 1, 16);
  app.add_option("model", o.model, "a model in UAI format (MARKOV or BAYES), or of libDAI if its name ends in .fg")
      ->type_name("MODEL.uai");
  app.add_option("evidence", o.evidence,
                 "what is observed, in UAI format: the number of pairs, then variable and state")
      ->type_name("MODEL.uai.evid");
  app.add_option("--schedule", chosen, "flooding (default), sequential, coloured, random or residual")
      ->type_name("NAME");
  numbers
      .add("--damping", o.propagation.damping, "share of the old message in the new one, in [0, 1) (default 0)",
           "a number from 0 to below 1", [](double d) { return d >= 0 && d < 1; })
      ->type_name("D");
  numbers
      .add("--max-iter", o.propagation.max_iterations, "iterations at most (default 1000)", "a whole number, 0 or more",
           [](auto n) { return n >= 0; })
      ->type_name("N");
  numbers
      .add("--tol", o.propagation.tolerance,
           "converged when no message changes by more, as a probability (default 1e-8)", "a number, 0 or more",
           [](double t) { return t >= 0; })
      ->type_name("T");
  numbers
      .add("--seed", o.propagation.seed, "of --schedule random (default 0)", "a whole number from 0 to 2^64 - 1",
           [](auto) { return true; })
      ->type_name("S");
  numbers
      .add("--threads", o.threads, "threads; the results do not depend on it (default: all)", "1 to 1024",
           [](index_t t) { return t >= 1 && t <= 1024; })
      ->type_name("T");
  app.add_flag("--map", map, "max-product: the most probable states, as far as messages find them");
  app.add_flag("--iterate-trees", iterate_trees,
               "iterate on components without cycles too; otherwise two sweeps solve them exactly");
  app.add_option("--out", o.out, "write the marginals as a UAI solution (MAR); with --map the states (MPE)")
      ->type_name("FILE.MAR");

  const auto refuse = [](const std::string& what) {
    throw command_line::bad_input(what + "; uai_marginals --help lists the options");
  };
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    return 0;
  } catch (const CLI::ParseError& e) {
    refuse(printable(e.what()));
  }

  if (o.model.empty()) refuse("no model is given: name a .uai or .fg file");
  for (const char* path : {"evidence", "--out"})
    if (app.get_option(path)->count() > 0 && app.get_option(path)->as<std::string>().empty())
      refuse(std::string(path) + " is empty: name a file");
  const auto known = std::find_if(schedules.begin(), schedules.end(), [&](const auto& s) { return s.first == chosen; });
  if (known == schedules.end())
    refuse("--schedule " + printable(chosen) + ": choose one of flooding, sequential, coloured, random, residual");
  o.propagation.schedule = known->second;
  if (const auto complaint = numbers.read()) refuse(*complaint);
  for (const std::string& input : {o.model, o.evidence})
    if (is_same_file(o.out, input))
      refuse(printable(o.out) + " is an input and would be replaced by the solution: name another file");
  o.propagation.temperature = map ? weakly::max_product : weakly::sum_product;
  o.propagation.solve_trees = !iterate_trees;
  return std::nullopt;
}

}  // namespace uai
