// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/error.hpp>

#include <Eigen/Core>
#include <Eigen/Eigenvalues>

#include <cstddef>

namespace weakly::inline v0::detail {

/// Eigenvalues of a symmetric matrix, and its eigenvectors where they are wanted, by Eigen; the errors of eigenvalues
/// are a few roundings of the greatest.
class symmetric_eigen {
 public:
  /// a  d x d  finite; the lower triangle of column-major storage is read
  symmetric_eigen(const double* a, index_t d, bool with_vectors) : d_(d) {
    if (d == 0) return;
    solver_.compute(Eigen::Map<const Eigen::MatrixXd>(a, d, d),
                    with_vectors ? Eigen::ComputeEigenvectors : Eigen::EigenvaluesOnly);
    if (solver_.info() != Eigen::Success || !solver_.eigenvalues().allFinite())
      fail<value_error>("symmetric_eigen: the eigenvalues of a ", d, " x ", d, " matrix overflow or did not converge");
    if (with_vectors) vectors_ = solver_.eigenvectors();
  }

  /// The i-th greatest.
  double value(index_t i) const { return solver_.eigenvalues()(d_ - 1 - i); }
  /// Its vector, d elements of length one, whose element of greatest size is positive.
  const double* vector(index_t i) {
    auto v = vectors_.col(d_ - 1 - i);
    Eigen::Index at = 0;
    v.cwiseAbs().maxCoeff(&at);
    if (v(at) < 0) v = -v;
    return v.data();
  }

 private:
  index_t d_;
  Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver_;
  Eigen::MatrixXd vectors_;
};

}  // namespace weakly::inline v0::detail
