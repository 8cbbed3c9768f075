// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/error.hpp>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <utility>

namespace weakly::inline v0 {

namespace detail {

struct task_archetype {
  void operator()(index_t) const {}
};

}  // namespace detail

/// Anything callable as ex(n, f) that calls f(0), ..., f(n - 1) once each, in any order and on any threads, and returns
/// when all have returned. An exception from f reaches the caller of ex. Whatever an algorithm computes does not depend
/// on the order, the number of threads, or which executor it was given.
template <class Exec>
concept executor = requires(Exec& ex, index_t n, const detail::task_archetype& f) {
  ex(n, f);
};

/// The calling thread, in order.
struct sequential {
  template <class F>
  constexpr void operator()(index_t n, F&& f) const {
    for (index_t i = 0; i < n; ++i) f(i);
  }
};
inline constexpr sequential seq;

/// How n rows of k columns are cut into chunks: a function of n and k alone, so that partial results and their order do
/// not depend on the number of threads. A chunk is about 64 Ki elements, and a multiple of 64 rows where it has so
/// many.
class row_chunks {
 public:
  WEAKLY_HD constexpr explicit row_chunks(index_t rows, index_t columns = 64) : rows_(rows), chunk_rows_(1) {
    const index_t wanted = 65536 / (columns > 0 ? columns : 1);
    chunk_rows_ = wanted < 1 ? 1 : wanted < 64 ? wanted : wanted - wanted % 64;
  }

  WEAKLY_HD constexpr index_t count() const { return rows_ <= 0 ? 0 : (rows_ - 1) / chunk_rows_ + 1; }
  WEAKLY_HD constexpr index_t begin(index_t chunk) const { return chunk * chunk_rows_; }
  WEAKLY_HD constexpr index_t end(index_t chunk) const {
    return rows_ - begin(chunk) < chunk_rows_ ? rows_ : begin(chunk) + chunk_rows_;
  }

 private:
  index_t rows_;
  index_t chunk_rows_;
};
static_assert(std::is_trivially_copyable_v<row_chunks>);

/// Calls f(first, last) for consecutive ranges of rows that together are [0, n). `columns` sizes the chunks.
template <executor Exec, class F>
void for_row_chunks(Exec&& ex, index_t n, index_t columns, F&& f) {
  const row_chunks chunks(n, columns);
  ex(chunks.count(), [&](index_t c) { f(chunks.begin(c), chunks.end(c)); });
}
template <executor Exec, class F>
void for_row_chunks(Exec&& ex, index_t n, F&& f) {
  for_row_chunks(ex, n, 64, f);
}

/// Reduction with a fixed order: slots[c] = f(first, last) for every chunk, concurrently, then
/// result = combine(... combine(combine(initial, slots[0]), slots[1]) ..., slots[last]) on the calling thread.
/// Same bits for every executor. Throws workspace_error when slots is shorter than chunks.count().
template <executor Exec, class T, class F, class Combine>
T ordered_reduce(Exec&& ex, const row_chunks& chunks, std::span<T> slots, T initial, F&& f, Combine&& combine) {
  const index_t count = chunks.count();
  if (static_cast<index_t>(slots.size()) < count)
    detail::fail<workspace_error>("ordered_reduce: ", slots.size(), " slots for ", count,
                                  " chunks; give at least one a chunk");
  ex(count, [&](index_t c) { slots[static_cast<std::size_t>(c)] = f(chunks.begin(c), chunks.end(c)); });
  T result = std::move(initial);
  for (index_t c = 0; c < count; ++c) result = combine(std::move(result), slots[static_cast<std::size_t>(c)]);
  return result;
}

namespace detail {

/// Adds to an integer that several threads add to and returns what it was. Integers add in any order; float sums must
/// not be made like this.
template <class T>
WEAKLY_INLINE T atomic_add(T& target, T value) {
  static_assert(std::is_integral_v<T>);
#if defined(__GNUC__)
  return __atomic_fetch_add(&target, value, __ATOMIC_RELAXED);
#else
  return std::atomic_ref<T>(target).fetch_add(value, std::memory_order_relaxed);
#endif
}

/// A status that several threads report to: a minimum and a sum, so the order does not matter.
class shared_status {
 public:
  void merge(const status& s) {
    if (s.ok()) return;
    count_.fetch_add(s.count, std::memory_order_relaxed);
    std::int64_t seen = first_.load(std::memory_order_relaxed);
    while ((seen < 0 || s.first_bad_row < seen) &&
           !first_.compare_exchange_weak(seen, s.first_bad_row, std::memory_order_relaxed)) {
    }
  }
  status load() const { return {first_.load(std::memory_order_relaxed), count_.load(std::memory_order_relaxed)}; }

 private:
  std::atomic<std::int64_t> first_ = no_bad_rows().first_bad_row;
  std::atomic<std::int64_t> count_ = 0;
};

}  // namespace detail

}  // namespace weakly::inline v0
