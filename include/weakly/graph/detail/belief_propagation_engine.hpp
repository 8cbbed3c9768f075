// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/graph/detail/belief_propagation_class.hpp>

namespace weakly::inline v0 {

namespace detail {

/// Turns the log weights of c states into log weights of log sum exp 0; false where none is finite.
inline bool normalise_logs(double* x, index_t c) {
  const double top = *std::max_element(x, x + c);
  if (!(top > minus_infinity)) return false;
  for (index_t i = 0; i < c; ++i) x[i] -= top;  // first: beside 1e20 a logarithm of 2 is nothing
  const double total = combine_logs<false>(x, c);
  for (index_t i = 0; i < c; ++i) x[i] -= total;
  return true;
}

inline double log_distance(double a, double b) { return a == b ? 0 : std::abs(a - b); }
inline double logistic_distance(double a, double b) {
  const auto p = [](double x) { return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x)); };
  return a == b ? 0 : std::abs(p(a) - p(b));
}

}  // namespace detail

template <class T>
void belief_propagation<T>::find_tasks() {
  for (const factor_bucket& b : graph_->buckets()) {
    index_t factors = 65536 / (b.message_stride + b.parameter_stride + 1);
    factors = std::max(index_t(64), factors - factors % 64);  // whole batches
    if (b.parameters > 4096) factors = simd::batch<T>::size;
    if (b.kind == factor_kind::count || b.kind == factor_kind::weighted_count)
      factors = std::max(index_t(1), 16384 / (b.parameters * b.parameters));
    for (index_t k = 0; k < b.factors; k += factors)
      task_.push_back({b.first_factor + k, b.first_factor + std::min(k + factors, b.factors),
                       static_cast<std::uint32_t>(&b - graph_->buckets().data())});
  }
  changes_.resize(task_.size());
}

template <class T>
void belief_propagation<T>::total_of(index_t variable) {
  const index_t c = graph_->states(variable), begin = graph_->node_begin(variable);
  const auto edges = graph_->edges_of(variable);
  const T* const u = unary_of(variable);
  using batch = simd::batch<T>;
  if (const index_t width = c == 2 ? 1 : c; !hard_ && rho_.empty() && width <= batch::size) {
    // All states at once, and no branch that depends on how many there are.
    batch sum = c == 2 ? batch(u[1] - u[0]) : simd::load_partial(u, width);
    for (const std::uint32_t e : edges)
      sum += simd::load_partial(static_cast<const T*>(message_.data() + graph_->message_begin(e)), width);
    simd::store_partial(total_.data() + begin, width, sum);
    const batch left = c == 2 ? batch(std::max(u[0], u[1])) : sum;
    if ((simd::bits(left > batch(lowest)) & simd::bits(simd::first_lanes<T>(width))) == 0) no_state_left(variable);
    return;
  }
  std::uint32_t* const blocked = hard_ ? blocked_.data() + graph_->state_begin(variable) : nullptr;
  const bool weighted = !rho_.empty();
  const auto weight = [&](std::uint32_t e) {
    return weighted ? static_cast<T>(rho_[at(graph_->position_of_edge(index_t(e)))]) : T(1);
  };
  if (c == 2) {
    if (u[0] == lowest && u[1] == lowest) no_state_left(variable);
    if (blocked == nullptr) {
      T sum = u[1] - u[0];
      for (const std::uint32_t e : edges) sum += weight(e) * message_[at(graph_->message_begin(e))];
      total_[at(begin)] = sum;
      return;
    }
    T sum = (u[1] == lowest ? T(0) : u[1]) - (u[0] == lowest ? T(0) : u[0]);
    blocked[0] = u[0] == lowest;
    blocked[1] = u[1] == lowest;
    for (const std::uint32_t e : edges) {
      const T r = message_[at(graph_->message_begin(e))];
      if (std::isinf(r))
        ++blocked[r < 0];
      else
        sum += weight(e) * r;
    }
    total_[at(begin)] = sum;
    if (blocked[0] != 0 && blocked[1] != 0) no_state_left(variable);
    seen_[at(begin)] = blocked[0] != 0 ? -lowest : blocked[1] != 0 ? lowest : sum;
    return;
  }
  T* const total = total_.data() + begin;
  for (index_t x = 0; x < c; ++x) {
    const bool excluded = blocked != nullptr && u[x] == lowest;
    total[x] = excluded ? T(0) : u[x];
    if (blocked != nullptr) blocked[x] = excluded;
  }
  for (const std::uint32_t e : edges) {
    const T* const m = message_.data() + graph_->message_begin(e);
    const T w = weight(e);
    if (blocked == nullptr) {
      for (index_t x = 0; x < c; ++x) total[x] += w * m[x];
    } else {
      for (index_t x = 0; x < c; ++x) {
        const bool excluded = m[x] == lowest;
        blocked[x] += excluded;
        total[x] += excluded ? T(0) : w * m[x];
      }
    }
  }
  bool left = false;
  for (index_t x = 0; x < c; ++x) left = left || ((blocked == nullptr || blocked[x] == 0) && total[x] > lowest);
  if (!left) no_state_left(variable);
}

template <class T>
template <executor Exec>
void belief_propagation<T>::all_totals(Exec& ex) {
  if (graph_->all_binary() && !hard_ && rho_.empty()) {
    const std::uint32_t* const begin = graph_->variable_begin().data();
    const std::uint32_t* const edge = graph_->all_variable_edges().data();
    const T* const u = unary_of(0);
    const T* const m = message_.data();
    for_row_chunks(ex, graph_->variables(), [&](index_t first, index_t last) {
      for (index_t v = first; v < last; ++v) {
        if (u[2 * v] == lowest && u[2 * v + 1] == lowest) no_state_left(v);
        T sum = u[2 * v + 1] - u[2 * v];
        for (std::uint32_t e = begin[v]; e < begin[v + 1]; ++e) sum += m[edge[e]];
        total_[at(v)] = sum;
      }
    });
    totals_known_ = true;
    return;
  }
  for_row_chunks(ex, graph_->variables(), [&](index_t first, index_t last) {
    for (index_t v = first; v < last; ++v) total_of(v);
  });
  totals_known_ = true;
}

// What the messages and the state that is left add up to, where the total is +-inf for the sake of the other state.
template <class T>
double belief_propagation<T>::finite_total(index_t variable) const {
  const T* const u = unary_of(variable);
  double sum = double(u[1] == lowest ? T(0) : u[1]) - double(u[0] == lowest ? T(0) : u[0]);
  for (const std::uint32_t e : graph_->edges_of(variable))
    sum += rho_at(graph_->position_of_edge(e)) * double(message_[at(graph_->message_begin(e))]);
  return sum;
}

template <class T>
void belief_propagation<T>::node_weights(index_t variable, double* weight) const {
  const index_t c = graph_->states(variable), begin = graph_->node_begin(variable);
  const T* const u = unary_of(variable);
  const std::uint32_t* const blocked = hard_ ? blocked_.data() + graph_->state_begin(variable) : nullptr;
  if (c != 2) {
    for (index_t x = 0; x < c; ++x)
      weight[x] = blocked != nullptr && blocked[x] != 0 ? detail::minus_infinity : double(total_[at(begin + x)]);
    return;
  }
  const double origin = u[0] == lowest ? 0 : double(u[0]);
  const double total = double(total_[at(begin)]);
  weight[0] = (blocked != nullptr ? blocked[0] != 0 : u[0] == lowest) ? detail::minus_infinity : origin;
  weight[1] = (blocked != nullptr ? blocked[1] != 0 : u[1] == lowest)
                  ? detail::minus_infinity
                  : origin + (std::isinf(total) ? finite_total(variable) : total);
}

template <class T>
template <class Write>
void belief_propagation<T>::write_belief(index_t variable, Write write) const {
  const index_t c = graph_->states(variable);
  double few[16];
  std::vector<double> many(at(c > 16 ? c : 0));
  double* const w = c > 16 ? many.data() : few;
  node_weights(variable, w);
  detail::normalise_logs(w, c);
  for (index_t x = 0; x < c; ++x) write(x, std::exp(w[x]));
}

// Log weights of the states of a variable without what the factor at this edge says. Of a binary variable up to a
// constant, unless `exact`: then as node_weights has them.
template <class T>
void belief_propagation<T>::cavity(index_t edge, index_t variable, index_t c, double* q, bool exact) const {
  const index_t m = graph_->message_begin(edge), begin = graph_->node_begin(variable);
  const std::uint32_t* const blocked = hard_ ? blocked_.data() + graph_->state_begin(variable) : nullptr;
  if (c != 2) {
    for (index_t x = 0; x < c; ++x) {
      const double own = double(message_[at(m + x)]), total = double(total_[at(begin + x)]);
      if (blocked == nullptr)
        q[x] = total - own;
      else if (own == detail::minus_infinity)
        q[x] = blocked[x] > 1 ? detail::minus_infinity : total;
      else
        q[x] = blocked[x] > 0 ? detail::minus_infinity : total - own;
    }
    return;
  }
  const double own = double(message_[at(m)]);
  double total = double(total_[at(begin)]), origin = 0;
  const T* const u = unary_of(variable);
  if (exact) {
    origin = u[0] == lowest ? 0 : double(u[0]);
    if (std::isinf(total)) total = finite_total(variable);
  }
  bool out[2];
  if (blocked == nullptr) {
    out[0] = u[0] == lowest;
    out[1] = u[1] == lowest;
  } else {
    out[0] = blocked[0] > (own == -detail::minus_infinity ? 1u : 0u);
    out[1] = blocked[1] > (own == detail::minus_infinity ? 1u : 0u);
  }
  const double rest = std::isinf(own) ? total : total - own;
  q[0] = out[0] ? detail::minus_infinity : origin;
  q[1] = out[1] ? detail::minus_infinity : origin + (std::isinf(rest) ? 0 : rest);
}

template <class T>
void belief_propagation<T>::gather(const factor_bucket& b, index_t position, scratch& s, bool exact) const {
  const index_t first = b.first_edge + (position - b.first_factor) * b.arity;
  const auto states = graph_->slot_states(b);
  const auto variable = graph_->edge_variable();
  index_t width = 0;
  for (const std::uint16_t c : states) width += c;
  s.in.resize(at(width));
  s.out.resize(at(width));
  double* q = s.in.data();
  for (index_t k = 0; k < b.arity; ++k) {
    cavity(first + k, index_t(variable[at(first + k)]), states[at(k)], q, exact);
    q += states[at(k)];
  }
}

template <class T>
template <bool Max>
double belief_propagation<T>::counted(const factor_bucket& b, index_t position, double scale, scratch& s) const {
  index_t n = b.arity;
  const bool child = b.kind == factor_kind::logical_or || b.kind == factor_kind::logical_and;
  const int one = b.kind == factor_kind::logical_and ? 0 : 1;  // AND is OR of the opposites
  detail::counting_rule rule{2, child, nullptr};
  const auto parameter = graph_->parameters(b, position);
  s.f.assign(2, 0.0);
  if (b.kind == factor_kind::count || b.kind == factor_kind::weighted_count) {
    rule.levels = b.parameters;
    if (b.kind == factor_kind::weighted_count) rule.weight = graph_->integer_weights(b, position).data();
    s.f.resize(parameter.size());
    for (std::size_t c = 0; c < parameter.size(); ++c) s.f[c] = scale * double(parameter[c]);
  } else if (b.kind == factor_kind::exactly_one) {
    s.f[0] = detail::minus_infinity;
  }
  double offset = 0;
  s.zero.resize(at(n));
  s.one.resize(at(n));
  for (index_t i = 0; i < n; ++i) {
    const double a = s.in[at(2 * i)], c = s.in[at(2 * i + 1)], top = std::max(a, c);
    offset += top;
    s.zero[at(i)] = (one == 1 ? a : c) - top;
    s.one[at(i)] = (one == 1 ? c : a) - top;
  }
  if (child) {
    --n;
    s.f[0] = s.zero[at(n)];
    s.f[1] = s.one[at(n)];
  }
  s.work.resize(detail::counting_scratch(n, rule.levels));
  double reached[2];
  const double total = detail::counting_messages<Max>(n, rule, s.zero.data(), s.one.data(), s.f.data(), s.out.data(),
                                                      child ? reached : nullptr, s.work.data());
  if (child) s.out[at(n)] = reached[1] - reached[0];
  if (one == 0)
    for (index_t i = 0; i < b.arity; ++i) s.out[at(i)] = -s.out[at(i)];
  return total + offset;
}

template <class T>
template <bool Max>
void belief_propagation<T>::tabled(const factor_bucket& b, index_t position, double scale, scratch& s) const {
  const auto states = graph_->slot_states(b);
  const auto parameter = graph_->parameters(b, position);
  const index_t size = b.parameters, width = static_cast<index_t>(s.in.size());
  const std::size_t bucket = static_cast<std::size_t>(&b - graph_->buckets().data());
  s.work.resize(detail::contraction_scratch(size));
  if constexpr (Max) {
    detail::contract_table<true>(
        b.arity, states.data(), size, [&](index_t e) { return scale * double(parameter[at(e)]); }, s.in.data(),
        s.out.data(), s.work.data());
    return;
  }
  double top = detail::minus_infinity;
  for (const T p : parameter) top = std::max(top, double(p));
  const bool stored = weight_begin_[bucket] >= 0;
  const weight_place place = weights_of(b, bucket, position);
  if (!stored) {
    s.f.resize(at(size));
    for (index_t e = 0; e < size; ++e) s.f[at(e)] = std::exp(scale * (double(parameter[at(e)]) - top));
  }
  // Everything relative to its greatest, so that nothing overflows.
  s.fresh.resize(at(width));
  s.one.resize(at(b.arity));
  double all = scale * top;
  for (index_t k = 0, o = 0; k < b.arity; o += states[at(k)], ++k) {
    const double most = *std::max_element(s.in.begin() + o, s.in.begin() + o + states[at(k)]);
    if (most == detail::minus_infinity) contradiction(position);
    for (index_t x = 0; x < states[at(k)]; ++x) s.fresh[at(o + x)] = std::exp(s.in[at(o + x)] - most);
    s.one[at(k)] = most;
    all += most;
  }
  if (stored)
    detail::contract_table<false>(
        b.arity, states.data(), size,
        [w = weight_.data() + place.first, step = place.stride](index_t e) { return double(w[e * step]); },
        s.fresh.data(), s.out.data(), s.work.data());
  else
    detail::contract_table<false>(
        b.arity, states.data(), size, [&](index_t e) { return s.f[at(e)]; }, s.fresh.data(), s.out.data(),
        s.work.data());
  constexpr double certain = double(detail::certain_sum<T>);  // what underflowed on the way is nothing beside this
  bool sure = true;
  for (index_t k = 0, o = 0; k < b.arity; o += states[at(k)], ++k)
    for (index_t x = 0; x < states[at(k)]; ++x) {
      double& r = s.out[at(o + x)];
      sure = sure && r >= certain;
      r = std::log(r) + (all - s.one[at(k)]);
    }
  if (sure) return;
  // Again in logarithms, where a weight of zero is told from one that is small.
  std::fill(s.out.begin(), s.out.end(), detail::minus_infinity);
  s.digit.resize(at(b.arity));
  detail::for_assignments(b.arity, states.data(), size, s.digit.data(), [&](index_t e) {
    const double p = scale * double(parameter[at(e)]);
    if (p == detail::minus_infinity) return;
    for (index_t k = 0, o = 0; k < b.arity; o += states[at(k)], ++k) {
      double others = p;
      for (index_t j = 0, i = 0; j < b.arity; i += states[at(j)], ++j)
        if (j != k) others += s.in[at(i + s.digit[at(j)])];
      double& r = s.out[at(o + s.digit[at(k)])];
      r = detail::combine_logs<false>(r, others);
    }
  });
}

// The messages that the factor sends for what `gather` found, in units of the temperature, not normalised: log odds for
// the kinds that take binary variables only, log weights otherwise. Returns the log of the factor's own Z.
template <class T>
template <bool Max>
double belief_propagation<T>::fresh_messages_at(const factor_bucket& b, index_t position, scratch& s) const {
  const double per_temperature = Max ? 1 : 1 / options_.temperature;
  const double scale = per_temperature / rho_at(position);
  if (per_temperature != 1)
    for (double& q : s.in) q *= per_temperature;
  double* const in = s.in.data();
  double* const out = s.out.data();
  const index_t c = graph_->slot_states(b)[0];
  switch (b.kind) {
    case factor_kind::ising: {
      const double j = scale * double(graph_->parameters(b, position)[0]);
      const auto odds = [&](index_t k) { return in[2 * k + 1] - in[2 * k]; };
      if constexpr (Max) {
        out[0] = detail::ising_max_message(odds(1), j);
        out[1] = detail::ising_max_message(odds(0), j);
      } else {
        out[0] = detail::ising_message(odds(1), j);
        out[1] = detail::ising_message(odds(0), j);
      }
      return detail::combine_logs<Max>(detail::combine_logs<Max>(in[0] + in[2] + j, in[1] + in[3] + j),
                                       detail::combine_logs<Max>(in[0] + in[3] - j, in[1] + in[2] - j));
    }
    case factor_kind::potts: {
      const double beta = scale * double(graph_->parameters(b, position)[0]);
      detail::potts_message<Max>(c, beta, in + c, out);
      detail::potts_message<Max>(c, beta, in, out + c);
      break;
    }
    case factor_kind::equality:
      for (index_t x = 0; x < c; ++x) {
        double before = 0, after = 0;
        for (index_t k = 0; k < b.arity; ++k) {
          out[k * c + x] = before;
          before += in[k * c + x];
        }
        for (index_t k = b.arity; k-- > 0;) {
          out[k * c + x] += after;
          after += in[k * c + x];
        }
      }
      break;
    case factor_kind::table:
    case factor_kind::shared_table:
      tabled<Max>(b, position, scale, s);
      break;
    case factor_kind::count: {
      s.zero.resize(at(b.arity));
      s.f.resize(at(b.parameters));
      const auto parameter = graph_->parameters(b, position);
      for (index_t n = 0; n < b.parameters; ++n) s.f[at(n)] = scale * double(parameter[at(n)]);
      double offset = 0;
      for (index_t k = 0; k < b.arity; ++k) {
        s.zero[at(k)] = in[2 * k + 1] - in[2 * k];
        offset += detail::combine_logs<Max>(in[2 * k], in[2 * k + 1]);
      }
      s.memory.resize(detail::count_messenger::bytes(b.arity) + 64);
      workspace memory(s.memory);
      detail::count_messenger messenger(memory, "belief_propagation", b.arity);
      const auto outcome = Max ? messenger.max_product(s.zero.data(), s.f.data(), b.arity, out)
                               : messenger.sum_product(s.zero.data(), s.f.data(), b.arity, out);
      if (outcome != detail::count_outcome::fine) contradiction(position);
      return messenger.log_value() + offset;
    }
    default: {
      const double total = counted<Max>(b, position, scale, s);
      if (!(total > detail::minus_infinity)) contradiction(position);
      return total;
    }
  }
  double total = detail::minus_infinity;
  for (index_t x = 0; x < c; ++x) total = detail::combine_logs<Max>(total, in[x] + out[x]);
  if (!(total > detail::minus_infinity)) contradiction(position);
  return total;
}

// Mixes fresh messages with the old ones and stores them. Returns how far the fresh ones are from the old: damping does
// not make that smaller. slot_change: how far each message moved, in logarithms.
template <class T>
double belief_propagation<T>::commit(const factor_bucket& b, index_t position, const scratch& s, double damping,
                                     moving when, double* slot_change) {
  const double d = damping, temperature = options_.temperature > 0 ? options_.temperature : 1;
  const bool log_measure = options_.measure == convergence_measure::log_message;
  const double rho = rho_at(position);
  const auto states = graph_->slot_states(b);
  const index_t first = b.first_edge + (position - b.first_factor) * b.arity;
  T* m = message_.data() + b.first_message + (position - b.first_factor) * b.message_stride;
  const double* out = s.out.data();
  double change = 0;
  double few[16];
  std::vector<double> many;
  for (index_t k = 0; k < b.arity; ++k) {
    const index_t c = states[at(k)], v = graph_->edge_variable()[at(first + k)];
    const auto move_total = [&](index_t x, index_t block, T old, T now) {
      if (when != moving::now) return;
      T& total = total_[at(graph_->node_begin(v) + x)];
      if (std::isfinite(old)) total -= static_cast<T>(rho * double(old));
      if (std::isfinite(now)) total += static_cast<T>(rho * double(now));
      if (!hard_) return;
      std::uint32_t* const blocked = blocked_.data() + graph_->state_begin(v);
      if (std::isinf(old)) --blocked[block >= 0 ? block : index_t(old < 0)];
      if (std::isinf(now)) {
        ++blocked[block >= 0 ? block : index_t(now < 0)];
        if (c == 2 && blocked[0] != 0 && blocked[1] != 0) no_state_left(v);
      }
    };
    if (c == 2) {
      double fresh;
      if (is_binary_kind(b.kind)) {
        fresh = *out++;
      } else {
        fresh = out[1] - out[0];
        out += 2;
      }
      fresh *= temperature;
      if (std::isnan(fresh)) contradiction(position);
      const double old = double(*m);
      change = std::max(change, log_measure ? detail::log_distance(fresh, old) : detail::logistic_distance(fresh, old));
      const T now = static_cast<T>(d == 0 || std::isinf(fresh) || std::isinf(old) ? fresh : (1 - d) * fresh + d * old);
      if (slot_change != nullptr) slot_change[k] = detail::log_distance(double(now), old);
      move_total(0, -1, *m, now);
      if (when != moving::never) *m = now;
      ++m;
      continue;
    }
    if (c > 16) many.resize(at(c));
    double* const fresh = c > 16 ? many.data() : few;
    const auto normalise = [&] {
      if (options_.temperature > 0) return detail::normalise_logs(fresh, c);
      const double most = *std::max_element(fresh, fresh + c);
      for (index_t x = 0; x < c; ++x) fresh[x] -= most;
      return most > detail::minus_infinity;
    };
    for (index_t x = 0; x < c; ++x) fresh[x] = temperature * out[x];
    out += c;
    if (!normalise()) contradiction(position);
    double fresh_total = 0, old_total = 0;
    if (options_.temperature == 0 && !log_measure)
      for (index_t x = 0; x < c; ++x) {
        fresh_total += std::exp(fresh[x]);
        old_total += std::exp(double(m[x]));
      }
    for (index_t x = 0; x < c; ++x) {
      const double old = double(m[x]);
      if (log_measure)
        change = std::max(change, detail::log_distance(fresh[x], old));
      else if (options_.temperature == 0)
        change = std::max(change, std::abs(std::exp(fresh[x]) / fresh_total - std::exp(old) / old_total));
      else
        change = std::max(change, std::abs(std::exp(fresh[x]) - std::exp(old)));
      if (d != 0 && !std::isinf(fresh[x]) && !std::isinf(old)) fresh[x] = (1 - d) * fresh[x] + d * old;
    }
    if (d != 0) normalise();
    double most = 0;
    for (index_t x = 0; x < c; ++x) {
      const T now = static_cast<T>(fresh[x]);
      if (slot_change != nullptr) most = std::max(most, detail::log_distance(double(now), double(m[x])));
      move_total(x, x, m[x], now);
      if (when != moving::never) m[x] = now;
    }
    if (slot_change != nullptr) slot_change[k] = most;
    m += c;
  }
  return change;
}

template <class T>
template <executor Exec>
double belief_propagation<T>::flooding_pass(Exec& ex, bool look_only) {
  if (in_ratios_)
    return ratios_.pass(ex, total_.data(), message_, options_.damping != 0,
                        options_.measure == convergence_measure::log_message);
  if (!totals_known_) all_totals(ex);
  const moving when = look_only ? moving::never : moving::later;
  ex(static_cast<index_t>(task_.size()), [&](index_t t) { changes_[at(t)] = flood(task_[at(t)], when); });
  if (!look_only) all_totals(ex);
  double change = 0;
  for (const double c : changes_) change = std::max(change, c);
  return change;
}

// Whether no product of ratios can leave the range of T; then messages become ratios. Fields that are greater than all
// messages to a variable together by so much that no rounding sees the rest, evidence above all, are cut for the
// messages.
template <class T>
template <executor Exec>
bool belief_propagation<T>::enter_ratios(Exec& ex) {
  if (!may_use_ratios()) return false;
  constexpr T limit = sizeof(T) == 4 ? T(80) : T(650), beyond = sizeof(T) == 4 ? T(20) : T(40);
  const auto coupling = graph_->all_parameters();
  simd::batch<T> top = T(0);
  const auto look = [&](const T* x, std::size_t count, T factor) {
    detail::for_batches<T>(static_cast<index_t>(count),
                           [&](auto place) { top = simd::max(simd::abs(place.load(x)) * factor, top); });
  };
  look(message_.data(), message_.size(), T(1));
  look(coupling.data(), coupling.size(), T(2));
  const T largest = simd::reduce_max(top);
  std::atomic<bool> fits = true;
  for_row_chunks(ex, graph_->variables(), [&](index_t first, index_t last) {
    bool all = true;
    for (index_t v = first; v < last; ++v) {
      const T* const u = unary_of(v);
      T& odds = total_[at(v)];
      odds = u[1] - u[0];
      // Most are so far from both limits that nothing of their edges need be read.
      if (std::abs(odds) <= beyond && std::abs(odds) + static_cast<T>(graph_->degree(v) + 1) * largest <= limit)
        continue;
      T size = 0, greatest = 0;
      for (const std::uint32_t e : graph_->edges_of(v)) {
        const T twice = 2 * std::abs(coupling[e / 2]);
        size += std::max(twice, std::abs(message_[e]));
        greatest = std::max(greatest, twice);
      }
      const T most = size + greatest + beyond;
      odds = std::clamp(odds, -most, most);
      all = all && size + std::abs(odds) + greatest <= limit;
    }
    if (!all) fits.store(false, std::memory_order_relaxed);
  });
  totals_known_ = false;
  if (!fits.load() || !ratios_.arrange(*graph_)) return false;
  detail::map_batches(total_.data(), graph_->variables(), total_.data(), [](simd::batch<T> x) { return simd::exp(x); });
  ratios_.enter(ex, *graph_, message_);
  return true;
}

template <class T>
template <executor Exec>
void belief_propagation<T>::leave_ratios(Exec& ex) {
  ratios_.leave(ex, *graph_, message_);
  in_ratios_ = false;
}

template <class T>
double belief_propagation<T>::sequential_pass(bool in_random_order, index_t pass) {
  all_totals(seq);  // what changed them one by one has rounded
  const index_t n = graph_->positions();
  if (in_random_order) {
    order_.resize(at(n));
    std::iota(order_.begin(), order_.end(), 0u);
    random_stream random(options_.seed, static_cast<std::uint64_t>(pass));
    for (index_t i = n; i > 1; --i) std::swap(order_[at(i - 1)], order_[at(index_t(random.below(std::uint64_t(i))))]);
  }
  scratch s;
  double change = 0;
  for (index_t i = 0; i < n; ++i) {
    const index_t p = in_random_order ? index_t(order_[at(i)]) : i;
    change = std::max(change, update(graph_->bucket_of(p), p, s, options_.damping, moving::now));
  }
  return change;
}

template <class T>
template <executor Exec>
double belief_propagation<T>::coloured_pass(Exec& ex) {
  all_totals(ex);
  constexpr index_t part = 64;
  double change = 0;
  for (std::size_t g = 0; g + 1 < colours_.begin.size(); ++g) {
    const index_t begin = colours_.begin[g], end = colours_.begin[g + 1], parts = (end - begin + part - 1) / part;
    if (static_cast<index_t>(changes_.size()) < parts) changes_.resize(at(parts));
    ex(parts, [&](index_t t) {
      scratch s;
      double here = 0;
      for (index_t i = begin + t * part; i < std::min(begin + (t + 1) * part, end); ++i) {
        const auto p = index_t(colours_.position[at(i)]);
        here = std::max(here, update(graph_->bucket_of(p), p, s, options_.damping, moving::now));
      }
      changes_[at(t)] = here;
    });
    for (index_t t = 0; t < parts; ++t) change = std::max(change, changes_[at(t)]);
  }
  return change;
}

// How much the messages to a factor have changed since it sent its own bounds how much its own would change: no message
// is computed before it is sent.
template <class T>
template <executor Exec>
double belief_propagation<T>::residual_pass(Exec& ex) {
  all_totals(ex);
  const double d = options_.damping;
  double change = 0;
  scratch s;
  std::vector<double> moved;
  for (index_t i = 0; i < graph_->positions(); ++i) {
    if (!(urgent_.greatest() > options_.tolerance)) {
      all_totals(ex);
      const double seen = flooding_pass(ex, true);
      if (seen > options_.tolerance) urgent_.reset(at(graph_->positions()), std::numeric_limits<double>::infinity());
      return seen;
    }
    const std::uint32_t p = urgent_.top();
    const factor_bucket& b = graph_->bucket_of(index_t(p));
    moved.resize(at(b.arity));
    change = std::max(change, update(b, index_t(p), s, d, moving::now, moved.data()));
    double own = 0;
    const auto scope = graph_->scope(index_t(p));
    for (std::size_t k = 0; k < scope.size(); ++k) {
      if (d > 0) own = std::max(own, moved[k] * d / (1 - d));
      if (moved[k] == 0) continue;
      for (const std::uint32_t e : graph_->edges_of(index_t(scope[k]))) {
        const auto other = static_cast<std::uint32_t>(graph_->position_of_edge(index_t(e)));
        if (other != p) urgent_.set(other, urgent_.priority(other) + moved[k] * rho_at(index_t(p)));
      }
    }
    // With weights a factor hears a part of its own message.
    if (!rho_.empty())
      for (const double m : moved) own += m * std::abs(1 - rho_at(index_t(p)));
    urgent_.set(p, own);
  }
  // Not everything was looked at: this is no convergence, however little the last ones changed.
  return std::max(change, std::nextafter(options_.tolerance, 1e300));
}

template <class T>
void belief_propagation<T>::prepare() {
  if (options_.solve_trees && !tree_known_) {
    tree_ = detail::forest_order(*graph_, [&](index_t p) { return rho_at(p) == 1; });
    tree_known_ = true;
  }
  prepare_weights();
  if (options_.schedule == propagation_schedule::coloured && colours_.begin.empty())
    colours_ = detail::independent_factors(*graph_);
  if (options_.measure == convergence_measure::belief) before_.resize(at(graph_->all_states()));
}

// Towards the roots and back: the second time all that a factor hears is final.
template <class T>
void belief_propagation<T>::solve_trees() {
  for (const std::uint32_t p : tree_) {
    const factor_bucket& b = graph_->bucket_of(index_t(p));
    T* m = message_.data() + b.first_message + (index_t(p) - b.first_factor) * b.message_stride;
    for (const std::uint16_t c : graph_->slot_states(b))
      m = c == 2 ? std::fill_n(m, 1, T(0)) : std::fill_n(m, c, uniform(c));
  }
  all_totals(seq);
  scratch s;
  for (auto p = tree_.rbegin(); p != tree_.rend(); ++p)
    update(graph_->bucket_of(index_t(*p)), index_t(*p), s, 0, moving::now);
  for (const std::uint32_t p : tree_) update(graph_->bucket_of(index_t(p)), index_t(p), s, 0, moving::now);
}

template <class T>
double belief_propagation<T>::belief_change() {
  double change = 0;
  for (index_t v = 0; v < graph_->variables(); ++v)
    write_belief(v, [&, begin = graph_->state_begin(v)](index_t x, double p) {
      change = std::max(change, std::abs(p - before_[at(begin + x)]));
      before_[at(begin + x)] = p;
    });
  return change;
}

// Evidence may have taken back what excluded a state.
template <class T>
void belief_propagation<T>::forget_infinities() {
  if (!hard_) return;
  for (index_t e = 0; e < graph_->edges(); ++e) {
    const index_t m = graph_->message_begin(e), c = graph_->states(graph_->edge_variable()[at(e)]);
    const index_t width = c == 2 ? 1 : c;
    if (std::any_of(message_.data() + m, message_.data() + m + width, [](T r) { return std::isinf(r); }))
      std::fill_n(message_.data() + m, width, c == 2 ? T(0) : uniform(c));
  }
}

template <class T>
template <executor Exec>
belief_propagation_result belief_propagation<T>::run(Exec&& ex) {
  // Whatever ends a run, messages are logarithms afterwards and totals theirs.
  struct ending {
    belief_propagation& bp;
    bool done = false;
    ~ending() {
      if (bp.in_ratios_) bp.leave_ratios(seq);
      if (!done) bp.totals_known_ = false;
    }
  } end{*this};
  trace_.clear();
  if (evidence_changed_) forget_infinities();
  evidence_changed_ = false;
  if (options_.solve_trees && !tree_.empty()) solve_trees();
  const bool solved = options_.solve_trees && static_cast<index_t>(tree_.size()) == graph_->positions();
  in_ratios_ = !solved && enter_ratios(ex);
  if (!in_ratios_) all_totals(ex);
  if (solved) {
    end.done = true;
    return {0, true, 0};
  }
  belief_propagation_result result{0, false, std::numeric_limits<double>::infinity()};
  const bool by_belief = options_.measure == convergence_measure::belief;
  if (by_belief) belief_change();
  if (options_.schedule == propagation_schedule::residual)
    urgent_.reset(at(graph_->positions()), std::numeric_limits<double>::infinity());
  while (result.iterations < options_.max_iterations && !result.converged) {
    switch (options_.schedule) {
      case propagation_schedule::flooding:
        result.change = flooding_pass(ex);
        break;
      case propagation_schedule::coloured:
        result.change = coloured_pass(ex);
        break;
      case propagation_schedule::residual:
        result.change = residual_pass(ex);
        break;
      default:
        result.change =
            sequential_pass(options_.schedule == propagation_schedule::random_sequential, result.iterations);
    }
    // Damping makes steps small, not what is left to go.
    if (by_belief && options_.schedule != propagation_schedule::residual)
      result.change = belief_change() / (1 - options_.damping);
    ++result.iterations;
    trace_.push_back(result.change);
    result.converged = options_.tolerance > 0 && result.change <= options_.tolerance;
  }
  if (in_ratios_) leave_ratios(ex);
  all_totals(ex);  // those that were changed one by one have rounded
  end.done = true;
  return result;
}

template <class T>
template <writable_vector Out>
void belief_propagation<T>::factor_beliefs(index_t factor, Out&& out) {
  const auto o = view(out);
  using Real = typename view_t<Out>::value_type;
  if (factor < 0 || factor >= graph_->factors())
    detail::fail<label_error>("belief_propagation::factor_beliefs: factor ", factor, " is outside [0, ",
                              graph_->factors(), ")");
  const index_t p = graph_->position(factor);
  if (p == factor_graph<T>::folded) {
    const index_t v = graph_->folded_variable(factor);
    if (v >= 0) return beliefs(v, out);
    detail::require_extent("belief_propagation::factor_beliefs: out", o, 0, 1);
    o(0) = Real(1);
    return;
  }
  know_totals();
  const factor_bucket& b = graph_->bucket_of(p);
  const auto states = graph_->slot_states(b);
  index_t size = 1;
  for (const std::uint16_t c : states) {
    size *= c;
    if (size > index_t(1) << 40)
      detail::fail<shape_error>("belief_propagation::factor_beliefs: factor ", factor, " has 2^40 assignments or more");
  }
  detail::require_extent("belief_propagation::factor_beliefs: out", o, 0, size);
  scratch s;
  gather(b, p, s);
  s.digit.resize(at(b.arity));
  const double per_temperature = options_.temperature > 0 ? 1 / options_.temperature : 1, rho = rho_at(p);
  const auto weight = [&] {
    double w = graph_->log_weight(p, std::span<const index_t>(s.digit)) / rho;
    for (index_t k = 0, at_slot = 0; k < b.arity; at_slot += states[at(k)], ++k)
      w += s.in[at(at_slot + s.digit[at(k)])];
    return w * per_temperature;
  };
  double top = detail::minus_infinity, sum = 0;
  detail::for_assignments(b.arity, states.data(), size, s.digit.data(),
                          [&](index_t) { top = std::max(top, weight()); });
  if (top == detail::minus_infinity) contradiction(p);
  detail::for_assignments(b.arity, states.data(), size, s.digit.data(),
                          [&](index_t) { sum += std::exp(weight() - top); });
  detail::for_assignments(b.arity, states.data(), size, s.digit.data(),
                          [&](index_t e) { o(e) = static_cast<Real>(std::exp(weight() - top) / sum); });
}

template <class T>
double belief_propagation<T>::log_z_messages() {
  return bethe(false);
}

template <class T>
double belief_propagation<T>::log_z() {
  if (options_.temperature == 0)
    detail::fail<option_error>(
        "belief_propagation::log_z: beliefs at temperature 0 have no entropy; use log_z_messages");
  return bethe(true);
}

// log Z of the messages: sum of log Z_i + sum of rho log Z_F, with Z_i the sum over what variable i hears and Z_F of
// the weights of F times b_i / exp(r_Fi). That of beliefs is more by sum over edges of rho sum over x of (b_i(x) -
// b_F(x)) log(b_i(x) / exp(r_Fi(x))), with b_F what F believes of i. Nothing large cancels so, however many factors
// meet in a variable.
template <class T>
double belief_propagation<T>::bethe(bool of_beliefs) {
  know_totals();
  const bool max = options_.temperature == 0;
  const double temperature = max ? 1 : options_.temperature;
  double sum = 0;
  std::vector<double> weight, node, level(at(graph_->variables()));
  const auto node_of = [&](index_t v) {
    node.resize(at(graph_->states(v)));
    node_weights(v, node.data());
    for (double& w : node) w = (w - level[at(v)]) / temperature;
  };
  for (index_t v = 0; v < graph_->variables(); ++v) {
    node_of(v);
    const double z = max ? detail::combine_logs<true>(node.data(), graph_->states(v))
                         : detail::combine_logs<false>(node.data(), graph_->states(v));
    level[at(v)] = temperature * z;
    sum += z;
  }
  scratch s;
  for (const factor_bucket& b : graph_->buckets()) {
    const auto states = graph_->slot_states(b);
    for (index_t p = b.first_factor; p < b.first_factor + b.factors; ++p) {
      gather(b, p, s, true);
      const auto scope = graph_->scope(p);
      for (index_t k = 0, o = 0; k < b.arity; o += states[at(k)], ++k)
        for (index_t x = 0; x < states[at(k)]; ++x) s.in[at(o + x)] -= level[scope[at(k)]];
      double part = fresh_messages(b, p, s);
      for (index_t k = 0, o = 0; of_beliefs && k < b.arity; o += states[at(k)], ++k) {
        const index_t c = states[at(k)];
        weight.assign(s.in.begin() + o, s.in.begin() + o + c);
        for (index_t x = 0; x < c; ++x) {
          if (!is_binary_kind(b.kind))
            weight[at(x)] += s.out[at(o + x)];
          else if (std::isinf(s.out[at(k)]))
            weight[at(x)] = (s.out[at(k)] > 0) == (x == 1) ? weight[at(x)] : detail::minus_infinity;
          else
            weight[at(x)] += x == 1 ? s.out[at(k)] : 0;
        }
        detail::normalise_logs(weight.data(), c);
        node_of(index_t(scope[at(k)]));
        detail::normalise_logs(node.data(), c);
        for (index_t x = 0; x < c; ++x)
          if (const double more = std::exp(node[at(x)]) - std::exp(weight[at(x)]); more != 0)
            part += more * s.in[at(o + x)];
      }
      sum += rho_at(p) * part;
    }
  }
  return temperature * sum + graph_->log_constant();
}

}  // namespace weakly::inline v0
