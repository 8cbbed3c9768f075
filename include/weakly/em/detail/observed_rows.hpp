// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/detail/map_batches.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/line_stream.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/softmax_rows.hpp>
#include <weakly/em/detail/exact_observed_row.hpp>
#include <weakly/em/observations.hpp>

#include <algorithm>
#include <cstddef>
#include <limits>

namespace weakly::inline v0::detail {

/// Posteriors of rows, p being the softmax of their scores and t what was observed:
///
///     q(c) = p(c) t(c) / sum of p t,   loss = -log sum of p t,   gradient by the scores = p - q
///
/// With in = sum e t and out = sum e (1 - t), e being p up to a factor, the loss is log1p(out / in) and the gradient
/// e (1 - t) / (in + out) - e t out / (in (in + out)): nowhere a difference of numbers that are nearly equal. Sums in
/// the type of the scores; in double, with logarithms of t, in rows that stay out of its range with their greatest
/// score taken out.
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

  bool stream = false;  // past the caches, because what is written is too large to stay in them

  report operator()(index_t first, index_t last) const {
    report bad;
    if (scores.columns() <= longest_kept)
      kept_rows(first, last, bad);
    else
      long_rows(first, last, bad);
    if (stream) simd::stream_fence();
    return bad;
  }

 private:
  static constexpr index_t lanes = batch::size;
  static constexpr index_t capacity = softmax_tile<T>::capacity;
  static constexpr index_t longest_kept = 16384 / index_t(sizeof(T));
  static constexpr index_t block = 512;
  static_assert(longest_kept >= softmax_tile<T>::elements);

  // A row is plain where its sum over what was observed reaches one, no exponential of it exceeds the other and none is
  // lost: quotients are finite then. What is not plain may be so once its greatest score is taken out, and is settled
  // then where what is lost is less than a rounding of both sums. That does not depend on what is asked for.
  static constexpr T least_plain = sizeof(T) == 4 ? T(0x1p-50) : T(0x1p-480);
  static constexpr T greatest_plain = sizeof(T) == 4 ? T(0x1p50) : T(0x1p480);
  // Scores below it have a probability of zero in T in every plain row.
  static constexpr T vanishing = sizeof(T) == 4 ? T(-140) : T(-1080);

  // Plain exponentials e of some classes: sums of e t and e (1 - t), the least and the greatest e.
  struct parts {
    T in = 0, out = 0;
    T least = std::numeric_limits<T>::max(), greatest = 0;
    bool lost = false;  // what was taken for zero and is not

    // Whether NaN, infinity or what would overflow or was lost may be among them, even where nothing of it was
    // observed.
    bool beyond() const { return lost || !(greatest <= greatest_plain); }
    bool settled() const { return in >= least_plain && greatest <= greatest_plain && (!lost || out >= least_plain); }
  };

  class plain_parts {
   public:
    /// u = e t and, where `outside`, v = e (1 - t) in the place of t; e = exp(x + c), c zero where it is null, and zero
    /// for an excluded class.
    template <class Between>
    parts split(const T* x, const T* c, index_t count, T* u, T* t, bool outside, Between between) const {
      parts p = outside ? split<true>(x, c, count, u, t, between) : split<false>(x, c, count, u, t, between);
      if (!(p.least > floor_)) clear_excluded(x, c, count, u, t, outside, p);
      return p;
    }

    /// As `split` for a row less its greatest score, which `room` gets.
    parts split_shifted(const T* x, const T* c, index_t count, T* room, T* u, T* t) const {
      map_batches(x, count, room, [top = batch(simd::max(x, count))](batch b) { return b - top; });
      return split(room, c, count, u, t, true, nothing_between());
    }

    /// Whether a row has an exponential that is no plain one.
    bool beyond(const T* x, const T* c, index_t count) const {
      batch greatest = T(0);
      bool lost = false;
      for (index_t j = 0; j < count; j += lanes) {
        const index_t left = std::min(lanes, count - j);
        batch b = simd::load_partial(x + j, left);
        if (c != nullptr) b += simd::load_partial(c + j, left);
        const batch e = exp_(b);
        greatest = simd::max(greatest, e);
        lost |= simd::any((b > batch(vanishing)) & (e <= batch(floor_)));
      }
      return lost || !(simd::reduce_max(greatest) <= greatest_plain);
    }

   private:
    template <bool Outside, class Between>
    parts split(const T* x, const T* c, index_t count, T* u, T* t, Between between) const {
      const simd::scaled_exp<T> f = exp_;  // a copy stays in registers
      parts p;
      batch in = T(0), out = T(0), least = p.least, greatest = T(0);
      index_t j = 0;
      for (; j + 4 * lanes <= count; j += 4 * lanes) {
        batch e[4];
        simd::prefetch_lines(x + j + 32 * simd::line_size<T>, 4 * lanes);
        if (c == nullptr)
          simd::unroll<4>([&](auto i) { e[i] = simd::load(x + j + i * lanes); });
        else
          simd::unroll<4>([&](auto i) { e[i] = simd::load(x + j + i * lanes) + simd::load(c + j + i * lanes); });
        f.template each<4>(e);
        least = simd::min(least, simd::min(simd::min(e[0], e[1]), simd::min(e[2], e[3])));
        greatest = simd::max(greatest, simd::max(simd::max(e[0], e[1]), simd::max(e[2], e[3])));
        simd::unroll<4>([&](auto i) {
          const batch w = simd::load(static_cast<const T*>(t) + j + i * lanes), inner = e[i] * w;
          simd::store(u + j + i * lanes, inner);
          if constexpr (Outside) {
            const batch outer = e[i] * (batch(T(1)) - w);
            simd::store(t + j + i * lanes, outer);
            out += outer;
          }
          e[i] = inner;
        });
        in += (e[0] + e[1]) + (e[2] + e[3]);
        for (index_t lines = 0; lines < 4 * lanes; lines += 2 * simd::line_size<T>) between();
      }
      for (; j < count; j += lanes) {
        const index_t left = std::min(lanes, count - j);
        const auto some = simd::first_lanes<T>(left);
        batch e = simd::load_partial(x + j, left);
        if (c != nullptr) e += simd::load_partial(c + j, left);
        e = simd::select(some, f(e), T(1));
        const batch w = simd::load_partial(static_cast<const T*>(t) + j, left), inner = e * w;
        least = simd::min(least, e);
        greatest = simd::max(greatest, e);
        simd::store_partial(u + j, left, inner);
        in += inner;
        if constexpr (Outside) {
          const batch outer = simd::select(some, e * (batch(T(1)) - w), T(0));
          simd::store_partial(t + j, left, outer);
          out += outer;
        }
      }
      p.in = simd::reduce_add(in);
      if constexpr (Outside) p.out = simd::reduce_add(out);
      p.least = simd::reduce_min(least);
      p.greatest = simd::reduce_max(greatest);
      return p;
    }

    void clear_excluded(const T* x, const T* c, index_t count, T* u, T* v, bool outside, parts& p) const {
      for_batches<T>(count, [&](auto at) {
        batch z = at.load(x);
        if (c != nullptr) z += at.load(c);
        const auto gone = exp_(z) <= batch(floor_);
        p.lost |= simd::any(gone & (z > batch(vanishing)));
        at.store(u, simd::select(gone, T(0), at.load(u)));
        if (outside) at.store(v, simd::select(gone, T(0), at.load(v)));
      });
      p.in = simd::sum(static_cast<const T*>(u), count);
      if (outside) p.out = simd::sum(static_cast<const T*>(v), count);
    }

    simd::scaled_exp<T> exp_{T(1)};
    T floor_ = exp_.floor();
  };

  // One of the two outputs, which takes rows piece by piece: a piece goes to memory while the next one is made.
  class output {
   public:
    output(const row_sink<T>& to, index_t first, T* room, bool stream)
        : to_(to),
          room_(room),
          dense_(to.empty() ? nullptr : to.rows(first)),
          first_(first),
          streams_(stream && dense_ != nullptr),
          lines_(streams_ ? dense_ : room) {}

    bool wanted() const { return !to_.empty(); }
    /// Writes what waits.
    void drain() { lines_.drain(); }
    /// Takes a row that stays as it is until the next drain, and multiplies it on the way; only where `streams()`.
    void put_scaled(const T* row, T scale, index_t k) { lines_.queue(row, scale, T(-0.0), k); }
    bool streams() const { return streams_; }
    /// Where the next piece is to be made, once nothing waits.
    T* room() { return room_; }
    void put(index_t start, index_t rows, index_t k) {
      if (streams_)
        lines_.queue(room_, T(1), T(-0.0), rows * k);  // x - 0 is x for either zero
      else if (dense_ != nullptr)
        std::copy_n(room_, rows * k, dense_ + (start - first_) * k);
      else if (wanted())
        to_.put_rows(start, rows, room_);
    }
    /// Writes two lines of what waits.
    WEAKLY_INLINE void step() {
      lines_.step();
      lines_.step();
    }
    void finish() {
      lines_.drain();
      if (streams_) lines_.flush();
    }

   private:
    const row_sink<T>& to_;
    T* room_;
    T* dense_;
    index_t first_;
    bool streams_;
    line_stream<T> lines_;
  };

  // Inline, unlike a lambda: a call would take all registers from the loop that it stands in.
  struct step_both {
    output &first, &second;
    WEAKLY_INLINE void operator()() const {
      first.step();
      second.step();
    }
  };

  // What the sums of each row of a tile make of it.
  struct terms {
    alignas(64) T in[std::size_t(capacity)], out[std::size_t(capacity)];
    alignas(64) T of_in[std::size_t(capacity)], outside[std::size_t(capacity)], inside[std::size_t(capacity)];
    alignas(64) T value[std::size_t(capacity)];

    /// Whether no row has too small a sum.
    bool fill(index_t rows, bool with_outside) {
      std::fill_n(in + rows, std::min(lanes, capacity - rows), T(1));
      if (!with_outside) std::fill_n(out, rows, T(0));
      std::fill_n(out + rows, std::min(lanes, capacity - rows), T(0));
      bool plain = true;
      for (index_t r = 0; r < rows; r += lanes) {
        const batch inner = simd::load(static_cast<const T*>(in) + r),
                    outer = simd::load(static_cast<const T*>(out) + r);
        const batch of = batch(T(1)) / inner;
        plain &= simd::all(inner >= least_plain);
        simd::store(of_in + r, of);
        if (!with_outside) continue;
        const batch odds = outer * of, inverse = batch(T(1)) / (inner + outer);
        simd::store(outside + r, inverse);
        simd::store(inside + r, odds * inverse);
        simd::store(value + r, simd::log1p_nonnegative(odds));
      }
      return plain;
    }
  };

  // out(row) = make(row)(element, ...) by whole batches: up to one beyond the last row is overwritten.
  template <int Batches, class Make>
  static void make_rows_of(index_t rows, index_t k, T* out, Make make) {
    for (index_t r = 0; r < rows; ++r) {
      const auto f = make(r);
      const index_t at = r * k;
      if constexpr (Batches > 0)
        simd::unroll<Batches>([&](auto b) { simd::store(out + at + b * lanes, f(at + b * lanes)); });
      else
        for (index_t j = 0; j < k; j += lanes) simd::store(out + at + j, f(at + j));
    }
  }
  template <class Make>
  static void make_rows(index_t rows, index_t k, T* out, Make make) {
    if (k <= lanes)
      make_rows_of<1>(rows, k, out, make);
    else if (k <= 2 * lanes)
      make_rows_of<2>(rows, k, out, make);
    else
      make_rows_of<0>(rows, k, out, make);
  }
  // What the whole sum consists of is one: x (1 / x) need not be.
  static void posterior_rows(const T* u, const T* in, const T* of_in, index_t rows, index_t k, T* q) {
    make_rows(rows, k, q, [=](index_t r) {
      return [u, all = batch(in[r]), f = batch(of_in[r])](index_t j) {
        const batch x = simd::load(u + j);
        return simd::select(x == all, T(1), x * f);
      };
    });
  }
  static bool holds(const T* u, index_t k, T x) {
    auto none = batch(x) != batch(x);
    index_t j = 0;
    for (; j + 4 * lanes <= k; j += 4 * lanes) {
      simd::unroll<4>([&](auto i) { none = none | (simd::load(u + j + i * lanes) == batch(x)); });
    }
    for (; j < k; j += lanes) none = none | (simd::load_partial(u + j, std::min(lanes, k - j)) == batch(x));
    return simd::any(none);
  }
  static void gradient_rows(const T* u, const T* v, const T* outside, const T* inside, index_t rows, index_t k, T* g) {
    make_rows(rows, k, g, [=](index_t r) {
      return [u, v, a = batch(outside[r]), b = batch(-inside[r])](index_t j) {
        return simd::fma(simd::load(v + j), a, simd::load(u + j) * b);
      };
    });
  }

  void kept_rows(index_t first, index_t last, report& bad) const {
    const index_t k = scores.columns();
    const bool single = k > softmax_tile<T>::longest_row, outside = !loss.empty() || !grad.empty();
    const index_t tile_rows = single ? 1 : softmax_tile<T>::rows_for(k);
    const plain_parts plain;
    constexpr auto room = std::size_t(longest_kept + lanes);
    alignas(64) T inner[2][room], v[room], q[room], g[room];
    T input[std::size_t(longest_kept)], ratio_input[std::size_t(longest_kept)], log_scale[std::size_t(capacity)];
    terms of;
    output posteriors(posterior, first, q, stream), gradients(grad, first, g, stream);
    const T* const ratio = log_ratio.empty() ? nullptr : log_ratio.part(0, 0, k, ratio_input);

    for (index_t start = first; start < last; start += tile_rows) {
      const index_t rows = std::min(tile_rows, last - start), count = rows * k;
      const T* const x = scores.rows(start, rows, input);
      T* const u = inner[(start - first) % 2];
      observed.weights_of_rows(start, rows, v, log_scale, bad.malformed);
      bool beyond = false;
      if (single || ratio == nullptr) {
        const parts p = plain.split(x, ratio, count, u, v, outside, step_both{posteriors, gradients});
        beyond = p.beyond();
        of.in[0] = p.in;
        of.out[0] = p.out;
      } else {
        for (index_t r = 0; r < rows; ++r)
          beyond |= plain.split(x + r * k, ratio, k, u + r * k, v + r * k, outside, nothing_between()).beyond();
      }
      std::fill_n(u + count, lanes, T(0));
      std::fill_n(v + count, lanes, T(0));
      if (!single) {
        fold_short_rows<row_sum<T>>(u, rows, k, of.in);
        if (outside) fold_short_rows<row_sum<T>>(v, rows, k, of.out);
      }
      T *const to_q = posteriors.room(), *const to_g = gradients.room();
      posteriors.drain();
      gradients.drain();
      index_t unsettled[std::size_t(capacity)], unsettled_rows = 0;
      if (!of.fill(rows, outside) || beyond) {
        for (index_t r = 0; r < rows; ++r) {
          const index_t at = r * k;
          if (of.in[r] >= least_plain && !(beyond && plain.beyond(x + at, ratio, k))) continue;
          status reported_already = no_bad_rows();
          observed.weights_of_rows(start + r, 1, to_g, log_scale + r, reported_already);
          const parts p = plain.split_shifted(x + at, ratio, k, to_q, u + at, to_g);
          of.in[r] = p.in;
          of.out[r] = p.out;
          std::copy_n(to_g, k, v + at);
          if (p.settled()) continue;
          // Left to be done in double. Sums of one, so that nothing slow is done with it here.
          unsettled[unsettled_rows++] = r;
          of.in[r] = 1;
          of.out[r] = 0;
          std::fill_n(u + at, k, T(0));
          std::fill_n(v + at, k, T(0));
        }
        of.fill(rows, outside);
      }
      const bool scaled_later = single && unsettled_rows == 0 && posteriors.streams() && !holds(u, k, of.in[0]);
      if (posteriors.wanted() && !scaled_later) posterior_rows(u, of.in, of.of_in, rows, k, to_q);
      if (gradients.wanted()) gradient_rows(u, v, of.outside, of.inside, rows, k, to_g);
      for (index_t left = 0; left < unsettled_rows; ++left) {
        const index_t r = unsettled[left];
        log_scale[r] = 0;
        of.value[r] = exact_kept_row(start + r, bad, [&](index_t column, index_t some, const T* qs, const T* gs) {
          if (posteriors.wanted()) std::copy_n(qs, some, to_q + r * k + column);
          if (gradients.wanted()) std::copy_n(gs, some, to_g + r * k + column);
        });
      }
      if (!loss.empty()) {
        for (index_t r = 0; r < rows; ++r) of.value[r] -= log_scale[r];
        loss.put_rows(start, rows, of.value);
      }
      if (scaled_later)
        posteriors.put_scaled(u, of.of_in[0], k);
      else
        posteriors.put(start, rows, k);
      gradients.put(start, rows, k);
    }
    posteriors.finish();
    gradients.finish();
  }

  // Rows too long to keep: their parts are made once for the sums and once more for what is written.
  void long_rows(index_t first, index_t last, report& bad) const {
    const index_t k = scores.columns();
    const bool outside = !loss.empty() || !grad.empty();
    const plain_parts plain;
    alignas(64) T u[std::size_t(block + lanes)], v[std::size_t(block + lanes)], made[std::size_t(block + lanes)];
    T input[std::size_t(block)], ratio_input[std::size_t(block)];
    terms of;
    for (index_t i = first; i < last; ++i) {
      bool well_formed = true;
      observed_row found;
      const auto split = [&](index_t column, index_t count) {
        well_formed &= observed.weights(i, column, count, v, found);
        return plain.split(scores.part(i, column, count, input),
                           log_ratio.empty() ? nullptr : log_ratio.part(0, column, count, ratio_input), count, u, v,
                           outside, nothing_between());
      };
      of.in[0] = of.out[0] = 0;
      bool beyond = false;
      for (index_t j = 0; j < k; j += block) {
        const parts p = split(j, std::min(block, k - j));
        of.in[0] += p.in;
        of.out[0] += p.out;
        beyond |= p.beyond();
      }
      if (!well_formed) bad.malformed.report(i);
      if (of.fill(1, outside) && !beyond) {
        for (index_t j = 0; j < k && !(posterior.empty() && grad.empty()); j += block) {
          const index_t count = std::min(block, k - j);
          split(j, count);
          if (!posterior.empty()) {
            posterior_rows(u, of.in, of.of_in, 1, count, made);
            put_part(posterior, i, j, count, made);
          }
          if (!grad.empty()) {
            gradient_rows(u, v, of.outside, of.inside, 1, count, made);
            put_part(grad, i, j, count, made);
          }
        }
        of.value[0] -= static_cast<T>(found.log_scale);
      } else {
        of.value[0] =
            exact_row()(i, nullptr, bad.impossible, [&](index_t column, index_t some, const T* qs, const T* gs) {
              put_part(posterior, i, column, some, qs);
              put_part(grad, i, column, some, gs);
            });
      }
      put_part(loss, i, 0, 1, of.value);
    }
  }

  template <class Made>
  T exact_kept_row(index_t i, report& bad, Made made) const {
    double log_t[std::size_t(longest_kept)];
    observed_row found;
    observed.log_likelihoods(i, 0, scores.columns(), log_t, found);
    return exact_row()(i, log_t, bad.impossible, made);
  }

  exact_observed_row<T> exact_row() const { return {scores, log_ratio, observed}; }

  static void put_part(const row_sink<T>& to, index_t row, index_t column, index_t count, const T* from) {
    if (!to.empty()) to.put_part(row, column, count, from);
  }
};

}  // namespace weakly::inline v0::detail
