// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/simd/batch.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numbers>

namespace weakly::inline v0::simd {

namespace detail {

template <class T>
struct exp_log_constants;

// Polynomials by Remez exchange for the relative error of the function, on |r| <= log(2) / 2 and on [sqrt(1/2),
// sqrt(2)]. ln2_high has trailing zeros, so that its product with an exponent is exact.
template <>
struct exp_log_constants<float> {
  using word = std::uint32_t;
  static constexpr int fraction_bits = 23;
  static constexpr word one = 0x3f800000, sqrt_half = 0x3f3504f3, fraction = 0x007fffff;
  static constexpr float shifter = 0x1.8p23f;  // x + shifter ends in the integer nearest x
  static constexpr float ln2_high = 0x1.62e4p-1f, ln2_low = 0x1.7f7d1cp-20f;
  static constexpr float exp_zero_below = -104, exp_inf_above = 89;
  static constexpr float denormal_scale = 0x1p24f, denormal_exponent = 24;
  static constexpr float exp[] = {0x1.fffffcp-2f, 0x1.555492p-3f, 0x1.5558f2p-5f, 0x1.123a2p-7f, 0x1.6a23dp-10f};
  static constexpr float short_zero_below = -88;
  static constexpr float short_exp[] = {0x1.fffff6p-1f, 0x1.fffdc4p-2f, 0x1.555a6ep-3f, 0x1.573adp-5f, 0x1.0fa7d6p-7f};
  static constexpr float exp2[] = {0x1.62e42ap-1f, 0x1.ebf9bcp-3f, 0x1.c6b754p-5f, 0x1.3ceab4p-7f, 0x1.5bb9e4p-10f};
  static constexpr float exp2_least = -100, exp2_greatest = 126;
  static constexpr float log[] = {0x1.55557ap-1f, 0x1.995eb6p-2f, 0x1.31e34cp-2f};
};

template <>
struct exp_log_constants<double> {
  using word = std::uint64_t;
  static constexpr int fraction_bits = 52;
  static constexpr word one = 0x3ff0000000000000, sqrt_half = 0x3fe6a09e667f3bcd, fraction = 0x000fffffffffffff;
  static constexpr double shifter = 0x1.8p52;
  static constexpr double ln2_high = 0x1.62e42feep-1, ln2_low = 0x1.a39ef35793c76p-33;
  static constexpr double exp_zero_below = -746, exp_inf_above = 710;
  static constexpr double denormal_scale = 0x1p54, denormal_exponent = 54;
  static constexpr double exp[] = {0x1.000000000000ap-1,  0x1.55555555554f9p-3,  0x1.555555555083fp-5,
                                   0x1.1111111127d12p-7,  0x1.6c16c18438a0dp-10, 0x1.a01a012a0dcd1p-13,
                                   0x1.a01999e28c4cep-16, 0x1.71df25b6d5215p-19, 0x1.28ad9b60e548dp-22,
                                   0x1.ad7f3814376f5p-26};
  static constexpr double short_zero_below = -709;
  static constexpr double short_exp[] = {0x1.0000000000019p+0,  0x1.ffffffffffe93p-2,  0x1.555555554c52ep-3,
                                         0x1.555555558b9a7p-5,  0x1.1111112c6b5a0p-7,  0x1.6c16c0cd587a9p-10,
                                         0x1.a0197c631b22fp-13, 0x1.a01b5a7aaf5cap-16, 0x1.72f7cd0c23261p-19,
                                         0x1.27312cefc59c4p-22};
  static constexpr double exp2[] = {0x1.62e42fefa39f3p-1,  0x1.ebfbdff82c598p-3,  0x1.c6b08d7048f2ep-5,
                                    0x1.3b2ab6fba1e12p-7,  0x1.5d87fe7bbc59fp-10, 0x1.4309130963b0cp-13,
                                    0x1.ffcbee3997717p-17, 0x1.62bfd496de60ep-20, 0x1.b5416913f655ap-24,
                                    0x1.e6060962fcc9ep-28, 0x1.c0638996176bap-32};
  static constexpr double exp2_least = -1000, exp2_greatest = 1022;
  static constexpr double log[] = {0x1.5555555555592p-1, 0x1.999999997fd77p-2, 0x1.24924941f4fb9p-2,
                                   0x1.c71c520607c8ap-3, 0x1.74663fa232937p-3, 0x1.39a1a6f5aa86ap-3,
                                   0x1.2f06349893589p-3};
};

template <class T>
using words = backend::lanes_of<typename exp_log_constants<T>::word>;

template <class T>
WEAKLY_INLINE words<T> all_words(typename exp_log_constants<T>::word w) {
  return backend::broadcast(w);
}

// c[First] + c[First + Step] x + c[First + 2 Step] x^2 + ... by Horner's rule.
template <int First, int Step, class T, std::size_t N>
WEAKLY_INLINE batch<T> horner(batch<T> x, const T (&c)[N]) {
  if constexpr (First + Step < int(N))
    return fma(horner<First + Step, Step>(x, c), x, c[First]);
  else
    return c[First];
}

// Long polynomials as two of x^2: one chain of dependent operations that long cannot keep a core busy.
template <class T, std::size_t N>
WEAKLY_INLINE batch<T> polynomial(batch<T> x, const T (&c)[N]) {
  if constexpr (N <= 6) return horner<0, 1>(x, c);
  const batch<T> square = x * x;
  return fma(horner<1, 2>(square, c), x, horner<0, 2>(square, c));
}

// 2^k for the integer k that the last bits of k + shifter hold.
template <class T>
WEAKLY_INLINE batch<T> power_of_two(words<T> shifted) {
  using c = exp_log_constants<T>;
  return batch<T>::of(backend::as_lanes<T>(backend::shifted_left<T, c::fraction_bits>(shifted) + all_words<T>(c::one)));
}

template <class T>
WEAKLY_INLINE batch<T> exp_batch(batch<T> x) {
  using c = exp_log_constants<T>;
  x = min(batch<T>(c::exp_inf_above), max(batch<T>(c::exp_zero_below), x));  // in this order of arguments NaN stays
  const batch<T> shifted = fma(x, std::numbers::log2e_v<T>, c::shifter);
  const batch<T> k = shifted - c::shifter;
  const batch<T> r_high = fma(k, -c::ln2_high, x), r_low = k * -c::ln2_low, r = r_high + r_low;
  const batch<T> tail = fma(r * r, polynomial(r, c::exp), r_low);
  const batch<T> sum = r_high + T(1);
  const batch<T> p = sum + ((r_high - (sum - T(1))) + tail);  // 1 + r_high + tail, all but rounded once
  // 2^k in two factors: k runs over more than the exponents of normal numbers.
  const words<T> whole = backend::as_words<T>(shifted.value);
  const words<T> half = backend::shifted_right<T, 1>(whole);
  return p * power_of_two<T>(half) * power_of_two<T>(whole - half);
}

template <class T>
WEAKLY_INLINE batch<T> exp_nonpositive_batch(batch<T> x) {
  using c = exp_log_constants<T>;
  x = max(batch<T>(c::short_zero_below), x);
  const batch<T> shifted = fma(x, std::numbers::log2e_v<T>, c::shifter);
  const batch<T> k = shifted - c::shifter;
  const batch<T> r = fma(k, -c::ln2_low, fma(k, -c::ln2_high, x));
  return fma(r, polynomial(r, c::short_exp), T(1)) * power_of_two<T>(backend::as_words<T>(shifted.value));
}

// x = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)), for normal positive x.
template <class T>
struct exponent_and_fraction {
  batch<T> k, f;
};
template <class T>
WEAKLY_INLINE exponent_and_fraction<T> split(batch<T> x) {
  using c = exp_log_constants<T>;
  constexpr T integer =
      T(typename c::word(1) << c::fraction_bits);  // below it, the last bits of a number are an integer
  constexpr T bias = T(c::one >> c::fraction_bits);
  const words<T> w = backend::as_words<T>(x.value) + all_words<T>(c::one - c::sqrt_half);
  const words<T> exponent =
      backend::shifted_right<T, c::fraction_bits>(w) | backend::as_words<T>(batch<T>(integer).value);
  const words<T> fraction = (w & all_words<T>(c::fraction)) + all_words<T>(c::sqrt_half);
  return {batch<T>::of(backend::as_lanes<T>(exponent)) - (integer + bias),
          batch<T>::of(backend::as_lanes<T>(fraction)) - T(1)};
}

// k log(2) + log(1 + f) + low. With s = f / (2 + f), log(1 + f) = f - f^2/2 + s (f^2/2 + z P(z)) and z = s^2.
template <class T>
WEAKLY_INLINE batch<T> log_of_parts(batch<T> k, batch<T> f, batch<T> low) {
  using c = exp_log_constants<T>;
  const batch<T> s = f / (f + T(2));
  const batch<T> z = s * s;
  const batch<T> half_square = f * f * T(0.5);
  const batch<T> tail = fma(s, fma(z, polynomial(z, c::log), half_square), fma(k, c::ln2_low, low)) - half_square;
  return fma(k, c::ln2_high, f + tail);
}

template <class T>
WEAKLY_INLINE batch<T> log_batch(batch<T> x) {
  using c = exp_log_constants<T>;
  using limits = std::numeric_limits<T>;
  const mask<T> denormal = x < limits::min();
  const auto part = split(select(denormal, x * c::denormal_scale, x));
  const batch<T> k = part.k - select(denormal, batch<T>(c::denormal_exponent), T(0));
  const batch<T> inside = log_of_parts<T>(k, part.f, T(0));
  const batch<T> outside = select(x > T(0), x, select(x == T(0), batch<T>(-limits::infinity()), limits::quiet_NaN()));
  return select((x > T(0)) & (x < limits::infinity()), inside, outside);
}

template <class T>
WEAKLY_INLINE batch<T> log1p_batch(batch<T> x) {
  using c = exp_log_constants<T>;
  using limits = std::numeric_limits<T>;
  const batch<T> u = x + T(1);
  const auto part = split(u);
  // What u lost, on the scale of f. From k = fraction_bits + 4 on it no longer matters, and 2^-k need not exist.
  const batch<T> lost = x - (u - T(1));
  const batch<T> scale_exponent = max(-part.k, T(-c::fraction_bits - 4));
  const batch<T> low = lost * power_of_two<T>(backend::as_words<T>((scale_exponent + c::shifter).value));
  const batch<T> f = part.f + low;
  const batch<T> inside = log_of_parts<T>(part.k, f, (part.f - f) + low);
  const batch<T> outside = select(x > T(-1), x, select(x == T(-1), batch<T>(-limits::infinity()), limits::quiet_NaN()));
  return select((x > T(-1)) & (x < limits::infinity()) & (x != T(0)), inside, outside);
}

template <class T>
WEAKLY_INLINE batch<T> log1p_nonnegative_batch(batch<T> x) {
  using c = exp_log_constants<T>;
  const batch<T> u = x + T(1);
  const auto part = split(u);
  // log(u + lost) = log(u) + lost / u. Where that matters, u is near 1 and its power of two is near enough.
  const batch<T> lost = x - (u - T(1));
  return log_of_parts<T>(part.k, part.f, lost * power_of_two<T>(backend::as_words<T>((c::shifter - part.k).value)));
}

template <class T, class F>
WEAKLY_INLINE batch<T> each(batch<T> x, F f) {
  T lane[sizeof(batch<T>) / sizeof(T)];
  backend::store(lane, x.value);
  for (T& v : lane) v = f(v);
  return batch<T>::of(backend::load(static_cast<const T*>(lane)));
}

}  // namespace detail

/// Bound on the error of exp, log and log1p, in units in the last place of the exact result (of the least denormal
/// below the normal numbers), for every argument. The largest errors seen are 0.78 (exp), 0.85 (log) and 0.92 (log1p).
inline constexpr double exp_log_error_ulp = 1;

/// Bound on the relative error of exp_nonpositive.
template <class T>
inline constexpr double exp_nonpositive_error = sizeof(T) == 4 ? 0x1p-22 : 0x1p-50;

/// exp(x), within exp_log_error_ulp where the result is denormal too. exp(-inf) = 0, exp(+-0) = 1, +inf on overflow,
/// exp(NaN) = NaN.
template <class T>
WEAKLY_INLINE batch<T> exp(batch<T> x) {
  if constexpr (vectorized)
    return detail::exp_batch(x);
  else
    return detail::each(x, [](T v) { return std::exp(v); });
}

/// log(x), within exp_log_error_ulp, denormal x included. log(+-0) = -inf, log(+inf) = +inf, NaN for x < 0 and NaN.
template <class T>
WEAKLY_INLINE batch<T> log(batch<T> x) {
  if constexpr (vectorized)
    return detail::log_batch(x);
  else
    return detail::each(x, [](T v) { return std::log(v); });
}

/// log(1 + x), within exp_log_error_ulp. log1p(+-0) = +-0, log1p(-1) = -inf, log1p(+inf) = +inf, NaN for x < -1 and
/// NaN.
template <class T>
WEAKLY_INLINE batch<T> log1p(batch<T> x) {
  if constexpr (vectorized)
    return detail::log1p_batch(x);
  else
    return detail::each(x, [](T v) { return T(std::log1p(double(v))); });  // glibc's for float is off by 1.3 units
}

/// log(1 + x) for 0 <= x <= log1p_nonnegative_limit<T>, within 2 units in the last place, cheaper than log1p. NaN stays
/// NaN; nothing is said of other x.
template <class T>
inline constexpr T log1p_nonnegative_limit = sizeof(T) == 4 ? T(0x1p120) : T(0x1p1000);
template <class T>
WEAKLY_INLINE batch<T> log1p_nonnegative(batch<T> x) {
  if constexpr (vectorized)
    return detail::log1p_nonnegative_batch(x);
  else
    return detail::each(x, [](T v) { return T(std::log1p(double(v))); });
}

/// exp(x) for x <= 0 with a relative error below exp_nonpositive_error<T>, cheaper than exp. exp_nonpositive(0) = 1. A
/// result below the least normal number may be zero instead; exp_nonpositive(-inf) = 0, and NaN stays. Nothing is said
/// of x > 0.
template <class T>
WEAKLY_INLINE batch<T> exp_nonpositive(batch<T> x) {
  if constexpr (vectorized)
    return detail::exp_nonpositive_batch(x);
  else
    return detail::each(x, [](T v) { return std::exp(v); });
}

/// exp(scale x) for many x, cheaper than exp, by one rounding of scale log2(e) that acts as a change of the scale by
/// half a unit in its last place; besides, the relative error is below exp_nonpositive_error<T>. Without registers or
/// without fma it may be larger by half a unit in the last place of the exponent.
///
/// That holds for results between `least` and `greatest`. Lower exponents and -inf give something positive below
/// `least`, and from some exponent on the same `floor()`; higher ones, +inf and NaN give something above `greatest`.
/// Callers look at their sums and start over where those are out of range.
template <class T>
class scaled_exp {
  using c = detail::exp_log_constants<T>;

 public:
  static constexpr T least = sizeof(T) == 4 ? T(0x1p-90) : T(0x1p-900);
  static constexpr T greatest = sizeof(T) == 4 ? T(0x1p120) : T(0x1p1000);
  static constexpr T least_kept = sizeof(T) == 4 ? T(0x1p-100) : T(0x1p-1000);  ///< about what `floor()` is

  /// scale  positive, a normal number and so its inverse
  explicit scaled_exp(T scale)
      : scale_(scale),
        factor_(scale * std::numbers::log2e_v<T>),
        low_(c::exp2_least / (scale * std::numbers::log2e_v<T>)),
        high_(c::exp2_greatest / (scale * std::numbers::log2e_v<T>)) {}

  WEAKLY_INLINE batch<T> operator()(batch<T> x) const {
    // min before max: a NaN becomes high_, because the exponent is added as an integer, which could make a number of
    // it.
    return power(max(min(x, high_), low_));
  }

  /// What -inf gives.
  T floor() const { return power(low_)[0]; }

  /// The same of N batches at once, which takes about half the time: a core cannot look far enough ahead to overlap
  /// them when each comes after the other.
  template <int N>
  WEAKLY_INLINE void each(batch<T> (&x)[std::size_t(N)]) const {
    if constexpr (vectorized) {
      batch<T> shifted[std::size_t(N)], p[std::size_t(N)];
      unroll<N>([&](auto i) { x[i] = max(min(x[i], high_), low_); });
      unroll<N>([&](auto i) { shifted[i] = fma(x[i], factor_, batch<T>(c::shifter)); });
      unroll<N>([&](auto i) { p[i] = c::shifter - shifted[i]; });
      unroll<N>([&](auto i) { x[i] = fma(x[i], factor_, p[i]); });
      constexpr int last = int(sizeof(c::exp2) / sizeof(T)) - 1;
      unroll<N>([&](auto i) { p[i] = fma(batch<T>(c::exp2[last]), x[i], c::exp2[last - 1]); });
      unroll<last - 1>([&](auto d) { unroll<N>([&](auto i) { p[i] = fma(p[i], x[i], c::exp2[last - 2 - d]); }); });
      unroll<N>([&](auto i) { p[i] = fma(p[i], x[i], T(1)); });
      unroll<N>([&](auto i) { x[i] = scaled(p[i], shifted[i]); });
    } else {
      for (batch<T>& b : x) b = (*this)(b);
    }
  }

 private:
  WEAKLY_INLINE static batch<T> scaled(batch<T> p, batch<T> shifted) {
    return batch<T>::of(backend::as_lanes<T>(backend::as_words<T>(p.value) + backend::shifted_left<T, c::fraction_bits>(
                                                                                 backend::as_words<T>(shifted.value))));
  }

  WEAKLY_INLINE batch<T> power(batch<T> x) const {
    if constexpr (vectorized) {
      const batch<T> shifted = fma(x, factor_, batch<T>(c::shifter));
      const batch<T> r = fma(x, factor_, c::shifter - shifted);
      return scaled(fma(r, detail::horner<0, 1>(r, c::exp2), T(1)), shifted);
    } else {
      return detail::each(x, [this](T v) { return std::exp(v * scale_); });
    }
  }

  T scale_;
  batch<T> factor_, low_, high_;
};

/// exp(x) - 1 for x <= 0, within 4 units in the last place; -1 at -inf, NaN stays. Nothing is said of x > 0.
/// Kahan's form: what exp(x) lost is lost by its logarithm too; where exp(x) is small it loses nothing that matters.
template <class T>
WEAKLY_INLINE batch<T> expm1_nonpositive(batch<T> x) {
  const batch<T> e = exp(x);
  const batch<T> below = e - T(1);
  const batch<T> inside = below * (x / log(e));
  return select(e == T(1), x, select(e > T(0.25), inside, below));
}

}  // namespace weakly::inline v0::simd
