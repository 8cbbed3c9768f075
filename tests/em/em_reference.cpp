// SPDX-License-Identifier: MIT
#include "em_reference.hpp"

#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

namespace em_reference {

file read(const std::filesystem::path& path) {
  file blocks;
  std::ifstream in(path);
  CHECK_MESSAGE(in.good(), path.string());
  std::string line;
  block* current = nullptr;
  while (std::getline(in, line)) {
    if (line.starts_with("# ")) {
      std::istringstream header(line.substr(2));
      std::string name;
      block b;
      header >> name >> b.rows >> b.columns;
      current = &(blocks[name] = b);
      continue;
    }
    std::istringstream numbers(line);
    std::string number;
    while (current != nullptr && std::getline(numbers, number, ','))
      current->values.push_back(std::strtod(number.c_str(), nullptr));
  }
  for (const auto& [name, b] : blocks)
    CHECK_MESSAGE(static_cast<std::ptrdiff_t>(b.values.size()) == b.rows * b.columns, path.string(), " ", name);
  return blocks;
}

std::vector<std::pair<std::string, file>> instances() {
  std::vector<std::pair<std::string, file>> all;
  if (const auto folder = support::reference_data("em"))
    for (const char* name : {"single_k1", "binary_k2", "random0_k3", "random1_k10", "random2_k100", "nasty_k6"})
      all.emplace_back(name, read(*folder / (std::string(name) + ".txt")));
  return all;
}

}  // namespace em_reference
