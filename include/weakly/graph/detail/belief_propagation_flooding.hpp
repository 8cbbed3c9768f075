// SPDX-License-Identifier: MIT
// Passes of belief_propagation over many factors of a kind at once.
#pragma once

#include <weakly/graph/detail/belief_propagation_class.hpp>

namespace weakly::inline v0 {

namespace detail {

/// As greatest_log_odds_distance, for log probabilities; p is exp(fresh).
template <class T>
class greatest_log_distance {
 public:
  explicit greatest_log_distance(bool in_logarithms) : in_logarithms_(in_logarithms) {}
  WEAKLY_INLINE void look(simd::batch<T> fresh, simd::batch<T> p, simd::batch<T> old) {
    using batch = simd::batch<T>;
    const batch d = simd::select(fresh == old, T(0), simd::abs(fresh - old));
    if (in_logarithms_) {
      top_ = simd::max(d, top_);
      return;
    }
    // |p - p e^d| is at most 2 p d up to d = 1.
    if (!simd::any((p * d * T(2) > top_) | ~(d <= batch(T(1))))) return;
    top_ = simd::reduce_max(simd::max(simd::select(fresh == old, T(0), simd::abs(p - simd::exp(old))), top_));
  }
  double value() const { return static_cast<double>(simd::reduce_max(top_)); }

 private:
  bool in_logarithms_;
  simd::batch<T> top_ = T(0);
};

}  // namespace detail

// Linear weights of tables, relative to the greatest of each, with the factors of a batch beside one another; and the
// couplings of Ising factors where those of the graph will not do.
template <class T>
void belief_propagation<T>::prepare_weights() {
  constexpr index_t lanes = simd::batch<T>::size;
  weight_begin_.assign(graph_->buckets().size(), -1);
  weight_.clear();
  coupling_.clear();
  if (!rho_.empty())
    for (const factor_bucket& b : graph_->buckets())
      if (b.kind == factor_kind::ising) {
        coupling_.resize(at(b.factors));
        for (index_t k = 0; k < b.factors; ++k)
          coupling_[at(k)] =
              static_cast<T>(double(graph_->parameters(b, b.first_factor + k)[0]) / rho_at(b.first_factor + k));
      }
  if (options_.temperature == 0) return;
  index_t all = 0;
  for (std::size_t i = 0; i < weight_begin_.size(); ++i) {
    const factor_bucket& b = graph_->buckets()[i];
    if ((b.kind != factor_kind::table && b.kind != factor_kind::shared_table) || b.parameters > widest_table) continue;
    weight_begin_[i] = all;
    all += is_shared(b) ? b.parameters : (b.factors + lanes - 1) / lanes * lanes * b.parameters;
  }
  weight_.resize(at(all), T(1));
  for (std::size_t i = 0; i < weight_begin_.size(); ++i) {
    if (weight_begin_[i] < 0) continue;
    const factor_bucket& b = graph_->buckets()[i];
    for (index_t k = 0; k < (is_shared(b) ? 1 : b.factors); ++k) {
      const index_t p = b.first_factor + k;
      const auto parameter = graph_->parameters(b, p);
      const double scale = 1 / (options_.temperature * rho_at(p));
      const double top = double(*std::max_element(parameter.begin(), parameter.end()));
      const weight_place place = weights_of(b, i, p);
      for (index_t e = 0; e < b.parameters; ++e)
        weight_[at(place.first + e * place.stride)] =
            static_cast<T>(std::exp(scale * (double(parameter[at(e)]) - top)));
    }
  }
}

// The messages of `lanes` factors of a bucket from `position` on, in batches: tables and Potts factors at
// temperature 1.
template <class T>
double belief_propagation<T>::flood_batch(const factor_bucket& b, std::size_t bucket, index_t position, index_t lanes,
                                          scratch& s, moving when, detail::greatest_log_odds_distance<T>& odds_change,
                                          detail::greatest_log_distance<T>& change) {
  using batch = simd::batch<T>;
  constexpr index_t size = batch::size;
  constexpr T zero = lowest;
  const auto states = graph_->slot_states(b);
  const auto variable = graph_->edge_variable();
  const bool potts = b.kind == factor_kind::potts;
  index_t width = 0;
  for (const std::uint16_t c : states) width += c;
  s.numbers.resize(at((width + b.message_stride) * size));
  s.batches.resize(at(2 * width + 2 * b.parameters));
  T* const raw = s.numbers.data();
  T* const old = raw + width * size;
  std::fill_n(raw, (width + b.message_stride) * size, T(0));
  const index_t first_edge = b.first_edge + (position - b.first_factor) * b.arity;
  const index_t first_message = b.first_message + (position - b.first_factor) * b.message_stride;
  const T* own_at[std::size_t(size)];
  const T* total_at[std::size_t(size)];
  const std::uint32_t* blocked_at[std::size_t(size)];
  for (index_t k = 0, o = 0, i = 0; k < b.arity; ++k) {
    const index_t c = states[at(k)], numbers = c == 2 ? 1 : c;
    for (index_t l = 0; l < lanes; ++l) {
      const index_t v = variable[at(first_edge + l * b.arity + k)];
      own_at[l] = message_.data() + first_message + l * b.message_stride + i;
      total_at[l] = total_.data() + graph_->node_begin(v);
      if (hard_) blocked_at[l] = blocked_.data() + graph_->state_begin(v);
    }
    for (index_t x = 0; x < numbers; ++x) {
      T* const q = raw + (c == 2 ? o + 1 : o + x) * size;
      T* const before = old + (i + x) * size;
      for (index_t l = 0; l < lanes; ++l) {
        before[l] = own_at[l][x];
        q[l] = total_at[l][x] - before[l];
      }
      if (c == 2) {
        T* const other = raw + o * size;
        for (index_t l = 0; l < lanes; ++l) {
          if (hard_) {
            const bool infinite = std::isinf(before[l]);
            other[l] = blocked_at[l][0] > (infinite && before[l] > 0 ? 1u : 0u) ? zero : T(0);
            if (infinite) q[l] = total_at[l][x];
            if (blocked_at[l][1] > (infinite && before[l] < 0 ? 1u : 0u)) q[l] = zero;
          } else if (q[l] == -zero) {
            other[l] = zero;
            q[l] = 0;
          }
        }
      } else if (hard_) {
        for (index_t l = 0; l < lanes; ++l) {
          const bool excluded = before[l] == zero;
          if (excluded) q[l] = total_at[l][x];
          if (blocked_at[l][x] > (excluded ? 1u : 0u)) q[l] = zero;
        }
      }
    }
    o += c;
    i += numbers;
  }

  // Relative to the greatest of each slot, so that nothing overflows; `least` bounds what a product can come to.
  batch* const in = s.batches.data();
  batch* const out = in + width;
  batch* const work = out + width;
  batch least = T(0);
  simd::mask<T> uncertain = ~simd::first_lanes<T>(lanes);
  for (index_t k = 0, o = 0; k < b.arity; o += states[at(k)], ++k) {
    const index_t c = states[at(k)];
    batch top = simd::load(static_cast<const T*>(raw + o * size));
    for (index_t x = 1; x < c; ++x) top = simd::max(simd::load(static_cast<const T*>(raw + (o + x) * size)), top);
    uncertain = uncertain | (top == batch(zero));
    batch lowest_of_slot = T(0);
    for (index_t x = 0; x < c; ++x) {
      const batch q = simd::load(static_cast<const T*>(raw + (o + x) * size)) - top;
      if (hard_) lowest_of_slot = simd::min(simd::select(q == batch(zero), T(0), q), lowest_of_slot);
      in[o + x] = simd::exp_nonpositive(q);
    }
    least += lowest_of_slot;
  }
  if (potts) {
    T beta[std::size_t(size)] = {};
    for (index_t l = 0; l < lanes; ++l)
      beta[l] = static_cast<T>(double(graph_->parameters(b, position + l)[0]) / rho_at(position + l));
    const batch strength = simd::load(static_cast<const T*>(beta));
    const batch differ = simd::exp_nonpositive(-simd::max(strength, T(0))),
                agree = simd::exp_nonpositive(simd::min(strength, T(0)));
    const index_t c = states[0];
    for (index_t k = 0; k < 2; ++k) {
      const batch* const q = in + (1 - k) * c;
      batch* const r = out + k * c;
      batch sum = T(0);
      for (index_t x = 0; x < c; ++x) {
        r[x] = sum;
        sum += q[x];
      }
      sum = T(0);
      for (index_t x = c; x-- > 0;) {
        r[x] = simd::fma(r[x] + sum, differ, q[x] * agree);
        sum += q[x];
      }
    }
  } else {
    const weight_place place = weights_of(b, bucket, position);
    const T* const w = weight_.data() + place.first;
    if (is_shared(b))
      detail::contract_table<false>(
          b.arity, states.data(), b.parameters, [&](index_t e) { return batch(w[e]); }, in, out, work);
    else
      detail::contract_table<false>(
          b.arity, states.data(), b.parameters, [&](index_t e) { return simd::load(w + e * size); }, in, out, work);
  }
  // A sum of zero is one when every product that is not zero is far from underflow.
  batch allowed = T(0);
  if (hard_ && !potts) {
    T floor[std::size_t(size)] = {};
    for (index_t l = 0; l < lanes; ++l) floor[l] = least_weight(b, position + l);
    allowed = least + simd::load(static_cast<const T*>(floor));
  }
  const auto safe = hard_ && !potts ? allowed > batch(static_cast<T>(std::log(double(detail::certain_sum<T>))))
                                    : ~simd::first_lanes<T>(size);
  for (index_t i = 0; i < width; ++i) {
    uncertain = uncertain | (~(out[i] >= batch(detail::certain_sum<T>)) & ~(safe & (out[i] == batch(T(0)))));
  }
  for (index_t k = 0, o = 0; k < b.arity; o += states[at(k)], ++k) {
    batch sum = T(0);
    for (index_t x = 0; x < states[at(k)]; ++x) sum += out[o + x];
    uncertain = uncertain | (sum == batch(T(0)));
  }

  const T d = static_cast<T>(options_.damping);
  const auto mixed = [&](batch fresh, batch before) {
    const batch m = simd::fma(before, batch(d), fresh * (1 - d));
    return hard_ ? simd::select(simd::abs(m) < batch(-zero), m, fresh) : m;
  };
  T* const fresh = raw;  // of message_stride x size: what came in is done with
  for (index_t k = 0, o = 0, i = 0; k < b.arity; o += states[at(k)], ++k) {
    const index_t c = states[at(k)];
    if (c == 2) {
      const batch before = simd::load(static_cast<const T*>(old + i * size));
      const batch r = simd::select(uncertain, before, simd::log(out[o + 1] / out[o]));
      odds_change.look(r, before);
      simd::store(fresh + i * size, d == 0 ? r : mixed(r, before));
      ++i;
      continue;
    }
    batch sum = T(0);
    for (index_t x = 0; x < c; ++x) sum += out[o + x];
    for (index_t x = 0; x < c; ++x) {
      const batch before = simd::load(static_cast<const T*>(old + (i + x) * size));
      const batch p = out[o + x] / sum, r = simd::select(uncertain, before, simd::log(p));
      change.look(r, p, before);
      out[o + x] = d == 0 ? r : mixed(r, before);
    }
    if (d != 0) {
      batch total = T(0);
      for (index_t x = 0; x < c; ++x) total += simd::exp_nonpositive(simd::min(out[o + x], T(0)));
      total = simd::log(total);
      for (index_t x = 0; x < c; ++x) out[o + x] = out[o + x] - total;
    }
    for (index_t x = 0; x < c; ++x) simd::store(fresh + (i + x) * size, out[o + x]);
    i += c;
  }
  const std::uint32_t again = simd::bits(uncertain);
  double most = 0;
  for (index_t l = 0; l < lanes; ++l) {
    if ((again >> l & 1u) != 0) {
      most = std::max(most, update(b, position + l, s, options_.damping, when));
      continue;
    }
    if (when == moving::never) continue;
    T* const m = message_.data() + first_message + l * b.message_stride;
    for (index_t i = 0; i < b.message_stride; ++i) m[i] = fresh[i * size + l];
  }
  return most;
}

// One task of a flooding pass.
template <class T>
double belief_propagation<T>::flood(const task& part, moving when) {
  const factor_bucket& b = graph_->buckets()[part.bucket];
  const bool log_measure = options_.measure == convergence_measure::log_message;
  scratch s;
  if (b.kind == factor_kind::ising) {
    const index_t first = part.first - b.first_factor, last = part.last - b.first_factor;
    const detail::pair_block<T> block{
        graph_->edge_variable().data() + b.first_edge, message_.data() + b.first_message,
        hard_ ? seen_.data() : total_.data(), graph_->all_binary() ? nullptr : graph_->node_begins().data(),
        coupling_.empty() ? graph_->all_parameters().data() + b.first_parameter : coupling_.data()};
    const double temperature = options_.temperature;
    detail::ising_by_log_odds<T> pass{static_cast<T>(temperature > 0 ? 1 / temperature : 0),
                                      static_cast<T>(temperature), static_cast<T>(options_.damping),
                                      when != moving::never, detail::greatest_log_odds_distance<T>(log_measure)};
    block.each(first, last, T(0), pass);
    return pass.change.value();
  }
  double change = 0;
  if (options_.temperature == 1 && (weight_begin_[part.bucket] >= 0 || b.kind == factor_kind::potts)) {
    constexpr index_t size = simd::batch<T>::size;
    detail::greatest_log_odds_distance<T> odds_change(log_measure);
    detail::greatest_log_distance<T> state_change(log_measure);
    for (index_t p = part.first; p < part.last; p += size)
      change = std::max(
          change, flood_batch(b, part.bucket, p, std::min(size, part.last - p), s, when, odds_change, state_change));
    return std::max({change, odds_change.value(), state_change.value()});
  }
  for (index_t p = part.first; p < part.last; ++p) change = std::max(change, update(b, p, s, options_.damping, when));
  return change;
}

}  // namespace weakly::inline v0
