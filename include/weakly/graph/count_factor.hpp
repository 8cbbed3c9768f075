// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/math.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>
#include <weakly/core/workspace.hpp>
#include <weakly/graph/detail/count_tree.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace weakly::inline v0 {

namespace detail {

enum class count_outcome : std::uint8_t {
  fine,
  impossible,   ///< no assignment that the infinite log-odds allow has a finite potential: messages are NaN
  not_a_number  ///< a log-odds or a potential is NaN, or a potential +inf: messages are NaN
};

/// Messages of factors f(y_1 + ... + y_n) of up to `longest` binary variables, one factor after the other.
class count_messenger {
 public:
  static constexpr std::size_t bytes(index_t longest) {
    return count_tree::bytes(longest) + 3 * scratch_bytes<double>(longest + 1) + scratch_bytes<index_t>(longest);
  }
  count_messenger(workspace& scratch, const char* what, index_t longest)
      : tree_(scratch, what, longest),
        theta_(scratch.take<double>(what, longest + 1).data()),
        weight_(scratch.take<double>(what, longest + 1).data()),
        other_(scratch.take<double>(what, longest + 1).data()),
        order_(scratch.take<index_t>(what, longest).data()) {}

  /// theta  n      incoming log-odds, infinities allowed
  /// f      n + 1  log-potential of each count, finite or -inf
  /// out    n      outgoing log-odds; may be theta's memory
  count_outcome sum_product(const double* theta, const double* f, index_t n, double* out) {
    const fixed_values fixed = separate(theta, n);
    if (!usable(theta, f, n)) return refused(out, n, count_outcome::not_a_number);
    range allowed;
    const double* const shifted = f + fixed.up;
    if (!finite_range(shifted, free_, allowed)) return refused(out, n, count_outcome::impossible);
    double for_up = 0, for_down = 0;
    if (fixed.up + fixed.down != 0) {
      const double here = log_expectation(shifted);
      if (fixed.up != 0) for_up = here - log_expectation(shifted - 1);
      if (fixed.down != 0) for_down = log_expectation(shifted + 1) - here;
    }
    if (free_ == 0)
      expectation_ = {shifted[0], 0};
    else
      expectation_ = infer(shifted, allowed, true);
    return hand_out(theta, n, for_up, for_down, out);
  }

  /// The log of the expectation of exp f(sum), where variable i is 1 with probability sigmoid(theta_i): the logarithm
  /// of the factor's normaliser with incoming messages that sum to one. Of the last call. O(n).
  double log_value() const { return value_of(expectation_); }

  /// Best instead of sum: out_i = max of f + others' log-odds with y_i = 1, less that with y_i = 0. log_value is then
  /// the greatest f + sum of the theta with y = 1, less the sum of the positive theta.
  count_outcome max_product(const double* theta, const double* f, index_t n, double* out) {
    const fixed_values fixed = separate(theta, n);
    if (!usable(theta, f, n)) return refused(out, n, count_outcome::not_a_number);
    range allowed;
    const double* const shifted = f + fixed.up;
    if (!finite_range(shifted, free_, allowed)) return refused(out, n, count_outcome::impossible);
    for (index_t i = 0; i < free_; ++i) order_[i] = i;
    std::sort(order_, order_ + free_,
              [this](index_t a, index_t b) { return theta_[a] != theta_[b] ? theta_[a] > theta_[b] : a < b; });
    // Potentials less the greatest: sums with any finite ones do not overflow.
    const double greatest = *std::max_element(shifted + allowed.lo, shifted + allowed.hi + 1);
    const auto best = [this, greatest](const double* values) {
      double sum = 0, top = values[0] - greatest;
      for (index_t c = 1; c <= free_; ++c) {
        sum += theta_[order_[c - 1]];
        top = std::max(top, sum + (values[c] - greatest));
      }
      return top;
    };
    const double here = best(shifted);
    const double for_up = fixed.up != 0 ? here - best(shifted - 1) : 0;
    const double for_down = fixed.down != 0 ? best(shifted + 1) - here : 0;
    expectation_ = {here + greatest, 0};
    for (index_t i = 0; i < free_; ++i) expectation_.log -= std::max(theta_[i], 0.0);

    // Of the variable of rank k the others' best sums are prefix sums s_c for c <= k, s_{c + 1} - theta after it.
    // weight_ and other_: greatest s_{c + 1} + f(c + 1) and s_{c + 1} + f(c) over c >= k.
    double sum = 0;
    for (index_t c = 0; c < free_; ++c) sum += weight_[c] = theta_[order_[c]];
    double with = -infinity, without = -infinity;
    for (index_t c = free_; c-- > 0;) {
      with = std::max(with, sum + (shifted[c + 1] - greatest));
      without = std::max(without, sum + (shifted[c] - greatest));
      sum -= theta_[order_[c]];
      weight_[c] = with;
      other_[c] = without;
    }
    sum = 0;
    double up = -infinity, down = -infinity;
    for (index_t k = 0; k < free_; ++k) {
      const double own = theta_[order_[k]];
      up = std::max(up, sum + (shifted[k + 1] - greatest));
      down = std::max(down, sum + (shifted[k] - greatest));
      sum += own;
      const bool more = k + 1 < free_;
      const double one = std::max(up, more ? weight_[k + 1] - own : -infinity);
      const double zero = std::max(down, more ? other_[k + 1] - own : -infinity);
      theta_[order_[k]] = one - zero;
    }
    return hand_out(theta, n, for_up, for_down, out);
  }

  /// How often since construction the sums were made again in logarithms.
  index_t fallbacks() const { return fallbacks_; }

 private:
  // The messages to free variables, in their order in theta_, between those to variables that are fixed.
  count_outcome hand_out(const double* theta, index_t n, double for_up, double for_down, double* out) const {
    index_t next = 0;
    for (index_t i = 0; i < n; ++i) {
      const double x = theta[i];
      out[i] = x == infinity ? for_up : x == -infinity ? for_down : theta_[next];
      next += std::abs(x) != infinity;
    }
    return count_outcome::fine;
  }

  static constexpr double infinity = std::numeric_limits<double>::infinity();
  struct fixed_values {
    index_t up, down;
  };
  struct range {
    index_t lo, hi;
  };

  fixed_values separate(const double* theta, index_t n) {
    fixed_values fixed{0, 0};
    const double most = 1e300 / double(n + 1);  // so that no sum overflows
    free_ = 0;
    for (index_t i = 0; i < n; ++i) {
      if (theta[i] == infinity)
        ++fixed.up;
      else if (theta[i] == -infinity)
        ++fixed.down;
      else
        theta_[free_++] = std::clamp(theta[i], -most, most);
    }
    return fixed;
  }
  bool usable(const double* theta, const double* f, index_t n) const {
    bool fine = true;
    for (index_t i = 0; i < n; ++i) fine &= theta[i] == theta[i];
    for (index_t c = 0; c <= n; ++c) fine &= f[c] < infinity;
    return fine;
  }
  count_outcome refused(double* out, index_t n, count_outcome why) {
    std::fill_n(out, n, std::numeric_limits<double>::quiet_NaN());
    expectation_ = {why == count_outcome::impossible ? -infinity : std::numeric_limits<double>::quiet_NaN(), 0};
    return why;
  }
  static bool finite_range(const double* f, index_t n, range& r) {
    r = {0, n};
    while (r.lo <= n && f[r.lo] == -infinity) ++r.lo;
    while (r.hi >= r.lo && f[r.hi] == -infinity) --r.hi;
    return r.lo <= r.hi;
  }

  // The log of an expectation, but for the change that a shift of the log-odds makes to what they are normalised by.
  struct expectation {
    double log, shift;
  };
  double value_of(const expectation& e) const { return e.log + (e.shift != 0 ? tree_.log_norm(e.shift) : 0.0); }
  double log_expectation(const double* f) {
    range r;
    if (!finite_range(f, free_, r)) return -infinity;
    return free_ == 0 ? f[0] : value_of(infer(f, r, false));
  }

  // Messages of the free variables, in theta_'s place, and the expectation of exp f.
  expectation infer(const double* f, range r, bool messages) {
    tree_.set_variables(theta_, free_);
    if (r.hi == 0 || r.lo == free_) {  // one assignment
      const double sign = r.hi == 0 ? 1 : -1;
      double log = f[r.lo];
      for (index_t i = 0; i < free_; ++i) {
        log -= math::softplus(sign * theta_[i]);
        if (messages) theta_[i] = -sign * infinity;
      }
      return {log, 0};
    }
    const double shift = likely_shift(f, r), greatest = *std::max_element(f + r.lo, f + r.hi + 1);
    double top = -infinity;
    for (index_t c = r.lo; c <= r.hi; ++c) top = std::max(top, weight_[c] = (f[c] - greatest) - shift * double(c));
    map_batches(weight_ + r.lo, r.hi - r.lo + 1, other_, [top](simd::batch<double> x) {
      constexpr double least = -690;  // whose exponential is a normal number
      const simd::batch<double> by = x - simd::batch<double>(top);
      return simd::select(by >= simd::batch<double>(least), simd::exp(simd::max(by, least)), 0.0);
    });
    double log_sum = 0;
    bool done = false;
    for (const double cut : {0x1p-96, 0x1p-960}) {
      range kept{0, r.hi - r.lo};
      while (other_[kept.lo] < cut) ++kept.lo;
      while (other_[kept.hi] < cut) --kept.hi;
      done = tree_.run(other_ + kept.lo, r.lo + kept.lo, r.lo + kept.hi, cut);
      if (done) break;
    }
    if (done) {
      if (messages) tree_.messages(shift, theta_);
      log_sum = std::log(tree_.total());
    } else {
      for (index_t c = r.lo; c <= r.hi; ++c) weight_[c] -= top;
      ++fallbacks_;
      log_sum = tree_.run_in_logarithms(weight_ + r.lo, r.lo, r.hi, shift, messages ? theta_ : nullptr);
    }
    return {greatest + (top + log_sum), shift};
  }

  // A shift of all log-odds that moves the mean of the sum to the most probable count given f: the mode of P(c)
  // exp(f(c)), not that of f, which may lie where P is nothing.
  double likely_shift(const double* f, range r) {
    const double n = double(free_);
    double shift = 0;
    count_tree::moments m = tree_.set_shift(0);
    for (int round = 0; round < 10; ++round) {
      // The variance is taken to be 1/4 at least: tails are heavier than those of a normal with less.
      const double spread = 1 / (2 * std::max(m.variance, 0.25));
      double best = -infinity;
      index_t mode = r.lo;
      for (index_t c = r.lo; c <= r.hi; ++c) {
        const double by = double(c) - m.mean, value = f[c] - shift * by - by * by * spread;
        if (value > best) {
          best = value;
          mode = c;
        }
      }
      const double wanted = std::clamp(double(mode), 0.25, n - 0.25), deviation = std::sqrt(m.variance);
      if (std::abs(wanted - m.mean) <= std::max(0.5, 4 * deviation)) break;
      // Newton's method inside a bracket.
      const double logit = std::log(wanted / (n - wanted));
      const auto [low, high] = std::minmax_element(theta_, theta_ + free_);
      double below = logit - *high, above = logit - *low;
      for (int step = 0; step < 100; ++step) {
        const double miss = wanted - m.mean;
        if (std::abs(miss) <= std::max(0.25, 0.5 * std::sqrt(m.variance))) break;
        (miss > 0 ? below : above) = shift;
        shift += miss / m.variance;
        if (!(shift > below && shift < above)) shift = below + (above - below) / 2;
        m = tree_.set_shift(shift);
      }
    }
    return shift;
  }

  count_tree tree_;
  double *theta_, *weight_, *other_;
  index_t* order_;
  index_t free_ = 0, fallbacks_ = 0;
  expectation expectation_{0, 0};
};

}  // namespace detail

/// Bytes of workspace for one factor of n variables: about 200 n, and 2 n log2 n doubles.
constexpr std::size_t count_factor_scratch(index_t n) {
  return detail::count_messenger::bytes(n) + 2 * scratch_bytes<double>(n + 1) + 64;
}

namespace detail {

template <class Theta, class Potential, class Out, class Run>
double count_factor_messages(const char* name, const Theta& theta, const Potential& log_potential, workspace& scratch,
                             Out& out, Run run) {
  const index_t n = view(theta).extent(0);
  const row_source<double> x(as_column(view(theta))), f(as_column(view(log_potential)));
  if (view(log_potential).extent(0) != n + 1)
    fail<shape_error>(name, ": log_potential has ", view(log_potential).extent(0), " elements for ", n,
                      " variables; give one for each count from 0 to ", n);
  const auto to = value_sink<double>(name, "out", out, n, "variables", "variable");
  double* const of_variables = scratch.take<double>(name, n + 1).data();
  double* const of_counts = scratch.take<double>(name, n + 1).data();
  count_messenger messenger(scratch, name, n);
  const double* const from = x.rows(0, n, of_variables);
  const count_outcome outcome = run(messenger, from, f.rows(0, n + 1, of_counts), n, of_variables);
  if (outcome == count_outcome::impossible)
    fail<value_error>(name, ": log_potential is -inf for every count that the ", n,
                      " incoming log-odds allow; no assignment is possible");
  if (outcome == count_outcome::not_a_number)
    fail<value_error>(name, ": a log-odds is NaN, or a log_potential NaN or inf, of ", n,
                      " variables; log-odds may be infinite, potentials -inf");
  if (!to.empty() && n != 0) to.put_rows(0, n, of_variables);
  return messenger.log_value();
}

}  // namespace detail

/// Sum-product messages of a factor exp f(y_1 + ... + y_n) to its n binary variables.
///
///     out(i) = log sum over y with y_i = 1 of exp(f(sum of y) + sum over j != i of theta(j) y_j)
///              - the same with y_i = 0
///     returned: log sum over y of exp f(sum of y) product over i of sigmoid(theta(i))^y_i sigmoid(-theta(i))^(1 - y_i)
///
/// theta          n      incoming log-odds; -inf and inf hold a variable at 0 or 1, finite ones beyond 1e300 / (n + 1)
///                       count as that
/// log_potential  n + 1  f of the counts 0..n, up to a constant; -inf where a count cannot be
/// scratch               count_factor_scratch(n) bytes
/// out            n      outgoing log-odds, or discard; may be the storage of `theta`
///
/// Any f: a soft or hard count, a range, at most or at least so many, or, at most one, exactly one, arbitrary numbers.
/// A message is +-inf exactly where the other value cannot be, or is held there by others that are infinite. Others are
/// right to about 1e-13 of 1 + |out|, also in tails and where evidence contradicts f; an empty factor gives f(0). The
/// returned number is that with incoming messages that sum to one: add log(1 + exp(theta)) of each variable for those
/// of value 0 being one. With temperature T, divide theta and f by T and multiply results by it. Throws shape_error,
/// workspace_error, and value_error for NaN, for f of inf, and where no assignment is possible.
///
/// A product tree of probabilities in which nothing is subtracted, after a shift of all log-odds that makes the mode of
/// P(count) exp f the usual count: O(n^2) at most, about n^(3/2) for large n. Where more underflows than a bound on
/// what was left out allows (an f with maxima very far apart; log-odds hundreds apart and a hard count), the same tree
/// in logarithms: a hundred times slower, and to 1e-16 of the greatest sum of log-odds. Allocates nothing. Source:
/// Tarlow et al., "Fast exact inference for recursive cardinality models", UAI 2012 (the tree); Barlow and Heidtmann,
/// IEEE Trans. Reliability 1984 (the polynomial).
template <real_vector Theta, real_vector Potential, real_output Out>
double count_factor_sum(const Theta& theta, const Potential& log_potential, workspace& scratch, Out&& out) {
  return detail::count_factor_messages("count_factor_sum", theta, log_potential, scratch, out,
                                       [](detail::count_messenger& m, const double* x, const double* f, index_t n,
                                          double* to) { return m.sum_product(x, f, n, to); });
}

/// Max-product messages of the same factor: the greatest of f(sum of y) + sum over j != i of theta(j) y_j with y_i = 1,
/// less that with y_i = 0. Arguments, infinities and refusals as for count_factor_sum. Returned: the greatest of all,
/// less the sum of the positive theta, those that are infinite left out. By sorting, O(n log n); exact up to the
/// rounding of prefix sums. Source: Tarlow, Givoni, Zemel, AISTATS 2010.
template <real_vector Theta, real_vector Potential, real_output Out>
double count_factor_max(const Theta& theta, const Potential& log_potential, workspace& scratch, Out&& out) {
  return detail::count_factor_messages("count_factor_max", theta, log_potential, scratch, out,
                                       [](detail::count_messenger& m, const double* x, const double* f, index_t n,
                                          double* to) { return m.max_product(x, f, n, to); });
}

}  // namespace weakly::inline v0
