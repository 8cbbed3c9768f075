// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/exact_sum.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/row_access.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string_view>

namespace weakly::inline v0::detail {

/// Sums of the columns of n x k probabilities, exact and so in any order.
class exact_columns {
 public:
  static constexpr index_t parts = 4;

  /// sums  parts * k integers, which are overwritten
  exact_columns(std::int64_t* sums, index_t k) : sums_(sums), k_(k) {}

  /// Throws value_error, naming the first such row, where a number is NaN or outside [0, 1 + 1e-6].
  template <executor Exec>
  void add_up(std::string_view function, Exec& ex, const row_source<double>& p, index_t n) {
    shared_status bad;
    for_row_chunks(ex, n, k_, [&](index_t first, index_t last) {
      for (index_t i = first; i < last; ++i) {
        bool good = true;
        for_parts(p, i, [&](index_t, const double* x, index_t count) {
          for (index_t c = 0; c < count; ++c) good &= x[c] >= 0 && x[c] <= 1 + 1e-6;
        });
        if (!good) bad.merge({i, 1});
      }
    });
    if (const status s = bad.load(); !s.ok())
      fail<value_error>(function, ": row ", s.first_bad_row, " is no probabilities (", s.count,
                        s.count == 1 ? " such row)" : " such rows)", "; a mean over it would be none");
    std::fill_n(sums_, parts * k_, std::int64_t(0));
    for (index_t start = 0; start < n; start += at_once) {
      for_row_chunks(ex, std::min(at_once, n - start), k_, [&](index_t first, index_t last) {
        std::int64_t table[std::size_t(parts * small)] = {};
        const bool own = k_ <= small;
        for (index_t i = start + first; i < start + last; ++i)
          for_parts(p, i, [&](index_t column, const double* x, index_t count) {
            for (index_t c = 0; c < count; ++c) {
              exact_sum s;
              s.add(x[c]);
              const std::int64_t part[] = {s.whole, s.high, s.middle, s.low};
              for (index_t u = 0; u < parts; ++u) {
                if (own)
                  table[parts * (column + c) + u] += part[u];
                else if (part[u] != 0)
                  atomic_add(sums_[parts * (column + c) + u], part[u]);
              }
            }
          });
        for (index_t u = 0; own && u < parts * k_; ++u)
          if (table[u] != 0) atomic_add(sums_[u], table[u]);
      });
      for (index_t c = 0; c < k_; ++c) {
        exact_sum s = sum(c);
        s.normalise();
        std::int64_t* const to = sums_ + parts * c;
        to[0] = s.whole;
        to[1] = s.high;
        to[2] = s.middle;
        to[3] = s.low;
      }
    }
  }

  /// Of n rows, rounded once.
  double mean(index_t column, index_t n) const { return sum(column).mean(n); }

 private:
  static constexpr index_t small = 512;                 // columns of which a chunk has sums of its own
  static constexpr index_t at_once = index_t(1) << 18;  // rows after which sums are normalised (exact_sum.hpp)

  exact_sum sum(index_t column) const {
    const std::int64_t* const s = sums_ + parts * column;
    return {s[0], s[1], s[2], s[3]};
  }
  template <class F>
  void for_parts(const row_source<double>& p, index_t i, F f) const {
    constexpr index_t block = row_blocks<double>::block;
    double buffer[std::size_t(block)];
    for (index_t j = 0; j < k_; j += block) {
      const index_t count = std::min(block, k_ - j);
      f(j, p.part(i, j, count, buffer), count);
    }
  }

  std::int64_t* sums_;
  index_t k_;
};

}  // namespace weakly::inline v0::detail
