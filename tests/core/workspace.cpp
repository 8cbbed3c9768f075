// SPDX-License-Identifier: MIT
#include <weakly/core/workspace.hpp>

#include <doctest/doctest.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

namespace {

bool on_a_line(const void* p) { return reinterpret_cast<std::uintptr_t>(p) % 64 == 0; }

}  // namespace

TEST_CASE("workspace hands out aligned arrays that do not overlap, inside the memory it was given") {
  std::vector<std::byte> memory(1000);
  weakly::workspace ws(memory);
  const auto a = ws.take<double>("f: a", 10);
  const auto b = ws.take<std::uint8_t>("f: b", 3);
  const auto c = ws.take<float>("f: c", 20);
  CHECK(on_a_line(a.data()));
  CHECK(on_a_line(b.data()));
  CHECK(on_a_line(c.data()));
  CHECK(a.size() == 10);
  CHECK(reinterpret_cast<std::byte*>(a.data() + a.size()) <= reinterpret_cast<std::byte*>(b.data()));
  CHECK(reinterpret_cast<std::byte*>(b.data() + b.size()) <= reinterpret_cast<std::byte*>(c.data()));
  CHECK(reinterpret_cast<std::byte*>(a.data()) >= memory.data());
  CHECK(reinterpret_cast<std::byte*>(c.data() + c.size()) <= memory.data() + memory.size());
}

TEST_CASE("scratch_bytes is enough wherever the memory begins") {
  const std::size_t bytes =
      weakly::scratch_bytes<double>(7) + weakly::scratch_bytes<char>(1) + weakly::scratch_bytes<float>(0);
  for (std::size_t offset = 0; offset < 64; ++offset) {
    std::vector<std::byte> memory(bytes + offset);
    weakly::workspace ws(std::span<std::byte>(memory).subspan(offset));
    CHECK(ws.take<double>("f", 7).size() == 7);
    CHECK(ws.take<char>("f", 1).size() == 1);
    CHECK(ws.take<float>("f", 0).empty());
  }
}

TEST_CASE("workspace refuses what does not fit, with both sizes") {
  alignas(64) std::byte memory[128];
  weakly::workspace ws(memory);
  CHECK_THROWS_WITH_AS(ws.take<double>("f: table", 17),
                       "f: table needs 17 elements of 8 bytes of workspace, 128 bytes are left; size it with the "
                       "function's _scratch function",
                       weakly::workspace_error);
  CHECK(ws.take<double>("f: table", 16).size() == 16);
  CHECK(ws.bytes_left() == 0);
  CHECK_THROWS_AS(ws.take<char>("f: more", 1), weakly::workspace_error);
  CHECK(ws.take<char>("f: nothing", 0).empty());
}

TEST_CASE("workspace is not fooled by counts that are negative or whose bytes overflow") {
  alignas(64) std::byte memory[128];
  weakly::workspace ws(memory);
  CHECK_THROWS_AS(ws.take<double>("f", -1), weakly::workspace_error);
  CHECK_THROWS_AS(ws.take<double>("f", (std::int64_t(1) << 61) + 1), weakly::workspace_error);
  CHECK_THROWS_AS(ws.take<double>("f", std::numeric_limits<std::int64_t>::max()), weakly::workspace_error);
  CHECK(ws.bytes_left() == 128);
}
