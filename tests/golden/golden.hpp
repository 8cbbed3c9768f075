// SPDX-License-Identifier: MIT
#pragma once

#include "npy_array.hpp"
#include "support.hpp"

#include <nlohmann/json_fwd.hpp>

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
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

nlohmann::json read_json(const std::filesystem::path& path);

/// Names of the stored cases of one kind, "single_label", "multi_label" or "formulas", in alphabetical order.
std::vector<std::string> case_names(const std::string& kind);

/// A nested list of numbers, flattened row-major.
reals reals_of(const nlohmann::json& j);
integers integers_of(const nlohmann::json& j);

single_label load_single_label(const std::string& name);
multi_label load_multi_label(const std::string& name);

}  // namespace golden
