// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/softmax_rows.hpp>
#include <weakly/core/view.hpp>
#include <weakly/loss/detail/delta_row.hpp>
#include <weakly/loss/loss_labels.hpp>
#include <weakly/loss/loss_margins.hpp>
#include <weakly/loss/row_loss.hpp>

#include <string_view>

namespace weakly::inline v0::detail {

/// A loss of delta(j) = (f(j) - f(label)) + c(j) with a row function of its own: value = f(delta_row, row number),
/// which also writes the gradient of the row.
template <executor Exec, class Logits, class Loss, class Grad, class F>
void delta_loss(std::string_view function, Exec& ex, const Logits& logits, const loss_labels& labels,
                const loss_margins& margin, Loss& loss, Grad& grad, const F& f) {
  using T = arithmetic_t<typename input_view_t<Logits>::value_type>;
  const auto rows = as_rows(view(logits));
  const index_t n = rows.extent(0), k = rows.extent(1);
  margin.require<T>(function, n, k);
  softmax_scores<T> scores;
  scores.logits = row_source<T>(rows);
  margin.give_to(scores);
  run_row_loss(function, ex, scores.logits, n, labels, value_sink<T>(function, "loss", loss, n),
               gradient_sink<T>(function, grad, n, k),
               [&](const row_blocks<T>& row, index_t label) { return f(delta_row<T>(scores, row, label), row.row()); });
}

/// Throws option_error unless 1 <= top < k.
inline void require_top(std::string_view function, index_t top, index_t k) {
  if (k > 0 && !(top >= 1 && top < k))
    fail<option_error>(function, ": top is ", top, "; it must be at least 1 and below the ", k, " classes");
}

}  // namespace weakly::inline v0::detail
