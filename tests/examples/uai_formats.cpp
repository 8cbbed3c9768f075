// SPDX-License-Identifier: MIT
#include <uai_marginals/fg_format.hpp>
#include <uai_marginals/solution_format.hpp>
#include <uai_marginals/uai_format.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include <doctest/doctest.h>

namespace {

using strings = std::vector<std::string>;

/// The one line by which `read` refuses the text holds every one of the words.
template <class Read>
void refuses(Read read, const std::string& text, const strings& words) {
  CAPTURE(text);
  std::string line;
  try {
    read(text);
  } catch (const command_line::bad_input& error) {
    line = error.what();
  }
  CAPTURE(line);
  CHECK(!line.empty());
  CHECK(line.find('\n') == std::string::npos);
  for (const std::string& word : words) {
    CAPTURE(word);
    CHECK(line.find(word) != std::string::npos);
  }
}

uai::model uai_of(const std::string& text) { return uai::read_uai(text, "m.uai"); }
uai::model fg_of(const std::string& text) { return uai::read_fg(text, "m.fg"); }

const std::string small = "MARKOV\n3\n2 3 1\n2\n2 0 1\n1 2\n\n6\n 1 2 3 4 5 6\n1\n 0.5\n";

}  // namespace

TEST_CASE("read_uai reads scopes and tables as they stand, whatever the line breaks") {
  for (const std::string kind : {"MARKOV", "BAYES"}) {
    const uai::model m =
        uai_of(kind + "\r\n3 2 3 1\t3\r\n2 1 0 0 1 2\r\n6\r\n 1 2e0 +3 4 5 6.\r\n1 .25\r\n1 1e-300  \r\n\r\n");
    CHECK(m.states == std::vector<std::int32_t>{2, 3, 1});
    CHECK(m.label.empty());
    REQUIRE(m.factors.size() == 3);
    CHECK(m.factors[0].scope == std::vector<std::int32_t>{1, 0});
    CHECK(m.factors[0].value == std::vector<double>{1, 2, 3, 4, 5, 6});
    CHECK(m.factors[1].scope.empty());
    CHECK(m.factors[1].value == std::vector<double>{0.25});
    CHECK(m.factors[2].scope == std::vector<std::int32_t>{2});
    CHECK(m.factors[2].value == std::vector<double>{1e-300});
  }
  const uai::model empty = uai_of("MARKOV 0 0");
  CHECK(empty.variables() == 0);
  CHECK(empty.factors.empty());
}

TEST_CASE("read_uai names the file, the line, the value and the way out of what it refuses") {
  const auto changed = [](const std::string& from, const std::string& to) {
    std::string text = small;
    const std::size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    return text.replace(at, from.size(), to);
  };
  refuses(uai_of, "", {"m.uai: line 1", "MARKOV or BAYES", "ends"});
  refuses(uai_of, "2\n\n2\n0 1\n", {"line 1", "'2'", ".fg"});
  refuses(uai_of, changed("2 3 1", "2 0 1"), {"line 3", "states of variable 1", "'0'", "1 to 65535"});
  refuses(uai_of, changed("2 3 1", "2 65536 1"), {"line 3", "65536"});
  refuses(uai_of, changed("2 3 1", "2 3.5 1"), {"line 3", "'3.5'", "whole number"});
  refuses(uai_of, changed("2 3 1", "2 \x1b[31m 1"), {"line 3", "'?[31m'"});
  refuses(uai_of, changed("2 0 1", "2 0 3"), {"line 5", "factor 0", "'3'", "0 to 2"});
  refuses(uai_of, changed("2 0 1", "2 0 0"), {"line 5", "factor 0", "variable 0 twice"});
  refuses(uai_of, changed("2 0 1", "99 0 1"), {"line 5", "factor 0", "99", "can hold"});
  refuses(uai_of, changed("6\n 1", "5\n 1"), {"line 8", "factor 0", "is 5", "6 entries"});
  refuses(uai_of, changed("1 2 3", "1 -2 3"), {"line 9", "factor 0", "'-2'", "not negative"});
  refuses(uai_of, changed("1 2 3", "1 nan 3"), {"line 9", "'nan'", "finite"});
  refuses(uai_of, changed("1 2 3", "1 inf 3"), {"line 9", "'inf'", "finite"});
  refuses(uai_of, changed("1 2 3", "1 1e400 3"), {"line 9", "'1e400'", "scale"});
  refuses(uai_of, changed("1 2 3", "1 1e-400 3"), {"line 9", "'1e-400'", "scale"});
  refuses(uai_of, changed("1 2 3", "1 2x 3"), {"line 9", "'2x'", "number"});
  refuses(uai_of, changed("0.5", "0"), {"line 11", "factor 1", "zero everywhere"});
  refuses(uai_of, small + "7\n", {"'7'", "follows the last table"});
  refuses(uai_of, "MARKOV 4611686018427387904", {"4611686018427387904", "can hold"});
  refuses(uai_of, "MARKOV 99999999999999999999", {"99999999999999999999", "must be 0 to"});
  refuses(uai_of, "MARKOV 4 65535 65535 65535 65535 1 4 0 1 2 3 1 1", {"factor 0", "can hold"});
  std::string empty_factors = "MARKOV\n100\n";
  for (int i = 0; i < 100; ++i) empty_factors += "65535 ";
  refuses(uai_of, empty_factors + "\n0\n", {"line 3", "variables up to 16", "states together"});
}

TEST_CASE("read_uai refuses a model that is cut short anywhere") {
  // The last number may lose digits unnoticed.
  for (std::size_t length = 0; length + 4 < small.size(); ++length)
    refuses(uai_of, small.substr(0, length), {"m.uai: line "});
}

TEST_CASE("read_evidence takes the pairs that are declared and leaves what follows") {
  const uai::model m = uai_of(small);
  const auto read = [&](const std::string& text) { return uai::read_evidence(text, "e.evid", m); };
  const uai::evidence e = read("2 1 2\r\n 0 1");
  REQUIRE(e.observed.size() == 2);
  CHECK(e.observed[0].variable == 1);
  CHECK(e.observed[0].state == 2);
  CHECK(e.observed[1].variable == 0);
  CHECK(e.observed[1].state == 1);
  CHECK(!e.has_tail);
  CHECK(read("0").observed.empty());
  CHECK(read("0\n2 0\n").has_tail);
  CHECK(read("0\n2 0\n").observed.empty());
  CHECK(read("2 0 1 0 1").observed.size() == 1);

  refuses(read, "", {"e.evid: line 1", "empty", "write 0"});
  refuses(read, "1 0", {"number of observed variables is 1", "can hold"});
  refuses(read, "1\n3 0", {"line 2", "variable 3", "none of that number"});
  refuses(read, "1 -1 0", {"variable -1"});
  refuses(read, "1\n1\n3", {"line 3", "state of variable 1", "'3'", "0 to 2"});
  refuses(read, "2 0 1 0 0", {"variable 0", "state 1 and in 0"});
}

TEST_CASE("read_fg takes the first variable as the fastest and orders variables by their labels") {
  const uai::model m =
      fg_of("# made by hand\n2\n\n2\n7 3\n2 3\n4\n0 10\n1 11 # a comment\n2 12\n5 15\n\n0\n\n\n1\n0 2.5\n");
  CHECK(m.label == std::vector<std::int64_t>{3, 7});
  CHECK(m.states == std::vector<std::int32_t>{3, 2});
  CHECK(m.variable(7) == 1);
  CHECK(m.variable(4) == -1);
  REQUIRE(m.factors.size() == 2);
  CHECK(m.factors[0].scope == std::vector<std::int32_t>{0, 1});  // 3, then 7, which changes fastest
  CHECK(m.factors[0].value == std::vector<double>{10, 11, 12, 0, 0, 15});
  CHECK(m.factors[1].scope.empty());
  CHECK(m.factors[1].value == std::vector<double>{2.5});
  CHECK(fg_of("1\n\n2\n0 1\n2 2\n1\n3 1\n").label.empty());
}

TEST_CASE("read_fg names the file, the line, the value and the way out of what it refuses") {
  refuses(fg_of, "", {"m.fg: line 1", "number of factors"});
  refuses(fg_of, "1\n2\n4 4\n2 2\n0", {"line 3", "factor 0", "variable 4 twice"});
  refuses(fg_of, "1\n1\n-4\n2\n0", {"line 3", "'-4'"});
  refuses(fg_of, "1\n1\n4\n2\n1\n2 0.5", {"line 6", "index", "factor 0", "'2'", "0 to 1"});
  refuses(fg_of, "1\n1\n4\n2\n2\n1 0.5\n1 0.5\n", {"line 7", "entry 1", "twice"});
  refuses(fg_of, "1\n1\n4\n2\n1\n1 -0.5\n", {"line 6", "'-0.5'", "not negative"});
  refuses(fg_of, "2\n1\n4\n2\n1\n0 1\n1\n4\n3\n1\n0 1\n", {"m.fg: variable 4", "2 states", "3 in another"});
  refuses(fg_of, "1\n3\n0 1 2\n65535 65535 65535\n0\n", {"line 4", "factor 0", "entries", "zeros included"});
  refuses(fg_of, "1\n1\n4\n2\n0\n", {"factor 0", "zero everywhere"});
  refuses(fg_of, "1\n1\n4\n2\n1\n0 1\n9\n", {"'9'", "follows the last factor"});
}

TEST_CASE("a solution is written in the digits that give the same numbers back") {
  const std::vector<std::int32_t> states{2, 1, 3}, state{1, 0, 2};
  CHECK(uai::mar_text(states, std::vector<double>{0.1, 0.9, 1, 0, 1e-30, 0.30000000000000004}) ==
        "MAR\n3 2 0.1 0.9 1 1 3 0 1e-30 0.30000000000000004\n");
  CHECK(uai::mpe_text(state) == "MPE\n3 1 0 2\n");
}
