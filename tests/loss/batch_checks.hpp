// SPDX-License-Identifier: MIT
// What every loss of a whole batch must do: gradients against differences, and the same bits whatever way it is called.
#pragma once

#include "support.hpp"

#include <weakly/core/executor.hpp>
#include <weakly/core/half.hpp>
#include <weakly/core/view.hpp>
#include <weakly/exec/thread_pool.hpp>

#include <cmath>
#include <cstddef>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace batch_checks {

using weakly::index_t;

/// Normal numbers that are floats, so that every storage but half holds them.
template <class T>
std::vector<T> normal(index_t n, double scale, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> draw(0, scale);
  std::vector<T> x;
  for (index_t i = 0; i < n; ++i) x.push_back(static_cast<T>(static_cast<float>(draw(random))));
  return x;
}

/// Marks of which about one in `every` is set.
inline std::vector<int> marks(index_t n, unsigned every, unsigned seed) {
  std::mt19937 random(seed);
  std::vector<int> m;
  for (index_t i = 0; i < n; ++i) m.push_back(random() % every == 0 ? 1 : 0);
  return m;
}

inline bool near(double got, double want, double tolerance) {
  return std::abs(got - want) <= tolerance * std::max(1.0, std::abs(want));
}

template <class V>
bool same_bits(const V& a, const V& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(a[0])) == 0;
}

/// Central differences of f(), which reads x, against a gradient.
template <class F>
void check_slopes(const std::string& what, std::vector<double>& x, const std::vector<double>& gradient, F f,
                  double tolerance = 1e-7, double step = 1e-5) {
  REQUIRE(x.size() == gradient.size());
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double centre = x[i];
    x[i] = centre + step;
    const double above = f();
    x[i] = centre - step;
    const double below = f();
    x[i] = centre;
    const double slope = (above - below) / (2 * step);
    CHECK_MESSAGE(near(gradient[i], slope, tolerance), what, "[", i, "]: ", gradient[i], ", difference ", slope);
  }
}

/// call(ex, x, grad) on n x k matrices, with a number for what else it gives: executors, layouts, in place, storage.
template <class Call>
void check_ways_to_call(index_t n, index_t k, double scale, Call call) {
  CAPTURE(n);
  CAPTURE(k);
  const auto size = static_cast<std::size_t>(n * k);
  const std::vector<float> x = normal<float>(n * k, scale, 7);
  std::vector<float> expected(size), grad(size);
  const double value = call(weakly::seq, weakly::view(x.data(), n, k), weakly::view(expected.data(), n, k));
  const auto agrees = [&](double other) { return std::memcmp(&other, &value, sizeof value) == 0; };

  weakly::thread_pool pool(3);
  CHECK(agrees(call(pool, weakly::view(x.data(), n, k), weakly::view(grad.data(), n, k))));
  CHECK(same_bits(grad, expected));

  std::vector<float> both = x;
  CHECK(agrees(call(weakly::seq, weakly::view(both.data(), n, k), weakly::view(both.data(), n, k))));
  CHECK(same_bits(both, expected));

  std::vector<float> by_column(size), grad_by_column(size);
  for (index_t i = 0; i < n; ++i)
    for (index_t j = 0; j < k; ++j) by_column[std::size_t(j * n + i)] = x[std::size_t(i * k + j)];
  CHECK(
      agrees(call(pool, weakly::view(by_column.data(), n, k, 1, n), weakly::view(grad_by_column.data(), n, k, 1, n))));
  for (index_t i = 0; i < n; ++i)
    for (index_t j = 0; j < k; ++j) grad[std::size_t(i * k + j)] = grad_by_column[std::size_t(j * n + i)];
  CHECK(same_bits(grad, expected));

  const index_t pitch = k + 3;
  std::vector<float> padded(std::size_t(n * pitch), 1e30f), grad_padded(std::size_t(n * pitch), 5.0f);
  for (index_t i = 0; i < n; ++i)
    for (index_t j = 0; j < k; ++j) padded[std::size_t(i * pitch + j)] = x[std::size_t(i * k + j)];
  CHECK(agrees(call(weakly::seq, weakly::view(padded.data(), n, k, pitch, 1),
                    weakly::view(grad_padded.data(), n, k, pitch, 1))));
  for (index_t i = 0; i < n; ++i) {
    for (index_t j = 0; j < k; ++j) grad[std::size_t(i * k + j)] = grad_padded[std::size_t(i * pitch + j)];
    for (index_t j = k; j < pitch; ++j) CHECK(grad_padded[std::size_t(i * pitch + j)] == 5.0f);
  }
  CHECK(same_bits(grad, expected));

  std::vector<weakly::half> half_x, half_grad(size);
  std::vector<weakly::bfloat16> brain_grad(size);
  std::vector<float> rounded;
  for (const float v : x) {
    half_x.emplace_back(v);
    rounded.push_back(float(half_x.back()));
  }
  const double of_rounded = call(weakly::seq, weakly::view(rounded.data(), n, k), weakly::view(expected.data(), n, k));
  CHECK(call(weakly::seq, weakly::view(half_x.data(), n, k), weakly::view(half_grad.data(), n, k)) == of_rounded);
  call(weakly::seq, weakly::view(half_x.data(), n, k), weakly::view(brain_grad.data(), n, k));
  bool equal = true;
  for (std::size_t e = 0; e < size; ++e)
    equal &=
        half_grad[e].bits == weakly::half(expected[e]).bits && brain_grad[e].bits == weakly::bfloat16(expected[e]).bits;
  CHECK(equal);
}

}  // namespace batch_checks
