// expect: no matching function|constraints not satisfied
#include <weakly/adapt/eigen.hpp>

template <weakly::writable_matrix Out>
void fill(Out&& out) {
  weakly::view(out)(0, 0) = 1;
}

int main() {
#ifdef MUST_FAIL
  const Eigen::MatrixXf out = Eigen::MatrixXf::Zero(3, 2);
#else
  Eigen::MatrixXf out = Eigen::MatrixXf::Zero(3, 2);
#endif
  fill(out.topRows(2));
}
