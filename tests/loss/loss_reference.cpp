// SPDX-License-Identifier: MIT
#include "loss_reference.hpp"

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <utility>

namespace loss_reference {

golden::npy_array reference_case::array(const std::string& what) const {
  const bool shared = (what == "logits" || what == "target") && !inputs.empty();
  return golden::read_npy(folder / ((shared ? inputs : name) + "." + what + ".npy"));
}

std::vector<reference_case> cases(const std::string& loss) {
  std::vector<reference_case> found;
  const auto folder = support::reference_data("losses");
  if (!folder) return found;
  std::ifstream index(*folder / "index.tsv");
  std::string line;
  std::getline(index, line);
  while (std::getline(index, line)) {
    std::istringstream fields(line);
    std::string name, kind, rtol, atol, params;
    std::getline(fields, name, '\t');
    std::getline(fields, kind, '\t');
    std::getline(fields, rtol, '\t');
    std::getline(fields, atol, '\t');
    std::getline(fields, params, '\t');
    if (kind != loss) continue;
    reference_case c;
    c.folder = *folder;
    c.name = name;
    c.rtol = std::stod(rtol);
    c.atol = std::stod(atol);
    std::istringstream list(params);
    std::string param;
    while (std::getline(list, param, ';')) {
      const auto at = param.find('=');
      const std::string key = param.substr(0, at), value = param.substr(at + 1);
      c.text[key] = value;
      char* end = nullptr;
      const double x = std::strtod(value.c_str(), &end);
      if (*end == '\0' && !value.empty()) c.number[key] = x;
      if (key == "inputs") c.inputs = value;
    }
    found.push_back(std::move(c));
  }
  CHECK_MESSAGE(!found.empty(), loss);
  return found;
}

void check_array(const reference_case& c, const std::string& what, const std::vector<double>& got) {
  const std::vector<double> want = c.values(what);
  REQUIRE_MESSAGE(got.size() == want.size(), c.name, " ", what);
  for (std::size_t i = 0; i < want.size(); ++i)
    CHECK_MESSAGE(c.close(got[i], want[i]), c.name, " ", what, "[", i, "]: ", got[i], " instead of ", want[i]);
}

}  // namespace loss_reference
