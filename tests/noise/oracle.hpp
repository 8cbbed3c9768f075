// SPDX-License-Identifier: MIT
// Confident learning once more, straight from its definitions: integers, long double and full sorts, one row after the
// other. Shares no code with the library but the conversions of the storage types.
#pragma once

#include <weakly/core/config.hpp>
#include <weakly/core/half.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <set>
#include <type_traits>
#include <utility>
#include <vector>

namespace oracle {

using weakly::compatibility;
using weakly::index_t;

inline constexpr double infinity = std::numeric_limits<double>::infinity();
inline constexpr double nan = std::numeric_limits<double>::quiet_NaN();

inline std::size_t at(index_t i) { return static_cast<std::size_t>(i); }

/// A double rounded to the storage type T and back.
template <class T>
double stored(double x) {
  if constexpr (std::is_same_v<T, double>)
    return x;
  else if constexpr (std::is_same_v<T, float>)
    return double(static_cast<float>(x));
  else
    return double(float(T(static_cast<float>(x))));
}

/// The type that numpy computes with for probabilities stored as T (it has no bfloat16).
template <class T>
using numpy_t = std::conditional_t<std::is_same_v<T, weakly::bfloat16>, float, T>;

/// n rows of k probabilities, every one of them a value of the storage type under test, and their labels.
struct problem {
  index_t n = 0;
  index_t k = 0;
  std::vector<double> prob;
  std::vector<index_t> label;

  double p(index_t i, index_t j) const { return prob[at(i * k + j)]; }
  double own(index_t i) const { return p(i, label[at(i)]); }
};

using counts = std::vector<std::vector<std::int64_t>>;

inline bool plausible(double x) { return x >= -1 && x <= 2; }

/// The double nearest to sum / (count 2^40), found among its neighbours by integer distances. For means above 2^-19.
inline double rounded_mean(std::int64_t sum, std::int64_t count) {
  __extension__ using wide = __int128;
  const double guess = static_cast<double>(sum) / static_cast<double>(count) * 0x1p-40;
  double best = guess;
  wide best_distance = -1;
  double candidate = guess;
  for (int step = 0; step < 3; ++step) candidate = std::nextafter(candidate, -infinity);
  for (int step = 0; step < 7; ++step, candidate = std::nextafter(candidate, infinity)) {
    const wide scaled = static_cast<wide>(std::ldexp(candidate, 72)) * count;
    const wide difference = (static_cast<wide>(sum) << 32) - scaled;
    const wide distance = difference < 0 ? -difference : difference;
    int exponent = 0;
    const bool even = static_cast<std::int64_t>(std::ldexp(std::frexp(candidate, &exponent), 53)) % 2 == 0;
    if (best_distance < 0 || distance < best_distance || (distance == best_distance && even)) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

/// For probabilities that are multiples of 2^-40.
inline std::vector<double> thresholds(const problem& q) {
  std::vector<double> t;
  for (index_t c = 0; c < q.k; ++c) {
    std::int64_t sum = 0;
    std::int64_t count = 0;
    for (index_t i = 0; i < q.n; ++i) {
      if (q.label[at(i)] != c || !plausible(q.own(i))) continue;
      sum += static_cast<std::int64_t>(std::ldexp(q.own(i), 40));
      ++count;
    }
    if (count == 0)
      t.push_back(infinity);
    else if (static_cast<double>(sum) < 1.95e-6 * 0x1p40 * static_cast<double>(count))
      t.push_back(2e-6);
    else
      t.push_back(std::max(rounded_mean(sum, count), 2e-6));
  }
  return t;
}

inline index_t argmax(const std::vector<double>& x) {
  index_t best = -1;
  for (index_t j = 0; j < static_cast<index_t>(x.size()); ++j)
    if (!std::isnan(x[at(j)]) && (best < 0 || x[at(j)] > x[at(best)])) best = j;
  return best;
}

inline std::vector<double> row(const problem& q, index_t i) {
  std::vector<double> x;
  for (index_t j = 0; j < q.k; ++j) x.push_back(q.p(i, j));
  return x;
}

/// The class row i is confidently in, or -1. T is the storage type: cleanlab compares in it when the thresholds fit.
template <class T>
index_t guess(const problem& q, const std::vector<double>& t, index_t i, compatibility compat) {
  const bool cleanlab = compat == compatibility::cleanlab;
  bool fits = cleanlab;
  for (const double x : t) fits = fits && x < 2 && stored<numpy_t<T>>(x) == x;
  std::vector<double> confident = row(q, i);
  int reached = 0;
  for (index_t j = 0; j < q.k; ++j) {
    const double bound = fits ? stored<numpy_t<T>>(t[at(j)] - stored<numpy_t<T>>(1e-6)) : t[at(j)] - 1e-6;
    if (q.p(i, j) >= bound && q.p(i, j) <= 2)
      ++reached;
    else
      confident[at(j)] = nan;
  }
  return reached >= 2 && cleanlab ? argmax(row(q, i)) : argmax(confident);
}

/// Whether the most probable class is another than the label, the label's own entry raised by 1e-6.
template <class T>
bool disagrees(const problem& q, index_t i, compatibility compat) {
  std::vector<double> raised = row(q, i);
  double& own = raised[at(q.label[at(i)])];
  own = compat == compatibility::cleanlab ? stored<numpy_t<T>>(own + stored<numpy_t<T>>(1e-6)) : own + 1e-6;
  const index_t top = argmax(raised);
  return top >= 0 && top != q.label[at(i)];
}

struct joint {
  std::vector<double> thresholds;
  counts raw;
  std::vector<std::int64_t> label_counts;
  std::set<index_t> issues;  // counted off the diagonal, and the label is not the most probable class
};

template <class T>
joint count_joint(const problem& q, const std::vector<double>& t, compatibility compat) {
  joint result{t, counts(at(q.k), std::vector<std::int64_t>(at(q.k))), std::vector<std::int64_t>(at(q.k)), {}};
  for (index_t i = 0; i < q.n; ++i) {
    const index_t label = q.label[at(i)];
    ++result.label_counts[at(label)];
    const index_t g = guess<T>(q, t, i, compat);
    if (g < 0 || !plausible(q.own(i))) continue;
    ++result.raw[at(label)][at(g)];
    if (g != label && disagrees<T>(q, i, compat)) result.issues.insert(i);
  }
  for (std::size_t c = 0; c < result.raw.size(); ++c)
    if (compat == compatibility::cleanlab || result.label_counts[c] > 0)
      result.raw[c][c] = std::max<std::int64_t>(result.raw[c][c], 1);
  return result;
}

/// Hands out `total` seats one at a time: whole quotas first, then by largest remainder, the lowest index first.
inline std::vector<std::int64_t> largest_remainders(const std::vector<std::int64_t>& weight, std::int64_t total) {
  std::int64_t sum = 0;
  for (const std::int64_t w : weight) sum += w;
  std::vector<std::int64_t> share(weight.size());
  if (sum == 0) return share;
  std::vector<std::pair<std::int64_t, std::size_t>> remainder;  // negated, so that ascending order is the one wanted
  std::int64_t left = total;
  for (std::size_t j = 0; j < weight.size(); ++j) {
    share[j] = weight[j] * total / sum;
    remainder.emplace_back(-(weight[j] * total % sum), j);
    left -= share[j];
  }
  std::sort(remainder.begin(), remainder.end());
  for (std::int64_t l = 0; l < left; ++l) ++share[remainder[static_cast<std::size_t>(l)].second];
  return share;
}

inline counts calibrate(const counts& raw, const std::vector<std::int64_t>& label_counts) {
  counts c(raw.size());
  for (std::size_t a = 0; a < raw.size(); ++a) {
    c[a] = largest_remainders(raw[a], label_counts[a]);
    std::int64_t seen = 0;
    for (const std::int64_t x : raw[a]) seen += x;
    if (seen == 0) c[a][a] = label_counts[a];
  }
  return c;
}

struct pruning {
  double frac_noise = 1;
  index_t min_examples_per_class = 1;
  std::vector<std::int64_t> to_remove = {};
};

/// Row a: how many rows of given class a are pruned as belonging to each other class; the rest on the diagonal.
inline counts prune_counts(const counts& calibrated, const std::vector<std::int64_t>& label_counts,
                           const pruning& options) {
  counts r;
  for (std::size_t a = 0; a < calibrated.size(); ++a) {
    std::vector<std::int64_t> errors = calibrated[a];
    errors[a] = 0;
    std::int64_t total = 0;
    for (const std::int64_t e : errors) total += e;
    std::int64_t wanted =
        options.to_remove.empty()
            ? static_cast<std::int64_t>(std::floor(options.frac_noise * static_cast<double>(total) + 0.5))
            : options.to_remove[a];
    wanted = std::min(wanted, std::max<std::int64_t>(label_counts[a] - options.min_examples_per_class, 0));
    if (total == 0) wanted = 0;
    r.push_back(largest_remainders(errors, wanted));
    r[a][a] = label_counts[a] - wanted;
  }
  return r;
}

/// The first `wanted` rows by (key, row); rows without a key are never among them.
inline std::vector<index_t> lowest(std::vector<std::pair<double, index_t>> keyed, std::int64_t wanted) {
  std::erase_if(keyed, [](const auto& x) { return std::isnan(x.first); });
  std::sort(keyed.begin(), keyed.end());
  std::vector<index_t> rows;
  for (std::int64_t m = 0; m < wanted && m < static_cast<std::int64_t>(keyed.size()); ++m)
    rows.push_back(keyed[static_cast<std::size_t>(m)].second);
  return rows;
}

template <class T>
double difference(double a, double b, compatibility compat) {
  return compat == compatibility::cleanlab ? stored<numpy_t<T>>(a - b) : a - b;
}

/// The rows that prune counts `r` select by margin, before agreeing rows are left out.
template <class T>
std::set<index_t> by_noise_rate(const problem& q, const std::vector<std::int64_t>& label_counts, const counts& r,
                                index_t min_examples, compatibility compat) {
  std::set<index_t> selected;
  for (index_t a = 0; a < q.k; ++a) {
    if (label_counts[at(a)] <= min_examples) continue;
    if (compat == compatibility::cleanlab && label_counts[at(a)] == 1) continue;
    for (index_t b = 0; b < q.k; ++b) {
      if (a == b || r[at(a)][at(b)] <= 0) continue;
      std::vector<std::pair<double, index_t>> keyed;
      for (index_t i = 0; i < q.n; ++i)
        if (q.label[at(i)] == a) keyed.emplace_back(difference<T>(q.p(i, a), q.p(i, b), compat), i);
      for (const index_t i : lowest(std::move(keyed), r[at(a)][at(b)])) selected.insert(i);
    }
  }
  return selected;
}

/// The `wanted[a]` rows of every class a that are least confident in it, before agreeing rows are left out.
inline std::set<index_t> by_class(const problem& q, const std::vector<std::int64_t>& label_counts,
                                  const std::vector<std::int64_t>& wanted, index_t min_examples, compatibility compat) {
  std::set<index_t> selected;
  for (index_t a = 0; a < q.k; ++a) {
    if (label_counts[at(a)] <= min_examples) continue;
    if (compat == compatibility::cleanlab && label_counts[at(a)] == 1) continue;
    std::vector<std::pair<double, index_t>> keyed;
    for (index_t i = 0; i < q.n; ++i)
      if (q.label[at(i)] == a) keyed.emplace_back(q.p(i, a), i);
    for (const index_t i : lowest(std::move(keyed), wanted[at(a)])) selected.insert(i);
  }
  return selected;
}

inline double greatest_other(const problem& q, index_t i) {
  double top = q.k == 1 ? 0 : -infinity;
  for (index_t j = 0; j < q.k; ++j) {
    if (j == q.label[at(i)]) continue;
    if (std::isnan(q.p(i, j))) return nan;
    top = std::max(top, q.p(i, j));
  }
  return top;
}

inline double margin(const problem& q, index_t i) { return (q.own(i) - greatest_other(q, i) + 1) / 2; }

/// log(1 + x) / x of the weighted entropy, in long double.
inline double weighted_entropy(const problem& q, index_t i) {
  long double entropy = 0;
  for (index_t j = 0; j < q.k; ++j) {
    const long double p = q.p(i, j) < 0 && q.p(i, j) >= -1e-6 ? 0 : static_cast<long double>(q.p(i, j));
    if (p != 0) entropy -= p * std::log(p);
  }
  if (!std::isfinite(entropy)) return nan;
  if (q.k > 1) entropy /= std::log(static_cast<long double>(q.k));
  const long double x = q.k == 1 || entropy < 0 ? 0 : entropy / std::max<long double>(q.own(i), 1e-6L);
  return x == 0 ? 1 : static_cast<double>(std::log1p(x) / x);
}

/// The problem with thresholds subtracted: (p - t + max t) / its sum; a class without a threshold takes the largest.
inline problem adjusted(problem q, const std::vector<double>& t) {
  double greatest = 0;
  for (const double x : t)
    if (x < infinity) greatest = std::max(greatest, x);
  for (index_t i = 0; i < q.n; ++i) {
    double sum = 0;
    for (index_t j = 0; j < q.k; ++j) {
      double& p = q.prob[at(i * q.k + j)];
      p = p - (t[at(j)] < infinity ? t[at(j)] : greatest) + greatest;
      sum += p;
    }
    for (index_t j = 0; j < q.k; ++j) q.prob[at(i * q.k + j)] /= sum;
  }
  return q;
}

/// All rows by (score, row), those without a score last.
inline std::vector<index_t> ranking(const std::vector<double>& score) {
  std::vector<index_t> rows(score.size());
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<index_t>(i);
  std::stable_sort(rows.begin(), rows.end(), [&](index_t a, index_t b) {
    const double x = score[at(a)];
    const double y = score[at(b)];
    return std::isnan(x) || std::isnan(y) ? !std::isnan(x) && std::isnan(y) : x < y;
  });
  return rows;
}

}  // namespace oracle
