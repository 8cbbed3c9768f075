// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/exact_sum.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/labels.hpp>
#include <weakly/core/matrix.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace weakly::inline v0 {

namespace detail {

inline void require_smoothing(std::string_view function, double smoothing) {
  if (!(smoothing >= 0 && std::isfinite(smoothing)))
    fail<option_error>(function, ": smoothing is ", smoothing, "; it must be zero or more, and finite");
}

/// A power of two that keeps sums of such counts from overflowing; 1 unless they are near that.
inline double count_unit(double greatest) { return greatest > 0x1p900 ? 0x1p-100 : 1; }

inline void require_count(std::string_view function, index_t c, index_t l, double count) {
  if (!(count >= 0 && std::isfinite(count)))
    fail<value_error>(function, ": the count of class ", c, " and label ", l, " is ", count,
                      "; counts are finite and not negative");
}

template <class Previous>
matrix<double> transition_of(const matrix<double>& counts, double smoothing, Previous previous) {
  const index_t k = counts.rows();
  require_smoothing("transition_matrix", smoothing);
  matrix<double> t(k, k);
  for (index_t c = 0; c < k; ++c) {
    double greatest = smoothing, sum = 0;
    for (index_t l = 0; l < k; ++l) {
      require_count("transition_matrix", c, l, counts(c, l));
      greatest = std::max(greatest, counts(c, l));
    }
    const double unit = count_unit(greatest);
    for (index_t l = 0; l < k; ++l) sum += unit * counts(c, l);
    const double all = sum + static_cast<double>(k) * (unit * smoothing);
    for (index_t l = 0; l < k; ++l) t(c, l) = all > 0 ? (unit * counts(c, l) + unit * smoothing) / all : previous(c, l);
  }
  return t;
}

template <class Counts>
matrix<double> counts_of(const Counts& counts) {
  const auto v = view(counts);
  require_extent("transition_matrix: counts", v, 1, v.extent(0));
  matrix<double> m(v.extent(0), v.extent(0));
  for (index_t c = 0; c < m.rows(); ++c)
    for (index_t l = 0; l < m.cols(); ++l) m(c, l) = convert_real<double>(v(c, l));
  return m;
}

}  // namespace detail

/// Transition matrix from expected counts: the exact M-step of a noisy-label model.
///
///     T(c, l) = P(observed l | true c) = (N(c, l) + smoothing) / sum over m of (N(c, m) + smoothing)
///
/// counts    k x k  N(c, l): how much of class c was seen under label l; finite, not negative
/// previous  k x k  whose row is kept for a class that has no counts, where smoothing is 0; left out, it is uniform
///
/// Throws shape_error, value_error, option_error for negative smoothing. O(k^2), which it allocates, on the calling
/// thread. Source: Dawid and Skene, Applied Statistics 1979; Bekker and Goldberger, ICASSP 2016.
template <real_matrix Counts>
matrix<double> transition_matrix(const Counts& counts, double smoothing = 0) {
  const matrix<double> n = detail::counts_of(counts);
  return detail::transition_of(n, smoothing, [k = n.rows()](index_t, index_t) { return 1 / static_cast<double>(k); });
}
template <real_matrix Counts, real_matrix Previous>
matrix<double> transition_matrix(const Counts& counts, const Previous& previous, double smoothing = 0) {
  const matrix<double> n = detail::counts_of(counts);
  const auto before = view(previous);
  detail::require_extent("transition_matrix: previous", before, 0, n.rows());
  detail::require_extent("transition_matrix: previous", before, 1, n.rows());
  return detail::transition_of(n, smoothing,
                               [&](index_t c, index_t l) { return detail::convert_real<double>(before(c, l)); });
}

/// Distribution of classes from expected counts: (counts(c) + smoothing) / sum of them; uniform where there is nothing.
/// Throws value_error for counts that are negative or not finite, option_error. O(k).
inline std::vector<double> class_prior(std::span<const double> counts, double smoothing = 0) {
  detail::require_smoothing("class_prior", smoothing);
  double greatest = smoothing, sum = 0;
  for (std::size_t c = 0; c < counts.size(); ++c) {
    if (!(counts[c] >= 0 && std::isfinite(counts[c])))
      detail::fail<value_error>("class_prior: the count of class ", c, " is ", counts[c],
                                "; counts are finite and not negative");
    greatest = std::max(greatest, counts[c]);
  }
  const double unit = detail::count_unit(greatest);
  for (const double n : counts) sum += unit * n;
  const auto k = static_cast<double>(counts.size());
  const double all = sum + k * (unit * smoothing);
  std::vector<double> prior;
  for (const double n : counts) prior.push_back(all > 0 ? (unit * n + unit * smoothing) / all : 1 / k);
  return prior;
}

/// Running average of counts, in place: running = momentum running + (1 - momentum) batch. Average counts, not the
/// matrices made from them: a class that a batch does not have would be dragged towards what stands for nothing.
///
/// running, batch  k x k  finite, not negative
///
/// Throws shape_error; option_error unless momentum is in [0, 1); value_error naming the first count of the batch that
/// is negative or not finite, before anything changes. O(k^2), allocates nothing.
template <real_matrix Batch>
void average_counts(matrix<double>& running, const Batch& batch, double momentum) {
  const auto b = view(batch);
  detail::require_extent("average_counts: batch", b, 0, running.rows());
  detail::require_extent("average_counts: batch", b, 1, running.cols());
  if (!(momentum >= 0 && momentum < 1))
    detail::fail<option_error>("average_counts: momentum is ", momentum, "; it must lie in [0, 1)");
  for (index_t c = 0; c < running.rows(); ++c)
    for (index_t l = 0; l < running.cols(); ++l)
      detail::require_count("average_counts", c, l, detail::convert_real<double>(b(c, l)));
  for (index_t c = 0; c < running.rows(); ++c)
    for (index_t l = 0; l < running.cols(); ++l)
      running(c, l) = momentum * running(c, l) + (1 - momentum) * detail::convert_real<double>(b(c, l));
}

/// Expected counts of true classes under observed labels, from posteriors over the true class.
///
///     N(c, l) = sum over rows i labelled l of posterior(i, c)
///
/// Sums are exact, so that every order, batch size, merge tree and executor gives the same bits. State: 4 k (k + 1)
/// integers in one flat buffer that merges by addition. Allocates at construction only.
class transition_estimator {
 public:
  /// Throws shape_error unless there is a class.
  explicit transition_estimator(index_t classes) : classes_(classes) {
    if (classes < 1)
      detail::fail<shape_error>("transition_estimator: ", classes, " classes; there must be one at least");
    state_.resize(static_cast<std::size_t>(parts * classes * (classes + 1)));
  }

  index_t classes() const { return classes_; }

  /// Adds a batch.
  ///
  /// posterior  n x k  probabilities of the true class (label_posterior.hpp)
  /// labels     n      observed, in [0, k); -1 where nothing was: such a row counts in class_counts alone
  ///
  /// Returns the rows that were left out because an entry is NaN or outside [0, 1 + 1e-6], as are those whose
  /// observation is impossible. Throws shape_error, or label_error, before anything is added. O(n k).
  template <executor Exec, real_matrix Posterior, label_vector Labels>
  status add(Exec&& ex, const Posterior& posterior, const Labels& labels) {
    const auto y = view(labels);
    const index_t n = y.extent(0), k = classes_;
    detail::require_extent("transition_estimator::add: posterior", view(posterior), 0, n);
    detail::require_extent("transition_estimator::add: posterior", view(posterior), 1, k);
    for (index_t i = 0; i < n; ++i)
      if (const auto label = static_cast<index_t>(y(i)); label != -1 && !detail::is_label(label, k))
        detail::fail<label_error>("transition_estimator::add: label ", label, " of row ", i, " is outside [0, ", k,
                                  "); give -1 where nothing was observed");
    const detail::row_source<double> q(view(posterior));
    detail::shared_status rejected;
    for (index_t start = 0; start < n; start += at_once) {
      for_row_chunks(ex, std::min(at_once, n - start), k, [&](index_t first, index_t last) {
        add_rows(
            q, start + first, start + last, [&](index_t i) { return static_cast<index_t>(y(i)); }, rejected);
      });
      normalise();
    }
    return rejected.load();
  }
  template <real_matrix Posterior, label_vector Labels>
  status add(const Posterior& posterior, const Labels& labels) {
    return add(seq, posterior, labels);
  }

  /// Adds what `other` has counted. Throws shape_error where it has another number of classes. O(k^2).
  void merge(const transition_estimator& other) {
    if (other.classes_ != classes_)
      detail::fail<shape_error>("transition_estimator::merge: ", classes_, " and ", other.classes_, " classes");
    for (std::size_t i = 0; i < state_.size(); ++i) state_[i] += other.state_[i];
    normalise();
  }

  /// N, k x k: row the true class, column the label; each sum rounded once.
  matrix<double> counts() const {
    matrix<double> n(classes_, classes_);
    for (index_t c = 0; c < classes_; ++c)
      for (index_t l = 0; l < classes_; ++l) n(c, l) = cell(l, c).mean(1);
    return n;
  }
  /// Sum of the posterior of each class over all rows, labelled or not.
  std::vector<double> class_counts() const {
    std::vector<double> sums;
    for (index_t c = 0; c < classes_; ++c) {
      detail::exact_sum sum;
      for (index_t l = 0; l <= classes_; ++l) sum.merge(cell(l, c));
      sums.push_back(sum.mean(1));
    }
    return sums;
  }

  /// transition_matrix of the counts.
  matrix<double> finish(double smoothing = 0) const { return transition_matrix(counts(), smoothing); }
  template <real_matrix Previous>
  matrix<double> finish(const Previous& previous, double smoothing = 0) const {
    return transition_matrix(counts(), previous, smoothing);
  }

  std::span<std::int64_t> state() { return state_; }
  std::span<const std::int64_t> state() const { return state_; }

 private:
  static constexpr index_t parts = 4;
  static constexpr index_t small = 16;                  // classes of which a chunk has a table of its own
  static constexpr index_t at_once = index_t(1) << 18;  // rows after which sums are normalised (exact_sum.hpp)

  detail::exact_sum cell(index_t label, index_t c) const {
    const std::int64_t* const p = state_.data() + parts * (label * classes_ + c);
    return {p[0], p[1], p[2], p[3]};
  }

  void normalise() {
    for (index_t i = 0; i < static_cast<index_t>(state_.size()); i += parts) {
      std::int64_t* const p = state_.data() + i;
      detail::exact_sum s{p[0], p[1], p[2], p[3]};
      s.normalise();
      p[0] = s.whole;
      p[1] = s.high;
      p[2] = s.middle;
      p[3] = s.low;
    }
  }

  static void share(std::int64_t* to, std::int64_t x) {
    if (x != 0) detail::atomic_add(*to, x);
  }

  template <class Label>
  void add_rows(const detail::row_source<double>& q, index_t first, index_t last, Label label,
                detail::shared_status& rejected) {
    constexpr index_t block = 512;
    const index_t k = classes_;
    const bool own = k <= small;
    std::int64_t table[std::size_t(parts * small * (small + 1))] = {};
    double buffer[std::size_t(block)];
    for (index_t i = first; i < last; ++i) {
      bool good = true;
      for (index_t c = 0; c < k; c += block) {
        const index_t count = std::min(block, k - c);
        const double* const p = q.part(i, c, count, buffer);
        for (index_t j = 0; j < count; ++j) good &= p[j] >= 0 && p[j] <= 1 + 1e-6;
      }
      if (!good) {
        rejected.merge({i, 1});
        continue;
      }
      const index_t l = label(i) == -1 ? k : label(i);
      for (index_t c = 0; c < k; c += block) {
        const index_t count = std::min(block, k - c);
        const double* const p = q.part(i, c, count, buffer);
        std::int64_t* const to = (own ? table : state_.data()) + parts * (l * k + c);
        for (index_t j = 0; j < count; ++j) {
          if (p[j] == 0) continue;
          detail::exact_sum s;
          s.add(p[j]);
          const std::int64_t part[] = {s.whole, s.high, s.middle, s.low};
          for (index_t u = 0; u < parts; ++u) {
            if (own)
              to[parts * j + u] += part[u];
            else
              share(to + parts * j + u, part[u]);
          }
        }
      }
    }
    if (!own) return;
    for (index_t i = 0; i < parts * k * (k + 1); ++i) share(state_.data() + i, table[i]);
  }

  index_t classes_;
  std::vector<std::int64_t> state_;
};

}  // namespace weakly::inline v0
