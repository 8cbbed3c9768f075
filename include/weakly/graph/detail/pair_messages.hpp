// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/graph/detail/counting_messages.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace weakly::inline v0::detail {

/// What an Ising factor needs of its coupling: a = tanh |J| and 1 - a, which a subtraction would round away.
struct ising_constants {
  double a, one_less_a;
  explicit ising_constants(double coupling) {
    const double j = std::abs(coupling);
    a = std::tanh(j);
    one_less_a = 2 / (std::exp(2 * j) + 1);
  }
};

/// Log odds that an Ising factor sends on when `theta` come in.
///
///     log((e^(J + theta) + e^-J) / (e^(J) + e^(theta - J))) = sign log1p(2 a (1 - e) / (b + e (2 - b)))
///
/// with e = exp(-|theta|): relative error about 1e-14 up to |J| = 40, and 2 J at theta = inf.
inline double ising_message(double theta, double coupling) {
  const double size = std::abs(theta), limit = 2 * std::abs(coupling), least = std::min(size, limit);
  double r;
  if (least > 300) {  // e and b may both be 0
    r = least - std::log1p(std::exp(-(std::max(size, limit) - least)));
  } else {
    const ising_constants k(coupling);
    r = std::log1p(2 * k.a * -std::expm1(-size) / (k.one_less_a + std::exp(-size) * (2 - k.one_less_a)));
  }
  return (theta < 0) == (coupling < 0) ? r : -r;
}
inline double ising_max_message(double theta, double coupling) {
  const double limit = 2 * std::abs(coupling), r = std::clamp(theta, -limit, limit);
  return coupling < 0 ? -r : r;
}

/// Message of a Potts factor from the log weights q of c states, not normalised.
///
///     message(x) = log( sum over y of e^q(y) + (e^beta - 1) e^q(x) )
///
/// For beta < 0 the state with more than half of the mass is summed anew: there the difference cancels.
template <bool Max>
void potts_message(index_t c, double beta, const double* q, double* message) {
  double top = minus_infinity, second = minus_infinity;
  index_t best = 0;
  for (index_t x = 0; x < c; ++x) {
    if (q[x] > top) {
      second = top;
      top = q[x];
      best = x;
    } else {
      second = std::max(second, q[x]);
    }
  }
  if constexpr (Max) {
    for (index_t x = 0; x < c; ++x) message[x] = std::max(q[x] + beta, x == best ? second : top);
    return;
  }
  if (top == minus_infinity) {
    std::fill_n(message, c, minus_infinity);
    return;
  }
  double all = 0, others = 0;
  for (index_t x = 0; x < c; ++x) {
    message[x] = std::exp(q[x] - top);
    all += message[x];
    if (x != best) others += message[x];
  }
  const auto beside_best = [&] {  // what `others` is where it underflows
    double sum = 0;
    for (index_t x = 0; x < c; ++x)
      if (x != best) sum += std::exp(q[x] - second);
    return second + std::log(sum);
  };
  const double factor = std::expm1(beta);
  for (index_t x = 0; x < c; ++x) {
    const double own = message[x];
    if (beta > 30)  // e^beta may overflow, and 1 less of it is nothing
      message[x] = combine_logs<false>(q[x] + beta, top + std::log(x == best ? others : all - own));
    else if (beta >= 0)
      message[x] = top + std::log(all + factor * own);
    else if (x == best && second == minus_infinity)
      message[x] = q[x] + beta;
    else if (x == best && others > 1e-290)
      message[x] = top + std::log(others + own * std::exp(beta));
    else if (x == best)
      message[x] = combine_logs<false>(q[x] + beta, beside_best());
    else
      message[x] = top + std::log(std::max(all - own, others - own + 1) + own * std::exp(beta));
  }
}

}  // namespace weakly::inline v0::detail
