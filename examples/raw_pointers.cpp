// SPDX-License-Identifier: MIT
// For trainers written over raw memory: rows padded to a multiple of 16, labels inside records, a matrix type of one's
// own. A pointer, extents and strides make a view; three lines teach the library a type.
#include <weakly/check/distribution.hpp>
#include <weakly/core/view.hpp>
#include <weakly/noise/confident_joint.hpp>
#include <weakly/noise/label_quality.hpp>

#include <cstdint>
#include <cstdio>
#include <cstdlib>

struct activations {  // somebody's own type: n rows of k numbers, each row padded
  float* data;
  int n, k, padded_k;
};

template <>
struct weakly::adapt<activations> {
  static constexpr bool owns = false;  // whoever made it frees the memory: a copy of it shows the same elements
  static auto view(const activations& a) { return weakly::view(a.data, a.n, a.k, a.padded_k, 1); }
};

struct record {
  double time;
  std::int16_t label;
  std::int16_t source;
};

int main() {
  constexpr int n = 1000, k = 10;
  const activations prob{static_cast<float*>(std::calloc(n * 16, sizeof(float))), n, k, 16};
  record* const records = static_cast<record*>(std::calloc(n, sizeof(record)));
  float* const quality = static_cast<float*>(std::malloc(n * sizeof(float)));
  for (int i = 0; i < n; ++i) {
    const int truth = i % k;
    for (int j = 0; j < k; ++j) prob.data[i * 16 + j] = j == truth ? 0.91f : 0.01f;
    records[i].label = std::int16_t(i % 50 == 3 ? (truth + 1) % k : truth);
  }

  // The labels lie 16 bytes apart: a view of one column, n x 1 with that stride, as a vector.
  static_assert(sizeof(record) % sizeof(std::int16_t) == 0);
  const weakly::vector_view<const std::int16_t> labels(&records[0].label, {n}, {sizeof(record) / sizeof(std::int16_t)});

  weakly::require_distribution(prob);  // optional: algorithms do not scan values by themselves
  const weakly::confident_joint_result joint = weakly::confident_joint(labels, prob);
  weakly::label_quality(labels, prob, weakly::view(quality, n));
  std::printf("class 3 was labelled 4 %d times, worst score %.2f\n", int(joint.counts(4, 3)), double(quality[3]));

  const bool right = joint.counts(4, 3) == 20 && joint.counts(3, 3) == 80 && joint.counts(5, 5) == 100 &&
                     quality[3] == 0.01f && quality[4] == 0.91f;
  if (!right) std::fputs("raw_pointers: unexpected result\n", stderr);
  std::free(prob.data);
  std::free(records);
  std::free(quality);
  return right ? 0 : 1;
}
