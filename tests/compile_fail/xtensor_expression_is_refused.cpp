// expect: no matching function|constraints not satisfied
#include <weakly/adapt/xtensor.hpp>
#include <weakly/check/distribution.hpp>

#include <xtensor/xeval.hpp>

int main() {
  const xt::xtensor<float, 2> a = xt::zeros<float>({2, 2});
#ifdef MUST_FAIL
  return weakly::check_distribution(0.5f * (a + a)).ok();
#else
  return weakly::check_distribution(xt::eval(0.5f * (a + a))).ok();
#endif
}
