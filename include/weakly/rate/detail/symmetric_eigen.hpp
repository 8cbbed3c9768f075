// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/detail/map_batches.hpp>
#include <weakly/core/simd.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

namespace weakly::inline v0::detail {

inline double dot_product(const double* x, const double* y, index_t count) {
  simd::batch<double> sum(0.0);
  for_batches<double>(count, [&](auto at) { sum = simd::fma(at.load(x), at.load(y), sum); });
  return simd::reduce_add(sum);
}

/// Eigenvalues of a symmetric matrix, and its eigenvectors where they are wanted: Householder's reduction to a
/// tridiagonal matrix and the implicit QL iteration (Golub and Van Loan, "Matrix Computations", 8.3). On the calling
/// thread; the errors of eigenvalues are a few roundings of the greatest.
class symmetric_eigen {
 public:
  /// a  d x d  row-major, both triangles, finite; overwritten
  symmetric_eigen(double* a, index_t d, bool with_vectors)
      : d_(d),
        value_(static_cast<std::size_t>(d)),
        off_(static_cast<std::size_t>(d)),
        rotated_(with_vectors ? static_cast<std::size_t>(d * d) : 0),
        order_(static_cast<std::size_t>(d)) {
    reduce(a);
    iterate();
    for (index_t i = 0; i < d; ++i) order_[static_cast<std::size_t>(i)] = i;
    std::stable_sort(order_.begin(), order_.end(), [this](index_t x, index_t y) {
      return value_[static_cast<std::size_t>(x)] > value_[static_cast<std::size_t>(y)];
    });
  }

  /// The i-th greatest.
  double value(index_t i) const { return value_[static_cast<std::size_t>(order_[static_cast<std::size_t>(i)])]; }
  /// Its vector, d elements of length one, whose element of greatest size is positive.
  const double* vector(index_t i) {
    double* const v = rotated_row(order_[static_cast<std::size_t>(i)]);
    index_t at = 0;
    for (index_t j = 1; j < d_; ++j)
      if (std::abs(v[j]) > std::abs(v[at])) at = j;
    if (v[at] < 0)
      for (index_t j = 0; j < d_; ++j) v[j] = -v[j];
    return v;
  }

 private:
  double* rotated_row(index_t i) { return rotated_.data() + i * d_; }

  // Reflections I - tau v v', v beyond the diagonal of row k, that leave a tridiagonal matrix in value_ and off_.
  void reduce(double* a) {
    std::vector<double> tau(static_cast<std::size_t>(d_)), w(static_cast<std::size_t>(d_));
    for (index_t k = 0; k + 1 < d_; ++k) {
      double* const v = a + k * d_;
      value_[static_cast<std::size_t>(k)] = v[k];
      double scale = 0;
      for (index_t j = k + 1; j < d_; ++j) scale = std::max(scale, std::abs(v[j]));
      double beyond = 0;
      for (index_t j = k + 2; j < d_; ++j) beyond = std::max(beyond, std::abs(v[j]));
      if (beyond == 0) {
        off_[static_cast<std::size_t>(k)] = v[k + 1];
        continue;  // nothing to reflect
      }
      const index_t first = k + 1, count = d_ - first;
      for (index_t j = first; j < d_; ++j) v[j] /= scale;
      const double length = std::sqrt(dot_product(v + first, v + first, count));
      const double head = v[first] + std::copysign(length, v[first]);
      off_[static_cast<std::size_t>(k)] = -std::copysign(length, v[first]) * scale;
      v[first] = head;
      const double t = 2 / dot_product(v + first, v + first, count);
      tau[static_cast<std::size_t>(k)] = t;
      for (index_t i = first; i < d_; ++i)
        w[static_cast<std::size_t>(i)] = t * dot_product(a + i * d_ + first, v + first, count);
      const double half = t / 2 * dot_product(w.data() + first, v + first, count);
      for (index_t i = first; i < d_; ++i) w[static_cast<std::size_t>(i)] -= half * v[i];
      for (index_t i = first; i < d_; ++i) {
        double* const row = a + i * d_;
        const double v_i = v[i], w_i = w[static_cast<std::size_t>(i)];
        for (index_t j = first; j < d_; ++j) row[j] -= v_i * w[static_cast<std::size_t>(j)] + w_i * v[j];
      }
    }
    if (d_ > 0) value_[static_cast<std::size_t>(d_ - 1)] = a[d_ * d_ - 1];
    if (rotated_.empty()) return;
    for (index_t i = 0; i < d_; ++i) rotated_row(i)[i] = 1;
    for (index_t k = d_ - 2; k-- > 0;) {
      const double t = tau[static_cast<std::size_t>(k)];
      if (t == 0) continue;
      const double* const v = a + k * d_;
      const index_t first = k + 1;
      for (index_t i = first; i < d_; ++i) {
        double* const row = rotated_row(i);
        const double along = t * dot_product(row + first, v + first, d_ - first);
        for (index_t j = first; j < d_; ++j) row[j] -= along * v[j];
      }
    }
  }

  void iterate() {
    constexpr double eps = std::numeric_limits<double>::epsilon();
    constexpr int most = 100;  // two or three are usual
    double norm = 0;
    for (index_t i = 0; i < d_; ++i) norm = std::max(norm, std::abs(at(value_, i)) + std::abs(at(off_, i)));
    for (index_t l = 0; l < d_; ++l)
      for (int round = 0; round < most; ++round) {
        index_t m = l;
        while (m + 1 < d_ && !(std::abs(at(off_, m)) <=
                               eps * std::max(std::abs(at(value_, m)) + std::abs(at(value_, m + 1)), eps * norm)))
          ++m;
        if (m == l) break;
        step(l, m);
      }
  }

  // One sweep of rotations from m - 1 up to l, with Wilkinson's shift.
  void step(index_t l, index_t m) {
    double g = (at(value_, l + 1) - at(value_, l)) / (2 * at(off_, l));
    g = at(value_, m) - at(value_, l) + at(off_, l) / (g + std::copysign(std::hypot(g, 1.0), g));
    double sine = 1, cosine = 1, shift = 0;
    for (index_t i = m; i-- > l;) {
      const double f = sine * at(off_, i), b = cosine * at(off_, i), r = std::hypot(f, g);
      at(off_, i + 1) = r;
      if (r == 0) {  // the matrix falls apart here
        at(value_, i + 1) -= shift;
        at(off_, m) = 0;
        return;
      }
      sine = f / r;
      cosine = g / r;
      g = at(value_, i + 1) - shift;
      const double t = (at(value_, i) - g) * sine + 2 * cosine * b;
      shift = sine * t;
      at(value_, i + 1) = g + shift;
      g = cosine * t - b;
      if (rotated_.empty()) continue;
      double *const x = rotated_row(i), *const y = rotated_row(i + 1);
      for (index_t j = 0; j < d_; ++j) {
        const double y_j = y[j];
        y[j] = sine * x[j] + cosine * y_j;
        x[j] = cosine * x[j] - sine * y_j;
      }
    }
    at(value_, l) -= shift;
    at(off_, l) = g;
    at(off_, m) = 0;
  }

  static double& at(std::vector<double>& x, index_t i) { return x[static_cast<std::size_t>(i)]; }

  index_t d_;
  std::vector<double> value_, off_;
  std::vector<double> rotated_;  // one vector a row
  std::vector<index_t> order_;
};

}  // namespace weakly::inline v0::detail
