// expect: no matching function|constraints not satisfied
#include <weakly/adapt/xtensor.hpp>

int main() {
  const xt::xarray<double> a = xt::zeros<double>({3, 2});
#ifdef MUST_FAIL
  return static_cast<int>(weakly::as_view<const float, 2>(a).size());
#else
  return static_cast<int>(weakly::as_view<const double, 2>(a).size());
#endif
}
