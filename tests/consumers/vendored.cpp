// SPDX-License-Identifier: MIT
// Calls the function that the README shows for vendored headers.
#include <cstdint>
#include <vector>

std::int64_t mistaken_for(const std::vector<float>& prob, const std::vector<int>& labels, int k, int given, int truly);

int main() {
  const std::vector<float> prob = {0.9F, 0.1F, 0.7F, 0.3F, 0.2F, 0.8F, 0.4F, 0.6F, 0.1F, 0.9F};
  const std::vector<int> labels = {0, 0, 1, 1, 0};
  return mistaken_for(prob, labels, 2, 0, 1) == 1 && mistaken_for(prob, labels, 2, 1, 0) == 0 ? 0 : 1;
}
