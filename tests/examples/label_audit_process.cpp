// SPDX-License-Identifier: MIT
// What a run leaves behind, and what it takes.
#include <sys/stat.h>
#include <command_line/atomic_file.hpp>

#include <chrono>
#include <csignal>
#include <cstdint>
#include <string>
#include <thread>
#include <vector>

#include "audit_tool.hpp"
#include "sanitizer.hpp"

using namespace audit_test;

namespace {

/// n rows of ten classes, `wrong` of a hundred labels wrong, written in pieces.
void write_large(const fs::path& folder, std::int64_t n, std::uint32_t wrong) {
  const auto header = [](const std::string& type, const std::string& shape) {
    std::string text = "{'descr': '<" + type + "', 'fortran_order': False, 'shape': " + shape + ", }";
    text.append(118 - text.size() - 1, ' ');
    return std::string("\x93NUMPY\x01\x00", 8) + '\x76' + '\0' + text + '\n';
  };
  std::ofstream p(folder / "P.npy", std::ios::binary), l(folder / "L.npy", std::ios::binary);
  p << header("f4", "(" + std::to_string(n) + ", 10)");
  l << header("i8", "(" + std::to_string(n) + ",)");
  std::uint32_t state = 1;
  for (std::int64_t i = 0; i < n; ++i) {
    state = state * 1664525u + 1013904223u;
    const std::uint32_t truth = (state >> 16) % 10, noise = (state >> 8) % 100;
    float row[10];
    for (std::uint32_t c = 0; c < 10; ++c) row[c] = c == truth ? 0.55f : 0.05f;
    const float moved = 0.0005f * static_cast<float>(noise);
    row[truth] -= moved;
    row[(truth + 1) % 10] += moved;
    const std::int64_t label = noise < wrong ? (truth + 1 + noise % 9) % 10 : truth;
    p.write(reinterpret_cast<const char*>(row), sizeof row);
    l.write(reinterpret_cast<const char*>(&label), sizeof label);
  }
}

const strings all_reports = {"--json", "r.json", "--issues", "r.csv", "--html", "r.html"};

}  // namespace

TEST_CASE("label_audit streams its files: memory is bounded by 64 MiB and 16 bytes a row") {
  if (support::sanitized) {
    MESSAGE("memory is not measured under a sanitizer, which has its own");
    return;
  }
  const fs::path folder = support::scratch_dir("audit_memory");
  std::int64_t n = 10'000'000;  // 400 MB of probabilities, of which 16 bytes a row are 160 MB
  write_large(folder, n, 40);
  for (strings arguments : {strings{}, strings{"--compat", "cleanlab"}, strings{"--filter-by", "predicted_neq_given"},
                            strings{"--filter-by", "both", "--score", "confidence_weighted_entropy"}}) {
    arguments.insert(arguments.end(), all_reports.begin(), all_reports.end());
    const process p = run_on_files(folder, arguments);
    CHECK_MESSAGE(p.status == 0, p.errors);
    CHECK(p.peak_bytes > n * 4);  // the labels at least: the number is one that could fail
    CHECK(p.peak_bytes <= (std::int64_t{64} << 20) + 16 * n);
    if (arguments.size() == all_reports.size()) write_large(folder, n = 3'000'000, 100);  // fewer, and all wrong
  }
  fs::remove(folder / "P.npy");
}

TEST_CASE("label_audit leaves nothing behind when a signal ends it, and no report changes") {
  const fs::path folder = support::scratch_dir("audit_signal");
  write_large(folder, 400'000, 10);
  spill(folder / "r.json", "what was there before");
  for (const int number : {SIGINT, SIGTERM, SIGHUP, SIGQUIT}) {
    strings arguments = {"--batch", "10", "--threads", "2", "--pred-probs", "P.npy", "--labels", "L.npy"};
    arguments.insert(arguments.end(), all_reports.begin(), all_reports.end());
    process p(folder, arguments);
    // The temporaries appear before the work begins; small batches make the work last.
    for (int wait = 0; wait < 1000 && reports_in(folder).size() < 4; ++wait)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    REQUIRE(reports_in(folder).size() == 4);
    p.signal(number);
    p.wait();
    CHECK(WIFSIGNALED(p.raw_status));
    CHECK(WTERMSIG(p.raw_status) == number);
    CHECK(reports_in(folder) == strings{"r.json"});
    CHECK(slurp(folder / "r.json") == "what was there before");
  }
}

TEST_CASE("label_audit replaces reports whole, through links, with the permissions they had") {
  const fs::path folder = support::scratch_dir("audit_replace");
  small_data().write(folder);
  spill(folder / "real.json", "old");
  ::chmod((folder / "real.json").c_str(), 0640);
  fs::create_symlink("real.json", folder / "link.json");
  CHECK(run_on_files(folder, {"--json", "link.json"}).status == 0);
  CHECK(fs::is_symlink(folder / "link.json"));
  CHECK(nlohmann::json::parse(slurp(folder / "real.json")).at("n") == 30);
  CHECK((fs::status(folder / "real.json").permissions() & fs::perms::mask) == fs::perms(0640));
  CHECK(reports_in(folder) == strings{"link.json", "real.json"});
}

TEST_CASE("label_audit writes a report to a device or pipe directly") {
  const fs::path folder = support::scratch_dir("audit_stdout");
  small_data().write(folder);
  const process p = run_on_files(folder, {"--quiet", "--json", "/dev/stdout"});
  CHECK(p.status == 0);
  CHECK(nlohmann::json::parse(p.output).at("k") == 3);
}

TEST_CASE("an atomic_file that is not committed leaves what was there") {
  const fs::path folder = support::scratch_dir("audit_atomic");
  const fs::path path = folder / "report";
  {
    command_line::atomic_file file(path.string());
    file.write("half of a rep");
  }
  CHECK(reports_in(folder).empty());
  {
    command_line::atomic_file file(path.string());
    file.write("whole");
    file.finish();
    CHECK_FALSE(fs::exists(path));
    file.commit();
  }
  CHECK(slurp(path) == "whole");
  {
    command_line::atomic_file file(path.string());
    file.write("second");
    CHECK(slurp(path) == "whole");
  }
  CHECK(slurp(path) == "whole");
  CHECK(reports_in(folder) == strings{"report"});
}
