// SPDX-License-Identifier: MIT
#include <weakly/core/executor.hpp>
#include <weakly/exec/thread_pool.hpp>

#include <doctest/doctest.h>

#include <atomic>
#include <cmath>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace {

struct backwards {
  template <class F>
  void operator()(weakly::index_t n, F&& f) const {
    for (weakly::index_t i = n; i-- > 0;) f(i);
  }
};

struct not_an_executor {
  void operator()(weakly::index_t) const {}
};

}  // namespace

TEST_CASE("executor is anything that is called with a number and a function") {
  CHECK(weakly::executor<const weakly::sequential&>);
  CHECK(weakly::executor<backwards>);
  CHECK(weakly::executor<weakly::thread_pool&>);
  CHECK_FALSE(weakly::executor<not_an_executor>);
  CHECK_FALSE(weakly::executor<int>);
  const auto lambda = [](weakly::index_t n, auto&& f) {
    for (weakly::index_t i = 0; i < n; ++i) f(i);
  };
  CHECK(weakly::executor<decltype(lambda)>);
}

TEST_CASE("seq calls in order, and not at all for n = 0") {
  std::vector<weakly::index_t> seen;
  weakly::seq(4, [&](weakly::index_t i) { seen.push_back(i); });
  CHECK(seen == std::vector<weakly::index_t>{0, 1, 2, 3});
  weakly::seq(0, [&](weakly::index_t) { seen.clear(); });
  CHECK(seen.size() == 4);
}

TEST_CASE("row_chunks cut [0, n) without gap or overlap, for any n and k") {
  for (const weakly::index_t n : {0L, 1L, 63L, 64L, 65L, 1000L, 65536L, 1000003L, 100000000000L})
    for (const weakly::index_t k : {0L, 1L, 2L, 10L, 63L, 64L, 1000L, 1024L, 5000L, 65536L, 1000000L}) {
      const weakly::row_chunks chunks(n, k);
      CHECK((n == 0) == (chunks.count() == 0));
      if (n == 0) continue;
      const weakly::index_t some = std::min<weakly::index_t>(chunks.count(), 1000);
      bool contiguous = chunks.begin(0) == 0 && chunks.end(chunks.count() - 1) == n;
      bool full = true;
      for (weakly::index_t c = 0; c < some; ++c) {
        contiguous = contiguous && chunks.begin(c) < chunks.end(c);
        if (c + 1 < chunks.count()) {
          contiguous = contiguous && chunks.end(c) == chunks.begin(c + 1);
          full = full && chunks.end(c) - chunks.begin(c) == chunks.end(0) - chunks.begin(0);
        }
      }
      CHECK(contiguous);
      CHECK(full);
    }
}

TEST_CASE("row_chunks hold about 64 Ki elements and whole groups of 64 rows where so many fit") {
  CHECK(weakly::row_chunks(1 << 20, 10).end(0) == 6528);
  CHECK(weakly::row_chunks(1 << 20, 1024).end(0) == 64);
  CHECK(weakly::row_chunks(1 << 20, 5000).end(0) == 13);
  CHECK(weakly::row_chunks(1 << 20, 1000000).end(0) == 1);
  CHECK(weakly::row_chunks(-5, 10).count() == 0);
}

TEST_CASE("for_row_chunks calls once for each chunk, on any executor") {
  weakly::thread_pool pool(3);
  std::vector<std::atomic<int>> seen(20000);
  weakly::for_row_chunks(pool, 20000, 40, [&](weakly::index_t first, weakly::index_t last) {
    for (weakly::index_t i = first; i < last; ++i) seen[std::size_t(i)].fetch_add(1);
  });
  bool once = true;
  for (const auto& s : seen) once = once && s.load() == 1;
  CHECK(once);

  std::vector<std::pair<weakly::index_t, weakly::index_t>> ranges;
  weakly::for_row_chunks(weakly::seq, 2050,
                         [&](weakly::index_t first, weakly::index_t last) { ranges.emplace_back(first, last); });
  CHECK(ranges == std::vector<std::pair<weakly::index_t, weakly::index_t>>{{0, 1024}, {1024, 2048}, {2048, 2050}});
}

TEST_CASE("ordered_reduce gives the same bits on every executor") {
  const weakly::index_t n = 200000;
  const weakly::row_chunks chunks(n, 64);
  const auto sum = [&](auto&& ex) {
    std::vector<float> slots(std::size_t(chunks.count()));
    return weakly::ordered_reduce(
        ex, chunks, std::span<float>(slots), 0.5f,
        [](weakly::index_t first, weakly::index_t last) {
          float s = 0;
          for (weakly::index_t i = first; i < last; ++i) s += std::sin(float(i));
          return s;
        },
        [](float a, float b) { return a + b; });
  };
  weakly::thread_pool two(2), five(5);
  const float expected = sum(weakly::seq);
  CHECK(sum(backwards{}) == expected);
  for (int repeat = 0; repeat < 20; ++repeat) {
    CHECK(sum(two) == expected);
    CHECK(sum(five) == expected);
  }
}

TEST_CASE("ordered_reduce combines in the order of the chunks, beginning with the initial value") {
  const weakly::row_chunks chunks(200, 65536 / 64);
  std::vector<std::vector<int>> slots(std::size_t(chunks.count()));
  REQUIRE(chunks.count() == 4);
  const auto result = weakly::ordered_reduce(
      backwards{}, chunks, std::span<std::vector<int>>(slots), std::vector<int>{-1},
      [](weakly::index_t first, weakly::index_t) { return std::vector<int>{int(first)}; },
      [](std::vector<int> a, const std::vector<int>& b) {
        a.insert(a.end(), b.begin(), b.end());
        return a;
      });
  CHECK(result == std::vector<int>{-1, 0, 64, 128, 192});
}

TEST_CASE("ordered_reduce of no rows is the initial value, and too few slots are refused") {
  const auto one = [](weakly::index_t, weakly::index_t) { return 1; };
  const auto add = [](int a, int b) { return a + b; };
  CHECK(weakly::ordered_reduce(weakly::seq, weakly::row_chunks(0), std::span<int>(), 42, one, add) == 42);
  std::vector<int> slots(2);
  CHECK_THROWS_WITH_AS(
      weakly::ordered_reduce(weakly::seq, weakly::row_chunks(3000), std::span<int>(slots), 0, one, add),
      "ordered_reduce: 2 slots for 3 chunks; give at least one a chunk", weakly::workspace_error);
}

TEST_CASE("integers added from several threads lose nothing") {
  weakly::thread_pool pool(4);
  std::int64_t total = 0;
  std::int64_t& shared = total;
  pool(10000, [&](weakly::index_t i) { weakly::detail::atomic_add<std::int64_t>(shared, i); });
  CHECK(total == 49995000);
}

TEST_CASE("a status reported from several threads holds the first row and the number") {
  weakly::thread_pool pool(4);
  for (int repeat = 0; repeat < 50; ++repeat) {
    weakly::detail::shared_status shared;
    CHECK(shared.load() == weakly::no_bad_rows());
    pool(1000, [&](weakly::index_t i) {
      weakly::status s = weakly::no_bad_rows();
      if (i % 3 == 2) s.report(i);
      shared.merge(s);
    });
    CHECK(shared.load() == weakly::status{2, 333});
  }
}
