// SPDX-License-Identifier: MIT
#include <weakly/noise/confident_joint.hpp>

#include <vector>

int main() {
  const std::vector<int> labels(4);
  const std::vector<float> prob(21);
  weakly::confident_joint(labels, weakly::view(prob.data(), 7, 3));
}
