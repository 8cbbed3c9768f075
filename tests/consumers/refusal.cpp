// SPDX-License-Identifier: MIT
#include <weakly/core/view.hpp>

int main() {
  const float numbers[21] = {};
  weakly::detail::require_extent("refusal: prob", weakly::view(numbers, 7, 3), 1, 4);
}
