// SPDX-License-Identifier: MIT
// What every executor promises, as checks that its own test runs.
#pragma once

#include <weakly/core/executor.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace contract {

/// Whether ex calls f once for each of 0, ..., n - 1 and no other.
template <class Exec>
bool calls_each_once(Exec& ex, weakly::index_t n) {
  std::vector<std::atomic<int>> seen(static_cast<std::size_t>(n));
  std::atomic<bool> outside = false;
  ex(n, [&](weakly::index_t i) {
    if (i < 0 || i >= n)
      outside = true;
    else
      seen[static_cast<std::size_t>(i)].fetch_add(1, std::memory_order_relaxed);
  });
  bool once = !outside;
  for (const auto& s : seen) once = once && s.load(std::memory_order_relaxed) == 1;
  return once;
}

template <class Exec>
void check_calls(Exec& ex) {
  for (const weakly::index_t n : {0, 1, 2, 3, 7, 64, 1000, 20000}) CHECK(calls_each_once(ex, n));
  bool called = false;
  ex(-3, [&](weakly::index_t) { called = true; });
  CHECK_FALSE(called);
}

/// Plain memory written in f is there, without further ado, when ex returns: what the thread sanitizer watches.
template <class Exec>
void check_results_are_visible(Exec& ex) {
  for (int repeat = 0; repeat < 200; ++repeat) {
    std::vector<int> squares(50);
    ex(50, [&](weakly::index_t i) { squares[static_cast<std::size_t>(i)] = static_cast<int>(i * i); });
    bool right = true;
    for (int i = 0; i < 50; ++i) right = right && squares[static_cast<std::size_t>(i)] == i * i;
    CHECK(right);
  }
}

template <class Exec>
void check_nested_calls(Exec& ex) {
  std::atomic<std::int64_t> sum = 0;
  ex(6, [&](weakly::index_t i) {
    ex(7, [&](weakly::index_t j) {
      ex(5, [&](weakly::index_t l) { sum.fetch_add(100 * i + 10 * j + l, std::memory_order_relaxed); });
    });
  });
  CHECK(sum.load() == 250 * 6 * 7 * 5 + 30 * 6 * 7 * 5 + 2 * 6 * 7 * 5);
}

/// A reduction in floats gives the bits of the sequential one.
template <class Exec>
void check_same_bits(Exec& ex) {
  const weakly::row_chunks chunks(100000, 64);
  const auto sum = [&](auto& executor) {
    std::vector<float> slots(static_cast<std::size_t>(chunks.count()));
    return weakly::ordered_reduce(
        executor, chunks, std::span<float>(slots), 0.0f,
        [](weakly::index_t first, weakly::index_t last) {
          float s = 0;
          for (weakly::index_t i = first; i < last; ++i) s += 1 / static_cast<float>(i + 1);
          return s;
        },
        [](float a, float b) { return a + b; });
  };
  const float expected = sum(weakly::seq);
  for (int repeat = 0; repeat < 20; ++repeat) CHECK(sum(ex) == expected);
}

#if WEAKLY_HAS_EXCEPTIONS

/// The exception that a sequential loop would throw, always, and the executor works on afterwards.
template <class Exec>
void check_exceptions(Exec& ex) {
  for (int repeat = 0; repeat < 100; ++repeat) {
    std::string thrown;
    std::atomic<int> running = 0;
    try {
      ex(200, [&](weakly::index_t i) {
        running.fetch_add(1);
        const bool bad = i % 30 == 17;
        running.fetch_sub(1);
        if (bad) throw std::runtime_error("row " + std::to_string(i));
      });
    } catch (const std::runtime_error& e) {
      thrown = e.what();
      CHECK(running.load() == 0);
    }
    CHECK(thrown == "row 17");
  }
  CHECK(calls_each_once(ex, 100));

  int caught = 0;
  ex(1, [](weakly::index_t) {});
  try {
    ex(1, [](weakly::index_t) { throw 5; });
  } catch (int five) {
    caught = five;
  }
  CHECK(caught == 5);
}

template <class Exec>
void check_nested_exceptions(Exec& ex) {
  for (int repeat = 0; repeat < 20; ++repeat) {
    weakly::index_t thrown = -1;
    try {
      ex(8, [&](weakly::index_t i) {
        ex(8, [&](weakly::index_t j) {
          if (i >= 3 && j >= 2) throw 10 * i + j;
        });
      });
    } catch (weakly::index_t which) {
      thrown = which;
    }
    CHECK(thrown == 32);
  }
}

#endif

}  // namespace contract
