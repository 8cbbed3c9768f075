// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/first_exception.hpp>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <thread>
#include <type_traits>
#include <vector>

namespace weakly::inline v0 {

/// Threads that start once and then work for whoever calls the pool.
///
///     weakly::thread_pool pool(4);
///     weakly::confident_joint(pool, labels, prob);
///
/// The caller takes part and does all the work itself while the others are busy or asleep, so a call never waits for a
/// thread to wake up. Indices are handed out one by one, in order. Several threads may call one pool at once, and f may
/// call the pool it runs on: each call waits for its own indices only.
///
/// When f throws, the exception of the lowest index is thrown again on the calling thread, and indices above it may be
/// left out: what a sequential loop would throw. A call allocates nothing.
class thread_pool {
 public:
  /// `threads` work on a call, its caller among them: threads - 1 are started.
  /// Throws option_error when threads < 1, and std::system_error when the system has no more threads.
  explicit thread_pool(int threads = hardware_threads()) {
    if (threads < 1) detail::fail<option_error>("thread_pool: ", threads, " threads; give at least one");
    workers_.start(threads - 1);
  }

  int threads() const { return static_cast<int>(workers_.threads.size()) + 1; }

  /// As many as the machine runs at once; 1 where it does not tell.
  static int hardware_threads() { return std::max(1, static_cast<int>(std::thread::hardware_concurrency())); }

  /// Calls f(0), ..., f(n - 1) once each and returns when all have returned.
  template <class F>
  void operator()(index_t n, F&& f) {
    if (n <= 1 || workers_.threads.empty()) {
      for (index_t i = 0; i < n; ++i) f(i);
      return;
    }
    job_of<std::remove_reference_t<F>> mine(n, f);
    workers_.run(mine);
    mine.exception.rethrow();
  }

 private:
  struct job {
    job(index_t n, void (*loop)(job&)) : count(n), take_part(loop) {}

    const index_t count;
    void (*const take_part)(job&);  // runs indices until none is left
    job* next_open = nullptr;       // the list of jobs that helpers may still join, guarded by the pool's mutex
    std::atomic<int> helpers = 0;   // written under the mutex
    detail::first_exception exception;
    alignas(64) std::atomic<index_t> next = 0;  // on a line of its own: every thread writes it for each index
  };

  template <class F>
  struct job_of : job {
    job_of(index_t indices, F& f) : job(indices, [](job& self) { static_cast<job_of&>(self).loop(); }), body(f) {}

    void loop() {
      for (;;) {
        const index_t i = this->next.fetch_add(1, std::memory_order_relaxed);
        if (i >= this->count) return;
        this->exception.run(i, body);
        if (this->exception.any()) this->next.store(this->count, std::memory_order_relaxed);
      }
    }

    F& body;
  };

  // A member of its own, so that threads already started are joined when a later one cannot start.
  struct crew {
    std::vector<std::thread> threads;
    std::mutex mutex;
    std::condition_variable job_opened;
    std::condition_variable helper_left;
    job* open = nullptr;
    std::atomic<unsigned> opened = 0;  // counts jobs, for who looks without the mutex
    int asleep = 0;
    bool stopping = false;

    void start(int count) {
      threads.reserve(static_cast<std::size_t>(count));
      for (int t = 0; t < count; ++t) threads.emplace_back([this] { work(); });
    }

    ~crew() {
      {
        const std::lock_guard lock(mutex);
        stopping = true;
      }
      job_opened.notify_all();
      for (std::thread& thread : threads) thread.join();
    }

    void run(job& j) {
      bool wake;
      {
        const std::lock_guard lock(mutex);
        j.next_open = open;
        open = &j;
        opened.fetch_add(1, std::memory_order_release);
        wake = asleep > 0;
      }
      if (wake) job_opened.notify_all();
      j.take_part(j);
      std::unique_lock lock(mutex);
      close(j);
      if (j.helpers.load(std::memory_order_relaxed) == 0) return;
      lock.unlock();
      look_a_while([&] { return j.helpers.load(std::memory_order_relaxed) == 0; });
      lock.lock();  // also where nobody is left: the last helper may still hold the mutex
      helper_left.wait(lock, [&] { return j.helpers.load(std::memory_order_relaxed) == 0; });
    }

    void work() {
      std::unique_lock lock(mutex);
      for (;;) {
        if (job* const j = joinable()) {
          j->helpers.fetch_add(1, std::memory_order_relaxed);
          lock.unlock();
          j->take_part(*j);
          lock.lock();
          close(*j);
          // The last access to the job: its caller waits for this under the mutex.
          if (j->helpers.fetch_sub(1, std::memory_order_relaxed) == 1) helper_left.notify_all();
          continue;
        }
        if (stopping) return;
        const unsigned seen = opened.load(std::memory_order_relaxed);
        lock.unlock();
        const bool more = look_a_while([&] { return opened.load(std::memory_order_relaxed) != seen; });
        lock.lock();
        if (more) continue;
        ++asleep;
        job_opened.wait(lock, [&] { return stopping || joinable() != nullptr; });
        --asleep;
      }
    }

    // The youngest job with indices left: nested calls end before the calls they are nested in.
    job* joinable() const {
      job* j = open;
      while (j != nullptr && j->next.load(std::memory_order_relaxed) >= j->count) j = j->next_open;
      return j;
    }

    void close(job& j) {
      for (job** link = &open; *link != nullptr; link = &(*link)->next_open)
        if (*link == &j) {
          *link = j.next_open;
          return;
        }
    }

    // Calls come in bursts and their ends are near: some ten microseconds of looking save a sleep and a wake-up. Not by
    // yielding: on a busy machine that gives a whole time slice away, and only sleepers are woken ahead of others.
    template <class Done>
    static bool look_a_while(Done&& done) {
      for (int look = 0; look < 500; ++look) {
        if (done()) return true;
#if defined(__x86_64__) || defined(__i386__)
        __builtin_ia32_pause();
#elif defined(__aarch64__)
        asm volatile("yield");
#else
        std::this_thread::yield();
#endif
      }
      return false;
    }
  };

  crew workers_;
};

}  // namespace weakly::inline v0
