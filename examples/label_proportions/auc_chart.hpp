// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace examples {

/// Area under the curve against the size of the bags: one line a method, with gaps where it was not run.
struct auc_chart {
  std::vector<long> sizes;
  std::vector<std::pair<std::string, std::vector<double>>> methods;  ///< a value a size, NaN where there is none

  /// A file of its own: no script, no font and no style sheet from elsewhere.
  std::string svg(const std::string& title) const {
    double low = 1, high = 0;
    for (const auto& [name, values] : methods)
      for (const double v : values)
        if (v == v) {
          low = std::min(low, v);
          high = std::max(high, v);
        }
    low = std::floor(low * 20) / 20;
    high = std::min(1.0, std::ceil(high * 20) / 20);
    const auto x = [&](std::size_t s) { return left + plot_x * (double(s) + 0.5) / double(sizes.size()); };
    const auto y = [&](double v) { return top + plot_y * (high - v) / std::max(high - low, 0.05); };
    std::string out =
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"720\" height=\"380\" font-family=\"sans-serif\" "
        "font-size=\"12\" fill=\"#333\">\n<title>" +
        title +
        "</title>\n"
        "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n";
    out += label(left + plot_x / 2, 24, "middle", title);
    for (double v = low; v < high + 1e-9; v += 0.05) {
      out += "<line x1=\"" + text(left) + "\" x2=\"" + text(left + plot_x) + "\" y1=\"" + text(y(v)) + "\" y2=\"" +
             text(y(v)) + "\" stroke=\"#ddd\"/>\n";
      char number[16];
      std::snprintf(number, sizeof number, "%.2f", v);
      out += label(left - 8, y(v) + 4, "end", number);
    }
    for (std::size_t s = 0; s < sizes.size(); ++s)
      out += label(x(s), top + plot_y + 20, "middle", std::to_string(sizes[s]));
    out += label(left + plot_x / 2, top + plot_y + 42, "middle", "items in a bag");
    for (std::size_t m = 0; m < methods.size(); ++m) {
      std::string points;
      for (std::size_t s = 0; s < sizes.size(); ++s) {
        const double v = methods[m].second[s];
        if (v != v) continue;
        points += text(x(s)) + "," + text(y(v)) + " ";
        out += "<circle cx=\"" + text(x(s)) + "\" cy=\"" + text(y(v)) + "\" r=\"3\" fill=\"" + colour(m) + "\"/>\n";
      }
      out += line(m, points);
      const double at = top + 12 + 22 * double(m);
      out += line(m, text(left + plot_x + 20) + "," + text(at) + " " + text(left + plot_x + 50) + "," + text(at));
      out += label(left + plot_x + 58, at + 4, "start", methods[m].first);
    }
    return out + "</svg>\n";
  }

 private:
  static constexpr double left = 60, top = 40, plot_x = 440, plot_y = 280;

  // Okabe and Ito's colours, told apart by colour-blind readers too.
  static std::string colour(std::size_t m) {
    static constexpr std::string_view all[] = {"#000000", "#0072b2", "#56b4e9", "#009e73", "#e69f00", "#d55e00"};
    return std::string(all[m % std::size(all)]);
  }
  static std::string text(double v) {
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, "%.1f", v);
    return buffer;
  }
  static std::string label(double x, double y, std::string_view anchor, std::string_view words) {
    return "<text x=\"" + text(x) + "\" y=\"" + text(y) + "\" text-anchor=\"" + std::string(anchor) + "\">" +
           std::string(words) + "</text>\n";
  }
  static std::string line(std::size_t m, const std::string& points) {
    return "<polyline fill=\"none\" stroke-width=\"1.8\" stroke=\"" + colour(m) + "\" points=\"" + points + "\"/>\n";
  }
};

}  // namespace examples
