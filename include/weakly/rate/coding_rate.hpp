// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>
#include <weakly/rate/detail/feature_rows.hpp>
#include <weakly/rate/detail/rate_engine.hpp>

#include <cstdint>
#include <numbers>
#include <type_traits>

namespace weakly::inline v0 {

/// What a rate is counted in.
enum class rate_unit : std::uint8_t { nats, bits };

struct coding_rate_options {
  double eps_squared = 0.5;  ///< squared distortion; what public code calls eps
  rate_unit unit = rate_unit::nats;
  bool eps_squared_grad = false;  ///< wanted where no gradient is written
};

struct coding_rate_result {
  double rate = 0;              ///< R
  double eps_squared_grad = 0;  ///< dR / d(eps^2); 0 where neither it nor a gradient was asked for
};

namespace detail {

inline double per_nat(rate_unit unit) { return unit == rate_unit::bits ? 1 / std::numbers::ln2 : 1.0; }

/// Runs the engine in the arithmetic of the features, and again in double where float does not suffice.
template <class T, class Exec, class Features, class Grad>
engine_terms engine_terms_of(Exec&& ex, const rate_request& ask, const Features& features, const class_rows* classes,
                             Grad& grad, const row_sink<double>& dense_grad, const row_sink<double>& entry_grad) {
  const auto v = view(features);
  const index_t n = v.extent(0), d = v.extent(1);
  engine_terms terms;
  const auto run = [&]<class S>(S) {
    rate_engine<S> engine;
    engine.ask = ask;
    engine.x = row_source<S>(v);
    engine.n = n;
    engine.d = d;
    engine.classes = classes;
    engine.grad = rate_sink<S>(ask.function, "feature_grad", grad, n, d);
    engine.dense_grad = dense_grad;
    engine.entry_grad = entry_grad;
    return engine.run(ex, terms);
  };
  if constexpr (std::is_same_v<T, float>)
    if (run(0.0f)) return terms;
  run(0.0);
  return terms;
}

}  // namespace detail

/// Coding rate of a batch: how many nats a feature vector takes when it is told up to a distortion eps.
///
///     R = 1/2 log det(I + d / (n eps^2) Z'Z)        dR/dZ = d / (n eps^2) Z (I + d / (n eps^2) Z'Z)^-1
///     dR/d(eps^2) = -(d - tr (I + d / (n eps^2) Z'Z)^-1) / (2 eps^2)
///
/// features      n x d  finite; rows of length about one are meant: R grows with the logarithm of their scale
/// feature_grad  n x d  dR/dZ, or discard; must not overlap `features`
///
/// From the n x n side where n < d. Float features are added and factored in float while d / eps^2 times their mean
/// squared length is at most 1e4, which bounds the condition number, and in double beyond, or where d / eps^2 is
/// not between 1e-25 and 1e25; half and bfloat16 likewise; logarithms are double. R = 0 for n = 0 or d = 0. Without a
/// gradient no inverse is formed.
///
/// Throws value_error naming row and feature of a NaN or infinity, and where a pivot of the factor is not positive,
/// with its number; shape_error; option_error unless eps_squared is positive and finite. Nothing is written then.
/// O(n d^2 + d^3) for n >= d, O(n^2 d) below. Allocates: up to 16 sums of d x d, 4 matrices of d x d, tiles of 64 rows
/// a task; for n < d also a copy of the features. Same bits for every executor and layout. Source: Ma, Derksen, Hong,
/// Wright, PAMI 2007; Yu et al., NeurIPS 2020, arXiv 2006.08558, eq. 4.
template <executor Exec, real_matrix Features, real_output Grad>
coding_rate_result coding_rate(Exec&& ex, const Features& features, Grad&& feature_grad,
                               const coding_rate_options& options = {}) {
  using T = arithmetic_t<typename detail::input_view_t<Features>::value_type>;
  constexpr const char* name = "coding_rate";
  detail::require_eps_squared(name, options.eps_squared, view(features).extent(1));
  const double unit = detail::per_nat(options.unit);
  const bool slope = options.eps_squared_grad || !std::is_same_v<std::remove_cvref_t<Grad>, discard_output>;
  const detail::rate_request ask{name, options.eps_squared, 1, unit, 0, slope};
  const detail::engine_terms terms = detail::engine_terms_of<T>(ex, ask, features, nullptr, feature_grad, {}, {});
  return {unit * terms.rate, -unit * terms.trace / (2 * options.eps_squared)};
}
/// As above, on the calling thread.
template <real_matrix Features, real_output Grad>
coding_rate_result coding_rate(const Features& features, Grad&& feature_grad, const coding_rate_options& options = {}) {
  return coding_rate(seq, features, feature_grad, options);
}
/// As above, the value alone.
template <real_matrix Features>
coding_rate_result coding_rate(const Features& features, const coding_rate_options& options = {}) {
  return coding_rate(seq, features, discard, options);
}

}  // namespace weakly::inline v0
