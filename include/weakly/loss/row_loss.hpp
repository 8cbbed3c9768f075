// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/labels.hpp>
#include <weakly/core/line_stream.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/softmax_rows.hpp>
#include <weakly/core/view.hpp>
#include <weakly/loss/loss_labels.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <type_traits>

namespace weakly::inline v0 {

/// Where losses or gradients are written, or `discard`.
template <class X>
concept loss_output = real_output<X>;

/// What a softmax loss sees of a row: p = softmax(f)(y) of the label y and what goes with it. V is float, double, or a
/// batch of rows.
template <class V>
struct label_softmax {
  V p;                    ///< probability of the label
  V q;                    ///< sum of the other probabilities, exact where p rounds to one
  V cross_entropy;        ///< -log p, exact where it is tiny
  V total_cross_entropy;  ///< sum over every class j of -log softmax(f)(j); only where the formula says uses_total
  V classes;              ///< k
};

/// The value of a loss and its gradient: scale p(j) + offset for every class j but the label, at_label for the label.
template <class V>
struct softmax_gradient {
  V value;
  V scale;
  V offset;
  V at_label;
};

/// Of a loss that depends on p alone: value phi(p) and slope = phi'(p) p.
template <class V>
WEAKLY_HD softmax_gradient<V> loss_of_probability(const label_softmax<V>& row, V value, V slope) {
  return {value, -slope, V(0), slope * row.q};
}

namespace detail {

template <class F>
concept uses_total_cross_entropy = requires {
  requires F::uses_total;
};

/// Throws for what `bad` reports: label_error where the first such row has a label outside [0, k), else value_error for
/// its weight.
inline void require_labels_ok(std::string_view function, const loss_labels& labels, const status& bad, index_t k) {
  if (bad.ok()) return;
  const index_t row = bad.first_bad_row;
  const std::string_view rows = bad.count == 1         ? " such row"
                                : labels.has_weights() ? " rows with such a label or weight"
                                                       : " such rows";
  if (!is_label(labels.at(row), k))
    fail<label_error>(function, ": label ", labels.at(row), " of row ", row, " is outside [0, ", k, ") (", bad.count,
                      rows, "); labels number the classes from 0, loss_labels(...).ignore(label) leaves rows out");
  fail<value_error>(function, ": weight ", labels.weight_of(row), " of row ", row,
                    " is negative or not a finite number of the arithmetic (", bad.count, rows,
                    "); weights are zero or more, and zero leaves a row out");
}

/// out[j] = scale (e[j] - less) + offset for j < count; out may be e.
template <class T>
void write_scaled(const T* e, T less, T scale, T offset, index_t count, T* out) {
  using batch = simd::batch<T>;
  const batch a = scale, b = offset, c = less;
  index_t j = 0;
  for (; j + batch::size <= count; j += batch::size) simd::store(out + j, simd::fma(simd::load(e + j) - c, a, b));
  if (j < count) simd::store_partial(out + j, count - j, simd::fma(simd::load_partial(e + j, count - j) - c, a, b));
}

template <class T>
void fill_row(const row_sink<T>& to, index_t row, index_t k, T value) {
  if (to.empty()) return;
  T block[std::size_t(row_blocks<T>::block)];
  std::fill_n(block, row_blocks<T>::block, value);
  for (index_t j = 0; j < k; j += row_blocks<T>::block)
    to.put_part(row, j, std::min(row_blocks<T>::block, k - j), block);
}

/// What the sums of some rows come in, a place for each row.
template <class T>
struct label_sums {
  const T *others, *label, *top, *factor, *deviation;  // softmax_sums
  const T* weight;
};

/// What a formula makes of them: values, and how the kept exponentials, less those of excluded classes, become the
/// gradient. Taken off after scaling they would leave a rounding, which is denormal, and some processors take a hundred
/// cycles for one.
template <class T>
struct row_terms {
  static constexpr index_t capacity = softmax_tile<T>::capacity;
  alignas(64) T value[std::size_t(capacity)];
  alignas(64) T scale[std::size_t(capacity)];
  alignas(64) T offset[std::size_t(capacity)];
  alignas(64) T at_label[std::size_t(capacity)];
};

/// A formula as the driver calls it, a tile at a time: all else that a loss does is compiled once for all formulas.
template <class T>
struct row_formula {
  const void* formula;
  bool uses_total;
  T excluded;  // excluded_exp of the scores
  // Reads and writes whole batches.
  void (*apply)(const row_formula&, const softmax_scores<T>&, const label_sums<T>&, index_t rows, row_terms<T>&);
};

template <class T, class Formula>
void apply_formula(const row_formula<T>& of, const softmax_scores<T>& scores, const label_sums<T>& sums, index_t rows,
                   row_terms<T>& out) {
  using batch = simd::batch<T>;
  const Formula& formula = *static_cast<const Formula*>(of.formula);
  for (index_t r = 0; r < rows; r += batch::size) {
    const batch others = simd::load(sums.others + r), label = simd::load(sums.label + r),
                top = simd::load(sums.top + r);
    const batch sum = others + label;
    const batch inverse = batch(T(1)) / sum;
    label_softmax<batch> row;
    row.p = label * inverse;
    row.q = others * inverse;
    row.classes = batch(static_cast<T>(scores.classes()));
    row.total_cross_entropy = batch(T(0));
    if constexpr (uses_total_cross_entropy<Formula>)
      row.total_cross_entropy = simd::log(sum) * row.classes - simd::load(sums.deviation + r);

    batch log_sum = simd::log1p_nonnegative(others / label);
    const auto plain = top == batch(T(0));
    const bool all_plain = simd::all(plain);
    if (!all_plain) log_sum = simd::select(plain, log_sum, simd::log(sum));
    softmax_gradient<batch> g;
    if constexpr (requires { formula.of_scores(row, top, log_sum); }) {
      row.cross_entropy = batch(T(0));
      g = formula.of_scores(row, top, log_sum);
    } else {
      row.cross_entropy = all_plain ? log_sum : top / batch(scores.temperature) + log_sum;
      g = formula(row);
    }
    g.scale *= simd::load(sums.factor + r) * inverse;
    const batch weight = simd::load(sums.weight + r);
    if (!simd::all(weight == batch(T(1)))) {
      const auto left_out = weight == batch(T(0));  // whatever its scores are, NaN included
      for (batch* const x : {&g.value, &g.scale, &g.offset, &g.at_label})
        *x = simd::select(left_out, T(0), *x * weight);
    }
    simd::store(out.value + r, g.value);
    simd::store(out.scale + r, g.scale);
    simd::store(out.offset + r, g.offset);
    simd::store(out.at_label + r, g.at_label);
  }
}

template <class T>
class softmax_loss_rows {
 public:
  using batch = simd::batch<T>;

  softmax_scores<T> scores;
  loss_labels labels;
  row_sink<T> loss, grad;
  row_formula<T> formula;
  bool stream = false;    // past the caches, because the gradient is too large to stay in them
  bool overlaps = false;  // the gradient may lie where the logits are

  status operator()(index_t first, index_t last) const {
    status bad = no_bad_rows();
    if (softmax_tile<T>::longest_row >= scores.classes()) {
      short_rows(first, last, bad);
    } else {
      long_rows(first, last, bad);
    }
    if (stream) simd::stream_fence();
    return bad;
  }

 private:
  static constexpr index_t lanes = batch::size;
  static constexpr index_t capacity = softmax_tile<T>::capacity;

  void short_rows(index_t first, index_t last, status& bad) const {
    const index_t k = scores.classes();
    const index_t tile_rows = softmax_tile<T>::rows_for(k);
    softmax_tile<T> tile(scores);
    row_terms<T> t;
    index_t label[std::size_t(capacity)];
    alignas(64) T weight[std::size_t(capacity)];
    alignas(64) T out[std::size_t(softmax_tile<T>::elements + lanes)];
    T* const dense = grad.empty() ? nullptr : grad.rows(first);
    const bool streams = stream && dense != nullptr;
    line_stream<T> lines(streams ? dense : out);
    for (index_t start = first; start < last; start += tile_rows) {
      const index_t rows = std::min(tile_rows, last - start);
      const bool some_left_out = labels.template fetch<T>(start, rows, k, label, weight, bad);
      tile.fill(start, rows, label, formula.uses_total, two_line_steps<T>{lines});
      formula.apply(formula, scores, {tile.others, tile.label, tile.top, tile.factor, tile.deviation, weight}, rows, t);
      if (!loss.empty()) {
        if (T* const to = loss.rows(start))
          std::copy_n(t.value, rows, to);
        else
          loss.put_rows(start, rows, t.value);
      }
      if (grad.empty()) continue;
      lines.drain();
      if (some_left_out)
        for (index_t r = 0; r < rows; ++r)
          if (weight[r] == T(0)) std::fill_n(tile.exps + r * k, k, T(0));  // zero times NaN is not zero
      if (k <= lanes)
        scale_rows<1>(tile.exps, formula.excluded, t, label, rows, k, out);
      else if (k <= 2 * lanes)
        scale_rows<2>(tile.exps, formula.excluded, t, label, rows, k, out);
      else
        scale_rows<0>(tile.exps, formula.excluded, t, label, rows, k, out);
      if (streams)
        lines.queue(out, T(1), T(-0.0), rows * k);  // x - 0 is x for either zero
      else if (dense != nullptr)
        std::copy_n(out, rows * k, dense + (start - first) * k);
      else
        grad.put_rows(start, rows, out);
    }
    lines.drain();
    if (streams) lines.flush();
  }

  // Batches is how many a row takes, 0 for any number. The last batch of a row runs over into the next one, which is
  // written after it.
  template <int Batches>
  static void scale_rows(const T* exps, batch less, const row_terms<T>& t, const index_t* label, index_t rows, index_t k,
                         T* out) {
    for (index_t r = 0; r < rows; ++r) {
      const T* const e = exps + r * k;
      T* const to = out + r * k;
      const batch scale = t.scale[r], offset = t.offset[r];
      if constexpr (Batches > 0)
        simd::unroll<Batches>(
            [&](auto b) { simd::store(to + b * lanes, simd::fma(simd::load(e + b * lanes) - less, scale, offset)); });
      else
        for (index_t j = 0; j < k; j += lanes)
          simd::store(to + j, simd::fma(simd::load(e + j) - less, scale, offset));
      to[label[r]] = t.at_label[r];
    }
  }

  void apply_to_one(const softmax_sums<T>& sums, T weight, row_terms<T>& t) const {
    T one[6][std::size_t(lanes)];
    simd::store(one[0], batch(sums.others));
    simd::store(one[1], batch(sums.label));
    simd::store(one[2], batch(sums.top));
    simd::store(one[3], batch(sums.factor));
    simd::store(one[4], batch(sums.deviation));
    simd::store(one[5], batch(weight));
    formula.apply(formula, scores, {one[0], one[1], one[2], one[3], one[4], one[5]}, 1, t);
  }

  static constexpr index_t longest_kept = 4096;

  void long_rows(index_t first, index_t last, status& bad) const {
    const index_t k = scores.classes();
    alignas(64) T kept[2][std::size_t(longest_kept + lanes)];
    softmax_row<T> row(scores, kept[0]);
    T* const dense = grad.empty() ? nullptr : grad.rows(first);
    const bool streams = stream && dense != nullptr && k <= longest_kept;
    // A row too long to keep aside is kept where its gradient goes, unless that is the memory of the logits.
    const bool in_place = k > longest_kept && !grad.empty() && grad.part(first, 0) != nullptr && !overlaps;
    line_stream<T> lines(streams ? dense : kept[0]);
    row_terms<T> t;
    index_t label[std::size_t(capacity)];
    T weight[std::size_t(capacity)];
    for (index_t i = first; i < last; ++i) {
      const index_t at = (i - first) % capacity;
      if (at == 0) labels.template fetch<T>(i, std::min(capacity, last - i), k, label, weight, bad);
      T* const e = k <= longest_kept ? kept[i % 2] : in_place ? grad.part(i, 0) : nullptr;
      row.keep_in(e);
      bool flat = false;
      if (weight[at] == T(0)) {
        t.value[0] = t.scale[0] = t.offset[0] = t.at_label[0] = 0;
        if (e != nullptr) std::fill_n(e, k, T(0));
      } else {
        const softmax_sums<T> s = row.fill(i, label[at], formula.uses_total, two_line_steps<T>{lines});
        apply_to_one(s, weight[at], t);
        // Where nothing is scaled, the label alone is: its exponential becomes 1 and all others are excluded.
        flat = t.scale[0] == T(0) && t.at_label[0] != t.offset[0];
        if (flat) t.scale[0] = t.at_label[0] - t.offset[0];
      }
      if (!loss.empty()) loss.put_rows(i, 1, t.value);
      if (grad.empty()) continue;
      if (streams) {
        lines.drain();
        if (flat) std::fill_n(e, k, formula.excluded);
        e[label[at]] = kept_label(t);
        lines.queue(e, t.scale[0], t.offset[0], k, formula.excluded);
      } else if (weight[at] == T(0)) {
        fill_row(grad, i, k, T(0));
      } else {
        for (index_t j = 0; j < k; j += softmax_row<T>::block) {
          const index_t count = std::min(softmax_row<T>::block, k - j);
          T* const part = row.exps(j, count);
          if (flat) std::fill_n(part, count, formula.excluded);
          write_block(i, j, count, part, label[at], t);
        }
      }
    }
    lines.drain();
    if (streams) lines.flush();
  }

  // What becomes the gradient at the label, to a rounding, when it is scaled like the rest of a long row: a line
  // written past the caches cannot be corrected afterwards.
  T kept_label(const row_terms<T>& t) const {
    return t.scale[0] != T(0) ? (t.at_label[0] - t.offset[0]) / t.scale[0] + formula.excluded : T(0);
  }

  void write_block(index_t i, index_t j, index_t count, T* e, index_t label, const row_terms<T>& t) const {
    T* const to = grad.part(i, j);
    if (label >= j && label < j + count) e[label - j] = kept_label(t);
    write_scaled(static_cast<const T*>(e), formula.excluded, t.scale[0], t.offset[0], count, to != nullptr ? to : e);
    if (to == nullptr) grad.put_part(i, j, count, e);
  }
};

template <executor Exec, class T, class Formula>
void run_softmax_loss(std::string_view function, Exec& ex, const softmax_scores<T>& scores, index_t n,
                      const loss_labels& labels, const row_sink<T>& loss, const row_sink<T>& grad,
                      const Formula& formula) {
  const index_t k = scores.classes();
  labels.require(function, n, k);
  if (n == 0) return;
  if (k == 0) fail<shape_error>(function, ": logits have ", n, " rows of 0 classes; there must be at least one class");
  const bool stream = n >= (index_t(4) << 20) / (k * index_t(sizeof(T)));
  const softmax_loss_rows<T> rows{
      scores,
      labels,
      loss,
      grad,
      {&formula, uses_total_cross_entropy<Formula>, excluded_exp(scores), apply_formula<T, Formula>},
      stream,
      grad.overlaps(scores.logits, n)};
  shared_status bad;
  for_row_chunks(ex, n, k, [&](index_t first, index_t last) { bad.merge(rows(first, last)); });
  require_labels_ok(function, labels, bad.load(), k);
}

/// A loss with a row function of its own: value = f(row_blocks<T>, label), which also writes the gradient of the row.
template <executor Exec, class T, class F>
void run_row_loss(std::string_view function, Exec& ex, const row_source<T>& logits, index_t n,
                  const loss_labels& labels, const row_sink<T>& loss, const row_sink<T>& grad, const F& f) {
  const index_t k = logits.columns();
  labels.require(function, n, k);
  if (n == 0) return;
  if (k == 0) fail<shape_error>(function, ": logits have ", n, " rows of 0 classes; there must be at least one class");
  shared_status all;
  for_row_chunks(ex, n, k, [&](index_t first, index_t last) {
    status bad = no_bad_rows();
    for (index_t i = first; i < last; ++i) {
      index_t label;
      T weight;
      labels.template fetch<T>(i, 1, k, &label, &weight, bad);
      T value = 0;
      if (weight == T(0))
        fill_row(grad, i, k, T(0));
      else
        value = weight * f(row_blocks<T>(logits, grad, i, weight), label);
      if (!loss.empty()) loss.put_rows(i, 1, &value);
    }
    all.merge(bad);
  });
  require_labels_ok(function, labels, all.load(), k);
}

}  // namespace detail

/// A loss of a user's own that is a function of the softmax at the label, with its gradient, row by row.
///
///     loss(i) = formula(label_softmax of row i).value,   grad(i, j) = d loss(i) / d logits(i, j)
///
/// logits   [..., k]  finite scores; -inf excludes a class, whose probability is then zero
/// labels   [...]     integers in [0, k), with weights or an ignored label where wanted (loss_labels.hpp)
/// loss     [...]     or discard; may be the storage of nothing else
/// grad     [..., k]  or discard; may be the storage of `logits`
/// formula            called with label_softmax<V>, V a simd::batch of rows; gives softmax_gradient<V>
///
/// A row with a NaN or +inf, or whose label is excluded, comes out as NaN, and no other row does. Logits further apart
/// than the greatest number of the arithmetic (3.4e38 in float) count as infinitely far apart: their row may be NaN
/// too. n = 0 does nothing. Throws shape_error, label_error for labels outside [0, k), and value_error for weights that
/// are negative or not finite: those rows come out as zero and all others are done first. O(n k), allocates nothing.
/// Same bits for every executor, layout and batch.
template <executor Exec, score_tensor Logits, loss_output Loss, loss_output Grad, class Formula>
void softmax_loss(Exec&& ex, const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad,
                  const Formula& formula) {
  using T = arithmetic_t<typename detail::input_view_t<Logits>::value_type>;
  detail::softmax_scores<T> scores;
  const auto rows = as_rows(view(logits));
  scores.logits = detail::row_source<T>(rows);
  detail::run_softmax_loss("softmax_loss", ex, scores, rows.extent(0), labels,
                           detail::value_sink<T>("softmax_loss", "loss", loss, rows.extent(0)),
                           detail::gradient_sink<T>("softmax_loss", grad, rows.extent(0), rows.extent(1)), formula);
}
template <score_tensor Logits, loss_output Loss, loss_output Grad, class Formula>
void softmax_loss(const Logits& logits, const loss_labels& labels, Loss&& loss, Grad&& grad, const Formula& formula) {
  softmax_loss(seq, logits, labels, loss, grad, formula);
}

}  // namespace weakly::inline v0
