// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/labels.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>

#include <algorithm>
#include <cstddef>

namespace weakly::inline v0 {

/// Mean of the embeddings of each class, as they are: ERASE's prototypes.
///
///     means(c) = mean of embeddings(i) over the rows i of class c
///
/// embeddings  n x d
/// labels      n      in [0, k); -1 for rows of no class, such as nodes outside the training set
/// means       k x d  written
///
/// A class without rows has the mean zero, whose cosine with anything is zero: returned are the first such class and
/// their number. NaN and infinities reach the mean of their class. Throws shape_error; label_error before anything is
/// written. In double, rows in order. O(n d + n k / 8), allocates nothing; eight classes a task. Same bits for every
/// executor and layout. Source: ERASE, CIKM 2024, arXiv 2312.08852; means of embeddings as prototypes: Snell, Swersky,
/// Zemel, NeurIPS 2017.
template <executor Exec, real_matrix Embeddings, label_vector Labels, writable_matrix Means>
  requires real_matrix<Means> status class_means(Exec&& ex, const Embeddings& embeddings, const Labels& labels,
                                                 Means&& means) {
    constexpr index_t group = 8, block = 512;
    const auto z = view(embeddings);
    const auto y = view(labels);
    const auto mu = view(means);
    const index_t n = z.extent(0), d = z.extent(1), k = mu.extent(0);
    detail::require_extent("class_means: labels", y, 0, n);
    detail::require_extent("class_means: means", mu, 1, d);
    for (index_t i = 0; i < n; ++i)
      if (const auto at = static_cast<index_t>(y(i)); at != -1 && !detail::is_label(y(i), k))
        detail::fail<label_error>("class_means: label ", y(i), " of row ", i, " is outside [0, ", k,
                                  "); give -1 for a row of no class");
    const detail::row_source<double> rows(z);
    const detail::row_sink<double> to(mu);
    const index_t groups = (k + group - 1) / group;
    detail::shared_status empty;
    ex(groups, [&](index_t task) {
      double sum[std::size_t(group)][std::size_t(block)], buffer[std::size_t(block)];
      const index_t first = task * group, classes = std::min(group, k - first);
      index_t rows_of[std::size_t(group)];
      for (index_t j = 0; j < std::max<index_t>(d, 1); j += block) {
        const index_t count = std::min(block, d - j);
        for (index_t c = 0; c < classes; ++c) std::fill_n(sum[c], count, 0.0);
        std::fill_n(rows_of, group, index_t(0));
        for (index_t i = 0; i < n; ++i) {
          const index_t c = static_cast<index_t>(y(i)) - first;
          if (c < 0 || c >= classes) continue;
          const double* const x = rows.part(i, j, count, buffer);
          for (index_t e = 0; e < count; ++e) sum[c][e] += x[e];
          ++rows_of[c];
        }
        for (index_t c = 0; c < classes; ++c) {
          for (index_t e = 0; e < count; ++e) sum[c][e] /= static_cast<double>(std::max<index_t>(rows_of[c], 1));
          to.put_part(first + c, j, count, sum[c]);
        }
      }
      for (index_t c = 0; c < classes; ++c)
        if (rows_of[c] == 0) empty.merge({first + c, 1});
    });
    return empty.load();
  }
template <real_matrix Embeddings, label_vector Labels, writable_matrix Means>
  requires real_matrix<Means> status class_means(const Embeddings& embeddings, const Labels& labels, Means&& means) {
    return class_means(seq, embeddings, labels, means);
  }

}  // namespace weakly::inline v0
