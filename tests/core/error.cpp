// SPDX-License-Identifier: MIT
#include <weakly/core/error.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <type_traits>

#if !WEAKLY_HAS_EXCEPTIONS
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#endif

TEST_CASE("errors form one hierarchy under std::runtime_error") {
  CHECK(std::is_base_of_v<std::runtime_error, weakly::error>);
  CHECK(std::is_base_of_v<weakly::error, weakly::shape_error>);
  CHECK(std::is_base_of_v<weakly::error, weakly::label_error>);
  CHECK(std::is_base_of_v<weakly::error, weakly::value_error>);
  CHECK(std::is_base_of_v<weakly::error, weakly::option_error>);
  CHECK(std::is_base_of_v<weakly::error, weakly::workspace_error>);
}

#if WEAKLY_HAS_EXCEPTIONS

TEST_CASE("fail joins text, integers of every width and floating point numbers") {
  using weakly::detail::fail;
  CHECK_THROWS_WITH_AS(
      fail<weakly::label_error>("f: label ", std::int8_t(-3), " of row ", 17, " is outside [0, ", 10u, ")"),
      "f: label -3 of row 17 is outside [0, 10)", weakly::label_error);
  CHECK_THROWS_WITH_AS(
      fail<weakly::error>(std::numeric_limits<std::uint64_t>::max(), " and ", std::numeric_limits<std::int64_t>::min()),
      "18446744073709551615 and -9223372036854775808", weakly::error);
  CHECK_THROWS_WITH_AS(fail<weakly::value_error>("t = ", 0.1, ", ", 1e300, ", ", -2.5f), "t = 0.1, 1e+300, -2.5",
                       weakly::value_error);
  CHECK_THROWS_WITH_AS(fail<weakly::value_error>(std::string("a"), std::string_view("b"), "c"), "abc",
                       weakly::value_error);
}

TEST_CASE("fail prints NaN and infinity by name") {
  CHECK_THROWS_WITH_AS(weakly::detail::fail<weakly::error>(std::numeric_limits<double>::infinity(), " ",
                                                           std::numeric_limits<double>::quiet_NaN()),
                       "inf nan", weakly::error);
}

#else

TEST_CASE("fail without exceptions prints the message and aborts") {
  int pipe_ends[2];
  REQUIRE(pipe(pipe_ends) == 0);
  const pid_t child = fork();
  if (child == 0) {
    dup2(pipe_ends[1], 2);
    std::signal(SIGABRT, SIG_DFL);  // not doctest's
    weakly::detail::fail<weakly::shape_error>("f: shape ", 3);
  }
  close(pipe_ends[1]);
  char text[200] = {};
  CHECK(read(pipe_ends[0], text, sizeof text - 1) > 0);
  close(pipe_ends[0]);
  int how = 0;
  REQUIRE(waitpid(child, &how, 0) == child);
  CHECK(WIFSIGNALED(how));
  CHECK(WTERMSIG(how) == SIGABRT);
  CHECK(std::string(text) == "weakly: f: shape 3\n");
}

#endif

TEST_CASE("status keeps the first bad row and the number of them, whatever the order of merging") {
  weakly::status a = weakly::no_bad_rows();
  CHECK(a.ok());
  a.report(7);
  a.report(3);
  a.report(9);
  CHECK(a == weakly::status{3, 3});

  weakly::status b = weakly::no_bad_rows();
  b.report(2);
  weakly::status ab = a;
  ab.merge(b);
  weakly::status ba = b;
  ba.merge(a);
  CHECK(ab == weakly::status{2, 4});
  CHECK(ba == ab);

  ab.merge(weakly::no_bad_rows());
  CHECK(ab == ba);
  weakly::status none = weakly::no_bad_rows();
  none.merge(ba);
  CHECK(none == ba);
}

TEST_CASE("status knows row 0 as a bad row") {
  weakly::status s = weakly::no_bad_rows();
  s.report(0);
  CHECK_FALSE(s.ok());
  s.report(5);
  CHECK(s.first_bad_row == 0);
}

TEST_CASE("require_ok passes what is ok and tells row and number otherwise") {
  weakly::require_ok(weakly::no_bad_rows(), "f");
  CHECK_THROWS_WITH_AS(weakly::require_ok({4, 2}, "f: rows not finite"),
                       "f: rows not finite: 2 bad rows, the first is row 4", weakly::value_error);
  CHECK_THROWS_WITH_AS(weakly::require_ok({4, 1}, "f"), "f: 1 bad row, the first is row 4", weakly::value_error);
}
