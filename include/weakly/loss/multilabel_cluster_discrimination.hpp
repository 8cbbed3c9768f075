// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/labels.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>
#include <weakly/loss/detail/column_tiles.hpp>
#include <weakly/loss/row_loss.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <string_view>
#include <type_traits>

namespace weakly::inline v0 {

namespace detail {

/// log(1 + sum of exp(s)) of scores that come block by block, with what divides exp(s - top) to give the gradient.
template <class T>
class softplus_sum {
 public:
  T top = 0;
  double sum = 0;  // of exp(s - top), without the one

  /// Takes a greater score out of what was summed before.
  void raise(T high) {
    if (!(high > top)) return;
    sum *= std::exp(double(top) - double(high));
    top = high;
  }
  double value() const { return top > T(0) ? double(top) + std::log(sum + std::exp(-double(top))) : std::log1p(sum); }
  T inverse() const { return static_cast<T>(1 / (sum + std::exp(-double(top)))); }
};

template <class T>
struct cluster_discrimination_rows {
  using batch = simd::batch<T>;
  static constexpr index_t block = row_blocks<T>::block;

  row_source<T> logits, positive, negative;
  row_sink<T> loss, grad;

  status operator()(index_t first, index_t last) const {
    status bad = no_bad_rows();
    for (index_t i = first; i < last; ++i) row(i, bad);
    return bad;
  }

 private:
  // f(first column, count, x, positive, negative)
  template <class F>
  void blocks(index_t i, const F& f) const {
    T x[std::size_t(block)], p[std::size_t(block)], n[std::size_t(block)];
    for (index_t j = 0; j < logits.columns(); j += block) {
      const index_t count = std::min(block, logits.columns() - j);
      f(j, count, logits.part(i, j, count, x), positive.part(i, j, count, p), negative.part(i, j, count, n));
    }
  }

  void row(index_t i, status& bad) const {
    constexpr T nothing = -std::numeric_limits<T>::infinity();
    softplus_sum<T> up, down;
    bool overlap = false;
    blocks(i, [&](index_t, index_t count, const T* x, const T* p, const T* n) {
      for (index_t j = 0; j < count; j += batch::size) overlap |= simd::any(marked(p, j, count) & marked(n, j, count));
      add(up, count, [&](index_t j, index_t left) {
        return simd::select(marked(n, j, count), simd::load_partial(x + j, left), nothing);
      });
      add(down, count, [&](index_t j, index_t left) {
        return simd::select(marked(p, j, count), -simd::load_partial(x + j, left), nothing);
      });
    });
    if (overlap) {
      bad.report(i);
      fill_row(loss, i, 1, T(0));
      fill_row(grad, i, logits.columns(), T(0));
      return;
    }
    const T value = static_cast<T>(up.value() + down.value());
    if (!loss.empty()) loss.put_rows(i, 1, &value);
    if (grad.empty()) return;
    const batch up_factor = up.inverse(), down_factor = down.inverse();
    blocks(i, [&](index_t column, index_t count, const T* x, const T* p, const T* n) {
      alignas(64) T g[std::size_t(block)];
      for (index_t j = 0; j < count; j += batch::size) {
        const index_t left = std::min(batch::size, count - j);
        const batch s = simd::load_partial(x + j, left);
        const auto is_p = marked(p, j, count), is_n = marked(n, j, count);
        const batch rise = up_factor * simd::exp_nonpositive(s - batch(up.top)),
                    fall = down_factor * simd::exp_nonpositive(-s - batch(down.top));
        simd::store_partial(g + j, left, simd::select(is_n, rise, simd::select(is_p, -fall, T(0))));
      }
      grad.put_part(i, column, count, g);
    });
  }

  static simd::mask<T> marked(const T* mark, index_t j, index_t count) {
    return simd::load_partial(mark + j, std::min(batch::size, count - j)) != batch(T(0));
  }

  // score(j, count) is a batch, -inf where a class does not count.
  template <class Score>
  static void add(softplus_sum<T>& sums, index_t count, const Score& score) {
    batch high = T(0);
    for (index_t j = 0; j < count; j += batch::size) high = simd::max(score(j, std::min(batch::size, count - j)), high);
    sums.raise(simd::reduce_max(high));
    const batch top = sums.top;
    alignas(64) T e[std::size_t(block)];
    for (index_t j = 0; j < count; j += batch::size) {
      const index_t left = std::min(batch::size, count - j);
      simd::store_partial(e + j, left, simd::exp_nonpositive(score(j, left) - top));
    }
    sums.sum += double(simd::sum(static_cast<const T*>(e), count));
  }
};

/// Class numbers of a row, whatever integers they are stored as.
template <class Index>
struct class_lists {
  matrix_view<const Index> list;

  index_t count() const { return list.extent(1); }
  index_t at(index_t i, index_t e) const { return static_cast<index_t>(list(i, e)); }
  bool listed(index_t i, index_t e) const { return list(i, e) >= Index(0); }

  /// Where the numbers stop ascending below k, those that are negative apart; count() where they do not.
  index_t first_unsound(index_t i, index_t k) const {
    index_t before = -1;
    for (index_t e = 0; e < count(); ++e) {
      if (!listed(i, e)) continue;
      if (!is_label(list(i, e), k) || at(i, e) <= before) return e;
      before = at(i, e);
    }
    return count();
  }
  bool is_sound(index_t i, index_t k) const { return first_unsound(i, k) == count(); }
};

/// Where in `a` a class is that `b` has too, or a.count().
template <class P, class N>
index_t first_shared(const class_lists<P>& a, const class_lists<N>& b, index_t i) {
  for (index_t x = 0, y = 0; x < a.count() && y < b.count();) {
    if (!a.listed(i, x) || (b.listed(i, y) && a.at(i, x) < b.at(i, y))) {
      ++x;
    } else if (!b.listed(i, y) || b.at(i, y) < a.at(i, x)) {
      ++y;
    } else {
      return x;
    }
  }
  return a.count();
}

/// Throws value_error for the number that makes row bad.first_bad_row one that is left out.
template <class P, class N>
void require_lists_ok(std::string_view function, const class_lists<P>& positive, const class_lists<N>& negative,
                      const status& bad, index_t k) {
  if (bad.ok()) return;
  const index_t i = bad.first_bad_row;
  const auto refuse = [&](auto number, std::string_view where) {
    fail<value_error>(function, ": class ", number, " of row ", i, where, " (", bad.count,
                      bad.count == 1 ? " such row" : " such rows", "); class numbers must ascend inside [0, ", k,
                      ") and be in one list only");
  };
  if (const index_t e = positive.first_unsound(i, k); e < positive.count())
    refuse(positive.list(i, e), " is out of order or range in `positive`");
  if (const index_t e = negative.first_unsound(i, k); e < negative.count())
    refuse(negative.list(i, e), " is out of order or range in `negative`");
  refuse(positive.at(i, first_shared(positive, negative, i)), " is in both lists");
}

template <class T, class P, class N>
struct listed_discrimination_rows {
  row_source<T> logits;
  class_lists<P> positive;
  class_lists<N> negative;
  row_sink<T> loss, grad;

  status operator()(index_t first, index_t last) const {
    status bad = no_bad_rows();
    for (index_t i = first; i < last; ++i) row(i, bad);
    return bad;
  }

 private:
  void row(index_t i, status& bad) const {
    const index_t k = logits.columns();
    if (!positive.is_sound(i, k) || !negative.is_sound(i, k) ||
        first_shared(positive, negative, i) < positive.count()) {
      bad.report(i);
      fill_row(loss, i, 1, T(0));
      return;
    }
    const softplus_sum<T> up = sum_of(i, negative, T(1)), down = sum_of(i, positive, T(-1));
    const T value = static_cast<T>(up.value() + down.value());
    if (!loss.empty()) loss.put_rows(i, 1, &value);
    if (grad.empty()) return;
    write(i, negative, T(1), up);
    write(i, positive, T(-1), down);
  }

  template <class List>
  softplus_sum<T> sum_of(index_t i, const List& list, T sign) const {
    softplus_sum<T> sums;
    for (index_t e = 0; e < list.count(); ++e)
      if (list.listed(i, e)) sums.raise(sign * logits.at(i, list.at(i, e)));
    for (index_t e = 0; e < list.count(); ++e)
      if (list.listed(i, e)) sums.sum += double(std::exp(sign * logits.at(i, list.at(i, e)) - sums.top));
    return sums;
  }

  template <class List>
  void write(index_t i, const List& list, T sign, const softplus_sum<T>& sums) const {
    const T factor = sign * sums.inverse();
    for (index_t e = 0; e < list.count(); ++e) {
      if (!list.listed(i, e)) continue;
      const index_t j = list.at(i, e);
      const T g = factor * std::exp(sign * logits.at(i, j) - sums.top);
      grad.put_part(i, j, 1, &g);
    }
  }
};

}  // namespace detail

/// Multi-label cluster discrimination: the scores of a row's positives above zero and above all of its negatives.
///
///     loss(i) = log(1 + sum over negatives j of exp(s(j))) + log(1 + sum over positives j of exp(-s(j)))
///     grad(i, j) = exp(s(j)) / (1 + sum over negatives),  -exp(-s(j)) / (1 + sum over positives),  else zero
///
/// logits    n x k  scores, scaled cosines as a rule; margins and scale are the caller's
/// positive, negative  n x k  marks; what is in neither does not count, what is in both is refused
/// loss      n or discard      grad  n x k or discard; may be the storage of `logits`
///
/// An empty set adds nothing. A NaN or +inf among a row's negatives (-inf among its positives) makes that row NaN.
/// Throws shape_error, and value_error for rows with a class in both sets: those come out as zero and all others are
/// done first. O(n k), allocates nothing. Same bits for every executor and layout. Source: MLCD, arXiv 2407.17331; the
/// same function as ZLPR, arXiv 2208.02955.
template <executor Exec, score_tensor Logits, mark_tensor Positive, mark_tensor Negative, loss_output Loss,
          loss_output Grad>
  requires readable_matrix<Logits> && readable_matrix<Positive> && readable_matrix<Negative>
void multilabel_cluster_discrimination(Exec&& ex, const Logits& logits, const Positive& positive,
                                       const Negative& negative, Loss&& loss, Grad&& grad) {
  using T = arithmetic_t<typename detail::input_view_t<Logits>::value_type>;
  constexpr const char* name = "multilabel_cluster_discrimination";
  const auto x = view(logits);
  const auto p = view(positive);
  const auto m = view(negative);
  const index_t n = x.extent(0), k = x.extent(1);
  detail::require_same_shape("multilabel_cluster_discrimination: logits and positive", x, p);
  detail::require_same_shape("multilabel_cluster_discrimination: logits and negative", x, m);
  const detail::cluster_discrimination_rows<T> rows{
      detail::row_source<T>(x), detail::row_source<T>(p), detail::row_source<T>(m),
      detail::value_sink<T>(name, "loss", loss, n), detail::gradient_sink<T>(name, grad, n, k)};
  detail::shared_status bad;
  for_row_chunks(ex, n, k, [&](index_t first, index_t last) { bad.merge(rows(first, last)); });
  require_ok(bad.load(), "multilabel_cluster_discrimination: a class is both positive and negative");
}
template <score_tensor Logits, mark_tensor Positive, mark_tensor Negative, loss_output Loss, loss_output Grad>
  requires readable_matrix<Logits> && readable_matrix<Positive> && readable_matrix<Negative>
void multilabel_cluster_discrimination(const Logits& logits, const Positive& positive, const Negative& negative,
                                       Loss&& loss, Grad&& grad) {
  multilabel_cluster_discrimination(seq, logits, positive, negative, loss, grad);
}

/// As above, with the sets as lists of class numbers: for few positives and sampled negatives among many classes.
///
/// positive  n x a, negative  n x b   class numbers in [0, k), ascending in each row; negative numbers stand for
/// nothing.
///                                    One list for all rows is a view with row stride zero
/// grad      n x k  or discard; only listed entries are written, the others stay as they are
///
/// Throws value_error for rows with a number out of range, out of order, or in both lists: their loss is zero, their
/// gradient is not written, and all others are done first. O(n (a + b)), allocates nothing.
template <executor Exec, score_tensor Logits, label_tensor Positive, label_tensor Negative, loss_output Loss,
          loss_output Grad>
  requires readable_matrix<Logits> && readable_matrix<Positive> && readable_matrix<Negative>
void listed_cluster_discrimination(Exec&& ex, const Logits& logits, const Positive& positive, const Negative& negative,
                                   Loss&& loss, Grad&& grad) {
  using T = arithmetic_t<typename detail::input_view_t<Logits>::value_type>;
  using P = typename detail::input_view_t<Positive>::value_type;
  using N = typename detail::input_view_t<Negative>::value_type;
  constexpr const char* name = "listed_cluster_discrimination";
  const auto x = view(logits);
  const matrix_view<const P> p = view(positive);
  const matrix_view<const N> m = view(negative);
  const index_t n = x.extent(0), k = x.extent(1);
  detail::require_extent("listed_cluster_discrimination: positive", p, 0, n);
  detail::require_extent("listed_cluster_discrimination: negative", m, 0, n);
  const detail::listed_discrimination_rows<T, P, N> rows{detail::row_source<T>(x),
                                                         {p},
                                                         {m},
                                                         detail::value_sink<T>(name, "loss", loss, n),
                                                         detail::gradient_sink<T>(name, grad, n, k)};
  detail::shared_status bad;
  for_row_chunks(ex, n, p.extent(1) + m.extent(1), [&](index_t first, index_t last) { bad.merge(rows(first, last)); });
  detail::require_lists_ok(name, rows.positive, rows.negative, bad.load(), k);
}
template <score_tensor Logits, label_tensor Positive, label_tensor Negative, loss_output Loss, loss_output Grad>
  requires readable_matrix<Logits> && readable_matrix<Positive> && readable_matrix<Negative>
void listed_cluster_discrimination(const Logits& logits, const Positive& positive, const Negative& negative,
                                   Loss&& loss, Grad&& grad) {
  listed_cluster_discrimination(seq, logits, positive, negative, loss, grad);
}

}  // namespace weakly::inline v0
