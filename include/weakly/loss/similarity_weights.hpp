// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/labels.hpp>
#include <weakly/core/row_access.hpp>
#include <weakly/core/view.hpp>
#include <weakly/loss/row_loss.hpp>

#include <cstddef>
#include <limits>
#include <type_traits>

namespace weakly::inline v0 {

namespace detail {

/// The best similarity of a row and the best of another class; of equal ones the lower class is the better.
template <class T>
struct best_two_classes {
  T best = -std::numeric_limits<T>::infinity(), second = -std::numeric_limits<T>::infinity();
  index_t label = -1;
  bool has_nan = false;

  void add(T s, index_t label_of) {
    has_nan |= s != s;
    if (label_of == label) {
      if (s > best) best = s;
    } else if (label < 0 ? s == s : s > best || (s == best && label_of < label)) {
      second = best;
      best = s;
      label = label_of;
    } else if (s > second) {
      second = s;
    }
  }
};

template <class T, class Exec, class Sim, class LabelOf, class Weight, class Label>
void similarity_weights(Exec& ex, const Sim& sim, const LabelOf& label_of, Weight& weight, Label& label) {
  const index_t n = sim.extent(0);
  const row_source<T> rows(sim);
  const auto to = value_sink<T>("similarity_weights", "weight", weight, n);
  const auto labels = view(label);
  require_extent("similarity_weights: label", labels, 0, n);
  for_row_chunks(ex, n, sim.extent(1), [&](index_t first, index_t last) {
    for (index_t i = first; i < last; ++i) {
      best_two_classes<T> top;
      row_blocks<T>(rows, {}, i, T(1)).read([&](index_t j, const T* s, index_t count) {
        for (index_t e = 0; e < count; ++e) top.add(s[e], label_of(j + e));
      });
      const T w = top.has_nan ? std::numeric_limits<T>::quiet_NaN() : top.best - top.second;
      if (!to.empty()) to.put_rows(i, 1, &w);
      labels(i) = static_cast<typename decltype(labels)::value_type>(top.label < 0 ? 0 : top.label);
    }
  });
}

}  // namespace detail

/// Pseudo-label and weight of unlabelled examples from their similarity to classes.
///
///     label(i) = argmax over classes of sim,   weight(i) = greatest - second greatest
///
/// sim     n x c  similarity to each class, c >= 2
/// weight  n      or discard; WAD writes it s1 (1 - s2 / s1), which is the same and 0/0 at s1 = 0
/// label   n      integers; the lowest of equal classes
///
/// A row with a NaN has weight NaN and the label of its greatest number, 0 where there is none. Throws shape_error. O(n
/// c), allocates nothing. Same bits for every executor and layout. Source: WAD, arXiv 2308.11874.
template <executor Exec, score_tensor Sim, loss_output Weight, writable_vector Label>
  requires(readable_matrix<Sim>&& std::is_integral_v<typename view_t<Label>::value_type>)
void similarity_weights(Exec&& ex, const Sim& sim, Weight&& weight, Label&& label) {
  using T = arithmetic_t<typename detail::input_view_t<Sim>::value_type>;
  const auto s = view(sim);
  if (s.extent(0) != 0 && s.extent(1) < 2)
    detail::fail<shape_error>("similarity_weights: ", s.extent(1), " classes; a weight compares two");
  detail::similarity_weights<T>(
      ex, s, [](index_t j) { return j; }, weight, label);
}
template <score_tensor Sim, loss_output Weight, writable_vector Label>
  requires(readable_matrix<Sim>&& std::is_integral_v<typename view_t<Label>::value_type>)
void similarity_weights(const Sim& sim, Weight&& weight, Label&& label) { similarity_weights(seq, sim, weight, label); }

/// As above from similarities to labelled examples: that to a class is the greatest to any of its members.
///
/// sim  n x m      member  m   classes in [0, c) of the columns, at least two different ones, or the weights are inf
///
/// Throws label_error as well. O(n m), allocates nothing.
template <executor Exec, score_tensor Sim, label_vector Member, loss_output Weight, writable_vector Label>
  requires(readable_matrix<Sim>&& std::is_integral_v<typename view_t<Label>::value_type>)
void similarity_weights(Exec&& ex, const Sim& sim, const Member& member, index_t classes, Weight&& weight,
                        Label&& label) {
  using T = arithmetic_t<typename detail::input_view_t<Sim>::value_type>;
  using M = typename detail::input_view_t<Member>::value_type;
  const auto s = view(sim);
  const vector_view<const M> of = view(member);
  detail::require_extent("similarity_weights: member", of, 0, s.extent(1));
  detail::require_labels<M>("similarity_weights", of, classes);
  detail::similarity_weights<T>(
      ex, s, [&](index_t j) { return static_cast<index_t>(of(j)); }, weight, label);
}
template <score_tensor Sim, label_vector Member, loss_output Weight, writable_vector Label>
  requires(readable_matrix<Sim>&& std::is_integral_v<typename view_t<Label>::value_type>)
void similarity_weights(const Sim& sim, const Member& member, index_t classes, Weight&& weight, Label&& label) {
  similarity_weights(seq, sim, member, classes, weight, label);
}

}  // namespace weakly::inline v0
