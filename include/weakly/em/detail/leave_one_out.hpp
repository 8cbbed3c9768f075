// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/detail/map_batches.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>
#include <weakly/em/detail/exponent_row.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace weakly::inline v0::detail {

/// out(c) = log of the sum over j but c of exp(x(j)). O(k): the sum of all less one is at least the greatest term, for
/// every c but that of the greatest itself, whose others are summed by themselves.
inline void log_leave_one_out(const double* x, index_t k, double* out) {
  using batch = simd::batch<double>;
  constexpr double inf = std::numeric_limits<double>::infinity();
  exponent_row row;
  row.look_at(0, x, k);
  if (!row.defined()) {
    std::fill_n(out, k, row.bad ? std::numeric_limits<double>::quiet_NaN() : -inf);
    return;
  }
  const double top = row.top;
  const index_t a = row.at;
  double sum = 0, rest = 0;
  std::copy_n(x, k, out);
  out[a] = -inf;
  const double next = simd::max(static_cast<const double*>(out), k);
  constexpr index_t block = 512;
  double of_next[std::size_t(block)];
  for (index_t j = 0; j < k; j += block) {
    const index_t count = std::min(block, k - j);
    map_batches(x + j, count, out + j, [&](batch v) { return simd::exp(v - batch(top)); });
    map_batches(x + j, count, static_cast<double*>(of_next), [&](batch v) { return simd::exp(v - batch(next)); });
    if (a >= j && a < j + count) out[a] = of_next[a - j] = 0;
    sum += simd::sum(static_cast<const double*>(out + j), count);
    rest += simd::sum(static_cast<const double*>(of_next), count);
  }
  map_batches(static_cast<const double*>(out), k, out,
              [&](batch e) { return batch(top) + simd::log1p(simd::max(batch(sum) - e, 0.0)); });
  out[a] = next > -inf ? next + std::log(rest) : -inf;
}

}  // namespace weakly::inline v0::detail
