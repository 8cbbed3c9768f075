// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/detail/logistic.hpp>
#include <weakly/core/detail/map_batches.hpp>
#include <weakly/core/math.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/workspace.hpp>
#include <weakly/graph/detail/correlate.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace weakly::inline v0::detail {

/// Weights g(0), g(1) of either value of each of n independent binary variables, given a weight F of their sum: of
/// variable i, g(y) = sum over c of P(the others sum to c) F(c + y).
///
/// A tree over blocks of up to 32 variables. Upwards, the pmf of the sum of each node, the convolution of those of its
/// children; downwards, of each node g as a function of its sum, the correlation of its parent's with its sibling's
/// pmf. No term is negative, so nothing cancels. Tails of pmfs whose mass is below `cut` are left out, which takes it
/// from n^2 to about n^(3/2); g is known one count beyond either end, because a variable may move the sum of its node
/// by one. So no g misses more than the tails' masses times the greatest F, and a g that is much greater is right.
class count_tree {
  using batch = simd::batch<double>;
  static constexpr index_t lanes = batch::size;
  static constexpr index_t block = 32;
  static constexpr index_t margin = correlation::margin;

  struct node {
    double* at;  // of counts lo..hi
    index_t lo, hi, leaves;
    index_t left, right;  // of blocks -1
  };
  struct sizes {
    index_t blocks, each, groups, levels;
    constexpr index_t variables() const { return groups * each * lanes; }
    constexpr index_t padded() const { return blocks * each; }
  };
  static constexpr sizes sizes_for(index_t n) {
    sizes s{};
    s.blocks = n <= block ? 1 : (n + block - 1) / block;
    s.each = n < 1 ? 1 : (n + s.blocks - 1) / s.blocks;
    s.groups = (s.blocks + lanes - 1) / lanes;
    s.levels = 1;
    while ((index_t(1) << (s.levels - 1)) < s.blocks) ++s.levels;
    return s;
  }
  static constexpr index_t blocks_for(index_t longest) { return longest / block + 1; }
  static constexpr index_t variables_for(index_t longest) { return longest + blocks_for(longest) + lanes * block; }
  static constexpr index_t tables_for(index_t longest) {
    const index_t up = (longest + 2 * blocks_for(longest)) * sizes_for(longest).levels + 2 * block;
    index_t levels = 1;
    while ((index_t(1) << (levels - 1)) < longest) ++levels;
    return std::max(up, (levels + 1) * 2 * (longest + 1));  // the second, in logarithms, at another time
  }
  static constexpr index_t path_for(index_t longest) {
    return 2 * (longest + blocks_for(longest)) + (sizes_for(longest).levels + 8) * (2 * margin + block + 4);
  }
  static constexpr index_t nodes_for(index_t longest) { return 2 * blocks_for(longest); }

 public:
  static constexpr std::size_t bytes(index_t longest) {
    return 3 * scratch_bytes<double>(longest + lanes) + 4 * scratch_bytes<double>(variables_for(longest)) +
           scratch_bytes<double>(variables_for(longest) + blocks_for(longest) + lanes) +
           scratch_bytes<double>((block + 1) * block / 2 * lanes) + scratch_bytes<double>(tables_for(longest)) +
           scratch_bytes<double>(path_for(longest)) + scratch_bytes<node>(nodes_for(longest));
  }

  count_tree(workspace& scratch, const char* what, index_t longest) {
    for (double** const array : {&theta_, &one_, &zero_}) *array = scratch.take<double>(what, longest + lanes).data();
    for (double** const array : {&p_, &q_, &g0_, &g1_})
      *array = scratch.take<double>(what, variables_for(longest)).data();
    of_blocks_ = scratch.take<double>(what, variables_for(longest) + blocks_for(longest) + lanes).data();
    prefix_ = scratch.take<double>(what, (block + 1) * block / 2 * lanes).data();
    tables_ = scratch.take<double>(what, tables_for(longest)).data();
    path_ = scratch.take<double>(what, path_for(longest)).data();
    nodes_ = scratch.take<node>(what, nodes_for(longest)).data();
  }

  /// The log-odds of n >= 1 variables, all finite.
  void set_variables(const double* theta, index_t n) {
    n_ = n;
    size_ = sizes_for(n);
    std::copy_n(theta, n, theta_);
    std::fill_n(theta_ + n, rounded() - n, -std::numeric_limits<double>::infinity());
  }

  /// Makes variable i true with probability sigmoid(theta + shift). Returns mean and variance of the sum.
  struct moments {
    double mean, variance;
  };
  moments set_shift(double shift) {
    batch mean = 0.0, variance = 0.0;
    for (index_t e = 0; e < rounded(); e += lanes) {
      const batch u = simd::load(theta_ + e) + batch(shift), x = simd::exp(-simd::abs(u));
      const sigmoid_parts<double> s = sigmoids_of(u, x);
      simd::store(one_ + e, s.up);
      simd::store(zero_ + e, s.down);
      mean += s.up;
      variance = simd::fma(s.up, s.down, variance);
    }
    spread_ = false;
    return {simd::reduce_add(mean), simd::reduce_add(variance)};
  }

  /// log of the product over all variables of (1 + exp(theta + shift)) / (1 + exp(theta)).
  double log_norm(double shift) const {
    batch sum = 0.0;
    for (index_t e = 0; e < rounded(); e += lanes) {
      const batch x = simd::load(theta_ + e), u = x + batch(shift);
      sum += softplus_of(u, simd::exp(-simd::abs(u))) - softplus_of(x, simd::exp(-simd::abs(x)));
    }
    return simd::reduce_add(sum);
  }

  /// weight[c - lo] = F(c) for lo <= c <= hi, of which the greatest is 1. Returns whether g has been found.
  bool run(const double* weight, index_t lo, index_t hi, double cut) {
    if (!spread_)
      for_slots([&](index_t i, index_t slot, index_t count) {
        simd::store(p_ + slot, simd::load_partial(one_ + i, count, 0.0));
        simd::store(q_ + slot, simd::load_partial(zero_ + i, count, 1.0));
      });
    spread_ = true;
    lo_ = lo;
    hi_ = hi;
    cut_ = cut;
    used_ = 0;
    blocks_up();
    next_node_ = size_.blocks;
    double* const root = path_ + margin;
    const index_t top = build(0, size_.blocks);
    std::fill_n(root - margin, margin, 0.0);
    std::copy(weight, weight + (hi - lo + 1), root);
    std::fill_n(root + (hi - lo + 1), margin, 0.0);
    std::fill_n(of_blocks_, size_.groups * (size_.each + 1) * lanes, 0.0);
    total_ = 0;
    down(top, root, lo, hi);
    blocks_down();

    const double least = cut * 0x1p53 * double(4 * next_node_ + 4);
    for_slots([&](index_t i, index_t slot, index_t count) {
      simd::store_partial(zero_ + i, count, simd::load(g0_ + slot));
      simd::store_partial(one_ + i, count, simd::load(g1_ + slot));
    });
    batch small = 1.0;
    for (index_t e = 0; e < rounded(); e += lanes) {
      const batch g = simd::min(simd::load(zero_ + e), simd::load(one_ + e));
      small = simd::min(simd::select(simd::first_lanes<double>(std::min(lanes, n_ - e)), g, 1.0), small);
    }
    return simd::reduce_min(small) >= least;
  }
  /// After run: the expectation of F.
  double total() const { return total_; }
  /// After run: out[i] = log g(1) - log g(0) + shift.
  void messages(double shift, double* out) const {
    map_batches(zero_, one_, n_, out, [=](batch g0, batch g1) { return simd::log(g1 / g0) + batch(shift); });
  }

  /// The same in logarithms throughout, for whatever underflows: slow, and right for all finite numbers.
  /// log_weight[c - lo] for lo <= c <= hi, finite or -inf; out may be nullptr. Returns the log of the expectation.
  double run_in_logarithms(const double* log_weight, index_t lo, index_t hi, double shift, double* out) {
    double* const root = path_ + margin;
    shift_ = shift;
    log_build(0, n_, 0);
    fill_margins(root, hi - lo + 1, -std::numeric_limits<double>::infinity());
    std::copy(log_weight, log_weight + (hi - lo + 1), root);
    const double* const all = log_pmf(0, 0);
    double top = -std::numeric_limits<double>::infinity(), sum = 0;
    for (index_t c = lo; c <= hi; ++c) top = std::max(top, all[c] + log_weight[c - lo]);
    for (index_t c = lo; c <= hi; ++c) sum += std::exp(all[c] + log_weight[c - lo] - top);
    if (out != nullptr) {
      log_down(0, n_, 0, root, lo, hi);
      for (index_t i = 0; i < n_; ++i) out[i] = (one_[i] - zero_[i]) + shift;
    }
    return top + std::log(sum);
  }

 private:
  index_t rounded() const { return (n_ + lanes - 1) / lanes * lanes; }

  // f(i, slot, count): variables i..i + count - 1 lie from `slot` on. Lanes are blocks; block b holds b, b + blocks,
  // ...
  template <class F>
  void for_slots(F f) const {
    for (index_t l = 0; l < size_.each; ++l)
      for (index_t g = 0; g < size_.groups; ++g) {
        const index_t b = g * lanes, i = l * size_.blocks + b;
        f(std::min(i, n_), (g * size_.each + l) * lanes,
          std::clamp(std::min(size_.blocks - b, n_ - i), index_t(0), lanes));
      }
  }
  // Counts of a node of so many leaves that some count in lo_..hi_ can come from.
  index_t least_count(index_t leaves) const { return std::max(index_t(0), lo_ - (size_.padded() - leaves)); }
  index_t most_count(index_t leaves) const { return std::min(leaves, hi_); }
  index_t first_known(const node& v) const { return std::max(v.lo - 1, least_count(v.leaves)); }
  index_t last_known(const node& v) const { return std::min(v.hi + 1, most_count(v.leaves)); }

  void trim(node& v) const {
    double below = 0, above = 0;
    while (v.lo < v.hi && (below += v.at[0]) < cut_) {
      ++v.at;
      ++v.lo;
    }
    while (v.hi > v.lo && (above += v.at[v.hi - v.lo]) < cut_) --v.hi;
  }

  void blocks_up() {
    const index_t each = size_.each;
    batch pmf[std::size_t(block + 1)];
    double buffer[std::size_t((block + 1) * lanes)];
    for (index_t g = 0; g < size_.groups; ++g) {
      pmf[0] = 1.0;
      for (index_t l = 0; l < each; ++l) {
        const batch p = simd::load(p_ + (g * each + l) * lanes), q = simd::load(q_ + (g * each + l) * lanes);
        pmf[l + 1] = p * pmf[l];
        for (index_t c = l; c > 0; --c) pmf[c] = simd::fma(p, pmf[c - 1], q * pmf[c]);
        pmf[0] = q * pmf[0];
      }
      for (index_t c = 0; c <= each; ++c) simd::store(buffer + c * lanes, pmf[c]);
      for (index_t b = g * lanes; b < std::min((g + 1) * lanes, size_.blocks); ++b) {
        node& v = nodes_[b];
        v = {tables_ + used_, least_count(each), most_count(each), each, -1, -1};
        for (index_t c = v.lo; c <= v.hi; ++c) v.at[c - v.lo] = buffer[c * lanes + b % lanes];
        used_ += each + 1;
        trim(v);
      }
    }
  }

  // Of blocks first..last - 1; what the root's sum is distributed like nobody asks.
  index_t build(index_t first, index_t last) {
    if (last - first == 1) return first;
    const index_t middle = first + (last - first) / 2;
    const index_t left = build(first, middle), right = build(middle, last), id = next_node_++;
    const node &a = nodes_[left], &b = nodes_[right];
    node& v = nodes_[id];
    v = {tables_ + used_, 0, 0, a.leaves + b.leaves, left, right};
    if (last - first == size_.blocks) return id;
    v.lo = std::max(a.lo + b.lo, least_count(v.leaves));
    v.hi = std::min(a.hi + b.hi, most_count(v.leaves));
    if (v.hi < v.lo) {  // all that is possible was cut
      v.lo = v.hi = std::clamp(v.lo, least_count(v.leaves), most_count(v.leaves));
      v.at[0] = 0;
      ++used_;
      return id;
    }
    double* const x = path_ + margin;
    const index_t size = b.hi - b.lo + 1, weights = a.hi - a.lo + 1;
    fill_margins(x, size, 0.0);
    std::copy_n(b.at, size, x);
    correlation{a.at + (weights - 1), -1, weights, x, size, v.lo - a.lo - b.lo - (weights - 1)}.run(v.at,
                                                                                                    v.hi - v.lo + 1);
    used_ += v.hi - v.lo + 1;
    trim(v);
    return id;
  }

  static void fill_margins(double* x, index_t size, double with) {
    std::fill_n(x - margin, margin, with);
    std::fill_n(x + size, margin, with);
  }

  // g of counts lo..hi of node `id`.
  void down(index_t id, double* g, index_t lo, index_t hi) {
    const node& v = nodes_[id];
    if (v.left < 0) {
      double* const to = of_blocks_ + (id / lanes) * (size_.each + 1) * lanes + id % lanes;
      for (index_t c = lo; c <= std::min(hi, size_.each); ++c) to[c * lanes] = g[c - lo];
      if (size_.blocks == 1)
        for (index_t c = std::max(lo, v.lo); c <= std::min(hi, v.hi); ++c) total_ += v.at[c - v.lo] * g[c - lo];
      return;
    }
    double* const of_child = g + (hi - lo + 1) + 2 * margin;
    for (const bool left : {true, false}) {
      const index_t to = left ? v.left : v.right;
      const node &child = nodes_[to], &sibling = nodes_[left ? v.right : v.left];
      const index_t first = first_known(child), last = last_known(child);
      correlation{sibling.at, 1, sibling.hi - sibling.lo + 1, g, hi - lo + 1, first + sibling.lo - lo}.run(
          of_child, last - first + 1);
      if (left && id == next_node_ - 1)
        for (index_t c = child.lo; c <= child.hi; ++c) total_ += child.at[c - child.lo] * of_child[c - first];
      down_trimmed(to, of_child, first, last);
    }
  }

  // Without a variable the pmf of a node is at most 2 max(pmf(c), pmf(c + 1)), because it is 0 or 1 with probability
  // 1/2 at least: where that times g adds up to less than the cut, g is not needed.
  void down_trimmed(index_t id, double* g, index_t lo, index_t hi) {
    const node& v = nodes_[id];
    const auto most = [&](index_t c) {
      double p = 0;
      for (index_t d = std::max(c - 1, v.lo); d <= std::min(c + 1, v.hi); ++d) p = std::max(p, v.at[d - v.lo]);
      return 2 * p * g[c - lo];
    };
    index_t first = lo, last = hi;
    for (double sum = 0; first < last && (sum += most(first)) < cut_;) ++first;
    for (double sum = 0; last > first && (sum += most(last)) < cut_;) --last;
    fill_margins(g + (first - lo), last - first + 1, 0.0);
    down(id, g + (first - lo), first, last);
  }

  void blocks_down() {
    const index_t each = size_.each;
    batch g[std::size_t(block + 1)];
    for (index_t group = 0; group < size_.groups; ++group) {
      const double* const p_of = p_ + group * each * lanes;
      const double* const q_of = q_ + group * each * lanes;
      // prefix_: for each l the pmf of the sum of the l variables before it, in l + 1 batches.
      simd::store(prefix_, batch(1.0));
      double* before = prefix_;
      for (index_t l = 0; l + 1 < each; ++l) {
        const batch p = simd::load(p_of + l * lanes), q = simd::load(q_of + l * lanes);
        double* const next = before + (l + 1) * lanes;
        batch last = 0.0;
        for (index_t c = 0; c <= l; ++c) {
          const batch here = simd::load(before + c * lanes);
          simd::store(next + c * lanes, simd::fma(p, last, q * here));
          last = here;
        }
        simd::store(next + (l + 1) * lanes, p * last);
        before = next;
      }
      for (index_t c = 0; c <= each; ++c) g[c] = simd::load(of_blocks_ + (group * (each + 1) + c) * lanes);
      for (index_t l = each; l-- > 0;) {
        const batch p = simd::load(p_of + l * lanes), q = simd::load(q_of + l * lanes);
        batch without = 0.0, with = 0.0;
        for (index_t c = 0; c <= l; ++c) {
          const batch here = simd::load(before + c * lanes);
          without = simd::fma(here, g[c], without);
          with = simd::fma(here, g[c + 1], with);
          g[c] = simd::fma(p, g[c + 1], q * g[c]);
        }
        simd::store(g0_ + (group * each + l) * lanes, without);
        simd::store(g1_ + (group * each + l) * lanes, with);
        before -= l * lanes;
      }
    }
  }

  double* log_pmf(index_t level, index_t first) { return tables_ + level * 2 * (n_ + 1) + 2 * first; }

  void log_build(index_t first, index_t last, index_t level) {
    double* const out = log_pmf(level, first);
    if (last - first == 1) {
      const double u = theta_[first] + shift_;
      out[0] = -math::softplus(u);
      out[1] = -math::softplus(-u);
      return;
    }
    const index_t middle = first + (last - first) / 2, weights = middle - first + 1, size = last - middle + 1;
    log_build(first, middle, level + 1);
    log_build(middle, last, level + 1);
    double* const x = path_ + margin;
    fill_margins(x, size, -std::numeric_limits<double>::infinity());
    std::copy_n(log_pmf(level + 1, middle), size, x);
    correlation{log_pmf(level + 1, first) + (weights - 1), -1, weights, x, size, -(weights - 1)}.run_logarithms(
        out, last - first + 1);
  }

  void log_down(index_t first, index_t last, index_t level, double* g, index_t lo, index_t hi) {
    if (last - first == 1) {
      constexpr double inf = std::numeric_limits<double>::infinity();
      zero_[first] = lo <= 0 && hi >= 0 ? g[-lo] : -inf;
      one_[first] = lo <= 1 && hi >= 1 ? g[1 - lo] : -inf;
      return;
    }
    const index_t middle = first + (last - first) / 2;
    double* const of_child = g + (hi - lo + 1) + 2 * margin;
    for (const bool left : {true, false}) {
      const index_t a = left ? first : middle, b = left ? middle : last, s = left ? middle : first;
      const index_t leaves = b - a, others = (last - first) - leaves;
      fill_margins(of_child, leaves + 1, -std::numeric_limits<double>::infinity());
      correlation{log_pmf(level + 1, s), 1, others + 1, g, hi - lo + 1, -lo}.run_logarithms(of_child, leaves + 1);
      log_down(a, b, level + 1, of_child, 0, leaves);
    }
  }

  sizes size_{};
  bool spread_ = false;
  index_t n_ = 0, lo_ = 0, hi_ = 0, used_ = 0, next_node_ = 0;
  double cut_ = 0, total_ = 0, shift_ = 0;
  double *theta_, *one_, *zero_;  // of variables, in whole batches: log-odds, then P(1) and P(0), at last g(1) and g(0)
  double *p_, *q_, *g0_, *g1_, *of_blocks_, *prefix_, *tables_, *path_;
  node* nodes_;
};

}  // namespace weakly::inline v0::detail
