// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/labels.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>
#include <weakly/em/candidate_sets.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <type_traits>

namespace weakly::inline v0 {

/// How likely a candidate set S is, given the true class c, where the set itself is noisy; T(c, l) = P(l | c).
enum class set_likelihood : std::uint8_t {
  product,  ///< prod over l in S of T(c, l): no distribution over sets, so losses of sets of other sizes do not compare
  sum,      ///< sum over l in S of T(c, l): the set was built around one noisy label
  inclusion  ///< prod over l in S of T(c, l) times prod over l not in S of 1 - T(c, l); rows of T need not sum to one
};

/// What is known of the true labels of a batch, in whatever form: for row i the likelihood of what was observed given
/// each class c. Made by the functions below; holds views, which must outlive it.
class observations {
 public:
  index_t rows() const { return rows_; }
  index_t classes() const { return classes_; }

  /// The weights of whole rows, one row after the other, and the scale of each; malformed rows are reported.
  template <class T>
  void weights_of_rows(index_t first, index_t rows, T* weight, T* log_scale, status& malformed) const {
    if (form_ == form::set) {
      std::fill_n(log_scale, rows, T(0));
      sets_.marks_of_rows(first, rows, weight, malformed);
      return;
    }
    for (index_t r = 0; r < rows; ++r)
      if (!weights(first + r, 0, classes_, weight + r * classes_, log_scale[r])) malformed.report(first + r);
  }

  /// weight[j] is the likelihood of the observation of `row` given class column + j, divided by exp(log_scale), in
  /// [0, 1]. False, with weights of zero, for an observation that is malformed: a label outside [0, k) or a bad set.
  template <class T>
  bool weights(index_t row, index_t column, index_t count, T* weight, T& log_scale) const {
    log_scale = 0;
    switch (form_) {
      case form::nothing:
        std::fill_n(weight, count, T(1));
        return true;
      case form::label:
      case form::not_label: {
        const index_t label = label_(*this, row);
        if (label == absent_ && has_absent_) {
          std::fill_n(weight, count, T(1));
          return true;
        }
        const bool good = detail::is_label(label, classes_);
        std::fill_n(weight, count, good && form_ == form::not_label ? T(1) : T(0));
        if (good && label >= column && label < column + count)
          weight[label - column] = form_ == form::label ? T(1) : T(0);
        return good;
      }
      case form::set:
        if (!sets_.valid(row)) break;
        sets_.marks(row, column, count, weight);
        return true;
      case form::noisy_label: {
        const index_t label = label_(*this, row);
        if (label == absent_ && has_absent_) {
          std::fill_n(weight, count, T(1));
          return true;
        }
        if (!detail::is_label(label, classes_)) break;
        const T* const t = by_label<T>().part(label, column, count, weight);
        if (t != weight) std::copy_n(t, count, weight);
        return true;
      }
      case form::noisy_set:
        if (!sets_.valid(row)) break;
        noisy_set(row, column, count, weight, log_scale);
        return true;
      case form::given: {
        const T* const t = by_label<T>().part(row, column, count, weight);
        if (t != weight) std::copy_n(t, count, weight);
        return true;
      }
      case form::mixture: {
        const index_t part = label_(*this, row);
        if (part < 0 || part >= static_cast<index_t>(parts_.size())) break;
        return parts_[static_cast<std::size_t>(part)].weights(row, column, count, weight, log_scale);
      }
    }
    std::fill_n(weight, count, T(0));
    return false;
  }

 private:
  enum class form : std::uint8_t { nothing, label, not_label, set, noisy_label, noisy_set, given, mixture };

  friend observations nothing_observed(index_t rows, index_t classes);
  template <class L>
  friend observations observed_labels(const L& labels, index_t classes);
  template <class L>
  friend observations complementary_labels(const L& labels, index_t classes);
  friend observations observed_sets(const candidate_sets& sets);
  template <class L, class M>
  friend observations noisy_labels_observed(const L& labels, const M& transition);
  template <class M>
  friend observations noisy_sets_observed(const candidate_sets& sets, const M& transition, set_likelihood likelihood);
  template <class M>
  friend observations observed_likelihoods(const M& likelihood);
  template <class L>
  friend observations mixed_observations(const L& kind, std::span<const observations> parts);

  template <class T>
  const detail::row_source<T>& by_label() const {
    if constexpr (std::is_same_v<T, float>)
      return single_;
    else
      return wide_;
  }
  // Logarithms, with the greatest of all classes taken out: a product of many small factors must not vanish.
  template <class T>
  void noisy_set(index_t row, index_t column, index_t count, T* weight, T& log_scale) const {
    constexpr index_t block = 512;
    double top = -std::numeric_limits<double>::infinity(), of_block[std::size_t(block)];
    for (index_t c = 0; c < classes_; c += block) {
      const index_t some = std::min(block, classes_ - c);
      log_likelihoods(row, c, some, of_block);
      top = std::max(top, simd::max(static_cast<const double*>(of_block), some));
    }
    const bool possible = top > -std::numeric_limits<double>::infinity();
    if (possible) log_scale = static_cast<T>(top);
    for (index_t j = 0; j < count; j += block) {
      const index_t some = std::min(block, count - j);
      if (column + j != 0 || some != classes_) log_likelihoods(row, column + j, some, of_block);
      for (index_t i = 0; i < some; ++i) weight[j + i] = possible ? static_cast<T>(std::exp(of_block[i] - top)) : T(0);
    }
  }

  // to[j] = log P(set of `row` | class column + j) for count <= 512, the factors of a class in ascending order.
  void log_likelihoods(index_t row, index_t column, index_t count, double* to) const {
    using batch = simd::batch<double>;
    constexpr index_t block = 512;
    const bool sums = likelihood_ == set_likelihood::sum;
    double mark[std::size_t(block)], buffer[std::size_t(block)];
    std::fill_n(to, count, 0.0);
    for (index_t first = 0; first < classes_; first += block) {
      const index_t labels = std::min(block, classes_ - first);
      sets_.marks(row, first, labels, mark);
      for (index_t l = 0; l < labels; ++l) {
        const bool member = mark[l] != 0;
        if (!member && likelihood_ != set_likelihood::inclusion) continue;
        const double* const t = wide_.part(first + l, column, count, buffer);
        for (index_t j = 0; j < count; j += batch::size) {
          const index_t some = std::min(batch::size, count - j);
          const batch x = simd::load_partial(t + j, some);
          const batch term = sums ? x : member ? simd::log(x) : simd::log1p(-x);
          simd::store_partial(to + j, some, simd::load_partial(static_cast<const double*>(to) + j, some) + term);
        }
      }
    }
    if (!sums) return;
    for (index_t j = 0; j < count; ++j) to[j] = std::log(to[j]);
  }

  template <class L>
  void read_labels(const L& labels) {
    const auto v = view(labels);
    using Label = typename decltype(v)::value_type;
    labels_ = v.data();
    stride_ = v.stride(0);
    rows_ = v.extent(0);
    label_ = [](const observations& o, index_t row) {
      return static_cast<index_t>(static_cast<const Label*>(o.labels_)[row * o.stride_]);
    };
  }

  template <class M>
  void read_transposed(const M& m) {
    const auto v = view(m);
    const matrix_view<const typename decltype(v)::value_type> t(v.data(), {v.extent(1), v.extent(0)},
                                                                {v.stride(1), v.stride(0)});
    single_ = detail::row_source<float>(t);
    wide_ = detail::row_source<double>(t);
  }

  form form_ = form::nothing;
  set_likelihood likelihood_ = set_likelihood::product;
  bool has_absent_ = false;
  index_t absent_ = -1;
  index_t rows_ = 0;
  index_t classes_ = 0;
  const void* labels_ = nullptr;
  index_t stride_ = 0;
  index_t (*label_)(const observations&, index_t) = nullptr;
  candidate_sets sets_;
  detail::row_source<float> single_;  // row l holds T(., l), so that what a noisy label needs lies together
  detail::row_source<double> wide_;
  std::span<const observations> parts_;
};

/// Nothing is known: every class is as likely as the model says.
inline observations nothing_observed(index_t rows, index_t classes) {
  observations o;
  o.rows_ = rows;
  o.classes_ = classes;
  return o;
}

/// labels  n  the true labels; -1 where nothing is known
template <class L>
observations observed_labels(const L& labels, index_t classes) {
  static_assert(label_vector<L>, "labels are a vector of integers");
  observations o;
  o.read_labels(labels);
  o.form_ = observations::form::label;
  o.classes_ = classes;
  o.has_absent_ = true;
  return o;
}

/// labels  n  a label that is not the true one; -1 where nothing is known
template <class L>
observations complementary_labels(const L& labels, index_t classes) {
  observations o = observed_labels(labels, classes);
  o.form_ = observations::form::not_label;
  return o;
}

/// Sets that hold the true label.
inline observations observed_sets(const candidate_sets& sets) {
  observations o;
  o.form_ = observations::form::set;
  o.rows_ = sets.rows();
  o.classes_ = sets.classes();
  o.sets_ = sets;
  return o;
}

/// labels      n      what was observed; -1 where nothing was
/// transition  k x k  T(c, l) = P(observed l | true c), in [0, 1]. Read by columns: fastest where those are contiguous.
///
/// Throws shape_error unless the matrix is square.
template <class L, class M>
observations noisy_labels_observed(const L& labels, const M& transition) {
  static_assert(label_vector<L> && real_matrix<M>, "labels are integers, the transition matrix is real");
  detail::require_extent("noisy_labels_observed: transition", view(transition), 1, view(transition).extent(0));
  observations o;
  o.read_labels(labels);
  o.read_transposed(transition);
  o.form_ = observations::form::noisy_label;
  o.classes_ = view(transition).extent(0);
  o.has_absent_ = true;
  return o;
}

/// Sets that may miss the true label. Throws shape_error unless the matrix is k x k. O(k^2) a row.
template <class M>
observations noisy_sets_observed(const candidate_sets& sets, const M& transition, set_likelihood likelihood) {
  static_assert(real_matrix<M>, "the transition matrix is a real matrix");
  detail::require_extent("noisy_sets_observed: transition", view(transition), 0, sets.classes());
  detail::require_extent("noisy_sets_observed: transition", view(transition), 1, sets.classes());
  observations o = observed_sets(sets);
  o.read_transposed(transition);
  o.form_ = observations::form::noisy_set;
  o.likelihood_ = likelihood;
  return o;
}

/// likelihood  n x k  P(observation of row i | true class c), in [0, 1], whatever it comes from
template <class M>
observations observed_likelihoods(const M& likelihood) {
  static_assert(real_matrix<M>, "likelihoods are a real matrix");
  const auto v = view(likelihood);
  observations o;
  o.single_ = detail::row_source<float>(v);
  o.wide_ = detail::row_source<double>(v);
  o.form_ = observations::form::given;
  o.rows_ = v.extent(0);
  o.classes_ = v.extent(1);
  return o;
}

/// Row i is observed as row i of parts[kind(i)] is; each part covers all rows. Throws shape_error where parts disagree
/// in rows or classes, or there is none.
template <class L>
observations mixed_observations(const L& kind, std::span<const observations> parts) {
  static_assert(label_vector<L>, "kinds are a vector of integers");
  observations o;
  o.read_labels(kind);
  o.form_ = observations::form::mixture;
  o.parts_ = parts;
  if (parts.empty()) detail::fail<shape_error>("mixed_observations: no parts; give at least one");
  o.classes_ = parts[0].classes();
  for (const observations& part : parts)
    if (part.rows() != o.rows_ || part.classes() != o.classes_)
      detail::fail<shape_error>("mixed_observations: a part has ", part.rows(), " rows of ", part.classes(),
                                " classes, others ", o.rows_, " of ", o.classes_,
                                "; every part covers the whole batch");
  return o;
}

}  // namespace weakly::inline v0
