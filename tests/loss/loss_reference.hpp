// SPDX-License-Identifier: MIT
// The reference cases of the losses: index.tsv and the arrays beside it (see the README of that folder).
#pragma once

#include "golden/npy_array.hpp"
#include "support.hpp"

#include <weakly/core/view.hpp>

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

namespace loss_reference {

struct reference_case {
  std::filesystem::path folder;
  std::string name, inputs;  // inputs: the case that holds logits and target
  double rtol = 0, atol = 0;
  std::map<std::string, double> number;     // parameters that are numbers
  std::map<std::string, std::string> text;  // all parameters

  golden::npy_array array(const std::string& what) const {
    const bool shared = (what == "logits" || what == "target") && !inputs.empty();
    return golden::read_npy(folder / ((shared ? inputs : name) + "." + what + ".npy"));
  }
  std::vector<double> values(const std::string& what) const { return array(what).values; }
  std::vector<int> labels(const std::string& what = "target") const { return array(what).as<int>(); }

  /// Whether `got` is `want` within the tolerance of the case; NaN never is.
  bool close(double got, double want) const {
    return got == want || std::abs(got - want) <= atol + rtol * std::abs(want);
  }
};

/// The cases of one loss; none, and the test reported as skipped, where the reference data is not there.
inline std::vector<reference_case> cases(const std::string& loss) {
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

/// Compares a whole array; says which element is off.
inline void check_array(const reference_case& c, const std::string& what, const std::vector<double>& got) {
  const std::vector<double> want = c.values(what);
  REQUIRE_MESSAGE(got.size() == want.size(), c.name, " ", what);
  for (std::size_t i = 0; i < want.size(); ++i)
    CHECK_MESSAGE(c.close(got[i], want[i]), c.name, " ", what, "[", i, "]: ", got[i], " instead of ", want[i]);
}

/// Loss and gradient of a loss of logits and labels: call(logits, labels, loss, grad) on double views.
template <class Call>
void check_loss_and_gradient(const reference_case& c, Call call) {
  const auto logits = c.array("logits");
  const auto n = logits.shape[0], k = logits.shape[1];
  const std::vector<int> label = c.labels();
  std::vector<double> loss(static_cast<std::size_t>(n)), grad(static_cast<std::size_t>(n * k));
  call(weakly::view(logits.values.data(), n, k), label, loss, weakly::view(grad.data(), n, k));
  check_array(c, "loss", loss);
  check_array(c, "grad", grad);
}

}  // namespace loss_reference
