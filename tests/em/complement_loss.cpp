// SPDX-License-Identifier: MIT
#include "em_checks.hpp"
#include "sanitizer.hpp"

#include <weakly/em/complement_loss.hpp>
#include <weakly/exec/thread_pool.hpp>

#include <algorithm>
#include <cstdint>
#include <limits>

using namespace em_checks;

namespace {

const double inf = std::numeric_limits<double>::infinity();

struct outcome {
  std::vector<double> loss, grad;
};

template <class Mask>
outcome run(const std::vector<double>& logits, const std::vector<Mask>& mask, index_t k, double cap = inf) {
  outcome r{zeros(index_t(logits.size()) / k), zeros(index_t(logits.size()))};
  weakly::complement_loss(rows(logits, k), weakly::candidate_masks(rows(mask, k)), r.loss, rows(r.grad, k),
                          {.cap = cap});
  return r;
}

}  // namespace

TEST_CASE("complement_loss of three scores") {
  const std::vector<double> logits{std::log(1.0), std::log(2.0), std::log(5.0)};
  const auto r = run(logits, std::vector<int>{1, 0, 0}, 3);
  CHECK(r.loss[0] == doctest::Approx(-std::log(0.75) - std::log(3.0 / 8)).epsilon(1e-15));
  // p = 1/8, 2/8, 5/8; without class 1 the softmax is 1/6, 0, 5/6, without class 2 it is 1/3, 2/3, 0.
  CHECK(r.grad[0] == doctest::Approx(-0.25 / 6 - 0.625 / 3).epsilon(1e-14));
  CHECK(r.grad[1] == doctest::Approx(0.25 - 0.625 * 2 / 3).epsilon(1e-14));
  CHECK(r.grad[2] == doctest::Approx(0.625 - 0.25 * 5 / 6).epsilon(1e-14));
}

TEST_CASE("complement_loss gives the reference results") {
  std::size_t compared = 0;
  for (const auto& [name, f] : em_reference::instances()) {
    CAPTURE(name);
    const auto r = run(f.at("logits").values, f.at("mask").labels(), f.at("logits").columns);
    compared += compare(f, "complement_loss", r.loss, 1e-12, 1e-300);
    compared += compare(f, "complement_grad", r.grad, 1e-11, 1e-13);
  }
  if (compared != 0) CHECK(compared == 972);
}

TEST_CASE("complement_loss agrees with its plain form, and its gradient with differences, capped or not") {
  for (const index_t k : {index_t(2), index_t(6), index_t(600), index_t(1100)})
    for (const double cap : {inf, 0.5}) {
      CAPTURE(k);
      CAPTURE(cap);
      const index_t n = 5;
      const auto logits = normal(n, k, k < 100 ? 2 : 4, unsigned(k));
      std::vector<std::uint8_t> mask;
      for (index_t i = 0; i < n * k; ++i) mask.push_back(i % 3 == 1 || i / k == 3);
      const auto r = run(logits, mask, k, cap);
      for (index_t i = 0; i < n; ++i) {
        const auto first = std::size_t(i * k);
        const auto plain = [&](const std::vector<long double>& z) {
          long double sum = 0, loss = 0;
          for (const long double x : z) sum += std::exp(x);
          for (std::size_t c = 0; c < z.size(); ++c)
            if (mask[first + c] == 0) loss += std::min<long double>(-std::log1p(-std::exp(z[c]) / sum), cap);
          return loss;
        };
        std::vector<long double> z(logits.begin() + i * k, logits.begin() + (i + 1) * k);
        CHECK(close(r.loss[std::size_t(i)], double(plain(z)), 1e-12));
        for (std::size_t c = 0; c < z.size(); c += 1 + z.size() / 9)
          CHECK(close(r.grad[first + c], slope(z, c, plain), 1e-7, 1e-9));
      }
    }
}

TEST_CASE("complement_loss keeps its digits where one class has all the probability") {
  const std::vector<double> logits{0, -800, 30, 0, -800, 30, 5000, 0, -2000};
  const auto r = run(logits, std::vector<int>{1, 1, 0, 0, 1, 1, 0, 1, 0}, 3);
  CHECK(r.loss[0] == doctest::Approx(30 + std::exp(-30.0)).epsilon(1e-15));
  CHECK(r.loss[1] == doctest::Approx(std::log1p(std::exp(-30.0))).epsilon(1e-14));
  CHECK(r.loss[2] == 5000);
  CHECK(r.grad[6] == doctest::Approx(1));
  CHECK(r.grad[7] == doctest::Approx(-1));
  CHECK(run(logits, std::vector<int>(9, 1), 3).loss == std::vector<double>(3));
  CHECK(run(logits, std::vector<int>(9, 1), 3).grad == std::vector<double>(9));
  const auto capped = run(logits, std::vector<int>{1, 1, 0, 0, 1, 1, 0, 1, 0}, 3, 16.118);
  CHECK(capped.loss[2] == 16.118);
  CHECK(capped.grad[6] == 0);
}

TEST_CASE_TEMPLATE("complement_loss has the same bits for every executor, layout, place and form of the sets", T, float,
                   double) {
  for (const index_t k : {index_t(10), index_t(600)}) {
    const index_t n = k > 10 && support::sanitized ? 40 : 200;
    const auto x = normal(n, k, 3, 1);
    const std::vector<T> logits(x.begin(), x.end());
    std::vector<std::int8_t> mask;
    std::vector<int> offsets{0}, ids;
    for (index_t i = 0; i < n; ++i) {
      for (index_t j = 0; j < k; ++j) {
        mask.push_back((i * 7 + j * 3) % 5 == 0);
        if (mask.back() != 0) ids.push_back(int(j));
      }
      offsets.push_back(int(ids.size()));
    }
    std::vector<T> loss = zeros<T>(n), grad = zeros<T>(n * k), other = loss, place = logits;
    const auto sets = weakly::candidate_masks(rows(mask, k));
    weakly::complement_loss(rows(logits, k), sets, loss, rows(grad, k));
    weakly::thread_pool pool(3);
    weakly::complement_loss(pool, rows(place, k), weakly::candidate_lists(offsets, ids, k), other, rows(place, k));
    CHECK(same_bits(loss, other));
    CHECK(same_bits(grad, place));
    auto by_column = transposed(logits, k);
    const auto view = weakly::view(by_column.data(), n, k, 1, n);
    weakly::complement_loss(view, sets, weakly::discard, view);
    CHECK(same_bits(by_column, transposed(grad, k)));
  }
}

TEST_CASE("complement_loss keeps what is undefined, infinite or malformed in its row") {
  const std::vector<double> logits{std::nan(""), 0, -inf, 3, inf, 0, 0, 0, -inf, -inf};
  const std::vector<int> offsets{0, 1, 2, 3, 4, 5}, ids{0, 0, 0, 0, 0};
  std::vector<double> loss(5), grad(10);
  weakly::complement_loss(rows(logits, 2), weakly::candidate_lists(offsets, ids, 2), loss, rows(grad, 2));
  CHECK(std::isnan(loss[0]));
  CHECK(loss[1] == inf);
  CHECK(grad[3] == 1);
  CHECK(std::isnan(loss[2]));
  CHECK(loss[3] == doctest::Approx(std::log(2.0)).epsilon(1e-15));
  CHECK(std::isnan(loss[4]));
  CHECK(std::isnan(grad[9]));
  const std::vector<int> bad{0, 0, 0, 2, 0};
  CHECK_THROWS_AS(
      weakly::complement_loss(rows(logits, 2), weakly::candidate_lists(offsets, bad, 2), loss, rows(grad, 2)),
      weakly::label_error);
  CHECK(std::isnan(loss[3]));
  CHECK(loss[1] == inf);
  CHECK_THROWS_AS(
      weakly::complement_loss(rows(logits, 5), weakly::candidate_lists(offsets, ids, 2), loss, weakly::discard),
      weakly::shape_error);
  for (const double cap : {0.0, -1.0, std::nan("")})
    CHECK_THROWS_AS(weakly::complement_loss(rows(logits, 2), weakly::candidate_lists(offsets, ids, 2), loss,
                                            weakly::discard, {.cap = cap}),
                    weakly::option_error);
}
