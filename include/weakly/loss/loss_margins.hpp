// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/softmax_rows.hpp>
#include <weakly/core/view.hpp>

#include <cmath>
#include <limits>
#include <string_view>
#include <type_traits>

namespace weakly::inline v0 {

/// The margins c of the losses of delta(j) = (f(j) - f(label)) + c(j): one number, or views made by class_margins,
/// label_margins, margin_table and row_margins, which must outlive the call they are used in. They are computed with in
/// the type of the loss's arithmetic. A NaN or an infinity among them turns the rows that use it into NaN.
class loss_margins {
 public:
  /// c(j) = margin for every class but the label
  loss_margins(double margin = 0) : all_(margin) {}

  loss_margins(detail::margin_of kind, const detail::row_source<float>& single, const detail::row_source<double>& wide,
               index_t rows)
      : kind_(kind), single_(single), wide_(wide), rows_(rows) {}

  /// Throws option_error for a number that is not finite as a T, the type computed with, and shape_error where the
  /// views do not fit n rows of k classes.
  template <class T>
  void require(std::string_view function, index_t n, index_t k) const {
    using detail::margin_of;
    constexpr double greatest = static_cast<double>(std::numeric_limits<T>::max());
    if (!(std::abs(all_) <= greatest))
      detail::fail<option_error>(function, ": margin is ", all_, "; give a number of magnitude up to ", greatest);
    if (kind_ == margin_of::all) return;
    const index_t rows = kind_ == margin_of::row ? n : kind_ == margin_of::label_column ? k : 1;
    if (single_.columns() != k || rows_ != rows)
      detail::fail<shape_error>(function, ": margins of shape ", rows_, " x ", single_.columns(), " for ", n,
                                " rows of ", k, " classes; they must be ", rows, " x ", k);
  }

  /// Puts the margins into the scores of a kernel.
  template <class T>
  void give_to(detail::softmax_scores<T>& scores) const {
    scores.kind = kind_;
    scores.margin = static_cast<T>(all_);
    if constexpr (std::is_same_v<T, float>)
      scores.margins = single_;
    else
      scores.margins = wide_;
    if (kind_ == detail::margin_of::all && all_ == 0) scores.kind = detail::margin_of::none;
  }

 private:
  detail::margin_of kind_ = detail::margin_of::all;
  double all_ = 0;
  detail::row_source<float> single_;
  detail::row_source<double> wide_;
  index_t rows_ = 1;
};

namespace detail {

template <class M>
loss_margins margins_from(margin_of kind, const M& m) {
  return loss_margins(kind, row_source<float>(m), row_source<double>(m), m.extent(0));
}

}  // namespace detail

/// c(j) = v(j) for every class j but the label; v holds k numbers.
template <real_vector V>
loss_margins class_margins(const V& v) {
  return detail::margins_from(detail::margin_of::column, as_rows(view(v)));
}

/// c(j) = v(label) for every class j but the label; v holds k numbers.
template <real_vector V>
loss_margins label_margins(const V& v) {
  return detail::margins_from(detail::margin_of::label, as_rows(view(v)));
}

/// c(j) = m(label, j), the label's own entry included; m is k x k.
template <real_matrix M>
loss_margins margin_table(const M& m) {
  return detail::margins_from(detail::margin_of::label_column, view(m));
}

/// c(j) = m(i, j) in row i of the batch, the label's own entry included; m is n x k.
template <real_matrix M>
loss_margins row_margins(const M& m) {
  return detail::margins_from(detail::margin_of::row, view(m));
}

}  // namespace weakly::inline v0
