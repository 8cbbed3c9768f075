// SPDX-License-Identifier: MIT
#pragma once

#include "../command_line/bad_input.hpp"
#include "../command_line/number_options.hpp"
#include "../command_line/same_file.hpp"

#include <weakly/core/config.hpp>

#include <CLI/CLI.hpp>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace label_audit {

using command_line::bad_input;
using command_line::is_same_file;
using command_line::printable;
using weakly::index_t;

struct options {
  std::string pred_probs;  ///< empty: audit the shipped digits
  std::string labels;
  std::string class_names;
  std::string filter_by = "prune_by_noise_rate";
  std::string score = "self_confidence";
  bool adjust = false;
  double frac_noise = 1;
  index_t min_examples_per_class = 1;
  bool like_cleanlab = false;
  bool normalise = false;
  index_t threads = 1;
  index_t batch = 0;  ///< rows; 0: about 4 MiB
  std::optional<double> flip;
  std::uint64_t seed = 0;
  std::string json;
  std::string issues;
  std::string html;
  bool quiet = false;
  std::string note;  ///< about options that have no effect together
};

/// The command line, checked for everything that can be checked without opening a file. Returns an exit status instead
/// where the program has nothing to do but to leave: after --help, or after bad usage (2, with one line on stderr).
inline std::optional<int> parse(int argc, char** argv, options& o) {
  const std::vector<std::string> filters = {"prune_by_noise_rate", "prune_by_class",      "both",
                                            "confident_learning",  "predicted_neq_given", "low_normalized_margin",
                                            "low_self_confidence"};
  const std::vector<std::string> scores = {"self_confidence", "normalized_margin", "confidence_weighted_entropy"};

  CLI::App app(
      "Finds label errors by confident learning (Northcutt, Jiang, Chuang 2021) from out-of-sample class "
      "probabilities.\nWithout --pred-probs it audits the shipped optical digits, with cross-validated probabilities "
      "of its own.",
      "label_audit");
  app.option_defaults()->take_last();
  command_line::number_options numbers(app);
  std::string compat;
  double flipped = 0;

  app.add_option("--pred-probs", o.pred_probs,
                 "n x k class probabilities, float16/32/64, each row predicted out of "
                 "sample")
      ->type_name("P.npy");
  app.add_option("--labels", o.labels, "n given labels, integers in [0, k)")->type_name("L.npy");
  app.add_option("--class-names", o.class_names, "one name a line, k lines, UTF-8")->type_name("names.txt");
  app.add_option("--filter-by", o.filter_by,
                 "which rows are issues: prune_by_noise_rate (default), prune_by_class, "
                 "both, confident_learning, predicted_neq_given, low_normalized_margin, "
                 "low_self_confidence")
      ->type_name("RULE");
  app.add_option("--score", o.score,
                 "how issues are ranked: self_confidence (default), normalized_margin, "
                 "confidence_weighted_entropy")
      ->type_name("METHOD");
  app.add_flag("--adjust", o.adjust,
               "score after subtracting the class thresholds; not with "
               "confidence_weighted_entropy");
  CLI::Option* frac_noise = numbers
                                .add("--frac-noise", o.frac_noise, "share of the estimated errors to flag, in [0, 1]",
                                     "a number from 0 to 1", [](double f) { return f >= 0 && f <= 1; })
                                ->type_name("F");
  CLI::Option* min_examples =
      numbers
          .add("--min-examples-per-class", o.min_examples_per_class, "flag nothing in classes of M rows or fewer",
               "a whole number, 0 or more", [](index_t m) { return m >= 0; })
          ->type_name("M");
  app.add_option("--compat", compat, "cleanlab: the numbers of cleanlab 2.9, where they differ")->type_name("cleanlab");
  app.add_flag("--normalise", o.normalise, "divide each row of probabilities by its sum first");
  numbers
      .add("--threads", o.threads, "threads; the results do not depend on it (default: all)", "1 to 1024",
           [](index_t t) { return t >= 1 && t <= 1024; })
      ->type_name("T");
  numbers
      .add("--batch", o.batch, "rows in memory at a time; the results do not depend on it",
           "the number of rows, 1 or more", [](index_t rows) { return rows >= 1; })
      ->type_name("ROWS");
  CLI::Option* flip =
      numbers
          .add("--flip", flipped, "corrupt this share of the labels first, and say how many of them are found",
               "a share between 0 and 1, for instance 0.1", [](double f) { return f > 0 && f < 1; })
          ->type_name("F");
  numbers
      .add("--seed", o.seed, "of --flip and of the model of the digits (default 0)",
           "a whole number from 0 to 2^64 - 1", [](std::uint64_t) { return true; })
      ->type_name("S");
  app.add_option("--json", o.json, "write everything as JSON; rows count from 0")->type_name("out.json");
  app.add_option("--issues", o.issues, "write the issues as CSV: index,given,suggested,score")->type_name("out.csv");
  app.add_option("--html", o.html, "write a page that opens offline")->type_name("out.html");
  app.add_flag("--quiet", o.quiet, "print nothing but errors");

  const auto refuse = [](const std::string& what) { throw bad_input(what + "; label_audit --help lists the options"); };
  const auto one_of = [&](const char* option, const std::string& value, const std::vector<std::string>& known) {
    if (std::find(known.begin(), known.end(), value) != known.end()) return;
    std::string names;
    for (const std::string& name : known) names += (names.empty() ? "" : ", ") + name;
    refuse(std::string(option) + " " + printable(value) + ": choose one of " + names);
  };

  o.threads = std::clamp<index_t>(std::thread::hardware_concurrency(), 1, 16);
  try {
    app.parse(argc, argv);
  } catch (const CLI::CallForHelp&) {
    std::fputs(app.help().c_str(), stdout);
    return 0;
  } catch (const CLI::ParseError& e) {
    refuse(printable(e.what()));
  }

  for (const char* path : {"--pred-probs", "--labels", "--class-names", "--json", "--issues", "--html"})
    if (app.get_option(path)->count() > 0 && app.get_option(path)->as<std::string>().empty())
      refuse(std::string(path) + " is empty: name a file");
  if (o.pred_probs.empty() != o.labels.empty())
    refuse(std::string(o.labels.empty() ? "--pred-probs" : "--labels") +
           " is given alone: give both --pred-probs and --labels, or neither to audit the shipped digits");
  one_of("--filter-by", o.filter_by, filters);
  one_of("--score", o.score, scores);
  if (app.get_option("--compat")->count() > 0) one_of("--compat", compat, {"cleanlab"});
  o.like_cleanlab = !compat.empty();
  if (o.adjust && o.score == "confidence_weighted_entropy")
    refuse(
        "--adjust with --score confidence_weighted_entropy: the entropy has no adjusted form; leave out --adjust, "
        "or choose self_confidence or normalized_margin");
  const bool prunes = o.filter_by == "prune_by_noise_rate" || o.filter_by == "prune_by_class" || o.filter_by == "both";
  if (const auto complaint = numbers.read()) refuse(*complaint);
  if (flip->count() > 0) o.flip = flipped;
  for (const CLI::Option* unused : {frac_noise, min_examples})
    if (unused->count() > 0 && !prunes)
      o.note = unused->get_name() + " has no effect with --filter-by " + o.filter_by +
               "; it belongs to prune_by_noise_rate, prune_by_class and both";

  const std::vector<std::string> outputs = {o.json, o.issues, o.html};
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j)
      if (is_same_file(outputs[i], outputs[j]))
        refuse(printable(outputs[i]) + " is named for two reports: give each its own file");
    for (const std::string& input : {o.pred_probs, o.labels, o.class_names})
      if (is_same_file(outputs[i], input))
        refuse(printable(outputs[i]) + " is an input and would be replaced by a report: name another file");
  }
  return std::nullopt;
}

}  // namespace label_audit
