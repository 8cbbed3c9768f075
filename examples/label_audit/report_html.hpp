// SPDX-License-Identifier: MIT
#pragma once

#include "../digits.hpp"
#include "report_charts.hpp"
#include "report_style.hpp"
#include "result.hpp"
#include "text.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace label_audit {

/// The audit as one page without anything from elsewhere: no script, no font, no link that loads. Its size is bounded
/// whatever the data: classes, pairs and issues beyond a limit are counted, not shown. `pictures` may be null.
class html_report {
 public:
  html_report(const audit_result& result, const digits* pictures) : r_(result), pictures_(pictures) {}

  std::string text() {
    out_ =
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
        "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>Label audit: " +
        html_text(r_.source) + "</title><style>";
    out_ += report_style;
    out_ += "</style></head><body><main>\n";
    head();
    tiles();
    if (r_.flip) flip();
    if (pictures_) gallery();
    heat_maps();
    bars();
    out_ += "<div class=\"pair\">";
    pairs();
    reading();
    out_ += "</div>\n";
    issues();
    source();
    out_ += "</main></body></html>\n";
    return std::move(out_);
  }

 private:
  static constexpr std::size_t classes_in_map = 24;
  static constexpr std::size_t map_limit = 40;
  static constexpr std::size_t bars_shown = 30;
  static constexpr std::size_t pairs_shown = 10;
  static constexpr std::size_t issues_shown = 200;
  static constexpr std::size_t pictures_shown = 54;

  static std::size_t at(index_t i) { return static_cast<std::size_t>(i); }
  std::string name(index_t c) const { return html_text(r_.class_names[at(c)]); }
  std::string name(std::int32_t c) const { return name(index_t{c}); }

  void card(std::string_view title, std::string_view text) {
    out_ +=
        "<section class=\"card\"><h2>" + std::string(title) + "</h2><p class=\"soft\">" + std::string(text) + "</p>";
  }
  void end_card() { out_ += "</section>\n"; }

  void head() {
    out_ += "<header><h1>Label audit</h1><p>" + html_text(r_.source) + "</p><div class=\"chips\">";
    const auto chip = [&](std::string_view key, const std::string& value) {
      out_ += "<span class=\"chip\">" + std::string(key) + " <b>" + html_text(value) + "</b></span>";
    };
    chip("issues by", r_.filter_by);
    chip("ranked by", r_.score);
    chip("numbers of", r_.like_cleanlab ? "cleanlab 2.9" : "the definition");
    if (r_.model_accuracy) chip("model agrees with", percent(*r_.model_accuracy) + " of the labels");
    out_ += "</div></header>\n";
  }

  void tile(const std::string& value, std::string_view text, std::string_view style = "") {
    out_ += "<div class=\"tile " + std::string(style) + "\"><b>" + value + "</b><span>" + std::string(text) +
            "</span></div>";
  }

  void tiles() {
    const auto issues = static_cast<index_t>(r_.issues.size());
    out_ += "<div class=\"tiles\">";
    tile(grouped(issues),
         "label issues, " + percent(static_cast<double>(issues) / static_cast<double>(r_.n), 2) + " of the labels",
         "main");
    tile(grouped(r_.n), "examples");
    tile(grouped(r_.k), "classes");
    tile(grouped(r_.health.off_diagonal_issues), "wrong labels seen confidently");
    tile(grouped(r_.health.calibrated_issues), "wrong labels estimated in all, after calibration");
    tile(fixed(r_.health.confident_health, 4), "health: share of labels not doubted confidently");
    out_ += "</div>\n";
  }

  void flip() {
    const flip_outcome& f = *r_.flip;
    card("How many corrupted labels are found", grouped(static_cast<index_t>(f.rows.size())) + " labels (" +
                                                    percent(f.fraction) + ", seed " + std::to_string(f.seed) +
                                                    ") were replaced by another class before this audit. Labels that "
                                                    "were wrong already count as false alarms.");
    out_ += "<div class=\"tiles\">";
    tile(percent(f.precision), "precision: flagged labels that were flipped");
    tile(percent(f.recall), "recall: flipped labels that were flagged");
    tile(fixed(f.average_precision, 3), "average precision of the whole ranking");
    out_ +=
        "</div><table><tr><th></th><th class=\"num\">label issues</th><th class=\"num\">seen confidently</th>"
        "<th class=\"num\">after calibration</th><th class=\"num\">health</th></tr>";
    const auto row = [&](std::string_view what, index_t issues, index_t seen, index_t calibrated, double health) {
      out_ += "<tr><td>" + std::string(what) + "</td><td class=\"num\">" + grouped(issues) + "</td><td class=\"num\">" +
              grouped(seen) + "</td><td class=\"num\">" + grouped(calibrated) + "</td><td class=\"num\">" +
              fixed(health, 4) + "</td></tr>";
    };
    row("labels as they were", f.plain.num_issues, f.plain.off_diagonal_issues, f.plain.calibrated_issues,
        f.plain.health);
    row("after flipping", static_cast<index_t>(r_.issues.size()), r_.health.off_diagonal_issues,
        r_.health.calibrated_issues, r_.health.confident_health);
    out_ += "</table>";
    end_card();
  }

  /// The label before --flip, or -1 where the row was left alone.
  std::int32_t original(index_t row) const {
    const auto found = std::lower_bound(r_.flip->rows.begin(), r_.flip->rows.end(), row);
    if (found == r_.flip->rows.end() || *found != row) return -1;
    return r_.flip->original[static_cast<std::size_t>(found - r_.flip->rows.begin())];
  }

  void gallery() {
    const std::size_t shown = std::min(pictures_shown, r_.issues.size());
    if (shown == 0) return;
    card("The most suspicious digits", std::string("Given label, suggested label, row and ") + html_text(r_.score) +
                                           "; the worst first." +
                                           (r_.flip ? " A green frame marks a label that was flipped." : ""));
    out_ += "<div class=\"gallery\">";
    for (std::size_t i = 0; i < shown; ++i) {
      const issue& x = r_.issues[i];
      out_ += "<figure";
      if (r_.flip && original(x.row()) >= 0) out_ += " class=\"found\"";
      out_ += ">" + svg_digit(pictures_->pictures[at(x.row())]) + "<figcaption><b>" + name(x.given()) +
              " <span class=\"to\">→ " + name(x.suggested()) + "</span></b>row " + std::to_string(x.row()) + "<br>" +
              brief(x.score) + "</figcaption></figure>";
    }
    out_ += "</div>";
    more(r_.issues.size() - shown, "in the table below and in the reports of --issues and --json");
    end_card();
  }

  void more(std::size_t count, std::string_view where) {
    if (count > 0)
      out_ += "<p class=\"soft\" style=\"margin:12px 0 0\">" + grouped(static_cast<index_t>(count)) + " more " +
              std::string(where) + ".</p>";
  }

  /// All classes, or those with the most mass off the diagonal, in class order.
  std::vector<index_t> mapped_classes() const {
    std::vector<index_t> classes(at(r_.k));
    std::iota(classes.begin(), classes.end(), index_t{0});
    if (classes.size() <= map_limit) return classes;
    std::vector<double> mass(at(r_.k), 0.0);
    for (index_t s = 0; s < r_.k; ++s)
      for (index_t y = 0; y < r_.k; ++y)
        if (s != y) {
          mass[at(s)] += r_.joint(s, y);
          mass[at(y)] += r_.joint(s, y);
        }
    std::stable_sort(classes.begin(), classes.end(), [&](index_t a, index_t b) { return mass[at(a)] > mass[at(b)]; });
    classes.resize(classes_in_map);
    std::sort(classes.begin(), classes.end());
    return classes;
  }

  void heat_maps() {
    const std::vector<index_t> classes = mapped_classes();
    const std::string which = classes.size() == at(r_.k)
                                  ? ""
                                  : " Shown are the " + grouped(static_cast<index_t>(classes.size())) + " of " +
                                        grouped(r_.k) +
                                        " classes with the most probability off the diagonal; all are in the report "
                                        "of --json.";
    const auto what = [this](index_t s, index_t y) {
      return "given " + r_.class_names[at(s)] + ", truly " + r_.class_names[at(y)];
    };
    out_ += classes.size() <= 12 ? "<div class=\"pair\">" : "<div>";
    card("Joint distribution of given and true labels",
         "Each cell: the share of all examples, in percent. Off the diagonal lie the wrong labels." + which);
    out_ += "<div class=\"scroll\">" +
            heat_map{"scale-joint",
                     "joint distribution of given and true labels",
                     "% of all examples",
                     r_.joint,
                     classes,
                     r_.class_names,
                     [&](index_t s, index_t y) {
                       return what(s, y) + ": " + counted(r_.confident_joint(s, y), "example") + ", " +
                              percent(r_.joint(s, y), 4);
                     }}
                .svg() +
            "</div>";
    end_card();
    card("Noise matrix P(given | true)",
         "Each column: how the examples of one true class were labelled, in percent; it sums to 100." + which);
    out_ += "<div class=\"scroll\">" +
            heat_map{"scale-noise",
                     "noise matrix, probability of the given label for each true label",
                     "% of the true class",
                     r_.noise_matrix,
                     classes,
                     r_.class_names,
                     [&](index_t s, index_t y) { return what(s, y) + ": " + percent(r_.noise_matrix(s, y), 4); }}
                .svg() +
            "</div>";
    end_card();
    out_ += "</div>";
  }

  void bars() {
    const std::size_t shown = std::min(bars_shown, r_.health.classes.size());
    card("Noise per class", "Estimated from the joint, with the number of examples; the lowest quality first.");
    out_ += "<div class=\"scroll\" style=\"margin-top:14px\">" + class_bars(r_, shown) + "</div>";
    more(r_.health.classes.size() - shown, "classes of better quality in the report of --json");
    end_card();
  }

  void pairs() {
    std::size_t overlapping = 0;
    while (overlapping < r_.health.overlaps.size() && r_.health.overlaps[overlapping].examples > 0) ++overlapping;
    const std::size_t shown = std::min(pairs_shown, overlapping);
    card("Classes that overlap",
         shown
             ? "Pairs whose labels are exchanged most often, in either direction; candidates for a clearer definition "
               "or for merging."
             : "No example is believed to carry the label of another class.");
    if (shown) {
      out_ +=
          "<table><tr><th>classes</th><th class=\"num\">examples</th><th class=\"num\">share of all</th><th></th></tr>";
      for (std::size_t i = 0; i < shown; ++i) {
        const weakly::class_overlap& o = r_.health.overlaps[i];
        out_ += "<tr><td class=\"name\">" + name(o.class_a) + " and " + name(o.class_b) + "</td><td class=\"num\">" +
                grouped(o.examples) + "</td><td class=\"num\">" + percent(o.joint_probability, 3) + "</td><td>" +
                meter(o.joint_probability / r_.health.overlaps[0].joint_probability, "") + "</td></tr>";
      }
      out_ += "</table>";
    }
    more(overlapping - shown, "pairs in the report of --json");
    end_card();
  }

  static std::string meter(double share, std::string_view style) {
    return "<span class=\"meter " + std::string(style) +
           "\"><i style=\"width:" + fixed(100 * std::clamp(std::isnan(share) ? 0.0 : share, 0.0, 1.0), 1) +
           "%\"></i></span>";
  }

  void issues() {
    const std::size_t shown = std::min(issues_shown, r_.issues.size());
    card("Label issues", shown ? "The worst first. Rows count from 0." : "No label is doubted by this rule.");
    if (shown) {
      out_ += std::string("<div class=\"scroll\"><table><tr><th class=\"num\">rank</th><th class=\"num\">row</th>") +
              (pictures_ ? "<th></th>" : "") + "<th>given</th><th>suggested</th>" +
              (r_.flip ? "<th>before flipping</th>" : "") + "<th class=\"num\">" + html_text(r_.score) +
              "</th><th></th></tr>";
      for (std::size_t i = 0; i < shown; ++i) one_issue(i);
      out_ += "</table></div>";
    }
    more(r_.issues.size() - shown, "in the reports of --issues and --json");
    end_card();
  }

  void one_issue(std::size_t i) {
    const issue& x = r_.issues[i];
    out_ += "<tr><td class=\"num soft\">" + std::to_string(i + 1) + "</td><td class=\"num\">" +
            std::to_string(x.row()) + "</td>";
    if (pictures_) out_ += "<td>" + svg_digit(pictures_->pictures[at(x.row())], "tiny") + "</td>";
    out_ += "<td class=\"name\">" + name(x.given()) + "</td><td class=\"name\">" + name(x.suggested()) + "</td>";
    if (r_.flip) {
      const std::int32_t before = original(x.row());
      out_ += before < 0 ? "<td class=\"soft\">the same</td>" : "<td class=\"yes\">" + name(before) + "</td>";
    }
    out_ += "<td class=\"num\">" + brief(x.score) + "</td><td>" + meter(x.score, "cool") + "</td></tr>";
  }

  void reading() {
    card("How to read this page", "Every label here is doubted, none is proved wrong: look before you change it.");
    out_ +=
        "<dl><dt>given label</dt><dd>s, the label in the data</dd><dt>true label</dt><dd>y, what it should be: "
        "unknown, "
        "and estimated from the class probabilities</dd><dt>seen confidently</dt><dd>examples whose probability of "
        "another class reaches the average of those given that class</dd><dt>after calibration</dt><dd>the same, "
        "scaled "
        "to all examples of each given class</dd><dt>suggested</dt><dd>the most probable "
        "class</dd><dt>score</dt><dd>from "
        "0 to 1, lower is more suspicious</dd></dl>";
    end_card();
  }

  void source() {
    out_ += "<footer>Confident learning: C. G. Northcutt, L. Jiang, I. L. Chuang, JAIR 70 (2021) 1373–1411.";
    if (pictures_)
      out_ +=
          " Digits: E. Alpaydin, C. Kaynak, Optical Recognition of Handwritten Digits, UCI Machine Learning "
          "Repository, 1998, doi:10.24432/C50P49, CC BY 4.0.";
    out_ += "</footer>";
  }

  const audit_result& r_;
  const digits* pictures_;
  std::string out_;
};

}  // namespace label_audit
