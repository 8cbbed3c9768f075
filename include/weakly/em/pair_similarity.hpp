// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/math.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>
#include <weakly/core/workspace.hpp>
#include <weakly/em/pair_posterior.hpp>

#include <cstddef>
#include <limits>

namespace weakly::inline v0 {

/// Binary cross-entropy of whether two items are of one class.
///
///     P(i) = sum over c of softmax(first(i))(c) softmax(second(i))(c)
///     loss(i) = -s(i) log P(i) - (1 - s(i)) log(1 - P(i))
///
/// first, second  n x k  logits of the two items; -inf means probability zero
/// similar        n      s in [0, 1]: 1 for similar, 0 for dissimilar, between for a share
/// scratch               pair_posterior_scratch(k, tasks at once) bytes
/// loss           n      or discard
/// grad1, grad2   n x k  or discard, of the loss by the logits; may be the storage of the logits of the same item
///
/// Both logarithms come from sums of their own, log P as -softplus(log of the odds against), so nothing is clamped and
/// a loss of 1e-300 has all its digits. A term of weight zero counts zero though its logarithm be -inf; one that does
/// not has loss inf, and a gradient of NaN. A NaN, +inf, or a row of -inf makes its pair NaN. Throws shape_error,
/// workspace_error, and value_error for shares outside [0, 1]. O(n k) in double, allocates nothing. Same bits for every
/// executor and layout. Source: Hsu et al., "Multi-class classification without multi-class labels", ICLR 2019.
template <executor Exec, real_matrix First, real_matrix Second, real_vector Similar, real_output Loss,
          real_output Grad1, real_output Grad2>
void pair_similarity(Exec&& ex, const First& first, const Second& second, const Similar& similar, workspace& scratch,
                     Loss&& loss, Grad1&& grad1, Grad2&& grad2) {
  constexpr const char *name = "pair_similarity", *array = "pair_similarity: scratch";
  constexpr double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  const index_t n = view(first).extent(0), k = view(first).extent(1);
  detail::require_classes(name, n, k);
  if (view(second).extent(0) != n || view(second).extent(1) != k)
    detail::fail<shape_error>(name, ": first has ", n, " rows of ", k, ", second ", view(second).extent(0), " rows of ",
                              view(second).extent(1));
  detail::require_extent("pair_similarity: similar", view(similar), 0, n);
  const detail::row_source<double> from1(view(first)), from2(view(second)), share(detail::as_column(view(similar)));
  const auto g1 = detail::gradient_sink<double>(name, grad1, n, k, "grad1");
  const auto g2 = detail::gradient_sink<double>(name, grad2, n, k, "grad2");
  const auto loss_to = detail::value_sink<double>(name, "loss", loss, n);
  for (index_t i = 0; i < n; ++i)
    if (const double s = share.at(i, 0); !(s >= 0 && s <= 1))
      detail::fail<value_error>(name, ": share ", s, " of pair ", i, " is outside [0, 1]");

  const pair_relation relations[] = {pair_relation::dissimilar(), pair_relation::similar()};
  const row_chunks chunks(n, 2 * k);
  detail::for_tasks(
      ex, chunks.count(), 8 * scratch_bytes<double>(k), scratch, array,
      [&](workspace& own) { return detail::pair_rows(own, array, k); },
      [&](detail::pair_rows& pair, index_t chunk) {
        for (index_t i = chunks.begin(chunk); i < chunks.end(chunk); ++i) {
          double value = nan;
          const bool first_good = pair.read(from1, i, pair.first), second_good = pair.read(from2, i, pair.second);
          if (first_good && second_good) {
            double log_mass[2];
            const double weight[] = {1 - share.at(i, 0), share.at(i, 0)};
            for (int y = 0; y < 2; ++y) {
              relations[y].messages(i, pair.first.z, pair.second.z, k, pair.first.message, pair.second.message);
              log_mass[y] = pair.solve();
              if (weight[y] == 0) continue;
              for (const auto* const x : {&pair.first, &pair.second})  // p sums up weight (p - q), as weights add to 1
                for (index_t c = 0; c < k; ++c) x->p[c] -= weight[y] * x->q[c];
            }
            value = 0;
            for (int y = 0; y < 2; ++y)
              if (weight[y] != 0)
                value += weight[y] * (log_mass[y] == -inf ? inf : math::softplus(log_mass[1 - y] - log_mass[y]));
          } else {
            for (const auto* const x : {&pair.first, &pair.second})
              for (index_t c = 0; c < k; ++c) x->p[c] = nan;
          }
          if (!loss_to.empty()) loss_to.put_rows(i, 1, &value);
          if (!g1.empty()) g1.put_rows(i, 1, pair.first.p);
          if (!g2.empty()) g2.put_rows(i, 1, pair.second.p);
        }
      });
}
template <real_matrix First, real_matrix Second, real_vector Similar, real_output Loss, real_output Grad1,
          real_output Grad2>
void pair_similarity(const First& first, const Second& second, const Similar& similar, workspace& scratch, Loss&& loss,
                     Grad1&& grad1, Grad2&& grad2) {
  pair_similarity(seq, first, second, similar, scratch, loss, grad1, grad2);
}

}  // namespace weakly::inline v0
