// SPDX-License-Identifier: MIT
#include <weakly/exec/thread_pool.hpp>

#include "contract.hpp"

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>
#include <type_traits>
#include <vector>

TEST_CASE("thread_pool calls each index once, for any number of threads") {
  for (const int threads : {1, 2, 3, 8}) {
    weakly::thread_pool pool(threads);
    CHECK(pool.threads() == threads);
    contract::check_calls(pool);
  }
}

TEST_CASE("thread_pool shows the caller what its threads wrote") {
  for (const int threads : {2, 5}) {
    weakly::thread_pool pool(threads);
    contract::check_results_are_visible(pool);
  }
}

TEST_CASE("thread_pool survives nested calls") {
  for (const int threads : {1, 2, 4}) {
    weakly::thread_pool pool(threads);
    for (int repeat = 0; repeat < 50; ++repeat) contract::check_nested_calls(pool);
  }
}

TEST_CASE("thread_pool gives the bits of seq") {
  for (const int threads : {2, 5, 8}) {
    weakly::thread_pool pool(threads);
    contract::check_same_bits(pool);
  }
}

#if WEAKLY_HAS_EXCEPTIONS

TEST_CASE("thread_pool throws what a sequential loop would throw") {
  for (const int threads : {1, 2, 5}) {
    weakly::thread_pool pool(threads);
    contract::check_exceptions(pool);
  }
}

TEST_CASE("thread_pool throws the exception of the lowest index even when it is thrown last") {
  weakly::thread_pool pool(2);
  for (int repeat = 0; repeat < 10; ++repeat) {
    std::atomic<bool> other_threw = false;
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    int thrown = -1;
    try {
      pool(2, [&](weakly::index_t i) {
        if (i == 1) {
          other_threw = true;
          throw 1;
        }
        while (!other_threw && std::chrono::steady_clock::now() < give_up) std::this_thread::yield();
        std::this_thread::sleep_for(std::chrono::milliseconds(2));  // so that 1 is kept by now
        throw 0;
      });
    } catch (int which) {
      thrown = which;
    }
    CHECK(other_threw.load());
    CHECK(thrown == 0);
  }
}

TEST_CASE("thread_pool passes exceptions through nested calls") {
  for (const int threads : {1, 2, 4}) {
    weakly::thread_pool pool(threads);
    contract::check_nested_exceptions(pool);
  }
}

#endif

TEST_CASE("thread_pool works on several threads at once: each waits for the others to arrive") {
  weakly::thread_pool pool(3);
  std::mutex mutex;
  std::condition_variable arrived;
  int here = 0;
  std::set<std::thread::id> who;
  pool(3, [&](weakly::index_t) {
    std::unique_lock lock(mutex);
    who.insert(std::this_thread::get_id());
    ++here;
    arrived.notify_all();
    arrived.wait_for(lock, std::chrono::seconds(60), [&] { return here == 3; });
  });
  CHECK(here == 3);
  CHECK(who.size() == 3);
  CHECK(who.count(std::this_thread::get_id()) == 1);
}

TEST_CASE("thread_pool wakes its threads again after they fell asleep") {
  weakly::thread_pool pool(2);
  for (int repeat = 0; repeat < 20; ++repeat) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    std::atomic<int> here = 0;
    const auto give_up = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    pool(2, [&](weakly::index_t) {
      here.fetch_add(1);
      while (here.load() < 2 && std::chrono::steady_clock::now() < give_up) std::this_thread::yield();
    });
    CHECK(here.load() == 2);
  }
}

TEST_CASE("thread_pool serves several callers at once, nested calls included") {
  weakly::thread_pool pool(3);
  std::atomic<int> wrong = 0;
  std::vector<std::thread> callers;
  for (int c = 0; c < 4; ++c)
    callers.emplace_back([&] {
      for (int repeat = 0; repeat < 200; ++repeat) {
        std::vector<int> sums(20);
        pool(20, [&](weakly::index_t i) {
          std::atomic<int> sum = 0;
          pool(10, [&](weakly::index_t j) { sum.fetch_add(static_cast<int>(j)); });
          sums[static_cast<std::size_t>(i)] = sum.load();
        });
        for (const int s : sums) wrong.fetch_add(s != 45);
      }
    });
  for (std::thread& caller : callers) caller.join();
  CHECK(wrong.load() == 0);
}

TEST_CASE("thread_pool starts and stops, used or not, and neither copies nor moves") {
  for (int repeat = 0; repeat < 100; ++repeat) {
    weakly::thread_pool pool(3);
    if (repeat % 2) CHECK(contract::calls_each_once(pool, 5));
  }
  static_assert(!std::is_copy_constructible_v<weakly::thread_pool>);
  static_assert(!std::is_move_constructible_v<weakly::thread_pool>);
}

TEST_CASE("thread_pool of one thread is the calling thread") {
  weakly::thread_pool pool(1);
  std::vector<weakly::index_t> order;
  std::set<std::thread::id> who;
  pool(5, [&](weakly::index_t i) {
    order.push_back(i);
    who.insert(std::this_thread::get_id());
  });
  CHECK(order == std::vector<weakly::index_t>{0, 1, 2, 3, 4});
  CHECK(who == std::set<std::thread::id>{std::this_thread::get_id()});
}

TEST_CASE("thread_pool has as many threads as the machine unless told, and refuses none at all") {
  weakly::thread_pool pool;
  CHECK(pool.threads() == weakly::thread_pool::hardware_threads());
  CHECK(pool.threads() >= 1);
  CHECK_THROWS_WITH_AS(weakly::thread_pool(0), "thread_pool: 0 threads; give at least one", weakly::option_error);
  CHECK_THROWS_AS(weakly::thread_pool(-1), weakly::option_error);
}
