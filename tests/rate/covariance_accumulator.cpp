// SPDX-License-Identifier: MIT
#include "coding_rate_oracle.hpp"
#include "sanitizer.hpp"

#include <weakly/exec/thread_pool.hpp>
#include <weakly/rate/covariance_accumulator.hpp>

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>
#include <string>

using namespace coding_rate_oracle;
using weakly::covariance_accumulator;
using weakly::membership_view;

namespace {

reals state_of(const covariance_accumulator& c) { return {c.state().begin(), c.state().end()}; }

covariance_accumulator accumulated(const data& a, bool hard) {
  covariance_accumulator c(a.k, a.d);
  if (hard)
    c.add_block(a.features(), a.hard());
  else
    c.add_block(a.features(), a.soft());
  return c;
}

bool close(double got, long double want, double relative) {
  return std::abs(got - double(want)) <= relative * std::max(1.0, std::abs(double(want)));
}

// The state of some rows of a batch.
covariance_accumulator part(const data& a, index_t first, index_t last) {
  covariance_accumulator c(a.k, a.d);
  c.add_block(weakly::view(a.z.data() + first * a.d, last - first, a.d),
              membership_view::hard(std::span(a.label).subspan(std::size_t(first), std::size_t(last - first)), a.k));
  return c;
}

}  // namespace

TEST_CASE("covariance_accumulator of three rows worked by hand") {
  covariance_accumulator c(2, 2);
  const reals z{1, 0, 0, 2, 3, 4};
  const std::vector<int> label{0, 1, 0};
  c.add_block(weakly::view(z.data(), 3, 2), membership_view::hard(label, 2));
  CHECK(state_of(c) == reals{3, 2, 1, 10, 12, 16, 0, 0, 4});
  CHECK(c.count() == 3);
  CHECK(c.weights()[0] == 2);
  CHECK(c.covariance(0)(0, 1) == 12);
  CHECK(c.covariance()(1, 1) == 20);
  CHECK(c.packed_covariance(1)[2] == 4);
  // M_1 = I + (2 / 0.5) diag(0, 4) / 1, M = I + 4/3 [10 12; 12 20]
  CHECK(c.rate_classes(0.5).rates[1] == doctest::Approx(std::log(17.0) / 2));
  CHECK(c.rate(0.5) == doctest::Approx(std::log((1 + 40.0 / 3) * (1 + 80.0 / 3) - 256) / 2));
}

TEST_CASE("covariance_accumulator gives the stored rates") {
  for (const stored& s : stored_cases()) {
    CAPTURE(s.name);
    for (const bool hard : {true, false}) {
      if (hard && s.input.label.empty()) continue;
      const covariance_accumulator c = accumulated(s.input, hard);
      const weakly::rate_terms r = c.reduction(s.eps_squared);
      const weakly::class_rates classes = c.rate_classes(s.eps_squared);
      CHECK(r.rate == doctest::Approx(s.rate).epsilon(1e-10));
      CHECK(r.class_rate == doctest::Approx(s.classes).epsilon(1e-10));
      CHECK(std::abs(r.reduction - s.reduction) <= 1e-10 * std::max(1.0, s.reduction));
      for (std::size_t j = 0; j < s.per_class.size(); ++j)
        CHECK(classes.rates[j] == doctest::Approx(s.per_class[j]).epsilon(1e-10));
    }
  }
}

TEST_CASE("covariance_accumulator agrees with its definition at sizes on either side of every block") {
  for (const index_t d : {1, 3, 16, 33, 64, 65, 130}) {
    if (support::sanitized && d > 65) continue;
    CAPTURE(d);
    const data a = make_data(150, d, 3, unsigned(d), true);
    for (const bool hard : {true, false}) {
      data b = a;
      if (hard)
        for (index_t i = 0; i < a.n; ++i)
          for (index_t c = 0; c < a.k; ++c) b.pi[std::size_t(i * a.k + c)] = a.label[std::size_t(i)] == c ? 1 : 0;
      const covariance_accumulator c = accumulated(b, hard);
      for (index_t j = 0; j < a.k; ++j) {
        const auto want = covariance(b, j);
        const weakly::matrix<double> got = c.covariance(j);
        long double worst = 0;
        for (std::size_t e = 0; e < want.size(); ++e) worst = std::max(worst, std::abs(got.elements()[e] - want[e]));
        CHECK(worst < 1e-13);
        CHECK(close(c.weights()[std::size_t(j)], weight(b, j), 1e-14));
      }
      if (d > 65) continue;
      CHECK(close(c.rate(0.1), rate(b, 0.1), 1e-12));
      CHECK(close(c.rate_classes(0.1).class_rate, rate_of_classes(b, 0.1), 1e-12));
      const weakly::rate_terms r = c.reduction(0.1);
      CHECK(close(r.reduction, rate(b, 0.1) - rate_of_classes(b, 0.1), 1e-12));
      CHECK(r.reduction >= 0);
    }
  }
}

TEST_CASE("covariance_accumulator: rows one by one, lists and a matrix of memberships add up to the same") {
  const data a = make_data(90, 19, 4, 3, true);
  const covariance_accumulator matrix = accumulated(a, false);
  covariance_accumulator rows(a.k, a.d), lists(a.k, a.d), hard_rows(a.k, a.d);
  std::vector<unsigned short> begin{0}, classes;
  std::vector<double> weights;
  for (index_t i = 0; i < a.n; ++i) {
    const auto z = std::span(a.z).subspan(std::size_t(i * a.d), std::size_t(a.d));
    rows.add(z, std::span(a.pi).subspan(std::size_t(i * a.k), std::size_t(a.k)));
    hard_rows.add(z, a.label[std::size_t(i)]);
    for (index_t c = a.k; c-- > 0;)
      for (int half = 0; half < 2; ++half) {  // a class may be listed twice
        classes.push_back(static_cast<unsigned short>(c));
        weights.push_back(a.pi[std::size_t(i * a.k + c)] / 2);
      }
    begin.push_back(static_cast<unsigned short>(classes.size()));
  }
  lists.add_block(a.features(), membership_view::sparse(begin, classes, weights, a.k));
  const covariance_accumulator hard = accumulated(a, true);
  for (std::size_t e = 0; e < matrix.state().size(); ++e) {
    CHECK(rows.state()[e] == doctest::Approx(matrix.state()[e]).epsilon(1e-12));
    CHECK(lists.state()[e] == doctest::Approx(matrix.state()[e]).epsilon(1e-12));
    CHECK(hard_rows.state()[e] == doctest::Approx(hard.state()[e]).epsilon(1e-12));
  }
}

TEST_CASE_TEMPLATE("covariance_accumulator has the same bits for every executor and layout", T, float, double) {
  weakly::thread_pool pool(3);
  for (const bool soft : {false, true}) {
    const data a = make_data(support::rounds(2500), 70, 5, 8, soft);  // more rows than wait at a time
    std::vector<T> z(a.z.begin(), a.z.end()), by_column(z.size());
    for (index_t i = 0; i < a.n; ++i)
      for (index_t j = 0; j < a.d; ++j) by_column[std::size_t(j * a.n + i)] = z[std::size_t(i * a.d + j)];
    const auto rows = weakly::view(z.data(), a.n, a.d), columns = weakly::view(by_column.data(), a.n, a.d, 1, a.n);
    covariance_accumulator one(a.k, a.d), threads(a.k, a.d), layout(a.k, a.d);
    if (soft) {
      one.add_block(rows, a.soft());
      threads.add_block(pool, rows, a.soft());
      layout.add_block(columns, a.soft());
    } else {
      one.add_block(rows, a.hard());
      threads.add_block(pool, rows, a.hard());
      layout.add_block(columns, a.hard());
    }
    CHECK(same_bits(state_of(one), state_of(threads)));
    CHECK(same_bits(state_of(one), state_of(layout)));
    CHECK(one.reduction(0.5).reduction == threads.reduction(pool, 0.5).reduction);
    CHECK(one.rate_classes(0.5).rates == threads.rate_classes(pool, 0.5).rates);
  }
}

TEST_CASE("covariance_accumulator: merged parts equal one pass, exactly where the sums are exact") {
  data a = make_data(300, 20, 3, 5);
  const covariance_accumulator whole = accumulated(a, true);
  covariance_accumulator merged = part(a, 0, 40);
  merged.merge(part(a, 40, 41));
  merged.merge(part(a, 41, 41));
  merged.merge(part(a, 41, 300));
  for (std::size_t e = 0; e < whole.state().size(); ++e)
    CHECK(merged.state()[e] == doctest::Approx(whole.state()[e]).epsilon(1e-13));
  CHECK(merged.reduction(0.5).reduction == doctest::Approx(whole.reduction(0.5).reduction).epsilon(1e-12));

  for (double& x : a.z) x = std::round(x * 64);
  covariance_accumulator exact = part(a, 0, 100);
  exact.merge(part(a, 100, 300));
  CHECK(same_bits(state_of(exact), state_of(accumulated(a, true))));
}

TEST_CASE("covariance_accumulator: a window slides by what comes in and what goes out") {
  const data a = make_data(support::rounds(600), 12, 3, 9);
  const index_t step = 20, width = 200 <= a.n / 2 ? 200 : a.n / 2;
  covariance_accumulator window = part(a, 0, width);
  index_t first = 0;
  for (; first + width + step <= a.n; first += step) {
    window.merge(part(a, first + width, first + width + step));
    window.subtract(part(a, first, first + step));
    const covariance_accumulator anew = part(a, first + step, first + step + width);
    CHECK(window.count() == width);
    for (std::size_t e = 0; e < anew.state().size(); ++e) CHECK(std::abs(window.state()[e] - anew.state()[e]) < 1e-12);
  }
  const covariance_accumulator before = window;
  const index_t last = first + width - 1;
  window.subtract_block(weakly::view(a.z.data() + last * a.d, 1, a.d),
                        membership_view::hard(std::span(a.label).subspan(std::size_t(last), 1), a.k));
  CHECK(window.count() == before.count() - 1);
}

TEST_CASE("covariance_accumulator: all rows taken leave a state of zeros") {
  const data a = make_data(100, 7, 4, 2, true);
  for (const bool hard : {true, false}) {
    covariance_accumulator c = accumulated(a, hard);
    covariance_accumulator parts(a.k, a.d);
    for (index_t i = a.n; i-- > 0;)
      if (hard)
        parts.add(std::span(a.z).subspan(std::size_t(i * a.d), std::size_t(a.d)), a.label[std::size_t(i)]);
      else
        parts.add(std::span(a.z).subspan(std::size_t(i * a.d), std::size_t(a.d)),
                  std::span(a.pi).subspan(std::size_t(i * a.k), std::size_t(a.k)));
    c.subtract(parts);
    CHECK(state_of(c) == reals(c.state().size()));
    CHECK(c.reduction(0.5).rate == 0);
  }
}

TEST_CASE("covariance_accumulator: what was never added cannot be taken, and then nothing is") {
  const data a = make_data(200, 10, 3, 4);
  covariance_accumulator c = part(a, 0, 100);
  const reals before = state_of(c);
  CHECK_THROWS_AS(c.subtract(part(a, 0, 101)), weakly::value_error);  // more rows than there are
  reals foreign(10);
  foreign[3] = 40;
  covariance_accumulator other(3, 10);
  other.add(foreign, 1);
  CHECK_THROWS_WITH_AS(c.subtract(other),
                       "covariance_accumulator::subtract: what is left of class 1 cannot be a covariance; only what "
                       "was added can be taken",
                       weakly::value_error);
  covariance_accumulator one_class(3, 10);
  for (index_t i = 0; i < 90; ++i) one_class.add(reals(10), 2);
  CHECK_THROWS_AS(c.subtract(one_class), weakly::value_error);  // a negative weight
  covariance_accumulator all_but_rows = part(a, 0, 100);
  all_but_rows.state()[4] *= 0.5;  // class 0 would have no weight and half its first variance
  CHECK_THROWS_AS(c.subtract(all_but_rows), weakly::value_error);
  covariance_accumulator nan = part(a, 0, 10);
  nan.state()[5] = std::nan("");
  CHECK_THROWS_AS(c.subtract(nan), weakly::value_error);
  CHECK_THROWS_AS(c.subtract(covariance_accumulator(3, 9)), weakly::shape_error);
  CHECK_THROWS_AS(c.merge(covariance_accumulator(2, 10)), weakly::shape_error);
  CHECK(state_of(c) == before);
}

TEST_CASE("covariance_accumulator keeps nothing of a batch with a bad row, and names it") {
  const data a = make_data(3000, 6, 3, 6);
  covariance_accumulator c = part(a, 0, 50);
  const reals before = state_of(c);
  data bad = a;
  bad.z[std::size_t(2071 * a.d + 4)] = std::numeric_limits<double>::infinity();
  bad.z[std::size_t(2900 * a.d)] = std::nan("");
  std::string message;
#if WEAKLY_HAS_EXCEPTIONS
  try {
    c.add_block(bad.features(), bad.hard());
  } catch (const weakly::value_error& e) {
    message = e.what();
  }
  CHECK(message.find("feature 4 of row 2071 is inf") != std::string::npos);
#endif
  CHECK_THROWS_AS(c.add_block(bad.features(), bad.soft()), weakly::value_error);
  bad = a;
  bad.label[2999] = 3;
  CHECK_THROWS_AS(c.add_block(bad.features(), bad.hard()), weakly::label_error);
  for (const double entry : {-0.25, 1.5, std::nan("")}) {
    bad = a;
    bad.pi[std::size_t(2998 * a.k)] = entry;
    CHECK_THROWS_AS(c.add_block(bad.features(), bad.soft()), weakly::value_error);
  }
  CHECK_THROWS_AS(c.add_block(a.features(), membership_view::hard(std::span(a.label).first(10), 3)),
                  weakly::shape_error);
  CHECK_THROWS_AS(c.add_block(weakly::view(a.z.data(), a.n, 5), a.hard()), weakly::shape_error);
  CHECK_THROWS_AS(c.add_block(a.features(), membership_view::soft(weakly::view(a.pi.data(), a.n, 2))),
                  weakly::shape_error);
  CHECK_THROWS_AS(c.add(reals(6), 3), weakly::label_error);
  CHECK_THROWS_AS(c.add(reals(6), -1), weakly::label_error);
  CHECK_THROWS_AS(c.add(reals(5), 1), weakly::shape_error);
  CHECK_THROWS_AS(c.add(reals(6, std::nan("")), 1), weakly::value_error);
  CHECK_THROWS_AS(c.add(reals(6), reals{0.5, 0.1, 0.1}), weakly::value_error);
  const reals two_rows(12), ones(2, 1.0);
  const auto lists = [&](const std::vector<int>& begin, const std::vector<int>& classes, const reals& weights) {
    c.add_block(weakly::view(two_rows.data(), 2, 6), membership_view::sparse(begin, classes, weights, 3));
  };
  CHECK_THROWS_AS(lists({0, 2, 1}, {0, 1}, reals(2, 0.5)), weakly::shape_error);
  CHECK_THROWS_AS(lists({0, 1, 3}, {0, 1}, ones), weakly::shape_error);
  CHECK_THROWS_AS(lists({-1, 1, 2}, {0, 1}, ones), weakly::shape_error);
  CHECK_THROWS_AS(lists({0, 1, 2}, {0, 3}, ones), weakly::label_error);
  CHECK_THROWS_AS(lists({0, 0, 2}, {0, 1}, ones), weakly::value_error);
  CHECK_THROWS_AS(lists({0, 1, 2}, {0, 1}, reals(3, 1.0)), weakly::shape_error);
  CHECK_THROWS_AS(lists({}, {}, {}), weakly::shape_error);
  CHECK(state_of(c) == before);
}

TEST_CASE("covariance_accumulator without rows, with one class and with an empty class") {
  covariance_accumulator none(3, 4);
  const std::vector<int> no_label;
  none.add_block(weakly::view(static_cast<const double*>(nullptr), 0, 4), membership_view::hard(no_label, 3));
  CHECK(none.rate(0.5) == 0);
  CHECK(none.rate_classes(0.5).class_rate == 0);
  CHECK(none.rate_classes(0.5).rates == reals(3));
  CHECK(none.reduction(0.5).reduction == 0);

  data a = make_data(60, 5, 1, 1);
  CHECK(accumulated(a, true).reduction(0.5).reduction == 0);
  a.k = 3;
  a.label.assign(a.label.size(), 1);
  const weakly::class_rates rates = accumulated(a, true).rate_classes(0.5);
  CHECK(rates.rates[0] == 0);
  CHECK(rates.class_rate == rates.rates[1]);
}

TEST_CASE("covariance_accumulator: rates do not change when all rows come twice, are rotated or reordered") {
  data a = make_data(80, 6, 3, 12);
  const weakly::rate_terms once = accumulated(a, true).reduction(0.5);
  covariance_accumulator twice = accumulated(a, true);
  twice.merge(accumulated(a, true));
  CHECK(twice.reduction(0.5).reduction == doctest::Approx(once.reduction).epsilon(1e-12));
  for (index_t i = 0; i < a.n; ++i) {
    double &x = a.z[std::size_t(i * a.d)], &y = a.z[std::size_t(i * a.d + 4)];
    const double c = std::cos(1.0), s = std::sin(1.0), u = c * x - s * y;
    y = s * x + c * y;
    x = u;
  }
  CHECK(accumulated(a, true).reduction(0.5).class_rate == doctest::Approx(once.class_rate).epsilon(1e-12));
  std::reverse(a.label.begin(), a.label.end());
  for (index_t i = 0; i < a.n / 2; ++i)
    std::swap_ranges(a.z.begin() + i * a.d, a.z.begin() + (i + 1) * a.d, a.z.begin() + (a.n - 1 - i) * a.d);
  CHECK(accumulated(a, true).reduction(0.5).rate == doctest::Approx(once.rate).epsilon(1e-12));
}

TEST_CASE("covariance_accumulator refuses sizes and distortions that are none, and covariances that overflow") {
  CHECK_THROWS_AS(covariance_accumulator(0, 3), weakly::option_error);
  CHECK_THROWS_AS(covariance_accumulator(3, 0), weakly::option_error);
  CHECK_THROWS_AS(covariance_accumulator(-1, 3), weakly::option_error);
  covariance_accumulator c(2, 3);
  c.add(reals{1, 2, 3}, 0);
  for (const double bad : {0.0, -0.5, std::nan(""), double(INFINITY)}) {
    CHECK_THROWS_AS(c.rate(bad), weakly::option_error);
    CHECK_THROWS_AS(c.rate_classes(bad), weakly::option_error);
    CHECK_THROWS_AS(c.reduction(bad), weakly::option_error);
  }
  CHECK_THROWS_AS(c.rate(1e-300), weakly::value_error);
  CHECK_THROWS_AS(c.covariance(2), weakly::label_error);
  CHECK_THROWS_AS(c.packed_covariance(-1), weakly::label_error);
  c.add(reals{1e200, 0, 0}, 1);
  CHECK_THROWS_AS(c.rate(0.5), weakly::value_error);
  CHECK_THROWS_AS(c.rate_classes(0.5), weakly::value_error);
}

TEST_CASE("covariance_accumulator: numbers of rows that are none are refused, not divided by") {
  for (const double n : {std::nan(""), -1.0, double(INFINITY), 0.0}) {
    covariance_accumulator c(2, 2);
    c.add(reals{1, 2}, 1);
    c.state()[0] = n;
    CHECK_THROWS_AS(c.rate(0.5), weakly::value_error);
    CHECK_THROWS_AS(c.rate_classes(0.5), weakly::value_error);
    CHECK_THROWS_AS(c.reduction(0.5), weakly::value_error);
  }
  for (const double w : {std::nan(""), -1.0, double(INFINITY)}) {
    covariance_accumulator c(2, 2);
    c.add(reals{1, 2}, 1);
    c.state()[2] = w;
    CHECK_THROWS_AS(c.rate_classes(0.5), weakly::value_error);
  }
}

TEST_CASE("covariance_accumulator: no row left means no weight left, whatever rounding made of it") {
  // Sums of weights that were rounded otherwise, by more than the sums of a few rows are.
  const data a = make_data(40, 5, 3, 7, true);
  covariance_accumulator c = accumulated(a, false), same = c;
  for (std::size_t j = 1; j <= 3; ++j) same.state()[j] *= 1 + (j == 2 ? -1e-11 : 1e-11);
  c.subtract(same);
  CHECK(state_of(c) == reals(c.state().size()));
  c = accumulated(a, false);
  same.state()[1] *= 0.5;
  const reals before = state_of(c);
  CHECK_THROWS_AS(c.subtract(same), weakly::value_error);
  CHECK(state_of(c) == before);
}
