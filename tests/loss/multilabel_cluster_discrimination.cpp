// SPDX-License-Identifier: MIT
#include "batch_checks.hpp"
#include "loss_reference.hpp"
#include "noise/allocations.hpp"
#include "sanitizer.hpp"

#include <weakly/loss/multilabel_cluster_discrimination.hpp>

#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

using weakly::index_t;

namespace {

/// Marks of both sets as lists, padded with -1 here and there.
struct lists {
  index_t width;
  std::vector<std::int32_t> entries;
  lists(const std::vector<int>& mark, index_t n, index_t k) : width(k + 1), entries(std::size_t(n * (k + 1)), -1) {
    for (index_t i = 0; i < n; ++i)
      for (index_t j = 0; j < k; ++j)
        if (mark[std::size_t(i * k + j)] != 0)
          entries[std::size_t(i * width + j + (j > 2))] = static_cast<std::int32_t>(j);
  }
  auto view(index_t n) const { return weakly::view(entries.data(), n, width); }
};

double plain(const std::vector<double>& s, const std::vector<int>& positive, const std::vector<int>& negative) {
  long double up = 1, down = 1;
  for (std::size_t j = 0; j < s.size(); ++j) {
    if (negative[j] != 0) up += std::exp(static_cast<long double>(s[j]));
    if (positive[j] != 0) down += std::exp(-static_cast<long double>(s[j]));
  }
  return double(std::log(up) + std::log(down));
}

/// About a third positive, a third negative.
void draw_sets(index_t size, unsigned seed, std::vector<int>& positive, std::vector<int>& negative) {
  positive = batch_checks::marks(size, 3, seed);
  negative = batch_checks::marks(size, 2, seed + 1);
  for (std::size_t e = 0; e < negative.size(); ++e) negative[e] *= 5 * (1 - positive[e]);
}

}  // namespace

TEST_CASE("multilabel_cluster_discrimination of zero scores counts both sets") {
  const std::vector<double> s(4);
  const std::vector<int> positive{1, 0, 0, 0}, negative{0, 1, 1, 0};
  std::vector<double> loss(1), grad(4);
  weakly::multilabel_cluster_discrimination(weakly::view(s.data(), 1, 4), weakly::view(positive.data(), 1, 4),
                                            weakly::view(negative.data(), 1, 4), loss, weakly::view(grad.data(), 1, 4));
  CHECK(loss[0] == doctest::Approx(std::log(3.0) + std::log(2.0)).epsilon(1e-15));
  CHECK(grad[0] == -0.5);
  CHECK(grad[1] == doctest::Approx(1 / 3.0).epsilon(1e-15));
  CHECK(grad[3] == 0);
}

TEST_CASE("multilabel_cluster_discrimination gives the reference results, by marks and by lists") {
  for (const auto& c : loss_reference::cases("mlcd")) {
    const auto logits = c.array("logits");
    const auto n = logits.shape[0], k = logits.shape[1];
    const auto positive = c.array("positive").as<int>(), negative = c.array("negative").as<int>();
    const auto x = weakly::view(logits.values.data(), n, k);
    std::vector<double> loss(std::size_t(n), 0.0), grad(logits.values.size());
    weakly::multilabel_cluster_discrimination(x, weakly::view(positive.data(), n, k),
                                              weakly::view(negative.data(), n, k), loss,
                                              weakly::view(grad.data(), n, k));
    loss_reference::check_array(c, "loss", loss);
    loss_reference::check_array(c, "grad", grad);

    const lists p(positive, n, k), m(negative, n, k);
    std::vector<double> listed(std::size_t(n), -1.0), listed_grad(grad.size());
    weakly::listed_cluster_discrimination(x, p.view(n), m.view(n), listed, weakly::view(listed_grad.data(), n, k));
    loss_reference::check_array(c, "loss", listed);
    loss_reference::check_array(c, "grad", listed_grad);
  }
}

TEST_CASE("multilabel_cluster_discrimination agrees with its plain form and its differences") {
  for (const index_t k : {index_t(1), index_t(9), index_t(700)})
    for (const double scale : {1.0, 12.0}) {
      CAPTURE(k);
      auto s = batch_checks::normal<double>(k, scale, 3);
      std::vector<int> positive, negative;
      draw_sets(k, 4, positive, negative);
      std::vector<double> loss(1), grad(s.size());
      const auto value = [&] { return plain(s, positive, negative); };
      weakly::multilabel_cluster_discrimination(weakly::view(s.data(), 1, k), weakly::view(positive.data(), 1, k),
                                                weakly::view(negative.data(), 1, k), loss,
                                                weakly::view(grad.data(), 1, k));
      CHECK(loss[0] == doctest::Approx(value()).epsilon(1e-13));
      batch_checks::check_slopes("grad", s, grad, value, 1e-8);
    }
}

TEST_CASE("multilabel_cluster_discrimination: the marks' bits, layouts, storage, and no allocation") {
  for (const index_t k : {index_t(5), index_t(600)}) {
    const index_t n = support::sanitized && k > 5 ? 40 : 150;
    std::vector<int> positive, negative;
    draw_sets(n * k, 9, positive, negative);
    const std::vector<std::int8_t> narrow(positive.begin(), positive.end());
    std::vector<float> loss(std::size_t(n), 0.0f);
    const auto call = [&](auto&& ex, auto x, auto grad) {
      weakly::multilabel_cluster_discrimination(ex, x, weakly::view(narrow.data(), n, k),
                                                weakly::view(negative.data(), n, k), loss, grad);
      double sum = 0;
      for (const float l : loss) sum += double(l);
      return sum;
    };
    batch_checks::check_ways_to_call(n, k, 3, call);
    const auto x = batch_checks::normal<float>(n * k, 3, 1);
    std::vector<float> grad(x.size()), listed(x.size());
    CHECK(allocations::during(
              [&] { call(weakly::seq, weakly::view(x.data(), n, k), weakly::view(grad.data(), n, k)); }) == 0);
    const lists p(positive, n, k), m(negative, n, k);
    CHECK(allocations::during([&] {
            weakly::listed_cluster_discrimination(weakly::view(x.data(), n, k), p.view(n), m.view(n), loss,
                                                  weakly::view(listed.data(), n, k));
          }) == 0);
    for (std::size_t e = 0; e < grad.size(); ++e) CHECK(batch_checks::near(double(listed[e]), double(grad[e]), 1e-6));
  }
}

TEST_CASE("listed_cluster_discrimination writes listed entries alone, and one list may serve all rows") {
  const std::vector<double> s{1, 2, 3, -1, 0, 4};
  const std::vector<int> positive{2, 1};
  const std::vector<std::int64_t> shared{0};
  std::vector<double> loss(2), grad(6, 9.0);
  weakly::listed_cluster_discrimination(weakly::view(s.data(), 2, 3), weakly::view(positive.data(), 2, 1),
                                        weakly::view(shared.data(), 2, 1, 0, 1), loss, weakly::view(grad.data(), 2, 3));
  CHECK(loss[0] == doctest::Approx(std::log1p(std::exp(1.0)) + std::log1p(std::exp(-3.0))).epsilon(1e-14));
  CHECK(loss[1] == doctest::Approx(std::log1p(std::exp(-1.0)) + std::log(2.0)).epsilon(1e-14));
  CHECK(grad[1] == 9.0);
  CHECK(grad[5] == 9.0);
  CHECK(grad[0] > 0);
  CHECK(grad[2] < 0);
}

TEST_CASE("multilabel_cluster_discrimination of empty sets, tiny losses, huge scores and NaN") {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  std::vector<double> s{-50, 50, nan, 1e30, -1e30, nan, nan, nan, 1, nan, 2, 0};
  const std::vector<int> positive{0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0};
  const std::vector<int> negative{1, 0, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0};
  std::vector<double> loss(4), grad(12);
  weakly::multilabel_cluster_discrimination(weakly::view(s.data(), 4, 3), weakly::view(positive.data(), 4, 3),
                                            weakly::view(negative.data(), 4, 3), loss, weakly::view(grad.data(), 4, 3));
  CHECK(loss[0] == doctest::Approx(2 * std::exp(-50.0)).epsilon(1e-14));
  CHECK(grad[2] == 0);  // a NaN outside both sets does not count
  CHECK(loss[1] == 2e30);
  CHECK(grad[3] == 1);
  CHECK(loss[2] == 0);
  CHECK(std::isnan(loss[3]));
  CHECK(std::isnan(grad[9]));
}

#if WEAKLY_HAS_EXCEPTIONS
TEST_CASE("multilabel_cluster_discrimination refuses classes in both sets after doing the others") {
  const std::vector<double> s{1, 2, 3, 4};
  const std::vector<int> positive{1, 0, 1, 0}, negative{1, 0, 0, 1};
  std::vector<double> loss(2, 7.0), grad(4, 7.0);
  std::string message;
  try {
    weakly::multilabel_cluster_discrimination(weakly::view(s.data(), 2, 2), weakly::view(positive.data(), 2, 2),
                                              weakly::view(negative.data(), 2, 2), loss,
                                              weakly::view(grad.data(), 2, 2));
  } catch (const weakly::value_error& e) {
    message = e.what();
  }
  CHECK(message.find("the first is row 0") != std::string::npos);
  CHECK(loss[0] == 0);
  CHECK(grad[0] == 0);
  CHECK(loss[1] > 4);

  const auto refused = [&](std::vector<int> p, std::vector<int> m, const char* why) {
    loss.assign(1, 7.0);
    message.clear();
    try {
      weakly::listed_cluster_discrimination(weakly::view(s.data(), 1, 4), weakly::view(p.data(), 1, p.size()),
                                            weakly::view(m.data(), 1, m.size()), loss, weakly::view(grad.data(), 1, 4));
    } catch (const weakly::value_error& e) {
      message = e.what();
    }
    CHECK(message.find(why) != std::string::npos);
    CHECK(loss[0] == 0);
  };
  refused({0}, {1, 4}, "class 4 of row 0 is out of order or range in `negative`");
  refused({0, 0}, {1}, "class 0 of row 0 is out of order or range in `positive`");
  refused({1, 0}, {2}, "class 0 of row 0 is out of order or range in `positive`");
  refused({0, -1, 3}, {-1, 1, 2, 3}, "class 3 of row 0 is in both lists");
  CHECK_THROWS_AS(
      weakly::multilabel_cluster_discrimination(weakly::view(s.data(), 2, 2), weakly::view(positive.data(), 1, 4),
                                                weakly::view(negative.data(), 2, 2), weakly::discard, weakly::discard),
      weakly::shape_error);
}
#endif
