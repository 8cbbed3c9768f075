// SPDX-License-Identifier: MIT
#pragma once

#include "../command_line/bad_input.hpp"
#include "result.hpp"
#include "text.hpp"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace label_audit {

using command_line::printable;

/// What was found, on one screen. `bold` where the terminal understands it.
class terminal_report {
 public:
  terminal_report(const audit_result& result, bool bold) : r_(result), bold_(bold) {}

  std::string text() {
    line(strong("label_audit") + "  " + printable(r_.source));
    line("");
    line(strong(grouped(r_.n)) + (r_.n == 1 ? " example, " : " examples, ") + strong(grouped(r_.k)) +
         " classes: " + strong(counted(static_cast<index_t>(r_.issues.size()), "label issue")) + " (" +
         percent(static_cast<double>(r_.issues.size()) / static_cast<double>(r_.n), 2) + ") by " + r_.filter_by +
         (r_.like_cleanlab ? ", as cleanlab 2.9 counts" : ""));
    line("estimated wrong labels: " + grouped(r_.health.off_diagonal_issues) + " seen confidently, " +
         grouped(r_.health.calibrated_issues) + " after calibration; health " + fixed(r_.health.confident_health, 4));
    if (r_.flip) flip(*r_.flip);
    line("");
    classes_and_pairs();
    line("");
    issues();
    return std::move(out_);
  }

 private:
  static constexpr std::size_t rows_shown = 10;

  std::string strong(const std::string& text) const { return bold_ ? "\033[1m" + text + "\033[0m" : text; }
  void line(const std::string& text) { out_ += text + '\n'; }
  std::string name(index_t c) const { return printable(r_.class_names[static_cast<std::size_t>(c)]); }

  std::size_t name_width(std::size_t most) const {
    std::size_t w = 5;
    for (const std::string& n : r_.class_names) w = std::max(w, width(n));
    return std::min(w, most);
  }

  void flip(const flip_outcome& f) {
    line("");
    line(strong("flipped " + counted(static_cast<index_t>(f.rows.size()), "label") + " first") + " (" +
         percent(f.fraction) + ", seed " + std::to_string(f.seed) + "): precision " + fixed(f.precision, 3) +
         ", recall " + fixed(f.recall, 3) + ", average precision of the ranking " + fixed(f.average_precision, 3));
    line("the labels as they were: " + counted(f.plain.num_issues, "issue") + "; " +
         grouped(f.plain.off_diagonal_issues) + " seen confidently, " + grouped(f.plain.calibrated_issues) +
         " after calibration; health " + fixed(f.plain.health, 4));
  }

  /// Classes on the left, overlapping pairs on the right, so that both fit one screen.
  void classes_and_pairs() {
    const std::size_t w = name_width(18);
    std::vector<std::string> left, right;
    left.push_back(padded_right("class", w) + "   examples  wrong labels  given another");
    const std::size_t left_width = width(left[0]);
    for (std::size_t i = 0; i < std::min(rows_shown, r_.health.classes.size()); ++i) {
      const weakly::class_quality& c = r_.health.classes[i];
      left.push_back(padded_right(shortened(name(c.class_index), w), w) +
                     padded_left(grouped(r_.class_counts[static_cast<std::size_t>(c.class_index)]), 11) +
                     padded_left(percent(c.label_noise), 14) + padded_left(percent(c.inverse_label_noise), 15));
    }
    if (r_.health.classes.size() > rows_shown)
      left.push_back("and " + grouped(static_cast<index_t>(r_.health.classes.size() - rows_shown)) + " better classes");
    for (const weakly::class_overlap& o : r_.health.overlaps) {
      if (right.size() == rows_shown || o.examples == 0) break;
      right.push_back(padded_right(shortened(name(o.class_a), w) + " / " + shortened(name(o.class_b), w), 2 * w + 3) +
                      padded_left(grouped(o.examples), 9));
    }
    right.insert(right.begin(), right.empty() ? "no two classes overlap" : "classes that overlap, examples");
    for (std::size_t i = 0; i < std::max(left.size(), right.size()); ++i) {
      std::string l = padded_right(i < left.size() ? left[i] : "", left_width);
      std::string both = l + "     " + (i < right.size() ? right[i] : "");
      both.erase(both.find_last_not_of(' ') + 1);
      line(i == 0 ? strong(both) : both);
    }
  }

  void issues() {
    if (r_.issues.empty()) {
      line("no label issues");
      return;
    }
    const std::size_t w = name_width(24);
    line(strong(padded_left("row", 12) + "  " + padded_right("given", w) + "  " +
                padded_right("suggested", std::max<std::size_t>(w, 9)) + "  " + r_.score));
    const std::size_t shown = std::min(rows_shown, r_.issues.size());
    for (std::size_t i = 0; i < shown; ++i) {
      const issue& x = r_.issues[i];
      line(padded_left(std::to_string(x.row()), 12) + "  " + padded_right(shortened(name(x.given()), w), w) + "  " +
           padded_right(shortened(name(x.suggested()), w), std::max<std::size_t>(w, 9)) + "  " + brief(x.score));
    }
    if (shown < r_.issues.size())
      line(padded_left("...", 12) + "  and " + grouped(static_cast<index_t>(r_.issues.size() - shown)) +
           " more: --issues, --json or --html for all");
  }

  const audit_result& r_;
  bool bold_;
  std::string out_;
};

}  // namespace label_audit
