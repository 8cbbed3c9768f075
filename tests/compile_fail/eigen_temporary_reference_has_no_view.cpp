// expect: no matching function|constraints not satisfied
#include <weakly/adapt/eigen.hpp>

int main() {
  const Eigen::MatrixXf a = Eigen::MatrixXf::Zero(3, 2);
#ifdef MUST_FAIL
  const auto v = weakly::view(Eigen::Ref<const Eigen::MatrixXf>(a + a));  // holds the sum
#else
  const Eigen::Ref<const Eigen::MatrixXf> sum = a + a;
  const auto v = weakly::view(sum);
#endif
  return static_cast<int>(v.size());
}
