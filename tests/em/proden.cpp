// SPDX-License-Identifier: MIT
#include "em_checks.hpp"
#include "sanitizer.hpp"

#include <weakly/em/proden.hpp>
#include <weakly/exec/thread_pool.hpp>

#include <cstdint>
#include <limits>

using namespace em_checks;

namespace {

const double inf = std::numeric_limits<double>::infinity();
const weakly::proden_options keep{.impossible = weakly::impossible_row::keep};

}  // namespace

TEST_CASE("proden_step takes the loss with the old targets and leaves new ones") {
  const std::vector<double> logits{std::log(1.0), std::log(3.0), std::log(4.0)};
  const std::vector<int> mask{1, 1, 0};
  const auto sets = weakly::candidate_masks(rows(mask, 3));
  std::vector<double> target(3), loss(1), grad(3);
  weakly::uniform_targets(sets, rows(target, 3));
  CHECK(target == std::vector<double>{0.5, 0.5, 0});
  weakly::proden_step(rows(logits, 3), sets, rows(target, 3), loss, rows(grad, 3));
  CHECK(loss[0] == doctest::Approx(std::log(8.0) - 0.5 * std::log(3.0)).epsilon(1e-15));
  CHECK(grad[0] == doctest::Approx(-0.375).epsilon(1e-15));
  CHECK(grad[2] == doctest::Approx(0.5).epsilon(1e-15));
  CHECK(target[0] == doctest::Approx(0.25).epsilon(1e-15));
  CHECK(target[1] == doctest::Approx(0.75).epsilon(1e-15));
  CHECK(target[2] == 0);
}

TEST_CASE("proden_step: new targets are the reference posteriors, and its loss and gradient those of fixed targets") {
  std::size_t compared = 0;
  for (const auto& [name, f] : em_reference::instances()) {
    CAPTURE(name);
    const auto& logits = f.at("logits");
    const index_t n = logits.rows, k = logits.columns;
    const auto mask = f.at("mask").labels();
    const auto sets = weakly::candidate_masks(rows(mask, k));
    std::vector<double> target = zeros(n * k), loss = zeros(n), grad = zeros(n * k), second = zeros(n * k);
    weakly::proden_step(rows(logits.values, k), sets, rows(target, k), weakly::discard, weakly::discard, keep);
    auto with_nan = target;  // impossible rows keep what they had, where the reference has NaN
    for (index_t i = 0; i < n; ++i)
      if (std::isnan(f.at("posterior").values[std::size_t(i * k)]))
        for (index_t c = 0; c < k; ++c) {
          CHECK(target[std::size_t(i * k + c)] == 0);
          with_nan[std::size_t(i * k + c)] = std::nan("");
        }
    compared += compare(f, "posterior", with_nan, 1e-12, 1e-300);
    // The strong view with the posterior of the weak one as its target.
    weakly::proden_step(rows(f.at("logits_strong").values, k), sets, rows(target, k), loss, rows(grad, k), keep);
    for (index_t i = 0; i < n; ++i)
      if (loss[std::size_t(i)] == inf) loss[std::size_t(i)] = std::nan("");
    compared += compare(f, "strong_ce", loss, 1e-12, 1e-300);
    compared += compare(f, "strong_ce_grad", grad, 1e-11, 1e-13);
  }
  if (compared != 0) CHECK(compared > 1500);
}

TEST_CASE_TEMPLATE("proden_step has the same bits for every executor, layout, place and form of the sets", T, float,
                   double) {
  for (const index_t k : {index_t(10), index_t(600)}) {
    const index_t n = k > 10 && support::sanitized ? 40 : 200;
    const auto x = normal(n, k, 3, 1);
    const std::vector<T> logits(x.begin(), x.end());
    std::vector<std::int8_t> mask;
    std::vector<int> offsets{0}, ids;
    for (index_t i = 0; i < n; ++i) {
      for (index_t j = 0; j < k; ++j) {
        mask.push_back((i * 7 + j * 3) % 5 == 0 || j == 2);
        if (mask.back() != 0) ids.push_back(int(j));
      }
      offsets.push_back(int(ids.size()));
    }
    const auto sets = weakly::candidate_masks(rows(mask, k)), lists = weakly::candidate_lists(offsets, ids, k);
    std::vector<T> target = zeros<T>(n * k), loss = zeros<T>(n), grad = target, other = loss, place = logits;
    weakly::uniform_targets(sets, rows(target, k));
    std::vector<T> second = zeros<T>(n * k);
    weakly::thread_pool pool(3);
    weakly::uniform_targets(pool, lists, rows(second, k));
    CHECK(same_bits(second, target));
    auto columns = transposed(target, k), by_column = transposed(logits, k);
    weakly::proden_step(rows(logits, k), sets, rows(target, k), loss, rows(grad, k));
    weakly::proden_step(pool, rows(place, k), lists, rows(second, k), other, rows(place, k));
    CHECK(same_bits(second, target));
    CHECK(same_bits(other, loss));
    CHECK(same_bits(place, grad));
    const auto view = weakly::view(by_column.data(), n, k, 1, n);
    weakly::proden_step(view, sets, weakly::view(columns.data(), n, k, 1, n), weakly::discard, view);
    CHECK(same_bits(columns, transposed(target, k)));
    CHECK(same_bits(by_column, transposed(grad, k)));
  }
}

TEST_CASE("a candidate whose target rounded to zero comes back") {
  const std::vector<double> sure{1000, 0}, unsure{0, 0};
  const std::vector<int> mask{1, 1};
  const auto sets = weakly::candidate_masks(rows(mask, 2));
  std::vector<double> target{0.5, 0.5};
  weakly::proden_step(rows(sure, 2), sets, rows(target, 2), weakly::discard, weakly::discard);
  CHECK(target == std::vector<double>{1, 0});
  weakly::proden_step(rows(unsure, 2), sets, rows(target, 2), weakly::discard, weakly::discard);
  CHECK(target == std::vector<double>{0.5, 0.5});
}

TEST_CASE("proden_step keeps what is undefined, impossible or malformed in its row, targets included") {
  const std::vector<double> logits{std::nan(""), 0, 0, 1, -inf, 1, 1, 2};
  const std::vector<int> offsets{0, 1, 1, 2, 4}, ids{0, 0, 0, 1};
  std::vector<double> target(8, 0.5), loss(4), grad(8);
  const auto sets = weakly::candidate_lists(offsets, ids, 2);
  CHECK_THROWS_AS(weakly::proden_step(rows(logits, 2), sets, rows(target, 2), loss, rows(grad, 2)),
                  weakly::value_error);
  CHECK(std::isnan(loss[0]));
  CHECK(loss[1] == inf);
  CHECK(loss[2] == inf);
  CHECK(std::isnan(grad[5]));
  for (std::size_t j = 0; j < 6; ++j) CHECK(target[j] == 0.5);
  CHECK(target[7] == doctest::Approx(1 / (1 + std::exp(-1.0))).epsilon(1e-15));
  CHECK_THROWS_AS(weakly::uniform_targets(sets, rows(target, 2)), weakly::value_error);
  CHECK(target[0] == 1);
  CHECK(std::isnan(target[2]));
  const std::vector<int> bad{0, 0, 5, 1};
  const auto malformed = weakly::candidate_lists(offsets, bad, 2);
  CHECK_THROWS_AS(weakly::proden_step(rows(logits, 2), malformed, rows(target, 2), loss, rows(grad, 2), keep),
                  weakly::label_error);
  CHECK_THROWS_AS(weakly::uniform_targets(malformed, rows(target, 2), keep), weakly::label_error);
  CHECK_THROWS_AS(weakly::proden_step(rows(logits, 4), sets, rows(target, 2), loss, weakly::discard),
                  weakly::shape_error);
  CHECK_THROWS_AS(weakly::uniform_targets(sets, rows(target, 4)), weakly::shape_error);
}
