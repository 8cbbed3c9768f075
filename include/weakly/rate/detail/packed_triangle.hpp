// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>

// The lower triangle of a symmetric matrix, row by row: element (i, j), j <= i, lies at i (i + 1) / 2 + j.
namespace weakly::inline v0::detail {

constexpr index_t packed_row(index_t i) { return i * (i + 1) / 2; }
constexpr index_t packed_size(index_t d) { return packed_row(d); }

/// packed += weight x x'
inline void add_square(const double* x, index_t d, double weight, double* packed) {
  for (index_t i = 0; i < d; ++i, packed += i) {
    const double scaled = weight * x[i];
    for (index_t j = 0; j <= i; ++j) packed[j] += scaled * x[j];
  }
}

inline double packed_trace(const double* packed, index_t d) {
  double sum = 0;
  for (index_t i = 0; i < d; ++i) sum += packed[packed_row(i) + i];
  return sum;
}

/// The sum over all i, j of a(i, j) b(i, j).
inline double packed_inner_product(const double* a, const double* b, index_t d) {
  double off = 0, on = 0;
  for (index_t i = 0; i < d; ++i) {
    const index_t row = packed_row(i);
    double sum = 0;
    for (index_t j = 0; j < i; ++j) sum += a[row + j] * b[row + j];
    off += sum;
    on += a[row + i] * b[row + i];
  }
  return on + 2 * off;
}

}  // namespace weakly::inline v0::detail
