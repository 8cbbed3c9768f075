// SPDX-License-Identifier: MIT
#include "allocations.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>
#include <vector>

#include "sanitizer.hpp"

namespace {

std::atomic<std::int64_t> calls = 0;

}  // namespace

std::int64_t allocations::count() { return calls.load(std::memory_order_relaxed); }

// The sanitizers bring an operator new of their own: there nothing is counted, and the promises are tested elsewhere.
#if !WEAKLY_TEST_SANITIZED

// g++ 12 inlines a pair of these halfway and then believes that they do not belong together.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"
#endif

namespace {

void* counted(std::size_t bytes, std::size_t alignment) noexcept {
  calls.fetch_add(1, std::memory_order_relaxed);
  // aligned_alloc wants a multiple of the alignment, and nothing wants a null pointer for no bytes.
  return std::aligned_alloc(alignment, (bytes / alignment + 1) * alignment);
}

void* counted_or_fail(std::size_t bytes, std::size_t alignment) {
  void* const memory = counted(bytes, alignment);
#if defined(__cpp_exceptions)
  if (memory == nullptr) throw std::bad_alloc();
#else
  if (memory == nullptr) std::abort();
#endif
  return memory;
}

}  // namespace

void* operator new(std::size_t bytes) { return counted_or_fail(bytes, alignof(std::max_align_t)); }
void* operator new[](std::size_t bytes) { return counted_or_fail(bytes, alignof(std::max_align_t)); }
void* operator new(std::size_t bytes, std::align_val_t a) { return counted_or_fail(bytes, std::size_t(a)); }
void* operator new[](std::size_t bytes, std::align_val_t a) { return counted_or_fail(bytes, std::size_t(a)); }
void* operator new(std::size_t bytes, const std::nothrow_t&) noexcept {
  return counted(bytes, alignof(std::max_align_t));
}
void* operator new[](std::size_t bytes, const std::nothrow_t&) noexcept {
  return counted(bytes, alignof(std::max_align_t));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, const std::nothrow_t&) noexcept { std::free(memory); }
void operator delete[](void* memory, const std::nothrow_t&) noexcept { std::free(memory); }

TEST_CASE("the allocation counter sees what a vector allocates") {
  CHECK(allocations::during([] { std::vector<int> v(100); }) == 1);
  CHECK(allocations::during([] {}) == 0);
}

#endif
