// SPDX-License-Identifier: MIT
// Rows into the covariances of their classes, beside one covariance of all rows made in place: by the same products,
// and by Eigen.
#include "common.hpp"

#include <weakly/rate/covariance_accumulator.hpp>
#include <weakly/rate/detail/aligned_array.hpp>
#include <weakly/rate/detail/symmetric_products.hpp>

#include <Eigen/Core>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace {

using weakly::index_t;
using weakly::membership_view;

template <class T>
struct batch {
  index_t n, d, k;
  std::vector<T> z;
  std::vector<std::int64_t> label;
  std::vector<double> pi;

  batch(index_t rows, index_t features, index_t classes) : n(rows), d(features), k(classes) {
    std::mt19937_64 random(1);
    std::normal_distribution<T> normal;
    for (index_t e = 0; e < n * d; ++e) z.push_back(normal(random));
    for (index_t i = 0; i < n; ++i) {
      label.push_back(static_cast<std::int64_t>(random() % static_cast<std::uint64_t>(k)));
      for (index_t c = 0; c < k; ++c) pi.push_back(1 / static_cast<double>(k));
    }
  }
  auto features() const { return weakly::view(z.data(), n, d); }
};

template <class T, class Run>
void add(const std::string& name, index_t n, index_t d, index_t k, index_t rows_added, Run run) {
  bench::add("rate/covariance_accumulator/" + name + "/" + bench::size_name(n, d) + "x" + std::to_string(k),
             [=](benchmark::State& state) {
               const batch<T> a(n, d, k);
               run(state, a);
               state.counters["GFLOP/s"] =
                   benchmark::Counter(static_cast<double>(state.iterations() * rows_added * d * (d + 1)) * 1e-9,
                                      benchmark::Counter::kIsRate);
             });
}

template <class T>
void add_block(benchmark::State& state, const batch<T>& a, const membership_view& members, int threads) {
  weakly::covariance_accumulator c(a.k, a.d);
  for (auto _ : state) {
    bench::with_threads(threads, [&](auto&& ex) { c.add_block(ex, a.features(), members); });
    benchmark::ClobberMemory();
  }
}

void floor_of_products(benchmark::State& state, const batch<double>& a) {
  constexpr index_t depth = weakly::detail::product_tile<double>::depth;
  const index_t pitch = weakly::detail::padded_pitch(a.d);
  const weakly::detail::aligned_array<double> c(pitch * pitch), strips(depth * pitch);
  std::fill_n(c.data(), pitch * pitch, 0.0);
  const double* row[std::size_t(depth)] = {};
  for (auto _ : state) {
    for (index_t first = 0; first < a.n; first += depth) {
      const index_t count = std::min(depth, a.n - first);
      for (index_t r = 0; r < count; ++r) row[r] = a.z.data() + (first + r) * a.d;
      weakly::detail::pack_strips(static_cast<const double* const*>(row), count, a.d, pitch, strips.data());
      weakly::detail::add_outer_products(static_cast<const double*>(strips.data()), count, a.d, 1.0, c.data(), pitch);
    }
    benchmark::ClobberMemory();
  }
}

void floor_of_eigen(benchmark::State& state, const batch<double>& a) {
  using rows = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;
  const Eigen::Map<const rows> z(a.z.data(), a.n, a.d);
  Eigen::MatrixXd c = Eigen::MatrixXd::Zero(a.d, a.d);
  for (auto _ : state) {
    c.selfadjointView<Eigen::Lower>().rankUpdate(z.transpose());
    benchmark::ClobberMemory();
  }
}

void all_of(index_t n, index_t d, index_t k) {
  add<double>("floor", n, d, k, n, floor_of_products);
  add<double>("eigen", n, d, k, n, floor_of_eigen);
  const auto hard = [](int threads) {
    return [=](benchmark::State& state, const auto& a) {
      add_block(state, a, membership_view::hard(a.label, a.k), threads);
    };
  };
  add<double>("labels", n, d, k, n, hard(1));
  add<float>("labels_of_float", n, d, k, n, hard(1));
  add<double>("labels_two_threads", n, d, k, n, hard(2));
  if (k <= 10)
    add<double>("soft", n, d, k, n * k, [](benchmark::State& state, const batch<double>& a) {
      add_block(state, a, membership_view::soft(weakly::view(a.pi.data(), a.n, a.k)), 1);
    });
}

const bool registered =
    (all_of(8192, 512, 10), all_of(16384, 128, 10), all_of(16384, 64, 100), all_of(8192, 256, 100), true);

}  // namespace
