// SPDX-License-Identifier: MIT
#include "em_checks.hpp"

#include <weakly/em/class_balance.hpp>
#include <weakly/exec/thread_pool.hpp>

#include <algorithm>
#include <cstddef>
#include <string>

using namespace em_checks;

namespace {

template <class T>
double run(const std::vector<T>& prob, index_t k, std::vector<T>& grad, double floor = 1e-6) {
  std::vector<std::byte> memory(weakly::class_balance_scratch(k));
  weakly::workspace scratch(memory);
  return weakly::class_balance(rows(prob, k), scratch, rows(grad, k), {.floor = floor});
}

}  // namespace

TEST_CASE("class_balance is least, log k, where no class is favoured") {
  const std::vector<double> prob{0.75, 0.25, 0.25, 0.75};
  std::vector<double> grad(4);
  CHECK(run(prob, 2, grad) == doctest::Approx(std::log(2.0)).epsilon(1e-15));
  CHECK(grad == std::vector<double>(4));
  const std::vector<double> skewed{0.75, 0.25};
  grad.resize(2);
  CHECK(run(skewed, 2, grad) == doctest::Approx(-0.5 * std::log(0.75 * 0.25)).epsilon(1e-15));
  CHECK(grad[0] == doctest::Approx(0.25).epsilon(1e-15));
  CHECK(grad[1] == doctest::Approx(-0.25).epsilon(1e-15));
}

TEST_CASE("class_balance agrees with its plain form, and its gradient by the logits with differences") {
  for (const index_t k : {index_t(3), index_t(7), index_t(600)})
    for (const double floor : {1e-6, 0.02}) {
      CAPTURE(k);
      CAPTURE(floor);
      const index_t n = 5;
      const auto logits = normal(n, k, 2, unsigned(k));
      std::vector<double> grad = zeros(n * k);
      const double value = run(softmax(logits, k), k, grad, floor);
      std::vector<long double> z(logits.begin(), logits.end());
      const auto plain = [&](const std::vector<long double>& x) {
        std::vector<long double> mean(static_cast<std::size_t>(k));
        for (index_t i = 0; i < n; ++i) {
          long double sum = 0;
          for (index_t c = 0; c < k; ++c) sum += std::exp(x[std::size_t(i * k + c)]);
          for (index_t c = 0; c < k; ++c)
            mean[std::size_t(c)] += std::exp(x[std::size_t(i * k + c)]) / sum / static_cast<long double>(n);
        }
        long double loss = 0;
        for (const long double m : mean)
          loss -= std::log(std::max<long double>(m, floor)) / static_cast<long double>(k);
        return loss;
      };
      CHECK(close(value, double(plain(z)), 1e-13));
      for (std::size_t j = 0; j < z.size(); j += 1 + z.size() / 20)
        CHECK(close(grad[j], slope(z, j, plain), 1e-7, 1e-10));
    }
}

TEST_CASE_TEMPLATE("class_balance has the same bits for every executor, layout and place", T, float, double) {
  const index_t n = 500, k = 9;
  const auto p = softmax(normal(n, k, 2, 1), k);
  const std::vector<T> prob(p.begin(), p.end());
  std::vector<T> grad(prob.size()), place = prob, by_column = transposed(prob, k);
  const double value = run(prob, k, grad);
  std::vector<std::byte> memory(weakly::class_balance_scratch(k));
  weakly::workspace scratch(memory);
  weakly::thread_pool pool(3);
  CHECK(weakly::class_balance(pool, rows(place, k), scratch, rows(place, k)) == value);
  CHECK(same_bits(place, grad));
  const auto view = weakly::view(by_column.data(), n, k, 1, n);
  scratch = weakly::workspace(memory);
  CHECK(weakly::class_balance(view, scratch, weakly::discard) == value);
  scratch = weakly::workspace(memory);
  CHECK(weakly::class_balance(view, scratch, view) == value);
  CHECK(same_bits(by_column, transposed(grad, k)));
}

TEST_CASE("class_balance refuses rows that are no probabilities, small scratch and bad options") {
  const std::vector<double> bad{0.5, 0.5, std::nan(""), 1};
  std::vector<double> grad(4, 7.0);
  CHECK_THROWS_AS(run(bad, 2, grad), weakly::value_error);
  CHECK(grad == std::vector<double>(4, 7.0));
  const std::vector<double> good{0.5, 0.5, 1, 0};
  for (const double floor : {0.0, 1.0, std::nan("")}) CHECK_THROWS_AS(run(good, 2, grad, floor), weakly::option_error);
  std::vector<std::byte> memory(8);
  weakly::workspace scratch(memory);
  CHECK_THROWS_AS(weakly::class_balance(rows(good, 2), scratch, weakly::discard), weakly::workspace_error);
  CHECK(weakly::class_balance(weakly::view(good.data(), 0, 2), scratch, weakly::discard) == 0);
}

TEST_CASE("class_balance of more than a million rows is that of one") {
  const index_t n = (index_t(1) << 20) + 777, k = 2;
  const std::vector<double> prob(std::size_t(n * k), 0.3);
  std::vector<std::byte> memory(weakly::class_balance_scratch(k));
  weakly::workspace scratch(memory), again(memory);
  const double one = weakly::class_balance(weakly::view(prob.data(), 1, k), scratch, weakly::discard);
  CHECK(weakly::class_balance(rows(prob, k), again, weakly::discard) == one);
}

TEST_CASE("class_balance names the argument that has no classes") {
  const std::vector<double> prob(1);
  std::vector<std::byte> memory(weakly::class_balance_scratch(1));
  weakly::workspace scratch(memory);
  std::string message;
  try {
    weakly::class_balance(weakly::view(prob.data(), 2, 0), scratch, weakly::discard);
  } catch (const weakly::shape_error& e) {
    message = e.what();
  }
  CHECK(message.find("prob has 2 rows of 0 classes") != std::string::npos);
}
