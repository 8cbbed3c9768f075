// SPDX-License-Identifier: MIT
#include "em_checks.hpp"

#include <weakly/em/leveraged_weighted.hpp>
#include <weakly/exec/thread_pool.hpp>

#include <cstdint>
#include <limits>

using namespace em_checks;

namespace {

const double inf = std::numeric_limits<double>::infinity();
using weakly::leveraged_loss;

}  // namespace

TEST_CASE("leveraged_weights are the softmax on either side of the set") {
  const std::vector<double> logits{0, std::log(3.0), 5, 5};
  const std::vector<int> mask{1, 1, 0, 0};
  std::vector<double> w(4);
  weakly::leveraged_weights(rows(logits, 4), weakly::candidate_masks(rows(mask, 4)), rows(w, 4));
  CHECK(w[0] == doctest::Approx(0.25).epsilon(1e-15));
  CHECK(w[1] == doctest::Approx(0.75).epsilon(1e-15));
  CHECK(w[2] == 0.5);
  std::vector<double> loss(1), grad(4);
  weakly::leveraged_weighted(rows(logits, 4), weakly::candidate_masks(rows(mask, 4)), rows(w, 4), loss, rows(grad, 4));
  // psi(0) = 1/2, psi(log 3) = 1/4, psi(-5) = 1 / (1 + exp(-5))
  CHECK(loss[0] == doctest::Approx(0.125 + 0.1875 + 2 / (1 + std::exp(-5.0))).epsilon(1e-14));
  CHECK(grad[0] == doctest::Approx(-0.0625).epsilon(1e-14));
  CHECK(grad[1] == doctest::Approx(-0.75 * 0.1875).epsilon(1e-14));
}

TEST_CASE("leveraged_weights give the reference results") {
  std::size_t compared = 0;
  for (const auto& [name, f] : em_reference::instances()) {
    CAPTURE(name);
    const auto& logits = f.at("logits");
    const auto mask = f.at("mask").labels();
    std::vector<double> w(logits.values.size());
    weakly::leveraged_weights(rows(logits.values, logits.columns), weakly::candidate_masks(rows(mask, logits.columns)),
                              rows(w, logits.columns));
    compared += compare(f, "lws_weights", w, 1e-12, 1e-300);
  }
  if (compared != 0) CHECK(compared > 800);
}

TEST_CASE("leveraged_weighted agrees with its plain form, and its gradient with differences") {
  for (const index_t k : {index_t(2), index_t(6), index_t(600)})
    for (const auto base : {leveraged_loss::sigmoid, leveraged_loss::logistic, leveraged_loss::cross_entropy})
      for (const double beta : {0.0, 2.0}) {
        CAPTURE(k);
        CAPTURE(int(base));
        const index_t n = 4;
        const auto logits = normal(n, k, 2, unsigned(k));
        std::vector<std::uint8_t> mask;
        for (index_t i = 0; i < n * k; ++i) mask.push_back(i % 3 == 1 || i / k == 3);
        const auto sets = weakly::candidate_masks(rows(mask, k));
        std::vector<double> w = zeros(n * k), loss = zeros(n), grad = w;
        weakly::leveraged_weights(rows(logits, k), sets, rows(w, k));
        weakly::leveraged_weighted(rows(logits, k), sets, rows(w, k), loss, rows(grad, k),
                                   {.base = base, .beta = beta});
        for (index_t i = 0; i < n; ++i) {
          const auto first = std::size_t(i * k);
          const auto plain = [&](const std::vector<long double>& z) {
            long double sum = 0, value = 0;
            for (const long double x : z) sum += std::exp(x);
            for (std::size_t c = 0; c < z.size(); ++c) {
              const bool in = mask[first + c] != 0;
              const long double m = in ? z[c] : -z[c], p = std::exp(z[c]) / sum;
              const long double psi = base == leveraged_loss::sigmoid    ? 1 / (1 + std::exp(m))
                                      : base == leveraged_loss::logistic ? std::log1p(std::exp(-m))
                                      : in                               ? -std::log(p)
                                                                         : -std::log1p(-p);
              value += (in ? 1 : beta) * w[first + c] * psi;
            }
            return value;
          };
          std::vector<long double> z(logits.begin() + i * k, logits.begin() + (i + 1) * k);
          CHECK(close(loss[std::size_t(i)], double(plain(z)), 1e-12));
          for (std::size_t c = 0; c < z.size(); c += 1 + z.size() / 9)
            CHECK(close(grad[first + c], slope(z, c, plain), 1e-7, 1e-9));
        }
      }
}

TEST_CASE_TEMPLATE("leveraged_weighted has the same bits for every executor, layout and place", T, float, double) {
  const index_t n = 200, k = 11;
  const auto x = normal(n, k, 3, 1);
  const std::vector<T> logits(x.begin(), x.end());
  std::vector<std::int8_t> mask;
  for (index_t i = 0; i < n * k; ++i) mask.push_back(i % 4 == 0);
  const auto sets = weakly::candidate_masks(rows(mask, k));
  weakly::thread_pool pool(3);
  std::vector<T> w = zeros<T>(n * k), weights_in_place = logits;
  weakly::leveraged_weights(rows(logits, k), sets, rows(w, k));
  weakly::leveraged_weights(pool, rows(weights_in_place, k), sets, rows(weights_in_place, k));
  CHECK(same_bits(w, weights_in_place));
  for (const auto base : {leveraged_loss::sigmoid, leveraged_loss::cross_entropy}) {
    std::vector<T> loss = zeros<T>(n), grad = w, other = loss, by_column = transposed(logits, k);
    weakly::leveraged_weighted(rows(logits, k), sets, rows(w, k), loss, rows(grad, k), {.base = base});
    const auto view = weakly::view(by_column.data(), n, k, 1, n);
    weakly::leveraged_weighted(pool, view, sets, rows(w, k), other, view, {.base = base});
    CHECK(same_bits(other, loss));
    CHECK(same_bits(by_column, transposed(grad, k)));
  }
}

TEST_CASE("leveraged_weighted stays finite at gaps of thousands, and keeps NaN and bad sets in their rows") {
  const std::vector<double> logits{5000, 0, std::nan(""), 0, 1, -inf, 1, 2};
  const std::vector<int> offsets{0, 1, 2, 3, 4}, ids{1, 0, 0, 0};
  const auto sets = weakly::candidate_lists(offsets, ids, 2);
  std::vector<double> w(8), loss(4), grad(8);
  weakly::leveraged_weights(rows(logits, 2), sets, rows(w, 2));
  CHECK(w[0] == 1);
  CHECK(w[1] == 1);
  CHECK(std::isnan(w[3]));
  CHECK(w[5] == 0);
  weakly::leveraged_weighted(rows(logits, 2), sets, rows(w, 2), loss, rows(grad, 2),
                             {.base = leveraged_loss::cross_entropy});
  CHECK(loss[0] == 15000);
  CHECK(std::isnan(loss[1]));
  CHECK(loss[2] == 0);
  weakly::leveraged_weighted(rows(logits, 2), sets, rows(w, 2), loss, rows(grad, 2),
                             {.base = leveraged_loss::logistic});
  CHECK(loss[0] == doctest::Approx(10000 + std::log(2.0)));
  const std::vector<int> bad{1, 0, 0, 2};
  const auto malformed = weakly::candidate_lists(offsets, bad, 2);
  CHECK_THROWS_AS(weakly::leveraged_weights(rows(logits, 2), malformed, rows(w, 2)), weakly::label_error);
  CHECK_THROWS_AS(weakly::leveraged_weighted(rows(logits, 2), malformed, rows(w, 2), loss, rows(grad, 2)),
                  weakly::label_error);
  CHECK(std::isnan(loss[3]));
  CHECK_THROWS_AS(weakly::leveraged_weighted(rows(logits, 2), sets, rows(w, 4), loss, rows(grad, 2)),
                  weakly::shape_error);
  for (const double beta : {-1.0, double(INFINITY), std::nan("")})
    CHECK_THROWS_AS(weakly::leveraged_weighted(rows(logits, 2), sets, rows(w, 2), loss, rows(grad, 2), {.beta = beta}),
                    weakly::option_error);
}

TEST_CASE("leveraged_weighted charges nothing for a class of -inf and weight zero") {
  const std::vector<double> logits{-inf, 1, 0.5, -inf}, without{1, 0.5};
  const std::vector<std::uint8_t> mask{1, 1, 0, 0}, mask_without{1, 0};
  const auto sets = weakly::candidate_masks(weakly::view(mask.data(), 1, 4)),
             sets_without = weakly::candidate_masks(weakly::view(mask_without.data(), 1, 2));
  for (const auto base :
       {weakly::leveraged_loss::sigmoid, weakly::leveraged_loss::logistic, weakly::leveraged_loss::cross_entropy}) {
    std::vector<double> weight(4), grad(4), loss(1), weight2(2), grad2(2), loss2(1);
    weakly::leveraged_weights(rows(logits, 4), sets, rows(weight, 4));
    CHECK(weight == std::vector<double>{0, 1, 1, 0});
    weakly::leveraged_weighted(rows(logits, 4), sets, rows(weight, 4), loss, rows(grad, 4), {.base = base});
    weakly::leveraged_weights(rows(without, 2), sets_without, rows(weight2, 2));
    weakly::leveraged_weighted(rows(without, 2), sets_without, rows(weight2, 2), loss2, rows(grad2, 2), {.base = base});
    CHECK(close(loss[0], loss2[0], 1e-14));
    CHECK(grad[0] == 0);
    CHECK(close(grad[1], grad2[0], 1e-14));
    CHECK(close(grad[2], grad2[1], 1e-14));
    CHECK(grad[3] == 0);
  }
}
