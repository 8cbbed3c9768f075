// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/error.hpp>
#include <weakly/noise/detail/float_not_below.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <utility>
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

/// Throws option_error unless `rows` rows from first_row on have numbers that a candidate can hold.
inline void require_row_numbers(std::string_view function, index_t first_row, index_t rows) {
  if (first_row < 0 || first_row > (index_t(1) << 62) - rows)
    fail<option_error>(function, ": first_row = ", first_row, "; rows count from 0 and stay below 2^62");
}

/// The best rows of each of many groups, each group up to its own capacity.
///
/// (key, row) is a total order, so what is selected does not depend on the order of the offers, nor on how offers are
/// split over selections that are merged. A group collects a sixteenth more than its capacity and then drops the
/// worst, which costs O(1) an offer where a heap costs O(log capacity). Allocates 17 bytes for each row of capacity, in
/// small groups up to 32, and 60 for each group, at construction only.
class bounded_selection {
 public:
  bounded_selection() = default;
  /// Throws value_error, in the name of `function`, where all capacities together are more than memory can number.
  bounded_selection(std::string_view function, std::span<const std::int64_t> capacity)
      : pools_(capacity.size()), limit_(capacity.size()) {
    constexpr std::size_t most = std::size_t(1) << 58;  // of 16 bytes each
    std::size_t slots = 0;
    for (std::size_t g = 0; g < groups(); ++g) {
      pools_[g].begin = slots;
      pools_[g].capacity = static_cast<std::size_t>(std::max<std::int64_t>(capacity[g], 0));
      if (pools_[g].capacity > most || slots > most - room(pools_[g].capacity))
        fail<value_error>(function,
                          ": more rows are to be selected together than memory can number; are the counts right?");
      slots += room(pools_[g].capacity);
    }
    slots_.resize(slots);
    admit_all();
  }

  std::size_t groups() const { return pools_.size(); }

  /// Whether nothing has been put.
  bool empty() const {
    return std::all_of(pools_.begin(), pools_.end(), [](const pool& p) { return p.size == 0; });
  }

  /// A key above this cannot enter the group; one at or below it may. NaN for a group that is closed.
  const float* limits() const { return limit_.data(); }

  /// Whether offering might change the group. A NaN key is never wanted.
  bool wants(std::size_t group, double key, index_t row) const {
    if (!(key <= double(limit_[group]))) return false;
    const pool& p = pools_[group];
    return !p.cut || candidate(key, row, false) < p.worst;
  }

  /// Takes a candidate that the group wants. Returns whether that lowered the group's limit.
  bool put(std::size_t group, const candidate& c) {
    pool& p = pools_[group];
    candidate* const first = slots_.data() + p.begin;
    first[p.size++] = c;
    if (p.size < room(p.capacity)) return false;
    std::nth_element(first, first + (p.capacity - 1), first + p.size);
    p.size = p.capacity;
    p.worst = first[p.capacity - 1];
    p.cut = true;
    limit_[group] = float_not_below(p.worst.key);
    return true;
  }

  /// Where all the rows can be offered twice, most need not be: offer them after `admit_up_to(key)`, which leaves out
  /// higher keys; if `retry_short_groups()`, which empties the groups that did not fill up and closes the others, offer
  /// them all again; then `admit_all()`.
  void admit_up_to(double key) {
    for (std::size_t g = 0; g < groups(); ++g) admit_up_to(g, key);
  }
  /// After a share of the rows: admits to each group what these foretell of its capacity, and four deviations more.
  void admit_as_foretold(double share) {
    for (std::size_t g = 0; g < groups(); ++g) {
      const double expected = share * static_cast<double>(pools_[g].capacity);
      const auto enough = static_cast<std::size_t>(expected + 4 * std::sqrt(expected)) + 8;
      candidate* const first = slots_.data() + pools_[g].begin;
      if (pools_[g].size <= enough) continue;
      std::nth_element(first, first + enough, first + pools_[g].size);
      admit_up_to(g, first[enough].key);
    }
  }
  bool retry_short_groups() {
    bool any = false;
    for (std::size_t g = 0; g < groups(); ++g) {
      pool& p = pools_[g];
      const bool is_short = p.size < p.capacity;
      limit_[g] = is_short ? infinity : closed;
      if (!is_short) continue;
      p.size = 0;
      p.cut = false;
      any = true;
    }
    return any;
  }
  void admit_all() {
    for (std::size_t g = 0; g < groups(); ++g) {
      const pool& p = pools_[g];
      limit_[g] = p.cut ? float_not_below(p.worst.key) : p.capacity != 0 ? infinity : closed;
    }
  }

  /// Whether the other selection has the same groups with the same capacities.
  bool has_plan_of(const bounded_selection& other) const {
    return std::equal(pools_.begin(), pools_.end(), other.pools_.begin(), other.pools_.end(),
                      [](const pool& a, const pool& b) { return a.capacity == b.capacity; });
  }

  void merge(const bounded_selection& other) {
    for (std::size_t g = 0; g < other.groups(); ++g)
      for (const candidate& c : other.collected(g))
        if (wants(g, c.key, c.row())) put(g, c);
  }

  /// The selected rows of every group, in the memory they were collected in.
  std::vector<candidate> finish() && {
    candidate* end = slots_.data();
    for (const pool& p : pools_) {
      candidate* const first = slots_.data() + p.begin;
      const std::size_t kept = std::min(p.size, p.capacity);
      if (kept < p.size) std::nth_element(first, first + kept, first + p.size);
      end = std::copy(first, first + kept, end);
    }
    slots_.resize(static_cast<std::size_t>(end - slots_.data()));
    return std::move(slots_);
  }

 private:
  struct pool {
    std::size_t begin = 0;
    std::size_t capacity = 0;
    std::size_t size = 0;
    bool cut = false;  // `worst` holds: nothing at or behind it can be among the best
    candidate worst = {0, 0, false};
  };

  static constexpr float infinity = std::numeric_limits<float>::infinity();
  static constexpr float closed = std::numeric_limits<float>::quiet_NaN();
  static constexpr std::size_t room(std::size_t capacity) { return capacity + std::min(capacity, capacity / 16 + 16); }

  // What is collected above the limit goes: a full group then has the best of all that was offered.
  void admit_up_to(std::size_t g, double key) {
    limit_[g] = std::min(limit_[g], float_not_below(key));
    pool& p = pools_[g];
    candidate* const first = slots_.data() + p.begin;
    const auto within = [limit = double(limit_[g])](const candidate& c) { return c.key <= limit; };
    p.size = static_cast<std::size_t>(std::partition(first, first + p.size, within) - first);
  }

  std::span<const candidate> collected(std::size_t g) const {
    return {slots_.data() + pools_[g].begin, pools_[g].size};
  }

  std::vector<pool> pools_;
  std::vector<float> limit_;
  std::vector<candidate> slots_;
};

}  // namespace weakly::inline v0::detail
