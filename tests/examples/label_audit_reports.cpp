// SPDX-License-Identifier: MIT
#include <weakly/exec/thread_pool.hpp>
#include <weakly/noise/label_issues.hpp>
#include <weakly/noise/noise_matrices.hpp>

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <sstream>
#include <string>
#include <vector>

#include "audit_tool.hpp"

using namespace audit_test;
using nlohmann::json;

namespace {

/// n rows of k random probabilities in which about a tenth of the labels are wrong.
struct drawn_data {
  std::int64_t n, k;
  std::vector<float> prob;
  std::vector<std::int64_t> label;

  drawn_data(std::int64_t rows, std::int64_t classes) : n(rows), k(classes) {
    std::uint64_t state = 1;
    const auto draw = [&] {
      state = state * 6364136223846793005u + 1442695040888963407u;
      return static_cast<double>(state >> 11) * 0x1p-53;
    };
    for (std::int64_t i = 0; i < n; ++i) {
      const auto truth = static_cast<std::int64_t>(draw() * static_cast<double>(k));
      std::vector<double> row;
      double sum = 0;
      for (std::int64_t c = 0; c < k; ++c) {
        row.push_back(draw() + (c == truth ? 8 * draw() : 0));
        sum += row.back();
      }
      for (const double x : row) prob.push_back(static_cast<float>(x / sum));
      label.push_back(draw() < 0.1 ? static_cast<std::int64_t>(draw() * static_cast<double>(k)) : truth);
    }
  }

  void write(const fs::path& folder) const {
    npy::write_npy((folder / "P.npy").string(), prob, n, k);
    npy::write_npy((folder / "L.npy").string(), label);
  }
};

strings keys_of(const json& object) {
  strings keys;
  for (const auto& item : object.items()) keys.push_back(item.key());
  std::sort(keys.begin(), keys.end());
  return keys;
}

const strings report_keys = {"calibrated_issues",
                             "class_names",
                             "class_quality",
                             "confident_joint",
                             "confident_joint_raw",
                             "filter_by",
                             "health",
                             "inverse_noise_matrix",
                             "issues",
                             "joint",
                             "k",
                             "n",
                             "noise_matrix",
                             "num_issues",
                             "off_diagonal_issues",
                             "overlapping_classes",
                             "prior",
                             "score",
                             "thresholds"};

template <class T>
void same_table(const json& report, const weakly::matrix<T>& m) {
  REQUIRE(report.size() == static_cast<std::size_t>(m.rows()));
  for (weakly::index_t i = 0; i < m.rows(); ++i)
    for (weakly::index_t j = 0; j < m.cols(); ++j)
      CHECK(report[static_cast<std::size_t>(i)][static_cast<std::size_t>(j)].get<T>() == m(i, j));
}

std::size_t occurrences(const std::string& text, const std::string& word) {
  std::size_t count = 0;
  for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + word.size())) ++count;
  return count;
}

/// The page is whole, loads nothing, runs nothing, and opens and closes the same elements.
void is_self_contained(const std::string& page) {
  CHECK(page.starts_with("<!doctype html>"));
  CHECK(page.ends_with("</html>\n"));
  for (const char* word : {"http:", "https:", "src=", "href=", "@import", "<script", "<link", "<iframe", "<img"})
    CHECK_MESSAGE(occurrences(page, word) == 0, word);
  CHECK(occurrences(page, "url(") == occurrences(page, "url(#"));
  for (const std::string tag : {"svg", "table", "tr", "td", "section", "div", "g", "text", "figure", "main", "style"})
    CHECK_MESSAGE(
        occurrences(page, "<" + tag + ">") + occurrences(page, "<" + tag + " ") == occurrences(page, "</" + tag + ">"),
        tag);
}

}  // namespace

TEST_CASE("label_audit's JSON has the documented keys and the numbers of the library, bit for bit") {
  const fs::path folder = support::scratch_dir("audit_json");
  const drawn_data d(2000, 7);
  d.write(folder);
  const json report = report_of(folder, {});
  CHECK(keys_of(report) == report_keys);

  const auto prob = weakly::view(d.prob.data(), d.n, d.k);
  const weakly::label_issue_result found = weakly::find_label_issues(d.label, prob);
  const weakly::noise_estimate noise = weakly::noise_matrices(found.calibrated, found.joint.label_counts);
  CHECK(report.at("n") == 2000);
  CHECK(report.at("k") == 7);
  CHECK(report.at("class_names") == strings{"0", "1", "2", "3", "4", "5", "6"});
  CHECK(report.at("filter_by") == "prune_by_noise_rate");
  CHECK(report.at("score") == "self_confidence");
  CHECK(report.at("thresholds").get<std::vector<double>>() == found.joint.thresholds);
  same_table(report.at("confident_joint_raw"), found.joint.counts);
  same_table(report.at("confident_joint"), found.calibrated);
  same_table(report.at("joint"), weakly::joint_distribution(found.calibrated));
  same_table(report.at("noise_matrix"), noise.noise_matrix);
  same_table(report.at("inverse_noise_matrix"), noise.inverse_noise_matrix);
  CHECK(report.at("prior").get<std::vector<double>>() == noise.prior);
  CHECK(report.at("off_diagonal_issues") == found.joint.off_diagonal_issues);
  CHECK(report.at("health").get<double>() == 1 - static_cast<double>(found.joint.off_diagonal_issues) / 2000);

  std::vector<weakly::index_t> rows = found.rows;
  REQUIRE(rows.size() > 20);
  CHECK(report.at("num_issues") == rows.size());
  std::stable_sort(rows.begin(), rows.end(), [&](weakly::index_t a, weakly::index_t b) {
    const auto own = [&](weakly::index_t i) {
      return d.prob[static_cast<std::size_t>(i * d.k + d.label[static_cast<std::size_t>(i)])];
    };
    return own(a) < own(b);
  });
  CHECK(report.at("issues").get<std::vector<weakly::index_t>>() == rows);

  std::int64_t wrong = 0;
  for (const json& c : report.at("class_quality")) {
    CHECK(keys_of(c) == strings{"class_index", "inverse_label_issues", "inverse_label_noise", "label_issues",
                                "label_noise", "label_quality_score"});
    wrong += c.at("label_issues").get<std::int64_t>();
  }
  CHECK(report.at("class_quality").size() == 7);
  CHECK(report.at("calibrated_issues") == wrong);
  std::int64_t exchanged = 0;
  for (const json& o : report.at("overlapping_classes")) {
    CHECK(keys_of(o) == strings{"class_index_a", "class_index_b", "joint_probability", "num_overlapping_examples"});
    exchanged += o.at("num_overlapping_examples").get<std::int64_t>();
  }
  CHECK(report.at("overlapping_classes").size() == 21);
  CHECK(exchanged == wrong);
}

TEST_CASE("label_audit writes the same bytes for every batch size and number of threads") {
  const fs::path folder = support::scratch_dir("audit_batches");
  drawn_data(1500, 5).write(folder);
  for (const strings& how : {strings{}, strings{"--filter-by", "both"}, strings{"--filter-by", "low_normalized_margin"},
                             strings{"--filter-by", "predicted_neq_given", "--score", "normalized_margin", "--adjust"},
                             strings{"--flip", "0.2", "--seed", "3", "--score", "confidence_weighted_entropy"},
                             strings{"--compat", "cleanlab"}}) {
    const auto reports = [&](const strings& more) {
      strings arguments = how;
      arguments.insert(arguments.end(), more.begin(), more.end());
      arguments.insert(arguments.end(), {"--json", "r.json", "--issues", "r.csv", "--html", "r.html"});
      CHECK(run_on_files(folder, arguments).status == 0);
      return slurp(folder / "r.json") + slurp(folder / "r.csv") + slurp(folder / "r.html");
    };
    const std::string whole = reports({"--threads", "1"});
    CHECK(whole.size() > 10000);
    for (const strings& more :
         {strings{"--threads", "3"}, strings{"--batch", "1"}, strings{"--batch", "7", "--threads", "2"},
          strings{"--batch", "1499"}, strings{"--batch", "100000"}})
      CHECK(reports(more) == whole);
  }
}

TEST_CASE("label_audit's CSV lists the issues of the JSON with labels and scores that rank them") {
  const fs::path folder = support::scratch_dir("audit_csv");
  const drawn_data d(600, 4);
  d.write(folder);
  const json report = report_of(folder, {"--issues", "issues.csv", "--score", "normalized_margin"});
  std::istringstream lines(slurp(folder / "issues.csv"));
  std::string line;
  REQUIRE(std::getline(lines, line));
  CHECK(line == "index,given,suggested,score");
  std::vector<std::int64_t> rows;
  double before = -1;
  while (std::getline(lines, line)) {
    std::int64_t row = -1, given = -1, suggested = -1;
    double score = -1;
    REQUIRE(std::sscanf(line.c_str(), "%ld,%ld,%ld,%lf", &row, &given, &suggested, &score) == 4);
    rows.push_back(row);
    CHECK(given == d.label[static_cast<std::size_t>(row)]);
    const float* const p = d.prob.data() + row * d.k;
    CHECK(suggested == std::max_element(p, p + d.k) - p);
    CHECK(suggested != given);
    CHECK(score == (double(p[given]) - double(p[suggested]) + 1) / 2);  // 17 digits give the number back
    CHECK(score >= before);
    before = score;
  }
  REQUIRE(rows.size() > 10);
  CHECK(report.at("issues") == rows);
}

TEST_CASE("label_audit's options choose filter, score and their parameters") {
  const fs::path folder = support::scratch_dir("audit_options");
  const drawn_data d(3000, 5);
  d.write(folder);
  const auto prob = weakly::view(d.prob.data(), d.n, d.k);
  const auto rows_of = [](const json& report) {
    std::vector<weakly::index_t> rows = report.at("issues");
    std::sort(rows.begin(), rows.end());
    return rows;
  };
  using enum weakly::issue_filter;
  const std::vector<std::pair<std::string, weakly::issue_filter>> filters = {
      {"prune_by_noise_rate", prune_by_noise_rate},
      {"prune_by_class", prune_by_class},
      {"both", both},
      {"confident_learning", confident_learning},
      {"predicted_neq_given", predicted_neq_given},
      {"low_normalized_margin", low_normalized_margin},
      {"low_self_confidence", low_self_confidence}};
  for (const auto& [name, filter] : filters)
    for (const auto compat : {weakly::compatibility::none, weakly::compatibility::cleanlab}) {
      strings arguments = {"--filter-by", name};
      if (compat == weakly::compatibility::cleanlab) arguments.insert(arguments.end(), {"--compat", "cleanlab"});
      const json report = report_of(folder, arguments);
      CHECK(report.at("filter_by") == name);
      CHECK(rows_of(report) == weakly::find_label_issues(d.label, prob, {.filter_by = filter, .compat = compat}).rows);
    }
  CHECK(rows_of(report_of(folder, {"--frac-noise", "0.5"})) ==
        weakly::find_label_issues(d.label, prob, {.frac_noise = 0.5}).rows);
  CHECK(report_of(folder, {"--frac-noise", "0"}).at("num_issues") == 0);
  CHECK(rows_of(report_of(folder, {"--min-examples-per-class", "590"})) ==
        weakly::find_label_issues(d.label, prob, {.min_examples_per_class = 590}).rows);
  CHECK(report_of(folder, {"--min-examples-per-class", "3000"}).at("num_issues") == 0);

  const json plain = report_of(folder, {"--score", "self_confidence"});
  const json adjusted = report_of(folder, {"--score", "self_confidence", "--adjust"});
  CHECK(adjusted.at("score") == "adjusted_self_confidence");
  CHECK(rows_of(adjusted) == rows_of(plain));
  CHECK(adjusted.at("issues") != plain.at("issues"));

  const process noted = run_on_files(folder, {"--filter-by", "confident_learning", "--frac-noise", "0.5"});
  CHECK(noted.status == 0);
  CHECK(noted.errors.find("--frac-noise has no effect with --filter-by confident_learning") != std::string::npos);
}

TEST_CASE("label_audit reads float16, float32 and float64 in either order of axes and bytes to the same report") {
  const fs::path folder = support::scratch_dir("audit_layouts");
  // Eighths are exact in every type, so that all files hold the same numbers.
  const std::int64_t n = 240, k = 4;
  std::vector<double> prob;
  std::vector<std::int64_t> label;
  for (std::int64_t i = 0; i < n; ++i) {
    const std::int64_t top = (i * 7) % k;
    for (std::int64_t c = 0; c < k; ++c) prob.push_back(c == top ? 0.625 : 0.125);
    label.push_back(i % 11 == 0 ? (top + 1) % k : top);
  }
  npy::write_npy((folder / "L.npy").string(), label);
  npy::write_npy((folder / "P.npy").string(), prob, n, k);
  const json expected = report_of(folder, {});
  CHECK(expected.at("num_issues") == 22);

  const auto write = [&](const std::string& type, std::size_t size, bool big, bool by_column) {
    std::string header = "{'descr': '" + std::string(big ? ">" : "<") + type +
                         "', 'fortran_order': " + (by_column ? "True" : "False") + ", 'shape': (240, 4), }";
    header.append(118 - header.size() - 1, ' ');
    std::string bytes = std::string("\x93NUMPY\x01\x00", 8) + '\x76' + '\0' + header + '\n';
    for (std::int64_t e = 0; e < n * k; ++e) {
      const double x = prob[static_cast<std::size_t>(by_column ? e % n * k + e / n : e)];
      std::string element;
      if (type == "f8") element.assign(reinterpret_cast<const char*>(&x), 8);
      const auto f = static_cast<float>(x);
      if (type == "f4") element.assign(reinterpret_cast<const char*>(&f), 4);
      const std::uint16_t half = x == 0.625 ? 0x3900 : 0x3000;
      if (type == "f2") element.assign(reinterpret_cast<const char*>(&half), 2);
      if (big) std::reverse(element.begin(), element.end());
      REQUIRE(element.size() == size);
      bytes += element;
    }
    spill(folder / "P.npy", bytes);
  };
  for (const auto& [type, size] : {std::pair<std::string, std::size_t>{"f2", 2}, {"f4", 4}, {"f8", 8}})
    for (const bool big : {false, true})
      for (const bool by_column : {false, true}) {
        write(type, size, big, by_column);
        CHECK(report_of(folder, {"--batch", "37"}) == expected);
      }
}

TEST_CASE("label_audit shows an absent class as null, and as 2 with cleanlab's numbers") {
  const fs::path folder = support::scratch_dir("audit_absent");
  small_data d;
  for (std::int64_t& s : d.label) s = s == 2 ? 0 : s;
  d.write(folder);
  const json ours = report_of(folder, {});
  CHECK(ours.at("thresholds")[2].is_null());
  CHECK(ours.at("class_quality").back().at("class_index") == 2);
  CHECK(ours.at("class_quality").back().at("label_noise").is_null());
  CHECK(ours.at("class_quality").back().at("label_quality_score").is_null());
  const json theirs = report_of(folder, {"--compat", "cleanlab"});
  CHECK(theirs.at("thresholds")[2] == 2.0);
  CHECK(run_on_files(folder, {"--html", "absent.html"}).status == 0);
  is_self_contained(slurp(folder / "absent.html"));
}

TEST_CASE("label_audit's page loads nothing, escapes class names, and holds every cell with its number") {
  const fs::path folder = support::scratch_dir("audit_html");
  const drawn_data d(1000, 3);
  d.write(folder);
  spill(folder / "names.txt", "<script>alert(1)</script>\n\"quoted\" & 'so'\nplain\n");
  const json report = report_of(folder, {"--html", "page.html", "--class-names", "names.txt"});
  const std::string page = slurp(folder / "page.html");
  is_self_contained(page);
  CHECK(page.find("&lt;script&gt;alert(1)&lt;/script&gt;") != std::string::npos);
  CHECK(page.find("&quot;quoted&quot; &amp; &#39;so&#39;") != std::string::npos);
  CHECK(page.find("prefers-color-scheme:dark") != std::string::npos);
  CHECK(occurrences(page, "given plain, truly ") == 6);  // three cells in each heat map
  const std::int64_t cell = report.at("confident_joint")[2][0];
  CHECK(page.find("given plain, truly &lt;script&gt;alert(1)&lt;/script&gt;: " + std::to_string(cell) + " example") !=
        std::string::npos);
  const std::size_t issues = report.at("num_issues");
  REQUIRE(issues > 20);
  CHECK(occurrences(page, "class=\"num soft\"") == std::min<std::size_t>(issues, 200));
}

TEST_CASE("label_audit's page stays small with many classes and many issues, and says what it leaves out") {
  const fs::path folder = support::scratch_dir("audit_html_large");
  drawn_data(4000, 300).write(folder);
  CHECK(run_on_files(folder, {"--html", "page.html", "--filter-by", "predicted_neq_given"}).status == 0);
  const std::string page = slurp(folder / "page.html");
  is_self_contained(page);
  CHECK(page.size() < 400000);
  CHECK(page.find("24 of 300 classes") != std::string::npos);
  CHECK(occurrences(page, "class=\"num soft\"") == 200);
  CHECK(page.find(" more in the reports of --issues and --json.") != std::string::npos);
  CHECK(page.find("270 more classes") != std::string::npos);
}

TEST_CASE("label_audit prints one screen, nothing with --quiet, and its options with --help") {
  const fs::path folder = support::scratch_dir("audit_terminal");
  drawn_data(2000, 40).write(folder);
  const process shown = run_on_files(folder);
  CHECK(shown.status == 0);
  CHECK(shown.errors.empty());
  CHECK(occurrences(shown.output, "\n") <= 40);
  CHECK(shown.output.find('\x1b') == std::string::npos);  // not a terminal
  for (const char* word : {"2,000", "40 classes", "prune_by_noise_rate", "classes that overlap", "suggested", "more"})
    CHECK_MESSAGE(shown.output.find(word) != std::string::npos, word);

  const process quiet = run_on_files(folder, {"--quiet"});
  CHECK(quiet.status == 0);
  CHECK(quiet.output.empty());
  CHECK(quiet.errors.empty());

  const process help = run(folder, {"--help"});
  CHECK(help.status == 0);
  for (const char* option : {"--pred-probs", "--labels", "--class-names", "--filter-by", "--score", "--adjust",
                             "--frac-noise", "--min-examples-per-class", "--compat", "--normalise", "--threads",
                             "--batch", "--json", "--issues", "--html", "--quiet", "--flip", "--seed"})
    CHECK_MESSAGE(help.output.find(option) != std::string::npos, option);

  std::string names = "evil\x1b[2J\n";
  for (int c = 1; c < 40; ++c) names += "name " + std::to_string(c) + "\n";
  spill(folder / "names.txt", names);
  const process named = run_on_files(folder, {"--class-names", "names.txt", "--filter-by", "predicted_neq_given"});
  CHECK(named.status == 0);
  CHECK(named.output.find("name ") != std::string::npos);
  CHECK(named.output.find('\x1b') == std::string::npos);
}
