// SPDX-License-Identifier: MIT
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "audit_tool.hpp"
#include "golden/reference_data.hpp"

using namespace audit_test;
using nlohmann::json;

namespace {

void near(const json& found, const golden::reals& expected, double tolerance) {
  golden::reals flat;
  for (const json& x : found)
    if (x.is_array())
      for (const json& y : x) flat.push_back(y);
    else
      flat.push_back(x);
  REQUIRE(flat.size() == expected.size());
  double worst = 0;
  for (std::size_t i = 0; i < flat.size(); ++i) worst = std::max(worst, std::abs(flat[i] - expected[i]));
  CHECK(worst <= tolerance);
}

golden::integers flat_integers(const json& table) {
  golden::integers out;
  for (const json& row : table)
    for (const json& x : row) out.push_back(x);
  return out;
}

/// Everything that --compat cleanlab reports about one folder of the reference data. Returns how many filters it
/// checked.
int check(const fs::path& data, const fs::path& folder, bool exact_scores = true) {
  golden::reference_case from(data);
  const golden::single_label expected = golden::load_reference(from);
  CAPTURE(expected.name);
  const auto report = [&](strings arguments) {
    const std::string p = data / "pred_probs.npy", l = data / "labels.npy";
    arguments.insert(arguments.end(), {"--compat", "cleanlab", "--pred-probs", p, "--labels", l});
    return report_of(folder, arguments, false);
  };

  const json r = report({});
  CHECK(r.at("n") == expected.n);
  CHECK(r.at("k") == expected.k);
  near(r.at("thresholds"), expected.thresholds, 1e-12);
  CHECK(flat_integers(r.at("confident_joint_raw")) == expected.confident_joint_raw);
  CHECK(flat_integers(r.at("confident_joint")) == expected.confident_joint);
  near(r.at("joint"), expected.joint, 1e-12);
  const auto& latent = expected.latents.at("cnt");
  near(r.at("prior"), latent.prior, 1e-9);
  near(r.at("noise_matrix"), latent.noise_matrix, 1e-9);
  near(r.at("inverse_noise_matrix"), latent.inverse_noise_matrix, 1e-9);
  CHECK(r.at("off_diagonal_issues") == expected.num_issues.at("off_diagonal"));
  CHECK(r.at("calibrated_issues") == expected.num_issues.at("off_diagonal_calibrated"));
  CHECK(r.at("health").get<double>() == doctest::Approx(*expected.health).epsilon(1e-12));

  // Rows of equal value are in numpy's order in the reference: each is found by its class or pair instead.
  const auto& q = expected.quality;
  REQUIRE(r.at("class_quality").size() == q.class_index.size());
  for (const json& c : r.at("class_quality")) {
    const auto at = static_cast<std::size_t>(
        std::find(q.class_index.begin(), q.class_index.end(), c.at("class_index").get<std::int64_t>()) -
        q.class_index.begin());
    REQUIRE(at < q.class_index.size());
    CHECK(c.at("label_issues") == q.issues[at]);
    CHECK(c.at("inverse_label_issues") == q.inverse_issues[at]);
    CHECK(std::abs(c.at("label_noise").get<double>() - q.noise[at]) <= 1e-9);
    CHECK(std::abs(c.at("inverse_label_noise").get<double>() - q.inverse_noise[at]) <= 1e-9);
    CHECK(std::abs(c.at("label_quality_score").get<double>() - q.quality[at]) <= 1e-9);
  }
  REQUIRE(r.at("overlapping_classes").size() == expected.overlapping.size());
  for (std::size_t i = 0; i < expected.overlapping.size(); ++i) {
    const json& mine = r.at("overlapping_classes")[i];
    CHECK(std::abs(mine.at("joint_probability").get<double>() - expected.overlapping[i].probability) <= 1e-9);
    CHECK(mine.at("num_overlapping_examples") == expected.overlapping[i].count);
  }

  int filters = 0;
  for (const golden::filter_result& f : expected.filters) {
    if (!f.joint.empty() || f.num_to_remove_per_class) continue;  // the tool has no option for these
    CAPTURE(f.filter_by);
    strings arguments = {"--filter-by", f.filter_by};
    if (f.frac_noise != 1) arguments.insert(arguments.end(), {"--frac-noise", std::to_string(f.frac_noise)});
    if (f.min_examples_per_class != 1)
      arguments.insert(arguments.end(), {"--min-examples-per-class", std::to_string(f.min_examples_per_class)});
    // Each filter under each score: the ranking is the stable order of the stored scores.
    for (const std::string score : {"self_confidence", "normalized_margin", "confidence_weighted_entropy",
                                    "adjusted_self_confidence", "adjusted_normalized_margin"}) {
      CAPTURE(score);
      const bool adjust = score.starts_with("adjusted_");
      strings with_score = arguments;
      with_score.insert(with_score.end(), {"--score", adjust ? score.substr(9) : score});
      if (adjust) with_score.push_back("--adjust");
      const json found = report(with_score);
      golden::integers rows = f.issues.value();
      const golden::reals& stored = expected.scores.at(score).value();
      std::stable_sort(rows.begin(), rows.end(), [&](std::int64_t a, std::int64_t b) {
        return stored[static_cast<std::size_t>(a)] < stored[static_cast<std::size_t>(b)];
      });
      CHECK(found.at("num_issues") == rows.size());
      if (exact_scores) {
        CHECK(found.at("issues").get<golden::integers>() == rows);
        continue;
      }
      // Scores that differ in their last bit only, by numpy's logarithm, may change places.
      golden::integers mine = found.at("issues");
      double before = -1;
      for (const std::int64_t row : mine) {
        CHECK(stored[static_cast<std::size_t>(row)] >= before - 1e-12);
        before = std::max(before, stored[static_cast<std::size_t>(row)]);
      }
      std::sort(mine.begin(), mine.end());
      CHECK(mine == f.issues.value());
    }
    ++filters;
  }
  for (const golden::ranking& ranked : expected.rankings)
    CHECK(report({"--filter-by", ranked.filter_by, "--score", ranked.score}).at("issues").get<golden::integers>() ==
          ranked.issues.value());
  CHECK(expected.rankings.size() == 9);
  return filters;
}

}  // namespace

TEST_CASE("label_audit --compat cleanlab equals every stored result on MNIST, for every filter and score") {
  const auto data = support::reference_data("confident_learning/mnist");
  if (!data) return;
  CHECK(check(*data, support::scratch_dir("audit_reference_mnist")) == 19);
}

TEST_CASE("label_audit --compat cleanlab equals every stored result on 20news, for every filter and score") {
  const auto data = support::reference_data("confident_learning/20news");
  if (!data) return;
  CHECK(check(*data, support::scratch_dir("audit_reference_20news")) == 19);
}

TEST_CASE("label_audit --compat cleanlab equals the stored results of the edge cases") {
  const auto data = support::reference_data("confident_learning/edge");
  if (!data) return;
  int filters = 0;
  for (const std::string name :
       {"binary", "float32", "missing_classes", "multi_confident", "on_threshold", "one_hot_all_correct",
        "one_hot_some_wrong", "rare_class", "ties", "unnormalised_rows", "zero_threshold_class"})
    filters += check(*data / name, support::scratch_dir("audit_reference_" + name), name != "ties");
  CHECK(filters >= 11 * 7);
}
