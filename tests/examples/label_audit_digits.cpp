// SPDX-License-Identifier: MIT
#include <digits.hpp>
#include <label_audit/evaluate.hpp>
#include <label_audit/labels.hpp>
#include <label_audit/trainer.hpp>
#include <perceptron.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/exec/thread_pool.hpp>

#include <algorithm>
#include <cstdint>
#include <map>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "audit_tool.hpp"

using namespace audit_test;
using nlohmann::json;

TEST_CASE("the shipped digits are the 1,797 pictures of ten classes that their README describes") {
  const examples::digits d = examples::read_digits(examples::digits_path());
  REQUIRE(d.label.size() == 1797);
  REQUIRE(d.pictures.size() == 1797);
  std::map<std::int32_t, int> count;
  for (const std::int32_t s : d.label) ++count[s];
  CHECK(count ==
        std::map<std::int32_t, int>{
            {0, 178}, {1, 182}, {2, 177}, {3, 183}, {4, 181}, {5, 182}, {6, 181}, {7, 179}, {8, 174}, {9, 180}});
  std::int64_t ink = 0;
  for (const auto& picture : d.pictures) ink += std::accumulate(picture.begin(), picture.end(), std::int64_t{0});
  CHECK(ink == 561718);
}

TEST_CASE("read_digits names the line that is no digit") {
  const fs::path folder = support::scratch_dir("audit_digits_file");
  std::string good;
  for (int j = 0; j < 64; ++j) good += std::to_string(j % 17) + ",";
  for (const std::string& bad :
       {good + "10", good + "x", good + "1,", good, good.substr(2) + "1", "17," + good.substr(2) + "1",
        std::string("-1,") + good.substr(2) + "1", std::string()}) {
    spill(folder / "digits.csv", good + "3\n" + bad + "\n");
    CHECK_THROWS_WITH_AS(examples::read_digits(folder / "digits.csv"), doctest::Contains("line 2"), std::runtime_error);
  }
  CHECK_THROWS_AS(examples::read_digits(folder / "none.csv"), std::runtime_error);
  spill(folder / "digits.csv", "");
  CHECK_THROWS_AS(examples::read_digits(folder / "digits.csv"), std::runtime_error);
}

TEST_CASE("stratified_folds spreads every class evenly, and all rows evenly") {
  std::vector<std::int32_t> label;
  for (std::int32_t i = 0; i < 503; ++i) label.push_back(i * i % 7 % 3);
  const std::vector<weakly::index_t> fold = examples::stratified_folds(label, 4, 5, 9);
  std::map<weakly::index_t, int> size;
  std::map<std::pair<std::int32_t, weakly::index_t>, int> part;
  std::map<std::int32_t, int> members;
  for (std::size_t i = 0; i < label.size(); ++i) {
    ++size[fold[i]];
    ++part[{label[i], fold[i]}];
    ++members[label[i]];
  }
  REQUIRE(size.size() == 5);
  for (const auto& [f, rows] : size) CHECK((rows == 100 || rows == 101));
  for (const auto& [key, rows] : part) {
    CHECK(rows >= members[key.first] / 5);
    CHECK(rows <= members[key.first] / 5 + 1);
  }
  CHECK(examples::stratified_folds(label, 4, 5, 9) == fold);
  CHECK(examples::stratified_folds(label, 4, 5, 10) != fold);
}

TEST_CASE("the perceptron predicts at least 96 of 100 digits that it has not seen, the same for any executor") {
  const examples::digits d = examples::read_digits(examples::digits_path());
  const examples::row_major x = examples::features_of(d);
  weakly::thread_pool pool(3);
  const examples::row_major p = label_audit::cross_validated_probabilities(pool, x, d.label, 10, 5, 0);
  CHECK(p == label_audit::cross_validated_probabilities(weakly::seq, x, d.label, 10, 5, 0));
  CHECK((p.rowwise().sum().array() - 1).abs().maxCoeff() < 1e-5f);
  CHECK(p.minCoeff() >= 0);
  int right = 0;
  for (weakly::index_t i = 0; i < p.rows(); ++i) {
    weakly::index_t best = 0;
    p.row(i).maxCoeff(&best);
    right += best == d.label[static_cast<std::size_t>(i)];
  }
  CHECK(right >= 1797 * 96 / 100);
}

TEST_CASE("flip_labels changes exactly the share asked for, to other classes, from the seed alone") {
  std::vector<std::int32_t> label;
  for (std::int32_t i = 0; i < 20000; ++i) label.push_back(i % 5);
  std::vector<std::int32_t> flipped = label;
  const label_audit::flipped_labels f = label_audit::flip_labels(flipped, 5, 0.1, 7);
  REQUIRE(f.rows.size() == 2000);
  CHECK(std::is_sorted(f.rows.begin(), f.rows.end()));
  std::map<std::int32_t, int> step;
  std::size_t next = 0;
  for (std::size_t i = 0; i < label.size(); ++i) {
    const bool chosen = next < f.rows.size() && f.rows[next] == static_cast<weakly::index_t>(i);
    CHECK_MESSAGE((flipped[i] != label[i]) == chosen, i);
    if (!chosen) continue;
    CHECK(f.original[next++] == label[i]);
    ++step[(flipped[i] - label[i] + 5) % 5];
  }
  // 2000 draws from 4 equal classes: 500 each, with a standard deviation of 19.
  REQUIRE(step.size() == 4);
  for (const auto& [s, count] : step) CHECK(std::abs(count - 500) < 97);
  // 1000 of 2000 flipped rows lie in the first half, with a standard deviation of 21.
  CHECK(std::abs(std::lower_bound(f.rows.begin(), f.rows.end(), 10000) - f.rows.begin() - 1000) < 106);

  std::vector<std::int32_t> again = label, other = label, one = {0, 1, 0};
  CHECK(label_audit::flip_labels(again, 5, 0.1, 7).rows == f.rows);
  CHECK(again == flipped);
  CHECK(label_audit::flip_labels(other, 5, 0.1, 8).rows != f.rows);
  CHECK(label_audit::flip_labels(one, 2, 0.01, 1).rows.size() == 1);
}

TEST_CASE("average_precision ranks by score, then by row, without keeping the ranking") {
  // Ascending: rows 2, 0, 4 (tied with 0), 1, 3. Flipped: 2, 4, 3, at ranks 1, 3 and 5.
  const std::vector<double> score = {0.25, 0.5, 0.125, 0.75, 0.25};
  const std::vector<weakly::index_t> flipped = {2, 3, 4};
  label_audit::average_precision ap(flipped);
  const std::span<const double> all(score);
  ap.note(0, all.first(3));
  ap.note(3, all.subspan(3));
  ap.count(0, all.first(1));
  ap.count(1, all.subspan(1));
  CHECK(ap.finish() == doctest::Approx((1.0 + 2.0 / 3 + 3.0 / 5) / 3));
}

TEST_CASE("label_audit audits the shipped digits when it is given no files") {
  const fs::path folder = support::scratch_dir("audit_digits");
  const json report = report_of(folder, {"--html", "page.html"}, false);
  CHECK(report.at("n") == 1797);
  CHECK(report.at("k") == 10);
  CHECK(report.at("num_issues") >= 1);
  CHECK(report.at("num_issues") <= 40);  // few of these labels are wrong
  CHECK_FALSE(report.contains("flip"));
  const std::string page = slurp(folder / "page.html");
  CHECK(page.find("10.24432/C50P49") != std::string::npos);
  std::size_t pictures = 0;
  for (std::size_t at = page.find("<figure"); at != std::string::npos; at = page.find("<figure", at + 1)) ++pictures;
  CHECK(pictures == report.at("num_issues"));
}

TEST_CASE("label_audit --flip finds most of what it corrupted, and the same for the same seed") {
  const fs::path folder = support::scratch_dir("audit_flip");
  const json report = report_of(folder, {"--flip", "0.1", "--seed", "7", "--html", "page.html"}, false);
  const json plain = report_of(folder, {"--seed", "7"}, false);
  const json& flip = report.at("flip");
  const std::vector<std::int64_t> flipped = flip.at("flipped"), issues = report.at("issues");
  CHECK(flip.at("fraction") == 0.1);
  CHECK(flip.at("seed") == 7);
  CHECK(flip.at("num_flipped") == 180);
  REQUIRE(flipped.size() == 180);
  std::vector<std::int64_t> sorted = issues, both;
  std::sort(sorted.begin(), sorted.end());
  std::set_intersection(sorted.begin(), sorted.end(), flipped.begin(), flipped.end(), std::back_inserter(both));
  CHECK(flip.at("precision").get<double>() == static_cast<double>(both.size()) / static_cast<double>(issues.size()));
  CHECK(flip.at("recall").get<double>() == static_cast<double>(both.size()) / 180);
  CHECK(flip.at("precision").get<double>() > 0.85);
  CHECK(flip.at("recall").get<double>() > 0.75);
  CHECK(flip.at("average_precision").get<double>() > 0.95);
  CHECK(flip.at("plain").at("num_issues") == plain.at("num_issues"));
  CHECK(flip.at("plain").at("health") == plain.at("health"));
  CHECK(flip.at("plain").at("off_diagonal_issues") == plain.at("off_diagonal_issues"));
  CHECK(flip.at("plain").at("calibrated_issues") == plain.at("calibrated_issues"));
  CHECK(slurp(folder / "page.html").find("before flipping") != std::string::npos);

  CHECK(report_of(folder, {"--flip", "0.1", "--seed", "7", "--threads", "1"}, false) == report);
  CHECK(report_of(folder, {"--flip", "0.1", "--seed", "8"}, false).at("flip").at("flipped") != flip.at("flipped"));
}

TEST_CASE("label_audit --flip works on given files, against what sorting all rows gives") {
  const fs::path folder = support::scratch_dir("audit_flip_files");
  small_data d;
  d.write(folder);
  const json report = report_of(folder, {"--flip", "0.2", "--seed", "5", "--batch", "4"});
  const std::vector<std::int64_t> flipped = report.at("flip").at("flipped");
  REQUIRE(flipped.size() == 6);
  std::vector<std::int32_t> label(d.label.begin(), d.label.end());
  CHECK(label_audit::flip_labels(label, 3, 0.2, 5).rows == flipped);
  std::vector<std::pair<double, std::int64_t>> ranking;
  for (std::int64_t i = 0; i < d.n; ++i) ranking.push_back({d.at(i, label[static_cast<std::size_t>(i)]), i});
  std::sort(ranking.begin(), ranking.end());
  double sum = 0, hits = 0;
  for (std::size_t i = 0; i < ranking.size(); ++i)
    if (std::binary_search(flipped.begin(), flipped.end(), ranking[i].second))
      sum += ++hits / static_cast<double>(i + 1);
  CHECK(report.at("flip").at("average_precision").get<double>() == doctest::Approx(sum / 6));
}
