// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/noise/detail/float_not_below.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <vector>

namespace weakly::inline v0::detail {

/// A row wanted for its key. The key is low for the most wanted; `mark` travels along and orders nothing.
struct candidate {
  double key;
  std::int64_t row_and_mark;

  candidate() = default;
  candidate(double k, index_t row, bool mark) : key(k), row_and_mark(row * 2 + (mark ? 1 : 0)) {}
  index_t row() const { return row_and_mark >> 1; }
  bool mark() const { return (row_and_mark & 1) != 0; }

  friend bool operator<(const candidate& a, const candidate& b) {
    return a.key != b.key ? a.key < b.key : a.row() < b.row();
  }
};

/// The best rows of each of many groups, each group up to its own capacity.
///
/// (key, row) is a total order, so what is selected does not depend on the order of the offers, nor on how offers are
/// split over selections that are merged. A group collects up to half again its capacity and then drops the worst,
/// which costs O(1) an offer where a heap costs O(log capacity). Allocates 24 bytes for each row of capacity and 8 for
/// each group, at construction only.
class bounded_selection {
 public:
  bounded_selection() = default;
  explicit bounded_selection(std::span<const std::int64_t> capacity)
      : pool_of_(capacity.size(), closed), limit_(capacity.size(), -std::numeric_limits<float>::infinity()) {
    std::size_t slots = 0;
    for (std::size_t g = 0; g < capacity.size(); ++g) {
      if (capacity[g] <= 0) continue;
      pool_of_[g] = static_cast<std::int32_t>(pools_.size());
      limit_[g] = std::numeric_limits<float>::infinity();
      const auto kept = static_cast<std::size_t>(capacity[g]);
      pools_.push_back({slots, kept, 0, 0, false, false, {}});
      slots += room(kept);
    }
    slots_.resize(slots);
  }

  std::size_t groups() const { return pool_of_.size(); }

  /// A key above this cannot enter the group; one at or below it may. Minus infinity for a group of capacity zero.
  const float* limits() const { return limit_.data(); }

  /// Whether offering might change the group. A NaN key is never wanted.
  bool wants(std::size_t group, double key, index_t row) const {
    if (!(key <= double(limit_[group])) || pool_of_[group] == closed) return false;
    const pool& p = pools_[static_cast<std::size_t>(pool_of_[group])];
    return !p.cut || candidate(key, row, false) < p.worst;
  }

  /// Takes a candidate that the group wants.
  void put(std::size_t group, const candidate& c) {
    pool& p = pools_[static_cast<std::size_t>(pool_of_[group])];
    candidate* const first = slots_.data() + p.begin;
    first[p.size++] = c;
    if (p.size < room(p.capacity)) return;
    std::nth_element(first, first + (p.capacity - 1), first + p.size);
    p.size = p.capacity;
    p.worst = first[p.capacity - 1];
    p.cut = true;
    limit_[group] = float_not_below(p.worst.key);
  }

  /// Capacity of the groups that a survey helps.
  index_t rows_in_large_groups() const {
    std::size_t rows = 0;
    for (const pool& p : pools_) rows += p.capacity >= large ? p.capacity : 0;
    return static_cast<index_t>(rows);
  }

  /// A survey tells, before anything is put, how the keys of all rows are spread, so that a group need not collect rows
  /// that will be dropped. Counts keys up to `greatest` of the groups large enough to be worth it; meanwhile limits()
  /// are of the survey. Allocates 2 KiB for each such group.
  void begin_survey(double greatest) {
    for (std::size_t g = 0; g < groups(); ++g) {
      if (pool_of_[g] == closed) continue;
      pool& p = pools_[static_cast<std::size_t>(pool_of_[g])];
      const bool worthwhile = p.capacity >= large;
      limit_[g] = worthwhile ? float_not_below(greatest) : -std::numeric_limits<float>::infinity();
      if (!worthwhile) continue;
      p.surveyed = true;
      p.bins = spread_.size();
      spread_.resize(spread_.size() + bins);
    }
  }

  /// Counts a key, unless the group is not surveyed. Threads may share the counts.
  void note(std::size_t group, double key) {
    if (pool_of_[group] == closed) return;
    const pool& p = pools_[static_cast<std::size_t>(pool_of_[group])];
    if (!p.surveyed) return;
    const double bin = (key + 1) * (bins / 2);
    const auto b = static_cast<std::size_t>(bin > 0 ? std::min<double>(bin, bins - 1) : 0.0);
    atomic_add(spread_[p.bins + b], std::int32_t(1));
  }

  /// Admits to each group only keys of bins that together hold its capacity of rows; every key where they do not.
  void end_survey() {
    for (std::size_t g = 0; g < groups(); ++g) {
      if (pool_of_[g] == closed) continue;
      const pool& p = pools_[static_cast<std::size_t>(pool_of_[g])];
      limit_[g] = std::numeric_limits<float>::infinity();
      std::size_t rows = 0;
      for (std::size_t b = 0; p.surveyed && b + 1 < bins; ++b) {
        rows += static_cast<std::size_t>(spread_[p.bins + b]);
        if (rows < p.capacity) continue;
        // A key of bin b or below is less than this number, which is exact.
        limit_[g] = static_cast<float>(b + 1) / (bins / 2) - 1;
        break;
      }
    }
    spread_ = {};
  }

  /// Whether the other selection has the same groups with the same capacities.
  bool has_plan_of(const bounded_selection& other) const {
    return pool_of_ == other.pool_of_ &&
           std::equal(pools_.begin(), pools_.end(), other.pools_.begin(), other.pools_.end(),
                      [](const pool& a, const pool& b) { return a.capacity == b.capacity; });
  }

  void merge(const bounded_selection& other) {
    for (std::size_t g = 0; g < other.groups(); ++g) {
      if (other.pool_of_[g] == closed) continue;
      for (const candidate& c : other.collected(g))
        if (wants(g, c.key, c.row())) put(g, c);
    }
  }

  /// Calls f(candidate) for the selected rows of every group.
  template <class F>
  void for_each(F f) const {
    std::vector<candidate> best;
    for (std::size_t g = 0; g < groups(); ++g) {
      if (pool_of_[g] == closed) continue;
      const std::span<const candidate> all = collected(g);
      best.assign(all.begin(), all.end());
      const std::size_t kept = std::min(best.size(), pools_[static_cast<std::size_t>(pool_of_[g])].capacity);
      if (kept < best.size())
        std::nth_element(best.begin(), best.begin() + static_cast<std::ptrdiff_t>(kept), best.end());
      for (std::size_t i = 0; i < kept; ++i) f(best[i]);
    }
  }

 private:
  struct pool {
    std::size_t begin;
    std::size_t capacity;
    std::size_t size;
    std::size_t bins;  // where its part of the survey begins
    bool surveyed;
    bool cut;  // `worst` holds: nothing at or behind it can be among the best
    candidate worst;
  };

  static constexpr std::int32_t closed = -1;
  static constexpr std::size_t large = 64;
  static constexpr std::size_t bins = 512;  // of equal width over [-1, 1]
  static constexpr std::size_t room(std::size_t capacity) { return 2 * capacity; }

  std::span<const candidate> collected(std::size_t g) const {
    const pool& p = pools_[static_cast<std::size_t>(pool_of_[g])];
    return {slots_.data() + p.begin, p.size};
  }

  std::vector<std::int32_t> pool_of_;
  std::vector<float> limit_;
  std::vector<pool> pools_;
  std::vector<candidate> slots_;
  std::vector<std::int32_t> spread_;
};

}  // namespace weakly::inline v0::detail
