// SPDX-License-Identifier: MIT
// Random small problems, and every way to lay one out in memory.
#pragma once

#include "oracle.hpp"

#include <weakly/core/error.hpp>
#include <weakly/core/half.hpp>
#include <weakly/core/matrix.hpp>
#include <weakly/core/view.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace cases {

using oracle::at;
using weakly::index_t;

/// splitmix64: the same numbers everywhere.
class generator {
 public:
  explicit generator(std::uint64_t seed) : state_(seed) {}
  std::uint64_t bits() {
    state_ += 0x9e3779b97f4a7c15u;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  /// In [0, n).
  index_t below(index_t n) { return static_cast<index_t>(bits() % static_cast<std::uint64_t>(n)); }
  bool chance(double p) { return unit() < p; }
  double unit() { return static_cast<double>(bits() >> 11) * 0x1p-53; }

 private:
  std::uint64_t state_;
};

/// What the probabilities of a problem look like.
enum class shape {
  sixteenths,  ///< rows of sixteen sixteenths: ties everywhere, all sums exact
  loose,       ///< any sixteenths in [0, 1]: rows that do not sum to one, several confident classes
  smooth,      ///< rows in proportion to random weights, sharp in the label's class for most rows
  broken       ///< loose, with NaN, infinite and out-of-range entries among them
};

/// Entries are multiples of 2^-40 (what the oracle adds exactly), NaN or infinite, and values of T.
template <class T>
oracle::problem random_problem(generator& g, index_t n, index_t k, shape s) {
  oracle::problem q{n, k, std::vector<double>(at(n * k)), std::vector<index_t>(at(n))};
  // A class that is in nobody's label, and at times a single class that is in everybody's.
  const index_t absent = k > 1 && g.chance(0.4) ? g.below(k) : -1;
  const bool one_class = g.chance(0.05);
  const index_t everybody = g.below(k);
  for (index_t i = 0; i < n; ++i) {
    double* const row = q.prob.data() + i * k;
    const index_t truth = g.below(k);
    if (s == shape::sixteenths) {
      for (int seat = 0; seat < 16; ++seat) row[g.chance(0.5) ? truth : g.below(k)] += 1.0 / 16;
    } else if (s == shape::smooth) {
      double sum = 0;
      for (index_t j = 0; j < k; ++j) sum += row[j] = std::exp(3 * g.unit() + (j == truth ? 4 * g.unit() : 0));
      for (index_t j = 0; j < k; ++j) row[j] /= sum;
    } else {
      for (index_t j = 0; j < k; ++j) row[j] = static_cast<double>(g.below(g.chance(0.3) ? 17 : 5)) / 16;
    }
    if (s == shape::broken && g.chance(0.3)) {
      const double odd[] = {oracle::nan, oracle::infinity, -oracle::infinity, -0.5, 1.5, -3, 7, -0.0, 0x1p-21};
      row[g.below(k)] = odd[g.below(9)];
      row[g.below(k)] = odd[g.below(9)];
    }
    for (index_t j = 0; j < k; ++j)
      row[j] = oracle::stored<T>(std::isfinite(row[j]) ? std::ldexp(std::round(std::ldexp(row[j], 40)), -40) : row[j]);
    index_t label = g.chance(0.7) ? truth : g.below(k);
    if (label == absent) label = (label + 1) % k;
    q.label[at(i)] = one_class ? everybody : label;
  }
  return q;
}

enum class layout { row_major, column_major, reversed, padded, every_second_column, shifted };
inline constexpr layout all_layouts[] = {layout::row_major, layout::column_major,        layout::reversed,
                                         layout::padded,    layout::every_second_column, layout::shifted};

/// The probabilities of a problem in memory of type T; what lies between its elements is NaN.
template <class T>
class laid_out {
 public:
  laid_out(const oracle::problem& q, layout l, index_t shift = 1) {
    const index_t n = q.n, k = q.k;
    const index_t width = l == layout::padded ? k + 3 : l == layout::every_second_column ? 2 * k : k;
    memory_.assign(at(n * width + shift + 1), element(oracle::nan));
    index_t row_stride = width, column_stride = 1, first = l == layout::shifted ? shift : 0;
    if (l == layout::column_major) {
      row_stride = 1;
      column_stride = n;
    } else if (l == layout::every_second_column) {
      column_stride = 2;
    } else if (l == layout::reversed) {
      row_stride = -k;
      column_stride = -1;
      first = n * k > 0 ? n * k - 1 : 0;
    }
    for (index_t i = 0; i < n; ++i)
      for (index_t j = 0; j < k; ++j) memory_[at(first + i * row_stride + j * column_stride)] = element(q.p(i, j));
    view_ = weakly::matrix_view<const T>(memory_.data() + first, {n, k}, {row_stride, column_stride});
  }
  laid_out(const laid_out&) = delete;
  laid_out& operator=(const laid_out&) = delete;

  weakly::matrix_view<const T> view() const { return view_; }
  /// Rows [first, last).
  weakly::matrix_view<const T> rows(index_t first, index_t last) const {
    return weakly::matrix_view<const T>(view_.data() + first * view_.stride(0), {last - first, view_.extent(1)},
                                        {view_.stride(0), view_.stride(1)});
  }

 private:
  static T element(double x) {
    if constexpr (std::is_same_v<T, double>)
      return x;
    else
      return T(static_cast<float>(x));
  }

  std::vector<T> memory_;
  weakly::matrix_view<const T> view_;
};

template <class Label>
std::vector<Label> labels_as(const oracle::problem& q) {
  std::vector<Label> y;
  for (const index_t l : q.label) y.push_back(static_cast<Label>(l));
  return y;
}

/// The rows of q in the order `order`.
inline oracle::problem reordered(const oracle::problem& q, const std::vector<index_t>& order) {
  oracle::problem r{static_cast<index_t>(order.size()), q.k, {}, {}};
  for (const index_t i : order) {
    r.label.push_back(q.label[at(i)]);
    for (index_t j = 0; j < q.k; ++j) r.prob.push_back(q.p(i, j));
  }
  return r;
}

inline std::vector<index_t> permutation(generator& g, index_t n) {
  std::vector<index_t> order(at(n));
  for (index_t i = 0; i < n; ++i) order[at(i)] = i;
  for (index_t i = n - 1; i > 0; --i) std::swap(order[at(i)], order[at(g.below(i + 1))]);
  return order;
}

template <class T>
oracle::counts as_counts(const weakly::matrix<T>& m) {
  oracle::counts c(at(m.rows()));
  for (index_t a = 0; a < m.rows(); ++a) c[at(a)].assign(m.row(a).begin(), m.row(a).end());
  return c;
}

inline weakly::matrix<std::int64_t> as_matrix(const oracle::counts& c) {
  const auto k = static_cast<index_t>(c.size());
  weakly::matrix<std::int64_t> m(k, k);
  for (index_t a = 0; a < k; ++a)
    for (index_t b = 0; b < k; ++b) m(a, b) = c[at(a)][at(b)];
  return m;
}

/// Numbers that are the same bits, or both NaN.
inline bool same(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size()) return false;
  for (std::size_t i = 0; i < a.size(); ++i)
    if (!(a[i] == b[i] && std::signbit(a[i]) == std::signbit(b[i])) && !(std::isnan(a[i]) && std::isnan(b[i])))
      return false;
  return true;
}

/// Whether an accumulator has seen nothing yet.
template <class Estimator>
bool untouched(const Estimator& e) {
  return std::all_of(e.state().begin(), e.state().end(), [](std::int64_t s) { return s == 0; });
}

/// Checks that f throws Error and that its message contains all the parts. Where exceptions are off a refusal ends the
/// program, so f is not called.
template <class Error, class F>
void refuses([[maybe_unused]] F&& f, [[maybe_unused]] std::initializer_list<std::string_view> parts) {
#if WEAKLY_HAS_EXCEPTIONS
  try {
    f();
  } catch (const Error& e) {
    const std::string message = e.what();
    for (const std::string_view part : parts) {
      const bool found = message.find(part) != std::string::npos;
      CHECK_MESSAGE(found, "\"", message, "\" should contain \"", std::string(part), "\"");
    }
    return;
  }
  FAIL_CHECK("not refused");
#endif
}

}  // namespace cases
