// SPDX-License-Identifier: MIT
#include "support.hpp"

#include <weakly/loss/loss_margins.hpp>

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace {

template <class T>
weakly::detail::softmax_scores<T> scores_with(const weakly::loss_margins& margins, weakly::index_t n,
                                              weakly::index_t k) {
  margins.require<T>("test", n, k);
  static const std::vector<T> logits(100);
  weakly::detail::softmax_scores<T> scores;
  scores.logits = weakly::detail::row_source<T>(weakly::view(logits.data(), n, k));
  margins.give_to(scores);
  return scores;
}

}  // namespace

TEST_CASE_TEMPLATE("loss_margins give each class what their name says", T, float, double) {
  const std::vector<double> v{1, 2, 4}, table{0, 1, 2, 3, 4, 5, 6, 7, 8};
  T buffer[3];

  CHECK(scores_with<T>(0.5, 2, 3).shared_margin(1) == T(0.5));
  CHECK(scores_with<T>(0.5, 2, 3).label_margin(0, 1) == T(0));
  CHECK(scores_with<T>(weakly::label_margins(v), 2, 3).shared_margin(2) == T(4));

  const auto by_class = scores_with<T>(weakly::class_margins(v), 2, 3);
  CHECK(by_class.column_margins(1, 0, 1, 2, buffer)[1] == T(4));
  CHECK(by_class.label_margin(1, 2) == T(0));

  const auto by_label = scores_with<T>(weakly::margin_table(weakly::view(table.data(), 3, 3)), 2, 3);
  CHECK(by_label.column_margins(0, 2, 0, 3, buffer)[1] == T(7));
  CHECK(by_label.label_margin(0, 2) == T(8));

  const auto by_row = scores_with<T>(weakly::row_margins(weakly::view(table.data(), 2, 3)), 2, 3);
  CHECK(by_row.column_margins(1, 0, 0, 3, buffer)[2] == T(5));
  CHECK(by_row.label_margin(1, 0) == T(3));
}

#if WEAKLY_HAS_EXCEPTIONS
TEST_CASE("loss_margins refuse numbers that are not finite and views of another shape") {
  const std::vector<double> v(3);
  CHECK_THROWS_AS(weakly::loss_margins(std::numeric_limits<double>::infinity()).require<double>("f", 2, 3),
                  weakly::option_error);
  CHECK_NOTHROW(weakly::loss_margins(1e300).require<double>("f", 2, 3));
  CHECK_THROWS_AS(weakly::loss_margins(1e300).require<float>("f", 2, 3), weakly::option_error);
  CHECK_THROWS_AS(weakly::loss_margins(std::nan("")).require<float>("f", 2, 3), weakly::option_error);
  CHECK_THROWS_AS(weakly::class_margins(v).require<double>("f", 2, 4), weakly::shape_error);
  CHECK_THROWS_AS(weakly::label_margins(v).require<double>("f", 2, 2), weakly::shape_error);
  CHECK_THROWS_AS(weakly::margin_table(weakly::view(v.data(), 1, 3)).require<double>("f", 1, 3), weakly::shape_error);
  CHECK_THROWS_AS(weakly::row_margins(weakly::view(v.data(), 1, 3)).require<double>("f", 2, 3), weakly::shape_error);
}
#endif
