// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/labels.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>
#include <vector>

namespace weakly::inline v0 {

namespace detail {

/// Memberships turned over: the rows of each class in ascending order, with their weights.
struct class_rows {
  index_t n = 0;
  index_t k = 0;
  bool hard = false;           // every row belongs to one class with weight one, and `weight` is empty
  std::vector<index_t> begin;  // k + 1
  std::vector<index_t> row;    // of entries with a weight above zero, class after class
  std::vector<double> weight;
  std::vector<index_t> entry;  // where the entry was given; empty unless the list was sparse
  std::vector<double> mass;    // k, sums of weights

  index_t size(index_t c) const { return begin[std::size_t(c) + 1] - begin[std::size_t(c)]; }
};

}  // namespace detail

/// To which of k classes each of n rows belongs: by label, by a dense n x k matrix, or by lists. Holds views.
///
///     rate_reduction(features, membership_view::hard(label, k))
///     rate_reduction(features, membership_view::soft(probabilities))
///     rate_reduction(features, membership_view::sparse(begin, classes, weights, k))
///
/// Weights are zero or more and those of a row add up to one within `tolerance`. Entries of weight zero take no part.
class membership_view {
 public:
  static constexpr double tolerance =
      1e-4;  ///< a softmax in float keeps its sums to 1e-6; bfloat16 needs renormalising

  /// label  n  integers in [0, k)
  template <label_vector Labels>
  static membership_view hard(const Labels& label, index_t k) {
    const auto v = view(label);
    membership_view m(kind::hard, v.extent(0), k);
    m.label_ = indices(v);
    return m;
  }

  /// weight  n x k
  template <real_matrix Weights>
  static membership_view soft(const Weights& weight) {
    const auto v = view(weight);
    membership_view m(kind::soft, v.extent(0), v.extent(1));
    m.weight_ = detail::row_source<double>(v);
    return m;
  }

  /// Compressed rows: entries begin(i) up to begin(i + 1) are those of row i, classes in any order; repeats add up.
  ///
  /// begin    n + 1  ascending from 0 to the number of entries
  /// classes  m      in [0, k)
  /// weight   m
  template <label_vector Begin, label_vector Classes, real_vector Weights>
  static membership_view sparse(const Begin& begin, const Classes& classes, const Weights& weight, index_t k) {
    const auto b = view(begin);
    const auto c = view(classes);
    if (b.extent(0) < 1)
      detail::fail<shape_error>("membership_view::sparse: begin is empty; n rows need n + 1 offsets");
    detail::require_extent("membership_view::sparse: weight", view(weight), 0, c.extent(0));
    membership_view m(kind::sparse, b.extent(0) - 1, k);
    m.begin_ = indices(b);
    m.label_ = indices(c);
    m.weight_ = detail::row_source<double>(as_rows(view(weight)));
    m.entries_ = c.extent(0);
    return m;
  }

  index_t rows() const { return n_; }
  index_t classes() const { return k_; }
  bool is_sparse() const { return kind_ == kind::sparse; }
  /// How many entries a sparse list has.
  index_t entries() const { return entries_; }

  /// Throws what by_class throws. O(n), or the number of entries; allocates nothing.
  void require(std::string_view function) const {
    for_members(function, [](index_t, index_t, double) {});
  }
  /// f(row, class, weight) for the entries whose weight is above zero, row after row. Throws as `require`, which need
  /// not have been called, but in the midst.
  template <class F>
  void for_members(std::string_view function, F f) const {
    if (kind_ == kind::sparse) require_offsets(function);
    for_entries(function, false, [&](index_t i, index_t c, double w, index_t) { f(i, c, w); });
  }

  /// The rows of each class, by a stable counting sort; `with_zeros` keeps entries of weight zero. Throws shape_error,
  /// label_error and value_error with the row that is at fault. O(n + k), or the number of entries; allocates what it
  /// returns.
  detail::class_rows by_class(std::string_view function, bool with_zeros = false) const {
    detail::class_rows out;
    out.n = n_;
    out.k = k_;
    out.hard = kind_ == kind::hard;
    out.begin.assign(static_cast<std::size_t>(k_) + 1, 0);
    out.mass.assign(static_cast<std::size_t>(k_), 0.0);
    if (kind_ == kind::sparse) require_offsets(function);
    for_entries(function, with_zeros, [&](index_t, index_t c, double, index_t) { ++out.begin[std::size_t(c) + 1]; });
    for (std::size_t c = 0; c < std::size_t(k_); ++c) out.begin[c + 1] += out.begin[c];
    const auto total = static_cast<std::size_t>(out.begin.back());
    out.row.resize(total);
    if (!out.hard) out.weight.resize(total);
    if (kind_ == kind::sparse) out.entry.resize(total);
    std::vector<index_t> next(out.begin.begin(), out.begin.end() - 1);
    for_entries(function, with_zeros, [&](index_t i, index_t c, double w, index_t e) {
      const auto at = static_cast<std::size_t>(next[std::size_t(c)]++);
      out.row[at] = i;
      if (!out.hard) out.weight[at] = w;
      if (kind_ == kind::sparse) out.entry[at] = e;
      out.mass[std::size_t(c)] += w;
    });
    return out;
  }

 private:
  enum class kind : std::uint8_t { hard, soft, sparse };

  // Integers of any width and stride; what no index_t holds becomes negative.
  struct index_source {
    const void* data = nullptr;
    index_t stride = 0;
    index_t (*read)(const index_source&, index_t) = nullptr;
    index_t operator()(index_t i) const { return read(*this, i); }
  };
  template <class Label>
  static index_source indices(const vector_view<const Label>& v) {
    return {v.data(), v.stride(0), [](const index_source& s, index_t i) {
              return static_cast<index_t>(static_cast<const Label*>(s.data)[i * s.stride]);
            }};
  }

  membership_view(kind how, index_t n, index_t k) : kind_(how), n_(n), k_(k) {
    if (k < 0) detail::fail<option_error>("membership_view: k = ", k, " classes; give zero or more");
  }

  void require_offsets(std::string_view function) const {
    index_t before = begin_(0);
    bool sound = before == 0;
    index_t i = 0;
    for (; sound && i < n_; ++i) {
      const index_t next = begin_(i + 1);
      sound = next >= before && next <= entries_;
      before = next;
    }
    if (!sound || before != entries_)
      detail::fail<shape_error>(function, ": the offsets of sparse memberships must ascend from 0 to ", entries_,
                                ", the number of entries; offset ", i, " is ", begin_(i));
  }
  void require_class(std::string_view function, index_t c, index_t i) const {
    if (!detail::is_label(c, k_))
      detail::fail<label_error>(function, ": label ", c, " of row ", i, " is outside [0, ", k_, ")");
  }
  void require_weight(std::string_view function, double w, index_t i, index_t c) const {
    if (!(w >= 0 && std::isfinite(w)))
      detail::fail<value_error>(function, ": the weight of row ", i, " in class ", c, " is ", w,
                                "; memberships must be zero or more and finite");
  }
  void require_sum(std::string_view function, double sum, index_t i) const {
    if (!(std::abs(sum - 1) <= tolerance))
      detail::fail<value_error>(function, ": the memberships of row ", i, " add up to ", sum,
                                "; divide each row by its sum");
  }

  template <class F>
  void for_entries(std::string_view function, bool with_zeros, F f) const {
    if (kind_ == kind::hard) {
      for (index_t i = 0; i < n_; ++i) {
        const index_t c = label_(i);
        require_class(function, c, i);
        f(i, c, 1.0, i);
      }
      return;
    }
    constexpr index_t block = detail::row_blocks<double>::block;
    double buffer[std::size_t(block)];
    for (index_t i = 0; i < n_; ++i) {
      double sum = 0;
      const bool lists = kind_ == kind::sparse;
      const index_t first = lists ? begin_(i) : 0, last = lists ? begin_(i + 1) : k_;
      for (index_t e = first; e < last; e += block) {
        const index_t count = last - e < block ? last - e : block;
        const double* const w = weight_.part(lists ? 0 : i, e, count, buffer);
        for (index_t j = 0; j < count; ++j) {
          const index_t c = lists ? label_(e + j) : e + j;
          if (lists) require_class(function, c, i);
          require_weight(function, w[j], i, c);
          sum += w[j];
          if (w[j] > 0 || with_zeros) f(i, c, w[j], e + j);
        }
      }
      require_sum(function, sum, i);
    }
  }

  kind kind_;
  index_t n_;
  index_t k_;
  index_t entries_ = 0;
  index_source label_, begin_;
  detail::row_source<double> weight_;
};

}  // namespace weakly::inline v0
