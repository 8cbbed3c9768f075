// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/half.hpp>
#include <weakly/core/labels.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>
#include <weakly/em/candidate_sets.hpp>
#include <weakly/em/detail/impossible_row.hpp>
#include <weakly/em/detail/wide_rows.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace weakly::inline v0 {

struct candidate_list_posterior_options {
  impossible_row impossible = impossible_row::refuse;
};

namespace detail {

template <class T>
class list_posteriors {
  using batch = simd::batch<T>;
  static constexpr index_t block = 256, enough = 32;  // more requests at once would wait for each other

 public:
  row_source<T> scores;
  candidate_sets sets;
  row_sink<T> posterior;

  void operator()(index_t first, index_t last, status& malformed, status& impossible) const {
    piece pieces[2];
    pieces[0].last = first;
    read(pieces[0], last);
    for (index_t turn = 0; pieces[turn].first < last; turn = 1 - turn) {
      pieces[1 - turn].last = pieces[turn].last;
      read(pieces[1 - turn], last);
      if (pieces[turn].count < 0)
        long_row(pieces[turn].first, malformed, impossible);
      else
        short_rows(pieces[turn], pieces[1 - turn], malformed, impossible);
    }
  }

 private:
  // The rows [first, last), which have `count` slots from `begin` on; -1 for a single row with more than a block.
  struct piece {
    index_t first, last, begin, count;
    index_t label[std::size_t(block)];
    const T* score[std::size_t(block)];  // null where it is not to be read, or must be converted
  };

  index_t slot(index_t row) const { return static_cast<index_t>(sets.slot(row)); }

  void put(index_t slot_at, index_t count, const T* from) const {
    if (T* const dense = posterior.rows(slot_at))
      std::copy_n(from, count, dense);
    else
      posterior.put_rows(slot_at, count, from);
  }

  // The next rows after piece.last that fit.
  void read(piece& p, index_t last) const {
    p.first = p.last;
    p.count = 0;
    if (p.first == last) return;
    p.begin = slot(p.first);
    for (; p.last < last && p.count < enough; ++p.last) {
      const index_t count = slot(p.last + 1) - p.begin;
      if (count > block) break;
      p.count = count;
    }
    if (p.last == p.first) {
      ++p.last;
      p.count = -1;
      return;
    }
    sets.labels(p.begin, p.count, p.label);
    for (index_t i = p.first, s = 0; i < p.last; ++i) {
      const T* const x = scores.direct(i);
      for (const index_t end = slot(i + 1) - p.begin; s < end; ++s)
        p.score[s] = x != nullptr && is_label(p.label[s], scores.columns()) ? x + p.label[s] : nullptr;
    }
  }

  // Scores of candidates lie far apart: those of the piece behind are asked for one by one, while others are in use.
  void short_rows(const piece& p, const piece& behind, status& malformed, status& impossible) const {
    constexpr T inf = std::numeric_limits<T>::infinity();
    alignas(64) T z[std::size_t(block + batch::size)];
    index_t good = p.first;  // rows before it are well formed, and so are all where it is p.last
    for (index_t i = p.first, s = 0; i < p.last; ++i) {
      const index_t from = s, end = slot(i + 1) - p.begin;
      bool valid = true;
      for (index_t before = -1; s < end; before = p.label[s++]) {
        valid &= p.label[s] > before && p.label[s] < scores.columns();
        if (s < behind.count) simd::prefetch(behind.score[s]);
        z[s] = !valid ? T(0) : p.score[s] != nullptr ? *p.score[s] : scores.at(i, p.label[s]);
      }
      good += valid && good == i;
      if (!valid) malformed.report(i);
      batch top = -inf;
      auto numbers = top == top;
      for (index_t j = from; j < end; j += batch::size) {
        const batch v = simd::load_partial(static_cast<const T*>(z) + j, std::min(batch::size, end - j), -inf);
        top = simd::max(v, top);
        numbers = numbers & (v < batch(inf));
      }
      const T greatest = simd::reduce_max(top);
      const bool number = simd::all(numbers);
      if (valid && number && !(greatest > -inf)) impossible.report(i);
      const T shift = number && greatest > -inf ? greatest : std::numeric_limits<T>::quiet_NaN();
      for (index_t j = from; j < end; ++j) z[j] -= shift;
    }
    std::fill_n(z + p.count, batch::size, T(0));
    for (index_t j = 0; j < p.count; j += batch::size)
      simd::store(z + j, simd::exp_nonpositive(simd::load(static_cast<const T*>(z) + j)));
    for (index_t i = p.first, from = 0; i < p.last; ++i) {
      const index_t end = slot(i + 1) - p.begin;
      batch sum = T(0);
      for (index_t j = from; j < end; j += batch::size)
        sum += simd::load_partial(static_cast<const T*>(z) + j, std::min(batch::size, end - j));
      const batch inverse = T(1) / simd::reduce_add(sum);
      for (index_t j = from; j < end; j += batch::size) {
        const index_t some = std::min(batch::size, end - j);
        simd::store_partial(z + j, some, simd::load_partial(static_cast<const T*>(z) + j, some) * inverse);
      }
      if (good != p.last && sets.valid(i)) put(p.begin + from, end - from, z + from);
      from = end;
    }
    if (good == p.last) put(p.begin, p.count, z);
  }

  // Block by block, as often as it takes.
  void long_row(index_t i, status& malformed, status& impossible) const {
    constexpr T inf = std::numeric_limits<T>::infinity();
    if (!sets.valid(i)) {
      malformed.report(i);
      return;
    }
    alignas(64) T z[std::size_t(block)];
    T top = -inf, shift = 0;
    bool number = true;
    batch sum = T(0);
    const auto for_blocks = [&](auto f) {
      index_t label[std::size_t(block)];
      for (index_t s = slot(i); s < slot(i + 1); s += block) {
        const index_t count = std::min(block, slot(i + 1) - s);
        sets.labels(s, count, label);
        for (index_t j = 0; j < count; ++j) z[j] = scores.at(i, label[j]);
        f(s, count);
      }
    };
    const auto exps = [&](index_t j, index_t some) {
      return simd::exp_nonpositive(simd::load_partial(static_cast<const T*>(z) + j, some, -inf) - batch(shift));
    };
    for_blocks([&](index_t, index_t count) {
      for (index_t j = 0; j < count; ++j) {
        number &= z[j] < inf;
        top = std::max(top, z[j]);
      }
    });
    if (number && !(top > -inf)) impossible.report(i);
    shift = number && top > -inf ? top : std::numeric_limits<T>::quiet_NaN();
    for_blocks([&](index_t, index_t count) {
      for (index_t j = 0; j < count; j += batch::size) sum += exps(j, std::min(batch::size, count - j));
    });
    const batch inverse = T(1) / simd::reduce_add(sum);
    for_blocks([&](index_t s, index_t count) {
      for (index_t j = 0; j < count; j += batch::size) {
        const index_t some = std::min(batch::size, count - j);
        simd::store_partial(z + j, some, exps(j, some) * inverse);
      }
      put(s, count, z);
    });
  }
};

}  // namespace detail

/// Posterior over the true label of each row inside its list of candidates, written beside the lists: nothing of size
/// n x k is written, and of the scores only those of candidates are read.
///
///     posterior(s) = exp(scores(i, c)) / sum over c' in list i of exp(scores(i, c')),   c the label in slot s of list
///     i
///
/// scores     [..., k]  logits, or log-probabilities up to a constant of the row; -inf means probability zero
/// lists                made by candidate_lists
/// posterior  m         a slot for each label of all lists; slots that no row owns stay as they are
///
/// What label_posterior gives for the same sets, up to rounding; exactly one in a list of one. A row with a NaN or +inf
/// among its candidates, or with -inf throughout, comes out as NaN, and no other row does. Throws shape_error;
/// label_error where offsets run backwards or past the end, before anything is written, and for lists with labels
/// outside [0, k), unsorted or repeated, whose slots stay as they are; value_error for impossible rows, empty lists
/// among them, unless kept. All other rows are done first. O(n + m), allocates nothing. Same bits for every executor,
/// layout and batch. Source: Feng, Lv, Han et al., "Provably consistent partial-label learning", NeurIPS 2020.
template <executor Exec, score_tensor Scores, real_output Posterior>
void candidate_list_posterior(Exec&& ex, const Scores& scores, const candidate_sets& lists, Posterior&& posterior,
                              const candidate_list_posterior_options& options = {}) {
  constexpr const char* name = "candidate_list_posterior";
  using T = arithmetic_t<typename detail::input_view_t<Scores>::value_type>;
  const auto rows = as_rows(view(scores));
  const index_t n = rows.extent(0), k = rows.extent(1), slots = lists.slots();
  detail::require_sets(name, lists, n, k);
  if (slots < 0)
    detail::fail<shape_error>(name, ": the sets are masks or bits, which have no slots; pass candidate_lists");
  const auto out = detail::as_column(view(posterior));
  if (out.extent(0) != slots)
    detail::fail<shape_error>(name, ": posterior has ", out.extent(0), " elements for ", slots, " labels in the lists");
  // One after the other, because lists that overlap would be written by several threads.
  status malformed = no_bad_rows();
  for (index_t i = 0; i < n; ++i)
    if (lists.slot(i) > lists.slot(i + 1) || lists.slot(i + 1) > static_cast<std::uint64_t>(slots)) malformed.report(i);
  detail::require_well_formed(name, malformed);
  if (n == 0) return;
  const detail::list_posteriors<T> work{detail::row_source<T>(rows), lists, detail::row_sink<T>(out)};
  detail::shared_status bad_rows, impossible_rows;
  for_row_chunks(ex, n, 64, [&](index_t first, index_t last) {
    status bad = no_bad_rows(), impossible = no_bad_rows();
    work(first, last, bad, impossible);
    bad_rows.merge(bad);
    impossible_rows.merge(impossible);
  });
  detail::require_well_formed(name, bad_rows.load());
  detail::require_possible(name, "row", impossible_rows.load(), options.impossible);
}
template <score_tensor Scores, real_output Posterior>
void candidate_list_posterior(const Scores& scores, const candidate_sets& lists, Posterior&& posterior,
                              const candidate_list_posterior_options& options = {}) {
  candidate_list_posterior(seq, scores, lists, posterior, options);
}

}  // namespace weakly::inline v0
