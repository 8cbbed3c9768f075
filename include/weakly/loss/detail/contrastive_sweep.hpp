// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/workspace.hpp>
#include <weakly/loss/detail/kl_row.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>

namespace weakly::inline v0 {

/// Which entries of a square matrix of similarities belong together.
enum class contrastive_pairs : std::uint8_t {
  diagonal,  ///< row i and column i: two modalities, or queries and keys
  two_views  ///< i and i + n/2: both views of n/2 inputs stacked; the diagonal is nobody's negative
};

namespace detail {

inline index_t positive_of(index_t i, index_t n, contrastive_pairs pairs) {
  return pairs == contrastive_pairs::diagonal ? i : i < n / 2 ? i + n / 2 : i - n / 2;
}
inline index_t negatives_of(index_t n, contrastive_pairs pairs) {
  return pairs == contrastive_pairs::diagonal ? n - 1 : n - 2;
}

inline void require_pairs(std::string_view function, index_t n, index_t columns, contrastive_pairs pairs) {
  if (n != columns) fail<shape_error>(function, ": sim has ", n, " rows of ", columns, "; it must be square");
  if (n != 0 && negatives_of(n, pairs) < 1)
    fail<shape_error>(function, ": no anchor of ", n, " has a negative; give a larger batch");
  if (pairs == contrastive_pairs::two_views && n % 2 != 0)
    fail<shape_error>(function, ": two views of the same inputs are an even number of rows, not ", n);
}

/// The negatives of an anchor, added block by block: what tau log mean exp(h / tau) and its weights need. The numerics
/// are those of kl_row, for similarities that come in any number of pieces.
template <class T>
class negative_sums {
  using batch = simd::batch<T>;

 public:
  negative_sums() = default;
  negative_sums(T positive, T tau) : positive_(positive), tau_(tau) {}

  void add(const T* s, index_t count) {
    if (count == 0) return;
    const batch p = positive_, tau = tau_;
    batch high = -std::numeric_limits<T>::infinity(), low = std::numeric_limits<T>::infinity();
    alignas(64) T h[std::size_t(row_blocks<T>::block)], e[std::size_t(row_blocks<T>::block)];
    for (index_t j = 0; j < count; j += batch::size) {
      const index_t left = std::min(batch::size, count - j);
      const batch v = simd::load_partial(s + j, left) - p;
      const auto inside = simd::first_lanes<T>(left);
      simd::store_partial(h + j, left, v);
      high = simd::max(simd::select(inside, v, -std::numeric_limits<T>::infinity()), high);
      low = simd::min(simd::select(inside, v, std::numeric_limits<T>::infinity()), low);
    }
    low_ = std::min(low_, simd::reduce_min(low));
    total_ += double(simd::sum(static_cast<const T*>(h), count));
    count_ += count;
    raise(simd::reduce_max(high));

    const batch top = top_;
    for (index_t j = 0; j < count; j += batch::size) {
      const index_t left = std::min(batch::size, count - j);
      const batch z = (simd::load_partial(h + j, left) - top) / tau;
      const batch w = simd::exp_nonpositive(z);
      simd::store_partial(e + j, left, w);
      simd::store_partial(h + j, left, w * simd::max(batch(T(-1000)), z));  // 0 times -inf is none, NaN stays
    }
    weights_ += double(simd::sum(static_cast<const T*>(e), count));
    weighted_ += double(simd::sum(static_cast<const T*>(h), count));
  }

  /// Whether the terms would cancel, so that the negatives must be added once more by add_flat.
  bool is_flat() const { return top_ - low_ <= tau_ / T(2); }
  void start_flat() {
    centre_ = static_cast<T>(total_ / double(count_));
    weights_ = weighted_ = shift_ = 0;
  }
  void add_flat(const T* s, index_t count) {
    const batch p = positive_, tau = tau_, centre = centre_;
    alignas(64) T z_of[std::size_t(row_blocks<T>::block)], a[std::size_t(row_blocks<T>::block)],
        b[std::size_t(row_blocks<T>::block)];
    for (index_t j = 0; j < count; j += batch::size) {
      const index_t left = std::min(batch::size, count - j);
      const batch z = ((simd::load_partial(s + j, left) - p) - centre) / tau;
      const batch rest = exp_remainder(z);
      simd::store_partial(z_of + j, left, z);
      simd::store_partial(a + j, left, rest);
      simd::store_partial(b + j, left, z * (z + rest));
    }
    shift_ += double(simd::sum(static_cast<const T*>(z_of), count));
    weights_ += double(simd::sum(static_cast<const T*>(a), count));
    weighted_ += double(simd::sum(static_cast<const T*>(b), count));
  }

  struct result {
    double value;  // tau log mean exp(h / tau)
    double kl;
    double scale;  // the weight of a negative is scale exp((h - top) / tau)
    T top;
  };
  result finish() const {
    const double n = double(count_), tau = double(tau_), top = double(top_);
    if (is_flat()) {
      const double centre = double(centre_), shift = shift_ / n, growth = shift + weights_ / n;
      const double excess = std::log1p(growth);
      return {centre + tau * excess, (shift + weighted_ / n) / (1 + growth) - excess,
              std::exp((top - centre) / tau) / (n * (1 + growth)), top_};
    }
    const double excess = std::log(weights_ / n);
    return {top + tau * excess, weighted_ / weights_ - excess, 1 / weights_, top_};
  }

 private:
  // Takes a greater h out of what was summed before.
  void raise(T high) {
    if (!(high > top_)) return;
    const double step = (double(top_) - double(high)) / double(tau_);
    const double factor = std::exp(step);
    if (weights_ != 0) {
      weighted_ = factor == 0 ? 0 : factor * (weighted_ + step * weights_);
      weights_ *= factor;
    }
    top_ = high;
  }

  T positive_ = 0, tau_ = 1;
  T top_ = -std::numeric_limits<T>::infinity(), low_ = std::numeric_limits<T>::infinity();
  T centre_ = 0;
  index_t count_ = 0;
  double total_ = 0, weights_ = 0, weighted_ = 0, shift_ = 0;
};

/// What becomes of an anchor: its share of the loss before division by n, and the factor on its weights.
struct contrastive_anchor {
  double value;
  double ratio;
};

/// Bytes for the anchors of n rows and n columns.
template <class T>
constexpr std::size_t contrastive_scratch(index_t n) {
  return 2 * scratch_bytes<double>(n) + 5 * scratch_bytes<T>(n);
}

/// Values and gradient of anchors along rows, along columns, or both, of one matrix of similarities.
///
/// Columns go first, in groups of sixteen that are copied into rows; then each row is summed up and, still in the
/// caches, written together with what the columns add to it.
template <class T>
class contrastive_sweep {
  using batch = simd::batch<T>;
  static constexpr index_t block = row_blocks<T>::block;
  static constexpr index_t group = 16;

 public:
  contrastive_sweep(const row_source<T>& sim, const row_sink<T>& grad, index_t n, contrastive_pairs pairs)
      : sim_(sim), grad_(grad), n_(n), pairs_(pairs) {}

  /// The loss. An anchor function has temperature(i) and operator()(i, tau, value, kl); a null one has no anchors.
  template <class Exec, class Anchors>
  double run(const char* function, Exec& ex, workspace& scratch, const Anchors* rows, const Anchors* columns) {
    if (n_ == 0) return 0;
    const std::span<double> row_value = scratch.take<double>(function, n_),
                            column_value = scratch.take<double>(function, n_);
    for (T** array : {&positive_, &top_, &tau_, &scale_, &pull_}) *array = scratch.take<T>(function, n_).data();
    has_columns_ = columns != nullptr;
    if (has_columns_)
      ex((n_ + group - 1) / group, [&](index_t g) { sum_columns(g * group, column_value.data(), *columns); });
    if (rows != nullptr || !grad_.empty())
      for_row_chunks(ex, n_, n_, [&](index_t first, index_t last) {
        for (index_t i = first; i < last; ++i) row(i, row_value.data(), rows);
      });
    double value = 0;
    for (index_t i = 0; i < n_ && rows != nullptr; ++i) value += row_value[std::size_t(i)];
    for (index_t i = 0; i < n_ && columns != nullptr; ++i) value += column_value[std::size_t(i)];
    return value / double(n_);
  }

 private:
  // f(piece, count) for what of [first, first + count) are negatives of an anchor.
  template <class F>
  void negatives(index_t anchor, const T* s, index_t first, index_t count, const F& f) const {
    const index_t positive = positive_of(anchor, n_, pairs_);
    index_t at = first;
    for (const index_t out : {std::min(positive, anchor), std::max(positive, anchor)}) {
      if (out < at || out >= first + count) continue;
      f(s + (at - first), out - at);
      at = out + 1;
    }
    f(s + (at - first), first + count - at);
  }

  template <class Anchors>
  void sum_columns(index_t first, double* value, const Anchors& anchors) const {
    const index_t columns = std::min(group, n_ - first);
    negative_sums<T> sums[std::size_t(group)];
    bool flat[std::size_t(group)] = {}, any_flat = false;
    for (index_t c = 0; c < columns; ++c) {
      const index_t j = first + c;
      positive_[j] = sim_.at(positive_of(j, n_, pairs_), j);
      tau_[j] = anchors.temperature(j);
      sums[c] = negative_sums<T>(positive_[j], tau_[j]);
    }
    read_columns(first, columns, [&](index_t c, const T* s, index_t i, index_t count) {
      negatives(first + c, s, i, count, [&](const T* piece, index_t m) { sums[c].add(piece, m); });
    });
    for (index_t c = 0; c < columns; ++c) {
      flat[c] = sums[c].is_flat();
      any_flat |= flat[c];
      if (flat[c]) sums[c].start_flat();
    }
    if (any_flat)
      read_columns(first, columns, [&](index_t c, const T* s, index_t i, index_t count) {
        if (flat[c]) negatives(first + c, s, i, count, [&](const T* piece, index_t m) { sums[c].add_flat(piece, m); });
      });
    for (index_t c = 0; c < columns; ++c) {
      const index_t j = first + c;
      const auto r = sums[c].finish();
      const contrastive_anchor a = anchors(j, double(tau_[j]), r.value, r.kl);
      value[j] = a.value;
      top_[j] = r.top;
      scale_[j] = static_cast<T>(r.scale * a.ratio / double(n_));
      pull_[j] = static_cast<T>(-a.ratio / double(n_));
    }
  }

  // f(column of the group, its elements of some rows, first row, rows)
  template <class F>
  void read_columns(index_t first, index_t columns, const F& f) const {
    alignas(64) T by_column[std::size_t(group * block)];
    T buffer[std::size_t(group)];
    for (index_t i = 0; i < n_; i += block) {
      const index_t rows = std::min(block, n_ - i);
      for (index_t r = 0; r < rows; ++r) {
        const T* const x = sim_.part(i + r, first, columns, buffer);
        for (index_t c = 0; c < columns; ++c) by_column[c * block + r] = x[c];
      }
      for (index_t c = 0; c < columns; ++c) f(c, by_column + c * block, i, rows);
    }
  }

  // f(elements, first column, count)
  template <class F>
  void read_row(index_t i, const F& f) const {
    T buffer[std::size_t(block)];
    for (index_t j = 0; j < n_; j += block) {
      const index_t count = std::min(block, n_ - j);
      f(sim_.part(i, j, count, buffer), j, count);
    }
  }

  template <class Anchors>
  void row(index_t i, double* value, const Anchors* anchors) const {
    const index_t own = positive_of(i, n_, pairs_);
    T positive = 0, tau = 1, top = 0, scale = 0, pull = 0;
    if (anchors != nullptr) {
      positive = sim_.at(i, own);
      tau = anchors->temperature(i);
      negative_sums<T> sums(positive, tau);
      read_row(i, [&](const T* s, index_t j, index_t count) {
        negatives(i, s, j, count, [&](const T* piece, index_t m) { sums.add(piece, m); });
      });
      if (sums.is_flat()) {
        sums.start_flat();
        read_row(i, [&](const T* s, index_t j, index_t count) {
          negatives(i, s, j, count, [&](const T* piece, index_t m) { sums.add_flat(piece, m); });
        });
      }
      const auto r = sums.finish();
      const contrastive_anchor a = (*anchors)(i, double(tau), r.value, r.kl);
      value[i] = a.value;
      top = r.top;
      scale = static_cast<T>(r.scale * a.ratio / double(n_));
      pull = static_cast<T>(-a.ratio / double(n_));
    }
    if (grad_.empty()) return;
    alignas(64) T g[std::size_t(block)];
    read_row(i, [&](const T* s, index_t first, index_t count) {
      for (index_t j = 0; j < count; j += batch::size) {
        const index_t left = std::min(batch::size, count - j);
        const batch x = simd::load_partial(s + j, left);
        batch sum = T(0);
        if (anchors != nullptr) sum = batch(scale) * simd::exp_nonpositive(((x - positive) - top) / batch(tau));
        if (has_columns_) {
          const auto of = [&](const T* array) { return simd::load_partial(array + first + j, left); };
          const batch h = (x - of(positive_)) - of(top_);
          sum += of(scale_) * simd::exp_nonpositive(h / simd::load_partial(tau_ + first + j, left, T(1)));
        }
        simd::store_partial(g + j, left, sum);
      }
      if (i >= first && i < first + count) g[i - first] = 0;
      if (own >= first && own < first + count) g[own - first] = pull + (has_columns_ ? pull_[own] : T(0));
      grad_.put_part(i, first, count, g);
    });
  }

  row_source<T> sim_;
  row_sink<T> grad_;
  index_t n_;
  contrastive_pairs pairs_;
  bool has_columns_ = false;
  T *positive_ = nullptr, *top_ = nullptr, *tau_ = nullptr, *scale_ = nullptr, *pull_ = nullptr;
};

}  // namespace detail

}  // namespace weakly::inline v0
