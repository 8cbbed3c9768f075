// SPDX-License-Identifier: MIT
// The reference cases of the losses: index.tsv and the arrays beside it (see the README of that folder).
#pragma once

#include "golden/npy_array.hpp"
#include "support.hpp"

#include <weakly/core/view.hpp>

#include <cmath>
#include <cstddef>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace loss_reference {

struct reference_case {
  std::filesystem::path folder;
  std::string name, inputs;  // inputs: the case that holds logits and target
  double rtol = 0, atol = 0;
  std::map<std::string, double> number;     // parameters that are numbers
  std::map<std::string, std::string> text;  // all parameters

  golden::npy_array array(const std::string& what) const;
  std::vector<double> values(const std::string& what) const { return array(what).values; }
  std::vector<int> labels(const std::string& what = "target") const { return array(what).as<int>(); }

  /// Whether `got` is `want` within the tolerance of the case; NaN never is.
  bool close(double got, double want) const {
    return got == want || std::abs(got - want) <= atol + rtol * std::abs(want);
  }
};

/// The cases of one loss; none, and the test reported as skipped, where the reference data is not there.
std::vector<reference_case> cases(const std::string& loss);

/// Compares a whole array; says which element is off.
void check_array(const reference_case& c, const std::string& what, const std::vector<double>& got);

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
