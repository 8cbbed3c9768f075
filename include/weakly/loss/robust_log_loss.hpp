// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/executor.hpp>
#include <weakly/loss/detail/formula_loss.hpp>
#include <weakly/loss/detail/row_softmax.hpp>
#include <weakly/loss/row_loss.hpp>

#include <algorithm>
#include <cmath>
#include <limits>

namespace weakly::inline v0 {

struct robust_log_loss_options {
  double a = 0.1;  ///< positive
};

namespace detail {

template <class T>
struct robust_log_loss_rule {
  T a;

  T operator()(const row_softmax<T>& row) const {
    using batch = simd::batch<T>;
    const batch inverse = row.inverse(), b = a;
    const T share = T(1) / static_cast<T>(row.classes() - 1);
    const T p = row.p(), q = row.q();
    T logs = 0, mean = 0;  // over the other classes; mean is that of d loss / d p under p
    row.read([&](index_t, const T* e, index_t count) {
      logs += sum_batches(e, count, [&](batch v) { return simd::log1p(v * inverse / b); });
      mean += sum_batches(e, count, [&](batch v) { return v * inverse / (b + v * inverse); });
    });
    mean *= share;
    const T of_label = T(-1) / (a + p);
    row.write([&](index_t column, const T* e, index_t count, T* g) {
      map_batches(e, count, g, [&, s = batch(share), m = batch(mean + of_label * p)](batch v) {
        const batch prob = v * inverse;
        return prob * (s / (b + prob) - m);
      });
      if (const index_t at = row.label_in(column, count); at >= 0) g[at] = p * (of_label * q - mean);
    });
    return share * logs - std::log1p(-q / (a + 1));
  }
};

}  // namespace detail

/// Robust log loss, which is bounded where the label is all but excluded.
///
///     loss(i) = log((a + 1) / a) - log(a + p(label(i))) + 1 / (k - 1) sum over j != label(i) of log(a + p(j))
///     p = softmax(logits(i))
///
/// Zero where p is the one-hot label. Arguments, special values and errors as softmax_loss, and option_error unless a
/// is positive and finite. k < 2 is 0/0 and throws shape_error. As published in arXiv 2107.09957.
template <executor Exec, score_tensor Logits, loss_output Loss, loss_output Grad>
void robust_log_loss(Exec&& ex, const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad,
                     const robust_log_loss_options& options = {}) {
  using T = detail::loss_number<Logits>;
  constexpr auto name = "robust_log_loss";
  detail::require_option(name, "a", options.a, options.a > 0 && std::isfinite(options.a), "a positive finite number");
  detail::require_two_classes(name, logits);
  const T a = std::max(static_cast<T>(options.a), std::numeric_limits<T>::min());
  detail::whole_row_loss(name, ex, logits, &labels, loss, grad, detail::robust_log_loss_rule<T>{a});
}
template <score_tensor Logits, loss_output Loss, loss_output Grad>
void robust_log_loss(const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad,
                     const robust_log_loss_options& options = {}) {
  robust_log_loss(seq, logits, labels, loss, grad, options);
}

}  // namespace weakly::inline v0
