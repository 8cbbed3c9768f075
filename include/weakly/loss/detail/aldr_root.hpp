// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/error.hpp>
#include <weakly/loss/loss_margins.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>

// The inner problem of ALDR-KL in units of lambda0, u = lambda / lambda0:
//
//     h(u) = psi_u - (weight / 2) (u - 1)^2,   weight = alpha log k,   h'(u) = weight phi(u)
//     phi(u) = 1 - u - KL(u) / weight,         phi'(u) = -1 + V(u) / (weight u)
//
// with V the variance of log p. phi >= 0 at 1 - 1/alpha and phi <= 0 at 1, so a root lies between; a maximum of h is
// where phi turns from positive to negative.
namespace weakly::inline v0::detail {

struct aldr_problem {
  double lambda0, alpha, log_classes;

  double weight() const { return alpha * log_classes; }
  double least() const { return 1 - 1 / alpha; }
};

template <class T>
aldr_problem require_aldr(std::string_view function, double lambda0, double alpha, const loss_margins& margin,
                          index_t n, index_t k) {
  if (!(lambda0 > 0 && std::isfinite(lambda0)))
    fail<option_error>(function, ": lambda0 is ", lambda0, "; it must be positive and finite");
  if (!(alpha > 1 && std::isfinite(alpha)))
    fail<option_error>(function, ": alpha is ", alpha,
                       "; it must be finite and greater than one, or lambda could become zero");
  if (k == 1 || (k == 0 && n > 0))
    fail<shape_error>(function, ": logits have rows of ", k, k == 1 ? " class" : " classes", "; there must be two");
  margin.require<T>(function, n, k);
  return {lambda0, alpha, std::log(double(k))};
}

/// max over distributions p of (V + KL) / log k; above it, alpha makes the root unique, because V + KL < weight at a
/// root is phi' < 0 there. The maximum has one class above k - 1 equal ones. O(1), about 200 logarithms.
inline double uniqueness_bound(index_t classes) {
  const double k = double(classes);
  const auto value = [&](double odds) {  // log of p(one) / p(another)
    const double e = std::exp(odds), sum = e + (k - 1), p = e / sum, q = (k - 1) / sum;
    return p * q * odds * odds + p * odds - std::log(sum / k);
  };
  const double end = std::log(k) + 16;
  double best = 0, at = 0;
  for (int i = 1; i <= 128; ++i)
    if (const double v = value(end * i / 128); v > best) {
      best = v;
      at = end * i / 128;
    }
  for (double step = end / 256; step > 1e-7; step /= 2)
    for (const double next : {at - step, at + step})
      if (const double v = value(next); v > best) {
        best = v;
        at = next;
      }
  return best / std::log(k) * (1 + 1e-9);
}

/// What is known of p at one u.
struct aldr_point {
  double excess;        // log mean exp of the exponents
  double kl, variance;  // KL(p || uniform), variance of log p
  double third;         // third central moment of log p

  double phi(double u, double weight) const { return 1 - u - kl / weight; }
  double objective(double u, double weight) const { return u * excess - weight / 2 * (u - 1) * (u - 1); }
};

/// Halley's step from u, or NaN where phi does not fall. `rest` is what the step after it may be expected to be.
struct aldr_step_result {
  double step, rest;
};
inline aldr_step_result halley_step(const aldr_point& p, double u, double weight) {
  const double phi = p.phi(u, weight), slope = p.variance / (weight * u) - 1;
  if (!(slope < 0)) return {std::numeric_limits<double>::quiet_NaN(), 1};
  const double bend = -(3 * p.variance + p.third) / (weight * u * u);
  const double newton = -phi / slope;
  const double step = newton / std::clamp(1 + newton * bend / (2 * slope), 0.5, 2.0);
  return {step, std::abs(step) * (step / slope) * (step / slope)};
}

/// The root in [low, high], where phi turns from positive to negative. evaluate(u) gives an aldr_point.
template <class Evaluate>
double refine_root(const Evaluate& evaluate, double weight, double low, double high, double start, double tolerance) {
  double u = start;
  for (int i = 0; i < 200; ++i) {
    const aldr_point p = evaluate(u);
    const double phi = p.phi(u, weight);
    if (std::isnan(phi) || std::abs(phi) <= tolerance) return u;
    (phi > 0 ? low : high) = u;
    const aldr_step_result s = halley_step(p, u, weight);
    const double next = u + s.step;
    if (next >= low && next <= high) {
      u = next;
      if (s.rest <= tolerance) return u;
    } else {
      u = low + (high - low) / 2;
      if (high - low <= tolerance) return u;
    }
  }
  return u;
}

/// Points that are computed together before a root is looked for, at 1/u = 1, ..., 1/least in equal steps.
inline constexpr int aldr_grid = 5;

/// Between two points neighbouring in u, whether phi keeps its sign, falls throughout, or may do anything.
///
/// KL grows with 1/u, which bounds phi by what it is at the ends. Where that leaves the sign open, phi' must be
/// negative: the variance of the exponents y <= 0 grows over 1/u no faster than exp(-mean y), because their third
/// central moment is at most (0 - mean) times the second.
enum class aldr_interval : std::uint8_t { root, none, unknown };
inline aldr_interval classify(const aldr_point& a, double upper, bool a_positive, const aldr_point& b, double lower,
                              bool b_positive, double weight) {
  const double beta = 1 / upper, next = 1 / lower, mean = (a.kl + a.excess) / beta;
  const double growth = next / beta;
  const bool falls = next * growth * growth * a.variance * std::exp(-mean * (next - beta)) < weight * (1 - 1e-4);
  if (!a_positive && b_positive) return falls ? aldr_interval::root : aldr_interval::unknown;
  if (a_positive && !b_positive) return aldr_interval::unknown;
  const bool keeps = a_positive ? 1 - upper - b.kl / weight > 0 : 1 - lower - a.kl / weight < 0;
  return falls || keeps ? aldr_interval::none : aldr_interval::unknown;
}

/// Where phi is zero, from its values and slopes at both ends of an interval over which it falls.
inline double interpolated_root(const aldr_point& a, double upper, const aldr_point& b, double lower, double weight) {
  const double phi_a = a.phi(upper, weight), phi_b = b.phi(lower, weight), h = phi_b - phi_a, t = -phi_a / h;
  const double slope_a = a.variance / (weight * upper) - 1, slope_b = b.variance / (weight * lower) - 1;
  const double r = 1 - t;
  const double u =
      r * r * (1 + 2 * t) * upper + t * r * r * h / slope_a + t * t * (3 - 2 * t) * lower - t * t * r * h / slope_b;
  return u > lower && u < upper ? u : lower + (upper - lower) / 2;
}

/// Proves that there is one root only and brackets it, from aldr_grid points and further ones where they leave a doubt.
/// False where it finds no proof.
template <class Evaluate>
bool isolate_root(const aldr_point* points, const Evaluate& evaluate, double weight, double least, double& low,
                  double& high, double& start) {
  constexpr int most = 24;
  aldr_point p[most];
  double u[most];
  int count = aldr_grid;
  for (int i = 0; i < count; ++i) {
    p[i] = points[i];
    u[i] = i + 1 == count ? least : 1 / (1 + (1 / least - 1) / (aldr_grid - 1) * i);
  }
  bool found = false;
  for (int i = 0; i + 1 < count;) {
    const bool a_positive = i > 0 && p[i].phi(u[i], weight) > 0;                   // phi <= 0 at 1
    const bool b_positive = i + 2 == count || p[i + 1].phi(u[i + 1], weight) > 0;  // phi >= 0 at least
    const aldr_interval kind = classify(p[i], u[i], a_positive, p[i + 1], u[i + 1], b_positive, weight);
    if (kind == aldr_interval::unknown) {
      if (count == most || u[i] - u[i + 1] < 1e-3) return false;
      for (int m = count; m > i + 1; --m) {
        p[m] = p[m - 1];
        u[m] = u[m - 1];
      }
      u[i + 1] = 2 / (1 / u[i] + 1 / u[i + 2]);
      p[i + 1] = evaluate(u[i + 1]);
      ++count;
      continue;
    }
    if (kind == aldr_interval::root) {
      if (found) return false;
      found = true;
      low = u[i + 1];
      high = u[i];
      start = interpolated_root(p[i], high, p[i + 1], low, weight);
    }
    ++i;
  }
  return found;
}

/// The best root (or the greatest, where `greatest` asks for it) where there may be several: the ends are drawn in by
/// u -> 1 - KL(u) / weight, which never jumps over a root, and what stays between is looked through in 64 steps.
template <class Evaluate>
double search_roots(const Evaluate& evaluate, double weight, double low, double high, bool greatest, double tolerance) {
  for (int i = 0; i < 24; ++i) {
    const double next = std::min(high, high + evaluate(high).phi(high, weight));
    if (std::isnan(next)) return next;
    const bool stands = high - next <= tolerance / 4;
    high = std::max(next, low);
    if (stands) break;
  }
  for (int i = 0; i < 24 && high > low; ++i) {
    const double next = std::max(low, low + evaluate(low).phi(low, weight));
    const bool stands = next - low <= tolerance / 4;
    low = std::min(next, high);
    if (stands) break;
  }
  if (high - low <= tolerance) return low + (high - low) / 2;

  constexpr int steps = 64;
  double best = high, best_value = -std::numeric_limits<double>::infinity();
  const auto consider = [&](double u) {
    const double value = evaluate(u).objective(u, weight);
    if (value > best_value) {
      best = u;
      best_value = value;
    }
  };
  double above = high;
  bool falls = true;  // phi <= 0 at `above`
  for (int i = steps - 1; i >= 0; --i) {
    const double u = i == 0 ? low : low + (high - low) * i / steps;
    const bool positive = i == 0 || evaluate(u).phi(u, weight) > 0;
    if (positive && falls) {
      consider(refine_root(evaluate, weight, u, above, u + (above - u) / 2, tolerance));
      if (greatest) return best;
    }
    falls = !positive;
    above = u;
  }
  return best;
}

}  // namespace weakly::inline v0::detail
