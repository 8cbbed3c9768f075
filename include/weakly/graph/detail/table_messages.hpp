// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/graph/detail/counting_messages.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

namespace weakly::inline v0::detail {

/// Below this a sum may have lost terms that would matter.
template <class T>
inline constexpr T certain_sum = sizeof(T) == 4 ? T(1e-30) : T(1e-270);

/// Numbers of scratch for contract_table: two partial tables.
inline std::size_t contraction_scratch(index_t size) { return static_cast<std::size_t>(2 * size); }

/// All messages of a table at once.
///
///     message_s(x) = sum over assignments with x_s = x of table(assignment) product over t != s of in_t(x_t)
///
/// with (sum, product) or, for Max, (max, sum). From the left, a slot after the other is summed out of a copy that
/// shrinks; each message is what is left when the slots on its right are summed out too. No division, so zeros are
/// numbers like others. V is a number, or a batch of them that belong to as many factors.
///
/// states  arity          in, message  one after the other, states(s) numbers each
/// scratch 2 size of V    O(size) for all messages together.
template <bool Max, class V, class Table>
void contract_table(index_t arity, const std::uint16_t* states, index_t size, const Table& table, const V* in,
                    V* message, V* scratch) {
  const auto plus = [](V a, V b) {
    if constexpr (Max)
      return a > b ? a : b;
    else
      return a + b;
  };
  const auto times = [](V a, V b) {
    if constexpr (Max)
      return a + b;
    else
      return a * b;
  };
  V* const left = scratch;
  V* const work = scratch + size;
  index_t offset = 0, all = 0;
  for (index_t s = 0; s < arity; ++s) all += states[s];
  for (index_t s = 0; s < arity; ++s) {
    const index_t c = states[s], rest = size / c;
    const auto entry = [&](index_t e) { return s == 0 ? V(table(e)) : left[e]; };
    // Slots on the right, the last first.
    index_t length = size, end = all;
    for (index_t t = arity - 1; t > s; --t) {
      const index_t width = states[t];
      end -= width;
      const V* const q = in + end;
      length /= width;
      if (t == arity - 1)
        for (index_t a = 0; a < length; ++a) {
          V sum = times(entry(a * width), q[0]);
          for (index_t b = 1; b < width; ++b) sum = plus(sum, times(entry(a * width + b), q[b]));
          work[a] = sum;
        }
      else
        for (index_t a = 0; a < length; ++a) {
          V sum = times(work[a * width], q[0]);
          for (index_t b = 1; b < width; ++b) sum = plus(sum, times(work[a * width + b], q[b]));
          work[a] = sum;
        }
    }
    for (index_t x = 0; x < c; ++x) message[offset + x] = s == arity - 1 ? entry(x) : work[x];
    if (s + 1 < arity) {
      const V* const q = in + offset;
      for (index_t a = 0; a < rest; ++a) {
        V sum = times(entry(a), q[0]);
        for (index_t x = 1; x < c; ++x) sum = plus(sum, times(entry(x * rest + a), q[x]));
        left[a] = sum;
      }
      size = rest;
    }
    offset += c;
  }
}

/// f(entry, digits) for the assignments of a table in their order, the last slot fastest.
template <class F>
void for_assignments(index_t arity, const std::uint16_t* states, index_t size, index_t* digit, F f) {
  std::fill_n(digit, arity, index_t(0));
  for (index_t e = 0; e < size; ++e) {
    f(e);
    for (index_t s = arity - 1; s >= 0; --s) {
      if (++digit[s] < states[s]) break;
      digit[s] = 0;
    }
  }
}

}  // namespace weakly::inline v0::detail
