// SPDX-License-Identifier: MIT
#include "loss_checks.hpp"
#include "loss_reference.hpp"

#include <weakly/exec/thread_pool.hpp>
#include <weakly/loss/cross_entropy.hpp>
#include <weakly/loss/early_learning.hpp>

#include <cmath>
#include <span>
#include <vector>

namespace {

using weakly::index_t;

// Targets of example e: a mixture that gives each class something, from a table made anew for each call.
std::vector<double> table_of(index_t rows, index_t k) {
  std::vector<double> t;
  for (index_t e = 0; e < rows; ++e)
    for (index_t j = 0; j < k; ++j) t.push_back(0.6 / double(k) + (j == 1 ? 0.2 : 0));
  return t;
}

const weakly::early_learning_options usual{.momentum = 0.7, .strength = 3, .clamp = 1e-4};

const auto call = [](auto&& ex, const auto& logits, const weakly::loss_labels& label, auto&& loss, auto&& grad) {
  const auto x = weakly::as_rows(weakly::view(logits));
  std::vector<double> table = table_of(x.extent(0), x.extent(1));
  weakly::early_learning(ex, logits, label, weakly::view(table.data(), x.extent(0), x.extent(1)), loss, grad, usual);
};

std::vector<long double> clamped(std::span<const long double> f, long double eps) {
  const long double log_sum = loss_checks::log_sum_exp(f);
  std::vector<long double> c;
  for (const long double x : f) c.push_back(std::min(std::max(std::exp(x - log_sum), eps), 1 - eps));
  return c;
}

}  // namespace

TEST_CASE("early_learning of two equal scores from an empty table") {
  const std::vector<double> logits{0, 0};
  const std::vector<int> label{0};
  std::vector<double> table(2), loss(1), grad(2);
  weakly::early_learning(weakly::view(logits.data(), 1, 2), label, weakly::view(table.data(), 1, 2), loss,
                         weakly::view(grad.data(), 1, 2), {.momentum = 0.5, .strength = 2, .clamp = 0});
  CHECK(table == std::vector<double>{0.25, 0.25});
  CHECK(loss[0] == doctest::Approx(std::log(2.0) + 2 * std::log(0.75)).epsilon(1e-14));
  CHECK(grad[0] == doctest::Approx(-0.5).epsilon(1e-14));
  CHECK(grad[1] == doctest::Approx(0.5).epsilon(1e-14));
}

TEST_CASE("early_learning gives the same results in whatever way it is called") {
  loss_checks::traits t;
  t.permutation_free = false;  // the table is not renamed
  loss_checks::check_invariances(call, t);
  loss_checks::check_ways_to_call(call, t);
  loss_checks::check_weights_and_bad_input(call, t);
}

TEST_CASE("early_learning agrees with its plain form and, with its targets held, its central differences") {
  for (const index_t k : {index_t(2), index_t(5), index_t(40), index_t(700)}) {
    CAPTURE(k);
    loss_checks::batch_of_rows<double> b(5, k, 3, unsigned(k));
    std::vector<double> table = table_of(5, k);
    const std::vector<double> before = table;
    weakly::early_learning(b.x(), b.label, weakly::view(table.data(), 5, k), b.loss, b.g(), usual);
    for (index_t i = 0; i < 5; ++i) {
      std::vector<long double> f = b.exact_row(i), c = clamped(f, 1e-4L), t;
      long double mass = 0;
      for (const long double x : c) mass += x;
      for (index_t j = 0; j < k; ++j) {
        t.push_back(0.7L * before[std::size_t(i * k + j)] + 0.3L * c[std::size_t(j)] / mass);
        CHECK(loss_checks::near(table[std::size_t(i * k + j)], double(t.back()), 1e-13));
      }
      const auto plain = [&] {
        const std::vector<long double> now = clamped(f, 1e-4L);
        long double agreement = 0;
        for (std::size_t j = 0; j < now.size(); ++j) agreement += t[j] * now[j];
        return loss_checks::log_sum_exp(f) - f[std::size_t(b.label[std::size_t(i)])] + 3 * std::log(1 - agreement);
      };
      CHECK(loss_checks::near(b.loss[std::size_t(i)], double(plain()), 1e-12));
      for (index_t j = 0; j < k; j += 1 + k / 17) {
        const long double centre = f[std::size_t(j)], h = 1e-6L;
        f[std::size_t(j)] = centre + h;
        const long double above = plain();
        f[std::size_t(j)] = centre - h;
        const double slope = double((above - plain()) / (2 * h));
        f[std::size_t(j)] = centre;
        CHECK(loss_checks::near(b.grad[std::size_t(i * k + j)], slope, 1e-7));
      }
    }
  }
}

TEST_CASE("early_learning gives the reference results") {
  for (const auto& c : loss_reference::cases("elr")) {
    std::vector<double> table = c.values("t_old");
    const auto shape = c.array("t_old").shape;
    loss_reference::check_loss_and_gradient(c, [&](auto x, const auto& y, auto& l, auto g) {
      weakly::early_learning(
          x, y, weakly::view(table.data(), shape[0], shape[1]), l, g,
          {.momentum = c.number.at("beta"), .strength = c.number.at("lam"), .clamp = c.number.at("clamp")});
    });
    loss_reference::check_array(c, "t_new", table);
  }
}

TEST_CASE("early_learning finds the rows of its table by index and touches no other") {
  loss_checks::batch_of_rows<float> b(3, 6, 3, 1), other = b;
  std::vector<float> small(18), large(600 * 6, -1.0f);
  const std::vector<long> index{17, 599, 0};
  for (const long e : index)
    for (long j = 0; j < 6; ++j) large[std::size_t(6 * e + j)] = 0;
  weakly::early_learning(b.x(), b.label, weakly::view(small.data(), 3, 6), b.loss, b.g());
  weakly::thread_pool pool(2);
  weakly::early_learning(pool, other.x(), other.label, index, weakly::view(large.data(), 600, 6), other.loss,
                         other.g());
  CHECK(loss_checks::same_bits(b.loss, other.loss));
  CHECK(loss_checks::same_bits(b.grad, other.grad));
  index_t untouched = 0;
  for (const float x : large) untouched += x == -1.0f;
  CHECK(untouched == 597 * 6);
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t j = 0; j < 6; ++j) CHECK(large[6 * std::size_t(index[i]) + j] == small[6 * i + j]);
}

TEST_CASE("early_learning without strength is cross-entropy, and pulls towards what it has seen with it") {
  loss_checks::batch_of_rows<double> a(30, 7, 3, 1), b = a;
  std::vector<double> table(30 * 7);
  weakly::early_learning(a.x(), a.label, weakly::view(table.data(), 30, 7), a.loss, a.g(), {.strength = 0});
  weakly::cross_entropy(b.x(), b.label, b.loss, b.g());
  for (std::size_t i = 0; i < a.loss.size(); ++i) CHECK(a.loss[i] == doctest::Approx(b.loss[i]).epsilon(1e-13));
  for (std::size_t i = 0; i < a.grad.size(); ++i) CHECK(a.grad[i] == doctest::Approx(b.grad[i]).epsilon(1e-13));

  for (int step = 0; step < 60; ++step)
    weakly::early_learning(a.x(), a.label, weakly::view(table.data(), 30, 7), a.loss, a.g(), {.clamp = 0});
  for (std::size_t i = 0; i < a.loss.size(); ++i) {
    double sum = 0;
    for (std::size_t j = 0; j < 7; ++j) sum += table[7 * i + j];
    CHECK(sum == doctest::Approx(1).epsilon(1e-8));
  }
}

TEST_CASE("early_learning keeps its table where a row is NaN, weighs nothing or has a label that is none") {
  const std::vector<double> logits{std::nan(""), 0, 1, 2, 1, 2, 1, 2};
  const std::vector<int> label{0, 0, 7, 1};
  const std::vector<double> weight{1, 0, 1, 1};
  std::vector<double> table(8), loss(4), grad(8);
  CHECK_THROWS_AS(weakly::early_learning(weakly::view(logits.data(), 4, 2), weakly::loss_labels(label).weights(weight),
                                         weakly::view(table.data(), 4, 2), loss, weakly::view(grad.data(), 4, 2)),
                  weakly::label_error);
  CHECK(std::isnan(loss[0]));
  CHECK(std::isnan(grad[1]));
  for (std::size_t j = 0; j < 6; ++j) CHECK(table[j] == 0);
  CHECK(table[7] > 0);
}

TEST_CASE("early_learning without the clamp stays finite where target and prediction are the same certainty") {
  const std::vector<double> logits{1e4, 0};
  const std::vector<int> label{0};
  std::vector<double> table{1, 0}, loss(1), grad(2);
  weakly::early_learning(weakly::view(logits.data(), 1, 2), label, weakly::view(table.data(), 1, 2), loss,
                         weakly::view(grad.data(), 1, 2), {.clamp = 0});
  CHECK(loss[0] == doctest::Approx(3 * std::log(0x1p-52)).epsilon(1e-12));
  for (const double g : grad) CHECK(std::abs(g) < 1e-300);
}

TEST_CASE("early_learning refuses examples that come twice or do not exist, and changes nothing") {
  std::vector<double> logits(6), loss(3), table(2000000);
  const std::vector<int> label{0, 1, 0};
  const auto call_with = [&](const std::vector<long>& index) {
    weakly::early_learning(weakly::view(logits.data(), 3, 2), label, index, weakly::view(table.data(), 1000000, 2),
                           loss, weakly::discard);
  };
  CHECK_THROWS_AS(call_with({5, 999999, 5}), weakly::value_error);
  CHECK_THROWS_AS(call_with({5, 999999, 999999}), weakly::value_error);
  CHECK_THROWS_AS(call_with({5, 1000000, 3}), weakly::value_error);
  CHECK_THROWS_AS(call_with({5, -1, 3}), weakly::value_error);
  CHECK_THROWS_AS(call_with({5, 3}), weakly::shape_error);
  CHECK(std::count(table.begin(), table.end(), 0.0) == 2000000);
  call_with({5, 5 + (1 << 18), 6});
  CHECK(std::count(table.begin(), table.end(), 0.0) == 2000000 - 6);
}

TEST_CASE("early_learning with momentum one takes the targets as they are given") {
  const std::vector<double> logits{0, 0, std::log(3.0), 0};
  const std::vector<int> label{0, 1};
  const std::vector<double> mixed{0.3, 0.5, 0.25, 0.75};
  std::vector<double> table = mixed, loss(2), grad(4);
  weakly::early_learning(weakly::view(logits.data(), 2, 2), label, weakly::view(table.data(), 2, 2), loss,
                         weakly::view(grad.data(), 2, 2), {.momentum = 1, .strength = 2, .clamp = 0});
  CHECK(table == mixed);
  CHECK(loss[0] == doctest::Approx(std::log(2.0) + 2 * std::log(0.6)).epsilon(1e-14));
  CHECK(loss[1] == doctest::Approx(std::log(4.0) + 2 * std::log(1 - 0.375)).epsilon(1e-14));
  CHECK(grad[0] == doctest::Approx(-0.5 + 2 * 0.5 * (0.4 - 0.3) / 0.6).epsilon(1e-14));
}

TEST_CASE("early_learning refuses options outside their domain and tables that do not fit") {
  std::vector<double> logits(4), loss(2), table(6);
  const std::vector<int> label{0, 1};
  const auto call_with = [&](index_t rows, index_t k, const weakly::early_learning_options& options) {
    weakly::early_learning(weakly::view(logits.data(), 2, 2), label, weakly::view(table.data(), rows, k), loss,
                           weakly::discard, options);
  };
  for (const double bad : {-0.1, 1.1, std::nan("")})
    CHECK_THROWS_AS(call_with(2, 2, {.momentum = bad}), weakly::option_error);
  for (const double bad : {-0.1, double(INFINITY), std::nan("")})
    CHECK_THROWS_AS(call_with(2, 2, {.strength = bad}), weakly::option_error);
  for (const double bad : {-0.1, 0.5, std::nan("")})
    CHECK_THROWS_AS(call_with(2, 2, {.clamp = bad}), weakly::option_error);
  CHECK_THROWS_AS(call_with(2, 3, {}), weakly::shape_error);
  CHECK_THROWS_AS(call_with(3, 2, {}), weakly::shape_error);
}
