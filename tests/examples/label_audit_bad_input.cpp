// SPDX-License-Identifier: MIT
#include <cmath>
#include <cstdint>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "audit_tool.hpp"

using namespace audit_test;

namespace {

/// Exit 2, nothing on stdout, one line on stderr that holds every one of the words, and no file left behind.
void refuses(const fs::path& folder, const strings& arguments, const strings& words, bool files = true) {
  const strings before = reports_in(folder);
  strings all = arguments;
  all.insert(all.end(), {"--issues", "never.csv"});
  const process p = files ? run_on_files(folder, all) : run(folder, arguments);
  CAPTURE(p.errors);
  CHECK(p.status == 2);
  CHECK(p.output.empty());
  CHECK(p.errors.starts_with("label_audit: "));
  CHECK(std::count(p.errors.begin(), p.errors.end(), '\n') == 1);
  CHECK(p.errors.ends_with('\n'));
  for (const std::string& word : words) {
    CAPTURE(word);
    CHECK(p.errors.find(word) != std::string::npos);
  }
  CHECK(reports_in(folder) == before);
}

}  // namespace

TEST_CASE("label_audit names the row and the value of an entry that is no probability") {
  const fs::path folder = support::scratch_dir("audit_bad_entries");
  const double inf = std::numeric_limits<double>::infinity();
  struct bad {
    double value;
    const char* text;
    const char* advice;
  };
  for (const bad& b :
       {bad{std::nan(""), "nan", "leave it and its label out"}, bad{inf, "inf", "predict the row again"},
        bad{-inf, "-inf", "predict the row again"}, bad{-0.25, "-0.25", "after the softmax"},
        bad{1.5, "1.5", "--normalise"}, bad{-2e-6, "-2e-06", "negative"}, bad{1 + 2e-6, "1.000002", "--normalise"}}) {
    small_data d;
    d.at(7, 1) = b.value;
    d.at(8, 1) = b.value;  // the first is named
    d.write(folder);
    refuses(folder, {}, {"P.npy", "row 7", "column 1", b.text, b.advice});
    refuses(folder, {"--batch", "4"}, {"row 7", b.text});
    refuses(folder, {"--compat", "cleanlab"}, {"row 7", b.text});
  }
}

TEST_CASE("label_audit refuses rows that do not sum to one and names --normalise, which then takes them") {
  const fs::path folder = support::scratch_dir("audit_sums");
  small_data d;
  for (std::int64_t c = 0; c < 3; ++c) d.at(9, c) *= 1.00001;
  d.write(folder);
  refuses(folder, {}, {"P.npy", "row 9", "1.00001", "--normalise"});
  refuses(folder, {"--batch", "1"}, {"row 9", "1.00001"});
  CHECK(run_on_files(folder, {"--normalise"}).status == 0);
  CHECK(run_on_files(folder, {"--compat", "cleanlab"}).status == 0);  // cleanlab accepts any sum

  small_data rounded;
  rounded.at(3, 0) += 9e-7;
  rounded.write(folder);
  CHECK(run_on_files(folder).status == 0);

  small_data empty;
  for (std::int64_t c = 0; c < 3; ++c) empty.at(5, c) = 0;
  empty.write(folder);
  refuses(folder, {}, {"row 5", "sums to 0", "cannot be normalised"});
  refuses(folder, {"--normalise"}, {"row 5", "sums to 0", "cannot be normalised"});
}

TEST_CASE("label_audit --normalise gives the numbers of rows that were normalised before") {
  const fs::path folder = support::scratch_dir("audit_normalise");
  small_data d;
  d.write(folder);
  const double plain_row[] = {d.at(5, 0), d.at(5, 1), d.at(5, 2)};
  const nlohmann::json plain = report_of(folder, {});
  for (std::int64_t i = 0; i < d.n; ++i)
    for (std::int64_t c = 0; c < 3; ++c) d.at(i, c) *= std::ldexp(1.0, static_cast<int>(i % 5));  // exact
  d.write(folder);
  const nlohmann::json scaled = report_of(folder, {"--normalise", "--batch", "7"});
  CHECK(scaled.at("issues") == plain.at("issues"));
  CHECK(scaled.at("confident_joint_raw") == plain.at("confident_joint_raw"));
  for (std::size_t c = 0; c < 3; ++c)
    CHECK(scaled.at("thresholds")[c].get<double>() == doctest::Approx(plain.at("thresholds")[c].get<double>()));

  // A row whose sum is beyond the range of a double.
  for (std::int64_t c = 0; c < 3; ++c) d.at(5, c) = std::ldexp(plain_row[static_cast<std::size_t>(c)], 1024);
  d.write(folder);
  const nlohmann::json huge = report_of(folder, {"--normalise"});
  CHECK(huge.at("issues") == plain.at("issues"));
  CHECK(huge.at("thresholds")[2].get<double>() == doctest::Approx(plain.at("thresholds")[2].get<double>()));

  d.at(2, 1) = -0.1;
  d.write(folder);
  refuses(folder, {"--normalise"}, {"row 2", "-0.1", "negative"});
}

TEST_CASE("label_audit names the row and the value of a label that is no class") {
  const fs::path folder = support::scratch_dir("audit_bad_labels");
  for (const std::int64_t value : {std::int64_t{-1}, std::int64_t{3}, std::int64_t{10000000000}}) {
    small_data d;
    d.label[11] = value;
    d.write(folder);
    refuses(folder, {}, {"L.npy", "row 11", std::to_string(value), "0 to k - 1"});
  }

  small_data d;
  d.write(folder);
  std::vector<double> fractions(d.label.begin(), d.label.end());
  npy::write_npy((folder / "L.npy").string(), fractions);
  refuses(folder, {}, {"L.npy", "float64", "astype"});
  fractions[4] = 1.5;
  npy::write_npy((folder / "L.npy").string(), fractions);
  refuses(folder, {}, {"L.npy", "row 4", "1.5", "whole number"});
  fractions[4] = std::nan("");
  npy::write_npy((folder / "L.npy").string(), fractions);
  refuses(folder, {}, {"L.npy", "row 4", "nan"});
}

TEST_CASE("label_audit refuses arrays whose shapes do not fit, and says which") {
  const fs::path folder = support::scratch_dir("audit_shapes");
  const std::string p = (folder / "P.npy").string(), l = (folder / "L.npy").string();
  small_data d;
  d.write(folder);
  d.label.pop_back();
  npy::write_npy(l, d.label);
  refuses(folder, {}, {"L.npy", "29 labels", "P.npy", "30 rows"});

  d.write(folder);
  npy::write_npy(l, std::vector<std::int64_t>(60), 30, 2);
  refuses(folder, {}, {"L.npy", "(30, 2)"});

  const std::vector<std::int64_t> zeros(30);
  npy::write_npy(l, zeros);
  npy::write_npy(p, std::vector<double>(30, 1.0), 30, 1);
  refuses(folder, {}, {"P.npy", "1 class column", "two or more"});
  npy::write_npy(p, std::vector<double>(), 30, 0);
  refuses(folder, {}, {"P.npy", "0 class columns"});
  npy::write_npy(p, std::vector<double>(30, 1.0));
  refuses(folder, {}, {"P.npy", "(30,)", "(n, k)"});
  npy::write_npy(p, std::vector<std::int64_t>(60, 1), 30, 2);
  refuses(folder, {}, {"P.npy", "int64", "float32"});
  npy::write_npy(p, std::vector<float>(), 0, 3);
  npy::write_npy(l, std::vector<std::int64_t>());
  refuses(folder, {}, {"P.npy", "no rows"});
  npy::write_npy(p, std::vector<float>(20000), 1, 20000);
  npy::write_npy(l, std::vector<std::int64_t>(1));
  refuses(folder, {}, {"P.npy", "20,000 classes", "10,000"});
}

TEST_CASE("label_audit refuses files that are missing, empty, cut short or no arrays") {
  const fs::path folder = support::scratch_dir("audit_files");
  small_data d;
  d.write(folder);
  const std::string whole = slurp(folder / "P.npy");
  for (const std::string& bytes : {std::string(), whole.substr(0, whole.size() - 8), whole.substr(0, 40),
                                   std::string("index,given\n1,2\n"), std::string(4096, '\x93')}) {
    spill(folder / "P.npy", bytes);
    refuses(folder, {}, {"P.npy"});
  }
  fs::remove(folder / "P.npy");
  refuses(folder, {}, {"P.npy", "cannot be opened"});
  d.write(folder);
  fs::remove(folder / "L.npy");
  refuses(folder, {}, {"L.npy", "cannot be opened"});
}

TEST_CASE("label_audit refuses class names that do not fit, and names the line") {
  const fs::path folder = support::scratch_dir("audit_names");
  small_data().write(folder);
  struct bad {
    std::string text;
    strings words;
  };
  for (const bad& b :
       {bad{"a\nb\n", {"2 names", "3 classes"}}, bad{"a\nb\nc\nd\n", {"line 4"}}, bad{"a\n\nc\n", {"line 2", "empty"}},
        bad{"", {"empty", "3"}}, bad{"a\nb\xff\nc\n", {"line 2", "UTF-8"}}}) {
    spill(folder / "names.txt", b.text);
    strings words = b.words;
    words.push_back("names.txt");
    refuses(folder, {"--class-names", "names.txt"}, words);
  }
  refuses(folder, {"--class-names", "none.txt"}, {"none.txt", "cannot be opened"});
  spill(folder / "names.txt", "\xef\xbb\xbfzero\r\none\r\ntwo");  // a byte order mark, and lines as Windows ends them
  CHECK(report_of(folder, {"--class-names", "names.txt"}).at("class_names") == strings{"zero", "one", "two"});
}

TEST_CASE("label_audit refuses places that cannot be written before it reads the data") {
  const fs::path folder = support::scratch_dir("audit_unwritable");
  small_data().write(folder);
  fs::create_directory(folder / "folder");
  for (const char* option : {"--json", "--html", "--issues"}) {
    const process missing = run_on_files(folder, {option, "none/report"});
    CHECK(missing.status == 2);
    CHECK(missing.errors.find("none/report") != std::string::npos);
    CHECK(missing.errors.find("create the directory") != std::string::npos);
    const process directory = run_on_files(folder, {option, "folder"});
    CHECK(directory.status == 2);
    CHECK(directory.errors.find("is a directory") != std::string::npos);
    const process full = run_on_files(folder, {option, "/dev/full"});
    CHECK(full.status == 2);
    CHECK(full.errors.find("/dev/full") != std::string::npos);
  }
  // One report that fails takes the others with it.
  CHECK(run_on_files(folder, {"--json", "report.json", "--html", "/dev/full"}).status == 2);
  CHECK(run_on_files(folder, {"--json", "report.json", "--issues", "/dev/full"}).status ==
        2);  // fails at the last flush
  CHECK(reports_in(folder) == strings{"folder"});
}

TEST_CASE("label_audit refuses bad usage in one line") {
  const fs::path folder = support::scratch_dir("audit_usage");
  small_data().write(folder);
  const std::vector<std::pair<strings, strings>> cases = {
      {{"--filter-by", "magic"}, {"--filter-by magic", "prune_by_noise_rate", "low_self_confidence"}},
      {{"--score", "magic"}, {"--score magic", "confidence_weighted_entropy"}},
      {{"--compat", "other"}, {"--compat other", "cleanlab"}},
      {{"--adjust", "--score", "confidence_weighted_entropy"}, {"--adjust", "no adjusted form"}},
      {{"--frac-noise", "1.5"}, {"--frac-noise 1.5", "from 0 to 1"}},
      {{"--frac-noise", "-0.1"}, {"--frac-noise"}},
      {{"--frac-noise", "nan"}, {"--frac-noise nan"}},
      {{"--min-examples-per-class", "-1"}, {"--min-examples-per-class -1"}},
      {{"--min-examples-per-class", "x"}, {"--min-examples-per-class"}},
      {{"--threads", "0"}, {"--threads 0"}},
      {{"--batch", "0"}, {"--batch 0"}},
      {{"--flip", "0"}, {"--flip 0"}},
      {{"--flip", "1"}, {"--flip 1"}},
      {{"--seed", "-1"}, {"--seed -1"}},
      {{"--frac-noise", ""}, {"--frac-noise", "from 0 to 1"}},
      {{"--min-examples-per-class", ""}, {"--min-examples-per-class", "whole number"}},
      {{"--min-examples-per-class", "9223372036854775808"}, {"--min-examples-per-class 9223372036854775808"}},
      {{"--threads", ""}, {"--threads", "1 to 1024"}},
      {{"--threads", "99999999999999999999"}, {"--threads 99999999999999999999", "1 to 1024"}},
      {{"--batch", ""}, {"--batch", "1 or more"}},
      {{"--batch", "1e3"}, {"--batch 1e3", "1 or more"}},
      {{"--flip", ""}, {"--flip", "between 0 and 1"}},
      {{"--flip", "0.1x"}, {"--flip 0.1x", "between 0 and 1"}},
      {{"--seed", ""}, {"--seed", "2^64 - 1"}},
      {{"--seed", "18446744073709551616"}, {"--seed 18446744073709551616", "2^64 - 1"}},
      {{"--compat", ""}, {"--compat", "cleanlab"}},
      {{"--json", ""}, {"--json is empty"}},
      {{"--json", "same", "--html", "same"}, {"same", "two reports"}},
      {{"--json", "same", "--html", "./same"}, {"same", "two reports"}},
      {{"--unknown"}, {"--unknown"}},
      {{"stray"}, {"stray"}}};
  for (const auto& [arguments, words] : cases) refuses(folder, arguments, words);
  // Numbers are decimal.
  const nlohmann::json eighth = report_of(folder, {"--flip", "0.1", "--seed", "8"});
  CHECK(report_of(folder, {"--flip", "0.1", "--seed", "008", "--threads", "02"}) == eighth);
  CHECK(report_of(folder, {"--flip", "+.1", "--seed", "18446744073709551615"}).at("flip").at("seed") ==
        18446744073709551615u);
  refuses(folder, {"--labels", "L.npy"}, {"--labels is given alone", "--pred-probs"}, false);
  refuses(folder, {"--pred-probs", "P.npy"}, {"--pred-probs is given alone", "--labels"}, false);
}

TEST_CASE("label_audit keeps a message on one line whatever the name of the file") {
  const fs::path folder = support::scratch_dir("audit_odd_names");
  small_data().write(folder);
  refuses(folder, {"--pred-probs", "a\nb\x1b[31m.npy", "--labels", "L.npy"}, {"a?b?[31m.npy"}, false);
}

TEST_CASE("label_audit takes labels that are all of one class") {
  const fs::path folder = support::scratch_dir("audit_one_class");
  small_data d;
  std::fill(d.label.begin(), d.label.end(), 1);
  d.write(folder);
  for (const strings& arguments : {strings{}, strings{"--compat", "cleanlab"}}) {
    const nlohmann::json report = report_of(folder, arguments);
    CHECK(report.at("issues").empty());
    CHECK(report.at("confident_joint")[1][1] == 30);
    CHECK(report.at("thresholds")[0].is_null() == arguments.empty());
  }
}

TEST_CASE("label_audit never replaces what it reads by a report") {
  const fs::path folder = support::scratch_dir("audit_own_input");
  small_data().write(folder);
  std::ofstream(folder / "names.txt") << "a\nb\nc\n";
  fs::create_symlink("L.npy", folder / "link.npy");
  const std::string prob = slurp(folder / "P.npy"), label = slurp(folder / "L.npy"),
                    names = slurp(folder / "names.txt");
  for (const char* report : {"--json", "--html", "--issues"})
    for (const std::string path : {"P.npy", "L.npy", "./L.npy", "../audit_own_input/P.npy", "link.npy", "names.txt"}) {
      CAPTURE(report);
      CAPTURE(path);
      const process p = run_on_files(folder, {"--class-names", "names.txt", report, path});
      CHECK(p.status == 2);
      CHECK(p.errors.find(path + " is an input") != std::string::npos);
      CHECK(std::count(p.errors.begin(), p.errors.end(), '\n') == 1);
    }
  CHECK(slurp(folder / "P.npy") == prob);
  CHECK(slurp(folder / "L.npy") == label);
  CHECK(slurp(folder / "names.txt") == names);
}
