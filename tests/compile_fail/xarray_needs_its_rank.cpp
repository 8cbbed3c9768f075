// expect: no matching function|constraints not satisfied
#include <weakly/adapt/xtensor.hpp>
#include <weakly/check/distribution.hpp>

int main() {
  const xt::xarray<float> a = xt::zeros<float>({3, 2});
#ifdef MUST_FAIL
  return weakly::check_distribution(a).ok();
#else
  return weakly::check_distribution(weakly::as_view<const float, 2>(a)).ok();
#endif
}
