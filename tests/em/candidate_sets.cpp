// SPDX-License-Identifier: MIT
#include <weakly/em/candidate_sets.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <random>
#include <vector>

using weakly::index_t;

TEST_CASE("masks, bits and lists of the same sets mark the same labels, from any column on") {
  std::mt19937 random(1);
  for (const index_t k : {index_t(1), index_t(5), index_t(64), index_t(65), index_t(200)}) {
    const index_t n = 9, words_a_row = (k + 63) / 64;
    std::vector<std::int16_t> mask(static_cast<std::size_t>(n * k));
    std::vector<std::uint64_t> words(static_cast<std::size_t>(n * words_a_row));
    std::vector<std::uint32_t> offsets{0};
    std::vector<std::uint16_t> ids;
    for (index_t i = 0; i < n; ++i) {
      for (index_t j = 0; j < k; ++j) {
        if (i == 0 || (i > 1 && random() % 3 != 0)) continue;  // row 0 is empty, row 1 full
        mask[static_cast<std::size_t>(i * k + j)] = static_cast<std::int16_t>(-1);
        words[static_cast<std::size_t>(i * words_a_row + j / 64)] |= std::uint64_t(1) << (j % 64);
        ids.push_back(static_cast<std::uint16_t>(j));
      }
      offsets.push_back(static_cast<std::uint32_t>(ids.size()));
    }
    const auto by_mask = weakly::candidate_masks(weakly::view(mask.data(), n, k));
    const auto by_bits = weakly::candidate_bits(weakly::view(words.data(), n, words_a_row), k);
    const auto by_lists = weakly::candidate_lists(offsets, ids, k);
    for (const auto* sets : {&by_mask, &by_bits, &by_lists}) {
      CHECK(sets->rows() == n);
      CHECK(sets->classes() == k);
      for (index_t i = 0; i < n; ++i) {
        CHECK(sets->valid(i));
        for (const index_t column : {index_t(0), k / 2, k - 1}) {
          std::vector<float> marks(static_cast<std::size_t>(k - column), -1.0f);
          sets->marks(i, column, k - column, marks.data());
          bool equal = true;
          for (index_t j = column; j < k; ++j)
            equal &= (marks[static_cast<std::size_t>(j - column)] == 1.0f) ==
                     (mask[static_cast<std::size_t>(i * k + j)] != 0);
          CHECK(equal);
        }
      }
    }
  }
}

TEST_CASE("a malformed row is not valid and spoils no other") {
  const std::vector<int> offsets{0, 2, 4, 6, 8};
  const std::vector<int> ids{0, 1, 1, 1, 2, 1, 0, 3};
  const auto lists = weakly::candidate_lists(offsets, ids, 3);
  CHECK(lists.valid(0));
  CHECK_FALSE(lists.valid(1));  // a repeat
  CHECK_FALSE(lists.valid(2));  // descending
  CHECK_FALSE(lists.valid(3));  // beyond k
  const std::vector<int> strange{4, 2, 99, -1};
  const auto bad = weakly::candidate_lists(strange, ids, 3);
  for (index_t i = 0; i < 3; ++i) CHECK_FALSE(bad.valid(i));
}

#if WEAKLY_HAS_EXCEPTIONS
TEST_CASE("masks and bits have no slots") {
  const std::vector<int> mask{1, 1};
  const std::vector<std::uint64_t> words{3};
  for (const auto& sets : {weakly::candidate_masks(weakly::view(mask.data(), 1, 2)),
                           weakly::candidate_bits(weakly::view(words.data(), 1, 1), 2), weakly::candidate_sets()}) {
    CHECK(sets.slots() == -1);
    CHECK_THROWS_AS(sets.slot(0), weakly::shape_error);
    index_t label = 0;
    CHECK_THROWS_AS(sets.labels(0, 1, &label), weakly::shape_error);
  }
}
#endif
