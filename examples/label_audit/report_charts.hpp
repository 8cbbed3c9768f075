// SPDX-License-Identifier: MIT
#pragma once

#include "../digits.hpp"
#include "result.hpp"
#include "text.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace label_audit {

using examples::digits;

inline std::string svg_open(double width, double height, std::string_view label) {
  return "<svg role=\"img\" aria-label=\"" + html_text(label) + "\" width=\"" + fixed(width, 0) + "\" height=\"" +
         fixed(height, 0) + "\" viewBox=\"0 0 " + fixed(width, 0) + " " + fixed(height, 0) + "\">";
}

inline std::string svg_rect(std::string_view style, double x, double y, double width, double height,
                            std::string_view more = "") {
  return "<rect class=\"" + std::string(style) + "\" x=\"" + fixed(x, 1) + "\" y=\"" + fixed(y, 1) + "\" width=\"" +
         fixed(width, 1) + "\" height=\"" + fixed(height, 1) + "\"" + std::string(more);
}

inline std::string svg_text(std::string_view style, double x, double y, std::string_view text,
                            std::string_view more = "") {
  return "<text class=\"" + std::string(style) + "\" x=\"" + fixed(x, 1) + "\" y=\"" + fixed(y, 1) + "\"" +
         std::string(more) + ">" + html_text(text) + "</text>";
}

/// A share in percent, as short as a heat map's cell.
inline std::string cell_percent(double x) {
  const double p = 100 * x;
  if (p <= 0) return "";
  if (p < 0.005) return "<.01";
  return fixed(p, p < 9.995 ? 2 : p < 99.95 ? 1 : 0);
}

/// The 8 x 8 picture of a digit: one path per level of ink, in the reader's text colour.
inline std::string svg_digit(const digits::picture& picture, std::string_view style = "") {
  std::string paths;
  for (int level = 1; level <= 16; ++level) {
    std::string path;
    for (std::size_t y = 0; y < 8; ++y)
      for (std::size_t x = 0; x < 8;) {
        std::size_t end = x;
        while (end < 8 && picture[8 * y + end] == level) ++end;
        if (end > x)
          path += "M" + std::to_string(x) + " " + std::to_string(y) + "h" + std::to_string(end - x) + "v1h-" +
                  std::to_string(end - x) + "z";
        x = std::max(end, x + 1);
      }
    if (!path.empty()) paths += "<path fill-opacity=\"" + fixed(level / 16.0, 3) + "\" d=\"" + path + "\"/>";
  }
  return "<svg class=\"" + std::string(style) +
         "\" viewBox=\"0 0 8 8\" shape-rendering=\"crispEdges\" aria-hidden=\"true\">" + paths + "</svg>";
}

/// A heat map of k x k shares, row = given, column = true. Cells off the diagonal share one colour scale; the diagonal,
/// which would drown them, has a colour of its own and shows its number only.
struct heat_map {
  std::string_view id;  ///< unique in the page
  std::string_view label;
  std::string_view unit;
  const weakly::matrix<double>& values;
  const std::vector<index_t>& classes;  ///< which to show, in this order
  const std::vector<std::string>& names;
  std::function<std::string(index_t given, index_t truth)> tooltip;

  std::string svg() const {
    const auto k = static_cast<double>(classes.size());
    std::size_t longest = 1;
    for (const index_t c : classes) longest = std::max(longest, std::min(width(name(c)), name_width));
    const bool upright = longest <= 3;
    const double left = 30 + 7.2 * static_cast<double>(longest);
    const double top = upright ? 44 : 34 + 5.6 * static_cast<double>(longest);
    const double right = upright ? 4 : 30 + 2.5 * static_cast<double>(longest);
    const double cell = std::clamp((1030 - left - right) / k, 20.0, 42.0);
    const bool numbers = cell >= 32;
    const double side = cell * k;

    double peak = 0;
    for (const index_t s : classes)
      for (const index_t y : classes)
        if (s != y) peak = std::max(peak, values(s, y));

    std::string out = svg_open(left + side + right, top + side + 52, label);
    out += svg_text("soft mid", left + side / 2, 12, "true label");
    out += svg_text("soft mid", 0, 0, "given label",
                    " transform=\"translate(11 " + fixed(top + side / 2, 1) + ") rotate(-90)\"");
    for (std::size_t i = 0; i < classes.size(); ++i) {
      const double at = cell * (static_cast<double>(i) + 0.5);
      const std::string text = shortened(name(classes[i]), name_width);
      out += svg_text("end", left - 7, top + at + 4, text);
      out += upright ? svg_text("mid", left + at, top - 8, text)
                     : svg_text("", 0, 0, text,
                                " transform=\"translate(" + fixed(left + at + 3, 1) + " " + fixed(top - 8, 1) +
                                    ") rotate(-50)\"");
    }
    for (std::size_t i = 0; i < classes.size(); ++i)
      for (std::size_t j = 0; j < classes.size(); ++j) {
        const double x = left + cell * static_cast<double>(j), y = top + cell * static_cast<double>(i);
        out += one_cell(classes[i], classes[j], x, y, cell, peak, numbers);
      }
    return out + scale(left, top + side + 16, std::min(side, 240.0), peak) + "</svg>";
  }

 private:
  static constexpr std::size_t name_width = 18;

  const std::string& name(index_t c) const { return names[static_cast<std::size_t>(c)]; }

  std::string one_cell(index_t s, index_t y, double at_x, double at_y, double cell, double peak, bool numbers) const {
    const double value = values(s, y);
    const double heat = s != y && peak > 0 ? std::sqrt(value / peak) : 0;
    const std::string_view style = s == y ? "diagonal" : value > 0 ? "cell" : "none";
    const std::string opacity = heat > 0 ? " fill-opacity=\"" + fixed(std::max(heat, 0.06), 3) + "\"" : "";
    std::string out =
        "<g>" + svg_rect(style, at_x + 0.75, at_y + 0.75, cell - 1.5, cell - 1.5, opacity + " rx=\"3\"/>");
    if (numbers && value > 0)
      out += svg_text(heat > 0.62 ? "mid small hot" : "mid small", at_x + cell / 2, at_y + cell / 2 + 4,
                      cell_percent(value));
    return out + "<title>" + html_text(tooltip(s, y)) + "</title></g>";
  }

  std::string scale(double x, double y, double length, double peak) const {
    std::string out = "<defs><linearGradient id=\"" + std::string(id) + "\">";
    for (const double stop : {0.0, 0.02, 0.08, 0.2, 0.4, 0.7, 1.0})
      out += "<stop offset=\"" + fixed(stop, 2) + "\" stop-color=\"var(--heat)\" stop-opacity=\"" +
             fixed(std::sqrt(stop), 3) + "\"/>";
    out += "</linearGradient></defs>" +
           svg_rect("", x, y, length, 10, " rx=\"3\" fill=\"url(#" + std::string(id) + ")\"/>");
    out += svg_text("soft small", x, y + 25, "0");
    out += svg_text("soft small mid", x + length / 2, y + 25, peak > 0 ? cell_percent(peak / 2) : "");
    out += svg_text("soft small end", x + length, y + 25, peak > 0 ? cell_percent(peak) : "");
    return out + svg_text("soft small", x + length + 10, y + 9, unit);
  }
};

/// Two bars a class: how many of its given labels are wrong, how many of its examples carry another label.
inline std::string class_bars(const audit_result& r, std::size_t shown) {
  constexpr double row = 27, page = 1036;
  std::size_t longest = 5;
  double peak = 0;
  for (std::size_t i = 0; i < shown; ++i) {
    const weakly::class_quality& c = r.health.classes[i];
    longest =
        std::max(longest, std::min<std::size_t>(width(r.class_names[static_cast<std::size_t>(c.class_index)]), 24));
    for (const double x : {c.label_noise, c.inverse_label_noise})
      if (x > peak) peak = x;
  }
  const double names = 7.4 * static_cast<double>(longest) + 10, count = names + 74, first = count + 24;
  const double bar = (page - first) / 2 - 86;
  const double second = first + bar + 84, height = 34 + row * static_cast<double>(shown);
  std::string out = svg_open(page, height, "estimated label noise per class");
  out += svg_text("soft", 0, 14, "class") + svg_text("soft end", count, 14, "examples") +
         svg_text("soft", first, 14, "given the class, but wrongly") +
         svg_text("soft", second, 14, "of the class, but given another");
  for (std::size_t i = 0; i < shown; ++i) {
    const weakly::class_quality& c = r.health.classes[i];
    const double y = 30 + row * static_cast<double>(i);
    const std::string& name = r.class_names[static_cast<std::size_t>(c.class_index)];
    const index_t members = r.class_counts[static_cast<std::size_t>(c.class_index)];
    out += "<g>" + svg_text("", 0, y + 13, shortened(name, 24)) + svg_text("end", count, y + 13, grouped(members));
    const auto one = [&](double x, double share, index_t rows, std::string_view style) {
      out += svg_rect("track", x, y + 2, bar, 14, " rx=\"3\"/>");
      if (share > 0) out += svg_rect(style, x, y + 2, std::max(2.0, bar * share / peak), 14, " rx=\"3\"/>");
      out +=
          svg_text("small", x + bar + 8, y + 13, std::isnan(share) ? "–" : percent(share) + " (" + grouped(rows) + ")");
    };
    one(first, c.label_noise, c.label_issues, "bar-heat");
    one(second, c.inverse_label_noise, c.inverse_label_issues, "bar-cool");
    out += "<title>" +
           html_text(name + ": " + counted(members, "example") + " given it, " + grouped(c.label_issues) +
                     " of them believed wrong; " + grouped(c.inverse_label_issues) + " examples of it given another") +
           "</title></g>";
  }
  return out + "</svg>";
}

}  // namespace label_audit
