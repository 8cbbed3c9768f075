// expect: no matching function|constraints not satisfied
#include <weakly/adapt/eigen.hpp>
#include <weakly/check/distribution.hpp>

#include <vector>

int main() {
  const Eigen::MatrixXf a = Eigen::MatrixXf::Zero(3, 2);
  const std::vector<int> rows{0, 2};
#ifdef MUST_FAIL
  return weakly::check_distribution(a(rows, Eigen::all)).ok();
#else
  return weakly::check_distribution(a(rows, Eigen::all).eval()).ok();
#endif
}
