// SPDX-License-Identifier: MIT
#include "loss_checks.hpp"
#include "sanitizer.hpp"

#include <weakly/loss/brier.hpp>
#include <weakly/loss/cross_entropy.hpp>
#include <weakly/loss/focal.hpp>
#include <weakly/loss/generalized_cross_entropy.hpp>
#include <weakly/loss/jensen_shannon.hpp>
#include <weakly/loss/ldr_kl.hpp>
#include <weakly/loss/mean_absolute_error.hpp>
#include <weakly/loss/robust_log_loss.hpp>
#include <weakly/loss/row_loss.hpp>

#include <cmath>
#include <cstddef>
#include <cstring>
#include <limits>
#include <vector>

namespace {

// -log p + p, and half of the mean logit's gradient for an offset: nothing of a published loss, every part of a
// gradient.
struct own_formula {
  static constexpr bool uses_total = true;
  template <class V>
  weakly::softmax_gradient<V> operator()(const weakly::label_softmax<V>& row) const {
    const V value = row.cross_entropy + row.p + row.total_cross_entropy / row.classes;
    const V slope = row.p - V(1);  // of the first two terms
    return {value, V(1) - slope, V(-1) / row.classes, slope * row.q + row.p - V(1) / row.classes};
  }
};

struct plain_formula {
  template <class V>
  weakly::softmax_gradient<V> operator()(const weakly::label_softmax<V>& row) const {
    return weakly::loss_of_probability(row, row.cross_entropy, V(-1));
  }
};

const auto call = [](auto&& ex, const auto& logits, const weakly::loss_labels& label, auto&& loss, auto&& grad) {
  weakly::softmax_loss(ex, logits, label, loss, grad, own_formula{});
};

long double plain(loss_checks::row f, int label) {
  const long double lse = loss_checks::log_sum_exp(f);
  long double total = 0;
  for (const long double x : f) total += lse - x;
  const long double log_p = f[static_cast<std::size_t>(label)] - lse;
  return -log_p + std::exp(log_p) + total / static_cast<long double>(f.size());
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b, std::size_t from, std::size_t count) {
  return std::memcmp(a.data() + from, b.data() + from, count * sizeof(T)) == 0;
}

}  // namespace

TEST_CASE("softmax_loss takes a formula of one's own") { loss_checks::check_loss(call, plain); }

TEST_CASE_TEMPLATE("a class whose score is -inf has a gradient of exactly zero", T, float, double) {
  using batch = loss_checks::batch_of_rows<T>;
  const auto none_left = [](auto loss_of) {
    for (const weakly::index_t k : {3, 40, 300, 5000})
      for (const double scale : {1.0, 100.0}) {
        if (support::sanitized && k > 300) break;
        CAPTURE(k);
        CAPTURE(scale);
        batch b(7, k, scale, 4);
        const auto excluded = [&](weakly::index_t i, weakly::index_t j) {
          return j % 3 == 0 && j != b.label[std::size_t(i)];
        };
        for (weakly::index_t i = 0; i < b.n; ++i)
          for (weakly::index_t j = 0; j < k; ++j)
            if (excluded(i, j)) b.logits[std::size_t(i * k + j)] = -std::numeric_limits<T>::infinity();
        loss_of(b);
        int not_zero = 0;
        for (weakly::index_t i = 0; i < b.n; ++i)
          for (weakly::index_t j = 0; j < k; ++j) not_zero += excluded(i, j) && b.grad[std::size_t(i * k + j)] != T(0);
        CHECK(not_zero == 0);
      }
  };
  none_left([](batch& b) { weakly::cross_entropy(b.x(), b.label, b.loss, b.g()); });
  none_left([](batch& b) { weakly::focal(b.x(), b.label, b.loss, b.g()); });
  none_left([](batch& b) { weakly::generalized_cross_entropy(b.x(), b.label, b.loss, b.g()); });
  none_left([](batch& b) { weakly::mean_absolute_error(b.x(), b.label, b.loss, b.g()); });
  none_left([](batch& b) { weakly::jensen_shannon(b.x(), b.label, b.loss, b.g()); });
  none_left([](batch& b) { weakly::brier(b.x(), b.label, b.loss, b.g()); });
  none_left([](batch& b) { weakly::robust_log_loss(b.x(), b.label, b.loss, b.g()); });
  none_left([](batch& b) { weakly::ldr_kl(b.x(), b.label, b.loss, b.g()); });
}

TEST_CASE_TEMPLATE("gradients too large for the caches have the bits of small batches", T, float, double) {
  using weakly::index_t;
  for (const index_t k : {index_t(1), index_t(2), index_t(7), index_t(10), index_t(100), index_t(256), index_t(257),
                          index_t(1000), index_t(4096), index_t(4097), index_t(9001)}) {
    CAPTURE(k);
    const index_t n = (index_t(1) << 20) / k + 3;
    loss_checks::batch_of_rows<T> b(n, k, 3, 11);
    std::vector<T> weight(static_cast<std::size_t>(n), T(1));
    weight[1] = 0;
    weight[2] = T(0.5);
    b.logits[static_cast<std::size_t>(k)] = std::numeric_limits<T>::quiet_NaN();  // row 1, which weighs nothing
    b.logits[static_cast<std::size_t>(n * k - 1)] = std::numeric_limits<T>::infinity();
    for (index_t j = 0; j < k; ++j)
      b.logits[static_cast<std::size_t>(5 * k + j)] *= T(50);  // a maximum must be taken out

    // In parts, small enough for the caches.
    std::vector<T> loss = b.loss, grad = b.grad;
    const index_t part = n / 7 + 1;
    for (index_t first = 0; first < n; first += part) {
      const index_t rows = std::min(part, n - first);
      const auto from = static_cast<std::size_t>(first), count = static_cast<std::size_t>(rows);
      weakly::softmax_loss(
          weakly::seq, weakly::view(b.logits.data() + first * k, rows, k),
          weakly::loss_labels(std::span(b.label).subspan(from, count)).weights(std::span(weight).subspan(from, count)),
          std::span(loss).subspan(from, count), weakly::view(grad.data() + first * k, rows, k), own_formula{});
    }
    // Whole, at every phase of a cache line, with guards around.
    for (const std::size_t phase : {std::size_t(0), std::size_t(1), std::size_t(13)}) {
      std::vector<T> room(b.grad.size() + 64, T(-7));
      weakly::softmax_loss(weakly::seq, b.x(), weakly::loss_labels(b.label).weights(weight), b.loss,
                           weakly::view(room.data() + phase, n, k), own_formula{});
      CHECK(same_bits(b.loss, loss, 0, loss.size()));
      CHECK(std::memcmp(room.data() + phase, grad.data(), grad.size() * sizeof(T)) == 0);
      for (std::size_t i = 0; i < phase; ++i) CHECK(room[i] == T(-7));
      for (std::size_t i = phase + grad.size(); i < room.size(); ++i) CHECK(room[i] == T(-7));
    }
    // In place, and into rows that do not follow one another.
    std::vector<T> apart(static_cast<std::size_t>(n * (k + 3)), T(-7));
    weakly::softmax_loss(weakly::seq, b.x(), weakly::loss_labels(b.label).weights(weight), b.loss,
                         weakly::view(apart.data(), n, k, k + 3, 1), own_formula{});
    bool equal = true, untouched = true;
    for (index_t i = 0; i < n; ++i) {
      equal &=
          std::memcmp(apart.data() + i * (k + 3), grad.data() + i * k, static_cast<std::size_t>(k) * sizeof(T)) == 0;
      for (index_t j = k; j < k + 3; ++j) untouched &= apart[static_cast<std::size_t>(i * (k + 3) + j)] == T(-7);
    }
    CHECK(equal);
    CHECK(untouched);
    weakly::softmax_loss(weakly::seq, b.x(), weakly::loss_labels(b.label).weights(weight), b.loss,
                         weakly::view(b.logits.data(), n, k), own_formula{});
    CHECK(same_bits(b.logits, grad, 0, grad.size()));
  }
}

TEST_CASE("logits whose difference is finite give finite rows, and further apart ones NaN in their row alone") {
  for (const weakly::index_t k : {weakly::index_t(2), weakly::index_t(300)}) {  // short and long rows
    const auto at = [k](weakly::index_t i, weakly::index_t j) { return static_cast<std::size_t>(i * k + j); };
    std::vector<float> logits(static_cast<std::size_t>(4 * k), 0.0f), loss(4), grad(logits.size());
    const std::vector<int> label{1, 1, 1, 0};
    logits[at(0, 0)] = 1.5e38f, logits[at(0, 1)] = -1.5e38f;
    logits[at(1, 0)] = 2e38f, logits[at(1, 1)] = -2e38f;  // 4e38 apart
    logits[at(2, 0)] = 3e38f;
    logits[at(3, 0)] = 1e38f, logits[at(3, 1)] = -1e38f;
    weakly::softmax_loss(weakly::view(logits.data(), 4, k), label, loss, weakly::view(grad.data(), 4, k),
                         plain_formula{});
    for (const weakly::index_t i : {0, 2, 3})
      for (weakly::index_t j = 0; j < k; ++j) CHECK(std::isfinite(grad[at(i, j)]));
    CHECK(loss[0] == 3e38f);
    CHECK(std::isnan(loss[1]));
    CHECK(std::isnan(grad[at(1, 1)]));
    CHECK(loss[2] == 3e38f);
    CHECK(loss[3] < 1e-27f);  // what the kept exponentials of far classes are at least, k times
  }
}
