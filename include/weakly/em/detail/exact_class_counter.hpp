// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/workspace.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <numeric>
#include <span>

namespace weakly::inline v0::detail {

/// Posterior of the classes of the items of one bag, given how many items each class has. A state says how many items
/// of each class were seen; it also says how many items were seen, so the states of all steps share one array.
class exact_class_counter {
  static constexpr double nothing = -std::numeric_limits<double>::infinity();

 public:
  /// States with these counts: the product of count + 1, or the greatest index_t where that is more.
  template <class Count>
  static index_t states(index_t classes, const Count& count) {
    constexpr index_t most = std::numeric_limits<index_t>::max();
    index_t product = 1;
    for (index_t c = 0; c < classes; ++c) {
      const index_t n = std::max(index_t(0), count(c));
      if (n >= most / product) return most;
      product *= n + 1;
    }
    return product;
  }

  static constexpr std::size_t bytes(index_t states, index_t longest, index_t classes) {
    return 2 * scratch_bytes<double>(states) + 3 * scratch_bytes<double>(longest * classes) +
           scratch_bytes<double>(longest) + 3 * scratch_bytes<index_t>(classes);
  }

  exact_class_counter(workspace& scratch, const char* what, index_t states, index_t longest, index_t classes)
      : classes_(classes),
        forward_(scratch.take<double>(what, states)),
        backward_(scratch.take<double>(what, states)),
        score_(scratch.take<double>(what, longest * classes)),
        posterior_(scratch.take<double>(what, longest * classes)),
        gradient_(scratch.take<double>(what, longest * classes)),
        level_(scratch.take<double>(what, longest)),
        count_(scratch.take<index_t>(what, classes)),
        stride_(scratch.take<index_t>(what, classes)),
        seen_(scratch.take<index_t>(what, classes)) {}

  /// b x k logits and k counts, to be filled before infer(b).
  double* score() { return score_.data(); }
  index_t* count() { return count_.data(); }
  /// After infer(b), b x k each.
  const double* posterior() const { return posterior_.data(); }
  const double* gradient() const { return gradient_.data(); }

  /// log P(counts): -inf where they are impossible, NaN where an item has no distribution; the rest is NaN then.
  double infer(index_t b) {
    const index_t k = classes_;
    double log_norm = 0;
    for (index_t i = 0; i < b; ++i) {
      double* const z = row(score_, i);
      double* const p = row(gradient_, i);
      double top = nothing, sum = 0;
      bool number = true;
      for (index_t c = 0; c < k; ++c) {
        number &= z[c] == z[c];
        top = std::max(top, z[c]);
      }
      for (index_t c = 0; c < k; ++c) {
        z[c] -= top;  // NaN for a row of -inf alone and for +inf
        sum += p[c] = std::exp(z[c]);
      }
      if (!number || sum != sum) return give_up(b, std::numeric_limits<double>::quiet_NaN());
      for (index_t c = 0; c < k; ++c) p[c] /= sum;
      log_norm += std::log(sum);
    }
    index_t total = 0, size = 1;
    bool counts = true;
    for (index_t c = k; c-- > 0;) {
      counts &= count_[at(c)] >= 0 && count_[at(c)] <= b;
      if (!counts) break;
      stride_[at(c)] = size;
      size *= count_[at(c)] + 1;
      total += count_[at(c)];
    }
    if (!counts || total != b) return give_up(b, nothing);

    std::fill_n(seen_.begin(), k, index_t(0));
    for (index_t s = 0, step = 0; s < size; ++s, step += next()) {
      double top = s == 0 ? 0.0 : nothing, sum = 0;
      const double* const z = step > 0 ? row(score_, step - 1) : nullptr;
      for_classes([&](index_t c) { return seen_[at(c)] > 0; },
                  [&](index_t c) { top = std::max(top, forward_[at(s - stride_[at(c)])] + z[c]); });
      if (top == nothing || s == 0) {
        forward_[at(s)] = top;
        continue;
      }
      for_classes([&](index_t c) { return seen_[at(c)] > 0; },
                  [&](index_t c) { sum += std::exp(forward_[at(s - stride_[at(c)])] + z[c] - top); });
      forward_[at(s)] = top + std::log(sum);
    }
    const double all = forward_[at(size - 1)];
    if (all == nothing) return give_up(b, nothing);

    std::fill_n(posterior_.begin(), b * k, 0.0);
    std::fill_n(level_.begin(), b, nothing);
    std::copy_n(count_.begin(), k, seen_.begin());
    index_t step = b;
    for (index_t s = size; s-- > 0; step += previous()) {
      if (s == size - 1) {
        backward_[at(s)] = 0;
        continue;
      }
      const double* const z = row(score_, step);
      double* const q = row(posterior_, step);
      const auto open = [&](index_t c) { return seen_[at(c)] < count_[at(c)]; };
      double top = nothing, sum = 0;
      for_classes(open, [&](index_t c) { top = std::max(top, backward_[at(s + stride_[at(c)])] + z[c]); });
      if (top == nothing) {
        backward_[at(s)] = nothing;
        continue;
      }
      // Relative to the likeliest state after as many items. Relative to `all`, which is as great as its terms where
      // those are, the shares of an item would add up to more or less than one.
      const double level = forward_[at(s)] + top;
      double& highest = level_[at(step)];
      if (level > highest) {
        const double scale = std::exp(highest - level);
        for (index_t c = 0; c < k; ++c) q[c] *= scale;
        highest = level;
      }
      const double share = level == nothing ? 0 : std::exp(level - highest);
      for_classes(open, [&](index_t c) {
        const double e = std::exp(backward_[at(s + stride_[at(c)])] + z[c] - top);
        sum += e;
        q[c] += share * e;
      });
      backward_[at(s)] = top + std::log(sum);
    }
    for (index_t i = 0; i < b; ++i) {
      double* const q = row(posterior_, i);
      const double sum = std::accumulate(q, q + k, 0.0);
      for (index_t c = 0; c < k; ++c) row(gradient_, i)[c] -= q[c] /= sum;
    }
    return std::min(0.0, all - log_norm);
  }

 private:
  static std::size_t at(index_t i) { return static_cast<std::size_t>(i); }
  double* row(std::span<double> matrix, index_t i) const { return matrix.data() + i * classes_; }

  template <class Condition, class F>
  void for_classes(const Condition& condition, const F& f) const {
    for (index_t c = 0; c < classes_; ++c)
      if (condition(c)) f(c);
  }

  double give_up(index_t b, double value) {
    std::fill_n(posterior_.begin(), b * classes_, std::numeric_limits<double>::quiet_NaN());
    std::fill_n(gradient_.begin(), b * classes_, std::numeric_limits<double>::quiet_NaN());
    return value;
  }

  // The next state in the order of the array, or the one before; by how much the number of items seen changes.
  index_t next() {
    index_t change = 0;
    for (index_t c = classes_; c-- > 0;) {
      if (seen_[at(c)] < count_[at(c)]) {
        ++seen_[at(c)];
        return change + 1;
      }
      change -= seen_[at(c)];
      seen_[at(c)] = 0;
    }
    return change;
  }
  index_t previous() {
    index_t change = 0;
    for (index_t c = classes_; c-- > 0;) {
      if (seen_[at(c)] > 0) {
        --seen_[at(c)];
        return change - 1;
      }
      seen_[at(c)] = count_[at(c)];
      change += seen_[at(c)];
    }
    return change;
  }

  index_t classes_;
  std::span<double> forward_, backward_, score_, posterior_, gradient_, level_;
  std::span<index_t> count_, stride_, seen_;
};

}  // namespace weakly::inline v0::detail
