// SPDX-License-Identifier: MIT
#pragma once

#include "npy_array.hpp"
#include "support.hpp"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

/// The reference results of tests/golden as plain vectors; the fields are described in its README.
namespace golden {

using reals = std::vector<double>;
using integers = std::vector<std::int64_t>;

struct latent {
  reals prior, noise_matrix, inverse_noise_matrix;  // matrices k x k, row-major
};

struct filter_result {
  std::string filter_by;
  double frac_noise = 1;
  std::int64_t min_examples_per_class = 1;
  std::optional<integers> num_to_remove_per_class;
  std::string joint;  // empty: estimated; "raw": the uncalibrated one; "argmax": the calibrated argmax confusion
  std::optional<integers> issues;  // ascending; nothing where cleanlab refuses the input
};

struct ranking {
  std::string filter_by, score;  // filter_by "all": every row
  std::optional<integers> issues;
};

struct custom_thresholds {
  reals thresholds;
  integers confident_joint_raw, confident_joint, off_diagonal;
};

struct class_quality {
  integers class_index, issues, inverse_issues;
  reals noise, inverse_noise, quality;
};

struct overlap {
  std::int64_t a, b, count;
  double probability;
};

struct single_label {
  std::string name, dtype;
  std::int64_t n = 0, k = 0;
  integers labels;
  reals pred_probs;  // n x k, row-major, each exactly a value of dtype
  reals thresholds;
  integers confident_joint_raw, confident_joint, off_diagonal;
  reals joint;
  std::map<std::string, latent> latents, latents_from_raw;
  std::map<std::string, std::int64_t> num_issues;
  std::vector<filter_result> filters;
  std::vector<ranking> rankings;
  std::map<std::string, std::optional<reals>> scores;
  std::vector<custom_thresholds> custom;
  std::optional<double> health;
  double health_from_joint = 0;
  class_quality quality;
  std::vector<overlap> overlapping, overlapping_asymmetric;
};

struct multi_label_filter {
  filter_result options;  // its issues: rows with an issue in any class
  std::optional<std::vector<integers>> per_class;
  std::optional<integers> ranked_by_self_confidence;
};

struct multi_label {
  std::string name, dtype;
  std::int64_t n = 0, k = 0;
  integers labels;                                // n x k of 0 and 1
  reals pred_probs, thresholds, joint;            // n x k, k x 2, k x 2 x 2
  integers confident_joint_raw, confident_joint;  // k x 2 x 2
  std::vector<integers> off_diagonal;
  std::vector<multi_label_filter> filters;
  std::map<std::string, reals> scores;
  std::optional<integers> given_but_flagged, not_given_but_flagged;
  std::optional<double> health;
};

inline std::filesystem::path directory() { return support::source_dir() / "tests" / "golden"; }

inline nlohmann::json read_json(const std::filesystem::path& path) {
  std::ifstream file(path);
  if (!file) detail::stop("cannot read " + path.string());
  nlohmann::json parsed = nlohmann::json::parse(file, nullptr, false);
  if (parsed.is_discarded()) detail::stop(path.string() + " is not JSON");
  return parsed;
}

/// Names of the stored cases of one kind, "single_label", "multi_label" or "formulas", in alphabetical order.
inline std::vector<std::string> case_names(const std::string& kind) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(directory()))
    if (entry.path().extension() == ".json" && read_json(entry.path()).at("kind") == kind)
      names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

namespace detail {

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

}  // namespace detail

/// A nested list of numbers, flattened row-major.
inline reals reals_of(const nlohmann::json& j) {
  reals out;
  detail::append(j, out);
  return out;
}

inline integers integers_of(const nlohmann::json& j) {
  integers out;
  detail::append(j, out);
  return out;
}

inline std::optional<integers> maybe_integers(const nlohmann::json& j) {
  return j.is_null() ? std::nullopt : std::optional(integers_of(j));
}

namespace detail {

inline std::map<std::string, latent> latents_of(const nlohmann::json& j) {
  std::map<std::string, latent> out;
  for (const auto& [method, x] : j.items())
    out[method] = {reals_of(x.at("prior")), reals_of(x.at("noise_matrix")), reals_of(x.at("inverse_noise_matrix"))};
  return out;
}

inline std::vector<overlap> overlaps_of(const nlohmann::json& j) {
  std::vector<overlap> out;
  for (std::size_t i = 0; i < j.at("a").size(); ++i)
    out.push_back({j["a"][i].get<std::int64_t>(), j["b"][i].get<std::int64_t>(), j["count"][i].get<std::int64_t>(),
                   j["probability"][i].get<double>()});
  return out;
}

inline filter_result filter_of(const nlohmann::json& j) {
  filter_result out;
  out.filter_by = j.at("filter_by");
  out.frac_noise = j.value("frac_noise", 1.0);
  out.min_examples_per_class = j.value("min_examples_per_class", std::int64_t{1});
  if (j.contains("num_to_remove_per_class")) out.num_to_remove_per_class = integers_of(j["num_to_remove_per_class"]);
  out.joint = j.value("joint", std::string());
  out.issues = maybe_integers(j.at("issues"));
  return out;
}

}  // namespace detail

inline single_label load_single_label(const std::string& name) {
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
  out.latents = detail::latents_of(j.at("latent"));
  out.latents_from_raw = detail::latents_of(j.at("latent_from_raw"));
  out.num_issues = j.at("num_issues").get<std::map<std::string, std::int64_t>>();
  for (const auto& x : j.at("filters")) out.filters.push_back(detail::filter_of(x));
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
  out.overlapping = detail::overlaps_of(j.at("overlapping_classes"));
  out.overlapping_asymmetric = detail::overlaps_of(j.at("overlapping_classes_asymmetric"));
  return out;
}

inline multi_label load_multi_label(const std::string& name) {
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
    multi_label_filter f{detail::filter_of(x), std::nullopt, maybe_integers(x.at("ranked_by_self_confidence"))};
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
