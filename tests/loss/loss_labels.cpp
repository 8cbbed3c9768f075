// SPDX-License-Identifier: MIT
#include <weakly/loss/loss_labels.hpp>

#include <doctest/doctest.h>

#include <cstdint>
#include <limits>
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
