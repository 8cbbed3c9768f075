// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/matrix.hpp>
#include <weakly/core/random.hpp>
#include <weakly/core/view.hpp>
#include <weakly/noise/latent_algebra.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace weakly::inline v0 {

namespace detail {

/// Random numbers in [lo, hi] that sum to `sum`, which must lie in [n lo, n hi]. Without the bounds they are uniform on
/// the simplex: the spacings of sorted uniform numbers, which need no logarithm and so have the same bits everywhere.
/// What a number lacks to `lo` is taken from the others in proportion to what they have above it, what it has above
/// `hi` is given to the others in proportion to their room; one pass each is enough, whatever the bounds.
inline void random_parts(std::span<double> x, double sum, double lo, double hi, random_stream& random) {
  const auto n = static_cast<double>(x.size());
  if (sum <= n * lo || sum >= n * hi) {  // no room at all: what rounding leaves must not look like noise
    std::fill(x.begin(), x.end(), sum <= n * lo ? lo : hi);
    return;
  }
  for (std::size_t i = 0; i + 1 < x.size(); ++i) x[i] = random.uniform();
  x.back() = 1;
  std::sort(x.begin(), x.end());
  for (std::size_t i = x.size() - 1; i > 0; --i) x[i] = (x[i] - x[i - 1]) * sum;
  x[0] *= sum;

  double lacking = 0, spare = 0;
  for (const double p : x) (p < lo ? lacking : spare) += std::abs(p - lo);
  if (lacking > 0)
    for (double& p : x) p = p < lo || spare <= 0 ? lo : p - (p - lo) * std::min(lacking / spare, 1.0);

  double excess = 0, room = 0;
  for (const double p : x) (p > hi ? excess : room) += std::abs(hi - p);
  if (excess > 0)
    for (double& p : x) p = p > hi || room <= 0 ? hi : p + (hi - p) * std::min(excess / room, 1.0);
}

/// Chooses `wanted` of the indices [0, n) other than `left_out`, each set equally likely, and calls f with them,
/// ascending.
template <class F>
void random_subset(index_t n, index_t left_out, index_t wanted, random_stream& random, F&& f) {
  index_t candidates = n - (left_out >= 0 && left_out < n ? 1 : 0);
  for (index_t i = 0; wanted > 0 && i < n; ++i) {
    if (i == left_out) continue;
    if (static_cast<index_t>(random.below(static_cast<std::uint64_t>(candidates))) < wanted) {
      f(i);
      --wanted;
    }
    --candidates;
  }
}

inline void require_rate(std::string_view function, index_t k, double rate) {
  if (k < 2) fail<option_error>(function, ": k = ", k, " classes; noise needs two");
  if (!(rate >= 0 && rate <= 1)) fail<option_error>(function, ": rate = ", rate, "; it is a share in [0, 1]");
}

inline void require_prior(std::string_view function, std::span<const double> py, index_t k) {
  require_size(function, py, k);
  double sum = 0;
  for (std::size_t b = 0; b < py.size(); ++b) {
    if (!(py[b] >= 0 && py[b] <= 1))
      fail<value_error>(function, ": py of class ", b, " is ", py[b], "; it holds probabilities");
    sum += py[b];
  }
  if (!(std::abs(sum - 1) <= 1e-6))
    fail<value_error>(function, ": py of ", k, " classes sums to ", sum, "; divide it by its sum");
}

}  // namespace detail

/// Whether classes can still be told apart under this noise: each given label is likelier, when it is right, than
/// chance.
///
///     | sum over a, b of N(a, b) py(b) - 1 | < 1e-6    and for every c:  P(s=c) P(y=c) < P(s=c, y=c),
///     P(s) = N py,   P(s=c, y=c) = N(c, c) py(c)
///
/// noise  k x k   P(s=a|y=b), columns sum to one          py  k   distribution of the true label
///
/// A class with py = 0 makes it false, and so does NaN. Throws shape_error. O(k^2).
/// Source: Northcutt, Wu, Chuang, "Rank Pruning", UAI 2017.
template <real_matrix Noise>
bool noise_matrix_is_valid(const Noise& noise, std::span<const double> py) {
  const matrix<double> n = detail::square_copy("noise_matrix_is_valid", noise);
  const index_t k = n.rows();
  detail::require_size("noise_matrix_is_valid", py, k);
  double total = 0;
  bool learnable = true;
  for (index_t a = 0; a < k; ++a) {
    double ps = 0;
    for (index_t b = 0; b < k; ++b) ps += n(a, b) * py[static_cast<std::size_t>(b)];
    total += ps;
    const double prior = py[static_cast<std::size_t>(a)];
    learnable = learnable && ps * prior < n(a, a) * prior;
  }
  return learnable && std::abs(total - 1) < 1e-6;
}

/// Symmetric noise: a label is wrong with probability `rate`, and then each other class is equally likely.
/// N(b, b) = 1 - rate, N(a, b) = rate / (k - 1). Throws option_error for k < 2 or a rate outside [0, 1]. O(k^2).
inline matrix<double> symmetric_noise_matrix(index_t k, double rate) {
  detail::require_rate("symmetric_noise_matrix", k, rate);
  matrix<double> noise(k, k, rate / static_cast<double>(k - 1));
  for (index_t b = 0; b < k; ++b) noise(b, b) = 1 - rate;
  return noise;
}

/// Pair noise: class b is labelled as the next class, (b + 1) mod k, with probability `rate`, otherwise rightly.
/// Throws option_error for k < 2 or a rate outside [0, 1]. O(k^2).
inline matrix<double> pair_noise_matrix(index_t k, double rate) {
  detail::require_rate("pair_noise_matrix", k, rate);
  matrix<double> noise(k, k);
  for (index_t b = 0; b < k; ++b) {
    noise(b, b) = 1 - rate;
    noise((b + 1) % k, b) = rate;
  }
  return noise;
}

/// What a random noise matrix must look like.
struct noise_matrix_options {
  double min_trace_prob = 1e-5;      ///< least and
  double max_trace_prob = 1;         ///< greatest probability of a right label, over all classes
  double min_noise_rate = 0;         ///< least and
  double max_noise_rate = 1 - 1e-5;  ///< greatest of the rates off the diagonal that are not chosen to be zero
  double frac_zero_noise_rates = 0;  ///< share of the k (k - 1) rates off the diagonal that are zero, in [0, 1]
  bool valid = true;                 ///< only matrices that pass noise_matrix_is_valid
  index_t max_tries = 10000;         ///< matrices drawn before giving up
};

/// A random noise matrix, or the report that none was found.
struct noise_matrix_result {
  matrix<double> noise;  ///< k x k, P(s=a|y=b), columns sum to one up to rounding; empty when none was found
  bool found = false;
  index_t tries = 0;  ///< matrices drawn, the last one included
};

namespace detail {

/// How many zero rates each column gets. A column whose diagonal is one has nothing but zeros already; every other
/// keeps at least one rate.
inline std::vector<index_t> zero_rates_per_column(const matrix<double>& noise, double share, random_stream& random) {
  const index_t k = noise.rows();
  std::vector<index_t> zeros(static_cast<std::size_t>(k)), open;
  auto left = static_cast<index_t>(static_cast<double>(k * (k - 1)) * share);
  for (index_t b = 0; b < k; ++b) {
    if (noise(b, b) == 1)
      left -= zeros[static_cast<std::size_t>(b)] = k - 1;
    else if (k > 2)
      open.push_back(b);
  }
  for (; left > 0 && !open.empty(); --left) {
    const auto at = static_cast<std::size_t>(random.below(open.size()));
    if (++zeros[static_cast<std::size_t>(open[at])] < k - 2) continue;
    open[at] = open.back();
    open.pop_back();
  }
  return zeros;
}

/// Draws one matrix; false where it cannot keep the bounds.
inline bool draw_noise_matrix(matrix<double>& noise, double trace, const noise_matrix_options& options,
                              random_stream& random) {
  const index_t k = noise.rows();
  std::fill(noise.elements().begin(), noise.elements().end(), 0.0);
  std::vector<double> part(static_cast<std::size_t>(k));
  if (k == 2 && options.frac_zero_noise_rates >= 0.5) {
    part[0] = 1;
    part[1] = trace - 1;
    if (part[1] < options.min_trace_prob) return false;
    if (random.below(2) == 1) std::swap(part[0], part[1]);
  } else {
    random_parts(part, trace, options.min_trace_prob, options.max_trace_prob, random);
  }
  for (index_t b = 0; b < k; ++b) noise(b, b) = part[static_cast<std::size_t>(b)];
  const std::vector<index_t> zeros = zero_rates_per_column(noise, options.frac_zero_noise_rates, random);
  for (index_t b = 0; b < k; ++b) {
    const index_t rates = k - 1 - zeros[static_cast<std::size_t>(b)];
    if (rates == 0) continue;
    const double wrong = 1 - noise(b, b);
    const auto count = static_cast<double>(rates);
    if (wrong < count * options.min_noise_rate - 1e-12 || wrong > count * options.max_noise_rate + 1e-12) return false;
    const std::span<double> rate(part.data(), static_cast<std::size_t>(rates));
    random_parts(rate, wrong, options.min_noise_rate, options.max_noise_rate, random);
    std::size_t next = 0;
    random_subset(k, b, rates, random, [&](index_t a) { noise(a, b) = rate[next++]; });
  }
  return true;
}

}  // namespace detail

/// A random noise matrix whose diagonal sums to `trace`: the share of right labels of a problem with balanced classes
/// is trace / k.
///
/// k      classes, at least 2       trace  in [0, k], above 1 for a valid matrix
/// py     k   distribution of the true label; needed for a valid matrix of more than two classes, else may be empty
/// seed   the matrix is a function of the arguments, without a global generator; bounds that bind may round differently
///        where the compiler fuses products and sums
///
/// The diagonal is uniform on the simplex, scaled to its sum, where the bounds allow it, and so are the rates of each
/// column that are not zero; bounds are met by moving the excess once, so every draw ends. floor(k (k - 1)
/// frac_zero_noise_rates) rates are zero, at random places, but each column with noise keeps at least one rate.
/// Matrices that are not valid, or whose columns cannot keep their bounds, are drawn again, max_tries times in all;
/// `found` tells whether one was good. Throws option_error for bounds that no matrix meets, shape_error; value_error
/// for a py that has a NaN or a negative entry or does not sum to 1 within 1e-6. O(tries k^2), allocates O(k^2).
inline noise_matrix_result noise_matrix_with_trace(index_t k, double trace, std::span<const double> py,
                                                   std::uint64_t seed, noise_matrix_options options = {}) {
  constexpr std::string_view function = "noise_matrix_with_trace";
  using detail::fail;
  const auto classes = static_cast<double>(k);
  const auto share = [&](std::string_view name, double low, double high) {
    if (!(low >= 0 && low <= high && high <= 1))
      fail<option_error>(function, ": ", name, " in [", low, ", ", high,
                         "]; the bounds are shares in [0, 1], in order");
  };
  if (k < 2) fail<option_error>(function, ": k = ", k, " classes; noise needs two");
  share("trace_prob", options.min_trace_prob, options.max_trace_prob);
  share("noise_rate", options.min_noise_rate, options.max_noise_rate);
  share("frac_zero_noise_rates", options.frac_zero_noise_rates, options.frac_zero_noise_rates);
  if (options.max_tries < 1) fail<option_error>(function, ": max_tries = ", options.max_tries, "; give at least one");
  if (!(trace >= 0 && trace <= classes))
    fail<option_error>(function, ": trace = ", trace, " for ", k, " classes; it is a sum of as many probabilities");
  if (!(classes * options.min_trace_prob <= trace && classes * options.max_trace_prob >= trace))
    fail<option_error>(function, ": ", k, " probabilities in [", options.min_trace_prob, ", ", options.max_trace_prob,
                       "] cannot sum to trace = ", trace);
  if (options.valid && !(trace > 1))
    fail<option_error>(function, ": trace = ", trace, "; a valid noise matrix has a trace above 1");
  if (options.valid && py.empty() && k > 2)
    fail<option_error>(function, ": py is empty; whether a matrix is valid depends on the distribution of the labels");
  if (!py.empty()) detail::require_prior(function, py, k);
  if (k == 2 && options.frac_zero_noise_rates >= 0.5 && !(trace >= 1 && options.max_trace_prob == 1))
    fail<option_error>(function,
                       ": one of two rates can be zero only with max_trace_prob = 1 and a trace of at least 1");

  noise_matrix_result result{matrix<double>(k, k), false, 0};
  while (!result.found && result.tries < options.max_tries) {
    random_stream random(seed, static_cast<std::uint64_t>(result.tries++));
    result.found = detail::draw_noise_matrix(result.noise, trace, options, random) &&
                   (!options.valid || py.empty() || noise_matrix_is_valid(result.noise, py));
  }
  if (!result.found) result.noise = {};
  return result;
}

}  // namespace weakly::inline v0
