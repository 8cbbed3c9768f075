// SPDX-License-Identifier: MIT
#pragma once

#include "result.hpp"
#include "text.hpp"

#include <concepts>
#include <string>
#include <string_view>

namespace label_audit {

/// Writes an audit as JSON, piece by piece: nothing of the size of the data is built in memory.
template <class Out>
class json_writer {
 public:
  explicit json_writer(Out& out) : out_(out) {}

  void report(const audit_result& r) {
    out_.write("{\n");
    field("n", std::to_string(r.n), "");
    field("k", std::to_string(r.k));
    list("class_names", r.class_names, [](const std::string& s) { return json_string(s); });
    list("thresholds", r.thresholds, json_number);
    table("confident_joint_raw", r.confident_joint_raw);
    table("confident_joint", r.confident_joint);
    table("joint", r.joint);
    list("prior", r.prior, json_number);
    table("noise_matrix", r.noise_matrix);
    table("inverse_noise_matrix", r.inverse_noise_matrix);
    field("filter_by", json_string(r.filter_by));
    field("score", json_string(r.score));
    field("num_issues", std::to_string(r.issues.size()));
    list("issues", r.issues, [](const issue& i) { return std::to_string(i.row()); });
    field("off_diagonal_issues", std::to_string(r.health.off_diagonal_issues));
    field("calibrated_issues", std::to_string(r.health.calibrated_issues));
    field("health", json_number(r.health.confident_health));
    list("class_quality", r.health.classes, quality, ",\n    ");
    list("overlapping_classes", r.health.overlaps, pair, ",\n    ");
    if (r.flip) flip(*r.flip);
    out_.write("\n}\n");
  }

 private:
  void field(std::string_view key, std::string_view value, std::string_view separator = ",\n") {
    out_.write(separator);
    out_.write("  ");
    out_.write(json_string(key));
    out_.write(": ");
    out_.write(value);
  }

  template <class Range, class Element>
  void elements(const Range& range, Element&& element, std::string_view separator) {
    out_.write("[");
    bool first = true;
    for (const auto& x : range) {
      if (!first) out_.write(separator);
      first = false;
      out_.write(element(x));
    }
    out_.write("]");
  }

  template <class Range, class Element>
  void list(std::string_view key, const Range& range, Element&& element, std::string_view separator = ", ") {
    field(key, "");
    elements(range, element, separator);
  }

  template <class T>
  void table(std::string_view key, const weakly::matrix<T>& m) {
    field(key, "[");
    for (index_t i = 0; i < m.rows(); ++i) {
      out_.write(i ? ",\n    " : "\n    ");
      elements(m.row(i), number<T>, ", ");
    }
    out_.write("]");
  }

  template <class T>
  static std::string number(T x) {
    if constexpr (std::integral<T>)
      return std::to_string(x);
    else
      return json_number(x);
  }

  static std::string quality(const weakly::class_quality& c) {
    return "{\"class_index\": " + std::to_string(c.class_index) +
           ", \"label_issues\": " + std::to_string(c.label_issues) +
           ", \"inverse_label_issues\": " + std::to_string(c.inverse_label_issues) +
           ", \"label_noise\": " + json_number(c.label_noise) +
           ", \"inverse_label_noise\": " + json_number(c.inverse_label_noise) +
           ", \"label_quality_score\": " + json_number(c.quality) + "}";
  }

  static std::string pair(const weakly::class_overlap& o) {
    return "{\"class_index_a\": " + std::to_string(o.class_a) + ", \"class_index_b\": " + std::to_string(o.class_b) +
           ", \"num_overlapping_examples\": " + std::to_string(o.examples) +
           ", \"joint_probability\": " + json_number(o.joint_probability) + "}";
  }

  void flip(const flip_outcome& f) {
    field("flip", "{\"fraction\": " + json_number(f.fraction) + ", \"seed\": " + std::to_string(f.seed) +
                      ", \"num_flipped\": " + std::to_string(f.rows.size()) +
                      ", \"precision\": " + json_number(f.precision) + ", \"recall\": " + json_number(f.recall) +
                      ", \"average_precision\": " + json_number(f.average_precision) +
                      ",\n    \"plain\": {\"num_issues\": " + std::to_string(f.plain.num_issues) +
                      ", \"off_diagonal_issues\": " + std::to_string(f.plain.off_diagonal_issues) +
                      ", \"calibrated_issues\": " + std::to_string(f.plain.calibrated_issues) +
                      ", \"health\": " + json_number(f.plain.health) + "},\n    \"flipped\": ");
    elements(
        f.rows, [](index_t row) { return std::to_string(row); }, ", ");
    out_.write("}");
  }

  Out& out_;
};

/// The whole report; README.md of this folder explains the keys.
template <class Out>
void write_json(Out& out, const audit_result& result) {
  json_writer<Out>(out).report(result);
}

/// One line an issue, worst first: row, label numbers, score.
template <class Out>
void write_csv(Out& out, const audit_result& result) {
  out.write("index,given,suggested,score\n");
  for (const issue& i : result.issues)
    out.write(std::to_string(i.row()) + ',' + std::to_string(i.given()) + ',' + std::to_string(i.suggested()) + ',' +
              json_number(i.score) + '\n');
}

}  // namespace label_audit
