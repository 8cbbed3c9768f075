// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/math.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/workspace.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>

namespace weakly::inline v0::detail {

/// Posterior of the items of one bag, given that the number of positives is a member of a set A.
///
/// Forward and backward vectors are probabilities, not logarithms: item odds are first multiplied by one common factor
/// exp(-d), which leaves the posterior given a count as it is, and makes a member of A the likely count. The vectors
/// then need no scale: what is below `negligible` cannot matter, and is cut off their ends. Items go four at a time:
/// the vectors between are never formed, their effect is five sums of products. One forward vector in `spacing` groups
/// is kept, the rest are made again, so memory grows as b^(3/2).
class bag_counter {
  using batch = simd::batch<double>;
  static constexpr index_t group = 4;
  static constexpr index_t margin = 16;           // zeros before and after what a vector holds; no batch is longer
  static constexpr double negligible = 0x1p-500;  // products of two are normal numbers
  static constexpr double likely = 0x1p-300;      // sums so large are not touched by what was neglected
  static_assert(group + batch::size <= margin);

  struct sizes {
    index_t items, pitch, spacing, kept;
  };
  static constexpr sizes sizes_for(index_t longest) {
    const index_t groups = (longest + group - 1) / group;
    index_t spacing = 1;
    while (spacing * spacing < groups) ++spacing;
    return {(groups + 1) * group, (longest + 1 + 7) / 8 * 8 + 2 * margin, spacing, (groups + spacing - 1) / spacing};
  }

  // P(j) for lo <= j <= hi, with a margin of zeros on either side; nothing where hi < lo.
  struct counts_row {
    double* at;
    index_t lo, hi;
  };

 public:
  /// Bytes of workspace for bags of up to `longest` items.
  static constexpr std::size_t bytes(index_t longest) {
    const sizes s = sizes_for(longest);
    return scratch_bytes<double>(10 * s.items) + scratch_bytes<double>((s.kept + s.spacing + 3) * s.pitch) +
           scratch_bytes<counts_row>(s.kept + s.spacing + 1);
  }

  bag_counter(workspace& scratch, const char* what, index_t longest) : size_(sizes_for(longest)) {
    double* next = scratch.take<double>(what, 10 * size_.items).data();
    for (double** const array : {&x_, &u_, &p_, &n_, &q_, &rest_, &other_q_, &other_rest_, &member_, &weight_}) {
      *array = next;
      next += size_.items;
    }
    const index_t rows = size_.kept + size_.spacing + 1;
    double* vectors = scratch.take<double>(what, (rows + 2) * size_.pitch).data() + margin;
    kept_ = scratch.take<counts_row>(what, rows).data();
    block_ = kept_ + size_.kept;
    for (index_t r = 0; r < rows; ++r, vectors += size_.pitch) kept_[r].at = vectors;
    backward_[0] = vectors;
    backward_[1] = vectors + size_.pitch;
  }

  /// b log-odds, to be filled before infer(b).
  double* logit() { return x_; }
  /// b + 1 numbers, to be filled before infer(b): nonzero where that many positives are possible.
  double* member() { return member_; }
  /// After infer(b): P(item is positive | A) and P(item is negative | A).
  const double* posterior() const { return q_; }
  const double* against() const { return rest_; }
  /// p - posterior, from the smaller of probabilities and complements, so that differences of what is nearly one keep
  /// their digits. In memory that infer overwrites.
  const double* gradient() {
    for (index_t i = 0; i < items_; ++i) {
      const double p = math::sigmoid(x_[i]);
      other_q_[i] = x_[i] > 0 && q_[i] > 0.5 ? rest_[i] - math::sigmoid(-x_[i]) : p - q_[i];
    }
    return other_q_;
  }

  /// log P(A): -inf where A is impossible, NaN where a logit is; the posteriors are NaN then. Of a set that is possible
  /// it is finite: what no double holds is the least double.
  double infer(index_t b) {
    constexpr double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
    items_ = b;
    bool number = true;
    index_t least = 0, most = b;
    for (index_t i = 0; i < b; ++i) {
      number &= x_[i] == x_[i];
      least += x_[i] == inf;
      most -= x_[i] == -inf;
    }
    index_t lo = least, hi = most, members = 0;
    while (lo <= most && member_[lo] == 0) ++lo;
    while (hi >= lo && member_[hi] == 0) --hi;
    if (!number || hi < lo) {
      std::fill_n(q_, b, nan);
      std::fill_n(rest_, b, nan);
      return number ? -inf : nan;
    }
    for (index_t a = lo; a <= hi; ++a) members += member_[a] != 0;
    if (members == most - least + 1) {
      for (index_t i = 0; i < b; ++i) {
        q_[i] = math::sigmoid(x_[i]);
        rest_[i] = math::sigmoid(-x_[i]);
      }
      return 0;
    }

    double mean = 0, variance = 0;
    std::copy_n(x_, b, u_);
    set_probabilities();
    for (index_t i = 0; i < b; ++i) {
      mean += p_[i];
      variance += p_[i] * n_[i];
    }
    index_t below = lo - 1, above = hi + 1;  // the members next to the mean
    for (index_t a = lo; a <= hi; ++a) {
      if (member_[a] == 0) continue;
      if (double(a) <= mean)
        below = a;
      else
        above = std::min(above, a);
    }
    const double below_by = below >= lo ? mean - double(below) : inf,
                 above_by = above <= hi ? double(above) - mean : inf;
    const bool one_way = lo == hi && (lo == least || lo == most);
    if (!one_way && std::min(below_by, above_by) <= 8 * std::sqrt(variance) + 0.5) {
      for (index_t a = lo; a <= hi; ++a) weight_[a] = member_[a] != 0 ? 1 : 0;
      const double sum = run(lo, hi, q_, rest_);
      if (sum >= likely) return std::min(0.0, std::log(sum));
    }
    // An improbable set: its parts below and above the mean, each with its member next to the mean made likely. Of a
    // concave log pmf that member is the most probable of its part.
    if (above > hi) return part(lo, below, below, least, most, q_, rest_).log_p;
    if (below < lo) return part(above, hi, above, least, most, q_, rest_).log_p;
    const part_sum low = part(lo, below, below, least, most, q_, rest_);
    const part_sum high = part(above, hi, above, least, most, other_q_, other_rest_);
    // Their ratio is not taken from their logarithms, which may be as great as any logit: what the two have in common
    // cancels by hand, but for the items that the one counts as positive and the other as negative.
    const double by = (low.apart - high.apart) - sum_of_ranks(below, above);
    const double of_below = math::sigmoid(by), of_above = math::sigmoid(-by);
    const double sum = by < 0 ? high.log_p + math::softplus(by) : low.log_p + math::softplus(-by);
    for (index_t i = 0; i < b; ++i) {
      q_[i] = of_below * q_[i] + of_above * other_q_[i];
      rest_[i] = of_below * rest_[i] + of_above * other_rest_[i];
    }
    return std::min(0.0, sum);
  }

 private:
  void set_probabilities() {
    for (index_t i = 0; i < items_; i += batch::size) {
      const index_t count = std::min(batch::size, items_ - i);
      const batch u = simd::load_partial(u_ + i, count);
      const batch e = simd::exp(-simd::abs(u)), large = batch(1.0) / (batch(1.0) + e), small = e * large;
      const auto positive = u >= batch(0.0);
      simd::store_partial(p_ + i, count, simd::select(positive, large, small));
      simd::store_partial(n_ + i, count, simd::select(positive, small, large));
    }
    for (index_t i = items_; i < (items_ + group - 1) / group * group; ++i) {  // items that are never positive
      p_[i] = 0;
      n_[i] = 1;
    }
  }

  // log P of a part of A, and how far it is from that of its most probable set of items, the `anchor` greatest logits.
  struct part_sum {
    double log_p, apart;
  };

  // Sum of the logits of ranks first..last - 1, greatest first; they may cancel, so the error of each addition is kept.
  double sum_of_ranks(index_t first, index_t last) {
    double* const x = weight_;
    std::copy_n(x_, items_, x);
    std::nth_element(x, x + first, x + items_, std::greater<double>());
    std::nth_element(x + first, x + (last - 1), x + items_, std::greater<double>());
    double size = 0, sum = 0, error = 0;
    for (index_t r = first; r < last; ++r) size = std::max(size, std::abs(x[r]));
    const double unit = size > 0x1p900 ? 0x1p-64 : 1;
    for (index_t r = first; r < last; ++r) {
      const double term = x[r] * unit, next = sum + term, added = next - sum;
      error += (sum - (next - added)) + (term - added);
      sum = next;
    }
    return (sum + error) / unit;
  }

  // Members lo..hi of A, all on one side of the mean, of which `anchor` is next to it.
  part_sum part(index_t lo, index_t hi, index_t anchor, index_t least, index_t most, double* q, double* rest) {
    const index_t b = items_;
    double pivot = 0;
    if (anchor > 0) {
      std::copy_n(x_, b, weight_);
      std::nth_element(weight_, weight_ + (anchor - 1), weight_ + b, std::greater<double>());
      pivot = weight_[anchor - 1];
    }
    // The `anchor` greatest logits, the first of equals: those above the pivot and some of those at it.
    index_t at_pivot = anchor;
    for (index_t i = 0; i < b; ++i) at_pivot -= x_[i] > pivot && anchor > 0;
    const auto for_items = [&](auto f) {
      index_t left = at_pivot;
      for (index_t i = 0; i < b; ++i) {
        bool top = anchor > 0 && x_[i] > pivot;
        if (anchor > 0 && x_[i] == pivot && left > 0) {
          top = true;
          --left;
        }
        f(i, top);
      }
    };
    constexpr double least_log = std::numeric_limits<double>::lowest();
    double log_norm = 0, apart = 0;
    if (anchor == least || anchor == most) {  // then it is the only member, and one set of items is the only way
      for_items([&](index_t i, bool top) {
        q[i] = top ? 1 : 0;
        rest[i] = top ? 0 : 1;
        log_norm -= math::softplus(top ? -x_[i] : x_[i]);
      });
      return {std::max(log_norm, least_log), 0};
    }
    const double shift = likely_count(pivot, anchor), d = pivot - shift;
    // prod (1 + exp u) / prod (1 + exp x) times exp(d anchor), with the great terms of the top items cancelled by hand.
    for_items([&](index_t i, bool top) {
      const double of_u = math::softplus(top ? -u_[i] : u_[i]);
      apart += of_u;
      log_norm += of_u - math::softplus(top ? -x_[i] : x_[i]);
    });
    for (index_t a = lo; a <= hi; ++a) {
      const double w = member_[a] != 0 ? std::exp(d * double(a - anchor)) : 0;
      weight_[a] = w >= negligible ? w : 0;
    }
    while (weight_[lo] == 0) ++lo;
    while (weight_[hi] == 0) --hi;
    const double log_sum = std::log(run(lo, hi, q, rest));
    return {std::clamp(log_norm + log_sum, least_log, 0.0), apart + log_sum};
  }

  // Sets u = x - pivot + shift so that the expected count is within 1/4 of `count`, which is then at least a quarter as
  // probable as the most probable one. Logits are taken relative to the pivot first: they may be great.
  double likely_count(double pivot, index_t count) {
    const double wanted = double(count);
    double low = -std::log(4 * double(items_ - count + 1)), high = std::log(4 * wanted), shift = 0;
    for (int step = 0; step < 100; ++step) {
      for (index_t i = 0; i < items_; ++i) u_[i] = (x_[i] - pivot) + shift;
      set_probabilities();
      double mean = 0, variance = 0;
      for (index_t i = 0; i < items_; ++i) {
        mean += p_[i];
        variance += p_[i] * n_[i];
      }
      if (std::abs(mean - wanted) <= 0.25) break;
      (mean < wanted ? low : high) = shift;
      shift += (wanted - mean) / variance;
      if (!(shift > low && shift < high)) shift = low + (high - low) / 2;
    }
    return shift;
  }

  struct group_terms {
    const double *p, *n;
    double first[3], second[3];  // number of positives among items 0 and 1, and 2 and 3
    double all[group + 1];

    group_terms(const double* positive, const double* negative) : p(positive), n(negative) {
      pair(0, first);
      pair(2, second);
      all[0] = first[0] * second[0];
      all[1] = first[0] * second[1] + first[1] * second[0];
      all[2] = first[0] * second[2] + first[1] * second[1] + first[2] * second[0];
      all[3] = first[1] * second[2] + first[2] * second[1];
      all[4] = first[2] * second[2];
      for (double& e : all) e = e >= negligible ? e : 0;
    }

    void pair(int i, double* to) const {
      to[0] = n[i] * n[i + 1];
      to[1] = n[i] * p[i + 1] + p[i] * n[i + 1];
      to[2] = p[i] * p[i + 1];
    }

    /// Posterior of each item from c[m], the weight of all else where m of the four are positive.
    void posterior(const double* c, double* q, double* rest) const {
      for (int i = 0; i < int(group); ++i) {
        const double* const others = i < 2 ? second : first;
        const int partner = i ^ 1;
        double with = 0, without = 0;
        for (int m = 0; m < int(group); ++m) {
          const double o = (m < 3 ? n[partner] * others[m] : 0.0) + (m > 0 ? p[partner] * others[m - 1] : 0.0);
          with += o * c[m + 1];
          without += o * c[m];
        }
        with *= p[i];
        without *= n[i];
        q[i] = with / (with + without);
        rest[i] = without / (with + without);
      }
    }
  };

  group_terms terms(index_t g) const { return group_terms(p_ + g * group, n_ + g * group); }

  // Cuts off what is negligible at the ends and puts zeros there.
  static void trim(counts_row& row) {
    while (row.lo <= row.hi && !(row.at[row.lo] >= negligible)) ++row.lo;
    while (row.hi >= row.lo && !(row.at[row.hi] >= negligible)) --row.hi;
    if (row.hi < row.lo) return;
    std::fill_n(row.at + row.lo - group, group, 0.0);
    std::fill_n(row.at + row.hi + 1, group + batch::size, 0.0);
  }

  // to(j) = P(j positives among the items up to and with group g), for those j from which lo..hi can be reached.
  void step(const counts_row& from, index_t g, index_t lo, index_t hi, counts_row& to) const {
    const group_terms t = terms(g);
    const index_t left = std::max(index_t(0), items_ - (g + 1) * group);
    to.lo = std::max(from.lo, lo - left);
    to.hi = from.hi < from.lo ? to.lo - 1 : std::min(from.hi + group, hi);
    const batch e0 = t.all[0], e1 = t.all[1], e2 = t.all[2], e3 = t.all[3], e4 = t.all[4];
    for (index_t j = to.lo; j <= to.hi; j += batch::size) {
      const double* const f = from.at + j;
      batch sum = e0 * simd::load(f);
      sum = simd::fma(e1, simd::load(f - 1), sum);
      sum = simd::fma(e2, simd::load(f - 2), sum);
      sum = simd::fma(e3, simd::load(f - 3), sum);
      sum = simd::fma(e4, simd::load(f - 4), sum);
      simd::store(to.at + j, sum);
    }
    trim(to);
  }

  // Sum of P(a) weight(a) over lo <= a <= hi; where it is likely, also the posteriors.
  double run(index_t lo, index_t hi, double* q, double* rest) {
    const index_t groups = (items_ + group - 1) / group, spacing = size_.spacing;
    const index_t blocks = (groups + spacing - 1) / spacing;
    kept_[0].lo = kept_[0].hi = 0;
    kept_[0].at[0] = 1;
    trim(kept_[0]);
    const auto block_end = [&](index_t k) { return std::min(groups, (k + 1) * spacing) - k * spacing; };
    // block_[r] becomes the vector before group k spacing + r; the first one is kept_[k].
    const auto vector = [&](index_t k, index_t r) -> counts_row& { return r == 0 ? kept_[k] : block_[r]; };
    for (index_t k = 0; k < blocks; ++k)
      for (index_t r = 0; r < block_end(k); ++r)
        step(vector(k, r), k * spacing + r, lo, hi,
             r + 1 == block_end(k) && k + 1 < blocks ? kept_[k + 1] : block_[r + 1]);
    const counts_row& last = block_[block_end(blocks - 1)];
    double sum = 0;
    counts_row after{backward_[0], std::max(lo, last.lo), std::min(hi, last.hi)};
    for (index_t a = after.lo; a <= after.hi; ++a) sum += last.at[a] * weight_[a];
    if (!(sum >= likely)) return sum;

    for (index_t a = after.lo; a <= after.hi; ++a) after.at[a] = weight_[a];
    trim(after);
    double* spare = backward_[1];
    for (index_t k = blocks; k-- > 0;) {
      if (k + 1 < blocks)
        for (index_t r = 0; r + 1 < block_end(k); ++r) step(vector(k, r), k * spacing + r, lo, hi, block_[r + 1]);
      for (index_t r = block_end(k); r-- > 0;) {
        const index_t g = k * spacing + r;
        counts_row before{spare, 0, 0};
        step_back(vector(k, r), g, after, before, q + g * group, rest + g * group);
        spare = after.at;
        after = before;
      }
    }
    return sum;
  }

  // before(j) = weight of A where j positives came before group g; on the way the posteriors of that group.
  void step_back(const counts_row& forward, index_t g, const counts_row& after, counts_row& before, double* q,
                 double* rest) const {
    const group_terms t = terms(g);
    before.lo = std::max(forward.lo, after.lo - group);
    before.hi = std::min(forward.hi, after.hi);
    const batch e0 = t.all[0], e1 = t.all[1], e2 = t.all[2], e3 = t.all[3], e4 = t.all[4];
    batch c0 = 0.0, c1 = 0.0, c2 = 0.0, c3 = 0.0, c4 = 0.0;
    for (index_t j = before.lo; j <= before.hi; j += batch::size) {
      const double* const a = after.at + j;
      const batch f = simd::load(forward.at + j);
      const batch a0 = simd::load(a), a1 = simd::load(a + 1), a2 = simd::load(a + 2), a3 = simd::load(a + 3),
                  a4 = simd::load(a + 4);
      c0 = simd::fma(f, a0, c0);
      c1 = simd::fma(f, a1, c1);
      c2 = simd::fma(f, a2, c2);
      c3 = simd::fma(f, a3, c3);
      c4 = simd::fma(f, a4, c4);
      batch sum = e0 * a0;
      sum = simd::fma(e1, a1, sum);
      sum = simd::fma(e2, a2, sum);
      sum = simd::fma(e3, a3, sum);
      sum = simd::fma(e4, a4, sum);
      simd::store(before.at + j, sum);
    }
    trim(before);
    const double c[] = {simd::reduce_add(c0), simd::reduce_add(c1), simd::reduce_add(c2), simd::reduce_add(c3),
                        simd::reduce_add(c4)};
    t.posterior(c, q, rest);
  }

  sizes size_;
  index_t items_ = 0;
  double *x_, *u_, *p_, *n_, *q_, *rest_, *other_q_, *other_rest_, *member_, *weight_;
  counts_row *kept_, *block_;
  double* backward_[2];
};

}  // namespace weakly::inline v0::detail
