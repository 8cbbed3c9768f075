// expect: no matching function|constraints not satisfied
#include <weakly/core/matrix.hpp>
#include <weakly/exec/thread_pool.hpp>
#include <weakly/noise/class_thresholds.hpp>

#include <vector>

int main() {
  const weakly::matrix<float> prob(2, 2, 0.5f);
  const std::vector<int> labels{0, 1};
#ifdef MUST_FAIL
  const int two_threads = 2;
#else
  weakly::thread_pool two_threads(2);
#endif
  return static_cast<int>(weakly::class_thresholds(two_threads, labels, prob).size());
}
