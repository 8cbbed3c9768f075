// expect: no matching function|constraints not satisfied
#include <weakly/check/distribution.hpp>
#include <weakly/core/matrix.hpp>

int main() {
#ifdef MUST_FAIL
  const weakly::matrix<int> prob(2, 2);
#else
  const weakly::matrix<float> prob(2, 2);
#endif
  return weakly::check_distribution(prob).ok();
}
