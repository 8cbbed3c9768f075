// SPDX-License-Identifier: MIT
#pragma once

#include "../command_line/bad_input.hpp"
#include "../command_line/read_number.hpp"
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
  std::string compat, frac_noise_text, min_examples_text, threads_text, batch_text, flip_text, seed_text;

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
  CLI::Option* frac_noise =
      app.add_option("--frac-noise", frac_noise_text, "share of the estimated errors to flag, in [0, 1]")
          ->type_name("F");
  CLI::Option* min_examples =
      app.add_option("--min-examples-per-class", min_examples_text, "flag nothing in classes of M rows or fewer")
          ->type_name("M");
  app.add_option("--compat", compat, "cleanlab: the numbers of cleanlab 2.9, where they differ")->type_name("cleanlab");
  app.add_flag("--normalise", o.normalise, "divide each row of probabilities by its sum first");
  app.add_option("--threads", threads_text, "threads; the results do not depend on it (default: all)")->type_name("T");
  app.add_option("--batch", batch_text, "rows in memory at a time; the results do not depend on it")->type_name("ROWS");
  app.add_option("--flip", flip_text, "corrupt this share of the labels first, and say how many of them are found")
      ->type_name("F");
  app.add_option("--seed", seed_text, "of --flip and of the model of the digits (default 0)")->type_name("S");
  app.add_option("--json", o.json, "write everything as JSON; rows count from 0")->type_name("out.json");
  app.add_option("--issues", o.issues, "write the issues as CSV: index,given,suggested,score")->type_name("out.csv");
  app.add_option("--html", o.html, "write a page that opens offline")->type_name("out.html");
  app.add_flag("--quiet", o.quiet, "print nothing but errors");

  const auto refuse = [](const std::string& what) { throw bad_input(what + "; label_audit --help lists the options"); };
  const auto number = [&](const char* option, const std::string& text, auto& value, const char* wanted) {
    if (app.get_option(option)->count() == 0) return;
    if (!command_line::read_number(text, value))
      refuse(std::string(option) + " " + printable(text) + ": give " + wanted);
  };
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
  number("--frac-noise", frac_noise_text, o.frac_noise, "a number from 0 to 1");
  if (!(o.frac_noise >= 0 && o.frac_noise <= 1))
    refuse("--frac-noise " + frac_noise_text + ": give a number from 0 to 1");
  number("--min-examples-per-class", min_examples_text, o.min_examples_per_class, "a whole number, 0 or more");
  if (o.min_examples_per_class < 0)
    refuse("--min-examples-per-class " + min_examples_text + ": give a whole number, 0 or more");
  for (const CLI::Option* unused : {frac_noise, min_examples})
    if (unused->count() > 0 && !prunes)
      o.note = unused->get_name() + " has no effect with --filter-by " + o.filter_by +
               "; it belongs to prune_by_noise_rate, prune_by_class and both";
  number("--threads", threads_text, o.threads, "1 to 1024");
  if (o.threads < 1 || o.threads > 1024) refuse("--threads " + threads_text + ": give 1 to 1024");
  number("--batch", batch_text, o.batch, "the number of rows, 1 or more");
  if (app.get_option("--batch")->count() > 0 && o.batch < 1)
    refuse("--batch " + batch_text + ": give the number of rows, 1 or more");
  number("--seed", seed_text, o.seed, "a whole number from 0 to 2^64 - 1");
  if (app.get_option("--flip")->count() > 0) {
    number("--flip", flip_text, o.flip.emplace(), "a share between 0 and 1, for instance 0.1");
    if (!(*o.flip > 0 && *o.flip < 1))
      refuse("--flip " + flip_text + ": give a share between 0 and 1, for instance 0.1");
  }

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
