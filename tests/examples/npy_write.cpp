// SPDX-License-Identifier: MIT
#include <command_line/atomic_file.hpp>
#include <label_audit/npy_write.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <typeinfo>
#include <vector>

#include <doctest/doctest.h>

#include "npy_bytes.hpp"
#include "support.hpp"

namespace {

using namespace npy_test;

/// The header numpy 2.4 writes: dict, room for the first axis to grow to 21 digits, spaces to a multiple of 64 bytes.
std::string numpy_header(const std::string& dict) {
  return with_prefix(dict + std::string(117 - dict.size(), ' ') + "\n");
}

}  // namespace

TEST_CASE("write_npy writes the header that numpy writes") {
  const std::filesystem::path folder = support::scratch_dir("npy_header");
  const std::string path = folder / "a.npy";
  const std::string order(1, native_order);
  npy::write_npy(path, std::vector<float>{1, 2, 3, 4, 5, 6}, 3, 2);
  CHECK(slurp(path) == numpy_header("{'descr': '" + order + "f4', 'fortran_order': False, 'shape': (3, 2), }") +
                           raw(std::vector<float>{1, 2, 3, 4, 5, 6}));
  npy::write_npy(path, std::vector<std::int64_t>{-1, 7});
  CHECK(slurp(path) == numpy_header("{'descr': '" + order + "i8', 'fortran_order': False, 'shape': (2,), }") +
                           raw(std::vector<std::int64_t>{-1, 7}));
  npy::write_npy(path, std::vector<double>{});
  CHECK(slurp(path) == numpy_header("{'descr': '" + order + "f8', 'fortran_order': False, 'shape': (0,), }"));
}

TEST_CASE_TEMPLATE("write_npy and npy_file are inverse", T, float, double, std::int64_t) {
  const std::filesystem::path folder = support::scratch_dir(std::string("npy_round_trip_") + typeid(T).name());
  const std::string path = folder / "a.npy";
  const std::vector<T> values{std::numeric_limits<T>::lowest(), T(-1), T(0), std::numeric_limits<T>::max(), T(3), T(4)};
  npy::write_npy(path, values, 2, 3);
  npy::npy_file matrix(path);
  CHECK(matrix.rows() == 2);
  CHECK(matrix.cols() == 3);
  CHECK(read_all<T>(matrix) == values);
  npy::write_npy(path, values);
  npy::npy_file vector(path);
  CHECK(vector.rank() == 1);
  CHECK(read_all<T>(vector) == values);
  npy::write_npy(path, std::vector<T>{}, 0, 5);
  CHECK(npy::npy_file(path).shape_text() == "(0, 5)");
  npy::write_npy(path, std::vector<T>{}, 5, 0);
  CHECK(npy::npy_file(path).shape_text() == "(5, 0)");
}

TEST_CASE("write_npy refuses a shape that the values do not have") {
  const std::filesystem::path folder = support::scratch_dir("npy_write_shape");
  const std::string path = folder / "a.npy";
  const std::vector<float> six(6);
  for (const auto& [rows, cols] :
       std::vector<std::pair<std::int64_t, std::int64_t>>{{2, 2}, {4, 2}, {6, 0}, {-2, -3}, {0, 6}})
    CHECK(contains(refusal([&] { npy::write_npy(path, six, rows, cols); }), "6 values were given for the shape"));
  CHECK(files_in(folder) == 0);
}

TEST_CASE("write_npy names a path that cannot be written") {
  const std::filesystem::path folder = support::scratch_dir("npy_unwritable");
  const std::vector<float> one(1);
  CHECK(contains(refusal([&] { npy::write_npy(folder / "none/a.npy", one); }),
                 "none/a.npy: cannot be written (No such file or directory); create the directory first"));
  CHECK(contains(refusal([&] { npy::write_npy(folder / "", one); }), "is a directory"));
  CHECK(contains(refusal([&] { npy::write_npy("/dev/full", one); }), "/dev/full: cannot be written (No space left"));
}

TEST_CASE("atomic_file shows nothing before commit and leaves nothing without it") {
  const std::filesystem::path folder = support::scratch_dir("atomic_file");
  const std::string path = folder / "report.txt";
  spit(path, "old");
  {
    command_line::atomic_file file(path);
    file.write("new and unfinished");
    CHECK(slurp(path) == "old");
    CHECK(files_in(folder) == 2);
  }
  CHECK(slurp(path) == "old");
  CHECK(files_in(folder) == 1);
  command_line::atomic_file file(path);
  file.write("new ");
  file.write("and whole");
  file.commit();
  CHECK(slurp(path) == "new and whole");
  CHECK(files_in(folder) == 1);
}

TEST_CASE("atomic_file follows a link, writes devices in place and makes files as other programs do") {
  const std::filesystem::path folder = support::scratch_dir("atomic_links");
  spit(folder / "target.txt", "old");
  std::filesystem::create_symlink("target.txt", folder / "link.txt");
  command_line::atomic_file file(folder / "link.txt");
  file.write("new");
  file.commit();
  CHECK(std::filesystem::is_symlink(folder / "link.txt"));
  CHECK(slurp(folder / "target.txt") == "new");

  command_line::atomic_file null("/dev/null");
  null.write("gone");
  null.commit();
  CHECK(std::filesystem::is_character_file("/dev/null"));

  const mode_t mask = ::umask(022);
  command_line::atomic_file fresh(folder / "fresh.txt");
  fresh.commit();
  ::umask(mask);
  struct stat status = {};
  REQUIRE(::stat((folder / "fresh.txt").c_str(), &status) == 0);
  CHECK((status.st_mode & 0777) == 0644);
}
