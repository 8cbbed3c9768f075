// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

namespace examples {

/// Mean accuracy and its deviation: one group a kind of noise, one bar a method.
struct accuracy_bars {
  struct bar {
    double mean = 0, deviation = 0;  ///< in percent
  };
  struct group {
    std::string title;
    std::vector<bar> bars;
  };

  std::string title;
  std::vector<std::string> methods;
  std::vector<group> groups;

  /// A file of its own: no script, no font and no style sheet from elsewhere.
  std::string svg() const {
    const double bars_width = bar_width * static_cast<double>(methods.size()),
                 group_count = std::max<double>(1, static_cast<double>(groups.size())),
                 group_width = std::max(bars_width + gap, (least_x - gap) / group_count),
                 plot_x = group_width * group_count + gap, legend_y = top + plot_y + 56,
                 height = legend_y + 22 * static_cast<double>((methods.size() + 1) / 2);
    std::string out = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " + text(plot_x + left + 14) + " " +
                      text(height) + "\" width=\"" + text(plot_x + left + 14) + "\" height=\"" + text(height) +
                      "\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#333\">\n<title>" + title +
                      "</title>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n" +
                      label(left, 20, "start", title, " font-weight=\"bold\" font-size=\"13\"");
    for (int percent = 0; percent <= 100; percent += 20) {
      out += line(left, y(percent), left + plot_x, y(percent), percent == 0 ? "#333" : "#ddd");
      out += label(left - 7, y(percent) + 4, "end", std::to_string(percent) + " %");
    }
    for (std::size_t g = 0; g < groups.size(); ++g) {
      const double x = left + gap + group_width * static_cast<double>(g) + (group_width - gap - bars_width) / 2;
      for (std::size_t m = 0; m < groups[g].bars.size(); ++m)
        out += bar_at(x + bar_width * static_cast<double>(m), groups[g].bars[m], m);
      out += label(x + bars_width / 2, y(0) + 20, "middle", groups[g].title);
    }
    for (std::size_t m = 0; m < methods.size(); ++m) {
      const double x = left + (m % 2 == 0 ? 0 : plot_x / 2), at = legend_y + 22 * static_cast<double>(m / 2);
      out += rectangle(x, at - 10, 12, 12, m) + label(x + 18, at, "start", methods[m]);
    }
    return out + "</svg>\n";
  }

 private:
  static constexpr double bar_width = 24, gap = 26, plot_y = 240, left = 58, top = 40;
  static constexpr double least_x = 520;  // room for the title, and for two columns of names

  static double y(double percent) { return top + plot_y * (100 - percent) / 100; }
  static std::string text(double x) {
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, "%.1f", x);
    return buffer;
  }
  static std::string label(double x, double y, std::string_view anchor, std::string_view words,
                           std::string_view more = "") {
    return "<text x=\"" + text(x) + "\" y=\"" + text(y) + "\" text-anchor=\"" + std::string(anchor) + "\"" +
           std::string(more) + ">" + std::string(words) + "</text>\n";
  }
  static std::string line(double x1, double y1, double x2, double y2, std::string_view colour) {
    return "<line x1=\"" + text(x1) + "\" y1=\"" + text(y1) + "\" x2=\"" + text(x2) + "\" y2=\"" + text(y2) +
           "\" stroke=\"" + std::string(colour) + "\"/>\n";
  }
  // Okabe and Ito's colours, told apart by colour-blind readers too.
  static std::string rectangle(double x, double y, double width, double height, std::size_t method) {
    static constexpr std::string_view colours[] = {"#999999", "#000000", "#56b4e9", "#e69f00", "#d55e00", "#009e73"};
    return "<rect x=\"" + text(x) + "\" y=\"" + text(y) + "\" width=\"" + text(width) + "\" height=\"" + text(height) +
           "\" fill=\"" + std::string(colours[method % std::size(colours)]) + "\"/>\n";
  }
  static std::string bar_at(double x, const bar& b, std::size_t method) {
    const double middle = x + bar_width / 2;
    return rectangle(x + 1, y(b.mean), bar_width - 2, y(0) - y(b.mean), method) +
           line(middle, y(b.mean - b.deviation), middle, y(b.mean + b.deviation), "#777");
  }
};

}  // namespace examples
