// SPDX-License-Identifier: MIT
// For programs that keep their numbers in Eigen: probabilities in a column-major array, labels in an integer vector.
// Matrices, maps, blocks and transposes are read and written where they lie, and results map back into Eigen.
#include <weakly/adapt/eigen.hpp>
#include <weakly/noise/label_issues.hpp>
#include <weakly/noise/label_quality.hpp>

#include <cstdint>
#include <cstdio>
#include <vector>

int main() {
  constexpr int n = 300, k = 3;
  Eigen::ArrayXXf logits = Eigen::ArrayXXf::Zero(n, k);
  Eigen::VectorXi labels(n);
  std::vector<weakly::index_t> wrong;
  for (int i = 0; i < n; ++i) {
    const int truth = i % k;
    logits(i, truth) = 3;
    labels(i) = truth;
    if (i % 20 == 7) {
      labels(i) = (truth + 1) % k;
      wrong.push_back(i);
    }
  }

  // logits.exp() is an expression without memory and would not compile as an argument: it becomes an array first.
  Eigen::ArrayXXf prob = logits.exp();
  prob.colwise() /= prob.rowwise().sum().eval();

  const weakly::label_issue_result found = weakly::find_label_issues(labels, prob);
  std::printf("%d of %d labels look wrong\n", int(found.rows.size()), n);

  // Results of size k x k are small row-major matrices: map them, or copy them by assigning the map.
  using counts = Eigen::Matrix<std::int64_t, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const Eigen::Map<const counts> joint(found.joint.counts.data(), k, k);

  // Blocks work like matrices, as outputs too: score the last hundred rows only.
  Eigen::VectorXf quality = Eigen::VectorXf::Constant(n, -1);
  weakly::label_quality(labels.tail(100), prob.bottomRows(100), quality.tail(100));
  Eigen::Index worst = 0;
  quality.tail(100).minCoeff(&worst);

  const bool right = found.rows == wrong && joint.sum() == n && joint.trace() == n - 15 && quality(0) == -1 &&
                     labels(200 + worst) != (200 + worst) % k;
  if (!right) std::fputs("eigen: unexpected result\n", stderr);
  return right ? 0 : 1;
}
