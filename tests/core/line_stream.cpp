// SPDX-License-Identifier: MIT
#include <weakly/core/line_stream.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <vector>

using weakly::index_t;

TEST_CASE_TEMPLATE("line_stream writes every piece where it belongs and nothing else", T, float, double) {
  using stream = weakly::detail::line_stream<T>;
  std::vector<T> from(1000);
  for (std::size_t i = 0; i < from.size(); ++i) from[i] = static_cast<T>(i) + T(1);
  alignas(64) static T room[1200];
  for (index_t phase = 0; phase < stream::line; ++phase) {
    for (const index_t first : {index_t(0), index_t(1), index_t(5), index_t(16), index_t(100)}) {
      for (T& x : room) x = T(-7);
      T* const out = room + stream::line + phase;
      stream lines(out);
      index_t written = 0;
      for (const index_t piece : {first, index_t(3), index_t(0), index_t(33), index_t(2), index_t(64), index_t(250)}) {
        lines.queue(from.data() + written, T(2), T(0.5), piece);
        lines.step();
        lines.drain();
        if (piece == 33) lines.flush();  // goes on behind what was flushed
        written += piece;
      }
      lines.flush();
      weakly::simd::stream_fence();
      index_t wrong = 0;
      for (index_t i = 0; i < 1200; ++i) {
        const index_t j = i - stream::line - phase;
        wrong += room[i] != (j >= 0 && j < written ? T(2) * from[static_cast<std::size_t>(j)] + T(0.5) : T(-7));
      }
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("line_stream with factor one and minus zero copies both zeros") {
  alignas(64) float room[64];
  const std::vector<float> from{0.0f, -0.0f, 1.0f};
  weakly::detail::line_stream<float> lines(room);
  lines.queue(from.data(), 1.0f, -0.0f, 3);
  lines.drain();
  lines.flush();
  CHECK_FALSE(std::signbit(room[0]));
  CHECK(std::signbit(room[1]));
  CHECK(room[2] == 1.0f);
}
