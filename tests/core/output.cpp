// SPDX-License-Identifier: MIT
#include <weakly/core/output.hpp>

#include <doctest/doctest.h>

#include <string>
#include <vector>

using weakly::index_t;

static_assert(weakly::real_output<std::vector<float>&>);
static_assert(weakly::real_output<std::vector<weakly::half>&>);
static_assert(weakly::real_output<const weakly::discard_output&>);
static_assert(weakly::real_output<weakly::matrix_view<double>>);
static_assert(!weakly::real_output<std::vector<float>>);         // would die with its results
static_assert(!weakly::real_output<const std::vector<float>&>);  // nothing can be written there
static_assert(!weakly::real_output<std::vector<int>&>);
static_assert(!weakly::real_output<weakly::tensor_view<float, 2, weakly::device_memory>>);
static_assert(weakly::score_tensor<std::vector<float>> && weakly::score_tensor<weakly::tensor_view<const double, 3>>);
static_assert(!weakly::score_tensor<std::vector<int>>);

TEST_CASE("a discarded output is an empty sink, whatever its shape would be") {
  CHECK(weakly::detail::gradient_sink<float>("f", weakly::discard, 3, 4).empty());
  CHECK(weakly::detail::value_sink<float>("f", "loss", weakly::discard, 3).empty());
}

TEST_CASE("an output of any leading axes is rows, of rank one a value a row") {
  std::vector<double> memory(12);
  const weakly::tensor_view<double, 3> three(memory.data(), {2, 2, 3});
  CHECK(weakly::detail::rows_of(three) == 4);
  auto grad = weakly::detail::gradient_sink<float>("f", three, 4, 3);
  const float row[] = {1, 2, 3};
  grad.put_rows(3, 1, row);
  CHECK(memory[11] == 3);

  const weakly::matrix_view<double> strided(memory.data(), {2, 3}, {3, 1});
  auto value = weakly::detail::value_sink<double>("f", "loss", strided, 6);
  const double x[] = {7};
  value.put_rows(4, 1, x);
  CHECK(memory[4] == 7);
  CHECK(weakly::detail::as_column(strided).extent(1) == 1);
}

#if WEAKLY_HAS_EXCEPTIONS
TEST_CASE("an output of another shape is refused by name") {
  std::vector<double> memory(6);
  const auto grad = weakly::view(memory.data(), 2, 3);
  CHECK_THROWS_AS(weakly::detail::gradient_sink<double>("f", grad, 3, 2), weakly::shape_error);
  try {
    weakly::detail::value_sink<double>("f", "posterior", memory, 5);
    FAIL("nothing was thrown");
  } catch (const weakly::shape_error& e) {
    CHECK(std::string(e.what()).find("f: posterior has 6 elements for 5") == 0);
  }
}
#endif
