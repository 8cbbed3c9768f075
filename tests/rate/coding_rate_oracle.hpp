// SPDX-License-Identifier: MIT
// Coding rates in long double as their definitions have them, and the stored results of another implementation.
#pragma once

#include "golden/npy_array.hpp"
#include "support.hpp"

#include <weakly/core/view.hpp>
#include <weakly/rate/membership_view.hpp>

#include <cmath>
#include <cstddef>
#include <cstring>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

namespace coding_rate_oracle {

using weakly::index_t;
using reals = std::vector<double>;

/// n rows of d features of class-dependent length and direction, and k memberships each.
struct data {
  index_t n = 0, d = 0, k = 0;
  reals z;                          // n x d
  reals pi;                         // n x k
  std::vector<std::int64_t> label;  // of hard memberships

  auto features() const { return weakly::view(z.data(), n, d); }
  weakly::membership_view soft() const { return weakly::membership_view::soft(weakly::view(pi.data(), n, k)); }
  weakly::membership_view hard() const { return weakly::membership_view::hard(label, k); }
};

inline data make_data(index_t n, index_t d, index_t k, unsigned seed, bool soft = false) {
  data a{n, d, k, reals(std::size_t(n * d)), reals(std::size_t(n * k)), {}};
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  for (double& x : a.z) x = normal(random);
  for (index_t i = 0; i < n; ++i) {
    const auto y = static_cast<index_t>(random() % std::uint64_t(k));
    a.label.push_back(y);
    double length = 0;
    for (index_t f = 0; f < d; ++f) {
      double& x = a.z[std::size_t(i * d + f)];
      if ((f + y) % k != 0) x *= 0.2;
      length += x * x;
    }
    for (index_t f = 0; f < d; ++f) a.z[std::size_t(i * d + f)] /= std::sqrt(length);
    double sum = 0;
    for (index_t c = 0; c < k; ++c)
      sum += a.pi[std::size_t(i * k + c)] = soft ? std::exp(normal(random) + (c == y ? 2 : 0)) : c == y ? 1.0 : 0.0;
    for (index_t c = 0; c < k; ++c) a.pi[std::size_t(i * k + c)] /= sum;
  }
  return a;
}

/// log det of a positive definite matrix.
inline long double log_det(std::vector<long double> a, index_t d) {
  long double sum = 0;
  const auto at = [&](index_t i, index_t j) -> long double& { return a[std::size_t(i * d + j)]; };
  for (index_t k = 0; k < d; ++k) {
    for (index_t j = 0; j < k; ++j) at(k, k) -= at(k, j) * at(k, j);
    at(k, k) = std::sqrt(at(k, k));
    sum += 2 * std::log(at(k, k));
    for (index_t i = k + 1; i < d; ++i) {
      for (index_t j = 0; j < k; ++j) at(i, k) -= at(i, j) * at(k, j);
      at(i, k) /= at(k, k);
    }
  }
  return sum;
}

/// C_j, or the sum of all classes for j = -1.
inline std::vector<long double> covariance(const data& a, index_t j) {
  std::vector<long double> c(std::size_t(a.d * a.d));
  for (index_t i = 0; i < a.n; ++i) {
    long double w = 0;
    for (index_t e = 0; e < a.k; ++e) w += j < 0 || e == j ? a.pi[std::size_t(i * a.k + e)] : 0;
    if (w == 0) continue;
    for (index_t x = 0; x < a.d; ++x)
      for (index_t y = 0; y < a.d; ++y)
        c[std::size_t(x * a.d + y)] += w * a.z[std::size_t(i * a.d + x)] * a.z[std::size_t(i * a.d + y)];
  }
  return c;
}
inline long double weight(const data& a, index_t j) {
  long double w = 0;
  for (index_t i = 0; i < a.n; ++i) w += a.pi[std::size_t(i * a.k + j)];
  return w;
}

/// log det(I + scale C) / 2
inline long double rate_of(std::vector<long double> c, index_t d, long double scale) {
  for (long double& x : c) x *= scale;
  for (index_t i = 0; i < d; ++i) c[std::size_t(i * d + i)] += 1;
  return log_det(c, d) / 2;
}
inline long double rate(const data& a, double eps_squared) {
  return a.n == 0 ? 0 : rate_of(covariance(a, -1), a.d, static_cast<long double>(a.d) / eps_squared / a.n);
}
inline long double rate_of_class(const data& a, index_t j, double eps_squared) {
  const long double w = weight(a, j);
  return w == 0 ? 0 : rate_of(covariance(a, j), a.d, static_cast<long double>(a.d) / eps_squared / w);
}
inline long double rate_of_classes(const data& a, double eps_squared) {
  long double sum = 0;
  for (index_t j = 0; j < a.k; ++j) sum += weight(a, j) / a.n * rate_of_class(a, j, eps_squared);
  return sum;
}

/// (f(x + h) - f(x - h)) / 2h in the element `x`, which f reads.
template <class F>
double slope(double& x, F f, double h = 1e-5) {
  const double centre = x;
  x = centre + h;
  const double up = x;
  const long double above = f();
  x = centre - h;
  const double down = x;
  const long double below = f();
  x = centre;
  return static_cast<double>((above - below) / (static_cast<long double>(up) - down));
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0);
}

/// A stored case: data and R, R_c, R - R_c and logdet(M_j) / 2.
struct stored {
  std::string name;
  data input;
  double eps_squared = 0, rate = 0, classes = 0, reduction = 0;
  reals per_class;
};

/// All stored cases; none where the reference data are not given.
inline std::vector<stored> stored_cases() {
  std::vector<stored> all;
  const auto folder = support::reference_data("coding_rate");
  if (!folder) return all;
  std::ifstream file(*folder / "index.json");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  for (std::size_t at = text.find("\"name\""); at != std::string::npos; at = text.find("\"name\"", at + 1)) {
    const auto number = [&](const std::string& key) {
      return std::stod(text.substr(text.find("\"" + key + "\": ", at) + key.size() + 4));
    };
    stored s;
    s.name = text.substr(at + 9, text.find('"', at + 9) - at - 9);
    s.eps_squared = number("eps2");
    s.rate = number("R");
    s.classes = number("Rc");
    s.reduction = number("DeltaR");
    data& a = s.input;
    a.n = index_t(number("n"));
    a.d = index_t(number("d"));
    a.k = index_t(number("k"));
    a.z = golden::read_npy(*folder / (s.name + "_Z.npy")).values;
    s.per_class = golden::read_npy(*folder / (s.name + "_per_class.npy")).values;
    if (std::filesystem::exists(*folder / (s.name + "_Pi.npy"))) {
      a.pi = golden::read_npy(*folder / (s.name + "_Pi.npy")).values;
    } else {
      a.label = golden::read_npy(*folder / (s.name + "_y.npy")).as<std::int64_t>();
      a.pi.resize(std::size_t(a.n * a.k));
      for (index_t i = 0; i < a.n; ++i) a.pi[std::size_t(i * a.k + a.label[std::size_t(i)])] = 1;
    }
    all.push_back(s);
  }
  CHECK(all.size() == 12);
  return all;
}

}  // namespace coding_rate_oracle
