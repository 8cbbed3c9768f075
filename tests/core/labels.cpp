// SPDX-License-Identifier: MIT
#include <weakly/core/labels.hpp>
#include <weakly/exec/thread_pool.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

namespace {

template <class Label>
void require(const weakly::vector_view<const Label>& labels, weakly::index_t k) {
  weakly::detail::require_labels("f", labels, k);
}

}  // namespace

#define WEAKLY_TEST_LABEL_TYPES                                                                                     \
  std::int8_t, std::uint8_t, std::int16_t, std::uint16_t, std::int32_t, std::uint32_t, std::int64_t, std::uint64_t, \
      long long, unsigned long long, char, wchar_t, char16_t

TEST_CASE_TEMPLATE("a label is in [0, k) or it is none, for every integer type", Label, WEAKLY_TEST_LABEL_TYPES) {
  using limits = std::numeric_limits<Label>;
  using weakly::detail::is_label;
  CHECK(is_label(Label(0), 1));
  CHECK(is_label(Label(100), 101));
  CHECK_FALSE(is_label(Label(100), 100));
  CHECK_FALSE(is_label(Label(0), 0));
  CHECK_FALSE(is_label(limits::max(), 100));
  if (std::is_signed_v<Label>) {
    CHECK_FALSE(is_label(Label(-1), 100));
    CHECK_FALSE(is_label(Label(-1), std::numeric_limits<weakly::index_t>::max()));
    CHECK_FALSE(is_label(limits::min(), 100));
  }
}

TEST_CASE_TEMPLATE("require_labels finds a bad label wherever it stands, contiguous or not", Label,
                   WEAKLY_TEST_LABEL_TYPES) {
  const weakly::index_t n = 10000;
  for (const weakly::index_t stride : {weakly::index_t(1), weakly::index_t(3)})
    for (const weakly::index_t bad : {0, 1, 4095, 4096, 9999}) {
      std::vector<Label> labels(std::size_t(n * stride), Label(101));  // bad between the strides too
      for (weakly::index_t i = 0; i < n; ++i) labels[std::size_t(i * stride)] = Label(i % 100);
      const weakly::vector_view<const Label> y(labels.data(), {n}, {stride});
      require(y, 100);
      labels[std::size_t(bad * stride)] = Label(100);
      CHECK_THROWS_AS(require(y, 100), weakly::label_error);
      require(y, 101);
    }
}

TEST_CASE("require_labels names the label, its row and the range") {
  const std::vector<std::int8_t> labels{3, -1, 7};
  CHECK_THROWS_WITH_AS(require(weakly::view(labels), 8),
                       "f: label -1 of row 1 is outside [0, 8); labels number the columns of the probabilities from 0",
                       weakly::label_error);
  const std::vector<std::uint64_t> huge{0, std::numeric_limits<std::uint64_t>::max()};
  CHECK_THROWS_WITH_AS(require(weakly::view(huge), 8), doctest::Contains("label 18446744073709551615 of row 1"),
                       weakly::label_error);
}

TEST_CASE("require_labels names the first bad label whichever thread finds it") {
  std::vector<int> labels(200000, 3);
  for (std::size_t i = 70001; i < labels.size(); i += 997) labels[i] = static_cast<int>(i);
  for (int threads = 1; threads <= 4; ++threads) {
    weakly::thread_pool pool(threads);
    for (int round = 0; round < 20; ++round)
      CHECK_THROWS_WITH_AS(weakly::detail::require_labels(pool, "f", weakly::view(std::as_const(labels)), 8),
                           doctest::Contains("label 70001 of row 70001 "), weakly::label_error);
  }
}

TEST_CASE("require_labels reads backwards and repeated labels, and none at all") {
  const std::vector<int> labels{0, 1, 2, 9};
  require(weakly::vector_view<const int>(labels.data() + 2, {3}, {-1}), 3);
  require(weakly::vector_view<const int>(labels.data(), {1000}, {0}), 1);
  require(weakly::vector_view<const int>(), 0);
  CHECK_THROWS_AS(require(weakly::view(labels), 0), weakly::label_error);
}
