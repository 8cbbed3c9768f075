// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>
#include <weakly/graph/adjacency.hpp>
#include <weakly/graph/normalise_adjacency.hpp>

#include <Eigen/Core>
#include <Eigen/IterativeLinearSolvers>
#include <Eigen/SparseCore>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>
#include <vector>

namespace weakly::inline v0::detail {
class propagation_system;
}

template <>
struct Eigen::internal::traits<weakly::detail::propagation_system>
    : public Eigen::internal::traits<Eigen::SparseMatrix<double>> {};

namespace weakly::inline v0 {

struct closed_form_propagation_options {
  double alpha = 0.9;         ///< in [0, 1)
  double tolerance = 1e-10;   ///< of the residual relative to the right side; 1e-14 or more
  index_t iterations = 1000;  ///< at most, for each column
};

/// How well the systems were solved: the worst of all columns.
struct closed_form_propagation_report {
  index_t iterations = 0;
  double residual = 0;                   ///< relative, of the solution as it is, by a product of its own
  status not_converged = no_bad_rows();  ///< columns whose residual is above twice the tolerance
};

namespace detail {

/// v -> (I - alpha D (A + s I) D) v with D = (left right)^1/2, as Eigen's solver wants it.
class propagation_system : public Eigen::EigenBase<propagation_system> {
 public:
  using Scalar = double;
  using RealScalar = double;
  using StorageIndex = index_t;
  static constexpr int ColsAtCompileTime = Eigen::Dynamic, MaxColsAtCompileTime = Eigen::Dynamic, IsRowMajor = false;

  propagation_system(const normalised_adjacency& s, double alpha) : s_(s), alpha_(alpha), scale_(s.nodes()) {
    for (index_t i = 0; i < s.nodes(); ++i) scale_[i] = std::sqrt(s.left(i) * s.right(i));
  }
  Eigen::Index rows() const { return s_.nodes(); }
  Eigen::Index cols() const { return s_.nodes(); }

  template <class Rhs>
  Eigen::Product<propagation_system, Rhs, Eigen::AliasFreeProduct> operator*(const Eigen::MatrixBase<Rhs>& x) const {
    return {*this, x.derived()};
  }

  /// to += factor (this v)
  template <class To, class V>
  void add_product(To& to, const V& v, double factor) const {
    edge_window<double> window(s_.graph(), s_.graph().entries());
    for (index_t i = 0; i < s_.nodes(); ++i) {
      double sum = s_.self_loops() * scale_[i] * v.coeff(i);
      if (scale_[i] != 0)
        window.for_pieces(s_.graph().row_begin(i), s_.graph().row_begin(i + 1),
                          [&](const index_t* column, const double* weight, index_t count, index_t) {
                            for (index_t e = 0; e < count; ++e)
                              sum += (weight != nullptr ? weight[e] : 1) * scale_[column[e]] * v.coeff(column[e]);
                          });
      to.coeffRef(i) += factor * (v.coeff(i) - alpha_ * scale_[i] * sum);
    }
  }

 private:
  const normalised_adjacency& s_;
  double alpha_;
  Eigen::VectorXd scale_;
};

}  // namespace detail

}  // namespace weakly::inline v0

template <class Rhs>
struct Eigen::internal::generic_product_impl<weakly::detail::propagation_system, Rhs, Eigen::SparseShape,
                                             Eigen::DenseShape, Eigen::GemvProduct>
    : Eigen::internal::generic_product_impl_base<
          weakly::detail::propagation_system, Rhs,
          Eigen::internal::generic_product_impl<weakly::detail::propagation_system, Rhs, Eigen::SparseShape,
                                                Eigen::DenseShape, Eigen::GemvProduct>> {
  using Scalar = double;
  template <class To>
  static void scaleAndAddTo(To& to, const weakly::detail::propagation_system& a, const Rhs& v, const double& factor) {
    a.add_product(to, v, factor);
  }
};

namespace weakly::inline v0 {

/// Where propagation with restart ends, F = alpha S F + (1 - alpha) Y, by conjugate gradients.
///
///     F = (1 - alpha) (I - alpha S)^-1 Y
///
/// s    n nodes of an undirected graph, of weights A(i, j) = A(j, i); rows outside its subgraph are zero in `out`
/// y    n x k    real numbers      out  n x k  may be the storage of `y`
///
/// Any normalisation: solved is the symmetric system of D^-1/2-scaled unknowns that all three share, in double. The
/// number of iterations grows like (1 - alpha)^-1/2; where it is not enough, or the graph is not symmetric after all,
/// the report says so and `out` holds the last iterate. A column with NaN or an infinity is NaN, and not converged;
/// other magnitudes do not matter.
/// Throws shape_error; option_error. O(iterations (m + n) k); allocates six vectors of n doubles for each task at work:
/// a column is a task. Eigen's ConjugateGradient, without a preconditioner (the diagonal is constant but for loops).
/// Same bits for every executor and layout. Source: Zhou, Bousquet, Lal, Weston, Schoelkopf, NIPS 2003.
template <executor Exec, real_matrix Y, writable_matrix Out>
  requires real_matrix<Out> closed_form_propagation_report
  closed_form_propagation(Exec&& ex, const normalised_adjacency& s, const Y& y, Out&& out,
                          const closed_form_propagation_options& options = {}) {
    constexpr const char* name = "closed_form_propagation";
    const auto from = view(y);
    const auto to = view(out);
    const index_t n = s.nodes(), k = from.extent(1);
    detail::require_extent("closed_form_propagation: y", from, 0, n);
    detail::require_same_shape("closed_form_propagation: y and out", from, to);
    if (!(options.alpha >= 0 && options.alpha < 1))
      detail::fail<option_error>(name, ": alpha is ", options.alpha, "; it must lie in [0, 1)");
    if (!(options.tolerance >= 1e-14 && options.tolerance < 1))
      detail::fail<option_error>(name, ": tolerance is ", options.tolerance, "; it must lie in [1e-14, 1)");
    if (options.iterations < 1)
      detail::fail<option_error>(name, ": iterations is ", options.iterations, "; it must be 1 or more");
    const detail::propagation_system system(s, options.alpha);
    struct result {
      index_t iterations;
      double residual;
    };
    std::vector<result> results(static_cast<std::size_t>(k));
    const detail::row_source<double> rows(from);
    const detail::row_sink<double> sink(to);
    ex(k, [&](index_t c) {
      Eigen::VectorXd b(n);
      for (index_t i = 0; i < n; ++i)
        b[i] = s.contains(i) ? (1 - options.alpha) * std::sqrt(s.right(i) / s.left(i)) * rows.at(i, c) : 0;
      Eigen::ConjugateGradient<detail::propagation_system, Eigen::Lower | Eigen::Upper, Eigen::IdentityPreconditioner>
          solver;
      solver.setMaxIterations(options.iterations);
      solver.setTolerance(options.tolerance);
      solver.compute(system);
      double top = 0;
      for (index_t i = 0; i < n; ++i)
        if (!(std::abs(b[i]) <= top)) top = std::isnan(top) ? top : std::abs(b[i]);
      Eigen::VectorXd f = Eigen::VectorXd::Zero(n);
      result& r = results[static_cast<std::size_t>(c)];
      r = {0, 0};
      if (!(top <= std::numeric_limits<double>::max())) {
        r.residual = std::numeric_limits<double>::quiet_NaN();
        f.setConstant(r.residual);
      } else if (top != 0) {
        // By a power of two: other magnitudes leave the range where Eigen squares them, and no other bit changes.
        const int exponent = std::clamp(std::ilogb(top), -1020, 1020);
        b *= std::ldexp(1.0, -exponent);
        f = solver.solve(b);
        Eigen::VectorXd left = b;
        system.add_product(left, f, -1);
        r = {static_cast<index_t>(solver.iterations()), left.norm() / b.norm()};
        f *= std::ldexp(1.0, exponent);
      }
      for (index_t i = 0; i < n; ++i) {
        const double x = s.contains(i) ? std::sqrt(s.left(i) / s.right(i)) * f[i] : 0;
        sink.put_part(i, c, 1, &x);
      }
    });
    closed_form_propagation_report report;
    for (index_t c = 0; c < k; ++c) {
      const result& r = results[static_cast<std::size_t>(c)];
      report.iterations = std::max(report.iterations, r.iterations);
      if (!(r.residual <= report.residual) && !std::isnan(report.residual)) report.residual = r.residual;
      if (!(r.residual <= 2 * options.tolerance)) report.not_converged.report(c);
    }
    return report;
  }
template <real_matrix Y, writable_matrix Out>
  requires real_matrix<Out> closed_form_propagation_report closed_form_propagation(
      const normalised_adjacency& s, const Y& y, Out&& out, const closed_form_propagation_options& options = {}) {
    return closed_form_propagation(seq, s, y, out, options);
  }

}  // namespace weakly::inline v0
