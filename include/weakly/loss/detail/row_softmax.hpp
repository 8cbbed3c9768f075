// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/detail/map_batches.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/softmax_rows.hpp>
#include <weakly/core/view.hpp>
#include <weakly/loss/detail/formula_loss.hpp>
#include <weakly/loss/loss_labels.hpp>
#include <weakly/loss/row_loss.hpp>

#include <algorithm>
#include <limits>
#include <string_view>

namespace weakly::inline v0::detail {

/// Sum of f(x[j]), where f(0) = 0.
template <class T, class F>
WEAKLY_INLINE T sum_batches(const T* x, index_t count, F f) {
  constexpr index_t size = simd::batch<T>::size;
  simd::batch<T> sum = T(0);
  index_t j = 0;
  for (; j + size <= count; j += size) sum += f(simd::load(x + j));
  if (j < count) sum += f(simd::load_partial(x + j, count - j));
  return simd::reduce_add(sum);
}
/// Sum of f(x[j], y[j]), where f(0, 0) = 0.
template <class T, class F>
WEAKLY_INLINE T sum_batches(const T* x, const T* y, index_t count, F f) {
  constexpr index_t size = simd::batch<T>::size;
  simd::batch<T> sum = T(0);
  index_t j = 0;
  for (; j + size <= count; j += size) sum += f(simd::load(x + j), simd::load(y + j));
  if (j < count) sum += f(simd::load_partial(x + j, count - j), simd::load_partial(y + j, count - j));
  return simd::reduce_add(sum);
}

/// The softmax of one row for losses that look at all of it: its exponentials block by block, as often as they are
/// asked for, and its sums. The label's exponential is kept apart and stands as zero among the others.
template <class T>
class row_softmax {
 public:
  static constexpr index_t block = softmax_row<T>::block;

  row_softmax(const row_source<T>& logits, const row_sink<T>& grad, index_t row, index_t label, T weight)
      : logits_(logits), grad_(grad), row_(row), label_(label), weight_(weight) {}

  /// Exponentials of a whole row, or what computes them again.
  void keep(const T* kept, softmax_row<T>* again, T floor) {
    kept_ = kept;
    again_ = again;
    floor_ = floor;
  }
  void set_sums(T others, T label, T inverse, T cross_entropy) {
    p_ = label * inverse;
    q_ = others * inverse;
    inverse_ = inverse;
    cross_entropy_ = cross_entropy;
  }

  index_t row() const { return row_; }
  index_t label() const { return label_; }
  index_t classes() const { return logits_.columns(); }
  T p() const { return p_; }              ///< of the label
  T q() const { return q_; }              ///< of all the others
  T inverse() const { return inverse_; }  ///< of the sum of the exponentials
  T cross_entropy() const { return cross_entropy_; }
  T score(index_t column) const { return logits_.at(row_, column); }
  const T* scores(index_t column, index_t count, T* buffer) const { return logits_.part(row_, column, count, buffer); }

  /// Where the label is in a block, or -1.
  index_t label_in(index_t column, index_t count) const {
    return label_ >= column && label_ < column + count ? label_ - column : -1;
  }

  /// f(column, e, count) for consecutive blocks.
  template <class F>
  WEAKLY_INLINE void read(F f) const {
    for (index_t j = 0; j < classes(); j += block) {
      const index_t count = std::min(block, classes() - j);
      f(j, exps(j, count), count);
    }
  }

  /// f(column, e, count, g) for consecutive blocks, where f fills g with the gradient; the weight of the row is put on
  /// afterwards.
  template <class F>
  WEAKLY_INLINE void write(F f) const {
    if (grad_.empty()) return;
    T buffer[std::size_t(block)];
    for (index_t j = 0; j < classes(); j += block) {
      const index_t count = std::min(block, classes() - j);
      T* const direct = grad_.part(row_, j);
      T* const g = direct != nullptr ? direct : buffer;
      f(j, exps(j, count), count, g);
      if (weight_ != T(1))
        for (index_t i = 0; i < count; ++i) g[i] *= weight_;
      if (direct == nullptr) grad_.put_part(row_, j, count, buffer);
    }
  }

 private:
  const T* exps(index_t column, index_t count) const {
    if (kept_ != nullptr) return kept_ + column;
    T* const e = again_->exps(column, count);
    clear_excluded(e, count, floor_);
    return e;
  }

 public:
  /// Exponentials of excluded classes become zero.
  static void clear_excluded(T* e, index_t count, T floor) {
    map_batches<T>(e, count, e, [least = simd::batch<T>(floor)](simd::batch<T> v) {
      return simd::select(v <= least, T(0), v);  // NaN stays
    });
  }

 private:
  const row_source<T>& logits_;
  const row_sink<T>& grad_;
  const T* kept_ = nullptr;
  softmax_row<T>* again_ = nullptr;
  index_t row_, label_;
  T weight_, floor_ = 0;
  T p_ = 0, q_ = 0, inverse_ = 0, cross_entropy_ = 0;
};

/// A rule as the driver calls it, a row at a time: all else that a loss does is compiled once for all rules.
template <class T>
struct row_rule {
  const void* rule;
  T (*apply)(const void* rule, const row_softmax<T>& row);

  template <class Rule>
  explicit row_rule(const Rule& r)
      : rule(&r),
        apply([](const void* it, const row_softmax<T>& row) -> T { return (*static_cast<const Rule*>(it))(row); }) {}
};

/// A loss with a rule for whole rows: value = rule(row_softmax), which also writes the gradient. Without labels the
/// class that is kept apart is the first of the greatest.
template <class T>
class whole_rows {
 public:
  using batch = simd::batch<T>;

  softmax_scores<T> scores;
  const loss_labels* labels;
  row_sink<T> loss, grad;
  row_rule<T> rule;

  status operator()(index_t first, index_t last) const {
    status bad = no_bad_rows();
    if (scores.classes() <= softmax_tile<T>::longest_row)
      short_rows(first, last, bad);
    else
      long_rows(first, last, bad);
    return bad;
  }

 private:
  static constexpr index_t capacity = softmax_tile<T>::capacity;

  void fetch(index_t first, index_t count, index_t* label, T* weight, status& bad) const {
    if (labels != nullptr) {
      labels->template fetch<T>(first, count, scores.classes(), label, weight, bad);
      return;
    }
    for (index_t r = 0; r < count; ++r) {
      label[r] = greatest(first + r);
      weight[r] = 1;
    }
  }

  index_t greatest(index_t row) const {
    constexpr index_t block = softmax_row<T>::block;
    T buffer[std::size_t(block)], top = -std::numeric_limits<T>::infinity();
    index_t at = 0;
    if (scores.classes() <= 4 * batch::size) {  // too few for a search to be worth its branches
      const T* const x = scores.logits.part(row, 0, scores.classes(), buffer);
      for (index_t j = 0; j < scores.classes(); ++j) {
        const bool greater = x[j] > top;
        top = greater ? x[j] : top;
        at = greater ? j : at;
      }
      return at;
    }
    for (index_t j = 0; j < scores.classes(); j += block) {
      const index_t count = std::min(block, scores.classes() - j);
      const T* const x = scores.logits.part(row, j, count, buffer);
      const T here = simd::max(x, count);
      if (!(here > top)) continue;
      top = here;
      at = j + (std::find(x, x + count, here) - x);
    }
    return at;
  }

  // Inverse sums and cross-entropies of a batch of rows.
  void finish(batch others, batch label, batch top, T* inverse, T* cross_entropy) const {
    const batch sum = others + label;
    simd::store(inverse, batch(T(1)) / sum);
    const batch plain = simd::log1p(others / label);
    const batch shifted = top / batch(scores.temperature) + simd::log(sum);
    simd::store(cross_entropy, simd::select(top == batch(T(0)), plain, shifted));
  }

  void short_rows(index_t first, index_t last, status& bad) const {
    const index_t k = scores.classes();
    const index_t tile_rows = softmax_tile<T>::rows_for(k);
    const T floor = excluded_exp(scores);
    softmax_tile<T> tile(scores);
    index_t label[std::size_t(capacity)];
    alignas(64) T weight[std::size_t(capacity)], value[std::size_t(capacity)];
    alignas(64) T inverse[std::size_t(capacity)], cross_entropy[std::size_t(capacity)];
    for (index_t start = first; start < last; start += tile_rows) {
      const index_t rows = std::min(tile_rows, last - start);
      fetch(start, rows, label, weight, bad);
      tile.fill(start, rows, label, false, nothing_between());
      row_softmax<T>::clear_excluded(tile.exps, rows * k, floor);
      for (index_t r = 0; r < rows; r += batch::size)
        finish(simd::load(tile.others + r), simd::load(tile.label + r), simd::load(tile.top + r), inverse + r,
               cross_entropy + r);
      for (index_t r = 0; r < rows; ++r) {
        value[r] = 0;
        if (weight[r] == T(0)) {
          fill_row(grad, start + r, k, T(0));
          continue;
        }
        row_softmax<T> row(scores.logits, grad, start + r, label[r], weight[r]);
        row.keep(tile.exps + r * k, nullptr, floor);
        row.set_sums(tile.others[r], tile.label[r], inverse[r], cross_entropy[r]);
        value[r] = weight[r] * rule.apply(rule.rule, row);
      }
      if (!loss.empty()) loss.put_rows(start, rows, value);
    }
  }

  void long_rows(index_t first, index_t last, status& bad) const {
    constexpr index_t longest_kept = 4096;
    const index_t k = scores.classes();
    const T floor = excluded_exp(scores);
    alignas(64) T kept[std::size_t(longest_kept + batch::size)];
    softmax_row<T> exps(scores, kept);
    if (k <= longest_kept) exps.keep_in(kept);
    for (index_t i = first; i < last; ++i) {
      index_t label;
      T weight, value = 0;
      fetch(i, 1, &label, &weight, bad);
      if (weight == T(0)) {
        fill_row(grad, i, k, T(0));
      } else {
        const softmax_sums<T> sums = exps.fill(i, label, false, nothing_between());
        if (k <= longest_kept) row_softmax<T>::clear_excluded(kept, k, floor);
        T inverse[std::size_t(batch::size)], cross_entropy[std::size_t(batch::size)];
        finish(sums.others, sums.label, sums.top, inverse, cross_entropy);
        row_softmax<T> row(scores.logits, grad, i, label, weight);
        row.keep(k <= longest_kept ? kept : nullptr, &exps, floor);
        row.set_sums(sums.others, sums.label, inverse[0], cross_entropy[0]);
        value = weight * rule.apply(rule.rule, row);
      }
      if (!loss.empty()) loss.put_rows(i, 1, &value);
    }
  }
};

template <executor Exec, class Logits, class Loss, class Grad, class Rule>
void whole_row_loss(std::string_view function, Exec& ex, const Logits& logits, const loss_labels* labels, Loss& loss,
                    Grad& grad, const Rule& rule, double temperature = 1) {
  using T = loss_number<Logits>;
  const auto rows = as_rows(view(logits));
  const index_t n = rows.extent(0), k = rows.extent(1);
  if (labels != nullptr) labels->require(function, n, k);
  softmax_scores<T> scores;
  scores.logits = row_source<T>(rows);
  require_temperature<T>(function, temperature);
  scores.temperature = static_cast<T>(temperature);
  const whole_rows<T> kernel{scores, labels, value_sink<T>(function, "loss", loss, n),
                             gradient_sink<T>(function, grad, n, k), row_rule<T>(rule)};
  if (n == 0) return;
  if (k == 0) fail<shape_error>(function, ": logits have ", n, " rows of 0 classes; there must be at least one class");
  shared_status bad;
  for_row_chunks(ex, n, k, [&](index_t first, index_t last) { bad.merge(kernel(first, last)); });
  if (labels != nullptr) require_labels_ok(function, *labels, bad.load(), k);
}

}  // namespace weakly::inline v0::detail
