// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/half.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>

#include <algorithm>
#include <cmath>

namespace weakly::inline v0 {

namespace detail {

/// f(share of the sum) for what is positive of a spectrum. The greatest share, 0 where there is none.
template <class Spectrum, class F>
double for_shares(const char* function, const Spectrum& spectrum, F f) {
  const auto s = view(spectrum);
  double top = 0, sum = 0;
  for (index_t i = 0; i < s.extent(0); ++i) {
    const double x = convert_real<double>(s(i));
    if (!std::isfinite(x)) fail<value_error>(function, ": element ", i, " of the spectrum is ", x);
    top = std::max(top, x);
  }
  for (index_t i = 0; i < s.extent(0); ++i)
    if (const double x = convert_real<double>(s(i)); x > 0) sum += x / top;
  for (index_t i = 0; i < s.extent(0); ++i)
    if (const double x = convert_real<double>(s(i)); x > 0) f(x / top / sum);
  return top > 0 ? 1 / sum : 0;
}

}  // namespace detail

/// How many directions a spectrum is spread over, as its entropy has it.
///
///     exp(- sum over i of p_i log p_i),   p_i = spectrum_i / sum of all
///
/// spectrum  d  eigenvalues of a covariance, such as covariance_accumulator::spectrum gives, or singular values of the
///              features: their square roots, which give a greater rank
///
/// Between 1 and d: 1 where all lies in one direction, d where all directions are alike; 0 for a spectrum of zeros.
/// What is negative, as rounding leaves it, counts as 0. Throws value_error for a NaN or an infinity. O(d). Source: Roy
/// and Vetterli, "The effective rank", EUSIPCO 2007.
template <real_vector Spectrum>
double effective_rank(const Spectrum& spectrum) {
  double entropy = 0;
  const double top = detail::for_shares("effective_rank", spectrum, [&](double p) {
    if (p > 0) entropy -= p * std::log(p);  // a share may be too small for a double
  });
  return top > 0 ? std::exp(entropy) : 0;
}

/// How many directions a spectrum is spread over, as its greatest value has it: sum / greatest.
///
/// Of the eigenvalues of Z'Z this is the squared Frobenius norm of Z over its squared spectral norm. At most the rank
/// and the effective rank of the same spectrum; special values, errors and cost as there. Source: Rudelson and
/// Vershynin, "Sampling from large matrices", J. ACM 54 (2007), there called numerical rank.
template <real_vector Spectrum>
double numerical_rank(const Spectrum& spectrum) {
  const double top = detail::for_shares("numerical_rank", spectrum, [](double) {});
  return top > 0 ? 1 / top : 0;
}

}  // namespace weakly::inline v0
