// SPDX-License-Identifier: MIT
// Calls the functions that the README shows.
#include <cmath>
#include <cstdint>
#include <vector>

void robust_step(std::vector<float>& logits, const std::vector<int>& labels, std::vector<float>& loss, int k);
std::int64_t mistaken_for(const std::vector<float>& prob, const std::vector<int>& labels, int k, int given, int truly);

int main() {
  const std::vector<float> prob = {0.9F, 0.1F, 0.7F, 0.3F, 0.2F, 0.8F, 0.4F, 0.6F, 0.1F, 0.9F};
  const std::vector<int> labels = {0, 0, 1, 1, 0};
  if (mistaken_for(prob, labels, 2, 0, 1) != 1 || mistaken_for(prob, labels, 2, 1, 0) != 0) return 1;

  // log((1 + e^0.1) / 2) and -+ the share of the other class.
  std::vector<float> logits = {2.0F, 2.0F}, loss(1);
  robust_step(logits, {0}, loss, 2);
  const float other = 1 / (1 + std::exp(-0.1F));
  const bool right = std::abs(loss[0] - std::log((1 + std::exp(0.1F)) / 2)) < 1e-6F &&
                     std::abs(logits[1] - other) < 1e-6F && std::abs(logits[0] + other) < 1e-6F;
  return right ? 0 : 2;
}
