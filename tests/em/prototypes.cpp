// SPDX-License-Identifier: MIT
#include "em_checks.hpp"

#include <weakly/em/prototypes.hpp>
#include <weakly/exec/thread_pool.hpp>

#include <cstdint>
#include <limits>
#include <string>

using namespace em_checks;

TEST_CASE("update_prototypes moves and normalises one row after the other") {
  const std::vector<double> v{0, 1, 1, 0, 0, 1};
  std::vector<double> mu{1, 0, 0, 0};
  weakly::update_prototypes(rows(v, 2), std::vector<int>{0, -1, 0}, rows(mu, 2), 0.5);
  // (1, 1) / sqrt 2, then (1 / sqrt 2, 1 / sqrt 2 + 1)
  const double a = std::sqrt(0.5), length = std::hypot(a, a + 1);
  CHECK(mu[0] == doctest::Approx(a / length).epsilon(1e-15));
  CHECK(mu[1] == doctest::Approx((a + 1) / length).epsilon(1e-15));
  CHECK(mu[2] == 0);
  weakly::update_prototypes(rows(v, 2), std::vector<int>{1, -1, -1}, rows(mu, 2));
  CHECK(mu[3] == doctest::Approx(1).epsilon(1e-15));
}

TEST_CASE("a prototype stays where the mixture has no length") {
  const std::vector<double> v{-1, 0, std::nan(""), 0};
  std::vector<double> mu{1, 0};
  weakly::update_prototypes(rows(v, 2), std::vector<int>{0, 0}, rows(mu, 2), 0.5);
  CHECK(mu == std::vector<double>{1, 0});
}

TEST_CASE("prototype_targets move towards the nearest candidate") {
  const std::vector<double> similarity{0.9, 0.5, 0.5, 0.1, 0.2, 0.3, 1, 1, 1};
  const std::vector<int> mask{0, 1, 1, 1, 0, 1, 0, 0, 0};
  std::vector<double> target{0, 0.5, 0.5, 0.5, 0, 0.5, 0.25, 0.25, 0.5};
  const auto without =
      weakly::prototype_targets(rows(similarity, 3), weakly::candidate_masks(rows(mask, 3)), rows(target, 3), 0.75);
  CHECK(target == std::vector<double>{0, 0.625, 0.375, 0.375, 0, 0.625, 0.25, 0.25, 0.5});
  CHECK(without == weakly::status{2, 1});
}

TEST_CASE_TEMPLATE("prototypes and their targets have the same bits for every executor and layout", T, float, double) {
  const index_t n = 120, k = 7, d = 600;
  const auto x = normal(n, d, 1, 1), m = normal(k, d, 1, 2), s = normal(n, k, 1, 3);
  const std::vector<T> v(x.begin(), x.end()), start(m.begin(), m.end()), similarity(s.begin(), s.end());
  std::vector<std::int8_t> label;
  std::vector<std::uint8_t> mask;
  for (index_t i = 0; i < n; ++i) label.push_back(std::int8_t(i % (k + 1) - 1));
  for (index_t i = 0; i < n * k; ++i) mask.push_back(i % 3 != 0);
  std::vector<T> mu = start, pooled = start, columns = transposed(start, d);
  weakly::update_prototypes(rows(v, d), label, rows(mu, d));
  weakly::thread_pool pool(3);
  weakly::update_prototypes(pool, rows(v, d), label, rows(pooled, d));
  CHECK(same_bits(mu, pooled));
  weakly::update_prototypes(rows(v, d), label, weakly::view(columns.data(), k, d, 1, k));
  CHECK(same_bits(columns, transposed(mu, d)));
  for (index_t c = 0; c < k; ++c) {
    double square = 0;
    for (index_t j = 0; j < d; ++j) square += double(mu[std::size_t(c * d + j)]) * double(mu[std::size_t(c * d + j)]);
    CHECK(square == doctest::Approx(1).epsilon(1e-6));
  }
  const auto sets = weakly::candidate_masks(rows(mask, k));
  std::vector<T> target(similarity.size(), T(1) / T(k)), other = target;
  CHECK(weakly::prototype_targets(rows(similarity, k), sets, rows(target, k), 0.9).ok());
  CHECK(weakly::prototype_targets(pool, rows(similarity, k), sets, rows(other, k), 0.9).ok());
  CHECK(same_bits(target, other));
}

TEST_CASE("prototypes refuse classes, momenta and shapes that do not fit") {
  const std::vector<double> v{1, 0, 0, 1};
  std::vector<double> mu{1, 0, 0, 1};
  CHECK_THROWS_AS(weakly::update_prototypes(rows(v, 2), std::vector<int>{0, 2}, rows(mu, 2)), weakly::label_error);
  CHECK_THROWS_AS(weakly::update_prototypes(rows(v, 2), std::vector<int>{0}, rows(mu, 2)), weakly::shape_error);
  CHECK_THROWS_AS(weakly::update_prototypes(rows(v, 2), std::vector<int>{0, 1}, rows(mu, 1)), weakly::shape_error);
  for (const double bad : {-0.1, 1.0, std::nan("")})
    CHECK_THROWS_AS(weakly::update_prototypes(rows(v, 2), std::vector<int>{0, 1}, rows(mu, 2), bad),
                    weakly::option_error);
  CHECK(mu == std::vector<double>{1, 0, 0, 1});
  const std::vector<int> offsets{0, 1, 2}, ids{3, 0};
  const auto sets = weakly::candidate_lists(offsets, ids, 2);
  CHECK_THROWS_AS(weakly::prototype_targets(rows(v, 2), sets, rows(mu, 2), 0.5), weakly::label_error);
  CHECK_THROWS_AS(weakly::prototype_targets(rows(v, 2), sets, rows(mu, 2), 1.5), weakly::option_error);
  CHECK_THROWS_AS(weakly::prototype_targets(rows(v, 2), sets, rows(mu, 4), 0.5), weakly::shape_error);
}

TEST_CASE("update_prototypes names the argument that has no elements") {
  std::vector<double> mu(2);
  std::string message;
  try {
    weakly::update_prototypes(weakly::view(static_cast<const double*>(mu.data()), 2, 0), std::vector<int>{0, 1},
                              weakly::view(mu.data(), 2, 0));
  } catch (const weakly::shape_error& e) {
    message = e.what();
  }
  CHECK(message.find("embeddings have 2 rows of 0 elements") != std::string::npos);
}
