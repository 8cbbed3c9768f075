// SPDX-License-Identifier: MIT
#include <weakly/loss/loss_labels.hpp>
#include <weakly/loss/mean_absolute_error.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
#include <string>
#include <vector>

using weakly::index_t;
using weakly::loss_labels;

TEST_CASE("loss_labels reads any integers at any stride and reports what is no label") {
  const std::vector<std::uint8_t> bytes{1, 9, 0, 9, 7, 9};
  const std::vector<std::uint64_t> words{1, 0, std::numeric_limits<std::uint64_t>::max()};
  index_t label[3];
  float weight[3];
  weakly::status bad = weakly::no_bad_rows();
  CHECK(loss_labels(weakly::tensor_view<const std::uint8_t, 1>(bytes.data(), {3}, {2}))
            .fetch<float>(0, 3, 5, label, weight, bad));
  CHECK(label[0] == 1);
  CHECK(label[1] == 0);
  CHECK(weight[1] == 1.0f);
  CHECK(weight[2] == 0.0f);
  CHECK(bad == weakly::status{2, 1});
  bad = weakly::no_bad_rows();
  loss_labels(words).fetch<float>(0, 3, 5, label, weight, bad);
  CHECK(bad == weakly::status{2, 1});
  bad = weakly::no_bad_rows();
  CHECK_FALSE(loss_labels(words).fetch<float>(0, 2, 5, label, weight, bad));
  CHECK(bad.ok());
}

TEST_CASE("loss_labels multiplies weights of rows and classes, and leaves ignored labels out without a report") {
  const std::vector<int> label{2, -100, 0, 1};
  const std::vector<float> row{0.5f, 3, 2, 0};
  const std::vector<double> of_class{4, 5, 6};
  index_t fetched[4];
  double weight[4];
  weakly::status bad = weakly::no_bad_rows();
  const loss_labels labels = loss_labels(label).ignore(-100).weights(row).class_weights(of_class);
  labels.fetch<double>(0, 4, 3, fetched, weight, bad);
  CHECK(bad.ok());
  CHECK(weight[0] == 3);
  CHECK(weight[1] == 0);
  CHECK(weight[2] == 8);
  CHECK(weight[3] == 0);
  labels.fetch<double>(2, 1, 3, fetched, weight, bad);
  CHECK(weight[0] == 8);
  CHECK(labels.at(1) == -100);
#if WEAKLY_HAS_EXCEPTIONS
  CHECK_THROWS_AS(loss_labels(label).weights(of_class), weakly::shape_error);
  CHECK_THROWS_AS(labels.require("loss", 5, 3), weakly::shape_error);
  CHECK_THROWS_AS(labels.require("loss", 4, 2), weakly::shape_error);
#endif
}

TEST_CASE("weights that are all zero give zeros, and those of ignored rows are not looked at") {
  const std::vector<float> logits{1, 2, 3, 4}, none{0, 0};
  const std::vector<double> nan{std::numeric_limits<double>::quiet_NaN(), 1};
  std::vector<float> loss(2, 7), grad(4, 7);
  const auto x = weakly::view(logits.data(), 2, 2);
  weakly::mean_absolute_error(x, loss_labels(std::vector<int>{0, 1}).weights(none), loss,
                              weakly::view(grad.data(), 2, 2));
  CHECK(loss == std::vector<float>(2));
  CHECK(grad == std::vector<float>(4));
  weakly::mean_absolute_error(x, loss_labels(std::vector<int>{-1, 1}).ignore(-1).weights(nan), loss,
                              weakly::view(grad.data(), 2, 2));
  CHECK(loss[0] == 0);
  CHECK(loss[1] > 0);
}

#if WEAKLY_HAS_EXCEPTIONS
TEST_CASE("a weight that is negative, NaN or infinite is refused by row once all other rows are done") {
  const double inf = std::numeric_limits<double>::infinity(), nan = std::numeric_limits<double>::quiet_NaN();
  for (const index_t k : {index_t(3), index_t(300)})  // short and long rows
    for (const double bad : {-1.0, nan, inf, -inf, 1e39}) {
      CAPTURE(bad);
      const std::vector<float> logits(std::size_t(4 * k), 0.0f);
      const std::vector<int> label{0, 1, 2, 0};
      const std::vector<double> weight{1, bad, 2, bad};
      std::vector<float> loss(4, 7), grad(std::size_t(4 * k), 7);
      std::string message;
      try {
        weakly::mean_absolute_error(weakly::view(logits.data(), 4, k), loss_labels(label).weights(weight), loss,
                                    weakly::view(grad.data(), 4, k));
      } catch (const weakly::value_error& e) {
        message = e.what();
      }
      CHECK(message.find("mean_absolute_error: weight ") == 0);
      CHECK(message.find(" of row 1 ") != std::string::npos);
      CHECK(message.find("(2 rows") != std::string::npos);
      CHECK(loss[1] == 0);
      CHECK(grad[std::size_t(k)] == 0);
      CHECK(loss[0] > 0);
      CHECK(loss[2] == 2 * loss[0]);
      CHECK(loss[3] == 0);
      CHECK(grad[std::size_t(2 * k + 2)] < 0);
    }
}

TEST_CASE("a class weight that is negative or not finite is refused before anything is written") {
  const std::vector<float> logits(4, 0.0f);
  std::vector<float> loss(2, 7);
  for (const double bad : {-0.5, std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::infinity()}) {
    const std::vector<double> of_class{1, bad};
    std::string message;
    try {
      weakly::mean_absolute_error(weakly::view(logits.data(), 2, 2),
                                  loss_labels(std::vector<int>{0, 0}).class_weights(of_class), loss, weakly::discard);
    } catch (const weakly::value_error& e) {
      message = e.what();
    }
    CHECK(message.find("of class 1") != std::string::npos);
    CHECK(loss == std::vector<float>(2, 7.0f));
  }
}
#endif
