// SPDX-License-Identifier: MIT
// Runs the built tool as a user does, on arrays written for the occasion.
#pragma once

#include <label_audit/npy_write.hpp>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "support.hpp"
#include "tool_process.hpp"

namespace audit_test {

namespace fs = std::filesystem;
using tool_test::slurp;
using tool_test::spill;
using tool_test::strings;

/// The tool under test, started.
struct process : tool_test::process {
  process(const fs::path& folder, const strings& arguments)
      : tool_test::process(tool_test::tool("LABEL_AUDIT"), folder, arguments) {}
};

inline process run(const fs::path& folder, const strings& arguments) {
  process p(folder, arguments);
  p.wait();
  return p;
}

/// Runs the tool on `P.npy` and `L.npy` of the folder.
inline process run_on_files(const fs::path& folder, strings arguments = {}) {
  for (const char* word : {"L.npy", "--labels", "P.npy", "--pred-probs"}) arguments.insert(arguments.begin(), word);
  return run(folder, arguments);
}

/// The JSON report of a run that must succeed.
inline nlohmann::json report_of(const fs::path& folder, strings arguments, bool files = true) {
  arguments.insert(arguments.end(), {"--json", "report.json"});
  const process p = files ? run_on_files(folder, arguments) : run(folder, arguments);
  CHECK_MESSAGE(p.status == 0, p.errors);
  return p.status == 0 ? nlohmann::json::parse(slurp(folder / "report.json")) : nlohmann::json();
}

/// Probabilities in three classes, confident in the label but for two rows that look like another class.
struct small_data {
  std::int64_t n = 30;
  std::vector<double> prob;
  std::vector<std::int64_t> label;

  small_data() {
    for (std::int64_t i = 0; i < n; ++i) {
      const std::int64_t truth = i % 3;
      const double sure = 0.9 - 0.01 * static_cast<double>(i / 3);
      for (std::int64_t c = 0; c < 3; ++c) prob.push_back(c == truth ? sure : (1 - sure) / 2);
      label.push_back(truth);
    }
    label[4] = 2;  // truly 1
    label[9] = 1;  // truly 0
  }

  double& at(std::int64_t row, std::int64_t column) { return prob[static_cast<std::size_t>(3 * row + column)]; }

  void write(const fs::path& folder) const {
    npy::write_npy((folder / "P.npy").string(), prob, n, 3);
    npy::write_npy((folder / "L.npy").string(), label);
  }
};

/// What the folder holds besides the data and the output of the runs.
inline strings reports_in(const fs::path& folder) {
  strings names;
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    if (name != "P.npy" && name != "L.npy" && name != "stdout" && name != "stderr") names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace audit_test
