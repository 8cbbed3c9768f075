// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/view.hpp>
#include <weakly/graph/belief_propagation.hpp>

#include <algorithm>
#include <type_traits>

namespace weakly::inline v0 {

/// Beliefs of all variables for many sets of evidence on one graph.
///
/// evidence  rows x variables   the state that a variable is known to have, -1 where it is not known
/// out       rows x all states  beliefs as belief_propagation::all_beliefs gives them
///
/// Every row starts from uniform messages, so that it does not depend on the others. Returns the rows that did not
/// converge. Throws shape_error, option_error; label_error for a state that its variable does not have; value_error for
/// evidence that the graph excludes. Up to 16 tasks, each with a belief_propagation of its own and a share of the rows;
/// same bits for every executor.
template <executor Exec, class T, readable_matrix Evidence, writable_matrix Out>
  requires(
      on_host<Evidence>&& real_matrix<Out>&& std::is_integral_v<typename detail::input_view_t<Evidence>::value_type>)
status beliefs_given_evidence(Exec&& ex, const factor_graph<T>& graph, const Evidence& evidence, Out&& out,
                              const belief_propagation_options& options = {}) {
  constexpr const char* name = "beliefs_given_evidence";
  const auto e = view(evidence);
  const auto o = view(out);
  const index_t rows = e.extent(0);
  detail::require_extent("beliefs_given_evidence: evidence", e, 1, graph.variables());
  detail::require_extent("beliefs_given_evidence: out", o, 0, rows);
  detail::require_extent("beliefs_given_evidence: out", o, 1, graph.all_states());
  for (index_t r = 0; r < rows; ++r)
    for (index_t v = 0; v < graph.variables(); ++v)
      if (const auto x = static_cast<index_t>(e(r, v)); x != -1 && (x < 0 || x >= graph.states(v)))
        detail::fail<label_error>(name, ": state ", x, " of variable ", v, " in row ", r, " is outside [0, ",
                                  graph.states(v), "); give -1 where nothing is known");
  const index_t tasks = std::min(rows, index_t(16));
  detail::shared_status open;
  ex(tasks, [&](index_t t) {
    belief_propagation<T> bp(graph, options);
    for (index_t r = rows * t / tasks; r < rows * (t + 1) / tasks; ++r) {
      bp.clear_evidence();
      bp.reset();
      for (index_t v = 0; v < graph.variables(); ++v)
        if (const auto x = static_cast<index_t>(e(r, v)); x != -1) bp.clamp(v, x);
      if (!bp.run().converged) open.merge({r, 1});
      bp.all_beliefs(vector_view<typename view_t<Out>::value_type>(o.data() + r * o.stride(0), {graph.all_states()},
                                                                   {o.stride(1)}));
    }
  });
  return open.load();
}
template <class T, readable_matrix Evidence, writable_matrix Out>
  requires(
      on_host<Evidence>&& real_matrix<Out>&& std::is_integral_v<typename detail::input_view_t<Evidence>::value_type>)
status beliefs_given_evidence(const factor_graph<T>& graph, const Evidence& evidence, Out&& out,
                              const belief_propagation_options& options = {}) {
  return beliefs_given_evidence(seq, graph, evidence, out, options);
}

}  // namespace weakly::inline v0
