// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

// Exponentials of the rows of a score matrix and their sums, tile by tile, for everything that is a softmax at heart.
//
//     delta(k) = (f(k) - f(y)) + c(k),   e(k) = exp((delta(k) - top) / temperature)
//
// A row whose exponentials stay far from overflow takes f(k) / temperature itself as the exponent, which reads it once
// and loses no digit; any other row, and no neighbour of it, starts over with its own maximum taken out. The sum of all
// e(k) but the label's is formed without subtraction, because 1 - p(y) is what a good model's losses are made of.
namespace weakly::inline v0::detail {

/// Where the margins c come from. Those of a class or label apply to every class but the row's label.
/// column_and_label adds c to the scores of all classes, the label's included: f(k) + c(k) takes f(k)'s place in delta.
enum class margin_of : std::uint8_t { none, all, label, column, column_and_label, label_column, row };

template <class T>
struct softmax_scores {
  row_source<T> logits;  // n x k
  T temperature = 1;
  margin_of kind = margin_of::none;
  T margin = 0;           // all
  row_source<T> margins;  // 1 x k for label and column, k x k for label_column, n x k for row

  index_t classes() const { return logits.columns(); }
  bool margin_by_column() const { return kind >= margin_of::column; }

  /// c(k) of a row for k in [column, column + count); only where margin_by_column().
  const T* column_margins(index_t row, index_t label, index_t column, index_t count, T* buffer) const {
    return margins.part(kind == margin_of::row            ? row
                        : kind == margin_of::label_column ? label
                                                          : 0,
                        column, count, buffer);
  }
  /// The margin that all classes but the label share; only where not margin_by_column().
  T shared_margin(index_t label) const {
    return kind == margin_of::all ? margin : kind == margin_of::label ? margins.at(0, label) : T(0);
  }
  /// exp of it over the temperature; infinite, so that no row is plain, where it is so large or small that what the
  /// exponentials lost below their range would matter.
  T shared_factor(index_t label) const {
    const T c = margin_by_column() ? T(0) : shared_margin(label);
    if (c == T(0)) return T(1);
    if (!(std::abs(c) <= T(20) * temperature)) return std::numeric_limits<T>::infinity();
    return simd::exp(simd::batch<T>(c / temperature))[0];
  }
  T label_margin(index_t row, index_t label) const {
    if (kind < margin_of::column_and_label) return 0;
    return margins.at(kind == margin_of::row ? row : kind == margin_of::label_column ? label : 0, label);
  }
};

/// Sums that a row may keep without its maximum taken out: within them no digit is lost, and their quotients are
/// finite.
template <class T>
inline constexpr T least_plain_sum = sizeof(T) == 4 ? T(0x1p-30) : T(0x1p-480);
template <class T>
inline constexpr T greatest_plain_sum = sizeof(T) == 4 ? T(0x1p60) : T(0x1p480);

template <class T>
WEAKLY_INLINE bool is_plain(T others, T label) {
  const T sum = others + label;
  return label >= least_plain_sum<T> && sum >= least_plain_sum<T> && sum <= greatest_plain_sum<T>;
}

/// What need not be done between exponentials. Named, so that everything computed here is compiled once a number type.
struct nothing_between {
  void operator()() const {}
};

/// e[j] = exp((x[j] + c[j]) scale) for j < count, and their sum; c is zero where it is null. Calls between() once for
/// every two cache lines, and after each four batches where these are less.
template <class T, class Between>
T plain_exps(const simd::scaled_exp<T>& exp, const T* x, const T* c, index_t count, T* e, Between between) {
  using batch = simd::batch<T>;
  constexpr index_t size = batch::size;
  constexpr index_t ahead = 32 * simd::line_size<T>;
  const simd::scaled_exp<T> f = exp;  // a copy stays in registers
  batch sum = T(0);
  index_t j = 0;
  for (; j + 4 * size <= count; j += 4 * size) {
    batch b[4];
    simd::prefetch_lines(x + j + ahead, 4 * size);
    if (c == nullptr)
      simd::unroll<4>([&](auto u) { b[u] = simd::load(x + j + u * size); });
    else
      simd::unroll<4>([&](auto u) { b[u] = simd::load(x + j + u * size) + simd::load(c + j + u * size); });
    f.template each<4>(b);
    simd::unroll<4>([&](auto u) { simd::store(e + j + u * size, b[u]); });
    sum += (b[0] + b[1]) + (b[2] + b[3]);
    for (index_t lines = 0; lines < 4 * size; lines += 2 * simd::line_size<T>) between();
  }
  for (; j < count; j += size) {
    const index_t left = std::min(size, count - j);
    batch b = simd::load_partial(x + j, left);
    if (c != nullptr) b += simd::load_partial(c + j, left);
    b = f(b);
    simd::store_partial(e + j, left, b);
    sum += left == size ? b : simd::select(simd::first_lanes<T>(left), b, T(0));
  }
  return simd::reduce_add(sum);
}

/// Exponents with the greatest taken out: (((f - origin) + c) - top) / temperature.
template <class T>
struct shifted_exponents {
  T temperature = 1;
  T origin = 0;
  T shared = 0;  // c of every class, where there is none for each
  T top = 0;
  T least = 0;  // excluded_exp

  void exps(const T* x, const T* c, index_t count, T* e) const {
    using batch = simd::batch<T>;
    const batch o = origin, s = shared, t = top, divisor = temperature, low = least;
    index_t j = 0;
    const auto f = [&](batch v, batch m) {
      return simd::max(batch(low), simd::exp_nonpositive((((v - o) + m) - t) / divisor));
    };
    for (; j + batch::size <= count; j += batch::size)
      simd::store(e + j, f(simd::load(x + j), c == nullptr ? s : simd::load(c + j)));
    if (j < count)
      simd::store_partial(
          e + j, count - j,
          f(simd::load_partial(x + j, count - j), c == nullptr ? s : simd::load_partial(c + j, count - j)));
  }
  T exp_at(T x, T c) const {
    return simd::exp_nonpositive(simd::batch<T>((((x - origin) + c) - top) / temperature))[0];
  }
};

/// Greatest (x[j] - origin) + c[j], or + shared where c is null. NaN does not count.
template <class T>
T greatest_delta(const T* x, const T* c, T shared, T origin, index_t count) {
  using batch = simd::batch<T>;
  constexpr T nothing = -std::numeric_limits<T>::infinity();
  batch top = nothing;
  index_t j = 0;
  for (; j + batch::size <= count; j += batch::size)
    top = simd::max((simd::load(x + j) - batch(origin)) + (c == nullptr ? batch(shared) : simd::load(c + j)), top);
  if (j < count) {
    const index_t left = count - j;
    top = simd::max((simd::load_partial(x + j, left, nothing) - batch(origin)) +
                        (c == nullptr ? batch(shared) : simd::load_partial(c + j, left)),
                    top);
  }
  return simd::reduce_max(top);
}

/// How a short row becomes one number: its batches are folded lane by lane, then the lanes of as many rows at once.
template <class T>
struct row_sum {
  static constexpr T nothing = 0;
  WEAKLY_INLINE static simd::batch<T> fold(simd::batch<T> x, simd::batch<T> so_far) { return so_far + x; }
  WEAKLY_INLINE static simd::batch<T> lanes(simd::batch<T> (&part)[std::size_t(simd::batch<T>::size)]) {
    return simd::reduce_add_each(part);
  }
};
template <class T>
struct row_max {  // NaN does not count
  static constexpr T nothing = -std::numeric_limits<T>::infinity();
  WEAKLY_INLINE static simd::batch<T> fold(simd::batch<T> x, simd::batch<T> so_far) { return simd::max(x, so_far); }
  WEAKLY_INLINE static simd::batch<T> lanes(simd::batch<T> (&part)[std::size_t(simd::batch<T>::size)]) {
    return simd::lane_transpose<T>().max_of_each(part);
  }
};

/// out[r] = the fold of x[r k], ..., x[r k + k - 1] for `rows` rows. Reads a batch beyond the last row and writes up to
/// a batch of results more than asked for. A row's bits do not depend on the other rows.
template <class Fold, int Full, class T>
WEAKLY_INLINE void fold_rows_of(const T* x, index_t rows, index_t k, T* out) {
  using batch = simd::batch<T>;
  const index_t full = Full >= 0 ? Full : k / batch::size;
  const simd::mask<T> tail = simd::first_lanes<T>(k - full * batch::size);
  for (index_t r = 0; r < rows; r += batch::size) {
    batch part[std::size_t(batch::size)];
    simd::unroll<int(batch::size)>([&](auto lane) {
      const T* const row = x + (r + lane < rows ? r + lane : r) * k;
      batch s = Fold::fold(simd::select(tail, simd::load(row + full * batch::size), Fold::nothing), Fold::nothing);
      if constexpr (Full == 1)
        s = Fold::fold(simd::load(row), s);
      else if constexpr (Full < 0)
        for (index_t j = 0; j < full; ++j) s = Fold::fold(simd::load(row + j * batch::size), s);
      part[lane] = s;
    });
    simd::store(out + r, Fold::lanes(part));
  }
}
template <class Fold, class T>
void fold_short_rows(const T* x, index_t rows, index_t k, T* out) {
  if (k < simd::batch<T>::size)
    fold_rows_of<Fold, 0>(x, rows, k, out);
  else if (k < 2 * simd::batch<T>::size)
    fold_rows_of<Fold, 1>(x, rows, k, out);
  else
    fold_rows_of<Fold, -1>(x, rows, k, out);
}

/// What the kept exponentials of excluded classes (-inf) are instead of zero, plain or shifted: taking it off again is
/// left to whoever scales them, because it would cost a tenth of the exponential here.
template <class T>
T excluded_exp(const softmax_scores<T>& scores) {
  return simd::scaled_exp<T>(T(1) / scores.temperature).floor();
}

/// What is known of a row: others = sum over k != y of e(k) and label = e(y).
template <class T>
struct softmax_sums {
  T others;
  T label;
  T top;        // in units of delta; zero where no maximum was taken out
  T factor;     // what the kept exponentials still lack: e(k) = factor kept(k) for k != y
  T deviation;  // sum of all exponents, where asked for
};

/// One row of any length. Exponentials are kept where the caller has room for a row, else computed again on demand.
template <class T>
class softmax_row {
 public:
  static constexpr index_t block = 512;

  /// room  for a block, where `keep_in` gives none for a row
  softmax_row(const softmax_scores<T>& scores, T* room)
      : scores_(scores), plain_(T(1) / scores.temperature), room_(room) {}

  /// Keeps the exponentials of the rows to come in `row`, k elements; null for computing them again.
  void keep_in(T* row) { kept_ = row; }

  /// `deviation` only for scores without margins. Calls between() now and then.
  template <class Between>
  softmax_sums<T> fill(index_t row, index_t label, bool deviation, Between between) {
    row_ = row;
    label_ = label;
    shifted_ = false;
    const T factor = scores_.shared_factor(label);
    softmax_sums<T> sums = pass(deviation, between);
    sums.others *= factor;
    sums.factor = factor;
    return is_plain(sums.others, sums.label) ? sums : fill_shifted(row, label, deviation);
  }

  /// As `fill` for a row that is known not to be plain.
  softmax_sums<T> fill_shifted(index_t row, index_t label, bool deviation) {
    row_ = row;
    label_ = label;
    shifted_ = true;
    exponents_.temperature = scores_.temperature;
    exponents_.least = excluded_exp(scores_);
    const T own = scores_.label_margin(row, label);
    const bool own_in_origin = scores_.kind == margin_of::column_and_label;
    const T score = scores_.logits.at(row, label);
    exponents_.origin = own_in_origin ? score + own : score;
    exponents_.shared = scores_.margin_by_column() ? T(0) : scores_.shared_margin(label);
    T top = own_in_origin ? (score - exponents_.origin) + own : own;
    for (index_t j = 0; j < scores_.classes(); j += block) {
      const index_t count = std::min(block, scores_.classes() - j);
      T input[std::size_t(block)], margins[std::size_t(block)];
      const T* const x = scores_.logits.part(row, j, count, input);
      const T* const c = margins_of(j, count, margins);
      const index_t before = std::clamp<index_t>(label - j, 0, count),
                    behind = std::clamp<index_t>(label + 1 - j, 0, count);
      top = std::max(top, greatest_delta(x, c, exponents_.shared, exponents_.origin, before));
      top = std::max(top, greatest_delta(x + behind, c == nullptr ? c : c + behind, exponents_.shared,
                                         exponents_.origin, count - behind));
    }
    exponents_.top = top;
    softmax_sums<T> sums = pass(deviation, nothing_between());
    sums.top = top;
    return sums;
  }

  /// The exponentials of columns [column, column + count), zero for the label; column is a multiple of `block`, and
  /// count at most `block`.
  T* exps(index_t column, index_t count) {
    if (kept_ != nullptr) return kept_ + column;
    T ignored;
    compute(column, count, ignored, nothing_between());
    return room_;
  }

 private:
  const T* margins_of(index_t column, index_t count, T* buffer) const {
    return scores_.margin_by_column() ? scores_.column_margins(row_, label_, column, count, buffer) : nullptr;
  }

  template <class Between>
  softmax_sums<T> pass(bool deviation, Between between) {
    softmax_sums<T> sums{0, 0, 0, 1, 0};
    for (index_t j = 0; j < scores_.classes(); j += block) {
      const index_t count = std::min(block, scores_.classes() - j);
      sums.others += compute(j, count, sums.label, between);
      if (!deviation) continue;
      T input[std::size_t(block)];
      const T* const x = scores_.logits.part(row_, j, count, input);
      for (index_t i = 0; i < count; ++i)
        input[i] =
            shifted_ ? ((x[i] - exponents_.origin) - exponents_.top) / scores_.temperature : x[i] / scores_.temperature;
      sums.deviation += simd::sum(static_cast<const T*>(input), count);
    }
    return sums;
  }

  // The sum of a block of exponentials without the label's, which goes to `label`.
  template <class Between>
  T compute(index_t column, index_t count, T& label, Between between) {
    T input[std::size_t(block)], margins[std::size_t(block)];
    const T* const x = scores_.logits.part(row_, column, count, input);
    const T* const c = margins_of(column, count, margins);
    T* const e = kept_ != nullptr ? kept_ + column : room_;
    const index_t at = label_ - column;
    const bool has_label = at >= 0 && at < count;
    const T of_label = has_label ? exp_of_label(x[at]) : T(0);
    T sum = 0;
    if (shifted_)
      exponents_.exps(x, c, count, e);
    else
      sum = plain_exps(plain_, x, c, count, e, between);
    if (has_label) {
      label = of_label;
      e[at] = 0;
    }
    return shifted_ || has_label ? simd::sum(static_cast<const T*>(e), count) : sum;
  }

  T exp_of_label(T x) const {
    const T c = scores_.label_margin(row_, label_);
    return shifted_ ? exponents_.exp_at(x, c) : plain_(simd::batch<T>(x + c))[0];
  }

  const softmax_scores<T>& scores_;
  simd::scaled_exp<T> plain_;
  shifted_exponents<T> exponents_;
  bool shifted_ = false;
  T* room_;
  T* kept_ = nullptr;
  index_t row_ = 0;
  index_t label_ = 0;
};

/// A tile of short rows at once.
template <class T>
class softmax_tile {
 public:
  static constexpr index_t elements = 2048;
  static constexpr index_t capacity = 256;
  static constexpr index_t longest_row = elements / 8;

  /// A multiple of 16 rows wherever possible, so that the tiles of a dense matrix begin at equal phases of a cache
  /// line.
  static index_t rows_for(index_t k) { return std::min(capacity, std::max<index_t>(elements / k / 16 * 16, 8)); }

  explicit softmax_tile(const softmax_scores<T>& scores)
      : scores_(scores), plain_(T(1) / scores.temperature), excluded_(excluded_exp(scores)) {}

  // What softmax_sums holds, of each row.
  alignas(64) T others[std::size_t(capacity)];
  alignas(64) T label[std::size_t(capacity)];
  alignas(64) T top[std::size_t(capacity)];
  alignas(64) T factor[std::size_t(capacity)];
  alignas(64) T deviation[std::size_t(capacity)];
  alignas(64) T exps[std::size_t(elements + simd::batch<T>::size)];

  /// Rows [first, first + rows); y holds their labels, each in [0, k). Calls between() now and then.
  template <class Between>
  void fill(index_t first, index_t rows, const index_t* y, bool with_deviation, Between between) {
    const index_t k = scores_.classes();
    const T* const x = scores_.logits.rows(first, rows, input_);
    if (scores_.margin_by_column()) {
      for (index_t r = 0; r < rows; ++r) add_margins(x + r * k, first + r, y[r], with_margins_ + r * k);
      plain_exps<T>(plain_, with_margins_, nullptr, rows * k, exps, between);
    } else {
      plain_exps<T>(plain_, x, nullptr, rows * k, exps, between);
    }
    std::fill_n(exps + rows * k, simd::batch<T>::size, T(0));
    for (index_t r = 0; r < rows; ++r) {
      T& e = exps[r * k + y[r]];
      label[r] = e;
      e = 0;
    }
    if (scores_.kind == margin_of::column)
      for (index_t r = 0; r < rows; ++r) label[r] = plain_(simd::batch<T>(x[r * k + y[r]]))[0];
    fold_short_rows<row_sum<T>>(exps, rows, k, others);
    std::fill_n(top, capacity, T(0));
    if (scores_.kind == margin_of::label)
      for (index_t r = 0; r < rows; ++r) factor[r] = scores_.shared_factor(y[r]);
    else
      std::fill_n(factor, rows, scores_.shared_factor(0));
    if (scores_.kind == margin_of::all || scores_.kind == margin_of::label)
      for (index_t r = 0; r < rows; ++r) others[r] *= factor[r];
    if (with_deviation) {
      std::copy_n(x, x == input_ ? 0 : rows * k, input_);
      fold_short_rows<row_sum<T>>(input_, rows, k, deviation);
      for (index_t r = 0; r < rows; ++r) deviation[r] /= scores_.temperature;
    }

    if (all_plain(rows)) return;
    index_t some[std::size_t(capacity)], count = 0;
    for (index_t r = 0; r < rows; ++r)
      if (!is_plain(others[r], label[r])) some[count++] = r;
    if (k < lanes)
      shift_rows<1>(x, first, rows, y, some, count, with_deviation, between);
    else if (k <= 2 * lanes)
      shift_rows<2>(x, first, rows, y, some, count, with_deviation, between);
    else
      shift_rows<0>(x, first, rows, y, some, count, with_deviation, between);
  }

 private:
  using batch = simd::batch<T>;
  static constexpr index_t lanes = batch::size;

  // Up to a batch beyond the row is overwritten.
  WEAKLY_INLINE void add_margins(const T* x, index_t row, index_t y, T* out) {
    const index_t k = scores_.classes();
    const T* const c = scores_.column_margins(row, y, 0, k, margins_);
    index_t j = 0;
    for (; j + lanes <= k; j += lanes) simd::store(out + j, simd::load(x + j) + simd::load(c + j));
    if (j < k) simd::store(out + j, simd::load_partial(x + j, k - j) + simd::load_partial(c + j, k - j));
  }

  // Rows with their maximum taken out, side by side, so that each costs little more than its exponentials. A row's bits
  // do not depend on the others. Batches as for by_batch.
  template <int Batches, class Between>
  void shift_rows(const T* x, index_t first, index_t rows, const index_t* y, const index_t* some, index_t count,
                  bool with_deviation, Between between) {
    const index_t k = scores_.classes();
    if (scores_.margin_by_column())
      take_deltas<true, Batches>(x, first, y, some, count);
    else
      take_deltas<false, Batches>(x, first, y, some, count);

    alignas(64) T greatest_of_some[std::size_t(capacity)], sum_of_some[std::size_t(capacity)];
    const bool all = count == rows;
    T* const e = all ? exps : input_;  // x is no longer looked at
    T* const greatest = all ? top : greatest_of_some;
    T* const sum = all ? others : sum_of_some;
    fold_short_rows<row_max<T>>(with_margins_, count, k, greatest);
    for (index_t i = 0; i < count; ++i)
      by_batch<Batches>(k, [&, shift = batch(greatest[i])](auto load, auto store, index_t j) {
        store(e + i * k + j, load(with_margins_ + i * k + j) - shift);
      });
    if (with_deviation) {
      fold_short_rows<row_sum<T>>(e, count, k, sum);
      for (index_t i = 0; i < count; ++i) deviation[some[i]] = sum[i] / scores_.temperature;
    }
    plain_exps<T>(plain_, e, nullptr, count * k, e, between);
    std::fill_n(e + count * k, lanes, T(0));
    for (index_t i = 0; i < count; ++i) {
      T& own = e[i * k + y[some[i]]];
      label[some[i]] = own;
      own = 0;
    }
    fold_short_rows<row_sum<T>>(e, count, k, sum);
    for (index_t i = 0; i < count; ++i) factor[some[i]] = 1;
    if (!all)
      for (index_t i = 0; i < count; ++i) {
        const index_t r = some[i];
        others[r] = sum[i];
        top[r] = greatest[i];
        by_batch<Batches>(k, [&](auto load, auto store, index_t j) { store(exps + r * k + j, load(e + i * k + j)); });
      }
    for (index_t i = 0; i < count; ++i)
      if (!(others[some[i]] + label[some[i]] <= greatest_plain_sum<T>)) lose_row(some[i]);
  }

  // f(load, store, j) for batches that cover [0, k), the last two of which may overlap; nothing beyond is touched.
  // Batches is how many a row takes, 0 for any number.
  template <int Batches, class F>
  WEAKLY_INLINE static void by_batch(index_t k, F f) {
    if constexpr (Batches == 1) {
      f([k](const T* p) { return simd::load_partial(p, k); }, [k](T* p, batch b) { simd::store_partial(p, k, b); },
        index_t(0));
    } else {
      const auto load = [](const T* p) { return simd::load(p); };
      const auto store = [](T* p, batch b) { simd::store(p, b); };
      index_t j = 0;
      if constexpr (Batches == 2)
        f(load, store, j);
      else
        for (; j + lanes < k; j += lanes) f(load, store, j);
      f(load, store, k - lanes);
    }
  }

  template <bool ByColumn, int Batches>
  WEAKLY_INLINE void take_deltas(const T* x, index_t first, const index_t* y, const index_t* some, index_t count) {
    const index_t k = scores_.classes();
    const bool own_in_origin = scores_.kind == margin_of::column_and_label;
    for (index_t i = 0; i < count; ++i) {
      const index_t r = some[i];
      const T* const row = x + r * k;
      T* const delta = with_margins_ + i * k;
      const T score = row[y[r]], own = ByColumn ? scores_.label_margin(first + r, y[r]) : T(0);
      const T origin = own_in_origin ? score + own : score;
      const T* const c = ByColumn ? scores_.column_margins(first + r, y[r], 0, k, margins_) : nullptr;
      const batch shared = ByColumn ? T(0) : scores_.shared_margin(y[r]);
      by_batch<Batches>(k, [&](auto load, auto store, index_t j) {
        store(delta + j, (load(row + j) - batch(origin)) + (ByColumn ? load(c + j) : shared));
      });
      delta[y[r]] = (own_in_origin ? score - origin : score - score) + own;  // NaN where the score is none
    }
  }

  // No exponential exceeds one, but those of NaN.
  void lose_row(index_t r) {
    others[r] = label[r] = std::numeric_limits<T>::quiet_NaN();
    std::fill_n(exps + r * scores_.classes(), scores_.classes(), others[r]);
  }

  bool all_plain(index_t rows) {
    std::fill_n(others + rows, std::min(batch::size, capacity - rows), T(0));
    std::fill_n(label + rows, std::min(batch::size, capacity - rows), T(1));
    bool all = true;
    for (index_t r = 0; r < rows; r += batch::size) {
      const batch e = simd::load(label + r), sum = simd::load(others + r) + e;
      all &= simd::all((e >= least_plain_sum<T>)&(sum >= least_plain_sum<T>)&(sum <= greatest_plain_sum<T>));
    }
    return all;
  }

  const softmax_scores<T>& scores_;
  simd::scaled_exp<T> plain_;
  T excluded_;
  alignas(64) T input_[std::size_t(elements + simd::batch<T>::size)];
  alignas(64) T with_margins_[std::size_t(elements + simd::batch<T>::size)];
  T margins_[std::size_t(longest_row)];
};

}  // namespace weakly::inline v0::detail
