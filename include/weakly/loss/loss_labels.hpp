// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/labels.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <type_traits>

namespace weakly::inline v0 {

/// Labels [...]: host integers of any width, one for each row of scores.
template <class X>
concept label_tensor = on_host<X> && std::is_integral_v<typename detail::input_view_t<X>::value_type> &&
    !std::is_same_v<typename detail::input_view_t<X>::value_type, bool>;

/// The labels of a batch for a loss, with what each row weighs. Made implicitly from a tensor of labels; holds views.
///
///     cross_entropy(logits, loss_labels(label).ignore(-100).weights(w), loss, grad)
///
/// The loss and the gradient of row i are multiplied by weights(i) class_weights(label(i)), each of them one where not
/// given. A row that weighs zero, and one whose label is the ignored one, has loss and gradient zero whatever its
/// scores are.
///
/// Weights are zero or more and finite in the arithmetic of the scores; all of them may be zero. A row that weighs
/// anything else is treated like a label outside [0, k): the loss writes zeros there, finishes all other rows and then
/// throws value_error. Weights of ignored rows are not looked at.
class loss_labels {
 public:
  template <label_tensor Labels>
  loss_labels(const Labels& labels) {
    const auto v = detail::as_column(view(labels));
    using Label = typename decltype(v)::value_type;
    data_ = v.data();
    rows_ = v.extent(0);
    stride_ = v.stride(0);
    read_ = &read<Label>;
  }

  index_t rows() const { return rows_; }

  /// Leaves out the rows with this label, which may lie outside [0, k).
  loss_labels ignore(std::int64_t label) const {
    loss_labels result = *this;
    result.ignores_ = true;
    result.ignored_ = label;
    return result;
  }

  /// w  a number for each row. Throws shape_error.
  template <class Weights>
    requires(on_host<Weights>&& is_real_v<typename detail::input_view_t<Weights>::value_type>)
  loss_labels weights(const Weights& w)
  const {
    const auto v = detail::as_column(view(w));
    detail::require_extent("loss_labels::weights", v, 0, rows_);
    loss_labels result = *this;
    result.weights_ = detail::row_source<double>(v);
    return result;
  }

  /// w  k numbers
  template <real_vector Weights>
  loss_labels class_weights(const Weights& w) const {
    const auto v = view(w);
    loss_labels result = *this;
    result.class_weights_ = detail::row_source<double>(as_rows(v));
    return result;
  }

  /// Throws shape_error unless there are n labels and, where given, k class weights, and value_error for a class weight
  /// that is negative or not finite. O(k) with class weights.
  void require(std::string_view function, index_t n, index_t k) const {
    if (rows_ != n)
      detail::fail<shape_error>(function, ": ", rows_, " labels for ", n, " rows of logits; give one for each row");
    if (!class_weights_.empty() && class_weights_.columns() != k)
      detail::fail<shape_error>(function, ": ", class_weights_.columns(), " class weights for ", k, " classes");
    for (index_t j = 0; !class_weights_.empty() && j < k; ++j)
      if (const double c = class_weights_.at(0, j); !(c >= 0 && c <= std::numeric_limits<double>::max()))
        detail::fail<value_error>(function, ": class weight ", c, " of class ", j,
                                  "; class weights must be zero or more and finite");
  }

  /// Labels and weights of `count` rows, and whether any of them may weigh zero. A label outside [0, k) that is not
  /// ignored is reported; it and ignored ones come out as label 0 of weight 0. So is a weight that is negative or not
  /// finite in T, which comes out as 0.
  template <class T>
  bool fetch(index_t first, index_t count, index_t k, index_t* label, T* weight, status& bad) const {
    read_(*this, first, count, label);
    std::fill_n(weight, count, T(1));
    bool usual = !ignores_;
    for (index_t r = 0; r < count; ++r) usual &= detail::is_label(label[r], k);
    for (index_t r = 0; !usual && r < count; ++r) {
      const bool ignored = ignores_ && label[r] == ignored_;
      if (detail::is_label(label[r], k) && !ignored) continue;
      if (!ignored) bad.report(first + r);
      label[r] = 0;
      weight[r] = 0;
    }
    constexpr index_t block = 64;
    double buffer[std::size_t(block)];
    for (index_t start = 0; !weights_.empty() && start < count; start += block) {
      const index_t some = std::min(block, count - start);
      const double* const given = weights_.rows(first + start, some, buffer);
      for (index_t r = 0; r < some; ++r)
        if (weight[start + r] != T(0)) weight[start + r] = static_cast<T>(given[r]);
    }
    if (!class_weights_.empty())
      for (index_t r = 0; r < count; ++r)
        if (weight[r] != T(0)) weight[r] *= static_cast<T>(class_weights_.at(0, label[r]));
    if (has_weights()) refuse_weights(first, count, weight, bad);
    return !usual || has_weights();
  }

  bool has_weights() const { return !weights_.empty() || !class_weights_.empty(); }

  /// What a row with a label in [0, k) weighs.
  double weight_of(index_t row) const {
    const double w = weights_.empty() ? 1 : weights_.at(row, 0);
    return class_weights_.empty() ? w : w * class_weights_.at(0, at(row));
  }

  /// Whether the label of a row is the one that leaves rows out.
  bool ignored(index_t row) const { return ignores_ && at(row) == ignored_; }

  /// The label of a row as it is stored; one beyond the range of index_t as a negative number.
  std::int64_t at(index_t row) const {
    index_t label;
    read_(*this, row, 1, &label);
    return label;
  }

 private:
  template <class T>
  static void refuse_weights(index_t first, index_t count, T* weight, status& bad) {
    bool usual = true;
    for (index_t r = 0; r < count; ++r) usual &= (weight[r] >= T(0)) & (weight[r] <= std::numeric_limits<T>::max());
    for (index_t r = 0; !usual && r < count; ++r) {
      if (weight[r] >= T(0) && weight[r] <= std::numeric_limits<T>::max()) continue;
      bad.report(first + r);
      weight[r] = 0;
    }
  }

  template <class Label>
  static void read(const loss_labels& from, index_t first, index_t count, index_t* to) {
    const Label* const label = static_cast<const Label*>(from.data_) + first * from.stride_;
    if (from.stride_ == 1)
      for (index_t r = 0; r < count; ++r) to[r] = static_cast<index_t>(label[r]);
    else
      for (index_t r = 0; r < count; ++r) to[r] = static_cast<index_t>(label[r * from.stride_]);
  }

  const void* data_ = nullptr;
  index_t rows_ = 0;
  index_t stride_ = 0;
  void (*read_)(const loss_labels&, index_t, index_t, index_t*) = nullptr;
  bool ignores_ = false;
  std::int64_t ignored_ = 0;
  detail::row_source<double> weights_;
  detail::row_source<double> class_weights_;
};

}  // namespace weakly::inline v0
