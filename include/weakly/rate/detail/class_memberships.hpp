// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/labels.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string_view>

namespace weakly::inline v0::detail {

/// How far a row of memberships may be from adding up to one: the rounding of bfloat16 is below it.
inline constexpr double membership_slack = 1e-2;

/// Which classes rows belong to, and how much, in whatever form and type it is stored: one label a row, a matrix
/// Pi (n x k), or lists as a compressed sparse matrix has them. Holds views.
class class_memberships {
 public:
  template <class Labels>
  static class_memberships of_labels(const Labels& labels) {
    class_memberships m;
    m.form_ = form::labels;
    m.rows_ = view(labels).extent(0);
    m.classes_of_ = integers(view(labels));
    return m;
  }
  template <class Weights>
  static class_memberships of_matrix(const Weights& weights) {
    class_memberships m;
    m.form_ = form::matrix;
    m.rows_ = view(weights).extent(0);
    m.columns_ = view(weights).extent(1);
    m.weights_ = row_source<double>(view(weights));
    return m;
  }
  template <class Begin, class Classes, class Weights>
  static class_memberships of_lists(std::string_view function, const Begin& row_begin, const Classes& classes,
                                    const Weights& weights) {
    class_memberships m;
    m.form_ = form::lists;
    m.begin_ = integers(view(row_begin));
    m.classes_of_ = integers(view(classes));
    const auto w = view(weights);
    m.weights_ = row_source<double>(
        tensor_view<const typename decltype(w)::value_type, 2>(w.data(), {w.extent(0), 1}, {w.stride(0), 1}));
    if (m.begin_.count == 0)
      fail<shape_error>(function, ": row_begin is empty; it has one entry more than there are rows");
    if (m.classes_of_.count != w.extent(0))
      fail<shape_error>(function, ": ", m.classes_of_.count, " classes and ", w.extent(0), " weights");
    m.rows_ = m.begin_.count - 1;
    return m;
  }

  index_t rows() const { return rows_; }
  bool are_labels() const { return form_ == form::labels; }
  bool is_matrix() const { return form_ == form::matrix; }
  index_t label(index_t i) const { return classes_of_.at(i); }

  /// f(class, weight) for the classes of a row whose weight is not zero.
  template <class F>
  void for_classes(index_t i, F f) const {
    switch (form_) {
      case form::labels:
        f(label(i), 1.0);
        break;
      case form::matrix:
        for (index_t c = 0; c < columns_; ++c)
          if (const double w = weights_.at(i, c); w != 0) f(c, w);
        break;
      case form::lists:
        for (index_t e = begin_.at(i); e < begin_.at(i + 1); ++e)
          if (const double w = weights_.at(e, 0); w != 0) f(classes_of_.at(e), w);
        break;
    }
  }

  /// The weight of a row in a class, of labels or a matrix.
  double weight(index_t i, index_t c) const { return are_labels() ? (label(i) == c ? 1.0 : 0.0) : weights_.at(i, c); }

  /// Throws shape_error, label_error or value_error that names the first bad row, unless there are n rows of k classes,
  /// none negative, that add up to one. Looks at everything.
  template <class Exec>
  void require(std::string_view function, Exec& ex, index_t n, index_t k) const {
    if (rows_ != n)
      fail<shape_error>(function, ": ", rows_, are_labels() ? " labels" : " rows of memberships", " for ", n,
                        " rows of features");
    if (form_ == form::matrix && columns_ != k && n > 0)
      fail<shape_error>(function, ": memberships have ", columns_, " columns for ", k, " classes");
    shared_status bad;
    for_row_chunks(ex, n, [&](index_t first, index_t last) {
      for (index_t i = first; i < last; ++i)
        if (!is_good(i, k)) {
          bad.merge({i, 1});
          break;
        }
    });
    if (!bad.load().ok()) refuse(function, bad.load().first_bad_row, k);
  }

 private:
  enum class form : std::uint8_t { labels, matrix, lists };

  // A vector of integers of any type.
  struct integer_vector {
    const void* data = nullptr;
    index_t stride = 0;
    index_t count = 0;
    index_t (*read)(const void*, index_t) = nullptr;

    index_t at(index_t i) const { return read(data, i * stride); }
  };
  template <class V>
  static integer_vector integers(const V& v) {
    using T = typename V::value_type;
    return {v.data(), v.stride(0), v.extent(0), [](const void* data, index_t offset) {
              // What does not fit a signed word is no label: it becomes one that is none either.
              return static_cast<index_t>(static_cast<const T*>(data)[offset]);
            }};
  }

  bool has_good_bounds(index_t i) const {
    const index_t begin = begin_.at(i), end = begin_.at(i + 1);
    return begin >= 0 && begin <= end && end <= classes_of_.count;
  }
  bool is_good(index_t i, index_t k) const {
    if (are_labels()) return is_label(label(i), k);
    if (form_ == form::lists) {
      if (!has_good_bounds(i)) return false;
      for (index_t e = begin_.at(i); e < begin_.at(i + 1); ++e)
        if (!is_label(classes_of_.at(e), k)) return false;
    }
    double sum = 0;
    bool good = true;
    for_classes(i, [&](index_t, double w) {
      good = good && w > 0;
      sum += w;
    });
    return good && std::abs(sum - 1) <= membership_slack;
  }
  [[noreturn]] void refuse(std::string_view function, index_t i, index_t k) const {
    if (are_labels()) fail<label_error>(function, ": label ", label(i), " of row ", i, " is outside [0, ", k, ")");
    if (form_ == form::lists) {
      if (!has_good_bounds(i))
        fail<shape_error>(function, ": row ", i, " has the entries from ", begin_.at(i), " to ", begin_.at(i + 1),
                          " of ", classes_of_.count, "; row_begin ascends and stays within the lists");
      for (index_t e = begin_.at(i); e < begin_.at(i + 1); ++e)
        if (!is_label(classes_of_.at(e), k))
          fail<label_error>(function, ": entry ", e, " of row ", i, " is of class ", classes_of_.at(e),
                            ", outside [0, ", k, ")");
    }
    double sum = 0;
    for_classes(i, [&](index_t c, double w) {
      if (!(w > 0))
        fail<value_error>(function, ": the membership of row ", i, " in class ", c, " is ", w,
                          "; memberships are not negative");
      sum += w;
    });
    fail<value_error>(function, ": the memberships of row ", i, " add up to ", sum, " instead of 1");
  }

  form form_ = form::labels;
  index_t rows_ = 0;
  index_t columns_ = 0;
  integer_vector classes_of_, begin_;
  row_source<double> weights_;
};

}  // namespace weakly::inline v0::detail
