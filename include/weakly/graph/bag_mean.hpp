// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>
#include <weakly/graph/label_bags.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace weakly::inline v0 {

/// Mean embedding of each bag.
///
///     out(b) = sum over i in bag b of embedding(i) / size(b)
///
/// embedding  n x d
/// bags              of n items
/// out        m x d
///
/// Sums in double, in the order of the members. Throws shape_error. O(n d), allocates nothing. Same bits for every
/// executor and layout.
template <executor Exec, real_matrix Embedding, writable_matrix Out>
void bag_mean(Exec&& ex, const Embedding& embedding, const label_bags& bags, Out&& out) {
  const auto x = view(embedding);
  detail::require_extent("bag_mean: embedding", x, 0, bags.items());
  const index_t d = x.extent(1);
  const detail::row_source<double> from(x);
  detail::require_extent("bag_mean: out", view(out), 0, bags.bags());
  detail::require_extent("bag_mean: out", view(out), 1, d);
  const detail::row_sink<double> to(view(out));
  ex(bags.bags(), [&](index_t bag) {
    constexpr index_t block = 128;
    double sum[std::size_t(block)], buffer[std::size_t(block)];
    for (index_t j = 0; j < d; j += block) {
      const index_t count = std::min(block, d - j);
      std::fill_n(sum, count, 0.0);
      for (const std::int32_t i : bags.members(bag)) {
        const double* const row = from.part(i, j, count, buffer);
        for (index_t c = 0; c < count; ++c) sum[c] += row[c];
      }
      for (index_t c = 0; c < count; ++c) sum[c] /= double(bags.size(bag));
      to.put_part(bag, j, count, sum);
    }
  });
}
template <real_matrix Embedding, writable_matrix Out>
void bag_mean(const Embedding& embedding, const label_bags& bags, Out&& out) {
  bag_mean(seq, embedding, bags, out);
}

/// Gradient of a function of the bag means with respect to the embeddings.
///
///     grad(i) = grad_mean(b) / size(b) for i in bag b; zero for items in no bag
///
/// grad_mean  m x d  gradient with respect to the means
/// grad       n x d  none of the memory of grad_mean
///
/// Throws shape_error. O(n d), allocates nothing.
template <executor Exec, real_matrix GradMean, writable_matrix Grad>
void bag_mean_gradient(Exec&& ex, const GradMean& grad_mean, const label_bags& bags, Grad&& grad) {
  const auto g = view(grad_mean);
  detail::require_extent("bag_mean_gradient: grad_mean", g, 0, bags.bags());
  const index_t d = g.extent(1);
  const detail::row_source<double> from(g);
  detail::require_extent("bag_mean_gradient: grad", view(grad), 0, bags.items());
  detail::require_extent("bag_mean_gradient: grad", view(grad), 1, d);
  const detail::row_sink<double> to(view(grad));
  for_row_chunks(ex, bags.items(), d, [&](index_t first, index_t last) {
    constexpr index_t block = 128;
    double row[std::size_t(block)], buffer[std::size_t(block)];
    for (index_t i = first; i < last; ++i) {
      const index_t bag = bags.bag_of(i);
      for (index_t j = 0; j < d; j += block) {
        const index_t count = std::min(block, d - j);
        std::fill_n(row, count, 0.0);
        if (bag >= 0) {
          const double* const of_bag = from.part(bag, j, count, buffer);
          for (index_t c = 0; c < count; ++c) row[c] = of_bag[c] / double(bags.size(bag));
        }
        to.put_part(i, j, count, row);
      }
    }
  });
}
template <real_matrix GradMean, writable_matrix Grad>
void bag_mean_gradient(const GradMean& grad_mean, const label_bags& bags, Grad&& grad) {
  bag_mean_gradient(seq, grad_mean, bags, grad);
}

}  // namespace weakly::inline v0
