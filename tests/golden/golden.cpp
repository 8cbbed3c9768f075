// SPDX-License-Identifier: MIT
#include "golden.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace golden {

nlohmann::json read_json(const std::filesystem::path& path) {
  std::ifstream file(path);
  if (!file) detail::stop("cannot read " + path.string());
  nlohmann::json parsed = nlohmann::json::parse(file, nullptr, false);
  if (parsed.is_discarded()) detail::stop(path.string() + " is not JSON");
  return parsed;
}

std::vector<std::string> case_names(const std::string& kind) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory()))
    if (entry.path().extension() == ".json" && read_json(entry.path()).value("kind", "") == kind)
      names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

namespace {

template <class T>
void append(const nlohmann::json& j, std::vector<T>& out) {
  if (j.is_array()) {
    for (const auto& x : j) append(x, out);
  } else if (j.is_null()) {
    out.push_back(std::numeric_limits<T>::has_quiet_NaN ? std::numeric_limits<T>::quiet_NaN() : T(0));
  } else {
    out.push_back(j.get<T>());
  }
}

}  // namespace

reals reals_of(const nlohmann::json& j) {
  reals out;
  append(j, out);
  return out;
}

integers integers_of(const nlohmann::json& j) {
  integers out;
  append(j, out);
  return out;
}

namespace {

std::optional<integers> maybe_integers(const nlohmann::json& j) {
  return j.is_null() ? std::nullopt : std::optional(integers_of(j));
}

std::map<std::string, latent> latents_of(const nlohmann::json& j) {
  std::map<std::string, latent> out;
  for (const auto& [method, x] : j.items())
    out[method] = {reals_of(x.at("prior")), reals_of(x.at("noise_matrix")), reals_of(x.at("inverse_noise_matrix"))};
  return out;
}

std::vector<overlap> overlaps_of(const nlohmann::json& j) {
  std::vector<overlap> out;
  for (std::size_t i = 0; i < j.at("a").size(); ++i)
    out.push_back({j["a"][i].get<std::int64_t>(), j["b"][i].get<std::int64_t>(), j["count"][i].get<std::int64_t>(),
                   j["probability"][i].get<double>()});
  return out;
}

filter_result filter_of(const nlohmann::json& j) {
  filter_result out;
  out.filter_by = j.at("filter_by");
  out.frac_noise = j.value("frac_noise", 1.0);
  out.min_examples_per_class = j.value("min_examples_per_class", std::int64_t{1});
  if (j.contains("num_to_remove_per_class")) out.num_to_remove_per_class = integers_of(j["num_to_remove_per_class"]);
  out.joint = j.value("joint", std::string());
  out.issues = maybe_integers(j.at("issues"));
  return out;
}

}  // namespace

single_label load_single_label(const std::string& name) {
  const nlohmann::json j = read_json(directory() / (name + ".json"));
  single_label out;
  out.name = name;
  out.dtype = j.at("dtype");
  out.n = j.at("n");
  out.k = j.at("k");
  if (j.contains("labels_npy")) {
    out.labels = read_npy(directory() / j["labels_npy"].get<std::string>()).as<std::int64_t>();
    out.pred_probs = read_npy(directory() / j.at("pred_probs_npy").get<std::string>()).values;
  } else {
    out.labels = integers_of(j.at("labels"));
    out.pred_probs = reals_of(j.at("pred_probs"));
  }
  out.thresholds = reals_of(j.at("thresholds"));
  out.confident_joint_raw = integers_of(j.at("confident_joint_raw"));
  out.confident_joint = integers_of(j.at("confident_joint"));
  out.off_diagonal = integers_of(j.at("off_diagonal"));
  out.joint = reals_of(j.at("joint"));
  out.latents = latents_of(j.at("latent"));
  out.latents_from_raw = latents_of(j.at("latent_from_raw"));
  out.num_issues = j.at("num_issues").get<std::map<std::string, std::int64_t>>();
  for (const auto& x : j.at("filters")) out.filters.push_back(filter_of(x));
  for (const auto& x : j.at("rankings"))
    out.rankings.push_back({x.at("filter_by"), x.at("score"), maybe_integers(x.at("issues"))});
  for (const auto& [method, x] : j.at("scores").items())
    out.scores[method] = x.is_null() ? std::nullopt : std::optional(reals_of(x));
  for (const auto& x : j.at("custom_thresholds"))
    out.custom.push_back({reals_of(x.at("thresholds")), integers_of(x.at("confident_joint_raw")),
                          integers_of(x.at("confident_joint")), integers_of(x.at("off_diagonal"))});
  if (!j.at("health").is_null()) out.health = j["health"].get<double>();
  out.health_from_joint = j.at("health_from_joint");
  const auto& q = j.at("class_quality");
  out.quality = {integers_of(q.at("class")), integers_of(q.at("issues")),     integers_of(q.at("inverse_issues")),
                 reals_of(q.at("noise")),    reals_of(q.at("inverse_noise")), reals_of(q.at("quality"))};
  out.overlapping = overlaps_of(j.at("overlapping_classes"));
  out.overlapping_asymmetric = overlaps_of(j.at("overlapping_classes_asymmetric"));
  return out;
}

multi_label load_multi_label(const std::string& name) {
  const nlohmann::json j = read_json(directory() / (name + ".json"));
  multi_label out;
  out.name = name;
  out.dtype = j.at("dtype");
  out.n = j.at("n");
  out.k = j.at("k");
  out.labels = integers_of(j.at("labels"));
  out.pred_probs = reals_of(j.at("pred_probs"));
  out.thresholds = reals_of(j.at("thresholds"));
  out.confident_joint_raw = integers_of(j.at("confident_joint_raw"));
  out.confident_joint = integers_of(j.at("confident_joint"));
  for (const auto& x : j.at("off_diagonal")) out.off_diagonal.push_back(integers_of(x));
  out.joint = reals_of(j.at("joint"));
  for (const auto& x : j.at("filters")) {
    multi_label_filter f{filter_of(x), std::nullopt, maybe_integers(x.at("ranked_by_self_confidence"))};
    if (!x.at("per_class").is_null()) {
      f.per_class.emplace();
      for (const auto& c : x["per_class"]) f.per_class->push_back(integers_of(c));
    }
    out.filters.push_back(std::move(f));
  }
  for (const auto& [method, x] : j.at("scores").items()) out.scores[method] = reals_of(x);
  if (!j.at("common_issues").is_null()) {
    out.given_but_flagged = integers_of(j["common_issues"].at("given_but_flagged"));
    out.not_given_but_flagged = integers_of(j["common_issues"].at("not_given_but_flagged"));
  }
  if (!j.at("health").is_null()) out.health = j["health"].get<double>();
  return out;
}

}  // namespace golden
