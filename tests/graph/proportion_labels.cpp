// SPDX-License-Identifier: MIT
#include "sanitizer.hpp"

#include <weakly/exec/thread_pool.hpp>
#include <weakly/graph/proportion_labels.hpp>

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <random>
#include <vector>

namespace {

using std::size_t;
using weakly::index_t;
using weakly::label_bags;
using weakly::proportion_rule;
using ints = std::vector<int>;
using reals = std::vector<double>;
const double inf = std::numeric_limits<double>::infinity();

template <class Exec = weakly::sequential>
reals labels(const reals& log_odds, const label_bags& bags, const weakly::proportion_labels_options& options,
             Exec&& ex = {}) {
  reals out(log_odds.size(), -1);
  std::vector<std::byte> memory(weakly::proportion_labels_scratch(bags.longest(), 2));
  weakly::workspace scratch(memory);
  weakly::proportion_labels(ex, log_odds, bags, scratch, out, options);
  return out;
}

double sum_of(const reals& x, const label_bags& bags, index_t bag) {
  double sum = 0;
  for (const auto i : bags.members(bag)) sum += x[size_t(i)];
  return sum;
}

}  // namespace

TEST_CASE("proportion_labels of two bags by each rule") {
  const label_bags bags(6, ints{0, 3, 5}, ints{0, 2, 4, 1, 3}, ints{2, 0});
  const reals x{-3, 2, -1, 4, -2, std::log(3.0)};  // the last item is in no bag
  CHECK(labels(x, bags, {.rule = proportion_rule::threshold}) == reals{0, 1, 0, 1, 0, 1});
  CHECK(labels(x, bags, {.rule = proportion_rule::top_count}) == reals{0, 0, 1, 0, 1, 1});
  CHECK(labels(x, bags, {.rule = proportion_rule::top_count, .threshold = 0.8}).back() == 0);
  CHECK(labels(x, bags, {.rule = proportion_rule::soft})[5] == doctest::Approx(0.75).epsilon(1e-15));
  const reals rescaled = labels(x, bags, {.rule = proportion_rule::rescaled});
  CHECK(sum_of(rescaled, bags, 0) == doctest::Approx(2).epsilon(1e-14));
  CHECK(rescaled[1] == 0);
  CHECK(rescaled[3] == 0);
  CHECK(rescaled[5] == doctest::Approx(0.75).epsilon(1e-15));
  const auto logit = [&](size_t i) { return std::log(rescaled[i] / (1 - rescaled[i])); };
  CHECK(logit(2) - logit(0) == doctest::Approx(2).epsilon(1e-12));
}

TEST_CASE("proportion_labels take the first of equal log-odds, and thresholds that are met") {
  const label_bags bags(4, ints{0, 4}, ints{2});
  CHECK(labels({1, 1, 1, 1}, bags, {}) == reals{1, 1, 0, 0});
  CHECK(labels({-inf, 0, inf, -inf}, bags, {}) == reals{0, 1, 1, 0});
  CHECK(labels({-inf, -inf, -inf, -inf}, bags, {}) == reals{1, 1, 0, 0});
  CHECK(labels({0, -1e-9, 1, -1}, bags, {.rule = proportion_rule::threshold}) == reals{1, 0, 1, 0});
}

TEST_CASE("proportion_labels meet every count, however the log-odds are spread") {
  std::mt19937_64 random(1);
  std::normal_distribution<double> normal;
  for (int round = 0; round < support::rounds(200); ++round) {
    const index_t b = 1 + index_t(random() % 60), count = index_t(random() % size_t(b + 1));
    const double scale[] = {0, 1, 30, 1000};
    const double by = scale[random() % 4], mean = 20 * normal(random);
    reals x(size_t(b), 0.0);
    for (double& v : x) v = mean + by * normal(random);
    const label_bags bags(b, std::vector<index_t>{0, b}, std::vector<index_t>{count});
    CAPTURE(round);
    const reals top = labels(x, bags, {}), soft = labels(x, bags, {.rule = proportion_rule::rescaled});
    CHECK(sum_of(top, bags, 0) == double(count));
    // Items a thousand apart in log-odds leave sums no number in between: then the nearest.
    CHECK(std::abs(sum_of(soft, bags, 0) - double(count)) <= 1e-11 * double(b));
    for (size_t i = 0; i < x.size(); ++i)
      for (size_t j = 0; j < x.size(); ++j)
        if (x[i] > x[j]) {
          CHECK(top[i] >= top[j]);
          CHECK(soft[i] >= soft[j]);
        }
  }
}

TEST_CASE("proportion_labels rescale around infinite log-odds, and refuse what cannot be") {
  const label_bags bags(4, ints{0, 4}, ints{2});
  const weakly::proportion_labels_options rescaled{.rule = proportion_rule::rescaled};
  CHECK(labels({inf, 5, 5, -inf}, bags, rescaled) == reals{1, 0.5, 0.5, 0});
  CHECK(labels({inf, 5, 3, inf}, bags, rescaled) == reals{1, 0, 0, 1});
  CHECK(labels({-inf, 5, 3, -inf}, bags, rescaled) == reals{0, 1, 1, 0});
  CHECK_THROWS_AS(labels({inf, inf, inf, 0}, bags, rescaled), weakly::value_error);
  CHECK_THROWS_AS(labels({-inf, -inf, -inf, 0}, bags, rescaled), weakly::value_error);
}

TEST_CASE("proportion_labels rescale log-odds of any finite size") {
  const weakly::proportion_labels_options rescaled{.rule = proportion_rule::rescaled};
  const label_bags two(4, ints{0, 4}, ints{2}), one(2, ints{0, 2}, ints{1});
  for (const double x : {1e3, 1e10, 1e20, 1e300, std::numeric_limits<double>::max()}) {
    CHECK(labels({x, -x, 0, 0}, two, rescaled) == reals{1, 0, 0.5, 0.5});
    const reals three = labels({x, 0, -x, 0}, label_bags(4, ints{0, 4}, ints{3}), rescaled);
    CHECK(three[0] == 1);
    CHECK(three[1] == doctest::Approx(1).epsilon(1e-13));
    CHECK(three[2] < 1e-13);
    CHECK(labels({x, std::nextafter(x, 0.0)}, one, rescaled)[0] >= 0.5);
    CHECK(sum_of(labels({x, std::nextafter(x, 0.0)}, one, rescaled), one, 0) == doctest::Approx(1).epsilon(1e-14));
  }
  reals near(40);
  for (size_t i = 0; i < near.size(); ++i) near[i] = 1e6 + std::sin(double(i));
  const label_bags bag(40, ints{0, 40}, ints{7});
  CHECK(std::abs(sum_of(labels(near, bag, rescaled), bag, 0) - 7) < 1e-12);
}

TEST_CASE("proportion_labels have the same bits for every executor, layout and place") {
  const index_t n = 5000;
  std::mt19937_64 random(2);
  std::normal_distribution<double> normal;
  std::vector<index_t> begin{0}, item(n), count;
  for (index_t i = 0; i < n; ++i) item[size_t(i)] = (i * 7) % n;
  while (begin.back() < n - 50) {
    const index_t size = 1 + index_t(random() % 50);
    count.push_back(index_t(random() % size_t(size + 1)));
    begin.push_back(begin.back() + size);
  }
  item.resize(size_t(begin.back()));
  const label_bags bags(n, begin, item, count);
  reals x(n), strided(2 * n);
  for (index_t i = 0; i < n; ++i) x[size_t(i)] = strided[size_t(2 * i)] = normal(random);
  weakly::thread_pool pool(3);
  for (const auto rule :
       {proportion_rule::threshold, proportion_rule::top_count, proportion_rule::soft, proportion_rule::rescaled}) {
    const reals want = labels(x, bags, {.rule = rule});
    CHECK(labels(x, bags, {.rule = rule}, pool) == want);
    std::vector<std::byte> memory(weakly::proportion_labels_scratch(bags.longest()));
    weakly::workspace scratch(memory);
    reals place = strided;
    const weakly::vector_view<double> every_second(place.data(), {n}, {2});
    weakly::proportion_labels(every_second, bags, scratch, every_second, {.rule = rule});
    for (index_t i = 0; i < n; ++i) CHECK(place[size_t(2 * i)] == want[size_t(i)]);
  }
}

TEST_CASE("proportion_labels refuse NaN, thresholds that are none and lengths that differ") {
  const label_bags bags(3, ints{0, 3}, ints{2});
  CHECK_THROWS_AS(labels({0, std::nan(""), 0}, bags, {}), weakly::value_error);
  CHECK_THROWS_AS(labels({0, 0}, bags, {}), weakly::shape_error);
  CHECK_THROWS_AS(labels({0, 0, 0}, bags, {.threshold = 1.5}), weakly::option_error);
  CHECK_THROWS_AS(labels({0, 0, 0}, bags, {.threshold = std::nan("")}), weakly::option_error);
  reals out(3);
  std::vector<std::byte> small(10);
  weakly::workspace scratch(small);
  CHECK_THROWS_AS(weakly::proportion_labels(reals(3), bags, scratch, out), weakly::workspace_error);
}
