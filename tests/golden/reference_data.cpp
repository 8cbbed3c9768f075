// SPDX-License-Identifier: MIT
#include "reference_data.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace golden {

nlohmann::json reference_case::expected() const { return read_json(folder_ / "expected.json"); }

npy_array reference_case::array(const std::string& array) {
  read_.insert(array);
  if (!has(array + "_stable")) return read_npy(folder_ / (array + ".npy"));
  read_.insert(array + "_stable");
  return read_npy(folder_ / (array + "_stable.npy"));
}

integers reference_case::mask(const std::string& name) {
  integers rows;
  const npy_array stored = array(name);
  for (std::size_t i = 0; i < stored.values.size(); ++i)
    if (stored.values[i] != 0) rows.push_back(static_cast<std::int64_t>(i));
  return rows;
}

std::vector<std::string> reference_case::names(const std::string& prefix) const {
  std::vector<std::string> out;
  for (const auto& entry : std::filesystem::directory_iterator(folder_)) {
    const std::string stem = entry.path().stem().string();
    if (entry.path().extension() == ".npy" && stem.starts_with(prefix) && !stem.ends_with("_stable"))
      out.push_back(stem);
  }
  std::sort(out.begin(), out.end());
  return out;
}

std::vector<std::string> reference_case::unread() const {
  std::vector<std::string> out;
  for (const std::string& name : names("expected_"))
    if (read_.count(name) == 0) out.push_back(name);
  return out;
}

namespace {

/// Takes `part` off the end of `text`.
bool take_suffix(std::string& text, const std::string& part) {
  if (!text.ends_with(part)) return false;
  text.resize(text.size() - part.size());
  return true;
}

filter_result reference_filter(reference_case& from, const std::string& stored, const nlohmann::json& expected) {
  filter_result out;
  std::string rule = stored.substr(std::string("expected_mask_").size());
  if (rule == "argmax_confusion_prune_by_noise_rate") {
    rule = "prune_by_noise_rate";
    out.joint = "argmax";
  }
  if (take_suffix(rule, "_rawjoint")) out.joint = "raw";
  if (take_suffix(rule, "_frac0.5")) out.frac_noise = 0.5;
  if (take_suffix(rule, "_remove")) out.num_to_remove_per_class = integers_of(expected.at("num_to_remove_per_class"));
  if (const std::size_t at = rule.find("_min"); at != std::string::npos) {
    out.min_examples_per_class = std::stoll(rule.substr(at + 4));
    rule.resize(at);
  }
  out.filter_by = rule;
  out.issues = from.mask(stored);
  return out;
}

std::vector<overlap> reference_overlaps(const nlohmann::json& j) {
  std::vector<overlap> out;
  for (std::size_t i = 0; i < j.at("Class Index A").size(); ++i)
    out.push_back({j["Class Index A"][i].get<std::int64_t>(), j["Class Index B"][i].get<std::int64_t>(),
                   j["Num Overlapping Examples"][i].get<std::int64_t>(), j["Joint Probability"][i].get<double>()});
  return out;
}

}  // namespace

single_label load_reference(reference_case& from) {
  const nlohmann::json expected = from.expected();
  single_label out;
  out.name = from.name();
  out.dtype = expected.at("dtype");
  out.n = expected.at("n");
  out.k = expected.at("k");
  out.labels = from.integer_array("labels");
  out.pred_probs = from.real_array("pred_probs");
  out.thresholds = from.real_array("expected_thresholds");
  out.confident_joint_raw = from.integer_array("expected_confident_joint_raw");
  out.confident_joint = from.integer_array("expected_confident_joint");
  out.off_diagonal = from.integer_array("expected_off_diagonal_indices");
  out.joint = from.real_array("expected_joint");
  const std::string py = "expected_py_";
  for (const std::string& name : from.names(py)) {
    std::string method = name.substr(py.size());
    latent found;
    found.prior = from.real_array(name);
    // The matrices of the unconverged estimate do not depend on the method: they are stored for cnt only.
    if (from.has("expected_noise_matrix_" + method)) {
      found.noise_matrix = from.real_array("expected_noise_matrix_" + method);
      found.inverse_noise_matrix = from.real_array("expected_inverse_noise_matrix_" + method);
    }
    auto& where = take_suffix(method, "_from_raw_joint") ? out.latents_from_raw : out.latents;
    where[method] = found;
  }
  for (const std::string method : {"off_diagonal", "off_diagonal_calibrated", "off_diagonal_custom_from_raw"})
    out.num_issues[method] = expected.at("num_label_issues_" + method);
  for (const std::string& name : from.names("expected_mask_"))
    out.filters.push_back(reference_filter(from, name, expected));
  const std::string ranked = "expected_ranked_";
  for (const std::string& name : from.names(ranked)) {
    const std::size_t by = name.rfind("_by_");
    out.rankings.push_back(
        {name.substr(ranked.size(), by - ranked.size()), name.substr(by + 4), from.integer_array(name)});
  }
  const std::string score = "expected_score_";
  for (const std::string& name : from.names(score)) out.scores[name.substr(score.size())] = from.real_array(name);
  if (from.has("custom_thresholds"))
    out.custom.push_back({from.real_array("custom_thresholds"),
                          from.integer_array("expected_custom_confident_joint_raw"),
                          from.integer_array("expected_custom_confident_joint"),
                          {}});
  out.health = expected.at("overall_label_health_score").get<double>();
  out.health_from_joint = expected.at("overall_label_health_score_from_joint");
  const auto& q = expected.at("rank_classes_by_label_quality");
  out.quality = {integers_of(q.at("Class Index")),          integers_of(q.at("Label Issues")),
                 integers_of(q.at("Inverse Label Issues")), reals_of(q.at("Label Noise")),
                 reals_of(q.at("Inverse Label Noise")),     reals_of(q.at("Label Quality Score"))};
  out.overlapping = reference_overlaps(expected.at("overlapping_classes"));
  if (expected.contains("overlapping_classes_asymmetric_top50"))
    out.overlapping_asymmetric = reference_overlaps(expected["overlapping_classes_asymmetric_top50"]);
  return out;
}

multi_label load_multi_label_reference(reference_case& from) {
  const nlohmann::json expected = from.expected();
  multi_label out;
  out.name = from.name();
  out.dtype = "float64";
  out.n = expected.at("n");
  out.k = expected.at("k");
  out.labels = from.integer_array("labels");
  out.pred_probs = from.real_array("pred_probs");
  out.thresholds = from.real_array("expected_thresholds");
  out.confident_joint_raw = from.integer_array("expected_confident_joint_raw");
  out.confident_joint = from.integer_array("expected_confident_joint");
  out.joint = from.real_array("expected_joint");
  for (const std::string rule : {"prune_by_noise_rate", "prune_by_class", "both", "confident_learning",
                                 "predicted_neq_given", "low_self_confidence", "low_normalized_margin"}) {
    multi_label_filter f;
    f.options.filter_by = rule;
    if (from.has("expected_mask_" + rule)) f.options.issues = from.mask("expected_mask_" + rule);
    if (from.has("expected_mask_per_class_" + rule)) {
      const integers rows = from.mask("expected_mask_per_class_" + rule);
      f.per_class.emplace(static_cast<std::size_t>(out.k));
      for (std::int64_t at : rows) (*f.per_class)[static_cast<std::size_t>(at % out.k)].push_back(at / out.k);
    }
    const std::string ranked = "expected_ranked_" + rule + "_by_self_confidence";
    if (from.has(ranked)) f.ranked_by_self_confidence = from.integer_array(ranked);
    if (rule.starts_with("low_")) f.ranked_by_self_confidence.reset();  // a defect of cleanlab, no target
    out.filters.push_back(std::move(f));
  }
  const std::string score = "expected_score_";
  for (const std::string& name : from.names(score)) {
    std::string key = name.substr(score.size());
    if (key == "ema_alpha_default") key = "moving_average_default_alpha";
    if (key == "softmin_self_confidence") key = "softmin";
    out.scores[key] = from.real_array(name);
  }
  const auto& common = expected.at("common_issues");
  out.given_but_flagged.emplace(static_cast<std::size_t>(out.k));
  out.not_given_but_flagged.emplace(static_cast<std::size_t>(out.k));
  for (std::size_t i = 0; i < common.at("Class Index").size(); ++i)
    (common["In Given Label"][i].get<bool>() ? out.given_but_flagged : out.not_given_but_flagged)
        ->at(common["Class Index"][i].get<std::size_t>()) = common["Num Examples"][i].get<std::int64_t>();
  out.health = expected.at("health_score").get<double>();
  return out;
}

}  // namespace golden
