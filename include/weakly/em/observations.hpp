// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/detail/map_batches.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/half.hpp>
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
#include <string>
#include <string_view>
#include <type_traits>

namespace weakly::inline v0 {

namespace detail {

/// Whether all elements lie in [0, 1].
template <class T>
bool are_likelihoods(const T* x, index_t count) {
  using batch = simd::batch<T>;
  auto good = simd::first_lanes<T>(batch::size);
  for_batches<T>(count, [&](auto at) {
    const batch b = at.load(x);
    good = good & (b >= batch(T(0))) & (b <= batch(T(1)));
  });
  return simd::all(good);
}

/// Throws value_error for the first row with an entry outside [0, 1] or, where `adds_up`, with a sum far above one:
/// rounding, that of bfloat16 included, stays below a hundredth.
template <class S>
void require_transition(std::string_view function, const matrix_view<S>& m, bool adds_up) {
  using T = arithmetic_t<std::remove_const_t<S>>;
  constexpr index_t block = 512;
  const bool by_column = !adds_up && m.stride(0) < m.stride(1);
  const row_source<T> rows(by_column ? matrix_view<S>(m.data(), {m.extent(1), m.extent(0)}, {m.stride(1), m.stride(0)})
                                     : m);
  const index_t n = by_column ? m.extent(1) : m.extent(0), k = rows.columns();
  T buffer[std::size_t(block)];
  for (index_t i = 0; i < n; ++i) {
    double sum = 0;
    for (index_t j = 0; j < k; j += block) {
      const index_t count = std::min(block, k - j);
      const T* const x = rows.part(i, j, count, buffer);
      if (!are_likelihoods(x, count)) {
        index_t at = 0;
        while (x[at] >= T(0) && x[at] <= T(1)) ++at;
        fail<value_error>(function, ": transition(", by_column ? j + at : i, ", ", by_column ? i : j + at, ") is ",
                          static_cast<double>(x[at]), "; T(c, l) = P(l | c) lies in [0, 1]");
      }
      if (adds_up) sum += static_cast<double>(simd::sum(x, count));
    }
    if (sum > 1.01)
      fail<value_error>(function, ": row ", i, " of transition sums to ", sum,
                        "; with set_likelihood::sum it is a distribution over labels, which sums to one at most");
  }
}

}  // namespace detail

/// How likely a candidate set S is, given the true class c, where the set itself is noisy; T(c, l) = P(l | c). Of an
/// empty set `product` says nothing (likelihood 1), `inclusion` that all labels stayed out, `sum` that it is
/// impossible.
enum class set_likelihood : std::uint8_t {
  product,  ///< prod over l in S of T(c, l): no distribution over sets, so losses of sets of other sizes do not compare
  sum,      ///< sum over l in S of T(c, l), at most one: the set was built around one noisy label
  inclusion  ///< prod over l in S of T(c, l) times prod over l not in S of 1 - T(c, l); rows of T need not sum to one
};

/// What is found once a row, before its likelihoods are read block by block: start with one of these for each row.
struct observed_row {
  bool looked_at = false;
  bool well_formed = false;
  bool scaled = false;
  double log_scale = 0;  ///< of weights, at most zero
};

/// What is known of the true labels of a batch, in whatever form: for row i the likelihood of what was observed given
/// each class c. Made by the functions below; holds views, which must outlive it. Reading allocates nothing.
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
    for (index_t r = 0; r < rows; ++r) {
      observed_row found;
      if (!weights(first + r, 0, classes_, weight + r * classes_, found)) malformed.report(first + r);
      log_scale[r] = static_cast<T>(found.log_scale);
    }
  }

  /// weight[j] is the likelihood of the observation of `row` given class column + j, divided by exp(found.log_scale),
  /// in [0, 1], rounded to T. False, with weights of zero, for an observation that is malformed: a label or kind out of
  /// range, a bad set, a likelihood outside [0, 1]. What holds for the whole row is left in `found` for its other
  /// columns. O(count), for a noisy set O(|S| count) and O(|S| k) once.
  template <class T>
  bool weights(index_t row, index_t column, index_t count, T* weight, observed_row& found) const {
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
        if (!well_formed(row, found)) break;
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
        if (!well_formed(row, found)) break;
        noisy_set(row, column, count, weight, found);
        return true;
      case form::given: {
        if (!well_formed(row, found)) break;
        const T* const t = by_label<T>().part(row, column, count, weight);
        if (t != weight) std::copy_n(t, count, weight);
        return true;
      }
      case form::mixture: {
        const index_t part = label_(*this, row);
        if (part < 0 || part >= static_cast<index_t>(parts_.size())) break;
        return parts_[static_cast<std::size_t>(part)].weights(row, column, count, weight, found);
      }
    }
    std::fill_n(weight, count, T(0));
    return false;
  }

  /// to[j] = log of the likelihood itself, at most zero, -inf where it is zero: nothing is scaled or rounded to float.
  /// A malformed observation has none. Cost as for `weights`, with nothing once a noisy set.
  void log_likelihoods(index_t row, index_t column, index_t count, double* to, observed_row& found) const {
    if (form_ == form::mixture) {
      const index_t part = label_(*this, row);
      if (part >= 0 && part < static_cast<index_t>(parts_.size()))
        parts_[static_cast<std::size_t>(part)].log_likelihoods(row, column, count, to, found);
      else
        std::fill_n(to, count, -std::numeric_limits<double>::infinity());
      return;
    }
    if (form_ == form::noisy_set && well_formed(row, found)) {
      for (index_t j = 0; j < count; j += block) noisy_set_logs(row, column + j, std::min(block, count - j), to + j);
      return;
    }
    using batch = simd::batch<double>;
    weights(row, column, count, to, found);
    detail::map_batches(static_cast<const double*>(to), count, to, [](batch weight) {
      const auto one = weight == batch(1.0), none = weight <= batch(0.0);
      const batch of_marks = simd::select(one, batch(0.0), -std::numeric_limits<double>::infinity());
      return simd::all(one | none) ? of_marks : simd::select(one | none, of_marks, simd::log(weight));
    });
  }

  /// Whether the observation of a row makes sense. O(1) for labels, else as for a row of the sets or likelihoods.
  bool well_formed(index_t row) const {
    observed_row found;
    double none = 0;
    return weights(row, 0, 0, &none, found);
  }
  /// Why the observation of a row is malformed, for an error message; empty where it is not.
  std::string why_malformed(index_t row) const {
    switch (form_) {
      case form::label:
      case form::not_label:
      case form::noisy_label: {
        const index_t label = label_(*this, row);
        if ((label == absent_ && has_absent_) || detail::is_label(label, classes_)) break;
        return "its label is " + std::to_string(label) + "; labels lie in [0, " + std::to_string(classes_) +
               "), or are -1 where nothing is known";
      }
      case form::set:
      case form::noisy_set:
        if (sets_.valid(row)) break;
        return "lists hold labels in [0, " + std::to_string(classes_) +
               "), ascending without repeats, their offsets run forward, and bits beyond the last class are zero";
      case form::given:
        for (index_t c = 0; c < classes_; ++c)
          if (const double x = wide_.at(row, c); !(x >= 0 && x <= 1))
            return "its likelihood of class " + std::to_string(c) + " is " + detail::to_text(x) +
                   "; likelihoods lie in [0, 1], divide a row by its greatest where they are densities";
        break;
      case form::mixture: {
        const index_t part = label_(*this, row);
        if (part >= 0 && part < static_cast<index_t>(parts_.size()))
          return parts_[static_cast<std::size_t>(part)].why_malformed(row);
        return "its kind is " + std::to_string(part) + "; kinds number the " + std::to_string(parts_.size()) +
               " parts of the mixture from 0";
      }
      case form::nothing:
        break;
    }
    return {};
  }

 private:
  static constexpr index_t block = 512;
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
  bool well_formed(index_t row, observed_row& found) const {
    if (found.looked_at) return found.well_formed;
    found.looked_at = true;
    if (form_ != form::given) return found.well_formed = sets_.valid(row);
    double buffer[std::size_t(block)];
    found.well_formed = true;
    for (index_t j = 0; j < classes_; j += block) {
      const index_t count = std::min(block, classes_ - j);
      const bool good = single_.direct(row) != nullptr
                            ? detail::are_likelihoods(single_.direct(row) + j, count)
                            : detail::are_likelihoods(wide_.part(row, j, count, buffer), count);
      found.well_formed &= good;
    }
    return found.well_formed;
  }

  // Logarithms, with the greatest of all classes taken out: a product of many small factors must not vanish. What lies
  // so far below it that a weight of T is zero is there in log_likelihoods.
  template <class T>
  void noisy_set(index_t row, index_t column, index_t count, T* weight, observed_row& found) const {
    double of_block[std::size_t(block)];
    if (!found.scaled && count > 0) {
      found.scaled = true;
      found.log_scale = -std::numeric_limits<double>::infinity();
      for (index_t c = 0; c < classes_; c += block) {
        const index_t some = std::min(block, classes_ - c);
        noisy_set_logs(row, c, some, of_block);
        found.log_scale = std::max(found.log_scale, simd::max(static_cast<const double*>(of_block), some));
      }
      if (!(found.log_scale > -std::numeric_limits<double>::infinity())) found.log_scale = 0;  // nothing is possible
    }
    for (index_t j = 0; j < count; j += block) {
      const index_t some = std::min(block, count - j);
      if (classes_ > block || column != 0 || count != classes_) noisy_set_logs(row, column + j, some, of_block);
      for (index_t i = 0; i < some; ++i) weight[j + i] = static_cast<T>(std::exp(of_block[i] - found.log_scale));
    }
  }

  // to[j] = log P(set of `row` | class column + j) for count <= 512, the factors of a class in ascending order.
  void noisy_set_logs(index_t row, index_t column, index_t count, double* to) const {
    using batch = simd::batch<double>;
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
    for (index_t j = 0; j < count; ++j) to[j] = std::min(std::log(to[j]), 0.0);  // a row of T may round to above one
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

// The functions below keep views and copy nothing: O(1) unless they say otherwise, no allocation, and the same bits
// whatever type, layout or integer width what they are given has, up to its own rounding.

/// Nothing is known: every class is as likely as the model says, t(c) = 1.
inline observations nothing_observed(index_t rows, index_t classes) {
  observations o;
  o.rows_ = rows;
  o.classes_ = classes;
  return o;
}

/// labels  n  the true labels, t(c) = [c = y]; -1 where nothing is known
///
/// Labels are checked when they are read; one outside [0, k) is malformed.
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

/// labels  n  a label that is not the true one, t(c) = [c != y]; -1 where nothing is known
///
/// Labels are checked when they are read. Source: Ishida, Niu, Hu, Sugiyama, NeurIPS 2017.
template <class L>
observations complementary_labels(const L& labels, index_t classes) {
  observations o = observed_labels(labels, classes);
  o.form_ = observations::form::not_label;
  return o;
}

/// Sets that hold the true label, t(c) = [c in S]; an empty set is impossible. Sets are checked when they are read.
/// Source: Feng, Lv, Han et al., NeurIPS 2020.
inline observations observed_sets(const candidate_sets& sets) {
  observations o;
  o.form_ = observations::form::set;
  o.rows_ = sets.rows();
  o.classes_ = sets.classes();
  o.sets_ = sets;
  return o;
}

/// labels      n      what was observed, t(c) = T(c, l); -1 where nothing was
/// transition  k x k  T(c, l) = P(observed l | true c), in [0, 1]. Read by columns: fastest where those are contiguous.
///
/// Only the columns of observed labels count, so rows of T need not sum to one: a label may also have been lost. Throws
/// shape_error unless the matrix is square, value_error for an entry outside [0, 1]. O(k^2) here, O(k) a row. Source:
/// Patrini et al., CVPR 2017.
template <class L, class M>
observations noisy_labels_observed(const L& labels, const M& transition) {
  static_assert(label_vector<L> && real_matrix<M>, "labels are integers, the transition matrix is real");
  detail::require_extent("noisy_labels_observed: transition", view(transition), 1, view(transition).extent(0));
  detail::require_transition("noisy_labels_observed", view(transition), false);
  observations o;
  o.read_labels(labels);
  o.read_transposed(transition);
  o.form_ = observations::form::noisy_label;
  o.classes_ = view(transition).extent(0);
  o.has_absent_ = true;
  return o;
}

/// Sets that may miss the true label; `likelihood` says what t(c) is, of empty sets too.
///
/// transition  k x k  T(c, l), in [0, 1]; for `sum` a row sums to one at most, for the others it need not
///
/// Throws shape_error unless the matrix is k x k; value_error for an entry outside [0, 1] or, with `sum`, a row whose
/// sum exceeds 1.01 (one that rounds to above one counts as one). O(k^2) here; O(|S| k) a row, `inclusion` O(k^2), in
/// logarithms. Source: Chen, Shah, Wang et al., arXiv 2305.12715, 2023 (`product`).
template <class M>
observations noisy_sets_observed(const candidate_sets& sets, const M& transition, set_likelihood likelihood) {
  static_assert(real_matrix<M>, "the transition matrix is a real matrix");
  detail::require_extent("noisy_sets_observed: transition", view(transition), 0, sets.classes());
  detail::require_extent("noisy_sets_observed: transition", view(transition), 1, sets.classes());
  detail::require_transition("noisy_sets_observed", view(transition), likelihood == set_likelihood::sum);
  observations o = observed_sets(sets);
  o.read_transposed(transition);
  o.form_ = observations::form::noisy_set;
  o.likelihood_ = likelihood;
  return o;
}

/// likelihood  n x k  t(c) = P(observation of row i | true class c), in [0, 1], whatever it comes from; a row need not
///                    sum to one
///
/// Rows are checked when they are read: one with a NaN or an element outside [0, 1] is malformed.
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

/// Row i is observed as row i of parts[kind(i)] is; each part covers all rows. A kind that is no part is malformed,
/// which is seen when it is read. Throws shape_error where parts disagree in rows or classes, or there is none.
/// O(parts).
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

namespace detail {

/// Throws label_error that says what is wrong with the first malformed observation.
inline void require_well_formed(std::string_view function, const observations& observed, const status& bad,
                                std::string_view more = {}) {
  if (bad.ok()) return;
  fail<label_error>(function, ": the observation of row ", bad.first_bad_row, " is malformed (", bad.count,
                    bad.count == 1 ? " such row): " : " such rows): ", observed.why_malformed(bad.first_bad_row), more);
}

}  // namespace detail

}  // namespace weakly::inline v0
