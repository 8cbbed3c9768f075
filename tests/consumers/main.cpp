// SPDX-License-Identifier: MIT
#include <weakly/weakly.hpp>

#include <cstdint>
#include <vector>

int main() {
  // Class 0 is as sure of itself as (0.9 + 0.7 + 0.1) / 3, class 1 as (0.8 + 0.6) / 2. Row 3 reaches neither, and row 4
  // is labelled 0 and confidently of class 1.
  const std::vector<float> prob = {0.9F, 0.1F, 0.7F, 0.3F, 0.2F, 0.8F, 0.4F, 0.6F, 0.1F, 0.9F};
  const std::vector<std::uint8_t> labels = {0, 0, 1, 1, 0};

  const auto joint = weakly::confident_joint(labels, weakly::view(prob.data(), labels.size(), 2)).counts;
  return joint(0, 0) == 2 && joint(0, 1) == 1 && joint(1, 0) == 0 && joint(1, 1) == 1 ? 0 : 1;
}
