// SPDX-License-Identifier: MIT
#include "em_checks.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

namespace em_checks {

std::vector<double> normal(index_t n, index_t k, double scale, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> number(0, scale);
  std::vector<double> x;
  for (index_t i = 0; i < n * k; ++i) x.push_back(static_cast<double>(static_cast<float>(number(random))));
  return x;
}

std::vector<double> softmax(const std::vector<double>& x, index_t k) {
  std::vector<double> p(x.size());
  for (std::size_t first = 0; first < x.size(); first += std::size_t(k)) {
    long double top = x[first], sum = 0;
    for (std::size_t j = first; j < first + std::size_t(k); ++j) top = std::max<long double>(top, x[j]);
    for (std::size_t j = first; j < first + std::size_t(k); ++j) sum += std::exp(x[j] - top);
    for (std::size_t j = first; j < first + std::size_t(k); ++j) p[j] = double(std::exp(x[j] - top) / sum);
  }
  return p;
}

std::size_t compare(const em_reference::file& f, const std::string& what, const std::vector<double>& got,
                    double relative, double absolute) {
  const auto& want = f.at(what).values;
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < want.size(); ++i)
    CHECK_MESSAGE(close(got[i], want[i], relative, absolute), what, "[", i, "]: ", got[i], " instead of ", want[i]);
  return want.size();
}

}  // namespace em_checks
