// expect: no matching function|constraints not satisfied
#include <weakly/check/labels.hpp>

#include <vector>

int main() {
#ifdef MUST_FAIL
  const std::vector<float> labels{0, 1};
#else
  const std::vector<int> labels{0, 1};
#endif
  return static_cast<int>(weakly::check_labels(labels, 2).count);
}
