// SPDX-License-Identifier: MIT
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/detail/map_batches.hpp>
#include <weakly/core/executor.hpp>
#include <weakly/core/simd.hpp>
#include <weakly/graph/detail/ising_flooding.hpp>
#include <weakly/graph/factor_graph.hpp>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <vector>

namespace weakly::inline v0::detail {

/// Flooding passes over a graph of Ising factors whose messages are ratios of probabilities.
///
/// A message lies with the variable that sends it, beside those of other variables of like degree, one a lane: what a
/// pass computes, it computes on whole batches, and it reads but one number a message that does not lie in order, the
/// message that comes back. Variables that would leave most lanes empty have theirs in a row instead.
template <class T>
class ratio_flooding {
 public:
  /// Finds the places of all messages; false where there are too many of them.
  bool arrange(const factor_graph<T>& graph) {
    if (arranged_) return true;
    order_.assign(at(graph.variables() + lanes), 0);  // lanes without a variable repeat another, to no effect
    index_t batches = 0;
    group_.clear();
    task_.assign(1, {0, 0});
    for (index_t first = 0; first < graph.variables(); first += window) {
      const index_t last = std::min(first + window, graph.variables());
      const auto degree = [&](index_t i) { return graph.degree(first + index_t(order_[at(i)])); };
      std::iota(order_.begin() + first, order_.begin() + last, std::uint8_t(0));
      std::sort(order_.begin() + first, order_.begin() + last, [&](std::uint8_t u, std::uint8_t v) {
        const index_t a = graph.degree(first + u), b = graph.degree(first + v);
        return a != b ? a < b : u < v;
      });
      for (index_t i = first; i < last; i += lanes) {
        const index_t end = std::min(i + lanes, last), top = degree(end - 1);
        index_t in_rows = 0;
        for (index_t k = i; k < end; ++k) in_rows += (degree(k) + lanes - 1) / lanes;
        const bool rows = top > most || in_rows < top;
        for (index_t k = i; k < (rows ? end : i + 1); ++k) {
          const index_t own = rows ? (degree(k) + lanes - 1) / lanes : top;
          if (own >= group::limit) return false;
          group_.push_back({static_cast<std::uint32_t>(batches), static_cast<std::uint32_t>(own) & (group::limit - 1),
                            static_cast<std::uint8_t>(k - first), rows});
          batches += own;
        }
      }
      if (batches > std::numeric_limits<std::int32_t>::max() / lanes) return false;
      if (batches - index_t(group_[at(task_.back().group)].first) >= batches_a_task || last == graph.variables())
        task_.push_back({static_cast<index_t>(group_.size()), last});
    }
    group_ = std::vector<group>(group_.begin(), group_.end());  // no more than that
    std::vector<std::int32_t> place(at(graph.edges()));
    back_.resize(at(batches * lanes));
    coupling_.assign(back_.size(), T(0));
    std::iota(back_.begin(), back_.end(), 0);
    each_place(graph, 0, tasks(), [&](index_t p, std::uint32_t e) {
      place[e] = static_cast<std::int32_t>(p);
      coupling_[at(p)] = 2 * graph.all_parameters()[e / 2];
    });
    each_place(graph, 0, tasks(), [&](index_t p, std::uint32_t e) { back_[at(p)] = place[e ^ 1]; });
    map_batches(coupling_.data(), batches * lanes, coupling_.data(), [](simd::batch<T> x) { return simd::exp(x); });
    sent_.resize(back_.size());
    changes_.resize(at(tasks()));
    arranged_ = true;
    return true;
  }

  /// Takes over messages as log odds. Until `leave`, `message` is room for others.
  template <class Exec>
  void enter(Exec& ex, const factor_graph<T>& graph, std::vector<T>& message) {
    ex(tasks(), [&](index_t t) {
      const index_t first = begin(t), count = begin(t + 1) - first;
      T* const to = sent_.data() + first;
      std::fill_n(to, count, T(0));  // also where there is no message: what comes back as 1 stays 1
      each_place(graph, t, t + 1, [&](index_t p, std::uint32_t e) { sent_[at(p)] = message[e ^ 1]; });
      map_batches(to, count, to, [](simd::batch<T> x) { return simd::exp(x); });
    });
    message.reserve(sent_.size());  // no more than that
    message.resize(sent_.size());
  }

  /// Gives the messages back as log odds. What is here stays, so that it can be done again where an executor failed.
  template <class Exec>
  void leave(Exec& ex, const factor_graph<T>& graph, std::vector<T>& message) const {
    message.resize(at(graph.edges()));
    ex(tasks(), [&](index_t t) {
      each_place(graph, t, t + 1, [&](index_t p, std::uint32_t e) { message[e ^ 1] = sent_[at(p)]; });
    });
    for_row_chunks(ex, graph.edges(), [&](index_t first, index_t last) {
      map_batches(message.data() + first, last - first, message.data() + first,
                  [](simd::batch<T> x) { return simd::log(x); });
    });
  }

  /// One pass; `odds` are those of the variables themselves. Returns the greatest change of a message.
  template <class Exec>
  double pass(Exec& ex, const T* odds, std::vector<T>& room, bool halved, bool log_measure) {
    ex(tasks(), [&](index_t t) {
      ising_by_ratios<T> f{halved, greatest_ratio_distance<T>(log_measure)};
      T heard[std::size_t(most * lanes)];
      each_group(t, [&](const group& g, index_t window_begin) {
        const std::uint8_t* const order = order_.data() + window_begin + g.variable;
        if (g.row)
          send_row(g, odds[window_begin + *order], heard, room.data(), f);
        else
          send_lanes(g, odds + window_begin, order, heard, room.data(), f);
      });
      changes_[at(t)] = f.change.value();
    });
    std::swap(sent_, room);
    return changes_.empty() ? 0.0 : *std::max_element(changes_.begin(), changes_.end());
  }

  std::size_t memory() const {
    const auto bytes = [](const auto& v) { return v.capacity() * sizeof(v[0]); };
    return bytes(order_) + bytes(group_) + bytes(task_) + bytes(back_) + bytes(coupling_) + bytes(sent_) +
           bytes(changes_);
  }

 private:
  using batch = simd::batch<T>;
  static constexpr index_t lanes = batch::size, most = 32, window = 256, batches_a_task = 65536 / lanes;
  static_assert(window % lanes == 0);
  static std::size_t at(index_t i) { return static_cast<std::size_t>(i); }

  // Messages of the variables order_[variable], ... of a window: the j-th of each in batch j, or all of one in a row.
  struct group {
    static constexpr std::uint32_t limit = 1u << 23;
    std::uint32_t first;  // batch of all
    std::uint32_t batches : 23, variable : 8, row : 1;
  };
  struct beginning {
    index_t group, variable;
  };

  index_t tasks() const { return static_cast<index_t>(task_.size()) - 1; }
  index_t begin(index_t task) const {
    return task < tasks() ? group_[at(task_[at(task)].group)].first * lanes : static_cast<index_t>(back_.size());
  }

  // f(group, first variable of its window) for the groups of a task, which has whole windows.
  template <class F>
  WEAKLY_INLINE void each_group(index_t task, F f) const {
    index_t next = task_[at(task)].variable, begin = next;
    for (index_t g = task_[at(task)].group; g < task_[at(task + 1)].group; ++g) {
      if (group_[at(g)].variable == 0) {
        begin = next;
        next += window;
      }
      f(group_[at(g)], begin);
    }
  }

  // f(place, edge) for what variables send through their edges, in tasks [first, last).
  template <class F>
  void each_place(const factor_graph<T>& graph, index_t first, index_t last, F f) const {
    for (index_t t = first; t < last; ++t)
      each_group(t, [&](const group& g, index_t window_begin) {
        const index_t own = window_begin + g.variable;
        const index_t variables = g.row ? 1 : std::min(lanes, graph.variables() - own);
        for (index_t l = 0; l < variables; ++l) {
          index_t p = g.first * lanes + l;
          for (const std::uint32_t e : graph.edges_of(window_begin + order_[at(own + l)])) {
            f(p, e);
            p += g.row ? 1 : lanes;
          }
        }
      });
  }

  // What is heard back at `count` batches.
  WEAKLY_INLINE void gather(index_t first, index_t count, T* to) const {
    const std::int32_t* const from = back_.data() + first * lanes;
    const T* const sent = sent_.data();
    for (index_t i = 0; i < count * lanes; ++i) to[i] = sent[from[i]];
  }
  WEAKLY_INLINE void send(index_t first, index_t count, batch total, const T* heard, T* to,
                          ising_by_ratios<T>& f) const {
    for (index_t b = 0; b < count; ++b) {
      const index_t p = (first + b) * lanes;
      const batch fresh = f(total, simd::load(heard + b * lanes), simd::load(coupling_.data() + p));
      simd::store(to + p, f.settle(fresh, simd::load(sent_.data() + p)));
    }
  }
  WEAKLY_INLINE void send_lanes(const group& g, const T* odds, const std::uint8_t* order, T* heard, T* to,
                                ising_by_ratios<T>& f) const {
    T own[std::size_t(lanes)];
    for (index_t l = 0; l < lanes; ++l) own[l] = odds[order[l]];
    gather(g.first, g.batches, heard);
    batch total = simd::load(static_cast<const T*>(own));
    for (index_t b = 0; b < g.batches; ++b) total *= simd::load(static_cast<const T*>(heard + b * lanes));
    send(g.first, g.batches, total, heard, to, f);
  }
  void send_row(const group& g, T total, T* heard, T* to, ising_by_ratios<T>& f) const {
    const auto pieces = [&](auto use) {
      for (index_t b = 0; b < g.batches; b += most) {
        const index_t count = std::min(most, g.batches - b);
        gather(g.first + b, count, heard);
        use(g.first + b, count);
      }
    };
    batch product = T(1);
    pieces([&](index_t, index_t count) {
      for (index_t b = 0; b < count; ++b) product *= simd::load(static_cast<const T*>(heard + b * lanes));
    });
    for (index_t l = 0; l < lanes; ++l) total *= product[l];
    pieces([&](index_t first, index_t count) { send(first, count, batch(total), heard, to, f); });
  }

  bool arranged_ = false;
  std::vector<std::uint8_t> order_;  // of the variables of a window, by degree
  std::vector<group> group_;
  std::vector<beginning> task_;     // of each
  std::vector<std::int32_t> back_;  // where the message through the same factor the other way lies
  std::vector<T> coupling_, sent_;
  std::vector<double> changes_;
};

}  // namespace weakly::inline v0::detail
