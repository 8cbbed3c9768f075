// SPDX-License-Identifier: MIT
// Any offsets and labels as lists of candidates, and any bits: either an error of weakly names the row, or every
// result is in its range, or NaN where the row is NaN or impossible. Nothing outside lists and outputs is touched.
// Run: fuzz_sets -max_len=256 FOUND tests/fuzz/corpus/sets, where FOUND is a folder for what is new.
#include <weakly/em/candidate_argmax.hpp>
#include <weakly/em/candidate_list_posterior.hpp>
#include <weakly/em/complement_loss.hpp>
#include <weakly/em/label_posterior.hpp>
#include <weakly/em/leveraged_weighted.hpp>
#include <weakly/em/proden.hpp>
#include <weakly/em/prototypes.hpp>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <span>
#include <vector>

#include "fuzz_input.hpp"

namespace {

using fuzz::numbers;
using fuzz::require;
using weakly::index_t;

constexpr float infinity = std::numeric_limits<float>::infinity();
constexpr float hurting_logits[] = {infinity, -infinity, std::numeric_limits<float>::quiet_NaN(), 1e30f, -1e30f, 90,
                                    -90,      1e-40f};

struct problem {
  index_t n, k;
  std::vector<std::int64_t> offsets, ids;
  std::vector<std::uint64_t> words;
  std::vector<float> scores;

  explicit problem(numbers& from) : n(from.byte() % 9), k(1 + from.byte()) {
    if (k > 40) k = k % 8 == 0 ? 256 + k : 1 + k % 40;  // now and then rows that are no tiles
    const auto slots = static_cast<std::size_t>(from.byte() % 64);
    const bool plausible = from.byte() % 4 != 0;
    for (index_t i = 0; i <= n; ++i) offsets.push_back(from.integer(64));
    if (plausible) {  // most inputs would stop at the offsets
      std::int64_t at = 0;
      for (std::size_t i = 0; i < offsets.size(); ++i) {
        const std::int64_t size = offsets[i] < 0 ? 0 : offsets[i] % 7;
        offsets[i] = at;
        at = std::min(at + size, static_cast<std::int64_t>(slots));
      }
    }
    for (std::size_t i = 0; i < slots; ++i) {
      ids.push_back(from.integer(k));
      if (plausible && i > 0 && ids[i] <= ids[i - 1] && ids[i - 1] < k) ids[i] = ids[i - 1] + 1;
    }
    for (index_t i = 0; i < n * ((k + 63) / 64); ++i) {
      std::uint64_t word = 0;
      for (int b = 0; b < 8; ++b) word = word << 8 | from.byte();
      words.push_back(word);
    }
    for (index_t i = 0; i < n * k; ++i) scores.push_back(from.logit(hurting_logits));
  }
};

/// f may throw an error of weakly, which has one line and, where labels are meant, names a row; and nothing else.
template <class F>
void attempt(F&& f) {
  try {
    f();
  } catch (const weakly::label_error& e) {
    require(std::strstr(e.what(), "row ") != nullptr && std::strchr(e.what(), '\n') == nullptr);
  } catch (const weakly::error& e) {
    require(std::strlen(e.what()) > 10 && std::strchr(e.what(), '\n') == nullptr);
  }
}

void check(const std::vector<float>& x, double low, double high) {
  for (const float v : x) require(std::isnan(v) || (double(v) >= low && double(v) <= high));
}

// Outputs are exactly as large as they must be: the sanitizer watches their ends.
void run(const problem& p, const weakly::candidate_sets& sets, bool lists) {
  const auto size = static_cast<std::size_t>(p.n * p.k);
  const auto x = weakly::view(p.scores.data(), p.n, p.k);
  std::vector<float> q(size), g(size), loss(static_cast<std::size_t>(p.n));
  std::vector<std::int16_t> label(loss.size());
  const auto rows = [&](std::vector<float>& v) { return weakly::view(v.data(), p.n, p.k); };
  if (lists) {
    std::vector<float> slots(p.ids.size());
    attempt([&] { weakly::candidate_list_posterior(x, sets, slots); });
    check(slots, 0, 1 + 1e-5);
  }
  attempt([&] { weakly::label_posterior(x, weakly::observed_sets(sets), rows(q), loss, rows(g)); });
  check(q, 0, 1 + 1e-5);
  check(loss, 0, infinity);
  check(g, -1 - 1e-5, 1 + 1e-5);
  std::vector<float> alone(size);
  attempt(
      [&] { weakly::label_posterior(x, weakly::observed_sets(sets), rows(alone), weakly::discard, weakly::discard); });
  require(size == 0 || std::memcmp(alone.data(), q.data(), size * sizeof(float)) == 0);
  attempt([&] { weakly::complement_loss(x, sets, loss, rows(g)); });
  attempt([&] { weakly::leveraged_weights(x, sets, rows(q)); });
  attempt([&] { weakly::uniform_targets(sets, rows(q)); });
  check(q, 0, 1);
  attempt([&] { weakly::proden_step(x, sets, rows(q), loss, rows(g)); });
  attempt([&] { weakly::candidate_argmax(x, sets, label); });
  for (const std::int16_t y : label) require(y >= -1 && y < p.k);
  attempt([&] { weakly::prototype_targets(x, sets, rows(q), 0.9); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  numbers from(std::span<const std::uint8_t>(data, size));
  const problem p(from);
  run(p, weakly::candidate_lists(p.offsets, p.ids, p.k), true);
  const auto words = weakly::view(p.words.data(), p.n, (p.k + 63) / 64);
  run(p, weakly::candidate_bits(words, p.k), false);
  return 0;
}
