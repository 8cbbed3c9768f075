// SPDX-License-Identifier: MIT
#pragma once

#include "golden/compare.hpp"

#include <weakly/noise/confident_joint.hpp>
#include <weakly/noise/label_issues.hpp>
#include <weakly/noise/label_quality.hpp>

#include <nlohmann/json_fwd.hpp>

#include <map>
#include <memory>
#include <string>
#include <vector>

/// Compares weakly with stored results of cleanlab, in cleanlab's mode. Integers, masks and rankings must be equal.
namespace cleanlab_case {

inline constexpr auto compat = weakly::compatibility::cleanlab;

inline weakly::issue_filter filter_named(const std::string& name) {
  static const std::map<std::string, weakly::issue_filter> filters{
      {"prune_by_noise_rate", weakly::issue_filter::prune_by_noise_rate},
      {"prune_by_class", weakly::issue_filter::prune_by_class},
      {"both", weakly::issue_filter::both},
      {"confident_learning", weakly::issue_filter::confident_learning},
      {"predicted_neq_given", weakly::issue_filter::predicted_neq_given},
      {"low_self_confidence", weakly::issue_filter::low_self_confidence},
      {"low_normalized_margin", weakly::issue_filter::low_normalized_margin}};
  return filters.at(name);
}

inline weakly::quality_score score_named(const std::string& name) {
  static const std::map<std::string, weakly::quality_score> scores{
      {"self_confidence", weakly::quality_score::self_confidence},
      {"normalized_margin", weakly::quality_score::normalized_margin},
      {"confidence_weighted_entropy", weakly::quality_score::confidence_weighted_entropy}};
  return scores.at(name);
}

/// A stored case and weakly's joint of it. The element type is erased, so that what the checks call is compiled once.
class subject {
 public:
  virtual ~subject() = default;

  virtual const weakly::confident_joint_result& joint() const = 0;
  virtual std::vector<weakly::index_t> issues(const golden::filter_result& f) const = 0;

  virtual void check_joint(golden::comparison& c) const = 0;
  virtual void check_latent(golden::comparison& c) const = 0;
  virtual void check_issues(golden::comparison& c) const = 0;
  /// `entropy_tolerance`: the weighted entropy of float32 goes through the reference's own logarithm in float32.
  virtual void check_scores(golden::comparison& c, double entropy_tolerance) const = 0;
  virtual void check_health(golden::comparison& c) const = 0;
};

/// Its input in the element type that numpy calls `dtype`. Refers to `c`.
std::unique_ptr<subject> subject_of(const golden::single_label& c, const std::string& dtype);

inline std::string described(const golden::filter_result& f) {
  std::string text = f.filter_by;
  if (f.frac_noise != 1) text += ", frac_noise " + std::to_string(f.frac_noise);
  if (f.min_examples_per_class != 1) text += ", min_examples " + std::to_string(f.min_examples_per_class);
  if (f.num_to_remove_per_class) text += ", num_to_remove";
  return f.joint.empty() ? text : text + ", joint " + f.joint;
}

void check_rounding(const nlohmann::json& j, golden::comparison& c);
void check_noise_algebra(const nlohmann::json& j, golden::comparison& c);

}  // namespace cleanlab_case
