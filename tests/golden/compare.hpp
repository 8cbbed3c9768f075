// SPDX-License-Identifier: MIT
#pragma once

#include "golden.hpp"

#include <weakly/core/half.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

namespace golden {

/// Compares computed with stored results and counts, so that a test can show that nothing was left out.
struct comparison {
  std::string subject;          // the case, named in every message
  std::int64_t quantities = 0;  // calls
  std::int64_t values = 0;      // numbers compared

  template <class Computed>
  void exact(const std::string& quantity, const Computed& computed, const integers& expected) {
    const integers got(computed.begin(), computed.end());
    count(expected.size());
    CHECK_MESSAGE(got == expected, subject << ": " << quantity << " " << first_difference(got, expected));
  }
  void exact(const std::string& quantity, std::int64_t computed, std::int64_t expected) {
    exact(quantity, integers{computed}, integers{expected});
  }

  /// Every number within `tolerance` of the stored one, relative where that is larger than one; NaN equals NaN.
  template <class Computed>
  void close(const std::string& quantity, const Computed& computed, const reals& expected, double tolerance) {
    const reals got(computed.begin(), computed.end());
    count(expected.size());
    CHECK_MESSAGE(got.size() == expected.size(), subject << ": " << quantity);
    double worst = 0;
    std::size_t where = 0;
    for (std::size_t i = 0; i < std::min(got.size(), expected.size()); ++i) {
      const bool same = got[i] == expected[i] || (std::isnan(got[i]) && std::isnan(expected[i]));
      const double off = same ? 0 : std::abs(got[i] - expected[i]) / std::max(1.0, std::abs(expected[i]));
      if (!(off <= worst)) worst = std::isnan(off) ? std::numeric_limits<double>::infinity() : off, where = i;
    }
    CHECK_MESSAGE(worst <= tolerance, subject << ": " << quantity << " is off by " << worst << " at " << where);
  }
  void close(const std::string& quantity, double computed, double expected, double tolerance) {
    close(quantity, reals{computed}, reals{expected}, tolerance);
  }

  void add(const comparison& other) {
    quantities += other.quantities;
    values += other.values;
  }

 private:
  void count(std::size_t n) {
    ++quantities;
    values += static_cast<std::int64_t>(n);
  }
  static std::string first_difference(const integers& got, const integers& expected) {
    const auto [a, b] = std::mismatch(got.begin(), got.end(), expected.begin(), expected.end());
    const auto shown = [](auto at, const integers& in) {
      return at == in.end() ? std::string("nothing") : std::to_string(*at);
    };
    return "has " + std::to_string(got.size()) + " entries, expected " + std::to_string(expected.size()) +
           "; they differ at " + std::to_string(a - got.begin()) + ": " + shown(a, got) + ", expected " +
           shown(b, expected);
  }
};

/// The stored probabilities in the element type that the reference was given.
template <class T>
std::vector<T> stored_as(const reals& values) {
  std::vector<T> out;
  out.reserve(values.size());
  for (const double x : values) {
    if constexpr (std::is_floating_point_v<T>)
      out.push_back(static_cast<T>(x));
    else
      out.push_back(T(static_cast<float>(x)));
  }
  return out;
}

/// Calls f with an object of the type that numpy calls `dtype`.
template <class F>
void with_dtype(const std::string& dtype, F&& f) {
  if (dtype == "float64")
    f(double{});
  else if (dtype == "float32")
    f(float{});
  else if (dtype == "float16")
    f(weakly::half{});
  else
    detail::stop("no element type for " + dtype);
}

}  // namespace golden
