// SPDX-License-Identifier: MIT
#include <label_audit/npy.hpp>

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmath>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include <doctest/doctest.h>

#include "npy_bytes.hpp"
#include "support.hpp"

namespace {

using namespace npy_test;

struct numpy_file {
  std::string about;
  npy::element type;
  bool fortran_order;
  int rank;
  std::int64_t rows, cols;
  std::string hex;

  std::string bytes() const {
    std::string out;
    for (std::size_t i = 0; i < hex.size(); i += 2) out += static_cast<char>(std::stoi(hex.substr(i, 2), nullptr, 16));
    return out;
  }
};

#include "data/npy/numpy_files.inc"

template <class T>
bool same_value(T a, T b) {
  return (a != a && b != b) || (a == b && std::signbit(static_cast<double>(a)) == std::signbit(static_cast<double>(b)));
}

const std::vector<double>& real_values(npy::element type) {
  return type == npy::element::float16   ? float16_values
         : type == npy::element::float32 ? float32_values
                                         : float64_values;
}

const std::vector<std::int64_t>& integer_values(npy::element type) {
  switch (type) {
    case npy::element::boolean:
      return bool_values;
    case npy::element::int8:
      return int8_values;
    case npy::element::int16:
      return int16_values;
    case npy::element::int32:
      return int32_values;
    case npy::element::int64:
      return int64_values;
    case npy::element::uint8:
      return uint8_values;
    case npy::element::uint16:
      return uint16_values;
    case npy::element::uint32:
      return uint32_values;
    default:
      return uint64_values;
  }
}

/// Reads in batches of 1, 2, 3 rows and compares with the first values of `expected`.
template <class T, class Expected>
void check_read(npy::npy_file& file, const std::vector<Expected>& expected) {
  for (std::int64_t batch = 1; batch <= 3; ++batch) {
    std::vector<T> got(static_cast<std::size_t>(file.rows() * file.cols()), T(77));
    for (std::int64_t first = 0; first < file.rows(); first += batch) {
      const std::int64_t count = std::min(batch, file.rows() - first);
      file.read_rows<T>(first, count, std::span(got).subspan(static_cast<std::size_t>(first * file.cols())));
    }
    for (std::size_t i = 0; i < got.size(); ++i) CHECK(same_value(got[i], static_cast<T>(expected[i])));
  }
}

}  // namespace

TEST_CASE("npy_file reads what numpy wrote: every type, byte order, memory order and version") {
  CHECK(numpy_files.size() == 134);
  for (const numpy_file& n : numpy_files) {
    CAPTURE(n.about);
    npy::npy_file file = open(n.bytes());
    CHECK(file.type() == n.type);
    CHECK(file.fortran_order() == n.fortran_order);
    CHECK(file.rank() == n.rank);
    CHECK(file.rows() == n.rows);
    CHECK(file.cols() == n.cols);
    if (npy::is_real(n.type)) {
      check_read<double>(file, real_values(n.type));
      if (file.fits_float()) check_read<float>(file, real_values(n.type));
    } else {
      check_read<std::int64_t>(file, integer_values(n.type));
      check_read<double>(file, integer_values(n.type));
      if (file.fits_float()) check_read<float>(file, integer_values(n.type));
    }
  }
}

TEST_CASE("npy_file describes its array as numpy does") {
  CHECK(open(file_bytes("<f4", "(0, 3)")).shape_text() == "(0, 3)");
  CHECK(open(file_bytes("<f4", "(0,)")).shape_text() == "(0,)");
  CHECK(open(file_bytes("|u1", "()", "x")).shape_text() == "()");
  CHECK(open(file_bytes("<f4", "(0, 3)")).type_name() == "float32");
  CHECK(open(file_bytes("<f4", "(0, 3)")).name() == "array.npy");
}

TEST_CASE("the header may have any key order, quotes, spaces and a last comma or none") {
  const std::string data = raw(std::vector<std::uint8_t>{5, 6});
  for (const char* text : {"{'descr': '|u1', 'fortran_order': False, 'shape': (2, 1), }",
                           "{'shape':(2,1),'descr':'|u1','fortran_order':False}",
                           "{\"fortran_order\" : False ,\n \"shape\" :\t( 2 , 1 , ) , \"descr\" : \"u1\" , } \r\n",
                           "  {'descr': '=u1', 'fortran_order': True, 'shape': (2L, 1L)}",
                           "{'descr': '<u1', \"shape\": (2, 1), 'fortran_order': False,}\f"}) {
    CAPTURE(text);
    for (const int version : {1, 2, 3}) {
      npy::npy_file file = open(with_prefix(text, version) + data);
      CHECK(file.rows() == 2);
      CHECK(file.cols() == 1);
      CHECK(read_all<std::int64_t>(file) == std::vector<std::int64_t>{5, 6});
    }
  }
}

TEST_CASE("'=', '|' and no byte order mean this machine's") {
  for (const char* descr : {"=f8", "|f8", "f8"}) {
    npy::npy_file file = open(file_bytes(descr, "(1,)", raw(std::vector<double>{0.1})));
    CHECK(read_all<double>(file) == std::vector<double>{0.1});
  }
}

TEST_CASE("an array without elements is read as nothing, however long its other axis") {
  npy::npy_file no_rows = open(file_bytes("<f8", "(0, 10)"));
  CHECK(read_all<double>(no_rows).empty());
  npy::npy_file no_cols = open(file_bytes("<f4", "(1000000000000, 0)"));
  CHECK(no_cols.rows() == 1000000000000);
  no_cols.read_rows<float>(5, 1000, {});
  npy::npy_file no_cols_fortran = open(file_bytes("<f4", "(3, 0)", "", true));
  CHECK(read_all<float>(no_cols_fortran).empty());
}

TEST_CASE("labels may be stored as reals where every one is a whole number") {
  npy::npy_file f64 = open(file_bytes({native_order, 'f', '8'}, "(4,)", raw(std::vector<double>{1, -0.0, -3, 0x1p62})));
  CHECK(read_all<std::int64_t>(f64) == std::vector<std::int64_t>{1, 0, -3, std::int64_t{1} << 62});
  npy::npy_file f32 = open(file_bytes({foreign_order, 'f', '4'}, "(2,)", raw(std::vector<float>{9, 16777216}, true)));
  CHECK(read_all<std::int64_t>(f32) == std::vector<std::int64_t>{9, 16777216});
  npy::npy_file f16 =
      open(file_bytes({native_order, 'f', '2'}, "(2,)", raw(std::vector<std::uint16_t>{0x3c00, 0xc500})));
  CHECK(read_all<std::int64_t>(f16) == std::vector<std::int64_t>{1, -5});
}

TEST_CASE("a label that is not a 64-bit integer is refused with its row and value") {
  struct refused {
    double value;
    const char* says;
  };
  for (const refused& r : {refused{1.5, "row 2 (from 0): 1.5 is not a whole number"}, refused{NAN, "row 2 (from 0): nan is not a label"},
                           refused{inf, "row 2 (from 0): inf exceeds 63 bits"}, refused{-inf, "row 2 (from 0): -inf exceeds 63 bits"},
                           refused{0x1p63, "row 2 (from 0): 9223372036854775808 exceeds 63 bits"},
                           refused{5e-324, "row 2 (from 0): 5e-324 is not a whole number"}}) {
    npy::npy_file file = open(file_bytes({native_order, 'f', '8'}, "(4,)", raw(std::vector<double>{0, 1, r.value, 3})));
    const std::string says = refusal([&] { read_all<std::int64_t>(file); });
    CAPTURE(says);
    CHECK(contains(says, std::string("array.npy: ") + r.says));
    std::vector<std::int64_t> rest(2);
    file.read_rows<std::int64_t>(0, 2, rest);
    CHECK(rest == std::vector<std::int64_t>{0, 1});
  }
  const std::vector<std::uint64_t> big{0, 1, std::uint64_t{1} << 63};
  npy::npy_file u64 = open(file_bytes({foreign_order, 'u', '8'}, "(3,)", raw(big, true)));
  CHECK(contains(refusal([&] { read_all<std::int64_t>(u64); }), "row 2 (from 0): 9223372036854775808 exceeds 63 bits"));
}

TEST_CASE("a refused label is located beyond the first buffer and in both memory orders") {
  std::vector<float> labels(400000, 3);
  labels[300001] = 0.5;
  npy::npy_file vector = open(file_bytes({native_order, 'f', '4'}, "(400000,)", raw(labels)));
  CHECK(contains(refusal([&] { read_all<std::int64_t>(vector); }), "array.npy: row 300001 (from 0): 0.5"));
  npy::npy_file c_order = open(file_bytes({native_order, 'f', '4'}, "(100000, 4)", raw(labels)));
  CHECK(contains(refusal([&] { read_all<std::int64_t>(c_order); }), "array.npy: row 75000 (from 0), column 1: 0.5"));
  npy::npy_file by_column = open(file_bytes({native_order, 'f', '4'}, "(100000, 4)", raw(labels), true));
  CHECK(contains(refusal([&] { read_all<std::int64_t>(by_column); }), "array.npy: row 1 (from 0), column 3: 0.5"));
}

TEST_CASE("float takes half and short integers, and refuses what it would round") {
  const auto one_zero = [](const std::string& descr) {
    return file_bytes(descr, "(1,)", std::string(static_cast<std::size_t>(descr[2] - '0'), '\0'));
  };
  for (const char* descr : {"<f8", "<i4", "<u4", "<i8", "<u8"}) {
    npy::npy_file file = open(one_zero(descr));
    CHECK_FALSE(file.fits_float());
    CHECK(contains(refusal([&] { read_all<float>(file); }), "read it as double"));
    CHECK(read_all<double>(file) == std::vector<double>{0});
  }
  for (const char* descr : {"<f4", "<f2", "<i2", "<u2", "|i1", "|u1", "|b1"})
    CHECK(open(one_zero(descr)).fits_float());
}

TEST_CASE("rows that do not exist and buffers that are too short are refused") {
  npy::npy_file file = open(file_bytes("<f4", "(3, 2)", std::string(24, '\0')));
  std::vector<float> out(6);
  CHECK(contains(refusal([&] { file.read_rows<float>(2, 2, out); }), "has 3 rows; 2 from row 2 were asked for"));
  CHECK_FALSE(refusal([&] { file.read_rows<float>(-1, 1, out); }).empty());
  CHECK_FALSE(refusal([&] { file.read_rows<float>(0, -1, out); }).empty());
  CHECK_FALSE(refusal([&] { file.read_rows<float>(std::numeric_limits<std::int64_t>::max(), 1, out); }).empty());
  CHECK_FALSE(refusal([&] { file.read_rows<float>(1, std::numeric_limits<std::int64_t>::max(), out); }).empty());
  CHECK(contains(refusal([&] { file.read_rows<float>(0, 3, std::span(out).first(5)); }), "buffer of 5"));
  CHECK(refusal([&] { file.read_rows<float>(3, 0, {}); }).empty());
}

TEST_CASE_TEMPLATE("a matrix wider and longer than a buffer reads the same in both orders", T, float, double) {
  // 37 columns are three groups of columns, 40,000 rows three segments.
  const std::int64_t rows = 40000, cols = 37;
  std::vector<T> by_row(static_cast<std::size_t>(rows * cols)), by_column(by_row.size());
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < cols; ++j)
      by_row[static_cast<std::size_t>(i * cols + j)] = by_column[static_cast<std::size_t>(j * rows + i)] =
          static_cast<T>(i * cols + j);
  const char width = sizeof(T) == 4 ? '4' : '8';
  for (const char order : {native_order, foreign_order}) {
    const std::string descr{order, 'f', width};
    npy::npy_file fortran = open(file_bytes(descr, "(40000, 37)", raw(by_column, order == foreign_order), true));
    CHECK(read_all<T>(fortran) == by_row);
    npy::npy_file c = open(file_bytes(descr, "(40000, 37)", raw(by_row, order == foreign_order)));
    CHECK(read_all<T>(c) == by_row);
    std::vector<T> middle(static_cast<std::size_t>(100 * cols));
    fortran.read_rows<T>(20001, 100, middle);
    CHECK(std::equal(middle.begin(), middle.end(), by_row.begin() + 20001 * cols));
  }
}

TEST_CASE("C order is read straight into the caller's buffer, Fortran order as one segment of each column") {
  std::vector<recording_source::request> requests;
  const std::string data(1000 * 8 * 4, '\0');
  npy::npy_file c = open(file_bytes({native_order, 'f', '4'}, "(1000, 8)", data), &requests);
  std::vector<float> out(500 * 8);
  requests.clear();
  c.read_rows<float>(100, 500, out);
  REQUIRE(requests.size() == 1);
  CHECK(requests[0].size == 500 * 8 * 4);

  npy::npy_file fortran = open(file_bytes({native_order, 'f', '4'}, "(1000, 8)", data, true), &requests);
  requests.clear();
  fortran.read_rows<float>(100, 500, out);
  REQUIRE(requests.size() == 8);
  for (std::size_t j = 0; j < 8; ++j) {
    CHECK(requests[j].size == 500 * 4);
    CHECK(requests[j].offset - requests[0].offset == static_cast<std::int64_t>(j) * 1000 * 4);
  }
}

TEST_CASE("rows in the middle of a 2 GB file are read at once and in little memory") {
  const std::filesystem::path folder = support::scratch_dir("npy_sparse");
  const std::string path = folder / "sparse.npy";
  const std::int64_t rows = 50'000'000, cols = 10;
  for (const bool fortran_order : {false, true}) {
    const std::string head = file_bytes({native_order, 'f', '4'}, "(50000000, 10)", "", fortran_order);
    const std::int64_t begin = static_cast<std::int64_t>(head.size());
    spit(path, head);
    REQUIRE(::truncate(path.c_str(), static_cast<off_t>(begin + rows * cols * 4)) == 0);
    const int descriptor = ::open(path.c_str(), O_WRONLY);
    const float marked = 0.75f;
    const std::int64_t row = 30'000'123, col = 7, at = fortran_order ? col * rows + row : row * cols + col;
    REQUIRE(::pwrite(descriptor, &marked, 4, static_cast<off_t>(begin + at * 4)) == 4);
    ::close(descriptor);

    struct rusage before = {}, after = {};
    ::getrusage(RUSAGE_SELF, &before);
    npy::npy_file file(path);
    std::vector<float> out(static_cast<std::size_t>(1000 * cols), -1.0f);
    double sum = 0;
    for (std::int64_t first = row - 100'123; first < row + 100'000; first += 1000) {
      file.read_rows<float>(first, 1000, out);
      for (const float x : out) sum += static_cast<double>(x);
      if (first == row - 123) CHECK(out[123 * 10 + 7] == marked);
    }
    ::getrusage(RUSAGE_SELF, &after);
    CHECK(sum == 0.75);
    CHECK(after.ru_maxrss - before.ru_maxrss < 8 * 1024);
    CHECK(after.ru_utime.tv_sec + after.ru_stime.tv_sec - before.ru_utime.tv_sec - before.ru_stime.tv_sec < 5);
    std::filesystem::remove(path);
  }
}

TEST_CASE("a file that shrinks while it is read is an error, not a crash") {
  const std::filesystem::path folder = support::scratch_dir("npy_shrinking");
  const std::string path = folder / "shrinking.npy";
  spit(path, file_bytes("<f4", "(100000,)", std::string(400000, '\0')));
  npy::npy_file file(path);
  std::vector<float> out(100000);
  file.read_rows<float>(0, 100000, out);
  REQUIRE(::truncate(path.c_str(), 5000) == 0);
  const std::string says = refusal([&] { file.read_rows<float>(0, 100000, out); });
  CHECK(contains(says, path + ": ends at byte 5000, but had"));
}

TEST_CASE("what cannot be opened as a file is refused at once") {
  const std::filesystem::path folder = support::scratch_dir("npy_unopened");
  CHECK(contains(refusal([&] { npy::npy_file(folder / "none.npy"); }), "none.npy: cannot be opened (No such file"));
  CHECK(contains(refusal([&] { npy::npy_file(folder / ""); }), "is a directory"));
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  CHECK(contains(refusal([&] { npy::npy_file(folder / "pipe"); }), "save it to a file first"));
  std::filesystem::remove(folder / "pipe");  // a program that reads the whole build tree would wait on it
  CHECK(contains(refusal([&] { npy::npy_file("/dev/null"); }), "save it to a file first"));
  CHECK(contains(refusal([&] { npy::npy_file(folder / "two\nlines"); }), "two?lines: cannot be opened"));
}
