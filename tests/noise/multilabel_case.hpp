// SPDX-License-Identifier: MIT
// Random multi-label problems, and each of their classes as the binary problem that it is by definition.
#pragma once

#include <weakly/core/half.hpp>
#include <weakly/core/random.hpp>
#include <weakly/core/view.hpp>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

namespace multilabel_case {

using weakly::index_t;

inline std::size_t at(index_t i) { return static_cast<std::size_t>(i); }

template <class T>
T stored(double x) {
  if constexpr (std::is_floating_point_v<T>)
    return static_cast<T>(x);
  else
    return T(static_cast<float>(x));
}

template <class T>
double value(T x) {
  return static_cast<double>(static_cast<weakly::arithmetic_t<T>>(x));
}

/// n rows of k classes, row-major.
template <class T>
struct problem {
  index_t n, k;
  std::vector<int> label;
  std::vector<T> prob;

  auto labels() const { return weakly::view(label.data(), n, k); }
  auto probs() const { return weakly::view(prob.data(), n, k); }
  auto labels(index_t first, index_t last) const { return weakly::view(label.data() + first * k, last - first, k); }
  auto probs(index_t first, index_t last) const { return weakly::view(prob.data() + first * k, last - first, k); }

  /// Label and columns 1 - p, p of class c, in double.
  std::vector<int> binary_labels(index_t c) const {
    std::vector<int> y;
    for (index_t i = 0; i < n; ++i) y.push_back(label[at(i * k + c)]);
    return y;
  }
  std::vector<double> binary_columns(index_t c) const {
    std::vector<double> columns;
    for (index_t i = 0; i < n; ++i) {
      const double p = value(prob[at(i * k + c)]);
      columns.push_back(1 - p);
      columns.push_back(p);
    }
    return columns;
  }

  problem reordered(const std::vector<index_t>& rows, const std::vector<index_t>& classes) const {
    problem q{static_cast<index_t>(rows.size()), static_cast<index_t>(classes.size()), {}, {}};
    for (const index_t i : rows)
      for (const index_t c : classes) {
        q.label.push_back(label[at(i * k + c)]);
        q.prob.push_back(prob[at(i * k + c)]);
      }
    return q;
  }
};

/// Sixteenths, so that keys tie everywhere, mixed with any numbers; class 1 is given to every row and class 2 to none.
/// `broken` adds NaN, infinite and impossible entries.
template <class T>
problem<T> random_problem(std::uint64_t seed, index_t n, index_t k, bool broken = false) {
  weakly::random_stream random(seed);
  problem<T> q{n, k, {}, {}};
  const double odd[] = {std::numeric_limits<double>::quiet_NaN(),
                        std::numeric_limits<double>::infinity(),
                        -std::numeric_limits<double>::infinity(),
                        -0.25,
                        1.25,
                        -3,
                        7};
  for (index_t i = 0; i < n; ++i)
    for (index_t c = 0; c < k; ++c) {
      const bool truth = random.below(3) == 0;
      const double level = random.below(2) == 0 ? static_cast<double>(random.below(9)) / 16 : random.uniform() / 2;
      double p = truth ? 1 - level : level;
      if (random.below(12) == 0) p = 1 - p;
      if (broken && random.below(20) == 0) p = odd[random.below(7)];
      const bool flipped = random.below(8) == 0;
      q.label.push_back(c == 1 ? 1 : c == 2 ? 0 : truth != flipped);
      q.prob.push_back(stored<T>(p));
    }
  return q;
}

inline std::vector<index_t> permutation(std::uint64_t seed, index_t n) {
  weakly::random_stream random(seed);
  std::vector<index_t> order(at(n));
  for (index_t i = 0; i < n; ++i) order[at(i)] = i;
  for (index_t i = n - 1; i > 0; --i) std::swap(order[at(i)], order[random.below(static_cast<std::uint64_t>(i) + 1)]);
  return order;
}

}  // namespace multilabel_case
