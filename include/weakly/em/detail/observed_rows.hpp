// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/math.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/softmax_rows.hpp>
#include <weakly/em/observations.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace weakly::inline v0::detail {

/// Posteriors of rows, p being the softmax of their scores and t what was observed:
///
///     q(c) = p(c) t(c) / sum of p t,   loss = -log sum of p t,   gradient by the scores = p - q
///
/// With in = sum e t and out = sum e (1 - t), e being p up to a factor, the loss is log1p(out / in) and the gradient
/// e (1 - t) / (in + out) - e t out / (in (in + out)): nowhere a difference of numbers that are nearly equal. Sums in
/// the type of the scores.
template <class T>
class observed_rows {
 public:
  using batch = simd::batch<T>;

  row_source<T> scores;
  row_source<T> log_ratio;  // 1 x k, added to every row; or empty
  observations observed;
  row_sink<T> posterior, loss, grad;

  struct report {
    status malformed = no_bad_rows();   // what was observed makes no sense
    status impossible = no_bad_rows();  // nothing that it allows has any probability

    void merge(const report& other) {
      malformed.merge(other.malformed);
      impossible.merge(other.impossible);
    }
  };

  report operator()(index_t first, index_t last) const {
    report bad;
    if (scores.columns() <= softmax_tile<T>::longest_row)
      short_rows(first, last, bad);
    else
      long_rows(first, last, bad);
    return bad;
  }

 private:
  static constexpr index_t lanes = batch::size;
  static constexpr index_t capacity = softmax_tile<T>::capacity;
  static constexpr index_t elements = softmax_tile<T>::elements;
  static constexpr index_t longest_kept = 4096;
  static constexpr index_t block = 512;

  static bool is_plain_row(T in, T out) { return in >= least_plain_sum<T> && in + out <= greatest_plain_sum<T>; }

  // e v and e (1 - v) summed over a row or a part of one.
  struct sums {
    T in = 0, out = 0;
  };
  static sums sums_of(const T* e, const T* t, index_t count) {
    batch in = T(0), out = T(0);
    index_t j = 0;
    for (; j + lanes <= count; j += lanes) {
      const batch v = simd::load(e + j), w = simd::load(t + j);
      in = simd::fma(v, w, in);
      out = simd::fma(v, T(1) - w, out);
    }
    if (j < count) {
      const batch v = simd::load_partial(e + j, count - j), w = simd::load_partial(t + j, count - j);
      in = simd::fma(v, w, in);
      out = simd::fma(v, T(1) - w, out);
    }
    return {simd::reduce_add(in), simd::reduce_add(out)};
  }

  // out[j] = f(e[j], t[j]), by whole batches: up to one batch of `out` beyond count is overwritten.
  template <class F>
  static void combine(const T* e, const T* t, index_t count, T* out, F f) {
    for (index_t j = 0; j < count; j += lanes) simd::store(out + j, f(simd::load(e + j), simd::load(t + j)));
  }
  static void posterior_of(const T* e, const T* t, index_t count, T of_in, T* q) {
    combine(e, t, count, q, [f = batch(of_in)](batch v, batch w) { return v * w * f; });
  }
  static void gradient_of(const T* e, const T* t, index_t count, T outside, T inside, T* g) {
    combine(e, t, count, g,
            [a = batch(outside), b = batch(inside)](batch v, batch w) { return v * ((batch(T(1)) - w) * a - w * b); });
  }

  void short_rows(index_t first, index_t last, report& bad) const {
    const index_t k = scores.columns(), tile_rows = softmax_tile<T>::rows_for(k);
    const simd::scaled_exp<T> plain(T(1));
    alignas(64) T e[std::size_t(elements + lanes)], t[std::size_t(elements + lanes)];
    alignas(64) T q[std::size_t(elements + lanes)], g[std::size_t(elements + lanes)];
    alignas(64) T in[std::size_t(capacity)], out[std::size_t(capacity)], log_scale[std::size_t(capacity)];
    alignas(64) T of_in[std::size_t(capacity)], outside[std::size_t(capacity)], inside[std::size_t(capacity)];
    alignas(64) T value[std::size_t(capacity)];
    T input[std::size_t(elements)], ratio_input[std::size_t(softmax_tile<T>::longest_row)];
    const T* const ratio = log_ratio.empty() ? nullptr : log_ratio.part(0, 0, k, ratio_input);

    for (index_t start = first; start < last; start += tile_rows) {
      const index_t rows = std::min(tile_rows, last - start), count = rows * k;
      const T* const x = scores.rows(start, rows, input);
      if (ratio == nullptr)
        plain_exps<T>(plain, x, nullptr, count, e, [] {});
      else
        for (index_t r = 0; r < rows; ++r) plain_exps<T>(plain, x + r * k, ratio, k, e + r * k, [] {});
      for (index_t r = 0; r < rows; ++r)
        if (!observed.weights(start + r, 0, k, t + r * k, log_scale[r])) bad.malformed.report(start + r);
      std::fill_n(e + count, lanes, T(0));
      std::fill_n(t + count, lanes, T(0));

      combine(e, t, count, q, [](batch v, batch w) { return v * w; });
      sum_short_rows(q, rows, k, in);
      combine(e, t, count, q, [](batch v, batch w) { return v * (batch(T(1)) - w); });
      sum_short_rows(q, rows, k, out);
      for (index_t r = 0; r < rows; r += lanes) {
        const batch inner = simd::load(in + r), outer = simd::load(out + r);
        const batch of = batch(T(1)) / inner, odds = outer * of, inverse = batch(T(1)) / (inner + outer);
        simd::store(of_in + r, of);
        simd::store(outside + r, inverse);
        simd::store(inside + r, odds * inverse);
        simd::store(value + r, simd::log1p_nonnegative(odds));
      }
      if (!posterior.empty())
        for (index_t r = 0; r < rows; ++r) posterior_of(e + r * k, t + r * k, k, of_in[r], q + r * k);
      if (!grad.empty())
        for (index_t r = 0; r < rows; ++r) gradient_of(e + r * k, t + r * k, k, outside[r], inside[r], g + r * k);
      for (index_t r = 0; r < rows; ++r) {
        if (!is_plain_row(in[r], out[r]))
          value[r] = exact_row(start + r, bad, [&](index_t column, index_t some, const T* qs, const T* gs) {
            std::copy_n(qs, some, q + r * k + column);
            std::copy_n(gs, some, g + r * k + column);
          });
        value[r] -= log_scale[r];
      }
      put(loss, start, rows, 1, value);
      put(posterior, start, rows, k, q);
      put(grad, start, rows, k, g);
    }
  }

  void long_rows(index_t first, index_t last, report& bad) const {
    const index_t k = scores.columns();
    const simd::scaled_exp<T> plain(T(1));
    const bool keeps = k <= longest_kept;
    alignas(64) T e[std::size_t(longest_kept + lanes)], t[std::size_t(longest_kept + lanes)];
    alignas(64) T made[std::size_t(block + lanes)];
    T input[std::size_t(block)], ratio_input[std::size_t(block)];
    for (index_t i = first; i < last; ++i) {
      bool well_formed = true;
      T log_scale = 0;
      const auto fill = [&](index_t column, index_t count) {
        const index_t at = keeps ? column : 0;
        plain_exps<T>(plain, scores.part(i, column, count, input),
                      log_ratio.empty() ? nullptr : log_ratio.part(0, column, count, ratio_input), count, e + at,
                      [] {});
        well_formed &= observed.weights(i, column, count, t + at, log_scale);
        return at;
      };
      T in = 0, out = 0;
      for (index_t j = 0; j < k; j += block) {
        const index_t count = std::min(block, k - j), at = fill(j, count);
        const sums s = sums_of(e + at, t + at, count);
        in += s.in;
        out += s.out;
      }
      if (!well_formed) bad.malformed.report(i);
      T value;
      if (is_plain_row(in, out)) {
        const T odds = out / in, inverse = T(1) / (in + out);
        value = simd::log1p_nonnegative(batch(odds))[0];
        for (index_t j = 0; j < k && !(posterior.empty() && grad.empty()); j += block) {
          const index_t count = std::min(block, k - j), at = keeps ? j : fill(j, count);
          if (!posterior.empty()) {
            posterior_of(e + at, t + at, count, T(1) / in, made);
            put_part(posterior, i, j, count, made);
          }
          if (!grad.empty()) {
            gradient_of(e + at, t + at, count, inverse, odds * inverse, made);
            put_part(grad, i, j, count, made);
          }
        }
      } else {
        value = exact_row(i, bad, [&](index_t column, index_t some, const T* qs, const T* gs) {
          put_part(posterior, i, column, some, qs);
          put_part(grad, i, column, some, gs);
        });
      }
      value -= log_scale;
      put(loss, i, 1, 1, &value);
    }
  }

  // A row whose sums leave the range: the greatest score of the classes that were observed, and of those that were not,
  // are taken out of either sum. Calls made(column, count, posteriors, gradients), which may go where the scores were.
  template <class Made>
  T exact_row(index_t i, report& bad, Made made) const {
    constexpr T nothing = -std::numeric_limits<T>::infinity();
    T z[std::size_t(block)], t[std::size_t(block)], q[std::size_t(block)], g[std::size_t(block)], log_scale;
    const auto read = [&](index_t column, index_t count) {
      T ratio[std::size_t(block)];
      const T* const x = scores.part(i, column, count, z);
      if (x != z) std::copy_n(x, count, z);
      if (!log_ratio.empty()) {
        const T* const r = log_ratio.part(0, column, count, ratio);
        for (index_t j = 0; j < count; ++j) z[j] += r[j];
      }
      observed.weights(i, column, count, t, log_scale);
    };
    const index_t k = scores.columns();
    T top_in = nothing, top_out = nothing;
    bool number = true;
    for (index_t c = 0; c < k; c += block) {
      const index_t count = std::min(block, k - c);
      read(c, count);
      for (index_t j = 0; j < count; ++j) {
        number &= z[j] < std::numeric_limits<T>::infinity() && t[j] == t[j];
        if (t[j] > 0) top_in = std::max(top_in, z[j]);
        if (t[j] < 1) top_out = std::max(top_out, z[j]);
      }
    }
    T in = 0, out = 0;
    for (index_t c = 0; c < k; c += block) {
      const index_t count = std::min(block, k - c);
      read(c, count);
      for (index_t j = 0; j < count; ++j) {
        if (t[j] > 0 && top_in > nothing) in += t[j] * std::exp(z[j] - top_in);
        if (t[j] < 1 && top_out > nothing) out += (1 - t[j]) * std::exp(z[j] - top_out);
      }
    }
    constexpr T nan = std::numeric_limits<T>::quiet_NaN();
    const T log_in = std::log(in) + top_in, log_out = out > 0 ? std::log(out) + top_out : nothing;
    const bool impossible = number && !(in > 0);
    if (impossible) bad.impossible.report(i);
    const T gap = log_out - log_in;  // log of the odds against what was observed
    const T value = !number ? nan : impossible ? std::numeric_limits<T>::infinity() : math::softplus(gap);
    const T against = math::sigmoid(gap);
    const T top = std::max(top_in, top_out),
            all = in * std::exp(top_in - top) + (out > 0 ? out * std::exp(top_out - top) : T(0));
    for (index_t c = 0; c < k; c += block) {
      const index_t count = std::min(block, k - c);
      read(c, count);
      for (index_t j = 0; j < count; ++j) {
        const bool defined = number && !impossible;
        q[j] = !defined ? nan : t[j] > 0 ? t[j] * std::exp(z[j] - top_in) / in : T(0);
        g[j] = !defined ? nan : (1 - t[j]) * (std::exp(z[j] - top) / all) - q[j] * against;
      }
      made(c, count, static_cast<const T*>(q), static_cast<const T*>(g));
    }
    return value;
  }

  static void put(const row_sink<T>& to, index_t start, index_t rows, index_t k, const T* from) {
    if (to.empty()) return;
    if (T* const dense = to.rows(start))
      std::copy_n(from, rows * k, dense);
    else
      to.put_rows(start, rows, from);
  }
  static void put_part(const row_sink<T>& to, index_t row, index_t column, index_t count, const T* from) {
    if (!to.empty()) to.put_part(row, column, count, from);
  }
};

}  // namespace weakly::inline v0::detail
