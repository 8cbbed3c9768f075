// SPDX-License-Identifier: MIT
// Starts a tool of examples/ as a user does.
#pragma once

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <doctest/doctest.h>

namespace tool_test {

namespace fs = std::filesystem;
using strings = std::vector<std::string>;

inline std::string slurp(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return std::string(std::istreambuf_iterator<char>(file), {});
}

inline void spill(const fs::path& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

/// The tool that ctest names in a variable of the environment.
inline std::string tool(const char* variable) {
  const char* path = std::getenv(variable);
  REQUIRE_MESSAGE(path != nullptr, variable, " names the tool; run the tests by ctest");
  return path;
}

/// A started tool whose output goes to files in `folder`.
class process {
 public:
  process(const std::string& path, const fs::path& folder, const strings& arguments)
      : out_(folder / "stdout"), err_(folder / "stderr") {
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

}  // namespace tool_test
