// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>
#include <weakly/rate/covariance_accumulator.hpp>
#include <weakly/rate/detail/aligned_array.hpp>
#include <weakly/rate/detail/cholesky.hpp>
#include <weakly/rate/detail/class_products.hpp>
#include <weakly/rate/detail/feature_rows.hpp>
#include <weakly/rate/detail/symmetric_products.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <vector>

namespace weakly::inline v0 {

namespace detail {

/// Bases side by side, read and checked: what subspace_rate starts from.
class subspace_bases {
 public:
  template <class Bases>
  subspace_bases(const char* name, const Bases& bases, index_t subspaces, index_t features, double eps_squared)
      : name_(name), d_(features), k_(subspaces), eps_squared_(eps_squared) {
    require_eps_squared(name, eps_squared, d_);
    if (subspaces < 1) fail<option_error>(name, ": ", subspaces, " subspaces; give at least one");
    const auto u = view(bases);
    q_ = u.extent(1);
    p_ = q_ / k_;
    if (u.extent(0) != d_ || p_ * k_ != q_)
      fail<shape_error>(name, ": bases have shape ", shape_text(u), " for ", d_, " features and ", k_,
                        " subspaces; give d rows and the same number of columns for each subspace");
    by_row_.resize(static_cast<std::size_t>(d_ * q_));
    by_column_.resize(by_row_.size());
    for (index_t f = 0; f < d_; ++f)
      for (index_t l = 0; l < q_; ++l) {
        const double x = convert_real<double>(u(f, l));
        if (!std::isfinite(x)) fail<value_error>(name, ": bases(", f, ", ", l, ") is ", x);
        by_row_[static_cast<std::size_t>(f * q_ + l)] = by_column_[static_cast<std::size_t>(l * d_ + f)] = x;
      }
  }

  const char* name() const { return name_; }
  index_t features() const { return d_; }
  index_t subspaces() const { return k_; }
  index_t dimension() const { return p_; }  // p
  index_t columns() const { return q_; }    // k p
  const double* row(index_t f) const { return by_row_.data() + f * q_; }
  const double* column(index_t l) const { return by_column_.data() + l * d_; }
  double scale(double n) const { return static_cast<double>(p_) / (n * eps_squared_); }

  /// N_j = I + scale U_j' Z'Z U_j, whose Gram matrix begins as `gram` has it (p x p at and below the diagonal), as a
  /// factor.
  void factorise(cholesky<double>& factor, index_t j, double scale, const double* gram, index_t pitch) const {
    const index_t mine = padded_pitch(p_);
    for (index_t a = 0; a < p_; ++a) {
      double* const row = factor.row(a, mine);
      for (index_t b = 0; b <= a; ++b) row[b] = scale * gram[a * pitch + b];
      row[a] += 1;
    }
    if (factor.run(p_) >= 0)
      fail<value_error>(name_, ": the features in subspace ", j,
                        " overflow, or are too large for this eps_squared to be told from singular");
  }

  /// to(r) = scale times the sum over b of N_j^-1(a, b) from(b), for the p rows of `d` elements of subspace j.
  void solve(cholesky<double>& factor, double scale, const right_factor& from, double* to) const {
    const index_t mine = padded_pitch(p_), d = from.width();
    const double* const inverse = factor.invert();
    std::vector<double> square(static_cast<std::size_t>(p_ * p_));
    for (index_t a = 0; a < p_; ++a)
      for (index_t b = 0; b <= a; ++b)
        square[static_cast<std::size_t>(a * p_ + b)] = square[static_cast<std::size_t>(b * p_ + a)] =
            inverse[a * mine + b];
    std::vector<const double*> left(static_cast<std::size_t>(p_));
    std::vector<double*> out(static_cast<std::size_t>(p_));
    for (index_t a = 0; a < p_; ++a) {
      left[static_cast<std::size_t>(a)] = square.data() + a * p_;
      out[static_cast<std::size_t>(a)] = to + a * d;
    }
    multiply_rows(static_cast<const double* const*>(left.data()), p_, from.packed(), d, scale, false,
                  static_cast<double* const*>(out.data()));
  }

 private:
  const char* name_;
  index_t d_;
  index_t k_;
  double eps_squared_;
  index_t p_ = 0;
  index_t q_ = 0;
  std::vector<double> by_row_, by_column_;
};

/// A gradient with respect to bases, written column by column.
template <class Grad>
row_sink<double> basis_sink(const subspace_bases& u, Grad& grad) {
  row_sink<double> to = rate_sink<double>(u.name(), "basis_grad", grad, u.features(), u.columns());
  if constexpr (!std::is_same_v<std::remove_cvref_t<Grad>, discard_output>) {
    const auto v = as_rows(view(grad));
    to = row_sink<double>(matrix_view<typename decltype(v)::element_type>(v.data(), {v.extent(1), v.extent(0)},
                                                                          {v.stride(1), v.stride(0)}));
  }
  return to;
}

/// One subspace: its rate from rows of features (z, or none) and of their projections, all of them; U_j N_j^-1 by
/// columns in `solved` and scale Z'V_j N_j^-1 by columns in `grad` where there are such.
class projected_subspace {
 public:
  projected_subspace(const subspace_bases& u, index_t j)
      : u_(u),
        j_(j),
        gram_pitch_(padded_pitch(u.dimension())),
        gram_(gram_pitch_ * gram_pitch_),
        factor_(u.dimension()) {
    std::fill_n(gram_.data(), gram_pitch_ * gram_pitch_, 0.0);
  }

  /// The Gram matrix of projections, n rows of them, `columns` apart; and their products with the features.
  void add(const double* projected, index_t n, const row_source<double>* features, aligned_array<double>& products) {
    constexpr index_t depth = product_tile<double>::depth;
    using tile = product_tile<double>;
    const index_t p = u_.dimension(), d = u_.features(), q = u_.columns(), pitch = padded_pitch(d);
    const aligned_array<double> strips(depth * gram_pitch_), feature_strips(features ? depth * pitch : 0),
        copies(features ? depth * d : 0);
    const double* row[std::size_t(depth)] = {};
    if (features != nullptr) std::fill_n(products.data(), pitch * gram_pitch_, 0.0);
    for (index_t first = 0; first < n; first += depth) {
      const index_t count = std::min(depth, n - first);
      for (index_t r = 0; r < count; ++r) row[r] = projected + (first + r) * q + j_ * p;
      pack_strips(static_cast<const double* const*>(row), count, p, gram_pitch_, strips.data());
      add_outer_products(static_cast<const double*>(strips.data()), count, p, 1.0, gram_.data(), gram_pitch_);
      if (features == nullptr) continue;
      for (index_t r = 0; r < count; ++r) row[r] = features->part(first + r, 0, d, copies.data() + r * d);
      pack_strips(static_cast<const double* const*>(row), count, d, pitch, feature_strips.data());
      const double* const z = feature_strips.data();
      // products(b, f) += sum over rows of v(b) z(f)
      for (index_t column = 0; column < tile::whole(d); column += tile::columns)
        for (index_t b = 0; b < tile::whole(p); b += tile::rows)
          multiply_tile(
              count, z + column * count,
              packed_factor<double>{strips.data() + b / tile::columns * tile::columns * count + b % tile::columns}, 1.0,
              true, tile_at<double>{products.data() + b * pitch + column, pitch});
    }
  }
  const double* gram() const { return gram_.data(); }
  index_t gram_pitch() const { return gram_pitch_; }
  cholesky<double>& factor() { return factor_; }

 private:
  const subspace_bases& u_;
  index_t j_;
  index_t gram_pitch_;
  aligned_array<double> gram_;
  cholesky<double> factor_;
};

}  // namespace detail

/// The coding rate of features in given subspaces, without labels: how much they cost where each subspace codes what
/// it sees of all of them.
///
///     R_c(Z | U) = sum over j of logdet(I_p + p / (n eps_squared) U_j' Z'Z U_j) / 2
///     N_j the matrix inside, a = p / (n eps_squared), V_j = Z U_j:
///     feature_grad = a sum over j of V_j N_j^-1 U_j',   basis_grad = a Z' V_j N_j^-1 for columns j p, ..., (j + 1) p
///     - 1
///
/// features       n x d
/// bases          d x k p  U_1, ..., U_k side by side; orthonormal columns are usual and not needed
/// subspaces               k
/// eps_squared             the squared distortion, positive
/// feature_grad  n x d    or discard; may be the storage of `features`
/// basis_grad     d x k p  or discard; may be the storage of `bases`
///
/// Returns the rate, in nats; 0, with gradients of 0, for n = 0, d = 0 or p = 0. Throws shape_error where the columns
/// of the bases are no multiple of k; option_error; value_error for a NaN or an infinity and for features that
/// overflow, and writes nothing then. O(n d k p + n k p^2 + k p^3), each gradient n d k p more; allocates n k p, d k p
/// and, a task, 128 d and 128 p + 3 p^2. Same bits for every executor and layout; tasks are 64 rows, then subspaces,
/// then 64 rows. Source: Yu, Buchanan, Pai, Chu, Wu, Tong, Haeffele, Ma, "White-Box Transformers via Sparse Rate
/// Reduction", NeurIPS 2023, arXiv 2306.01129, whose layers replace the inverse by its first-order expansion.
template <executor Exec, real_matrix Features, real_matrix Bases, real_output FeatureGrad, real_output BasisGrad>
double subspace_rate(Exec&& ex, const Features& features, const Bases& bases, index_t subspaces, double eps_squared,
                     FeatureGrad&& feature_grad, BasisGrad&& basis_grad) {
  constexpr const char* name = "subspace_rate";
  constexpr index_t most = detail::gathered_rows::most;
  const auto z = view(features);
  const index_t n = z.extent(0), d = z.extent(1);
  const detail::subspace_bases u(name, bases, subspaces, d, eps_squared);
  const index_t p = u.dimension(), q = u.columns();
  const detail::row_source<double> x(z);
  const auto to = detail::rate_sink<double>(name, "feature_grad", feature_grad, n, d);
  const auto to_bases = detail::basis_sink(u, basis_grad);
  detail::require_finite_features(name, ex, x, n);
  if (d == 0) return 0;  // no element of either gradient
  const double a = n > 0 ? u.scale(static_cast<double>(n)) : 0;

  const detail::aligned_array<double> projected(n * q), solved(to.empty() ? 0 : q * d),
      grad(to_bases.empty() ? 0 : q * d);
  const detail::right_factor basis(d, q);
  basis.pack([&](index_t f) { return u.row(f); });
  const index_t chunks = (n + most - 1) / most;
  ex(chunks, [&](index_t task) {
    const index_t first = task * most, count = std::min(most, n - first);
    detail::gathered_rows rows(d);
    double* out[std::size_t(most)] = {};
    for (index_t r = 0; r < count; ++r) {
      rows.add(x, first + r);
      out[r] = projected.data() + (first + r) * q;
    }
    detail::multiply_rows(rows.rows(), count, basis.packed(), q, 1.0, false, static_cast<double* const*>(out));
  });

  std::vector<double> half_log_det(static_cast<std::size_t>(subspaces));
  ex(p > 0 ? subspaces : 0, [&](index_t j) {
    detail::projected_subspace mine(u, j);
    const index_t pitch = detail::padded_pitch(d);
    detail::aligned_array<double> products(to_bases.empty() ? 0 : pitch * mine.gram_pitch());
    mine.add(projected.data(), n, to_bases.empty() ? nullptr : &x, products);
    u.factorise(mine.factor(), j, a, mine.gram(), mine.gram_pitch());
    half_log_det[static_cast<std::size_t>(j)] = mine.factor().half_log_det();
    const detail::right_factor rows(p, d);
    if (!to.empty()) {
      rows.pack([&](index_t b) { return u.column(j * p + b); });
      u.solve(mine.factor(), a, rows, solved.data() + j * p * d);
    }
    if (!to_bases.empty()) {
      rows.pack([&](index_t b) { return products.data() + b * pitch; });
      u.solve(mine.factor(), a, rows, grad.data() + j * p * d);
    }
  });
  double rate = 0;
  for (const double r : half_log_det) rate += r;

  if (!to.empty()) {
    const detail::right_factor back(q, d);
    back.pack([&](index_t l) { return solved.data() + l * d; });
    ex(chunks, [&](index_t task) {
      const index_t first = task * most, count = std::min(most, n - first);
      const detail::product_rows out(d);
      const double* row[std::size_t(most)] = {};
      for (index_t r = 0; r < count; ++r) {
        row[r] = projected.data() + (first + r) * q;
        std::fill_n(out.row(r), d, 0.0);
      }
      detail::multiply_rows(static_cast<const double* const*>(row), count, back.packed(), d, 1.0, true, out.rows());
      for (index_t r = 0; r < count; ++r) to.put_part(first + r, 0, d, out.row(r));
    });
  }
  for (index_t l = 0; !to_bases.empty() && l < q; ++l) to_bases.put_part(l, 0, d, grad.data() + l * d);
  return rate;
}
template <real_matrix Features, real_matrix Bases, real_output FeatureGrad, real_output BasisGrad>
double subspace_rate(const Features& features, const Bases& bases, index_t subspaces, double eps_squared,
                     FeatureGrad&& feature_grad, BasisGrad&& basis_grad) {
  return subspace_rate(seq, features, bases, subspaces, eps_squared, feature_grad, basis_grad);
}

/// As above, for features that passed by: Z'Z is the sum of all classes.
///
/// covariance  of d features
///
/// O(classes d^2 + d^2 k p + k p^3); allocates d^2 + 2 d k p, and 3 p^2 a task. One task a subspace.
template <executor Exec, real_matrix Bases, real_output BasisGrad>
double subspace_rate(Exec&& ex, const covariance_accumulator& covariance, const Bases& bases, index_t subspaces,
                     double eps_squared, BasisGrad&& basis_grad) {
  constexpr const char* name = "subspace_rate";
  const index_t d = covariance.features();
  const detail::subspace_bases u(name, bases, subspaces, d, eps_squared);
  const index_t p = u.dimension(), q = u.columns();
  const auto to_bases = detail::basis_sink(u, basis_grad);
  const matrix<double> square = covariance.covariance();
  if (!detail::all_finite(square.data(), d * d))
    detail::fail<value_error>(name, ": the covariance overflows or holds a NaN");
  const double a = covariance.count() > 0 ? u.scale(static_cast<double>(covariance.count())) : 0;
  const detail::right_factor c(d, d);
  c.pack([&](index_t i) { return square.data() + i * d; });
  std::vector<double> half_log_det(static_cast<std::size_t>(subspaces)), grad(static_cast<std::size_t>(q * d));
  ex(p > 0 ? subspaces : 0, [&](index_t j) {
    // products(b) = C u_b
    std::vector<double> products(static_cast<std::size_t>(p * d)), gram(static_cast<std::size_t>(p * p));
    std::vector<const double*> left(static_cast<std::size_t>(p));
    std::vector<double*> out(static_cast<std::size_t>(p));
    for (index_t b = 0; b < p; ++b) {
      left[static_cast<std::size_t>(b)] = u.column(j * p + b);
      out[static_cast<std::size_t>(b)] = products.data() + b * d;
    }
    detail::multiply_rows(static_cast<const double* const*>(left.data()), p, c.packed(), d, 1.0, false,
                          static_cast<double* const*>(out.data()));
    for (index_t b = 0; b < p; ++b)
      for (index_t e = 0; e <= b; ++e)
        gram[static_cast<std::size_t>(b * p + e)] =
            detail::dot_product(u.column(j * p + b), products.data() + e * d, d);
    detail::cholesky<double> factor(p);
    u.factorise(factor, j, a, gram.data(), p);
    half_log_det[static_cast<std::size_t>(j)] = factor.half_log_det();
    if (to_bases.empty()) return;
    const detail::right_factor rows(p, d);
    rows.pack([&](index_t b) { return products.data() + b * d; });
    u.solve(factor, a, rows, grad.data() + j * p * d);
  });
  double rate = 0;
  for (const double r : half_log_det) rate += r;
  for (index_t l = 0; !to_bases.empty() && l < q; ++l) to_bases.put_part(l, 0, d, grad.data() + l * d);
  return rate;
}
template <real_matrix Bases, real_output BasisGrad>
double subspace_rate(const covariance_accumulator& covariance, const Bases& bases, index_t subspaces,
                     double eps_squared, BasisGrad&& basis_grad) {
  return subspace_rate(seq, covariance, bases, subspaces, eps_squared, basis_grad);
}

}  // namespace weakly::inline v0
