// SPDX-License-Identifier: MIT
#include "propagation_checks.hpp"
#include "sanitizer.hpp"
#include "support.hpp"

#include <weakly/exec/thread_pool.hpp>
#include <weakly/graph/class_means.hpp>
#include <weakly/graph/cosine_pseudo_labels.hpp>
#include <weakly/graph/label_propagation.hpp>
#include <weakly/graph/row_argmax.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

using namespace propagation_checks;
using settings = weakly::cosine_pseudo_labels_options;

namespace {

template <class Z, class M>
std::vector<double> labels_of(const Z& z, const M& mu, index_t d, const settings& o) {
  const index_t n = index_t(z.size()) / d, k = index_t(mu.size()) / d;
  std::vector<double> out(std::size_t(n * k));
  std::vector<std::byte> memory(weakly::cosine_pseudo_labels_scratch(k, d));
  weakly::workspace scratch(memory);
  CHECK(weakly::cosine_pseudo_labels(rows(z, d), rows(mu, d), scratch, rows(out, k), o).ok());
  return out;
}

std::vector<double> plain(const std::vector<double>& z, const std::vector<double>& mu, const std::vector<double>& prior,
                          index_t elements, const settings& o) {
  const auto d = std::size_t(elements), n = z.size() / d, k = mu.size() / d;
  std::vector<double> out(n * k);
  for (std::size_t i = 0; i < n; ++i) {
    long double sum = 0;
    std::vector<long double> v(k);
    for (std::size_t c = 0; c < k; ++c) {
      long double zz = 0, mm = 0, zm = 0;
      for (std::size_t j = 0; j < d; ++j) {
        const long double a = z[i * d + j], b = mu[c * d + j];
        zz += a * a;
        mm += b * b;
        zm += a * b;
      }
      long double cosine = zz > 0 && mm > 0 ? zm / std::sqrt(zz * mm) : 0;
      if (o.absolute) cosine = std::abs(cosine);
      v[c] = prior.empty() ? cosine : o.prior_weight * prior[i * k + c] + (1 - o.prior_weight) * cosine;
      sum += std::exp(v[c] / static_cast<long double>(o.temperature));
    }
    for (std::size_t c = 0; c < k; ++c)
      out[i * k + c] = double(o.softmax ? std::exp(v[c] / static_cast<long double>(o.temperature)) / sum : v[c]);
  }
  return out;
}

}  // namespace

TEST_CASE("cosine_pseudo_labels of right angles, opposites and nothing") {
  const std::vector<double> z{3, 0, -2, 0, 0, 0}, mu{5, 0, 0, 7, 0, 0};
  CHECK(labels_of(z, mu, 2, {.softmax = false}) == std::vector<double>{1, 0, 0, 1, 0, 0, 0, 0, 0});
  CHECK(labels_of(z, mu, 2, {.absolute = false, .softmax = false}) == std::vector<double>{1, 0, 0, -1, 0, 0, 0, 0, 0});
  const auto p = labels_of(z, mu, 2, {.absolute = false, .temperature = 0.5});
  CHECK(p[0] == doctest::Approx(std::exp(2.0) / (std::exp(2.0) + 2)).epsilon(1e-15));
  CHECK(p[3] == doctest::Approx(std::exp(-2.0) / (std::exp(-2.0) + 2)).epsilon(1e-15));
  CHECK(p[8] == doctest::Approx(1.0 / 3).epsilon(1e-15));
}

TEST_CASE("cosine_pseudo_labels equals long double for any number of classes and elements") {
  for (const index_t d : {1, 5, 64, 700})
    for (const index_t k : {1, 3, 600}) {
      if (support::sanitized && d * k > 100000) continue;
      const index_t n = d * k > 10000 ? 3 : 12;
      auto z = uniform(n, d, 1), mu = uniform(k, d, 2), prior = uniform(n, k, 3);
      for (double& x : z) x -= 0.5;
      for (const bool absolute : {true, false})
        for (const double temperature : {1.0, 0.05}) {
          const settings o{.prior_weight = 0.3, .absolute = absolute, .temperature = temperature};
          CHECK(greatest_difference(labels_of(z, mu, d, o), plain(z, mu, {}, d, o)) < 1e-14);
          std::vector<double> out(prior);
          std::vector<std::byte> memory(weakly::cosine_pseudo_labels_scratch(k, d));
          weakly::workspace scratch(memory);
          weakly::cosine_pseudo_labels(rows(z, d), rows(mu, d), rows(out, k), scratch, rows(out, k), o);  // in place
          CHECK(greatest_difference(out, plain(z, mu, prior, d, o)) < 1e-14);
        }
    }
}

TEST_CASE("the length of an embedding or prototype does not matter, however great or small") {
  const auto z = uniform(20, 6, 1), mu = uniform(4, 6, 2);
  const auto want = labels_of(z, mu, 6, {.softmax = false});
  for (const double factor : {0x1p-1000, 0x1p-600, 0x1p600, 0x1p1020}) {
    auto long_z = z, long_mu = mu;
    for (double& x : long_z) x *= factor;
    for (double& x : long_mu) x *= factor;
    CHECK(greatest_difference(labels_of(long_z, mu, 6, {.softmax = false}), want) < 1e-15);
    CHECK(greatest_difference(labels_of(z, long_mu, 6, {.softmax = false}), want) < 1e-15);
  }
}

TEST_CASE("an embedding or prior that is not finite loses its own row and is reported") {
  std::vector<double> z{1, 0, 1, std::nan(""), 0, 1, HUGE_VAL, 0};
  const std::vector<double> mu{1, 0, 0, 1};
  std::vector<std::byte> memory(weakly::cosine_pseudo_labels_scratch(2, 2));
  for (const bool softmax : {true, false}) {
    std::vector<double> out(8, 3), prior(8, 0.5);
    weakly::workspace scratch(memory);
    const auto bad =
        weakly::cosine_pseudo_labels(weakly::seq, rows(z, 2), rows(mu, 2), scratch, rows(out, 2), {.softmax = softmax});
    CHECK(bad == weakly::status{1, 2});
    for (std::size_t i = 0; i < 8; ++i) CHECK(std::isnan(out[i]) == (i / 2 == 1 || i / 2 == 3));
    for (const double not_finite : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
      prior[0] = not_finite;
      weakly::workspace again(memory);
      CHECK(weakly::cosine_pseudo_labels(weakly::seq, rows(z, 2), rows(mu, 2), rows(prior, 2), again, rows(out, 2),
                                         {.softmax = softmax}) == weakly::status{0, 3});
      for (std::size_t i = 0; i < 8; ++i) CHECK(std::isnan(out[i]) == (i / 2 != 2));
    }
  }
}

TEST_CASE_TEMPLATE("cosine_pseudo_labels have the same bits for every executor and layout", T, float, double) {
  const index_t n = 300, d = 70, k = 9;
  const auto z = uniform<T>(n, d, 1), mu = uniform<T>(k, d, 2), prior = uniform<T>(n, k, 3);
  std::vector<T> out(prior.size()), pooled(out), by_column(out);
  std::vector<std::byte> memory(weakly::cosine_pseudo_labels_scratch(k, d));
  weakly::thread_pool pool(3);
  weakly::workspace a(memory), b(memory), c(memory);
  weakly::cosine_pseudo_labels(rows(z, d), rows(mu, d), rows(prior, k), a, rows(out, k));
  weakly::cosine_pseudo_labels(pool, rows(z, d), rows(mu, d), rows(prior, k), b, rows(pooled, k));
  CHECK(same_bits(out, pooled));
  const auto zt = transposed(z, d), mt = transposed(mu, d), pt = transposed(prior, k);
  weakly::cosine_pseudo_labels(weakly::view(zt.data(), n, d, 1, n), weakly::view(mt.data(), k, d, 1, k),
                               weakly::view(pt.data(), n, k, 1, n), c, weakly::view(by_column.data(), n, k, 1, n));
  CHECK(same_bits(by_column, transposed(out, k)));
}

TEST_CASE("cosine_pseudo_labels refuse options, shapes, memory and prototypes that do not fit") {
  const std::vector<double> z{1, 0, 0, 1}, mu{1, 0};
  std::vector<double> out(2);
  std::vector<std::byte> memory(weakly::cosine_pseudo_labels_scratch(1, 2));
  const auto go = [&](const std::vector<double>& prototypes, const settings& o, index_t k, std::size_t bytes) {
    weakly::workspace scratch({memory.data(), bytes});
    weakly::cosine_pseudo_labels(weakly::seq, rows(z, 2), rows(prototypes, 2), scratch, rows(out, k), o);
  };
  for (const double bad : {-0.1, 1.1, std::nan("")})
    CHECK_THROWS_AS(go(mu, {.prior_weight = bad}, 1, memory.size()), weakly::option_error);
  for (const double bad : {0.0, -1.0, HUGE_VAL, std::nan("")})
    CHECK_THROWS_AS(go(mu, {.temperature = bad}, 1, memory.size()), weakly::option_error);
  CHECK_THROWS_AS(go({1, std::nan("")}, {}, 1, memory.size()), weakly::value_error);
  CHECK_THROWS_AS(go(mu, {}, 2, memory.size()), weakly::shape_error);
  CHECK_THROWS_AS(go(mu, {}, 1, 8), weakly::workspace_error);
  weakly::workspace scratch(memory);
  CHECK_THROWS_AS(weakly::cosine_pseudo_labels(rows(z, 2), rows(mu, 2), rows(z, 2), scratch, rows(out, 1)),
                  weakly::shape_error);
}

TEST_CASE("both stages of label denoising give the stored labels of a citation graph") {
  const auto folder = support::reference_data("graphs/cora");
  if (!folder) return;
  const citations data(*folder);
  const index_t n = data.graph.nodes(), k = citations::classes;
  const auto z_file = golden::read_npy(*folder / "ref" / "Z.npy");
  const index_t d = z_file.shape[1];
  const auto z = z_file.as<float>();
  std::vector<int> in_train(std::size_t(n), 0);
  for (const auto i : data.train) in_train[std::size_t(i)] = 1;
  const weakly::label_propagation_options steps{.alpha = 0.6, .steps = 5};

  struct variant {
    std::string name;
    weakly::normalisation by;
  };
  std::size_t compared = 0;
  for (const std::string tag : {"none00", "symm30", "symm50", "asymm30", "asymm50"})
    for (const variant& v : {variant{"col", weakly::normalisation::column}, variant{"row", weakly::normalisation::row},
                             variant{"sym", weakly::normalisation::symmetric}}) {
      const auto stored = [&](const std::string& what) { return *folder / "ref" / (tag + "_" + v.name + what); };
      if (!std::filesystem::exists(stored("_stage2_label.npy"))) continue;
      const auto noisy = golden::read_npy(*folder / "ref" / (tag + "_train_noisy.npy")).as<std::int32_t>();
      std::vector<double> y(std::size_t(n * k));
      for (std::size_t t = 0; t < data.train.size(); ++t) y[std::size_t(data.train[t] * k + noisy[t])] = 1;

      walk among_train(data.graph.plain(), {.by = v.by}, in_train);
      const auto first = among_train.run(y, k, steps);
      std::vector<double> train_rows;
      for (const auto i : data.train)
        train_rows.insert(train_rows.end(), first.begin() + i * k, first.begin() + (i + 1) * k);
      CHECK(greatest_difference(train_rows, golden::read_npy(stored("_stage1_train.npy")).values) < 1e-14);

      std::vector<std::int32_t> label(std::size_t(n), 0);
      weakly::row_argmax(rows(first, k), label);
      for (index_t i = 0; i < n; ++i)
        if (in_train[std::size_t(i)] == 0) label[std::size_t(i)] = -1;
      std::vector<double> mu(std::size_t(k * d)), pseudo(y.size());
      CHECK(weakly::class_means(rows(z, d), label, rows(mu, d)).ok());
      std::vector<std::byte> memory(weakly::cosine_pseudo_labels_scratch(k, d));
      weakly::workspace scratch(memory);
      CHECK(weakly::cosine_pseudo_labels(rows(z, d), rows(mu, d), rows(first, k), scratch, rows(pseudo, k)).ok());
      walk on_all(data.graph.plain(), {.by = v.by});
      auto second = on_all.run(pseudo, k, steps);
      weakly::row_argmax(rows(second, k), label);
      const auto want = golden::read_npy(stored("_stage2_label.npy")).as<std::int32_t>();
      CHECK(label == want);  // the least margin is 1e-7
      const auto want_rows = golden::read_npy(stored("_stage2_first200.npy")).values;
      second.resize(want_rows.size());
      CHECK(greatest_difference(second, want_rows) < 1e-14);
      ++compared;
    }
  CHECK(compared == 7);
}
