// SPDX-License-Identifier: MIT
#pragma once

#include "../label_audit/npy.hpp"

#include <weakly/core/config.hpp>
#include <weakly/core/random.hpp>
#include <weakly/graph/adjacency.hpp>

#include <Eigen/SparseCore>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

namespace examples {

using weakly::index_t;
using features = Eigen::SparseMatrix<float, Eigen::RowMajor, int>;

/// Papers that cite one another: the words of each, its subject, and which of them are for training.
struct citation_graph {
  std::string name;
  std::vector<std::int32_t> offsets{0}, columns;  ///< both directions of each citation
  features words;                                 ///< rows that add up to one
  std::vector<std::int32_t> label;
  index_t classes = 0;
  std::vector<index_t> train, validation, test;

  index_t nodes() const { return static_cast<index_t>(label.size()); }
  weakly::adjacency adjacency() const { return weakly::csr_adjacency(offsets, columns); }
};

namespace detail {

using pairs = std::vector<std::pair<std::int32_t, std::int32_t>>;

inline void set_edges(citation_graph& g, pairs edges) {
  const std::size_t count = edges.size();
  for (std::size_t e = 0; e < count; ++e) edges.emplace_back(edges[e].second, edges[e].first);
  std::sort(edges.begin(), edges.end());
  edges.erase(std::unique(edges.begin(), edges.end()), edges.end());
  for (const auto& [from, to] : edges) {
    while (static_cast<index_t>(g.offsets.size()) <= from)
      g.offsets.push_back(static_cast<std::int32_t>(g.columns.size()));
    g.columns.push_back(to);
  }
  g.offsets.resize(g.label.size() + 1, static_cast<std::int32_t>(g.columns.size()));
}

/// words[i] are those of paper i.
inline void set_words(citation_graph& g, const std::vector<std::vector<int>>& words, index_t vocabulary) {
  std::vector<Eigen::Triplet<float>> entries;
  for (std::size_t i = 0; i < words.size(); ++i)
    for (const int w : words[i])
      entries.emplace_back(static_cast<int>(i), w, 1.0f / static_cast<float>(words[i].size()));
  g.words.resize(static_cast<index_t>(words.size()), vocabulary);
  g.words.setFromTriplets(entries.begin(), entries.end());
}

inline std::vector<std::int64_t> read_integers(const std::filesystem::path& file) {
  npy::npy_file in(file.string());
  std::vector<std::int64_t> all(static_cast<std::size_t>(in.rows() * in.cols()));
  in.read_rows<std::int64_t>(0, in.rows(), all);
  return all;
}

}  // namespace detail

/// Plain arrays in a folder: edges (m x 2), labels, feat_indptr, feat_indices, train_idx, val_idx, test_idx.
inline citation_graph read_citation_graph(const std::filesystem::path& folder) {
  const auto read = [&](const char* name) { return detail::read_integers(folder / name); };
  citation_graph g;
  g.name = folder.filename().string();
  const auto label = read("labels.npy"), ends = read("edges.npy"), begin = read("feat_indptr.npy"),
             word = read("feat_indices.npy");
  const auto refuse = [&](const std::string& why) { throw std::runtime_error(folder.string() + ": " + why); };
  const auto require_range = [&](const char* name, const std::vector<std::int64_t>& numbers, std::int64_t end) {
    for (const std::int64_t x : numbers)
      if (x < 0 || x >= end)
        refuse(std::string(name) + " has " + std::to_string(x) + ", which is not in [0, " + std::to_string(end) + ")");
  };
  require_range("labels", label, 1000);
  require_range("feat_indices", word, 1000000);
  g.label.assign(label.begin(), label.end());
  const index_t n = g.nodes();
  if (n == 0) refuse("labels are empty");
  g.classes = *std::max_element(label.begin(), label.end()) + 1;
  if (begin.size() != label.size() + 1 || begin.front() != 0 || !std::is_sorted(begin.begin(), begin.end()) ||
      begin.back() != static_cast<std::int64_t>(word.size()))
    refuse("feat_indptr does not fit labels and feat_indices");
  detail::pairs edges;
  for (std::size_t e = 0; e + 1 < ends.size(); e += 2) {
    if (std::min(ends[e], ends[e + 1]) < 0 || std::max(ends[e], ends[e + 1]) >= n)
      refuse("edge " + std::to_string(e / 2) + " ends at no node");
    edges.emplace_back(static_cast<std::int32_t>(ends[e]), static_cast<std::int32_t>(ends[e + 1]));
  }
  detail::set_edges(g, std::move(edges));
  std::vector<std::vector<int>> words(label.size());
  for (std::size_t i = 0; i < words.size(); ++i)
    for (auto w = begin[i]; w < begin[i + 1]; ++w)
      words[i].push_back(static_cast<int>(word[static_cast<std::size_t>(w)]));
  detail::set_words(g, words, word.empty() ? 0 : *std::max_element(word.begin(), word.end()) + 1);
  g.train = read("train_idx.npy");
  g.validation = read("val_idx.npy");
  g.test = read("test_idx.npy");
  for (const auto* part : {&g.train, &g.validation, &g.test}) {
    if (part->empty()) refuse("train_idx, val_idx or test_idx is empty");
    require_range("train_idx, val_idx or test_idx", *part, n);
  }
  return g;
}

/// A stochastic block model where no such folder is at hand: 600 papers on five subjects, four citations each, of which
/// 85 % stay within the subject, and twelve words each, of which 30 % are those of the subject. 20 papers of each
/// subject to train, 100 to validate.
inline citation_graph generated_citation_graph() {
  constexpr index_t n = 600, classes = 5, topic = 40, vocabulary = classes * topic;
  weakly::random_stream draw(1);
  const auto below = [&](index_t bound) { return static_cast<index_t>(draw.below(static_cast<std::uint64_t>(bound))); };
  citation_graph g;
  g.name = "a stochastic block model";
  g.classes = classes;
  for (index_t i = 0; i < n; ++i) g.label.push_back(static_cast<std::int32_t>(i % classes));
  detail::pairs edges;
  std::vector<std::vector<int>> words;
  for (index_t i = 0; i < n; ++i) {
    for (int e = 0; e < 2; ++e) {  // and as many come from others
      index_t to = below(n);
      if (draw.uniform() < 0.8) to += i % classes - to % classes;
      if (to != i) edges.emplace_back(static_cast<std::int32_t>(i), static_cast<std::int32_t>(to));
    }
    std::set<int> of_paper;
    while (of_paper.size() < 12)
      of_paper.insert(static_cast<int>(draw.uniform() < 0.3 ? i % classes * topic + below(topic) : below(vocabulary)));
    words.emplace_back(of_paper.begin(), of_paper.end());
    auto& part = i < 20 * classes ? g.train : i < 20 * classes + 100 ? g.validation : g.test;
    part.push_back(i);
  }
  detail::set_edges(g, std::move(edges));
  detail::set_words(g, words, vocabulary);
  return g;
}

}  // namespace examples
