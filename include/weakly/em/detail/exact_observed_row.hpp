// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/detail/map_batches.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/math.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/em/observations.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>

namespace weakly::inline v0::detail {

/// Posterior, loss and gradient of a row that observed_rows cannot do in the type of its scores, in double.
///
/// The greatest score of the classes that may have been observed, and of those that may not, are taken out before
/// anything is added to a score, so that what all scores have in common does not matter. With z what is left of the
/// scores and their log ratio, a = z + log t and b = z, in = sum of exp a and out = sum of (1 - t) exp b:
///
///     gap = log out - log in,   loss = softplus(gap),   q = exp(a) / in
///     gradient = sigmoid(gap) ((1 - t) exp(b) / out - q)
template <class T>
class exact_observed_row {
 public:
  static constexpr index_t block = 512;

  const row_source<T>& scores;
  const row_source<T>& log_ratio;  // 1 x k, added to every row; or empty
  const observations& observed;

  /// The loss of row i. Calls made(column, count, posteriors, gradients), which may go where the scores were. `room`,
  /// where it is not null, holds the logarithms of t of the whole row.
  template <class Made>
  T operator()(index_t i, const double* room, status& impossible_rows, Made made) const {
    using wide = simd::batch<double>;
    constexpr double nothing = -std::numeric_limits<double>::infinity(), inf = -nothing;
    double z[std::size_t(block)], ratio[std::size_t(block)], found_log[std::size_t(block)];
    T q[std::size_t(block)], g[std::size_t(block)];
    const double* log_t = found_log;
    observed_row found;
    const index_t k = scores.columns();
    std::fill_n(ratio, std::min(block, k), 0.0);
    // f(column, count) for consecutive blocks, whose scores, ratios and likelihoods are at hand.
    const auto for_blocks = [&](auto f) {
      T buffer[std::size_t(block)];
      for (index_t column = 0; column < k; column += block) {
        const index_t count = std::min(block, k - column);
        const T* const x = scores.part(i, column, count, buffer);
        for (index_t j = 0; j < count; ++j) z[j] = static_cast<double>(x[j]);
        if (!log_ratio.empty()) {
          const T* const r = log_ratio.part(0, column, count, buffer);
          for (index_t j = 0; j < count; ++j) ratio[j] = static_cast<double>(r[j]);
        }
        if (room != nullptr)
          log_t = room + column;
        else
          observed.log_likelihoods(i, column, count, found_log, found);
        f(column, count);
      }
    };

    wide best_in = nothing, best_out = nothing;
    bool number = true, marks_only = log_ratio.empty();
    for_blocks([&](index_t, index_t count) {
      for_batches<double>(count, [&](auto at) {
        const wide x = at.load(z, nothing), r = at.load(ratio), l = at.load(log_t, nothing);
        number &= simd::all((x < wide(inf)) & (r < wide(inf)));
        marks_only &= simd::all((l == wide(0.0)) | (l == wide(nothing)));
        const wide possible = simd::select(r > wide(nothing), x, nothing);
        best_in = simd::max(simd::select(l > wide(nothing), possible, nothing), best_in);
        best_out = simd::max(simd::select(l < wide(0.0), possible, nothing), best_out);
      });
    });
    const double origin_in = simd::reduce_max(best_in), origin_out = simd::reduce_max(best_out);
    const bool impossible = number && !(origin_in > nothing), defined = number && !impossible;
    if (impossible) impossible_rows.report(i);
    if (!defined) {
      std::fill_n(q, block, std::numeric_limits<T>::quiet_NaN());
      for (index_t column = 0; column < k; column += block)
        made(column, std::min(block, k - column), static_cast<const T*>(q), static_cast<const T*>(q));
      return impossible ? std::numeric_limits<T>::infinity() : std::numeric_limits<T>::quiet_NaN();
    }
    const bool outside = origin_out > nothing;
    const wide from_in = origin_in, from_out = outside ? origin_out : 0.0;
    if (marks_only) return marked_row(for_blocks, z, log_t, origin_in, origin_out, q, g, made);
    const auto a = [&](wide x, wide r, wide l) {
      return simd::select((r > wide(nothing)) & (l > wide(nothing)), ((x - from_in) + r) + l, nothing);
    };
    const auto b = [&](wide x, wide r, wide l) {
      return simd::select((r > wide(nothing)) & (l < wide(0.0)), (x - from_out) + r, nothing);
    };
    best_in = best_out = wide(nothing);
    for_blocks([&](index_t, index_t count) {
      for_batches<double>(count, [&](auto at) {
        const wide x = at.load(z, nothing), r = at.load(ratio), l = at.load(log_t, nothing);
        best_in = simd::max(best_in, a(x, r, l));
        best_out = simd::max(best_out, b(x, r, l));
      });
    });
    const wide top_in = simd::reduce_max(best_in), top_out = outside ? simd::reduce_max(best_out) : 0.0;
    const auto inner = [&](wide x, wide r, wide l) { return simd::exp(a(x, r, l) - top_in); };
    const auto outer = [&](wide x, wide r, wide l) {
      const auto certain = l == wide(0.0), never = l == wide(nothing);
      const wide against =
          simd::all(certain | never) ? simd::select(never, wide(1.0), 0.0) : wide(0.0) - simd::expm1_nonpositive(l);
      return against * simd::exp(b(x, r, l) - top_out);
    };
    wide sum_in = 0.0, sum_out = 0.0;
    for_blocks([&](index_t, index_t count) {
      for_batches<double>(count, [&](auto at) {
        const wide x = at.load(z, nothing), r = at.load(ratio), l = at.load(log_t, nothing);
        sum_in += inner(x, r, l);
        sum_out += outer(x, r, l);
      });
    });
    const double in = simd::reduce_add(sum_in), out = outside ? simd::reduce_add(sum_out) : 0.0;
    const double gap =
        out > 0 ? ((origin_out - origin_in) + (top_out - top_in)[0]) + (std::log(out) - std::log(in)) : nothing;
    const wide against = math::sigmoid(gap), of_out = out > 0 ? out : 1.0;
    for_blocks([&](index_t column, index_t count) {
      double wide_q[std::size_t(block)], wide_g[std::size_t(block)];
      for_batches<double>(count, [&](auto at) {
        const wide x = at.load(z, nothing), r = at.load(ratio), l = at.load(log_t, nothing);
        const wide posterior_of = inner(x, r, l) / wide(in);
        at.store(wide_q, posterior_of);
        at.store(wide_g, against * (outer(x, r, l) / of_out - posterior_of));
      });
      narrow(wide_q, count, q);
      narrow(wide_g, count, g);
      made(column, count, static_cast<const T*>(q), static_cast<const T*>(g));
    });
    return static_cast<T>(math::softplus(gap));
  }

 private:
  // The same for a set, whose classes count on one side alone, with nothing added to the scores: one exponential a
  // class, from the greatest score of its side.
  template <class ForBlocks, class Made>
  T marked_row(ForBlocks for_blocks, const double* z, const double* const& log_t, double origin_in, double origin_out,
               T* q, T* g, Made made) const {
    using wide = simd::batch<double>;
    constexpr double nothing = -std::numeric_limits<double>::infinity();
    const index_t k = scores.columns();
    const wide from_in = origin_in, from_out = origin_out > nothing ? origin_out : 0.0;
    double kept[std::size_t(block)];
    const auto exponentials = [&](index_t, index_t count) {
      for_batches<double>(count, [&](auto at) {
        const auto member = at.load(log_t, nothing) == wide(0.0);
        at.store(kept, simd::exp(at.load(z, nothing) - simd::select(member, from_in, from_out)));
      });
    };
    wide sum_in = 0.0, sum_out = 0.0;
    for_blocks([&](index_t column, index_t count) {
      exponentials(column, count);
      for_batches<double>(count, [&](auto at) {
        const auto member = at.load(log_t, nothing) == wide(0.0);
        const wide e = at.load(kept);
        sum_in += simd::select(member, e, 0.0);
        sum_out += simd::select(member, 0.0, e);
      });
    });
    const double in = simd::reduce_add(sum_in), out = simd::reduce_add(sum_out);
    const double gap = out > 0 ? (origin_out - origin_in) + (std::log(out) - std::log(in)) : nothing;
    const double against = math::sigmoid(gap);
    const wide of_in = in, of_out = out > 0 ? out / against : 1.0, inside = -against;
    const auto write = [&](index_t column, index_t count) {
      double wide_q[std::size_t(block)], wide_g[std::size_t(block)];
      for_batches<double>(count, [&](auto at) {
        const auto member = at.load(log_t, nothing) == wide(0.0);
        const wide share = at.load(kept) / simd::select(member, of_in, of_out);
        at.store(wide_q, simd::select(member, share, 0.0));
        at.store(wide_g, simd::select(member, inside * share, share));
      });
      narrow(wide_q, count, q);
      narrow(wide_g, count, g);
      made(column, count, static_cast<const T*>(q), static_cast<const T*>(g));
    };
    if (k <= block) {
      write(0, k);
    } else {
      for_blocks([&](index_t column, index_t count) {
        exponentials(column, count);
        write(column, count);
      });
    }
    return static_cast<T>(math::softplus(gap));
  }

  // In T, where what would be denormal becomes zero, because making such numbers is slow.
  static void narrow(const double* from, index_t count, T* to) {
    constexpr double least = std::numeric_limits<T>::min();
    for (index_t j = 0; j < count; ++j) to[j] = static_cast<T>(std::abs(from[j]) < least ? 0.0 : from[j]);
  }
};

}  // namespace weakly::inline v0::detail
