// SPDX-License-Identifier: MIT
#include "em_checks.hpp"

#include <weakly/em/sinkhorn.hpp>
#include <weakly/exec/thread_pool.hpp>

#include <cstddef>
#include <limits>

using namespace em_checks;

namespace {

const double inf = std::numeric_limits<double>::infinity();

template <class T>
weakly::sinkhorn_report run(const std::vector<T>& scores, index_t k, std::vector<T>& out,
                            const weakly::sinkhorn_options& options = {}) {
  std::vector<std::byte> memory(weakly::sinkhorn_scratch(index_t(scores.size()) / k, k));
  weakly::workspace scratch(memory);
  return weakly::sinkhorn(rows(scores, k), scratch, rows(out, k), options);
}

}  // namespace

TEST_CASE("sinkhorn of two rows that prefer the same class, in one round") {
  const std::vector<double> scores{std::log(3.0), 0, std::log(9.0), 0};
  std::vector<double> q(4);
  run(scores, 2, q, {.epsilon = 1, .rounds = 1});
  // Columns 3, 9 and 1, 1 scaled to sum 1: 1/4, 3/4 and 1/2, 1/2; rows then 1/3, 2/3 and 3/5, 2/5.
  CHECK(q[0] == doctest::Approx(1.0 / 3).epsilon(1e-15));
  CHECK(q[2] == doctest::Approx(0.6).epsilon(1e-15));
  CHECK(q[3] == doctest::Approx(0.4).epsilon(1e-15));
}

TEST_CASE("sinkhorn gives the reference results") {
  std::size_t compared = 0;
  for (const auto& [name, f] : em_reference::instances()) {
    CAPTURE(name);
    if (!f.contains("sinkhorn_eps1_it3")) continue;  // given for few classes
    const auto& logits = f.at("logits");
    std::vector<double> q(logits.values.size());
    run(logits.values, logits.columns, q, {.epsilon = 1, .rounds = 3});
    compared += compare(f, "sinkhorn_eps1_it3", q, 1e-12, 1e-300);
  }
  if (compared != 0) CHECK(compared == 314);
}

TEST_CASE("sinkhorn meets its target after many rounds, and its rows always") {
  const index_t n = 200, k = 4;
  const auto scores = normal(n, k, 1, 1);
  const std::vector<double> target{0.1, 0.2, 0.3, 0.4};
  std::vector<double> q = zeros(n * k);
  std::vector<std::byte> memory(weakly::sinkhorn_scratch(n, k));
  weakly::workspace scratch(memory);
  weakly::sinkhorn(weakly::seq, rows(scores, k), target, scratch, rows(q, k), {.epsilon = 0.5, .rounds = 200});
  for (index_t c = 0; c < k; ++c) {
    double sum = 0;
    for (index_t i = 0; i < n; ++i) sum += q[std::size_t(i * k + c)];
    CHECK(sum == doctest::Approx(double(n) * target[std::size_t(c)]).epsilon(1e-6));
  }
  scratch = weakly::workspace(memory);
  weakly::sinkhorn(weakly::seq, rows(scores, k), target, scratch, rows(q, k));
  for (index_t i = 0; i < n; ++i) {
    double sum = 0;
    for (index_t c = 0; c < k; ++c) sum += q[std::size_t(i * k + c)];
    CHECK(sum == doctest::Approx(1).epsilon(1e-14));
  }
}

TEST_CASE_TEMPLATE("sinkhorn has the same bits for every executor, layout and place", T, float, double) {
  for (const index_t k : {index_t(5), index_t(130)}) {
    const index_t n = 150;
    const auto x = normal(n, k, 1, 1);
    const std::vector<T> scores(x.begin(), x.end());
    std::vector<T> q(scores.size()), place = scores, by_column = transposed(scores, k);
    run(scores, k, q);
    std::vector<std::byte> memory(weakly::sinkhorn_scratch(n, k));
    weakly::workspace scratch(memory);
    weakly::thread_pool pool(3);
    weakly::sinkhorn(pool, rows(place, k), scratch, rows(place, k));
    CHECK(same_bits(place, q));
    const auto view = weakly::view(by_column.data(), n, k, 1, n);
    scratch = weakly::workspace(memory);
    weakly::sinkhorn(view, scratch, view);
    CHECK(same_bits(by_column, transposed(q, k)));
  }
}

TEST_CASE("sinkhorn reports rows and columns that nothing supports, and balances the others") {
  const std::vector<double> scores{0, 1, -inf, -inf, -inf, -inf, std::nan(""), 1, 1, 1, 0, -inf};
  std::vector<double> q(12);
  const auto report = run(scores, 3, q, {.epsilon = 1, .rounds = 50});
  CHECK(report.rows_without_support == weakly::status{1, 2});
  CHECK(report.columns_without_support == weakly::status{2, 1});
  CHECK(std::isnan(q[3]));
  CHECK(std::isnan(q[7]));
  CHECK(q[2] == 0);
  CHECK(q[0] + q[9] == doctest::Approx(1).epsilon(1e-10));
  CHECK(q[0] + q[1] == doctest::Approx(1).epsilon(1e-14));
  std::vector<std::byte> memory(weakly::sinkhorn_scratch(4, 3));
  weakly::workspace scratch(memory);
  const auto other = weakly::sinkhorn(weakly::seq, rows(scores, 3), std::vector<double>{1, 0, 0}, scratch, rows(q, 3));
  CHECK(other.columns_without_support.ok());
  CHECK(q[0] == 1);
  CHECK(q[1] == 0);
}

TEST_CASE("sinkhorn refuses targets that are none, options outside their domain and small scratch") {
  const std::vector<double> scores(4);
  std::vector<double> q(4);
  std::vector<std::byte> memory(weakly::sinkhorn_scratch(2, 2));
  weakly::workspace scratch(memory);
  const auto with = [&](const std::vector<double>& target) {
    scratch = weakly::workspace(memory);
    weakly::sinkhorn(weakly::seq, rows(scores, 2), target, scratch, rows(q, 2));
  };
  CHECK_THROWS_AS(with({0.5, 0.6}), weakly::value_error);
  CHECK_THROWS_AS(with({-0.5, 1.5}), weakly::value_error);
  CHECK_THROWS_AS(with({std::nan(""), 1}), weakly::value_error);
  CHECK_THROWS_AS(with({1}), weakly::shape_error);
  for (const double bad : {0.0, -1.0, std::nan("")})
    CHECK_THROWS_AS(run(scores, 2, q, {.epsilon = bad}), weakly::option_error);
  CHECK_THROWS_AS(run(scores, 2, q, {.rounds = 0}), weakly::option_error);
  std::vector<std::byte> small(8);
  weakly::workspace little(small);
  CHECK_THROWS_AS(weakly::sinkhorn(rows(scores, 2), little, rows(q, 2)), weakly::workspace_error);
}

TEST_CASE("sinkhorn is the same for every common offset, and however great the scores of a class without a target") {
  const index_t n = 20, k = 70;
  std::vector<double> scores = normal(n, k, 2, 3);
  for (double& x : scores) x = std::round(x * 64) / 64;
  std::vector<double> moved = scores, q = zeros(n * k), moved_q = q, target(std::size_t(k), 1.0 / double(k - 1));
  for (std::size_t e = 0; e < moved.size(); ++e) moved[e] += 0x1p40;
  run(scores, k, q);
  run(moved, k, moved_q);
  CHECK(same_bits(q, moved_q));

  target[3] = 0;
  std::vector<std::byte> memory(weakly::sinkhorn_scratch(n, k));
  const auto with_target = [&](const std::vector<double>& x, std::vector<double>& out) {
    weakly::workspace scratch(memory);
    const auto report = weakly::sinkhorn(weakly::seq, rows(x, k), target, scratch, rows(out, k));
    CHECK(report.rows_without_support.ok());
    CHECK(report.columns_without_support.ok());
  };
  with_target(scores, q);
  for (index_t i = 0; i < n; ++i) moved[std::size_t(i * k + 3)] = 1e308;
  with_target(moved, moved_q);
  CHECK(same_bits(q, moved_q));
}

TEST_CASE("sinkhorn keeps the digits of rows that are far above or below others") {
  const std::vector<double> scores{0.5, 0.25, 0.75 + 0x1p40, 0.25 + 0x1p40};
  std::vector<double> q(4);
  run(scores, 2, q, {.epsilon = 0.5, .rounds = 1});
  // The second row is all there is in either column: what scales it to 1/2, 1/2 takes its gap of 1/2 from the first.
  CHECK(q[2] == doctest::Approx(0.5).epsilon(1e-15));
  CHECK(q[0] == doctest::Approx(1 / (1 + std::exp(0.5))).epsilon(1e-15));
}

TEST_CASE("sinkhorn takes scores of any finite size") {
  const std::vector<double> scores{1e308, 1e308, -1e308, -1e308};
  std::vector<double> q(4);
  CHECK(run(scores, 2, q).rows_without_support.ok());
  CHECK(q == std::vector<double>(4, 0.5));
}
