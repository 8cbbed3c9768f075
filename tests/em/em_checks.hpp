// SPDX-License-Identifier: MIT
// What the tests of this folder compare with.
#pragma once

#include "em_reference.hpp"

#include <weakly/core/view.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

namespace em_checks {

using weakly::index_t;

inline bool close(double got, double want, double relative, double absolute = 0) {
  if (std::isnan(want)) return std::isnan(got);
  return got == want || std::abs(got - want) <= relative * std::abs(want) + absolute;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

/// A row-major n x k matrix over a vector.
template <class V>
auto rows(V& v, index_t k) {
  return weakly::view(v.data(), static_cast<index_t>(v.size()) / k, k);
}

template <class T = double>
std::vector<T> zeros(index_t n) {
  return std::vector<T>(static_cast<std::size_t>(n));
}

/// n x k numbers of a normal distribution, each also a float.
std::vector<double> normal(index_t n, index_t k, double scale, unsigned seed);

/// The rows of a block of logits as probabilities, in long double.
std::vector<double> softmax(const std::vector<double>& x, index_t k);

/// The same layout with columns contiguous.
template <class T>
std::vector<T> transposed(const std::vector<T>& x, index_t k) {
  const index_t n = static_cast<index_t>(x.size()) / k;
  std::vector<T> t(x.size());
  for (index_t i = 0; i < n; ++i)
    for (index_t j = 0; j < k; ++j) t[std::size_t(j * n + i)] = x[std::size_t(i * k + j)];
  return t;
}

/// Checks `got` against a block of a reference file; counts what was compared.
std::size_t compare(const em_reference::file& f, const std::string& what, const std::vector<double>& got,
                    double relative, double absolute);

/// (f(x + h) - f(x - h)) / 2h at one element of x.
template <class F>
double slope(std::vector<long double>& x, std::size_t at, F f, long double h = 1e-6L) {
  const long double centre = x[at];
  x[at] = centre + h;
  const long double above = f(x);
  x[at] = centre - h;
  const long double below = f(x);
  x[at] = centre;
  return static_cast<double>((above - below) / (2 * h));
}

}  // namespace em_checks
