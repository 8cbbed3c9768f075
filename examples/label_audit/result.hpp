// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/matrix.hpp>
#include <weakly/noise/dataset_health.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace label_audit {

using weakly::index_t;

/// A row whose label is doubted. Lower score: more suspicious. In 16 bytes, because there may be one for each row.
struct issue {
  static constexpr index_t most_rows = index_t{1} << 35, most_classes = index_t{1} << 14;

  double score;

  issue(index_t row_number, index_t given_class, index_t suggested_class, double its_score)
      : score(its_score),
        packed_(
            static_cast<std::uint64_t>((row_number * most_classes + given_class) * most_classes + suggested_class)) {}

  index_t row() const { return static_cast<index_t>(packed_ >> 28); }
  index_t given() const { return static_cast<index_t>(packed_ >> 14) % most_classes; }
  index_t suggested() const { return static_cast<index_t>(packed_) % most_classes; }

 private:
  std::uint64_t packed_;
};
static_assert(sizeof(issue) == 16);

/// What the run without corrupted labels found, beside the run with them.
struct plain_run {
  index_t num_issues;
  index_t off_diagonal_issues;
  index_t calibrated_issues;
  double health;
};

/// How well the issues match the labels that --flip corrupted.
struct flip_outcome {
  double fraction;
  std::uint64_t seed;
  double precision;  ///< NaN when nothing was flagged
  double recall;
  double average_precision;  ///< of the whole data set ranked by score, equal scores by row
  plain_run plain;
  std::vector<index_t> rows;           ///< which were flipped, ascending
  std::vector<std::int32_t> original;  ///< their labels before, in the same order
};

/// Everything the reports show. Matrices have row = given label s, column = true label y, but the inverse noise matrix,
/// which has row = true, column = given.
struct audit_result {
  std::string source;
  std::optional<double> model_accuracy;  ///< agreement of the tool's own model with the given labels
  index_t n = 0;
  index_t k = 0;
  std::vector<std::string> class_names;
  std::vector<index_t> class_counts;
  std::vector<double> thresholds;  ///< infinity where no row was given the class
  weakly::matrix<std::int64_t> confident_joint_raw;
  weakly::matrix<std::int64_t> confident_joint;
  weakly::matrix<double> joint;
  std::vector<double> prior;
  weakly::matrix<double> noise_matrix;
  weakly::matrix<double> inverse_noise_matrix;
  std::string filter_by;
  std::string score;
  bool like_cleanlab = false;
  std::vector<issue> issues;  ///< worst first
  weakly::dataset_health_result health;
  std::optional<flip_outcome> flip;
};

}  // namespace label_audit
