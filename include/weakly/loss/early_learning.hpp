// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>
#include <weakly/loss/detail/formula_loss.hpp>
#include <weakly/loss/detail/row_softmax.hpp>
#include <weakly/loss/loss_labels.hpp>
#include <weakly/loss/row_loss.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string_view>

namespace weakly::inline v0 {

struct early_learning_options {
  double momentum = 0.7;  ///< beta in [0, 1]: how much of the old target is kept; 1 leaves the targets as they are
  double strength = 3;    ///< lambda, weight of the regulariser; not negative
  double clamp = 1e-4;    ///< in [0, 1/2): probabilities are taken no nearer to 0 and 1
};

namespace detail {

/// Which row of the table each row of the batch has: `rows` numbers, or its own number where there are none.
struct table_rows {
  const loss_labels* index = nullptr;

  index_t at(index_t row) const { return index == nullptr ? row : index->at(row); }
};

/// Throws value_error where an index lies outside [0, size), or two rows have the same. A bitmap of 2^18 indices is
/// filled for one range of indices after another, so no memory is taken: O(n) for every 2^18 between the least and the
/// greatest index.
inline void require_distinct(std::string_view function, const loss_labels& index, index_t size) {
  constexpr index_t window = index_t(1) << 18;
  const index_t n = index.rows();
  index_t least = size, greatest = -1;
  for (index_t i = 0; i < n; ++i) {
    const index_t at = index.at(i);
    if (at < 0 || at >= size) fail<value_error>(function, ": index ", at, " of row ", i, " is outside [0, ", size, ")");
    least = std::min(least, at);
    greatest = std::max(greatest, at);
  }
  std::uint64_t seen[std::size_t(window / 64)];
  for (index_t begin = least; begin <= greatest; begin += window) {
    std::fill_n(seen, window / 64, std::uint64_t(0));
    for (index_t i = 0; i < n; ++i) {
      const index_t at = index.at(i) - begin;
      if (at < 0 || at >= window) continue;
      const std::uint64_t bit = std::uint64_t(1) << (at % 64);
      if ((seen[at / 64] & bit) != 0)
        fail<value_error>(function, ": index ", at + begin, " of row ", i,
                          " stands in an earlier row too; an example may be in a batch once");
      seen[at / 64] |= bit;
    }
  }
}

template <class T>
struct early_learning_rule {
  row_source<T> old_target;
  row_sink<T> new_target;
  table_rows which;
  T momentum, strength, clamp;

  T operator()(const row_softmax<T>& row) const {
    using batch = simd::batch<T>;
    constexpr std::size_t block = std::size_t(row_softmax<T>::block);
    if (!(row.inverse() > T(0))) {  // a NaN must not stay in the table
      row.write([&](index_t, const T*, index_t count, T* g) { std::fill_n(g, count, row.inverse()); });
      return row.inverse();
    }
    const index_t at = which.at(row.row());
    const batch inverse = row.inverse(), low = clamp, high = 1 - clamp;
    const auto clamped = [&](batch p) { return simd::min(simd::max(p, low), high); };
    // The probabilities of a block, the label's put back.
    const auto probabilities = [&](index_t column, const T* e, index_t count, T* p) {
      map_batches(e, count, p, [&](batch v) { return v * inverse; });
      if (const index_t y = row.label_in(column, count); y >= 0) p[y] = row.p();
    };

    T mass = 0;
    row.read([&](index_t column, const T* e, index_t count) {
      T p[block];
      probabilities(column, e, count, p);
      map_batches(static_cast<const T*>(p), count, p, clamped);
      mass += simd::sum(static_cast<const T*>(p), count);
    });

    const batch kept = momentum, fresh = (1 - momentum) / mass;
    T agreement = 0, inside = 0;  // <t, clamped p>, and <t, p> over the classes that are not clamped
    row.read([&](index_t column, const T* e, index_t count) {
      T p[block], t[block], buffer[block];
      probabilities(column, e, count, p);
      map_batches(old_target.part(at, column, count, buffer), static_cast<const T*>(p), count, t,
                  [&](batch was, batch now) { return kept * was + fresh * clamped(now); });
      new_target.put_part(at, column, count, t);
      const T* const stored = old_target.part(at, column, count, buffer);  // as the table rounds it
      agreement += sum_batches(stored, static_cast<const T*>(p), count,
                               [&](batch target, batch now) { return target * clamped(now); });
      inside += sum_batches(stored, static_cast<const T*>(p), count, [&](batch target, batch now) {
        return simd::select((now >= low) & (now <= high), target * now, T(0));
      });
    });

    const T gap = std::max(1 - agreement, std::numeric_limits<T>::epsilon());
    const T slope = strength / gap;
    row.write([&](index_t column, const T* e, index_t count, T* g) {
      T buffer[block];
      const T* const t = old_target.part(at, column, count, buffer);
      map_batches(e, t, count, g, [&, s = batch(slope), all = batch(inside)](batch v, batch target) {
        const batch p = v * inverse;
        return p + s * p * (all - simd::select((p >= low) & (p <= high), target, T(0)));
      });
      if (const index_t y = row.label_in(column, count); y >= 0) {
        const bool counts = row.p() >= clamp && row.p() <= 1 - clamp;
        g[y] = slope * row.p() * (inside - (counts ? t[y] : T(0))) - row.q();
      }
    });
    return row.cross_entropy() + strength * std::log(gap);
  }
};

template <executor Exec, class Logits, class Targets, class Loss, class Grad>
void early_learning(Exec& ex, const Logits& logits, const loss_labels& labels, const loss_labels* index,
                    Targets& targets, Loss& loss, Grad& grad, const early_learning_options& options) {
  using T = loss_number<Logits>;
  constexpr auto name = "early_learning";
  require_option(name, "momentum", options.momentum, options.momentum >= 0 && options.momentum <= 1,
                 "a number in [0, 1]");
  require_option(name, "strength", options.strength, options.strength >= 0 && std::isfinite(options.strength),
                 "a finite weight that is not negative");
  require_option(name, "clamp", options.clamp, options.clamp >= 0 && options.clamp < 0.5, "a number in [0, 1/2)");
  const auto rows = as_rows(view(logits));
  const auto table = view(targets);
  const index_t n = rows.extent(0), k = rows.extent(1);
  if (table.extent(1) != k || (index == nullptr && table.extent(0) != n))
    fail<shape_error>(name, ": targets of shape ", table.extent(0), " x ", table.extent(1), " for ", n, " rows of ", k,
                      " classes; give one row for each example and one column for each class");
  if (index != nullptr) {
    if (index->rows() != n) fail<shape_error>(name, ": ", index->rows(), " indices for ", n, " rows of logits");
    require_distinct(name, *index, table.extent(0));
  }
  const early_learning_rule<T> rule{row_source<T>(table),
                                    row_sink<T>(table),
                                    {index},
                                    static_cast<T>(options.momentum),
                                    static_cast<T>(options.strength),
                                    static_cast<T>(options.clamp)};
  whole_row_loss(name, ex, logits, &labels, loss, grad, rule);
}

}  // namespace detail

/// Early-learning regularisation: cross-entropy, and a pull towards what the model said of the example before.
///
///     c = clamp(softmax(logits(i)), clamp, 1 - clamp)
///     t = momentum targets(e) + (1 - momentum) c / sum of c,   targets(e) = t for the example e of row i
///     loss(i) = -log p(label(i)) + strength log(1 - <t, c>)
///
/// logits   [..., k]  as in softmax_loss
/// labels   [...]     as in softmax_loss
/// index    [...]     integers: the row of the table of each row; left out, row i has row i of a table of n rows
/// targets  N x k     the state, read and written; zero before the first call; of any storage type, and where that
///                    rounds, loss and gradient are those of the rounded targets
/// loss     [...]     or discard
/// grad     [..., k]  or discard; may be the storage of `logits`; t is taken as constant, and a clamped probability as
///                    well
///
/// The loss may be negative, but not below strength log(clamp). With clamp = 0 the regulariser is that of the paper,
/// and 1 - <t, p> is taken no less than the number type's epsilon. A row that is left out (weight zero, ignored or
/// wrong label), and one that is NaN, leaves its targets as they are. Two rows of one example in a batch would have no
/// order: value_error, as for an index outside the table; both before anything is written, for O(n) a range of 2^18
/// indices. Throws what softmax_loss throws and option_error for options outside their domain. O(n k), allocates
/// nothing. Same bits for every executor and layout.
///
/// Liu et al., NeurIPS 2020 (arXiv 2007.00151); the clamp and its normalisation are those of the authors' code.
template <executor Exec, score_tensor Logits, label_tensor Index, writable_matrix Targets, loss_output Loss,
          loss_output Grad>
void early_learning(Exec&& ex, const Logits& logits, const loss_labels& labels, const Index& index, Targets&& targets,
                    Loss&& loss, Grad&& grad, const early_learning_options& options = {}) {
  const loss_labels which(index);
  detail::early_learning(ex, logits, labels, &which, targets, loss, grad, options);
}
template <executor Exec, score_tensor Logits, writable_matrix Targets, loss_output Loss, loss_output Grad>
void early_learning(Exec&& ex, const Logits& logits, const loss_labels& labels, Targets&& targets, Loss&& loss,
                    Grad&& grad, const early_learning_options& options = {}) {
  detail::early_learning(ex, logits, labels, nullptr, targets, loss, grad, options);
}

/// As above, on the calling thread.
template <score_tensor Logits, label_tensor Index, writable_matrix Targets, loss_output Loss, loss_output Grad>
void early_learning(const Logits& logits, const loss_labels& labels, const Index& index, Targets&& targets, Loss&& loss,
                    Grad&& grad, const early_learning_options& options = {}) {
  early_learning(seq, logits, labels, index, targets, loss, grad, options);
}
template <score_tensor Logits, writable_matrix Targets, loss_output Loss, loss_output Grad>
void early_learning(const Logits& logits, const loss_labels& labels, Targets&& targets, Loss&& loss, Grad&& grad,
                    const early_learning_options& options = {}) {
  early_learning(seq, logits, labels, targets, loss, grad, options);
}

}  // namespace weakly::inline v0
