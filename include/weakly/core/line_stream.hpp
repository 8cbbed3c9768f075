// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/simd.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace weakly::inline v0::detail {

/// Writes consecutive elements past the caches by whole lines, a few at a time in the middle of other work: stores that
/// bypass the caches are cheap as long as they come no faster than memory takes them. A line that one piece leaves
/// unfinished waits for the next piece.
template <class T>
class line_stream {
 public:
  using batch = simd::batch<T>;
  static constexpr index_t line = simd::line_size<T>;

  /// The first element goes to `out`.
  explicit line_stream(T* out) : next_(out), begin_(line - simd::to_line_start(out)) {
    if (begin_ == line) begin_ = 0;
    filled_ = begin_;
  }
  line_stream(const line_stream&) = delete;
  line_stream& operator=(const line_stream&) = delete;

  /// Takes scale (e[j] - less) + offset for j < count, which `step` and `drain` write; nothing may be left of an earlier
  /// piece. e stays as it is until then.
  void queue(const T* e, T scale, T offset, index_t count, T less = 0) {
    less_ = less;
    scale_ = scale;
    offset_ = offset;
    if (filled_ > 0) {
      const index_t head = std::min(line - filled_, count);
      put_aside(e, head);
      e += head;
      count -= head;
    }
    e_ = e;
    left_ = count;
  }

  /// Writes one line if there is a whole one.
  WEAKLY_INLINE void step() {
    if (left_ < line) return;
    const batch a = scale_, b = offset_, c = less_;
    simd::stream_line(next_, [&](index_t i) { return simd::fma(simd::load(e_ + i) - c, a, b); });
    next_ += line;
    e_ += line;
    left_ -= line;
  }

  /// Writes the rest of the piece, but for a line begun.
  void drain() {
    while (left_ >= line) step();
    if (left_ > 0) put_aside(e_, left_);
    left_ = 0;
  }

  /// Writes the line begun. The next piece goes on behind it.
  void flush() {
    std::copy(line_ + begin_, line_ + filled_, next_);
    next_ += filled_ - begin_;
    begin_ = filled_;
  }

 private:
  void put_aside(const T* e, index_t count) {
    const batch a = scale_, b = offset_, c = less_;
    for (index_t j = 0; j < count; j += batch::size) {
      const index_t some = std::min(batch::size, count - j);
      simd::store_partial(line_ + filled_ + j, some, simd::fma(simd::load_partial(e + j, some) - c, a, b));
    }
    filled_ += count;
    if (filled_ < line) return;
    if (begin_ > 0) {
      flush();
    } else {
      simd::stream_line(next_, [&](index_t i) { return simd::load(static_cast<const T*>(line_) + i); });
      next_ += line;
    }
    begin_ = filled_ = 0;
  }

  alignas(64) T line_[64 / sizeof(T)];
  T* next_;        // where line_[begin_] goes, or the next line
  index_t begin_;  // line_ holds elements [begin_, filled_) of a line; those before are written or not ours
  index_t filled_ = 0;
  const T* e_ = nullptr;
  index_t left_ = 0;
  T less_ = 0;
  T scale_ = 1;
  T offset_ = 0;
};

/// Two lines at a time, where there are as many: what a softmax writes of the rows before while it reads on.
template <class T>
struct two_line_steps {
  line_stream<T>& lines;

  WEAKLY_INLINE void operator()() const {
    lines.step();
    lines.step();
  }
};

}  // namespace weakly::inline v0::detail
