// SPDX-License-Identifier: MIT
// Surrogates of the coding rate of classes and their gradients, beside the rate reduction itself and its gradient.
#include "common.hpp"

#include <weakly/core/output.hpp>
#include <weakly/rate/covariance_accumulator.hpp>
#include <weakly/rate/rate_reduction.hpp>
#include <weakly/rate/subspace_rate.hpp>
#include <weakly/rate/tangent_bound.hpp>
#include <weakly/rate/variational_rate.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace {

using weakly::discard;
using weakly::index_t;
using weakly::membership_view;

struct batch {
  index_t n, d, k, p;
  std::vector<double> z, grad, dictionary, coefficients, dictionary_grad, coefficient_grad;
  std::vector<std::int64_t> label;
  weakly::covariance_accumulator covariance;

  batch(index_t rows, index_t features, index_t classes)
      : n(rows), d(features), k(classes), p(std::min<index_t>(k >= 100 ? 10 : 20, d)), covariance(k, d) {
    std::mt19937_64 random(1);
    std::normal_distribution<double> normal;
    for (index_t i = 0; i < n; ++i) {
      double length = 0;
      for (index_t j = 0; j < d; ++j) {
        z.push_back(normal(random));
        length += z.back() * z.back();
      }
      for (index_t j = 0; j < d; ++j) z[static_cast<std::size_t>(i * d + j)] /= std::sqrt(length);
      label.push_back(static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(k)));
    }
    grad.resize(z.size());
    dictionary.resize(static_cast<std::size_t>(d * k * p));
    coefficients.resize(static_cast<std::size_t>(k * k * p));
    dictionary_grad = dictionary;
    coefficient_grad = coefficients;
    covariance.add_block(features_view(), members());
    weakly::latch_dictionary(covariance, weakly::view(dictionary.data(), d, k * p),
                             weakly::view(coefficients.data(), k, k * p));
  }
  weakly::matrix_view<const double> features_view() const { return weakly::view(z.data(), n, d); }
  membership_view members() const { return membership_view::hard(label, k); }
  auto grad_view() { return weakly::view(grad.data(), n, d); }
};

template <class Run>
void add(const std::string& name, index_t n, index_t d, index_t k, Run run) {
  bench::add("rate/surrogates/" + name + "/" + bench::size_name(n, d) + "x" + std::to_string(k),
             [=](benchmark::State& state) {
               batch a(n, d, k);
               weakly::tangent_bound bound(k, d, 0.5);
               bound.refresh(a.covariance);
               for (auto _ : state) {
                 run(a, bound);
                 benchmark::ClobberMemory();
               }
             });
}

void all_of(index_t n, index_t d, index_t k) {
  add("exact", n, d, k, [](batch& a, weakly::tangent_bound&) {
    weakly::rate_reduction(weakly::seq, a.features_view(), a.members(), a.grad_view(), discard);
  });
  add("tangent", n, d, k, [](batch& a, weakly::tangent_bound& bound) {
    benchmark::DoNotOptimize(
        bound.value_and_gradient(weakly::seq, a.features_view(), a.members(), a.grad_view(), discard));
  });
  add("tangent_refresh", n, d, k, [](batch& a, weakly::tangent_bound& bound) { bound.refresh(a.covariance); });
  add("accumulate", n, d, k,
      [](batch& a, weakly::tangent_bound&) { a.covariance.add_block(a.features_view(), a.members()); });
  add("variational", n, d, k, [](batch& a, weakly::tangent_bound&) {
    const auto g = weakly::view(a.dictionary.data(), a.d, a.k * a.p);
    const auto c = weakly::view(a.coefficients.data(), a.k, a.k * a.p);
    benchmark::DoNotOptimize(weakly::variational_rate(a.covariance, g, c,
                                                      weakly::view(a.dictionary_grad.data(), a.d, a.k * a.p),
                                                      weakly::view(a.coefficient_grad.data(), a.k, a.k * a.p)));
  });
  add("variational_features", n, d, k, [](batch& a, weakly::tangent_bound&) {
    const auto g = weakly::view(a.dictionary.data(), a.d, a.k * a.p);
    const auto c = weakly::view(a.coefficients.data(), a.k, a.k * a.p);
    weakly::variational_rate_features(weakly::seq, a.covariance, g, c, a.features_view(), a.members(), a.grad_view());
  });
  // Heads as in a transformer: 8 subspaces that together have as many columns as there are features.
  add("subspaces", n, d, k, [](batch& a, weakly::tangent_bound&) {
    const auto bases = weakly::view(a.z.data(), a.d, a.d);
    benchmark::DoNotOptimize(
        weakly::subspace_rate(weakly::seq, a.features_view(), bases, 8, 0.5, a.grad_view(), discard));
  });
}

const bool registered = (all_of(1000, 128, 10), all_of(4096, 512, 10), all_of(8192, 128, 100), true);

}  // namespace
