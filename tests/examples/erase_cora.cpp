// SPDX-License-Identifier: MIT
#include "npy_bytes.hpp"
#include "support.hpp"

#include <erase_cora/accuracy_bars.hpp>
#include <erase_cora/citation_graph.hpp>

#include <Eigen/SparseCore>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

namespace {

using tables = std::map<std::string, std::vector<std::int64_t>>;

// Three papers on two subjects: 0 - 1 - 2.
const tables small = {{"labels", {0, 1, 0}},
                      {"edges", {0, 1, 2, 1}},
                      {"feat_indptr", {0, 1, 1, 3}},
                      {"feat_indices", {2, 0, 1}},
                      {"train_idx", {0, 1}},
                      {"val_idx", {2}},
                      {"test_idx", {2}}};

examples::citation_graph read(const std::filesystem::path& folder, tables with) {
  for (const auto& [name, numbers] : small) with.insert({name, numbers});
  for (const auto& [name, numbers] : with) {
    const std::size_t columns = name == "edges" ? 2 : 1;
    const std::string shape = "(" + std::to_string(numbers.size() / columns) + (columns == 2 ? ", 2)" : ",)");
    std::ofstream(folder / (name + ".npy"), std::ios::binary)
        << npy_test::file_bytes("<i8", shape, npy_test::raw(numbers));
  }
  return examples::read_citation_graph(folder);
}

std::string why_not(const std::filesystem::path& folder, const tables& with) {
  try {
    read(folder, with);
  } catch (const std::exception& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("a citation graph is read from plain arrays") {
  const auto g = read(support::scratch_dir("erase_cora_read"), {});
  CHECK(g.nodes() == 3);
  CHECK(g.classes == 2);
  CHECK(g.offsets == std::vector<std::int32_t>{0, 1, 3, 4});
  CHECK(g.columns == std::vector<std::int32_t>{1, 0, 2, 1});
  CHECK(g.words.cols() == 3);
  CHECK(g.words.coeff(2, 1) == 0.5f);
}

TEST_CASE("a citation graph whose arrays do not fit one another is refused") {
  const auto folder = support::scratch_dir("erase_cora_refused");
  const auto says = [&](const tables& with, const std::string& words) {
    const std::string message = why_not(folder, with);
    CAPTURE(message);
    return message.find(words) != std::string::npos;
  };
  CHECK(says({{"labels", {0, -1, 0}}}, "labels has -1"));
  CHECK(says({{"edges", {0, 3}}}, "edge 0 ends at no node"));
  CHECK(says({{"feat_indptr", {0, 2, 1, 3}}}, "feat_indptr does not fit"));
  CHECK(says({{"feat_indptr", {-5, 0, 1, 3}}}, "feat_indptr does not fit"));
  CHECK(says({{"feat_indices", {2, -1, 1}}}, "feat_indices has -1"));
  CHECK(says({{"train_idx", {0, 3}}}, "has 3, which is not in [0, 3)"));
  CHECK(says({{"val_idx", {-1}}}, "has -1, which is not in [0, 3)"));
  CHECK(says({{"test_idx", {1000000}}}, "has 1000000"));
}

TEST_CASE("the plot of accuracies has room for its title and for two columns of names, however few groups there are") {
  for (const std::size_t groups : {std::size_t(1), std::size_t(2), std::size_t(4)}) {
    examples::accuracy_bars chart;
    chart.title = "Accuracy on clean test labels, a stochastic block model";
    chart.methods.assign(6, "rate reduction, propagated labels");
    chart.groups.assign(groups, {"30 % symmetric", {6, {50, 3}}});
    const std::string svg = chart.svg();
    const auto number_behind = [&](const std::string& words, std::size_t from) {
      const std::size_t at = svg.find(words, from);
      REQUIRE(at != std::string::npos);
      return std::strtod(svg.c_str() + at + words.size(), nullptr);
    };
    const double width = number_behind(" width=\"", 0);
    CHECK(width >= 58 + 8 * double(chart.title.size()));
    std::vector<double> names;
    for (std::size_t at = svg.find(">rate reduction"); at != std::string::npos;
         at = svg.find(">rate reduction", at + 1))
      names.push_back(number_behind("<text x=\"", svg.rfind("<text", at)));
    REQUIRE(names.size() == 6);
    const double letters = 6.6 * 33;
    CHECK(names[1] - names[0] >= letters + 18);
    CHECK(names[1] + letters <= width);
  }
}
