// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/labels.hpp>
#include <weakly/core/output.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>
#include <weakly/em/candidate_argmax.hpp>
#include <weakly/em/detail/wide_rows.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace weakly::inline v0 {

/// Moves the prototype of each class towards the examples that are taken to belong to it, one after the other.
///
///     mu(c) <- normalise(momentum mu(c) + (1 - momentum) v(i)) for the rows i of class c, in their order
///
/// embeddings  n x d  unit vectors
/// classes     n      in [0, k), such as candidate_argmax gives; -1 for rows that move nothing
/// prototypes  k x d  read and written
/// momentum           in [0, 1); 0.99 is PiCO's
///
/// A result of length zero, or of no length at all because of a NaN, leaves the prototype as it is. Throws shape_error;
/// option_error; label_error before anything is written. O(n d + n k), in double; allocates nothing. Same bits for
/// every executor and layout; one task a class. Source: Wang et al., "PiCO", ICLR 2022, arXiv 2201.08984.
template <executor Exec, real_matrix Embeddings, label_vector Classes, writable_matrix Prototypes>
  requires real_matrix<Prototypes>
void update_prototypes(Exec&& ex, const Embeddings& embeddings, const Classes& classes, Prototypes&& prototypes,
                       double momentum = 0.99) {
  constexpr const char* name = "update_prototypes";
  const auto c = view(classes);
  if (view(embeddings).extent(0) > 0 && view(embeddings).extent(1) == 0)
    detail::fail<shape_error>(name, ": embeddings have ", view(embeddings).extent(0),
                              " rows of 0 elements; there must be at least one");
  detail::require_extent("update_prototypes: prototypes", view(prototypes), 1, view(embeddings).extent(1));
  const detail::wide_rows v = detail::wide_rows_of(name, embeddings), mu = detail::wide_rows_of(name, prototypes);
  const detail::row_sink<double> to(view(prototypes));
  detail::require_extent("update_prototypes: classes", c, 0, v.n);
  if (!(momentum >= 0 && momentum < 1))
    detail::fail<option_error>(name, ": momentum is ", momentum, "; it must lie in [0, 1)");
  for (index_t i = 0; i < v.n; ++i)
    if (const auto at = static_cast<index_t>(c(i)); at != -1 && !detail::is_label(at, mu.n))
      detail::fail<label_error>(name, ": class ", at, " of row ", i, " is outside [0, ", mu.n, "); give -1 for none");
  ex(mu.n, [&](index_t cls) {
    double a[std::size_t(detail::wide_block)], b[std::size_t(detail::wide_block)],
        mixed[std::size_t(detail::wide_block)];
    const auto mix = [&](index_t i, index_t j, index_t count) {
      const double *const old = mu.x.part(cls, j, count, a), *const x = v.x.part(i, j, count, b);
      for (index_t e = 0; e < count; ++e) mixed[e] = momentum * old[e] + (1 - momentum) * x[e];
    };
    for (index_t i = 0; i < v.n; ++i) {
      if (static_cast<index_t>(c(i)) != cls) continue;
      double square = 0;
      for (index_t j = 0; j < v.k; j += detail::wide_block) {
        const index_t count = std::min(detail::wide_block, v.k - j);
        mix(i, j, count);
        for (index_t e = 0; e < count; ++e) square += mixed[e] * mixed[e];
      }
      if (!(square > 0 && std::isfinite(square))) continue;
      const double length = std::sqrt(square);
      for (index_t j = 0; j < v.k; j += detail::wide_block) {
        const index_t count = std::min(detail::wide_block, v.k - j);
        mix(i, j, count);
        for (index_t e = 0; e < count; ++e) mixed[e] /= length;
        to.put_part(cls, j, count, mixed);
      }
    }
  });
}
template <real_matrix Embeddings, label_vector Classes, writable_matrix Prototypes>
  requires real_matrix<Prototypes>
void update_prototypes(const Embeddings& embeddings, const Classes& classes, Prototypes&& prototypes,
                       double momentum = 0.99) {
  update_prototypes(seq, embeddings, classes, prototypes, momentum);
}

/// Moves targets towards the candidate whose prototype is nearest.
///
///     target(i) <- keep target(i) + (1 - keep) onehot(argmax over c in S(i) of similarity(i, c))
///
/// similarity  n x k  embeddings times prototypes, transposed: the caller's matrix product
/// sets        n      of k classes
/// target      n x k  read and written; begin with uniform_targets (proden.hpp)
/// keep               in [0, 1]; PiCO goes from 0.95 down to 0.8
///
/// Of equal candidates the lower. Returns the rows that have no nearest candidate (candidate_argmax): their targets
/// stay. Throws shape_error, option_error, and label_error for malformed sets after all other rows are done. O(n k), in
/// double; allocates nothing. Same bits for every executor and layout. Source: as above.
template <executor Exec, real_matrix Similarity, writable_matrix Target>
  requires real_matrix<Target> status prototype_targets(Exec&& ex, const Similarity& similarity,
                                                        const candidate_sets& sets, Target&& target, double keep) {
    constexpr const char* name = "prototype_targets";
    const detail::wide_rows rows = detail::wide_rows_of(name, similarity);
    const index_t k = rows.k;
    detail::require_sets(name, sets, rows.n, k);
    const auto to = detail::wide_sink(name, "target", target, rows.n, k);
    const detail::row_source<double> before(view(target));
    if (!(keep >= 0 && keep <= 1)) detail::fail<option_error>(name, ": keep is ", keep, "; it must lie in [0, 1]");
    detail::shared_status malformed, without;
    for_row_chunks(ex, rows.n, k, [&](index_t first, index_t last) {
      for (index_t i = first; i < last; ++i) {
        if (!sets.valid(i)) {
          malformed.merge({i, 1});
          continue;
        }
        const index_t nearest = detail::greatest_candidate(rows, sets, i);
        if (nearest < 0) {
          without.merge({i, 1});
          continue;
        }
        detail::row_blocks<double>(before, to, i, 1)
            .write([&](index_t column, const double* x, index_t count, double* t) {
              for (index_t c = 0; c < count; ++c) t[c] = keep * x[c] + (column + c == nearest ? 1 - keep : 0);
            });
      }
    });
    detail::require_well_formed(name, malformed.load());
    return without.load();
  }
template <real_matrix Similarity, writable_matrix Target>
  requires real_matrix<Target> status prototype_targets(const Similarity& similarity, const candidate_sets& sets,
                                                        Target&& target, double keep) {
    return prototype_targets(seq, similarity, sets, target, keep);
  }

}  // namespace weakly::inline v0
