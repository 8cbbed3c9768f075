// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdio>
#include <string>
#include <string_view>
#include <vector>

namespace examples {

/// Accuracy against epoch: one panel a kind of noise, one line a loss.
struct accuracy_chart {
  struct panel {
    std::string title;
    std::vector<std::vector<double>> lines;  ///< [loss][epoch], in percent
  };

  std::vector<std::string> losses;
  std::vector<panel> panels;

  /// A file of its own: no script, no font and no style sheet from elsewhere.
  std::string svg() const {
    const std::size_t rows = (panels.size() + columns) / columns;  // one place is left for the legend
    const double width = step_x * columns + 8, height = step_y * static_cast<double>(rows);
    std::string out = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" + text(width) + "\" height=\"" +
                      text(height) + "\" viewBox=\"0 0 " + text(width) + " " + text(height) +
                      "\" font-family=\"sans-serif\" font-size=\"12\" fill=\"#333\">\n"
                      "<title>Accuracy on clean labels against epoch</title>\n"
                      "<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n";
    for (std::size_t p = 0; p < panels.size(); ++p) out += at(p) + panel_of(panels[p]) + "</g>\n";
    return out + at(panels.size()) + legend() + "</g>\n</svg>\n";
  }

 private:
  static constexpr std::size_t columns = 3;
  static constexpr double plot_x = 240, plot_y = 190, left = 58, top = 34;
  static constexpr double step_x = plot_x + left + 14, step_y = plot_y + top + 48;

  struct style {
    std::string_view colour, dashes;
  };
  // Okabe and Ito's colours, told apart by colour-blind readers too; the baseline is dashed.
  static style style_of(std::size_t loss) {
    static constexpr style all[] = {{"#000000", "5 3"},  {"#0072b2", "none"}, {"#56b4e9", "none"},
                                    {"#009e73", "none"}, {"#e69f00", "none"}, {"#d55e00", "none"}};
    return all[loss % std::size(all)];
  }

  static std::string text(double x) {
    char buffer[32];
    std::snprintf(buffer, sizeof buffer, "%.1f", x);
    return buffer;
  }

  static std::string at(std::size_t place) {
    return "<g transform=\"translate(" + text(left + step_x * static_cast<double>(place % columns)) + " " +
           text(top + step_y * static_cast<double>(place / columns)) + ")\">\n";
  }

  static std::string label(double x, double y, std::string_view anchor, std::string_view words,
                           std::string_view more = "") {
    return "<text x=\"" + text(x) + "\" y=\"" + text(y) + "\" text-anchor=\"" + std::string(anchor) + "\"" +
           std::string(more) + ">" + std::string(words) + "</text>\n";
  }

  static std::string line(double x1, double y1, double x2, double y2, std::string_view more) {
    return "<line x1=\"" + text(x1) + "\" y1=\"" + text(y1) + "\" x2=\"" + text(x2) + "\" y2=\"" + text(y2) + "\" " +
           std::string(more) + "/>\n";
  }

  // The same for all panels, so that they can be compared: the least multiple of ten that all last epochs are above.
  double lowest() const {
    double least = 100;
    for (const panel& p : panels)
      for (const std::vector<double>& l : p.lines) least = std::min(least, l.back());
    return std::clamp(10 * std::floor(least / 10), 0.0, 90.0);
  }

  std::string panel_of(const panel& p) const {
    const double low = lowest();
    const auto epochs = static_cast<double>(p.lines.front().size());
    const auto x = [&](double epoch) { return plot_x * epoch / epochs; };
    const auto y = [&](double percent) { return plot_y * (100 - percent) / (100 - low); };
    std::string out = label(plot_x / 2, -12, "middle", p.title, " font-weight=\"bold\" font-size=\"13\"");
    for (double percent = low; percent <= 100; percent += 10) {
      out += line(0, y(percent), plot_x, y(percent), "stroke=\"#ddd\"");
      out += label(-7, y(percent) + 4, "end", std::to_string(static_cast<int>(percent)) + " %");
    }
    const int tick = std::max(1, static_cast<int>(epochs) / 4);
    for (int epoch = 0; epoch <= static_cast<int>(epochs); epoch += tick) {
      out += line(x(epoch), plot_y, x(epoch), plot_y + 4, "stroke=\"#333\"");
      out += label(x(epoch), plot_y + 18, "middle", std::to_string(epoch));
    }
    out += line(0, plot_y, plot_x, plot_y, "stroke=\"#333\"") + label(plot_x / 2, plot_y + 35, "middle", "epoch");
    for (std::size_t l = 0; l < p.lines.size(); ++l) {
      out += "<polyline" + stroke(l) + " points=\"";
      for (std::size_t e = 0; e < p.lines[l].size(); ++e)
        out += text(x(static_cast<double>(e + 1))) + "," + text(y(std::max(low, p.lines[l][e]))) + " ";
      out += "\"/>\n";
    }
    return out;
  }

  static std::string stroke(std::size_t loss) {
    const style s = style_of(loss);
    return " fill=\"none\" stroke-width=\"1.8\" stroke-linejoin=\"round\" stroke=\"" + std::string(s.colour) +
           "\" stroke-dasharray=\"" + std::string(s.dashes) + "\"";
  }

  std::string legend() const {
    std::string out = label(0, 0, "start", "accuracy on clean test labels");
    for (std::size_t l = 0; l < losses.size(); ++l) {
      const double y = 26 + 24 * static_cast<double>(l);
      out += "<polyline" + stroke(l) + " points=\"0," + text(y) + " 36," + text(y) + "\"/>\n";
      out += label(46, y + 4, "start", losses[l]);
    }
    return out;
  }
};

}  // namespace examples
