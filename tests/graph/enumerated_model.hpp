// SPDX-License-Identifier: MIT
// Small factor graphs whose exact answers are found by trying every assignment.
#pragma once

#include <weakly/graph/factor_graph.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <functional>
#include <limits>
#include <random>
#include <utility>
#include <vector>

namespace enumerated {

using weakly::index_t;

inline constexpr double inf = std::numeric_limits<double>::infinity();

struct factor {
  std::vector<index_t> scope;
  std::function<double(const std::vector<index_t>&)> log_weight;  // of the states of the scope
};

/// A builder and, beside it, the meaning of everything that was added, written down once more.
struct model {
  weakly::factor_graph_builder builder;
  std::vector<index_t> states;
  std::vector<std::vector<double>> unary;
  std::vector<factor> factors;

  index_t variable(index_t c) {
    states.push_back(c);
    unary.emplace_back(std::size_t(c), 0.0);
    return builder.add_variable(c);
  }
  void weigh(index_t v, const std::vector<double>& w) {
    for (std::size_t x = 0; x < w.size(); ++x) unary[std::size_t(v)][x] += w[x];
    builder.add_unary(v, w);
  }
  void table(const std::vector<index_t>& scope, const std::vector<double>& log_weights) {
    builder.add_log_table(scope, log_weights);
    std::vector<index_t> c;
    for (const index_t v : scope) c.push_back(states[std::size_t(v)]);
    factors.push_back({scope, [=](const std::vector<index_t>& x) {
                         index_t e = 0;
                         for (std::size_t s = 0; s < c.size(); ++s) e = e * c[s] + x[s];
                         return log_weights[std::size_t(e)];
                       }});
  }
  void ising(index_t a, index_t b, double j) {
    builder.add_ising(a, b, j);
    factors.push_back({{a, b}, [j](const std::vector<index_t>& x) { return x[0] == x[1] ? j : -j; }});
  }
  void potts(index_t a, index_t b, double beta) {
    builder.add_potts(a, b, beta);
    factors.push_back({{a, b}, [beta](const std::vector<index_t>& x) { return x[0] == x[1] ? beta : 0; }});
  }
  void equality(const std::vector<index_t>& scope) {
    builder.add_equality(scope);
    factors.push_back({scope, [](const std::vector<index_t>& x) {
                         for (const index_t s : x)
                           if (s != x[0]) return -inf;
                         return 0.0;
                       }});
  }
  void count(const std::vector<index_t>& scope, const std::vector<double>& f) {
    builder.add_count(scope, f);
    factors.push_back({scope, [f](const std::vector<index_t>& x) { return f[std::size_t(ones(x))]; }});
  }
  void weighted_count(const std::vector<index_t>& scope, const std::vector<index_t>& w, const std::vector<double>& f) {
    builder.add_weighted_count(scope, w, f);
    factors.push_back({scope, [w, f](const std::vector<index_t>& x) {
                         index_t sum = 0;
                         for (std::size_t s = 0; s < x.size(); ++s) sum += x[s] * w[s];
                         return f[std::size_t(sum)];
                       }});
  }
  void logical_or(const std::vector<index_t>& scope) {
    builder.add_or(scope);
    factors.push_back(
        {scope, [](const std::vector<index_t>& x) { return (ones(x) - x.back() > 0) == (x.back() == 1) ? 0 : -inf; }});
  }
  void logical_and(const std::vector<index_t>& scope) {
    builder.add_and(scope);
    factors.push_back({scope, [](const std::vector<index_t>& x) {
                         return (ones(x) - x.back() == index_t(x.size()) - 1) == (x.back() == 1) ? 0 : -inf;
                       }});
  }
  void at_most_one(const std::vector<index_t>& scope) {
    builder.add_at_most_one(scope);
    factors.push_back({scope, [](const std::vector<index_t>& x) { return ones(x) <= 1 ? 0 : -inf; }});
  }
  void exactly_one(const std::vector<index_t>& scope) {
    builder.add_exactly_one(scope);
    factors.push_back({scope, [](const std::vector<index_t>& x) { return ones(x) == 1 ? 0 : -inf; }});
  }
  static index_t ones(const std::vector<index_t>& x) {
    index_t n = 0;
    for (const index_t s : x) n += s;
    return n;
  }

  double log_weight(const std::vector<index_t>& x) const {
    double sum = 0;
    for (std::size_t v = 0; v < x.size(); ++v) sum += unary[v][std::size_t(x[v])];
    std::vector<index_t> s;
    for (const factor& f : factors) {
      s.clear();
      for (const index_t v : f.scope) s.push_back(x[std::size_t(v)]);
      sum += f.log_weight(s);
    }
    return sum;
  }

  template <class F>
  void each(F f) const {
    std::vector<index_t> x(states.size(), 0);
    for (;;) {
      f(x);
      std::size_t v = x.size();
      while (v > 0 && ++x[v - 1] == states[v - 1]) x[--v] = 0;
      if (v == 0) return;
    }
  }
};

struct answers {
  double log_z;                 // T log sum exp(. / T), the greatest log weight at T = 0
  std::vector<double> beliefs;  // proportional to exp of that with one state fixed; one variable after the other
};

/// What messages give on a tree at a temperature.
inline answers solve(const model& m, double temperature) {
  std::vector<std::size_t> begin{0};
  for (const index_t c : m.states) begin.push_back(begin.back() + std::size_t(c));
  std::vector<double> top(begin.back(), -inf), sum(begin.back(), 0.0);
  const auto cell = [&](std::size_t v, const std::vector<index_t>& x) { return begin[v] + std::size_t(x[v]); };
  m.each([&](const std::vector<index_t>& x) {
    const double w = m.log_weight(x);
    for (std::size_t v = 0; v < x.size(); ++v) top[cell(v, x)] = std::max(top[cell(v, x)], w);
  });
  m.each([&](const std::vector<index_t>& x) {
    const double w = m.log_weight(x);
    if (w == -inf || temperature == 0) return;
    for (std::size_t v = 0; v < x.size(); ++v) sum[cell(v, x)] += std::exp((w - top[cell(v, x)]) / temperature);
  });
  std::vector<double> free(top);
  if (temperature > 0)
    for (std::size_t i = 0; i < free.size(); ++i)
      if (top[i] > -inf) free[i] += temperature * std::log(sum[i]);
  answers a{};
  for (std::size_t v = 0; v < m.states.size(); ++v) {
    double most = -inf, total = 0, at_temperature = 0;
    for (std::size_t i = begin[v]; i < begin[v + 1]; ++i) most = std::max(most, free[i]);
    for (std::size_t i = begin[v]; i < begin[v + 1]; ++i) {
      total += std::exp(free[i] - most);
      if (temperature > 0) at_temperature += std::exp((free[i] - most) / temperature);
    }
    for (std::size_t i = begin[v]; i < begin[v + 1]; ++i) a.beliefs.push_back(std::exp(free[i] - most) / total);
    a.log_z = temperature > 0 ? most + temperature * std::log(at_temperature) : most;
  }
  return a;
}

/// A random forest with factors of every kind; unaries with a -inf here and there where `hard`.
inline model random_forest(unsigned seed, bool hard, bool binary_only) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  const auto below = [&](std::uint64_t n) { return index_t(random() % n); };
  const auto weights = [&](index_t n, bool zeros) {
    std::vector<double> w;
    for (index_t i = 0; i < n; ++i) w.push_back(zeros && below(4) == 0 ? -inf : 2 * normal(random));
    if (zeros) w[std::size_t(below(std::uint64_t(n)))] = 0.5;
    return w;
  };
  model m;
  const auto fresh = [&](index_t c) {
    const index_t v = m.variable(c);
    if (c > 1) m.weigh(v, weights(c, hard && below(6) == 0));
    return v;
  };
  fresh(2);
  while (m.states.size() < 8) {
    const index_t old = below(m.states.size()), c = m.states[std::size_t(old)];
    std::vector<index_t> scope{old};
    const auto extend = [&](index_t count, index_t of) {
      for (index_t i = 0; i < count; ++i) scope.push_back(fresh(of));
      std::swap(scope[0], scope[std::size_t(below(scope.size()))]);
    };
    const index_t kind = below(binary_only ? 12 : 16);
    if (kind == 15) {
      fresh(binary_only ? 2 : 1 + below(3));  // a component of its own
      continue;
    }
    if (kind >= 12 || c != 2) {
      if (kind % 3 == 0 && c > 1) {
        extend(1, c);
        m.potts(scope[0], scope[1], kind % 2 == 0 ? 1.5 : hard && c > 2 ? -inf : -2.0);
      } else if (hard && kind % 3 == 1) {
        extend(1 + below(2), c);
        m.equality(scope);
      } else {
        for (index_t i = 0; i < 1 + below(2); ++i) scope.push_back(fresh(1 + below(4)));
        index_t size = 1;
        for (const index_t v : scope) size *= m.states[std::size_t(v)];
        m.table(scope, weights(size, hard));
      }
      continue;
    }
    extend(1 + below(3), 2);
    const auto n = index_t(scope.size());
    if (kind < 2) {
      m.ising(scope[0], scope[1], 1.3 * normal(random));
      for (index_t i = 2; i < n; ++i) m.table({scope[0], scope[std::size_t(i)]}, weights(4, hard));
    } else if (kind < 4) {
      m.count(scope, weights(n + 1, hard));
    } else if (kind < 6) {
      std::vector<index_t> w;
      index_t total = 0;
      for (index_t i = 0; i < n; ++i) {
        w.push_back(below(4));
        total += w.back();
      }
      m.weighted_count(scope, w, weights(total + 1, false));
    } else if (kind == 6 || !hard) {
      index_t size = index_t(1) << n;
      m.table(scope, weights(size, hard));
    } else if (kind == 7) {
      m.logical_or(scope);
    } else if (kind == 8) {
      m.logical_and(scope);
    } else if (kind == 9) {
      m.at_most_one(scope);
    } else if (kind == 10) {
      m.exactly_one(scope);
    } else {
      m.equality(scope);
    }
  }
  return m;
}

/// A model with cycles: binary and other variables, every soft kind of factor, and where asked hard ones.
inline model random_loopy(unsigned seed, bool hard, double strength) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  model m;
  for (int v = 0; v < 11; ++v) {
    m.variable(v < 8 ? 2 : 3);
    std::vector<double> w(v < 8 ? 2 : 3);
    for (double& x : w) x = normal(random);
    m.weigh(v, w);
  }
  const auto weights = [&](std::size_t n) {
    std::vector<double> w(n);
    for (double& x : w) x = strength * normal(random);
    return w;
  };
  for (int v = 0; v < 8; ++v) m.ising(v, (v + 1) % 8, strength * normal(random));
  for (int v = 0; v < 8; v += 2) m.table({v, (v + 3) % 8, 8 + v % 3}, weights(12));
  m.table({0, 5}, weights(4));
  m.table({2, 7}, weights(4));
  m.potts(8, 9, strength);
  m.potts(9, 10, -strength);
  m.potts(1, 6, strength);
  m.count({0, 2, 4, 6}, weights(5));
  m.weighted_count({1, 3, 5}, {1, 2, 1}, weights(5));
  if (hard) {
    m.logical_or({0, 1, 4});
    m.logical_and({2, 3, 5});
    m.at_most_one({6, 7, 3});
    m.potts(8, 10, -inf);
  }
  return m;
}

/// side x side spins with random fields and couplings.
inline weakly::factor_graph_builder spin_grid(index_t side, double coupling, double field, unsigned seed,
                                              double mean = 0) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  weakly::factor_graph_builder b;
  b.add_variables(side * side);
  for (index_t v = 0; v < side * side; ++v) b.add_log_odds(v, field * normal(random));
  for (index_t r = 0; r < side; ++r)
    for (index_t c = 0; c < side; ++c) {
      if (c + 1 < side) b.add_ising(r * side + c, r * side + c + 1, mean + coupling * normal(random));
      if (r + 1 < side) b.add_ising(r * side + c, (r + 1) * side + c, mean + coupling * normal(random));
    }
  return b;
}

template <class T>
std::vector<double> beliefs_of(T& bp) {
  std::vector<double> b(std::size_t(bp.graph().all_states()));
  bp.all_beliefs(b);
  return b;
}

/// The greatest difference, inf where something is NaN.
inline double distance(const std::vector<double>& a, const std::vector<double>& b) {
  if (a.size() != b.size()) return inf;
  double most = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (!(std::abs(a[i] - b[i]) <= 2)) return inf;
    most = std::max(most, std::abs(a[i] - b[i]));
  }
  return most;
}

}  // namespace enumerated
