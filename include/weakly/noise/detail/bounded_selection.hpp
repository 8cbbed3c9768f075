// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>

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

/// The best rows of each of many groups, each group up to its own capacity: bounded heaps in one block of memory.
/// (key, row) is a total order, so what is selected does not depend on the order of the offers, nor on how offers are
/// split over selections that are merged. Allocates 16 bytes for each row of capacity, at construction only.
class bounded_selection {
 public:
  bounded_selection() = default;
  explicit bounded_selection(std::span<const std::int64_t> capacity)
      : begin_(capacity.size() + 1), size_(capacity.size()) {
    for (std::size_t g = 0; g < capacity.size(); ++g) begin_[g + 1] = begin_[g] + static_cast<std::size_t>(capacity[g]);
    slots_.resize(begin_.back());
    worst_.resize(capacity.size());
    for (std::size_t g = 0; g < capacity.size(); ++g)
      worst_[g] = capacity[g] > 0 ? std::numeric_limits<double>::infinity() : closed;
  }

  std::size_t groups() const { return size_.size(); }

  /// A key above this cannot enter the group; one at or below it may. Minus infinity for a group of capacity zero.
  const double* worst() const { return worst_.data(); }

  /// Whether offering would change the group.
  bool wants(std::size_t group, double key, index_t row) const {
    if (!(key <= worst_[group]) || worst_[group] == closed) return false;
    return !full(group) || candidate(key, row, false) < slots_[begin_[group]];
  }

  void offer(std::size_t group, const candidate& c) {
    if (!wants(group, c.key, c.row())) return;
    candidate* const heap = slots_.data() + begin_[group];
    if (full(group)) {
      std::pop_heap(heap, heap + size_[group]);
      heap[size_[group] - 1] = c;
    } else {
      heap[size_[group]++] = c;
    }
    std::push_heap(heap, heap + size_[group]);
    if (full(group)) worst_[group] = heap[0].key;
  }

  void merge(const bounded_selection& other) {
    for (std::size_t g = 0; g < other.groups(); ++g)
      for (const candidate& c : other.group(g)) offer(g, c);
  }

  std::span<const candidate> group(std::size_t g) const { return {slots_.data() + begin_[g], size_[g]}; }

 private:
  static constexpr double closed = -std::numeric_limits<double>::infinity();

  bool full(std::size_t g) const { return size_[g] == begin_[g + 1] - begin_[g]; }

  std::vector<std::size_t> begin_;
  std::vector<std::size_t> size_;
  std::vector<double> worst_;
  std::vector<candidate> slots_;
};

}  // namespace weakly::inline v0::detail
