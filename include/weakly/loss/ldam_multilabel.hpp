// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/detail/logistic.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>
#include <weakly/loss/detail/count_vector.hpp>
#include <weakly/loss/detail/formula_loss.hpp>
#include <weakly/loss/row_loss.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <type_traits>
#include <vector>

namespace weakly::inline v0 {

/// Margins of classes for ldam_multilabel: scale counts(j)^(-1/4), and `scale` for a class without examples.
///
/// counts  k   finite numbers, not negative; else value_error
template <count_vector Counts>
std::vector<double> ldam_multilabel_margins(const Counts& counts, double scale = 3) {
  detail::require_option("ldam_multilabel_margins", "scale", scale, scale >= 0 && std::isfinite(scale),
                         "a finite number that is not negative");
  std::vector<double> margin = detail::counts_as_double(counts);
  for (std::size_t j = 0; j < margin.size(); ++j) {
    if (!(margin[j] >= 0 && std::isfinite(margin[j])))
      detail::fail<value_error>("ldam_multilabel_margins: class ", j, " has ", margin[j],
                                "; counts are finite and not negative");
    margin[j] = margin[j] == 0 ? scale : scale * std::pow(margin[j], -0.25);
  }
  return margin;
}

/// Binary cross-entropy of every class, after the scores of positive ones have given up their margins.
///
///     x(j) = logits(i, j) - margins(j) [positive(i, j)]
///     loss(i) = 1 / k sum over j of softplus(positive(i, j) ? -x(j) : x(j))
///     grad(i, j) = (sigmoid(x(j)) - [positive(i, j)]) / k
///
/// logits    [..., k]
/// positive  [..., k]  integers or booleans, nonzero where the class applies
/// margins   k         numbers, as from ldam_multilabel_margins
/// loss      [...]     or discard
/// grad      [..., k]  or discard; may be the storage of `logits`
///
/// A NaN or an infinity stays in its row. Throws shape_error where shapes disagree or k = 0. O(n k), allocates nothing.
/// Same bits for every executor and layout. Biswas et al., 2021 (arXiv 2104.10652), TransICD.
template <executor Exec, score_tensor Logits, on_host Positive, real_vector Margins, loss_output Loss, loss_output Grad>
  requires std::is_integral_v<typename detail::input_view_t<Positive>::value_type>
void ldam_multilabel(Exec&& ex, const Logits& logits, const Positive& positive, const Margins& margins, Loss&& loss,
                     Grad&& grad) {
  using T = detail::loss_number<Logits>;
  constexpr auto name = "ldam_multilabel";
  const auto rows = as_rows(view(logits));
  const auto mark = as_rows(view(positive));
  const index_t n = rows.extent(0), k = rows.extent(1);
  detail::require_same_shape("ldam_multilabel: logits and positive", rows, mark);
  detail::require_extent("ldam_multilabel: margins", view(margins), 0, k);
  const detail::row_sink<T> values = detail::value_sink<T>(name, "loss", loss, n);
  const detail::row_sink<T> gradients = detail::gradient_sink<T>(name, grad, n, k);
  if (n == 0) return;
  if (k == 0) detail::fail<shape_error>(name, ": logits have ", n, " rows of 0 classes; there must be at least one");
  const detail::row_source<T> from(rows), margin(as_rows(view(margins)));
  const T share = T(1) / static_cast<T>(k);
  for_row_chunks(ex, n, k, [&](index_t first, index_t last) {
    constexpr index_t block = detail::row_blocks<T>::block;
    T scores[std::size_t(block)], shifts[std::size_t(block)], sign[std::size_t(block)], out[std::size_t(block)];
    for (index_t i = first; i < last; ++i) {
      T sum = 0;
      for (index_t j = 0; j < k; j += block) {
        using batch = simd::batch<T>;
        const index_t count = std::min(block, k - j);
        const T* const x = from.part(i, j, count, scores);
        const T* const m = margin.part(0, j, count, shifts);
        for (index_t b = 0; b < count; ++b) {
          const bool is_positive = mark(i, j + b) != 0;
          sign[b] = is_positive ? T(-1) : T(1);
          out[b] = is_positive ? m[b] - x[b] : x[b];  // the score, with the sign that makes the loss softplus of it
        }
        T value[std::size_t(block)];
        for (index_t b = 0; b < count; b += batch::size) {
          const index_t some = std::min(batch::size, count - b);
          const auto z = detail::logistic_of(simd::load_partial(out + b, some));
          simd::store_partial(value + b, some, z.softplus_up);
          simd::store_partial(out + b, some, simd::load_partial(sign + b, some) * batch(share) * z.up);
        }
        sum += simd::sum(static_cast<const T*>(value), count);
        if (gradients.empty()) continue;
        gradients.put_part(i, j, count, out);
      }
      sum *= share;
      if (!values.empty()) values.put_rows(i, 1, &sum);
    }
  });
}
template <score_tensor Logits, on_host Positive, real_vector Margins, loss_output Loss, loss_output Grad>
  requires std::is_integral_v<typename detail::input_view_t<Positive>::value_type>
void ldam_multilabel(const Logits& logits, const Positive& positive, const Margins& margins, Loss&& loss, Grad&& grad) {
  ldam_multilabel(seq, logits, positive, margins, loss, grad);
}

}  // namespace weakly::inline v0
