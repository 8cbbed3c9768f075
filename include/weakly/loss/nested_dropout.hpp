// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/random.hpp>
#include <weakly/core/view.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

namespace weakly::inline v0 {

struct nested_dropout_options {
  double mean = 0;
  double deviation = 50;  ///< in features; the exponent has no factor 1/2
};

namespace detail {

/// exp(-x) for x >= 0 within two units in the last place, by operations that IEEE 754 rounds in one way: no library's
/// exp and no contraction, so that tables made of it are the same on every platform.
inline double portable_exp_negative(double x) {
  if (!(x < 745)) return x != x ? x : 0;
  const double k = std::floor(std::fma(x, 0x1.71547652b82fep0, 0.5));
  const double r = std::fma(k, 0x1.abc9e3b39803fp-56, std::fma(k, 0x1.62e42fefa39efp-1, -x));  // |r| <= log(2) / 2
  double sum = 1;
  for (int i = 18; i >= 1; --i) sum = std::fma(sum, r / i, 1);
  return std::ldexp(sum, -static_cast<int>(k));
}

}  // namespace detail

/// Widths for nested dropout: how many leading features a row keeps, drawn from
///
///     P(width = i) proportional to exp(-((i - mean) / deviation)^2),   i = 1, ..., features
///
/// The probabilities and all widths are the same bits on every platform. Allocates two numbers a feature when made, and
/// nothing later. Source: Chen et al., Nested Co-teaching, arXiv 2104.13766.
class nested_dropout {
 public:
  /// Throws option_error for no features, a mean that is not finite, a deviation that is not positive and finite, and
  /// where no width has a probability that a double can hold.
  explicit nested_dropout(index_t features, const nested_dropout_options& options = {}) {
    if (features < 1) detail::fail<option_error>("nested_dropout: ", features, " features; there must be one");
    if (!(options.deviation > 0 && std::isfinite(options.deviation)))
      detail::fail<option_error>("nested_dropout: deviation is ", options.deviation,
                                 "; it must be positive and finite");
    if (!std::isfinite(options.mean))
      detail::fail<option_error>("nested_dropout: mean is ", options.mean,
                                 "; it must be finite, such as 0 or a number of features");
    double total = 0;
    for (index_t i = 1; i <= features; ++i) {
      const double t = (double(i) - options.mean) / options.deviation;
      prob_.push_back(detail::portable_exp_negative(t * t));
      total += prob_.back();
      below_.push_back(total);
    }
    if (total == 0)
      detail::fail<option_error>("nested_dropout: mean ", options.mean, " is too far from 1 to ", features,
                                 " for deviation ", options.deviation);
    for (double& p : prob_) p /= total;
  }

  index_t features() const { return static_cast<index_t>(prob_.size()); }
  /// P(width = i + 1).
  std::span<const double> prob() const { return prob_; }

  /// The width at a point of the distribution, u in [0, 1). O(log features).
  index_t width(double u) const {
    const auto at = std::upper_bound(below_.begin(), below_.end(), u * below_.back());
    return std::min<index_t>(static_cast<index_t>(at - below_.begin()) + 1, features());
  }

  /// Widths of rows first_row, first_row + 1, ..., each from a stream of its own: however rows are cut into batches.
  template <executor Exec, writable_vector Widths>
    requires std::is_integral_v<typename view_t<Widths>::value_type>
  void draw(Exec&& ex, std::uint64_t seed, std::uint64_t first_row, Widths&& widths) const {
    const auto to = view(widths);
    for_row_chunks(ex, to.extent(0), [&](index_t first, index_t last) {
      for (index_t i = first; i < last; ++i) {
        random_stream random(seed, first_row + static_cast<std::uint64_t>(i));
        to(i) = static_cast<typename decltype(to)::value_type>(width(random.uniform()));
      }
    });
  }
  template <writable_vector Widths>
    requires std::is_integral_v<typename view_t<Widths>::value_type>
  void draw(std::uint64_t seed, std::uint64_t first_row, Widths&& widths) const { draw(seq, seed, first_row, widths); }

 private:
  std::vector<double> prob_;
  std::vector<double> below_;  // sums of what was before the division
};

/// Applies nested dropout, and its gradient: leaves the first widths(i) entries of row i and sets the others to zero.
/// What is kept is not rescaled.
///
/// widths  n      non-negative; a width above d keeps the row
/// x       n x d  changed in place: features, or their gradient
///
/// Throws shape_error. O(n d), allocates nothing.
template <executor Exec, label_vector Widths, writable_matrix X>
void keep_leading_features(Exec&& ex, const Widths& widths, X&& x) {
  using W = typename detail::input_view_t<Widths>::value_type;
  const vector_view<const W> width = view(widths);
  const auto to = view(x);
  const index_t d = to.extent(1);
  detail::require_extent("keep_leading_features: widths", width, 0, to.extent(0));
  for_row_chunks(ex, to.extent(0), d, [&](index_t first, index_t last) {
    for (index_t i = first; i < last; ++i)
      for (index_t j = std::max<index_t>(static_cast<index_t>(width(i)), 0); j < d; ++j)
        to(i, j) = typename decltype(to)::value_type(0.0f);
  });
}
template <label_vector Widths, writable_matrix X>
void keep_leading_features(const Widths& widths, X&& x) {
  keep_leading_features(seq, widths, x);
}

}  // namespace weakly::inline v0
