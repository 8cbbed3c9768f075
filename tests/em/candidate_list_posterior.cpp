// SPDX-License-Identifier: MIT
#include "em_checks.hpp"

#include <weakly/core/half.hpp>
#include <weakly/em/candidate_list_posterior.hpp>
#include <weakly/em/label_posterior.hpp>
#include <weakly/exec/thread_pool.hpp>

#include <cstdint>
#include <limits>
#include <random>

using namespace em_checks;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();

struct lists {
  std::vector<std::uint32_t> offsets{0};
  std::vector<std::int16_t> ids;

  /// Every size from none to all of k classes.
  lists(index_t n, index_t k, unsigned seed) {
    std::mt19937 random(seed);
    for (index_t i = 0; i < n; ++i) {
      const auto sure = static_cast<index_t>(random() % static_cast<unsigned>(k));
      for (index_t j = 0; j < k; ++j)
        if (j == sure || random() % 100 < static_cast<unsigned>(i % 5) * 25)
          ids.push_back(static_cast<std::int16_t>(j));
      offsets.push_back(static_cast<std::uint32_t>(ids.size()));
    }
  }
};

}  // namespace

TEST_CASE("candidate_list_posterior renormalises the softmax inside a list, in its slots") {
  const std::vector<double> logits{std::log(1.0), 700, std::log(2.0), -1000, 0, 1000};
  const std::vector<int> offsets{0, 2, 4}, ids{0, 2, 0, 2};
  std::vector<double> q = zeros(4);
  weakly::candidate_list_posterior(rows(logits, 3), weakly::candidate_lists(offsets, ids, 3), q);
  CHECK(q[0] == doctest::Approx(1.0 / 3).epsilon(1e-15));
  CHECK(q[1] == doctest::Approx(2.0 / 3).epsilon(1e-15));
  CHECK(q[2] == 0);  // logits that are 2000 apart
  CHECK(q[3] == 1);
}

TEST_CASE_TEMPLATE("a list of one has a posterior of exactly one", T, float, double) {
  const index_t n = 3000, k = 7;
  const std::vector<double> wide = normal(n, k, 30, 2);
  const std::vector<T> logits(wide.begin(), wide.end());
  std::vector<int> offsets{0}, ids;
  for (int i = 0; i < int(n); ++i) {
    ids.push_back(i % int(k));
    offsets.push_back(i + 1);
  }
  std::vector<T> q = zeros<T>(n);
  weakly::candidate_list_posterior(rows(logits, k), weakly::candidate_lists(offsets, ids, k), q);
  CHECK(q == std::vector<T>(std::size_t(n), T(1)));
}

TEST_CASE("candidate_list_posterior agrees with label_posterior, whatever the executor, layout and type") {
  for (const index_t k : {index_t(12), index_t(1500)}) {
    const index_t n = k == 12 ? 3000 : 12;
    const lists l(n, k, 3);
    const auto sets = weakly::candidate_lists(l.offsets, l.ids, k);
    const std::vector<double> logits = normal(n, k, 4, 1);
    std::vector<double> q = zeros(sets.slots()), other = q, dense = zeros(n * k);
    weakly::label_posterior(rows(logits, k), weakly::observed_sets(sets), rows(dense, k), weakly::discard,
                            weakly::discard);
    weakly::candidate_list_posterior(rows(logits, k), sets, q);
    bool equal = true;
    for (index_t i = 0; i < n; ++i)
      for (auto s = l.offsets[std::size_t(i)]; s < l.offsets[std::size_t(i) + 1]; ++s)
        equal &= close(q[s], dense[std::size_t(i * k + l.ids[s])], 1e-13);
    CHECK(equal);

    weakly::thread_pool pool(3);
    weakly::candidate_list_posterior(pool, rows(logits, k), sets, other);
    CHECK(same_bits(other, q));
    const auto by_column = transposed(logits, k);
    weakly::candidate_list_posterior(weakly::view(by_column.data(), n, k, 1, n), sets, other);
    CHECK(same_bits(other, q));

    std::vector<weakly::half> stored(logits.begin(), logits.end()), rounded(q.size());
    std::vector<float> wide, from_wide = zeros<float>(sets.slots());
    for (const weakly::half h : stored) wide.push_back(static_cast<float>(h));
    weakly::candidate_list_posterior(rows(stored, k), sets, rounded);
    weakly::candidate_list_posterior(rows(wide, k), sets, from_wide);
    equal = true;
    for (std::size_t s = 0; s < q.size(); ++s)
      equal &= static_cast<float>(rounded[s]) == static_cast<float>(weakly::half(from_wide[s])) &&
               close(double(from_wide[s]), q[s], 0.05, 1e-6);
    CHECK(equal);
  }
}

TEST_CASE("candidate_list_posterior keeps undefined and impossible rows by themselves, and looks at candidates alone") {
  const std::vector<float> logits{0, std::nanf(""), 0, std::nanf(""), 1, 1, float(inf), 1, 1, -float(inf), 1, 1, 5, 5,
                                  5};
  const std::vector<int> offsets{0, 2, 4, 6, 7, 7}, ids{0, 2, 0, 1, 0, 1, 0};
  std::vector<float> q = zeros<float>(7);
  weakly::candidate_list_posterior(rows(logits, 3), weakly::candidate_lists(offsets, ids, 3), q,
                                   {.impossible = weakly::impossible_row::keep});
  CHECK(q[0] == 0.5f);  // the NaN is no candidate
  CHECK(q[1] == 0.5f);
  for (std::size_t s = 2; s < 7; ++s) CHECK(std::isnan(q[s]));
}

#if WEAKLY_HAS_EXCEPTIONS
TEST_CASE("candidate_list_posterior says which row is malformed or impossible") {
  const std::vector<double> logits = normal(3, 4, 1, 1);
  const auto message = [&](const std::vector<int>& offsets, const std::vector<int>& ids, std::vector<double>& q) {
    try {
      weakly::candidate_list_posterior(rows(logits, 4), weakly::candidate_lists(offsets, ids, 4), q);
    } catch (const weakly::error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  std::vector<double> q(4, 7.0);
  const std::vector<int> good{0, 1, 2, 3};
  CHECK(message({0, 2, 1, 4}, good, q).find("row 1 is malformed") != std::string::npos);
  CHECK(message({0, 2, 3, 5}, good, q).find("row 2 is malformed") != std::string::npos);
  CHECK(message({-1, 2, 3, 4}, good, q).find("row 0 is malformed") != std::string::npos);
  for (const double x : q) CHECK(x == 7);
  CHECK(message({0, 1, 3, 4}, {0, 2, 1, 3}, q).find("row 1 is malformed") != std::string::npos);
  CHECK(q[1] == 7);
  CHECK(q[3] == 1);
  CHECK(message({0, 1, 3, 4}, {0, 1, 1, 3}, q).find("row 1 is malformed") != std::string::npos);
  CHECK(message({0, 1, 3, 4}, {0, 1, 2, 4}, q).find("row 2 is malformed") != std::string::npos);
  CHECK(message({0, 2, 2, 4}, good, q).find("row 1 is impossible") != std::string::npos);
  q.resize(3);
  CHECK(message({0, 1, 2, 4}, good, q).find("3 elements for 4 labels") != std::string::npos);
  const std::vector<int> mask(12, 1);
  CHECK_THROWS_AS(weakly::candidate_list_posterior(rows(logits, 4), weakly::candidate_masks(rows(mask, 4)), q),
                  weakly::shape_error);
}
#endif
