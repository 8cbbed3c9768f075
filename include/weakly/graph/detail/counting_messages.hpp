// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace weakly::inline v0::detail {

inline constexpr double minus_infinity = -std::numeric_limits<double>::infinity();

/// log(exp(a) + exp(b)), or the greater of the two; neither is NaN or +inf.
template <bool Max>
double combine_logs(double a, double b) {
  const double top = a > b ? a : b;
  if constexpr (Max) return top;
  const double low = a > b ? b : a;
  return low == minus_infinity ? top : top + std::log1p(std::exp(low - top));
}

/// log sum exp of `count` numbers, or the greatest; -inf for none.
template <bool Max>
double combine_logs(const double* x, index_t count) {
  double top = minus_infinity;
  for (index_t i = 0; i < count; ++i) top = std::max(top, x[i]);
  if (Max || top == minus_infinity) return top;
  double sum = 0;
  for (index_t i = 0; i < count; ++i) sum += std::exp(x[i] - top);
  return top + std::log(sum);
}

/// A factor that depends on a level, which every variable that is one raises by its weight: counts, OR, one-of-n.
struct counting_rule {
  index_t levels;              ///< 0, ..., levels - 1
  bool saturates;              ///< the last level stands for all above; otherwise those above are forbidden
  const std::int32_t* weight;  ///< of each variable; null for ones
  std::int32_t weight_of(index_t i) const { return weight == nullptr ? 1 : weight[i]; }
  index_t raised(index_t level, index_t i) const {
    const index_t next = level + weight_of(i);
    return next < levels ? next : saturates ? levels - 1 : -1;
  }
};

inline std::size_t counting_scratch(index_t n, index_t levels) {
  return static_cast<std::size_t>((n + 1) * levels + levels);
}

/// Messages of such a factor by forward and backward recursion in logarithms: sums of positive terms only.
///
/// zero, one  n       log weights of the two states of each variable, at most 0
/// f          levels  log weight of each last level
/// message    n       log odds: +-inf where a state is impossible
/// reached    levels  log weight of each last level without f; may be null
///
/// Returns log Z, -inf where no assignment has any mass; the messages mean nothing then. O(n levels).
template <bool Max>
double counting_messages(index_t n, const counting_rule& rule, const double* zero, const double* one, const double* f,
                         double* message, double* reached, double* scratch) {
  const index_t levels = rule.levels;
  double* const forward = scratch;
  double* const back = scratch + (n + 1) * levels;
  std::fill_n(forward, (n + 1) * levels, minus_infinity);
  forward[0] = 0;
  for (index_t i = 0; i < n; ++i) {
    const double* const from = forward + i * levels;
    double* const to = forward + (i + 1) * levels;
    for (index_t c = 0; c < levels; ++c) {
      if (from[c] == minus_infinity) continue;
      to[c] = combine_logs<Max>(to[c], from[c] + zero[i]);
      const index_t next = rule.raised(c, i);
      if (next >= 0) to[next] = combine_logs<Max>(to[next], from[c] + one[i]);
    }
  }
  const double* const last = forward + n * levels;
  if (reached != nullptr) std::copy_n(last, levels, reached);
  double total = minus_infinity;
  for (index_t c = 0; c < levels; ++c) {
    total = combine_logs<Max>(total, last[c] + f[c]);
    back[c] = f[c];
  }
  if (total == minus_infinity) return total;
  for (index_t i = n; i-- > 0;) {
    const double* const from = forward + i * levels;
    double top[2] = {minus_infinity, minus_infinity};
    for (index_t c = 0; c < levels; ++c) {
      const index_t next = rule.raised(c, i);
      top[0] = std::max(top[0], from[c] + back[c]);
      if (next >= 0) top[1] = std::max(top[1], from[c] + back[next]);
    }
    double sum[2] = {0, 0};
    if constexpr (!Max)
      for (index_t c = 0; c < levels; ++c) {
        const index_t next = rule.raised(c, i);
        if (top[0] > minus_infinity) sum[0] += std::exp(from[c] + back[c] - top[0]);
        if (next >= 0 && top[1] > minus_infinity) sum[1] += std::exp(from[c] + back[next] - top[1]);
      }
    if (top[0] == minus_infinity)
      message[i] = -minus_infinity;
    else if (top[1] == minus_infinity)
      message[i] = minus_infinity;
    else
      message[i] = top[1] - top[0] + (Max ? 0.0 : std::log(sum[1] / sum[0]));
    for (index_t c = 0; c < levels; ++c) {  // upwards: the level above is still the old one
      const index_t next = rule.raised(c, i);
      back[c] = combine_logs<Max>(back[c] + zero[i], next >= 0 ? back[next] + one[i] : minus_infinity);
    }
  }
  return total;
}

}  // namespace weakly::inline v0::detail
