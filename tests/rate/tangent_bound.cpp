// SPDX-License-Identifier: MIT
#include "coding_rate_oracle.hpp"
#include "sanitizer.hpp"

#include <weakly/exec/thread_pool.hpp>
#include <weakly/rate/tangent_bound.hpp>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <vector>

using namespace coding_rate_oracle;
using weakly::covariance_accumulator;
using weakly::discard;
using weakly::membership_view;
using weakly::seq;
using weakly::tangent_bound;

namespace {

constexpr double eps_squared = 0.3;

covariance_accumulator accumulated(const data& a) {
  covariance_accumulator c(a.k, a.d);
  c.add_block(a.features(), a.soft());
  return c;
}

tangent_bound refreshed(const data& a) {
  tangent_bound bound(a.k, a.d, eps_squared);
  bound.refresh(accumulated(a));
  return bound;
}

double exact(const data& a) { return double(rate_of_classes(a, eps_squared)); }

struct gradients {
  double value;
  reals features, memberships;
};
gradients at(const tangent_bound& bound, const data& a) {
  gradients g{0, reals(a.z.size()), reals(a.pi.size())};
  g.value = bound.value_and_gradient(seq, a.features(), a.soft(), weakly::view(g.features.data(), a.n, a.d),
                                     weakly::view(g.memberships.data(), a.n, a.k));
  return g;
}

// Makes a row belong to one class.
void set_label(data& a, index_t i, index_t y) {
  for (index_t c = 0; c < a.k; ++c) a.pi[std::size_t(i * a.k + c)] = c == y ? 1 : 0;
  if (!a.label.empty()) a.label[std::size_t(i)] = y;
}

}  // namespace

TEST_CASE("tangent_bound of one class and one feature worked by hand") {
  // C = 1 + 4, M = 1 + (1 / 0.5) 5 / 2 = 6, Q = 1 / 6; later C = 2, M = 3: log 3 <= 3 / 6 + log 6 - 1
  const reals z{1, 2};
  covariance_accumulator first(1, 1), later(1, 1);
  const std::vector<int> label{0, 0};
  const membership_view members = membership_view::hard(label, 1);
  first.add_block(weakly::view(z.data(), 2, 1), members);
  later.add(reals{1}, 0);
  later.add(reals{1}, 0);
  tangent_bound bound(1, 1, 0.5);
  CHECK(bound.value(later) == doctest::Approx((3.0 - 1) / 2));  // Q = I
  bound.refresh(first);
  CHECK(bound.value(first) == doctest::Approx(std::log(6.0) / 2));
  CHECK(bound.value(later) == doctest::Approx((0.5 + std::log(6.0) - 1) / 2));
  reals g(2);
  CHECK(bound.value_and_gradient(seq, weakly::view(z.data(), 2, 1), members, weakly::view(g.data(), 2, 1), discard) ==
        doctest::Approx(std::log(6.0) / 2));
  CHECK(g[1] == doctest::Approx(2.0 / 2 * 2 / 6));
}

TEST_CASE(
    "tangent_bound equals R_c where it was refreshed, for all stored cases, from covariances and from the batch") {
  for (const stored& s : stored_cases()) {
    CAPTURE(s.name);
    const covariance_accumulator c = accumulated(s.input);
    tangent_bound bound(s.input.k, s.input.d, s.eps_squared);
    CHECK(bound.value(c) >= s.classes);
    bound.refresh(c);
    CHECK(bound.value(c) == doctest::Approx(s.classes).epsilon(1e-10));
    CHECK(bound.value_and_gradient(seq, s.input.features(), s.input.soft(), discard, discard) ==
          doctest::Approx(s.classes).epsilon(1e-10));
  }
}

TEST_CASE("tangent_bound has the gradients of R_c where it was refreshed") {
  for (const bool soft : {false, true}) {
    data a = make_data(40, 7, 3, 2, soft);
    const gradients g = at(refreshed(a), a);
    for (std::size_t e = 0; e < a.z.size(); e += 5)
      CHECK(g.features[e] ==
            doctest::Approx(slope(a.z[e], [&] { return rate_of_classes(a, eps_squared); })).epsilon(2e-7));
    if (!soft) continue;  // at the rim of the simplex there is no central difference
    for (std::size_t e = 0; e < a.pi.size(); e += 3)
      CHECK(g.memberships[e] ==
            doctest::Approx(slope(a.pi[e], [&] { return rate_of_classes(a, eps_squared); })).epsilon(2e-7));
  }
}

TEST_CASE("tangent_bound: gradients of stale factors are those of its value, of labels and of memberships") {
  const data old = make_data(40, 6, 3, 3);
  const tangent_bound bound = refreshed(old);
  for (const bool soft : {false, true}) {
    data a = make_data(70, 6, 3, 4, soft);
    const gradients g = at(bound, a);
    CHECK(bound.value(accumulated(a)) == doctest::Approx(g.value).epsilon(1e-13));
    const auto value = [&] {
      return static_cast<long double>(bound.value_and_gradient(seq, a.features(), a.soft(), discard, discard));
    };
    for (std::size_t e = 0; e < a.z.size(); e += 7)
      CHECK(std::abs(g.features[e] - slope(a.z[e], value, 1e-3)) < 1e-10);  // quadratic
    if (soft) {
      for (std::size_t e = 0; e < a.pi.size(); e += 7)
        CHECK(std::abs(g.memberships[e] - slope(a.pi[e], value, 5e-5)) < 1e-10);  // linear
      continue;
    }
    reals features(a.z.size()), memberships(a.pi.size());
    const auto to = weakly::view(features.data(), a.n, a.d);
    CHECK(bound.value_and_gradient(seq, a.features(), a.hard(), to, discard) ==
          doctest::Approx(g.value).epsilon(1e-14));
    for (std::size_t e = 0; e < features.size(); ++e)
      CHECK(features[e] == doctest::Approx(g.features[e]).epsilon(1e-13));
    bound.value_and_gradient(seq, a.features(), a.hard(), discard, weakly::view(memberships.data(), a.n, a.k));
    CHECK(memberships == g.memberships);
  }
}

TEST_CASE("tangent_bound of sparse memberships has a number for each entry, and that of a class listed twice twice") {
  const data old = make_data(40, 6, 3, 3), a = make_data(150, 6, 3, 4, true);
  const tangent_bound bound = refreshed(old);
  const gradients g = at(bound, a);
  std::vector<int> begin{0}, classes;
  reals weights;
  for (index_t i = 0; i < a.n; ++i) {
    for (const index_t c : {2, 0, 1, 0}) {
      classes.push_back(int(c));
      weights.push_back(a.pi[std::size_t(i * a.k + c)] / (c == 0 ? 2 : 1));
    }
    begin.push_back(int(classes.size()));
  }
  reals features(a.z.size()), memberships(classes.size());
  CHECK(bound.value_and_gradient(seq, a.features(), membership_view::sparse(begin, classes, weights, 3),
                                 weakly::view(features.data(), a.n, a.d),
                                 memberships) == doctest::Approx(g.value).epsilon(1e-14));
  for (std::size_t e = 0; e < features.size(); ++e) CHECK(features[e] == doctest::Approx(g.features[e]).epsilon(1e-13));
  for (std::size_t e = 0; e < classes.size(); ++e)
    CHECK(memberships[e] == g.memberships[e / 4 * 3 + std::size_t(classes[e])]);
}

TEST_CASE("tangent_bound is above R_c wherever it was refreshed") {
  for (unsigned seed = 0; seed < 30; ++seed) {
    const data a = make_data(30, 5, 3, seed, seed % 2 == 0), b = make_data(20, 5, 3, 100 + seed, seed % 3 == 0);
    const tangent_bound bound = refreshed(a);
    CHECK(bound.value(accumulated(b)) >= exact(b));
    CHECK(tangent_bound(3, 5, eps_squared).value(accumulated(b)) >= exact(b));
  }
}

TEST_CASE("tangent_bound: the step of the features and the step of the labels never raise R_c") {
  for (unsigned seed = 0; seed < 6; ++seed) {
    data a = make_data(60, 6, 3, seed, seed % 2 == 0);
    double rate = exact(a);
    for (int round = 0; round < 5; ++round) {
      const tangent_bound bound = refreshed(a);
      const gradients g = at(bound, a);
      for (std::size_t e = 0; e < a.z.size(); ++e) a.z[e] -= double(a.n) * eps_squared / double(a.d) * g.features[e];
      const double below = bound.value(accumulated(a)), now = exact(a);
      CHECK(below <= rate);
      CHECK(now <= below * (1 + 1e-14));
      rate = now;
      for (std::size_t e = 0; e < a.z.size(); ++e) a.z[e] *= 1.5;  // as normalising rows would
      rate = exact(a);
    }
    for (index_t i = 0; i < a.n; ++i) set_label(a, i, (i * 7 + index_t(seed)) % a.k);
    rate = exact(a);
    bool moved = true;
    int rounds = 0;
    for (; moved && rounds < 50; ++rounds) {
      const gradients g = at(refreshed(a), a);
      moved = false;
      for (index_t i = 0; i < a.n; ++i) {
        const auto row = std::span(g.memberships).subspan(std::size_t(i * a.k), std::size_t(a.k));
        const index_t y = std::min_element(row.begin(), row.end()) - row.begin();
        moved = moved || a.pi[std::size_t(i * a.k + y)] == 0;
        set_label(a, i, y);
      }
      const double now = exact(a);
      CHECK(now <= rate * (1 + 1e-13));
      rate = now;
    }
    CHECK(rounds > 1);
    CHECK(!moved);
  }
}

TEST_CASE_TEMPLATE("tangent_bound has the same bits for every executor, layout and place", T, float, double) {
  const data a = make_data(300, 37, 4, 5, true);
  const covariance_accumulator c = accumulated(a);
  weakly::thread_pool pool(3);
  tangent_bound one(a.k, a.d, eps_squared), threads(a.k, a.d, eps_squared);
  one.refresh(c);
  threads.refresh(pool, c);
  std::vector<T> z(a.z.begin(), a.z.end()), by_column(z.size()), pi(a.pi.begin(), a.pi.end());
  for (index_t i = 0; i < a.n; ++i)
    for (index_t j = 0; j < a.d; ++j) by_column[std::size_t(j * a.n + i)] = z[std::size_t(i * a.d + j)];
  const auto columns = weakly::view(by_column.data(), a.n, a.d, 1, a.n);
  const auto of = [&](const membership_view& memberships) {
    std::vector<T> gz(z.size()), gz2 = z, gp(pi.size()), gp2(pi.size());
    const auto rows = weakly::view(gz.data(), a.n, a.d), place = weakly::view(gz2.data(), a.n, a.d);
    const double v = one.value_and_gradient(seq, columns, memberships, rows, weakly::view(gp.data(), a.n, a.k));
    const double w = threads.value_and_gradient(pool, place, memberships, place, weakly::view(gp2.data(), a.n, a.k));
    CHECK(v == w);
    CHECK(same_bits(gz, gz2));
    CHECK(same_bits(gp, gp2));
    gz2 = z;
    std::vector<T> gz3(z.size());
    CHECK(one.value_and_gradient(pool, place, memberships, place, discard) ==
          threads.value_and_gradient(seq, columns, memberships, weakly::view(gz3.data(), a.n, a.d), discard));
    CHECK(same_bits(gz2, gz3));
  };
  of(a.hard());
  of(membership_view::soft(weakly::view(pi.data(), a.n, a.k)));
}

TEST_CASE("tangent_bound: an empty class keeps its factor, and no rows give zero") {
  data a = make_data(30, 4, 3, 6);
  tangent_bound bound = refreshed(a);
  const gradients before = at(bound, a);
  data b = a;
  for (index_t i = 0; i < b.n; ++i)
    if (b.label[std::size_t(i)] == 1) set_label(b, i, 0);
  bound.refresh(accumulated(b));
  CHECK(bound.value(accumulated(b)) == doctest::Approx(exact(b)).epsilon(1e-13));
  const gradients after = at(bound, a);
  for (index_t i = 0; i < a.n; ++i)
    CHECK(after.memberships[std::size_t(i * a.k + 1)] == before.memberships[std::size_t(i * a.k + 1)]);
  CHECK(bound.value(accumulated(a)) >= exact(a));

  const std::vector<int> no_label;
  CHECK(bound.value(covariance_accumulator(3, 4)) == 0);
  CHECK(bound.value_and_gradient(seq, weakly::view(static_cast<const double*>(nullptr), 0, 4),
                                 membership_view::hard(no_label, 3), discard, discard) == 0);
}

TEST_CASE("tangent_bound refuses what does not fit and writes nothing then") {
  CHECK_THROWS_AS(tangent_bound(0, 3, 0.5), weakly::option_error);
  CHECK_THROWS_AS(tangent_bound(2, 0, 0.5), weakly::option_error);
  for (const double bad : {0.0, -1.0, std::nan(""), std::numeric_limits<double>::infinity()})
    CHECK_THROWS_AS(tangent_bound(2, 3, bad), weakly::option_error);
  data a = make_data(10, 4, 3, 6);
  tangent_bound bound = refreshed(a);
  CHECK_THROWS_AS(bound.refresh(covariance_accumulator(2, 4)), weakly::shape_error);
  CHECK_THROWS_AS(bound.value(covariance_accumulator(3, 5)), weakly::shape_error);
  covariance_accumulator broken = accumulated(a);
  broken.state()[4] = -1e9;
  CHECK_THROWS_AS(bound.refresh(broken), weakly::value_error);
  CHECK(bound.value(accumulated(a)) >= exact(a) * (1 - 1e-13));

  const std::vector<int> threes(10, 3);
  reals g(std::size_t(40)), gp(std::size_t(30));
  const auto to = weakly::view(g.data(), 10, 4), to_memberships = weakly::view(gp.data(), 10, 3);
  CHECK_THROWS_AS(bound.value_and_gradient(seq, a.features(), a.hard(), weakly::view(g.data(), 4, 10), discard),
                  weakly::shape_error);
  CHECK_THROWS_AS(bound.value_and_gradient(seq, a.features(), a.hard(), discard, to), weakly::shape_error);
  CHECK_THROWS_AS(bound.value_and_gradient(seq, a.features(), membership_view::hard(threes, 3), to, discard),
                  weakly::label_error);
  a.pi[3] = -0.1;
  CHECK_THROWS_AS(bound.value_and_gradient(seq, a.features(), a.soft(), to, to_memberships), weakly::value_error);
  a.z[7] = std::nan("");
  CHECK_THROWS_AS(bound.value_and_gradient(seq, a.features(), a.hard(), to, to_memberships), weakly::value_error);
  CHECK(g == reals(40));
  CHECK(gp == reals(30));
}

TEST_CASE("tangent_bound never returns what overflowed") {
  covariance_accumulator great(2, 3), fine(2, 3);
  great.add(reals{1, 2, 3}, 0);
  great.add(reals{1e200, -1e200, 0}, 1);
  great.add(reals{1e200, 1e200, 0}, 1);  // inf - inf
  fine.add(reals{1, 2, 3}, 0);
  tangent_bound bound(2, 3, 0.5);
  bound.refresh(fine);
  CHECK_THROWS_WITH_AS(bound.value(great),
                       "tangent_bound::value: the covariance of class 1 overflows, holds a NaN, or is too large for "
                       "this eps_squared",
                       weakly::value_error);
  reals z{1, 2, 3, 1, 1e200, -1e200, 1, 0, 1}, g(9, 7.0);
  const std::vector<int> y{0, 0, 1};
  CHECK_THROWS_WITH_AS(bound.value_and_gradient(seq, weakly::view(z.data(), 3, 3), membership_view::hard(y, 2),
                                                weakly::view(g.data(), 3, 3), discard),
                       "tangent_bound::value_and_gradient: feature 1 of row 1 is 1e+200 (1 such row); its square "
                       "overflows: scale the features down, or take a greater eps_squared",
                       weakly::value_error);
  CHECK(g == reals(9, 7.0));
}
