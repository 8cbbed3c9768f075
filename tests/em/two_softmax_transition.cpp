// SPDX-License-Identifier: MIT
#include "em_checks.hpp"

#include <weakly/em/two_softmax_transition.hpp>
#include <weakly/exec/thread_pool.hpp>

#include <cstdint>
#include <limits>
#include <string>

using namespace em_checks;

namespace {

std::vector<double> elements(const weakly::matrix<double>& m) { return {m.elements().begin(), m.elements().end()}; }

using numbers = std::vector<long double>;

// As the specification writes it, and nothing but that.
numbers plain_by_column(const numbers& w, std::size_t k, long double scale) {
  numbers n(k * k);
  for (std::size_t c = 0; c < k; ++c)
    for (std::size_t l = 0; l < k; ++l) n[c * k + l] = w[l * k + c];
  for (std::size_t l = 0; l < k; ++l) {
    long double sum = 0;
    for (std::size_t c = 0; c < k; ++c) sum += n[c * k + l] * n[c * k + l];
    for (std::size_t c = 0; c < k; ++c) n[c * k + l] /= std::sqrt(sum);
  }
  for (std::size_t c = 0; c < k; ++c) {
    long double sum = 0;
    for (std::size_t l = 0; l < k; ++l) sum += n[c * k + l] * n[c * k + l];
    for (std::size_t l = 0; l < k; ++l) n[c * k + l] /= std::sqrt(sum);
  }
  for (std::size_t l = 0; l < k; ++l) {
    long double sum = 0;
    for (std::size_t c = 0; c < k; ++c) sum += std::exp(scale * n[c * k + l]);
    for (std::size_t c = 0; c < k; ++c) n[c * k + l] = std::exp(scale * n[c * k + l]) / sum;
  }
  return n;
}

long double plain_loss(const numbers& z, const numbers& c, std::size_t k, std::size_t label) {
  long double seen = 0, all = 0;
  for (std::size_t j = 0; j < k; ++j)
    for (std::size_t l = 0; l < k; ++l) {
      const long double x = std::exp(z[j]) * c[j * k + l];
      all += x;
      if (l == label) seen += x;
    }
  return -std::log(seen / all);
}

}  // namespace

TEST_CASE("two_softmax_transition of the identity is far from it") {
  weakly::matrix<double> w(10, 10);
  for (index_t c = 0; c < 10; ++c) w(c, c) = 1;
  for (const double scale : {1.0, 2.0, 2.5}) {
    const auto t = weakly::two_softmax_transition(w, scale);
    CHECK(t.by_row(3, 3) == doctest::Approx(std::exp(scale) / (std::exp(scale) + 9)).epsilon(1e-14));
    CHECK(t.by_column(7, 3) == t.by_row(3, 7));
  }
}

TEST_CASE("two_softmax_transition gives the reference results") {
  const auto folder = support::reference_data("em");
  if (!folder) return;
  const auto f = em_reference::read(*folder / "transition_param.txt");
  const auto& w = f.at("weight");
  for (const std::string scale : {"1", "2", "2.5"}) {
    const auto t = weakly::two_softmax_transition(rows(w.values, w.columns), std::stod(scale));
    compare(f, "rows_scale" + scale, elements(t.by_row), 1e-12, 0);
    compare(f, "cols_scale" + scale, elements(t.by_column), 1e-12, 0);
  }
}

TEST_CASE("two_softmax losses agree with their plain form, and both gradients with differences") {
  for (const std::size_t k : {std::size_t(2), std::size_t(5), std::size_t(12)}) {
    CAPTURE(k);
    const index_t n = 9;
    const auto logits = normal(n, index_t(k), 2, 1), w = normal(index_t(k), index_t(k), 1, 2);
    std::vector<std::int8_t> label;
    for (int i = 0; i < int(n); ++i) label.push_back(std::int8_t(i == 4 ? -1 : i % int(k)));
    const double scale = 2.25;
    const auto t = weakly::two_softmax_transition(rows(w, index_t(k)), scale);
    std::vector<double> loss = zeros(n), grad = zeros(n * index_t(k));
    weakly::two_softmax_noise_loss(rows(logits, index_t(k)), label, t.by_column, loss, rows(grad, index_t(k)));
    numbers exact_w(w.begin(), w.end());
    const numbers c = plain_by_column(exact_w, k, scale);
    for (std::size_t i = 0; i < std::size_t(n); ++i) {
      numbers z(logits.begin() + std::ptrdiff_t(i * k), logits.begin() + std::ptrdiff_t((i + 1) * k));
      const auto plain = [&](const numbers& x) { return i == 4 ? 0 : plain_loss(x, c, k, std::size_t(label[i])); };
      CHECK(close(loss[i], double(plain(z)), 1e-12));
      for (std::size_t j = 0; j < k; ++j) CHECK(close(grad[i * k + j], slope(z, j, plain), 1e-8, 1e-9));
    }
    const auto of_weight = weakly::two_softmax_gradient(rows(logits, index_t(k)), label, rows(w, index_t(k)), scale);
    const auto total = [&](const numbers& weight) {
      const numbers now = plain_by_column(weight, k, scale);
      long double sum = 0;
      for (std::size_t i = 0; i < std::size_t(n); ++i)
        if (i != 4)
          sum += plain_loss({logits.begin() + std::ptrdiff_t(i * k), logits.begin() + std::ptrdiff_t((i + 1) * k)}, now,
                            k, std::size_t(label[i]));
      return sum;
    };
    for (std::size_t j = 0; j < k * k; j += 1 + k / 5)
      CHECK(close(elements(of_weight)[j], slope(exact_w, j, total), 1e-7, 1e-9));
  }
}

TEST_CASE_TEMPLATE("two_softmax_noise_loss has the same bits for every executor, layout and place", T, float, double) {
  const index_t n = 300, k = 7;
  const auto x = normal(n, k, 3, 1), w = normal(k, k, 1, 2);
  const std::vector<T> logits(x.begin(), x.end());
  std::vector<int> label;
  for (int i = 0; i < int(n); ++i) label.push_back(i % int(k));
  const auto c = weakly::two_softmax_transition(rows(w, k)).by_column;
  std::vector<T> loss = zeros<T>(n), grad = zeros<T>(n * k), other = loss;
  weakly::two_softmax_noise_loss(rows(logits, k), label, c, loss, rows(grad, k));
  auto by_column = transposed(logits, k);
  const auto place = weakly::view(by_column.data(), n, k, 1, n);
  weakly::thread_pool pool(3);
  weakly::two_softmax_noise_loss(pool, place, label, c, other, place);
  CHECK(same_bits(loss, other));
  CHECK(same_bits(by_column, transposed(grad, k)));
}

TEST_CASE("two_softmax functions keep NaN and bad labels in their rows, and refuse other shapes and scales") {
  const std::vector<double> w{1, 0, 0, 1}, logits{std::nan(""), 0, 0, 1, 0, 1};
  const auto c = weakly::two_softmax_transition(rows(w, 2)).by_column;
  std::vector<double> loss(3);
  CHECK_THROWS_AS(weakly::two_softmax_noise_loss(rows(logits, 2), std::vector<int>{0, 2, 1}, c, loss, weakly::discard),
                  weakly::label_error);
  CHECK(std::isnan(loss[0]));
  CHECK(std::isnan(loss[1]));
  CHECK(loss[2] > 0);
  const auto g = weakly::two_softmax_gradient(rows(logits, 2), std::vector<int>{0, -1, 1}, rows(w, 2));
  CHECK(std::isfinite(g(0, 0)));
  CHECK_THROWS_AS(weakly::two_softmax_gradient(rows(logits, 2), std::vector<int>{0, 2, 1}, rows(w, 2)),
                  weakly::label_error);
  CHECK_THROWS_AS(weakly::two_softmax_noise_loss(rows(logits, 3), std::vector<int>{0, 1}, c, loss, weakly::discard),
                  weakly::shape_error);
  CHECK_THROWS_AS(weakly::two_softmax_transition(rows(logits, 2)), weakly::shape_error);
  for (const double bad : {0.0, -1.0, std::nan(""), double(INFINITY)})
    CHECK_THROWS_AS(weakly::two_softmax_transition(rows(w, 2), bad), weakly::option_error);
}

TEST_CASE("two_softmax_transition takes weights of any finite size, and no others") {
  const auto elements = [](const weakly::matrix<double>& m) {
    return std::vector<double>(m.elements().begin(), m.elements().end());
  };
  const std::vector<double> weight{1, 0.25, 0, 0.5, 2, 0.125, 0.25, 0, 1};
  const auto want = weakly::two_softmax_transition(weakly::view(weight.data(), 3, 3), 2);
  for (const double size : {0x1p498, 0x1p504, 0x1p664, 0x1p1022}) {
    std::vector<double> great = weight;
    for (double& x : great) x *= size;
    const auto got = weakly::two_softmax_transition(weakly::view(great.data(), 3, 3), 2);
    CHECK(elements(got.by_row) == elements(want.by_row));
    CHECK(elements(got.by_column) == elements(want.by_column));
    const std::vector<double> z{0, 1, 2};
    const std::vector<int> label{1};
    const auto of_great = elements(weakly::two_softmax_gradient(weakly::view(z.data(), 1, 3), label,
                                                                weakly::view(great.data(), 3, 3), 2)),
               of_weight = elements(weakly::two_softmax_gradient(weakly::view(z.data(), 1, 3), label,
                                                                 weakly::view(weight.data(), 3, 3), 2));
    for (std::size_t e = 0; e < 9; ++e) CHECK(close(of_great[e] * size, of_weight[e], 1e-12, 1e-15));
  }
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  const std::vector<double> logits{0, 1, 2};
  for (const double bad : {nan, inf, -inf}) {
    std::vector<double> none = weight;
    none[5] = bad;
    const auto view = weakly::view(none.data(), 3, 3);
    CHECK_THROWS_AS(weakly::two_softmax_transition(view), weakly::value_error);
    CHECK_THROWS_AS(weakly::two_softmax_gradient(weakly::view(logits.data(), 1, 3), std::vector<int>{0}, view),
                    weakly::value_error);
  }
}
