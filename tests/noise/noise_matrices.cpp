// SPDX-License-Identifier: MIT
#include <weakly/noise/confident_joint.hpp>
#include <weakly/noise/noise_matrices.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "cases.hpp"

using oracle::at;
using weakly::compatibility;
using weakly::index_t;
using weakly::prior_method;

namespace {

using rows = std::vector<std::int64_t>;
using real = long double;
using table = std::vector<std::vector<real>>;

constexpr prior_method all_methods[] = {prior_method::counts, prior_method::equation, prior_method::marginal,
                                        prior_method::marginal_of_labels};

struct estimate {
  std::vector<real> prior;
  table noise;    // [a][b] = P(s = a | y = b)
  table inverse;  // [b][a] = P(y = b | s = a)
};

/// The definitions once more, in long double, for every method but the equation.
class definition {
 public:
  definition(const oracle::counts& c, const rows& n, bool cleanlab) : k_(c.size()), cleanlab_(cleanlab), ps_(k_) {
    real total = 0;
    for (const std::int64_t x : n) total += static_cast<real>(x);
    for (std::size_t a = 0; a < k_; ++a) ps_[a] = total > 0 ? static_cast<real>(n[a]) / total : 0;
    raw_.noise = raw_.inverse = table(k_, std::vector<real>(k_));
    raw_.prior.resize(k_);
    real all = 0;
    for (std::size_t a = 0; a < k_; ++a) {
      real row = 0, column = 0;
      for (std::size_t b = 0; b < k_; ++b) {
        row += static_cast<real>(c[a][b]);
        column += static_cast<real>(c[b][a]);
      }
      all += row;
      raw_.prior[a] = column;
      for (std::size_t b = 0; b < k_; ++b) {
        raw_.noise[b][a] = column > 0 ? static_cast<real>(c[b][a]) / column : unit(a, b);
        raw_.inverse[b][a] = row > 0 ? static_cast<real>(c[a][b]) / row : unit(a, b);
      }
    }
    for (real& p : raw_.prior) p = all > 0 ? p / all : 0;
  }

  estimate estimated(prior_method method, bool converge) const {
    estimate e = raw_;
    if (method == prior_method::counts)
      for (std::size_t b = 0; b < k_; ++b) e.prior[b] = by_diagonals(raw_, b);
    if (method == prior_method::marginal_of_labels)
      for (std::size_t b = 0; b < k_; ++b) e.prior[b] = by_sum(raw_, b);
    e.prior = proper(e.prior, 1e-6L);
    e.noise = rates(e.noise);
    e.inverse = rates(e.inverse);
    for (int round = 0; converge && round < 3; ++round) {
      for (int step = 0; step < 5; ++step) {
        for (std::size_t a = 0; a < k_; ++a)
          for (std::size_t b = 0; b < k_; ++b) e.inverse[b][a] = e.noise[a][b] * e.prior[b] / std::max(ps_[a], tiny);
        e.inverse = rates(e.inverse);
        std::vector<real> next(k_);
        for (std::size_t b = 0; b < k_; ++b) next[b] = by_diagonals(e, b);
        e.prior = proper(next, 1e-6L);
      }
      for (std::size_t a = 0; a < k_; ++a)
        for (std::size_t b = 0; b < k_; ++b) e.noise[a][b] = e.inverse[b][a] * ps_[a] / std::max(e.prior[b], tiny);
      e.noise = rates(e.noise);
    }
    if (converge) {
      e.prior = proper(e.prior, 1e-5L);
      e.noise = rates(e.noise);
      e.inverse = rates(e.inverse);
    }
    return e;
  }

 private:
  static constexpr real tiny = 1e-100L;

  real unit(std::size_t a, std::size_t b) const { return !cleanlab_ && a == b ? 1 : 0; }
  real by_sum(const estimate& e, std::size_t b) const {
    real sum = 0;
    for (std::size_t a = 0; a < k_; ++a) sum += e.inverse[b][a] * ps_[a];
    return sum;
  }
  real by_diagonals(const estimate& e, std::size_t b) const {
    if (!cleanlab_ && e.noise[b][b] == 0) return by_sum(e, b);
    return e.inverse[b][b] / std::max(e.noise[b][b], tiny) * ps_[b];
  }
  table rates(table m) const {
    for (std::size_t b = 0; b < k_; ++b) {
      real sum = 0;
      for (std::size_t a = 0; a < k_; ++a) {
        if (cleanlab_ && a != b) m[a][b] = std::clamp(m[a][b], 0.0L, 0.9999L);
        sum += m[a][b];
      }
      for (std::size_t a = 0; a < k_; ++a) m[a][b] = sum > 0 ? m[a][b] / sum : unit(a, b);
    }
    return m;
  }
  std::vector<real> proper(std::vector<real> p, real least) const {
    real sum = 0;
    for (real& x : p) sum += x = std::clamp(x, cleanlab_ ? least : 0.0L, 1.0L);
    for (real& x : p) x = sum > 0 ? x / sum : 0;
    return p;
  }

  std::size_t k_;
  bool cleanlab_;
  std::vector<real> ps_;
  estimate raw_;
};

double column_sum(const weakly::matrix<double>& m, index_t b) {
  double sum = 0;
  for (index_t a = 0; a < m.rows(); ++a) sum += m(a, b);
  return sum;
}

/// Labels drawn from a noise matrix with 0.7 on the diagonal, and a model that knows which: the probabilities are the
/// columns of the noise matrix, up to 0.02.
struct known_noise {
  oracle::problem q;
  std::vector<index_t> truth;
  weakly::matrix<double> noise;

  known_noise(index_t n, index_t k, std::uint64_t seed) : q{n, k, {}, {}}, noise(k, k) {
    cases::generator g(seed);
    for (index_t b = 0; b < k; ++b) {
      noise(b, b) = 0.7;
      // Most of the rest goes to the next class, so that the matrix is far from symmetric.
      noise((b + 1) % k, b) = 0.2;
      for (index_t a = 0; a < k; ++a) noise(a, b) += 0.1 / static_cast<double>(k);
    }
    for (index_t i = 0; i < n; ++i) {
      const index_t y = g.chance(0.2) ? 0 : g.below(k);
      truth.push_back(y);
      double u = g.unit();
      index_t s = 0;
      while (s + 1 < k && u >= noise(s, y)) u -= noise(s++, y);
      q.label.push_back(s);
      for (index_t j = 0; j < k; ++j) q.prob.push_back(noise(j, y) + 0.04 * g.unit() - 0.02);
    }
  }
};

}  // namespace

TEST_CASE("noise_matrices divides the joint by its columns and by its rows") {
  const auto e = weakly::noise_matrices(cases::as_matrix({{6, 2}, {1, 3}}), rows{8, 4});
  CHECK(e.noise_matrix(0, 0) == doctest::Approx(6.0 / 7));
  CHECK(e.noise_matrix(1, 0) == doctest::Approx(1.0 / 7));
  CHECK(e.noise_matrix(0, 1) == doctest::Approx(2.0 / 5));
  CHECK(e.noise_matrix(1, 1) == doctest::Approx(3.0 / 5));
  CHECK(e.inverse_noise_matrix(0, 0) == doctest::Approx(6.0 / 8));
  CHECK(e.inverse_noise_matrix(1, 0) == doctest::Approx(2.0 / 8));
  CHECK(e.inverse_noise_matrix(0, 1) == doctest::Approx(1.0 / 4));
  CHECK(e.inverse_noise_matrix(1, 1) == doctest::Approx(3.0 / 4));
  CHECK(e.prior[0] == doctest::Approx(7.0 / 12));
  CHECK(e.prior[1] == doctest::Approx(5.0 / 12));
}

TEST_CASE(
    "noise_matrices gives a class without true rows a unit column and the prior zero, where cleanlab gives zeros") {
  // Nothing is truly of class 1; nothing is given class 2.
  const auto joint = cases::as_matrix({{4, 0, 2}, {3, 0, 0}, {0, 0, 0}});
  const rows n = {6, 3, 0};
  const auto ours = weakly::noise_matrices(joint, n);
  CHECK(ours.prior[1] == 0);
  CHECK(ours.noise_matrix(1, 1) == 1);
  CHECK(ours.inverse_noise_matrix(2, 2) == 1);
  for (index_t b = 0; b < 3; ++b) {
    CHECK(column_sum(ours.noise_matrix, b) == doctest::Approx(1).epsilon(1e-15));
    CHECK(column_sum(ours.inverse_noise_matrix, b) == doctest::Approx(1).epsilon(1e-15));
  }
  // P(s=2|y=2) is zero, so the quotient of the diagonals says nothing of class 2, and the sum over given labels does.
  CHECK(ours.prior[2] == doctest::Approx(2.0 / 9));
  const auto theirs = weakly::noise_matrices(joint, n, {.compat = compatibility::cleanlab});
  CHECK(column_sum(theirs.noise_matrix, 1) == 0);
  CHECK(column_sum(theirs.inverse_noise_matrix, 2) == 0);
  CHECK(theirs.prior[1] == doctest::Approx(1e-6).epsilon(1e-2));
}

TEST_CASE("a class without true rows leaves the equation of the prior solvable") {
  const auto e =
      weakly::noise_matrices(cases::as_matrix({{4, 0}, {3, 0}}), rows{4, 3}, {.method = prior_method::equation});
  CHECK(e.prior[0] == doctest::Approx(1).epsilon(1e-15));
  CHECK(e.prior[1] == doctest::Approx(0).epsilon(1e-15));
}

TEST_CASE("noise_matrices of no rows have no prior and unit columns") {
  const auto e = weakly::noise_matrices(weakly::matrix<std::int64_t>(2, 2), rows{0, 0});
  CHECK(e.prior == std::vector<double>{0, 0});
  CHECK(e.noise_matrix == e.inverse_noise_matrix);
  CHECK(e.noise_matrix(0, 0) == 1);
  CHECK(e.noise_matrix(1, 0) == 0);
  const auto one = weakly::noise_matrices(cases::as_matrix({{5}}), rows{5}, {.converge = true});
  CHECK(one.prior == std::vector<double>{1});
  CHECK(one.noise_matrix(0, 0) == 1);
}

TEST_CASE("noise_matrices agrees with its definitions in long double, iterated or not") {
  cases::generator g(81);
  for (int round = 0; round < 1500; ++round) {
    CAPTURE(round);
    const std::size_t k = at(1 + g.below(8));
    oracle::counts c(k, rows(k));
    rows n(k);
    for (std::size_t a = 0; a < k; ++a)
      for (std::size_t b = 0; b < k; ++b) {
        c[a][b] = g.chance(0.3) ? 0 : g.below(a == b ? 60 : 12);
        n[a] += c[a][b];
      }
    if (g.chance(0.3))  // not calibrated to the labels
      for (std::int64_t& x : n) x += g.below(20);
    for (const bool cleanlab : {false, true})
      for (const prior_method method : {prior_method::counts, prior_method::marginal, prior_method::marginal_of_labels})
        for (const bool converge : {false, true}) {
          const auto got = weakly::noise_matrices(cases::as_matrix(c), n,
                                                  {.method = method,
                                                   .converge = converge,
                                                   .compat = cleanlab ? compatibility::cleanlab : compatibility::none});
          const auto want = definition(c, n, cleanlab).estimated(method, converge);
          // Some twenty operations in a row, each within a half unit in the last place, on numbers up to one; the
          // iteration repeats them fifteen times and does not amplify.
          const auto near = [](double x, real y) { return std::abs(static_cast<real>(x) - y) <= 1e-11L; };
          bool all_near = true;
          for (std::size_t a = 0; a < k; ++a) {
            all_near = all_near && near(got.prior[a], want.prior[a]);
            for (std::size_t b = 0; b < k; ++b) {
              const auto i = static_cast<index_t>(a), j = static_cast<index_t>(b);
              all_near = all_near && near(got.noise_matrix(i, j), want.noise[a][b]) &&
                         near(got.inverse_noise_matrix(i, j), want.inverse[a][b]);
            }
          }
          CAPTURE(cleanlab);
          CAPTURE(static_cast<int>(method));
          CAPTURE(converge);
          REQUIRE(all_near);
        }
  }
}

TEST_CASE("the four prior methods agree on a calibrated joint, and iterating changes nothing there") {
  cases::generator g(82);
  for (int round = 0; round < 200; ++round) {
    CAPTURE(round);
    const index_t k = 2 + g.below(8);
    oracle::counts c(at(k), rows(at(k)));
    rows n(at(k));
    std::vector<double> column(at(k));
    double total = 0;
    for (index_t a = 0; a < k; ++a)
      for (index_t b = 0; b < k; ++b) {
        const std::int64_t x = a == b ? 100 + g.below(100) : g.below(10);
        c[at(a)][at(b)] = x;
        n[at(a)] += x;
        column[at(b)] += static_cast<double>(x);
        total += static_cast<double>(x);
      }
    for (const prior_method method : all_methods)
      for (const bool converge : {false, true}) {
        const auto e = weakly::noise_matrices(cases::as_matrix(c), n, {.method = method, .converge = converge});
        double sum = 0;
        for (index_t b = 0; b < k; ++b) {
          sum += e.prior[at(b)];
          CHECK(e.prior[at(b)] == doctest::Approx(column[at(b)] / total).epsilon(1e-12));
          CHECK(column_sum(e.noise_matrix, b) == doctest::Approx(1).epsilon(1e-14));
          CHECK(column_sum(e.inverse_noise_matrix, b) == doctest::Approx(1).epsilon(1e-14));
          for (index_t a = 0; a < k; ++a)
            CHECK(e.noise_matrix(a, b) ==
                  doctest::Approx(static_cast<double>(c[at(a)][at(b)]) / column[at(b)]).epsilon(1e-12));
        }
        CHECK(sum == doctest::Approx(1).epsilon(1e-14));
      }
  }
}

TEST_CASE("noise_matrices do not change when every count doubles") {
  const auto once = weakly::noise_matrices(cases::as_matrix({{6, 2}, {1, 3}}), rows{8, 4}, {.converge = true});
  const auto twice = weakly::noise_matrices(cases::as_matrix({{12, 4}, {2, 6}}), rows{16, 8}, {.converge = true});
  CHECK(once.prior == twice.prior);
  CHECK(once.noise_matrix == twice.noise_matrix);
  CHECK(once.inverse_noise_matrix == twice.inverse_noise_matrix);
}

TEST_CASE("a known noise matrix is recovered from labels drawn by it, within Hoeffding's bound") {
  for (const index_t k : {2, 5, 12}) {
    CAPTURE(k);
    const index_t n = 60000;
    const known_noise data(n, k, 83);
    const cases::laid_out<float> prob(data.q, cases::layout::row_major);
    const auto joint = weakly::confident_joint(data.q.label, prob.view());

    // A row has 0.68 or more for its true class and 0.27 or less for any other. The thresholds lie between, so each row
    // is counted under its true class, and the joint is that of the drawn labels and the truth.
    for (const double t : joint.thresholds) REQUIRE((t > 0.28 && t < 0.68));
    oracle::counts drawn(at(k), rows(at(k)));
    rows of_class(at(k));
    for (index_t i = 0; i < n; ++i) {
      ++drawn[at(data.q.label[at(i)])][at(data.truth[at(i)])];
      ++of_class[at(data.truth[at(i)])];
    }
    CHECK(cases::as_counts(joint.counts) == drawn);

    // Each cell of column b is the mean of n(b) independent draws of 0 or 1. Hoeffding: it misses by e or more with
    // probability at most 2 exp(-2 n(b) e^2); all k^2 cells together stay within e with probability 1 - 1e-9 when
    // e = sqrt( log(2 k^2 / 1e-9) / (2 n(b)) ).
    const auto calibrated = weakly::calibrate_joint(joint.counts, joint.label_counts);
    for (const prior_method method : all_methods) {
      const auto e = weakly::noise_matrices(calibrated, joint.label_counts, {.method = method});
      for (index_t b = 0; b < k; ++b) {
        const double rows_b = static_cast<double>(of_class[at(b)]);
        const double bound = std::sqrt(std::log(2.0 * static_cast<double>(k * k) / 1e-9) / (2 * rows_b));
        REQUIRE(bound < 0.09);
        for (index_t a = 0; a < k; ++a) CHECK(std::abs(e.noise_matrix(a, b) - data.noise(a, b)) <= bound);
        CHECK(e.prior[at(b)] == doctest::Approx(rows_b / static_cast<double>(n)).epsilon(1e-6));
      }
    }
  }
}

TEST_CASE(
    "noise_matrices refuses joints that are not square, not counts or not of these labels, and singular equations") {
  const auto joint = cases::as_matrix({{1, 1}, {1, 1}});
  cases::refuses<weakly::shape_error>(
      [] {
        weakly::noise_matrices(weakly::matrix<std::int64_t>(2, 3), rows{1, 1});
      },
      {"noise_matrices", "(2 x 3)", "k x k"});
  cases::refuses<weakly::shape_error>(
      [&] {
        weakly::noise_matrices(joint, rows{1, 1, 1});
      },
      {"noise_matrices", "3 label counts", "2 classes"});
  cases::refuses<weakly::value_error>(
      [&] {
        weakly::noise_matrices(joint, rows{1, -2});
      },
      {"noise_matrices", "class 1", "-2"});
  cases::refuses<weakly::value_error>(
      [] {
        weakly::noise_matrices(cases::as_matrix({{1, -1}, {0, 1}}), rows{1, 1});
      },
      {"noise_matrices", "-1", "not negative"});
  cases::refuses<weakly::value_error>(
      [&] {
        weakly::noise_matrices(joint, rows{2, 2}, {.method = prior_method::equation});
      },
      {"noise_matrices", "singular at class 1", "another method"});
}
