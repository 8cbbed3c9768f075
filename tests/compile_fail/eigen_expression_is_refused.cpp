// expect: no matching function|constraints not satisfied
#include <weakly/adapt/eigen.hpp>
#include <weakly/check/distribution.hpp>

int main() {
  const Eigen::MatrixXf a = Eigen::MatrixXf::Zero(2, 2), b = a;
#ifdef MUST_FAIL
  return weakly::check_distribution(0.5f * (a + b)).ok();
#else
  return weakly::check_distribution((0.5f * (a + b)).eval()).ok();
#endif
}
