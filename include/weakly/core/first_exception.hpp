// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>

#include <atomic>
#include <exception>
#include <limits>

namespace weakly::inline v0::detail {

/// Carries an exception out of a parallel loop: of all that were thrown, the one of the lowest index, which is the one
/// a sequential loop would have thrown. Whoever hands out the indices may do so in any order.
class first_exception {
 public:
  /// Calls f(i), unless a lower index has thrown already.
  template <class F>
  void run(index_t i, F& f) {
#if WEAKLY_HAS_EXCEPTIONS
    if (i > lowest_.load(std::memory_order_relaxed)) return;
    try {
      f(i);
    } catch (...) {
      keep(i, std::current_exception());
    }
#else
    f(i);
#endif
  }

  bool any() const { return lowest_.load(std::memory_order_relaxed) != none; }

  /// Rethrows what was kept. Call it when every run has returned.
  void rethrow() const {
#if WEAKLY_HAS_EXCEPTIONS
    if (exception_) std::rethrow_exception(exception_);
#endif
  }

 private:
  static constexpr index_t none = std::numeric_limits<index_t>::max();

#if WEAKLY_HAS_EXCEPTIONS
  void keep(index_t i, std::exception_ptr exception) {
    while (busy_.test_and_set(std::memory_order_acquire)) {
    }
    if (i < lowest_.load(std::memory_order_relaxed)) {
      lowest_.store(i, std::memory_order_relaxed);
      exception_.swap(exception);
    }
    busy_.clear(std::memory_order_release);
  }

  std::exception_ptr exception_;
  std::atomic_flag busy_;
#endif
  std::atomic<index_t> lowest_ = none;
};

}  // namespace weakly::inline v0::detail
