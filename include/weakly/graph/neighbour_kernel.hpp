// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>
#include <weakly/graph/adjacency.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

namespace weakly::inline v0 {

/// How alike two rows x and y are.
enum class similarity_kernel : std::uint8_t {
  matern_half,  ///< amplitude^2 exp(-|x - y| / length): the Laplace kernel
  gaussian,     ///< amplitude^2 exp(-|x - y|^2 / (2 length^2))
  cosine        ///< amplitude^2 <x, y> / (|x| |y|), in [-1, 1] times that; 0 where a row is zero
};

struct neighbour_kernel_options {
  similarity_kernel kernel = similarity_kernel::matern_half;
  double amplitude = 1;  ///< positive
  double length = 1;     ///< positive; in the units of the features; not of the cosine
};

/// Kernel of the two ends of every edge: the weights of a graph of neighbours.
///
///     out(e) = kernel(feature(i), feature(j)) of the entry e of row i with column j
///
/// feature     n x d
/// neighbours  of n nodes; its weights, if any, are not read, and columns need not ascend
/// out         one number an entry
///
/// Sums in double, in the order of the features, so that both directions of an edge have the same bits. Throws
/// shape_error; option_error; value_error for columns outside [0, n), offsets that run backwards, and for the first row
/// whose kernel is not finite, after all others are done. O(entries d), allocates nothing. Same bits for every executor
/// and layout. Rasmussen and Williams, "Gaussian processes for machine learning", 2006, chapter 4.
template <executor Exec, real_matrix Feature, writable_vector Out>
void neighbour_kernel(Exec&& ex, const Feature& feature, const adjacency& neighbours, Out&& out,
                      const neighbour_kernel_options& options = {}) {
  constexpr const char* name = "neighbour_kernel";
  for (const double x : {options.amplitude, options.length})
    if (!(x > 0 && std::isfinite(x)))
      detail::fail<option_error>(name, ": amplitude and length are ", options.amplitude, " and ", options.length,
                                 "; they are positive and finite");
  const auto x = view(feature);
  const index_t n = neighbours.nodes(), d = x.extent(1);
  detail::require_extent("neighbour_kernel: feature", x, 0, n);
  detail::require_extent("neighbour_kernel: out", view(out), 0, neighbours.entries());
  const detail::row_source<double> from(x);
  const detail::row_sink<double> to(detail::as_column(view(out)));
  for (index_t i = 0; i < n; ++i)
    if (neighbours.row_begin(i) < 0 || neighbours.row_begin(i + 1) < neighbours.row_begin(i) ||
        neighbours.row_begin(i + 1) > neighbours.entries())
      detail::fail<value_error>(name, ": row ", i, " begins at entry ", neighbours.row_begin(i), " and ends at ",
                                neighbours.row_begin(i + 1), " of ", neighbours.entries(), "; offsets never fall");

  const double scale = options.amplitude * options.amplitude;
  const auto of_pair = [&](index_t i, index_t j) {
    constexpr index_t block = 128;
    double a[std::size_t(block)], b[std::size_t(block)];
    double distance = 0, product = 0, norm_i = 0, norm_j = 0;
    for (index_t f = 0; f < d; f += block) {
      const index_t count = std::min(block, d - f);
      const double *const p = from.part(i, f, count, a), *const q = from.part(j, f, count, b);
      for (index_t c = 0; c < count; ++c) {
        if (options.kernel == similarity_kernel::cosine) {
          product += p[c] * q[c];
          norm_i += p[c] * p[c];
          norm_j += q[c] * q[c];
        } else {
          distance += (p[c] - q[c]) * (p[c] - q[c]);
        }
      }
    }
    // Where the kernel would be zero whatever else is in the rows: NaN if that is no number.
    if (std::isinf(distance) || (options.kernel == similarity_kernel::cosine && (norm_i == 0 || norm_j == 0))) {
      double sum = 0;
      for (index_t f = 0; f < d; ++f) sum += 0 * from.at(i, f) + 0 * from.at(j, f);
      if (sum != sum) return sum;
    }
    switch (options.kernel) {
      case similarity_kernel::matern_half:
        return scale * std::exp(-std::sqrt(distance) / options.length);
      case similarity_kernel::gaussian:
        return scale * std::exp(-distance / (2 * options.length * options.length));
      case similarity_kernel::cosine:
        break;
    }
    return norm_i == 0 || norm_j == 0 ? 0.0 : scale * product / (std::sqrt(norm_i) * std::sqrt(norm_j));
  };
  detail::shared_status unknown, not_finite;
  const index_t degree = n > 0 ? neighbours.entries() / n : 0;
  for_row_chunks(ex, n, std::max(index_t(1), (degree + 1) * d), [&](index_t first, index_t last) {
    for (index_t i = first; i < last; ++i)
      for (index_t e = neighbours.row_begin(i); e < neighbours.row_begin(i + 1); ++e) {
        index_t j = 0;
        neighbours.columns(e, 1, &j);
        if (j < 0 || j >= n) {
          unknown.merge({i, 1});
          continue;
        }
        const double k = of_pair(i, j);
        if (!std::isfinite(k)) not_finite.merge({i, 1});
        to.put_rows(e, 1, &k);
      }
  });
  if (const status s = unknown.load(); !s.ok())
    detail::fail<value_error>(name, ": row ", s.first_bad_row, " lists a node outside [0, ", n, "); ", s.count,
                              " entries do");
  if (const status s = not_finite.load(); !s.ok())
    detail::fail<value_error>(name, ": the kernel of row ", s.first_bad_row, " and a neighbour is not finite; ",
                              s.count, " are not, look for NaN and inf among the features");
}
template <real_matrix Feature, writable_vector Out>
void neighbour_kernel(const Feature& feature, const adjacency& neighbours, Out&& out,
                      const neighbour_kernel_options& options = {}) {
  neighbour_kernel(seq, feature, neighbours, out, options);
}

}  // namespace weakly::inline v0
