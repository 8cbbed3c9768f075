// SPDX-License-Identifier: MIT
// The arrows and bans of the architecture, as data and as a reader of source text. Each check returns one line a fault.
#pragma once

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

namespace structure {

using faults = std::vector<std::string>;
using names = std::vector<std::string_view>;

inline const names algorithm_folders = {"noise", "em", "loss", "rate", "graph", "check"};

inline bool contains(const names& list, std::string_view name) { return std::ranges::find(list, name) != list.end(); }

/// Headers of other libraries that a header may include, by the beginning of their names.
inline names foreign_allowed(std::string_view header) {
  if (header == "core/simd.hpp" || header.starts_with("core/simd/")) return {"xsimd/"};
  if (header == "adapt/eigen.hpp") return {"Eigen/"};
  if (header == "adapt/xtensor.hpp") return {"xtensor/"};
  if (header == "adapt/dlpack.hpp") return {"dlpack/"};
  if (header == "adapt/torch.hpp") return {"torch/", "ATen/", "c10/"};
  if (header == "exec/openmp.hpp") return {"omp.h"};
  if (header == "exec/tbb.hpp") return {"tbb/", "oneapi/tbb/"};
  if (header == "rate/detail/symmetric_eigen.hpp" || header == "graph/closed_form_propagation.hpp") return {"Eigen/"};
  if (header.starts_with("cuda/")) return {"cuda", "cub/", "cooperative_groups", "cublas", "cusolver", "nccl"};
  return {};
}

/// Folders of weakly that a header may include from.
inline names folders_allowed(std::string_view folder) {
  if (folder == "core" || folder == "adapt" || folder == "exec") return {"core"};
  if (contains(algorithm_folders, folder)) return {"core", folder};
  names all = {"core"};
  all.insert(all.end(), algorithm_folders.begin(), algorithm_folders.end());
  if (folder == "cuda") all.push_back("cuda");
  return all;  // cuda, and the umbrella, whose folder is empty
}

inline std::string read(const std::filesystem::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

/// The text with comments, strings and characters blanked: what is left is code.
inline std::string code_of(const std::string& text) {
  std::string code = text;
  const auto is_word = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; };
  std::size_t i = 0;
  const auto blank_until = [&](std::size_t end) {
    for (; i < std::min(end, code.size()); ++i)
      if (code[i] != '\n') code[i] = ' ';
  };
  while (i < code.size()) {
    const bool separator = text[i] == '\'' && i > 0 && is_word(text[i - 1]);  // as in 1'000
    if (text.compare(i, 2, "//") == 0) {
      blank_until(text.find('\n', i));
    } else if (text.compare(i, 2, "/*") == 0) {
      const std::size_t end = text.find("*/", i + 2);
      blank_until(end == std::string::npos ? end : end + 2);
    } else if (text[i] == '"' || (text[i] == '\'' && !separator)) {
      std::size_t end = i + 1;
      while (end < text.size() && text[end] != text[i]) end += text[end] == '\\' ? 2U : 1U;
      blank_until(end + 1);
    } else {
      ++i;
    }
  }
  return code;
}

/// Whether the words occur in the code in this order, with nothing but white space between them.
inline bool has_words(std::string_view code, const names& words) {
  const auto is_word = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; };
  for (std::size_t at = code.find(words[0]); at != std::string_view::npos; at = code.find(words[0], at + 1)) {
    if (at > 0 && is_word(code[at - 1]) && is_word(words[0][0])) continue;
    std::size_t end = at;
    bool all = true;
    for (const std::string_view word : words) {
      if (end > at)
        while (end < code.size() && std::isspace(static_cast<unsigned char>(code[end])) != 0) ++end;
      all = all && code.substr(end).starts_with(word);
      end += word.size();
      all = all && !(is_word(word.back()) && end < code.size() && is_word(code[end]));
    }
    if (all) return true;
  }
  return false;
}

struct include_line {
  std::string name;
  bool quoted;
};

inline std::vector<include_line> includes_of(const std::string& text) {
  std::vector<include_line> found;
  const std::string code = code_of(text);
  for (std::size_t at = code.find('#'); at != std::string::npos; at = code.find('#', at + 1)) {
    std::size_t i = at + 1;
    while (i < code.size() && (code[i] == ' ' || code[i] == '\t')) ++i;
    if (code.compare(i, 7, "include") != 0) continue;
    i = text.find_first_not_of(" \t", i + 7);
    if (i == std::string::npos || (text[i] != '<' && text[i] != '"')) continue;
    const std::size_t end = text.find(text[i] == '<' ? '>' : '"', i + 1);
    found.push_back({text.substr(i + 1, end - i - 1), text[i] == '"'});
  }
  return found;
}

/// Every header under `root` (the folder that core/ lies in), by its name relative to it.
inline std::map<std::string, std::string> headers_under(const std::filesystem::path& root) {
  std::map<std::string, std::string> found;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(root))
    if (entry.is_regular_file()) found[entry.path().lexically_relative(root).generic_string()] = read(entry.path());
  return found;
}

inline std::string folder_of(const std::string& header) {
  const std::size_t slash = header.find('/');
  return slash == std::string::npos ? "" : header.substr(0, slash);
}

inline faults include_faults(const std::map<std::string, std::string>& headers) {
  static const names nowhere = {"iostream", "format", "expected", "mdspan", "print", "regex"};
  static const names threads = {"thread", "mutex",   "shared_mutex", "condition_variable", "future",
                                "latch",  "barrier", "semaphore",    "stop_token"};
  faults found;
  for (const auto& [header, text] : headers) {
    const std::string folder = folder_of(header);
    for (const auto& [name, quoted] : includes_of(text)) {
      const auto fault = [&](const std::string& why) { found.push_back(header + " includes " + name + ": " + why); };
      if (quoted) {
        fault("write <weakly/...>, so that every way of embedding finds the same file");
      } else if (name.starts_with("weakly/")) {
        const std::string target = name.substr(7);
        if (!headers.contains(target)) fault("there is no such header");
        if (!contains(folders_allowed(folder), folder_of(target))) fault("an arrow the architecture does not have");
      } else if (name.find_first_of("/.") != std::string::npos || name.starts_with("cooperative_groups")) {
        const names allowed = foreign_allowed(header);
        if (std::ranges::none_of(allowed, [&](std::string_view start) { return name.starts_with(start); }))
          fault("a dependency this header must not have");
      } else if (contains(nowhere, name)) {
        fault("not in a header of weakly");
      } else if (contains(threads, name) && folder != "exec") {
        fault("threads and locks live in exec/");
      }
    }
  }
  return found;
}

inline faults cycle_faults(const std::map<std::string, std::string>& headers) {
  // Takes away headers whose includes are all taken away; what stays lies on a cycle or above one.
  std::map<std::string, std::set<std::string>> open;
  for (const auto& [header, text] : headers)
    for (const auto& line : includes_of(text))
      if (line.name.starts_with("weakly/") && headers.contains(line.name.substr(7)))
        open[header].insert(line.name.substr(7));
  for (bool changed = true; changed;) {
    changed = false;
    for (auto it = open.begin(); it != open.end();) {
      std::erase_if(it->second, [&](const std::string& target) { return !open.contains(target); });
      changed = changed || it->second.empty();
      it = it->second.empty() ? open.erase(it) : std::next(it);
    }
  }
  faults found;
  for (const auto& [header, targets] : open) found.push_back(header + " is part of an include cycle");
  return found;
}

inline faults text_faults(const std::map<std::string, std::string>& headers) {
  struct ban {
    names words;
    bool (*allowed)(std::string_view header);
    const char* why;
  };
  static const auto never = [](std::string_view) { return false; };
  static const auto in_config = [](std::string_view header) { return header == "core/config.hpp"; };
  static const auto in_error = [](std::string_view header) { return header == "core/error.hpp"; };
  static const auto in_exec = [](std::string_view header) { return header.starts_with("exec/"); };
  static const auto in_kernel = [](std::string_view header) { return header == "cuda/kernel.cuh"; };
  static const std::vector<ban> bans = {
      {{"#", "define"}, in_config, "macros live in core/config.hpp"},
      {{"#", "undef"}, in_config, "macros live in core/config.hpp"},
      {{"#", "pragma", "omp"}, in_exec, "omp pragmas live in exec/"},
      {{"throw"}, in_error, "throws outside detail::fail, so -fno-exceptions breaks"},
      {{"using", "namespace"}, never, "using namespace in a header"},
      {{"namespace", "{"}, never, "an unnamed namespace in a header"},
      {{"threadIdx"}, in_kernel, "the raw CUDA vocabulary lives in cuda/kernel.cuh"},
      {{"blockIdx"}, in_kernel, "the raw CUDA vocabulary lives in cuda/kernel.cuh"},
      {{"__syncthreads"}, in_kernel, "the raw CUDA vocabulary lives in cuda/kernel.cuh"},
      {{"<<<"}, in_kernel, "the raw CUDA vocabulary lives in cuda/kernel.cuh"},
  };
  faults found;
  for (const auto& [header, text] : headers) {
    const auto fault = [&](const std::string& why) { found.push_back(header + ": " + why); };
    const std::string code = code_of(text);
    if (!text.starts_with("// SPDX-License-Identifier: MIT\n")) fault("the first line is not the licence");
    if (!has_words(code, {"#", "pragma", "once"})) fault("no #pragma once");
    for (const ban& b : bans)
      if (!b.allowed(header) && has_words(code, b.words)) fault(b.why);
  }
  return found;
}

/// weakly.hpp is the umbrella over every host algorithm.
inline faults umbrella_faults(const std::map<std::string, std::string>& headers) {
  faults found;
  const auto umbrella = headers.find("weakly.hpp");
  if (umbrella == headers.end()) return {"there is no weakly.hpp"};
  std::set<std::string> included;
  for (const auto& line : includes_of(umbrella->second)) included.insert(line.name);
  for (const auto& [header, text] : headers) {
    const std::string folder = folder_of(header);
    const bool is_public = std::ranges::count(header, '/') == 1;
    if (is_public && contains(algorithm_folders, folder) && !included.contains("weakly/" + header))
      found.push_back("weakly.hpp does not include " + header);
  }
  return found;
}

inline faults header_faults(const std::filesystem::path& root) {
  const auto headers = headers_under(root);
  faults found;
  for (const auto& some :
       {include_faults(headers), cycle_faults(headers), text_faults(headers), umbrella_faults(headers)})
    found.insert(found.end(), some.begin(), some.end());
  return found;
}

/// A public header is include/weakly/<folder>/<name>.hpp; what lies deeper belongs to it.
inline faults mirror_faults(const std::filesystem::path& repository) {
  faults found;
  for (const auto& [header, text] : headers_under(repository / "include" / "weakly")) {
    const std::string folder = folder_of(header);
    const std::filesystem::path path = header;
    if (std::ranges::count(header, '/') != 1 || path.extension() != ".hpp") continue;
    const auto test = repository / "tests" / folder / (path.stem().string() + ".cpp");
    if (!std::filesystem::exists(test)) found.push_back(header + " has no test of its name");
    const auto page = repository / "docs" / "algorithms" / (path.stem().string() + ".md");
    if (contains(algorithm_folders, folder) && !std::filesystem::exists(page))
      found.push_back(header + " has no page in docs/algorithms");
  }
  return found;
}

}  // namespace structure
