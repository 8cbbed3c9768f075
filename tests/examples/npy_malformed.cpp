// SPDX-License-Identifier: MIT
#include <label_audit/npy.hpp>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <doctest/doctest.h>

#include "npy_bytes.hpp"

namespace {

using namespace npy_test;
using namespace std::string_literals;

/// Opening these bytes is refused on one line that names the file and says this.
void check_refused(const std::string& bytes, std::string_view part) {
  const std::string says = open_refusal(bytes);
  CAPTURE(says);
  CAPTURE(part);
  CHECK(says.starts_with("array.npy: "));
  CHECK(contains(says, part));
  CHECK_FALSE(contains(says, "\n"));
  CHECK(says.size() < 400);
}

void check_header_refused(const std::string& text, std::string_view part) {
  for (const int version : {1, 2, 3}) check_refused(with_prefix(text, version) + std::string(64, '\0'), part);
}

}  // namespace

TEST_CASE("an empty file is refused") { check_refused("", "is empty (0 bytes)"); }

TEST_CASE("every file cut short is refused with both byte counts") {
  for (const int version : {1, 2, 3}) {
    const std::string whole = file_bytes("<f8", "(2, 3)", std::string(48, 'x'), version == 2, version);
    CHECK(open_refusal(whole).empty());
    for (std::size_t n = 1; n < whole.size(); ++n) check_refused(whole.substr(0, n), "is truncated");
    check_refused(whole.substr(0, whole.size() - 1),
                  "float64 of shape (2, 3) needs 48 bytes after the header, the file has 47");
    check_refused(whole.substr(0, 40),
                  "inside its header: 40 bytes, " + std::to_string(whole.size() - 48) + " are needed");
  }
}

TEST_CASE("bytes after the elements are refused with their number") {
  const std::string whole = file_bytes("<f8", "(2, 3)", std::string(48, 'x'));
  CHECK(open_refusal(whole).empty());
  check_refused(whole + '\0', "has 1 bytes after its float64 of shape (2, 3)");
  check_refused(whole + whole, "has " + std::to_string(whole.size()) + " bytes after");
}

TEST_CASE("files of other formats are refused by name") {
  check_refused("PK\x03\x04 and so on", "an .npz archive (or another zip); save the array alone");
  check_refused("PK\x05\x06"s + std::string(18, '\0'), "an empty .npz archive");
  check_refused("\x80\x04\x95 pickle", "a Python pickle");
  check_refused("\x89HDF\r\n\x1a\n", "an HDF5 file");
  check_refused("PAR1\x15\x04", "a Parquet file");
  check_refused("ARROW1\0\0"s, "an Arrow file");
  check_refused("MATLAB 5.0 MAT-file, Platform", "a MATLAB file");
  check_refused("\x1f\x8b\x08", "compressed with gzip");
  check_refused("BZh91AY", "compressed with bzip2");
  check_refused("\xfd"s + "7zXZ\0"s, "compressed with xz");
  check_refused("\x28\xb5\x2f\xfd\x24", "compressed with zstd");
  check_refused("0.1,0.9\n0.3,0.7\n", "but text, starting '0.1,0.9?0.3,0.7?'; load it (numpy.loadtxt)");
  check_refused(
      "\x7f"
      "ELF\x02\x01\x01",
      "starts with the bytes 7f 45 4c 46 02 01");
  check_refused("\x93NUMPX\x01\0"s, "starts with the bytes 93 4e 55 4d 50 58");
  check_refused("\x93", "is truncated inside its header: 1 bytes");
}

TEST_CASE("versions that do not exist are refused") {
  for (const std::string& version : {"\x00\x00"s, "\x04\x00"s, "\x01\x01"s, "\xff\xff"s}) {
    std::string bytes = file_bytes("<f4", "(1,)", "abcd");
    bytes.replace(6, 2, version);
    check_refused(bytes, "1.0, 2.0 and 3.0 are understood");
  }
  std::string bytes = file_bytes("<f4", "(1,)", "abcd");
  bytes[6] = 9;
  check_refused(bytes, "has .npy format version 9.0");
}

TEST_CASE("a gigantic header is refused before anything of its size is read") {
  std::vector<recording_source::request> requests;
  for (const std::string& length : {"\xff\xff\xff\xff"s, "\x00\x00\x00\x80"s, "\x00\x00\x01\x00"s}) {
    requests.clear();
    const std::string bytes = "\x93NUMPY\x02\0"s + length + std::string(200000, ' ');
    const std::string says = refusal([&] { open(bytes, &requests); });
    CHECK(contains(says, "claims a header of "));
    CHECK(contains(says, "at most 65535 make sense"));
    for (const auto& request : requests) CHECK(request.size <= 64);
  }
  check_refused("\x93NUMPY\x01\0\xff\xff{'descr'"s, "is truncated inside its header: 18 bytes, 65545 are needed");
}

TEST_CASE("the longest header allowed is read") {
  const std::string text = "{'descr': '|u1', 'fortran_order': False, 'shape': (1,)}";
  npy::npy_file file = open(with_prefix(text + std::string(65535 - text.size(), ' '), 2) + "\x05");
  CHECK(read_all<std::int64_t>(file) == std::vector<std::int64_t>{5});
}

TEST_CASE("a header that is not the dict of an array is refused with the position") {
  const std::string order = "'fortran_order': False", shape = "'shape': (1,)", descr = "'descr': '<f4'";
  CHECK(open_refusal(with_prefix("{" + descr + "," + order + "," + shape + "}") + "abcd").empty());
  check_header_refused("", "at character 0: expected '{'");
  check_header_refused(std::string(40, '\0'), "at character 0: expected '{'");
  check_header_refused("(" + descr + ")", "expected '{'");
  check_header_refused("{}", "'descr', 'fortran_order' or 'shape' is missing");
  check_header_refused("{" + descr + "," + order + "}", "is missing");
  check_header_refused("{" + descr + "," + order + "," + shape, "expected '}'");
  check_header_refused("{" + descr + order + "," + shape + "}", "at character 15: expected '}'");
  check_header_refused("{" + descr + ",," + order + "," + shape + "}", "expected a key in quotes");
  check_header_refused("{," + descr + "}", "expected a key in quotes");
  check_header_refused("{descr: '<f4'}", "expected a key in quotes");
  check_header_refused("{'descr' '<f4'}", "expected ':'");
  check_header_refused("{'descr': 4}", "expected the type in quotes");
  check_header_refused("{'descr': None}", "expected the type in quotes");
  check_header_refused("{'descr': '<f4", "a string has no end");
  check_header_refused("{'descr': '<f4\"", "a string has no end");
  check_header_refused("{'descr': '\\x3cf4'", "an escape or a line break");
  check_header_refused("{'de\nscr': '<f4'", "an escape or a line break");
  check_header_refused("{" + descr + "," + descr + "," + order + "," + shape + "}",
                       "key 'descr' is unknown or there twice");
  check_header_refused("{" + shape + "," + shape + "," + order + "," + descr + "}",
                       "key 'shape' is unknown or there twice");
  check_header_refused("{" + order + "," + order + "," + shape + "," + descr + "}", "key 'fortran_order' is unknown");
  check_header_refused("{'other': 1}", "key 'other' is unknown");
  check_header_refused("{'" + std::string(3000, 'a') + "': 1}", "key '" + std::string(40, 'a') + "...' is unknown");
  check_header_refused("{'\x1b[31m': 1}", "key '?[31m' is unknown");
  check_header_refused("{" + descr + "," + order + "," + shape + "} x", "text after the closing brace");
  check_header_refused("{" + descr + "," + order + "," + shape + "}\0"s, "text after the closing brace");
  check_header_refused("{'fortran_order': 0}", "neither True nor False");
  check_header_refused("{'fortran_order': 'True'}", "neither True nor False");
  check_header_refused("{'fortran_order': Tru", "neither True nor False");
  check_header_refused("{'fortran_order': Truely}", "expected '}'");
}

TEST_CASE("a shape that is not a tuple of sizes is refused") {
  const auto refused = [](const std::string& shape, std::string_view part) {
    check_header_refused("{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + "}", part);
  };
  refused("3", "'shape' is not a tuple");
  refused("[3]", "'shape' is not a tuple");
  refused("(3)", "a number in brackets, not a tuple");
  refused("(-3,)", "a size in 'shape' is negative");
  refused("(3, -1)", "a size in 'shape' is negative");
  refused("(3 2)", "expected ',' or ')'");
  refused("(3,,2)", "expected a size");
  refused("(,)", "expected a size");
  refused("(3.0,)", "expected ',' or ')'");
  refused("(0x3,)", "expected ',' or ')'");
  refused("(03,)", "starts with 0");
  refused("(1_0,)", "expected ',' or ')'");
  refused("('3',)", "expected a size");
  refused("(3, ", "expected a size");
  refused("(None,)", "expected a size");
  refused("(__import__('os').abort(),)", "expected a size");
}

TEST_CASE("sizes that overflow are refused, alone and as a product") {
  const auto refused = [](const std::string& descr, const std::string& shape, std::string_view part) {
    check_refused(file_bytes(descr, shape, std::string(64, '\0')), part);
  };
  refused("|u1", "(9223372036854775808,)", "a size in 'shape' exceeds 63 bits");
  refused("|u1", "(18446744073709551617,)", "a size in 'shape' exceeds 63 bits");
  refused("|u1", "(" + std::string(5000, '9') + ",)", "a size in 'shape' exceeds 63 bits");
  refused("|u1", "(9223372036854775807,)", "needs 9223372036854775807 bytes after the header, the file has 64");
  refused("<f8", "(1152921504606846976,)", "needs more than 2^63 bytes");
  refused("<f4", "(4294967296, 4294967296)", "shape (4294967296, 4294967296) needs more than 2^63 bytes");
  refused("<f8", "(0, 9223372036854775807)", "needs more than 2^63 bytes");
  refused("<f8", "(2305843009213693952, 4)", "needs more than 2^63 bytes");
}

TEST_CASE("arrays of more than two dimensions are refused") {
  check_refused(file_bytes("<f4", "(2, 3, 4)", std::string(96, '\0')),
                "has 3 dimensions, shape (2, 3, 4); one (labels) or two");
  std::string shape = "(";
  for (int i = 0; i < 9000; ++i) shape += "1, ";
  check_refused(file_bytes("<f4", shape + ")", "abcd"), "has 9000 dimensions");
}

TEST_CASE("elements that are not numbers are refused with what to do") {
  const auto refused = [](const std::string& descr, std::string_view part) {
    check_refused(file_bytes(descr, "(1,)", std::string(64, '\0')), part);
  };
  refused("<U5",
          "holds strings (type '<U5'); number the classes: names, labels = numpy.unique(labels, return_inverse=True)");
  refused("|S3", "holds strings (type '|S3')");
  refused("|O", "pickled Python objects (type '|O'), which are never loaded");
  refused("<c8", "holds complex numbers (type '<c8'); save real ones");
  refused("<f16", "holds extended floats (type '<f16'); save numpy.save(path, array.astype(numpy.float64))");
  refused("<M8[ns]", "holds dates or durations");
  refused("<m8[s]", "holds dates or durations");
  refused("|V2", "bfloat16 arrays look like this");
  refused("<i3", "unknown type '<i3'");
  refused("float32", "extended floats (type 'float32')");
  refused("<", "unknown type '<'");
  refused("", "unknown type ''");
  refused("<<f4", "unknown type '<<f4'");
  refused("<f4 ", "extended floats (type '<f4 ')");
  const std::string rest = ", 'fortran_order': False, 'shape': (1,)}";
  check_header_refused("{'descr': [('x', '<f4'), ('y', '<i4')]" + rest, "a structured array");
  check_header_refused("{'descr': ('<f4', (2,))" + rest, "a structured array");
}
