// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/executor.hpp>
#include <weakly/core/math.hpp>
#include <weakly/loss/detail/formula_loss.hpp>
#include <weakly/loss/row_loss.hpp>

#include <cmath>
#include <string_view>

namespace weakly::inline v0 {

struct asymmetric_generalized_cross_entropy_options {
  double a = 3;    ///< positive
  double q = 1.5;  ///< positive
};

namespace detail {

struct asymmetric_generalized_cross_entropy_formula {
  double a, q;

  template <class V>
  WEAKLY_HD softmax_gradient<V> operator()(const label_softmax<V>& row) const {
    using math::expm1_nonpositive;
    using std::exp;
    using std::log;
    using std::log1p;
    // ((a + 1)^q - (a + p)^q) / q without the difference.
    const V ratio = log1p(-row.q * math::constant<V>(1 / (a + 1)));
    const V value = expm1_nonpositive(ratio * math::constant<V>(q)) * math::constant<V>(-std::pow(a + 1, q) / q);
    const V slope = -row.p * exp(log(math::constant<V>(a) + row.p) * math::constant<V>(q - 1));
    return loss_of_probability(row, value, slope);
  }
};

template <class T>
void require_domain(std::string_view function, const asymmetric_generalized_cross_entropy_options& options) {
  require_temperature<T>(function, options.a, "a");
  require_temperature<T>(function, options.q, "q");
  require_power<T>(function, "(a + 1)^q", options.a + 1, options.q);
}
inline asymmetric_generalized_cross_entropy_formula formula_of(
    const asymmetric_generalized_cross_entropy_options& options) {
  return {options.a, options.q};
}

}  // namespace detail

/// Asymmetric generalised cross-entropy.
///
///     loss(i) = ((a + 1)^q - (a + p)^q) / q,   p = softmax(logits(i))(label(i))
///
/// Arguments, special values and errors as softmax_loss, and option_error unless a and q lie in [2^-100, 2^100] and
/// (a + 1)^q is at most 2^40; for double, 2^-900, 2^900 and 2^400.
/// Zhou et al., ICML 2021 (arXiv 2106.03110), definition 3.
template <executor Exec, score_tensor Logits, loss_output Loss, loss_output Grad>
void asymmetric_generalized_cross_entropy(Exec&& ex, const Logits& logits, const loss_labels& labels, Loss&& loss,
                                          Grad&& grad,
                                          const asymmetric_generalized_cross_entropy_options& options = {}) {
  detail::require_domain<detail::loss_number<Logits>>("asymmetric_generalized_cross_entropy", options);
  detail::formula_loss("asymmetric_generalized_cross_entropy", ex, logits, labels, loss, grad,
                       detail::formula_of(options));
}
template <score_tensor Logits, loss_output Loss, loss_output Grad>
void asymmetric_generalized_cross_entropy(const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad,
                                          const asymmetric_generalized_cross_entropy_options& options = {}) {
  asymmetric_generalized_cross_entropy(seq, logits, labels, loss, grad, options);
}

}  // namespace weakly::inline v0
