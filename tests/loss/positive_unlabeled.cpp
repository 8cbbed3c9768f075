// SPDX-License-Identifier: MIT
#include "batch_checks.hpp"
#include "loss_reference.hpp"
#include "noise/allocations.hpp"

#include <weakly/loss/positive_unlabeled.hpp>

#include <cmath>
#include <limits>
#include <vector>

using weakly::index_t;
using weakly::margin_loss;
using weakly::positive_unlabeled_risk;

TEST_CASE("positive_unlabeled of one positive and one unlabelled score is what one computes by hand") {
  const std::vector<double> score{0.0, 0.0};
  const std::vector<int> positive{1, 0};
  std::vector<double> direction(2);
  const auto r = weakly::positive_unlabeled(score, positive, 0.5, direction);
  CHECK(r.positive == 0.25);
  CHECK(r.negative == 0.25);
  CHECK(r.value == 0.5);
  CHECK_FALSE(r.clipped);
  CHECK(direction[0] == -0.25);  // 0.5 (-1/4 - 1/4)
  CHECK(direction[1] == 0.25);
}

TEST_CASE("positive_unlabeled gives the reference results") {
  for (const auto& c : loss_reference::cases("nnpu")) {
    const auto score = c.values("margins");
    const auto positive = c.array("is_p").as<int>();
    std::vector<double> direction(score.size());
    weakly::positive_unlabeled_options options;
    options.base = c.text.at("base") == "sigmoid" ? margin_loss::sigmoid : margin_loss::logistic;
    options.beta = c.number.at("beta");
    options.gamma = c.number.at("gamma");
    const auto r = weakly::positive_unlabeled(score, positive, c.number.at("prior"), direction, options);
    loss_reference::check_array(c, "value", {r.value});
    loss_reference::check_array(c, "rp", {r.positive});
    loss_reference::check_array(c, "rn", {r.negative});
    loss_reference::check_array(c, "grad", direction);
  }
}

TEST_CASE("positive_unlabeled: the direction is the gradient of the value until the negative risk is clipped") {
  for (const margin_loss base : {margin_loss::sigmoid, margin_loss::logistic})
    for (const bool nonnegative : {true, false}) {
      auto score = batch_checks::normal<double>(15, 2, 3);
      const auto positive = batch_checks::marks(15, 3, 4);
      std::vector<double> direction(score.size());
      const weakly::positive_unlabeled_options options{.base = base, .nonnegative = nonnegative, .beta = 0.01};
      const auto value = [&] {
        return weakly::positive_unlabeled(score, positive, 0.2, weakly::discard, options).value;
      };
      const auto r = weakly::positive_unlabeled(score, positive, 0.2, direction, options);
      REQUIRE(r.negative > 0);
      CHECK_FALSE(r.clipped);
      batch_checks::check_slopes("direction", score, direction, value);
    }
}

TEST_CASE("positive_unlabeled clipped walks back along the gradient of the negative risk, times gamma") {
  // Well separated scores: the unlabelled look negative, so R_u- is small and prior R_p- wins.
  std::vector<double> score{3, 2.5, 4, -3, -2, -5};
  const std::vector<int> positive{1, 1, 1, 0, 0, 0};
  for (const margin_loss base : {margin_loss::sigmoid, margin_loss::logistic}) {
    std::vector<double> direction(6);
    weakly::positive_unlabeled_options options{.base = base, .beta = 0.05, .gamma = 0.7};
    const auto r = weakly::positive_unlabeled(score, positive, 0.6, direction, options);
    REQUIRE(r.clipped);
    CHECK(r.value == r.positive - 0.05);
    const auto back = [&] {
      return -0.7 * weakly::positive_unlabeled(score, positive, 0.6, weakly::discard, options).negative;
    };
    batch_checks::check_slopes("direction", score, direction, back);
    // Just above the limit nothing is clipped.
    options.beta = -r.negative * (1 + 1e-9);
    CHECK_FALSE(weakly::positive_unlabeled(score, positive, 0.6, direction, options).clipped);
    options.nonnegative = false;
    options.beta = 0;
    const auto unbiased = weakly::positive_unlabeled(score, positive, 0.6, direction, options);
    CHECK_FALSE(unbiased.clipped);
    CHECK(unbiased.value == r.positive + r.negative);
  }
}

TEST_CASE("positive_unlabeled of a matrix is each column with its own prior") {
  for (const index_t c : {index_t(1), index_t(5), index_t(64), index_t(150)}) {
    CAPTURE(c);
    const index_t n = 37;
    const auto score = batch_checks::normal<double>(n * c, 2, 1);
    const auto positive = batch_checks::marks(n * c, 4, 2);
    std::vector<double> prior, direction(score.size());
    for (index_t j = 0; j < c; ++j) prior.push_back(0.05 + 0.9 * double(j) / double(c));
    std::vector<positive_unlabeled_risk> risk(static_cast<std::size_t>(c));
    const double total =
        weakly::positive_unlabeled(weakly::view(score.data(), n, c), weakly::view(positive.data(), n, c), prior, risk,
                                   weakly::view(direction.data(), n, c));
    double sum = 0;
    for (index_t j = 0; j < c; ++j) {
      std::vector<double> own(static_cast<std::size_t>(n));
      const auto r = weakly::positive_unlabeled(weakly::vector_view<const double>(score.data() + j, {n}, {c}),
                                                weakly::vector_view<const int>(positive.data() + j, {n}, {c}),
                                                prior[std::size_t(j)], own);
      CHECK(r.value == doctest::Approx(risk[std::size_t(j)].value).epsilon(1e-14));
      CHECK(r.clipped == risk[std::size_t(j)].clipped);
      for (index_t i = 0; i < n; ++i)
        CHECK(own[std::size_t(i)] == doctest::Approx(direction[std::size_t(i * c + j)]).epsilon(1e-14));
      sum += r.value;
    }
    CHECK(total == doctest::Approx(sum).epsilon(1e-14));
  }
}

TEST_CASE("positive_unlabeled gives the same bits for every executor, layout and storage, and allocates nothing") {
  for (const index_t c : {index_t(1), index_t(7), index_t(200)}) {
    const index_t n = 301;
    const auto positive = batch_checks::marks(n * c, 5, 9);
    const std::vector<double> prior(static_cast<std::size_t>(c), 0.3);
    std::vector<positive_unlabeled_risk> risk(static_cast<std::size_t>(c));
    batch_checks::check_ways_to_call(n, c, 2, [&](auto&& ex, auto x, auto grad) {
      return weakly::positive_unlabeled(ex, x, weakly::view(positive.data(), n, c), prior, risk, grad);
    });
    const auto x = batch_checks::normal<float>(n * c, 2, 1);
    std::vector<float> grad(x.size());
    CHECK(allocations::during([&] {
            weakly::positive_unlabeled(weakly::view(x.data(), n, c), weakly::view(positive.data(), n, c), prior, risk,
                                       weakly::view(grad.data(), n, c));
          }) == 0);
  }
}

TEST_CASE("positive_unlabeled permutes with its rows and does not change when the batch is doubled") {
  const auto score = batch_checks::normal<double>(11, 2, 5);
  const auto positive = batch_checks::marks(11, 2, 6);
  std::vector<double> twice(score), direction(22), reversed(score.rbegin(), score.rend());
  twice.insert(twice.end(), score.begin(), score.end());
  std::vector<int> marks(positive), back(positive.rbegin(), positive.rend());
  marks.insert(marks.end(), positive.begin(), positive.end());
  std::vector<double> once(11), other(11);
  const auto r = weakly::positive_unlabeled(score, positive, 0.3, once);
  CHECK(weakly::positive_unlabeled(twice, marks, 0.3, direction).value == doctest::Approx(r.value).epsilon(1e-14));
  CHECK(weakly::positive_unlabeled(reversed, back, 0.3, other).value == doctest::Approx(r.value).epsilon(1e-14));
  for (std::size_t i = 0; i < 11; ++i) {
    CHECK(direction[i] == doctest::Approx(once[i] / 2).epsilon(1e-13));
    CHECK(other[10 - i] == doctest::Approx(once[i]).epsilon(1e-13));
  }
}

TEST_CASE("positive_unlabeled without positives, without unlabelled, of nothing and of NaN") {
  const std::vector<double> score{1, -2};
  std::vector<double> direction(2);
  const auto none = weakly::positive_unlabeled(score, std::vector<int>{0, 0}, 0.3, direction);
  CHECK(none.positive == 0);
  CHECK(none.value > 0);
  const auto all = weakly::positive_unlabeled(score, std::vector<int>{2, -1}, 0.3, direction);
  CHECK(all.negative < 0);
  CHECK(all.clipped);
  const auto empty = weakly::positive_unlabeled(std::vector<double>{}, std::vector<int>{}, 0.3, weakly::discard);
  CHECK(empty.value == 0);

  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::vector<double> matrix{nan, 1, 0.5, 2};
  const std::vector<int> mark{1, 1, 0, 0};
  std::vector<positive_unlabeled_risk> risk(2);
  std::vector<double> grad(4);
  weakly::positive_unlabeled(weakly::view(matrix.data(), 2, 2), weakly::view(mark.data(), 2, 2),
                             std::vector<double>{0.5, 0.5}, risk, weakly::view(grad.data(), 2, 2));
  CHECK(std::isnan(risk[0].value));
  CHECK(std::isfinite(risk[1].value));
  CHECK(std::isnan(grad[0]));
  CHECK(std::isfinite(grad[1]));
  CHECK(std::isfinite(grad[2]));

  for (const margin_loss base : {margin_loss::sigmoid, margin_loss::logistic}) {
    const auto far = weakly::positive_unlabeled(std::vector<double>{1e30, -1e30, 1e30}, std::vector<int>{1, 1, 0}, 0.5,
                                                weakly::discard, {.base = base});
    CHECK(std::isfinite(far.value));
  }
}

#if WEAKLY_HAS_EXCEPTIONS
TEST_CASE("positive_unlabeled refuses shapes that disagree and options outside their domains") {
  const std::vector<double> score{1, 2, 3};
  const std::vector<int> mark{1, 0, 0};
  std::vector<double> direction(3), fewer(2);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  for (const double prior : {0.0, 1.0, -0.1, nan})
    CHECK_THROWS_AS(weakly::positive_unlabeled(score, mark, prior, direction), weakly::option_error);
  for (const double bad : {-1e-9, nan}) {
    CHECK_THROWS_AS(weakly::positive_unlabeled(score, mark, 0.5, direction, {.beta = bad}), weakly::option_error);
    CHECK_THROWS_AS(weakly::positive_unlabeled(score, mark, 0.5, direction, {.gamma = bad}), weakly::option_error);
  }
  CHECK_THROWS_AS(
      weakly::positive_unlabeled(score, mark, 0.5, direction, {.gamma = std::numeric_limits<double>::infinity()}),
      weakly::option_error);
  CHECK_THROWS_AS(weakly::positive_unlabeled(score, mark, 0.5, fewer), weakly::shape_error);
  CHECK_THROWS_AS(weakly::positive_unlabeled(score, std::vector<int>{1}, 0.5, direction), weakly::shape_error);
}
#endif
