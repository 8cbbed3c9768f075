// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/matrix.hpp>
#include <weakly/core/view.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

namespace weakly::inline v0 {

namespace detail {

/// A copy of a k x k argument, after checking that it is square.
template <class M>
matrix<double> square_copy(std::string_view function, const M& m) {
  using T = typename view_t<const M&>::value_type;
  const matrix_view<const T> v = view(m);
  if (v.extent(0) != v.extent(1))
    fail<shape_error>(function, ": a noise matrix of shape ", shape_text(v), "; it must be k x k");
  matrix<double> copy(v.extent(0), v.extent(0));
  for (index_t a = 0; a < v.extent(0); ++a)
    for (index_t b = 0; b < v.extent(0); ++b) copy(a, b) = static_cast<double>(v(a, b));
  return copy;
}

inline void require_size(std::string_view function, std::span<const double> distribution, index_t k) {
  if (static_cast<index_t>(distribution.size()) != k)
    fail<shape_error>(function, ": a distribution over ", distribution.size(), " classes for a matrix of ", k);
}

/// Divides each column by its sum. A column of zeros becomes the unit vector, or stays zero with cleanlab's numbers,
/// which also clip the cells off the diagonal to [0, 0.9999] first.
inline void clip_rates(matrix<double>& m, compatibility compat) {
  const index_t k = m.rows();
  for (index_t b = 0; b < k; ++b) {
    double sum = 0;
    for (index_t a = 0; a < k; ++a) {
      if (compat == compatibility::cleanlab && a != b) m(a, b) = std::clamp(m(a, b), 0.0, 0.9999);
      sum += m(a, b);
    }
    if (compat == compatibility::none && sum == 0) {
      m(b, b) = 1;
      continue;
    }
    for (index_t a = 0; a < k; ++a) m(a, b) /= std::max(sum, 1e-100);
  }
}

/// Clips to [0, 1] (cleanlab: [least, 1]) and divides by the sum; all zero stays all zero.
inline void normalise_prior(std::vector<double>& py, compatibility compat, double least) {
  double sum = 0;
  for (double& p : py) {
    p = std::clamp(p, compat == compatibility::cleanlab ? least : 0.0, 1.0);
    sum += p;
  }
  for (double& p : py) p = sum > 0 ? p / sum : 0.0;
}

/// P(y=c) from the diagonals: P(y=c|s=c) / P(s=c|y=c) P(s=c). Where P(s=c|y=c) is zero the quotient says nothing, and
/// the definition falls back on the sum over s of P(y=c|s) P(s).
inline double diagonal_prior(const matrix<double>& noise, const matrix<double>& inverse, std::span<const double> ps,
                             index_t c, compatibility compat) {
  const double given = ps[static_cast<std::size_t>(c)];
  if (compat == compatibility::cleanlab) return inverse(c, c) / std::max(noise(c, c), 1e-100) * given;
  if (noise(c, c) > 0) return inverse(c, c) / noise(c, c) * given;
  double sum = 0;
  for (index_t a = 0; a < noise.rows(); ++a) sum += inverse(c, a) * ps[static_cast<std::size_t>(a)];
  return sum;
}

inline matrix<double> inverse_noise_matrix(const matrix<double>& noise, std::span<const double> py,
                                           std::span<const double> ps, compatibility compat) {
  const index_t k = noise.rows();
  matrix<double> inverse(k, k);
  for (index_t a = 0; a < k; ++a)
    for (index_t b = 0; b < k; ++b)
      inverse(b, a) = noise(a, b) * py[static_cast<std::size_t>(b)] / std::max(ps[static_cast<std::size_t>(a)], 1e-100);
  clip_rates(inverse, compat);
  return inverse;
}

inline matrix<double> noise_matrix_from_inverse(const matrix<double>& inverse, std::span<const double> ps,
                                                std::span<const double> py, compatibility compat) {
  const index_t k = inverse.rows();
  matrix<double> noise(k, k);
  for (index_t a = 0; a < k; ++a)
    for (index_t b = 0; b < k; ++b)
      noise(a, b) = inverse(b, a) * ps[static_cast<std::size_t>(a)] / std::max(py[static_cast<std::size_t>(b)], 1e-100);
  clip_rates(noise, compat);
  return noise;
}

/// The solution of m x = b by elimination with partial pivoting. Throws value_error when m or b is not finite, or m is
/// singular to working precision. Written out so that noise/ needs no linear-algebra library for one k x k system.
inline std::vector<double> solve(std::string_view function, matrix<double> m, std::span<const double> b) {
  const index_t k = m.rows();
  std::vector<double> x(b.begin(), b.end());
  double scale = 0;
  for (index_t r = 0; r < k; ++r) {
    if (!std::isfinite(b[static_cast<std::size_t>(r)]))
      fail<value_error>(function, ": the probability of label ", r, " is ", b[static_cast<std::size_t>(r)]);
    for (index_t c = 0; c < k; ++c) {
      if (!std::isfinite(m(r, c)))
        fail<value_error>(function, ": the noise matrix is ", m(r, c), " at row ", r, ", column ", c);
      scale = std::max(scale, std::abs(m(r, c)));
    }
  }
  for (index_t c = 0; c < k; ++c) {
    index_t pivot = c;
    for (index_t r = c + 1; r < k; ++r)
      if (std::abs(m(r, c)) > std::abs(m(pivot, c))) pivot = r;
    if (!(std::abs(m(pivot, c)) > scale * 1e-15))
      fail<value_error>(function, ": the noise matrix is singular at class ", c,
                        ", so P(s|y) P(y) = P(s) has no one solution; estimate the prior by another method");
    if (pivot != c) {
      std::swap_ranges(m.row(c).begin(), m.row(c).end(), m.row(pivot).begin());
      std::swap(x[static_cast<std::size_t>(c)], x[static_cast<std::size_t>(pivot)]);
    }
    for (index_t r = c + 1; r < k; ++r) {
      const double factor = m(r, c) / m(c, c);
      if (factor == 0) continue;
      for (index_t j = c; j < k; ++j) m(r, j) -= factor * m(c, j);
      x[static_cast<std::size_t>(r)] -= factor * x[static_cast<std::size_t>(c)];
    }
  }
  for (index_t r = k - 1; r >= 0; --r) {
    double sum = x[static_cast<std::size_t>(r)];
    for (index_t j = r + 1; j < k; ++j) sum -= m(r, j) * x[static_cast<std::size_t>(j)];
    x[static_cast<std::size_t>(r)] = sum / m(r, r);
  }
  return x;
}

}  // namespace detail

/// The inverse noise matrix by Bayes' rule.
///
///     V(b, a) = P(y=b|s=a) = N(a, b) py(b) / ps(a),    each column divided by its sum
///
/// noise  k x k   P(s=a|y=b), columns sum to one          py, ps  k   distributions of the true and of the given label
///
/// A column without mass is the unit vector (compatibility::cleanlab: zero). Throws shape_error. O(k^2).
template <real_matrix Noise>
matrix<double> inverse_noise_matrix(const Noise& noise, std::span<const double> py, std::span<const double> ps,
                                    compatibility compat = compatibility::none) {
  const matrix<double> n = detail::square_copy("inverse_noise_matrix", noise);
  detail::require_size("inverse_noise_matrix", py, n.rows());
  detail::require_size("inverse_noise_matrix", ps, n.rows());
  return detail::inverse_noise_matrix(n, py, ps, compat);
}

/// The noise matrix from its inverse: N(a, b) = P(s=a|y=b) = V(b, a) ps(a) / py(b), each column divided by its sum.
/// Arguments, empty columns and errors as for inverse_noise_matrix.
template <real_matrix Inverse>
matrix<double> noise_matrix_from_inverse(const Inverse& inverse, std::span<const double> ps, std::span<const double> py,
                                         compatibility compat = compatibility::none) {
  const matrix<double> v = detail::square_copy("noise_matrix_from_inverse", inverse);
  detail::require_size("noise_matrix_from_inverse", py, v.rows());
  detail::require_size("noise_matrix_from_inverse", ps, v.rows());
  return detail::noise_matrix_from_inverse(v, ps, py, compat);
}

/// The class prior that makes N py = ps: solved, clipped to [0, 1] (compatibility::cleanlab: [1e-6, 1]) and divided by
/// its sum. Throws shape_error, or value_error when N is singular, or N or ps not finite. O(k^3).
template <real_matrix Noise>
std::vector<double> prior_from_noise_matrix(const Noise& noise, std::span<const double> ps,
                                            compatibility compat = compatibility::none) {
  const matrix<double> n = detail::square_copy("prior_from_noise_matrix", noise);
  detail::require_size("prior_from_noise_matrix", ps, n.rows());
  std::vector<double> py = detail::solve("prior_from_noise_matrix", n, ps);
  detail::normalise_prior(py, compat, 1e-6);
  return py;
}

/// The noise matrix when no example of another class is ever labelled `c`: row c is zero off the diagonal, and each
/// diagonal cell is one minus the rest of its column. Throws shape_error, option_error for c outside [0, k). O(k^2).
template <real_matrix Noise>
matrix<double> remove_noise_from_class(const Noise& noise, index_t c) {
  matrix<double> n = detail::square_copy("remove_noise_from_class", noise);
  const index_t k = n.rows();
  if (c < 0 || c >= k) detail::fail<option_error>("remove_noise_from_class: class ", c, " of ", k);
  for (index_t b = 0; b < k; ++b) {
    if (b != c) n(c, b) = 0;
    double rest = 0;
    for (index_t a = 0; a < k; ++a)
      if (a != b) rest += n(a, b);
    n(b, b) = 1 - rest;
  }
  return n;
}

/// Probabilities of the true label from probabilities of the given one, by the diagonals alone.
///
///     out(i, c) = clamp( prob(i, c) V(c, c) / N(c, c), 0, 1 ),    each row divided by its sum
///
/// prob  n x k   probabilities of the given label     noise, inverse  k x k   N and V     out  n x k   may be prob
///
/// A row without mass becomes zero; NaN turns its own row into NaN. Throws shape_error. O(n k), allocates O(k^2).
/// Source: Northcutt, Wu, Chuang, "Rank Pruning", UAI 2017.
template <executor Exec, real_matrix Prob, real_matrix Noise, real_matrix Inverse, writable_matrix Out>
void true_label_probability(Exec&& ex, const Prob& prob, const Noise& noise, const Inverse& inverse, Out&& out) {
  using T = typename view_t<const Prob&>::value_type;
  using R = typename view_t<Out>::value_type;
  const matrix_view<const T> p = view(prob);
  const matrix_view<R> o = view(out);
  const matrix<double> n = detail::square_copy("true_label_probability", noise);
  const matrix<double> v = detail::square_copy("true_label_probability", inverse);
  const index_t k = n.rows();
  detail::require_same_shape("true_label_probability: prob and out", p, o);
  detail::require_extent("true_label_probability: prob", p, 1, k);
  detail::require_extent("true_label_probability: inverse", view(v), 0, k);
  for_row_chunks(ex, p.extent(0), k, [&](index_t first, index_t last) {
    for (index_t i = first; i < last; ++i) {
      double sum = 0;
      const auto adjusted = [&](index_t c) {
        const double x = static_cast<double>(p(i, c)) * v(c, c) / std::max(n(c, c), 1e-100);
        return x < 0 ? 0.0 : x > 1 ? 1.0 : x;
      };
      for (index_t c = 0; c < k; ++c) sum += adjusted(c);
      for (index_t c = 0; c < k; ++c)
        o(i, c) = static_cast<R>(static_cast<arithmetic_t<R>>(adjusted(c) / (sum == 0 ? 1.0 : sum)));
    }
  });
}

/// As above, on the calling thread.
template <real_matrix Prob, real_matrix Noise, real_matrix Inverse, writable_matrix Out>
void true_label_probability(const Prob& prob, const Noise& noise, const Inverse& inverse, Out&& out) {
  true_label_probability(seq, prob, noise, inverse, out);
}

}  // namespace weakly::inline v0
