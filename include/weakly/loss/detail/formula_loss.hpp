// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/math.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/softmax_rows.hpp>
#include <weakly/core/view.hpp>
#include <weakly/loss/loss_labels.hpp>
#include <weakly/loss/row_loss.hpp>

#include <cmath>
#include <limits>
#include <string_view>

namespace weakly::inline v0::detail {

/// What a loss of these logits computes with.
template <class Logits>
using loss_number = arithmetic_t<typename input_view_t<Logits>::value_type>;

/// Throws option_error unless `ok`, which a NaN never is.
inline void require_option(std::string_view function, std::string_view option, double value, bool ok,
                           std::string_view domain) {
  if (!ok) fail<option_error>(function, ": ", option, " is ", value, "; give ", domain);
}

/// Throws option_error where a temperature, or its inverse, is no normal number of the arithmetic T.
template <class T>
void require_temperature(std::string_view function, double temperature, std::string_view option = "temperature") {
  constexpr double limit = sizeof(T) == 4 ? 0x1p100 : 0x1p900;
  if (!(temperature >= 1 / limit && temperature <= limit))
    fail<option_error>(function, ": ", option, " is ", temperature, "; the arithmetic of the scores takes ", 1 / limit,
                       " to ", limit);
}

/// Throws option_error where a power base^exponent of a loss, or its exponent, leaves the arithmetic T no room for what
/// it is multiplied with. The base may be off by some roundings.
template <class T>
void require_power(std::string_view function, std::string_view what, double base, double exponent) {
  constexpr double limit = sizeof(T) == 4 ? 0x1p40 : 0x1p400;
  const double power = std::pow(base * (1 + 4 * double(std::numeric_limits<T>::epsilon())), exponent);
  if (!(power <= limit))
    fail<option_error>(function, ": ", what, " is ", power, "; the arithmetic of the scores takes up to ", limit);
}

/// Throws shape_error where a loss that is 0/0 for a single class meets one.
template <class Logits>
void require_two_classes(std::string_view function, const Logits& logits) {
  const auto rows = as_rows(view(logits));
  const index_t n = rows.extent(0), k = rows.extent(1);
  if (n > 0 && k < 2)
    fail<shape_error>(function, ": logits have ", n, " rows of ", k, " classes; the loss is defined from 2 classes on");
}

/// A softmax loss under its own name, of the softmax of logits / temperature. The gradient of the formula is written as
/// it is: where the temperature is not one, the formula divides by it.
template <executor Exec, class Logits, class Loss, class Grad, class Formula>
void formula_loss(std::string_view function, Exec& ex, const Logits& logits, const loss_labels& labels, Loss& loss,
                  Grad& grad, const Formula& formula, double temperature = 1) {
  using T = loss_number<Logits>;
  const auto rows = as_rows(view(logits));
  const index_t n = rows.extent(0), k = rows.extent(1);
  softmax_scores<T> scores;
  scores.logits = row_source<T>(rows);
  require_temperature<T>(function, temperature);
  scores.temperature = static_cast<T>(temperature);
  run_softmax_loss(function, ex, scores, n, labels, value_sink<T>(function, "loss", loss, n),
                   gradient_sink<T>(function, grad, n, k), formula);
}

}  // namespace weakly::inline v0::detail
