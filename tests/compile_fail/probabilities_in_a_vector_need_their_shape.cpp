// expect: no matching function|constraints not satisfied
#include <weakly/check/distribution.hpp>

#include <vector>

int main() {
  const std::vector<float> prob(6);
#ifdef MUST_FAIL
  return weakly::check_distribution(prob).ok();
#else
  return weakly::check_distribution(weakly::view(prob.data(), 2, 3)).ok();
#endif
}
