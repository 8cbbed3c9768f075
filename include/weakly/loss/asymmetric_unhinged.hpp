// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/executor.hpp>
#include <weakly/core/math.hpp>
#include <weakly/loss/detail/formula_loss.hpp>
#include <weakly/loss/row_loss.hpp>

#include <cmath>
#include <limits>
#include <string_view>

namespace weakly::inline v0 {

struct asymmetric_unhinged_options {
  double a = 6;    ///< at least 1
  double q = 1.5;  ///< positive
};

namespace detail {

struct asymmetric_unhinged_formula {
  double a, q;

  template <class V>
  WEAKLY_HD softmax_gradient<V> operator()(const label_softmax<V>& row) const {
    using math::expm1_nonpositive;
    using math::select;
    using std::exp;
    using std::log;
    using std::log1p;
    using T = typename math::detail::number_of<V>::type;
    const V gap = math::constant<V>(a - 1), exponent = math::constant<V>(q);
    if (static_cast<T>(a - 1) < std::numeric_limits<T>::min()) {
      // q(label)^(q - 1) may be large where q(label) is small; with the probabilities it multiplies it never is. Below
      // what exponentials of single classes can say, q(label) counts as zero.
      const auto certain = row.q <= row.classes * V(2 * simd::scaled_exp<T>::least_kept);
      const V log_others = log(select(certain, V(1), row.q));
      const V scale = select(certain, V(0), row.p * exp(log_others * (exponent - V(1))));
      const V value = select(certain, V(0), exp(log_others * exponent) * math::constant<V>(1 / q));
      return {value, scale, V(0), -scale * row.q};
    }
    // ((a - p)^q - (a - 1)^q) / q without the difference.
    const V log_base = log(gap + row.q);
    const V value = expm1_nonpositive(-exponent * log1p(row.q / gap)) * exp(log_base * exponent);
    return loss_of_probability(row, value * math::constant<V>(-1 / q), -row.p * exp(log_base * (exponent - V(1))));
  }
};

template <class T>
void require_domain(std::string_view function, const asymmetric_unhinged_options& options) {
  require_option(function, "a", options.a, options.a >= 1 && std::isfinite(options.a), "a finite number from 1 on");
  require_temperature<T>(function, options.a, "a");
  require_temperature<T>(function, options.q, "q");
  require_power<T>(function, "a^q", options.a, options.q);
}
inline asymmetric_unhinged_formula formula_of(const asymmetric_unhinged_options& options) {
  return {options.a, options.q};
}

}  // namespace detail

/// Asymmetric unhinged loss.
///
///     loss(i) = ((a - p)^q - (a - 1)^q) / q,   p = softmax(logits(i))(label(i))
///
/// Arguments, special values and errors as softmax_loss, and option_error unless a lies in [1, 2^100], q in
/// [2^-100, 2^100] and a^q is at most 2^40; for double, 2^900, 2^-900 and 2^400.
/// Zhou et al., ICML 2021 (arXiv 2106.03110), definition 4.
template <executor Exec, score_tensor Logits, loss_output Loss, loss_output Grad>
void asymmetric_unhinged(Exec&& ex, const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad,
                         const asymmetric_unhinged_options& options = {}) {
  detail::require_domain<detail::loss_number<Logits>>("asymmetric_unhinged", options);
  detail::formula_loss("asymmetric_unhinged", ex, logits, labels, loss, grad, detail::formula_of(options));
}
template <score_tensor Logits, loss_output Loss, loss_output Grad>
void asymmetric_unhinged(const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad,
                         const asymmetric_unhinged_options& options = {}) {
  asymmetric_unhinged(seq, logits, labels, loss, grad, options);
}

}  // namespace weakly::inline v0
