// SPDX-License-Identifier: MIT
// Runs the built tool as a user does, on arrays written for the occasion.
#pragma once

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <label_audit/npy_write.hpp>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

#include <doctest/doctest.h>
#include <nlohmann/json.hpp>

#include "support.hpp"

namespace audit_test {

namespace fs = std::filesystem;
using strings = std::vector<std::string>;

inline std::string slurp(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

inline void spill(const fs::path& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

/// The tool under test, which ctest names in the environment.
inline std::string tool() {
  const char* path = std::getenv("LABEL_AUDIT");
  REQUIRE_MESSAGE(path != nullptr, "LABEL_AUDIT names the tool; run the tests by ctest");
  return path;
}

/// A started tool whose output goes to files in `folder`.
class process {
 public:
  process(const fs::path& folder, const strings& arguments) : out_(folder / "stdout"), err_(folder / "stderr") {
    const std::string path = tool();
    std::vector<std::string> words{path};
    words.insert(words.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    const std::string out = out_, err = err_, where = folder;
    id_ = ::fork();
    if (id_ == 0) {
      const int to = ::open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
      const int complaints = ::open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
      if (::chdir(where.c_str()) == 0 && ::dup2(to, 1) == 1 && ::dup2(complaints, 2) == 2)
        ::execv(argv[0], argv.data());
      ::_exit(126);
    }
    REQUIRE(id_ > 0);
  }

  void signal(int number) const { ::kill(id_, number); }

  void wait() {
    rusage usage = {};
    ::wait4(id_, &raw_status, 0, &usage);
    status = WIFEXITED(raw_status) ? WEXITSTATUS(raw_status) : -1;
    peak_bytes = usage.ru_maxrss * 1024;
    output = slurp(out_);
    errors = slurp(err_);
  }

  int raw_status = 0;
  int status = -1;  ///< exit status; -1 when a signal ended it
  std::int64_t peak_bytes = 0;
  std::string output;
  std::string errors;

 private:
  fs::path out_, err_;
  pid_t id_ = -1;
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
