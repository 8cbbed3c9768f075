// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/error.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/random.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/core/view.hpp>
#include <weakly/core/workspace.hpp>
#include <weakly/graph/count_factor.hpp>
#include <weakly/graph/detail/counting_messages.hpp>
#include <weakly/graph/detail/factor_order.hpp>
#include <weakly/graph/detail/ising_flooding.hpp>
#include <weakly/graph/detail/pair_messages.hpp>
#include <weakly/graph/detail/ratio_flooding.hpp>
#include <weakly/graph/detail/table_messages.hpp>
#include <weakly/graph/factor_graph.hpp>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

namespace weakly::inline v0 {

namespace detail {
template <class T>
class greatest_log_distance;
}

/// Temperatures with names of their own.
inline constexpr double sum_product = 1;
inline constexpr double max_product = 0;

/// In which order the factors send their messages.
enum class propagation_schedule : std::uint8_t {
  flooding,           ///< all from the messages of the pass before: parallel
  sequential,         ///< one factor after the other, each from the newest messages
  coloured,           ///< groups of factors that share no variable, one group after the other: parallel
  random_sequential,  ///< as sequential, in a new order every pass
  residual            ///< the factor whose incoming messages changed most since it sent its own
};

/// How far apart two messages are; the distance of a run is the greatest of all.
enum class convergence_measure : std::uint8_t {
  message_probability,  ///< greatest difference of the messages as distributions
  log_message,          ///< greatest difference of the normalised log messages
  belief                ///< greatest difference of the beliefs after two passes, over 1 - damping
};

struct belief_propagation_options {
  double temperature =
      sum_product;  ///< T: messages are T log sum exp(. / T); 0 (max_product) takes the greatest; else [1e-9, 1e9]
  propagation_schedule schedule = propagation_schedule::flooding;
  double damping = 0;       ///< new = (1 - damping) fresh + damping old, of logarithms; in [0, 1)
  double tolerance = 1e-8;  ///< converged when the measure is at most this (float needs 1e-6); 0 runs all iterations
  convergence_measure measure = convergence_measure::message_probability;
  index_t max_iterations = 1000;  ///< passes; 0 or more
  std::uint64_t seed = 0;         ///< of random_sequential
  bool solve_trees = true;        ///< components without a cycle first, exactly, in two sweeps
  bool ratios = true;             ///< binary Ising graphs as ratios of probabilities, where no number can overflow
};

struct belief_propagation_result {
  index_t iterations;  ///< passes over all factors (residual: as many updates); 0 when trees were all there was
  bool converged;      ///< the last measure was within the tolerance; never set because the passes ran out
  double change;       ///< the last measure
};

/// Loopy belief propagation on a factor graph: messages, beliefs, log Z, decoding.
///
///     q_iF(x) = u_i(x) + sum over factors G != F at i of r_Gi(x)
///     r_Fi(x) = T log sum over assignments of F with x_i = x of exp((log weight_F + sum over j != i of q_jF(x_j)) / T)
///     belief  b_i proportional to exp(u_i + sum over factors at i of r_Fi)
///
/// With factor weights rho (set_factor_weights) sums over r are weighted by rho and log weight_F is divided by it:
/// tree-reweighted for pairwise factors with appearance probabilities of trees, fractional otherwise.
///
/// The graph must outlive the object and is shared, never written: one object a run at a time. Messages live from run
/// to run, so that a run after new evidence starts warm; reset() forgets them. A message is kept as log odds for a
/// binary variable and as one log weight a state otherwise (their log sum exp is 0, at temperature 0 their maximum).
/// The state is allocated at construction, but for what the first run in ratios arranges once; runs allocate scratch
/// for tables and counts, one piece a task. T is the type of what is stored; but for graphs of Ising factors the
/// arithmetic is double.
///
/// Impossible states have messages of -inf; they are counted and never subtracted. Where no state of a variable is
/// left, run throws value_error that names the variable or factor. Same bits for every executor. Sequential, random and
/// residual runs are single tasks. Sources: Kschischang, Frey, Loeliger, IEEE Trans. Inf. Theory 2001; Yedidia,
/// Freeman, Weiss 2005; Wainwright, Jaakkola, Willsky 2005 (tree-reweighted); Elidan, McGraw, Koller 2006 and Sutton,
/// McCallum 2007 (residual).
template <class T = double>
class belief_propagation {
 public:
  using value_type = T;

  /// Throws option_error.
  explicit belief_propagation(const factor_graph<T>& graph, const belief_propagation_options& options = {})
      : graph_(&graph), options_(options) {
    require_options(options);
    message_.resize(at(graph.messages()));
    total_.resize(at(graph.all_nodes()));
    hard_ = graph.has_zeros();
    if (hard_) {
      blocked_.resize(at(graph.all_states()));
      seen_.resize(at(graph.all_nodes()));
    }
    reset();
    find_tasks();
    prepare();
  }

  const factor_graph<T>& graph() const { return *graph_; }
  const belief_propagation_options& options() const { return options_; }
  /// Other options for the runs to come; messages stay. Throws option_error.
  void set_options(const belief_propagation_options& options) {
    require_options(options);
    options_ = options;
    prepare();
  }

  /// rho of every factor, by its number; in [1e-9, 1e9]. Ones give ordinary belief propagation. Factors that became
  /// unary terms have no use of theirs. Throws shape_error, value_error.
  template <real_vector Rho>
  void set_factor_weights(const Rho& rho) {
    const auto r = view(rho);
    detail::require_extent("belief_propagation::set_factor_weights: rho", r, 0, graph_->factors());
    bool ones = true;
    for (index_t f = 0; f < graph_->factors(); ++f) {
      const double w = static_cast<double>(r(f));
      if (!(w >= 1e-9 && w <= 1e9))
        detail::fail<value_error>("belief_propagation::set_factor_weights: factor ", f, " has the weight ", w,
                                  "; weights lie in [1e-9, 1e9]");
      ones = ones && w == 1;
    }
    rho_.clear();
    if (!ones) {
      rho_.resize(at(graph_->positions()));
      for (index_t p = 0; p < graph_->positions(); ++p) rho_[at(p)] = static_cast<double>(r(graph_->factor_at(p)));
    }
    tree_known_ = false;
    totals_known_ = false;
    prepare();
  }

  /// From now on the variable has this state. Throws label_error; value_error where the unary term excludes it.
  void clamp(index_t variable, index_t state) {
    require_variable("clamp", variable);
    if (state < 0 || state >= graph_->states(variable))
      detail::fail<label_error>("belief_propagation::clamp: state ", state, " of variable ", variable,
                                " is outside [0, ", graph_->states(variable), ")");
    T* const u = own_unary(variable);
    if (u[state] == lowest)
      detail::fail<value_error>("belief_propagation::clamp: state ", state, " of variable ", variable,
                                " has no mass to begin with");
    for (index_t x = 0; x < graph_->states(variable); ++x)
      if (x != state) u[x] = lowest;
    evidence_changed_ = true;
  }
  /// Adds log weights to those of the states of a variable. Throws label_error, shape_error; value_error for NaN, +inf,
  /// or where no state is left.
  void soft_evidence(index_t variable, const factor_weights& log_weights) {
    require_variable("soft_evidence", variable);
    const index_t c = graph_->states(variable);
    const auto w = log_weights.values();
    if (static_cast<index_t>(w.size()) != c)
      detail::fail<shape_error>("belief_propagation::soft_evidence: ", w.size(), " log weights for variable ", variable,
                                ", which has ", c, " states");
    T* const u = own_unary(variable);
    bool left = false;
    for (index_t x = 0; x < c; ++x) {
      if (!(w[at(x)] < std::numeric_limits<double>::infinity()))
        detail::fail<value_error>("belief_propagation::soft_evidence: a log weight of variable ", variable, " is ",
                                  w[at(x)], "; it must be finite or -inf");
      left = left || (w[at(x)] > lowest && u[x] > lowest);
    }
    if (!left)
      detail::fail<value_error>("belief_propagation::soft_evidence: no state of variable ", variable, " is left");
    for (index_t x = 0; x < c; ++x) u[x] = factor_graph<T>::stored_log_weight(double(u[x]) + w[at(x)]);
    evidence_changed_ = true;
  }
  /// Takes back what clamp and soft_evidence said of one variable, or of all.
  void release(index_t variable) {
    require_variable("release", variable);
    if (unary_.empty()) return;
    const auto u = graph_->unary(variable);
    std::copy(u.begin(), u.end(), unary_.begin() + static_cast<std::ptrdiff_t>(graph_->state_begin(variable)));
    evidence_changed_ = true;
  }
  void clear_evidence() {
    unary_.clear();
    evidence_changed_ = true;
  }

  /// All messages uniform again.
  void reset() {
    totals_known_ = false;
    if (graph_->all_binary()) {
      std::fill(message_.begin(), message_.end(), T(0));
      return;
    }
    for (const factor_bucket& b : graph_->buckets()) {
      const auto states = graph_->slot_states(b);
      T* m = message_.data() + b.first_message;
      for (index_t k = 0; k < b.factors; ++k)
        for (index_t s = 0; s < b.arity; ++s) {
          const index_t c = states[at(s)];
          if (c == 2)
            *m++ = 0;
          else
            m = std::fill_n(m, c, uniform(c));
        }
    }
  }
  /// All messages, those of edge e from graph().message_begin(e); valid until the next run.
  std::span<const T> messages() const { return message_; }
  /// Messages to start from. Throws shape_error; value_error for NaN, and for +inf where it is no log odds.
  template <real_vector Messages>
  void set_messages(const Messages& messages) {
    const auto m = view(messages);
    detail::require_extent("belief_propagation::set_messages: messages", m, 0, graph_->messages());
    for (index_t e = 0; e < graph_->edges(); ++e) {
      const index_t first = graph_->message_begin(e), c = graph_->states(graph_->edge_variable()[at(e)]);
      for (index_t x = 0; x < (c == 2 ? 1 : c); ++x) {
        const double v = static_cast<double>(m(first + x));
        if (std::isnan(v) || (c != 2 && v == std::numeric_limits<double>::infinity()))
          detail::fail<value_error>("belief_propagation::set_messages: message ", first + x, " is ", v);
        if (std::isinf(v) && (!hard_ || graph_->bucket_of_edge(e).kind == factor_kind::ising))
          detail::fail<value_error>("belief_propagation::set_messages: message ", first + x, " is ", v,
                                    ", but its factor excludes no state");
      }
    }
    for (index_t i = 0; i < graph_->messages(); ++i) message_[at(i)] = stored_message(static_cast<double>(m(i)));
    totals_known_ = false;
  }

  /// Passes until converged or max_iterations. Throws value_error for a contradiction.
  template <executor Exec>
  belief_propagation_result run(Exec&& ex);
  belief_propagation_result run() { return run(seq); }

  /// The measure after every pass of the last run.
  std::span<const double> trace() const { return trace_; }

  /// b_i, one number a state. Throws shape_error.
  template <writable_vector Out>
  void beliefs(index_t variable, Out&& out) {
    require_variable("beliefs", variable);
    const auto o = view(out);
    detail::require_extent("belief_propagation::beliefs: out", o, 0, graph_->states(variable));
    know_totals();
    write_belief(variable, [&](index_t x, double p) { o(x) = static_cast<typename view_t<Out>::value_type>(p); });
  }
  /// The beliefs of all variables, one after the other: those of variable i from graph().state_begin(i).
  template <executor Exec, writable_vector Out>
  void all_beliefs(Exec&& ex, Out&& out) {
    const auto o = view(out);
    detail::require_extent("belief_propagation::all_beliefs: out", o, 0, graph_->all_states());
    know_totals();
    for_row_chunks(ex, graph_->variables(), [&](index_t first, index_t last) {
      for (index_t v = first; v < last; ++v)
        write_belief(v, [&, begin = graph_->state_begin(v)](index_t x, double p) {
          o(begin + x) = static_cast<typename view_t<Out>::value_type>(p);
        });
    });
  }
  template <writable_vector Out>
  void all_beliefs(Out&& out) {
    all_beliefs(seq, out);
  }

  /// b_F proportional to exp((log weight_F / rho + sum of q) / T), one number an assignment, the last variable of the
  /// scope fastest; at temperature 0 as at 1. A factor that became a unary term has the belief of its variable, a
  /// constant has 1. Throws shape_error, label_error. O(assignments x arity).
  template <writable_vector Out>
  void factor_beliefs(index_t factor, Out&& out);

  /// Bethe approximation of log Z (of T log sum exp(. / T)), from beliefs; with factor weights the tree-reweighted one,
  /// an upper bound for pairwise models where the weights are appearance probabilities of spanning trees and the run
  /// has converged. Exact on forests. Throws option_error at temperature 0: use log_z_messages. O(a run's pass) and
  /// more for tables.
  double log_z();
  /// The same from messages alone, at any temperature (at 0 it approximates the greatest log weight). Equal to log_z at
  /// a fixed point only: the difference tells how near one is.
  double log_z_messages();

  /// The state of greatest belief of every variable, of equal ones the lowest. Returns the log weight of that
  /// assignment, evidence included: -inf where the states contradict one another. Throws shape_error.
  template <writable_vector Out>
  double map_states(Out&& out) {
    using State = typename view_t<Out>::value_type;
    static_assert(std::is_integral_v<State>, "states are integers");
    const auto o = view(out);
    detail::require_extent("belief_propagation::map_states: out", o, 0, graph_->variables());
    know_totals();
    double score = graph_->log_constant();
    std::vector<index_t> state(at(graph_->variables()));
    std::vector<double> weight;
    for (index_t v = 0; v < graph_->variables(); ++v) {
      const index_t c = graph_->states(v);
      weight.resize(at(c));
      node_weights(v, weight.data());
      const index_t best = std::max_element(weight.begin(), weight.end()) - weight.begin();
      state[at(v)] = best;
      o(v) = static_cast<State>(best);
      score += static_cast<double>(unary_of(v)[best]);
    }
    std::vector<index_t> scope;
    for (index_t p = 0; p < graph_->positions(); ++p) {
      scope.clear();
      for (const std::uint32_t v : graph_->scope(p)) scope.push_back(state[v]);
      score += graph_->log_weight(p, std::span<const index_t>(scope));
    }
    return score;
  }

  /// Bytes of all arrays of this object, those of the graph not included.
  std::size_t memory() const {
    const auto bytes = [](const auto& v) { return v.capacity() * sizeof(v[0]); };
    return bytes(message_) + bytes(total_) + bytes(seen_) + bytes(blocked_) + bytes(unary_) + bytes(rho_) +
           bytes(task_) + bytes(order_) + bytes(trace_) + bytes(tree_) + bytes(before_) + bytes(changes_) +
           bytes(colours_.position) + bytes(colours_.begin) + urgent_.memory() + bytes(weight_begin_) + bytes(weight_) +
           bytes(coupling_) + ratios_.memory();
  }

 private:
  static constexpr T lowest = -std::numeric_limits<T>::infinity();
  static std::size_t at(index_t i) { return static_cast<std::size_t>(i); }

  struct task {
    index_t first, last;  // positions, of one bucket
    std::uint32_t bucket;
  };
  // One task's numbers.
  struct scratch {
    std::vector<double> in, out, work, fresh, f, zero, one;
    std::vector<index_t> digit;
    std::vector<T> numbers;
    std::vector<simd::batch<T>> batches;
    std::vector<std::byte> memory;
  };

  T uniform(index_t c) const { return options_.temperature > 0 ? static_cast<T>(-std::log(double(c))) : T(0); }

  static void require_options(const belief_propagation_options& o) {
    constexpr const char* name = "belief_propagation: ";
    if (!(o.temperature == 0 || (o.temperature >= 1e-9 && o.temperature <= 1e9)))
      detail::fail<option_error>(name, "temperature is ", o.temperature,
                                 "; it must be 0 (max_product) or lie in [1e-9, 1e9]");
    if (!(o.damping >= 0 && o.damping < 1))
      detail::fail<option_error>(name, "damping is ", o.damping, "; it must lie in [0, 1)");
    if (!(o.tolerance >= 0)) detail::fail<option_error>(name, "tolerance is ", o.tolerance, "; it must be 0 or more");
    if (o.max_iterations < 0)
      detail::fail<option_error>(name, "max_iterations is ", o.max_iterations, "; it must be 0 or more");
    if (o.schedule > propagation_schedule::residual || o.measure > convergence_measure::belief)
      detail::fail<option_error>(name, "there is no such schedule or measure");
  }
  void require_variable(std::string_view function, index_t variable) const {
    if (variable < 0 || variable >= graph_->variables())
      detail::fail<label_error>("belief_propagation::", function, ": variable ", variable, " is outside [0, ",
                                graph_->variables(), ")");
  }
  T* own_unary(index_t variable) {
    if (unary_.empty()) unary_.assign(graph_->unary().begin(), graph_->unary().end());
    return unary_.data() + graph_->state_begin(variable);
  }
  const T* unary_of(index_t variable) const {
    return (unary_.empty() ? graph_->unary().data() : unary_.data()) + graph_->state_begin(variable);
  }
  static T stored_message(double r) {
    return r == std::numeric_limits<double>::infinity() ? -lowest : factor_graph<T>::stored_log_weight(r);
  }
  double rho_at(index_t position) const { return rho_.empty() ? 1.0 : rho_[at(position)]; }

  void find_tasks();
  void know_totals() {
    if (!totals_known_) all_totals(seq);
  }
  template <executor Exec>
  void all_totals(Exec& ex);
  void total_of(index_t variable);
  void node_weights(index_t variable, double* weight) const;
  template <class Write>
  void write_belief(index_t variable, Write write) const;
  void cavity(index_t edge, index_t variable, index_t c, double* q, bool exact) const;
  double finite_total(index_t variable) const;
  double without(index_t edge, index_t x, double total) const;
  [[noreturn]] void contradiction(index_t position) const {
    detail::fail<value_error>("belief_propagation: factor ", graph_->factor_at(position),
                              " leaves no state: the evidence and the factors around it exclude every assignment that "
                              "has any weight");
  }
  [[noreturn]] void no_state_left(index_t variable) const {
    for (const std::uint32_t e : graph_->edges_of(variable)) {
      const index_t m = graph_->message_begin(e), c = graph_->states(variable);
      for (index_t x = 0; x < (c == 2 ? 1 : c); ++x)
        if (std::isinf(message_[at(m + x)]))
          detail::fail<value_error>("belief_propagation: no state of variable ", variable,
                                    " is left: its unary term, evidence and factors exclude one another, factor ",
                                    graph_->factor_at(graph_->position_of_edge(e)), " among them");
    }
    detail::fail<value_error>("belief_propagation: the unary term and evidence of variable ", variable,
                              " leave no state");
  }

  bool is_binary_kind(factor_kind kind) const { return kind == factor_kind::ising || kind >= factor_kind::count; }
  void gather(const factor_bucket& b, index_t position, scratch& s, bool exact = false) const;
  double fresh_messages(const factor_bucket& b, index_t position, scratch& s) const {
    return options_.temperature > 0 ? fresh_messages_at<false>(b, position, s)
                                    : fresh_messages_at<true>(b, position, s);
  }
  template <bool Max>
  double fresh_messages_at(const factor_bucket& b, index_t position, scratch& s) const;
  template <bool Max>
  double counted(const factor_bucket& b, index_t position, double scale, scratch& s) const;
  template <bool Max>
  void tabled(const factor_bucket& b, index_t position, double scale, scratch& s) const;
  enum class moving { later, now, never };  // whether a new message is stored, and the totals told
  double commit(const factor_bucket& b, index_t position, const scratch& s, double damping, moving when,
                double* slot_change = nullptr);
  double update(const factor_bucket& b, index_t position, scratch& s, double damping, moving when,
                double* slot_change = nullptr) {
    gather(b, position, s);
    fresh_messages(b, position, s);
    return commit(b, position, s, damping, when, slot_change);
  }
  void prepare();
  void prepare_weights();
  bool may_use_ratios() const {
    return options_.ratios && options_.temperature == 1 && options_.schedule == propagation_schedule::flooding &&
           options_.measure != convergence_measure::belief && (options_.damping == 0 || options_.damping == 0.5) &&
           rho_.empty() && !hard_ && graph_->all_binary() && graph_->buckets().size() == 1 &&
           graph_->buckets()[0].kind == factor_kind::ising;
  }
  template <executor Exec>
  bool enter_ratios(Exec& ex);
  template <executor Exec>
  void leave_ratios(Exec& ex);
  double flood(const task& part, moving when);
  double flood_batch(const factor_bucket& b, std::size_t bucket, index_t position, index_t lanes, scratch& s,
                     moving when, detail::greatest_log_odds_distance<T>& odds_change,
                     detail::greatest_log_distance<T>& change);

  // Where the linear weights of a table lie: entry e at first + e stride.
  static constexpr index_t widest_table = 65536;
  struct weight_place {
    index_t first, stride;
  };
  bool is_shared(const factor_bucket& b) const { return b.parameter_stride == 0 && rho_.empty(); }
  weight_place weights_of(const factor_bucket& b, std::size_t bucket, index_t position) const {
    constexpr index_t lanes = simd::batch<T>::size;
    const index_t first = weight_begin_[bucket], k = position - b.first_factor;
    return is_shared(b) ? weight_place{first, 1}
                        : weight_place{first + k / lanes * lanes * b.parameters + k % lanes, lanes};
  }
  // Log of the least weight of a table that is not zero, relative to the greatest.
  T least_weight(const factor_bucket& b, index_t position) const {
    const auto parameter = graph_->parameters(b, position);
    T least = std::numeric_limits<T>::infinity(), most = lowest;
    for (const T w : parameter) {
      if (w > lowest) least = std::min(least, w);
      most = std::max(most, w);
    }
    return static_cast<T>(double(least - most) / rho_at(position));
  }
  void solve_trees();
  template <executor Exec>
  double flooding_pass(Exec& ex, bool look_only = false);
  template <executor Exec>
  double coloured_pass(Exec& ex);
  template <executor Exec>
  double residual_pass(Exec& ex);
  double sequential_pass(bool in_random_order, index_t pass);
  double belief_change();
  double bethe(bool of_beliefs);
  void forget_infinities();

  const factor_graph<T>* graph_;
  belief_propagation_options options_;
  bool hard_ = false, totals_known_ = false, evidence_changed_ = false;
  std::vector<T> message_, total_, unary_;
  std::vector<T> seen_;                 // totals of binary variables, +-inf where a state is excluded
  std::vector<std::uint32_t> blocked_;  // how many messages exclude a state
  std::vector<double> rho_;             // by position
  std::vector<task> task_;
  bool tree_known_ = false, in_ratios_ = false;
  std::vector<index_t> weight_begin_;  // by bucket, in weight_; -1 for none
  std::vector<T> weight_, coupling_;
  detail::ratio_flooding<T> ratios_;
  std::vector<std::uint32_t> order_, tree_;
  detail::factor_groups colours_;
  detail::priority_heap urgent_;
  std::vector<double> trace_, before_, changes_;
};

template <class T>
belief_propagation(const factor_graph<T>&) -> belief_propagation<T>;
template <class T>
belief_propagation(const factor_graph<T>&, const belief_propagation_options&) -> belief_propagation<T>;

}  // namespace weakly::inline v0
