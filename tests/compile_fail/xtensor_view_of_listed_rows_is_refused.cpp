// expect: no matching function|constraints not satisfied
#include <weakly/adapt/xtensor.hpp>
#include <weakly/check/distribution.hpp>

int main() {
  const xt::xtensor<float, 2> a = xt::zeros<float>({3, 2});
#ifdef MUST_FAIL
  return weakly::check_distribution(xt::view(a, xt::keep(0, 2))).ok();
#else
  return weakly::check_distribution(xt::view(a, xt::range(0, 2))).ok();
#endif
}
