// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/executor.hpp>
#include <weakly/core/math.hpp>
#include <weakly/loss/asymmetric_generalized_cross_entropy.hpp>
#include <weakly/loss/asymmetric_unhinged.hpp>
#include <weakly/loss/detail/formula_loss.hpp>
#include <weakly/loss/normalized_cross_entropy.hpp>
#include <weakly/loss/reverse_cross_entropy.hpp>
#include <weakly/loss/row_loss.hpp>

#include <type_traits>

namespace weakly::inline v0 {

struct active_passive_options {
  double active = 5;   ///< alpha, weight of normalised cross-entropy; not negative
  double passive = 5;  ///< beta, weight of the other loss; not negative
};

/// The options of a loss that active_passive takes: of reverse_cross_entropy, asymmetric_generalized_cross_entropy or
/// asymmetric_unhinged.
template <class X>
concept passive_loss = requires(const X& options) {
  detail::require_domain<float>("", options);
  detail::formula_of(options);
};

namespace detail {

template <class Passive>
struct active_passive_formula {
  static constexpr bool uses_total = true;
  double active, passive;
  Passive loss;

  template <class V>
  WEAKLY_HD softmax_gradient<V> operator()(const label_softmax<V>& row) const {
    const V alpha = math::constant<V>(active), beta = math::constant<V>(passive);
    const softmax_gradient<V> a = normalized_cross_entropy_formula{}(row), b = loss(row);
    return {alpha * a.value + beta * b.value, alpha * a.scale + beta * b.scale, alpha * a.offset + beta * b.offset,
            alpha * a.at_label + beta * b.at_label};
  }
};

}  // namespace detail

/// Normalised cross-entropy, which pulls the label up, and a loss that pushes the others down, in one pass.
///
///     loss(i) = active NCE(i) + passive other(i)
///
///     active_passive(logits, label, loss, grad, asymmetric_unhinged_options{.a = 6}, {.active = 9, .passive = 1})
///
/// other  which loss, by its options; reverse_cross_entropy_options{2} makes it mean_absolute_error
///
/// Otherwise arguments, special values and errors as softmax_loss, and option_error for weights outside
/// [0, 2^25] (double: 2^100) and for what the other loss refuses. k < 2 throws shape_error. Ma et al., ICML 2020 (arXiv
/// 2006.13554); Zhou et al., ICML 2021 (arXiv 2106.03110).
template <executor Exec, score_tensor Logits, loss_output Loss, loss_output Grad, passive_loss Passive>
void active_passive(Exec&& ex, const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad,
                    const Passive& other, const active_passive_options& options = {}) {
  constexpr auto name = "active_passive";
  using T = detail::loss_number<Logits>;
  const auto weight = [](double w) { return w >= 0 && w <= (sizeof(T) == 4 ? 0x1p25 : 0x1p100); };
  constexpr auto domain = sizeof(T) == 4 ? "a weight from 0 to 2^25" : "a weight from 0 to 2^100";
  detail::require_option(name, "active", options.active, weight(options.active), domain);
  detail::require_option(name, "passive", options.passive, weight(options.passive), domain);
  detail::require_domain<T>(name, other);
  detail::require_two_classes(name, logits);
  const auto formula = detail::formula_of(other);
  using formula_type = detail::active_passive_formula<std::remove_const_t<decltype(formula)>>;
  detail::formula_loss(name, ex, logits, labels, loss, grad, formula_type{options.active, options.passive, formula});
}
template <score_tensor Logits, loss_output Loss, loss_output Grad, passive_loss Passive>
void active_passive(const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad, const Passive& other,
                    const active_passive_options& options = {}) {
  active_passive(seq, logits, labels, loss, grad, other, options);
}

}  // namespace weakly::inline v0
