// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace weakly::inline v0::detail {

/// out(c) = log of the sum over j but c of exp(x(j)). O(k): the sum of all less one is at least the greatest term, for
/// every c but that of the greatest itself, whose others are summed by themselves.
inline void log_leave_one_out(const double* x, index_t k, double* out) {
  constexpr double inf = std::numeric_limits<double>::infinity();
  double sum = 0;
  bool number = true;
  const index_t a = std::max_element(x, x + k) - x;
  for (index_t j = 0; j < k; ++j) number &= x[j] < inf;
  if (k == 0 || !number || x[a] == -inf) {
    std::fill_n(out, k, number ? -inf : std::numeric_limits<double>::quiet_NaN());
    return;
  }
  const double top = x[a];
  double next = -inf, rest = 0;
  for (index_t j = 0; j < k; ++j)
    if (j != a) next = std::max(next, x[j]);
  for (index_t j = 0; j < k; ++j) {
    if (j == a) continue;
    sum += std::exp(x[j] - top);
    rest += next > -inf ? std::exp(x[j] - next) : 0;
  }
  for (index_t c = 0; c < k; ++c) out[c] = top + std::log1p(std::max(0.0, sum - std::exp(x[c] - top)));
  out[a] = next > -inf ? next + std::log(rest) : -inf;
}

}  // namespace weakly::inline v0::detail
