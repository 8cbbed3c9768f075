// SPDX-License-Identifier: MIT
#include <weakly/noise/detail/bounded_selection.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "cases.hpp"

using weakly::index_t;
using weakly::detail::bounded_selection;

namespace {

/// Offers rows whose keys fall into 64 steps, so that many tie.
void offer(bounded_selection& s, const std::vector<index_t>& step, index_t first, index_t last) {
  for (index_t i = first; i < last; ++i) {
    const double key = -static_cast<double>(step[oracle::at(i)]) / 64;
    if (s.wants(0, key, i)) s.put(0, {key, i, false});
  }
}

std::vector<index_t> selected(const bounded_selection& s) {
  std::vector<index_t> rows;
  for (const weakly::detail::candidate& c : bounded_selection(s).finish()) rows.push_back(c.row());
  std::sort(rows.begin(), rows.end());
  return rows;
}

}  // namespace

TEST_CASE("bounded_selection selects the best rows, whatever part of them foretold the rest") {
  cases::generator g(133);
  int retries = 0;
  for (int round = 0; round < 2000; ++round) {
    CAPTURE(round);
    const index_t n = 20 + g.below(300), part = g.below(n);
    std::vector<index_t> step(oracle::at(n));
    // The first part is like the rest, better in some rows, or better throughout.
    for (index_t i = 0; i < n; ++i) step[oracle::at(i)] = g.below(i < part && round % 3 != 0 ? 64 : 40);
    if (round % 3 == 2)
      for (index_t i = 0; i < part; ++i) step[oracle::at(i)] = 63 - std::min<index_t>(i, 20);
    const std::vector<std::int64_t> capacity = {1 + g.below(60)};

    bounded_selection plain("f", capacity);
    offer(plain, step, 0, n);
    bounded_selection guessed("f", capacity);
    guessed.admit_up_to(-0.25);
    offer(guessed, step, 0, part);
    guessed.admit_as_foretold(g.unit() / 4);
    offer(guessed, step, part, n);
    if (guessed.retry_short_groups()) {
      ++retries;
      offer(guessed, step, 0, n);
    }
    guessed.admit_all();
    REQUIRE(selected(guessed) == selected(plain));
  }
  CHECK(retries > 100);
  CHECK(retries < 1900);
}
