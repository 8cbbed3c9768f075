// SPDX-License-Identifier: MIT
#include <weakly/core/view.hpp>

#include <vector>

int main() {
  const std::vector<float> prob = {0.9F, 0.1F, 0.2F, 0.8F};
  const auto v = weakly::view(prob.data(), 2, 2);
  return v(1, 1) == 0.8F ? 0 : 1;
}
