// SPDX-License-Identifier: MIT
#include "em_reference.hpp"
#include "noise/allocations.hpp"
#include "sanitizer.hpp"

#include <weakly/core/half.hpp>
#include <weakly/em/bag_count.hpp>
#include <weakly/exec/thread_pool.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>
#include <span>
#include <string>
#include <vector>

using weakly::bag_counts;
using weakly::index_t;

namespace {

constexpr double inf = std::numeric_limits<double>::infinity();
constexpr double not_a_number = std::numeric_limits<double>::quiet_NaN();

std::size_t at(index_t i) { return static_cast<std::size_t>(i); }

struct outcome {
  std::vector<double> posterior, grad;
  double loss = 0;
};

// One bag; member[a] says whether a positives are possible.
outcome infer(const std::vector<double>& logit, const std::vector<int>& member) {
  const auto b = static_cast<index_t>(logit.size());
  std::vector<std::byte> memory(weakly::bag_count_scratch(b), std::byte{0xff});  // NaN wherever nothing was written
  weakly::workspace scratch(memory);
  outcome r{std::vector<double>(logit.size()), std::vector<double>(logit.size())};
  std::vector<double> loss(1);
  weakly::bag_count(logit, std::vector<index_t>{0, b}, bag_counts::among(member), scratch, r.posterior, loss, r.grad,
                    {.impossible = weakly::impossible_row::keep});
  r.loss = loss[0];
  return r;
}

std::vector<int> set_of(index_t b, index_t lower, index_t upper) {
  std::vector<int> member(at(b + 1));
  for (index_t a = lower; a <= upper; ++a) member[at(a)] = 1;
  return member;
}

long double log_add(long double x, long double y) {
  if (x < y) std::swap(x, y);
  return std::isinf(y) ? x : x + std::log1p(std::exp(y - x));
}
long double log_sigmoid(long double x) { return x < 0 ? x - std::log1p(std::exp(x)) : -std::log1p(std::exp(-x)); }

// The recursion in logarithms, as one writes it down: O(b^2) memory and logarithms throughout.
outcome plain(const std::vector<double>& logit, const std::vector<int>& member) {
  constexpr long double nothing = -std::numeric_limits<long double>::infinity();
  const std::size_t b = logit.size();
  std::vector<std::vector<long double>> f(b + 1, std::vector<long double>(b + 2, nothing)), g = f;
  std::vector<long double> l0, l1;
  for (const double x : logit) {
    l0.push_back(log_sigmoid(-static_cast<long double>(x)));
    l1.push_back(log_sigmoid(static_cast<long double>(x)));
  }
  f[0][0] = 0;
  for (std::size_t i = 0; i < b; ++i)
    for (std::size_t j = 0; j <= i + 1; ++j)
      f[i + 1][j] = log_add(f[i][j] + l0[i], j > 0 ? f[i][j - 1] + l1[i] : nothing);
  for (std::size_t a = 0; a <= b; ++a) g[b][a] = member[a] != 0 ? 0 : nothing;
  for (std::size_t i = b; i-- > 0;)
    for (std::size_t j = 0; j <= i; ++j) g[i][j] = log_add(g[i + 1][j] + l0[i], g[i + 1][j + 1] + l1[i]);
  outcome r{std::vector<double>(b), std::vector<double>(b)};
  r.loss = static_cast<double>(-g[0][0]);
  for (std::size_t i = 0; i < b; ++i) {
    long double sum = nothing;
    for (std::size_t j = 0; j <= i; ++j) sum = log_add(sum, f[i][j] + l1[i] + g[i + 1][j + 1]);
    const long double q = std::exp(sum - g[0][0]);
    r.posterior[i] = static_cast<double>(q);
    r.grad[i] = static_cast<double>(std::exp(l1[i]) - q);
  }
  return r;
}

void check_against(const outcome& got, const outcome& want, double relative, double absolute) {
  for (std::size_t i = 0; i < want.posterior.size(); ++i) {
    CHECK_MESSAGE(std::abs(got.posterior[i] - want.posterior[i]) <= relative * want.posterior[i] + absolute, "item ", i,
                  ": ", got.posterior[i], " instead of ", want.posterior[i]);
    CHECK(std::abs(got.grad[i] - want.grad[i]) <= 2 * relative + absolute);
  }
  CHECK_MESSAGE(std::abs(got.loss - want.loss) <= relative * std::abs(want.loss) + absolute, "loss ", got.loss,
                " instead of ", want.loss);
}

std::vector<double> random_logits(index_t b, double mean, double deviation, std::mt19937::result_type seed) {
  std::mt19937 random(seed);
  std::normal_distribution<double> normal(0, 1);  // no deviation of zero is allowed there
  std::vector<double> x(at(b));
  for (double& v : x) v = mean + deviation * normal(random);
  return x;
}

}  // namespace

TEST_CASE("bag_count of two items of which one is positive is what one computes by hand") {
  const double x = std::log(3.0);  // p = 3/4 and 1/2
  const outcome r = infer({x, 0}, {0, 1, 0});
  CHECK(r.loss == doctest::Approx(std::log(2.0)).epsilon(1e-15));  // 3/8 + 1/8
  CHECK(r.posterior[0] == doctest::Approx(0.75).epsilon(1e-15));
  CHECK(r.posterior[1] == doctest::Approx(0.25).epsilon(1e-15));
  CHECK(std::abs(r.grad[0]) < 1e-16);
  CHECK(r.grad[1] == doctest::Approx(0.25).epsilon(1e-15));
}

TEST_CASE("bag_count gives the reference results") {
  const auto folder = support::reference_data("em");
  if (!folder) return;
  for (const char* name : {"groups_random.txt", "groups_nasty.txt"}) {
    const auto file = em_reference::read(*folder / name);
    int bags = 0;
    for (; file.contains("bag" + std::to_string(bags) + "_logit"); ++bags) {
      const std::string bag = "bag" + std::to_string(bags) + "_";
      CAPTURE(name);
      CAPTURE(bag);
      const auto& logit = file.at(bag + "logit").values;
      const auto b = static_cast<index_t>(logit.size()), c = static_cast<index_t>(file.at(bag + "c").values[0]);
      const std::pair<const char*, std::vector<int>> sets[] = {{"count", set_of(b, c, c)},
                                                               {"atleast1", set_of(b, 1, b)},
                                                               {"atmost", set_of(b, 0, c)},
                                                               {"none", set_of(b, 0, 0)}};
      for (const auto& [set, member] : sets) {
        CAPTURE(set);
        const outcome got = infer(logit, member);
        outcome want{file.at(bag + set + "_posterior1").values, {}};
        want.loss = -file.at(bag + set + "_loglik").values[0];
        for (std::size_t i = 0; i < logit.size(); ++i)
          want.grad.push_back(1 / (1 + std::exp(-logit[i])) - want.posterior[i]);
        check_against(got, want, 1e-10, 1e-13);
      }
    }
    CHECK(bags == (std::string(name) == "groups_random.txt" ? 5 : 4));
  }
}

TEST_CASE("bag_count is enumeration over all labelings of small bags, for every set of counts") {
  std::mt19937 random(3);
  for (index_t b = 1; b <= 10; ++b)  // every set of counts up to 6 items, some beyond
    for (const double deviation : {1.0, 30.0, 400.0}) {
      const auto logit = random_logits(b, 0, deviation, random());
      for (unsigned set = 1; set < (1u << (b + 1)); set += b <= 6 ? 1 : (1u << b) / 7) {
        std::vector<int> member;
        for (index_t a = 0; a <= b; ++a) member.push_back(set >> a & 1u);
        long double total = 0, top = -std::numeric_limits<long double>::infinity();
        std::vector<long double> positive(at(b)), score(std::size_t(1) << b);
        for (unsigned y = 0; y < (1u << b); ++y) {
          for (index_t i = 0; i < b; ++i)
            score[y] += log_sigmoid((y >> i & 1u) != 0 ? static_cast<long double>(logit[at(i)])
                                                       : -static_cast<long double>(logit[at(i)]));
          if (member[static_cast<std::size_t>(__builtin_popcount(y))] != 0) top = std::max(top, score[y]);
        }
        for (unsigned y = 0; y < (1u << b); ++y) {
          if (member[static_cast<std::size_t>(__builtin_popcount(y))] == 0) continue;
          const long double e = std::exp(score[y] - top);
          total += e;
          for (index_t i = 0; i < b; ++i)
            if ((y >> i & 1u) != 0) positive[at(i)] += e;
        }
        outcome want{std::vector<double>(at(b)), std::vector<double>(at(b))};
        want.loss = static_cast<double>(-(top + std::log(total)));
        for (index_t i = 0; i < b; ++i) {
          want.posterior[at(i)] = static_cast<double>(positive[at(i)] / total);
          want.grad[at(i)] = static_cast<double>(std::exp(log_sigmoid(static_cast<long double>(logit[at(i)]))) -
                                                 positive[at(i)] / total);
        }
        CAPTURE(b);
        CAPTURE(set);
        CAPTURE(deviation);
        check_against(infer(logit, member), want, 1e-13, 1e-14);
      }
    }
}

TEST_CASE("bag_count is the recursion in logarithms, however improbable the set") {
  std::mt19937 random(8);
  for (const index_t b : {index_t(10), index_t(37), index_t(257)})
    for (const double mean : {-30.0, -3.0, 0.0, 4.0, 200.0})
      for (const double deviation : {0.0, 1.0, 10.0, 300.0}) {
        if (support::sanitized && b == 257 && deviation != 10) continue;
        const auto logit = random_logits(b, mean, deviation, random());
        std::vector<int> even(at(b + 1)), ends(at(b + 1)), sparse(at(b + 1));
        for (index_t a = 0; a <= b; ++a) {
          even[at(a)] = a % 2 == 0;
          sparse[at(a)] = random() % 16 == 0;
        }
        sparse[at(b / 3)] = 1;
        ends.front() = ends.back() = 1;
        for (const auto& member : {set_of(b, 0, 0), set_of(b, 1, 1), set_of(b, b / 2, b / 2), set_of(b, b - 1, b - 1),
                                   set_of(b, b, b), set_of(b, 1, b), set_of(b, 0, 2), set_of(b, b / 4, b / 3),
                                   set_of(b, 0, b - 1), set_of(b, b - 2, b), even, ends, sparse}) {
          CAPTURE(b);
          CAPTURE(mean);
          CAPTURE(deviation);
          CAPTURE(member);
          check_against(infer(logit, member), plain(logit, member), 1e-11, 1e-13);
        }
      }
}

TEST_CASE("bag_count of 4096 items stays exact for logits of 800, and of 1e30 that differ by rounding alone") {
  const index_t b = 4096;
  std::mt19937 random(5);
  std::vector<double> logit(at(b));
  for (double& x : logit) x = random() % 2 == 0 ? 800 : -800;
  logit[0] = 3;
  logit[1] = 1;
  const index_t certain = std::count(logit.begin(), logit.end(), 800.0);
  const outcome one = infer(logit, set_of(b, certain + 1, certain + 1));  // one of the two that are open
  const double odds = std::exp(2.0);                                      // p0 (1 - p1) : (1 - p0) p1
  CHECK(one.posterior[0] == doctest::Approx(odds / (1 + odds)).epsilon(1e-13));
  CHECK(one.posterior[1] == doctest::Approx(1 / (1 + odds)).epsilon(1e-13));
  CHECK(std::accumulate(one.posterior.begin(), one.posterior.end(), 0.0) == double(certain + 1));

  // Ten more than the certain ones and the open two: by symmetry the negative ones share them.
  const outcome more = infer(logit, set_of(b, certain + 12, certain + 12));
  const double share = 10.0 / double(b - 2 - certain);
  for (index_t i = 2; i < b; ++i)
    CHECK(more.posterior[at(i)] == doctest::Approx(logit[at(i)] > 0 ? 1.0 : share).epsilon(1e-12));
  CHECK(more.loss ==
        doctest::Approx(8000 - std::lgamma(double(b - 1 - certain)) + std::lgamma(11.0) +
                        std::lgamma(double(b - 11 - certain)) + std::log1p(std::exp(-3.0)) + std::log1p(std::exp(-1.0)))
            .epsilon(1e-12));

  const outcome far = infer(std::vector<double>(at(b), 1e30), set_of(b, 1, 1));
  CHECK(far.posterior[7] == doctest::Approx(1 / double(b)).epsilon(1e-12));
  CHECK(far.loss == doctest::Approx(1e30 * double(b - 1)).epsilon(1e-12));
}

TEST_CASE("bag_count: counts on both sides share out one, where log 2 is lost beside the loss") {
  // One of the four is not what its score says, and by symmetry any of them is equally so.
  const outcome r = infer({1e300, 1e300, -1e300, -1e300}, {0, 1, 0, 1, 0});
  CHECK(r.loss == 1e300);
  for (const std::size_t i : {0u, 1u}) CHECK(r.posterior[i] == doctest::Approx(0.75));
  for (const std::size_t i : {2u, 3u}) CHECK(r.posterior[i] == doctest::Approx(0.25));
}

TEST_CASE("bag_count: posteriors given one count add up to it") {
  std::mt19937 random(11);
  for (const index_t b : {index_t(5), index_t(100), index_t(1500)})
    for (const double deviation : {1.0, 20.0, 300.0}) {
      const auto logit = random_logits(b, -1, deviation, random());
      for (const index_t c : {index_t(0), index_t(1), b / 7, b / 2, b - 1, b}) {
        const outcome r = infer(logit, set_of(b, c, c));
        CHECK(std::accumulate(r.posterior.begin(), r.posterior.end(), 0.0) ==
              doctest::Approx(double(c)).epsilon(1e-12));
      }
    }
}

TEST_CASE("bag_count: a set and its complement have probability one, every count means nothing was observed") {
  const index_t b = 61;
  for (const double deviation : {1.0, 15.0}) {
    const auto logit = random_logits(b, 0.3, deviation, 7);
    std::mt19937 random(2);
    std::vector<int> member, others;
    for (index_t a = 0; a <= b; ++a) {
      member.push_back(random() % 3 == 0);
      others.push_back(1 - member.back());
    }
    CHECK(std::exp(-infer(logit, member).loss) + std::exp(-infer(logit, others).loss) ==
          doctest::Approx(1.0).epsilon(1e-13));
    const outcome all = infer(logit, set_of(b, 0, b));
    CHECK(all.loss == 0);
    CHECK_FALSE(std::signbit(all.loss));
    for (index_t i = 0; i < b; ++i) {
      CHECK(all.grad[at(i)] == 0);
      CHECK(all.posterior[at(i)] == doctest::Approx(1 / (1 + std::exp(-logit[at(i)]))).epsilon(1e-15));
    }
  }
}

TEST_CASE("bag_count permutes with its items, and with classes exchanged counts from the other end") {
  const index_t b = 90;
  const auto logit = random_logits(b, 1, 4, 3);
  std::vector<double> reversed(logit.rbegin(), logit.rend()), negated;
  for (const double x : logit) negated.push_back(-x);
  const outcome r = infer(logit, set_of(b, 10, 12)), back = infer(reversed, set_of(b, 10, 12)),
                exchanged = infer(negated, set_of(b, b - 12, b - 10));
  CHECK(back.loss == doctest::Approx(r.loss).epsilon(1e-13));
  CHECK(exchanged.loss == doctest::Approx(r.loss).epsilon(1e-13));
  for (index_t i = 0; i < b; ++i) {
    CHECK(back.posterior[at(b - 1 - i)] == doctest::Approx(r.posterior[at(i)]).epsilon(1e-12));
    CHECK(exchanged.grad[at(i)] == doctest::Approx(-r.grad[at(i)]).epsilon(1e-12));
  }
}

TEST_CASE("bag_count: the gradient is that of the loss") {
  for (const double mean : {-2.0, 0.0, 3.0}) {
    const index_t b = 12;
    auto logit = random_logits(b, mean, 2, 4);
    for (const auto& member : {set_of(b, 5, 5), set_of(b, 1, b), set_of(b, 0, 3), set_of(b, 4, 6)}) {
      const outcome r = infer(logit, member);
      for (index_t i = 0; i < b; ++i) {
        const double h = 1e-5, x = logit[at(i)];
        logit[at(i)] = x + h;
        const double up = plain(logit, member).loss;
        logit[at(i)] = x - h;
        const double down = plain(logit, member).loss;
        logit[at(i)] = x;
        CHECK(r.grad[at(i)] == doctest::Approx((up - down) / (2 * h)).epsilon(1e-6).scale(1));
      }
    }
  }
}

TEST_CASE("bag_count: logits of infinity are items that are known") {
  const outcome r = infer({inf, 0.5, -inf, -1, inf}, set_of(5, 3, 3));
  const outcome open = infer({0.5, -1}, set_of(2, 1, 1));
  CHECK(r.posterior[0] == 1);
  CHECK(r.posterior[2] == 0);
  CHECK(r.posterior[1] == doctest::Approx(open.posterior[0]).epsilon(1e-15));
  CHECK(r.loss == doctest::Approx(open.loss).epsilon(1e-15));
  CHECK(r.grad[0] == 0);
  CHECK(r.grad[2] == 0);
  const outcome fixed = infer({inf, -inf}, set_of(2, 1, 1));
  CHECK(fixed.loss == 0);
  CHECK(fixed.posterior == std::vector<double>{1, 0});
  CHECK(infer({inf, 900, 0}, set_of(3, 1, 1)).loss == doctest::Approx(900 + std::log(2.0)).epsilon(1e-15));
  CHECK(infer({inf, inf, 0}, set_of(3, 0, 1)).loss == inf);
  CHECK(infer({-inf, 0}, set_of(2, 2, 2)).loss == inf);
}

TEST_CASE("bag_count of many bags is each bag on its own: every kind of set, executor, type and workspace") {
  const std::vector<std::int32_t> begin{0, 0, 1, 40, 41, 300, 310, 310};
  const index_t m = 7, n = 310;
  const auto logit = random_logits(n, 0, 3, 6);
  const std::vector<std::uint8_t> lower{0, 1, 7, 0, 100, 2, 0}, upper{0, 1, 9, 0, 120, 9, 3};
  std::vector<double> posterior(at(n)), grad(at(n)), loss(at(m));
  const auto run = [&](auto&& ex, const auto& x, const bag_counts& counts, std::size_t bytes, auto& q, auto& l,
                       auto& g) {
    std::vector<std::byte> memory(bytes);
    weakly::workspace scratch(memory);
    weakly::bag_count(ex, x, begin, counts, scratch, q, l, g);
  };
  const std::size_t one = weakly::bag_count_scratch(259), eight = weakly::bag_count_scratch(259, 8);
  run(weakly::seq, logit, bag_counts::between(lower, upper), one, posterior, loss, grad);
  for (index_t i = 0; i < m; ++i) {
    const auto first = logit.begin() + begin[at(i)], last = logit.begin() + begin[at(i + 1)];
    const outcome r =
        infer({first, last}, set_of(last - first, lower[at(i)], std::min<index_t>(upper[at(i)], last - first)));
    CHECK(loss[at(i)] == r.loss);
    CHECK(std::equal(r.posterior.begin(), r.posterior.end(), posterior.begin() + begin[at(i)]));
    CHECK(std::equal(r.grad.begin(), r.grad.end(), grad.begin() + begin[at(i)]));
  }

  weakly::thread_pool pool(3);
  std::vector<double> q(at(n)), g(at(n)), l(at(m));
  run(pool, logit, bag_counts::between(lower, upper), eight, q, l, g);
  CHECK(q == posterior);
  CHECK(g == grad);
  CHECK(l == loss);
  q = logit;
  {
    std::vector<std::byte> memory(one);
    weakly::workspace scratch(memory);
    weakly::bag_count(q, begin, bag_counts::between(lower, upper), scratch, q, weakly::discard, weakly::discard);
  }
  CHECK(q == posterior);

  run(weakly::seq, logit, bag_counts::at_least(lower), one, posterior, loss, grad);
  run(weakly::seq, logit, bag_counts::between(lower, std::vector<int>(at(m), 1000)), one, q, l, g);
  CHECK(q == posterior);
  CHECK(l == loss);
  run(weakly::seq, logit, bag_counts::at_most(upper), one, posterior, loss, grad);
  run(weakly::seq, logit, bag_counts::between(std::vector<int>(at(m), -5), upper), one, q, l, g);
  CHECK(q == posterior);
  CHECK(l == loss);
  run(weakly::seq, logit, bag_counts::of_prior(std::vector<float>(at(m), 0.25f)), one, posterior, loss, grad);
  run(weakly::seq, logit, bag_counts::exactly(std::vector<long>{0, 0, 9, 0, 64, 2, 0}), one, q, l, g);
  CHECK(q == posterior);
  CHECK(l == loss);

  std::vector<float> single(logit.begin(), logit.end()), q_single(at(n)), g_single(at(n)), l_single(at(m));
  const std::vector<double> rounded(single.begin(), single.end());
  run(weakly::seq, rounded, bag_counts::at_most(upper), one, posterior, loss, grad);
  run(weakly::seq, single, bag_counts::at_most(upper), one, q_single, l_single, g_single);
  for (index_t i = 0; i < n; ++i) CHECK(q_single[at(i)] == static_cast<float>(posterior[at(i)]));
  for (index_t i = 0; i < m; ++i) CHECK(l_single[at(i)] == static_cast<float>(loss[at(i)]));
}

TEST_CASE_TEMPLATE("bag_count reads and writes what is stored in two bytes", T, weakly::half, weakly::bfloat16) {
  const std::vector<int> begin{0, 3, 40}, count{1, 9};
  std::vector<T> logit, q(40), loss(2), grad(40);
  std::vector<double> exact, want(40), want_loss(2), want_grad(40);
  for (const double x : random_logits(40, 0, 3, 8)) {
    logit.push_back(static_cast<T>(static_cast<float>(x)));
    exact.push_back(static_cast<double>(static_cast<float>(logit.back())));
  }
  std::vector<std::byte> memory(weakly::bag_count_scratch(37));
  const auto run = [&](const auto& x, auto& a, auto& b, auto& c) {
    weakly::workspace scratch(memory);
    weakly::bag_count(x, begin, bag_counts::exactly(count), scratch, a, b, c);
  };
  run(logit, q, loss, grad);
  run(exact, want, want_loss, want_grad);
  const auto rounded = [](double x) { return static_cast<float>(static_cast<T>(static_cast<float>(x))); };
  for (index_t i = 0; i < 40; ++i) {
    CHECK(static_cast<float>(q[at(i)]) == rounded(want[at(i)]));
    CHECK(static_cast<float>(grad[at(i)]) == rounded(want_grad[at(i)]));
  }
  for (index_t i = 0; i < 2; ++i) CHECK(static_cast<float>(loss[at(i)]) == rounded(want_loss[at(i)]));
}

TEST_CASE("bag_count: the count of a prior is cut, not rounded") {
  std::vector<double> member(101);
  const std::vector<double> prior{0.29};
  bag_counts::of_prior(prior).members(0, 0, 100, member.data());
  CHECK(std::find(member.begin(), member.end(), 1.0) - member.begin() == 28);
}

TEST_CASE("bag_count allocates nothing") {
  const auto logit = random_logits(500, 0, 3, 6);
  const std::vector<int> begin{0, 200, 500}, count{10, 290};
  std::vector<double> q(500), loss(2);
  std::vector<std::byte> memory(weakly::bag_count_scratch(300));
  weakly::workspace scratch(memory);
  CHECK(allocations::during([&] {
          weakly::bag_count(logit, begin, bag_counts::exactly(count), scratch, q, loss, weakly::discard);
        }) == 0);
}

TEST_CASE("bag_count keeps NaN and what is impossible in their bag") {
  const std::vector<double> logit{1, not_a_number, 2, 3, 4, 5};
  const std::vector<int> begin{0, 2, 4, 6}, count{1, 3, 1};
  std::vector<double> q(6), loss(3), grad(6);
  std::vector<std::byte> memory(weakly::bag_count_scratch(2));
  const auto run = [&](const weakly::bag_count_options& options) {
    weakly::workspace scratch(memory);
    weakly::bag_count(logit, begin, bag_counts::exactly(count), scratch, q, loss, grad, options);
  };
  run({.impossible = weakly::impossible_row::keep});
  CHECK(std::isnan(loss[0]));
  CHECK(loss[1] == inf);
  CHECK(std::isfinite(loss[2]));
  for (std::size_t i = 0; i < 6; ++i) {
    CHECK(std::isnan(q[i]) == (i < 4));
    CHECK(std::isnan(grad[i]) == (i < 4));
  }
#if WEAKLY_HAS_EXCEPTIONS
  loss.assign(3, 0);
  try {
    run({});
    FAIL("nothing was thrown");
  } catch (const weakly::value_error& e) {
    CHECK(std::string(e.what()).find("bag_count: the observation of bag 1 is impossible") == 0);
  }
  CHECK(std::isfinite(loss[2]));
  CHECK(loss[2] != 0);
#endif
}

#if WEAKLY_HAS_EXCEPTIONS
TEST_CASE("bag_count refuses bags that do not add up, counts of other bags, too little scratch and bad priors") {
  const std::vector<double> logit{1, 2, 3, 4};
  std::vector<double> q(4), fewer(3), loss(2);
  std::vector<std::byte> memory(weakly::bag_count_scratch(4));
  const std::vector<int> count{1, 1};
  const auto run = [&](const std::vector<int>& begin, const bag_counts& counts, std::size_t bytes, auto& to) {
    weakly::workspace scratch(std::span<std::byte>(memory).first(bytes));
    weakly::bag_count(logit, begin, counts, scratch, to, loss, weakly::discard);
  };
  const auto exact = bag_counts::exactly(count);
  CHECK_NOTHROW(run({0, 2, 4}, exact, memory.size(), q));
  for (const auto& begin :
       {std::vector<int>{}, {0, 2, 3}, {0, 2, 5}, {1, 2, 4}, {0, 5, 4}, {0, 3, 2}, {0, -1, 4}, {0, 2, -4}})
    CHECK_THROWS_AS(run(begin, exact, memory.size(), q), weakly::shape_error);
  CHECK_THROWS_AS(run({0, 4}, exact, memory.size(), q), weakly::shape_error);
  CHECK_THROWS_AS(run({0, 2, 4}, bag_counts::among(count), memory.size(), q), weakly::shape_error);
  CHECK_THROWS_AS(run({0, 2, 4}, exact, memory.size(), fewer), weakly::shape_error);
  CHECK_THROWS_AS(run({0, 2, 4}, exact, 100, q), weakly::workspace_error);
  CHECK_THROWS_AS(bag_counts::between(count, std::vector<int>{1}), weakly::shape_error);
  for (const double bad : {-0.1, 1.1, not_a_number})
    CHECK_THROWS_AS(bag_counts::of_prior(std::vector<double>{bad}), weakly::value_error);
}
#endif

TEST_CASE("bag_count keeps the digits of small logits where great ones cancel between the two sides of a set") {
  for (const double great : {1e3, 1e8, 1e12, 1e17, 1e300, 1.7e308}) {
    CAPTURE(great);
    for (const std::vector<double>& x :
         {std::vector<double>{great, -great, 3}, {3, great, -great}, {great, 3, -great}}) {
      const outcome r = infer(x, {1, 0, 0, 1});
      for (const double q : r.posterior) CHECK(q == doctest::Approx(1 / (1 + std::exp(-3.0))).epsilon(1e-14));
    }
    // None, or all but one: the one is the last or, next to it, the one before.
    const outcome r = infer({great, -great, 2, -great}, {1, 0, 0, 1, 0});
    CHECK(r.posterior[0] == doctest::Approx(1 / (1 + std::exp(-2.0) / 2)).epsilon(great > 1e4 ? 1e-14 : 1e-13));
    CHECK(r.posterior[1] == doctest::Approx(r.posterior[0] / 2).epsilon(1e-13));
  }
  const std::vector<double> x{1e8, -1e8, 3, -2, 1};
  for (int set = 1; set < 1 << 6; ++set) {
    CAPTURE(set);
    std::vector<int> member;
    for (int a = 0; a < 6; ++a) member.push_back(set >> a & 1);
    check_against(infer(x, member), plain(x, member), 1e-10, 1e-10);
  }
}

TEST_CASE("bag_count: a loss that no double holds is the greatest one, and its bag is possible") {
  const std::vector<double> x(20, -1e308);
  std::vector<double> q(20), g(20), loss(1);
  std::vector<std::byte> memory(weakly::bag_count_scratch(20));
  weakly::workspace scratch(memory);
  weakly::bag_count(x, std::vector<int>{0, 20}, bag_counts::exactly(std::vector<int>{20}), scratch, q, loss, g);
  CHECK(loss[0] == std::numeric_limits<double>::max());
  CHECK(q == std::vector<double>(20, 1));
  CHECK(g == std::vector<double>(20, -1));
}

#if WEAKLY_HAS_EXCEPTIONS
TEST_CASE("bag_count says of bags and items what is wrong with its outputs") {
  const std::vector<double> logit{1, 2, 3, 4};
  const std::vector<int> begin{0, 2, 4}, count{1, 1};
  std::vector<std::byte> memory(weakly::bag_count_scratch(2));
  std::vector<double> three(3);
  const auto message = [&](auto&& posterior, auto&& loss) {
    weakly::workspace scratch(memory);
    try {
      weakly::bag_count(logit, begin, bag_counts::exactly(count), scratch, posterior, loss, weakly::discard);
    } catch (const weakly::shape_error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  CHECK(message(weakly::discard, three).find("loss has 3 elements for 2 bags") != std::string::npos);
  CHECK(message(three, weakly::discard).find("posterior has 3 elements for 4 items") != std::string::npos);
}
#endif
