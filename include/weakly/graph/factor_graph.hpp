// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/half.hpp>
#include <weakly/core/view.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <map>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace weakly::inline v0 {

/// What a factor says of its variables. Only tables and count potentials store more than a number.
enum class factor_kind : std::uint8_t {
  table,           ///< a weight for every assignment
  shared_table,    ///< a table over two variables that many pairs share
  ising,           ///< +J where two binary variables agree, -J where they differ
  potts,           ///< beta where two variables agree, 0 where they differ
  equality,        ///< all variables have the same state
  count,           ///< f(number of ones)
  weighted_count,  ///< f(sum of integer weights of the ones)
  logical_or,      ///< the last variable is the OR of the others
  logical_and,     ///< the last variable is the AND of the others
  at_most_one,     ///< no two variables are one
  exactly_one      ///< one variable is one, the others zero
};

/// The variables of a factor, in order: {0, 3, 1}, or any host vector of integers.
class factor_scope {
 public:
  factor_scope() = default;
  factor_scope(std::initializer_list<index_t> variables) : variables_(variables) {}
  template <label_vector X>
  factor_scope(const X& variables) {
    const auto v = view(variables);
    variables_.reserve(static_cast<std::size_t>(v.extent(0)));
    for (index_t i = 0; i < v.extent(0); ++i) variables_.push_back(static_cast<index_t>(v(i)));
  }
  std::span<const index_t> variables() const { return variables_; }

 private:
  std::vector<index_t> variables_;
};

/// Weights or log weights: {0.5, 2}, or any host vector of numbers.
class factor_weights {
 public:
  factor_weights() = default;
  factor_weights(std::initializer_list<double> values) : values_(values) {}
  template <real_vector X>
  factor_weights(const X& values) {
    const auto v = view(values);
    values_.reserve(static_cast<std::size_t>(v.extent(0)));
    for (index_t i = 0; i < v.extent(0); ++i) values_.push_back(static_cast<double>(v(i)));
  }
  std::span<const double> values() const { return values_; }

 private:
  std::vector<double> values_;
};

/// Factors of one kind and shape. They are neighbours in every array of a frozen graph: factor `first_factor + i` owns
/// the edges from `first_edge + i arity`, the messages from `first_message + i message_stride` and the parameters from
/// `first_parameter + i parameter_stride`.
struct factor_bucket {
  factor_kind kind;
  index_t arity;
  index_t first_factor;
  index_t factors;
  index_t first_edge;
  index_t first_message;
  index_t message_stride;
  index_t first_parameter;
  index_t parameter_stride;
  index_t parameters;     ///< of one factor
  index_t first_shape;    ///< in factor_graph::slot_states and slot_offsets
  index_t first_integer;  ///< weighted_count: in factor_graph::integer_weights, arity a factor
};

class factor_graph_builder;

/// New numbers of the variables and factors of a graph: breadth_first_order makes them.
struct graph_numbering {
  std::vector<index_t> variable;  ///< new number of each variable
  std::vector<index_t> factor;    ///< new number of each factor
};

/// A factor graph in flat arrays: what belief propagation runs on. Made by factor_graph_builder::freeze, never changed;
/// evidence belongs to the algorithms.
///
/// Factors are kept by kind and shape. `position` is where a factor went, `factor_at` which factor went there; a
/// message, a number for a binary variable (its log odds) and one number a state otherwise, belongs to each edge from a
/// factor to one of its variables.
template <class T = double>
class factor_graph {
  static_assert(std::is_same_v<T, float> || std::is_same_v<T, double>, "factor graphs store float or double");

 public:
  using value_type = T;
  /// Positions of factors that have no edges: constants, and tables over one variable, which became unary terms.
  static constexpr index_t folded = -1;
  /// Finite log weights beyond +-this are stored as this: as good as impossible or certain, and sums stay finite.
  static constexpr T greatest_log_weight = sizeof(T) == 4 ? T(1e18) : T(1e150);
  /// What is stored for a log weight, which is not NaN; -inf stays.
  static constexpr T stored_log_weight(double w) {
    if (w == -std::numeric_limits<double>::infinity()) return -std::numeric_limits<T>::infinity();
    return static_cast<T>(std::clamp(w, -double(greatest_log_weight), double(greatest_log_weight)));
  }

  index_t variables() const { return static_cast<index_t>(variable_begin_.size()) - 1; }
  index_t factors() const { return factors_; }
  index_t edges() const { return static_cast<index_t>(edge_variable_.size()); }
  index_t messages() const { return messages_; }
  index_t states(index_t variable) const { return state_begin(variable + 1) - state_begin(variable); }
  bool all_binary() const { return node_begin_.empty(); }
  /// Whether a factor gives some assignment no weight, so that messages can be infinite.
  bool has_zeros() const { return zeros_; }
  double log_constant() const { return log_constant_; }

  /// Numbers over states lie one variable after the other: those of variable i begin at state_begin(i).
  index_t state_begin(index_t variable) const { return all_binary() ? 2 * variable : state_begin_[at(variable)]; }
  index_t all_states() const { return state_begin(variables()); }
  std::span<const T> unary() const { return unary_; }
  std::span<const T> unary(index_t variable) const {
    return std::span<const T>(unary_).subspan(at(state_begin(variable)), at(states(variable)));
  }
  /// As state_begin, with one number for a binary variable.
  index_t node_begin(index_t variable) const { return node_begin_.empty() ? variable : node_begin_[at(variable)]; }
  /// node_begin of all variables; empty where they are the variables' numbers.
  std::span<const index_t> node_begins() const { return node_begin_; }
  index_t all_nodes() const { return node_begin_.empty() ? variables() : node_begin_.back(); }

  std::span<const factor_bucket> buckets() const { return buckets_; }
  index_t position(index_t factor) const { return position_.empty() ? factor : position_[at(factor)]; }
  index_t factor_at(index_t position) const { return factor_at_.empty() ? position : factor_at_[at(position)]; }
  /// Factors that have edges.
  index_t positions() const { return buckets_.empty() ? 0 : buckets_.back().first_factor + buckets_.back().factors; }
  const factor_bucket& bucket_of(index_t position) const {
    return *(std::upper_bound(buckets_.begin(), buckets_.end(), position,
                              [](index_t p, const factor_bucket& b) { return p < b.first_factor; }) -
             1);
  }
  const factor_bucket& bucket_of_edge(index_t edge) const {
    return *(std::upper_bound(buckets_.begin(), buckets_.end(), edge,
                              [](index_t e, const factor_bucket& b) { return e < b.first_edge; }) -
             1);
  }
  index_t position_of_edge(index_t edge) const {
    const factor_bucket& b = bucket_of_edge(edge);
    return b.first_factor + (edge - b.first_edge) / b.arity;
  }
  /// The variables of the factor at a position.
  std::span<const std::uint32_t> scope(index_t position) const {
    const factor_bucket& b = bucket_of(position);
    return std::span<const std::uint32_t>(edge_variable_)
        .subspan(at(b.first_edge + (position - b.first_factor) * b.arity), at(b.arity));
  }
  /// The variable of a factor that became a unary term; -1 for a constant.
  index_t folded_variable(index_t factor) const {
    for (const auto& [id, variable] : folded_)
      if (id == factor) return variable;
    return -1;
  }

  std::span<const std::uint32_t> edge_variable() const { return edge_variable_; }
  /// The edges of a variable, ascending.
  std::span<const std::uint32_t> edges_of(index_t variable) const {
    return std::span<const std::uint32_t>(variable_edge_).subspan(variable_begin_[at(variable)], at(degree(variable)));
  }
  /// Where the edges of each variable begin in all_variable_edges, and the end.
  std::span<const std::uint32_t> variable_begin() const { return variable_begin_; }
  std::span<const std::uint32_t> all_variable_edges() const { return variable_edge_; }
  index_t degree(index_t variable) const {
    return index_t(variable_begin_[at(variable) + 1]) - index_t(variable_begin_[at(variable)]);
  }
  index_t message_begin(index_t edge) const { return message_at_edge_.empty() ? edge : message_at_edge_[at(edge)]; }

  std::span<const std::uint16_t> slot_states(const factor_bucket& b) const {
    return std::span<const std::uint16_t>(slot_states_).subspan(at(b.first_shape), at(b.arity));
  }
  std::span<const std::uint32_t> slot_offsets(const factor_bucket& b) const {
    return std::span<const std::uint32_t>(slot_offsets_).subspan(at(b.first_shape), at(b.arity));
  }
  /// Log weights of a table or of f, the coupling of an Ising or Potts factor; empty otherwise.
  std::span<const T> parameters(const factor_bucket& b, index_t position) const {
    return std::span<const T>(parameters_)
        .subspan(at(b.first_parameter + (position - b.first_factor) * b.parameter_stride), at(b.parameters));
  }
  std::span<const T> all_parameters() const { return parameters_; }
  std::span<const std::int32_t> integer_weights(const factor_bucket& b, index_t position) const {
    return std::span<const std::int32_t>(integer_weights_)
        .subspan(at(b.first_integer + (position - b.first_factor) * b.arity), at(b.arity));
  }

  /// Log weight that the factor at a position gives to states of its scope. O(arity).
  template <class State>
  double log_weight(index_t position, std::span<const State> state) const;

  /// Log weight of an assignment to all variables, constants included: -inf where it is forbidden. Throws shape_error;
  /// label_error for a state out of range. O(edges).
  template <label_vector States>
  double log_weight(const States& states_of_all) const;

  /// Bytes of all arrays.
  std::size_t memory() const {
    return bytes(state_begin_) + bytes(node_begin_) + bytes(unary_) + bytes(buckets_) + bytes(position_) +
           bytes(factor_at_) + bytes(folded_) + bytes(edge_variable_) + bytes(variable_begin_) + bytes(variable_edge_) +
           bytes(message_at_edge_) + bytes(slot_states_) + bytes(slot_offsets_) + bytes(parameters_) +
           bytes(integer_weights_);
  }

 private:
  friend class factor_graph_builder;

  static std::size_t at(index_t i) { return static_cast<std::size_t>(i); }
  template <class V>
  static std::size_t bytes(const std::vector<V>& v) {
    return v.capacity() * sizeof(V);
  }

  index_t factors_ = 0, messages_ = 0;
  bool zeros_ = false;
  double log_constant_ = 0;
  std::vector<index_t> state_begin_, node_begin_;  // empty where all variables are binary
  std::vector<T> unary_;
  std::vector<factor_bucket> buckets_;
  std::vector<std::int32_t> position_;
  std::vector<std::uint32_t> factor_at_;
  std::vector<std::pair<std::uint32_t, std::int32_t>> folded_;
  std::vector<std::uint32_t> edge_variable_;
  std::vector<std::uint32_t> variable_begin_{0u};
  std::vector<std::uint32_t> variable_edge_;
  std::vector<index_t> message_at_edge_;
  std::vector<std::uint16_t> slot_states_;
  std::vector<std::uint32_t> slot_offsets_;
  std::vector<T> parameters_;
  std::vector<std::int32_t> integer_weights_;
};

/// Collects variables and factors and checks each as it comes; freeze() gives the factor_graph.
///
///     p(x) proportional to exp( sum over variables of unary_i(x_i) + sum over factors of log weight_F(x_F) )
///
/// Every add_ function returns the number of what it added, from 0. Throws shape_error for a table or list of the wrong
/// length; label_error for an unknown variable; value_error for a variable that a scope repeats, for states outside
/// [1, 65535], weights that are negative, NaN or infinite, log weights that are NaN or +inf, tables without any
/// positive weight, variables that must be binary and are not. Nothing is added by a call that throws. Owns its memory.
class factor_graph_builder {
 public:
  /// A variable with states 0, ..., states - 1.
  index_t add_variable(index_t states = 2) { return add_variables(1, states); }
  /// `count` of them; returns the number of the first.
  index_t add_variables(index_t count, index_t states = 2) {
    if (states < 1 || states > 65535)
      detail::fail<value_error>("factor_graph_builder::add_variables: ", states,
                                " states; a variable has 1 to 65535 of them");
    if (count < 0 || count > limit - variables())
      detail::fail<value_error>("factor_graph_builder::add_variables: ", count, " variables beside ", variables(),
                                "; a graph has fewer than 2^31");
    const index_t first = variables();
    states_.insert(states_.end(), static_cast<std::size_t>(count), static_cast<std::uint16_t>(states));
    for (index_t i = 0; i < count; ++i) unary_begin_.push_back(unary_begin_.back() + states);
    unary_.resize(static_cast<std::size_t>(unary_begin_.back()), 0.0);
    return first;
  }
  index_t variables() const { return static_cast<index_t>(states_.size()); }
  index_t factors() const { return static_cast<index_t>(factor_.size()); }
  index_t states(index_t variable) const {
    require_variable("states", variable);
    return states_[at(variable)];
  }

  /// Adds log weights of the states of a variable to what it has already: zeros at first. Not a factor.
  void add_unary(index_t variable, const factor_weights& log_weights) {
    require_variable("add_unary", variable);
    require_size("add_unary", log_weights.values(), states_[at(variable)]);
    require_log_weights("add_unary", log_weights.values());
    for (index_t x = 0; x < states_[at(variable)]; ++x)
      add_log_weight(unary_[at(unary_begin_[at(variable)] + x)], log_weights.values()[at(x)]);
  }
  /// For a binary variable: adds to the log weight of state 1.
  void add_log_odds(index_t variable, double log_odds) {
    require_variable("add_log_odds", variable);
    if (states_[at(variable)] != 2)
      detail::fail<value_error>("factor_graph_builder::add_log_odds: variable ", variable, " has ",
                                states_[at(variable)], " states; log odds need two, use add_unary");
    if (!std::isfinite(log_odds))
      detail::fail<value_error>("factor_graph_builder::add_log_odds: ", log_odds, " for variable ", variable,
                                "; give -inf to add_unary for the state that is excluded");
    add_log_weight(unary_[at(unary_begin_[at(variable)] + 1)], log_odds);
  }

  /// A weight for every assignment, the last variable of the scope fastest. A scope of none is a constant factor of Z;
  /// one of a single variable becomes part of its unary term.
  index_t add_table(const factor_scope& scope, const factor_weights& weights) {
    require_table("add_table", scope.variables(), weights.values());
    const std::size_t first = parameters_.size();
    for (const double w : weights.values()) {
      if (!(w >= 0 && w < infinity)) {
        parameters_.resize(first);
        detail::fail<value_error>("factor_graph_builder::add_table: a weight is ", w,
                                  "; weights are finite and not negative");
      }
      parameters_.push_back(std::log(w));
    }
    return add_log_weights("add_table", factor_kind::table, scope.variables(), first);
  }
  /// The same with logarithms, -inf where the weight is zero.
  index_t add_log_table(const factor_scope& scope, const factor_weights& log_weights) {
    require_table("add_log_table", scope.variables(), log_weights.values());
    require_log_weights("add_log_table", log_weights.values());
    const std::size_t first = parameters_.size();
    parameters_.insert(parameters_.end(), log_weights.values().begin(), log_weights.values().end());
    return add_log_weights("add_log_table", factor_kind::table, scope.variables(), first);
  }

  /// A table of rows x columns log weights for add_pairwise; returns its number. Not a factor.
  index_t add_shared_table(index_t rows, index_t columns, const factor_weights& log_weights) {
    if (rows < 1 || rows > 65535 || columns < 1 || columns > 65535)
      detail::fail<value_error>("factor_graph_builder::add_shared_table: ", rows, " x ", columns,
                                "; a variable has 1 to 65535 states");
    require_size("add_shared_table", log_weights.values(), rows * columns);
    require_log_weights("add_shared_table", log_weights.values());
    require_support("add_shared_table", log_weights.values());
    shared_.push_back({rows, columns, static_cast<index_t>(parameters_.size())});
    parameters_.insert(parameters_.end(), log_weights.values().begin(), log_weights.values().end());
    return static_cast<index_t>(shared_.size()) - 1;
  }
  /// log weight(x_a, x_b) = table(x_a, x_b)
  index_t add_pairwise(index_t a, index_t b, index_t table) {
    if (table < 0 || table >= static_cast<index_t>(shared_.size()))
      detail::fail<label_error>("factor_graph_builder::add_pairwise: there is no shared table ", table, " of ",
                                shared_.size(), "; add_shared_table gives their numbers");
    const index_t scope[2] = {a, b};
    require_scope("add_pairwise", scope);
    const shared& s = shared_[at(table)];
    if (states_[at(a)] != s.rows || states_[at(b)] != s.columns)
      detail::fail<shape_error>("factor_graph_builder::add_pairwise: variables ", a, " and ", b, " have ",
                                states_[at(a)], " and ", states_[at(b)], " states, table ", table, " is ", s.rows,
                                " x ", s.columns);
    return add_factor(factor_kind::shared_table, scope, s.first, table);
  }

  /// log weight = J where two binary variables agree, -J where they differ: J s_a s_b of spins s = 2 x - 1.
  index_t add_ising(index_t a, index_t b, double coupling) {
    const index_t scope[2] = {a, b};
    require_scope("add_ising", scope);
    require_binary("add_ising", scope);
    require_finite("add_ising", coupling);
    parameters_.push_back(coupling);
    return add_factor(factor_kind::ising, scope, static_cast<index_t>(parameters_.size()) - 1);
  }
  /// log weight = beta where two variables of equally many states agree, 0 where they differ. -inf is allowed.
  index_t add_potts(index_t a, index_t b, double beta) {
    const index_t scope[2] = {a, b};
    require_scope("add_potts", scope);
    require_equal_states("add_potts", scope);
    if (!(beta < infinity))
      detail::fail<value_error>("factor_graph_builder::add_potts: beta is ", beta,
                                "; give a finite one, or add_equality");
    if (beta == -infinity && states_[at(a)] == 1)
      detail::fail<value_error>(
          "factor_graph_builder::add_potts: beta is -inf for variables of one state, which always "
          "agree");
    parameters_.push_back(beta);
    return add_factor(factor_kind::potts, scope, static_cast<index_t>(parameters_.size()) - 1);
  }
  /// All variables of the scope, one or more, have the same state.
  index_t add_equality(const factor_scope& scope) {
    require_scope("add_equality", scope.variables(), 1);
    require_equal_states("add_equality", scope.variables());
    return add_factor(factor_kind::equality, scope.variables(), 0);
  }

  /// log weight = f(number of ones) for binary variables; f has one entry more than the scope has variables.
  index_t add_count(const factor_scope& scope, const factor_weights& f) {
    require_scope("add_count", scope.variables(), 1);
    require_binary("add_count", scope.variables());
    require_size("add_count", f.values(), static_cast<index_t>(scope.variables().size()) + 1);
    require_log_weights("add_count", f.values());
    const std::size_t first = parameters_.size();
    parameters_.insert(parameters_.end(), f.values().begin(), f.values().end());
    return add_log_weights("add_count", factor_kind::count, scope.variables(), first);
  }
  /// log weight = f(sum of the weights of the variables that are one), weights from 0 to 65535; f has one entry more
  /// than all weights add up to.
  index_t add_weighted_count(const factor_scope& scope, const factor_scope& weights, const factor_weights& f) {
    require_scope("add_weighted_count", scope.variables(), 1);
    require_binary("add_weighted_count", scope.variables());
    require_size("add_weighted_count", weights.variables(), static_cast<index_t>(scope.variables().size()));
    index_t total = 0;
    for (const index_t w : weights.variables()) {
      if (w < 0 || w > 65535)
        detail::fail<value_error>("factor_graph_builder::add_weighted_count: a weight is ", w,
                                  "; weights are integers from 0 to 65535");
      total += w;
    }
    require_size("add_weighted_count", f.values(), total + 1);
    require_log_weights("add_weighted_count", f.values());
    require_support("add_weighted_count", f.values());
    const index_t first = static_cast<index_t>(parameters_.size());
    parameters_.insert(parameters_.end(), f.values().begin(), f.values().end());
    const index_t number =
        add_factor(factor_kind::weighted_count, scope.variables(), first, static_cast<index_t>(integers_.size()));
    for (const index_t w : weights.variables()) integers_.push_back(static_cast<std::int32_t>(w));
    return number;
  }
  /// The last of two or more binary variables is the OR of the others.
  index_t add_or(const factor_scope& scope) { return add_logical("add_or", factor_kind::logical_or, scope, 2); }
  /// The last of two or more binary variables is the AND of the others.
  index_t add_and(const factor_scope& scope) { return add_logical("add_and", factor_kind::logical_and, scope, 2); }
  /// No two of the binary variables are one.
  index_t add_at_most_one(const factor_scope& scope) {
    return add_logical("add_at_most_one", factor_kind::at_most_one, scope, 1);
  }
  /// One of the binary variables is one, the others zero.
  index_t add_exactly_one(const factor_scope& scope) {
    return add_logical("add_exactly_one", factor_kind::exactly_one, scope, 1);
  }

  /// The same variables and factors under new numbers. Throws shape_error, value_error where those are no permutations.
  factor_graph_builder renumbered(const graph_numbering& numbering) const {
    const auto inverse = [](const char* what, const std::vector<index_t>& number, index_t count) {
      require_size("renumbered", std::span<const index_t>(number), count);
      std::vector<index_t> old(number.size(), -1);
      for (std::size_t i = 0; i < number.size(); ++i) {
        if (number[i] < 0 || number[i] >= count || old[at(number[i])] >= 0)
          detail::fail<value_error>("factor_graph_builder::renumbered: the new numbers of ", what,
                                    " are no permutation: ", number[i], " for ", i);
        old[at(number[i])] = static_cast<index_t>(i);
      }
      return old;
    };
    const std::vector<index_t> variable = inverse("variables", numbering.variable, variables());
    const std::vector<index_t> factor_from = inverse("factors", numbering.factor, factors());
    factor_graph_builder r;
    for (const index_t v : variable) {
      r.add_variable(states_[at(v)]);
      std::copy_n(unary_.begin() + unary_begin_[at(v)], states_[at(v)], r.unary_.end() - states_[at(v)]);
    }
    r.factor_.reserve(factor_.size());
    r.scope_.reserve(scope_.size());
    for (const index_t i : factor_from) {
      factor f = factor_[at(i)];
      const index_t old_scope = std::exchange(f.scope, static_cast<index_t>(r.scope_.size()));
      for (std::uint32_t s = 0; s < f.arity; ++s)
        r.scope_.push_back(static_cast<std::uint32_t>(numbering.variable[scope_[at(old_scope) + s]]));
      r.factor_.push_back(f);
    }
    r.parameters_ = parameters_;
    r.integers_ = integers_;
    r.shared_ = shared_;
    return r;
  }

  /// The graph, with numbers stored as T. Log weights that T cannot hold become its greatest and least finite numbers.
  /// Throws value_error from 2^31 edges. O(edges log(kinds and shapes)).
  template <class T = double>
  factor_graph<T> freeze() const;

 private:
  static constexpr double infinity = std::numeric_limits<double>::infinity();
  static constexpr index_t limit = (index_t(1) << 31) - 1;
  static std::size_t at(index_t i) { return static_cast<std::size_t>(i); }

  struct shared {
    index_t rows, columns, first;
  };
  struct factor {
    index_t scope, parameter, extra;  // extra: the shared table, or the first integer weight
    std::uint32_t arity;
    factor_kind kind;
  };

  void require_variable(std::string_view function, index_t variable) const {
    if (variable < 0 || variable >= variables())
      detail::fail<label_error>("factor_graph_builder::", function, ": variable ", variable, " is outside [0, ",
                                variables(), "); add variables before what refers to them");
  }
  void require_scope(std::string_view function, std::span<const index_t> scope, std::size_t least = 0) {
    if (scope.size() < least)
      detail::fail<shape_error>("factor_graph_builder::", function, ": ", scope.size(),
                                " variables; it takes at least ", least);
    for (const index_t v : scope) require_variable(function, v);
    bool twice = false;
    if (scope.size() <= 8) {
      for (std::size_t i = 1; i < scope.size(); ++i)
        twice = twice || std::find(scope.begin(), scope.begin() + std::ptrdiff_t(i), scope[i]) !=
                             scope.begin() + std::ptrdiff_t(i);
    } else {
      sorted_.assign(scope.begin(), scope.end());
      std::sort(sorted_.begin(), sorted_.end());
      twice = std::adjacent_find(sorted_.begin(), sorted_.end()) != sorted_.end();
    }
    if (!twice) return;
    sorted_.assign(scope.begin(), scope.end());
    std::sort(sorted_.begin(), sorted_.end());
    detail::fail<value_error>("factor_graph_builder::", function, ": variable ",
                              *std::adjacent_find(sorted_.begin(), sorted_.end()),
                              " occurs twice in the scope; merge its axes first");
  }
  template <class V>
  static void require_size(std::string_view function, std::span<V> values, index_t expected) {
    if (static_cast<index_t>(values.size()) != expected)
      detail::fail<shape_error>("factor_graph_builder::", function, ": ", values.size(), " numbers, expected ",
                                expected);
  }
  void require_table(std::string_view function, std::span<const index_t> scope, std::span<const double> values) {
    require_scope(function, scope);
    index_t size = 1;
    for (const index_t v : scope) {
      size *= states_[at(v)];
      if (size > limit)
        detail::fail<value_error>("factor_graph_builder::", function, ": a table of 2^31 entries or more");
    }
    if (static_cast<index_t>(values.size()) != size)
      detail::fail<shape_error>("factor_graph_builder::", function, ": ", values.size(), " weights for a scope with ",
                                size, " assignments");
  }
  static void require_log_weights(std::string_view function, std::span<const double> values) {
    for (const double v : values)
      if (!(v < infinity))
        detail::fail<value_error>("factor_graph_builder::", function, ": a log weight is ", v,
                                  "; it must be finite or -inf");
  }
  static void require_support(std::string_view function, std::span<const double> values) {
    if (std::all_of(values.begin(), values.end(), [](double v) { return v == -infinity; }))
      detail::fail<value_error>("factor_graph_builder::", function,
                                ": every weight is zero, so that no assignment has any mass");
  }
  static void require_finite(std::string_view function, double value) {
    if (!std::isfinite(value))
      detail::fail<value_error>("factor_graph_builder::", function, ": the coupling is ", value, "; it must be finite");
  }
  void require_binary(std::string_view function, std::span<const index_t> scope) const {
    for (const index_t v : scope)
      if (states_[at(v)] != 2)
        detail::fail<value_error>("factor_graph_builder::", function, ": variable ", v, " has ", states_[at(v)],
                                  " states; this factor takes binary variables");
  }
  void require_equal_states(std::string_view function, std::span<const index_t> scope) const {
    for (const index_t v : scope)
      if (states_[at(v)] != states_[at(scope[0])])
        detail::fail<shape_error>("factor_graph_builder::", function, ": variables ", scope[0], " and ", v, " have ",
                                  states_[at(scope[0])], " and ", states_[at(v)],
                                  " states; they must have equally many");
  }

  // The parameters from `first` on belong to the factor, unless they hold no mass.
  index_t add_log_weights(std::string_view function, factor_kind kind, std::span<const index_t> scope,
                          std::size_t first) {
    const std::span<const double> values = std::span<const double>(parameters_).subspan(first);
    if (std::all_of(values.begin(), values.end(), [](double v) { return v == -infinity; })) {
      parameters_.resize(first);
      require_support(function, {});
    }
    return add_factor(kind, scope, static_cast<index_t>(first));
  }
  // Finite numbers stay finite.
  static void add_log_weight(double& sum, double w) {
    const bool finite = sum > -infinity && w > -infinity;
    sum += w;
    constexpr double most = std::numeric_limits<double>::max();
    if (finite) sum = std::clamp(sum, -most, most);
  }
  index_t add_logical(std::string_view function, factor_kind kind, const factor_scope& scope, std::size_t least) {
    require_scope(function, scope.variables(), least);
    require_binary(function, scope.variables());
    return add_factor(kind, scope.variables(), 0);
  }
  index_t add_factor(factor_kind kind, std::span<const index_t> scope, index_t parameter, index_t extra = 0) {
    factor_.push_back(
        {static_cast<index_t>(scope_.size()), parameter, extra, static_cast<std::uint32_t>(scope.size()), kind});
    for (const index_t v : scope) scope_.push_back(static_cast<std::uint32_t>(v));
    return factors() - 1;
  }

  index_t parameter_count(const factor& f) const {
    switch (f.kind) {
      case factor_kind::table:
      case factor_kind::shared_table: {
        index_t size = 1;
        for (std::uint32_t s = 0; s < f.arity; ++s) size *= states_[scope_[at(f.scope) + s]];
        return size;
      }
      case factor_kind::ising:
      case factor_kind::potts:
        return 1;
      case factor_kind::count:
        return index_t(f.arity) + 1;
      case factor_kind::weighted_count: {
        index_t total = 1;
        for (std::uint32_t s = 0; s < f.arity; ++s) total += integers_[at(f.extra) + s];
        return total;
      }
      default:
        return 0;
    }
  }
  bool is_folded(const factor& f) const { return f.kind == factor_kind::table && f.arity < 2; }

  // What factors of a bucket have in common.
  void key_of(const factor& f, std::vector<index_t>& key) const {
    key.assign({static_cast<index_t>(f.kind), index_t(f.arity)});
    switch (f.kind) {
      case factor_kind::table:
        for (std::uint32_t s = 0; s < f.arity; ++s) key.push_back(states_[scope_[at(f.scope) + s]]);
        break;
      case factor_kind::shared_table:
        key.push_back(f.extra);
        break;
      case factor_kind::potts:
      case factor_kind::equality:
        key.push_back(states_[scope_[at(f.scope)]]);
        break;
      case factor_kind::weighted_count:
        key.push_back(parameter_count(f));
        break;
      default:
        break;
    }
  }

  std::vector<std::uint16_t> states_;
  std::vector<index_t> unary_begin_{0};
  std::vector<double> unary_;
  std::vector<factor> factor_;
  std::vector<std::uint32_t> scope_;
  std::vector<double> parameters_;
  std::vector<std::int32_t> integers_;
  std::vector<shared> shared_;
  std::vector<index_t> sorted_;
};

template <class T>
factor_graph<T> factor_graph_builder::freeze() const {
  const auto stored = [](double v) { return factor_graph<T>::stored_log_weight(v); };
  factor_graph<T> g;
  g.factors_ = factors();
  const auto n = states_.size();
  const bool binary = std::all_of(states_.begin(), states_.end(), [](std::uint16_t c) { return c == 2; });
  if (!binary) {
    g.state_begin_ = unary_begin_;
    g.node_begin_.reserve(n + 1);
    g.node_begin_.push_back(0);
    for (const std::uint16_t c : states_) g.node_begin_.push_back(g.node_begin_.back() + (c == 2 ? 1 : c));
  }

  // Buckets in the order of their keys, factors in the order in which they were added.
  std::map<std::vector<index_t>, index_t> bucket_of_key;
  std::vector<std::uint32_t> bucket(factor_.size());
  {
    std::vector<index_t> key, last;
    std::map<std::vector<index_t>, index_t>::iterator found;
    for (const factor& f : factor_) {
      if (is_folded(f)) continue;
      key_of(f, key);
      if (key == last) {
        ++found->second;
        continue;
      }
      found = bucket_of_key.try_emplace(key, 0).first;
      ++found->second;
      last = key;
    }
  }
  index_t positions = 0, edges = 0;
  for (auto& [key, count] : bucket_of_key) {
    factor_bucket b{};
    b.kind = static_cast<factor_kind>(key[0]);
    b.arity = key[1];
    b.first_factor = positions;
    b.factors = count;
    b.first_edge = edges;
    positions += count;
    edges += count * b.arity;
    count = static_cast<index_t>(g.buckets_.size());
    g.buckets_.push_back(b);
  }
  if (edges > limit)
    detail::fail<value_error>("factor_graph_builder::freeze: ", edges, " edges; a graph has fewer than 2^31");
  {
    std::vector<index_t> key, last;
    index_t found = 0;
    for (std::size_t i = 0; i < factor_.size(); ++i) {
      if (is_folded(factor_[i])) continue;
      key_of(factor_[i], key);
      if (key != last) {
        found = bucket_of_key.find(key)->second;
        last = key;
      }
      bucket[i] = static_cast<std::uint32_t>(found);
    }
  }
  if (g.buckets_.size() > 1 || positions != factors()) {
    g.position_.assign(factor_.size(), std::int32_t(factor_graph<T>::folded));
    g.factor_at_.resize(at(positions));
  }

  std::vector<index_t> filled(g.buckets_.size(), 0);
  std::vector<index_t> first_of(at(positions));
  for (std::size_t i = 0; i < factor_.size(); ++i) {
    const factor& f = factor_[i];
    if (is_folded(f)) continue;
    const index_t p = g.buckets_[bucket[i]].first_factor + filled[bucket[i]]++;
    first_of[at(p)] = static_cast<index_t>(i);
    if (!g.position_.empty()) {
      g.position_[i] = static_cast<std::int32_t>(p);
      g.factor_at_[at(p)] = static_cast<std::uint32_t>(i);
    }
  }

  g.edge_variable_.reserve(at(edges));
  std::vector<index_t> unary_tables;
  for (std::size_t i = 0; i < factor_.size(); ++i)
    if (is_folded(factor_[i])) unary_tables.push_back(static_cast<index_t>(i));
  for (factor_bucket& b : g.buckets_) {
    const factor& sample = factor_[at(first_of[at(b.first_factor)])];
    b.first_shape = static_cast<index_t>(g.slot_states_.size());
    index_t offset = 0;
    for (std::uint32_t s = 0; s < sample.arity; ++s) {
      const std::uint16_t c = states_[scope_[at(sample.scope) + s]];
      g.slot_states_.push_back(c);
      g.slot_offsets_.push_back(static_cast<std::uint32_t>(offset));
      offset += c == 2 ? 1 : c;
    }
    b.message_stride = offset;
    b.first_message = g.messages_;
    g.messages_ += offset * b.factors;
    b.parameters = parameter_count(sample);
    b.parameter_stride = b.kind == factor_kind::shared_table ? 0 : b.parameters;
    b.first_parameter = static_cast<index_t>(g.parameters_.size());
    b.first_integer = static_cast<index_t>(g.integer_weights_.size());
    g.parameters_.reserve(g.parameters_.size() +
                          at(b.kind == factor_kind::shared_table ? b.parameters : b.parameters * b.factors));
    for (index_t k = 0; k < b.factors; ++k) {
      const factor& f = factor_[at(first_of[at(b.first_factor + k)])];
      for (std::uint32_t s = 0; s < f.arity; ++s) g.edge_variable_.push_back(scope_[at(f.scope) + s]);
      if (k == 0 || b.parameter_stride != 0)
        for (index_t e = 0; e < b.parameters; ++e) g.parameters_.push_back(stored(parameters_[at(f.parameter + e)]));
      if (b.kind == factor_kind::weighted_count)
        for (std::uint32_t s = 0; s < f.arity; ++s) g.integer_weights_.push_back(integers_[at(f.extra) + s]);
    }
    g.zeros_ = g.zeros_ || (b.kind >= factor_kind::equality && b.kind != factor_kind::count &&
                            b.kind != factor_kind::weighted_count);
  }
  if (!binary) {
    g.message_at_edge_.reserve(at(edges));
    for (const factor_bucket& b : g.buckets_)
      for (index_t k = 0; k < b.factors; ++k)
        for (index_t s = 0; s < b.arity; ++s)
          g.message_at_edge_.push_back(b.first_message + k * b.message_stride + g.slot_offsets_[at(b.first_shape + s)]);
  }

  std::vector<double> unary = unary_;
  for (const index_t i : unary_tables) {
    const factor& f = factor_[at(i)];
    const index_t v = f.arity == 0 ? -1 : index_t(scope_[at(f.scope)]);
    g.folded_.emplace_back(static_cast<std::uint32_t>(i), static_cast<std::int32_t>(v));
    if (v < 0)
      add_log_weight(g.log_constant_, parameters_[at(f.parameter)]);
    else
      for (index_t x = 0; x < states_[at(v)]; ++x)
        add_log_weight(unary[at(unary_begin_[at(v)] + x)], parameters_[at(f.parameter + x)]);
  }
  g.unary_.reserve(unary.size());
  for (const double u : unary) g.unary_.push_back(stored(u));
  const auto is_zero = [](T v) { return v == -std::numeric_limits<T>::infinity(); };
  g.zeros_ = g.zeros_ || std::any_of(g.parameters_.begin(), g.parameters_.end(), is_zero);

  g.variable_begin_.assign(n + 1, 0u);
  for (const std::uint32_t v : g.edge_variable_) ++g.variable_begin_[v + 1];
  for (std::size_t v = 0; v < n; ++v) g.variable_begin_[v + 1] += g.variable_begin_[v];
  g.variable_edge_.resize(at(edges));
  std::vector<std::uint32_t> next(g.variable_begin_.begin(), g.variable_begin_.end() - 1);
  for (std::size_t e = 0; e < g.edge_variable_.size(); ++e)
    g.variable_edge_[next[g.edge_variable_[e]]++] = static_cast<std::uint32_t>(e);
  return g;
}

template <class T>
template <class State>
double factor_graph<T>::log_weight(index_t position, std::span<const State> state) const {
  constexpr double forbidden = -std::numeric_limits<double>::infinity();
  const factor_bucket& b = bucket_of(position);
  const std::span<const T> parameter = parameters(b, position);
  const auto is = [&](index_t s, index_t x) { return static_cast<index_t>(state[at(s)]) == x; };
  index_t ones = 0;
  if (b.kind >= factor_kind::count) {
    const auto weight =
        b.kind == factor_kind::weighted_count ? integer_weights(b, position) : std::span<const std::int32_t>();
    for (index_t s = 0; s < b.arity; ++s) ones += is(s, 1) ? (weight.empty() ? 1 : weight[at(s)]) : 0;
  }
  switch (b.kind) {
    case factor_kind::table:
    case factor_kind::shared_table: {
      index_t entry = 0;
      for (index_t s = 0; s < b.arity; ++s) entry = entry * slot_states(b)[at(s)] + static_cast<index_t>(state[at(s)]);
      return static_cast<double>(parameter[at(entry)]);
    }
    case factor_kind::ising:
      return static_cast<double>(state[0] == state[1] ? parameter[0] : -parameter[0]);
    case factor_kind::potts:
      return state[0] == state[1] ? static_cast<double>(parameter[0]) : 0.0;
    case factor_kind::equality:
      for (index_t s = 1; s < b.arity; ++s)
        if (state[at(s)] != state[0]) return forbidden;
      return 0;
    case factor_kind::count:
    case factor_kind::weighted_count:
      return static_cast<double>(parameter[at(ones)]);
    case factor_kind::logical_or:
      return is(b.arity - 1, 1) == (ones - index_t(is(b.arity - 1, 1)) > 0) ? 0 : forbidden;
    case factor_kind::logical_and:
      return is(b.arity - 1, 1) == (ones - index_t(is(b.arity - 1, 1)) == b.arity - 1) ? 0 : forbidden;
    case factor_kind::at_most_one:
      return ones <= 1 ? 0 : forbidden;
    case factor_kind::exactly_one:
      return ones == 1 ? 0 : forbidden;
  }
  return forbidden;
}

template <class T>
template <label_vector States>
double factor_graph<T>::log_weight(const States& states_of_all) const {
  const auto x = view(states_of_all);
  detail::require_extent("factor_graph::log_weight: states", x, 0, variables());
  double sum = log_constant_;
  for (index_t v = 0; v < variables(); ++v) {
    const auto s = static_cast<index_t>(x(v));
    if (s < 0 || s >= states(v))
      detail::fail<label_error>("factor_graph::log_weight: state ", s, " of variable ", v, " is outside [0, ",
                                states(v), ")");
    sum += static_cast<double>(unary(v)[at(s)]);
  }
  std::vector<index_t> state;
  for (index_t p = 0; p < positions(); ++p) {
    state.clear();
    for (const std::uint32_t v : scope(p)) state.push_back(static_cast<index_t>(x(v)));
    sum += log_weight(p, std::span<const index_t>(state));
  }
  return sum;
}

}  // namespace weakly::inline v0
